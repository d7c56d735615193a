"""Scans simulated from atoms: guests and disorder, feet of lines, backgrounds, and that a seed gives the same scan."""

from __future__ import annotations

from dataclasses import replace

import cifs
import numpy as np
import pytest

from xrdmatch.diffraction.radiation import ANODES, two_theta
from xrdmatch.diffraction.structure_factors import conventional_lines, reflections
from xrdmatch.training import sample_backgrounds
from xrdmatch.training.disorder import SOLVENT_ENDS, Disorder, cell_axes, lines_of_sample, with_guests, with_solvent
from xrdmatch.training.scans_from_atoms import SAMPLES, Instrument, drawn, instrument, scan, strained_cell, with_feet

FRAME = cifs.cubic_frame()


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def lines_of(structure):
    return conventional_lines(structure.cell, reflections(structure))


class TestDisorder:
    def test_guests_weigh_what_was_asked(self, rng):
        full = 0.045 * float(FRAME.cell[0]) ** 3
        for made in (with_guests, with_solvent):
            filled = made(FRAME, 0.8, False, rng)
            assert 0.1 * full * 0.8 < filled.occupancy[len(FRAME.numbers) :].sum() < full * 0.8
            np.testing.assert_array_equal(filled.numbers[: len(FRAME.numbers)], FRAME.numbers)

    def test_solvent_changes_low_angles_alone(self, rng):
        """Lines of small spacing are those of the structure; of those above 5 angstrom most are not."""
        plain = lines_of(FRAME)[1]
        flowing = Disorder(empty=0.0, flowing=1.0, metal=0.0, partial=0.0)
        changes = []
        for _ in range(8):
            _, filled = lines_of_sample(FRAME, flowing, rng)
            np.testing.assert_allclose(filled.d, plain.d)
            changes.append(np.abs(np.log(filled.intensity / np.maximum(plain.intensity, 1e-3))))
        assert np.max(np.array(changes)[:, plain.d < SOLVENT_ENDS[0]]) < 1e-3
        assert np.mean(np.array(changes)[:, plain.d > 5.0]) > 0.2

    def test_solvent_is_smooth(self, rng):
        """Two fillings of one load differ by little, for so many places stand for the solvent."""
        one, other = (reflections(with_solvent(FRAME, 0.7, False, rng), d_min=4.0).intensity for _ in range(2))
        strong = one > 0.05 * one.max()
        assert np.abs(np.log(one / other))[strong].max() < 0.5

    def test_no_pore_no_guest(self, rng):
        dense = cifs.random_structure(rng, (5.0, 5.0, 5.0, 90, 90, 90), 40)
        assert with_guests(dense, 1.0, False, rng) is dense
        assert with_solvent(dense, 1.0, False, rng) is dense

    def test_heavy_guests_scatter_more(self, rng):
        numbers = with_solvent(FRAME, 0.8, True, rng).numbers[len(FRAME.numbers) :]
        assert numbers.max() > 8
        assert np.mean(numbers <= 8) > 0.7

    def test_another_metal_changes_the_lines(self, rng):
        quiet = Disorder(empty=1.0, metal=0.0, partial=0.0)
        np.testing.assert_array_equal(lines_of_sample(FRAME, quiet, rng)[1].intensity, lines_of(FRAME)[1].intensity)
        for changed in (replace(quiet, metal=1.0), replace(quiet, partial=1.0, fullness=0.3)):
            several = {tuple(lines_of_sample(FRAME, changed, rng)[1].intensity.round(3)[:8]) for _ in range(12)}
            assert len(several) > 1

    def test_axes_span_the_cell(self):
        cell = np.array([9.0, 11.0, 13.0, 80.0, 95.0, 110.0])
        axes = cell_axes(cell)
        np.testing.assert_allclose(np.linalg.norm(axes, axis=1), cell[:3])
        assert np.degrees(np.arccos(axes[0] @ axes[1] / 99.0)) == pytest.approx(110.0)


class TestLines:
    def test_feet_lie_below_the_line_and_keep_its_area(self):
        centre, areas, widths = with_feet(np.array([4.0, 30.0]), np.array([3.0, 2.0]), np.array([0.06, 0.06]), 0.06)
        assert areas.sum() == pytest.approx(5.0)
        assert (centre <= 30.0).all()
        low, high = centre[centre < 20.0], centre[centre > 20.0]
        assert 4.0 > low.max() > 3.99
        assert low.min() < 3.3  # (0.06)^2 / 2 cot 4 deg = 1.47 deg is the largest shift
        assert high.min() > 29.85
        assert widths.tolist() == [0.06] * centre.size
        assert (with_feet(np.array([60.0]), np.ones(1), np.array([0.1]), 0.03)[0] == 60.0).all()

    def test_none_without_divergence(self):
        assert with_feet(np.array([4.0]), np.array([1.0]), np.array([0.1]), 0.0)[0].tolist() == [4.0]

    def test_a_drawn_line_is_where_it_should_be(self):
        x = np.arange(5.0, 20.0, 0.02)
        device = Instrument(x, ((1.5406, 1.0),), 1.5406, 0.1, 0.5, 0.0, 0.0, 0.0, 0.0, False)
        profile = drawn(np.array([11.0]), np.array([2.0]), np.array([0.2]), device)
        assert x[profile.argmax()] == pytest.approx(11.0, abs=0.02)
        assert profile.sum() * 0.02 == pytest.approx(2.0, rel=0.05)
        assert not drawn(np.empty(0), np.empty(0), np.empty(0), device).any()

    def test_a_strained_cell_keeps_its_lattice(self, rng):
        for kind in SAMPLES.values():
            for _ in range(20):
                a, b, c, *angles = strained_cell(np.array([25.9, 25.9, 12.9, 90, 90, 120.0]), kind, rng)
                assert a == b
                assert angles == [90.0, 90.0, 120.0]
                assert abs(c / 12.9 - 1) < 0.1


class TestBackgrounds:
    def test_film_humps_keep_their_spacings_under_all_anodes(self, rng):
        spacings = sorted({d for film in sample_backgrounds.FILMS for d in film})
        for anode in ANODES.values():
            x = np.arange(1.0, 40.0, 0.02)
            humps = sample_backgrounds.film_humps(x, anode.k_alpha, rng)
            assert humps.max() == pytest.approx(1.0)
            at = x[humps.argmax()]
            assert min(abs(at / float(two_theta(d, anode.k_alpha)) - 1.0) for d in spacings if np.isfinite(two_theta(d, anode.k_alpha))) < 0.06

    def test_layered_lines_are_orders(self, rng):
        for _ in range(10):
            angles, heights, widths = sample_backgrounds.layered_lines(1.5418, rng)
            sines = np.sin(np.radians(angles / 2))
            np.testing.assert_allclose(sines / sines[0], np.arange(1, angles.size + 1))
            assert heights.shape == widths.shape == angles.shape

    def test_backgrounds_are_smooth_and_positive(self, rng):
        x = np.arange(3.0, 50.0, 0.02)
        for _ in range(20):
            total = sample_backgrounds.background(x, 1.5418, 0.3, rng)
            assert (total > 0).all()
            assert np.abs(np.diff(total)).max() < 0.05 * total.max()


class TestScan:
    def test_the_seed_makes_the_scan(self):
        cell, lines = lines_of(FRAME)
        for kind in SAMPLES:
            one, again = (scan(cell, lines, [(cell, lines)], kind, np.random.default_rng(9)) for _ in range(2))
            np.testing.assert_array_equal(one.intensity, again.intensity)
            assert not np.array_equal(one.intensity[:200], scan(cell, lines, [], kind, np.random.default_rng(10)).intensity[:200])

    def test_of_nothing_has_lines_all_the_same(self, rng):
        for _ in range(10):
            pattern = scan(FRAME.cell, None, [], "fine", rng)
            assert pattern.intensity.max() > 1.5 * np.median(pattern.intensity)

    def test_all_anodes_come(self, rng):
        stated = np.array([instrument(rng).stated for _ in range(300)])
        assert all((np.abs(stated - anode.k_alpha) < 0.005).any() for anode in ANODES.values())
