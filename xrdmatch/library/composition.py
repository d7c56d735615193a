"""What formulas say: metals, composition a metal atom, which entries are chemically one, and what would decide where powder XRD cannot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.common_names import stem
from xrdmatch.library.formula_table import FormulaTable, symbol_code
from xrdmatch.library.reference_library import Library
from xrdmatch.notes import Note, note

NON_METALS = frozenset(
    ("H", "D", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S", "Cl", "Ar", "Ge", "As", "Se", "Br", "Kr", "Te", "I", "Xe", "At", "Rn")
)
#: Compositions a metal atom that are rounded to the same multiple of this count as equal.
_STEP = 0.05
#: Oxygen a metal atom by which water and hydroxide may differ; more is another linker.
_OXYGEN = 1.5
#: What caps a metal or balances its charge, and the relative difference up to which amounts of the linker's atoms a metal atom are the same.
_CAPS = frozenset(("H", "D", "O", "F", "Cl", "Br", "I"))
_ALIKE = 0.1

_SYMBOL = re.compile(r"[A-Z][a-z]?")

Metals = tuple[str, ...]


@lru_cache(maxsize=65536)
def composition(formula: str) -> Mapping[str, float]:
    """Atoms a metal atom of a formula such as `C6 H2 Cu O4`; a formula without metal is taken as it is."""
    amounts = {symbol: float(amount or 1) for symbol, amount in re.findall(r"([A-Z][a-z]?)([\d.]*)", formula)}
    metal = sum(amount for symbol, amount in amounts.items() if symbol not in NON_METALS) or 1.0
    return MappingProxyType({symbol: amount / metal for symbol, amount in amounts.items()})


@lru_cache(maxsize=65536)
def metals_of(formula: str) -> Metals:
    """Metals of a formula, sorted."""
    return tuple(sorted(set(_SYMBOL.findall(formula)) - NON_METALS))


def holding(library: Library, elements: Sequence[str] | None = None, exclude: Sequence[str] = ()) -> NDArray[np.bool_]:
    """(n,) which entries hold no element but `elements` (hydrogen, which X-rays hardly see, is always let in) and none of `exclude`."""
    kinds, of = np.unique(library.formula, return_inverse=True)
    sets = [set(_SYMBOL.findall(formula)) for formula in kinds.tolist()]
    known = set(elements or ()) | {"H"}
    fit = np.array([(elements is None or found <= known) and not found & set(exclude) for found in sets], dtype=bool)
    return np.asarray(fit[of]) if len(library) else np.empty(0, dtype=bool)


@lru_cache(maxsize=65536)
def composition_without_h_o(formula: str) -> str:
    """A formula's composition a metal atom without hydrogen and oxygen, which water and disorder change, as text to compare."""
    return " ".join(f"{symbol}{round(amount / _STEP)}" for symbol, amount in sorted(composition(formula).items()) if symbol not in ("H", "O"))


class SameMetalAndLinker:
    """Which entries of a library are made of the same metal and linker: what one synthesis may give side by side."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: dict[str, NDArray[np.float64]] = {}  # what `_a_metal_atom` has told

    @cached_property
    def _table(self) -> FormulaTable:
        """Made when it is asked for: most scans show one phase, and nothing is asked."""
        return FormulaTable.of(self._library.formula)

    @cached_property
    def _is_metal(self) -> NDArray[np.bool_]:
        return ~_among(self._table.symbol, NON_METALS)

    @cached_property
    def _metal_atoms(self) -> NDArray[np.float64]:
        return self._table.total(self._is_metal)

    @cached_property
    def _linker_elements(self) -> NDArray[np.int64]:
        return self._table.number(~self._is_metal & ~_among(self._table.symbol, _CAPS))

    def rows(self, family: int) -> NDArray[np.int64]:
        """Rows of other families whose metals are among those of `family`, and whose linkers a metal atom are those of one of its members."""
        library, table = self._library, self._table
        own = set(library.formula[library.members(family)].tolist())
        metals = frozenset[str]().union(*(metals_of(formula) for formula in own))
        linkers = {tuple(sorted(_linker(formula).items())) for formula in own}
        foreign = table.number(self._is_metal & ~_among(table.symbol, metals))
        rows = np.flatnonzero((self._metal_atoms > 0) & (foreign == 0) & (library.family != family))
        atoms = {symbol: self._a_metal_atom(symbol)[rows] for symbol in {symbol for linker in linkers for symbol, _ in linker}}
        like = np.zeros(rows.size, dtype=bool)
        for linker in linkers:
            same = self._linker_elements[rows] == len(linker)
            for symbol, amount in linker:
                same &= np.abs(atoms[symbol] - amount) < _ALIKE * amount
            like |= same
        return rows[like]

    def _a_metal_atom(self, symbol: str) -> NDArray[np.float64]:
        """Atoms of an element a metal atom (n,), 0 where there is no metal."""
        if symbol not in self._known:
            atoms = self._table.total(_among(self._table.symbol, (symbol,)))
            self._known[symbol] = atoms / np.where(self._metal_atoms > 0, self._metal_atoms, np.inf)
        return self._known[symbol]


def _among(symbols: NDArray[np.uint16], wanted: Iterable[str]) -> NDArray[np.bool_]:
    """(t,) which of the elements of a `FormulaTable` are these."""
    flags = np.zeros(1 << 16, dtype=bool)
    flags[[symbol_code(symbol) for symbol in wanted]] = True
    return flags[symbols]


@lru_cache(maxsize=65536)
def _linker(formula: str) -> dict[str, float]:
    """Atoms a metal atom, without the metals and what caps or charges them: hydrogen, oxygen, halogens."""
    return {symbol: amount for symbol, amount in composition(formula).items() if symbol not in _CAPS and symbol in NON_METALS}


def compound(identifier: str) -> str:
    """What all determinations of one compound share: the six letters of a refcode, else the file stem."""
    base = stem(identifier)
    return base[:6] if re.fullmatch(r"[A-Z]{6}(\d\d)?", base) else base


def undecided(library: Library, rows: NDArray[np.int64]) -> Note | None:
    """What powder XRD leaves open between entries of one family (or of several that a scan does not tell apart), and what decides; None where
    nothing.

    Different metals: EDX or ICP. The same metals under different names, or in different compounds of different composition: the linker or what the
    pores hold. Members that differ in solvent alone say nothing.
    """
    groups = _by_metals(library, rows.tolist())
    kinds = {metals: _kinds(library, rows) for metals, rows in groups.items()}
    same = len(set(library.family[rows].tolist())) == 1
    several = any(len(names) > 1 and any(library.name[row] for row in groups[metals]) for metals, names in kinds.items())
    if len(groups) > 1:
        return note("undecided_metal_and_linker" if several else "undecided_metal", options=tuple(_labels(kinds, several)), same_pattern=same)
    only = next(iter(kinds.values()), {})
    if len(only) < 2:
        return None
    return note("undecided_linker", options=tuple(only), same_pattern=same, elements=tuple(_hetero(library, list(only.values()))))


def _by_metals(library: Library, rows: list[int]) -> dict[Metals, list[int]]:
    """Rows by their metals, named ones first; a further metal under a name that is there already is a guest or an ion, and counts to that."""
    groups: dict[Metals, list[int]] = {}
    for row in rows:
        groups.setdefault(metals_of(str(library.formula[row])), []).append(row)
    merged: dict[Metals, list[int]] = {}
    owner: dict[str, Metals] = {}
    for metals in sorted(groups, key=lambda metals: (-sum(bool(library.name[row]) for row in groups[metals]), -len(groups[metals]), metals)):
        names = [str(library.name[row]) for row in groups[metals] if library.name[row]]
        first = max(sorted(set(names)), key=names.count) if names else str(metals)
        merged.setdefault(owner.setdefault(first, metals), []).extend(groups[metals])
    return merged


def _labels(kinds: dict[Metals, dict[str, list[int]]], several: bool) -> Iterator[str]:
    """Labels: the first name of each metal, then further ones where they count; with the metal in brackets where the name does not say it."""
    for place in range(3 if several else 1):
        for metals, names in kinds.items():
            for name in list(names)[place : place + 1]:
                said = _SYMBOL.findall(name)
                yield name if all(metal in said for metal in metals) else f"{name} ({', '.join(metals)})"


def _kinds(library: Library, rows: list[int]) -> dict[str, list[int]]:
    """Rows by name, the most frequent first, or by compound where nothing is named; what has the composition of an earlier one, but for hydrogen and
    oxygen, counts to that.
    """
    names = [str(library.name[row]) for row in rows if library.name[row]]
    own: dict[str, list[int]] = {}
    for row in rows:
        if library.name[row] or not names:
            own.setdefault(str(library.name[row]) or compound(str(library.id[row])), []).append(row)
    kinds: dict[str, list[int]] = {}
    seen: list[tuple[str, float, str]] = []
    for label in sorted(own, key=lambda label: (-names.count(label), label)):
        formula = _smallest(library, own[label])
        bare, oxygen = composition_without_h_o(formula), composition(formula).get("O", 0.0)
        first = next((name for other, amount, name in seen if other == bare and abs(amount - oxygen) < _OXYGEN), label)
        if first == label:
            seen.append((bare, oxygen, label))
        kinds.setdefault(first, []).extend(own[label])
    return kinds


def _smallest(library: Library, rows: list[int]) -> str:
    return min((str(library.formula[row]) for row in rows), key=lambda formula: (sum(composition(formula).values()), formula))


def _hetero(library: Library, kinds: list[list[int]]) -> list[str]:
    """Elements other than C, H and O that some kinds hold and some do not."""
    held = [set(composition(_smallest(library, rows))) for rows in kinds]
    return sorted(symbol for symbol in set().union(*held) - {"C", "H", "O"} if not all(symbol in kind for kind in held))
