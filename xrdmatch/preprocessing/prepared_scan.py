"""A scan made ready for the search, by one constructor: wavelength, filter, noise, lines on the comparison's grid, the network's input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.radiation import CU_K_ALPHA
from xrdmatch.preprocessing.fft_filter import Filtered, Mode, denoise, line_width, noise_sigma
from xrdmatch.preprocessing.recipe import Recipe, smeared_noise
from xrdmatch.preprocessing.smoothing import continued

#: Grid and treatment of the comparison with reflections: finer than the encoder's, since here positions decide. The background's window and the gate
#: are those of the plain search-match that named most measured minerals.
COMPARISON = Recipe(grid=Grid(2.0, 50.0, 0.02), smooth=0.10, background=2.0, gate=3.0, power=0.5)
#: Largest shift of all lines looked for, degrees: a sample half a millimetre off a circle of 180 mm radius shifts by 0.32.
MAX_SHIFT = 0.36
#: Line widths believed of a scan, degrees: a synchrotron's, and those of crystallites of 10 nm.
FWHM_RANGE = (0.05, 0.8)
#: Detection limit that a scan is given at most, relative to its strongest line.
MAX_DETECTION_LIMIT = 0.5

WavelengthSource = Literal["file", "option", "default"]


@dataclass(frozen=True, eq=False)
class ComparisonSignal:
    """A scan's lines on `recipe.grid`, at the grid's wavelength.

    lines: (m,) counts above background and noise. signal: (m,) their power, of unit length. mask: (m,) measured range. detection_limit: relative to
    the strongest line. fwhm: line width in degrees. noise_typical: noise in counts after the recipe's running mean, in the scan's typical stretches.
    """

    lines: NDArray[np.float32]
    signal: NDArray[np.float32]
    mask: NDArray[np.bool_]
    detection_limit: float
    fwhm: float
    noise_typical: float
    recipe: Recipe = COMPARISON

    @property
    def grid(self) -> Grid:
        return self.recipe.grid

    @cached_property
    def shifted_signals(self) -> NDArray[np.float32]:
        """(shifts, m): the signal moved by every shift that is looked for, to the left first."""
        reach = round(MAX_SHIFT / self.grid.step)
        padded = np.zeros(self.signal.size + 2 * reach, np.float32)
        padded[reach : reach + self.signal.size] = self.signal
        return np.lib.stride_tricks.as_strided(padded, (2 * reach + 1, self.signal.size), 2 * padded.strides).copy()

    def shifted_to(self, shift: NDArray[np.float64]) -> NDArray[np.float32]:
        """(k, m): the signal as candidates see it that lie `shift` (k,) degrees off."""
        points = np.rint(shift / self.grid.step).astype(int)
        return np.asarray(self.shifted_signals[points + len(self.shifted_signals) // 2])

    @cached_property
    def coarse(self) -> ComparisonSignal:
        """The same on a grid of twice the step, for a first look."""
        ends = continued(self.lines, 1)
        lines = (0.25 * ends[:-2] + 0.5 * self.lines + 0.25 * ends[2:])[::2]
        recipe = replace(self.recipe, grid=replace(self.grid, step=2.0 * self.grid.step))
        return replace(self, lines=lines, signal=unit_length(lines**recipe.power), mask=self.mask[::2], recipe=recipe)

    def with_lines(self, lines: NDArray[np.float32], **changes: Any) -> ComparisonSignal:
        """The same scan with other lines (m,), and the signal that belongs to them."""
        return replace(self, lines=lines, signal=unit_length(lines**self.recipe.power), **changes)


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """One scan as every step of the search takes it. Made by `prepare_scan`.

    measured: the scan as it came, with the wavelength that was taken. wavelength_source: where that is from. filtered: the FFT filter's decision.
    pattern: what the network sees, filtered where that was called for; sigma, noise_gain: noise of one of its points in counts before the filter, and
    the share of it that the filter left. comparison: its lines on the comparison's grid.
    """

    measured: Pattern
    wavelength_source: WavelengthSource
    filtered: Filtered
    pattern: Pattern
    sigma: float
    noise_gain: float
    comparison: ComparisonSignal

    @property
    def wavelength(self) -> float:
        """Angstrom."""
        return self.measured.wavelength or CU_K_ALPHA

    def network_input(self, recipe: Recipe) -> NDArray[np.float32]:
        """Input (channels, m) of a network that was trained with `recipe`."""
        return recipe.apply(self.pattern, sigma=self.sigma, noise_gain=self.noise_gain)

    def remainder(self, comparison: ComparisonSignal) -> PreparedScan:
        """What a phase leaves of this scan: its lines, `comparison`, free of background and noise, over the whole range that was measured."""
        lines = Pattern(comparison.grid.two_theta, comparison.lines.astype(float), comparison.grid.wavelength).within(self.comparison.mask)
        return replace(self, pattern=lines, sigma=0.0, noise_gain=1.0, comparison=comparison)


def prepare_scan(pattern: Pattern, wavelength: float | None = None, filter_mode: Mode = "auto") -> PreparedScan:
    """Filter a scan where `filter_mode` says so (see `fft_filter.denoise`), and bring it to the comparison's grid.

    wavelength: angstrom, overrides the file's; without either Cu K-alpha is taken. Raises ValueError for another mode.
    """
    source: WavelengthSource = "option" if wavelength else "file" if pattern.wavelength else "default"
    measured = replace(pattern, wavelength=wavelength or pattern.wavelength or CU_K_ALPHA)
    filtered = denoise(measured, filter_mode)
    signal = comparison_signal(filtered.pattern, filtered.sigma, filtered.noise_gain)
    return PreparedScan(measured, source, filtered, filtered.pattern, filtered.sigma, filtered.noise_gain, signal)


def comparison_signal(pattern: Pattern, sigma: float, noise_gain: float, recipe: Recipe = COMPARISON) -> ComparisonSignal:
    """The lines of a scan on the comparison's grid. sigma, noise_gain: as in `Recipe.apply`."""
    values, mask = recipe.grid.resample(pattern)
    quiet = recipe.smoothed_noise(pattern, sigma, noise_gain)
    lines = recipe.signal(values[None].astype(np.float32), mask[None], np.array([quiet], dtype=np.float32))[0]
    top = float(lines.max(initial=0.0))
    limit = recipe.gate * quiet / top if top > 0 else 1.0
    fwhm = float(np.clip(line_width(pattern.intensity, noise_sigma(pattern.intensity), pattern.step) * pattern.step, *FWHM_RANGE))
    typical = max(quiet, smeared_noise(pattern, recipe.smooth, 50.0))
    return ComparisonSignal(lines, unit_length(lines**recipe.power), mask, min(limit, MAX_DETECTION_LIMIT), fwhm, typical, recipe)


def unit_length(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A signal (m,) at length 1; one of zeros stays."""
    length = float(np.sqrt((values.astype(float) ** 2).sum()))
    return values / np.float32(length) if length > 0 else values
