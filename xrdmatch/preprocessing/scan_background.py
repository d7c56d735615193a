"""What lies under the lines of a scan, and what of it is a halo."""

from __future__ import annotations

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.quantiles import median
from xrdmatch.preprocessing.fft_filter import noise_sigma
from xrdmatch.preprocessing.smoothing import opening, running_mean
from xrdmatch.system.arrays import Float64Array

#: Half of the widest window of the background, and the mean taken before it, degrees.
WINDOW, SMOOTH = 1.5, 0.1
#: How far at most, in its noise, the lower edge of a noisy scan lies below the background's mean.
BIAS = 3.0


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


def lower_hull(x: Float64Array, y: Float64Array) -> Float64Array:
    """The lower convex hull (n,) of a curve: it follows what falls ever less steeply, as scattered light of air does, and bridges humps.

    x: (n,) rising. By Andrew's monotone chain (Inf. Process. Lett. 1979, 9, 216).
    """
    kept: list[int] = []
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    for place, (right, height) in enumerate(points):
        while len(kept) > 1:
            (first, low), (middle, above) = points[kept[-2]], points[kept[-1]]
            if (above - low) * (right - first) < (height - low) * (middle - first):
                break
            kept.pop()
        kept.append(place)
    return np.asarray(np.interp(x, x[kept], y[kept]))
