"""The least second phase that would have been seen, by what each phase of a library would need."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from xrdmatch.library.line_index import GRID, LineIndex
from xrdmatch.preprocessing.prepared_scan import COMPARISON
from xrdmatch.search.detection_limit import LARGEST, RELATED, SURELY, SecondPhases, detection_limit
from xrdmatch.search.further_lines import Tolerance


def index_of(*phases):
    """Lines of phases, each a dict of 2theta and height."""
    place, weight = np.zeros((len(phases), 3), np.uint16), np.zeros((len(phases), 3), np.float16)
    for row, lines in enumerate(phases):
        place[row, : len(lines)] = [round((angle - GRID.start) / GRID.step) for angle in lines]
        weight[row, : len(lines)] = np.sqrt(list(lines.values()))
    return LineIndex(place, weight)


@pytest.fixture
def scan():
    """A scan from 5 to 40 degrees: what the limit asks of one."""
    grid = COMPARISON.grid
    return SimpleNamespace(grid=grid, mask=(grid.two_theta >= 5.0) & (grid.two_theta <= 40.0))


@pytest.fixture
def tolerated(scan):
    """1 percent below 20 degrees, 10 percent from there on."""
    return Tolerance(np.zeros(scan.grid.size), np.where(scan.grid.two_theta < 20.0, 0.01, 0.1))


def needed(index, scan, tolerated):
    return SecondPhases(index, np.full(len(index), 1.0 / len(index))).needed(scan, tolerated)


def test_each_phase_needs_what_its_easiest_line_needs(scan, tolerated):
    index = index_of({10.0: 1.0}, {30.0: 1.0, 15.0: 0.25}, {30.0: 1.0}, {45.0: 1.0}, {45.0: 1.0, 30.0: 0.5})
    # the last one's strongest line in the range is the one at 30 degrees
    assert needed(index, scan, tolerated) == pytest.approx([1.0, 4.0, 10.0, np.inf, 10.0], rel=2e-3)


def test_the_limit_leaves_few_phases_out(scan, tolerated):
    many = index_of(*[{10.0: 1.0}] * 18, *[{30.0: 1.0}] * 2)
    phases = SecondPhases(many, np.full(20, 0.05))
    assert detection_limit(scan, tolerated, phases) == pytest.approx(1.0 if SURELY <= 0.9 else 10.0, rel=2e-3)
    hidden = SecondPhases(index_of(*[{10.0: 1.0}] * 4, {45.0: 1.0}), np.full(5, 0.2))
    assert detection_limit(scan, tolerated, hidden) is None
    loud = Tolerance(tolerated.even, np.full(scan.grid.size, 0.011 * LARGEST))
    assert detection_limit(scan, loud, phases) is None


def test_related_phases_weigh_as_much_as_all_others():
    index = index_of(*[{10.0: 1.0}] * 10)
    phases = SecondPhases.of(index, np.array([3, 4]), np.array([5]), np.array([0]))
    assert phases.weight.sum() == pytest.approx(1.0)
    assert phases.weight[:2].sum() == pytest.approx(RELATED)
    assert len(phases.lines) == 9
    alone = SecondPhases.of(index, np.empty(0, np.int64), np.array([5]), np.array([0]))
    assert alone.weight.sum() == pytest.approx(1.0)
