"""Scans against reflections: what is found again, what it costs, and what is listed for and against."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest
from searching import ROWS, compared, refine_cells, signal_of, signals, untouched

from xrdmatch.diffraction.lattice import strained
from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.preprocessing.fft_filter import noise_sigma
from xrdmatch.preprocessing.prepared_scan import comparison_signal
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.comparison import blurred, candidate_signals, position_similarity, similarity

SEEDS = range(4)
HEXAGONAL = 2


class TestFindsItAgain:
    @pytest.mark.parametrize("row", ROWS)
    def test_every_entry_comes_first_and_close(self, library, row):
        for seed in SEEDS:
            fits = compared(library, ROWS, signal_of(made.scan(library, row, seed)))
            assert fits.rows[0] == row
            assert fits.similarity[0] > 0.95
            assert fits.similarity[1] < fits.similarity[0] - 0.1

    def test_few_counts_lower_it_little(self, library):
        found = [compared(library, ROWS, signal_of(made.scan(library, row, seed, peak=600.0, base=20.0))) for row in ROWS for seed in SEEDS]
        assert [int(fits.rows[0]) for fits in found] == [int(row) for row in ROWS for _ in SEEDS]
        assert np.median([fits.similarity[0] for fits in found]) > 0.9

    @pytest.mark.parametrize("start", [3.9, 3.94, 4.0, 6.84, 7.9])
    def test_a_scan_that_begins_inside_a_line_still_fits(self, library, start):
        found = compared(library, ROWS, signal_of(made.scan(library, HEXAGONAL, start=start)))
        assert found.rows[0] == HEXAGONAL
        assert found.similarity[0] > 0.93

    @pytest.mark.parametrize(("factor", "offset", "tolerance"), [(1e-3, 0.0, 1e-5), (1e4, 0.0, 1e-5), (1.0, 5000.0, 0.02)])
    def test_the_unit_of_intensity_does_not_matter(self, library, factor, offset, tolerance):
        """An offset changes the width a little, since the noise expected on a line follows the counts below it."""
        for row in ROWS:
            pattern = made.scan(library, row)
            plain = compared(library, ROWS, signal_of(pattern))
            other = compared(library, ROWS, signal_of(pattern.with_intensity(factor * pattern.intensity + offset)))
            np.testing.assert_array_equal(other.rows[:1], plain.rows[:1])
            np.testing.assert_allclose(other.similarity, plain.similarity, atol=tolerance)

    def test_one_row_is_enough(self, library):
        measured = signal_of(made.scan(library, 4))
        fits = compared(library, np.array([4]), measured)
        assert fits.rows.tolist() == [4]
        assert fits.similarity[0] > 0.95
        assert signals(library, np.array([4]), measured).shape == (1, measured.grid.size)

    def test_best_first_and_rows_kept(self, library):
        fits = compared(library, ROWS, signal_of(made.scan(library, 2)))
        assert sorted(fits.rows.tolist()) == ROWS.tolist()
        assert (np.diff(fits.similarity) <= 0).all()


def naive_profile(library, row, measured, strain, fwhm, b):
    """One candidate drawn line by line on the grid, its background taken by sorting out every window."""
    points = measured.grid.two_theta
    total = made.profile(library, row, points, measured.grid.wavelength, 0.0, strain, fwhm, b)
    seen = np.flatnonzero(measured.mask)
    total = total[np.clip(np.arange(total.size), seen[0], seen[-1])]
    half = (round(measured.recipe.background / measured.grid.step) | 1) // 2
    lowest = np.array([total[max(0, i - half) : i + half + 1].min() for i in range(total.size)])
    total = total - np.array([lowest[max(0, i - half) : i + half + 1].max() for i in range(total.size)])
    total = np.where(measured.mask, total, 0.0)
    return np.sqrt(np.maximum(total / total.max() - measured.detection_limit, 0.0))


class TestProfiles:
    def test_agree_with_the_naive_twin(self, library):
        rng = np.random.default_rng(7)
        for stop in (30.0, 48.0):
            measured = signal_of(made.scan(library, 1, start=5.0, stop=stop))
            strain, fwhm, b = np.pad(rng.uniform(-0.01, 0.01, (5, 3)), [(0, 0), (0, 3)]), rng.uniform(0.1, 0.3, 5), rng.uniform(0.0, 6.0, 5)
            drawn = candidate_signals(library, replace(untouched(ROWS, measured), strain=strain, fwhm=fwhm, debye_waller=b), measured)
            for row in ROWS:
                np.testing.assert_allclose(drawn[row], naive_profile(library, row, measured, strain[row, :3], fwhm[row], b[row]), atol=0.03)

    def test_do_not_depend_on_company_or_order(self, library):
        measured = signal_of(made.scan(library, 0))
        together = signals(library, np.array([3, 0, 2, 1]), measured)
        for profile, row in zip(together, (3, 0, 2, 1), strict=True):
            np.testing.assert_allclose(profile, signals(library, np.array([row]), measured)[0], atol=1e-5)

    def test_are_cut_by_range_and_detection_limit(self, library):
        weak, strong = (signal_of(made.scan(library, 4, peak=peak, start=6.0, stop=20.0)) for peak in (300.0, 30000.0))
        assert weak.detection_limit > strong.detection_limit > 0
        shown = [signals(library, np.array([4]), measured)[0] for measured in (weak, strong)]
        assert (shown[0] > 0).sum() < (shown[1] > 0).sum()
        for profile, measured in zip(shown, (weak, strong), strict=True):
            assert not profile[~measured.mask].any()
            assert profile.max() == pytest.approx(np.sqrt(1.0 - measured.detection_limit), abs=1e-3)

    def test_similarity_is_the_best_cosine_over_shifts(self, library):
        measured = signal_of(made.scan(library, 2, zero=0.1))
        profiles = signals(library, ROWS, measured)
        score, shift = similarity(profiles, measured)
        points = measured.grid.two_theta
        for profile, cosine, moved in zip(profiles, score, shift, strict=True):
            tried = [np.interp(points - 0.02 * k, points, profile, 0.0, 0.0) @ measured.signal / np.linalg.norm(profile) for k in range(-18, 19)]
            assert cosine == pytest.approx(max(tried), abs=1e-4)
            assert moved == pytest.approx(0.02 * (int(np.argmax(tried)) - 18), abs=1e-6)

    def test_position_similarity_is_of_places_not_of_heights(self, library):
        """Line heights are drawn at random; where the lines are, still tells the right entry from all others."""
        rng = np.random.default_rng(11)
        for row in ROWS:
            grainy = replace(library, intensity=(library.intensity * rng.gamma(1.0, 1.0, library.intensity.size)).astype(library.intensity.dtype))
            measured = signal_of(made.scan(grainy, row, fwhm=0.1))
            profiles = signals(library, ROWS, measured)
            shows = position_similarity(profiles, measured)
            assert shows.argmax() == row
            assert 0.6 < shows[row] <= 1.0
            assert np.sort(shows)[-1] - np.sort(shows)[-2] > 0.1

    def test_position_similarity_by_its_formula(self, library):
        measured = signal_of(made.scan(library, 2))
        profiles = signals(library, ROWS, measured)
        scan = measured.lines.astype(float) ** 0.125
        for profile, found in zip(profiles.astype(float), position_similarity(profiles, measured), strict=True):
            drawn = (profile**2) ** 0.125
            tried = [np.roll(np.pad(drawn, 20), k)[20:-20] @ scan / np.linalg.norm(drawn) / np.linalg.norm(scan) for k in range(-18, 19)]
            assert found == pytest.approx(max(tried), abs=1e-4)

    def test_another_power_and_grid(self, library):
        recipe = Recipe(grid=Grid(4.0, 40.0, 0.03), smooth=0.09, background=2.0, power=0.35)
        scan = made.scan(library, 1)
        measured = comparison_signal(scan, noise_sigma(scan.intensity), 1.0, recipe)
        fits = refine_cells(library, compared(library, ROWS, measured), measured)
        assert fits.rows[0] == 1
        assert fits.similarity[0] > 0.95


def test_a_calculated_scan_without_noise_has_its_own_width(library):
    for row in ROWS:
        points = np.arange(4.0, 45.0, 0.02)
        exact = 1000.0 * made.profile(library, row, points, fwhm=0.2)
        measured = signal_of(Pattern(points, np.where(exact > 1.0, exact, 0.0), 1.541871))
        assert measured.fwhm == pytest.approx(0.2, rel=0.3)
        assert compared(library, ROWS, measured).rows[0] == row


def test_take_keeps_fields_together():
    three = replace(Candidates.of(np.array([7, 8, 9]), np.array([0.1, 0.2, 0.3]), 0.1), strain=np.arange(18.0).reshape(3, 6))
    part = three.take([2, 0])
    assert part.rows.tolist() == [9, 7]
    assert part.network_score.tolist() == [0.3, 0.1]
    assert part.strain.tolist() == [[12.0, 13.0, 14.0, 15.0, 16.0, 17.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
    both = part.joined(three)
    assert both.rows.tolist() == [9, 7, 7, 8, 9]
    assert len(both.evidence) == len(both) == 5


def test_strained_cells_change_lengths_by_shares_and_angles_by_degrees():
    cell = np.array([10.0, 20.0, 30.0, 80.0, 90.0, 100.0])
    np.testing.assert_allclose(strained(cell, np.array([0.01, 0.0, -0.02, 1.0, 0.0, -0.5])), [10.1, 20.0, 29.4, 81.0, 90.0, 99.5])
    np.testing.assert_allclose(strained(np.stack([cell, cell]), np.zeros((2, 6))), [cell, cell])


@pytest.mark.parametrize("row", ROWS)
def test_coarse_and_blurred_scans_rank_as_the_fine_one_does(library, row):
    measured = signal_of(made.scan(library, row, zero=0.04))
    for other in (measured.coarse, blurred(measured, 0.3)):
        assert other.recipe.grid.step == pytest.approx(2 * measured.grid.step)
        assert other.signal.shape == other.mask.shape == (other.recipe.grid.size,)
        assert np.linalg.norm(other.signal) == pytest.approx(1.0, abs=1e-5)
        assert compared(library, ROWS, other).rows[0] == row
    assert (blurred(measured, 0.3).lines > 0).sum() > (measured.coarse.lines > 0).sum()
