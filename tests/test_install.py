"""How xrdmatch is installed, and what it says where a part is missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from xrdmatch.errors import how_to_install
from xrdmatch.version import __version__

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("mark", "command"),
    [
        ("pipx_metadata.json", "pipx inject xrdmatch matplotlib"),
        ("uv-receipt.toml", 'uv pip install --python "{place}" matplotlib'),
        ("pyvenv.cfg", 'pip install matplotlib, or in your copy of xrdmatch: pip install ".[plot]"'),
    ],
)
def test_hints_are_of_the_tool_that_installed_it(tmp_path, mark, command):
    (tmp_path / mark).touch()
    assert how_to_install("matplotlib", "plot", str(tmp_path)) == command.format(place=tmp_path)


def test_hints_need_double_quotes_alone():
    """cmd.exe takes single quotes as they stand; brackets outside quotes are patterns to zsh."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "xrdmatch").rglob("*.py")]
    calls = [found for text in sources for found in re.findall(r"how_to_install\((.+?), .\w+.\)", text)]
    assert len(calls) >= 6
    for call in calls:
        packages = call[1:-1]
        assert "'" not in packages
        assert "[" not in re.sub(r'"[^"]*"', "", packages)


def test_the_page_names_this_version_and_its_extras():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"xrdmatch-([\d.]+)-py3", page)) == {__version__}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {extra for found in re.findall(r"\.whl\[([\w,]+)\]", page) for extra in found.split(",")}
    assert named == {"plot", "watch", "serve"}
    assert named <= set(extras)


def test_every_dependency_says_why_it_is_there():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    bare = [line for line in listed.splitlines() if re.match(r'    "(?!xrdmatch|onnxruntime[-a-z]*>=1\.20)', line) and "  # " not in line]
    assert bare == []
