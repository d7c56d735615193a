"""Lines of one phase drawn on a scan's own points, and how much of each phase is in the scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.peak_shapes import draw
from xrdmatch.search.indexed_lines import Indexed
from xrdmatch.system.arrays import Float64Array

#: Points drawn at most, and the step in line widths.
POINTS, FINE = 60_000, 0.1
#: Angles between which lines are drawn, degrees; a scan may begin at or below 0.
FIRST, LAST = 0.1, 175.0
#: A fit of scales counts points below this share of the strongest line as if they had that much: strong lines decide, weak ones have a say.
EVEN = 0.1


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
