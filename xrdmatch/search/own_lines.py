"""Lines that a second phase has to itself: the scan shows them where the first phase can have none as high, even if its intensities are far off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.line_evidence import STRONG, Lines, refined_lines
from xrdmatch.system.arrays import Float64Array

#: Height above the background, as a share of the strongest line and as a multiple of the detection limit, from which a line of its own counts.
LEAST_SHARE, LEAST_LIMITS = 0.01, 2.0
#: How many times as high as calculated guests, texture and disorder may make a line of the first phase.
FREE = 10.0
#: How far such a line reaches, line widths. To lower angles axial divergence draws it out into a foot (Cheary & Coelho, J. Appl. Cryst. 1998, 31,
#: 851): FOOT squared degrees over its angle long, and up to FOOT_HEIGHT of the line high.
REACH, FOOT, FOOT_HEIGHT = 1.0, 1.5, 0.1


def own_lines(library: Library, first: Candidates, second: Candidates, scan: ComparisonSignal) -> NDArray[np.int64]:
    """How many strong lines (k,) of each `second` candidate the scan shows where its `first` phase, or several, cannot have them.

    scan: the whole, with the lines of both.
    """
    free = free_of(library, first, scan)
    near = max(2, round(0.5 * scan.fwhm / scan.grid.step))
    found = np.zeros(len(second), dtype=np.int64)
    for i, lines in enumerate(refined_lines(library, second, scan)):
        places = sorted(set(lines.index[lines.heights > STRONG].tolist()))
        own = [at for at in places if free[max(0, at - near) : at + near + 1].any()]
        found[i] = int((np.diff(own, prepend=-(10**6)) > 2 * near).sum())  # lines of one peak are one
    return found


def free_of(library: Library, first: Candidates, scan: ComparisonSignal) -> NDArray[np.bool_]:
    """Where (m,) the scan shows what its `first` phase (one candidate, or several) cannot have: without any, no other phase has a line to itself."""
    heights = scan.lines / max(float(scan.lines.max(initial=0.0)), 1e-30)
    least = max(LEAST_SHARE, LEAST_LIMITS * scan.detection_limit)
    highest = np.maximum.reduce([highest_allowed(lines, scan) for lines in refined_lines(library, first, scan)])
    return np.asarray(heights > np.maximum(highest, least))


def highest_allowed(lines: Lines, scan: ComparisonSignal) -> Float64Array:
    """(m,) how high the first phase's lines may be, as a share of the scan's strongest."""
    grid = scan.grid
    reach = REACH * max(scan.fwhm, 2 * grid.step)
    allowed = np.zeros(grid.size)
    for angle, height in zip(lines.angles.tolist(), (FREE * lines.heights / 100.0).tolist(), strict=True):
        foot = FOOT / max(angle, 1.0)
        for start, share in ((angle - reach - foot, FOOT_HEIGHT), (angle - reach, 1.0)):
            part = slice(grid.nearest(start), grid.nearest(angle + reach) + 1)
            allowed[part] = np.maximum(allowed[part], share * height)
    return allowed
