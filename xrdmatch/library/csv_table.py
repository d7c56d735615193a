"""Small tables as spreadsheets save them.

Columns are separated by commas, semicolons or tabs, as the first line has them; the text may be UTF-8, UTF-16 or of a code page.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xrdmatch.errors import LibraryError, ReadError
from xrdmatch.formats.scan import decode
from xrdmatch.system import atomic_files

#: What may separate columns.
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class CsvTable:
    """The rows that hold something, each with its line in the file. columns: names in small letters. separator: of columns."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    separator: str

    def records(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line, and cells by column. Raises LibraryError at a row with more cells than there are columns."""
        for line, cells in self.rows:
            if any(cells[len(self.columns) :]):
                advice = f"has more columns than the first line; put quotes around a text with {self.separator!r} in it"
                raise LibraryError(f"{self.path}, line {line}: {advice}")
            yield line, {name: cell for name, cell in zip(self.columns, cells, strict=False) if name}


def read_table(path: str | Path, what: str, needed: Sequence[str]) -> CsvTable:
    """The table in a file. what: it is to be, in an error. needed: columns it must have. Raises LibraryError where it is no such table."""
    try:
        columns, rows, separator = _parsed(decode(Path(path).read_bytes()))
    except OSError as error:
        raise LibraryError(f"{path}: expected {what}, but it cannot be read ({atomic_files.reason(error)})") from error
    except ReadError as error:
        raise LibraryError(f"{path}: expected {what}, but it cannot be read: it is not a text file") from error
    except csv.Error as error:
        raise LibraryError(f"{path}: expected {what}, but it cannot be read as one ({error})") from error
    missing = set(needed) - set(columns)
    if missing:
        raise LibraryError(f"{path}: expected the columns {' and '.join(needed)}; {', '.join(sorted(missing))} not found")
    return CsvTable(Path(path), columns, rows, separator)


def _parsed(text: str) -> tuple[tuple[str, ...], tuple[tuple[int, tuple[str, ...]], ...], str]:
    """Names of the columns, in small letters; line and cells of every row that holds something; and what separates columns."""
    lines = list(io.StringIO(text, newline=""))
    stated = re.fullmatch(r"sep=(.)\s*", lines[0]) if lines else None  # a first line that Excel writes and reads
    start = 1 if stated else 0
    head = lines[start] if len(lines) > start else ""
    separator = stated[1] if stated else max(_SEPARATORS, key=head.count)
    reader = csv.reader(lines[start:], delimiter=separator)
    columns = tuple(name.strip().lower() for name in next(reader, []))
    rows = tuple((start + reader.line_num, tuple(cells)) for cells in reader if any(cell.strip() for cell in cells))
    return columns, rows, separator
