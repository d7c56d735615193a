"""PANalytical (Malvern) XRDML, schemas 1.0 to 2.3.

Layout: the XML schemas published at xrdml.com. Schemas below 2.0 hold `<intensities>`, already corrected for the beam attenuator; later ones hold
`<counts>`, to be multiplied by `<beamAttenuationFactors>`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.markup import xml_root, xml_text
from xrdmatch.formats.scan import Scan, details, first_number, floats, noted, radiation

#: Crystals of an incident-beam monochromator that separates K-alpha1 from K-alpha2; graphite and multilayers do not.
_KA1_CRYSTALS = ("ge", "si", "quartz")


def read(data: bytes) -> list[Scan]:
    """Every `<scan>` of an XRDML file. Raises ReadError where the XML is damaged or a scan holds no points."""
    root = xml_root(data)
    version = root.tag.rpartition("XRDMeasurement/")[2].partition("}")[0][:8]
    sample = xml_text(root, "sample/id") or xml_text(root, "sample/name")
    scans = []
    for measurement in root.iterfind("{*}xrdMeasurement"):
        wavelength, meta = _radiation(measurement)
        meta |= details(format=f"PANalytical XRDML {version}".strip(), sample=sample)
        for scan in measurement.iterfind("{*}scan"):
            scans.append(_scan(scan, wavelength, meta))
    if not scans:
        raise ReadError("is XRDML, but holds no scan")
    return scans


def _radiation(measurement: Any) -> tuple[float | None, dict[str, Any]]:
    used = measurement.find("{*}usedWavelength")
    lines = {key: first_number(xml_text(used, key)) for key in ("kAlpha1", "kAlpha2", "kBeta", "ratioKAlpha2KAlpha1")}
    intended = used.get("intended", "") if used is not None else ""
    crystals = [
        (crystal.text or "").strip().lower()
        for path in measurement.iterfind("{*}incidentBeamPath")
        for crystal in path.iterfind("{*}monochromator/{*}crystal")
    ]
    # "K-Alpha 1" as the intended line is the default of the software, with or without a monochromator, so the beam path decides.
    kind = "Kb" if "beta" in intended.lower() else "Ka1" if any(crystal.startswith(_KA1_CRYSTALS) for crystal in crystals) else ""
    anode = xml_text(measurement, "incidentBeamPath/xRayTube/anodeMaterial")
    return radiation(
        lines["kAlpha1"], lines["kAlpha2"], ratio=lines["ratioKAlpha2KAlpha1"], k_beta=lines["kBeta"], anode=anode, kind=kind
    )  # fmt: skip


def _scan(scan: Any, wavelength: float | None, common: dict[str, Any]) -> Scan:
    axis = scan.get("scanAxis", "")
    meta = common | details(date=xml_text(scan, "header/startTimeStamp"))
    points = scan.find("{*}dataPoints")
    if points is None:
        raise UnfinishedError("holds a scan without points: is it still being written?")
    node, corrected = points.find("{*}counts"), False
    if node is None:
        node, corrected = points.find("{*}intensities"), True
    counts = floats(node.text or "") if node is not None else np.empty(0)
    if counts.size == 0:
        raise UnfinishedError("holds a scan without points: is it still being written?")
    factors = floats(xml_text(points, "beamAttenuationFactors"))
    if not corrected and factors.size == counts.size:
        counts = counts * factors
    meta["intensity_unit"] = node.get("unit", "counts")
    if scan.get("status", "Completed") != "Completed":
        noted(meta, "scan_status", status=" ".join(scan.get("status")[:40].split()))
    times = floats(xml_text(points, "countingTimes") or xml_text(points, "commonCountingTime"))
    if times.size > 1 and meta["intensity_unit"] == "counts" and times.max() > 1.01 * times.min():
        noted(meta, "counting_time_varies", shortest=float(times.min()), longest=float(times.max()))
    meta |= details(counting_time=float(times.mean()) if times.size else None)
    return Scan(_positions(points, counts.size), counts, wavelength, axis, meta)


def _positions(points: Any, count: int) -> NDArray[np.float64]:
    """2theta of each point: listed, or from the first to the last; the fixed angle where 2theta does not move."""
    for positions in points.iterfind("{*}positions"):
        if positions.get("axis", "").lower() != "2theta":
            continue
        listed = floats(xml_text(positions, "listPositions"))
        if listed.size:
            return listed
        start, end = first_number(xml_text(positions, "startPosition")), first_number(xml_text(positions, "endPosition"))
        if start is not None and end is not None:
            return np.linspace(start, end, count)
        return np.full(count, first_number(xml_text(positions, "commonPosition")) or 0.0)
    raise ReadError("states no 2Theta positions: export a 2theta scan")
