"""Line shapes: reflections to profiles on a grid.

A stack of rows is drawn at once: lines become sticks on the grid, and the line shape is applied in Fourier space, where a pseudo-Voigt of full
width w is eta exp(-pi w |f|) + (1 - eta) exp(-(pi w f)^2 / (4 ln 2)).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.system.arrays import Float32Array

#: Points drawn beyond either end of the grid, for the flanks of lines outside.
_PAD = 64


def _length(grid: Grid) -> int:
    """Points of a row in Fourier space."""
    return -(-(grid.size + 2 * _PAD) // 160) * 160  # which has few and small prime factors


def draw_rows(
    angles: NDArray[Any], areas: NDArray[Any], row: NDArray[np.int64], widths: NDArray[np.float64], grid: Grid, eta: float = 0.5
) -> Float32Array:
    """Profiles (k, grid.size) of all lines (n,) of k rows, where the lines of a row are alike.

    `row` (n,): whose a line is. `widths` (k,): full widths in degrees. `draw` is for lines of differing widths.
    """
    k, length = widths.size, _length(grid)
    position = (angles - grid.start) / grid.step + _PAD
    real = np.flatnonzero((areas > 0) & (position >= 0) & (position < grid.size + 2 * _PAD - 1))
    sticks = _sticks(position[real], areas[real], row[real], None, k, length)
    spectrum = _transformed(sticks.reshape(k, length))
    place = {width: i for i, width in enumerate(dict.fromkeys(widths.tolist()))}  # few differ: a candidate's slopes share its width
    transfer = _transfer(np.array(list(place))[:, None] / grid.step, np.array([eta]), length)[:, 0]
    spectrum *= transfer if len(place) == 1 else transfer[[place[width] for width in widths.tolist()]]
    smooth = np.fft.irfft(spectrum, length, axis=1)[:, _PAD : _PAD + grid.size]
    return np.asarray(np.maximum(smooth, 0.0) * np.float32(1.0 / grid.step))


def draw(angles: NDArray[Any], areas: NDArray[Any], widths: NDArray[Any], grid: Grid, eta: ArrayLike = 0.5, classes: int = 3) -> Float32Array:
    """Profiles (k, grid.size) of lines (k, p) at `angles` degrees with `areas` and full `widths` in degrees; eta: Lorentz share, (k,) or one.

    Lines of zero area are padding. Widths may differ from line to line: each line is shared between the two nearest of `classes` widths of its row,
    so that its variance is kept.
    """
    k, m = angles.shape[0], grid.size
    length = _length(grid)
    position = (angles - grid.start) / grid.step + _PAD
    real = (areas > 0) & (position >= 0) & (position < m + 2 * _PAD - 1)
    if not real.any():
        return np.zeros((k, m), dtype=np.float32)
    row, column = np.nonzero(real)
    square = np.where(real, widths, np.nan) ** 2
    with np.errstate(all="ignore"):
        low = np.nan_to_num(np.nanmin(np.where(real, square, np.inf), axis=1), posinf=1e-4)
        high = np.nan_to_num(np.nanmax(np.where(real, square, -np.inf), axis=1), neginf=1e-4)
    if classes < 2 or np.all(high - low < 1e-3 * low):
        classes, level, blend = 1, np.zeros(row.size, dtype=int), None
    else:
        place = (square[row, column] - low[row]) / np.maximum(high - low, 1e-9)[row] * (classes - 1)
        level = np.minimum(place.astype(int), classes - 2)
        blend = place - level
    sticks = _sticks(position[row, column], areas[row, column], row * classes + level, blend, k * classes, length)
    spectrum = _transformed(sticks.reshape(k, classes, length))
    steps = np.linspace(0.0, 1.0, classes)
    width = np.sqrt(low[:, None] + (high - low)[:, None] * steps) / grid.step
    spectrum = (spectrum * _transfer(width, np.broadcast_to(eta, k), length)).sum(axis=1)
    smooth = np.fft.irfft(spectrum, length, axis=1)[:, _PAD : _PAD + m]
    return np.asarray(smooth.clip(min=0.0) / grid.step, dtype=np.float32)


def _sticks(
    position: NDArray[Any], area: NDArray[Any], lane: NDArray[np.int64], blend: NDArray[np.float64] | None, lanes: int, length: int
) -> NDArray[np.float64]:
    """Areas split linearly between the two nearest points of a lane, and between the lane and the next by `blend`, where there is any."""
    low = position.astype(int)
    share = position - low
    flat = lane * length + low
    own = area if blend is None else area * (1.0 - blend)
    both = np.empty((2, flat.size))
    np.multiply(own, share, out=both[1])
    np.subtract(own, both[1], out=both[0])
    total = np.bincount(np.concatenate([flat, flat + 1]), both.ravel(), lanes * length)
    if blend is not None and blend.any():
        flat = np.minimum(flat + length, lanes * length - 2)
        total += np.bincount(flat, area * (1.0 - share) * blend, lanes * length)
        total += np.bincount(flat + 1, area * share * blend, lanes * length)
    return np.asarray(total)


def _transformed(sticks: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Fourier transforms along the last axis. Forward ones of dozens of rows take NumPy 2.4 two to four times as long in single precision."""
    return np.fft.rfft(sticks).astype(np.complex64)


def _transfer(width: NDArray[np.float64], eta: NDArray[np.float64], length: int) -> Float32Array:
    """Fourier transforms (k, classes, length // 2 + 1) of unit-area pseudo-Voigt lines of full `width` (k, classes) in grid steps."""
    scaled = width.astype(np.float32)[..., None] * (np.float32(np.pi / length) * np.arange(length // 2 + 1, dtype=np.float32))
    share = eta.astype(np.float32)[:, None, None]
    return np.asarray(share * np.exp(-scaled) + (1.0 - share) * np.exp(scaled**2 * np.float32(-0.25 / np.log(2.0))))


def render(angles: ArrayLike, heights: ArrayLike, grid: Grid, fwhm: float = 0.1, eta: float = 0.5) -> NDArray[np.float64]:
    """Profile (grid.size,) of lines at `angles` (n,) degrees with areas `heights` (n,), all of full width `fwhm` degrees, drawn on a finer grid."""
    fine = Grid(grid.start, grid.stop, grid.step / 4.0, grid.wavelength)
    lines = np.asarray(angles, dtype=float)[None]
    profile = draw(lines, np.asarray(heights, dtype=float)[None], np.full_like(lines, fwhm), fine, eta)[0]
    return np.asarray(profile[::4][: grid.size], dtype=float)
