"""Lines of a scan that what was expected does not explain, how surely each is foreign, and the least second phase that would have been seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.search.check_weights import Logistic, stored
from xrdmatch.search.expected_phase import Fitted, highest_near
from xrdmatch.search.line_evidence import strong_lines
from xrdmatch.system.arrays import Float64Array

#: Least height of a line that is looked at, percent of the strongest.
LEAST = 0.2
#: Probability from which a line counts as foreign.
FOREIGN = 0.5
#: Span, in line widths, in which a strong line throws its foot, and degrees below which axial divergence draws it out.
FOOT, DRAWN_OUT = 6.0, 12.0
#: Distances beyond this many line widths, and ratios beyond this one, say no more.
FAR, CLEAR = 3.0, 100.0
#: Heights of a usual phase's strongest lines, and how surely one of them has to be seen where a second phase is said to be.
USUAL_LINES, SURELY = (1.0, 0.6, 0.4, 0.3, 0.25), 0.95
#: Heights that are tried for the limit, percent.
HEIGHTS = np.geomspace(LEAST, 50.0, 40)
#: Angles that are tried for the limit, degrees apart.
TRIED = 0.1


@dataclass(frozen=True, eq=False)
class FurtherLines:
    """two_theta: (n,) degrees on the comparison's grid. height: (n,) percent of the scan's strongest. foreign: (n,) probability of each."""

    two_theta: Float64Array
    height: Float64Array
    foreign: Float64Array

    @property
    def purity(self) -> float:
        """ln of how likely it is that no line is foreign, of each on its own."""
        return float(np.log1p(-np.minimum(self.foreign, 1.0 - 1e-9)).sum())

    def certain(self) -> FurtherLines:
        """Those that count as foreign."""
        some = self.foreign >= FOREIGN
        return FurtherLines(self.two_theta[some], self.height[some], self.foreign[some])


def line_features(fitted: Fitted, at: NDArray[np.int64], height: Float64Array, misfit: float) -> dict[str, Float64Array]:
    """What tells a foreign line of `height` (n,) percent at places `at` (n,) of the grid. misfit: 1 - similarity of what was expected."""
    scan = fitted.scan
    top = float(scan.lines.max(initial=0.0))
    counts = 0.01 * top * height
    wide = highest_near(fitted.profile, max(2, round(FOOT * scan.fwhm / scan.grid.step)))
    angle = scan.grid.two_theta[at]

    def ratio(of: NDArray[np.float32]) -> Float64Array:
        return np.log(np.clip(counts / np.maximum(of[at], 1e-6 * top), 1.0 / CLEAR, CLEAR))

    noise = np.maximum(scan.noise_typical, 1e-5 * top)
    return {
        "over_expected": ratio(fitted.near),
        "over_foot": ratio(wide),
        "over_noise": np.log(np.clip(counts / noise, 0.5, CLEAR)),
        "log_height": np.log(height),
        "distance": np.minimum(fitted.distance[at], FAR),
        "low_angle": np.maximum(0.0, 1.0 - angle / DRAWN_OUT),
        "misfit": np.full(at.size, np.log(max(misfit, 1e-3))),
    }


def further_lines(fitted: Fitted, misfit: float, weights: Logistic | None = None) -> FurtherLines:
    """All lines of the scan with how likely each is foreign to what was expected."""
    found = strong_lines(fitted.scan, LEAST)
    angle, height = (np.array([line[i] for line in found], dtype=float) for i in (0, 1))
    at = np.array([fitted.scan.grid.nearest(one) for one in angle.tolist()], dtype=np.int64)
    if at.size == 0:
        return FurtherLines(angle, height, np.empty(0))
    features = line_features(fitted, at, height, misfit)
    return FurtherLines(angle, height, (weights or stored("line")).probability(features))


def detection_limit(fitted: Fitted, misfit: float, weights: Logistic | None = None) -> float | None:
    """Height of a second phase's strongest line, percent of the scan's strongest, from which one of its lines would count as foreign in 95 of 100
    places; None where even one of half the strongest could hide.
    """
    scan = fitted.scan
    places = np.flatnonzero(scan.mask)[:: max(1, round(TRIED / scan.grid.step))]
    if places.size == 0:
        return None
    of_all = np.repeat(places, HEIGHTS.size), np.tile(HEIGHTS, places.size)
    seen = (weights or stored("line")).probability(line_features(fitted, *of_all, misfit)) >= FOREIGN
    share = np.maximum.accumulate(seen.reshape(places.size, HEIGHTS.size).mean(axis=0))
    hidden = np.ones(HEIGHTS.size)
    for line in USUAL_LINES:
        hidden *= 1.0 - np.interp(line * HEIGHTS, HEIGHTS, share, left=0.0)
    enough = np.flatnonzero(1.0 - hidden >= SURELY)
    return float(HEIGHTS[enough[0]]) if enough.size else None
