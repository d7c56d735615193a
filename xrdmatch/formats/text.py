"""Columns of numbers in every dialect that instruments, spreadsheets and refinement programs write.

Angles come first, intensities second, unless a header names the columns. Decided from the content: the separator (blank, tab, comma, semicolon, bar),
decimal points or commas, line ends, encoding. Headers are searched for a wavelength, an anode and an axis.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import WAVELENGTH_RANGE
from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.columns import Block, blocks, dialect, only_blanks
from xrdmatch.formats.scan import (
    MAX_LINE,
    MAX_POINTS,
    Scan,
    breaks_off,
    decode,
    details,
    first_number,
    grid,
    lines,
    noted,
    number_rows,
    other_axis,
    plain,
    radiation,
    stated_wavelength,
)  # fmt: skip

#: Lines that the dialect is told from, and what they begin with.
_SAMPLE, _NUMERIC = 400, re.compile(r'\s*"?[-+.]?\d|\s*[,;|\t]')
_HEADER = 300


def read(data: bytes) -> list[Scan]:
    """Ranges of a text file of columns: one for each block of numbers. Raises ReadError where there is no such block."""
    text = decode(data)
    for special in (_gsas, _start_step_end, _count_step_start):
        scans = special(text)
        if scans:
            return scans
    numeric = (line[:MAX_LINE] for line in lines(text) if _NUMERIC.match(line))
    split = dialect([] if only_blanks(text) else list(islice(numeric, _SAMPLE)))
    found = blocks(text, split)
    if not found:
        raise ReadError(_no_columns(text))
    most = max(len(block.widths) for block in found)
    if most < 2:
        raise UnfinishedError("holds 1 point, expected a scan: is it still being written?")
    header = found[0].header
    scans = []
    for block in found:
        if len(block.widths) >= max(2, 0.1 * most):
            scans.append(_scan(block, header if block is found[0] else header + block.header))
    if breaks_off(text, split, int(np.bincount(np.array(found[-1].widths)).argmax())):
        noted(scans[-1].meta, "broken_record")
    return scans


def _no_columns(text: str) -> str:
    found = [line.strip() for line in islice((line for line in lines(text) if line.strip()), 1)]
    if not found:
        return "is empty"
    if text.lstrip()[:15].lower().startswith(("<!doctype", "<html")):
        return "is a web page, not a scan: download the file itself"
    return f"holds no two columns of numbers (angle and intensity); it begins with {found[0][:40]!r}"


# ---- a block to a scan ----

_ANGLE = re.compile(r"2th|^theta|^tth|angle|^x$|^deg")
_INTENSITY = re.compile(r"inten|count|cps|obs|signal|^y$|^i$|^int$")
_ERROR = re.compile(r"err|sig|esd|^su$|^sd$|std|weight|calc|back|bkg|diff")
_NOT_AN_ANGLE = (
    (re.compile(r"^(d|dspacing|dvalue|dangstrom|da|dnm)$"), "d-spacings"),
    (re.compile(r"^(q|qvalue|qa1|q1a|qnm1|q1nm|qangstrom1|s)$"), "scattering vectors q"),
    (re.compile(r"^(tof|tofus|timeofflight)"), "times of flight"),
    (re.compile(r"^(energy|energykev|kev)$"), "energies"),
)


def _scan(block: Block, header: list[str]) -> Scan:
    table = block.table()
    names = _column_names(header, table.shape[1])
    angle, intensity = _columns(table, names)
    two_theta, counts = table[:, angle], table[:, intensity]
    there = ~(np.isnan(two_theta) | np.isnan(counts))
    if np.count_nonzero(there) < 2:
        raise ReadError("holds one column of numbers, expected angle and intensity")
    wavelength, meta, axis = _header_facts(header)
    return Scan(two_theta[there], counts[there], wavelength, axis, meta)


def _column_names(header: list[str], width: int) -> list[str]:
    """Names of the columns as `plain` spells them, or []. Refuses a header whose abscissa is clearly no angle."""
    for line in reversed(header[-4:]):
        line = line.strip().lstrip("#!%*/' ")
        for cells in (re.split(r"\s*[;\t|,]\s*", line), line.split()):
            names = [plain(cell) for cell in cells]
            if len(names) < 2:
                continue
            if not any(_ANGLE.search(name) for name in names):
                for pattern, what in _NOT_AN_ANGLE:
                    if pattern.match(names[0]) and any(_INTENSITY.search(name) for name in names[1:]):
                        raise ReadError(f"its first column holds {what} ({cells[0].strip()!r}), not 2theta: export it against 2theta")
            elif len(names) == width or any(_INTENSITY.search(name) for name in names):
                return names
    return []


def _columns(table: NDArray[np.float64], names: list[str]) -> tuple[int, int]:
    """Positions of the angle and the intensity."""
    width = table.shape[1]
    angles = [at for at, name in enumerate(names[:width]) if _ANGLE.search(name)]
    if angles:
        angle = next((at for at in angles if names[at] == "2theta"), angles[0])
        others = [at for at, name in enumerate(names[:width]) if at != angle and not _ERROR.search(name)]
        chosen = next((at for at in others if _INTENSITY.search(names[at])), None)
        if chosen is None:
            chosen = next((at for at in others if at > angle), angle + 1 if angle + 1 < width else 1 - min(angle, 1))
        return angle, chosen
    if width >= 3:
        first, second = table[:, 0], table[:, 1]
        counted = np.isnan(first).all() or (first[0] in (0, 1) and bool(np.all(np.diff(first) == 1)))
        if counted and bool(np.all(np.diff(second) > 0)) and bool(np.any(second % 1)):
            return 1, 2
    return 0, 1


# ---- what the header says ----

_KEYS = {
    "k_alpha1": ("alpha1", "kalpha1", "kalpha1wavelength", "wavelength1", "wavelengthalpha1", "ka1", "wl1", "lambda1"),
    "k_alpha2": ("alpha2", "kalpha2", "kalpha2wavelength", "wavelength2", "wavelengthalpha2", "ka2", "wl2", "lambda2"),
    "ratio": ("alpharatio", "ratiokalpha2kalpha1", "ratioka2ka1", "wlratio"),
    "anode": ("anode", "anodematerial", "target", "targetname", "tubeanode"),
    "counting_time": ("timeperstep", "steptime", "timeperstepsec", "countingtime"),
    "sample": ("sample", "samplename", "sampleid", "sampleidentification", "usersamplename"),
    "date": ("date", "fileDateandtime".lower(), "measurementdate", "scantime", "datemeasured"),
    "axis": ("scanaxis", "scantype", "scanmode", "scanningmode", "drive"),
}
_FIELD = {key: field for field, keys in _KEYS.items() for key in keys}
_QUOTED = re.compile(r'(\w{1,40}): "([^"]{0,200})"')
_WAVELENGTH = re.compile(r"(?:wave ?length|lambda|\bwave\b|λ)\D{0,40}?(\d*\.\d+(?:e[-+]?\d{1,2})?|\d+e-\d{1,2})", re.IGNORECASE)


def _header_facts(header: list[str]) -> tuple[float | None, dict[str, Any], str]:
    """Wavelength, meta and axis as far as the lines above the numbers tell."""
    known: dict[str, str] = {}
    stated: float | None = None
    for line in header:
        line = line.strip().lstrip("#!%*/' ")
        pairs = _QUOTED.findall(line) or [re.split(r"\s*[=:,;\t]\s*", line, maxsplit=1)]
        for pair in pairs:
            if len(pair) == 2 and plain(pair[0]) in _FIELD:
                known.setdefault(_FIELD[plain(pair[0])], pair[1].strip().strip("\"'").strip(" ,;"))
        found = _WAVELENGTH.search(line)
        if found and stated is None and not re.search(r"alpha|beta", line, re.IGNORECASE):
            stated = stated_wavelength(float(found.group(1)), line[found.end() :])
    anode = known.get("anode", "")
    first, second = first_number(known.get("k_alpha1")), first_number(known.get("k_alpha2"))
    wavelength, meta = radiation(first, second, ratio=first_number(known.get("ratio")), anode=anode)
    if stated is not None and first is None:
        wavelength, meta = stated, radiation(anode=anode)[1] | {"wavelength_kind": "stated"}
    meta |= details(format="text columns", counting_time=first_number(known.get("counting_time")), sample=known.get("sample"), date=known.get("date"))
    axis = known.get("axis", "")
    return wavelength, meta, axis if other_axis(axis, known_only=True) or not other_axis(axis) else ""


# ---- tables without an angle column ----


def _gsas(text: str) -> list[Scan]:
    """GSAS histograms (`BANK` line): FXYE, FXY, ESD and STD with constant steps, in hundredths of a degree (GSAS manual, Larson & Von Dreele)."""
    head = text[:200_000]  # a plain look for the word takes a fiftieth of the time of the pattern
    bank = re.search(r"(?:^|[\r\n])BANK +(\d[^\r\n]{0,200})", head) if "BANK " in head else None
    if bank is None:
        return []
    words = bank.group(1).split()
    binning, kind = (words[3] if len(words) > 3 else ""), next((word for word in words[4:] if word in {"FXYE", "FXY", "ESD", "STD"}), "STD")
    if not binning.startswith("CON"):
        raise ReadError(f"its GSAS histogram is binned as {binning!r}, not in even angles: it is a time-of-flight scan")
    body = lines(re.split(r"[\r\n]BANK ", text[bank.end() :], maxsplit=1)[0])
    wavelength, meta, _ = _header_facts(list(islice(lines(text[: bank.start()]), _HEADER)))
    meta |= {"format": f"GSAS {kind}"}
    if kind in {"FXYE", "FXY"}:
        table = np.array([row[:2] for row in number_rows(body) if len(row) >= 2])
        if table.size == 0:
            raise UnfinishedError("holds a GSAS header but no points: is it still being written?")
        return [Scan(table[:, 0] / 100.0, table[:, 1], wavelength, "", meta)]
    values = _fixed_fields(body, kind)
    count = int(words[1])
    if values.size < count:
        raise UnfinishedError(f"holds {values.size} of {count} points: is it still being written?")
    return [Scan(grid(float(words[4]) / 100.0, float(words[5]) / 100.0, count), values[:count], wavelength, "", meta)]


def _fixed_fields(body: Iterator[str], kind: str) -> NDArray[np.float64]:
    """Counts of GSAS records: fields of 8 characters; STD: a 2-digit number of detectors before each count, ESD: an error after each."""
    values = array("d")
    for line in body:
        cells = [line[at : at + 8] for at in range(0, min(len(line.rstrip()), 80), 8)]
        for cell in cells[::2] if kind == "ESD" else cells:
            values.append(float(cell[2:] if kind == "STD" else cell))
    return np.array(values)


def _start_step_end(text: str) -> list[Scan]:
    """Instruments at neutron and synchrotron sources, FullProf: `start step end` on one of the first lines, then nothing but intensities."""
    head = list(islice(lines(text), 8))
    for at, line in enumerate(head):
        words = line.replace(",", " ").split()[:3]
        numbers = [first_number(word) for word in words if re.fullmatch(r"[-+]?\d*\.?\d*", word)]
        if len(numbers) < 3 or None in numbers:
            continue
        start, step, stop = (float(number or 0.0) for number in numbers)
        count = round((stop - start) / step) + 1 if 0 < step < stop - start < 400 else 0
        if not (10 < count <= MAX_POINTS and abs(start + step * (count - 1) - stop) < 0.02 * step):
            continue
        below = number_rows(list(islice(lines(text), at + 1, at + 6)))
        if 2 <= len(below[0] if below else []) <= 3 and all(left[0] < right[0] for left, right in pairwise(below)):
            # The first row of a table can pass for such a line; a table's first column rises.
            continue
        values = array("d")
        for row in islice(lines(text), at + 1, None):
            words = row.split()
            if len(values) >= count or not words:
                continue
            try:
                values.extend([float(word) for word in words])
            except ValueError:
                break
        if len(values) < count:
            return []
        wavelength, meta, axis = _header_facts(head[:at])
        return [Scan(grid(start, step, count), np.array(values[:count]), wavelength, axis, meta | {"format": "start, step, end and intensities"})]
    return []


def _count_step_start(text: str) -> list[Scan]:
    """MAUD: a title, `count step start wavelength ...`, then one intensity a line."""
    head = list(islice(lines(text), 2))
    words = head[1].split() if len(head) == 2 else []
    if len(words) not in (4, 5) or not words[0].isdigit() or len(words[0]) > 7:
        return []
    step, start, wavelength = (first_number(word) or 0.0 for word in words[1:4])
    count = int(words[0])
    low, high = WAVELENGTH_RANGE
    if not (10 < count <= MAX_POINTS and 0 < step < 1 and 0 <= start < 180 and low <= wavelength <= high):
        return []
    rows = number_rows(islice(lines(text), 2, None))
    values = np.array([value for row in rows for value in row])
    if values.size < count:
        raise UnfinishedError(f"holds {values.size} of {count} points: is it still being written?")
    meta = {"format": "MAUD", "wavelength_kind": "stated"} | details(sample=head[0].strip())
    return [Scan(grid(start, step, count), values[:count], wavelength, "", meta)]
