"""A scan and its candidates side by side: signals in their places, numbers that mean what they say."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest
from searching import ROWS, refined, signal_of, signals, untouched

from xrdmatch.diffraction.lattice import lattice_directions, strained
from xrdmatch.search.candidate_view import CHANNELS, NUMBERS, POINTS, TALLEST, Field, Lattices, independent_lines, lattices_of, view
from xrdmatch.search.comparison import candidate_signals
from xrdmatch.search.scan_quality import clear_lines


@pytest.fixture(scope="module")
def lattices(library):
    return Lattices.of(library)


def seen(library, lattices, row=0, allowed=None, **how):
    """The view of all candidates of a scan of one entry, and the candidates."""
    candidates, scan = refined(library, made.scan(library, row, **how))
    return view(library, candidates, scan, candidate_signals(library, candidates, scan), Field(lattices, allowed)), candidates, scan


def number(one, name):
    return one.numbers[:, NUMBERS.index(name)]


class TestSignals:
    def test_shapes_and_scale(self, library, lattices):
        one, candidates, _ = seen(library, lattices)
        assert one.scan.shape == one.mask.shape == (POINTS,)
        assert one.candidates.shape == (len(candidates), POINTS)
        assert one.scan.max() == pytest.approx(1.0)
        assert one.candidates.max() <= TALLEST * 1.001
        assert np.isfinite(one.numbers).all()
        assert one.numbers.shape == (len(candidates), len(NUMBERS))

    def test_the_right_one_lies_on_the_scan_whatever_the_shift(self, library, lattices):
        for zero in (0.0, 0.2, -0.25):
            one, candidates, _ = seen(library, lattices, 0, zero=zero)
            best = int(np.flatnonzero(candidates.rows == 0)[0])
            assert np.abs(one.scan - one.candidates[best]).max() < 0.12
            others = np.flatnonzero(candidates.rows != 0)
            assert all(np.abs(one.scan - one.candidates[i]).max() > 0.3 for i in others)

    def test_nothing_lies_outside_the_range(self, library, lattices):
        one, _, _ = seen(library, lattices, 0, start=8.0, stop=30.0)
        assert not one.scan[~one.mask].any()
        assert not one.candidates[:, ~one.mask].any()

    def test_input(self, library, lattices):
        one, candidates, _ = seen(library, lattices)
        inputs = one.inputs()
        assert inputs.shape == (len(candidates), CHANNELS, POINTS)
        assert inputs.dtype == np.float32
        np.testing.assert_array_equal(inputs[:, 1], one.candidates)
        np.testing.assert_array_equal(inputs[:, 3, : len(NUMBERS)], one.numbers)
        assert not inputs[:, 3, len(NUMBERS) :].any()

    def test_of_no_candidates(self, library, lattices):
        scan = signal_of(made.scan(library, 0))
        none = untouched(ROWS[:0], scan)
        assert view(library, none, scan, signals(library, ROWS[:0], scan), Field(lattices)).inputs().shape == (0, CHANNELS, POINTS)


class TestNumbers:
    def test_what_they_say(self, library, lattices):
        one, candidates, scan = seen(library, lattices, 2, strain=(0.01, 0.01, 0.01))
        right = int(np.flatnonzero(candidates.rows == 2)[0])
        assert number(one, "largest_strain")[right] == pytest.approx(100.0 * np.abs(candidates.strain[right, :3]).max())
        assert number(one, "log_width_ratio")[right] == pytest.approx(np.log(candidates.fwhm[right] / scan.fwhm))
        assert number(one, "free_parameters")[right] == 2.0  # hexagonal
        assert number(one, "similarity").tolist() == pytest.approx(candidates.similarity.tolist(), abs=1e-6)
        assert number(one, "log_lines")[0] == pytest.approx(np.log(1 + len(clear_lines(scan))))

    def test_size_of_the_field(self, library, lattices):
        assert number(seen(library, lattices)[0], "log_field")[0] == pytest.approx(np.log(5.0))
        allowed = np.array([True, True, False, False, False])
        assert number(seen(library, lattices, allowed=allowed)[0], "log_field")[0] == pytest.approx(np.log(2.0))


class TestLattices:
    def test_free_parameters_are_those_of_refinement(self, library, lattices):
        assert lattices.free.tolist() == [len(lattice_directions(cell)) for cell in library.cell]
        assert lattices_of(library) is lattices_of(library)

    def test_neighbours(self, library):
        """A cubic cell within 1 % is a neighbour, one of its own family is not, nor is one of another lattice."""
        twin = library.subset([0, 1, 3])
        near = replace(twin, cell=np.array([library.cell[0], library.cell[0] * [1.006, 1.006, 1.006, 1, 1, 1], [26.3, 26.3, 13.0, 90, 90, 120]]))
        lattices = Lattices.of(near)
        assert lattices.near(0, near.cell[0]) == 1
        assert lattices.near(0, strained(near.cell[0], np.array([-0.01, -0.01, -0.01, 0, 0, 0]))) == 0
        assert lattices.near(0, near.cell[0], np.array([True, False, True])) == 0
        assert Lattices.of(replace(near, family=np.array([0, 0, 1], np.int32))).near(0, near.cell[0]) == 0


class TestIndependentLines:
    def scan_of(self, angles, library):
        pattern = made.scan(library, 0)
        x = pattern.two_theta
        counts = 50.0 + sum(5000.0 / (i + 1) * np.exp(-(((x - angle) / 0.08) ** 2)) for i, angle in enumerate(angles))
        return signal_of(pattern.with_intensity(np.random.default_rng(0).poisson(counts).astype(float)))

    def test_orders_of_one_spacing_count_once(self, library):
        d = 17.0
        angles = [float(2 * np.degrees(np.arcsin(1.5418 * order / (2 * d)))) for order in range(1, 7)]
        scan = self.scan_of(angles, library)
        assert len(clear_lines(scan)) == 6
        assert independent_lines(scan, clear_lines(scan)) == 1

    def test_lines_that_are_no_orders_count_each(self, library):
        scan = self.scan_of([7.0, 11.3, 17.9, 26.1, 33.7], library)
        assert independent_lines(scan, clear_lines(scan)) >= 4

    def test_of_hardly_any(self, library):
        assert independent_lines(self.scan_of([9.0], library), [9.0]) == 1
        assert independent_lines(self.scan_of([9.0], library), []) == 0
