"""A measured profile against candidate reflections: shift, cell strain, line width, and the evidence line by line.

The candidates' lines are drawn as the measurement would show them (its width, its detection limit, its range) and compared by the cosine of their
square roots. The best few then have their cell, width and fall-off with angle adjusted, within the symmetry of their lattice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.denoise import line_width, noise_sigma
from xrdmatch.library import Library, tied_axes
from xrdmatch.pattern import Grid, Pattern
from xrdmatch.profile import draw
from xrdmatch.recipe import Recipe, opening, smeared_noise
from xrdmatch.xray import inverse_d_squared, lorentz_polarisation_of_sine, reciprocal_metric

#: Grid and treatment of the comparison: finer than the encoder's, since here positions decide.
RECIPE = Recipe(grid=Grid(2.0, 50.0, 0.02), smooth=0.10, background=2.0, gate=3.0, power=0.5)
#: Largest zero shift or displacement looked for, degrees.
MAX_SHIFT = 0.24
#: Overall Debye-Waller B of candidates before adjustment, angstrom^2.
START_B = 2.0
#: Candidates drawn at a time.
CHUNK = 64
#: Line widths believed, degrees.
WIDTHS = (0.05, 0.8)
#: Rounds of adjustment: step in the logarithm of cell lengths, factor of the width, step in B (angstrom^2).
ROUNDS = ((0.008, 1.4, 4.0), (0.004, 1.2, 2.0), (0.002, 1.1, 1.0), (0.001, 1.05, 0.5))
#: Similarity a strain costs: PENALTY at an uneven strain of UNEVEN along one axis, or an even one of EVEN. Chosen on simulated scans.
PENALTY, UNEVEN, EVEN = 0.004, 0.004, 0.006
#: Largest strain of a cell length that adjustment may reach.
MAX_STRAIN = 0.03

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


@dataclass(frozen=True, eq=False)
class Fits:
    """Adjusted candidates: library rows (k,), similarity 0..1, shift and fwhm in degrees, strain (k, 3) of a, b, c, B in angstrom^2."""

    rows: NDArray[np.int64]
    similarity: Floats
    shift: Floats
    strain: Floats
    fwhm: Floats
    b: Floats

    def take(self, order: NDArray[np.int64]) -> Fits:
        return Fits(*(getattr(self, name)[order] for name in ("rows", "similarity", "shift", "strain", "fwhm", "b")))


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against one candidate.

    explained: share of the measured line intensity (square-root scale) where the candidate has lines. matched, missing: the candidate's strong lines
    that the scan shows, or does not show though it should; extra: angles of strong measured lines the candidate does not have.
    Lines are (h, k, l, 2theta in degrees, relative intensity 0..100).
    """

    explained: float
    matched: list[tuple[int, int, int, float, float]] = field(default_factory=list)
    missing: list[tuple[int, int, int, float, float]] = field(default_factory=list)
    extra: list[float] = field(default_factory=list)


def prepare(pattern: Pattern, wavelength: float | None = None, sigma: float | None = None, recipe: Recipe = RECIPE) -> Measured:
    """Bring a scan to the comparison's grid. `wavelength` and `sigma` as in `Recipe.apply`."""
    values, mask = recipe.grid.resample(pattern, wavelength)
    level = recipe.smoothed_noise(pattern, sigma)
    lines = recipe.signal(values[None].astype(np.float32), mask[None], np.array([level], dtype=np.float32))[0]
    top = float(lines.max(initial=0.0))
    floor = recipe.gate * level / top if top > 0 else 1.0
    fwhm = float(np.clip(line_width(pattern.intensity, noise_sigma(pattern.intensity), pattern.step) * pattern.step, *WIDTHS))
    loud = max(level, smeared_noise(pattern, recipe.smooth, 50.0))
    return Measured(lines, _unit(lines**recipe.power), mask, float(min(floor, 0.5)), fwhm, level, loud, recipe)


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.sqrt((values.astype(float) ** 2).sum()))
    return values / np.float32(length) if length > 0 else values


def candidate_profiles(
    library: Library, rows: NDArray[np.int64], measured: Measured, strain: Floats | None = None, fwhm: Floats | None = None, b: Floats | None = None
) -> NDArray[np.float32]:
    """Signals (k, m) of candidates as the scan would show them: in its range, above its detection limit, to the recipe's power."""
    k = len(rows)
    strain = np.zeros((k, 3)) if strain is None else strain
    fwhm = np.full(k, measured.fwhm) if fwhm is None else fwhm
    b = np.full(k, START_B) if b is None else b
    profiles = np.empty((k, measured.recipe.grid.size), dtype=np.float32)
    by_size = np.argsort(np.diff(library.offsets)[rows], kind="stable")  # rows are padded to the longest of their chunk
    for part in np.array_split(by_size, max(1, -(-k // CHUNK))):
        profiles[part] = _drawn(library, rows[part], measured, strain[part], fwhm[part], b[part])
    return profiles


def _drawn(library: Library, rows: NDArray[np.int64], measured: Measured, strain: Floats, fwhm: Floats, b: Floats) -> NDArray[np.float32]:
    grid = measured.recipe.grid
    hkl, intensity, real = library.padded_lines(rows)
    cells = library.cell[rows].copy()
    cells[:, :3] *= 1.0 + strain
    squared = np.where(real, ((hkl @ reciprocal_metric(cells)) * hkl).sum(axis=2), 1.0)
    sine_squared = np.clip(0.25 * grid.wavelength**2 * squared, 1e-5, 0.99)
    angles = np.degrees(2.0 * np.arcsin(np.sqrt(sine_squared)))
    areas = intensity * np.exp(-0.5 * b[:, None] * squared) * lorentz_polarisation_of_sine(sine_squared)
    areas[angles < grid.start - 1.0] = 0.0
    profiles = draw(angles, areas, np.broadcast_to(fwhm[:, None], angles.shape), grid, 0.5, classes=1)
    seen = np.flatnonzero(measured.mask)
    if seen.size:  # beyond its range the scan was continued by its end points before its background was taken; so are the candidates
        profiles[:, : seen[0]] = profiles[:, seen[:1]]
        profiles[:, seen[-1] + 1 :] = profiles[:, seen[-1:]]
    profiles -= opening(profiles, max(3, round(measured.recipe.background / grid.step)) | 1)
    profiles *= measured.mask
    profiles /= np.maximum(profiles.max(axis=1, keepdims=True), 1e-12)
    visible = (profiles - np.float32(measured.floor)).clip(min=0.0)
    return np.asarray(np.sqrt(visible) if measured.recipe.power == 0.5 else visible ** np.float32(measured.recipe.power))


def similarity(profiles: NDArray[np.float32], measured: Measured) -> tuple[Floats, Floats]:
    """Cosine (k,) of candidate signals with the measured one at the best shift, and that shift (k,) in degrees."""
    reach = round(MAX_SHIFT / measured.recipe.grid.step)
    shifts = np.arange(-reach, reach + 1)
    shifted = np.stack([_moved(measured.signal, -int(shift)) for shift in shifts], axis=1)
    length = np.sqrt(np.einsum("km,km->k", profiles, profiles))
    cosines = profiles @ shifted / np.maximum(length, 1e-9)[:, None]
    best = cosines.argmax(axis=1)
    return cosines[np.arange(len(best)), best].astype(float), shifts[best] * measured.recipe.grid.step


def _moved(values: NDArray[np.float32], points: int) -> NDArray[np.float32]:
    moved = np.zeros_like(values)
    if points >= 0:
        moved[points:] = values[: values.size - points]
    else:
        moved[:points] = values[-points:]
    return moved


def compare(library: Library, rows: NDArray[np.int64], measured: Measured) -> Fits:
    """All candidates as they stand in the library, best first; only the shift is adjusted."""
    score, shift = similarity(candidate_profiles(library, rows, measured), measured)
    n = len(rows)
    fits = Fits(np.asarray(rows), score, shift, np.zeros((n, 3)), np.full(n, measured.fwhm), np.full(n, START_B))
    return fits.take(np.argsort(-fits.similarity, kind="stable"))


def adjust(library: Library, fits: Fits, measured: Measured, rounds: tuple[tuple[float, float, float], ...] = ROUNDS) -> Fits:
    """Hill-climb each candidate's cell lengths (tied as its lattice ties them), width and B; best first."""
    if fits.rows.size == 0:
        return fits
    groups = [tied_axes(library.cell[row])[0] for row in fits.rows]
    best = fits
    for length_step, width_factor, b_step in rounds:
        for _ in range(2):
            trial = _proposals(best, groups, length_step, width_factor, b_step)
            rows = best.rows[trial.owner]
            profiles = candidate_profiles(library, rows, measured, trial.strain, trial.fwhm, trial.b)
            score, shift = similarity(profiles, measured)
            best = _improved(best, trial, score - strain_penalty(trial.strain), shift, score)
    return best.take(np.argsort(-best.similarity, kind="stable"))


@dataclass(frozen=True, eq=False)
class _Trial:
    owner: NDArray[np.int64]
    strain: Floats
    fwhm: Floats
    b: Floats


def _proposals(fits: Fits, groups: list[NDArray[np.int64]], length_step: float, width_factor: float, b_step: float) -> _Trial:
    """Each candidate's neighbours: every free axis a step up and down, all axes together, width and B up and down."""
    owner, strain, fwhm, b = [], [], [], []
    for i, group in enumerate(groups):
        moves = [np.ones(3), *([(group == axis).astype(float) for axis in np.unique(group)] if np.unique(group).size > 1 else [])]
        for move in moves:
            for sign in (-1.0, 1.0):
                owner.append(i)
                strain.append(np.clip(fits.strain[i] + sign * length_step * move, -MAX_STRAIN, MAX_STRAIN))
                fwhm.append(fits.fwhm[i])
                b.append(fits.b[i])
        for factor, step in ((width_factor, 0.0), (1.0 / width_factor, 0.0), (1.0, b_step), (1.0, -b_step)):
            owner.append(i)
            strain.append(fits.strain[i])
            fwhm.append(float(np.clip(fits.fwhm[i] * factor, 0.04, 1.5)))
            b.append(float(np.clip(fits.b[i] + step, -2.0, 14.0)))
    return _Trial(np.array(owner), np.array(strain), np.array(fwhm), np.array(b))


def strain_penalty(strain: Floats) -> Floats:
    """What a strain (k, 3) has to earn in similarity: the more a cell is bent, and the less evenly, the less the fit proves."""
    mean = strain.mean(axis=1, keepdims=True)
    return np.asarray(PENALTY * (((strain - mean) / UNEVEN) ** 2 + (mean / EVEN) ** 2 / 3.0).sum(axis=1))


def _improved(fits: Fits, trial: _Trial, worth: Floats, shift: Floats, score: Floats) -> Fits:
    values = replace(fits, **{name: getattr(fits, name).copy() for name in ("similarity", "shift", "strain", "fwhm", "b")})
    standing = fits.similarity - strain_penalty(fits.strain)
    for j in np.argsort(worth):
        i = trial.owner[j]
        if worth[j] > standing[i] + 1e-5:
            standing[i] = worth[j]
            values.similarity[i], values.shift[i], values.strain[i] = score[j], shift[j], trial.strain[j]
            values.fwhm[i], values.b[i] = trial.fwhm[j], trial.b[j]
    return values


@dataclass(frozen=True, eq=False)
class Lines:
    """An adjusted candidate's lines in the scan: hkl (n, 3), angles (n,) degrees, heights (n,) percent of the strongest, index (n,) on the grid."""

    hkl: NDArray[np.int16]
    angles: Floats
    heights: Floats
    index: NDArray[np.int64]
    reach: int

    def claimed(self, size: int) -> NDArray[np.bool_]:
        """(size,) True where the candidate has a line above half a percent, within about a line width."""
        flags = np.zeros(size, dtype=bool)
        flags[self.index[self.heights > 0.5]] = True
        return _near(flags, 2 * self.reach)


def adjusted_lines(library: Library, fits: Fits, i: int, measured: Measured) -> Lines:
    """Where candidate `i` of `fits` has its lines, as adjusted."""
    grid, row = measured.recipe.grid, int(fits.rows[i])
    cells = library.cell[row].copy()
    cells[:3] *= 1.0 + fits.strain[i]
    part = slice(int(library.offsets[row]), int(library.offsets[row + 1]))
    squared = inverse_d_squared(library.hkl[part], reciprocal_metric(cells))
    sine_squared = np.clip(0.25 * grid.wavelength**2 * squared, 1e-5, 0.99)
    angles = np.degrees(2.0 * np.arcsin(np.sqrt(sine_squared))) + fits.shift[i]
    areas = library.intensity[part].astype(float) * np.exp(-0.5 * fits.b[i] * squared) * lorentz_polarisation_of_sine(sine_squared)
    index = np.rint((angles - grid.start) / grid.step).astype(np.int64)
    inside = (index >= 0) & (index < grid.size)
    inside[inside] = measured.mask[index[inside]]
    heights = 100.0 * areas[inside] / max(areas[inside].max(initial=0.0), 1e-300)
    reach = max(2, round(0.75 * max(float(fits.fwhm[i]), 0.08) / grid.step))
    return Lines(library.hkl[part][inside], angles[inside], heights, index[inside], reach)


def evidence(library: Library, fits: Fits, i: int, measured: Measured, strong: float = 10.0) -> Evidence:
    """Line by line, for candidate `i` of `fits`: what it explains, and its lines above `strong` percent of the strongest that show or fail to."""
    grid = measured.recipe.grid
    lines = adjusted_lines(library, fits, i, measured)
    shows = _near(measured.lines > 0, lines.reach)
    claimed = lines.claimed(grid.size)
    total = float((measured.signal**2).sum())
    explained = float((measured.signal[claimed] ** 2).sum()) / total if total > 0 else 0.0
    listed: dict[bool, list[tuple[int, int, int, float, float]]] = {True: [], False: []}
    for j in np.flatnonzero(lines.heights > strong):
        h, k, m = (int(value) for value in lines.hkl[j])
        listed[bool(shows[lines.index[j]])].append((h, k, m, round(float(lines.angles[j]), 3), round(float(lines.heights[j]), 1)))
    extra = [angle for angle, height in strong_lines(measured, strong) if not claimed[round((angle - grid.start) / grid.step)]]
    return Evidence(round(explained, 4), listed[True], listed[False], extra)


def residual(measured: Measured, claimed: NDArray[np.bool_]) -> Measured:
    """The scan without the angles one phase has `claimed` (m,): they count as not measured."""
    lines = measured.lines * ~claimed
    top, before = float(lines.max(initial=0.0)), float(measured.lines.max(initial=0.0))
    floor = min(0.5, measured.floor * before / top) if top > 0 else 1.0
    return replace(measured, lines=lines, signal=_unit(lines**measured.recipe.power), mask=measured.mask & ~claimed, floor=floor)


def strong_lines(measured: Measured, strong: float = 10.0) -> list[tuple[float, float]]:
    """(2theta, height in percent of the strongest) of the measured lines above `strong` percent, by angle."""
    lines = measured.lines
    top = float(lines.max(initial=0.0))
    if top <= 0:
        return []
    reach = max(2, round(measured.fwhm / measured.recipe.grid.step))
    padded = np.pad(lines, reach)
    highest = np.max(np.stack([padded[k : k + lines.size] for k in range(2 * reach + 1)]), axis=0)
    inner = measured.mask & np.roll(measured.mask, 1) & np.roll(measured.mask, -1)  # the flank of a line outside the range is no line
    peaks = np.flatnonzero((lines >= highest) & (lines > 0.01 * strong * top) & inner)
    peaks = peaks[np.diff(peaks, prepend=-reach - 1) > reach]
    return [(round(float(measured.recipe.grid.two_theta[j]), 3), round(100.0 * float(lines[j]) / top, 1)) for j in peaks]


def _near(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """True within `reach` points of a True."""
    return np.convolve(flags, np.ones(2 * reach + 1), mode="same") > 0.5
