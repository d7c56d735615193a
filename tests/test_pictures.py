"""The script that draws the documentation's pictures runs, and makes those that are there."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_the_pictures_are_those_of_the_script(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    from xrdmatch.model.folder import DEFAULT, shipped_models

    if DEFAULT not in shipped_models():
        pytest.skip(f"the model {DEFAULT} is not in this tree")
    command = [sys.executable, str(ROOT / "scripts" / "make_pictures.py"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    table = (tmp_path / "identify.svg").read_text(encoding="utf-8")
    assert "HKUST-1" in table
    assert "@font-face" not in table
