"""Formulas as people type them, and the entries of a library that have them: the order of elements and the number of formula units do not matter."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.composition import metals_of
from xrdmatch.library.formula_table import FormulaTable, symbol_code
from xrdmatch.library.text_column import TextColumn

#: Relative difference up to which two amounts are the same: formulas of disordered structures have two decimals.
_SAME = 0.005
#: Of the oxygen a linker holds, what an entry has to hold.
_OXYGEN = 0.99

_TOKEN = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?|([(\[{])|([)\]}])(\d+\.?\d*)?|[\s·*,]+")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def typed_formula(text: str) -> dict[str, float]:
    """Atoms by symbol of `Zn4O(C8H4O4)3` or `C24 H12 O13 Zn4`, deuterium as hydrogen; empty where it is no formula."""
    plain, end = text.translate(_SUBSCRIPTS), 0
    levels: list[dict[str, float]] = [{}]
    closing: list[str] = []
    while end < len(plain):
        token = _TOKEN.match(plain, end)
        if token is None:
            return {}
        symbol, amount, opens, closes, times = token.groups()
        end = token.end()
        if symbol:
            name = "H" if symbol == "D" else symbol
            levels[-1][name] = levels[-1].get(name, 0.0) + float(amount or 1)
        elif opens:
            levels.append({})
            closing.append(_BRACKETS[opens])
        elif closes:
            if not closing or closing.pop() != closes:
                return {}
            for name, inner in levels.pop().items():
                levels[-1][name] = levels[-1].get(name, 0.0) + inner * float(times or 1)
    return {} if closing else {name: found for name, found in levels[0].items() if found > 0}


def with_formula(formulas: TextColumn, wanted: Mapping[str, float]) -> NDArray[np.bool_]:
    """(n,) which formulas have these amounts or multiples of them; hydrogen counts where both have it, since structures often lack it."""
    table = FormulaTable.of(formulas)
    heavy = {symbol: amount for symbol, amount in wanted.items() if symbol != "H"}
    if not heavy:
        return np.zeros(len(formulas), dtype=bool)
    units = _atoms(table, next(iter(heavy))) / next(iter(heavy.values()))
    same = (units > 0) & (table.number(~_are(table, (*heavy, "H", "D"))) == 0)
    for symbol, amount in heavy.items():
        same &= np.abs(_atoms(table, symbol) - amount * units) <= _SAME * amount * units
    hydrogen = _atoms(table, "H") + _atoms(table, "D")
    counted = (hydrogen > 0) & ("H" in wanted)
    return np.asarray(same & (~counted | (np.abs(hydrogen - wanted.get("H", 0.0) * units) <= _SAME * hydrogen)))


def may_hold(formulas: TextColumn, linker: Mapping[str, float]) -> NDArray[np.bool_]:
    """(n,) which formulas may be a metal with this linker and no other: carbon and the rest in its ratio, oxygen enough; hydrogen is not counted."""
    table = FormulaTable.of(formulas)
    rest = {symbol: amount for symbol, amount in linker.items() if symbol not in ("H", "O")}
    if not rest:
        return np.zeros(len(formulas), dtype=bool)
    metals = {metal for code in np.unique(table.symbol).tolist() for metal in metals_of((chr(code >> 8) + chr(code & 255)).rstrip("\0"))}
    number = _atoms(table, next(iter(rest))) / next(iter(rest.values()))
    like = (number > 0) & (table.number(~_are(table, (*rest, *metals, "H", "D", "O"))) == 0) & (table.number(_are(table, metals)) > 0)
    for symbol, amount in rest.items():
        like &= np.abs(_atoms(table, symbol) - amount * number) <= _SAME * amount * number
    return np.asarray(like & (_atoms(table, "O") >= _OXYGEN * linker.get("O", 0.0) * number))


def _atoms(table: FormulaTable, symbol: str) -> NDArray[np.float64]:
    return table.total(table.symbol == symbol_code(symbol))


def _are(table: FormulaTable, symbols: tuple[str, ...] | set[str]) -> NDArray[np.bool_]:
    return np.asarray(np.isin(table.symbol, np.array([symbol_code(symbol) for symbol in symbols], dtype=np.uint16)))
