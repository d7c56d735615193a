"""Patterns out of a library, by name or refcode."""

from __future__ import annotations

from dataclasses import replace

import cifs
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.structure import parse_cif
from xrdmatch.diffraction.structure_factors import simulate_pattern
from xrdmatch.errors import LibraryError
from xrdmatch.formats import read
from xrdmatch.library.build import entry_of
from xrdmatch.library.entry_pattern import entry_pattern
from xrdmatch.library.reference_library import Library

ATOMS = ["Zn1 Zn 0 0 0", "O1 O 0.2 0.1 0", "C1 C 0.3 0.1 0.4", "C2 C 0.5 0.5 0.1"]


@pytest.fixture(scope="module")
def structure():
    return parse_cif(cifs.cif(ATOMS, (12.1, 13.3, 14.9, 90, 101, 90)), "NEWONE")


@pytest.fixture
def named(tmp_path, library):
    """A folder that is as much of a model as a pattern needs; two families and three entries are called ZIF-8, one of them doubtful."""
    copies = [replace(library.entry(1), id=name, note=note) for name, note in (("FFFFFF_clean", "doubtful: bent"), ("GGGGGG_clean", ""))]
    both = library.joined(Library.from_entries(copies))
    both = replace(both, family=np.array([0, 1, 2, 3, 4, 5, 5], np.int32), family_name=[*library.family_name, "ZIF-8 [GGGGGG]"])
    folder = tmp_path / "named"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    both.save(folder / "library.h5")
    return folder


@pytest.mark.parametrize("grid", [Grid(), Grid(4.0, 22.0, 0.01, 0.709317), Grid(5.0, 60.0, 0.02, 1.788965)])
def test_a_library_gives_the_pattern_of_its_structure(structure, grid):
    """The library leaves out lines below 0.05 % and keeps intensities in half precision."""
    library = Library.from_entries([entry_of(structure)])
    whole, kept = simulate_pattern(structure, grid), entry_pattern(library, 0, grid)
    np.testing.assert_allclose(kept.intensity, whole.intensity, atol=0.15)
    assert (kept.name, kept.wavelength, kept.meta) == (whole.name, whole.wavelength, whole.meta)


def test_no_further_than_the_library_goes(structure):
    library = Library.from_entries([entry_of(structure)])
    entry_pattern(library, 0, Grid(5.0, 53.9, 0.02, 1.5418))
    with pytest.raises(LibraryError, match=r"NEWONE: .* up to 53\.9 degrees .* but 54 were asked for"):
        entry_pattern(library, 0, Grid(5.0, 54.0, 0.02, 1.5418))
    with pytest.raises(LibraryError, match=r"up to 41\.5 degrees"):
        entry_pattern(replace(library, attrs={"d_min": 1.0}), 0, Grid(5.0, 50.0, 0.02, 0.709317))


def test_a_pattern_by_name(run, named, library, tmp_path):
    target = tmp_path / "x.xy"
    code, out, err = run("simulate", "hkust 1", "-o", target, "--model", named)
    assert (code, out) == (0, "")
    assert err == "hkust 1: drawn from AAAAAA_clean (HKUST-1 C18H6Cu3O12) of the library of named\n"
    np.testing.assert_allclose(read(target).intensity, entry_pattern(library, 0).intensity, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("typed", ["BBBBBB", "bbbbbb_clean", "BBBBBB_clean"])
def test_a_pattern_by_refcode(run, named, tmp_path, typed):
    code, _, err = run("simulate", typed, "-o", tmp_path / "x.xy", "--model", named)
    assert (code, err) == (0, f"{typed}: drawn from BBBBBB_clean (ZIF-8 C8H10N4Zn) of the library of named\n")


def test_of_several_entries_one_of_the_largest_family_is_taken_that_nothing_speaks_against(run, named, tmp_path):
    code, _, err = run("simulate", "zif-8", "-o", tmp_path / "x.xy", "--model", named)
    assert code == 0
    assert "drawn from GGGGGG_clean" in err
    assert "3 entries are called so, in 2 families: this is of the largest" in err
    code, _, err = run("simulate", "FFFFFF", "-o", tmp_path / "x.xy", "--model", named)
    assert code == 0
    assert "FFFFFF_clean: doubtful: bent" in err


def test_a_file_of_that_name_goes_first(run, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "HKUST-1").write_text(cifs.cif(ATOMS, (12.1, 13.3, 14.9, 90, 101, 90)))
    code, _, err = run("simulate", "HKUST-1", "-o", "x.xy", "--model", named)
    assert code == 0
    assert "drawn from" not in err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("hkst-1", "did you mean HKUST-1"),
        ("UiO-65", "did you mean UiO-66"),
        ("xyzzy", "xrdmatch find looks for parts"),
        ("HKUST-1.cif", "HKUST-1.cif: no such file"),
        ("AAAAAA_clean.cif", "AAAAAA_clean.cif: no such file"),
    ],
)
def test_a_mistyped_name(run, named, tmp_path, typed, told):
    code, out, err = run("simulate", typed, "-o", tmp_path / "x.xy", "--model", named)
    assert (code, out) == (1, "")
    assert told in err
    assert not (tmp_path / "x.xy").exists()


def test_names_are_for_one_pattern(run, named, tmp_path):
    assert run("simulate", "HKUST-1", "-o", tmp_path / "x.h5")[0] == 1
    assert run("simulate", "HKUST-1", "ZIF-8", "-o", tmp_path / "x.xy", "--model", named)[0] == 1
    assert run("simulate", "HKUST-1", "-o", tmp_path / "x.h5", "--model", named)[0] == 2
    assert run("simulate", "HKUST-1", "-o", tmp_path / "x.xy", "--model", "no-such-model")[0] == 2
    assert run("simulate", "HKUST-1", "-o", tmp_path / "x.xy", "--model", named, "--stop", "90")[0] == 1


def test_a_figure_of_an_entry(run, named, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    assert run("simulate", "HKUST-1", "-o", tmp_path / "x.xy", "--model", named, "--plot", tmp_path / "x.svg")[0] == 0
    assert "AAAAAA_clean" in (tmp_path / "x.svg").read_text()
