"""Names of structures by what they are made of, each rule with made-up parts."""

from dataclasses import replace

import numpy as np
import pytest

from xrdmatch.library.fragments import LOOSE_HYDROGEN, Fragment, Parts
from xrdmatch.library.framework_names import charge_left, formula_fits, framework_name, of_one_compound
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.library.skeletons import molecule

BDC, BIPY, IMIDAZOLE, DABCO = "OC(=O)c1ccc(cc1)C(=O)O", "c1cc(ccn1)-c1ccncc1", "c1c[nH]cn1", "C1CN2CCN1CC2"


def piece(smiles, formula, count, *, hydrogens=0, donors="O4", metals=2, **more):
    known = molecule(smiles)
    fields = {"formula": formula, "key": known.skeleton.key(), "count": count, "hydrogens": hydrogens, "double": known.double, "triple": known.triple}
    return {key: value for key, value in (fields | {"donors": donors, "metals": metals} | more).items() if value}


def parts(metals, *pieces, left_out=0):
    fragments = (Fragment(**one | {"groups": tuple(one.get("groups", {}).items())}) for one in pieces)
    return Parts(metals, tuple(fragments), left_out)


def terephthalate(count):
    return piece(BDC, "C8 H4 O4", count, hydrogens=4, groups={"carboxylate": 2})


def oxide(count):
    return piece("O", "O", count, donors="O", metals=4)


UNKNOWN = {"formula": "C27 H15 O6", "key": "C27O6-0000000000", "count": 1, "hydrogens": 15, "donors": "O6", "metals": 3, "groups": {"carboxylate": 3}}
WATER = piece("O", "H2 O", 3, hydrogens=2, donors="O", metals=1)


def named(formula, metals, *pieces):
    return framework_name(parts(metals, *pieces), formula)


def test_metal_and_linker():
    found = named("C24 H12 O13 Zn4", {"Zn": 4}, terephthalate(3), oxide(1))
    assert (found.text, found.kind, found.formula_fits, found.charge_left) == ("Zn terephthalate", "linkers", True, 0)
    assert [(linker.formula, linker.name) for linker in found.linkers] == [("C8H4O4", "terephthalate")]


def test_anions_stand_before_neutral_linkers():
    pieces = piece(DABCO, "C6 H12 N2", 1, hydrogens=12, donors="N2"), terephthalate(2)
    assert named("C22 H20 N2 O8 Zn2", {"Zn": 2}, *pieces).text == "Zn terephthalate + DABCO"


def test_neutral_linkers_come_with_what_balances_them():
    pieces = piece(BIPY, "C10 H8 N2", 2, hydrogens=8, donors="N2"), piece("F[Si](F)(F)(F)(F)F", "F6 Si", 1, donors="F2")
    assert named("C20 H16 Cu F6 N4 Si", {"Cu": 1}, *pieces).text == "Cu hexafluorosilicate + 4,4'-bipyridine"


def test_a_lost_pillar_shows_in_the_charge():
    assert named("C20 H16 Cu N4", {"Cu": 2}, piece(BIPY, "C10 H8 N2", 4, hydrogens=8, donors="N2")).charge_left == 2
    assert named("C8 H4 O4", {"Zn": 1}, terephthalate(1), oxide(1)).charge_left == -2


def test_hydrogen_too_far_from_its_atom_counts_for_nothing():
    loose = {"formula": "H", "key": LOOSE_HYDROGEN, "count": 8, "hydrogens": 1}
    found = named("C8 H12 O4 Zn", {"Zn": 1}, terephthalate(1), loose)
    assert (found.text, found.charge_left, found.guests) == ("Zn terephthalate", 0, ())


def test_metals_the_most_frequent_first():
    assert named("C24 H12 O13 Zn3 Co", {"Co": 1, "Zn": 3}, terephthalate(3), oxide(1)).text == "Zn/Co terephthalate"


def test_guests_are_told_from_bound_solvent_and_linkers():
    free = piece("CN(C)C=O", "C3 H7 N O", 2, hydrogens=7, donors="", metals=0)
    cation = piece("C[NH2+]C", "C2 H8 N", 1, hydrogens=8, donors="", metals=0)
    found = named("", {"Zn": 4}, terephthalate(3), oxide(1), WATER, free, cation)
    assert found.text == "Zn terephthalate"
    assert (found.guests, found.bound_solvent) == (("DMF", "dimethylammonium"), ("water",))


def test_caps_are_named_where_nothing_larger_is_there():
    formate = piece("OC=O", "C H O2", 2, hydrogens=1, donors="O2")
    assert named("C2 H2 Mg O4", {"Mg": 1}, formate).text == "Mg formate"
    assert named("", {"Zr": 6}, terephthalate(5), formate).text == "Zr terephthalate"


def test_a_linker_without_a_name_is_told_by_groups_and_formula():
    found = named("C27 H15 O6 Tb", {"Tb": 1}, UNKNOWN)
    assert (found.text, found.kind, found.charge_left) == ("Tb tricarboxylate C27H15O6", "groups", None)


def test_inorganic_frameworks():
    found = named("Al O4 P", {"Al": 1}, piece("OP(=O)(O)O", "O4 P", 1))
    assert (found.text, found.kind) == ("Al phosphate", "inorganic")


def test_what_does_not_add_up_has_no_name_but_its_formula():
    found = named("C30 H15 O9 Tb", {"Tb": 1}, UNKNOWN)
    assert (found.text, found.kind, found.formula_fits) == ("C30H15O9Tb", "formula", False)


def test_an_endless_fragment_has_no_name_but_its_formula():
    endless = {"formula": "C30 H15 O9", "key": "endless", "count": 1, "periodic": True, "metals": 3}
    assert named("C30 H15 O9 Tb", {"Tb": 1}, endless).text == "C30H15O9Tb"


def test_a_covalent_framework_has_its_formula():
    endless = {"formula": "B C3 H2 O", "key": "endless", "count": 1, "periodic": True}
    assert named("C3 H2 B O", {}, endless).text == "C3H2BO"


def test_one_linker_is_named_once_whatever_its_hydrogen():
    bare = piece(BDC, "C8 O4", 1, groups={"carboxylate": 2})
    found = named("", {"Zn": 2}, terephthalate(1), bare)
    assert found.text == "Zn terephthalate"
    assert len(found.linkers) == 1


def test_more_than_three_linkers_are_counted():
    acids = ["OC(=O)c1cccc(c1)C(=O)O", "OC(=O)C(=O)O", "OC(=O)CC(=O)O"]
    pieces = [piece(smiles, formula, 1) for smiles, formula in zip(acids, ["C8 O4", "C2 O4", "C3 O4"], strict=True)]
    assert named("", {"Zn": 4}, terephthalate(2), *pieces).text.endswith("+ malonate +1")


@pytest.mark.parametrize(
    ("formula", "fits"),
    [("C24 H12 O13 Zn4", True), ("C24 O13 Zn4", True), ("C48 D24 O26 Zn8", True), ("C24 H12 N2 O13 Zn4", False), ("C26 H12 O13 Zn4", False)],
)
def test_metals_and_fragments_add_up_to_the_formula(formula, fits):
    assert formula_fits(parts({"Zn": 4}, terephthalate(3), oxide(1)), formula) is fits


@pytest.mark.parametrize(("hydroxides", "left"), [(1, 0), (2, 0), (4, -2)])
def test_a_metal_of_several_states_takes_what_balances(hydroxides, left):
    hydroxide = piece("O", "H O", hydroxides, hydrogens=1, donors="O")
    assert charge_left(parts({"Fe": 2}, terephthalate(2), hydroxide)) == left


def test_no_charge_is_told_of_a_metal_or_fragment_that_is_not_known():
    assert charge_left(parts({"Zn": 1}, UNKNOWN)) is None
    assert charge_left(parts({}, WATER)) is None


def described(identifier, formula, found):
    linkers = "; ".join(linker.name for linker in found.linkers)
    entry = Entry(identifier, formula, np.array([9.0, 9, 9, 90, 90, 90]), np.array([[1, 0, 0]]), np.array([1.0]))
    return replace(entry, linkers=linkers, title=found.text, title_kind=found.kind)


def test_what_disorder_hid_is_told_by_another_structure_of_the_compound():
    clear = named("C24 H12 O13 Zn4", {"Zn": 4}, terephthalate(3), oxide(1))
    hidden = named("C27 H15 O6 Zn", {"Zn": 1}, UNKNOWN)
    other = named("C27 H15 O6 Cu", {"Cu": 1}, UNKNOWN)
    entries = [
        described("ABCDEF_clean", "C24 H12 O13 Zn4", clear),
        described("ABCDEF01_freeONLY", "C27 H15 O6 Zn", hidden),
        described("ABCDEF02_clean", "C27 H15 O6 Cu", other),
        described("GHIJKL_clean", "C27 H15 O6 Zn", hidden),
        replace(described("ABCDEF03_clean", "C27 H15 O6 Zn", hidden), title="given by a table", title_kind="given"),
    ]
    told = of_one_compound(Library.from_entries(entries))
    unknown = "tricarboxylate C27H15O6"
    assert told.title.tolist() == ["Zn terephthalate", "Zn terephthalate", f"Cu {unknown}", f"Zn {unknown}", "given by a table"]
    assert told.linkers.tolist() == ["terephthalate", "terephthalate", unknown, unknown, unknown]
    assert told.title_kind[1] == "linkers"
