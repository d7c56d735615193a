"""Line by line: what a candidate explains of a scan, what of it is missing, what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import inverse_d_squared, powder_lines, reciprocal_metric
from xrdmatch.library.reference_library import Library
from xrdmatch.search.comparison import Fits, Floats, Measured, shifted, strained, unit

#: Height from which a line is strong, and from which a candidate's line may explain a measured one, percent of the candidate's strongest.
STRONG, WEAK = 10.0, 0.5
#: A strong line is missing where the scan shows less than this share of the intensity expected from the whole fit: guests change more than half.
SHOWN = 0.1
#: Measured lines, strongest first, whose positions are weighed, and the least height (percent) they and the candidate's lines need for it.
WEIGHED, LEAST, PLAIN = 20, 5.0, 1.0
#: Share of a scan's lines that no framework of the library would explain (impurities), and degrees over which the density of lines is averaged.
FOREIGN, AROUND = 0.05, 8.0
#: What a first phase may explain beyond what it is expected to, as a factor of intensity.
GENEROUS = 2.0

HklLine = tuple[int, int, int, float, float]


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against one candidate.

    explained: share of the measured line intensity where the candidate has lines. matched, missing: the candidate's strong lines
    that the scan shows, or does not show though it should; extra: angles of strong measured lines the candidate does not have.
    Lines are (h, k, l, 2theta in degrees, relative intensity 0..100). positions: ln of how much likelier the measured lines lie where they do
    if the candidate is there than by chance; a candidate with lines everywhere gains nothing by it.
    """

    explained: float
    matched: list[HklLine] = field(default_factory=list)
    missing: list[HklLine] = field(default_factory=list)
    extra: list[float] = field(default_factory=list)
    positions: float = 0.0


@dataclass(frozen=True, eq=False)
class Lines:
    """An adjusted candidate's lines in the scan: hkl (n, 3), angles (n,) degrees, heights (n,) percent of the strongest, index (n,) on the grid."""

    hkl: NDArray[np.int16]
    angles: Floats
    heights: Floats
    index: NDArray[np.int64]
    reach: int

    def places(self, size: int, least: float) -> NDArray[np.bool_]:
        """(size,) True at a line higher than `least` percent."""
        flags = np.zeros(size, dtype=bool)
        flags[self.index[self.heights > least]] = True
        return flags

    def claimed(self, size: int) -> NDArray[np.bool_]:
        """(size,) True where the candidate has a line that shows, within about a line width."""
        return _near(self.places(size, WEAK), 2 * self.reach)


def adjusted_lines(library: Library, fits: Fits, measured: Measured) -> list[Lines]:
    """Where each candidate of `fits` has its lines, as adjusted."""
    grid = measured.recipe.grid
    at, counts = library.stacked_lines(fits.rows)
    owner = np.repeat(np.arange(counts.size), counts)
    hkl, metric = library.hkl[at], reciprocal_metric(strained(library.cell[fits.rows], fits.strain))
    squared = inverse_d_squared(hkl, metric[owner])
    angles, areas = powder_lines(library.intensity[at], squared, fits.b[owner], grid.wavelength)
    angles += fits.shift[owner]
    index = np.rint((angles - grid.start) / grid.step).astype(np.int64)
    inside = (index >= 0) & (index < grid.size)
    inside[inside] = measured.mask[index[inside]]
    found = []
    for (first, last), fwhm in zip(pairwise([0, *np.cumsum(counts).tolist()]), fits.fwhm.tolist(), strict=True):
        kept = first + np.flatnonzero(inside[first:last])
        heights = 100.0 * (areas[kept] / max(areas[kept].max(initial=0.0), 1e-300))
        found.append(Lines(hkl[kept], angles[kept], heights, index[kept], max(2, round(0.75 * max(fwhm, 0.08) / grid.step))))
    return found


def evidence(library: Library, fits: Fits, measured: Measured, profiles: NDArray[np.float32]) -> list[Evidence]:
    """For each candidate of `fits`, whose signals as adjusted are `profiles` (k, m)."""
    grid = measured.recipe.grid
    peaks = strong_lines(measured, LEAST)
    strong = [(angle, grid.nearest(angle)) for angle, height in peaks if height > STRONG]
    power = measured.signal**2
    total = max(float(power.sum()), 1e-30)
    of_all = adjusted_lines(library, fits, measured)
    highest = {reach: _highest(measured.signal, reach) for reach in {lines.reach for lines in of_all}}
    found = []
    for i, (lines, weight) in enumerate(zip(of_all, positions(of_all, measured, peaks).tolist(), strict=True)):
        claimed = lines.claimed(grid.size)
        expected = expected_signal(profiles[i], float(fits.shift[i]), measured)
        matched, missing = _listed(lines, highest[lines.reach], SHOWN**measured.recipe.power * expected)
        extra = [angle for angle, at in strong if not claimed[at]]
        found.append(Evidence(round(float(power[claimed].sum()) / total, 4), matched, missing, extra, round(weight, 3)))
    return found


def _listed(lines: Lines, seen: NDArray[np.float32], least: NDArray[np.float32]) -> tuple[list[HklLine], list[HklLine]]:
    """The strong ones of a candidate's lines where the scan shows more than the `least` signal (m,), and those where it shows less."""
    listed: dict[bool, list[HklLine]] = {True: [], False: []}
    strong = lines.heights > STRONG
    at = lines.index[strong]
    columns = (values[strong].tolist() for values in (lines.hkl, lines.angles, lines.heights))
    for (h, k, m), angle, height, shows in zip(*columns, (seen[at] > np.maximum(least[at], 0.0)).tolist(), strict=True):
        listed[shows].append((h, k, m, round(angle, 3), round(height, 1)))
    return listed[True], listed[False]


def positions(candidates: Sequence[Lines], measured: Measured, peaks: list[tuple[float, float]]) -> Floats:
    """ln of the likelihood ratio (k,) of each candidate's hits and misses: a hit counts the less, the more of the neighbourhood its lines cover."""
    grid = measured.recipe.grid
    strongest = sorted(peaks, key=lambda peak: -peak[1])[:WEIGHED]
    if not strongest or not candidates:
        return np.zeros(len(candidates))
    reach = max(2, round(0.5 * max(measured.fwhm, 0.12) / grid.step))
    near = _near(np.stack([lines.places(grid.size, PLAIN) for lines in candidates]), reach)
    at = np.array([grid.nearest(angle) for angle, _ in strongest])
    half = round(0.5 * AROUND / grid.step)
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, grid.size)
    inside, seen = _so_far(near & measured.mask), _so_far(measured.mask)
    chance = np.clip((inside[:, last] - inside[:, first]) / np.maximum(seen[last] - seen[first], 1), 0.01, 0.99)
    found = (1.0 - FOREIGN) + FOREIGN * chance
    return np.asarray(np.where(near[:, at], np.log(found / chance), np.log((1.0 - found) / (1.0 - chance))).sum(axis=1))


def expected_signal(profile: NDArray[np.float32], shift: float, measured: Measured) -> NDArray[np.float32]:
    """The candidate's signal (m,) where the scan has it, on the scan's scale by least squares."""
    moved = shifted(profile, round(shift / measured.recipe.grid.step))
    square = float(moved @ moved)
    return moved * np.float32(float(moved @ measured.signal) / square if square > 0 else 0.0)


def residual(measured: Measured, expected: NDArray[np.float32]) -> Measured:
    """The scan less what a first phase, whose signal (m,) is `expected`, may explain; angles where that is all count as not measured."""
    length = float(np.sqrt((measured.lines.astype(float) ** (2.0 * measured.recipe.power)).sum()))
    claim = GENEROUS * (expected * length) ** (1.0 / measured.recipe.power)
    lines = (measured.lines - claim).clip(min=0.0).astype(np.float32)
    hidden = (measured.lines > 0) & (claim > 0.5 * measured.lines)
    lines[hidden] = 0.0
    top, before = float(lines.max(initial=0.0)), float(measured.lines.max(initial=0.0))
    floor = min(0.5, measured.floor * before / top) if top > 0 else 1.0
    return replace(measured, lines=lines, signal=unit(lines**measured.recipe.power), mask=measured.mask & ~hidden, floor=floor)


def strong_lines(measured: Measured, strong: float = STRONG) -> list[tuple[float, float]]:
    """(2theta, height in percent of the strongest) of the measured lines above `strong` percent, by angle."""
    lines = measured.lines
    top = float(lines.max(initial=0.0))
    if top <= 0:
        return []
    reach = max(2, round(measured.fwhm / measured.recipe.grid.step))
    inner = measured.mask & np.roll(measured.mask, 1) & np.roll(measured.mask, -1)  # the flank of a line outside the range is no line
    peaks = np.flatnonzero((lines >= _highest(lines, reach)) & (lines > 0.01 * strong * top) & inner)
    peaks = peaks[np.diff(peaks, prepend=-reach - 1) > reach]
    return [(round(float(measured.recipe.grid.two_theta[j]), 3), round(100.0 * float(lines[j]) / top, 1)) for j in peaks]


def _highest(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Largest value (m,) within `reach` points."""
    highest = values.copy()
    for away in range(1, reach + 1):
        np.maximum(highest[away:], values[:-away], out=highest[away:])
        np.maximum(highest[:-away], values[away:], out=highest[:-away])
    return highest


def _near(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """(..., m) True within `reach` points of a True."""
    size = flags.shape[-1]
    first, last = np.arange(size) - reach, np.arange(size) + reach + 1
    so_far = _so_far(flags)
    return np.asarray(so_far.take(last, axis=-1, mode="clip") > so_far.take(first, axis=-1, mode="clip"))


def _so_far(flags: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(..., m + 1) how many are True before each point."""
    total = np.zeros((*flags.shape[:-1], flags.shape[-1] + 1), dtype=np.int32)
    np.cumsum(flags, axis=-1, out=total[..., 1:])
    return total
