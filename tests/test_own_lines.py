"""Lines that a second phase has to itself, and those that the first may have as well."""

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.line_evidence import Lines
from xrdmatch.search.own_lines import highest_allowed, own_lines


def candidate(row):
    return Candidates.of(np.array([row]), np.ones(1), 0.12)


def own(library, first, second, pattern):
    scan = prepare_scan(pattern)
    return int(own_lines(library, candidate(first), candidate(second), scan.comparison)[0])


def test_a_mixture_shows_lines_of_the_second_phase_alone(library):
    both = made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)
    assert own(library, 0, 4, both) >= 2


@pytest.mark.parametrize("row", [0, 4])
def test_the_first_phase_has_none_beside_itself(library, row):
    assert own(library, row, row, made.scan(library, row, 1)) == 0


def test_what_the_scan_does_not_show_counts_for_little(library):
    """Noise may make a line, but not the two that a second phase needs."""
    assert [own(library, 0, 4, made.scan(library, 0, seed)) < 2 for seed in range(3)] == [True] * 3


def test_a_line_draws_out_to_lower_angles_and_little_to_higher_ones():
    """Axial divergence makes feet below strong lines at low angles."""
    scan = prepare_scan(Pattern(np.arange(4.0, 45.0, 0.02), np.ones(2050), 1.541871)).comparison
    one = Lines(np.array([[1, 0, 0]], np.int16), np.array([6.0]), np.array([100.0]), np.array([scan.grid.nearest(6.0)]), 5)
    allowed = highest_allowed(one, scan)
    width = max(scan.fwhm, 2 * scan.grid.step)
    at = [float(allowed[scan.grid.nearest(6.0 + away)]) for away in (0.0, -width - 0.2, -width - 0.4, width + 0.1)]
    assert at == [pytest.approx(10.0), pytest.approx(1.0), 0.0, 0.0]
