"""Line by line: what a candidate explains of a scan, what of it is missing, what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import strained
from xrdmatch.diffraction.radiation import inverse_d_squared, powder_lines, reciprocal_metric
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import MAX_DETECTION_LIMIT, ComparisonSignal
from xrdmatch.search.candidates import Candidates, Evidence, Floats, HklLine
from xrdmatch.search.comparison import shifted

#: Height from which a line is strong, and from which a candidate's line may explain a measured one, percent of the candidate's strongest.
STRONG, WEAK = 10.0, 0.5
#: A strong line is missing where the scan shows less than this share of the intensity expected from the whole fit: guests change more than half.
MISSING_RATIO = 0.1
#: Measured lines, strongest first, whose positions are weighed, and the least height (percent) they and the candidate's lines need for it.
N_WEIGHED, WEIGHED_HEIGHT, CANDIDATE_HEIGHT = 20, 5.0, 1.0
#: Share of a scan's lines that no framework of the library would explain (impurities), and degrees over which the density of lines is averaged.
IMPURITY_FRACTION, DENSITY_SPAN = 0.05, 8.0
#: What is subtracted for a phase, as a factor of the intensity expected of it: guests and texture make single lines twice as strong.
SUBTRACTION_FACTOR = 2.0


@dataclass(frozen=True, eq=False)
class Lines:
    """A refined candidate's lines in the scan: hkl (n, 3), angles (n,) degrees, heights (n,) percent of the strongest, index (n,) on the grid."""

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


def refined_lines(library: Library, candidates: Candidates, scan: ComparisonSignal) -> list[Lines]:
    """Where each candidate has its lines, as refined."""
    grid = scan.grid
    at, counts = library.stacked_lines(candidates.rows)
    owner = np.repeat(np.arange(counts.size), counts)
    hkl, metric = library.hkl[at], reciprocal_metric(strained(library.cell[candidates.rows], candidates.strain))
    squared = inverse_d_squared(hkl, metric[owner])
    angles, areas = powder_lines(library.intensity[at], squared, candidates.debye_waller[owner], grid.wavelength)
    angles += candidates.shift[owner]
    index = np.rint((angles - grid.start) / grid.step).astype(np.int64)
    inside = (index >= 0) & (index < grid.size)
    inside[inside] = scan.mask[index[inside]]
    found = []
    for (first, last), fwhm in zip(pairwise([0, *np.cumsum(counts).tolist()]), candidates.fwhm.tolist(), strict=True):
        kept = first + np.flatnonzero(inside[first:last])
        heights = 100.0 * (areas[kept] / max(areas[kept].max(initial=0.0), 1e-300))
        found.append(Lines(hkl[kept], angles[kept], heights, index[kept], max(2, round(0.75 * max(fwhm, 0.08) / grid.step))))
    return found


def line_evidence(library: Library, candidates: Candidates, scan: ComparisonSignal, signals: NDArray[np.float32]) -> Candidates:
    """The candidates, whose signals as refined are `signals` (k, m), with their evidence."""
    peaks = strong_lines(scan, WEIGHED_HEIGHT)
    strong = [(angle, scan.grid.nearest(angle)) for angle, height in peaks if height > STRONG]
    power = scan.signal**2
    total = max(float(power.sum()), 1e-30)
    of_all = refined_lines(library, candidates, scan)
    highest = {reach: _highest(scan.signal, reach) for reach in {lines.reach for lines in of_all}}
    found = np.empty(len(candidates), dtype=object)
    for i, (lines, weight) in enumerate(zip(of_all, position_weights(of_all, scan, peaks).tolist(), strict=True)):
        claimed = lines.claimed(scan.grid.size)
        expected = expected_signal(signals[i], float(candidates.shift[i]), scan)
        matched, missing = _listed(lines, highest[lines.reach], MISSING_RATIO**scan.recipe.power * expected)
        extra = [angle for angle, at in strong if not claimed[at]]
        found[i] = Evidence(round(float(power[claimed].sum()) / total, 4), matched, missing, extra, round(weight, 3))
    return replace(candidates, evidence=found)


def _listed(lines: Lines, seen: NDArray[np.float32], least: NDArray[np.float32]) -> tuple[list[HklLine], list[HklLine]]:
    """The strong ones of a candidate's lines where the scan shows more than the `least` signal (m,), and those where it shows less."""
    listed: dict[bool, list[HklLine]] = {True: [], False: []}
    strong = lines.heights > STRONG
    at = lines.index[strong]
    columns = (values[strong].tolist() for values in (lines.hkl, lines.angles, lines.heights))
    for (h, k, m), angle, height, shows in zip(*columns, (seen[at] > np.maximum(least[at], 0.0)).tolist(), strict=True):
        listed[shows].append((h, k, m, round(angle, 3), round(height, 1)))
    return listed[True], listed[False]


def position_weights(candidates: Sequence[Lines], scan: ComparisonSignal, peaks: list[tuple[float, float]]) -> Floats:
    """ln of the likelihood ratio (k,) of each candidate's hits and misses: a hit counts the less, the more of the neighbourhood its lines cover."""
    grid = scan.grid
    strongest = sorted(peaks, key=lambda peak: -peak[1])[:N_WEIGHED]
    if not strongest or not candidates:
        return np.zeros(len(candidates))
    reach = max(2, round(0.5 * max(scan.fwhm, 0.12) / grid.step))
    near = _near(np.stack([lines.places(grid.size, CANDIDATE_HEIGHT) for lines in candidates]), reach)
    at = np.array([grid.nearest(angle) for angle, _ in strongest])
    half = round(0.5 * DENSITY_SPAN / grid.step)
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, grid.size)
    inside, seen = _so_far(near & scan.mask), _so_far(scan.mask)
    chance = np.clip((inside[:, last] - inside[:, first]) / np.maximum(seen[last] - seen[first], 1), 0.01, 0.99)
    found = (1.0 - IMPURITY_FRACTION) + IMPURITY_FRACTION * chance
    return np.asarray(np.where(near[:, at], np.log(found / chance), np.log((1.0 - found) / (1.0 - chance))).sum(axis=1))


def expected_signal(profile: NDArray[np.float32], shift: float, scan: ComparisonSignal) -> NDArray[np.float32]:
    """The candidate's signal (m,) where the scan has it, on the scan's scale by least squares."""
    moved = shifted(profile, round(shift / scan.grid.step))
    square = float(moved @ moved)
    return moved * np.float32(float(moved @ scan.signal) / square if square > 0 else 0.0)


def residual(scan: ComparisonSignal, expected: NDArray[np.float32]) -> ComparisonSignal:
    """The scan less what a first phase, whose signal (m,) is `expected`, may explain; angles where that is all count as not scan."""
    length = float(np.sqrt((scan.lines.astype(float) ** (2.0 * scan.recipe.power)).sum()))
    claim = SUBTRACTION_FACTOR * (expected * length) ** (1.0 / scan.recipe.power)
    lines = (scan.lines - claim).clip(min=0.0).astype(np.float32)
    hidden = (scan.lines > 0) & (claim > 0.5 * scan.lines)
    lines[hidden] = 0.0
    top, before = float(lines.max(initial=0.0)), float(scan.lines.max(initial=0.0))
    limit = min(MAX_DETECTION_LIMIT, scan.detection_limit * before / top) if top > 0 else 1.0
    return scan.with_lines(lines, mask=scan.mask & ~hidden, detection_limit=limit)


def strong_lines(scan: ComparisonSignal, strong: float = STRONG) -> list[tuple[float, float]]:
    """(2theta, height in percent of the strongest) of the measured lines above `strong` percent, by angle."""
    lines = scan.lines
    top = float(lines.max(initial=0.0))
    if top <= 0:
        return []
    reach = max(2, round(scan.fwhm / scan.grid.step))
    inner = scan.mask & np.roll(scan.mask, 1) & np.roll(scan.mask, -1)  # the flank of a line outside the range is no line
    peaks = np.flatnonzero((lines >= _highest(lines, reach)) & (lines > 0.01 * strong * top) & inner)
    peaks = peaks[np.diff(peaks, prepend=-reach - 1) > reach]
    return [(round(float(scan.grid.two_theta[j]), 3), round(100.0 * float(lines[j]) / top, 1)) for j in peaks]


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
