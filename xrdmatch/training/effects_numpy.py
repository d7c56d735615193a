"""What happens to a MOF's ideal pattern on the way to the file: one function an effect, each on a batch of lines or profiles.

Lines are padded arrays (k, p): d-spacings in angstrom and intensities, zero where a row has fewer lines. Angles are degrees, sizes nanometres,
strains relative. Every random draw comes from the `numpy.random.Generator` that is passed in. docs/method.md lists the ranges.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import strained, tied_axes
from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.peak_shapes import draw
from xrdmatch.diffraction.radiation import ANODES, lorentz_polarisation, reciprocal_metric
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.system.arrays import Float64Array

Rng = np.random.Generator


@dataclass(frozen=True)
class Hardness:
    """How far each effect may go; the defaults are what a routine laboratory scan shows at its worst."""

    strain: float = 0.004  # standard deviation of each free cell length, relative
    breathing: float = 0.15  # share of patterns whose axes change by up to `breathing_strain` each
    breathing_strain: float = 0.05
    zero_shift: float = 0.05  # degrees, standard deviation
    displacement: float = 0.06  # degrees at 2theta = 0, standard deviation
    debye_waller: float = 8.0  # angstrom^2, largest overall B
    texture: float = 0.4  # share of patterns with March-Dollase texture
    guest: float = 0.5  # standard deviation of ln(intensity) of the lowest-angle lines
    scatter: float = 0.15  # standard deviation of ln(intensity) of every line
    size: tuple[float, float] = (12.0, 300.0)  # nm, log-uniform
    microstrain: float = 0.004  # largest, relative
    instrument: tuple[float, float] = (0.04, 0.16)  # degrees, full width
    impurity: float = 0.3  # share of patterns with foreign lines
    halo: float = 0.35  # probability of each of two amorphous haloes
    halo_height: float = 1.5  # largest height of a halo, in units of the strongest line
    smear: float = 0.3  # share of patterns whose noise is correlated from point to point
    counts: tuple[float, float] = (1.7, 4.7)  # log10 of the strongest point above background
    cut: float = 0.6  # share of patterns that do not cover the whole grid
    doublet: float = 0.0  # share of patterns whose lines are K-alpha doublets
    blank: float = 0.0  # share of patterns that lie on a measured blank, where blanks are given
    blank_height: float = 0.0  # largest height of a blank, in units of the strongest point


#: Three stated levels: a careful measurement of a well-made sample, a routine one (the defaults), and one at the limit of what can be named.
EASY = Hardness(0.001, 0.0, 0.0, 0.02, 0.03, 5.0, 0.2, 0.2, 0.08, (40.0, 300.0), 0.001, (0.04, 0.10), 0.1, 0.1, 0.6, 0.2, (3.0, 5.0), 0.3)
MIDDLE = Hardness()
HARD = Hardness(0.006, 0.3, 0.07, 0.08, 0.09, 12.0, 0.6, 0.8, 0.3, (6.0, 100.0), 0.006, (0.06, 0.30), 0.5, 0.6, 3.0, 0.4, (1.3, 3.7), 0.8)
LEVELS = {"easy": EASY, "middle": MIDDLE, "hard": HARD}


def with_instrument(level: Hardness) -> Hardness:
    """A level with the effects that `augment --method physics` adds: K-alpha doublets in most patterns, measured blanks in some."""
    return replace(level, doublet=0.8, blank=0.3, blank_height=0.5)


#: Keeps the random streams of `Copies` apart from those of the shuffle method.
_STREAM = 1

# What is the same at every level; `effects_torch` reads it here. Where nothing else is said, a judgement of what laboratory scans show.
#: Standard deviation of one axis' own change, as a share of `Hardness.strain`, and degrees a free angle changes by for each relative change of
#: length, up to so many degrees.
OWN_STRAIN, ANGLE_STRAIN, LARGEST_ANGLE = 0.5, 100.0, 2.0
#: March-Dollase parameter r, log-uniform: plates below 1, needles above.
TEXTURE = (0.55, 1.6)
#: d-spacing in angstrom from which guests change intensities in full; below it in proportion.
GUEST_SPACING = 12.0
#: Weight of K-alpha2 in a doublet: theory 0.5, and what monochromators and the Voigt overlap leave of it.
K_ALPHA2 = (0.45, 0.52)
#: Smallest angle in degrees at which a line is drawn: the Lorentz factor is infinite at 0.
LOWEST_ANGLE = 0.5
#: Largest angle in degrees at which widths are calculated: they are infinite at 180.
HIGHEST_ANGLE = 170.0
#: K of Scherrer's equation, for full widths of about spherical crystallites.
SCHERRER = 0.9
#: Lorentz share of a row's lines, uniform.
LORENTZ_SHARE = (0.1, 0.9)
#: Foreign lines of a row at most, and their largest height as a share of the strongest line.
FOREIGN_LINES, FOREIGN_HEIGHT = 8, 0.4
#: Largest flat background, in units of the strongest line as the next ones.
FLUORESCENCE = 0.3
#: Largest air scatter at the grid's start, degrees within which it falls to 1/e (uniform), and largest height of the straight slope.
AIR_SCATTER, AIR_DECAY, SLOPE = 0.8, (1.0, 6.0), 0.1
#: Haloes of a row at most, their centres and standard deviations in degrees (uniform).
HALOES, HALO_CENTRE, HALO_WIDTH = 2, (8.0, 32.0), (1.5, 5.0)
#: Half of the largest span in degrees over which noise is correlated.
SMEAR = 0.125
#: Mean count from which the Poisson distribution is drawn as a rounded normal one.
MANY_COUNTS = 50.0
#: Degrees: a cut range starts at the grid's start to here, and ends from here to so far beyond the grid's end.
CUT_START, CUT_STOP, CUT_BEYOND = 10.0, 30.0, 10.0


def cell_strain(cells: Float64Array, rng: Rng, level: Hardness) -> Float64Array:
    """Cells (k, 6) strained within their lattice symmetry: a small change for every row, breathing (long axes against short ones) for some."""
    strain = np.zeros_like(cells)
    for row, cell in enumerate(cells):
        group, free = tied_axes(cell)
        change = rng.normal(0.0, level.strain) + rng.normal(0.0, OWN_STRAIN * level.strain, 3)
        if rng.random() < level.breathing:
            change = change + rng.uniform(-level.breathing_strain, level.breathing_strain, 3)
        strain[row, :3] = change[group]
        strain[row, 3:] = free * rng.normal(0.0, ANGLE_STRAIN * level.strain, 3).clip(-LARGEST_ANGLE, LARGEST_ANGLE)
    return strained(cells, strain)


def debye_waller(d: Float64Array, rng: Rng, level: Hardness) -> Float64Array:
    """Factors exp(-2 B s^2), s = 1 / 2d, with one overall B a row, uniform from 0."""
    b = rng.uniform(0.0, level.debye_waller, (len(d), 1))
    return np.asarray(np.exp(-2.0 * b / (4.0 * d**2)))


def march_dollase(hkl: Float64Array, metrics: Float64Array, rng: Rng, level: Hardness) -> Float64Array:
    """Texture factors (k, p), Dollase (1986): (r^2 cos^2 a + sin^2 a / r)^(-3/2), a between hkl and a random low-index axis, r from `TEXTURE`."""
    k = len(hkl)
    axis = rng.integers(-1, 2, (k, 3)).astype(float)
    axis[(axis == 0).all(axis=1)] = (0, 0, 1)
    project = np.einsum("kpi,kij,kj->kp", hkl, metrics, axis)
    norm = np.einsum("kpi,kij,kpj->kp", hkl, metrics, hkl) * np.einsum("ki,kij,kj->k", axis, metrics, axis)[:, None]
    cosine2 = np.clip(project**2 / np.maximum(norm, 1e-12), 0.0, 1.0)
    r = np.where(rng.random((k, 1)) < level.texture, np.exp(rng.uniform(np.log(TEXTURE[0]), np.log(TEXTURE[1]), (k, 1))), 1.0)
    return np.asarray((r**2 * cosine2 + (1.0 - cosine2) / r) ** -1.5)


def guest_intensities(d: Float64Array, rng: Rng, level: Hardness) -> Float64Array:
    """Log-normal factors (k, p): guests and solvent change the intensities most at large d-spacings; a smaller scatter holds everywhere."""
    k = len(d)
    strength = level.guest * rng.random((k, 1)) * np.clip(d / GUEST_SPACING, 0.0, 1.0)
    return np.asarray(np.exp(rng.normal(0.0, 1.0, d.shape) * np.hypot(strength, level.scatter * rng.random((k, 1)))))


def k_alpha_doublet(d: Float64Array, areas: Float64Array, rng: Rng, level: Hardness) -> tuple[Float64Array, Float64Array]:
    """Lines (k, 2p) of K-alpha1 and K-alpha2 out of lines (k, p), in the share `doublet` of rows; a scan's wavelength is the doublet's mean.

    A line of d shows at K-alpha1 where a line of d * mean / K-alpha1 does at the mean. Areas keep their sum, K-alpha2 being `K_ALPHA2` of
    K-alpha1 (uniform). Other rows keep their lines. Cu, whose relative splitting (0.25 %) is near that of Co and Fe.
    """
    if level.doublet <= 0:
        return d, areas
    anode = ANODES["Cu"]
    second = rng.uniform(*K_ALPHA2, (len(d), 1)) * (rng.random((len(d), 1)) < level.doublet)
    mean = np.where(second > 0, (anode.k_alpha1 + second * anode.k_alpha2) / (1.0 + second), anode.k_alpha1)
    spacings = np.concatenate([d * mean / anode.k_alpha1, d * mean / anode.k_alpha2], axis=1)
    return spacings, np.concatenate([areas, areas * second], axis=1) / (1.0 + second)


def line_positions(d: Float64Array, grid: Grid, rng: Rng, level: Hardness) -> Float64Array:
    """Angles (k, p) in degrees at the grid's wavelength with zero shift and sample displacement (proportional to cos theta)."""
    sine = np.clip(grid.wavelength / (2.0 * d), 0.0, 0.999)
    theta = np.arcsin(sine)
    k = len(d)
    zero = rng.normal(0.0, level.zero_shift, (k, 1))
    shift = rng.normal(0.0, level.displacement, (k, 1))
    return np.asarray(np.degrees(2.0 * theta) + zero + shift * np.cos(theta))


def line_widths(angles: Float64Array, grid: Grid, rng: Rng, level: Hardness) -> Float64Array:
    """Full widths (k, p) in degrees: instrument, Scherrer size broadening (K = 0.9) and microstrain broadening (4 e tan theta), in quadrature."""
    k = len(angles)
    theta = np.radians(np.clip(angles, LOWEST_ANGLE, HIGHEST_ANGLE)) / 2.0
    size = 10.0 * np.exp(rng.uniform(np.log(level.size[0]), np.log(level.size[1]), (k, 1)))
    strain = level.microstrain * rng.random((k, 1)) ** 2
    instrument = rng.uniform(*level.instrument, (k, 1))
    scherrer = np.degrees(SCHERRER * grid.wavelength / (size * np.cos(theta)))
    return np.asarray(np.sqrt(instrument**2 + scherrer**2 + np.degrees(4.0 * strain * np.tan(theta)) ** 2))


def impurity_lines(k: int, grid: Grid, rng: Rng, level: Hardness) -> tuple[Float64Array, Float64Array]:
    """Angles and areas (k, FOREIGN_LINES) of foreign lines, small ones likelier, in the share of rows that have any."""
    angles = rng.uniform(grid.start, grid.stop, (k, FOREIGN_LINES))
    strength = FOREIGN_HEIGHT * rng.random((k, 1)) * rng.random((k, FOREIGN_LINES)) ** 2
    some = (rng.random((k, 1)) < level.impurity) & (np.arange(FOREIGN_LINES) < rng.integers(1, FOREIGN_LINES + 1, (k, 1)))
    return angles, np.where(some, strength, 0.0)


def fluorescence(k: int, rng: Rng) -> Float64Array:
    """Flat backgrounds (k, 1), small ones likelier (density of a cubed uniform draw)."""
    return np.asarray(FLUORESCENCE * rng.random((k, 1)) ** 3)


def air_scatter(k: int, grid: Grid, rng: Rng) -> Float64Array:
    """Backgrounds (k, m) that fall with angle: an exponential from the grid's start and a straight slope over the whole grid; small ones likelier."""
    x = grid.two_theta[None]
    air = AIR_SCATTER * rng.random((k, 1)) ** 3 * np.exp(-(x - grid.start) / rng.uniform(*AIR_DECAY, (k, 1)))
    return np.asarray(air + SLOPE * rng.random((k, 1)) ** 2 * (grid.stop - x) / (grid.stop - grid.start))


def haloes(k: int, grid: Grid, rng: Rng, level: Hardness) -> Float64Array:
    """Wide humps (k, m) of amorphous matter and solvent, none to `HALOES` a row; height up to `halo_height`, small ones likelier."""
    x = grid.two_theta[None]
    total = np.zeros((k, grid.size))
    for _ in range(HALOES):
        height = np.where(rng.random((k, 1)) < level.halo, level.halo_height * rng.random((k, 1)) ** 2, 0.0)
        total += height * np.exp(-0.5 * ((x - rng.uniform(*HALO_CENTRE, (k, 1))) / rng.uniform(*HALO_WIDTH, (k, 1))) ** 2)
    return total


def background(k: int, grid: Grid, rng: Rng, level: Hardness) -> Float64Array:
    """Smooth backgrounds (k, m) in units of the strongest line: fluorescence, air scatter and haloes together."""
    return np.asarray(fluorescence(k, rng) + air_scatter(k, grid, rng) + haloes(k, grid, rng, level))


def measured_blanks(counts: Float64Array, blanks: Float64Array, rng: Rng, level: Hardness) -> Float64Array:
    """Counts (k, m) with a measured blank added in the share `blank` of rows, noise and all.

    blanks: (b, m) counts of empty holders on the same grid; each is scaled so that its highest point is a uniform share, up to `blank_height`, of
    the row's highest.
    """
    if level.blank <= 0 or not len(blanks):
        return counts
    rows = np.flatnonzero(rng.random(len(counts)) < level.blank)
    base = blanks[rng.integers(len(blanks), size=rows.size)]
    height = level.blank_height * rng.random((rows.size, 1)) * counts[rows].max(axis=1, keepdims=True)
    laid = counts.copy()
    laid[rows] = np.rint(counts[rows] + height * base / np.maximum(base.max(axis=1, keepdims=True), 1e-9)).clip(min=0.0)
    return laid


def counting_statistics(profile: Float64Array, rng: Rng, level: Hardness) -> Float64Array:
    """Poisson counts (k, m) of profiles whose highest point above background is 1, at a peak count drawn log-uniformly a row."""
    peak = 10.0 ** rng.uniform(*level.counts, (len(profile), 1))
    mean = (profile * peak).clip(min=0.0)
    return np.asarray(np.where(mean < MANY_COUNTS, rng.poisson(np.minimum(mean, MANY_COUNTS)), np.rint(rng.normal(mean, np.sqrt(mean)))))


def smear_width(grid: Grid, rng: Rng) -> int:
    """An odd number of points, drawn once a batch, that share their noise."""
    return 2 * int(rng.integers(1, max(2, round(SMEAR / grid.step) + 1))) + 1


def smear_noise(counts: Float64Array, grid: Grid, rng: Rng, level: Hardness) -> Float64Array:
    """Counts (k, m) with noise of counting size added that is correlated over some points, in the share `smear` of rows.

    Position-sensitive detectors and the processing inside instruments leave such noise; differences of neighbours do not see it.
    """
    points = smear_width(grid, rng)
    rows = rng.random(len(counts)) < level.smear
    noise = rng.normal(0.0, 1.0, (int(rows.sum()), counts.shape[1] + points - 1))
    total = np.cumsum(np.pad(noise, [(0, 0), (1, 0)]), axis=1)
    correlated = (total[:, points:] - total[:, :-points]) / np.sqrt(points)
    smeared = counts.copy()
    smeared[rows] = np.rint(counts[rows] + correlated * np.sqrt(counts[rows].clip(min=1.0))).clip(min=0.0)
    return smeared


def range_cut(k: int, grid: Grid, rng: Rng, level: Hardness) -> NDArray[np.bool_]:
    """Masks (k, m) of the measured range: a later start and another end in the share of rows that are cut, the whole grid in the others."""
    cut = rng.random((k, 1)) < level.cut
    start = np.where(cut, rng.uniform(grid.start, CUT_START, (k, 1)), grid.start)
    stop = np.where(cut, rng.uniform(CUT_STOP, grid.stop + CUT_BEYOND, (k, 1)), grid.stop)
    return np.asarray((grid.two_theta >= start - 1e-9) & (grid.two_theta <= stop + 1e-9))


def measured_like(
    library: Library, rows: NDArray[np.int64], grid: Grid, rng: Rng, level: Hardness | None = None, blanks: Float64Array | None = None
) -> tuple[Float64Array, NDArray[np.bool_]]:
    """Counts (k, m) and range masks (k, m) of library entries as a laboratory would record them, every effect applied once.

    blanks: (b, m) measured blanks on the grid, see `measured_blanks`.
    """
    level = level or Hardness()
    hkl, intensity, real = library.padded_lines(rows)
    metrics = reciprocal_metric(cell_strain(library.cell[rows], rng, level))
    squared = np.einsum("kpi,kij,kpj->kp", hkl, metrics, hkl)
    d = 1.0 / np.sqrt(np.where(real, squared, 1.0))
    areas = intensity * debye_waller(d, rng, level) * march_dollase(hkl, metrics, rng, level) * guest_intensities(d, rng, level)
    d, areas = k_alpha_doublet(d, np.where(real, areas, 0.0), rng, level)
    angles = line_positions(d, grid, rng, level)
    areas = np.where((areas > 0) & (angles > LOWEST_ANGLE), areas * lorentz_polarisation(np.maximum(angles, LOWEST_ANGLE)), 0.0)
    mask = range_cut(len(rows), grid, rng, level)
    areas /= strongest_seen(angles, areas, grid, mask)
    widths = line_widths(angles, grid, rng, level)
    foreign, foreign_areas = impurity_lines(len(rows), grid, rng, level)
    angles, areas = np.concatenate([angles, foreign], axis=1), np.concatenate([areas, foreign_areas], axis=1)
    widths = np.concatenate([widths, np.broadcast_to(np.median(widths, axis=1, keepdims=True), foreign.shape)], axis=1)
    profile = draw(angles, areas, widths, grid, rng.uniform(*LORENTZ_SHARE, len(rows))).astype(float)
    profile /= np.maximum(np.where(mask, profile, 0.0).max(axis=1, keepdims=True), 1e-9)
    counts = smear_noise(counting_statistics(profile + background(len(rows), grid, rng, level), rng, level), grid, rng, level)
    if blanks is not None:
        counts = measured_blanks(counts, blanks, rng, level)
    return np.where(mask, counts, 0.0), mask


@dataclass(frozen=True, eq=False)
class Copies:
    """Training patterns of library entries: `copies` of each on `grid`, as `measured_like` makes them."""

    library: Library
    grid: Grid
    copies: int
    seed: int
    level: Hardness
    blanks: Float64Array | None = None

    def patterns(self, place: tuple[int, int]) -> NDArray[np.float16]:
        """Patterns (copies, m) scaled to 0..1, 0 where a scan has no data. place: (number, library row); each number has its own random stream."""
        number, row = place
        rng = np.random.default_rng([self.seed, number, _STREAM])
        counts, mask = measured_like(self.library, np.full(self.copies, row), self.grid, rng, self.level, self.blanks)
        return Recipe(kind="minmax", grid=self.grid).apply_batch(counts, mask)[:, 0].astype(np.float16)


def strongest_seen(angles: Float64Array, areas: Float64Array, grid: Grid, mask: NDArray[np.bool_]) -> Float64Array:
    """Area (k, 1) of the strongest line inside each row's measured range; 1 where there is none."""
    index = np.clip(np.rint((np.nan_to_num(angles) - grid.start) / grid.step).astype(int), 0, grid.size - 1)
    seen = np.take_along_axis(mask, index, axis=1) & (angles > grid.start) & (angles < grid.stop)
    top = np.where(seen, areas, 0.0).max(axis=1, keepdims=True)
    return np.where(top > 0, top, 1.0)
