"""CIF, POSCAR and pymatgen objects to structures: what is read, what is repaired, what is refused."""

import warnings

import cifs
import numpy as np
import pytest

from xrdmatch.diffraction.cif_salvage import salvage
from xrdmatch.diffraction.elements import element_number, hill_formula, metals
from xrdmatch.diffraction.structure import check_cell, from_pymatgen, load, parse, parse_cif
from xrdmatch.errors import StructureError

ZN_O = ["Zn1 Zn 0 0 0", "O1 O 0.5 0.5 0.25"]


def read(text, name="made.cif"):
    return parse(text if isinstance(text, bytes) else text.encode(), name)


def from_parser(text):
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return from_pymatgen(CifParser.from_str(text, occupancy_tolerance=100).parse_structures(primitive=False)[0])


def same_atoms(one, other):
    """Both hold the same atoms, whatever their order and lattice translation."""

    def sorted_rows(structure):
        place = np.round(structure.fractional % 1.0, 4) % 1.0
        rows = np.column_stack([structure.numbers, place, structure.occupancy])
        return rows[np.lexsort(rows.T[::-1])]

    np.testing.assert_allclose(sorted_rows(one), sorted_rows(other), atol=2e-4)


def test_plain_file():
    structure = read(cifs.cif(ZN_O, (10, 11, 12, 90, 95, 90)), "ABCDEF_clean.cif")
    assert (structure.id, structure.formula, structure.notes) == ("ABCDEF_clean", "O Zn", ())
    np.testing.assert_allclose(structure.cell, [10, 11, 12, 90, 95, 90])
    np.testing.assert_allclose(structure.fractional, [[0, 0, 0], [0.5, 0.5, 0.25]])
    with pytest.raises(ValueError, match="read-only"):
        structure.fractional[0] = 1


@pytest.mark.parametrize(
    ("extra", "note"),
    [
        ("_symmetry_space_group_name_H-M P 1\n", "salvaged"),
        ("_chemical_name_common 'never closed\n", "salvaged"),
        ("_publ_author_name 'D. O'Keeffe' 'someone\n", "salvaged"),
        ("_symmetry_cell_setting triclinic,\n_journal_year 2012, 2013\n", "salvaged"),
        ("loop_\n_citation_id\n_citation_title\nprimary 'A title\n1 2 3\n", "salvaged"),
        ("_cell_volume 1000 A^3\n_cell_formula_units_Z 4 or so\n", "salvaged"),
    ],
    ids=["space in value", "open quote", "quote in quote", "trailing comma", "citation loop", "units"],
)
def test_malformed_files_load_with_a_note(extra, note):
    structure = read(cifs.cif(ZN_O, symmetry="", extra=extra))
    assert structure.formula == "O Zn"
    assert structure.notes[0].startswith(note)
    np.testing.assert_allclose(structure.cell, [10, 10, 10, 90, 90, 90])


def test_salvage_keeps_symmetry_and_joins_wrapped_rows():
    text = cifs.cif(
        ["Zn1 Zn 0.1 0.2", "0.3", "'O 1' O 0.5 0.5 0.5", "C1 C 0.7", "C2 C 0.3 0.4 0.5"],
        symmetry="_symmetry_space_group_name_H-M 'P -1\n" + cifs.symops("x,y,z", "-x, -y, -z"),
    )
    structure = read(text)
    assert "left out 1 malformed rows of the atom list" in structure.notes
    assert structure.formula == "C2 O Zn2"
    assert "# left out: C1 C 0.7" in salvage(text)


def test_salvage_stops_at_the_second_structure_and_reads_a_loop_on_one_line():
    text = cifs.cif(ZN_O, symmetry="_chemical_name_common 'open\n")
    text = text.replace("loop_\n_atom_site_label\n", "loop_ _atom_site_label\n")
    structure = read(text + text.replace("data_made", "data_other").replace("_cell_length_a 10", "_cell_length_a 20"))
    assert structure.formula == "O Zn"
    assert structure.cell[0] == 10


def test_truncated_row_is_left_out_and_said():
    structure = read(cifs.cif([*ZN_O, "C1 C 0.3"]))
    assert structure.formula == "O Zn"
    assert structure.notes[-1] == "left out 1 malformed rows of the atom list"


@pytest.mark.parametrize(
    "operations",
    [("x,y,z", "-x,-y,-z"), ("x,y,z", "-x,1/2+y,1/2-z", "-x,-y,-z", "x,1/2-y,1/2+z"), ("x,y,z", "x+1/2,y+1/2,z", "-x,y,-z", "1/2-x,1/2+y,-z")],
    ids=["P-1", "P21/c", "C2"],
)
def test_symmetry_is_expanded_as_pymatgen_does(operations):
    atoms = ["Zn1 Zn 0 0 0", "O1 O 0.12 0.34 0.21", "C1 C 0 0.27 0"]
    text = cifs.cif(atoms, (11, 9, 13, 90, 101, 90), symmetry=cifs.symops(*operations))
    same_atoms(read(text), from_parser(text))


def test_space_group_without_operations_is_expanded():
    for tag in ("_symmetry_space_group_name_H-M 'F m -3 m'\n", "_space_group_name_Hall '-F 4 2 3'\n"):
        structure = read(cifs.cif(["Zn1 Zn 0 0 0", "O1 O 0.25 0.25 0.25"], symmetry=tag))
        assert (structure.numbers.size, structure.notes) == (12, ())
    structure = read(cifs.cif(["Zn1 Zn 0 0 0"], symmetry="_symmetry_Int_Tables_number 225\n"))
    assert structure.numbers.size == 4
    assert "space group 225" in structure.notes[0]


def test_an_unknown_space_group_is_refused():
    with pytest.raises(StructureError, match="'G m -3 m' is not known, and no symmetry operations are listed"):
        read(cifs.cif(ZN_O, symmetry="_symmetry_space_group_name_H-M 'G m -3 m'\n"))


def test_thirds_written_with_four_digits_stay_one_atom():
    structure = read(cifs.cif(["Zn1 Zn 0.3333 0.6667 0.25"], (9, 9, 12, 90, 90, 120), "_symmetry_space_group_name_H-M 'P 63/m m c'\n"))
    assert structure.numbers.size == 2


def test_standard_uncertainties_and_extra_columns():
    columns = (*cifs.COLUMNS, "U_iso_or_equiv", "B_iso_or_equiv", "occupancy", "charge")
    structure = read(
        cifs.cif(
            ["Zn1 Zn 0.123(4) 0.25(1) 0.5 0.05(1) 3.9 1 1.2", "O1 O .5 0.5 0.5 ? . 0.5(1) -0.6"], ("10.123(4)", *[10] * 2, *[90] * 3), columns=columns
        )
    )
    np.testing.assert_allclose(structure.fractional[0], [0.123, 0.25, 0.5])
    np.testing.assert_allclose(structure.occupancy, [1, 0.5])
    assert structure.cell[0] == pytest.approx(10.123)


def test_disorder_keeps_partial_occupancy():
    columns = (*cifs.COLUMNS, "occupancy", "disorder_group")
    text = cifs.cif(["Zn1 Zn 0 0 0 0.7 .", "Co1 Co 0 0 0 0.3 .", "O1 O 0.5 0.5 0.5 0.5 1", "O2 O 0.52 0.5 0.5 0.5 2"], columns=columns)
    structure = read(text)
    np.testing.assert_allclose(structure.occupancy, [0.7, 0.3, 0.5, 0.5])
    assert structure.formula == "Co0.3 O Zn0.7"
    same_atoms(structure, from_parser(text))


def test_impossible_and_zero_occupancies():
    columns = (*cifs.COLUMNS, "occupancy")
    structure = read(cifs.cif(["Zn1 Zn 0 0 0 1", "O1 O .5 .5 .5 0", "O2 O .2 .2 .2 .", "O3 O .3 .3 .3 1.2", "O4 O .4 .4 .4 -1"], columns=columns))
    assert structure.formula == "O3 Zn"
    assert structure.notes == ("left out 1 atoms of zero occupancy", "took 2 impossible occupancies as 1")
    assert read(cifs.cif(["Zn1 Zn 0 0 0 0"], columns=columns)).occupancy.tolist() == [1]


def test_atoms_listed_twice_count_once():
    structure = read(cifs.cif(["Zn1 Zn 0 0 0", "Zn2 Zn 1 0 -1", "O1 O 0.3 0.3 0.3", "C1 C 0.3 0.3 0.3"]))
    assert structure.formula == "C O Zn"
    assert structure.notes[0] == "left out 1 atoms that are listed twice"
    assert structure.notes[1].startswith("doubtful: 1 pairs of atoms are closer than 0.4 A to each other (C and O)")


def test_atoms_without_coordinates_are_left_out():
    structure = read(cifs.cif([*ZN_O, "O2 O ? ? ?", "O3 O **** 0 0"]))
    assert structure.formula == "O Zn"
    assert structure.notes == ("left out 2 atoms without coordinates",)


@pytest.mark.parametrize(
    ("symbol", "number"),
    [
        ("Zn", 30), ("ZN2+", 30), ("Zn2+", 30), ("'Zn'", 30), ("Cu1A", 29), ("O2-", 8), ("O1w", 8), ("OW", 8), ("Wat", 8), ("OH2", 8), ("NO3", 7),
        ("D", 1), ("H1A", 1), ("U", 92), ("Cf", 98), ("X", 0), ("Q1", 0), ("Du", 0), ("", 0), ("?", 0), ("12", 0),
    ],
)  # fmt: skip
def test_element_symbols(symbol, number):
    assert element_number(symbol) == number


def test_deuterium_charges_labels_and_unknown_symbols():
    structure = read(cifs.cif(["Zn1 Zn2+ 0 0 0", "D1 D .1 .1 .1", "O1 ? .2 .2 .2", "X1 X .3 .3 .3", "Q1 'O2-' .4 .4 .4"]))
    assert sorted(structure.numbers.tolist()) == [1, 8, 8, 30]
    assert structure.notes == ("left out atoms of unknown type: X",)
    no_types = cifs.cif(["Zn1 0 0 0", "O1W 0.5 0.5 0.5"], columns=("label", "fract_x", "fract_y", "fract_z"))
    assert read(no_types).formula == "O Zn"


def test_hill_formula_and_metals():
    assert hill_formula([29, 6, 6, 1, 8], [1] * 5) == "C2 H Cu O"
    assert hill_formula([30, 30, 8, 8], [1, 1, 1, 1]) == "O Zn"
    assert hill_formula([30, 8], [1, 0.25]) == "O0.25 Zn"
    assert metals("C18 H6 Cu3 O12") == ["Cu"]
    assert metals("C8 H10 Co0.5 N4 Zn0.5") == ["Co", "Zn"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"  \n\n", "empty"),
        (b"\0" * 400, "binary"),
        (bytes(range(256)) * 8, "binary"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"just some words\nand 12 numbers\n", "not a readable crystal structure"),
        (b"data_x\n_cell_length_a 10\n", "expected atom coordinates"),
        (cifs.cif(["Zn1 Zn 0 0 0"], (0.1, 10, 10, 90, 90, 90)).encode(), "not a usable unit cell"),
        (cifs.cif(["Zn1 Zn 0 0 0"], (10, 10, 10, 90, 90, 0)).encode(), "unit cell"),
        (cifs.cif(["Zn1 Zn 0 0 0"], (10, 10, 10, 30, 30, 170)).encode(), "the cell has no volume"),
        (cifs.cif(["Zn1 Zn 0 0 0"]).replace("_cell_", "_sell_").encode(), "expected a unit cell"),
        (cifs.cif(["Q1 Q 0 0 0"]).encode(), "expected atoms"),
        (cifs.cif(["Zn1 0 0"], columns=("label", "Cartn_x", "Cartn_y")).encode(), "expected atom coordinates"),
        (cifs.cif(["0 0 0"], columns=("fract_x", "fract_y", "fract_z")).encode(), "expected the elements of the atoms"),
    ],
)
def test_unreadable_files_are_one_clear_error(data, reason):
    with pytest.raises(StructureError, match=reason) as caught:
        parse(data, "folder/broken.cif")
    assert str(caught.value).startswith("folder/broken.cif: ")
    assert "\n" not in str(caught.value)


def test_text_encodings_and_line_ends():
    text = cifs.cif(ZN_O, extra="_publ_author_name 'Müller'\n")
    for data in (
        text.encode("latin-1"),
        text.encode("utf-8-sig"),
        text.encode("utf-16"),
        text.replace("\n", "\r\n").encode(),
        text.replace("\n", "\r").encode(),
    ):
        structure = parse(data, "made.cif")
        assert (structure.formula, structure.notes) == ("O Zn", ())


def test_a_value_given_twice_is_read_where_both_agree_and_refused_where_not():
    text = cifs.cif(ZN_O, ("10.0(1)", *[10] * 2, *[90] * 3))
    again = read(text.replace("_cell_length_b 10", "_cell_length_b 10\n_cell_length_a 10"))
    assert (again.formula, again.cell[0]) == ("O Zn", 10)
    assert again.notes[0].startswith("salvaged")
    with pytest.raises(StructureError, match=r"_cell_length_a is given twice, as 10.0\(1\) and as 20"):
        read(text.replace("_cell_length_b 10", "_cell_length_b 10\n_cell_length_a 20"))


def test_poscar(tmp_path):
    text = "ZnO\n1.0\n5 0 0\n0 6 0\n0 0 7\nZn O\n1 1\nDirect\n0 0 0\n0.5 0.5 0.25\n"
    for name in ("POSCAR", "CONTCAR", "one.vasp", "two.poscar"):
        (tmp_path / name).write_text(text)
        structure = load(tmp_path / name)
        assert (structure.id, structure.formula, structure.cell.round(6).tolist()) == (name.split(".")[0], "O Zn", [5, 6, 7, 90, 90, 90])
    with pytest.raises(StructureError, match=r"bad.vasp: not a readable POSCAR"):
        parse(b"nothing\n", "bad.vasp")


def test_pymatgen_structures():
    from pymatgen.core import Lattice, Structure

    species = [{"Zn2+": 0.5, "Co2+": 0.5}, "O2-", "D", "X"]
    made = Structure(Lattice.cubic(8), species, [[0, 0, 0], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3], [0.7, 0.7, 0.7]])
    structure = from_pymatgen(made, "made")
    assert sorted(structure.numbers.tolist()) == [1, 8, 27, 30]
    assert structure.formula == "H Co0.5 O Zn0.5" or structure.formula == "Co0.5 H O Zn0.5"
    assert structure.notes == ("left out 1 atoms of unknown type",)


def test_missing_file_and_bad_cell(tmp_path):
    with pytest.raises(StructureError, match=r"nothing\.cif: cannot be opened"):
        load(tmp_path / "nothing.cif")
    with pytest.raises(StructureError, match="one: not a usable unit cell"):
        check_cell(np.array([10, 10, np.nan, 90, 90, 90]), "one")
    with pytest.raises(StructureError, match="made: expected a crystal structure, but the file is empty"):
        parse_cif("", "made")
