"""Structures cut at their metals: linkers, anions, solvent and guests, however the cell is chosen and whatever is disordered."""

from pathlib import Path

import numpy as np
import pytest

from xrdmatch.diffraction.bonds import bonded_atoms
from xrdmatch.diffraction.structure import Structure, parse
from xrdmatch.library.composition import NON_METALS
from xrdmatch.library.fragments import MOST_ATOMS, Fragment, parts_of
from xrdmatch.library.skeletons import molecule

SAMPLES = Path(__file__).parent.parent / "docs" / "samples"
NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "Zn": 30, "La": 57}

#: Formate in the plane z = 0 and a zinc atom on either side, in angstrom.
FORMATE = [("C", 5.0, 5.0, 5.0), ("O", 6.1, 5.6, 5.0), ("O", 3.9, 5.6, 5.0), ("H", 5.0, 3.9, 5.0)]
TWO_ZINC = [("Zn", 7.9, 4.9, 5.0), ("Zn", 2.1, 4.9, 5.0)]
WATER = [("O", 5.0, 5.0, 10.0), ("H", 5.76, 5.58, 10.0), ("H", 4.24, 5.58, 10.0)]


def structure(atoms, length=14.0, occupancy=None, moved=0.0):
    places = np.array([atom[1:] for atom in atoms]) / length + moved
    numbers = np.array([NUMBERS[atom[0]] for atom in atoms])
    return Structure("made", "", np.array([length] * 3 + [90.0] * 3), numbers, places, np.array(occupancy or [1.0] * len(atoms)))


def only(found, formula):
    return next(fragment for fragment in found.fragments if fragment.formula == formula)


@pytest.mark.parametrize("moved", [0.0, 0.55])  # over the border of the cell
def test_a_linker_between_two_metals_and_a_guest(moved):
    found = parts_of(structure(FORMATE + TWO_ZINC + WATER, moved=moved))
    assert found.metals == {"Zn": 2}
    formate, water = only(found, "C H O2"), only(found, "H2 O")
    assert (formate.key, formate.metals, formate.donors, formate.count) == (molecule("OC=O").skeleton.key(), 2, "O2", 1)
    assert (water.metals, water.donors, water.hydrogens) == (0, "", 2)


def test_real_linkers_of_a_whole_cell():
    path = SAMPLES / "idealised-mof-5.cif"
    found = parts_of(parse(path.read_bytes(), path.name))
    terephthalate = molecule("OC(=O)c1ccc(cc1)C(=O)O")
    linker = only(found, "C8 H4 O4")
    assert found.metals == {"Zn": 32}
    assert found.left_out == 0
    assert (linker.key, linker.double, linker.triple, linker.count) == (terephthalate.skeleton.key(), 6, 0, 24)
    assert dict(linker.groups) == {"carboxylate": 2}
    assert only(found, "O").count == 8


def test_alike_fragments_are_counted_together():
    second = [(symbol, x, y, z + 4.0) for symbol, x, y, z in FORMATE]
    assert only(parts_of(structure(FORMATE + second)), "C H O2").count == 2


def test_the_lesser_place_of_a_disordered_atom_is_left_out():
    doubled = [*FORMATE, ("O", 6.1, 5.1, 5.0), *TWO_ZINC]
    found = parts_of(structure(doubled, occupancy=[1.0, 0.4, 1.0, 1.0, 0.6, 1.0, 1.0]))
    assert found.left_out == 1
    assert [fragment.formula for fragment in found.fragments] == ["C H O2"]


def test_hydrogen_belongs_to_its_nearest_atom_alone():
    found = bonded_atoms(structure([("O", 5.0, 5.0, 5.0), ("H", 6.0, 5.0, 5.0), ("O", 7.3, 5.0, 5.0)]), NON_METALS)
    assert [len(bonds) for bonds in found.bonds] == [1, 1, 0]


def test_the_carbon_of_a_chelating_carboxylate_is_no_donor():
    found = parts_of(structure([*FORMATE, ("La", 5.0, 7.75, 5.0)]))
    assert only(found, "C H O2").donors == "O2"


def test_a_chain_through_the_cell_is_endless():
    found = parts_of(structure([("C", 0.0, 1.0, 1.0), ("C", 1.4, 1.0, 1.0), ("C", 2.8, 1.0, 1.0)], length=4.2))
    assert [fragment.periodic for fragment in found.fragments] == [True]


@pytest.mark.parametrize(("side", "cis"), [(1.0, 1), (-1.0, 0)])
def test_maleate_is_told_from_fumarate(side, cis):
    chain = [("C", 5.0, 5.0, 5.0), ("C", 6.33, 5.0, 5.0), ("C", 4.25, 6.3, 5.0), ("C", 7.08, 5.0 + 1.3 * side, 5.0)]
    assert parts_of(structure(chain)).fragments[0].cis == cis


def test_a_cell_that_is_too_large_is_refused():
    count = MOST_ATOMS + 1
    huge = Structure("huge", "", np.array([90.0] * 6), np.full(count, 6), np.zeros((count, 3)), np.ones(count))
    with pytest.raises(ValueError, match="huge: 20001 atoms"):
        parts_of(huge)


def test_fragments_are_plain_values():
    assert Fragment("C H O2", "k", 1) == Fragment("C H O2", "k", 1)
