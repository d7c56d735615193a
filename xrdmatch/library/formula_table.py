"""The formulas of a whole library as numbers: `composition` of one formula after the other would take longer than naming a scan."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.text_column import TextColumn

#: Letters of a number with a point.
_LONGEST = 24


@dataclass(frozen=True, eq=False)
class FormulaTable:
    """The elements of n formulas such as `C18 H6 Cu3 O12`: each item (t,) is one element of one formula, which `row` says.

    symbol: as `symbol_code` gives it. amount: atoms, 1 where the formula has no number.
    """

    row: NDArray[np.int64]
    symbol: NDArray[np.uint16]
    amount: NDArray[np.float64]
    size: int

    @classmethod
    def of(cls, formulas: TextColumn) -> FormulaTable:
        """Read as the regular expression ([A-Z][a-z]?)([0-9.]*) would."""
        n, width = len(formulas), formulas.stored.dtype.itemsize
        letters = np.zeros((n, width + 2), dtype=np.uint8)  # with zeros between formulas
        letters[:, :width] = formulas.stored.view(np.uint8).reshape(n, width)
        text = letters.ravel()
        first = np.flatnonzero(text - np.uint8(ord("A")) < 26)
        second = text[first + 1]
        second = np.where(second - np.uint8(ord("a")) < 26, second, 0)
        amount = _numbers(text, first + 1 + (second > 0))
        symbol = np.asarray(text[first].astype(np.uint16) << 8 | second, dtype=np.uint16)
        return cls(first // (width + 2), symbol, amount, n)

    def total(self, wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Atoms (n,) in each formula of the elements that `wanted` (t,) says."""
        return np.bincount(self.row[wanted], self.amount[wanted], self.size).astype(np.float64)

    def number(self, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of these elements (n,) each formula has."""
        return np.bincount(self.row[wanted], minlength=self.size)


def symbol_code(symbol: str) -> int:
    """A number for an element: its letters, the second 0 where it has one."""
    return ord(symbol[0]) << 8 | (ord(symbol[1]) if len(symbol) > 1 else 0)


def _numbers(text: NDArray[np.uint8], start: NDArray[np.intp]) -> NDArray[np.float64]:
    """The number that begins at each place of a text, which ends with a letter that is in none; 1 where no number begins.

    All numbers take one digit at a time; the few with a point are read one by one.
    """
    digit = text - np.uint8(ord("0"))
    value, inside, place = np.zeros(start.size, dtype=np.int64), np.ones(start.size, dtype=bool), start
    while True:
        found = digit[place]
        inside &= found < 10
        if not inside.any():
            break
        value = np.where(inside, 10 * value + found, value)
        place = place + inside
    numbers = np.where(place > start, value, 1).astype(np.float64)
    for i in np.flatnonzero(text[place] == ord(".")):
        found_text = re.match(rb"[0-9]+\.?[0-9]*|\.[0-9]+", text[start[i] : start[i] + _LONGEST].tobytes())
        numbers[i] = float(found_text[0]) if found_text else 1.0
    return numbers
