"""Rows of numbers read many at once are what they are line by line."""

from __future__ import annotations

import numpy as np
import pytest

from xrdmatch.errors import ReadError
from xrdmatch.formats import columns
from xrdmatch.formats.columns import blocks, dialect

#: Lines that stand in the middle of real tables, and some that only might.
ODD = [
    "",
    "   ",
    "# a comment",
    "; 5.00 12",
    "12.5",
    "12.5 ",
    "text between ranges",
    "7.5 1,234.5",
    "7.5 1 234",
    "7_5 1_000",
    "7.5 nan",
    "nan 7.5",
    '"7.5" "12"',
    "7.5° 12",
    "7.5D0 1.2D3",
    "7.5 12 13",
    "7.5 12 e",
    "7.5 - 12",
    "7.5 -",
    "0.1 5",
    "7.5\u00a012 3",
    "7.5\x0b12",
    "\u0667.\u0665 \u0661\u0662",
    "7.5 inf",
    "7.5 12 " + "9" * 30_000,
    " ".join(["7"] * 40),
]


def table(rng, separator=" ", rows=700, width=2):
    columns = [np.arange(5.0, 5.0 + 0.02 * rows, 0.02)[:rows], *rng.normal(300.0, 200.0, (width - 1, rows))]
    return [separator.join(f"{value:.{digits}f}" for value in row) for row, digits in zip(zip(*columns, strict=True), [2, 4] * rows, strict=False)]


def described(text):
    """What `blocks` makes of a text, many rows at once and line by line."""
    split = dialect([line for line in text.splitlines() if line[:1].isdigit()][:400])
    return [[(block.header, block.widths, repr(block.values)) for block in blocks(text, way)] for way in (split, lambda line: split(line))]


@pytest.mark.parametrize("separator", [" ", "   ", "\t", ", ", ";", " | ", ","])
@pytest.mark.parametrize("width", [2, 3, 5])
def test_rows_at_once_are_rows_one_by_one(separator, width):
    rng = np.random.default_rng(width)
    for newline in ("\n", "\r\n", "\r"):
        fast, slow = described(newline.join(["title", *table(rng, separator, width=width)]))
        assert fast == slow
        assert sum(len(widths) for _, widths, _ in fast) == 700


def test_the_same_with_odd_lines_between():
    """Up to four odd lines at random places of tables in random dialects."""
    rng = np.random.default_rng(7)
    for _ in range(250):
        lines = table(rng, str(rng.choice([" ", "\t", ";", ", "])), int(rng.integers(100, 500)), int(rng.integers(2, 4)))
        for _ in range(int(rng.integers(0, 5))):
            lines.insert(int(rng.integers(0, len(lines) + 1)), ODD[rng.integers(len(ODD))])
        fast, slow = described("\n".join(lines) + "\n" * int(rng.integers(0, 2)))
        assert fast == slow


@pytest.mark.parametrize("odd", ODD)
def test_each_odd_line(odd):
    lines = table(np.random.default_rng(1), rows=600)
    fast, slow = described("\n".join([*lines[:400], odd, *lines[400:]]))
    assert fast == slow


def test_most_rows_go_the_fast_way(monkeypatch):
    """Else the test above would compare the slow way with itself."""
    asked = []
    whole = columns._Splitter.__call__
    monkeypatch.setattr(columns._Splitter, "__call__", lambda self, line: asked.append(line) or whole(self, line))
    text = "\n".join(table(np.random.default_rng(2), rows=2000))
    split = dialect(text.splitlines()[:50])
    asked.clear()
    assert sum(len(block.widths) for block in blocks(text, split)) == 2000
    assert len(asked) < 300


def test_too_many_rows(monkeypatch):
    monkeypatch.setattr(columns, "MAX_POINTS", 500)
    text = "\n".join(table(np.random.default_rng(3)))
    with pytest.raises(ReadError, match="more than 500 rows"):
        blocks(text, dialect(text.splitlines()[:50]))
