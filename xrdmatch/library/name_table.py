"""Names of one's own: a table of refcodes, names and DOIs, for structures that nobody else has a name for, or another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xrdmatch.errors import LibraryError
from xrdmatch.library.common_names import stem
from xrdmatch.library.csv_table import read_table
from xrdmatch.library.families import with_family_names
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.library.spelling import plain_doi
from xrdmatch.library.text_column import TextColumn

#: Faults of one table that are told, and the longest name.
_TOLD, _LONGEST = 5, 120


@dataclass(frozen=True)
class OwnName:
    """What a table says of one structure. key: its refcode, or its file's name without the ending. doi may be empty."""

    key: str
    name: str
    doi: str = ""


#: By key, in small letters.
Names = Mapping[str, OwnName]


def read_names(path: str | Path) -> Names:
    """The names in a table with the columns refcode and name, and doi where there is one; separated by commas, semicolons or tabs.

    Raises LibraryError, which lists what is wrong line by line.
    """
    found: dict[str, tuple[int, OwnName]] = {}
    faults = []
    for line, row in read_table(path, "a table of names", ("refcode", "name")).records():
        one = OwnName(*(" ".join(row.get(column, "").split()) for column in ("refcode", "name", "doi")))
        first, before = found.get(one.key.lower(), (line, one))
        if fault := _fault(one, first, before):
            faults.append(f"line {line}: {fault}")
        found.setdefault(one.key.lower(), (line, replace(one, doi=plain_doi(one.doi))))
    if faults:
        more = f"; and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
        raise LibraryError(f"{path}, {'; '.join(faults[:_TOLD])}{more}")
    if not found:
        raise LibraryError(f"{path}: expected a table of names, but it holds none; give a refcode and a name in each row")
    return {key: one for key, (_, one) in found.items()}


def _fault(one: OwnName, first: int, before: OwnName) -> str:
    """What is wrong with a row, or an empty string. first, before: line and row of the same refcode."""
    if not one.key:
        return "expected a refcode, or a structure file's name without its ending"
    if not one.name:
        return f"expected a name for {one.key}"
    if len(one.name) > _LONGEST or not one.name.isprintable():
        return f"expected a name of {_LONGEST} printable characters at most for {one.key}"
    if one.doi and not plain_doi(one.doi):
        return f"expected a DOI such as 10.1021/ja8057953 for {one.key}, got {one.doi}"
    return f"{one.key} is named {one.name}, but {before.name} in line {first}" if one.name != before.name else ""


def own_name(identifier: str, names: Names) -> OwnName | None:
    """What the table says of an entry: by its id, else by its refcode."""
    return names.get(identifier.lower()) or names.get(stem(identifier).lower())


def named_entry(entry: Entry, names: Names) -> Entry:
    """The entry with its name and DOI out of the table, where it is there."""
    own = own_name(entry.id, names)
    return replace(entry, name=own.name, doi=own.doi or entry.doi) if own else entry


def with_own_names(library: Library, names: Names) -> Library:
    """The library with the names and DOIs of the table in place of its own, its families called accordingly."""
    if not names:
        return library
    own = [own_name(identifier, names) for identifier in library.id.tolist()]
    labels = [one.name if one else name for one, name in zip(own, library.name.tolist(), strict=True)]
    dois = [one.doi or doi if one else doi for one, doi in zip(own, library.doi.tolist(), strict=True)]
    rows = np.array([row for row, one in enumerate(own) if one], dtype=np.int64)
    return with_family_names(replace(library, name=TextColumn.of(labels), doi=TextColumn.of(dois)), np.unique(library.family[rows]).astype(np.int64))


def without_entry(ids: Iterable[str], names: Names) -> list[str]:
    """The refcodes of the table that none of these entries has."""
    there = {text.lower() for identifier in ids for text in (identifier, stem(identifier))}
    return [one.key for key, one in names.items() if key not in there]
