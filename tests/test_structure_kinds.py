"""Kinds of structure files that were once read wrongly, each in several spellings: read right, or refused by name.

The files of ../shared/cases are read where they are there; every kind has variants here that need nothing.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import cifs
import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrdmatch.diffraction.plausibility import close_pairs, formula_doubts
from xrdmatch.diffraction.space_groups import by_hall, by_number, by_symbol
from xrdmatch.diffraction.structure import from_pymatgen, iter_sources, load, parse, parse_cif
from xrdmatch.diffraction.structure_files import structures_in
from xrdmatch.errors import StructureError

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases" / "structures"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not part of the project (../shared/cases)")

OCCUPIED = (*cifs.COLUMNS, "occupancy")
LABELS = ("label", "fract_x", "fract_y", "fract_z")
CARTESIAN = ("label", "type_symbol", "Cartn_x", "Cartn_y", "Cartn_z")
CUBE = (10, 10, 10, 90, 90, 90)
RUTILE, TIO2 = (4.594, 4.594, 2.959, 90, 90, 90), ["Ti1 Ti 0 0 0", "O1 O 0.3053 0.3053 0"]
SPINEL = ["Mg1 Mg 0.125 0.125 0.125", "Al1 Al 0.5 0.5 0.5", "O1 O 0.2624 0.2624 0.2624"]


def hm(symbol):
    return f"_symmetry_space_group_name_H-M '{symbol}'\n"


def number(value):
    return f"_symmetry_Int_Tables_number {value}\n"


def stated(formula, units=None):
    return f"_chemical_formula_sum '{formula}'\n" + (f"_cell_formula_units_Z {units}\n" if units else "")


def read(*given, **more):
    return parse_cif(given[0] if len(given) == 1 and isinstance(given[0], str) else cifs.cif(*given, **more), "made")


def amounts(structure):
    """Sum of occupancies by element."""
    symbols = [gemmi.Element(int(one)).name for one in structure.numbers]
    return {symbol: round(float(structure.occupancy[[name == symbol for name in symbols]].sum()), 3) for symbol in sorted(set(symbols))}


def said(structure, text):
    return any(text in note for note in structure.notes)


def same_places(one, other):
    """Both hold the same atoms, whatever their order and lattice translation."""
    np.testing.assert_allclose(one.cell, other.cell, atol=1e-4)
    assert one.numbers.size == other.numbers.size
    for kind in np.unique(one.numbers):
        here, there = one.fractional[one.numbers == kind], other.fractional[other.numbers == kind]
        off = here[:, None] - there[None]
        off -= np.rint(off)
        nearest = np.abs(off).max(axis=2).min(axis=1)
        assert nearest.max() < 2e-3


def by_pymatgen(text):
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return from_pymatgen(CifParser.from_str(text, occupancy_tolerance=100).parse_structures(primitive=False)[0])


# ---- the cases themselves ----


@needs_cases
@pytest.mark.parametrize(
    ("file", "right", "note"),
    [
        ("95-near-mirror-half.cif", {"Br": 1, "O": 2, "Zn": 1}, "kept the images"),
        ("52-icsd-dots.cif", {"F": 3, "K": 1, "Mn": 1}, "read '.' as 0"),
        ("1100910-simple-fractions.cif", {"Bi": 0.8, "Fe": 6, "O": 26, "P": 6}, ""),
        ("61-pauling-mixed.cif", {"O": 4, "Sn": 0.5, "Ti": 1.5}, ""),
        ("60-magnetic.mcif", {"F": 3, "K": 1, "Mn": 1}, ""),
        ("09-unknown-sg-name-known-number.cif", {"O": 4, "Ti": 2}, "number 136"),
        ("24-fd3m-number-only.cif", {"Al": 16, "Mg": 8, "O": 32}, "F d -3 m:2"),
        ("78-P2m-gamma-unique.cif", {"Si": 4}, ""),
        ("40-labels-only-upper.cif", {"C": 4, "H": 4, "N": 2, "O": 2, "Zn": 1}, ""),
        ("50-cartn-only.cif", {"O": 4, "Ti": 2}, "from Cartesian"),
        ("01-ddlm-dots.cif", {"O": 4, "Ti": 2}, ""),
        ("type-symbol-only.cif", {"Cl": 4, "Na": 4}, ""),
        ("MgCO3-rhombohedral.cif", {"C": 2, "Mg": 2, "O": 6}, "origin of R -3 c:R"),
    ],
)
def test_case(file, right, note):
    structure = load(CASES / file)
    assert amounts(structure) == right
    assert said(structure, note) or not note


@needs_cases
def test_the_case_of_two_structures():
    found = [parse(*item[1::-1], item[2]) for item in iter_sources([CASES / "54-global-then-two.cif"])]
    assert [(one.id, amounts(one)["Ti"], one.notes) for one in found] == [
        ("54-global-then-two_A", 2, ()),
        ("54-global-then-two_B", 4, ()),
    ]
    assert said(load(CASES / "54-global-then-two.cif"), "the first of the file's 2 structures")


@needs_cases
def test_the_case_without_elements_is_refused():
    with pytest.raises(StructureError, match="names no elements"):
        load(CASES / "vasp4.vasp")


# ---- a site close to its own image ----


@pytest.mark.parametrize(
    ("row", "cell", "symmetry", "atoms"),
    [
        ("O1 O 0.013 0.5 0.5 0.5", CUBE, hm("P m m m"), 2),
        ("O1 O 0.013(1) 0.5 0.5 0.5(1)", CUBE, hm("P m m m"), 2),
        ("O1 O 0.3 0.012 0.012 0.25", CUBE, hm("P m m m"), 8),
        ("O1 O 0.01 0.01 0.01 0.5", CUBE, hm("P -1"), 2),
        ("O1 O 0.01 0.01 0.01 0.5", CUBE, cifs.symops("x,y,z", "-x,-y,-z"), 2),
        ("O1 O 0.01 0.005 0.3 0.3333", (10, 10, 10, 90, 90, 120), hm("P 3"), 3),
        ("O1 O 0.26 0.5 0.5 0.5", CUBE, cifs.symops("x,y,z", "1/2-x,y,z"), 2),
    ],
)
def test_alternatives_beside_a_symmetry_element_are_all_kept(row, cell, symmetry, atoms):
    structure = read([row], cell, symmetry, OCCUPIED)
    assert structure.numbers.size == atoms
    assert said(structure, "kept the images of 1 partly occupied sites")


@pytest.mark.parametrize(
    ("row", "atoms"),
    [
        ("Zn1 Zn 0.3333 0.6667 0.25 0.5", 2),
        ("Zn1 Zn 0.33 0.67 0.25 0.5", 2),
        ("Zn1 Zn 0.3333 0.6666 0.25 0.1", 2),
        ("Zn1 Zn 1/3 2/3 0.25 0.5", 2),
        ("Zn1 Zn 0.123 0.247 0.25 0.5", 6),
        ("Zn1 Zn 0.00002 0 0.25 0.3", 2),
        ("Zn1 Zn 0.3333 0.6667 0.25 1", 2),
    ],
)
def test_rounding_splits_no_atom(row, atoms):
    structure = read([row], (9, 9, 12, 90, 90, 120), hm("P 63/m m c"), OCCUPIED)
    assert (structure.numbers.size, structure.notes) == (atoms, ())


def test_a_full_atom_beside_a_mirror_is_one_and_said():
    structure = read(["O1 O 0.01 0.5 0.5"], CUBE, hm("P m m m"))
    assert structure.numbers.size == 1
    assert said(structure, "took 1 sites closer than 0.4 A")


@pytest.mark.parametrize(("formula", "bromine"), [("Br Zn", 1.0), ("Br0.5 Zn", 0.5)])
def test_the_sum_formula_decides_whether_images_are_alternatives(formula, bromine):
    rows = ["Zn1 Zn 0 0 0 1", "Br1 Br 0.013 0.5 0.5 0.5"]
    assert amounts(read(rows, CUBE, hm("P m m m") + stated(formula), OCCUPIED))["Br"] == bromine


# ---- coordinates ----


@pytest.mark.parametrize("place", [". . .", "'.' . .", "-. . +.", "0. .0 .", "0 0/4 0"])
def test_dots_are_zero(place):
    structure = read(["K1 K .5 .5 .5", f"Mn1 Mn {place}", "F1 F .5 . ."], (4.187, 4.187, 4.187, 90, 90, 90), hm("P m -3 m"))
    assert amounts(structure) == {"F": 3, "K": 1, "Mn": 1}


def test_dummies_and_unknown_places_are_no_atoms():
    structure = read(["Zn1 Zn 0 0 0 d", "X1 C . . . dum", "O1 O ? ? ? d"], columns=(*cifs.COLUMNS, "calc_flag"))
    assert amounts(structure) == {"Zn": 1}
    assert structure.notes == ("left out 2 atoms without coordinates",)


@pytest.mark.parametrize(
    ("written", "value"), [("1/4", 0.25), ("-1/4", -0.25), ("'2/3'", 2 / 3), ("'1 / 3'", 1 / 3), ("3/4(1)", 0.75), ("'0,25'", 0.25), ("+.25", 0.25)]
)
def test_fractions(written, value):
    structure = read([f"Zn1 Zn {written} 0.1 1/2"])
    np.testing.assert_allclose(structure.fractional, [[value, 0.1, 0.5]])


def test_cartesian_coordinates():
    cell = (5, 6, 7, 80, 95, 100)
    box = gemmi.UnitCell(*cell)
    places = np.array([[0.1, 0.2, 0.3], [0.7, 0.4, 0.9]])
    moved = [box.orthogonalize(gemmi.Fractional(*place)).tolist() for place in places]
    rows = [f"Zn{i} Zn {x:.5f} {y:.5f} {z:.5f}" for i, (x, y, z) in enumerate(moved)]
    structure = read(rows, cell, columns=CARTESIAN)
    np.testing.assert_allclose(structure.fractional, places, atol=1e-5)
    assert said(structure, "assuming a along x")
    # Along z, x, y: the file's own matrix says so.
    turned = [f"Zn{i} Zn {y:.5f} {z:.5f} {x:.5f}" for i, (x, y, z) in enumerate(moved)]
    to_cartesian = np.array(box.orth.mat.tolist())[[1, 2, 0]]
    for name, matrix in (("Cartn", to_cartesian), ("fract", np.linalg.inv(to_cartesian))):
        lines = "".join(f"_atom_sites_{name}_tran_matrix_{i + 1}{j + 1} {matrix[i, j]:.8f}\n" for i in range(3) for j in range(3))
        own = read(turned, cell, hm("P 1") + lines, CARTESIAN)
        np.testing.assert_allclose(own.fractional, places, atol=1e-5)
        assert said(own, "by the matrix in the file")


def test_cartesian_coordinates_stand_in_where_fractions_are_unknown():
    rows = ["Zn1 Zn ? ? ? 1 2 3", "O1 O 0.5 0.5 0.5 9 9 9"]
    structure = read(rows, columns=(*cifs.COLUMNS, "Cartn_x", "Cartn_y", "Cartn_z"))
    np.testing.assert_allclose(structure.fractional, [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])


# ---- sites shared by several elements ----


@pytest.mark.parametrize(
    "symbol",
    [
        "0.75Si + 0.25Al", "0.75Si+0.25Al", "0.75 Si 0.25 Al", "Si0.75Al0.25", "Si0.75 Al0.25", "(Si0.75Al0.25)", "Si 0.75 Al 0.25", "75%Si 25%Al",
        "0.75Si4+ + 0.25Al3+", "0.75Si4++0.25Al3+", "0.75(1)Si + 0.25(1)Al", "0.75Si, 0.25Al", "Si0.75/Al0.25", "Si.75Al.25", "0.75*Si + 0.25*Al",
    ],
)  # fmt: skip
def test_mixed_type_symbols(symbol):
    structure = read([f"M1 '{symbol}' 0 0 0", "O1 O .5 .5 .5"])
    assert (amounts(structure), structure.notes) == ({"Al": 0.25, "O": 1, "Si": 0.75}, ())


@pytest.mark.parametrize(("symbol", "iron"), [("0.9Fe", 0.9), ("Fe0.9", 0.9), ("0.9Fe + 0.1□", 0.9), ("0.9Fe+0.1Vac", 0.9), ("Fe3+", 1), ("Fe+3", 1)])
def test_part_of_a_site(symbol, iron):
    assert amounts(read([f"M1 '{symbol}' 0 0 0"])) == {"Fe": iron}


@pytest.mark.parametrize(("occupancy", "iron"), [("1", 0.6), ("0.5", 0.3), ("?", 0.6)])
def test_shares_are_of_the_occupancy(occupancy, iron):
    assert amounts(read([f"M1 '0.6Fe+0.4Mg' 0 0 0 {occupancy}"], columns=OCCUPIED))["Fe"] == iron
    assert amounts(read(["M1 '0.3Fe+0.2Mg' 0 0 0 0.5"], columns=OCCUPIED)) == {"Fe": 0.3, "Mg": 0.2}


@pytest.mark.parametrize("symbol", ["Si/Al", "(Si,Al)", "Si:Al"])
def test_equal_shares_are_doubted(symbol):
    structure = read([f"M1 {symbol} 0 0 0"])
    assert amounts(structure) == {"Al": 0.5, "Si": 0.5}
    assert said(structure, "doubtful: assumed equal shares")


@pytest.mark.parametrize("symbol", ["Al/Si 0.25/0.75", "0.5Zz + 0.5Al", "0.9Si+0.9Al"])
def test_a_mixture_that_nobody_understands_is_refused(symbol):
    with pytest.raises(StructureError, match=r"made: expected elements with their shares"):
        read([f"M1 '{symbol}' 0 0 0", "O1 O .5 .5 .5"])


# ---- what the labels are ----


@pytest.mark.parametrize(
    ("labels", "formula", "right"),
    [
        (["ZN1", "HO1", "O1"], "H O Zn", {"H": 1, "O": 1, "Zn": 1}),
        (["HO1", "O1"], "Ho O", {"Ho": 1, "O": 1}),
        (["CO1", "CO2", "C1"], "C Co2", {"C": 1, "Co": 2}),
        (["CO1", "CO2", "C1", "O1", "O2", "O3"], "C O", {"C": 3, "O": 3}),
        (["Ho1", "O1"], "H O", {"H": 1, "O": 1}),
        (["NA", "NB", "NA1"], "N3", {"N": 3}),
        (["CA1", "CB1", "Zn1", "OW1"], "", {"C": 2, "O": 1, "Zn": 1}),
    ],
)
def test_labels_are_checked_against_the_sum_formula(labels, formula, right):
    rows = [f"{label} {0.1 * i:.1f} 0 0" for i, label in enumerate(labels)]
    structure = read(rows, symmetry=hm("P 1") + (stated(formula) if formula else ""), columns=LABELS)
    assert (amounts(structure), structure.notes) == (right, ())


def test_labels_that_nothing_decides_are_doubted():
    structure = read(["HO1 0 0 0", "O1 .5 .5 .5"], columns=LABELS)
    assert structure.notes == ("doubtful: read HO1 as Ho: the file gives neither element types nor a sum formula",)


def test_type_symbols_need_no_labels():
    structure = read(["Na 0 0 0", "Cl 0.5 0.5 0.5"], (5.64, 5.64, 5.64, 90, 90, 90), hm("F m -3 m"), cifs.COLUMNS[1:])
    assert amounts(structure) == {"Cl": 4, "Na": 4}


# ---- tags ----


def test_dotted_names_are_the_same():
    text = cifs.cif(TIO2, RUTILE, cifs.symops("x,y,z", "-x,-y,z", "1/2-y,1/2+x,1/2+z", "1/2+y,1/2-x,1/2+z") + stated("O2 Ti", 2))
    for old, new in (
        ("_cell_length", "_cell.length"),
        ("_cell_angle", "_cell.angle"),
        ("_atom_site_", "_atom_site."),
        ("_formula_sum", "_formula.sum"),
    ):
        text = text.replace(old, new)
    text = text.replace("_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz").replace("_cell_formula", "_cell.formula")
    structure = read(text.replace("_chemical_formula.sum", "_chemical_formula.sum"))
    assert (amounts(structure), structure.notes) == ({"O": 4, "Ti": 2}, ())
    wrong = read(text.replace("'O2 Ti'", "'O3 Ti'"))
    assert said(wrong, "the file's sum formula is O3 Ti")


@pytest.mark.parametrize(
    "tag", ["_space_group.name_H-M_alt", "_space_group_name_H-M", "_symmetry.space_group_name_H-M", "_space_group.name_H-M_full"]
)
def test_tags_of_the_space_group(tag):
    assert amounts(read(TIO2, RUTILE, f"{tag} 'P 42/m n m'\n")) == {"O": 4, "Ti": 2}


# ---- magnetic and modulated structures ----


def loop(tag, *operations):
    return f"loop_\n{tag}\n" + "".join(f"'{operation}'\n" for operation in operations)


@pytest.mark.parametrize(
    ("symmetry", "atoms"),
    [
        (loop("_space_group_symop_magn_operation.xyz", "x,y,z,+1", "-x,-y,-z,-1"), 2),
        (loop("_space_group_symop_magn_operation_xyz", "x, y, z, 1", "-x, -y, -z, -1"), 2),
        (loop("_space_group_symop.magn_operation_xyz", "x,y,z,mx,my,mz", "-x,-y,-z,-mx,-my,-mz"), 2),
        ("loop_\n_space_group_symop.magn_id\n_space_group_symop.magn_operation_xyz\n_space_group_symop.magn_operation_mxmymz\n"
         "1 x,y,z mx,my,mz\n2 -x,-y,-z mx,my,mz\n", 2),
        (loop("_space_group_symop_magn_operation.xyz", "x,y,z,+1", "-x,-y,-z,-1")
         + loop("_space_group_symop_magn_centering.xyz", "x,y,z,+1", "x+1/2,y+1/2,z+1/2,-1"), 4),
        (loop("_space_group_symop.magn_operation_xyz", "x,y,z,+1") + loop("_space_group_symop.magn_centering_xyz", "x+1/2,y,z,-1"), 2),
    ],
)  # fmt: skip
def test_magnetic_operations(symmetry, atoms):
    structure = read(["O1 O .1 .2 .3"], CUBE, symmetry)
    assert (structure.numbers.size, structure.notes) == (atoms, ())


@pytest.mark.parametrize(
    ("symmetry", "reason"),
    [
        ("_space_group_magn.name_BNS \"P4/mm'm'\"\n", "operations of the magnetic space group"),
        ("_space_group_magn.number_BNS 123.345\n", "operations of the magnetic space group"),
        (loop("_space_group_symop_ssg_operation_algebraic", "x1,x2,x3,x4"), "modulated"),
        (cifs.symops("x,y,z", "x,y"), "expected a symmetry operation"),
        (cifs.symops("x,y,z", "x,x,z"), "changes volumes"),
        (number(231), "number 231 is not known"),
        (hm("P rubbish"), "'P rubbish' is not known"),
        ("_space_group_name_Hall 'rubbish'\n", "Hall symbol 'rubbish' is not known"),
    ],
)
def test_symmetry_that_cannot_be_made_out_is_refused(symmetry, reason):
    with pytest.raises(StructureError, match=reason) as caught:
        read(["O1 O .1 .2 .3"], CUBE, symmetry)
    assert "\n" not in str(caught.value)
    # The same in a file that has to be salvaged.
    with pytest.raises(StructureError, match=reason):
        read(["O1 O .1 .2 .3"], CUBE, symmetry + "_publ_author_name 'never closed\n")


def test_operations_in_every_spelling():
    given = ("-x,y+1/2,-z", "-X, 0.5+Y, -Z", "-x,y+.5,-z", "-x , 1/2 + y , -z", "-x,+y+0.5,-z")
    places = [read(["O1 O .1 .2 .3"], CUBE, cifs.symops("x,y,z", one)).fractional for one in given]
    for one in places:
        np.testing.assert_allclose(one, [[0.1, 0.2, 0.3], [-0.1, 0.7, -0.3]])
    assert read(["O1 O .1 .2 .3"], CUBE, cifs.symops("-x,-y,-z")).numbers.size == 2  # the identity goes without saying


def test_operations_that_are_no_group_or_not_the_named_one_are_doubted():
    structure = read(["O1 O .1 .2 .3"], CUBE, cifs.symops("x,y,z", "y,z,x"))
    assert said(structure, "do not form a group")
    named = read(["O1 O .1 .2 .3"], CUBE, hm("F m -3 m") + cifs.symops("x,y,z", "-x,-y,-z"))
    assert said(named, "2 symmetry operations are listed, but 'F m -3 m' has 192")
    assert said(read(["O1 O .1 .2 .3"], (10, 11, 12, 90, 90, 90), cifs.symops("x,y,z", "y,x,-z")), "the cell does not have the symmetry")


# ---- space groups ----


@pytest.mark.parametrize(
    ("symbol", "number", "setting"),
    [
        ("P4(2)/mnm", 136, "P 42/m n m"), ("P 4_2/m n m", 136, "P 42/m n m"), ("P4~2~/mnm", 136, "P 42/m n m"),
        ("P4<sub>2</sub>/mnm", 136, "P 42/m n m"),
        ("P 42/m 21/n 2/m", 136, "P 42/m n m"), ("P 63/m 2/m 2/c", 194, "P 63/m m c"), ("P63/m2/m2/c", 194, "P 63/m m c"),
        ("F 4/m -3 2/m", 225, "F m -3 m"),
        ("P 21/n 21/m 21/a", 62, "P n m a"), ("P2(1)2(1)2(1)", 19, "P 21 21 21"), ("Fm3m", 225, "F m -3 m"), ("FM-3M", 225, "F m -3 m"),
        ("F m \\bar{3} m", 225, "F m -3 m"), ("Fm3\u0304m", 225, "F m -3 m"), ("I a 3 d", 230, "I a -3 d"), ("P a 3", 205, "P a -3"),
        ("C m c e", 64, "C m c a"),
        ("F d -3 m Z", 227, "F d -3 m:2"), ("F d -3 m S", 227, "F d -3 m:1"), ("F d -3 m (origin 1)", 227, "F d -3 m:1"),
        ("Fd-3m:2", 227, "F d -3 m:2"),
        ("R -3 m H", 166, "R -3 m:H"), ("R -3 m HR", 166, "R -3 m:H"), ("R -3 m :R", 166, "R -3 m:R"),
        ("R -3 c (rhombohedral axes)", 167, "R -3 c:R"),
        ("p 21/c", 14, "P 1 21/c 1"), ("P 1 21/c 1", 14, "P 1 21/c 1"), ("P2(1)/c", 14, "P 1 21/c 1"), ("P 21/b", 14, "P 1 1 21/b"),
        ("B 2/b", 15, "B 1 1 2/b"),
    ],
)  # fmt: skip
def test_spellings_of_space_groups(symbol, number, setting):
    found = by_symbol(symbol)
    assert (found[0].number, found[0].name) == (number, setting)


def test_every_setting_is_known_by_its_name_and_has_the_operations_of_gemmi():
    for group in gemmi.spacegroup_table():
        if ")" in group.hm:  # two alternative origins of primitive settings, without a name that anybody writes
            continue
        found = by_symbol(group.xhm())
        assert [one.name for one in found] == [group.xhm()]
        assert len(found[0]) == len(list(group.operations()))
        np.testing.assert_array_equal(found[0].rotations[0], np.eye(3))
    assert by_hall("-P 2ybc").number == 14
    assert {one.number for one in by_number(48)} == {48}


@pytest.mark.parametrize(
    ("symbol", "cell", "unique"),
    [
        ("P 2/m", (5, 6, 7, 90, 90, 100), 2), ("P 2/m", (5, 6, 7, 90, 100, 90), 1), ("P 2/m", (5, 6, 7, 100, 90, 90), 0),
        ("P2/m", (5, 6, 7, 90, 90, 90.4), 2),
        ("P 2/m", (5, 6, 7, 90, 90, 90), 1), ("P 1 1 2/m", (5, 6, 7, 90, 90, 90), 2), ("P 2/m 1 1", (5, 6, 7, 95, 90, 90), 0),
        ("P 1 2/m 1", (5, 6, 7, 90, 90, 100), 2),
    ],
)  # fmt: skip
def test_the_unique_axis_is_that_of_the_cell(symbol, cell, unique):
    structure = read(["Si1 Si 0.1 0.2 0.3"], cell, hm(symbol))
    rows = {tuple(np.round(row % 1.0, 3)) for row in structure.fractional}
    mirrored = np.array([0.1, 0.2, 0.3])
    mirrored[unique] = 1.0 - mirrored[unique]
    assert len(rows) == 4
    assert tuple(np.round(mirrored, 3)) in rows
    as_number = read(["Si1 Si 0.1 0.2 0.3"], cell, number(10))
    if symbol != "P 1 1 2/m":
        same_places(structure, as_number)
    assert said(as_number, "took space group 10")


@pytest.mark.parametrize(
    ("symbol", "cell"),
    [
        ("P 21/c", (5, 6, 7, 90, 90, 100)), ("P 4/m", (5, 6, 7, 90, 90, 90)), ("P 6/m", (5, 5, 7, 90, 90, 90)),
        ("F m -3 m", (5, 5, 5, 60, 60, 60)),
        ("P m m m", (5, 6, 7, 90, 100, 90)), ("P -3", (3, 3, 4.7, 90, 90, 90)),
    ],
)  # fmt: skip
def test_a_cell_that_a_space_group_cannot_have_is_refused(symbol, cell):
    with pytest.raises(StructureError, match="does not fit space group"):
        read(["Si1 Si 0.1 0.2 0.3"], cell, hm(symbol))
    nearly = read(["Si1 Si 0.1 0.2 0.3"], (5, 5.08, 7, 90, 90, 90), hm("P 4/m"))
    assert said(nearly, "doubtful: the cell does not quite have the symmetry")


@pytest.mark.parametrize(
    "symmetry", [hm("R -3 c"), hm("R-3c"), number(167), hm("R -3 c :R"), hm("R -3 c R"), hm("R -3 c :H"), "_space_group.IT_number 167\n"]
)
def test_rhombohedral_groups_follow_the_cell(symmetry):
    # Calcite in its two cells: 2 and 6 formula units.
    rhombohedral = read(["Ca1 Ca 0 0 0", "C1 C 1/4 1/4 1/4", "O1 O 0.5072 -0.0072 0.25"], (6.375, 6.375, 6.375, 46.08, 46.08, 46.08), symmetry)
    assert amounts(rhombohedral) == {"C": 2, "Ca": 2, "O": 6}
    if "R" not in symmetry[31:-2].rpartition(" ")[2]:
        hexagonal = read(["Ca1 Ca 0 0 0", "C1 C 0 0 0.25", "O1 O 0.2572 0 0.25"], (4.99, 4.99, 17.06, 90, 90, 120), symmetry)
        assert amounts(hexagonal) == {"C": 6, "Ca": 6, "O": 18}


@pytest.mark.parametrize("shift", ["0 0 0", "0.25 0.25 0.25"])
def test_an_old_origin_is_found_by_the_sum_formula(shift):
    moved = float(shift.split()[0])
    rows = [
        f"Mg1 Mg {0.25 + moved} {0.25 + moved} {0.25 + moved}",
        f"C1 C {moved} {moved} {moved}",
        f"O1 O {0.2394 + moved} {moved - 0.2394} {moved}",
    ]
    structure = read(rows, (5.87, 5.87, 5.87, 47.36, 47.36, 47.36), hm("R -3 c") + stated("C Mg O3"))
    assert amounts(structure) == {"C": 2, "Mg": 2, "O": 6}
    pairs, distances = close_pairs(structure.cell, structure.fractional, 1.6)
    assert len(pairs) == 6  # three C-O bonds each
    np.testing.assert_allclose(distances, 1.12, atol=0.2)
    assert said(structure, "the atoms fit the sum formula only with the origin") == (moved == 0)


@pytest.mark.parametrize("symmetry", [number(227), hm("F d -3 m"), hm("Fd3m"), number(227) + hm("rubbish")])
def test_two_origins(symmetry):
    structure = read(SPINEL, (8.08, 8.08, 8.08, 90, 90, 90), symmetry)
    assert amounts(structure) == {"Al": 16, "Mg": 8, "O": 32}
    assert said(structure, "took F d -3 m:2")
    # The same atoms about the other origin, which the sum formula tells.
    other = ["Mg1 Mg 0 0 0", "Al1 Al 0.625 0.625 0.625", "O1 O 0.3874 0.3874 0.3874"]
    first = read(other, (8.08, 8.08, 8.08, 90, 90, 90), symmetry + stated("Al2 Mg O4", 8))
    assert amounts(first) == {"Al": 16, "Mg": 8, "O": 32}
    assert said(first, "took F d -3 m:1, which fits the sum formula")
    assert said(read(SPINEL, (8.08, 8.08, 8.08, 90, 90, 90), hm("F d -3 m:2")), "") is False


def test_all_groups_with_two_origins_say_which_was_taken():
    both = sorted({group.number for group in gemmi.spacegroup_table() if group.ext == "2"})
    assert len(both) == 24
    for one in both:
        cell = CUBE if one > 194 else (10, 10, 12, 90, 90, 90) if one > 74 else (10, 11, 12, 90, 90, 90)
        structure = read(["Zn1 Zn 0.11 0.23 0.37"], cell, number(one))
        assert said(structure, "has several settings: took")


def test_a_code_of_the_setting_is_followed():
    for code, atoms in (("1", 8), ("2", 16)):
        given = f"_space_group.IT_number 227\n_space_group.IT_coordinate_system_code {code}\n"
        assert read(["C1 C 0 0 0"], (3.57, 3.57, 3.57, 90, 90, 90), given).numbers.size == atoms


def test_a_number_that_is_not_the_symbols_is_doubted():
    assert said(read(TIO2, RUTILE, hm("P 42/m n m") + number(137)), "has number 136, but the file says 137")


def test_no_symmetry_is_said():
    assert read(["O1 O .1 .2 .3"], CUBE, "").notes == ("took P 1, since the file gives no symmetry",)


@pytest.mark.parametrize(
    ("symbol", "cell"),
    [
        ("P 21/c", (11, 9, 13, 90, 101, 90)), ("C 2/c", (11, 9, 13, 90, 101, 90)), ("P n m a", (8, 9, 10, 90, 90, 90)),
        ("I 41/a m d:2", (8, 8, 10, 90, 90, 90)),
        ("R -3 m:H", (8, 8, 20, 90, 90, 120)), ("R -3 m:R", (8, 8, 8, 70, 70, 70)), ("P 63/m m c", (8, 8, 12, 90, 90, 120)),
        ("F d -3 m:2", (9, 9, 9, 90, 90, 90)),
        ("F d -3 m:1", (9, 9, 9, 90, 90, 90)), ("I -4 3 d", (9, 9, 9, 90, 90, 90)), ("P 1 1 21/b", (8, 9, 10, 90, 90, 105)),
    ],
)  # fmt: skip
def test_expansion_is_that_of_gemmi_and_pymatgen(symbol, cell):
    rows = ["Zn1 Zn 0 0 0", "Cu1 Cu 0.5 0.5 0.5", "O1 O 0.39 0.497 0.18", "C1 C 0 0 0.21", "N1 N 0.3 0.3 0.3"]
    text = cifs.cif(rows, cell, hm(symbol))
    structure = read(text)
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    assert structure.numbers.size == len(small.get_all_unit_cell_sites())
    operations = [op.triplet() for op in gemmi.find_spacegroup_by_name(symbol).operations()]
    same_places(structure, by_pymatgen(cifs.cif(rows, cell, cifs.symops(*operations))))


# ---- several structures in one file ----


def test_several_structures_become_several():
    one, other = cifs.cif(TIO2, RUTILE, hm("P 42/m n m")), cifs.cif(["Na1 Na 0 0 0"], CUBE)
    both = "data_global\n_publ_section_title\n;\ndata_of nothing\n;\n" + one.replace("data_made", "data_I") + other.replace("data_made", "data_II a")
    assert [name for name, _ in structures_in("two.cif", both.encode())] == ["two_I.cif", "two_II.cif"]
    found = [parse(data, name) for name, data in structures_in("two.cif", both.encode())]
    assert [(structure.id, structure.formula) for structure in found] == [("two_I", "O2 Ti"), ("two_II", "Na")]
    same = (one + other).encode()
    assert [name for name, _ in structures_in("two.cif", same)] == ["two_made1.cif", "two_made2.cif"]
    for alone in (one, "data_global\n_publ_section_title x\n" + one, one + "data_extra\n_publ_section_title x\n", ""):
        assert structures_in("one.cif", alone.encode()) == [("one.cif", alone.encode())]
    for line_end in ("\r\n", "\r"):
        assert len(structures_in("two.cif", both.replace("\n", line_end).encode())) == 2


def test_two_structures_in_one_block_are_refused():
    second = "_cell_length_a 20\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nNa1 0 0 0\n"
    with pytest.raises(StructureError, match="given twice"):
        read(cifs.cif(TIO2, RUTILE) + second)
    with pytest.raises(StructureError, match="duplicate tag"):
        read(cifs.cif(TIO2, RUTILE) + second.partition("\n")[2])


# ---- what speaks against a structure ----


def test_a_lost_atom_is_told():
    salt = ["Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5"]
    cell = (5.64, 5.64, 5.64, 90, 90, 90)
    assert read(salt, cell, hm("F m -3 m") + stated("Cl Na", 4)).notes == ()
    assert said(read(salt, cell, hm("P m -3 m") + stated("Cl Na", 4)), "1 formula units of Cl Na per cell, but the file says 4")
    assert said(read(salt[:1], cell, hm("F m -3 m") + stated("Cl Na", 4)), "the atoms read are Na, but the file's sum formula is Cl Na")
    assert read(salt, cell, hm("F m -3 m") + stated("Na4 Cl4", 4)).notes == ()  # as pymatgen writes it
    assert read(salt, cell, hm("F m -3 m") + stated("NaCl")).notes == ()
    assert read(salt, cell, hm("F m -3 m") + stated("Na Cl (s)")).notes == ()  # not a sum formula: nothing to compare with


@pytest.mark.parametrize(
    ("atoms", "formula", "doubted"),
    [
        ({"C": 18, "H": 6, "Cu": 3, "O": 12}, {"C": 18, "H": 12, "Cu": 3, "O": 15}, False),  # three waters lost
        ({"C": 8, "N": 4, "Zn": 1}, {"C": 8, "H": 10, "N": 4, "Zn": 1}, False),  # no hydrogen
        ({"C": 8, "H": 4, "O": 4, "Zn": 1}, {"C": 11, "H": 11, "N": 1, "O": 5, "Zn": 1}, False),  # one DMF
        ({"C": 8, "H": 4, "O": 4, "Zn": 1}, {"C": 9, "H": 5, "Cl": 3, "O": 4, "Zn": 1}, False),  # chloroform
        ({"C": 8, "H": 4, "O": 4, "Zn": 1}, {"C": 8, "H": 4, "Cl": 2, "O": 4, "Zn": 1}, True),  # chloride lost
        ({"C": 8, "H": 8, "Cu": 1, "N": 4}, {"C": 8, "F": 6, "H": 8, "Cu": 1, "N": 4, "Si": 1}, True),  # the pillars of SIFSIX-3
        ({"C": 1, "Mg": 1, "O": 6}, {"C": 1, "Mg": 1, "O": 3}, True),
        ({"C": 4, "Zn": 1, "N": 2}, {"C": 4, "Co": 1, "Zn": 1, "N": 2}, True),
        ({"Zn": 1}, {"C": 4, "Zn": 1}, True),
        ({"Si": 1}, {"Cu": 1}, True),
    ],
)
def test_what_is_told_of_a_composition(atoms, formula, doubted):
    assert bool(formula_doubts(atoms, formula, None)) == doubted


def test_atoms_in_one_place_are_told():
    assert said(read(["Na1 Na 0 0 0", "Cl1 Cl .01 0 0"]), "1 pairs of atoms are closer than 0.4 A to each other (Cl and Na)")
    assert said(read(["Na1 Na 0 0 0.9999", "Cl1 Cl 0 0 0.01"]), "1 pairs of atoms")
    for rows in (["Na1 Na 0 0 0 .5", "Cl1 Cl .01 0 0 .5"], ["Na1 Na 0 0 0 1", "Cl1 Cl .05 0 0 1"], ["O1 O 0 0 0 1", "H1 H 0.03 0 0 1"]):
        assert read(rows, columns=OCCUPIED).notes == ()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 40), st.floats(0.2, 1.5))
def test_close_pairs_are_those_of_all_pairs(seed, count, limit):
    rng = np.random.default_rng(seed)
    cell = np.array([*rng.uniform(4, 12, 3), *rng.uniform(70, 110, 3)])
    places = rng.uniform(-2, 2, (count, 3))
    off = places[:, None] - places[None]
    off -= np.rint(off)
    distances = np.linalg.norm(off @ np.array(gemmi.UnitCell(*cell).orth.mat.tolist()).T, axis=2)
    expected = sorted(zip(*np.nonzero(np.triu(distances < limit, 1)), strict=True))
    pairs, apart = close_pairs(cell, places, limit)
    assert sorted(map(tuple, np.sort(pairs, axis=1).tolist())) == [(int(i), int(j)) for i, j in expected]
    np.testing.assert_allclose(sorted(apart), sorted(distances[i, j] for i, j in expected), atol=1e-9)


# ---- POSCAR ----

PLACES = ("0 0 0", "0.5 0.5 0.5", "0.3 0.3 0", "0.7 0.7 0", "0.2 0.8 0.5", "0.8 0.2 0.5")
POSCAR = "{comment}\n{scale}\n4.594 0 0\n0.3 4.5 0\n0 0.2 2.959\n{elements}2 4\n{mode}\n"


def poscar(comment="x", scale="1.0", elements="Ti O\n", mode="Direct", behind=("",) * 6):
    rows = [f"{place} {word}\n" for place, word in zip(PLACES, behind, strict=True)]
    return POSCAR.format(comment=comment, scale=scale, elements=elements, mode=mode) + "".join(rows)


@pytest.mark.parametrize("scale", ["1.0", "1.02", "-70.0"])
@pytest.mark.parametrize("mode", ["Direct", "Cartesian", "Selective dynamics\nDirect", "kartesisch"])
def test_poscar_is_read_as_pymatgen_does(scale, mode):
    from pymatgen.io.vasp import Poscar

    text = poscar(scale=scale, mode=mode)
    if mode.startswith("Selective"):
        text = "\n".join(f"{line} T T F" if i > 8 else line for i, line in enumerate(text.splitlines())) + "\n"
    structure = parse(text.encode(), "one.vasp")
    if scale == "-70.0" and mode[0] in "Ck":  # where pymatgen multiplies by the volume, not by the factor that VASP makes of it
        assert gemmi.UnitCell(*structure.cell).volume == pytest.approx(70.0)
        factor = structure.cell[0] / 4.594
        text = poscar(scale=f"{factor:.10f}", mode=mode)
    same_places(structure, from_pymatgen(Poscar.from_str(text).structure))


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"comment": "Ti O", "elements": ""}, "from the comment"),
        ({"comment": "Ti2 O4", "elements": ""}, "from the comment"),
        ({"elements": "", "behind": ("Ti", "Ti", "O", "O", "O", "O")}, "after the coordinates"),
        ({"elements": "Ti_sv O\n"}, ""),
        ({"elements": "Ti/7f2a O/11ab\n"}, ""),
        ({"elements": "TI O\n"}, ""),
    ],
)
def test_elements_of_a_poscar(given, note):
    structure = parse(poscar(**given).encode(), "POSCAR")
    assert structure.formula == "O2 Ti"
    assert said(structure, note) if note else structure.notes == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (poscar(comment="my cell", elements=""), "names no elements"),
        (poscar(comment="TiO2", elements=""), "names no elements"),
        (poscar(comment="Ti O N", elements=""), "names no elements"),
        (poscar(comment="Ti4 O2", elements=""), "names no elements"),
        (poscar(elements="Ti\n"), "one element for each of 2 counts"),
        (poscar(elements="Ti Q\n"), "one element for each of 2 counts"),
        (poscar(elements="Ti O\n").replace("2 4", "2 5"), "expected 7 atoms, found 6"),
        (poscar(elements="Ti O\n").replace("2 4", "2 x"), "the number of atoms of each element"),
        (poscar(scale="a"), "expected a scale"),
        (poscar().replace("Direct\n", ""), "expected Direct or Cartesian"),
        (poscar().replace("0.3 4.5 0", "0.3 4.5"), "a lattice vector"),
        (poscar().replace("0 0.2 2.959", "0.3 4.5 0"), "do not give a possible cell volume"),
        (poscar(scale="0"), "do not give a possible cell volume"),
        (poscar(scale="1e200"), "do not give a possible cell volume"),
        (poscar().replace("0.7 0.7 0", "0.7 nan 0"), "expected coordinates"),
        ("nothing\n", "expected a comment"),
    ],
)
def test_a_poscar_that_cannot_be_read_is_one_clear_error(text, reason):
    with pytest.raises(StructureError, match=reason) as caught:
        parse(text.encode(), "one.vasp")
    assert str(caught.value).startswith("one.vasp: ")
    assert "\n" not in str(caught.value)


# ---- whatever is in a file ----

PIECES = ["", " ", "\n", ".", "?", "'", "9", "-", "/", "x", ";", "loop_\n", "\0", "é", "1e9"]
SEEDS = [
    cifs.cif(TIO2, RUTILE, hm("P 42/m n m") + stated("O2 Ti", 2)),
    cifs.cif(["M1 '0.75Si + 0.25Al' 1/4 . 0.5 1"], CUBE, cifs.symops("x,y,z", "-x,y,-z+1/2"), OCCUPIED),
    cifs.cif(["HO1 0 0 0"], columns=LABELS),
    cifs.cif(["O1 O 1 2 3"], CUBE, number(227), CARTESIAN),
    poscar(),
    poscar(comment="Ti O", elements=""),
]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False), st.integers(1, 6))
def test_damaged_files_are_read_or_refused(text, random, changes):
    damaged = list(text)
    for _ in range(changes):
        place = random.randrange(len(damaged))
        damaged[place : place + random.choice((0, 1, 1, 5, 40))] = random.choice(
            ["", " ", "\n", ".", "?", "'", "9", "-", "/", "x", ";", "loop_\n", "\0", "é", "1e9"]
        )
    name = "made.cif" if text.startswith("data_") else "POSCAR"
    try:
        structure = parse("".join(damaged).encode(), name)
    except StructureError as error:
        reason = str(error)
    else:
        reason = ""
        assert structure.numbers.size > 0
        assert (structure.occupancy > 0).all()
    assert "\n" not in reason
