"""Lines of a scan that what was expected does not explain, and how surely each is foreign.

At each place a line has to rise above what an expected sample may show there: noise, its own lines, changed by guests and texture, their feet, and
what a fit that is not perfect leaves. The sum of these, with fitted weights, is the tolerance; a line as high as that is as likely foreign as not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.quantiles import percentile
from xrdmatch.preprocessing.fft_filter import around
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal, PreparedScan
from xrdmatch.preprocessing.smoothing import running_mean
from xrdmatch.search.allowed_lines import guest_lines
from xrdmatch.search.check_weights import stored
from xrdmatch.search.expected_phase import Fitted
from xrdmatch.search.line_evidence import highest_near, strong_lines
from xrdmatch.system.arrays import Float64Array

#: Least height of a line that is looked at, percent of the strongest.
LEAST = 0.2
#: Span, in line widths, in which a strong line throws its foot, and degrees below which axial divergence draws it out.
FOOT, DRAWN_OUT = 6.0, 12.0
#: Height above background and noise from which a line counts, in noise levels of the place: noise has a sharper end than what else may be there.
NOISE_LEVELS = 3.0
#: Share of a scan's points that are quieter than what counts as its usual level, percent.
QUIET = 25.0

#: What adds to the tolerance, each with a weight: noise of a point, the expected pattern, those of its lines that lie there, their feet, what guests
#: may add, the strongest line, and the strongest line times 1 - similarity.
TERMS = ("noise", "near", "lines", "foot", "guests", "floor", "misfit")


@dataclass(frozen=True, eq=False)
class FurtherLines:
    """two_theta: (n,) degrees on the comparison's grid. height: (n,) percent of the scan's strongest. foreign: (n,) probability of each.
    counts: (n,) whether it is higher than all but few of a pure sample's lines would be, and is listed."""

    two_theta: Float64Array
    height: Float64Array
    foreign: Float64Array
    counts: NDArray[np.bool_]

    def listed(self) -> FurtherLines:
        """Those that count."""
        return FurtherLines(self.two_theta[self.counts], self.height[self.counts], self.foreign[self.counts], self.counts[self.counts])


def lines_of(scan: ComparisonSignal) -> list[tuple[float, float]]:
    """(2theta in degrees, height in percent of the strongest) of a scan's lines, without flanks that its range cuts."""
    lines, grid = scan.lines, scan.grid
    kept = []
    for angle, height in strong_lines(scan, LEAST):
        at = grid.nearest(angle)
        before, after = around((lines < 0.5 * lines[at]) & scan.mask, at)
        if before >= 0 and after < lines.size:
            kept.append((angle, height))
    return kept


def local_noise(scan: PreparedScan) -> NDArray[np.float32]:
    """Noise (m,) in counts at each place of the comparison's grid: counting noise grows with the counts."""
    signal = scan.comparison
    values, mask = signal.grid.resample(scan.measured)
    level = running_mean(values.astype(np.float32), max(1, round(signal.recipe.smooth / signal.grid.step)) | 1)
    usual = max(float(percentile(level[mask], QUIET)) if mask.any() else 0.0, 1e-12)
    return np.asarray(signal.noise_typical * np.sqrt(np.clip(level / usual, 1.0, None)), dtype=np.float32)


def tolerance_terms(fitted: Fitted, noise: NDArray[np.float32], misfit: float) -> dict[str, Float64Array]:
    """What the tolerance consists of (m,), by `TERMS`, in shares of the scan's strongest line. noise: (m,) counts. misfit: 1 - similarity."""
    scan = fitted.scan
    top = max(float(scan.lines.max(initial=0.0)), 1e-30)
    angles = scan.grid.two_theta
    foot = highest_near(fitted.profile, max(2, round(FOOT * scan.fwhm / scan.grid.step)))
    drawn_out = 1.0 + np.maximum(0.0, 1.0 - angles / DRAWN_OUT)
    ones = np.ones(angles.size)
    guests = np.max([guest_lines(library, one, scan) for library, one in fitted.phases], axis=0)
    terms = {"noise": noise / top, "near": fitted.near / top, "lines": fitted.lines / top, "foot": foot / top * drawn_out, "guests": guests}
    return {**terms, "floor": ones, "misfit": misfit * ones}


def tolerance(terms: Mapping[str, Float64Array], weights: Mapping[str, float]) -> Float64Array:
    """Height (m,) in shares of the strongest line from which a line is more likely foreign than not."""
    return np.asarray(sum(weights[name] * terms[name] for name in TERMS))


@dataclass(frozen=True, eq=False)
class Tolerance:
    """even: (m,) height in shares of the strongest line from which a line is more likely foreign than not. listed: (m,) that from which it counts."""

    even: Float64Array
    listed: Float64Array

    @classmethod
    def of(cls, terms: Mapping[str, Float64Array]) -> Tolerance:
        """By the stored weights."""
        even = tolerance(terms, stored("line"))
        return cls(even, np.maximum(stored("line")["margin"] * even, NOISE_LEVELS * terms["noise"]))


def further_lines(fitted: Fitted, tolerated: Tolerance) -> FurtherLines:
    """All lines of the scan with how likely each is foreign to what was expected."""
    weights = stored("line")
    found = lines_of(fitted.scan)
    angle, height = (np.array([line[i] for line in found], dtype=float) for i in (0, 1))
    at = np.array([fitted.scan.grid.nearest(one) for one in angle.tolist()], dtype=np.int64)
    over = np.log(np.maximum(0.01 * height, 1e-9) / tolerated.even[at])
    foreign = 1.0 / (1.0 + np.exp(-np.clip(weights["steepness"] * over, -50.0, 50.0)))
    return FurtherLines(angle, height, foreign, 0.01 * height > tolerated.listed[at])
