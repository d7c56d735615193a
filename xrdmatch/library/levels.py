"""Three levels of an answer: form, framework, composition.

A form is what powder diffraction tells apart: a family. A framework is one metal, linkers and net, whatever the cell, the guests and the
redetermination: open and closed MIL-53(Al), every HKUST-1. A composition is one metal and linkers: "an iron terephthalate".

A name that people say is one framework of its metals, however the linkers of its entries are read. Of entries of one composition those are one
framework as well that share a form, a refcode or a net; but not those that people call differently, unless they share a form: IRMOF-9 and IRMOF-10
share linker and net. What would join two known nets is left apart. Zeolites of one framework type are one framework, whatever they hold.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.breathing import MARK
from xrdmatch.library.common_names import stem, ways_to_say
from xrdmatch.library.composition import composition_without_h_o, metals_of
from xrdmatch.library.reference_library import LINKER_SEPARATOR, Library
from xrdmatch.library.text_column import TextColumn


@dataclass(frozen=True)
class Chemistry:
    """What an entry is made of.

    id, formula, family: the library's. name: what people say, or empty. metals. linkers: names, the largest first, empty where they are not known.
    net: RCSR symbol, or empty. text: what to call it where people have no name. zeolite: the type of its framework, or empty.
    """

    id: str
    formula: str
    family: int
    name: str = ""
    metals: tuple[str, ...] = ()
    linkers: tuple[str, ...] = ()
    net: str = ""
    text: str = ""
    zeolite: str = ""

    @cached_property
    def ways(self) -> frozenset[str]:
        """Each way to say the name."""
        return ways_to_say(self.name, self.metals)

    @property
    def composition(self) -> tuple[Hashable, ...]:
        """What entries of one composition share: metals and linkers, else amounts a metal atom without hydrogen and oxygen."""
        return (self.metals, frozenset(self.linkers)) if self.linkers else ("formula", composition_without_h_o(self.formula))


@dataclass(frozen=True, eq=False)
class Levels:
    """framework, composition: (n,) index into framework_name and composition_name."""

    framework: NDArray[np.int32]
    framework_name: tuple[str, ...]
    composition: NDArray[np.int32]
    composition_name: tuple[str, ...]


#: Why entries are one framework, the surest first: what they share, and whether it may join what people call differently.
_REASONS: tuple[tuple[Callable[[Chemistry], Iterable[Hashable]], bool], ...] = (
    (lambda entry: [(entry.family, entry.composition)], True),
    (lambda entry: [(way, entry.metals or entry.composition) for way in entry.ways], True),
    (lambda entry: [entry.zeolite] if entry.zeolite else [], True),
    (lambda entry: [(stem(entry.id)[:6], entry.composition)] if _has_refcode(entry.id) else [], False),
    (lambda entry: [(entry.net, entry.composition)] if entry.net and entry.linkers else [], False),
    (lambda entry: [(entry.family, entry.metals, entry.linkers[0])] if entry.linkers else [], False),
)


def _has_refcode(identifier: str) -> bool:
    code = stem(identifier)[:6]
    return len(code) == 6 and code.isalpha() and code.isupper()


#: How the name of a zeolite says the type of its framework: `analcime (ANA), hydrated`, `ABW framework`.
_ZEOLITE_TYPE = re.compile(r"\(([A-Z]{3})\)|^([A-Z]{3}) framework$")


def zeolite_type(category: str, name: str) -> str:
    """The three letters of a zeolite's framework type (Atlas of Zeolite Framework Types); empty for all else."""
    found = _ZEOLITE_TYPE.search(name) if category == "zeolite" else None
    return (found.group(1) or found.group(2)) if found else ""


def levels(entries: Sequence[Chemistry]) -> Levels:
    """Frameworks and compositions of all entries of a library."""
    joined = _Joined(_nets(entries), [entry.ways for entry in entries])
    for reason, whatever_called in _REASONS:
        alike: dict[Hashable, list[int]] = defaultdict(list)
        for row, entry in enumerate(entries):
            for key in reason(entry):
                alike[key].append(row)
        for rows in alike.values():
            joined.join(rows, whatever_called)
    framework = _numbered(joined.first(row) for row in range(len(entries)))
    composition = _numbered(entry.composition for entry in entries)
    return Levels(
        framework,
        _names(entries, framework, lambda entry: entry.name, _with_net),
        composition,
        _names(entries, composition, lambda entry: "", _without_net),
    )


def with_levels(library: Library) -> Library:
    """The library with the framework and the composition of every entry, by its families, names, linkers and nets."""
    columns = (library.id, library.formula, library.name, library.linkers, library.net, library.title, library.category)
    rows = zip(*(column.tolist() for column in columns), library.family.tolist(), strict=True)
    entries = [
        Chemistry(one, formula, family, name, metals_of(formula), _parts(linkers), net, title, zeolite_type(category, name))
        for one, formula, name, linkers, net, title, category, family in rows
    ]
    found = levels(entries)
    return replace(
        library,
        framework=found.framework,
        framework_name=TextColumn.of(found.framework_name),
        composition=found.composition,
        composition_name=TextColumn.of(found.composition_name),
    )


def _parts(linkers: str) -> tuple[str, ...]:
    return tuple(part for part in linkers.split(LINKER_SEPARATOR) if part)


def _nets(entries: Sequence[Chemistry]) -> list[str]:
    """Nets of the entries; none where the several files of one crystal have different ones."""
    of_crystal: dict[Hashable, set[str]] = defaultdict(set)
    for entry in entries:
        of_crystal[stem(entry.id), entry.composition] |= {entry.net} if entry.net else set()
    return ["" if len(of_crystal[stem(entry.id), entry.composition]) > 1 else entry.net for entry in entries]


class _Joined:
    """Rows that belong together; none is joined to rows of another known net."""

    def __init__(self, nets: Sequence[str], names: Sequence[frozenset[str]]) -> None:
        self._before = list(range(len(nets)))
        self._net = list(nets)
        self._names = list(names)

    def first(self, row: int) -> int:
        while self._before[row] != row:
            self._before[row] = self._before[self._before[row]]
            row = self._before[row]
        return row

    def join(self, rows: Sequence[int], whatever_called: bool) -> None:
        """Join these rows: those of a known net with each other first, then those of none with the commonest net among them.

        Unless `whatever_called`, of these only what shares a name; what has none goes with a name only where there is but one.
        """
        by_net: dict[str, list[int]] = defaultdict(list)
        for row in dict.fromkeys(map(self.first, rows)):
            by_net[self._net[row]].append(row)
        unknown = by_net.pop("", [])
        if by_net:
            max(by_net.values(), key=len).extend(unknown)
        for of_net in by_net.values() if by_net else (unknown,):
            for together in (of_net,) if whatever_called else self._by_name(of_net):
                for row in together[1:]:
                    self._join_two(together[0], row)

    def _by_name(self, rows: Sequence[int]) -> list[list[int]]:
        """The rows in groups that share names."""
        groups: list[tuple[set[str], list[int]]] = []
        nameless = [row for row in rows if not self._names[row]]
        for row in rows:
            if not self._names[row]:
                continue
            names, members = set(self._names[row]), [row]
            for group in [group for group in groups if group[0] & names]:
                groups.remove(group)
                names, members = names | group[0], group[1] + members
            groups.append((names, members))
        if len(groups) == 1:
            return [groups[0][1] + nameless]
        return [members for _, members in groups] + [nameless]

    def _join_two(self, left: int, right: int) -> None:
        left, right = sorted((self.first(left), self.first(right)))
        net = self._net[left] or self._net[right]
        if left != right and {self._net[left], self._net[right]} <= {"", net}:
            self._before[right] = left
            self._net[left] = net
            self._names[left] |= self._names[right]


def _numbered(keys: Iterable[Hashable]) -> NDArray[np.int32]:
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int32)


def _names(
    entries: Sequence[Chemistry], group: NDArray[np.int32], said: Callable[[Chemistry], str], otherwise: Callable[[Chemistry], str]
) -> tuple[str, ...]:
    """The commonest of what is said of a group's crystals, else of what can be said of each; where forms are told apart, what these names share."""
    told: dict[int, tuple[Counter[str], Counter[str]]] = defaultdict(lambda: (Counter(), Counter()))
    counted: set[tuple[int, str, str]] = set()
    for number, entry in zip(group.tolist(), entries, strict=True):
        crystal = number, stem(entry.id), said(entry)
        if said(entry) and MARK not in entry.id and crystal not in counted:
            told[number][0][said(entry)] += 1
        counted.add(crystal)
        told[number][1][otherwise(entry)] += 1
    return tuple(_one_name(*told[number]) for number in range(len(told)))


def _one_name(said: Counter[str], otherwise: Counter[str]) -> str:
    if len(said) < 2:
        return next(iter(said), "") or otherwise.most_common(1)[0][0]
    whole: Counter[str] = Counter()
    for name, count in said.items():
        whole[name.split(", ")[0]] += count
    return whole.most_common(1)[0][0]


def _with_net(entry: Chemistry) -> str:
    return entry.text or entry.formula.replace(" ", "")


def _without_net(entry: Chemistry) -> str:
    return f"{' '.join(entry.metals)} {' '.join(entry.linkers)}".strip() if entry.linkers else entry.formula.replace(" ", "")
