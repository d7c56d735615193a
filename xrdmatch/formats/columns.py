"""Lines of text to blocks of rows of numbers: how a file separates and writes them is decided from its own lines."""

from __future__ import annotations

import csv
import io
import math
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ReadError
from xrdmatch.formats.scan import MAX_LINE, MAX_POINTS, first_number

Row = list[float]
_COMMENT = ("#", "!", "'", "%", "//", "*", ";", "/*", "&", "@")
#: Blanks and marks that group thousands, the minus sign of word processors, and the exponents of Fortran.
_WITHIN = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'", "\u2212": "-", "\u2013": "-", "\ufe63": "-", "D": "E", "d": "e"})
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:(?: \d{3})+|(?:'\d{3})+)(?:[.,]\d+)?")
_COMMAS, _POINTS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"), re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d*(?:e[-+]?\d+)?", re.IGNORECASE)
#: A negative number as accountants write it, and one with its standard uncertainty.
_NEGATIVE, _UNCERTAIN = re.compile(r"\((\d[\d.,]*)\)"), re.compile(r"([-+]?\d*[.,]?\d+)\(\d+\)")
#: What rows hold that need no closer look: digits, points, exponents and separators.
_PLAIN = b"0123456789.+-eE \t,;|\n"
#: Lines with a decimal comma in front of a separator, and lines that begin with a number.
_COMMA = re.compile(r'\s*"?(?:\d+"?\s*[;\t|]\s*"?)?[-+]?\d+,\d+"?(?:\s*[;\t|]|\s+[-+\d."])')
_BEGINS = re.compile(r'\s*"?[-+]?[\d.]')
_MISSING = {"", "-", "--", "---", "nan", "n/a", "na", "none", "null"}

_MAX_COLUMNS = 32
#: Lines of a header that are kept, and rows that are tried at once: before the first table, and inside one.
_HEADER, _AT_ONCE = 300, (32, 2048)

# ---- one line to numbers ----


def _number(word: str, decimal_comma: bool) -> float:
    """A number as the file writes it; NaN for an empty cell. Raises ValueError for a word."""
    try:
        number = float(word)
    except ValueError:
        return _dressed_number(word, decimal_comma)
    if decimal_comma and "." in word and _POINTS.fullmatch(word.strip()):
        return _dressed_number(word, decimal_comma)
    if "_" in word:  # which Python lets a number have
        raise ValueError(word)
    return number


def _dressed_number(word: str, decimal_comma: bool) -> float:
    """The same for a number in quotes, with a unit, grouped thousands, a decimal comma, another minus sign or another exponent."""
    word = word.strip().strip('"').rstrip("°").translate(_WITHIN).strip()
    if word.lower() in _MISSING:
        return math.nan
    if (found := _NEGATIVE.fullmatch(word)) is not None:
        word = f"-{found.group(1)}"
    elif (found := _UNCERTAIN.fullmatch(word)) is not None:
        word = found.group(1)
    if _GROUPED.fullmatch(word):
        word = word.replace(" ", "").replace("'", "")
    if decimal_comma and _POINTS.fullmatch(word):
        word = word.replace(".", "")
    if "," in word:
        # A comma groups by three, or it is the decimal one: anything else is no number.
        if not (_DECIMAL_COMMA if decimal_comma else _COMMAS).fullmatch(word):
            raise ValueError(word)
        word = word.replace(",", "." if decimal_comma else "")
    if "_" in word:
        raise ValueError(word)
    return float(word)


@dataclass(frozen=True)
class _Splitter:
    """Gives the leading numbers of a line."""

    separator: str | None
    decimal_comma: bool

    def __call__(self, line: str) -> Row:
        numbers: Row = []
        for word in quoted_cells(line, self.separator) if '"' in line and self.separator else line.split(self.separator):
            try:
                numbers.append(_number(word, self.decimal_comma))
            except ValueError:
                break
        while numbers and math.isnan(numbers[-1]):
            numbers.pop()
        return numbers

    def table(self, rows: list[str], width: int) -> NDArray[np.float64] | None:
        """All numbers of `rows` where each row holds `width` plain ones and nothing else, as nearly all rows of nearly all files do; else None."""
        text = "".join(rows)
        if not 2 <= width <= _MAX_COLUMNS or max(map(len, rows)) > MAX_LINE or not text.isascii() or text.isspace():
            return None
        if text.encode().translate(None, _PLAIN):  # faster than a pattern
            return None
        try:
            numbers = np.loadtxt(rows, comments=None, delimiter=self.separator, ndmin=2)
        except ValueError:
            return None
        return numbers if numbers.shape == (len(rows), width) else None  # a blank row is left out


def quoted_cells(line: str, separator: str) -> list[str]:
    """The cells of a line in which quotes may hold the separator: `5.00,"1,234"`."""
    return next(csv.reader([line.strip("\r\n")], delimiter=separator), [])


def _comma_pairs(line: str) -> Row:
    """`10,02,345,5`: decimal commas and comma separators at once, which a wrongly set spreadsheet writes."""
    words = line.strip().split(",")
    if len(words) % 2 or not all(word.strip().lstrip("+-").isdigit() for word in words):
        return []
    return [float(f"{whole}.{part}") for whole, part in zip(words[::2], words[1::2], strict=True)]


def separator_of(split: Callable[[str], Row]) -> str | None:
    """What separates the cells of a line; None for blanks."""
    return split.separator if isinstance(split, _Splitter) else ","


def only_blanks(text: str) -> bool:
    """Whether nothing but blanks can separate the numbers of a text: then no sample of its lines is needed for `dialect`."""
    return not any(mark in text for mark in ";\t|,")


def dialect(sample: list[str]) -> Callable[[str], Row]:
    """The way to split lines that understands most of the sample, as two or more numbers with an angle that moves."""
    if all(map(only_blanks, sample)):
        return _Splitter(None, False)
    commas = sum(1 for line in sample if _COMMA.match(line))
    decimal_comma = commas > 0.5 * sum(1 for line in sample if _BEGINS.match(line))
    best, best_score = _Splitter(None, decimal_comma), 0.0
    quoted = any('"' in line for line in sample)
    ways = [(separator, decimal_comma and separator != ",") for separator in (";", "\t", "|", None, ",")]
    for separator, comma in [*ways, (",", True)] if quoted else ways:
        split = _Splitter(separator, comma)
        score = _score([split(line) for line in sample if separator is None or separator in line])
        if score > best_score + 1e-9:
            best, best_score = split, score
        if best_score > len(sample) - 1e-9:  # every line: nothing can be better
            return best
    pairs = [row for row in map(_comma_pairs, sample) if len(row) == 2]
    return _comma_pairs if len(pairs) > 2 and _score(pairs) > best_score else best


def _score(rows: list[Row]) -> float:
    """Lines with two or more numbers, worth little where their angle stands still as a comma taken for a separator makes it."""
    full = [row for row in rows if len(row) >= 2]
    if len(full) < 2:
        return float(len(full))
    moves = sum(1 for left, right in pairwise(full) if left[0] != right[0])
    return len(full) * (0.1 + 0.9 * moves / (len(full) - 1))


# ---- a file to blocks of rows ----

#: A line that begins like a row: a number, and then something that may be a number's place; and one without any letter or mark of a comment.
_ROW_LIKE, _NO_WORD = re.compile(r'\s*"?([-+\u2212]?\d[\d.,]*)(?=[^\w.,]|\s*$)'), re.compile(r"[\s*?\d.,;|\t+\u2212-]+")


class Block:
    """Consecutive rows of numbers and the lines above them. unread: lines among them that look like rows and could not be read."""

    def __init__(self, header: list[str]) -> None:
        self.header = header
        self.values = array("d")
        self.widths = array("i")
        self.unread: list[str] = []
        self._last = math.nan  # the last angle, unread rows included

    def add(self, row: Row) -> None:
        row = row[:_MAX_COLUMNS]
        self.values.extend(row)
        self.widths.append(len(row))
        self._last = row[0]

    def extend(self, rows: NDArray[np.float64]) -> None:
        """Adds rows (n, columns) of equal width."""
        self.values.frombytes(rows.tobytes())
        self.widths.frombytes(np.full(len(rows), rows.shape[1], dtype=np.intc).tobytes())
        self._last = math.nan

    def table(self) -> NDArray[np.float64]:
        """(rows, columns), NaN where a row is short. Rows above the table that only look like it (a count, a range) are left out."""
        widths = np.array(self.widths)
        width = int(np.bincount(widths).argmax())
        rows = np.full((widths.size, max(width, 2)), np.nan)
        ends = np.cumsum(widths)
        values = np.array(self.values)
        for column in range(rows.shape[1]):
            has = widths > column
            rows[has, column] = values[(ends - widths)[has] + column]
        return rows[_rows_above(rows[:, 0], int(np.argmax(widths == width))) :]

    def lacks(self, line: str) -> bool:
        """Whether a line within the block is one of its rows that cannot be read; it is kept as such."""
        found = _ROW_LIKE.match(line)
        if found is not None:
            first = first_number(found.group(1).replace("\u2212", "-"))
            known = self.values[-self.widths[-1]] if math.isnan(self._last) else self._last
            rising = len(self.widths) < 2 or known >= self.values[0]
            if first is None or not (0.0 < (first - known) * (1 if rising else -1) <= max(5.0, 0.2 * abs(known))):
                return False
            self._last = first
        elif not _NO_WORD.fullmatch(line) or not re.search(r"[\d*?]", line):
            return False
        self.unread.append(line.strip()[:60])
        return True


def _rows_above(first: NDArray[np.float64], skip: int) -> int:
    """How many of the `skip` rows above a table are none of its rows: their first numbers do not lead up to its angles."""
    if skip == 0 or first.size < skip + 3:
        return skip
    step = float(first[skip + 1] - first[skip])
    while skip > 0 and 0.0 < (first[skip] - first[skip - 1]) / step < 3.0 if step else False:
        skip -= 1
    return skip


def blocks(text: str, split: Callable[[str], Row]) -> list[Block]:
    """The text's blocks of rows of two or more numbers. Raises ReadError where there are more rows than a scan has."""
    found: list[Block] = []
    header: list[str] = []
    total = 0
    rows = io.StringIO(text, newline=None)  # as `scan.lines`, but line ends may stay: numbers do not mind them
    while part := list(islice(rows, _AT_ONCE[bool(found)])):
        # Inside a table rows are alike: many at once take a tenth of the time.
        width = found[-1].widths[-1] if found and not header else 0
        numbers = split.table(part, width) if isinstance(split, _Splitter) else None
        if numbers is not None:
            found[-1].extend(numbers)
            total += len(part)
        for line in part if numbers is None else ():
            is_comment = line.lstrip().startswith(_COMMENT)
            row = split(line[:MAX_LINE]) if not is_comment else []
            if len(row) >= 2:
                # One or two lines of words inside a table are passed over; more, or a jump back, begin another one.
                if not found or len(header) > 2 or (header and not _continues(found[-1], row)):
                    found.append(Block(header))
                header = []
                found[-1].add(row)
                total += 1
            elif line.strip() and found and not header and found[-1].lacks(line[:MAX_LINE]):
                total += 1
            elif line.strip() and len(header) < _HEADER:
                header.append(line.rstrip("\n")[:500])
        if total > MAX_POINTS:
            raise ReadError(f"holds more than {MAX_POINTS} rows: give one scan per file")
    return found


def _continues(block: Block, row: Row) -> bool:
    last = block.values[-block.widths[-1]]
    return len(block.widths) < 2 or (row[0] - last) * (last - block.values[0]) > 0
