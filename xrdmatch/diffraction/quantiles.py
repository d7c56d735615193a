"""Medians and percentiles of values without NaN, to the bit as NumPy has them.

NumPy's own look for masked arrays first, whose module takes longer to import than a scan to be read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def median(values: NDArray[Any]) -> NDArray[Any]:
    """The median (...) along the last axis of values (..., n); NaN where n is 0."""
    size = values.shape[-1]
    if size == 0:
        return np.full(values.shape[:-1], np.nan)
    half = size // 2
    parted = np.partition(values, half, axis=-1)
    middle = parted[..., half]
    if size % 2 == 0:
        middle = (parted[..., :half].max(axis=-1) + middle) / values.dtype.type(2)
    return np.asarray(middle, dtype=np.result_type(values.dtype, np.float32))


def percentile(values: NDArray[np.floating[Any]], percent: float) -> float:
    """A percentile of values (n,), n > 0, interpolated between neighbours (method 7 of Hyndman and Fan, Am. Stat. 1996, 50, 361)."""
    place = (values.size - 1) * (percent / 100)
    low = min(int(place), values.size - 1)
    high = min(low + 1, values.size - 1)
    below, above = np.partition(values, (low, high))[[low, high]]
    share, step = place - low, above - below
    return float(above - step * (1.0 - share) if share >= 0.5 else below + step * share)
