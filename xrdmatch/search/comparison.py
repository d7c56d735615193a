"""A measured profile against candidate reflections: shift, cell strain, line width, and the evidence line by line.

The candidates' lines are drawn as the measurement would show them (its width, its detection limit, its range) and compared by the cosine of their
square roots. The best few then have their cell, width and fall-off with angle adjusted, within the symmetry of their lattice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.peak_shapes import draw_rows
from xrdmatch.diffraction.radiation import powder_lines, reciprocal_components
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.fft_filter import line_width, noise_sigma
from xrdmatch.preprocessing.recipe import Recipe, continued, opening, smeared_noise

#: Grid and treatment of the comparison: finer than the encoder's, since here positions decide.
RECIPE = Recipe(grid=Grid(2.0, 50.0, 0.02), smooth=0.10, background=2.0, gate=3.0, power=0.5)
#: Largest zero shift and displacement looked for, degrees: a sample half a millimetre off a circle of 180 mm radius shifts by 0.32.
MAX_SHIFT = 0.36
#: Overall Debye-Waller B of candidates before adjustment, angstrom^2.
START_B = 2.0
#: Candidates drawn at a time.
CHUNK = 64
#: Line widths believed, degrees.
WIDTHS = (0.05, 0.8)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """A scan made ready for comparison on `recipe.grid`.

    lines: (m,) counts above background and noise. signal: (m,) their power, of unit length. mask: (m,) measured range. floor: detection limit
    relative to the strongest line. fwhm: line width in degrees. level: noise in counts after the recipe's running mean;
    loud: the same in the scan's typical rather than its quietest stretches.
    """

    lines: NDArray[np.float32]
    signal: NDArray[np.float32]
    mask: NDArray[np.bool_]
    floor: float
    fwhm: float
    level: float
    loud: float
    recipe: Recipe = RECIPE

    @cached_property
    def moved(self) -> NDArray[np.float32]:
        """(shifts, m): the signal moved by every shift that is looked for, to the left first."""
        reach = round(MAX_SHIFT / self.recipe.grid.step)
        padded = np.concatenate([np.zeros(reach, np.float32), self.signal, np.zeros(reach, np.float32)])
        return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, self.signal.size))

    @cached_property
    def coarse(self) -> Measured:
        """The scan on a grid of twice the step, for a first look."""
        grid = self.recipe.grid
        ends = continued(self.lines, 1)
        lines = (0.25 * ends[:-2] + 0.5 * self.lines + 0.25 * ends[2:])[::2]
        recipe = replace(self.recipe, grid=replace(grid, step=2.0 * grid.step))
        return replace(self, lines=lines, signal=unit(lines**recipe.power), mask=self.mask[::2], recipe=recipe)


@dataclass(frozen=True, eq=False)
class Fits:
    """Adjusted candidates: library rows (k,), similarity 0..1, shift and fwhm in degrees, B in angstrom^2; strain (k, 6):
    relative changes of a, b, c, and changes of the angles in degrees.
    """

    rows: NDArray[np.int64]
    similarity: Floats
    shift: Floats
    strain: Floats
    fwhm: Floats
    b: Floats

    def take(self, order: NDArray[np.int64]) -> Fits:
        return Fits(*(values[order] for values in self._values()))

    def joined(self, other: Fits) -> Fits:
        """These and those of `other`, one after the other."""
        return Fits(*(np.concatenate(pair) for pair in zip(self._values(), other._values(), strict=True)))

    def _values(self) -> tuple[NDArray[Any], ...]:
        return self.rows, self.similarity, self.shift, self.strain, self.fwhm, self.b


def prepare(pattern: Pattern, wavelength: float | None = None, sigma: float | None = None, passed: float = 1.0, recipe: Recipe = RECIPE) -> Measured:
    """Bring a scan to the comparison's grid. `wavelength`, `sigma` and `passed` as in `Recipe.apply`."""
    values, mask = recipe.grid.resample(pattern, wavelength)
    level = recipe.smoothed_noise(pattern, sigma, passed)
    lines = recipe.signal(values[None].astype(np.float32), mask[None], np.array([level], dtype=np.float32))[0]
    top = float(lines.max(initial=0.0))
    floor = recipe.gate * level / top if top > 0 else 1.0
    fwhm = float(np.clip(line_width(pattern.intensity, noise_sigma(pattern.intensity), pattern.step) * pattern.step, *WIDTHS))
    loud = max(level, smeared_noise(pattern, recipe.smooth, 50.0))
    return Measured(lines, unit(lines**recipe.power), mask, float(min(floor, 0.5)), fwhm, level, loud, recipe)


def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A signal (m,) at length 1; one of zeros stays."""
    length = float(np.sqrt((values.astype(float) ** 2).sum()))
    return values / np.float32(length) if length > 0 else values


def strained(cells: Floats, strain: Floats) -> Floats:
    """Cells (..., 6) whose lengths change by the first three of `strain` (..., 6), relative, and whose angles by the others, in degrees."""
    return np.asarray(np.concatenate([cells[..., :3] * (1.0 + strain[..., :3]), cells[..., 3:] + strain[..., 3:]], axis=-1))


def blurred(measured: Measured, fwhm: float) -> Measured:
    """The scan on the coarse grid with its lines widened by a Gaussian of `fwhm` degrees."""
    plain = measured.coarse
    step = plain.recipe.grid.step
    x = np.arange(-round(1.5 * fwhm / step), round(1.5 * fwhm / step) + 1) * step
    shape = np.exp(-4.0 * np.log(2.0) * (x / fwhm) ** 2)
    lines = (np.convolve(plain.lines, shape / shape.sum(), mode="same") * plain.mask).astype(np.float32)
    return replace(plain, lines=lines, signal=unit(lines**plain.recipe.power))


def candidate_profiles(
    library: Library, rows: NDArray[np.int64], measured: Measured, strain: Floats | None = None, fwhm: Floats | None = None, b: Floats | None = None
) -> NDArray[np.float32]:
    """Signals (k, m) of candidates as the scan would show them: in its range, above its detection limit, to the recipe's power."""
    k = len(rows)
    strain = np.zeros((k, 6)) if strain is None else strain
    fwhm = np.full(k, measured.fwhm) if fwhm is None else fwhm
    b = np.full(k, START_B) if b is None else b
    profiles = np.empty((k, measured.recipe.grid.size), dtype=np.float32)
    for first in range(0, k, CHUNK):
        part = slice(first, first + CHUNK)
        profiles[part] = _drawn(library, rows[part], measured, strain[part], fwhm[part], b[part])
    return profiles


def _drawn(library: Library, rows: NDArray[np.int64], measured: Measured, strain: Floats, fwhm: Floats, b: Floats) -> NDArray[np.float32]:
    grid = measured.recipe.grid
    # Single precision places a line to 0.001 degrees, far inside a step of the grid, in half the time.
    at, counts = library.stacked_lines(rows)
    owner = np.repeat(np.arange(len(rows)), counts)
    own = np.repeat(reciprocal_components(strained(library.cell[rows], strain)).T.astype(np.float32), counts, axis=1)
    h, k, m = library.hkl.T.take(at, axis=1).astype(np.float32)
    squared = (h * own[0] + k * own[3] + m * own[4]) * h + (h * own[3] + k * own[1] + m * own[5]) * k + (h * own[4] + k * own[5] + m * own[2]) * m
    angles, areas = powder_lines(library.intensity[at], squared, np.repeat(b.astype(np.float32), counts), grid.wavelength)
    areas[angles < grid.start - 1.0] = 0.0
    profiles = draw_rows(angles, areas, owner, fwhm, grid)
    seen = np.flatnonzero(measured.mask)
    if seen.size:  # beyond its range the scan was continued by its end points before its background was taken; so are the candidates
        profiles[:, : seen[0]] = profiles[:, seen[:1]]
        profiles[:, seen[-1] + 1 :] = profiles[:, seen[-1:]]
    profiles -= opening(profiles, max(3, round(measured.recipe.background / grid.step)) | 1)
    profiles *= measured.mask
    profiles /= np.maximum(profiles.max(axis=1, keepdims=True), 1e-12)
    profiles -= np.float32(measured.floor)
    np.maximum(profiles, 0.0, out=profiles)
    return np.sqrt(profiles, out=profiles) if measured.recipe.power == 0.5 else np.asarray(profiles ** np.float32(measured.recipe.power))


def similarity(profiles: NDArray[np.float32], measured: Measured) -> tuple[Floats, Floats]:
    """Cosine (k,) of candidate signals with the measured one at the best shift, and that shift (k,) in degrees."""
    length = np.sqrt(np.vecdot(profiles, profiles))
    cosines = profiles @ measured.moved.T / np.maximum(length, 1e-9)[:, None]
    best = cosines.argmax(axis=1)
    return cosines[np.arange(len(best)), best].astype(float), (best - len(measured.moved) // 2) * measured.recipe.grid.step


def presence(profiles: NDArray[np.float32], measured: Measured) -> Floats:
    """Cosine (k,) of the fourth roots of both signals at the best shift: nearly, which lines show, whatever their heights.

    Texture, guests and coarse grains change heights, and leave places alone.
    """
    lines = replace(measured, signal=unit(np.sqrt(np.sqrt(measured.signal))))
    return similarity(np.sqrt(np.sqrt(profiles)), lines)[0]


def shifted(values: NDArray[np.float32], points: int) -> NDArray[np.float32]:
    """A signal (m,) moved by so many points of its grid; what comes in from outside is 0."""
    moved = np.zeros_like(values)
    if points >= 0:
        moved[points:] = values[: values.size - points]
    else:
        moved[:points] = values[-points:]
    return moved


def compare(library: Library, rows: NDArray[np.int64], measured: Measured, profiles: NDArray[np.float32] | None = None) -> Fits:
    """All candidates as they stand in the library, best first; only the shift is adjusted. profiles: their signals, where they have been drawn."""
    score, shift = similarity(candidate_profiles(library, rows, measured) if profiles is None else profiles, measured)
    n = len(rows)
    fits = Fits(np.asarray(rows), score, shift, np.zeros((n, 6)), np.full(n, measured.fwhm), np.full(n, START_B))
    return fits.take(np.argsort(-fits.similarity, kind="stable"))
