"""`import xrdmatch` and what it offers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import xrdmatch


def test_import_is_light():
    code = "import sys, xrdmatch; print(sorted({'numpy', 'onnxruntime', 'typer', 'rich', 'h5py', 'gemmi'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in xrdmatch.__all__:
        assert getattr(xrdmatch, name) is not None
    assert set(xrdmatch.__all__) <= set(dir(xrdmatch))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = xrdmatch.nonsense


def test_functions_win_over_submodules_of_the_same_name():
    code = """
import xrdmatch
before = xrdmatch.identify, xrdmatch.simulate
import xrdmatch.identify
import xrdmatch.simulate
from xrdmatch.identify import Identifier
from xrdmatch.simulate import simulate_pattern
from xrdmatch import identify, simulate
assert (xrdmatch.identify, xrdmatch.simulate) == before == (identify, simulate)
assert callable(identify) and callable(simulate)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_identify_takes_a_path_or_a_pattern(scans, tiny_model):
    answer = xrdmatch.identify(scans / "a.xy", model=tiny_model)
    assert isinstance(answer, xrdmatch.Identification)
    assert answer.file == str(scans / "a.xy")
    assert answer.matches[0].name == "HKUST-1"
    pattern = xrdmatch.read(str(scans / "b.xy"))
    answer = xrdmatch.identify(pattern, model=xrdmatch.Model.load(tiny_model), wavelength="Cu", top=2)
    assert (answer.matches[0].name, len(answer.matches), answer.wavelength_source) == ("ZIF-8", 2, "option")
    assert xrdmatch.identify(pattern, model=str(tiny_model), wavelength=1.5418).wavelength == 1.5418


def test_the_model_stays_loaded(tiny_model):
    first = xrdmatch._identifier(tiny_model, "auto", 5)
    assert xrdmatch._identifier(str(tiny_model), "auto", 5) is first
    assert xrdmatch._identifier(tiny_model, "auto", 4) is not first


def test_read_gives_the_pattern_and_says_what_is_wrong(scans):
    pattern = xrdmatch.read(scans / "b.xy")
    assert isinstance(pattern, xrdmatch.Pattern)
    assert pattern.wavelength == pytest.approx(1.541871)
    assert pattern.two_theta.shape == pattern.intensity.shape
    with pytest.raises(xrdmatch.ReadError, match=r"notes\.doc"):
        xrdmatch.read(scans / "notes.doc")


def test_simulate_takes_a_file_or_a_structure(tmp_path):
    from test_cli import SALT

    path = tmp_path / "salt.cif"
    path.write_text(SALT.format(name="salt"))
    pattern = xrdmatch.simulate(path, xrdmatch.Grid(20, 40, 0.02, 1.540593), fwhm=0.1)
    assert pattern.two_theta[np.argmax(pattern.intensity)] == pytest.approx(31.70, abs=0.03)
    assert pattern.intensity.max() == pytest.approx(100.0)
    with pytest.raises(xrdmatch.StructureError, match="absent"):
        xrdmatch.simulate(tmp_path / "absent.cif")
