"""Nets of a library's frameworks out of a table of RCSR symbols, which a program for topology has found (scripts/nets_of_structures.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xrdmatch.errors import LibraryError
from xrdmatch.library.breathing import source_of
from xrdmatch.library.csv_table import read_table
from xrdmatch.library.reference_library import LINKER_SEPARATOR, Library
from xrdmatch.library.text_column import TextColumn


def read_nets(path: str | Path) -> dict[str, str]:
    """RCSR symbols by id out of a table with the columns id and net, which may be empty. Raises LibraryError where it cannot be read."""
    found: dict[str, str] = {}
    for number, row in read_table(path, "a table of nets", ("id", "net")).records():
        identifier, net = row["id"].strip(), row["net"].strip()
        before = found.setdefault(identifier, net)
        if before != net:
            raise LibraryError(f"{path}, line {number}: {identifier} has the net {net or 'none'}, but {before or 'none'} above; keep one row")
    return found


def with_nets(library: Library, nets: Mapping[str, str]) -> Library:
    """The library with nets, and titles that name them.

    A net found for one member of a family holds for the others: those of the same first linker, where all agree, else of all members where those do.
    Interpolated forms have that of the form they come from.
    """
    if not nets:
        return library
    ids = [source_of(*pair) for pair in zip(library.id.tolist(), library.note.tolist(), strict=True)]
    first = [linkers.split(LINKER_SEPARATOR)[0] for linkers in library.linkers.tolist()]
    families = library.family.tolist()
    shared: dict[tuple[int, str | None], set[str]] = defaultdict(set)
    for identifier, family, linker in zip(ids, families, first, strict=True):
        for place in ((family, linker), (family, None)):
            shared[place] |= {nets[identifier]} if nets.get(identifier) else set()
    told = list(library.net.tolist())
    titles = list(library.title.tolist())
    for row, (identifier, family, linker) in enumerate(zip(ids, families, first, strict=True)):
        near = shared[family, linker] or shared[family, None]
        told[row] = told[row] or nets.get(identifier, "") or (next(iter(near)) if len(near) == 1 else "")
        if told[row] and told[row] not in titles[row].split(", ") and library.title_kind[row] in ("linkers", "groups"):
            titles[row] = f"{titles[row]}, {told[row]}"
    return replace(library, net=TextColumn.of(told), title=TextColumn.of(titles))
