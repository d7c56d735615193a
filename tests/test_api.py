"""`import xrdmatch` and what it offers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import xrdmatch
from xrdmatch.notes import note


def test_import_is_light():
    code = "import sys, xrdmatch; print(sorted({'numpy', 'onnxruntime', 'typer', 'rich', 'h5py', 'gemmi'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in xrdmatch.__all__:
        assert getattr(xrdmatch, name) is not None
    assert set(xrdmatch.__all__) <= set(dir(xrdmatch))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = xrdmatch.nonsense


def test_no_module_has_the_name_of_a_function():
    """`xrdmatch.identify` and `xrdmatch.simulate` are functions and nothing else, whatever was imported before."""
    package = Path(xrdmatch.__file__).parent
    modules = {path.stem for path in package.glob("*.py")} | {path.name for path in package.iterdir() if path.is_dir()}
    assert not modules & {"identify", "read", "simulate"}


def test_identify_takes_a_path_or_a_pattern(scans, tiny_model):
    answer = xrdmatch.identify(scans / "a.xy", model=tiny_model)
    assert isinstance(answer, xrdmatch.Identification)
    assert answer.file == str(scans / "a.xy")
    assert answer.matches[0].name == "HKUST-1"
    pattern = xrdmatch.read(str(scans / "b.xy"))
    answer = xrdmatch.identify(pattern, model=xrdmatch.Model.load(tiny_model), wavelength="Cu", top=2)
    assert (answer.matches[0].name, len(answer.matches), answer.wavelength_source) == ("ZIF-8", 2, "option")
    assert xrdmatch.identify(pattern, model=str(tiny_model), wavelength=1.5418).wavelength == 1.5418
    assert (answer.name, answer.reason_code) == ("ZIF-8", "fits")


@pytest.mark.parametrize("name", ["config.json", "library.h5"])
def test_the_model_stays_loaded_until_it_changes(scans, tiny_model, tmp_path, name):
    """A folder that has lost its network cannot be loaded; what was loaded before goes on."""
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    first = xrdmatch.identify(scans / "a.xy", model=folder, device="cpu")
    (folder / "model.onnx").unlink()
    again = xrdmatch.identify(scans / "a.xy", model=str(folder), device="cpu", top=1, filter_mode="off")
    assert (len(first.matches), len(again.matches)) == (5, 1)
    changed = (folder / name).stat().st_mtime_ns + 10**9
    os.utime(folder / name, ns=(changed, changed))
    with pytest.raises(xrdmatch.ModelError, match=r"model\.onnx: no such network"):
        xrdmatch.identify(scans / "a.xy", model=folder, device="cpu")


@pytest.mark.parametrize("wrong", [{"top": 0}, {"top": 13}, {"filter_mode": "always"}])
def test_options_that_do_not_exist_are_refused(scans, tiny_model, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        xrdmatch.identify(scans / "a.xy", model=tiny_model, **wrong)


def test_read_gives_the_pattern_and_says_what_is_wrong(scans):
    pattern = xrdmatch.read(scans / "b.xy")
    assert isinstance(pattern, xrdmatch.Pattern)
    assert pattern.wavelength == pytest.approx(1.541871)
    assert pattern.two_theta.shape == pattern.intensity.shape
    with pytest.raises(xrdmatch.ReadError, match=r"notes\.doc"):
        xrdmatch.read(scans / "notes.doc")


def test_simulate_takes_a_file_or_a_structure(tmp_path):
    from cifs import SALT

    path = tmp_path / "salt.cif"
    path.write_text(SALT.format(name="salt"))
    pattern = xrdmatch.simulate(path, xrdmatch.Grid(20, 40, 0.02, 1.540593), fwhm=0.1)
    assert pattern.two_theta[np.argmax(pattern.intensity)] == pytest.approx(31.70, abs=0.03)
    assert pattern.intensity.max() == pytest.approx(100.0)
    with pytest.raises(xrdmatch.StructureError, match="absent"):
        xrdmatch.simulate(tmp_path / "absent.cif")


USER = """
import numpy as np
from numpy.typing import NDArray

import xrdmatch
from xrdmatch import Grid, Identification, Library, Match, Model, Pattern, XrdMatchError

model: Model = Model.load()
library: Library = model.library
answer: Identification = xrdmatch.identify("scan.xy", model=model, wavelength="Cu", top=3)
best: Match = answer.matches[0]
name: str = answer.name
share: float = answer.probability
why: str = answer.reason_code
pattern: Pattern = xrdmatch.read("scan.raw", range_index=1)
angles: NDArray[np.float64] = pattern.two_theta
wavelength: float | None = pattern.wavelength
ideal: Pattern = xrdmatch.simulate("a.cif", Grid(5.0, 40.0, 0.02), fwhm=0.1)
d, intensity = library.lines(0)
if best.lines is not None:
    hkl: NDArray[np.int16] = best.lines.hkl
try:
    xrdmatch.identify(pattern)
except XrdMatchError as error:
    print(error)
"""
WRONG = """
xrdmatch.identify("scan.xy", colour="red")
answer.name + 1
"""


def test_types_are_there_for_users_and_strict(tmp_path):
    """mypy --strict on a user's script, from another folder: the right use passes, the wrong is found line by line."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed (the lint extra)")
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(USER)
    wrong.write_text(USER + WRONG)
    source = importlib.util.find_spec("xrdmatch").submodule_search_locations[0]
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\nignore_missing_imports = True\n")
    command = [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(tmp_path / "cache")]
    environment = {**os.environ, "MYPYPATH": str(Path(source).parent)}
    for script, found in ((right, []), (wrong, ["call-arg", "operator"])):
        done = subprocess.run([*command, str(script)], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        own = [line for line in done.stdout.splitlines() if line.startswith(script.name) and ": error:" in line]
        assert [line.rsplit("[", 1)[1].rstrip("]") for line in own] == found, done.stdout


def test_the_package_says_that_it_is_typed():
    assert (Path(xrdmatch.__file__).parent / "py.typed").is_file()


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_notebook_shows_results_and_patterns(scans, tiny_model):
    answer = xrdmatch.identify(scans / "b.xy", model=tiny_model)
    shown = answer._repr_html_()
    tags = Tags(shown)
    assert tags.open == []
    for said in ("MATCH", "ZIF-8", "b.xy", "BBBBBB_clean", "1.5419"):
        assert said in shown
    assert sum(tag == "polyline" for tag, _ in tags.seen) == 2
    assert not any("src" in about or "onload" in about for _, about in tags.seen)
    pattern = xrdmatch.read(scans / "b.xy")
    assert Tags(pattern._repr_html_()).open == []
    assert "1201 points" in pattern._repr_html_()
    error = replace(answer, verdict="error", reasons=(note("error", message="x"),), matches=[], pattern=None, measured=None)
    assert Tags(error._repr_html_()).open == []
    assert error._repr_png_() is None


def test_a_notebook_shows_pictures_where_matplotlib_is_there(scans, tiny_model, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    answer = xrdmatch.identify(scans / "b.xy", model=tiny_model)
    assert answer._repr_png_().startswith(b"\x89PNG")
    assert xrdmatch.read(scans / "b.xy")._repr_png_().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert answer._repr_png_() is None
    assert xrdmatch.read(scans / "b.xy")._repr_png_() is None


def test_a_notebook_shows_hostile_text_as_text(scans, tiny_model):
    answer = xrdmatch.identify(scans / "b.xy", model=tiny_model)
    evil = "<script>alert(1)</script>"
    best = replace(answer.matches[0], name=evil, id=evil, formula=evil, doi=evil)
    shown = Tags(replace(answer, file=evil, reasons=(note("error", message=evil),), headline=((evil, 0.9),), matches=[best])._repr_html_())
    assert not any(tag == "script" for tag, _ in shown.seen)
    named = replace(xrdmatch.read(scans / "b.xy"), name=evil)
    assert not any(tag == "script" for tag, _ in Tags(named._repr_html_()).seen)


def test_large_things_have_short_representations(library, scans, tiny_model):
    assert repr(library) == f"<Library: 5 structures, 5 families, {len(library.hkl)} lines>"
    assert repr(xrdmatch.read(scans / "b.xy")) == "<Pattern 'b.xy': 1201 points, 2.00 to 50.00 deg, 1.5419 A>"
    assert len(repr(xrdmatch.identify(scans / "b.xy", model=tiny_model))) < 3000


def test_lines_of_the_shipped_library_have_the_indices_that_people_write():
    evidence = xrdmatch.identify(Path(__file__).parents[1] / "docs" / "samples" / "hkust-1.xy").matches[0].evidence
    assert {(2, 0, 0), (2, 2, 0), (2, 2, 2)} <= {line[:3] for line in evidence.matched}
