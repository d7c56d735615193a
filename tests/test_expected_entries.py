"""What a name, a refcode or a structure file stands for where it is expected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xrdmatch.errors import LibraryError, StructureError
from xrdmatch.library.expected_entries import ExpectedLookup, without_metal
from xrdmatch.library.text_column import TextColumn

CIF = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""


@pytest.fixture
def metals(library):
    """MIL-53 of two metals, a named relative in the first one's family, and a framework of two families."""
    names = ["MIL-53(Cr)", "MIL-53(Al)", "MIL-47(V)", "UiO-66", ""]
    return replace(
        library,
        name=TextColumn.of(names),
        family=np.array([0, 1, 0, 2, 3], dtype=np.int32),
        family_name=TextColumn.of(["one", "two", "three", "four"]),
        framework=np.array([0, 1, 2, 3, 3], dtype=np.int32),
        framework_name=TextColumn.of(["a", "b", "c", "d"]),
        composition=np.array([0, 1, 2, 3, 3], dtype=np.int32),
        composition_name=TextColumn.of(["a", "b", "c", "d"]),
    )


@pytest.mark.parametrize("asked", ["MIL-53(Cr)", "mil53cr", "MIL-53(Al)", "MIL-53"])
def test_a_name_stands_for_all_metals_and_for_what_has_the_pattern(metals, asked):
    assert ExpectedLookup(metals).entries(asked).rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize("asked", ["UiO-66", "DDDDDD", "EEEEEE_clean"])
def test_a_name_or_refcode_stands_for_all_forms_of_the_framework(metals, asked):
    assert ExpectedLookup(metals).entries(asked).rows.tolist() == [3, 4]


def test_without_levels_a_family_is_the_framework(library):
    found = ExpectedLookup(library).entries("ZIF-8")
    assert found.rows.tolist() == [1]
    assert (found.called, found.name, found.from_file) == (1, "ZIF-8", False)


@pytest.mark.parametrize("asked", ["UiO-67", "UiO-66x", "ZIF", "53"])
def test_another_name_is_not_guessed(metals, asked):
    with pytest.raises(LibraryError, match="no entry of the library has this name"):
        ExpectedLookup(metals).entries(asked)


@pytest.mark.parametrize(
    ("name", "left"),
    [("MIL-53(Fe)", ("53", "mil")), ("Mg-MOF-74", ("74", "mof")), ("CPO-27-Ni", ("27", "cpo")), ("Cu-BTC", ()), ("UiO-66x", ("66", "uio", "x"))],
)
def test_what_is_left_of_a_name_without_its_metal(name, left):
    assert without_metal(name) == left


def test_a_structure_file_is_a_library_of_its_own(library, tmp_path):
    path = tmp_path / "salt.cif"
    path.write_text(CIF)
    found = ExpectedLookup(library).entries(str(path))
    assert found.from_file
    assert found.name == "salt"
    assert found.library.cell[0, 0] == pytest.approx(5.64)
    with pytest.raises(LibraryError, match="no such structure file"):
        ExpectedLookup(library).entries(str(tmp_path / "gone.cif"))
    path.write_text("data_nothing\n")
    with pytest.raises(StructureError):
        ExpectedLookup(library).entries(str(path))
