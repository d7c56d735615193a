"""Bruker's text formats: UXD, and the `;RAW4.00` text that EVA exports.

Layouts: UXD as written by the XCH converter (keys documented in its files); EVA's sections mirror the fields of RAW4.00.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xrdmatch.errors import UnfinishedError
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

#: UXD data keywords: whether an angle stands beside each intensity, and its unit.
_UXD_DATA = {
    "_2THETACOUNTS": (True, "counts"),
    "_2THETACPS": (True, "cps"),
    "_2THETACOUNTSTIME": (True, "counts"),
    "_COUNTS": (False, "counts"),
    "_CPS": (False, "cps"),
}


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
        key, _, value = line.partition("=")
        keys[key.strip().upper()] = value.strip().strip("'\"")
        if key.strip().upper() in _UXD_DATA:
            keys["data"] = key.strip().upper()
    if rows:
        ranges.append((dict(keys), rows))
    if not ranges:
        raise UnfinishedError("is UXD without points: is it still being written?")
    scans = [_uxd_range(*one) for one in ranges]
    if breaks_off(text, lambda line: [value for row in number_rows([line]) for value in row], 2 if "_2THETA" in ranges[-1][0].get("data", "") else 1):
        noted(scans[-1].meta, "broken_record")
    return scans


def _uxd_range(keys: dict[str, str], rows: list[str]) -> Scan:
    paired, unit = _UXD_DATA.get(keys.get("data", ""), (True, "counts"))
    wavelength, meta = radiation(
        first_number(keys.get("_WL1")), first_number(keys.get("_WL2")), ratio=first_number(keys.get("_WLRATIO")),
        k_beta=first_number(keys.get("_WL3")), anode=keys.get("_ANODE", ""),
    )  # fmt: skip
    meta |= details(
        format="Bruker UXD",
        counting_time=first_number(keys.get("_STEPTIME")),
        date=keys.get("_DATEMEASURED"),
        sample=keys.get("_SAMPLE"),
        intensity_unit=unit,
    )
    numbers = number_rows(rows)
    if paired:
        angles, counts = two_columns(numbers)
    else:
        counts = np.array([value for row in numbers for value in row])
        start = first_number(keys.get("_START") or keys.get("_2THETA"))
        angles = grid(start or 0.0, first_number(keys.get("_STEPSIZE")) or 0.0, counts.size)
    return Scan(angles, counts, wavelength, keys.get("_DRIVE", ""), meta)


def read_eva(data: bytes) -> list[Scan]:
    """Ranges of EVA's text export. Raises ReadError where points are missing."""
    section = ""
    tube: dict[str, str] = {}
    head: dict[str, str] = {}
    info: dict[str, str] = {}
    ranges: list[tuple[dict[str, str], list[str]]] = []
    for line in lines(decode(data)):
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
    return [_eva_range(own, rows, tube, head, info) for own, rows in ranges]


def _eva_range(own: dict[str, str], rows: list[str], tube: dict[str, str], head: dict[str, str], info: dict[str, str]) -> Scan:
    wavelength, meta = radiation(
        first_number(tube.get("alpha1")), first_number(tube.get("alpha2")), ratio=first_number(tube.get("alpharatio")),
        k_beta=first_number(tube.get("beta")), anode=tube.get("anode", ""),
    )  # fmt: skip
    angles, counts = two_columns(number_rows(rows))
    steps = first_number(own.get("steps"))
    if steps and angles.size < steps:
        raise UnfinishedError(f"holds {angles.size} of {steps:.0f} points: is it still being written?")
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
