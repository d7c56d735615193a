"""A table of structure files: which of them a library takes, and what it says of them beside their reflections.

A CSV file with the columns `archive` and `file`, and any of those in `COLUMNS`. archive: name of the archive or folder (of a file given alone, its
own name); file: name of the file, or * for all others of that archive. A file or archive that the table does not list is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from xrdmatch.errors import LibraryError
from xrdmatch.library.build import Item
from xrdmatch.library.csv_table import read_table
from xrdmatch.library.reference_library import Library
from xrdmatch.library.text_column import TextColumn

#: What a library may say of the kind of an entry.
CATEGORIES = ("mof", "cof", "zeolite", "byproduct", "linker", "holder", "standard")
#: Kind of a title that a table gives.
GIVEN = "given"
#: Stands for all files of an archive that have no row of their own.
ALL = "*"


@dataclass(frozen=True)
class SourceRow:
    """What the table says of a file: texts of its entry, where they are not empty. reason: why it is left out, or what to know of it."""

    id: str = ""
    name: str = ""
    title: str = ""
    category: str = ""
    linkers: str = ""
    net: str = ""
    licence: str = ""
    source: str = ""
    doi: str = ""
    use: str = "yes"
    reason: str = ""


COLUMNS = tuple(field.name for field in fields(SourceRow))
#: Of these an entry has its own text. The others are made of several, or say nothing of an entry.
_COPIED = ("name", "title", "category", "linkers", "net", "doi")


@dataclass(frozen=True)
class SourceTable:
    """rows: by archive and file name."""

    rows: Mapping[tuple[str, str], SourceRow]

    @classmethod
    def load(cls, path: str | Path) -> SourceTable:
        """Raises LibraryError where the file cannot be read, lacks a column, or a row cannot be right."""
        rows: dict[tuple[str, str], SourceRow] = {}
        ids: dict[str, int] = {}
        for number, cells in read_table(path, "a table of structure files", ("archive", "file")).records():
            line = {name: text.strip() for name, text in cells.items()}
            where, place = f"{path}, line {number}", (line.get("archive", ""), line.get("file", ""))
            row = SourceRow(**{name: line[name] for name in COLUMNS if line.get(name)})
            _check(row, where)
            if place in rows:
                raise LibraryError(f"{where}: {place[1]} of {place[0]} comes twice; keep one row")
            if row.id and row.use == "yes" and ids.setdefault(row.id, number) != number:
                raise LibraryError(f"{where}: the id {row.id} comes twice, first in line {ids[row.id]}; ids must be unique")
            rows[place] = row
        return cls(rows)

    def choose(self, items: Iterator[Item], left_out: list[tuple[str, str]]) -> Iterator[Item]:
        """The files to take, under the names to take; the others go to `left_out` with the reason."""
        for name, data, source in items:
            row = self._row(source, name)
            if row.use == "no":
                left_out.append((Path(name).stem, row.reason or "the table says no"))
            else:
                yield (row.id + Path(name).suffix if row.id else name), data, source

    def _row(self, source: str, name: str) -> SourceRow:
        return self.rows.get((source, name)) or self.rows.get((source, ALL)) or SourceRow()

    def applied(self, library: Library) -> Library:
        """The library with what the table says of its entries, and the licences of their sources in its provenance.

        The source of entries from archives that are taken whole stays the archive's name, by which they are known elsewhere.
        """
        by_id = {(archive, row.id or Path(file).stem): row for (archive, file), row in self.rows.items() if row.use == "yes" and file != ALL}
        texts = {key: getattr(library, key).tolist() for key in (*_COPIED, "title_kind", "source", "note")}
        for place, (archive, identifier) in enumerate(zip(library.source.tolist(), library.id.tolist(), strict=True)):
            own = by_id.get((archive, identifier))
            row = own or self.rows.get((archive, ALL)) or SourceRow()
            for key in _COPIED:
                texts[key][place] = getattr(row, key) or texts[key][place]
            if row.title:
                texts["title_kind"][place] = GIVEN
            if own:
                texts["source"][place] = _with_licence(own) or archive
                texts["note"][place] = "; ".join(part for part in (texts["note"][place], own.reason) if part and part not in texts["note"][place])
        licences = self._licences(set(texts["source"]))
        columns: dict[str, Any] = {key: TextColumn.of(column) for key, column in texts.items()}
        return replace(library, **columns, attrs=library.attrs | ({"licences": licences} if licences else {}))

    def _licences(self, sources: set[str]) -> dict[str, str]:
        """Of each of these sources that the table knows: its licence, and for an archive where it comes from."""
        known = {_with_licence(row): row.licence for (_, file), row in self.rows.items() if file != ALL}
        known |= {archive: _with_licence(row) for (archive, file), row in self.rows.items() if file == ALL}
        return {source: known[source] for source in sorted(sources) if known.get(source)}


def _with_licence(row: SourceRow) -> str:
    return f"{row.source} ({row.licence})" if row.source and row.licence else row.source or row.licence


def _check(row: SourceRow, where: str) -> None:
    if row.use not in ("yes", "no"):
        raise LibraryError(f"{where}: expected yes or no in the column use, got {row.use!r}")
    if row.category and row.category not in CATEGORIES:
        raise LibraryError(f"{where}: expected a category out of {', '.join(CATEGORIES)}, got {row.category!r}")
