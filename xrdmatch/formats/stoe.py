"""STOE WinXPOW raw data (`RAW_1.0xPowdat`).

Layout: no public description; established from real files, the angles against their WinXPOW text exports. A header of 2048 bytes, then blocks aligned
to 512 bytes: a 512-byte range header and 32-bit counts. Where a scan was stored twice, the later block is the finished one.
"""

from __future__ import annotations

import re

from xrdmatch.errors import UnfinishedError
from xrdmatch.formats.scan import Binary, Scan, details, grid, radiation

_FIRST, _ALIGN = 2048, 512
_DATE = re.compile(rb"\d\d-[A-Za-z]{3}-\d\d")


def read(data: bytes) -> list[Scan]:
    """Ranges of a STOE raw file. Raises ReadError where one is cut short.

    STOE powder diffractometers have a curved Ge(111) monochromator in the incident beam, so that both lines in the header stand for K-alpha1 alone.
    """
    file = Binary(data)
    wavelength, meta = radiation(file.f32(0x142), file.f32(0x146), kind="Ka1")
    meta |= details(format="STOE WinXPOW RAW", date=file.text(16, 16), sample=_title(file.text(32, 80)), intensity_unit="counts")
    scans: list[Scan] = []
    offset = _FIRST
    while offset + _ALIGN <= len(data):
        if not _is_range(file, offset):
            # The space reserved for a range can be longer than what was stored.
            offset += _ALIGN
            continue
        count = file.u16(offset + 0x22)
        angles = grid(file.f32(offset + 0x2C), file.f32(offset + 0x3C), count)
        counts = file.array("<i4", offset + 0x200, count)
        scan = Scan(angles, counts, wavelength, "", meta | details(counting_time=file.f32(offset + 0x44)))
        if scans and abs(scans[-1].two_theta[0] - angles[0]) < 1e-4:
            scans[-1] = scan
        else:
            scans.append(scan)
        offset += 0x200 + -(-4 * count // _ALIGN) * _ALIGN
    if not scans:
        raise UnfinishedError("is a STOE raw file without a range: is it still being written?")
    return scans


def _is_range(file: Binary, offset: int) -> bool:
    start, end, step = (file.f32(offset + at) for at in (0x2C, 0x34, 0x3C))
    count = file.u16(offset + 0x22)
    return bool(_DATE.match(file.data, offset)) and count > 1 and step > 0 and abs(start + step * (count - 1) - end) < 0.6 * step


def _title(text: str) -> str:
    return "" if text.startswith("This file has no Title") else text
