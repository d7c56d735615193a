"""Medians and percentiles against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xrdmatch.diffraction.quantiles import median, percentile

KINDS = st.sampled_from([np.float32, np.float64])


def values(kind):
    width = 8 * np.dtype(kind).itemsize
    return st.floats(-1e6, 1e6, width=width, allow_subnormal=False)


@given(st.data(), KINDS, st.lists(st.integers(1, 7), min_size=1, max_size=3))
def test_median(data, kind, shape):
    given_values = data.draw(arrays.arrays(kind, tuple(shape), elements=values(kind)))
    found = median(given_values)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, np.median(given_values, axis=-1))


@given(st.data(), KINDS, st.integers(1, 40), st.sampled_from([0.0, 12.5, 25.0, 50.0, 75.0, 100.0]))
def test_percentile(data, kind, size, percent):
    given_values = data.draw(arrays.arrays(kind, size, elements=values(kind)))
    assert percentile(given_values, percent) == float(np.percentile(given_values, percent))


def test_nothing_has_no_median():
    assert np.isnan(median(np.empty(0)))
    assert median(np.empty((3, 0))).shape == (3,)


@pytest.mark.parametrize("percent", [0.0, 25.0, 50.0, 100.0])
def test_the_values_stay_as_they_were(percent):
    given_values = np.array([3.0, 1.0, 2.0])
    percentile(given_values, percent)
    median(given_values)
    assert given_values.tolist() == [3.0, 1.0, 2.0]
