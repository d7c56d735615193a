"""The strong lines of a scan, each with the reference that has it: for scans that are shown over what they should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal, PreparedScan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.indexed_lines import in_scan
from xrdmatch.search.line_evidence import WEAK, Lines, refined_lines, strong_lines
from xrdmatch.search.pipeline import compare_and_refine
from xrdmatch.search.scan_quality import clear_lines
from xrdmatch.system.arrays import Float64Array

#: Least height of a scan's line that is marked, percent of the strongest.
MARKED = 5.0
#: Position similarity from which a reference is there, and lines may be its: in simulated mixtures of two of nine well-known frameworks, the weaker
#: one 30 % or more, it kept nine tenths of what was there, and a tenth of what was not.
THERE = 0.42
#: The reference of a line that none of them has.
EXTRA = -1


@dataclass(frozen=True, eq=False)
class ClaimedLines:
    """Lines that stand out of the noise. two_theta: (n,) degrees in the scan, rising. reference: (n,) which one has the line, the most alike first;
    EXTRA where none has."""

    two_theta: Float64Array
    reference: NDArray[np.int64]


def claimed_lines(scan: PreparedScan, references: Library) -> ClaimedLines:
    """Whose the strong lines of a scan are. Each reference is fitted on its own: zero shift, cell and width."""
    signal = scan.comparison
    clear = set(clear_lines(signal))
    at_grid = np.array([angle for angle, _ in strong_lines(signal, MARKED) if angle in clear])
    reference = np.full(at_grid.size, EXTRA, dtype=np.int64)
    fits = [compare_and_refine(Candidates.of(np.array([row]), np.zeros(1), signal.fwhm), references, signal) for row in range(len(references))]
    there = [place for place, fit in enumerate(fits) if fit.position_similarity[0] >= THERE]
    for place in sorted(there, key=lambda place: -float(fits[place].similarity[0])):
        has = _has(refined_lines(references, fits[place], signal)[0], at_grid, signal)
        reference[(reference == EXTRA) & has] = place
    angles = in_scan(at_grid, scan.wavelength)
    kept = np.isfinite(angles)
    return ClaimedLines(angles[kept], reference[kept])


def _has(lines: Lines, angles: Float64Array, signal: ComparisonSignal) -> NDArray[np.bool_]:
    """(n,) which angles a reference has a line at, as near as lines have to be that explain others."""
    high = np.sort(lines.angles[lines.heights > WEAK])
    if high.size == 0:
        return np.zeros(angles.size, dtype=bool)
    after = np.searchsorted(high, angles).clip(1, max(high.size - 1, 1))
    nearest = np.minimum(np.abs(angles - high[after - 1]), np.abs(angles - high[np.minimum(after, high.size - 1)]))
    return np.asarray(nearest <= 2 * lines.reach * signal.grid.step)
