"""Rigaku RAS, RASX, the text export with `*KEY "value"` lines, and the older ASC.

Layouts: RAS and its keys as SmartLab Guidance writes them; RASX is a zip of the same in XML; ASC from real files. The third column of RAS and RASX is
the attenuator's factor. Intensities are given as recorded, and a note says where the attenuator moved within the scan.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.containers import is_rasx, member, names
from xrdmatch.formats.markup import xml_root, xml_text
from xrdmatch.formats.scan import Scan, decode, details, first_number, floats, grid, lines, noted, number_rows, plain, radiation

_KEY = re.compile(r'\*([A-Z0-9_\-]{1,60})\s*"([^"]{0,400})"?')
_LINES = {"KALPHA": "", "KALPHA1": "Ka1", "KBETA": "Kb", "KA": "", "KA1": "Ka1", "KB": "Kb"}
#: In an omega/2theta scan the abscissa is omega, half of 2theta.
_HALF_ANGLE = frozenset(("omega2theta",))
_MAX_RANGES = 500


def read_ras(data: bytes) -> list[Scan]:
    """Ranges of a RAS file, or of the text export that has the same keys. Raises ReadError where points are missing."""
    # Japanese versions name axes in Shift-JIS; the keys and the numbers are ASCII in every version.
    text = decode(data, "cp932")
    ranges: list[tuple[dict[str, str], list[str]]] = []
    keys: dict[str, str] = {}
    rows: list[str] = []
    for line in lines(text):
        line = line.strip()
        if line.startswith("*"):
            if rows:
                ranges.append((dict(keys), rows))
                rows = []
            found = _KEY.match(line)
            if found:
                keys[found[1]] = found[2].strip()
        elif line.startswith("#"):
            # `#Intensity_unit=cps` in the text export.
            key, _, value = line[1:].partition("=")
            if key.strip().lower() == "intensity_unit":
                keys["MEAS_SCAN_UNIT_Y"] = value.strip()
        elif line:
            rows.append(line)
    if rows and "*RAS_INT_START" in text and "MEAS_DATA_COUNT" not in keys:
        raise UnfinishedError(f"ends after {len(rows)} points, without *RAS_INT_END: is it still being written?")
    if rows:
        ranges.append((dict(keys), rows))
    if not ranges:
        raise UnfinishedError("is a Rigaku file with a header but no points: is it still being written?")
    return [_range(own, number_rows(points)) for own, points in ranges]


def _range(keys: dict[str, str], rows: list[list[float]]) -> Scan:
    count = first_number(keys.get("MEAS_DATA_COUNT"))
    width = min((len(row) for row in rows[:-1] or rows), default=0)
    rows = [row for row in rows if len(row) >= max(2, width)]
    if count is not None and len(rows) < count:
        raise UnfinishedError(f"holds {len(rows)} of {count:.0f} points: is it still being written?")
    if not rows:
        raise ReadError("holds no two columns of numbers (angle and intensity)")
    table = np.array([row[: max(2, min(width, 3))] for row in rows])
    unit = keys.get("MEAS_SCAN_UNIT_Y", "")
    wavelength, meta = radiation(
        first_number(keys.get("HW_XG_WAVE_LENGTH_ALPHA1")), first_number(keys.get("HW_XG_WAVE_LENGTH_ALPHA2")),
        k_beta=first_number(keys.get("HW_XG_WAVE_LENGTH_BETA")), anode=keys.get("HW_XG_TARGET_NAME", ""),
        kind=_LINES.get(keys.get("MEAS_COND_XG_WAVE_TYPE", "").upper(), ""),
    )  # fmt: skip
    meta |= details(
        format="Rigaku RAS",
        date=keys.get("MEAS_SCAN_START_TIME"),
        sample=keys.get("FILE_SAMPLE"),
        intensity_unit="cps" if unit.lower() == "cps" else "counts" if unit else None,
        counting_time=_time(keys.get("MEAS_SCAN_SPEED"), keys.get("MEAS_SCAN_SPEED_UNIT", ""), keys.get("MEAS_SCAN_STEP")),
    )
    if table.shape[1] > 2:
        _attenuator(table[:, 2], meta)
    axis = keys.get("MEAS_SCAN_AXIS_X_INTERNAL") or keys.get("MEAS_SCAN_AXIS_X", "")
    return Scan(table[:, 0], table[:, 1], wavelength, _axis(axis), meta)


def _attenuator(factors: NDArray[np.float64], meta: dict[str, Any]) -> None:
    """What the attenuator did: its largest factor, and a note where it moved within the scan, since lines there are recorded too weak."""
    low, high = float(factors.min()), float(factors.max())
    if high == low == 1.0 or not 0.0 < low <= high < 1e9:
        return
    meta |= details(attenuator=high)
    moved = int((factors != low).sum())
    if moved:
        noted(meta, "attenuator", factor=high / low, weakened=moved, points=factors.size)


def _axis(name: str) -> str:
    if plain(name) in _HALF_ANGLE:
        raise ReadError("not a 2theta scan: it is an omega/2theta scan plotted against omega; export it against 2theta")
    return name


def _time(speed: str | None, unit: str, step: str | None) -> float | None:
    """Seconds a step, from the speed in degrees a minute or in seconds a step."""
    rate, width = first_number(speed), first_number(step)
    if rate is None or rate <= 0:
        return None
    if "sec" in unit.lower():
        return rate
    return 60.0 * width / rate if width else None


def read_rasx(data: bytes) -> list[Scan]:
    """Ranges of a RASX archive: `Data*/Profile*.txt` and the conditions beside each. Raises ReadError where points are missing."""
    if not is_rasx(names(data)):
        raise ReadError("is a RASX file that holds a two-dimensional image and no scan: integrate it and export the profile")
    profiles = sorted(name for name in names(data) if re.search(r"Profile\d*\.txt$", name))
    if len(profiles) > _MAX_RANGES:
        raise ReadError(f"holds {len(profiles)} profiles, expected one scan: export the one you want")
    conditions = {name.rpartition("/")[0]: name for name in names(data) if re.search(r"Mea?surementConditions\d*\.xml$", name)}
    scans = []
    for profile in profiles:
        place = conditions.get(profile.rpartition("/")[0])
        keys = _rasx_keys(xml_root(member(data, place))) if place else {}
        scan = _range(keys, number_rows(lines(decode(member(data, profile)))))
        scan.meta["format"] = "Rigaku RASX"
        scans.append(scan)
    return scans


def _rasx_keys(root: Any) -> dict[str, str]:
    """The XML entries under the names that RAS has for them."""
    generator, scan = "HWConfigurations/XrayGenerator/", "ScanInformation/"
    places = {
        "HW_XG_WAVE_LENGTH_ALPHA1": generator + "WavelengthKalpha1",
        "HW_XG_WAVE_LENGTH_ALPHA2": generator + "WavelengthKalpha2",
        "HW_XG_WAVE_LENGTH_BETA": generator + "WavelengthKbeta",
        "HW_XG_TARGET_NAME": generator + "TargetName",
        "MEAS_COND_XG_WAVE_TYPE": generator + "WaveType",
        "FILE_SAMPLE": "GeneralInformation/SampleName",
        "MEAS_SCAN_AXIS_X_INTERNAL": scan + "AxisName",
        "MEAS_SCAN_START_TIME": scan + "StartTime",
        "MEAS_SCAN_UNIT_Y": scan + "IntensityUnit",
        "MEAS_SCAN_SPEED": scan + "Speed",
        "MEAS_SCAN_SPEED_UNIT": scan + "SpeedUnit",
        "MEAS_SCAN_STEP": scan + "Step",
        "MEAS_DATA_COUNT": scan + "DataCount",
    }
    return {key: value for key, place in places.items() if (value := xml_text(root, place))}


def read_asc(data: bytes) -> list[Scan]:
    """Groups of an ASC file: `*KEY = value` lines, then intensities in rows up to `*END`. Raises ReadError where points are missing."""
    scans: list[Scan] = []
    keys: dict[str, str] = {}
    rows: list[str] = []
    for line in lines(decode(data)):
        line = line.strip()
        if line.startswith("*END") and rows:
            scans.append(_asc_group(keys, rows))
            rows = []
        elif line.startswith("*"):
            key, mark, value = line[1:].partition("=")
            if mark:
                keys[key.strip().upper()] = value.strip()
        elif line:
            rows.append(line)
    if rows:
        scans.append(_asc_group(keys, rows))
    if not scans:
        raise UnfinishedError("is a Rigaku ASC file with a header but no points: is it still being written?")
    return scans


def _asc_group(keys: dict[str, str], rows: list[str]) -> Scan:
    counts = floats(" ".join(rows).replace(",", " "))
    count, start, step = (first_number(keys.get(key)) for key in ("COUNT", "START", "STEP"))
    if count is not None and counts.size < count:
        raise UnfinishedError(f"holds {counts.size} of {count:.0f} points: is it still being written?")
    wavelength, meta = radiation(
        first_number(keys.get("WAVE_LENGTH1")), first_number(keys.get("WAVE_LENGTH2")),
        anode={"24": "Cr", "26": "Fe", "27": "Co", "29": "Cu", "42": "Mo", "47": "Ag"}.get(keys.get("TARGET", ""), ""),
        kind=_LINES.get(keys.get("XRAY_CHAR", "").upper().replace("-", ""), ""),
    )  # fmt: skip
    meta |= details(
        format="Rigaku ASC",
        date=keys.get("DATE"),
        sample=keys.get("SAMPLE"),
        intensity_unit=keys.get("YUNIT", "").lower() or None,
        counting_time=_time(keys.get("SPEED"), keys.get("SPEED_DIM", ""), keys.get("STEP")),
    )
    axis = "pole figure" if keys.get("CLASS", "").lower() == "polefig" else keys.get("SCAN_AXIS", "")
    return Scan(grid(start or 0.0, step or 0.0, counts.size), counts, wavelength, _axis(axis), meta)
