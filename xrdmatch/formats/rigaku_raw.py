"""Rigaku's binary RAW files, which begin with `FI`.

Layout: no public description, and no real file was at hand; after what users of two programs found out, a branch of xylib among them. Numbers are
little-endian. Offsets (bytes) of the newer kind, `BU` at 24, and the older one, `BU` at 22:

    wavelengths K-alpha1, K-alpha2, K-beta, float64    1212, 1220, 1228     984, 992, 1000
    start, end, step, float32                          2962, 2966, 2970     3004, 3008, 3012
    number of points, int32                            3154                 3054
    intensities, float32, from                         3158                 3058

In the newer kind the range begins at 2136 with `PI`, 826 bytes before its start, and its data at 3138 with `DA`; further ranges repeat both. A header
that does not agree with itself is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.scan import MAX_POINTS, Binary, Scan, details, grid, radiation


@dataclass(frozen=True)
class _Layout:
    mark: int
    wavelengths: int
    span: int
    count: int
    data: int


#: The newer kind and the older one.
_LAYOUTS = (_Layout(24, 1212, 2962, 3154, 3158), _Layout(22, 984, 3004, 3054, 3058))
#: Where `PI` stands before the span of a range of the newer kind, and `DA` before its data.
_RANGE, _DATA = 826, 20
_MAX_RANGES = 500


def read(data: bytes) -> list[Scan]:
    """Ranges of a Rigaku RAW file. Raises ReadError where it is of another kind, cut short, or does not agree with itself."""
    file = Binary(data)
    marked = [layout for layout in _LAYOUTS if data[layout.mark : layout.mark + 2] == b"BU"]
    layout = next((layout for layout in marked or _LAYOUTS if _span(file, layout, 0) is not None), None)
    if layout is None:
        if len(data) < _LAYOUTS[0].data:
            raise UnfinishedError(f"the file ends at byte {len(data)} within its header: is it still being written?")
        raise ReadError(
            "is a Rigaku RAW file in whose header start, end, step and number of points do not agree: it is damaged, or of an unknown kind; "
            "export the scan as RAS or as columns of angle and intensity"
        )
    lines = [file.f64(layout.wavelengths + at) for at in (0, 8, 16)]
    wavelength, meta = radiation(lines[0], lines[1], k_beta=lines[2])
    meta |= details(format="Rigaku RAW")
    shift: int | None = 0
    scans: list[Scan] = []
    while shift is not None and len(scans) < _MAX_RANGES and (span := _span(file, layout, shift)):
        start, step, count = span
        scans.append(Scan(grid(start, step, count), file.array("<f4", layout.data + shift, count), wavelength, "", dict(meta)))
        shift = _following(data, layout, layout.data + shift + 4 * count) if layout is _LAYOUTS[0] else None
    return scans


def _span(file: Binary, layout: _Layout, shift: int) -> tuple[float, float, int] | None:
    """Start, step and number of points of a range; None where they do not agree. A number of 0 leaves it to the span."""
    if len(file) < layout.data + shift:
        return None
    start, end, step = (file.f32(layout.span + shift + at) for at in (0, 4, 8))
    count = file.u32(layout.count + shift)
    if not (math.isfinite(start + end + step) and 1e-4 <= abs(step) <= 5.0 and 0 < (end - start) / step < MAX_POINTS and abs(start) + abs(end) < 720):
        return None
    planned = round((end - start) / step) + 1
    return (start, step, count or planned) if count in (0, planned - 1, planned, planned + 1) else None


def _following(data: bytes, layout: _Layout, end: int) -> int | None:
    """How much further on than the first range the next one lies; None where none follows `end`."""
    begin = layout.span - _RANGE
    at = data.find(b"PI", end)
    while at >= 0:
        if data[at + layout.data - begin - _DATA :][:2] == b"DA":
            return at - begin
        at = data.find(b"PI", at + 1)
    return None
