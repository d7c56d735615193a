"""Bruker's text formats: UXD, and the `;RAW4.00` text that EVA exports.

Layouts: UXD as written by the XCH converter (keys documented in its files); EVA's sections mirror the fields of RAW4.00.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.abscissa import abscissa
from xrdmatch.formats.scan import (
    Scan,
    breaks_off,
    decode,
    details,
    first_number,
    grid,
    lines,
    noted,
    number_rows,
    radiation,
    two_columns,
)

#: UXD data keywords: what stands beside each intensity, if anything, and what the intensities are. `-I` is a list of peaks.
_UXD_DATA = re.compile(r"_(?P<position>|2THETA|D)(?P<kind>COUNTS|CPS|COUNTSTIME|-I)$")


def read_uxd(data: bytes) -> list[Scan]:
    """Ranges of a UXD file. Raises ReadError where one has no data."""
    ranges: list[tuple[dict[str, str], list[str]]] = []
    keys: dict[str, str] = {}
    rows: list[str] = []
    text = decode(data)
    for line in lines(text):
        line = line.strip()
        if not line or line.startswith(";"):
            continue
        if not line.startswith("_"):
            rows.append(line)
            continue
        if rows:
            ranges.append((dict(keys), rows))
            rows = []
            keys.pop("data", None)
        key, mark, value = line.partition("=")
        name = key.strip().upper()
        keys[name] = value.strip().strip("'\"")
        # A keyword without a value begins data of some kind; a few writers give the number of columns as one.
        if not mark or _UXD_DATA.match(name):
            keys["data"] = name
    if rows:
        ranges.append((dict(keys), rows))
    if not ranges:
        raise UnfinishedError("is UXD without points: is it still being written?")
    scans = [_uxd_range(*one) for one in ranges]
    if breaks_off(text, lambda line: [value for row in number_rows([line]) for value in row], 2 if "2THETA" in ranges[-1][0]["data"] else 1):
        noted(scans[-1].meta, "broken_record")
    # Peaks that were searched in the same file's scan.
    return [scan for scan in scans if not scan.is_peaks] or scans


def _uxd_range(keys: dict[str, str], rows: list[str]) -> Scan:
    known = _UXD_DATA.match(keys.get("data", ""))
    if known is None:
        said = f"the data keyword {keys['data'][:40]}" if "data" in keys else "numbers without a data keyword"
        raise ReadError(f"is UXD with {said}, which is not known: export it with _2THETACOUNTS, or as columns of angle and intensity")
    position, kind = known["position"], known["kind"]
    wavelength, meta = radiation(
        first_number(keys.get("_WL1")), first_number(keys.get("_WL2")), ratio=first_number(keys.get("_WLRATIO")),
        k_beta=first_number(keys.get("_WL3")), anode=keys.get("_ANODE", ""),
    )  # fmt: skip
    meta |= details(
        format="Bruker UXD",
        counting_time=first_number(keys.get("_STEPTIME")),
        date=keys.get("_DATEMEASURED"),
        sample=keys.get("_SAMPLE"),
        intensity_unit={"CPS": "cps", "-I": None}.get(kind, "counts"),
    )
    numbers = number_rows(rows)
    if position:
        angles, counts = two_columns(numbers)
    else:
        counts = np.array([value for row in numbers for value in row])
        start = first_number(keys.get("_START") or keys.get("_2THETA"))
        angles = grid(start or 0.0, first_number(keys.get("_STEPSIZE")) or 0.0, counts.size)
    times = [row[2] for row in numbers if len(row) > 2] if kind == "COUNTSTIME" else []
    if times and max(times) > 1.01 * min(times):
        noted(meta, "counting_time_varies", shortest=min(times), longest=max(times))
    is_peaks = kind == "-I"
    # A list of peaks has no drive: its positions are what the keyword says. A scan's are those of its drive.
    axis = "" if is_peaks else keys.get("_DRIVE", "")
    return Scan(angles, counts, wavelength, axis, meta, abscissa(position) if position else None, is_peaks=is_peaks)


def read_eva(data: bytes) -> list[Scan]:
    """Ranges of EVA's text export. Raises ReadError where points are missing."""
    section = ""
    tube: dict[str, str] = {}
    head: dict[str, str] = {}
    info: dict[str, str] = {}
    ranges: list[tuple[dict[str, str], list[str]]] = []
    text = decode(data)
    for line in lines(text):
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].lower()
            if section == "rangeheader":
                ranges.append(({}, []))
            continue
        key, mark, value = line.partition("=")
        if section == "data" and ranges:
            ranges[-1][1].append(line)
        elif mark and section == "hardwareconfiguration":
            tube[key.strip().lower()] = value.strip()
        elif mark and section == "rawheader":
            head[key.strip().lower()] = value.strip()
        elif mark and section == "rangeheader" and ranges:
            ranges[-1][0][key.strip().lower()] = value.strip()
        elif mark and section == "varinfo":
            # Pairs of lines: `Type=SAMPLEID`, `Value=...`.
            if key.strip() == "Type":
                info["type"] = value.strip()
            elif key.strip() == "Value":
                info[info.get("type", "").upper()] = value.strip()
    if not ranges:
        raise UnfinishedError("is an EVA export without ranges: is it still being written?")
    if _record_breaks_off(text, ranges[-1][1]):
        ranges[-1][0]["broken"] = "1"
    return [_eva_range(own, rows, tube, head, info) for own, rows in ranges]


def _record_breaks_off(text: str, rows: list[str]) -> bool:
    """Whether the last of the records `angle, intensity,` has no end."""
    if not rows or text.endswith(("\n", "\r")):
        return False
    commas = any(row.endswith(",") for row in rows[1:3])
    return not commas or not rows[-1].endswith(",") or not any(len(row) >= 2 for row in number_rows(rows[-1:]))


def _eva_range(own: dict[str, str], rows: list[str], tube: dict[str, str], head: dict[str, str], info: dict[str, str]) -> Scan:
    wavelength, meta = radiation(
        first_number(tube.get("alpha1")), first_number(tube.get("alpha2")), ratio=first_number(tube.get("alpharatio")),
        k_beta=first_number(tube.get("beta")), anode=tube.get("anode", ""),
    )  # fmt: skip
    angles, counts = two_columns(number_rows(rows))
    steps = first_number(own.get("steps"))
    measured = first_number(own.get("numberofmeasureddata")) or 0.0
    if steps and angles.size < steps:
        if angles.size < measured or "broken" in own:
            raise UnfinishedError(f"holds {angles.size} of {measured or steps:.0f} points: is it still being written?")
        noted(meta, "stopped_early", points=int(angles.size), planned=round(steps))
    # COUNTS_MODIFIED says that the export divided by time or slit opening.
    unit: Any = "cps" if info.get("COUNTS_MODIFIED", "").startswith("CPS") else "counts"
    meta |= details(
        format="Bruker EVA text",
        counting_time=first_number(own.get("time")),
        date=f"{head.get('date', '')} {head.get('time', '')}".strip(),
        sample=info.get("SAMPLEID"),
        intensity_unit=unit,
    )
    return Scan(angles, counts, wavelength, own.get("scantype", ""), meta)
