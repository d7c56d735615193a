"""An answer laid over its scan: background, calculated pattern, difference, and the lines that speak for and against it.

For looking at, not a refinement: each phase has one scale; cell, width and fall-off with angle are those that verification found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.peak_shapes import draw
from xrdmatch.diffraction.quantiles import median
from xrdmatch.preprocessing.fft_filter import noise_sigma
from xrdmatch.preprocessing.smoothing import opening, running_mean
from xrdmatch.search.indexed_lines import Indexed
from xrdmatch.search.result import Identification, Match
from xrdmatch.system.arrays import Float64Array

#: Half of the widest window of the background, and the mean taken before it, degrees.
WINDOW, SMOOTH = 1.5, 0.1
#: How far at most, in its noise, the lower edge of a noisy scan lies below the background's mean.
BIAS = 3.0
#: Points drawn at most, and the step in line widths.
POINTS, FINE = 60_000, 0.1
#: Angles between which lines are drawn, degrees; a scan may begin at or below 0.
FIRST, LAST = 0.1, 175.0
#: A fit of scales counts points below this share of the strongest line as if they had that much: strong lines decide, weak ones have a say.
EVEN = 0.1
#: A phase's line above this percentage of its strongest accounts for a measured line.
COUNTS = 1.0
#: Noise levels from which a line stands out.
CLEAR = 4.0


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
    if scan is None:
        return None
    phases = tuple(phase.match for phase in result.phases if phase.match.lines is not None)
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


def background(scan: Pattern) -> Float64Array:
    """A smooth background (n,) in counts: the scan's lower edge, raised by what noise lowers it."""
    points = max(1, round(SMOOTH / scan.step)) | 1
    smooth = running_mean(scan.intensity, points)
    base = lower_edge(smooth, scan.step)
    above = smooth - base
    return np.asarray(base + min(max(float(median(above)), 0.0), BIAS * noise_sigma(scan.intensity) / np.sqrt(points)))


def lower_edge(values: Float64Array, step: float) -> Float64Array:
    """What of `values` (n,), `step` degrees apart, is wider than the window: the higher of two edges, neither of which a line can lift.

    A morphological opening follows haloes, but is flat where the steep scatter of low angles is cut off; SNIP (Ryan et al., Nucl. Instrum. Methods
    B 1988, 34, 396; here without its logarithms, so that twice the values have twice the edge) shrinks its windows there, but sinks below haloes.
    """
    wide = max(3, round(2.0 * WINDOW / step)) | 1
    edge = values.copy()
    for half in range(min(max(1, wide // 2), (values.size - 1) // 2), 0, -1):
        edge[half:-half] = np.minimum(edge[half:-half], 0.5 * (edge[2 * half :] + edge[: -2 * half]))
    return np.asarray(np.maximum(running_mean(opening(values, wide), wide), edge))


def profile(lines: Indexed, scan: Pattern) -> Float64Array:
    """The lines' pattern (n,) on the scan's points, each line with an area of its `intensity`."""
    if len(lines) == 0:
        return np.zeros(scan.two_theta.size)
    start, stop = max(float(scan.two_theta[0]), FIRST), min(float(scan.two_theta[-1]), LAST)
    step = max(FINE * float(lines.width.min()), (stop - start) / POINTS)
    if stop - start < 2.0 * step:
        return np.zeros(scan.two_theta.size)
    grid = Grid(start, start + step * (int((stop - start) / step) + 1), step)
    drawn = draw(lines.observed[None], lines.intensity[None], lines.width[None], grid)[0]
    return np.asarray(np.interp(scan.two_theta, grid.two_theta, drawn, left=0.0, right=0.0))


def fit_scales(profiles: Sequence[Float64Array], signal: Float64Array) -> list[float]:
    """Non-negative scales of one or two profiles (n,) that come nearest to `signal` (n,), weighted as counting statistics would."""
    if not profiles:
        return []
    weight = 1.0 / np.sqrt(np.maximum(signal, EVEN * max(float(signal.max(initial=0.0)), 1e-300)))
    columns = np.stack(profiles, axis=1) * weight[:, None]
    aim = signal * weight
    size = (columns**2).sum(axis=0)
    alone = np.where(size > 0, columns.T @ aim / np.maximum(size, 1e-300), 0.0).clip(min=0.0)
    if len(profiles) == 1 or not (size > 0).all():
        return [float(value) for value in alone]
    both, *_ = np.linalg.lstsq(columns, aim, rcond=None)
    if (both >= 0).all():
        return [float(value) for value in both]
    keep = int(np.argmax(alone**2 * size))  # one phase suffices: that which explains more
    return [float(value) if place == keep else 0.0 for place, value in enumerate(alone)]


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


def shown(lines: Indexed, view: Overlay) -> NDArray[np.bool_]:
    """(n,) which lines stand out of the scan: a point within half a width lies above the background by `CLEAR` times the noise and 1 % of the top."""
    above = view.measured - view.background
    level = max(CLEAR * noise_sigma(view.measured), 0.01 * float(above.max(initial=0.0)))
    reach = np.maximum(0.5 * lines.width, 0.03)
    low, high = (np.searchsorted(view.two_theta, lines.observed + sign * reach) for sign in (-1.0, 1.0))
    return np.array([above[i : max(j, i + 1)].max(initial=0.0) > level for i, j in zip(low, high, strict=True)], dtype=bool)


def title(match: Match) -> str:
    """The name, with the refcode where that is another word."""
    code = match.refcode
    return f"{match.name} ({code})" if code and code not in match.name else match.name
