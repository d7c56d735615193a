"""Which structures count as not in the library when examples for the re-ranker are made: to teach that what it holds is absent would do harm."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cifs import cif

from xrdmatch.library.reference_library import Entry, Library

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "make_reranker_examples.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    sys.modules[SCRIPT.stem] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(name, formula, category):
    return Entry(name, formula, np.array([5.0, 5, 5, 90, 90, 90]), np.array([[1, 0, 0]]), np.array([1.0]), category=category)


def write(folder, **structures):
    folder.mkdir()
    for name, elements in structures.items():
        atoms = [f"A{i} {element} {i / 10} 0 0" for i, element in enumerate(elements)]
        (folder / f"{name}.cif").write_text(cif(atoms, (5, 5, 5, 90, 90, 90)))
    return folder


def test_what_the_library_may_hold_is_left_out(script, tmp_path):
    library = Library.from_entries([entry("zincite", "O Zn", "byproduct"), entry("MOF-5", "C O Mg", "mof")])
    minerals = write(tmp_path / "minerals", zincite=("Zn", "O"), magnesite=("Mg", "C", "O"), pyrite=("Fe", "S"), galena=("Pb", "S"))
    (minerals / "broken.cif").write_text("data_x")
    unseen = write(tmp_path / "unseen", test=("S", "Pb"))
    assert sorted(script.absent_files(library, [minerals], [unseen])) == ["magnesite.cif", "pyrite.cif"]


def test_all_scans_of_a_structure_are_of_one_part(script):
    absent = script.Absent()
    parts = Counter(absent.part(f"mineral-{i}.cif") for i in range(5000))
    assert absent.part("mineral-7.cif") == absent.part("mineral-7.cif")
    assert {part: round(count / 5000, 1) for part, count in parts.items()} == {"train": 0.8, "calibrate": 0.1, "measure": 0.1}
