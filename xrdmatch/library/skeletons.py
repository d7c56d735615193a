"""Molecules as graphs of their heavy atoms: keys that are equal for equal skeletons, and a reader of SMILES.

A skeleton is which heavy atoms are bonded to which, without hydrogen, bond orders and charges, because structure files often lack hydrogen and say
nothing of the rest. What this leaves open (terephthalate or cyclohexane-1,4-dicarboxylate) is told apart by hydrogen and short C-C bonds.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

#: Rings above this size are not told apart from chains.
_LARGEST_RING = 8
#: Bonds an atom makes in all; further ones of S and P where they have more neighbours.
_VALENCE = {"B": 3, "C": 4, "N": 3, "O": 2, "F": 1, "Si": 4, "P": 3, "S": 2, "Cl": 1, "Se": 2, "Br": 1, "I": 1, "Ge": 4, "As": 3}
_EXPANDED = {"S": (2, 4, 6), "P": (3, 5), "Se": (2, 4, 6), "As": (3, 5), "Cl": (1, 3, 5, 7)}
_TOKEN = re.compile(r"\[([^\]]+)\]|(Cl|Br|[BCNOFPSI]|[bcnops])|([-=#:/\\])|(%\d\d|\d)|([().])")
_BRACKET = re.compile(r"\d*([A-Z][a-z]?|[bcnops]|se)@*(H\d*)?([+-]\d*)?")
#: (element, neighbours, oxygen without further neighbours) of an acid's central atom, and what its anion is called.
_ACIDS = {("C", 3, 2): "carboxylate", ("P", 4, 3): "phosphonate", ("S", 4, 3): "sulfonate"}
#: (atoms, nitrogen atoms) of a ring, and what it is called.
_RINGS = {(5, 2): "diazole", (5, 3): "triazole", (5, 4): "tetrazole", (6, 1): "pyridine", (6, 2): "diazine", (6, 3): "triazine"}
_ORDERS = {"-": 1, "/": 1, "\\": 1, "=": 2, "#": 3}


@dataclass(frozen=True)
class Skeleton:
    """Heavy atoms and their bonds. symbols: (n,) elements. bonds: pairs of places in `symbols`, the lower one first."""

    symbols: tuple[str, ...]
    bonds: frozenset[tuple[int, int]]

    def neighbours(self) -> list[list[int]]:
        """Places of the bonded atoms of each atom (n,)."""
        found: list[list[int]] = [[] for _ in self.symbols]
        for one, other in self.bonds:
            found[one].append(other)
            found[other].append(one)
        return found

    def key(self) -> str:
        """Text that equal skeletons share: their heavy atoms and a hash of how they are bonded, for example `C8O4-1f0c3a5b`.

        Labels of atoms (element, number of neighbours, smallest ring) are refined by those of their neighbours until no more atoms are told apart
        (Weisfeiler and Leman 1968).
        """
        beside = self.neighbours()
        labels = [f"{s}{len(b)}r{r}" for s, b, r in zip(self.symbols, beside, _ring_sizes(beside), strict=True)]
        kinds = 0
        while len(set(labels)) > kinds:
            kinds = len(set(labels))
            labels = [_hash(label, *sorted(labels[i] for i in near)) for label, near in zip(labels, beside, strict=True)]
        return f"{hill(Counter(self.symbols)).replace(' ', '')}-{_hash(*sorted(labels))}"

    def groups(self) -> dict[str, int]:
        """How many of each group that binds metals: carboxylate, phosphonate, sulfonate, azoles, pyridine, nitrile; only those that are there."""
        beside = self.neighbours()
        found: Counter[str] = Counter()
        for atom, near in enumerate(beside):
            ends = sum(self.symbols[other] == "O" and len(beside[other]) == 1 for other in near)
            symbol = self.symbols[atom]
            if "C" in (self.symbols[other] for other in near) and (symbol, len(near), ends) in _ACIDS:
                found[_ACIDS[(symbol, len(near), ends)]] += 1
            if symbol == "N" and len(near) == 1 and self.symbols[near[0]] == "C" and len(beside[near[0]]) == 2:
                found["nitrile"] += 1
        for ring in self._small_rings(beside):
            nitrogen = [atom for atom in ring if self.symbols[atom] == "N"]
            if all(self.symbols[atom] in ("C", "N") for atom in ring) and any(len(beside[atom]) == 2 for atom in nitrogen):
                found[_RINGS.get((len(ring), len(nitrogen)), "")] += 1
        return {name: count for name, count in sorted(found.items()) if name}

    def _small_rings(self, beside: Sequence[Sequence[int]]) -> set[frozenset[int]]:
        """Rings of five and six atoms."""
        rings: set[frozenset[int]] = set()
        for start in range(len(beside)):
            paths = [[start]]
            for _ in range(5):
                paths = [[*path, other] for path in paths for other in beside[path[-1]] if other > start and other not in path]
                rings |= {frozenset(path) for path in paths if len(path) in (5, 6) and start in beside[path[-1]]}
        return rings


@dataclass(frozen=True)
class Molecule:
    """What a SMILES text says. hydrogens: (n,) on each heavy atom. double, triple: C-C bonds, aromatic or double ones, and triple
    ones. charge: in elementary charges. cis: whether the text says that a double bond is.
    """

    skeleton: Skeleton
    hydrogens: tuple[int, ...]
    double: int
    triple: int
    charge: int = 0
    cis: bool = False

    @property
    def acidic(self) -> int:
        """Hydrogen that may be lost on binding: on O, N and S."""
        return sum(count for count, symbol in zip(self.hydrogens, self.skeleton.symbols, strict=True) if symbol in ("O", "N", "S"))


def hill(amounts: Mapping[str, float]) -> str:
    """`C8 H4 O4` of numbers of atoms, in Hill order."""
    first = [symbol for symbol in ("C", "H") if amounts.get(symbol) and amounts.get("C")]
    order = first + sorted(symbol for symbol in amounts if amounts[symbol] and symbol not in first)
    return " ".join(symbol if amounts[symbol] == 1 else f"{symbol}{amounts[symbol]:g}" for symbol in order)


def _hash(*labels: str) -> str:
    return blake2b(" ".join(labels).encode(), digest_size=5).hexdigest()


def _ring_sizes(beside: Sequence[Sequence[int]]) -> list[int]:
    """Atoms of the smallest ring through each atom, 0 where there is none of `_LARGEST_RING` or fewer."""
    return [min((_ring(beside, atom, first) for first in near), default=0) if len(near) > 1 else 0 for atom, near in enumerate(beside)]


def _ring(beside: Sequence[Sequence[int]], atom: int, first: int) -> int:
    """Size of the smallest ring through the bond from `atom` to `first`; `_LARGEST_RING` + 1 where there is none so small."""
    far = {first: 1}
    waiting = deque([first])
    while waiting:
        here = waiting.popleft()
        if far[here] >= _LARGEST_RING:
            break
        for other in beside[here]:
            if other == atom and here != first:
                return far[here] + 1
            if other not in far and other != atom:
                far[other] = far[here] + 1
                waiting.append(other)
    return _LARGEST_RING + 1


class _Reader:
    """One pass over a SMILES text."""

    def __init__(self) -> None:
        self.symbols: list[str] = []
        self.aromatic: list[bool] = []
        self.charge = 0
        self.said: list[int | None] = []  # hydrogen in brackets
        self.bonds: dict[tuple[int, int], str] = {}
        self._last: int | None = None
        self._order = ""
        self._branches: list[int | None] = []
        self._open: dict[str, tuple[int, str]] = {}

    def read(self, text: str) -> None:
        place = 0
        while place < len(text):
            found = _TOKEN.match(text, place)
            if not found:
                raise ValueError(f"{text}: not understood from {text[place:]!r}")
            place = found.end()
            bracket, plain, order, ring, mark = found.groups()
            if bracket:
                self._bracket(bracket)
            elif plain:
                self._atom(plain, None)
            elif order:
                self._order = order
            elif ring:
                self._ring(ring)
            else:
                self._mark(mark)
        if self._open or self._branches:
            raise ValueError(f"{text}: a ring or bracket is not closed")

    def _bracket(self, text: str) -> None:
        found = _BRACKET.fullmatch(text)
        if not found:
            raise ValueError(f"[{text}]: not understood")
        hydrogen = 0 if found[2] is None else int(found[2][1:] or 1)
        if found[1] == "H":
            return
        if found[3]:
            self.charge += int(found[3]) if found[3][1:] else int(found[3] + "1")
        self._atom(found[1], hydrogen)

    def _atom(self, symbol: str, hydrogen: int | None) -> None:
        here = len(self.symbols)
        self.symbols.append(symbol.capitalize())
        self.aromatic.append(symbol[0].islower())
        self.said.append(hydrogen)
        self._join(self._last, here, self._order)
        self._last, self._order = here, ""

    def _join(self, one: int | None, other: int, order: str) -> None:
        if one is not None:
            self.bonds[(min(one, other), max(one, other))] = order

    def _ring(self, digit: str) -> None:
        if self._last is None:
            raise ValueError(f"ring {digit} before any atom")
        if digit in self._open:
            first, order = self._open.pop(digit)
            self._join(first, self._last, order or self._order)
        else:
            self._open[digit] = (self._last, self._order)
        self._order = ""

    def _mark(self, mark: str) -> None:
        if mark == "(":
            self._branches.append(self._last)
        elif mark == ")":
            if not self._branches:
                raise ValueError("a bracket too many is closed")
            self._last = self._branches.pop()
        else:
            self._last = None


def molecule(smiles: str) -> Molecule:
    """The molecule of a SMILES text (elements B to I, charges ignored, no stereochemistry). Raises ValueError where it is not understood."""
    reader = _Reader()
    reader.read(smiles)
    skeleton = Skeleton(tuple(reader.symbols), frozenset(reader.bonds))
    beside = skeleton.neighbours()
    rings = _ring_sizes(beside)
    orders = {}
    double = triple = 0
    for (one, other), text in reader.bonds.items():
        both = reader.aromatic[one] and reader.aromatic[other] and not text and 0 < rings[one] <= _LARGEST_RING and 0 < rings[other] <= _LARGEST_RING
        shared = both and _ring(beside, one, other) <= _LARGEST_RING
        order = 1.5 if shared or text == ":" else float(_ORDERS.get(text, 1))
        orders[(one, other)] = order
        if skeleton.symbols[one] == skeleton.symbols[other] == "C":
            double, triple = double + (order in (1.5, 2.0)), triple + (order == 3.0)
    hydrogens = tuple(_hydrogen(reader, orders, atom) for atom in range(len(reader.symbols)))
    return Molecule(skeleton, hydrogens, double, triple, reader.charge, "\\" in smiles)


def _hydrogen(reader: _Reader, orders: Mapping[tuple[int, int], float], atom: int) -> int:
    """Hydrogen on an atom: as said in brackets, else what its valence leaves free."""
    said = reader.said[atom]
    if said is not None:
        return said
    own = [order for bond, order in orders.items() if atom in bond]
    symbol = reader.symbols[atom]
    if reader.aromatic[atom]:
        return max(0, 3 - len(own)) if symbol in ("C", "B") else 0
    used = sum(own)
    room = next((valence for valence in _EXPANDED.get(symbol, (_VALENCE.get(symbol, 0),)) if valence >= used), 0)
    return max(0, int(room - used))
