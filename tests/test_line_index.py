"""Recall by strongest lines: the right entry stands out, whatever its scan lacks."""

from __future__ import annotations

import made
import numpy as np
import pytest
from searching import signal_of

from xrdmatch.library.line_index import GRID, KEPT, LineIndex
from xrdmatch.library.reference_library import Entry, Library

ROWS = range(5)


def naive_scores(index, signal, mask):
    """Entry by entry, line by line."""
    scores = []
    for place, weight in zip(index.place.astype(int), index.weight.astype(float), strict=True):
        shown, seen = 0.0, 0.0
        for at, share in zip(place, weight, strict=True):
            near = [(1.0 - 0.1 * abs(shift)) * np.sqrt(signal[at + shift]) for shift in range(-3, 4) if 0 <= at + shift < signal.size]
            shown += share * max(near)
            seen += share**2 * mask[at]
        scores.append(shown / np.sqrt(seen) if seen > 1e-6 else 0.0)
    return scores


def scores(index, pattern):
    measured = signal_of(pattern).coarse
    return index.scores(measured.signal, measured.mask)


@pytest.mark.parametrize("row", ROWS)
def test_the_right_entry_comes_first(library, row):
    index = LineIndex.of(library)
    for seed, how in enumerate(({}, {"zero": 0.08}, {"start": 8.0, "stop": 35.0}, {"peak": 1500.0})):
        assert scores(index, made.scan(library, row, seed, **how)).argmax() == row


def test_agrees_with_the_naive_twin(library):
    index = LineIndex.of(library)
    measured = signal_of(made.scan(library, 1, start=7.0)).coarse
    np.testing.assert_allclose(index.scores(measured.signal, measured.mask), naive_scores(index, measured.signal, measured.mask), rtol=1e-3)


def test_lines_are_where_the_entry_has_them(library):
    index = LineIndex.of(library)
    assert index.place.shape == index.weight.shape == (5, KEPT)
    assert (index.weight.max(axis=1) == 1.0).all()
    for row in ROWS:
        strongest = GRID.two_theta[index.place[row, 0]]
        assert np.nanmin(np.abs(made.angles_of(library, row)[0] - strongest)) < 0.15


def test_packs_and_joins(library):
    index = LineIndex.of(library)
    again = LineIndex.unpacked(index.packed())
    np.testing.assert_array_equal(again.place, index.place)
    np.testing.assert_array_equal(again.weight, index.weight)
    both = index.joined(again)
    assert len(both.place) == len(both.weight) == 10


def test_an_entry_without_lines_in_range_scores_nothing():
    far = Entry("far", "C", np.array([1.5, 1.5, 1.5, 90.0, 90.0, 90.0]), np.array([[1, 0, 0]], np.int16), np.array([1.0]))
    index = LineIndex.of(Library.from_entries([far]))
    assert not index.weight.any()
    assert index.scores(np.ones(GRID.size, np.float32), np.ones(GRID.size, bool)).tolist() == [0.0]


@pytest.mark.parametrize("beyond", [20.0, 8.0])
def test_the_flank_of_the_range_is_no_line_of_an_entry_beyond_it(library, beyond):
    """What a scan shows at its end reaches over it; an entry whose lines all lie there has nothing to be measured by."""
    index = LineIndex.of(library)
    mask = GRID.two_theta <= beyond
    outside = ~(mask[index.place] & (index.weight > 0)).any(axis=1)
    found = index.scores(mask.astype(np.float32), mask)
    assert not found[outside].any()
    assert (found[~outside] > 0).all()
    one = LineIndex(np.array([[mask.sum() + 1, 0]], np.uint16), np.array([[1.0, 0.0]], np.float16))
    assert one.scores(mask.astype(np.float32), mask).tolist() == [0.0]


def test_ranges_do_not_mix(library):
    """What is kept of one range must not be taken for another."""
    index, signal = LineIndex.of(library), np.ones(GRID.size, np.float32)
    masks = [GRID.two_theta > start for start in np.linspace(2.0, 30.0, 9)]
    alone = [LineIndex.of(library).scores(signal, mask).tolist() for mask in masks]
    for _ in range(2):
        assert [index.scores(signal, mask).tolist() for mask in masks] == alone
