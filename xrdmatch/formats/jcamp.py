"""JCAMP-DX: `##LABEL= value` records with a table of equally spaced ordinates or of pairs.

Layout: JCAMP-DX 4.24 and 5.01 (McDonald and Wilks, Applied Spectroscopy 42 (1988) 151; Davies and Lampen, ibid. 47 (1993) 1093), free (AFFN) as
well as compressed (ASDF: packed, squeezed, difference and duplicate forms). The standard has no unit for 2theta: XUNITS and XLABEL say what it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.abscissa import Abscissa, abscissa
from xrdmatch.formats.scan import MAX_LINE, MAX_POINTS, Scan, decode, details, first_number, lines, noted, plain, radiation, stated_wavelength

#: Records that hold the numbers.
_TABLES = ("xydata", "xypoints", "peaktable", "ntuples", "datatable", "peakassignments", "radata")
_MAX_BLOCKS = 500
#: First characters of the ordinates: squeezed digits, differences and counts of duplicates.
_SQUEEZED = {mark: digit for digits in ("@ABCDEFGHI", " abcdefghi") for digit, mark in enumerate(digits) if mark != " "}
_DIFFERENCE = {mark: digit for digits in ("%JKLMNOPQR", " jklmnopqr") for digit, mark in enumerate(digits) if mark != " "}
_DUPLICATE = {mark: digit for digit, mark in enumerate(" STUVWXYZs") if mark != " "}
_COMPRESSED = re.compile(r"[@A-DF-Za-df-z%]")
#: What converters for infrared spectra write as the unit of everything; no diffractometer scans wavenumbers.
_WAVENUMBER = re.compile(r"1 ?/ ?cm|cm ?\^?-1", re.IGNORECASE)
_FREE = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|\?")
_PACKED = re.compile(r"([@A-Ia-i%J-Rj-rS-Zs?]|[-+]?(?=[\d.]))(\d*\.?\d*)")
_LEADING = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+))")


@dataclass
class _Record:
    """The records of one block, by label as `plain` has it, and the lines of its table."""

    keys: dict[str, str] = field(default_factory=dict)
    table: str = ""
    rows: list[str] = field(default_factory=list)
    ended: bool = False

    def number(self, key: str) -> float | None:
        return first_number(self.keys.get(key))


def read(data: bytes) -> list[Scan]:
    """One scan, or list of peaks, for each block of a JCAMP-DX file. Raises ReadError where the file is no diffraction pattern or breaks off."""
    records = _records(decode(data))
    held = [record for record in records if record.table]
    if not held:
        raise UnfinishedError("is a JCAMP-DX file without a table of numbers: is it still being written?")
    scans = [_scan(record) for record in held]
    return [scan for scan in scans if not scan.is_peaks] or scans


def _records(text: str) -> list[_Record]:
    records: list[_Record] = []
    key = ""
    for line in lines(text):
        line = line[:MAX_LINE].partition("$$")[0].rstrip()
        found = re.match(r"\s*##([^=]{0,80})=(.*)", line)
        if found is None:
            if records and key in _TABLES and line.strip():
                records[-1].rows.append(line)
            continue
        key = plain(found[1])
        if key == "title" or not records:
            records.append(_Record())
        if len(records) > _MAX_BLOCKS:
            raise ReadError(f"holds more than {_MAX_BLOCKS} blocks: export one scan per file")
        if key == "end":
            records[-1].ended = True
        elif key in _TABLES and not records[-1].table:
            records[-1].table = key
        records[-1].keys.setdefault(key, found[2].strip())
    return records


def _scan(record: _Record) -> Scan:
    meant = _abscissa(record)
    form = re.sub(r"[\s()]", "", record.keys[record.table]).upper()
    if record.table == "xydata" and re.fullmatch(r"X\+\+Y\.*Y", form):
        positions, values = _ordinates(record)
    elif record.table in ("xydata", "xypoints", "peaktable") and re.match(r"XY\.*XY|X,Y", form):
        positions, values = _pairs(record)
    else:
        raise ReadError(
            f"is JCAMP-DX with a table {record.table.upper()}={form[:40]}, which is not read: export it as XYDATA=(X++(Y..Y)) or XYPOINTS=(XY..XY)"
        )
    there = np.isfinite(values)
    keys = record.keys
    named = next((key for key in keys if re.fullmatch(r"(xray)?(wavelength|lambda)(nm|a|angstroms?)?", key)), None)
    anode = next((keys[key] for key in ("anode", "target", "xraysource", "radiation") if key in keys), "")
    value = first_number(keys.get(named or ""))
    wavelength = stated_wavelength(value, "nm" if re.search(r"nm\b|nanomet", f"{named} {keys[named]}") else "") if named and value else None
    meta = radiation(anode=anode)[1] | {"wavelength_kind": "stated"} if wavelength else {}
    if wavelength is None:
        wavelength, meta = radiation(anode=anode)
    meta |= details(
        format="JCAMP-DX", sample=keys.get("title"), date=keys.get("longdate") or keys.get("date"), intensity_unit=_unit(keys.get("yunits", ""))
    )
    if _WAVENUMBER.fullmatch(keys.get("xunits", "").strip()):
        noted(meta, "odd_unit", called=keys["xunits"].strip())
    return Scan(positions[there], values[there], wavelength, "", meta, meant, is_peaks=record.table == "peaktable")


def _unit(name: str) -> str | None:
    return {"counts": "counts", "cps": "cps", "countspersecond": "cps"}.get(plain(name))


def _abscissa(record: _Record) -> Abscissa:
    """What XLABEL and XUNITS call it; where they say nothing, 2theta in a file that calls itself a diffraction pattern. Else raises ReadError."""
    kind, units, label = (record.keys.get(key, "").strip()[:60] for key in ("datatype", "xunits", "xlabel"))
    diffraction = re.search(r"diffract|xrd|x-?ray|powder", kind, re.IGNORECASE) is not None
    if kind and not diffraction and re.search(r"spectrum|fid|interferogram|chromatogram", kind, re.IGNORECASE):
        raise ReadError(f"is JCAMP-DX that calls itself {kind.lower()!r}, not a diffraction pattern")
    swapped = re.sub(r"(?i)^(degrees?|deg\.?)\s*(2[- ]?theta)$", r"\2 (\1)", units)
    for text in (f"{label} [{units}]" if label and units else "", label, swapped):
        meant = abscissa(text)
        if meant is not None:
            return meant
    if diffraction and not label and (not units or _WAVENUMBER.fullmatch(units)):
        return abscissa("2theta") or Abscissa("2theta")
    raise ReadError(f"is JCAMP-DX whose x axis is called {units or label or 'nothing'!r} (XUNITS), expected 2theta: export it against 2theta")


def _checked(record: _Record, there: int) -> None:
    """Raises where NPOINTS tells another number."""
    promised = record.number("npoints")
    if promised is not None and there < promised and not record.ended:
        raise UnfinishedError(f"holds {there} of {promised:.0f} points: is it still being written?")
    if promised is not None and there != promised:
        raise ReadError(f"holds {there} points, but NPOINTS gives {promised:.0f}: the file is damaged")
    if there == 0:
        raise UnfinishedError("is a JCAMP-DX file without points: is it still being written?")


def _pairs(record: _Record) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    numbers = [float("nan") if word == "?" else float(word) for row in record.rows for word in _FREE.findall(row)]
    _checked(record, len(numbers) // 2)
    if len(numbers) % 2:
        raise UnfinishedError("ends within a pair of numbers: is it still being written?")
    table = np.array(numbers).reshape(-1, 2)
    return table[:, 0] * (record.number("xfactor") or 1.0), table[:, 1] * (record.number("yfactor") or 1.0)


def _ordinates(record: _Record) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions and ordinates of a table whose lines begin with their abscissa, checked against what the records say of both."""
    values: list[float] = []
    begins: list[tuple[int, float]] = []
    packed = any(_COMPRESSED.search(row) for row in record.rows)
    check: float | None = None
    for row in record.rows:
        found = _LEADING.match(row) if packed else _FREE.search(row)
        if found is None or not row[: found.start()].strip() == "":
            raise ReadError(f"has the line {row.strip()[:40]!r} in its table, which does not begin with an x value: the file is damaged")
        rest = row[found.end() :]
        if packed:
            ordinates, differs = _unpacked(rest)
            if check is not None and ordinates:
                if abs(ordinates[0] - check) > 1e-6 * max(1.0, abs(check)):
                    raise ReadError(f"its compressed table is inconsistent at {found[0].strip()}: the file is damaged")
                values.pop()
            check = ordinates[-1] if differs and ordinates else None
        else:
            ordinates = [float("nan") if word == "?" else float(word) for word in _FREE.findall(rest)]
        begins.append((len(values), float(found[0])))
        values.extend(ordinates)
        if len(values) > MAX_POINTS:
            raise ReadError(f"holds more than {MAX_POINTS} points: export one scan per file")
    _checked(record, len(values))
    return _positions(record, begins, len(values)), _scaled(record, np.array(values))


def _unpacked(text: str) -> tuple[list[float], bool]:
    """Ordinates of one compressed line, and whether the last of them came of a difference: then the next line repeats it."""
    values: list[float] = []
    step: float | None = None
    if _PACKED.sub("", text).strip(" \t,;"):
        raise ReadError(f"has {text.strip()[:40]!r} in its compressed table, which is not a valid entry: the file is damaged")
    for mark, digits in _PACKED.findall(text):
        if mark in _DUPLICATE:
            more = int(f"{_DUPLICATE[mark]}{digits.rstrip('.')}") - 1
            if not values or more > MAX_POINTS:
                raise ReadError("its compressed table repeats a value that is not there: the file is damaged")
            last = values[-1]
            values.extend([last + (step or 0.0) * at for at in range(1, more + 1)])
        elif mark in _DIFFERENCE:
            step = float(f"{'-' if mark.islower() else ''}{_DIFFERENCE[mark]}{digits}")
            if not values:
                raise ReadError("its compressed table begins a line with a difference: the file is damaged")
            values.append(values[-1] + step)
        elif mark == "?":
            values.append(float("nan"))
            step = None
        else:
            sign = "-" if mark.islower() else ""
            values.append(float(f"{sign}{_SQUEEZED[mark]}{digits}" if mark in _SQUEEZED else f"{mark}{digits}"))
            step = None
    return values, step is not None


def _positions(record: _Record, begins: list[tuple[int, float]], count: int) -> NDArray[np.float64]:
    """From FIRSTX to LASTX, or from the lines' own abscissas; both must agree within a step."""
    scale = record.number("xfactor") or 1.0
    first, last, delta = (record.number(key) for key in ("firstx", "lastx", "deltax"))
    first = first if first is not None else begins[0][1] * scale
    if last is None and delta is None and len(begins) > 1:
        (low, start), (high, end) = begins[0], begins[-1]
        delta = (end - start) * scale / (high - low) if high > low else None
    if last is None and delta is not None:
        last = first + delta * (count - 1)
    if last is None or last == first or count < 2:
        raise ReadError("is JCAMP-DX without LASTX or DELTAX: the positions of its points are unknown")
    positions = np.linspace(first, last, count)
    step = abs(last - first) / (count - 1)
    for at, begin in begins:
        if at < count and abs(begin * scale - positions[at]) > 1.01 * step + 1e-4 * abs(last - first):
            raise ReadError(f"its line at {begin * scale:g} should begin at {positions[at]:g} by FIRSTX, LASTX and NPOINTS: the file is damaged")
    return positions


def _scaled(record: _Record, values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = values * (record.number("yfactor") or 1.0)
    first = record.number("firsty")
    if first is not None and np.isfinite(values[0]) and abs(values[0] - first) > 1e-3 * max(abs(first), float(np.nanmax(np.abs(values))), 1e-12):
        raise ReadError(f"its first intensity is {values[0]:g}, but FIRSTY gives {first:g}: the file is damaged")
    return values
