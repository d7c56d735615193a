"""Philips PC-APD files: UDF text and RD binary.

Layouts: UDF is self-describing. RD after the description kept with xylib, established here against the UDF twin of the same scan: counts are packed
as rounded square roots (the loss is below 0.7 %), and modern exports place each point in the middle of its step.
"""

from __future__ import annotations

import re

import numpy as np

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.scan import Binary, Scan, decode, details, first_number, grid, lines, radiation

_RD_ANODES = {0: "Cu", 1: "Mo", 2: "Fe", 3: "Cr"}
_RD_DATA = {b"V3RD": 250, b"V5RD": 810}


def read_rd(data: bytes) -> list[Scan]:
    """The scan of a V3RD or V5RD file. Raises ReadError where the length does not fit the range."""
    file = Binary(data)
    start, step, end = file.f64(222), file.f64(214), file.f64(230)
    begin = _RD_DATA[data[:4]]
    if not (0 < step < end - start < 400):
        raise ReadError(f"its header gives a scan from {start:g} to {end:g} in steps of {step:g} degrees: the file is damaged")
    planned, there = round((end - start) / step), max(0, len(data) - begin) // 2
    if there < planned:
        raise UnfinishedError(f"holds {there} of {planned} points: is it still being written?")
    count = min(there, planned + 1)
    packed = file.array("<u2", begin, count)
    if count == planned:
        start += 0.5 * step
    wavelength, meta = radiation(file.f64(94), file.f64(102), ratio=file.f64(110), anode=_RD_ANODES.get(data[85], ""))
    meta |= details(format=f"Philips {data[:4].decode()}", sample=file.text(146, 20), intensity_unit="counts")
    return [Scan(grid(start, step, count), np.floor(packed * packed / 100.0), wavelength, "", meta)]


def read_udf(data: bytes) -> list[Scan]:
    """The scan of a UDF file: `Key, value, ... ,/` lines, then `RawScan` and counts up to a slash."""
    keys: dict[str, str] = {}
    values: list[str] | None = None
    for line in lines(decode(data)):
        if values is not None:
            values.extend(re.split(r"[,\s]+", line.split("/")[0]))
            if "/" in line:
                break
        elif line.strip().lower().startswith("rawscan"):
            values = []
        else:
            key, _, value = line.partition(",")
            keys[key.strip().lower()] = value.rstrip().removesuffix("/").strip(" ,")
    if values is None and any(key.startswith("peak") for key in keys):
        raise ReadError("is a Philips list of peaks (UDI), not a scan: give the scan itself")
    counts = np.array([float(value) for value in values or [] if value])
    limits = [first_number(part) for part in keys.get("dataanglerange", "").split(",")]
    step = first_number(keys.get("scanstepsize"))
    if len(limits) < 2 or limits[0] is None or limits[1] is None or not step or step <= 0:
        raise ReadError("is UDF without its angle range or step: export it again")
    planned = round((limits[1] - limits[0]) / step) + 1
    if counts.size < planned:
        raise UnfinishedError(f"holds {counts.size} of {planned} points: is it still being written?")
    wavelength, meta = radiation(
        first_number(keys.get("labdaalpha1")), first_number(keys.get("labdaalpha2")), ratio=first_number(keys.get("ratioalpha21")),
        anode=keys.get("anode", ""),
    )  # fmt: skip
    meta |= details(
        format="Philips UDF",
        counting_time=first_number(keys.get("scansteptime")),
        date=keys.get("filedatetime"),
        sample=keys.get("sampleident"),
        intensity_unit="counts",
    )
    return [Scan(grid(limits[0], step, counts.size), counts, wavelength, "", meta)]
