"""Line by line: what a candidate explains of a scan, what of it is missing, what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import strained
from xrdmatch.diffraction.radiation import inverse_d_squared_of_cells, powder_lines, reciprocal_components
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import MAX_DETECTION_LIMIT, ComparisonSignal
from xrdmatch.search.candidates import Candidates, Evidence, HklLine
from xrdmatch.search.comparison import shifted
from xrdmatch.system.arrays import Float64Array

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
    angles: Float64Array
    heights: Float64Array
    index: NDArray[np.int64]
    reach: int


def refined_lines(library: Library, candidates: Candidates, scan: ComparisonSignal) -> list[Lines]:
    """Where each candidate has its lines, as refined."""
    grid, k = scan.grid, len(candidates)
    at, counts = library.stacked_lines(candidates.rows)
    owner = np.repeat(np.arange(k), counts)
    cells = reciprocal_components(strained(library.cell[candidates.rows], candidates.strain))
    squared = inverse_d_squared_of_cells(np.ascontiguousarray(library.hkl.take(at, axis=0).T, dtype=float), np.repeat(cells.T, counts, axis=1))
    angles, areas = powder_lines(library.intensity[at], squared, candidates.debye_waller[owner], grid.wavelength)
    angles += candidates.shift[owner]
    index = np.rint((angles - grid.start) / grid.step).astype(np.int64)
    inside = np.flatnonzero((index >= 0) & (index < grid.size))
    inside = inside[scan.mask[index[inside]]]
    owner, areas = owner[inside], areas[inside]
    strongest = np.full(k, 1e-300)
    np.maximum.at(strongest, owner, areas)
    columns = library.hkl[at[inside]], angles[inside], 100.0 * (areas / strongest[owner]), index[inside]
    ends = np.cumsum(np.bincount(owner, minlength=k))[:-1]
    reach = [max(2, round(0.75 * max(fwhm, 0.08) / grid.step)) for fwhm in candidates.fwhm.tolist()]
    return [Lines(*own) for own in zip(*(np.split(column, ends) for column in columns), reach, strict=True)] if k else []


def line_evidence(library: Library, candidates: Candidates, scan: ComparisonSignal, signals: NDArray[np.float32]) -> Candidates:
    """The candidates, whose signals as refined are `signals` (k, m), with their evidence."""
    peaks = strong_lines(scan, WEIGHED_HEIGHT)
    strong = [angle for angle, height in peaks if height > STRONG]
    at = [scan.grid.nearest(angle) for angle in strong]
    power = scan.signal.astype(float) ** 2
    of_all = refined_lines(library, candidates, scan)
    claimed = _covered(of_all, scan.grid.size, WEAK, [2 * lines.reach for lines in of_all])
    explained = (claimed @ power / max(float(power.sum()), 1e-30)).round(4).tolist()
    weights = position_weights(of_all, scan, peaks).round(3).tolist()
    extra = [[angle for angle, mine in zip(strong, own, strict=True) if not mine] for own in claimed[:, at].tolist()]
    listed = _listed(of_all, scan, signals, candidates.shift)
    found = np.empty(len(candidates), dtype=object)
    for i, (matched, missing) in enumerate(listed):
        found[i] = Evidence(explained[i], matched, missing, extra[i], weights[i])
    return replace(candidates, evidence=found)


def _listed(
    candidates: Sequence[Lines], scan: ComparisonSignal, signals: NDArray[np.float32], shift: Float64Array
) -> list[tuple[list[HklLine], list[HklLine]]]:
    """Of each candidate the strong lines that the scan shows, and those that it does not. signals (k, m): the candidates', which lie `shift` (k,)
    degrees off.
    """
    share = MISSING_RATIO**scan.recipe.power
    highest = {reach: highest_near(scan.signal, reach) for reach in {lines.reach for lines in candidates}}
    found = []
    for lines, signal, off in zip(candidates, signals, shift.tolist(), strict=True):
        strong = np.flatnonzero(lines.heights > STRONG)
        at = lines.index[strong]
        shows = highest[lines.reach][at] > share * expected_signal(signal, off, scan, at)
        columns = (*lines.hkl[strong].T.tolist(), lines.angles[strong].round(3).tolist(), lines.heights[strong].round(1).tolist())
        both: dict[bool, list[HklLine]] = {True: [], False: []}
        for line, shown in zip(zip(*columns, strict=True), shows.tolist(), strict=True):
            both[shown].append(line)
        found.append((both[True], both[False]))
    return found


def position_weights(candidates: Sequence[Lines], scan: ComparisonSignal, peaks: Sequence[tuple[float, float]]) -> Float64Array:
    """ln of the likelihood ratio (k,) of each candidate's hits and misses: a hit counts the less, the more of the neighbourhood its lines cover."""
    grid = scan.grid
    strongest = sorted(peaks, key=lambda peak: -peak[1])[:N_WEIGHED]
    if not strongest or not candidates:
        return np.zeros(len(candidates))
    reach = max(2, round(0.5 * max(scan.fwhm, 0.12) / grid.step))
    near = _covered(candidates, grid.size, CANDIDATE_HEIGHT, [reach] * len(candidates))
    at = np.array([grid.nearest(angle) for angle, _ in strongest])
    half = round(0.5 * DENSITY_SPAN / grid.step)
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, grid.size)
    inside, seen = _so_far(near & scan.mask), _so_far(scan.mask)
    chance = np.clip((inside[:, last] - inside[:, first]) / np.maximum(seen[last] - seen[first], 1), 0.01, 0.99)
    found = (1.0 - IMPURITY_FRACTION) + IMPURITY_FRACTION * chance
    return np.asarray(np.where(near[:, at], np.log(found / chance), np.log((1.0 - found) / (1.0 - chance))).sum(axis=1))


def expected_signal(
    signal: NDArray[np.float32], shift: float, scan: ComparisonSignal, at: NDArray[np.int64] | slice = slice(None)
) -> NDArray[np.float32]:
    """A candidate's signal (m,) where the scan has it, on the scan's scale by least squares; at some of the grid's points, or at all."""
    moved = shifted(signal, round(shift / scan.grid.step))
    square = float(moved @ moved)
    return moved[at] * np.float32(float(moved @ scan.signal) / square if square > 0 else 0.0)


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


@lru_cache(maxsize=16)  # several steps of a search ask for those of one scan
def strong_lines(scan: ComparisonSignal, strong: float = STRONG) -> tuple[tuple[float, float], ...]:
    """(2theta, height in percent of the strongest) of the measured lines above `strong` percent, by angle."""
    lines = scan.lines
    top = float(lines.max(initial=0.0))
    if top <= 0:
        return ()
    reach = max(2, round(scan.fwhm / scan.grid.step))
    inner = scan.mask & np.roll(scan.mask, 1) & np.roll(scan.mask, -1)  # the flank of a line outside the range is no line
    peaks = np.flatnonzero((lines >= highest_near(lines, reach)) & (lines > 0.01 * strong * top) & inner)
    peaks = peaks[np.diff(peaks, prepend=-reach - 1) > reach]
    return tuple((round(float(scan.grid.two_theta[j]), 3), round(100.0 * float(lines[j]) / top, 1)) for j in peaks)


def highest_near(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """The largest value (m,) within `reach` points."""
    highest = values.copy()
    for away in range(1, reach + 1):
        np.maximum(highest[away:], values[:-away], out=highest[away:])
        np.maximum(highest[:-away], values[away:], out=highest[:-away])
    return highest


def _covered(candidates: Sequence[Lines], size: int, least: float, reach: Sequence[int]) -> NDArray[np.bool_]:
    """(k, size) True within `reach` points of a candidate's line that is higher than `least` percent."""
    if not candidates:
        return np.zeros((0, size), dtype=bool)
    high = [lines.index[lines.heights > least] for lines in candidates]
    counts = [index.size for index in high]
    index, width = np.concatenate(high), np.repeat(reach, counts)
    row = np.repeat(np.arange(len(candidates)) * (size + 1), counts)
    number = len(candidates) * (size + 1)
    begins = np.bincount(row + np.maximum(index - width, 0), minlength=number)
    begins -= np.bincount(row + np.minimum(index + width + 1, size), minlength=number)
    return np.asarray((begins.cumsum() > 0).reshape(-1, size + 1)[:, :size])  # how many lines have begun and not ended


def _so_far(flags: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(..., m + 1) how many are True before each point."""
    total = np.zeros((*flags.shape[:-1], flags.shape[-1] + 1), dtype=np.int32)
    np.cumsum(flags, axis=-1, out=total[..., 1:])
    return total
