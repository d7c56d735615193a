"""Steps of damped least squares, for cells that are fitted to patterns."""

from __future__ import annotations

import numpy as np

from xrdmatch.system.arrays import Float64Array


def damped_steps(normal: Float64Array, slope: Float64Array, damping: float, longest: float) -> Float64Array:
    """Steps (..., p) that solve normal (..., p, p) @ step = slope (..., p), each limited to `longest` either way.

    damping: share of the diagonal's sum that is added to each of it (Levenberg 1944), so that parameters which nothing depends on stay.
    """
    total = np.trace(normal, axis1=-2, axis2=-1)
    damped = normal + np.eye(slope.shape[-1]) * (damping * np.maximum(total, 1e-12))[..., None, None]
    return np.asarray(np.clip(np.linalg.solve(damped, slope[..., None])[..., 0], -longest, longest))
