"""Which entries a list of elements lets in, and which of them only with another metal: MIL-101(Cr) where iron is asked for.

A framework is often made with several metals, of which the library holds some. An entry is let in although its metal is not listed where the
framework has a name that people say, carbon, and no form with a listed metal in the library; where a listed metal has the charge and the coordination
of the one that it replaces; and where nothing else stands in the way. Its reflections stay those of its own metal: lines lie where they lie, but
their heights are another metal's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.composition import NON_METALS, Metals, holding, metals_of
from xrdmatch.library.reference_library import Library
from xrdmatch.notes import Note, note

#: Metals of charge 2+, whose coordination ranges from square to octahedral: only a framework known with two of them is made with a third.
DIVALENT = frozenset(("Mg", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Cd"))
#: Metals that replace each other in frameworks.
ROLES: tuple[frozenset[str], ...] = (
    DIVALENT,
    frozenset(("Al", "Ga", "In", "Sc", "V", "Cr", "Fe")),  # 3+, octahedral
    frozenset(("Zr", "Hf", "Ce", "Th")),  # 4+
    frozenset(("Y", "La", "Ce", "Pr", "Nd", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu")),  # 3+, large
)
#: Categories of entries whose metals may be exchanged: frameworks, and where nothing is said.
_CATEGORIES = ("", "mof")

_SYMBOL = re.compile(r"[A-Z][a-z]?")
_EMPTY = re.compile(r"\([\s,/]*\)|^[\s-]+|[\s-]+$")


@dataclass(frozen=True)
class MetalExchange:
    """held: metals of the entry that were not asked for. wanted: those asked for that may stand in their place."""

    held: tuple[str, ...]
    wanted: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.held)} to {' or '.join(self.wanted)}"

    def to_json(self) -> dict[str, list[str]]:
        return {"from": list(self.held), "to": list(self.wanted)}

    def note(self, name: str) -> Note:
        """That the entry of this name stands for its framework with another metal."""
        return note("metal_exchanged", name=name, held=self.held, wanted=self.wanted)


@dataclass(frozen=True, eq=False)
class LetIn:
    """rows: (n,) entries that may be named. exchanges: by row, of those that may only with another metal."""

    rows: NDArray[np.bool_]
    exchanges: Mapping[int, MetalExchange] = field(default_factory=dict)

    def exchanged(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these rows (k,) may only be named with another metal."""
        return np.array([row in self.exchanges for row in rows.tolist()], dtype=bool)


def let_in(library: Library, elements: Sequence[str] | None = None, exclude: Sequence[str] = ()) -> LetIn:
    """The entries that hold no element but `elements` (and hydrogen) and none of `exclude`, and those that do so with another metal."""
    rows = holding(library, elements, exclude)
    if elements is None:
        return LetIn(rows)
    exchanges = dict(_exchanges(library, rows, frozenset(elements) - set(exclude), frozenset(exclude)))
    rows = rows.copy()
    rows[list(exchanges)] = True
    return LetIn(rows, exchanges)


def exchange_of(metals: Sequence[str], framework: frozenset[str], wanted: frozenset[str]) -> MetalExchange | None:
    """How `metals`, all of one role, may be replaced by `wanted` ones; None where they may not.

    framework: all metals that the framework is known with, by which the charge of a metal that has several is told: iron is 2+ beside zinc, and 3+
    otherwise. Where that leaves it open, as for cerium alone, only what may replace either is taken.
    """
    known = {role: len(role & framework) for role in ROLES if role.issuperset(metals)}
    known = {role: number for role, number in known.items() if role != DIVALENT or number > 1}
    likely = [role for role, number in known.items() if number == max(known.values())]
    instead = wanted.intersection(*likely) - set(metals) if likely else frozenset[str]()
    return MetalExchange(tuple(sorted(metals)), tuple(sorted(instead))) if instead else None


@lru_cache(maxsize=65536)
def framework_stem(name: str, metals: Metals) -> str:
    """A name without its metals: MIL-101 of MIL-101(Cr), MOF-74 (CPO-27) of Ni-MOF-74 (CPO-27-Ni)."""
    bare = re.sub(rf"\b(?:{'|'.join(metals)})(?![a-z])", "", name) if metals else name
    return re.sub(r"[\s-]+\)", ")", _EMPTY.sub("", bare)).strip()


def _exchanges(library: Library, rows: NDArray[np.bool_], wanted: frozenset[str], exclude: frozenset[str]) -> Iterator[tuple[int, MetalExchange]]:
    """Rows beyond `rows` (n,) that may be named with another metal, and how."""
    if not wanted - NON_METALS:
        return
    formulas, names = library.formula.tolist(), library.name.tolist()
    known: dict[str, set[str]] = defaultdict(set)
    for name, formula in zip(names, formulas, strict=True):
        if name:
            known[framework_stem(name, metals_of(formula))].update(metals_of(formula))
    held = {key for row in np.flatnonzero(rows).tolist() for key in _frameworks(library, row, names[row], formulas[row])}
    categories = library.category.tolist()
    for row in np.flatnonzero(~rows).tolist():
        symbols = set(_SYMBOL.findall(formulas[row]))
        foreign = set(metals_of(formulas[row])) - wanted
        if not names[row] or not foreign or "C" not in symbols or symbols & exclude or not symbols - foreign <= wanted | {"H"}:
            continue
        if categories[row] not in _CATEGORIES or held.intersection(_frameworks(library, row, names[row], formulas[row])):
            continue
        framework = frozenset(known[framework_stem(names[row], metals_of(formulas[row]))])
        if exchange := exchange_of(sorted(foreign), framework, wanted - NON_METALS):
            yield row, exchange


def _frameworks(library: Library, row: int, name: str, formula: str) -> Iterator[Hashable]:
    """By what entries of one framework are recognised: name without metals, pattern, linkers with net."""
    yield int(library.family[row])
    if name:
        yield framework_stem(name, metals_of(formula))
    if library.linkers[row] and library.net[row]:
        yield str(library.linkers[row]), str(library.net[row])
