"""Recall by strongest lines: the right entry stands out, whatever its scan lacks."""

from __future__ import annotations

import made
import numpy as np
import pytest

from xrdmatch.library import Entry, Library
from xrdmatch.lookup import GRID, KEPT, Lookup
from xrdmatch.match import coarse, prepare

ROWS = range(5)


def naive_scores(lookup, signal, mask):
    """Entry by entry, line by line."""
    scores = []
    for place, weight in zip(lookup.place.astype(int), lookup.weight.astype(float), strict=True):
        shown, seen = 0.0, 0.0
        for at, share in zip(place, weight, strict=True):
            near = [(1.0 - 0.1 * abs(shift)) * np.sqrt(signal[at + shift]) for shift in range(-3, 4) if 0 <= at + shift < signal.size]
            shown += share * max(near)
            seen += share**2 * mask[at]
        scores.append(shown / np.sqrt(max(seen, 1e-6)))
    return scores


def scores(lookup, pattern):
    measured = coarse(prepare(pattern))
    return lookup.scores(measured.signal, measured.mask)


@pytest.mark.parametrize("row", ROWS)
def test_the_right_entry_comes_first(library, row):
    lookup = Lookup.of(library)
    for seed, how in enumerate(({}, {"zero": 0.08}, {"start": 8.0, "stop": 35.0}, {"peak": 1500.0})):
        assert scores(lookup, made.scan(library, row, seed, **how)).argmax() == row


def test_agrees_with_the_naive_twin(library):
    lookup = Lookup.of(library)
    measured = coarse(prepare(made.scan(library, 1, start=7.0)))
    np.testing.assert_allclose(lookup.scores(measured.signal, measured.mask), naive_scores(lookup, measured.signal, measured.mask), rtol=1e-3)


def test_lines_are_where_the_entry_has_them(library):
    lookup = Lookup.of(library)
    assert lookup.place.shape == lookup.weight.shape == (5, KEPT)
    assert (lookup.weight.max(axis=1) == 1.0).all()
    for row in ROWS:
        strongest = GRID.two_theta[lookup.place[row, 0]]
        assert np.nanmin(np.abs(made.angles_of(library, row)[0] - strongest)) < 0.15


def test_packs_and_joins(library):
    lookup = Lookup.of(library)
    again = Lookup.unpacked(lookup.packed())
    np.testing.assert_array_equal(again.place, lookup.place)
    np.testing.assert_array_equal(again.weight, lookup.weight)
    both = lookup.joined(again)
    assert len(both.place) == len(both.weight) == 10


def test_an_entry_without_lines_in_range_scores_nothing():
    far = Entry("far", "C", np.array([1.5, 1.5, 1.5, 90.0, 90.0, 90.0]), np.array([[1, 0, 0]], np.int16), np.array([1.0]))
    lookup = Lookup.of(Library.from_entries([far]))
    assert not lookup.weight.any()
    assert lookup.scores(np.ones(GRID.size, np.float32), np.ones(GRID.size, bool)).tolist() == [0.0]
