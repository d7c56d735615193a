"""Widths of single lines of a scan: a pseudo-Voigt on a straight background is fitted to each, as a K-alpha doublet where the lines are doublets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.least_squares import damped_steps
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.quantiles import median
from xrdmatch.diffraction.radiation import ANODES
from xrdmatch.system.arrays import Float64Array

#: Half of what is fitted of a line, and how near another one may lie, in expected widths.
REACH, APART = 3.0, 2.5
#: Rounds of a fit at most, the gain below which it ends, and its damping and longest step, see `damped_steps`.
ROUNDS, LEAST_GAIN, DAMPING, LONGEST_STEP = 15, 1e-3, 1e-4, 0.3
#: Relative standard error from which a width says nothing, and points within a width that it needs.
LARGEST_ERROR, FEWEST_POINTS = 0.15, 2.5
#: What a fit may leave (root mean square): this share of the line's height, or so many times the noise.
LEFT_OF_HEIGHT, LEFT_OF_NOISE = 0.03, 1.5
#: Least noise that is believed, as a share of a line's height: no line has quite the shape that is fitted.
LEAST_NOISE = 0.005
#: Weight of K-alpha2 in a doublet, and how near a wavelength has to be to an anode's to be its, relative.
K_ALPHA2, SAME_WAVELENGTH = 0.5, 2e-4


@dataclass(frozen=True, eq=False)
class LineWidths:
    """Lines that one line shape describes well, by rising angle. two_theta, fwhm: (n,) degrees; where lines are doublets, of K-alpha1 alone."""

    two_theta: Float64Array
    fwhm: Float64Array

    def __len__(self) -> int:
        return len(self.fwhm)


_NONE = LineWidths(np.empty(0), np.empty(0))


def line_widths(scan: Pattern, angles: Sequence[float], fwhm: float, noise: float) -> LineWidths:
    """Widths of the lines near `angles`, degrees in the scan, that are about `fwhm` degrees wide and stand alone. noise: of one point, in counts.

    Lines count as doublets where that fits all of them together better: K-alpha2 is taken out of many scans, and few files say so.
    """
    centres = np.array(sorted(angles))
    gaps = np.diff(centres, prepend=-np.inf, append=np.inf)
    inside = (centres - REACH * fwhm >= scan.two_theta[0]) & (centres + REACH * fwhm <= scan.two_theta[-1])
    centres = centres[(np.minimum(gaps[:-1], gaps[1:]) > APART * fwhm) & inside]
    half = round(REACH * fwhm / scan.step)
    if centres.size == 0 or 2 * half < _START.size or scan.two_theta.size <= 2 * half:
        return _NONE
    first = np.clip(np.searchsorted(scan.two_theta, centres) - half, 0, scan.two_theta.size - 2 * half - 1)
    index = first[:, None] + np.arange(2 * half + 1)
    counts = scan.intensity[index]
    growth = np.sqrt(np.maximum(counts / max(float(median(scan.intensity)), 1e-12), 1.0))  # of counting noise with the counts
    lines = _Lines.of((scan.two_theta[index] - centres[:, None]) / fwhm, counts, noise * growth)
    best = _fit(lines, np.zeros(centres.size), np.tile(_START, (centres.size, 1)))
    if splitting := _splitting(scan.wavelength):
        doublets = _fit(lines, np.degrees(2.0 * np.tan(np.radians(centres / 2.0)) * splitting) / fwhm, best.state)
        best = doublets if doublets.misfit.sum() < best.misfit.sum() else best
    centre, width = fwhm * best.state[:, _CENTRE], fwhm * np.exp(best.state[:, _WIDTH])
    good = best.good & (width > FEWEST_POINTS * scan.step)
    return LineWidths((centres + centre)[good], width[good])


def _splitting(wavelength: float | None) -> float:
    """How far K-alpha2 lies from K-alpha1, relative, where this is an anode's K-alpha or K-alpha1 (angstrom); else 0."""
    for anode in ANODES.values():
        if wavelength and min(abs(wavelength - line) for line in (anode.k_alpha, anode.k_alpha1)) < SAME_WAVELENGTH * wavelength:
            return anode.k_alpha2 / anode.k_alpha1 - 1.0
    return 0.0


@dataclass(frozen=True, eq=False)
class _Lines:
    """What is fitted: k lines of n points. x: (k, n) expected widths from the expected place. level: (k, n), from 0 to 1. sigma: (k, n) its noise."""

    x: Float64Array
    level: Float64Array
    sigma: Float64Array

    @classmethod
    def of(cls, x: Float64Array, counts: Float64Array, noise: Float64Array) -> _Lines:
        low = counts.min(axis=1, keepdims=True)
        height = np.maximum(counts.max(axis=1, keepdims=True) - low, 1e-12)
        return cls(x, (counts - low) / height, np.maximum(noise / height, LEAST_NOISE))


#: Start of a state: centre, ln(width), Lorentz share, height, background and its slope; and the bounds of each.
_START = np.array([0.0, 0.0, 0.5, 0.9, 0.05, 0.0])
_LEAST, _MOST = np.array([-1.0, -2.0, 0.0, 0.0, -1.0, -1.0]), np.array([1.0, 1.5, 1.0, 3.0, 1.0, 1.0])
_CENTRE, _WIDTH, _HEIGHT = 0, 1, 3


@dataclass(frozen=True, eq=False)
class _Fit:
    """state: (k, 6), in expected widths. misfit: (k,) mean square of what is left, in noise levels. good: (k,) whether to believe it."""

    state: Float64Array
    misfit: Float64Array
    good: NDArray[np.bool_]


def _fit(lines: _Lines, split: Float64Array, state: Float64Array) -> _Fit:
    """Damped least squares for k lines at once. split: (k,) from K-alpha1 to K-alpha2, in expected widths; 0 for single lines. state: (k, 6)."""
    best, lowest = state, np.full(len(state), np.inf)
    for _ in range(ROUNDS):
        rest, slopes = _rest_and_slopes(lines, split, state)
        misfit = np.vecdot(rest, rest) / rest.shape[1]
        better = misfit < lowest
        ended = bool((misfit > (1.0 - LEAST_GAIN) * lowest).all())
        best, lowest = np.where(better[:, None], state, best), np.where(better, misfit, lowest)
        if ended:
            break
        turned = slopes.swapaxes(1, 2)
        state = np.clip(state + damped_steps(turned @ slopes, (turned @ rest[..., None])[..., 0], DAMPING, LONGEST_STEP), _LEAST, _MOST)
    rest, slopes = _rest_and_slopes(lines, split, best)
    covariance = np.linalg.pinv(slopes.swapaxes(1, 2) @ slopes) * np.maximum(lowest, 1.0)[:, None, None]
    error = np.sqrt(np.maximum(covariance[:, _WIDTH, _WIDTH], 0.0))
    left = np.sqrt(((rest * lines.sigma) ** 2).mean(axis=1))
    fits = (np.sqrt(lowest) < LEFT_OF_NOISE) | (left < LEFT_OF_HEIGHT * best[:, _HEIGHT])
    bounded = (best[:, _WIDTH] > _LEAST[_WIDTH]) & (best[:, _WIDTH] < _MOST[_WIDTH]) & (np.abs(best[:, _CENTRE]) < _MOST[_CENTRE])
    return _Fit(best, lowest, fits & bounded & (error < LARGEST_ERROR))


def _rest_and_slopes(lines: _Lines, split: Float64Array, state: Float64Array) -> tuple[Float64Array, Float64Array]:
    """What a state (k, 6) leaves of the lines (k, n), and the slopes of its curve (k, n, 6), both in noise levels."""
    centre, width, share, height, base, slope = (column[:, None] for column in state.T)
    narrow = np.exp(-width)
    curve, by_centre, by_width, by_share = (np.zeros_like(lines.x) for _ in range(4))
    for weight, off in ((1.0, 0.0), (K_ALPHA2, 1.0)) if split.any() else ((1.0, 0.0),):
        u = (lines.x - centre - off * split[:, None]) * narrow
        square = 4.0 * u**2
        lorentz, gauss = weight / (1.0 + square), weight * np.exp(-np.log(2.0) * square)
        by_u = -8.0 * u * (share * lorentz**2 / weight + np.log(2.0) * (1.0 - share) * gauss)
        curve += share * lorentz + (1.0 - share) * gauss
        by_centre -= by_u * narrow
        by_width -= by_u * u
        by_share += lorentz - gauss
    columns = (height * by_centre, height * by_width, height * by_share, curve, np.ones_like(lines.x), lines.x)
    rest = (lines.level - height * curve - base - slope * lines.x) / lines.sigma
    return rest, np.stack(columns, axis=2) / lines.sigma[:, :, None]
