"""Formulas as people type them."""

import pytest

from xrdmatch.library.formula_search import may_hold, typed_formula, with_formula
from xrdmatch.library.text_column import TextColumn

FORMULAS = TextColumn.of(["C24 H12 O13 Zn4", "C6 H2 Cu O4", "C6 Cu O4", "C8 H10 N4 Zn", "C24 H14 O16 Zr3", "C4 H3 Al O5", "C8 H4 O4", "C0.5 Zn", ""])


@pytest.mark.parametrize(
    ("typed", "atoms"),
    [
        ("C24 H12 O13 Zn4", {"C": 24, "H": 12, "O": 13, "Zn": 4}),
        ("Zn4O(C8H4O4)3", {"C": 24, "H": 12, "O": 13, "Zn": 4}),
        ("Cu₃(C9H3O6)₂", {"Cu": 3, "C": 18, "H": 6, "O": 12}),
        ("[Zn(C4H5N2)2]", {"Zn": 1, "C": 8, "H": 10, "N": 4}),
        ("Cu D2 O", {"Cu": 1, "H": 2, "O": 1}),
        ("C0.5Zn", {"C": 0.5, "Zn": 1}),
        ("HKUST-1", {}),
        ("uio66", {}),
        ("Zn(O", {}),
        ("Zn(O]", {}),
        ("Zn)O", {}),
        ("", {}),
    ],
)
def test_formulas_are_read(typed, atoms):
    assert typed_formula(typed) == pytest.approx(atoms)


@pytest.mark.parametrize(
    ("typed", "rows"),
    [
        ("Zn4O(C8H4O4)3", [0]),
        ("Zn8 O26 C48 H24", [0]),
        ("Cu3(C9H3O6)2", [1, 2]),
        ("Cu3 C18 O12", [1, 2]),
        ("Cu3 C18 H12 O12", [2]),
        ("Cu3 C18 N O12", []),
        ("C18 O12", []),
        ("C Zn2", [7]),
        ("Xx2 O", []),
        ("H2", []),
    ],
)
def test_order_and_number_of_units_do_not_matter(typed, rows):
    assert with_formula(FORMULAS, typed_formula(typed)).nonzero()[0].tolist() == rows


def test_compositions_that_a_linker_could_give():
    """Metal, hydrogen and oxygen besides; terephthalic acid itself is none."""
    assert may_hold(FORMULAS, typed_formula("C8H4O4")).nonzero()[0].tolist() == [0, 1, 2, 4, 5]
    assert may_hold(FORMULAS, typed_formula("C4H5N2")).nonzero()[0].tolist() == [3]
    assert not may_hold(FORMULAS, {"O": 1.0}).any()
