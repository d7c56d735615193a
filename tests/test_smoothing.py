"""Running means and openings, held to naive twins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as naive

from xrdmatch.preprocessing.smoothing import opening, running_mean


@pytest.mark.parametrize("window", [3, 5, 75, 151, 5001])
@pytest.mark.parametrize("size", [3, 10, 400])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_opening_is_that_of_a_naive_twin(window, size, kind):
    values = np.random.default_rng(3).random((3, size)).astype(kind)
    before = values.copy()
    opened = opening(values, window)
    for row in range(3):
        np.testing.assert_array_equal(opened[row], naive.maximum_filter(naive.minimum_filter(values[row], window), window))
    assert (opened <= values).all()
    np.testing.assert_array_equal(opening(opened, window), opened)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("reflect", [False, True])
def test_running_mean_is_that_of_a_naive_twin(reflect):
    values = np.random.default_rng(4).random((2, 50)).astype(np.float32)
    padded = np.pad(values, [(0, 0), (2, 2)], mode="reflect" if reflect else "edge")
    np.testing.assert_allclose(running_mean(values, 5, reflect), [[row[i : i + 5].mean() for i in range(50)] for row in padded], rtol=1e-5)
    np.testing.assert_array_equal(running_mean(values, 1), values)
