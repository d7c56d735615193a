"""Compounds of one structure type, with other metals and cells so alike that a powder pattern hardly decides: MgCO3 and ZnCO3 of the calcite type.

isotypes.csv lists common ones with the volume of their conventional cell at room temperature, angstrom^3. An entry's type is what its `title` ends
with: "magnesium carbonate; calcite type".
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xrdmatch.library.composition import metals_of
from xrdmatch.library.reference_library import Library

#: Mean relative difference of cell lengths up to which isotypes are not told apart: what the cell of a reference may be strained by (1 %), and as
#: much again for the reference itself, solid solutions and displaced samples.
NEARLY_EQUAL = 0.02

_TYPE = re.compile(r"(?:^|; )([a-z ]+) type$")
_GROUP = re.compile(r"\(([A-Za-z]+)\)(\d)")


@cache
def _volumes() -> dict[str, dict[str, float]]:
    """Volume of the cell of each compound of each type."""
    known: dict[str, dict[str, float]] = {}
    for line in Path(__file__).with_name("isotypes.csv").read_text(encoding="utf-8").splitlines()[1:]:
        name, compound, volume = line.split(",")
        known.setdefault(name, {})[compound] = float(volume)
    return known


def structure_type(title: str) -> str:
    """The structure type that a title ends with, empty where it names none."""
    found = _TYPE.search(title)
    return found.group(1) if found else ""


def isotypes(library: Library, row: int) -> tuple[str, ...]:
    """Compounds of the entry's structure type with other metals and nearly its cell, the most alike first; empty where none or no type is known."""
    known = _volumes().get(structure_type(str(library.title[row])), {})
    own = next((compound for compound in known if _same(compound, str(library.formula[row]))), None)
    if own is None:
        return ()
    others = {compound: volume for compound, volume in known.items() if compound != own and _anions(compound) == _anions(own)}
    apart = {compound: abs((volume / known[own]) ** (1 / 3) - 1.0) for compound, volume in others.items()}
    return tuple(sorted((compound for compound, strain in apart.items() if strain <= NEARLY_EQUAL), key=lambda compound: apart[compound]))


def _same(compound: str, formula: str) -> bool:
    """Whether a formula such as Mg(OH)2 has the composition of one in Hill order, hydrogen, which may be missing, aside."""
    one, other = _shares(compound), _shares(formula)
    return one.keys() == other.keys() and all(abs(one[symbol] - other[symbol]) < 0.02 for symbol in one)


def _anions(compound: str) -> dict[str, float]:
    """Share of each element that is no metal among the atoms but hydrogen."""
    shares = _shares(compound)
    return {symbol: share for symbol, share in shares.items() if symbol not in metals_of(compound)}


def _shares(formula: str) -> dict[str, float]:
    """Share of each element among the atoms but hydrogen."""
    plain = _GROUP.sub(lambda group: group.group(1) * int(group.group(2)), formula)
    atoms: dict[str, float] = {}
    for symbol, amount in re.findall(r"([A-Z][a-z]?)([\d.]*)", plain):
        if symbol != "H":
            atoms[symbol] = atoms.get(symbol, 0.0) + float(amount or 1)
    return {symbol: amount / sum(atoms.values()) for symbol, amount in atoms.items()}
