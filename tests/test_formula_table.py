"""The table of all formulas against one formula at a time."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xrdmatch.library.formula_table import FormulaTable, symbol_code
from xrdmatch.library.text_column import TextColumn

ELEMENTS = st.tuples(st.sampled_from(["C", "Ca", "Co", "Cu", "H", "N", "Zn", "W"]), st.sampled_from(["", "1", "12", "0.25", "3.5", "10832", "0"]))
FORMULAS = st.lists(st.lists(ELEMENTS, max_size=4).map(lambda parts: " ".join(symbol + number for symbol, number in parts)), max_size=6)


def read(formula):
    return [(symbol_code(symbol), float(number or 1)) for symbol, number in re.findall(r"([A-Z][a-z]?)([\d.]*)", formula)]


@given(FORMULAS)
def test_it_holds_what_each_formula_says(formulas):
    table = FormulaTable.of(TextColumn.of(formulas))
    items = list(zip(table.row.tolist(), table.symbol.tolist(), table.amount.tolist(), strict=True))
    assert items == [(row, *item) for row, formula in enumerate(formulas) for item in read(formula)]
    carbon = table.symbol == symbol_code("C")
    np.testing.assert_allclose(table.total(carbon), [sum(n for code, n in read(one) if code == symbol_code("C")) for one in formulas])
    assert table.number(~carbon).tolist() == [sum(code != symbol_code("C") for code, _ in read(one)) for one in formulas]


def test_what_is_no_formula_breaks_nothing():
    table = FormulaTable.of(TextColumn.of(["C1.2.3", "C.", "12", "", "Ä2 C4"]))
    assert table.amount.tolist() == [1.2, 1.0, 4.0]
