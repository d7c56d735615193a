"""Columns of numbers in every dialect that instruments, spreadsheets and refinement programs write.

Angles come first, intensities second, unless a header names the columns. Decided from the content: the separator (blank, tab, comma, semicolon, bar),
decimal points or commas, line ends, encoding. Headers are searched for a wavelength, an anode and what the numbers along the scan are.
"""

from __future__ import annotations

import re
from itertools import islice

import numpy as np

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.columns import Block, blocks, dialect, only_blanks, separator_of
from xrdmatch.formats.scan import MAX_LINE, Scan, breaks_off, decode, lines, noted
from xrdmatch.formats.text_layouts import special_layout
from xrdmatch.formats.text_tables import scans_of

#: Lines that the dialect is told from, and what they begin with.
_SAMPLE, _NUMERIC = 400, re.compile(r'\s*"?[-+.]?\d|\s*[,;|\t]')
#: A table of fewer rows than this share of the longest is a header's, unless it goes on where another ends.
_SHORT = 0.1


def read(data: bytes) -> list[Scan]:
    """Ranges of a text file of columns: one for each block of numbers, for each sample in it. Raises ReadError where there is no such block."""
    text = decode(data)
    if scans := special_layout(text):
        return scans
    numeric = (line[:MAX_LINE] for line in lines(text) if _NUMERIC.match(line))
    split = dialect([] if only_blanks(text) else list(islice(numeric, _SAMPLE)))
    found = blocks(text, split)
    if not found:
        raise ReadError(_no_columns(text))
    if max(len(block.widths) for block in found) < 2:
        raise UnfinishedError("holds 1 point, expected a scan: is it still being written?")
    broken = breaks_off(text, split, int(np.bincount(np.array(found[-1].widths)).argmax()))
    if broken and found[-1].unread:
        found[-1].unread.pop()  # the last line, of which another note tells
    tables, left_out = _tables(found)
    first = found[0].header
    for block in tables:
        own = block.header if block is found[0] else [*first, *block.header]
        scans += scans_of(block, own, separator_of(split))
    if left_out:
        noted(scans[0].meta, "rows_left_out", rows=left_out, first="")
    if broken:
        noted(scans[-1].meta, "broken_record")
    return scans


def _tables(found: list[Block]) -> tuple[list[Block], int]:
    """The blocks that hold the scan or parts of it, and how many rows of its width lie in others.

    A short block is numbers of a header, but where it has the columns of the longest and lies beside it.
    """
    longest = max(found, key=lambda block: len(block.widths))
    most, width = len(longest.widths), longest.widths[-1]
    low, high = sorted((longest.values[0], longest.values[-width]))
    margin = max(1.0, high - low)
    kept, left_out = [], 0
    for block in found:
        beside = block.widths[-1] == width and low - margin <= block.values[0] <= high + margin
        if len(block.widths) >= max(2, _SHORT * most) or (beside and len(block.widths) >= 3):
            kept.append(block)
        elif beside and low - margin <= block.values[-width] <= high + margin:
            left_out += len(block.widths)
    return kept, left_out


def _no_columns(text: str) -> str:
    found = [line.strip() for line in islice((line for line in lines(text) if line.strip()), 1)]
    if not found:
        return "is empty"
    if text.lstrip()[:15].lower().startswith(("<!doctype", "<html")):
        return "is a web page, not a scan: download the file itself"
    return f"holds no two columns of numbers (angle and intensity); it begins with {found[0][:40]!r}"
