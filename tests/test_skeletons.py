"""Skeletons of molecules: one key however they are written, told apart where they differ, and what SMILES say of hydrogen and bonds."""

import csv
from importlib import resources

import pytest

from xrdmatch.library.linker_names import KINDS
from xrdmatch.library.skeletons import hill, molecule


def rows(name):
    return list(csv.DictReader((resources.files("xrdmatch.library") / name).read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("OC(=O)c1ccc(cc1)C(=O)O", "O=C(O)c1ccc(C(O)=O)cc1"),
        ("OC(=O)c1ccc(cc1)C(=O)O", "OC(=O)C1CCC(CC1)C(=O)O"),  # hydrogen and bonds tell these apart, not the skeleton
        ("c1cc(ccn1)-c1ccncc1", "n1ccc(cc1)c1ccncc1"),
        ("C1CCC%11CC1.C%11", "CC1CCCCC1"),
        ("[O-][N+](=O)[O-]", "O[N](O)O"),
    ],
)
def test_equal_skeletons_have_one_key(one, other):
    assert molecule(one).skeleton.key() == molecule(other).skeleton.key()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("OC(=O)c1ccc(cc1)C(=O)O", "OC(=O)c1cccc(c1)C(=O)O"),  # terephthalic and isophthalic acid
        ("c1cn[nH]c1", "c1c[nH]cn1"),
        ("C1CCC2CCCCC2C1", "C1CCCC1C1CCCC1"),  # ten carbons with the same neighbours; only the rings differ
        ("c1ccncc1", "c1ccccc1"),
    ],
)
def test_different_skeletons_have_different_keys(one, other):
    assert molecule(one).skeleton.key() != molecule(other).skeleton.key()


def test_a_key_begins_with_the_heavy_atoms():
    assert molecule("Clc1ncc[nH]1").skeleton.key().startswith("C3ClN2-")


@pytest.mark.parametrize(
    ("smiles", "hydrogen", "acidic", "double", "triple", "charge"),
    [
        ("OC(=O)c1ccc(cc1)C(=O)O", 6, 2, 6, 0, 0),
        ("OC(=O)C#CC(=O)O", 2, 2, 0, 1, 0),
        ("c1cc(ccn1)-c1ccncc1", 8, 0, 8, 0, 0),  # the bond between two rings is a single one
        ("Cc1ncc[nH]1", 6, 1, 1, 0, 0),
        ("C[NH2+]C", 8, 2, 0, 0, 1),
        ("[O-]S(=O)(=O)[O-]", 0, 0, 0, 0, -2),
        ("OP(=O)(O)C", 5, 2, 0, 0, 0),
        ("[O-2]", 0, 0, 0, 0, -2),
    ],
)
def test_hydrogen_bonds_and_charge(smiles, hydrogen, acidic, double, triple, charge):
    found = molecule(smiles)
    assert (sum(found.hydrogens), found.acidic, found.double, found.triple, found.charge) == (hydrogen, acidic, double, triple, charge)


@pytest.mark.parametrize("smiles", ["c1ccccc", "CC)C", "C(C", "C$C", "1CC", "[+]"])
def test_what_is_no_smiles_is_refused(smiles):
    with pytest.raises(ValueError, match=r"understood|closed|before"):
        molecule(smiles)


@pytest.mark.parametrize(
    ("smiles", "groups"),
    [
        ("OC(=O)c1cc(cc(c1)C(=O)O)C(=O)O", {"carboxylate": 3}),
        ("OC(=O)c1ccncc1", {"carboxylate": 1, "pyridine": 1}),
        ("OP(=O)(O)c1ccccc1", {"phosphonate": 1}),
        ("OS(=O)(=O)c1ccccc1", {"sulfonate": 1}),
        ("c1nnn[nH]1", {"tetrazole": 1}),
        ("c1cn(cn1)-c1ccc(cc1)-n1ccnc1", {"diazole": 2}),
        ("N#Cc1ccccc1", {"nitrile": 1}),
        ("OP(=O)(O)O", {}),
    ],
)
def test_groups(smiles, groups):
    assert molecule(smiles).skeleton.groups() == groups


def test_hill_order():
    assert hill({"O": 4, "H": 1, "C": 8}) == "C8 H O4"
    assert hill({"Zn": 1, "O": 2}) == "O2 Zn"


def test_the_own_table_can_be_read_and_names_each_molecule_once():
    table = rows("linkers.csv")
    assert {row["kind"] for row in table} <= set(KINDS)
    assert len({row["name"] for row in table}) == len(table)
    known = [molecule(row["smiles"]) for row in table]
    seen = [(one.skeleton.key(), sum(one.hydrogens), one.double, one.triple, one.cis) for one in known]
    doubled = {row["name"] for row, key in zip(table, seen, strict=True) if seen.count(key) > 1}
    assert doubled <= {"peroxide", "dioxygen"}  # states of two oxygen atoms
