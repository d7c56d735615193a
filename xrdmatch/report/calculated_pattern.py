"""An answer laid over its scan: background, calculated pattern, difference, and the lines that speak for and against it.

For looking at, not a refinement: each phase has one scale; cell, width and fall-off with angle are those that verification found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.quantiles import median
from xrdmatch.preprocessing.scan_background import background, lower_edge
from xrdmatch.search.calculated_profile import fit_scales, profile
from xrdmatch.search.indexed_lines import Indexed
from xrdmatch.search.result import Identification, Match
from xrdmatch.system.arrays import Float64Array

#: A phase's line above this percentage of its strongest accounts for a measured line.
COUNTS = 1.0
#: Noise levels from which a line stands out: highest against lowest of some ten smoothed points, which noise alone sets two levels apart each way.
CLEAR = 6.0
#: Half widths on either side of a line that are looked at; median difference between two points of Gaussian noise, in standard deviations.
SIDES, JUMP = 6, 0.954


@dataclass(frozen=True, eq=False)
class Overlay:
    """A scan and what the answer says of it, on the scan's own points.

    two_theta (n,) degrees; measured, background, calculated, difference (n,) in the scan's counts; calculated holds the background, difference is
    measured less calculated. phases: the matches that are calculated, those that the answer names; scales: counts times degrees
    for a line of 100 percent. missing: lines (h, k, l, 2theta, percent) the first should show and the scan does not; extra: 2theta of measured
    lines that no phase has.
    """

    two_theta: Float64Array
    measured: Float64Array
    background: Float64Array
    calculated: Float64Array
    phases: tuple[Match, ...]
    scales: tuple[float, ...]
    missing: list[tuple[int, int, int, float, float]]
    extra: list[float]

    @property
    def difference(self) -> Float64Array:
        return self.measured - self.calculated


def overlay(result: Identification) -> Overlay | None:
    """The phases that the answer names over the scan as it was measured; None where the answer has no scan (verdict error)."""
    scan = result.measured or result.pattern
    return None if scan is None else laid_over(scan, [phase.match for phase in result.phases])


def laid_over(scan: Pattern, matches: Sequence[Match]) -> Overlay:
    """Matches over a scan, the first of them the one whose lines speak for and against it."""
    phases = tuple(match for match in matches if match.lines is not None)
    base = background(scan)
    profiles = [profile(match.lines, scan) for match in phases if match.lines is not None]
    floors = [lower_edge(values, scan.step) for values in profiles]
    scales = fit_scales([values - floor for values, floor in zip(profiles, floors, strict=True)], scan.intensity - base)
    for scale, floor in zip(scales, floors, strict=True):
        base = base - scale * floor  # where lines overlap, the scan's lower edge holds their feet
    calculated = base + sum((scale * values for scale, values in zip(scales, profiles, strict=True)), np.zeros_like(base))
    best = phases[0].evidence if phases else None
    missing, extra = (best.missing, unexplained(best.extra, phases[1:])) if best else ([], [])
    return Overlay(scan.two_theta, scan.intensity, base, calculated, phases, tuple(scales), missing, extra)


def lone_scale(lines: Indexed, view: Overlay) -> float:
    """The scale of a candidate that is not among the overlay's phases, alone on its background."""
    step = float(median(np.diff(view.two_theta)))
    values = profile(lines, Pattern(view.two_theta, view.measured))
    return fit_scales([values - lower_edge(values, step)], view.measured - view.background)[0]


def unexplained(angles: Sequence[float], phases: Sequence[Match]) -> list[float]:
    """Of measured lines at `angles` (degrees), those that no line of `phases` accounts for."""
    taken = [(match.lines.observed, match.lines.width, match.lines.intensity) for match in phases if match.lines is not None]

    def free(angle: float) -> bool:
        return not any((np.abs(observed - angle) < np.maximum(width, 0.1))[intensity > COUNTS].any() for observed, width, intensity in taken)

    return [angle for angle in angles if free(angle)]


def strongest(lines: Indexed, number: int, apart: float) -> list[int]:
    """Up to `number` lines by falling intensity, none nearer to a stronger one than `apart` degrees."""
    chosen: list[int] = []
    for place in np.argsort(-lines.intensity, kind="stable"):
        if all(abs(lines.observed[place] - lines.observed[other]) >= apart for other in chosen):
            chosen.append(int(place))
        if len(chosen) == number:
            break
    return chosen


def shown(lines: Indexed, view: Overlay, share: float = 0.02) -> NDArray[np.bool_]:
    """(n,) which lines stand out of the scan: within half a width, the smoothed scan rises above its lowest points on both sides by `CLEAR` times the
    noise there, and by this share of the top, which is what an eye sees. A slope, or the noise on a halo, is no line.
    """
    counts, step = view.measured, float(median(np.diff(view.two_theta)))
    least = share * float((counts - view.background).max(initial=0.0))

    def stands_out(angle: float, width: float) -> bool:
        points = max(1, round(0.5 * width / step))
        middle = int(np.searchsorted(view.two_theta, angle))
        first, last = max(middle - SIDES * points, 0), min(middle + SIDES * points + 1, counts.size)
        if middle - first < points or last - middle <= points:
            return False
        part = counts[first:last]
        smooth = np.convolve(part, np.ones(points) / points, mode="valid")
        centre = middle - first - points // 2
        near = slice(max(centre - points // 2 - 1, 0), centre + points // 2 + 2)
        base = max(float(smooth[: centre + 1].min()), float(smooth[min(centre, smooth.size - 1) :].min()))
        noise = median(np.abs(part[points:] - part[:-points])) / JUMP / np.sqrt(points)  # neighbours may be alike where a detector smooths
        return bool(smooth[near].max(initial=0.0) - base > max(CLEAR * noise, least))

    return np.array([stands_out(float(angle), float(width)) for angle, width in zip(lines.observed, lines.width, strict=True)], dtype=bool)


def title(match: Match) -> str:
    """The name, with the refcode where that is another word."""
    code = match.refcode
    return f"{match.name} ({code})" if code and code not in match.name else match.name
