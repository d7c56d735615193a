"""Bruker (and Siemens) RAW files, all four generations.

Layouts: the public descriptions kept with xylib (v1 to v3) and GSAS-II, checked field by field against real files of each generation and,
for RAW4.00, against the BRML twin of the same scan. Offsets are in bytes, numbers little-endian.
"""

from __future__ import annotations

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.scan import MAX_POINTS, Binary, Scan, details, grid, radiation

#: RAW1.01 names its scan types by number.
_SCAN_TYPES = {
    0: "locked coupled",
    1: "unlocked coupled",
    2: "detector scan",
    3: "rocking curve",
    4: "chi",
    5: "phi",
    6: "x",
    7: "y",
    8: "z",
    12: "psi",
    13: "hkl",
    129: "psd fixed scan",
    130: "psd fast scan",
}
_MAX_RANGES = 10_000
#: Wavelengths (angstrom) closer than this mean the same tube: a range rounds the mean of its lines.
_SAME_LINE = 3e-3


def read(data: bytes) -> list[Scan]:
    """Ranges of a Bruker RAW file of any generation. Raises ReadError where the file is cut short or damaged."""
    file = Binary(data)
    if data.startswith(b"RAW4.00"):
        return _raw4(file)
    if data.startswith(b"RAW1.01"):
        return _raw3(file)
    if data.startswith(b"RAW2"):
        return _raw2(file)
    return _raw1(file)


def _raw1(file: Binary) -> list[Scan]:
    """RAW version 1: a 156-byte header before each range."""
    scans: list[Scan] = []
    offset, more = 0, True
    while more and len(scans) < _MAX_RANGES:
        # Some writers repeat the four magic bytes in following ranges, others leave them out.
        base = offset if file.data[offset : offset + 4] == b"RAW " else offset - 4
        count = file.u32(base + 4)
        start, step = file.f32(base + 24), file.f32(base + 12)
        wavelength, meta = radiation(file.f32(base + 72), file.f32(base + 76))
        meta |= details(format="Bruker RAW v1", counting_time=file.f32(base + 8), sample=file.text(base + 40, 32), intensity_unit="counts")
        more = file.u32(base + 152) != 0
        counts = file.array("<f4", base + 156, count)
        scans.append(Scan(grid(start, step, count), counts, wavelength, "", meta))
        offset = base + 156 + 4 * count
    return scans


def _raw2(file: Binary) -> list[Scan]:
    """RAW2: a 256-byte file header, then ranges with a header of their own length."""
    wavelength, common = radiation(file.f32(190), file.f32(194), ratio=file.f32(198), anode=file.text(188, 2))
    # The 20 bytes of the date begin with the day: `19-12-1997` and `21:57` without a blank between.
    date = file.text(168, 20)
    common |= details(format="Bruker RAW2", date=f"{date[:10]} {date[10:]}".strip(), sample=file.text(8, 32), intensity_unit="counts")
    scans: list[Scan] = []
    offset = 256
    for _ in range(file.u16(4)):
        length, count = file.u16(offset), file.u16(offset + 2)
        if length < 20:
            raise ReadError(f"its range header has {length} bytes, expected 20 or more: the file is damaged")
        angles = grid(file.f32(offset + 16), file.f32(offset + 12), count)
        counts = file.array("<f4", offset + length, count)
        scans.append(Scan(angles, counts, wavelength, "", common | details(counting_time=file.f32(offset + 8))))
        offset += length + 4 * count
    return scans


def _raw3(file: Binary) -> list[Scan]:
    """RAW1.01, written by Diffrac Plus (version 3): a 712-byte file header, ranges of 304 bytes + supplement + records."""
    wavelength, common = radiation(file.f64(624), file.f64(632), ratio=file.f64(648), k_beta=file.f64(640), anode=file.text(608, 4))
    date = f"{file.text(16, 10)} {file.text(26, 10)}".strip()
    common |= details(format="Bruker RAW1.01", date=date, sample=file.text(326, 60), intensity_unit="counts")
    scans: list[Scan] = []
    offset = 712
    for _ in range(min(file.u32(12), _MAX_RANGES)):
        header, count, record, supplement = (file.u32(offset + at) for at in (0, 4, 252, 256))
        if header != 304 or supplement > len(file):
            raise ReadError(f"its range header has {header} bytes, expected 304: the file is damaged")
        number = file.u32(offset + 196)
        angles = grid(file.f64(offset + 16), file.f64(offset + 176), count)
        counts = file.array("<f4", offset + header + supplement, count, record)
        used, told = _used(file.f64(offset + 240), wavelength, common)
        own = told | details(counting_time=file.f32(offset + 192))
        scans.append(Scan(angles, counts, used, _SCAN_TYPES.get(number, f"type {number}"), own))
        offset += header + supplement + count * record
    return scans


def _used(own: float, wavelength: float | None, meta: dict[str, object]) -> tuple[float | None, dict[str, object]]:
    """The wavelength that a range states for itself, where it is none of the tube's lines of the file's header, and what to say about it."""
    value, _ = radiation(own)
    lines = [line for line in (wavelength, meta.get("k_alpha1"), meta.get("k_alpha2")) if isinstance(line, float)]
    if value is None or not lines or min(abs(value - line) for line in lines) < _SAME_LINE:
        return wavelength, dict(meta)
    return value, {key: told for key, told in meta.items() if key not in ("k_alpha1", "k_alpha2", "wavelength_kind")} | {"wavelength_kind": "stated"}


def _raw4(file: Binary) -> list[Scan]:
    """RAW4.00, written by DIFFRAC.SUITE: segments of type and length from byte 61; types 0 and 160 are ranges."""
    common = details(format="Bruker RAW4.00", date=f"{file.text(12, 12)} {file.text(24, 10)}".strip(), intensity_unit="counts")
    wavelength: float | None = None
    scans: list[Scan] = []
    promised = file.u32(40)
    offset = 61
    while offset + 8 <= len(file) and len(scans) < _MAX_RANGES:
        kind, length = file.u32(offset), file.u32(offset + 4)
        if kind in (0, 160):
            scan, length = _raw4_range(file, offset, wavelength, common)
            scans.append(scan)
        elif kind == 10 and file.text(offset + 12, 24) == "SAMPLEID":
            common |= details(sample=file.text(offset + 36, max(0, length - 36)))
        elif kind == 30:
            lines = [file.f64(offset + at) for at in (80, 88, 96, 104)]
            wavelength, tube = radiation(lines[0], lines[1], ratio=lines[3], k_beta=lines[2], anode=file.text(offset + 116, 4))
            common |= tube
        if length < 8:
            break
        offset += length
    if not scans or (0 < promised <= _MAX_RANGES and len(scans) < promised):
        raise UnfinishedError(f"holds {len(scans)} of {promised} ranges: is it still being written?")
    return scans


def _raw4_range(file: Binary, offset: int, wavelength: float | None, common: dict[str, object]) -> tuple[Scan, int]:
    """One range of a RAW4.00 file and its length in bytes. A record is 4 bytes, or more where other channels follow the intensity."""
    count, record, header = file.u32(offset + 88), file.u32(offset + 136), file.u32(offset + 140)
    if header > len(file) or not 4 <= record <= 4096 or count > MAX_POINTS:
        raise ReadError(f"its range header gives {count} points of {record} bytes after {header} bytes: the file is damaged")
    angles = grid(file.f64(offset + 72), file.f64(offset + 80), count)
    counts = file.array("<f4", offset + 160 + header, count, record)
    meta = common | details(counting_time=file.f32(offset + 92))
    if wavelength is None:
        wavelength, told = radiation(file.f64(offset + 112))
        meta |= told
    else:
        wavelength, meta = _used(file.f64(offset + 112), wavelength, meta)
    return Scan(angles, counts, wavelength, file.text(offset + 32, 24), meta), 160 + header + count * record
