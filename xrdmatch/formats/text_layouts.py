"""Text that gives its angles by a rule at its head, and then nothing but intensities: GSAS histograms, FullProf's layouts, MAUD."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import WAVELENGTH_RANGE
from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.scan import MAX_POINTS, Scan, details, first_number, grid, lines, number_rows
from xrdmatch.formats.text_header import LONGEST, header_facts


def special_layout(text: str) -> list[Scan]:
    """The scans of a text in one of these layouts; none where it is of another kind."""
    return next((scans for layout in (_gsas, _start_step_end, _count_step_start) if (scans := layout(text))), [])


def _gsas(text: str) -> list[Scan]:
    """GSAS histograms (`BANK` line): FXYE, FXY, ESD and STD with constant steps, in hundredths of a degree (GSAS manual, Larson & Von Dreele)."""
    head = text[:200_000]  # a plain look for the word takes a fiftieth of the time of the pattern
    bank = re.search(r"(?:^|[\r\n])BANK +(\d[^\r\n]{0,200})", head) if "BANK " in head else None
    if bank is None:
        return []
    words = bank.group(1).split()
    binning, kind = (words[3] if len(words) > 3 else ""), next((word for word in words[4:] if word in {"FXYE", "FXY", "ESD", "STD"}), "STD")
    if not binning.startswith("CON"):
        raise ReadError(f"its GSAS histogram is binned as {binning!r}, not in equal steps of angle: it is a time-of-flight scan")
    body = lines(re.split(r"[\r\n]BANK ", text[bank.end() :], maxsplit=1)[0])
    facts = header_facts(list(islice(lines(text[: bank.start()]), LONGEST)))
    wavelength, meta = facts.wavelength, facts.meta | {"format": f"GSAS {kind}"}
    if kind in {"FXYE", "FXY"}:
        table = np.array([row[:2] for row in number_rows(body) if len(row) >= 2])
        if table.size == 0:
            raise UnfinishedError("holds a GSAS header but no points: is it still being written?")
        return [Scan(table[:, 0] / 100.0, table[:, 1], wavelength, "", meta)]
    values = _fixed_fields(body, kind)
    count = int(words[1])
    if values.size < count:
        raise UnfinishedError(f"holds {values.size} of {count} points: is it still being written?")
    return [Scan(grid(float(words[4]) / 100.0, float(words[5]) / 100.0, count), values[:count], wavelength, "", meta)]


def _fixed_fields(body: Iterator[str], kind: str) -> NDArray[np.float64]:
    """Counts of GSAS records: fields of 8 characters; STD: a 2-digit number of detectors before each count, ESD: an error after each."""
    values = array("d")
    for line in body:
        cells = [line[at : at + 8] for at in range(0, min(len(line.rstrip()), 80), 8)]
        for cell in cells[::2] if kind == "ESD" else cells:
            values.append(float(cell[2:] if kind == "STD" else cell))
    return np.array(values)


def _start_step_end(text: str) -> list[Scan]:
    """Instruments at neutron and synchrotron sources, FullProf: `start step end` on one of the first lines, then nothing but intensities."""
    head = list(islice(lines(text), 8))
    for at, line in enumerate(head):
        words = line.replace(",", " ").split()[:3]
        numbers = [first_number(word) for word in words if re.fullmatch(r"[-+]?\d*\.?\d*", word)]
        if len(numbers) < 3 or None in numbers:
            continue
        start, step, stop = (float(number or 0.0) for number in numbers)
        count = round((stop - start) / step) + 1 if 0 < step < stop - start < 400 else 0
        if not (10 < count <= MAX_POINTS and abs(start + step * (count - 1) - stop) < 0.02 * step):
            continue
        below = number_rows(list(islice(lines(text), at + 1, at + 6)))
        if 2 <= len(below[0] if below else []) <= 3 and all(left[0] < right[0] for left, right in pairwise(below)):
            # The first row of a table can pass for such a line; a table's first column rises.
            continue
        values = array("d")
        for row in islice(lines(text), at + 1, None):
            words = row.split()
            if len(values) >= count or not words:
                continue
            try:
                values.extend([float(word) for word in words])
            except ValueError:
                break
        if len(values) < count:
            return []
        facts = header_facts(head[:at])
        meta = facts.meta | {"format": "start, step, end and intensities"}
        return [Scan(grid(start, step, count), np.array(values[:count]), facts.wavelength, facts.axis, meta, facts.abscissa)]
    return []


def _count_step_start(text: str) -> list[Scan]:
    """MAUD: a title, `count step start wavelength ...`, then one intensity a line."""
    head = list(islice(lines(text), 2))
    words = head[1].split() if len(head) == 2 else []
    if len(words) not in (4, 5) or not words[0].isdigit() or len(words[0]) > 7:
        return []
    step, start, wavelength = (first_number(word) or 0.0 for word in words[1:4])
    count = int(words[0])
    low, high = WAVELENGTH_RANGE
    if not (10 < count <= MAX_POINTS and 0 < step < 1 and 0 <= start < 180 and low <= wavelength <= high):
        return []
    rows = number_rows(islice(lines(text), 2, None))
    values = np.array([value for row in rows for value in row])
    if values.size < count:
        raise UnfinishedError(f"holds {values.size} of {count} points: is it still being written?")
    meta = {"format": "MAUD", "wavelength_kind": "stated"} | details(sample=head[0].strip())
    return [Scan(grid(start, step, count), values[:count], wavelength, "", meta)]
