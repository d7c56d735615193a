"""A scan against the reflections of candidates: what each would look like in this scan, and how like it is.

The candidates' lines are drawn as the measurement would show them (its width, its detection limit, its range) and compared by the cosine of their
square roots.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import strained
from xrdmatch.diffraction.peak_shapes import draw_rows
from xrdmatch.diffraction.radiation import inverse_d_squared_of_cells, powder_lines, reciprocal_components
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal, unit_length
from xrdmatch.preprocessing.smoothing import opening
from xrdmatch.search.candidates import Candidates, States
from xrdmatch.system.arrays import Float64Array

#: Candidates drawn at a time: their signals stay in the processor's cache.
CHUNK = 64


def candidate_signals(library: Library, candidates: Candidates | States, scan: ComparisonSignal) -> NDArray[np.float32]:
    """Signals (k, m) of candidates as the scan would show them: in its range, above its detection limit, to the power of its recipe."""
    signals = np.empty((candidates.rows.size, scan.grid.size), dtype=np.float32)
    draw_signals(library, candidates, scan, signals, np.arange(candidates.rows.size))
    return signals


def draw_signals(
    library: Library, candidates: Candidates | States, scan: ComparisonSignal, signals: NDArray[np.float32], places: NDArray[np.int64]
) -> None:
    """The same, into the rows `places` (k,) of `signals` (n, m)."""
    states = States(candidates.rows, candidates.strain, candidates.fwhm, candidates.debye_waller)
    for first in range(0, states.rows.size, CHUNK):
        part = slice(first, first + CHUNK)
        signals[places[part]] = _drawn(library, states.part(part), scan)


def _drawn(library: Library, candidates: States, scan: ComparisonSignal) -> NDArray[np.float32]:
    grid, rows = scan.grid, candidates.rows
    # Single precision places a line to 0.001 degrees, far inside a step of the grid, in half the time.
    at, counts = library.stacked_lines(rows)
    owner = np.repeat(np.arange(len(rows)), counts)
    cells = strained(library.cell[rows], candidates.strain)
    own = np.repeat(reciprocal_components(cells).T.astype(np.float32), counts, axis=1)
    squared = inverse_d_squared_of_cells(np.ascontiguousarray(library.hkl.take(at, axis=0).T, dtype=np.float32), own)
    b = np.repeat(candidates.debye_waller.astype(np.float32), counts)
    angles, areas = powder_lines(library.intensity[at], squared, b, grid.wavelength)
    areas[angles < grid.start - 1.0] = 0.0
    profiles = draw_rows(angles, areas, owner, candidates.fwhm, grid)
    seen = np.flatnonzero(scan.mask)
    if seen.size:  # beyond its range the scan was continued by its end points before its background was taken; so are the candidates
        profiles[:, : seen[0]] = profiles[:, seen[:1]]
        profiles[:, seen[-1] + 1 :] = profiles[:, seen[-1:]]
    profiles -= opening(profiles, max(3, round(scan.recipe.background / grid.step)) | 1)
    profiles *= scan.mask
    profiles /= np.maximum(profiles.max(axis=1, keepdims=True), 1e-12)
    profiles -= np.float32(scan.detection_limit)
    np.maximum(profiles, 0.0, out=profiles)
    return np.sqrt(profiles, out=profiles) if scan.recipe.power == 0.5 else np.asarray(profiles ** np.float32(scan.recipe.power))


def similarity(signals: NDArray[np.float32], scan: ComparisonSignal) -> tuple[Float64Array, Float64Array]:
    """Cosine (k,) of candidate signals with the measured one at the best shift, and that shift (k,) in degrees."""
    length = np.sqrt(np.vecdot(signals, signals))
    cosines = signals @ scan.shifted_signals.T / np.maximum(length, 1e-9)[:, None]
    best = cosines.argmax(axis=1)
    return cosines[np.arange(len(best)), best].astype(float), (best - len(scan.shifted_signals) // 2) * scan.grid.step


def position_similarity(signals: NDArray[np.float32], scan: ComparisonSignal) -> Float64Array:
    """Cosine (k,) of the fourth roots of both signals at the best shift: nearly, which lines show, whatever their heights.

    Texture, guests and coarse grains change heights, and leave places alone.
    """
    flattened = replace(scan, signal=unit_length(np.sqrt(np.sqrt(scan.signal))))
    return similarity(np.sqrt(np.sqrt(signals)), flattened)[0]


def compare(candidates: Candidates, signals: NDArray[np.float32], scan: ComparisonSignal) -> Candidates:
    """Candidates whose signals as they stand are `signals` (k, m), with their similarity and shift."""
    score, shift = similarity(signals, scan)
    return replace(candidates, similarity=score, shift=shift)


def shifted(values: NDArray[np.float32], points: int) -> NDArray[np.float32]:
    """A signal (m,) moved by so many points of its grid; what comes in from outside is 0."""
    moved = np.zeros_like(values)
    if points >= 0:
        moved[points:] = values[: values.size - points]
    else:
        moved[:points] = values[-points:]
    return moved


def blurred(scan: ComparisonSignal, fwhm: float) -> ComparisonSignal:
    """The scan on the coarse grid with its lines widened by a Gaussian of `fwhm` degrees."""
    plain = scan.coarse
    step = plain.grid.step
    x = np.arange(-round(1.5 * fwhm / step), round(1.5 * fwhm / step) + 1) * step
    shape = np.exp(-4.0 * np.log(2.0) * (x / fwhm) ** 2)
    return plain.with_lines((np.convolve(plain.lines, shape / shape.sum(), mode="same") * plain.mask).astype(np.float32))
