"""Text that gives start, end and step and then nothing but counts: Jade MDI, Sietronics CPI, Seifert VAL, and any text that names the three.

Layouts: MDI and CPI as the comments in the sources of DASH (CCDC) and xylib show them; the `BerPar` blocks of VAL as two programs of its users read
them. The keys of the other texts explain themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.abscissa import Abscissa, abscissa
from xrdmatch.formats.scan import MAX_LINE, MAX_POINTS, Scan, decode, details, first_number, grid, lines, noted, plain, radiation, stated_wavelength

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_COUNT = re.compile(rf"{_NUMBER}$")


def _angles(start: float, end: float, step: float, there: int) -> NDArray[np.float64]:
    """Positions of `there` counts. The end need not be a multiple of the step away, and some writers leave it out."""
    if not all(map(math.isfinite, (start, end, step))) or step == 0 or not 0 < (end - start) / step < MAX_POINTS:
        raise ReadError(f"its header gives a scan from {start:g} to {end:g} in steps of {step:g}: the file is damaged")
    steps = (end - start) / step
    if there < math.floor(steps + 0.02):
        raise UnfinishedError(f"holds {there} of {round(steps) + 1} points: is it still being written?")
    if there > math.ceil(steps - 0.02) + 1:
        raise ReadError(f"holds {there} counts, but its header gives {round(steps) + 1} points from {start:g} to {end:g}: the file is damaged")
    return grid(start, step, there)


def _counts(rows: list[str]) -> NDArray[np.float64]:
    """The numbers of rows that hold nothing else, with decimal points, decimal commas or commas that group thousands. Raises ReadError for a word."""
    words = [word.strip("\"'") for row in rows for word in re.split(r"[\s;]+|,(?=\s|$)", row[:MAX_LINE]) if word]
    if len(words) > MAX_POINTS:
        raise ReadError(f"holds more than {MAX_POINTS} counts: give one scan per file")
    commas = [word for word in words if "," in word]
    if commas:
        thousands = all(re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?", word) for word in commas)
        if thousands and (len(commas) == len(words) or any("." not in word and len(word.lstrip("+-")) > 3 for word in set(words) - set(commas))):
            raise ReadError("its counts have commas that may mark decimals or thousands: export it with decimal points and no thousands separators")
        words = [word.replace(",", "" if thousands else ".") for word in words]
    wrong = next((word for word in words if not _COUNT.match(word)), None)
    if wrong is not None:
        raise ReadError(f"has {wrong[:40]!r} among its counts: the file is damaged")
    return np.array([float(word) for word in words])


# ---- Jade MDI ----

#: `start step time anode wavelength stop count`; the time can touch the step, which has four decimals.
_MDI = re.compile(
    rf"\s*(?P<start>{_NUMBER})\s+(?P<step>\d*\.\d{{4}}(?=\d+\.)|{_NUMBER}(?=\s))\s*(?P<time>{_NUMBER})\s+(?P<anode>[A-Za-z]{{1,2}}\w*)\s+"
    rf"(?P<wavelength>{_NUMBER})\s+(?P<stop>{_NUMBER})\s+(?P<count>\d+)\s*$"
)
_MDI_TITLE = re.compile(r"(?P<date>.{0,15}?)\s*\bDIF\b(?P<title>.*)")
#: Counts are written eight to a line, in fields of this width, and can fill them.
_MDI_FIELD = 8


def read_mdi(data: bytes) -> list[Scan]:
    """Scans of a Jade MDI file: a title, a line of numbers, counts, -1 and a point. Raises ReadError where it breaks off."""
    rows = [line.rstrip() for line in lines(decode(data))]
    heads = [(at, head) for at, row in enumerate(rows) if (head := _MDI.match(row))]
    if not heads:
        raise UnfinishedError("is a Jade MDI file without its second line: is it still being written?")
    scans = []
    for number, (at, head) in enumerate(heads, start=1):
        # The line above a following header is its title.
        body = [row for row in rows[at + 1 : heads[number][0] - 1 if number < len(heads) else None] if row]
        closed = body[-1:] == ["."]
        scans.append(_mdi_scan(rows[at - 1] if at else "", head, body[:-1] if closed else body, closed))
    return scans


def _mdi_scan(title: str, head: re.Match[str], rows: list[str], closed: bool) -> Scan:
    counts = _mdi_counts(rows)
    start, promised = float(head["start"]), int(head["count"])
    step = _mdi_step(start, float(head["stop"]), head["step"], promised)
    if counts.size and counts[-1] == -1 and bool((counts[:-1] >= 0).all()):
        counts, closed = counts[:-1], True
    if counts.size > promised:
        raise ReadError(f"holds {counts.size} counts, but its header gives {promised}: the file is damaged")
    if counts.size < promised and not closed:
        raise UnfinishedError(f"holds {counts.size} of {promised} points: is it still being written?")
    words = _MDI_TITLE.match(title)
    wavelength, meta = _stated(head["wavelength"], head["anode"])
    meta |= details(format="Jade MDI", counting_time=first_number(head["time"]), date=words["date"] if words else None)
    meta |= details(sample=words["title"] if words else title)
    if counts.size < promised:
        noted(meta, "stopped_early", points=int(counts.size), planned=promised)
    return Scan(grid(start, step, counts.size), counts, wavelength, "", meta)


def _mdi_step(start: float, stop: float, stated: str, promised: int) -> float:
    """The step, which must fit the range and the number of points; where it is written with too few decimals, the one that does."""
    step, even = float(stated), (stop - start) / max(promised - 1, 1)
    if promised > 1 and stop != start:
        if abs(start + step * (promised - 1) - stop) <= 0.5 * abs(step):
            return step
        if abs(even - step) <= 0.51 * 10.0 ** -len(stated.partition(".")[2]):
            return even
        if abs(start + step * (promised - 1) - stop) <= 1.02 * abs(step):
            return step
    raise ReadError(f"its header gives {promised} points from {start:g} to {stop:g} in steps of {step:g}, which do not agree: the file is damaged")


def _mdi_counts(rows: list[str]) -> NDArray[np.float64]:
    """Counts in fields of eight characters where they touch, else between blanks."""
    cells: list[str] = []
    for row in rows:
        fields = [row[at : at + _MDI_FIELD].strip() for at in range(0, len(row), _MDI_FIELD)]
        touching = any(len(word) > _MDI_FIELD and word.isdigit() for word in row.split())
        if touching and (len(row) % _MDI_FIELD or not all(map(_COUNT.match, fields))):
            raise ReadError(f"its counts run together ({row.strip()[:40]!r}) and are not in fields of {_MDI_FIELD} characters: export it again")
        cells.append(" ".join(fields) if touching else row)
    return _counts(cells)


def _stated(wavelength: str, anode: str) -> tuple[float | None, dict[str, object]]:
    """One wavelength that a header states, taken as it is; the anode's where that is missing."""
    value, _ = radiation(first_number(wavelength))
    if value is None:
        return radiation(anode=anode)
    return value, radiation(anode=anode)[1] | {"wavelength_kind": "stated"}


# ---- Sietronics CPI ----


def read_cpi(data: bytes) -> list[Scan]:
    """The scan of a Sietronics CPI file: start, end, step, anode, wavelength, date, speed and comment a line each, SCANDATA, then counts."""
    rows = iter(line.strip() for line in lines(decode(data)))
    header: list[str] = []
    for line in islice(rows, 60):
        if line.upper().startswith("SCANDATA"):
            break
        header.append(line)
    else:
        raise UnfinishedError("is a Sietronics CPI file without SCANDATA: is it still being written?")
    values = [first_number(line) if re.match(r"[-+.\d]", line) else None for line in header[1:4]]
    if len(values) < 3 or None in values:
        raise ReadError(f"is a Sietronics CPI file whose lines 2 to 4 are {', '.join(header[1:4])!r}, expected start, end and step")
    start, end, step = (float(value or 0.0) for value in values)
    counts = _counts([row for row in rows if row])
    rest = header[4:]
    wavelength, meta = _stated(rest[1] if len(rest) > 1 else "", rest[0] if rest else "")
    meta |= details(format="Sietronics CPI", date=rest[2] if len(rest) > 2 else None, sample=" ".join(rest[4:]))
    return [Scan(_angles(start, end, step, counts.size), counts, wavelength, "", meta)]


# ---- Seifert VAL ----

_BERPAR = re.compile(r"berpar\s*\d+", re.IGNORECASE)


def read_val(data: bytes) -> list[Scan]:
    """Ranges of a Seifert VAL file: each `BerParN` is followed by omega, start, end, step, -, time, -, count, and the counts from line 13 on."""
    rows = [line.strip() for line in lines(decode(data))]
    begins = [at for at, row in enumerate(rows) if _BERPAR.search(row)]
    scans = []
    for begin, following in zip(begins, [*begins[1:], len(rows)], strict=True):
        block = rows[begin:following]
        if len(block) < 14:
            raise UnfinishedError("ends within the parameters of a range: is it still being written?")
        numbers = [first_number(row) if re.match(r"[-+.\d]", row) else None for row in block[:9]]
        start, end, step, count = numbers[2], numbers[3], numbers[4], numbers[8]
        if start is None or end is None or step is None or count is None:
            raise ReadError(f"is a Seifert VAL file, but {block[0]!r} is not followed by start, end, step and count: export it again")
        marked = next((at for at, row in enumerate(block[9:16], start=10) if row.lower().startswith("intens")), 13)
        body = []
        for row in block[marked:]:
            if row and not re.match(r"[-+.\d]", row):
                break
            body.append(row)
        counts = _counts([row for row in body if row])
        if counts.size < count:
            raise UnfinishedError(f"holds {counts.size} of {count:.0f} points: is it still being written?")
        meta = details(format="Seifert VAL", counting_time=numbers[6], sample=_file_comment(rows))
        scans.append(Scan(_angles(start, end, step, counts.size), counts, None, "", meta))
    return scans


def _file_comment(rows: list[str]) -> str:
    """The two lines of comment that follow `FilePar`."""
    at = next((at for at, row in enumerate(rows[:100]) if "filepar" in row.lower()), None)
    return "" if at is None else " ".join(rows[at + 1 : at + 3])


# ---- any text that names start, end and step ----

_ROLES = {
    "start": re.compile(r"\b(begin|start|from|first|initial|anfang)(ning)?(?=\b|angle|winkel|pos|2?-?theta)", re.IGNORECASE),
    "end": re.compile(r"\b(end|stop|to|last|final|ende)(?=\b|angle|winkel|pos|2?-?theta)", re.IGNORECASE),
    "step": re.compile(r"\b(step|increment|inc|schrittweite)( ?(size|width))?(?=\b|angle|winkel|pos|2?-?theta)", re.IGNORECASE),
}
_FILLERS = re.compile(r"\b(scan|value|range|of|the|at)\b", re.IGNORECASE)
#: A key and its value: with a mark between them, else the value begins with the first number, or is the last word.
_PAIRS = (
    re.compile(r"(?P<key>[^=:;\t]*[^=:;\t\s])\s*[=:;\t]\s*(?P<value>.*)"),
    re.compile(r"(?P<key>[^,]*[^,\d\s])\s*,\s*(?P<value>.*)"),
    re.compile(rf"(?P<key>.*?[^\W\d].*?)\s+(?P<value>{_NUMBER}(?![\w]).*)"),
    re.compile(r"(?P<key>\S+)\s+(?P<value>.*)"),
)
_NUMBER_AT = re.compile(rf"([-+]?\d+,\d+|{_NUMBER})\s*(\S{{0,12}})")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|_")


@dataclass
class _Keys:
    """What the lines above the counts name. spans: what the abscissa is -> (role -> number, the abscissa). others: key as `plain` has it -> value."""

    spans: dict[str, tuple[dict[str, float], Abscissa | None]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def add(self, line: str) -> None:
        text = line[:500].strip(" \t\"'#!*;%/&")
        found = next((pair for pattern in _PAIRS if (pair := pattern.match(text))), None)
        if found is None:
            return
        key, value = found["key"].strip("\"' "), found["value"].strip("\"' ")
        self.others.setdefault(plain(key), value)
        if number := _NUMBER_AT.match(value):
            self._place(_CAMEL.sub(" ", key), float(number[1].replace(",", ".")), number[2])

    def _place(self, key: str, number: float, unit: str) -> None:
        """Takes a number for start, end or step where the rest of its key names an abscissa, or nothing: `Start time` does not."""
        role = next((role for role, pattern in _ROLES.items() if pattern.search(key)), None)
        if role is None:
            return
        rest = re.sub(r"^[\s.:]+|[\s.:]+$|\s(?=\s)", "", _FILLERS.sub(" ", _ROLES[role].sub(" ", key)))
        unit = unit.strip("[]()\"',;")
        meant = (abscissa(f"{rest or 'x'} [{unit}]") if unit else None) or abscissa(rest)
        if meant is None and plain(rest):
            return
        numbers, _ = self.spans.setdefault(meant.what if meant else "2theta", ({}, meant))
        numbers[role] = number

    def span(self) -> tuple[float, float, float, Abscissa | None] | None:
        """Start, end, step and what they are of, where all are named; of angles rather than of times and the like."""
        whole = [(numbers, meant) for numbers, meant in self.spans.values() if len(numbers) == len(_ROLES)]
        usable = [span for span in whole if span[1] is None or span[1].angles is not None]
        numbers, meant = (usable or whole or [({}, None)])[0]
        return (numbers["start"], numbers["end"], numbers["step"], meant) if numbers else None


def read_keyed(data: bytes) -> list[Scan]:
    """Ranges of a text whose header names start, end and step above one column of counts. Raises ReadError where one of the three is missing."""
    scans: list[Scan] = []
    keys, rows = _Keys(), list[str]()
    for line in _with_end(lines(decode(data))):
        word = line.strip().strip("\"'")
        if re.fullmatch(rf"{_NUMBER}|[-+]?\d+(,\d+)+(\.\d*)?", word):
            rows.append(word)
            continue
        if len(rows) > 1:
            scans.append(_keyed_scan(keys, rows))
            keys = _Keys(others=keys.others)
        rows = []
        if line.strip():
            keys.add(line)
    if not scans:
        raise UnfinishedError("holds a header but no points: is it still being written?")
    return scans


def _with_end(rows: Iterator[str]) -> Iterator[str]:
    yield from rows
    yield ""


def _keyed_scan(keys: _Keys, rows: list[str]) -> Scan:
    span = keys.span()
    if span is None:
        raise ReadError(
            "holds one column of counts, and the lines above it do not name start, end and step of the scan: export columns of angle and intensity"
        )
    start, end, step, meant = span
    counts = _counts(rows)
    named = keys.others
    anode = next((named[key] for key in ("anode", "anodematerial", "target", "tubeanode", "tube") if key in named), "")
    wavelength, meta = _wavelength(named, anode)
    time = next((named[key] for key in ("time", "timeperstep", "steptime", "countingtime", "counttime") if key in named), None)
    meta |= details(format="start, end, step and counts", counting_time=first_number(time), sample=named.get("sample") or named.get("samplename"))
    axis = next((named[key] for key in ("scanaxis", "axis", "drive", "scantype", "scanmode") if key in named), "")
    return Scan(_angles(start, end, step, counts.size), counts, wavelength, axis, meta, meant)


#: Keys of one wavelength, with its unit, and those of K-alpha1 and K-alpha2.
_WAVELENGTH = re.compile(r"(?:wave(?:length)?|lambda)(?P<unit>nm|a|angstroms?)?")
_LINES = (("wavelength1", "lambda1", "kalpha1", "ka1", "alpha1", "wl1"), ("wavelength2", "lambda2", "kalpha2", "ka2", "alpha2", "wl2"))


def _wavelength(named: dict[str, str], anode: str) -> tuple[float | None, dict[str, object]]:
    """What the keys say of the radiation."""
    first, second = (first_number(next((named[key] for key in keys if key in named), None)) for keys in _LINES)
    if first is not None:
        return radiation(first, second, anode=anode)
    for key, value in named.items():
        found = _WAVELENGTH.fullmatch(key)
        number = re.match(rf"({_NUMBER}|\d+,\d+)(.*)", value) if found else None
        if found and number:
            stated = stated_wavelength(float(number[1].replace(",", ".")), found["unit"] or number[2])
            return _stated(str(stated or ""), anode)
    return radiation(anode=anode)
