"""Entries of a known net that would have a scan's pattern if their cell were larger or smaller.

On a logarithmic axis of 1/d a pattern moves as a whole when its cell is scaled, so one correlation by FFT tries all scales of an entry. Linkers of
another length scale cubic cells evenly; others often keep one axis (MOF-74 with a longer linker keeps c), so scales of a and b alone and of c alone
are tried as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import ANGLE
from xrdmatch.diffraction.radiation import d_spacing, inverse_d_squared_of_cells, powder_lines, reciprocal_components
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import COMPARISON, ComparisonSignal
from xrdmatch.search.candidates import START_B
from xrdmatch.system.arrays import Float32Array, Float64Array

#: The logarithmic axis: d-spacings between which it lies in angstrom, its points, and the largest change of ln d that is tried.
LARGEST, SMALLEST, POINTS, REACH = 50.0, 1.7, 1024, 0.35
#: Lines are widened to this standard deviation of ln d, cut off below this share of the strongest, and lifted by this power.
WIDENING, FLOOR, POWER = 0.008, 0.01, 0.35
#: Share of a pattern's squared norm that has to lie in the scan's range; with less, it counts as if there were so much.
LEAST_SEEN = 0.25
#: Lines of an entry by which scales of single axes are looked for, and how many of these are then compared as a whole.
STRONGEST, COMPARED = 40, 60

_STEP = np.log(LARGEST / SMALLEST) / (POINTS - 1)
_PADDED = 1280  # at least POINTS and the largest change, with small prime factors
_WIDENED = np.exp(-2.0 * (np.pi * np.fft.rfftfreq(_PADDED) * WIDENING / _STEP) ** 2).astype(np.float32)
#: Scales of one axis that are tried.
_SCALES = np.exp(np.arange(-REACH, REACH + 1e-9, 1.5 * WIDENING))
#: Which of a, b and c a kind of scaling changes.
AXES = {"abc": (True, True, True), "ab": (True, True, False), "c": (False, False, True)}


@dataclass(frozen=True, eq=False)
class Sisters:
    """What scans may be isoreticular with: for each entry and kind of scaling that was tried, how alike. All (m,) but `axes`.

    place: of the entry in `ScalableEntries`. scale: of the axes `axes`, a list of m keys of `AXES`. similarity: 0 to 1.
    """

    place: NDArray[np.int64]
    axes: list[str]
    scale: Float64Array
    similarity: Float64Array


class ScalableEntries:
    """The entries of a library that have a net and a cubic, hexagonal, trigonal or tetragonal cell: one of each family, net and linkers."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.rows = _scalable(library)
        cells = library.cell[self.rows]
        self.cubic = np.abs(cells[:, 2] - cells[:, 0]) < 1e-3 * cells[:, 0]
        self.net = np.array(library.net.take(self.rows).tolist(), dtype=str)
        patterns = _patterns(library, self.rows, cells)
        self._norm = (patterns**2).sum(axis=1)
        self._spectra = np.conj(np.fft.rfft(patterns, _PADDED, axis=1)).astype(np.complex64)
        self._squares = np.conj(np.fft.rfft(patterns**2, _PADDED, axis=1)).astype(np.complex64)

    def __len__(self) -> int:
        return len(self.rows)

    def sisters(self, scan: ComparisonSignal) -> Sisters:
        """All entries with the scale at which each is most like the scan."""
        signal, seen = _of_scan(scan)
        evenly = self._evenly(signal, seen)
        parts = [evenly, *(self._along(axes, signal, seen) for axes in ("ab", "c"))]
        return Sisters(
            np.concatenate([one.place for one in parts]),
            [axes for one in parts for axes in one.axes],
            np.concatenate([one.scale for one in parts]),
            np.concatenate([one.similarity for one in parts]),
        )

    def _evenly(self, signal: Float32Array, seen: Float32Array) -> Sisters:
        """Every entry scaled as a whole."""
        reach = int(REACH / _STEP)
        shifts = np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)])
        product = np.fft.irfft(self._spectra * np.fft.rfft(signal, _PADDED), _PADDED, axis=1)[:, shifts]
        norm = np.fft.irfft(self._squares * np.fft.rfft(seen, _PADDED), _PADDED, axis=1)[:, shifts]
        alike = product / np.sqrt(np.maximum(norm, LEAST_SEEN * self._norm[:, None]))
        best = alike.argmax(axis=1)
        place = np.arange(len(self))
        return Sisters(place, ["abc"] * len(self), np.exp(-shifts[best] * _STEP), alike[place, best].astype(float))

    def _along(self, axes: str, signal: Float32Array, seen: Float32Array) -> Sisters:
        """The likeliest entries scaled along some axes: looked for by their strongest lines, then compared as a whole."""
        places = np.flatnonzero(~self.cubic)
        if places.size == 0:
            return Sisters(places, [], np.empty(0), np.empty(0))
        alike = self._by_lines(axes, signal, seen)
        best = alike.argmax(axis=1)
        order = np.argsort(-alike[np.arange(places.size), best])[:COMPARED]
        places, scale = places[order], _SCALES[best[order]]
        patterns = _patterns(self.library, self.rows[places], scaled(self.library.cell[self.rows[places]], axes, scale))
        norm = np.maximum((patterns**2) @ seen, LEAST_SEEN * (patterns**2).sum(axis=1))
        return Sisters(places, [axes] * places.size, scale, (patterns @ signal / np.sqrt(norm)).astype(float))

    def _by_lines(self, axes: str, signal: Float32Array, seen: Float32Array) -> Float32Array:
        """Likeness (k, scales) of the entries that are not cubic, by their strongest lines alone."""
        weight, places = self._strong.weight, self._strong.places(axes)
        alike = np.empty((len(weight), len(_SCALES)), dtype=np.float32)
        for column, at in enumerate(places):
            norm = np.vecdot(weight**2, seen.take(at))
            alike[:, column] = np.vecdot(weight, signal.take(at)) / np.sqrt(np.maximum(norm, LEAST_SEEN * self._strong.norm))
        return alike

    @cached_property
    def _strong(self) -> _StrongLines:
        return _StrongLines.of(self.library, self.rows[~self.cubic])


@dataclass(frozen=True, eq=False)
class _StrongLines:
    """The strongest lines of k entries with a = b. weight: (k, STRONGEST). across, along: (k, STRONGEST) what h and k, and l, contribute to 1/d^2.
    norm: (k,) of the weights, squared."""

    weight: Float32Array
    across: Float32Array
    along: Float32Array
    norm: Float32Array

    def places(self, axes: str) -> list[NDArray[np.uint16]]:
        """For each of the scales that are tried where the lines (k, STRONGEST) lie on the logarithmic axis; found out once."""
        if axes not in self._places:
            self._places[axes] = [self._scaled(axes, scale) for scale in _SCALES]
        return self._places[axes]

    @cached_property
    def _places(self) -> dict[str, list[NDArray[np.uint16]]]:
        return {}

    def _scaled(self, axes: str, scale: float) -> NDArray[np.uint16]:
        across, along = (np.float32(scale**-2.0 if AXES[axes][one] else 1.0) for one in (0, 2))
        position = (0.5 * np.log(self.across * across + self.along * along) + np.log(LARGEST)) / _STEP + 0.5
        return np.asarray(np.clip(position, 0, POINTS - 1), dtype=np.uint16)

    @classmethod
    def of(cls, library: Library, rows: NDArray[np.int64]) -> _StrongLines:
        weight = np.zeros((len(rows), STRONGEST), dtype=np.float32)
        across, along = np.ones_like(weight), np.zeros_like(weight)
        for place, row in enumerate(rows.tolist()):
            part = slice(int(library.offsets[row]), int(library.offsets[row + 1]))
            hkl = library.hkl[part].astype(float).T
            own = reciprocal_components(library.cell[row])[:, None]
            in_plane = inverse_d_squared_of_cells(hkl * np.array([[1.0], [1.0], [0.0]]), own)
            upright = inverse_d_squared_of_cells(hkl * np.array([[0.0], [0.0], [1.0]]), own)
            _, areas = powder_lines(library.intensity[part].astype(float), in_plane + upright, START_B, COMPARISON.grid.wavelength)
            best = np.argsort(-areas)[:STRONGEST]
            weight[place, : best.size] = (areas[best] / max(float(areas[best[0]]) if best.size else 1.0, 1e-300)) ** POWER
            across[place, : best.size], along[place, : best.size] = in_plane[best], upright[best]
        return cls(weight, across, along, (weight**2).sum(axis=1))


def _scalable(library: Library) -> NDArray[np.int64]:
    """Rows of the entries with a net and a = b, c upright on both: one of each family, net and linkers."""
    cells = library.cell
    right = np.abs(cells[:, 3:5] - 90.0) < ANGLE
    square, hexagonal = (np.abs(cells[:, 5] - gamma) < ANGLE for gamma in (90.0, 120.0))
    fits = right.all(axis=1) & (square | hexagonal) & (np.abs(cells[:, 1] - cells[:, 0]) < 1e-3 * cells[:, 0])
    rows = np.flatnonzero(fits & (library.net.stored != b""))
    first = {(int(library.family[row]), library.net[row], library.linkers[row]): row for row in rows[::-1].tolist()}
    return np.array(sorted(first.values()), dtype=np.int64)


def scaled(cells: Float64Array, axes: str, scale: Float64Array) -> Float64Array:
    """Cells (k, 6) with some of their lengths times `scale` (k,)."""
    changed = cells.copy()
    changed[:, :3] *= np.where(AXES[axes], scale[:, None], 1.0)
    return changed


def _patterns(library: Library, rows: NDArray[np.int64], cells: Float64Array) -> Float32Array:
    """Patterns (k, POINTS) of entries in these cells (k, 6)."""
    at, counts = library.stacked_lines(rows)
    own = np.repeat(reciprocal_components(cells).T, counts, axis=1)
    squared = inverse_d_squared_of_cells(np.ascontiguousarray(library.hkl.take(at, axis=0).T, dtype=float), own)
    _, areas = powder_lines(library.intensity[at].astype(float), squared, START_B, COMPARISON.grid.wavelength)
    return _drawn(0.5 * np.log(squared), areas, np.repeat(np.arange(len(rows)), counts), len(rows))


def _of_scan(scan: ComparisonSignal) -> tuple[Float32Array, Float32Array]:
    """A scan's pattern (POINTS,), of unit length, and where it was measured (POINTS,), 0 or 1."""
    x = -np.log(d_spacing(scan.grid.two_theta, scan.grid.wavelength))
    pattern = _drawn(x, scan.lines.astype(float), np.zeros(x.size, dtype=np.int64), 1)[0]
    seen = np.interp(_STEP * np.arange(POINTS) - np.log(LARGEST), x, scan.mask.astype(float), left=0.0, right=0.0)
    return pattern / max(float(np.linalg.norm(pattern)), 1e-9), np.rint(seen).astype(np.float32)


def _drawn(x: NDArray[Any], areas: NDArray[Any], row: NDArray[np.int64], rows: int) -> Float32Array:
    """Patterns (rows, POINTS) of lines at ln(1/d) = x (n,), each of the row `row` (n,): widened, cut off and lifted; the strongest point is 1."""
    position = (x + np.log(LARGEST)) / _STEP
    inside = np.flatnonzero((position >= 0) & (position < POINTS - 1))
    low = position[inside].astype(np.int64)
    share, flat = position[inside] - low, row[inside] * POINTS + low
    total = np.bincount(flat, areas[inside] * (1.0 - share), rows * POINTS) + np.bincount(flat + 1, areas[inside] * share, rows * POINTS + 1)[:-1]
    spectrum = np.fft.rfft(total.reshape(rows, POINTS).astype(np.float32), _PADDED, axis=1) * _WIDENED
    smooth = np.fft.irfft(spectrum, _PADDED, axis=1)[:, :POINTS]
    smooth /= np.maximum(smooth.max(axis=1, keepdims=True), 1e-12)
    return np.asarray(np.where(smooth > FLOOR, smooth, 0.0) ** np.float32(POWER), dtype=np.float32)
