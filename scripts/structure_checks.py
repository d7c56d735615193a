"""Whether a structure is what its name says, by composition, density and strongest lines: check_sources.py asks so of all but frameworks."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import CU_K_ALPHA
from xrdmatch.diffraction.structure import Structure
from xrdmatch.diffraction.structure_factors import reflections

#: Relative difference up to which a density is right, and a d-spacing; up to the last one a d-spacing is still within reach of a search.
DENSITY, LINE, LINE_AT_MOST = 0.05, 0.005, 0.01
#: Difference of an element's share of the atoms, hydrogen aside, up to which a composition is right.
COMPOSITION = 0.02
#: Lines weaker than this share of the strongest do not count as strong.
STRONG = 0.10
#: d-spacings that are looked at, angstrom; the shortest is that of 110 degrees with copper.
D_MIN, D_MAX = 0.94, 30.0
#: g/cm3 of one atomic mass unit a cubic angstrom.
_GRAMS = 1.66053907
_PART = re.compile(r"([A-Z][a-z]?)([\d.]*)|\(|\)([\d.]*)")


@dataclass(frozen=True)
class Substance:
    """What is known of a substance. formula: such as CaSO4(H2O)2. density: g/cm3. lines: angstrom, of the strongest lines. Either may be missing."""

    formula: str
    density: float | None = None
    lines: tuple[float, ...] = ()


@dataclass(frozen=True)
class Findings:
    """wrong: why the structure is not the substance, empty where it is. notes: what is worth saying of one that is.

    off: largest relative error of a d-spacing. density: g/cm3.
    """

    wrong: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    off: float = 0.0
    density: float = 0.0

    @property
    def lacks_hydrogen(self) -> bool:
        return any(note.startswith("hydrogen") for note in self.notes)


def amounts(formula: str) -> dict[str, float]:
    """Atoms of a formula with brackets, such as Be3Al2(SiO3)6. Raises ValueError where it is none."""
    if not formula or _PART.sub("", formula):
        raise ValueError(f"{formula!r}: expected a formula such as CaSO4(H2O)2")
    levels: list[Counter[str]] = [Counter()]
    for part in _PART.finditer(formula):
        if part.group(1):
            levels[-1][part.group(1)] += float(part.group(2) or 1)  # type: ignore[assignment]
        elif part.group() == "(":
            levels.append(Counter())
        else:
            inner = levels.pop()
            for symbol, amount in inner.items():
                levels[-1][symbol] += amount * float(part.group(3) or 1)  # type: ignore[assignment]
    if len(levels) != 1:
        raise ValueError(f"{formula!r}: a bracket is not closed")
    return dict(levels[0])


def contents(structure: Structure) -> dict[str, float]:
    """Atoms of the cell by symbol."""
    found: dict[str, float] = {}
    for number, share in zip(structure.numbers.tolist(), structure.occupancy.tolist(), strict=True):
        symbol = gemmi.Element(number).name
        found[symbol] = found.get(symbol, 0.0) + share
    return found


def checked(structure: Structure, known: Substance) -> Findings:
    """What speaks against a structure being that substance."""
    read, stated = contents(structure), amounts(known.formula)
    units = _units(read, stated)
    if units is None:
        return Findings((f"read as {structure.formula.replace(' ', '')}, not {known.formula}",))
    wrong, notes = [], []
    if stated.get("H", 0.0) * units > 2.0 * read.get("H", 0.0):
        notes.append("hydrogen is not in the file")
    density = units * _mass(stated) * _GRAMS / gemmi.UnitCell(*structure.cell).volume
    if known.density and abs(density / known.density - 1.0) > DENSITY:
        wrong.append(f"density {density:.2f}, not {known.density:g} g/cm3")
    off = 0.0
    if known.lines:
        off, missing = _lines_off(structure, np.array(known.lines))
        if missing or off > LINE_AT_MOST:
            wrong.append("strongest lines are not " + ", ".join(f"{d:.3f}" for d in known.lines) + " A")
        elif off > LINE:
            notes.append(f"lines up to {100.0 * off:.1f} % from where they should be")
    return Findings(tuple(wrong), tuple(notes), off, density)


def _units(read: dict[str, float], stated: dict[str, float]) -> float | None:
    """Formula units a cell, by all atoms but hydrogen (by hydrogen where there is nothing else); None where the compositions differ."""
    heavy, wanted = ({symbol: n for symbol, n in one.items() if symbol != "H"} or one for one in (read, stated))
    total, whole = sum(heavy.values()), sum(wanted.values())
    if any(abs(heavy.get(symbol, 0.0) / total - wanted.get(symbol, 0.0) / whole) > COMPOSITION for symbol in {*heavy, *wanted}):
        return None
    return total / whole


def _mass(amounts: dict[str, float]) -> float:
    return float(sum(gemmi.Element(symbol).weight * amount for symbol, amount in amounts.items()))


def _lines_off(structure: Structure, known: NDArray[np.float64]) -> tuple[float, bool]:
    """Largest relative distance of a known d-spacing from the nearest strong line, and whether the strongest line is not among the known ones."""
    lines = reflections(structure, D_MIN, D_MAX)
    _, heights = lines.lines(CU_K_ALPHA)
    strong = lines.d[heights >= STRONG * heights.max()]
    first = float(lines.d[heights.argmax()])
    off = np.abs(strong[:, None] / known[None, :] - 1.0).min(axis=0)
    return float(off.max()), bool((np.abs(first / known - 1.0) > LINE_AT_MOST).all())
