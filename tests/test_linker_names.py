"""Names of fragments: chemists' spelling, by hydrogen where there is any, by C-C bonds where there is none; and what is said without a name."""

import os
import subprocess
import sys

import pytest

from xrdmatch.library.fragments import Fragment
from xrdmatch.library.linker_names import anion_name, described, name_of
from xrdmatch.library.skeletons import molecule


def fragment(smiles, formula, hydrogens, *, double=None, donors="O4", metals=2, cis=0, groups=()):
    known = molecule(smiles)
    return Fragment(
        formula, known.skeleton.key(), 1, hydrogens, known.double if double is None else double, known.triple, donors, metals, cis, groups
    )


TEREPHTHALIC = "OC(=O)c1ccc(cc1)C(=O)O"


@pytest.mark.parametrize(
    ("hydrogens", "double", "name"),
    [
        (4, 6, "terephthalate"),
        (0, 6, "terephthalate"),  # no hydrogen in the file: the bonds tell
        (10, 0, "cyclohexane-1,4-dicarboxylate"),
        (0, 0, "cyclohexane-1,4-dicarboxylate"),
        (2, 6, "terephthalate"),  # some hydrogen is missing
        (4, 0, "terephthalate"),  # poor coordinates, but hydrogen is there
    ],
)
def test_hydrogen_and_bonds_tell_what_one_skeleton_is(hydrogens, double, name):
    assert name_of(fragment(TEREPHTHALIC, "", hydrogens, double=double)).text == name


def test_what_neither_hydrogen_nor_bonds_fit_has_no_name():
    assert name_of(fragment("OC(=O)c1cc(cc(c1)-c1nnn[nH]1)C(=O)O", "", 14, double=0)) is None
    assert name_of(Fragment("C9 H9", "C9-0000000000", 1)) is None


@pytest.mark.parametrize(
    ("smiles", "hydrogens", "donors", "name"),
    [
        ("c1c[nH]cn1", 3, "N2", "imidazolate"),
        ("c1c[nH]cn1", 4, "N", "imidazole"),
        ("Cc1ncc[nH]1", 8, "N2", "2-methylimidazolate"),  # a methyl group in two places
        ("Cc1ncc[nH]1", 5, "N2", "2-methylimidazolate"),
        ("Nc1ncnc2[nH]cnc12", 5, "N", "adenine"),
        ("c1cc(ccn1)-c1ccncc1", 8, "N2", "4,4'-bipyridine"),
        ("C1CN2CCN1CC2", 12, "N2", "DABCO"),
        ("OC=O", 1, "O2", "formate"),
        ("OC(=O)c1cc(cc(c1)C(=O)O)C(=O)O", 3, "O6", "trimesate"),
    ],
)
def test_names_that_chemists_use(smiles, hydrogens, donors, name):
    assert name_of(fragment(smiles, "", hydrogens, donors=donors)).text == name


def test_cis_and_trans():
    fumarate = "OC(=O)C=CC(=O)O"
    assert name_of(fragment(fumarate, "", 2)).text == "fumarate"
    assert name_of(fragment(fumarate, "", 2, cis=1)).text == "maleate"


@pytest.mark.parametrize(
    ("hydrogens", "metals", "name", "kind", "charge"),
    [(0, 4, "oxide", "bridge", -2), (1, 3, "hydroxide", "bridge", -1), (2, 1, "water", "solvent", 0), (2, 0, "water", "solvent", 0)],
)
def test_oxygen_by_its_hydrogen(hydrogens, metals, name, kind, charge):
    found = name_of(fragment("O", "O", hydrogens, metals=metals))
    assert (found.text, found.kind, found.charge) == (name, kind, charge)


@pytest.mark.parametrize(
    ("smiles", "hydrogens", "charge"),
    [
        (TEREPHTHALIC, 4, -2),
        ("Nc1cc(ccc1C(=O)O)C(=O)O", 5, -2),
        ("c1cc(ccn1)-c1ccncc1", 0, 0),  # nothing on it can be lost
        ("C[NH2+]C", 8, 1),
        ("C[NH2+]C", 7, 0),
        ("c1c[nH]cn1", 0, None),  # no hydrogen in the file, and no acid group that would tell
    ],
)
def test_charge_is_what_the_molecule_lost(smiles, hydrogens, charge):
    assert name_of(fragment(smiles, "", hydrogens)).charge == charge


def test_charge_by_its_acids_where_hydrogen_is_missing():
    assert name_of(fragment(TEREPHTHALIC, "", 0, groups=(("carboxylate", 2),))).charge == -2


def test_carbon_dioxide_is_no_linker():
    assert name_of(fragment("O=C=O", "C O2", 0, metals=0)).text == "carbon dioxide"
    assert name_of(fragment("O=C=O", "C O2", 0, metals=2)).text == "formate"


@pytest.mark.parametrize(
    ("acid", "anion"),
    [
        ("2-bromobenzoic acid", "2-bromobenzoate"),
        ("naphthalene-1,4-dicarboxylic acid", "naphthalene-1,4-dicarboxylate"),
        ("pyromellitic acid", "pyromellitate"),
        ("methylphosphonic acid", "methylphosphonate"),
        ("benzene-1,3,5-triic acid", "benzene-1,3,5-tricarboxylate"),
        ("phosphorous acid", "phosphite"),
        ("nitrous acid", "nitrite"),
        ("4,4'-azopyridine", "4,4'-azopyridine"),
    ],
)
def test_acids_become_anions(acid, anion):
    assert anion_name(acid) == anion


@pytest.mark.parametrize(
    ("formula", "groups", "text"),
    [
        ("C27 H15 O6", {"carboxylate": 3}, "tricarboxylate C27H15O6"),
        ("C14 H14 N4", {"pyridine": 2}, "bis(pyridine) C14H14N4"),
        ("C7 H5 O2", {"carboxylate": 1, "pyridine": 1}, "carboxylate C7H5O2"),
        ("C9 H7 N4", {"tetrazole": 1}, "tetrazole C9H7N4"),
        ("C4 H9", {}, "ligand C4H9"),
    ],
)
def test_groups_and_formula_where_there_is_no_name(formula, groups, text):
    assert described(Fragment(formula, "", 1, groups=tuple(groups.items()))) == text


def test_a_table_of_ones_own(tmp_path):
    smiles = "OC(=O)CSCC(=O)O"
    key = molecule(smiles).skeleton.key()
    asked = "from xrdmatch.library.linker_names import name_of; from xrdmatch.library.fragments import Fragment; "
    asked += f"found = name_of(Fragment('C4 H4 O4 S', {key!r}, 1, hydrogens=4, donors='O4', metals=2)); print(found.text if found else None)"
    table = tmp_path / "mine.csv"
    table.write_text(f"key,name,smiles\n{key},2-(carboxymethylthio)acetic acid,{smiles}\n")

    def told(**more):
        done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env={**os.environ, **more}, check=False)
        return done.stdout.strip() or done.stderr

    assert told() == "None"
    assert told(XRDMATCH_LINKER_NAMES=str(table)) == "2-(carboxymethylthio)acetate"
    table.write_text("name\nx\n")
    assert "expected the columns key and name and smiles; key, smiles not found" in told(XRDMATCH_LINKER_NAMES=str(table))
