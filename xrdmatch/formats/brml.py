"""Bruker BRML, the zip of XML files that DIFFRAC.SUITE stores.

Layout: no public description; established from real files and their RAW4.00 and xye twins. Each `RawData*.xml` holds `Datum` rows whose columns are
named by the `RawDataView` elements. The intensities already include the attenuator.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.containers import member, names
from xrdmatch.formats.markup import xml_root, xml_text
from xrdmatch.formats.scan import MAX_POINTS, Scan, details, first_number, noted, plain, radiation

_MEMBER = re.compile(r"(?:^|/)RawData(\d+)\.xml$")
_MAX_RANGES = 500


def read(data: bytes) -> list[Scan]:
    """One range for each raw data file of the archive. Raises ReadError where one is damaged or of another kind."""
    found = sorted((name for name in names(data) if _MEMBER.search(name)), key=lambda name: (name.split("/")[0], int(_MEMBER.search(name)[1][:9])))  # type: ignore[index]
    if len(found) > _MAX_RANGES:
        raise ReadError(f"holds {len(found)} raw data files, expected one scan: export the one you want")
    return [_scan(xml_root(member(data, name))) for name in found]


def _scan(root: Any) -> Scan:
    routes = list(root.iterfind("{*}DataRoutes/{*}DataRoute"))
    if not routes:
        raise UnfinishedError("is BRML without measured data: is it still being written?")
    route = next((route for route in routes if route.get("RouteFlag") == "Measured"), routes[0])
    information = route.find("{*}ScanInformation")
    wavelength, meta = _radiation(root)
    sample = next((item.get("Value") for item in root.iterfind(".//{*}InfoItem") if item.get("Name") == "SampleName"), "")
    meta |= details(
        format="Bruker BRML",
        date=xml_text(root, "TimeStampStarted"),
        sample=sample,
        counting_time=first_number(xml_text(information, "TimePerStepEffective") or xml_text(information, "TimePerStep")),
    )
    name = information.get("ScanName") or information.get("VisibleName", "") if information is not None else ""
    moving = [axis.get("AxisId", "") for axis in information.iterfind("{*}ScanAxes/{*}ScanAxisInfo")] if information is not None else []
    # "LockedCoupled", "UnlockedCoupled" or a name given by a user: what decides is whether 2theta moves.
    axis = name if "2theta" in map(plain, moving) and "coupled" in name.lower() else next((a for a in moving if plain(a) == "2theta"), "")
    angle, intensity = _columns(route, moving)
    rows = [(row.text or "").split(",") for row in route.iterfind("{*}Datum")]
    if len(rows) > MAX_POINTS:
        raise ReadError(f"holds {len(rows)} points, a scan has at most {MAX_POINTS}")
    planned = first_number(xml_text(information, "MeasurementPoints"))
    if not rows:
        raise UnfinishedError(f"holds 0 of {planned or 0:.0f} points: is it still being written?")
    if angle is None:
        return Scan(np.empty(0), np.empty(0), wavelength, axis or " ".join(moving) or name or "fixed", meta)
    if intensity is None:
        raise ReadError("stores whole detector frames, not a scan of 2theta: integrate it and export the pattern")
    meta |= details(intensity_unit="counts")
    if planned and len(rows) < planned:
        noted(meta, "stopped_early", points=len(rows), planned=round(planned))
    two_theta = np.array([float(row[angle]) for row in rows])
    return Scan(two_theta, np.array([float(row[intensity]) for row in rows]), wavelength, axis or "2Theta", meta)


def _columns(route: Any, moving: list[str]) -> tuple[int | None, int | None]:
    """Columns of 2theta and of the first counter; None for 2theta where it does not move, None for the counter where it stores frames."""
    angle: int | None = None
    counters: list[tuple[str, int, int]] = []
    views = list(route.iterfind("{*}DataViews/{*}RawDataView"))
    for view in views:
        start, length = int(view.get("Start", "0")), int(view.get("Length", "1"))
        fields = [plain(item.get("AxisId") or item.get("FieldName") or "") for item in view.iterfind("{*}Varying/{*}FieldDefinitions")]
        if "2theta" in fields:
            angle = start + fields.index("2theta")
        for recording in view.iterfind("{*}Recording"):
            counters.append((recording.get("LogicName", ""), start, length))
    if not views:
        # Early versions name no columns: time, absorption factor, the moving axes, the counter.
        names = [plain(name) for name in moving]
        return (2 + names.index("2theta") if "2theta" in names else None), 2 + len(names)
    counter = next((item for item in counters if item[0] == "ScanCounter"), counters[0] if counters else None)
    if counter is None:
        raise ReadError("is BRML without a counter: export columns of angle and intensity")
    return angle, counter[1] if counter[2] == 1 else None


def _radiation(root: Any) -> tuple[float | None, dict[str, Any]]:
    track = root.find(".//{*}PrimaryTracks")
    tube = next(iter(track.iterfind(".//{*}Tube")), None) if track is not None else None
    if tube is None:
        return None, {}
    lines = {}
    for key in ("WaveLengthAlpha1", "WaveLengthAlpha2", "WaveLengthBeta", "WaveLengthRatio"):
        node = tube.find("{*}" + key)
        lines[key] = first_number(node.get("Value")) if node is not None else None
    optics = " ".join(
        str(value) for info in track.iter() for key, value in info.attrib.items() if key.endswith("type") or key == "VisibleName"
    ).lower()
    kind = "Ka1" if "monochromator" in optics and re.search(r"\bge\b|ge ?\(|ge111|ge ?\d{3}|johans", optics) else ""
    return radiation(
        lines["WaveLengthAlpha1"], lines["WaveLengthAlpha2"], ratio=lines["WaveLengthRatio"], k_beta=lines["WaveLengthBeta"],
        anode=xml_text(tube, "TubeMaterial"), kind=kind,
    )  # fmt: skip
