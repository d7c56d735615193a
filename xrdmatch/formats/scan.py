"""What every reader gives back, and the few helpers they share: bounds-checked binary, text lines, numbers, wavelengths, axis names."""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import ANODES, WAVELENGTH_RANGE
from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.notes import note

if TYPE_CHECKING:
    from xrdmatch.formats.abscissa import Abscissa

#: More points than any powder diffractometer writes in one scan; a file that promises more is damaged.
MAX_POINTS = 500_000
#: Bytes of text; the longest synchrotron scans as text are near 5 MB.
MAX_TEXT = 16_000_000
#: Lines of text, blank ones included.
MAX_LINES = 1_000_000
#: A data line longer than this many characters is no table of angles.
MAX_LINE = 20_000


@dataclass
class Scan:
    """One range as the file holds it.

    two_theta: (n,) in degrees, in any order, or, where `abscissa` is given, what that says. intensity: (n,). wavelength: angstrom. axis: the name of
    the scanned axis, "" where not stated. column: the name of the sample, where several stand beside one another. is_peaks: positions and heights of
    peaks, not points of a scan; meta["fwhm"] then holds their width in degrees where the list gives one.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    wavelength: float | None = None
    axis: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    abscissa: Abscissa | None = None
    column: str = ""
    is_peaks: bool = False


class Binary:
    """Little-endian fields of a file, each checked against its length."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def _value(self, code: str, offset: int) -> Any:
        if offset < 0 or offset + struct.calcsize(code) > len(self.data):
            raise UnfinishedError(f"the file ends at byte {len(self.data)} within its header (byte {offset} was needed): is it still being written?")
        return struct.unpack_from("<" + code, self.data, offset)[0]

    def u16(self, offset: int) -> int:
        return int(self._value("H", offset))

    def u32(self, offset: int) -> int:
        return int(self._value("I", offset))

    def f32(self, offset: int) -> float:
        # The nearest float of six significant digits is the number the vendor's software had.
        value = float(self._value("f", offset))
        return float(f"{value:.7g}") if math.isfinite(value) else value

    def f64(self, offset: int) -> float:
        return float(self._value("d", offset))

    def text(self, offset: int, size: int) -> str:
        """A zero-terminated field of `size` bytes."""
        return self.data[offset : offset + size].split(b"\0", 1)[0].decode("cp1252", "replace").strip()

    def array(self, dtype: str, offset: int, count: int, stride: int = 0) -> NDArray[np.float64]:
        """`count` numbers of `dtype`, `stride` bytes apart, as float64."""
        kind = np.dtype(dtype)
        stride = stride or kind.itemsize
        if not 0 < count <= MAX_POINTS or stride < kind.itemsize:
            raise ReadError(f"the header promises {count} points of {stride} bytes, which no scan has: the file is damaged")
        there = max(0, len(self.data) - offset) // stride
        if there < count:
            raise UnfinishedError(f"holds {there} of {count} points: is it still being written?")
        values: NDArray[np.float64] = np.ndarray((count,), kind, self.data, offset, (stride,)).astype(np.float64)
        return values


def grid(start: float, step: float, count: int) -> NDArray[np.float64]:
    """Angles (count,) in degrees of an even scan."""
    if not (math.isfinite(start) and math.isfinite(step)) or step == 0 or not 0 < count <= MAX_POINTS:
        raise ReadError(f"the header gives a scan of {count} points from {start:g} in steps of {step:g} degrees: the file is damaged")
    return np.asarray(start + step * np.arange(count), dtype=np.float64)


# ---- numbers and keys ----

_FIRST_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def first_number(text: str | None) -> float | None:
    """The first finite number within a text, with a decimal point or comma; None where there is none."""
    found = _FIRST_NUMBER.search((text or "")[:200].replace(",", "."))
    value = float(found.group()) if found else math.nan
    return value if math.isfinite(value) else None


def plain(key: str) -> str:
    """A key or an axis name without case, blanks and punctuation, Greek letters spelled out: `2θ/θ` -> `2thetatheta`."""
    for letter, name in (
        ("θ", "theta"),
        ("ω", "omega"),
        ("φ", "phi"),
        ("ϕ", "phi"),
        ("χ", "chi"),
        ("ψ", "psi"),
        ("β", "beta"),
        ("\u03b1", "alpha"),
        ("λ", "lambda"),
    ):
        key = key.replace(letter, name)
    return re.sub(r"[^a-z0-9]", "", key[:200].lower()).replace("twotheta", "2theta")


# ---- text ----


def decode(data: bytes, code_page: str = "cp1252") -> str:
    """Text of a file in UTF-8, UTF-16 (with or without a byte-order mark) or a code page.

    Raises ReadError for binary content and for more text than a scan can have.
    """
    if len(data) > MAX_TEXT:
        raise ReadError(f"holds {len(data) / 1e6:.0f} MB of text, a powder scan has less than {MAX_TEXT / 1e6:.0f} MB: give one scan per file")
    if data.count(b"\n") > MAX_LINES or data.count(b"\r") > MAX_LINES:
        raise ReadError(f"holds more than {MAX_LINES} lines: give one scan per file")
    head = data[:4000]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    nulls = head.count(0)
    if nulls:
        odd = head[1::2].count(0)
        if max(odd, nulls - odd) > 0.4 * len(head) and min(odd, nulls - odd) == 0:
            return data.decode("utf-16-le" if odd else "utf-16-be", "replace")
        raise ReadError("is binary, but of no format listed in docs/formats.md: export the scan as columns of angle and intensity")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(code_page, "replace")


def lines(text: str) -> Iterator[str]:
    """Lines of a text whatever ends them: LF, CR LF or CR. One at a time, so that a large file is never held twice."""
    return (line.rstrip("\n") for line in io.StringIO(text, newline=None))


def number_rows(rows: Iterator[str] | list[str]) -> list[list[float]]:
    """Numbers of each line that begins with one, up to the first word that is none. For vendor text, which is regular."""
    found: list[list[float]] = []
    for row in rows:
        numbers: list[float] = []
        for word in row[:MAX_LINE].replace(",", " ").replace(";", " ").split():
            try:
                numbers.append(float(word))
            except ValueError:
                break
        if numbers:
            found.append(numbers)
        if len(found) > MAX_POINTS:
            raise ReadError(f"holds more than {MAX_POINTS} rows: give one scan per file")
    return found


def breaks_off(text: str, numbers: Callable[[str], list[float]], width: int) -> bool:
    """Whether the last line of a table of `width` columns has no end and too few `numbers`."""
    if text.endswith(("\n", "\r")):
        return False
    last = text[-MAX_LINE:].replace("\r", "\n").rpartition("\n")[2]
    return 0 < len(numbers(last)) < width


def two_columns(rows: list[list[float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles and intensities of rows that hold both first."""
    pairs = [row[:2] for row in rows if len(row) >= 2]
    if not pairs:
        raise UnfinishedError("holds a header but no points: is it still being written?")
    table = np.array(pairs)
    return table[:, 0], table[:, 1]


# ---- what the header says ----


def radiation(
    k_alpha1: float | None = None,
    k_alpha2: float | None = None,
    *,
    ratio: float | None = None,
    k_beta: float | None = None,
    anode: str = "",
    kind: str = "",
) -> tuple[float | None, dict[str, Any]]:
    """Wavelength (angstrom) that the peak positions belong to, and what to say about it.

    A scan with both lines shows their unresolved mean (2:1) at the angles where metal-organic frameworks scatter. It shows K-alpha1 alone where the
    file has no K-alpha2, gives it no intensity (`ratio` 0), or says so (`kind` "Ka1"). `kind` "Kb" chooses K-beta. An anode alone means its mean.
    """
    low, high = WAVELENGTH_RANGE
    # Some writers keep single precision in doubles (1.5405999422): seven digits are what was meant.
    first, second, beta = (float(f"{value:.7g}") if value is not None and low <= value <= high else None for value in (k_alpha1, k_alpha2, k_beta))
    symbol = anode.strip().capitalize()[:2]
    meta: dict[str, Any] = {"anode": symbol} if symbol in ANODES else {}
    if first is None and second is None and symbol in ANODES and kind != "Kb":
        tube = ANODES[symbol]
        return (tube.k_alpha1, meta | {"wavelength_kind": "Ka1"}) if kind == "Ka1" else (tube.k_alpha, meta | {"wavelength_kind": "Ka mean"})
    first = first or second
    if first is not None and second is not None and not meta:
        # Both lines together identify the tube where the file has no field for it.
        tubes = [tube.symbol for tube in ANODES.values() if abs(tube.k_alpha1 - first) < 3e-4 and abs(tube.k_alpha2 - second) < 3e-4]
        meta |= details(anode="".join(tubes))
    if first is not None:
        meta["k_alpha1"] = first
    if second is not None:
        meta["k_alpha2"] = second
    if kind == "Kb" and beta is not None:
        return beta, meta | {"wavelength_kind": "Kb"}
    if first is None:
        return None, meta
    if kind == "Ka1" or second is None or second == first or ratio == 0:
        return first, meta | {"wavelength_kind": "Ka1" if second != first else "stated"}
    return (2.0 * first + second) / 3.0, meta | {"wavelength_kind": "Ka mean"}


_NANOMETRE, _PICOMETRE = re.compile(r"(?<![a-z])nm(?![a-z])|nano ?met", re.IGNORECASE), re.compile(r"(?<![a-z])pm(?![a-z])|pico ?met", re.IGNORECASE)
_ANGSTROM = re.compile(r"(?<![a-z])a(?![a-z])|\u00e5|\u212b|angst", re.IGNORECASE)


def stated_wavelength(value: float, unit: str) -> float | None:
    """A wavelength in angstrom from a number of a header and the text around it, which may hold its unit: nm, pm, or m where it is tiny.

    Without a unit it is in angstrom, unless ten times the number is a line of an X-ray tube: then it is in nm.
    """
    if _NANOMETRE.search(unit):
        value *= 10.0
    elif _PICOMETRE.search(unit):
        value *= 0.01
    elif value < 1e-8:
        value *= 1e10
    elif not _ANGSTROM.search(unit) and value < 0.3:
        tubes = [line for tube in ANODES.values() for line in (tube.k_alpha1, tube.k_alpha2, tube.k_alpha)]
        if any(abs(10.0 * value - line) < 3e-4 * line for line in tubes):
            value *= 10.0
    value = float(f"{value:.8g}")
    low, high = WAVELENGTH_RANGE
    return value if low <= value <= high else None


def details(**known: Any) -> dict[str, Any]:
    """The entries that the file really has: no None, no empty text, no time below zero. Texts come on one line, without control characters."""
    kept: dict[str, Any] = {}
    for key, value in known.items():
        if isinstance(value, str):
            # A comment field is free text of a stranger's file: it must not steer the terminal that prints it.
            value = " ".join("".join(c if c.isprintable() else " " for c in value[:200]).split())
        if value in (None, "") or (key == "counting_time" and not 0 < value < 1e6):
            continue
        kept[key] = float(f"{value:.7g}") if isinstance(value, float) else value
    return kept


#: Codes of the notes on scans that may not be complete.
UNFINISHED = frozenset(("broken_record", "just_changed", "scan_status", "stopped_early"))


def noted(meta: dict[str, Any], code: str, **values: Any) -> None:
    """Adds what a user should know about the scan; `identify` passes it on as a note."""
    meta["notes"] = (*meta.get("notes", ()), note(code, **values))


#: Names vendors give to scans whose abscissa is 2theta, as `plain` spells them.
TWO_THETA_AXES = frozenset((
    "2theta", "2thetatheta", "theta2theta", "thetatheta", "2thetaomega", "omega2theta", "gonio", "coupled", "lockedcoupled", "unlockedcoupled",
    "coupled2thetatheta", "lockedcoupledhiscan", "unlockedcoupledhiscan", "detectorscan", "detector", "psdfixedscan", "psdfastscan", "2thetachi",
    "2thetachiphi", "2thetab", "tt",
))  # fmt: skip
_OTHER_AXES = {
    "omega": "an omega (rocking) scan",
    "theta": "a theta (rocking) scan",
    "thetas": "a theta (rocking) scan",
    "thetad": "a detector-arm (theta) scan",
    "rockingcurve": "a rocking curve (omega scan)",
    "rocking": "a rocking curve (omega scan)",
    "phi": "a phi scan",
    "chi": "a chi scan",
    "khi": "a chi scan",
    "psi": "a psi scan",
    "alpha": "an alpha scan (pole figure)",
    "beta": "a beta scan (pole figure)",
    "polefigure": "a pole figure",
    "polefig": "a pole figure",
    "hkl": "an hkl scan",
    "x": "an x scan",
    "y": "a y scan",
    "z": "a z scan",
}


def other_axis(name: str, known_only: bool = False) -> str:
    """What a scan is that is not a 2theta scan, such as "an omega (rocking) scan"; "" for a 2theta scan. `known_only`: let unknown names pass."""
    axis = plain(name)
    if not axis or axis in TWO_THETA_AXES:
        return ""
    if axis in _OTHER_AXES:
        return _OTHER_AXES[axis]
    stem = re.sub(r"(scan|axis|drive)$", "", axis)
    # Users and newer software extend the names: "Locked Coupled (HiScan)".
    if stem in TWO_THETA_AXES or not stem or "coupled" in axis or "2theta" in axis:
        return ""
    return _OTHER_AXES.get(stem, "" if known_only else f"a scan of {name.strip()[:40]!r}")


def floats(text: str, most: int = MAX_POINTS) -> NDArray[np.float64]:
    """Numbers of a blank-separated list."""
    words = text.split(None, most + 1)
    if len(words) > most:
        raise ReadError(f"holds a list of more than {most} numbers: export one scan per file")
    return np.array([float(word) for word in words])
