"""Running means and openings, along the last axis of rows (..., m) of floats of any size; ends are continued by their last value, or reflected."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", bound=np.floating[Any])


def running_mean(values: NDArray[Float], points: int, reflect: bool = False) -> NDArray[Float]:
    """Mean over an odd number of `points` along the last axis."""
    if points <= 1:
        return values
    padded = reflected(values, points // 2) if reflect else continued(values, points // 2)
    total = padded[..., : values.shape[-1]].copy()
    for shift in range(1, points):
        total += padded[..., shift : shift + values.shape[-1]]
    total /= total.dtype.type(points)
    return total


def opening(values: NDArray[Float], window: int) -> NDArray[Float]:
    """Morphological opening along the last axis: the largest curve below `values` without peaks narrower than `window` (odd) points."""
    half, points = window // 2, values.shape[-1]
    padded = continued(values, half)
    return opened(padded.reshape(-1, points + 2 * half), half, window).reshape(padded.shape)[..., half : half + points]


def opened(padded: NDArray[Float], margin: int, window: int) -> NDArray[Float]:
    """The opening of rows (k, n) that are continued by `margin` points at either end, at least half the `window` (odd). The margins of the result
    mean nothing.

    All rows are worked on as one long row, which takes half the time; where a window reaches into the next row there is margin.
    """
    half, points = window // 2, padded.shape[1]
    spare = np.empty((2, padded.size), padded.dtype)
    lowest, free = _sliding(padded.reshape(-1), window, np.minimum, spare[0], spare[1])
    rows = lowest.reshape(padded.shape)
    rows[:, margin - half : margin] = rows[:, margin, None]
    rows[:, points - margin : points - margin + half] = rows[:, points - margin - 1, None]
    return _sliding(lowest, window, np.maximum, free, lowest)[0].reshape(padded.shape)


def _sliding(values: NDArray[Float], window: int, pick: np.ufunc, one: NDArray[Float], two: NDArray[Float]) -> tuple[NDArray[Float], NDArray[Float]]:
    """Sliding minimum or maximum (n,) over a centred window in log2(window) passes: a window of 2k is picked from two windows of k.

    The passes write into `one` and `two` by turns. Returns the result and the free one; what lies within half a window of the ends means nothing.
    """
    span, size = 1, values.size
    while span < window:
        shift = min(span, window - span)
        span, size = span + shift, size - shift
        first = window // 2 if span == window else 0
        pick(values[:size], values[shift : shift + size], out=one[first : first + size])
        values, one, two = one, two, one
    return values, one


def continued(values: NDArray[Float], points: int) -> NDArray[Float]:
    """Rows (..., m) with `points` more at either end, which repeat the end's value: what np.pad does slowly."""
    size = values.shape[-1]
    padded = np.empty((*values.shape[:-1], size + 2 * points), dtype=values.dtype)
    padded[..., points : points + size] = values
    padded[..., :points] = values[..., :1]
    padded[..., points + size :] = values[..., -1:]
    return padded


def reflected(values: NDArray[Float], points: int) -> NDArray[Float]:
    """Rows (..., m) with `points` more at either end, which mirror what lies beside it; noise at the ends stays as it is within."""
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(points, points)], mode="reflect")
