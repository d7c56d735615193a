"""benchmarks/scale.py: the large library is one that loads, its first entries are the shipped ones, and an interrupted run goes on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric
from xrdmatch.library.line_index import LineIndex
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import DEFAULT, Model, shipped_models

pytestmark = pytest.mark.skipif(DEFAULT not in shipped_models(), reason=f"the model {DEFAULT} is not in this tree")
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "scale.py"


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("scale", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale"] = module
    spec.loader.exec_module(module)
    return module


def run(scale, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["scale.py", *map(str, words)])
    scale.main()


def test_the_first_entries_are_the_library(scale, monkeypatch, tmp_path):
    monkeypatch.setattr(scale, "BLOCK", 16)
    run(scale, monkeypatch, tmp_path / "made.h5", "--count", 40, "--log", tmp_path / "log.csv")
    made, vectors, lookup = Library.load_whole(tmp_path / "made.h5")
    model = Model.load(None, "cpu")
    rows = scale.parents(model.library, 0, 40)
    assert made.id.tolist() == model.library.id[rows].tolist()
    np.testing.assert_array_equal(made.cell, model.library.cell[rows])
    np.testing.assert_array_equal(np.diff(made.offsets), np.diff(model.library.offsets)[rows])
    np.testing.assert_allclose(vectors, model.vectors[rows], atol=2e-3)
    np.testing.assert_array_equal(LineIndex.unpacked(lookup).place, LineIndex.of(made).place)
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["entries", "16", "32", "40"]


def test_variants(scale):
    model = Model.load(None, "cpu")
    start = len(model.library) + 5
    made = scale.variants(model.library, start, start + 30)
    parents = model.library.subset(scale.parents(model.library, start, start + 30))
    assert len(set(made.id.tolist())) == 30
    assert all(name.endswith("-1") for name in made.id.tolist())
    assert (np.abs(made.cell[:, :3] / parents.cell[:, :3] - 1.0).max(axis=1) > 1e-4).all()
    assert np.abs(made.cell[:, :3] / parents.cell[:, :3] - 1.0).max() < 0.12
    for entry in range(30):
        part = slice(int(made.offsets[entry]), int(made.offsets[entry + 1]))
        assert (np.diff(inverse_d_squared(made.hkl[part], reciprocal_metric(made.cell[entry]))) >= -1e-9).all()
        assert made.intensity[part].max() == pytest.approx(1000.0, rel=1e-3)
    again = scale.variants(model.library, start, start + 30)
    np.testing.assert_array_equal(made.intensity, again.intensity)


def test_an_interrupted_run_goes_on(scale, monkeypatch, tmp_path):
    monkeypatch.setattr(scale, "BLOCK", 8)
    whole = scale.append

    def broken(file, block, model):
        if block.start == 16:
            file["hkl"].resize(len(file["hkl"]) + 100, axis=0)  # half a block was written
            raise KeyboardInterrupt
        whole(file, block, model)

    monkeypatch.setattr(scale, "append", broken)
    with pytest.raises(KeyboardInterrupt):
        run(scale, monkeypatch, tmp_path / "parts.h5", "--count", 30)
    assert not (tmp_path / "parts.h5").exists()
    monkeypatch.setattr(scale, "append", whole)
    for name in ("parts", "straight"):
        run(scale, monkeypatch, tmp_path / f"{name}.h5", "--count", 30)
    parts, straight = (Library.load_whole(tmp_path / f"{name}.h5") for name in ("parts", "straight"))
    np.testing.assert_array_equal(parts[1], straight[1])
    for key in ("id", "cell", "offsets", "hkl", "intensity"):
        np.testing.assert_array_equal(getattr(parts[0], key), getattr(straight[0], key))
