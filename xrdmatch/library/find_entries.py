"""Entries of a library by what people type: names however they are spelled, refcodes, formulas, DOIs, metals, linkers, categories."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import LibraryError
from xrdmatch.library.common_names import stem
from xrdmatch.library.composition import metals_of
from xrdmatch.library.doubtful_entries import doubts_of
from xrdmatch.library.entry_names import entry_name, refcode
from xrdmatch.library.formula_search import may_hold, typed_formula, with_formula
from xrdmatch.library.formula_table import FormulaTable, symbol_code
from xrdmatch.library.reference_library import LINKER_SEPARATOR, Library
from xrdmatch.library.spelling import aliases, compact, compact_all, nearest, one_letter_off, place, plain_doi, words
from xrdmatch.library.text_column import TextColumn

#: How an entry was found, the surest first.
MATCHED = ("name", "refcode", "doi", "formula", "start of the name", "part of the name", "words", "spelling")
#: What an entry is by that was asked for without a text.
_ALL = len(MATCHED)
#: Sentinel of what was not found.
_NOT = 99
_NO_ROWS = np.empty(0, dtype=np.int64)
#: Words of a text that are looked for.
_MOST_WORDS = 32


@dataclass(frozen=True)
class Found:
    """One family of a library: the entry that fits best what was asked for, and what its family holds beside it.

    id, name (the refcode or file name where people say none), refcode (empty where the id holds none), formula, metals, doi: of that entry; linkers,
    net, category, title: where the library says them. cell: a, b, c in angstrom, alpha, beta, gamma in degrees. family, members: its name and the ids
    of all its entries, which powder diffraction cannot tell apart. matched: how the entry was found, one of `MATCHED`; empty without a text.
    """

    id: str
    name: str
    refcode: str
    formula: str
    metals: tuple[str, ...]
    linkers: tuple[str, ...]
    net: str
    category: str
    title: str
    cell: tuple[float, float, float, float, float, float]
    doi: str
    family: str
    members: tuple[str, ...]
    matched: str

    def to_json(self) -> dict[str, Any]:
        """The JSON of `xrdmatch find`."""
        cell = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), self.cell, strict=True))
        return {**asdict(self), "metals": list(self.metals), "linkers": list(self.linkers), "cell": cell, "members": list(self.members)}


@dataclass(frozen=True)
class Wanted:
    """What entries are looked for; each that is given has to fit.

    text: name, refcode, id, formula or DOI. metals: symbols, all of which an entry holds.
    """

    text: str = ""
    metals: tuple[str, ...] = ()
    linker: str = ""
    category: str = ""


class Search:
    """The entries of a library that fit, family by family, best first. Raises LibraryError where the library has no such category, or says none."""

    def __init__(self, library: Library, wanted: Wanted) -> None:
        self._library, self._wanted = library, wanted
        kept = _filtered(library, wanted)
        rank = np.where(kept, _Ranks(library, wanted.text).of(kept) if wanted.text.strip() else _ALL, _NOT)
        rows = np.flatnonzero(rank < _NOT)
        nameless = library.name.stored[rows] == b""
        order = rows[np.lexsort((rows, nameless, rank[rows], library.family[rows]))]
        _, first = np.unique(library.family[order], return_index=True)
        leads = order[first]
        best = np.repeat(rank[leads], np.diff([*first, order.size]))
        number = np.add.reduceat(rank[order] == best, first) if order.size else first
        ranked = np.lexsort((leads, -number, rank[leads]))
        self._leads, self._rank = leads[ranked], rank

    def __len__(self) -> int:
        """Families that were found."""
        return len(self._leads)

    def found(self, top: int | None = None) -> list[Found]:
        """The first `top` families; None: all."""
        return [_found(self._library, row, int(self._rank[row])) for row in self._leads[:top].tolist()]

    def nearest(self) -> list[str]:
        """Names and refcodes like the text, for where nothing was found."""
        return nearest_names(self._library, self._wanted.text)


def says(library: Library, field: str) -> bool:
    """Whether the library says this of any entry: linkers, net, category or title."""
    return bool(getattr(library, field).stored.any())


def nearest_names(library: Library, text: str) -> list[str]:
    """The names, and where a refcode was typed the refcodes, that are most like a text."""
    names = [alias for name in np.unique(library.name.stored).tolist() for alias in aliases(name.decode())]
    if refcode(text.strip().upper()):
        names += [stem(identifier) for identifier in library.id.tolist()]
    return nearest(text, names) if text.strip() else []


@dataclass(frozen=True)
class Chosen:
    """The entry that a name or refcode stands for. entries, families: how many carry it."""

    row: int
    entries: int
    families: int


def entry_called(library: Library, text: str) -> Chosen:
    """The entry of an id, refcode or name: of several the first in the family in which most are called so, doubtful ones last.

    Spelling counts as in `Search`, a mistyped name does not. Raises LibraryError, with the nearest names, where no entry is called so.
    """
    same = np.flatnonzero(library.id.stored == text.encode())
    ranks = _Ranks(library, text)
    rows = next((rows for rows in (same, ranks.called(), ranks.coded()) if rows.size), None)
    if rows is None:
        near = nearest_names(library, text)
        hint = f"did you mean {', '.join(near[:-1])}{' or ' if near[:-1] else ''}{near[-1]}?" if near else "xrdmatch find looks for parts of names."
        raise LibraryError(f"{text}: no entry of the library has this name, refcode or id; {hint}")
    families, number = np.unique(library.family[rows], return_counts=True)
    largest = rows[library.family[rows] == families[number.argmax()]].tolist()
    return Chosen(next((row for row in largest if not doubts_of(library, row)), largest[0]), rows.size, families.size)


def _filtered(library: Library, wanted: Wanted) -> NDArray[np.bool_]:
    """(n,) which entries have the metals, linker and category that are asked for."""
    kept = np.ones(len(library), dtype=bool)
    if wanted.metals:
        asked = set(wanted.metals)
        kept &= np.array([asked <= set(metals_of(formula)) for formula in library.formula.tolist()], dtype=bool)
    if wanted.linker:
        kept &= _with_linker(library, wanted.linker)
    if wanted.category:
        known = {compact(text): text for text in np.unique(library.category.stored).astype(str).tolist() if text}
        if compact(wanted.category) not in known:
            there = f"it has {', '.join(sorted(known.values()))}" if known else "it does not say the categories of its entries"
            raise LibraryError(f"category {wanted.category}: the library has none of this name; {there}")
        kept &= library.category == known[compact(wanted.category)]
    return kept


def _with_linker(library: Library, linker: str) -> NDArray[np.bool_]:
    """(n,) which entries have a linker of this name; where none is called so, one whose name holds it.

    In a library that does not say its linkers: which have a name that holds it, or where it is a formula a composition that allows it.
    """
    asked = compact(linker)
    if not says(library, "linkers"):
        named = _each(library.name, lambda name: place(asked, compact(name)) >= 0)
        formula = typed_formula(linker)
        return named | (may_hold(library.formula, formula) if len(formula) > 1 else False)
    whole = _each(library.linkers, lambda text: asked in (compact(name) for name in text.split(LINKER_SEPARATOR)))
    return whole if whole.any() else _each(library.linkers, lambda text: place(asked, compact(text)) >= 0)


def _each(column: TextColumn, fits: Callable[[str], bool]) -> NDArray[np.bool_]:
    """(n,) where a column's texts fit, each text looked at once."""
    texts, of = np.unique(column.stored, return_inverse=True)
    return np.array([bool(text) and fits(text.decode()) for text in texts.tolist()], dtype=bool)[of]


class _Ranks:
    """How surely each entry is what a text means, as places in MATCHED."""

    def __init__(self, library: Library, text: str) -> None:
        self._library, self._text = library, text.strip()
        self._compact, self._words = compact(self._text), sorted(words(self._text))

    def of(self, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(n,) of the entries `kept`; _NOT where one does not fit. Spelling is only tried where nothing else finds any."""
        rank = np.full(len(self._library), _NOT)
        if not self._compact:
            return rank
        for place_in_matched, way in enumerate(self._ways()):
            if place_in_matched < len(MATCHED) - 1 or not (rank < _NOT).any():
                rows = way()
                rank[rows[(rank[rows] == _NOT) & kept[rows]]] = place_in_matched
        return rank

    def _ways(self) -> tuple[Callable[[], NDArray[np.int64]], ...]:
        """In the order of MATCHED."""
        return (
            self.called,
            self.coded,
            self._by_doi,
            self._by_formula,
            lambda: self._named(lambda name: any(place(self._compact, compact(alias)) == 0 for alias in aliases(name))),
            lambda: self._named(lambda name: place(self._compact, compact(name)) >= 0 or set(self._words) <= set(words(name))),
            self._by_words,
            lambda: self._named(lambda name: any(one_letter_off(self._compact, compact(alias)) for alias in aliases(name))),
        )

    def called(self) -> NDArray[np.int64]:
        """Rows of the entries of this very name, or one of whose names it is; the order of its parts does not count (MOF-74-Mg, Mg-MOF-74)."""
        return self._named(lambda name: any(compact(alias) == self._compact or sorted(words(alias)) == self._words for alias in aliases(name)))

    def coded(self) -> NDArray[np.int64]:
        """Rows of the entries of this refcode or file name, whatever is appended to it; six letters stand for all determinations."""
        wanted = {compact(self._text), compact(stem(self._text)), compact(stem(self._text.upper()))} - {""}
        beginnings = tuple(wanted)
        rows = []
        for row, short in enumerate(compact_all(self._library.id.tolist())):
            if short.startswith(beginnings):
                code = stem(self._library.id[row])
                if {short, compact(code)} & wanted or (refcode(code) and code[:6].lower() in wanted):
                    rows.append(row)
        return np.array(rows, dtype=np.int64)

    def _by_doi(self) -> NDArray[np.int64]:
        asked = plain_doi(self._text).casefold()
        return np.flatnonzero(_each(self._library.doi, lambda doi: doi.casefold() == asked)) if asked else _NO_ROWS

    def _by_formula(self) -> NDArray[np.int64]:
        formula = typed_formula(self._text)
        return np.flatnonzero(with_formula(self._library.formula, formula)) if len(formula) > 1 else _NO_ROWS

    def _by_words(self) -> NDArray[np.int64]:
        """Rows whose texts together hold every word: name, title, linkers, net, category, its family's name, and metals that the entry itself has."""
        library, asked = self._library, sorted(set(self._words))[:_MOST_WORDS]
        table = FormulaTable.of(library.formula)
        metal = {word: symbol_code(word.capitalize()) for word in asked if len(word) < 3 and metals_of(word.capitalize())}
        have = _word_bits(library.family_name.tolist(), asked, metal)[library.family]
        names, of = self._names
        have |= _word_bits(names, asked)[of]
        for column in (library.title, library.linkers, library.net, library.category):
            texts, of = np.unique(column.stored, return_inverse=True)
            have |= _word_bits([text.decode() for text in texts.tolist()], asked)[of]
        for word, code in metal.items():
            have |= (table.number(table.symbol == code) > 0) * (1 << asked.index(word))
        return np.flatnonzero(have == (1 << len(asked)) - 1)

    @cached_property
    def _names(self) -> tuple[list[str], NDArray[np.intp]]:
        """Names (k) without repeats, and which of them each entry has (n,)."""
        names, of = np.unique(self._library.name.stored, return_inverse=True)
        return [name.decode() for name in names.tolist()], of

    def _named(self, fits: Callable[[str], bool]) -> NDArray[np.int64]:
        names, of = self._names
        return np.flatnonzero(np.array([bool(name) and fits(name) for name in names], dtype=bool)[of])


def _word_bits(texts: list[str], asked: list[str], but: Collection[str] = ()) -> NDArray[np.int64]:
    """Which of the words each text (k,) has, one bit a word; but for some, which do not count here."""
    bits = {word: 1 << bit for bit, word in enumerate(asked) if word not in but}
    return np.array([sum(bits.get(word, 0) for word in set(words(text))) for text in texts], dtype=np.int64)


def _found(library: Library, row: int, rank: int) -> Found:
    family = int(library.family[row])
    return Found(
        id=library.id[row],
        name=entry_name(library, row),
        refcode=refcode(library.id[row]),
        formula=library.formula[row],
        metals=metals_of(library.formula[row]),
        linkers=tuple(part for part in library.linkers[row].split(LINKER_SEPARATOR) if part),
        net=library.net[row],
        category=library.category[row],
        title=library.title[row],
        cell=tuple(np.round(library.cell[row], 4).tolist()),
        doi=library.doi[row],
        family=library.family_name[family],
        members=tuple(library.id[library.members(family)].tolist()),
        matched=MATCHED[rank] if rank < _ALL else "",
    )
