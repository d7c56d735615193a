"""Scans against reflections: what is found again, what it costs, and what is listed for and against."""

from __future__ import annotations

import made
import numpy as np
import pytest

from xrdmatch import match
from xrdmatch.library import tied_axes
from xrdmatch.match import (
    MAX_STRAIN,
    Fits,
    adjust,
    adjusted_lines,
    candidate_profiles,
    compare,
    evidence,
    prepare,
    residual,
    similarity,
    strong_lines,
)
from xrdmatch.pattern import Grid, Pattern
from xrdmatch.recipe import Recipe

SEEDS = range(4)
ROWS = np.arange(5)
CUBIC, HEXAGONAL, ORTHORHOMBIC = 0, 2, 3


def fitted(library, pattern, rows=ROWS):
    measured = prepare(pattern)
    return adjust(library, compare(library, rows, measured), measured), measured


def misplaced(library, fits, measured, row, **truth):
    """Largest distance in degrees of the adjusted strong lines from where the scan has them."""
    lines = adjusted_lines(library, fits, 0, measured)
    zero = truth.pop("zero", 0.0)
    angles = made.angles_of(library, row, **truth)[0] + zero
    strong = lines.heights > 10.0
    place = {tuple(hkl): angle for hkl, angle in zip(library.hkl[library.offsets[row] : library.offsets[row + 1]].tolist(), angles, strict=True)}
    return max(abs(place[tuple(hkl)] - angle) for hkl, angle in zip(lines.hkl[strong].tolist(), lines.angles[strong], strict=True))


class TestFindsItAgain:
    @pytest.mark.parametrize("row", ROWS)
    def test_every_entry_comes_first_and_close(self, library, row):
        for seed in SEEDS:
            fits = compare(library, ROWS, prepare(made.scan(library, row, seed)))
            assert fits.rows[0] == row
            assert fits.similarity[0] > 0.95
            assert fits.similarity[1] < fits.similarity[0] - 0.1

    def test_few_counts_lower_it_little(self, library):
        found = [compare(library, ROWS, prepare(made.scan(library, row, seed, peak=600.0, base=20.0))) for row in ROWS for seed in SEEDS]
        assert [int(fits.rows[0]) for fits in found] == [int(row) for row in ROWS for _ in SEEDS]
        assert np.median([fits.similarity[0] for fits in found]) > 0.9

    @pytest.mark.parametrize("start", [3.9, 3.94, 4.0, 6.84, 7.9])
    def test_a_scan_that_begins_inside_a_line_still_fits(self, library, start):
        found = compare(library, ROWS, prepare(made.scan(library, HEXAGONAL, start=start)))
        assert found.rows[0] == HEXAGONAL
        assert found.similarity[0] > 0.93

    @pytest.mark.parametrize(("factor", "offset", "tolerance"), [(1e-3, 0.0, 1e-5), (1e4, 0.0, 1e-5), (1.0, 5000.0, 0.02)])
    def test_the_unit_of_intensity_does_not_matter(self, library, factor, offset, tolerance):
        """An offset changes the width a little, since the noise expected on a line follows the counts below it."""
        for row in ROWS:
            pattern = made.scan(library, row)
            plain = compare(library, ROWS, prepare(pattern))
            other = compare(library, ROWS, prepare(pattern.with_intensity(factor * pattern.intensity + offset)))
            np.testing.assert_array_equal(other.rows[:1], plain.rows[:1])
            np.testing.assert_allclose(other.similarity, plain.similarity, atol=tolerance)

    def test_one_row_is_enough(self, library):
        fits, measured = fitted(library, made.scan(library, 4), np.array([4]))
        assert fits.rows.tolist() == [4]
        assert fits.similarity[0] > 0.95
        assert candidate_profiles(library, np.array([4]), measured).shape == (1, measured.recipe.grid.size)

    def test_best_first_and_rows_kept(self, library):
        fits = compare(library, ROWS, prepare(made.scan(library, 2)))
        assert sorted(fits.rows.tolist()) == ROWS.tolist()
        assert (np.diff(fits.similarity) <= 0).all()


class TestAdjust:
    @pytest.mark.parametrize("row", ROWS)
    def test_zero_shift(self, library, row):
        rng = np.random.default_rng(row)
        wrong = []
        for seed in SEEDS:
            zero = rng.uniform(-0.2, 0.2)
            measured = prepare(made.scan(library, row, seed, zero=zero))
            wrong.append(abs(compare(library, np.array([row]), measured).shift[0] - zero))
        assert max(wrong) <= 0.02

    @pytest.mark.parametrize("row", ROWS)
    def test_line_width(self, library, row):
        rng = np.random.default_rng(20 + row)
        widths = rng.uniform(0.08, 0.3, 6)
        ratio = [fitted(library, made.scan(library, row, seed, fwhm=fwhm), np.array([row]))[0].fwhm[0] / fwhm for seed, fwhm in enumerate(widths)]
        assert np.median(ratio) == pytest.approx(1.0, abs=0.2)
        assert 0.6 < min(ratio) <= max(ratio) < 1.4

    def test_even_strain(self, library, monkeypatch):
        monkeypatch.setattr(match, "PENALTY", 0.0)
        rng = np.random.default_rng(3)
        for row in (0, 1, 4):
            for seed in SEEDS:
                strain = np.full(3, rng.uniform(-0.015, 0.015))
                fits, measured = fitted(library, made.scan(library, row, seed, strain=strain), np.array([row]))
                np.testing.assert_allclose(fits.strain[0], strain, atol=0.0025)
                assert misplaced(library, fits, measured, row, strain=strain) < 0.05

    def test_strain_of_each_axis(self, library, monkeypatch):
        monkeypatch.setattr(match, "PENALTY", 0.0)
        rng = np.random.default_rng(4)
        wrong = []
        for seed in range(8):
            strain = rng.uniform(-0.008, 0.008, 3)
            fits, _ = fitted(library, made.scan(library, ORTHORHOMBIC, seed, strain=strain), np.array([ORTHORHOMBIC]))
            wrong.append(fits.strain[0] - strain)
        assert np.median(np.abs(wrong)) < 0.0015
        assert np.abs(wrong).max() < 0.005

    def test_the_penalty_holds_strain_back_but_lines_still_meet(self, library):
        rng = np.random.default_rng(5)
        for row in (0, 1, 3, 4):
            for sign in (-1.0, 1.0):
                strain = np.full(3, sign * rng.uniform(0.006, 0.012))
                pattern = made.scan(library, row, strain=strain)
                plain = compare(library, np.array([row]), prepare(pattern))
                fits, measured = fitted(library, pattern, np.array([row]))
                assert (fits.strain[0] / strain > 0.4).all()
                assert (fits.strain[0] / strain < 1.1).all()
                assert fits.similarity[0] > max(0.97, plain.similarity[0])
                assert misplaced(library, fits, measured, row, strain=strain) < 0.1  # two thirds of the line width

    @pytest.mark.parametrize("row", ROWS)
    def test_tied_axes_stay_tied_and_bounds_hold(self, library, row):
        rng = np.random.default_rng(6)
        group, _ = tied_axes(library.cell[row])
        for seed in SEEDS:
            fits, _ = fitted(library, made.scan(library, row, seed, strain=rng.uniform(-0.04, 0.04, 3)))
            for other, strain in zip(fits.rows, fits.strain, strict=True):
                ties, _ = tied_axes(library.cell[other])
                np.testing.assert_allclose(strain, strain[ties], atol=1e-12)
            assert np.abs(fits.strain).max() <= MAX_STRAIN + 1e-12
        assert len(np.unique(group)) == {CUBIC: 1, HEXAGONAL: 2, ORTHORHOMBIC: 3}.get(row, 1)

    def test_never_worse_than_before(self, library):
        for row in ROWS:
            measured = prepare(made.scan(library, row, strain=(0.004, -0.004, 0.002), zero=0.05))
            before = compare(library, ROWS, measured)
            after = adjust(library, before, measured)
            was = dict(zip(before.rows.tolist(), before.similarity, strict=True))
            assert all(similar >= was[other] - 1e-9 for other, similar in zip(after.rows.tolist(), after.similarity, strict=True))
            assert (np.diff(after.similarity) <= 0).all()
            np.testing.assert_array_equal(before.strain, 0.0)  # the input is left alone

    def test_penalty_is_nothing_at_rest_and_grows(self):
        assert match.strain_penalty(np.zeros((2, 3))).tolist() == [0.0, 0.0]
        sizes = np.linspace(0.001, 0.03, 30)
        for way in ((1, 1, 1), (1, 0, 0), (1, -1, 0), (-1, -1, -1)):
            assert (np.diff(match.strain_penalty(sizes[:, None] * np.array(way, dtype=float))) > 0).all()
        even, uneven = match.strain_penalty(np.array([[0.01, 0.01, 0.01], [0.01, -0.01, 0.0]]))
        assert uneven > even
        assert match.strain_penalty(np.full((1, 3), match.EVEN))[0] == pytest.approx(match.PENALTY)


def naive_profile(library, row, measured, strain, fwhm, b):
    """One candidate drawn line by line on the grid, its background taken by sorting out every window."""
    points = measured.recipe.grid.two_theta
    total = made.profile(library, row, points, measured.recipe.grid.wavelength, 0.0, strain, fwhm, b)
    seen = np.flatnonzero(measured.mask)
    total = total[np.clip(np.arange(total.size), seen[0], seen[-1])]
    half = (round(measured.recipe.background / measured.recipe.grid.step) | 1) // 2
    lowest = np.array([total[max(0, i - half) : i + half + 1].min() for i in range(total.size)])
    total = total - np.array([lowest[max(0, i - half) : i + half + 1].max() for i in range(total.size)])
    total = np.where(measured.mask, total, 0.0)
    return np.sqrt(np.maximum(total / total.max() - measured.floor, 0.0))


class TestProfiles:
    def test_agree_with_the_naive_twin(self, library):
        rng = np.random.default_rng(7)
        for stop in (30.0, 48.0):
            measured = prepare(made.scan(library, 1, start=5.0, stop=stop))
            strain, fwhm, b = rng.uniform(-0.01, 0.01, (5, 3)), rng.uniform(0.1, 0.3, 5), rng.uniform(0.0, 6.0, 5)
            drawn = candidate_profiles(library, ROWS, measured, strain, fwhm, b)
            for row in ROWS:
                np.testing.assert_allclose(drawn[row], naive_profile(library, row, measured, strain[row], fwhm[row], b[row]), atol=0.03)

    def test_do_not_depend_on_company_or_order(self, library):
        measured = prepare(made.scan(library, 0))
        together = candidate_profiles(library, np.array([3, 0, 2, 1]), measured)
        for profile, row in zip(together, (3, 0, 2, 1), strict=True):
            np.testing.assert_allclose(profile, candidate_profiles(library, np.array([row]), measured)[0], atol=1e-5)

    def test_are_cut_by_range_and_detection_limit(self, library):
        weak, strong = (prepare(made.scan(library, 4, peak=peak, start=6.0, stop=20.0)) for peak in (300.0, 30000.0))
        assert weak.floor > strong.floor > 0
        shown = [candidate_profiles(library, np.array([4]), measured)[0] for measured in (weak, strong)]
        assert (shown[0] > 0).sum() < (shown[1] > 0).sum()
        for profile, measured in zip(shown, (weak, strong), strict=True):
            assert not profile[~measured.mask].any()
            assert profile.max() == pytest.approx(np.sqrt(1.0 - measured.floor), abs=1e-3)

    def test_similarity_is_the_best_cosine_over_shifts(self, library):
        measured = prepare(made.scan(library, 2, zero=0.1))
        profiles = candidate_profiles(library, ROWS, measured)
        score, shift = similarity(profiles, measured)
        points = measured.recipe.grid.two_theta
        for profile, cosine, moved in zip(profiles, score, shift, strict=True):
            tried = [np.interp(points - 0.02 * k, points, profile, 0.0, 0.0) @ measured.signal / np.linalg.norm(profile) for k in range(-12, 13)]
            assert cosine == pytest.approx(max(tried), abs=1e-4)
            assert moved == pytest.approx(0.02 * (int(np.argmax(tried)) - 12), abs=1e-6)

    def test_another_power_and_grid(self, library):
        recipe = Recipe(grid=Grid(4.0, 40.0, 0.03), smooth=0.09, background=2.0, power=0.35)
        measured = prepare(made.scan(library, 1), recipe=recipe)
        fits = adjust(library, compare(library, ROWS, measured), measured)
        assert fits.rows[0] == 1
        assert fits.similarity[0] > 0.95


class TestEvidence:
    def short(self, library, row, **how):
        """A scan whose line tails drown in noise: where they stand out, they hide that a line is not there."""
        return made.scan(library, row, peak=1500.0, fwhm=0.1, **how)

    def prominent(self, library, row, fits, measured, least=25.0):
        """Indices into the entry's lines of strong ones that no other line covers."""
        lines = adjusted_lines(library, fits, 0, measured)
        own = {tuple(hkl): i for i, hkl in enumerate(library.hkl[library.offsets[row] : library.offsets[row + 1]].tolist())}
        found = []
        for i in np.flatnonzero(lines.heights > least):
            apart = np.abs(np.delete(lines.angles, i) - lines.angles[i]) > 0.6
            if apart[np.delete(lines.heights, i) > 1.0].all():
                found.append((own[tuple(lines.hkl[i].tolist())], tuple(lines.hkl[i].tolist())))
        return found

    @pytest.mark.parametrize("row", ROWS)
    def test_a_whole_match_lacks_nothing(self, library, row):
        for seed in SEEDS:
            fits, measured = fitted(library, made.scan(library, row, seed))
            found = evidence(library, fits, 0, measured)
            assert found.missing == []
            assert found.extra == []
            assert 0.9 < found.explained <= 1.0
            assert all(height > 10.0 and 4.0 <= angle <= 45.0 for *_, angle, height in found.matched)

    def test_a_removed_line_is_missing(self, library):
        """Noise within a line width of the gap passes for the line in some scans."""
        missed = []
        for row in ROWS:
            whole, measured = fitted(library, self.short(library, row), np.array([row]))
            for index, hkl in self.prominent(library, row, whole, measured)[:3]:
                for seed in range(6):
                    fits, rest = fitted(library, self.short(library, row, seed=seed, without=(index,)), np.array([row]))
                    missed.append(hkl in [line[:3] for line in evidence(library, fits, 0, rest).missing])
                    assert fits.similarity[0] < whole.similarity[0] - 0.01
        assert len(missed) >= 15
        assert np.mean(missed) > 0.5

    def test_a_foreign_line_is_extra(self, library):
        rng = np.random.default_rng(8)
        for row in ROWS:
            angles = made.angles_of(library, row)[0]
            free = [x for x in rng.uniform(8.0, 40.0, 200) if np.nanmin(np.abs(angles - x)) > 0.5]
            pattern = made.scan(library, row)
            line = 6000.0 * np.exp(-4 * np.log(2) * ((pattern.two_theta - free[0]) / 0.15) ** 2)
            fits, measured = fitted(library, pattern.with_intensity(pattern.intensity + line), np.array([row]))
            found = evidence(library, fits, 0, measured)
            assert len(found.extra) == 1
            assert found.extra[0] == pytest.approx(free[0], abs=0.03)
            assert found.missing == []
            assert 0.5 < found.explained < 0.99

    def test_a_wrong_candidate_has_lines_missing_or_extra(self, library):
        for row in ROWS:
            fits, measured = fitted(library, self.short(library, row))
            found = [evidence(library, fits, i, measured) for i in range(len(ROWS))]
            assert fits.rows[0] == row
            assert all(0.0 <= one.explained <= 1.0 for one in found)
            assert all(len(one.missing) + len(one.extra) > len(found[0].missing) + len(found[0].extra) for one in found[1:])

    def test_lines_outside_the_range_count_for_nothing(self, library):
        fits, measured = fitted(library, made.scan(library, 1, start=12.0, stop=30.0), np.array([1]))
        found = evidence(library, fits, 0, measured)
        assert all(12.0 <= line[3] <= 30.0 for line in [*found.matched, *found.missing])

    def test_the_residual_has_none_of_the_claimed_lines(self, library):
        first, second = 0, 4
        pattern = made.mixed(made.scan(library, first, 1), made.scan(library, second, 2), 0.4)
        fits, measured = fitted(library, pattern, np.array([first]))
        claimed = adjusted_lines(library, fits, 0, measured).claimed(measured.recipe.grid.size)
        rest = residual(measured, claimed)
        assert not rest.lines[claimed].any()
        assert not rest.mask[claimed].any()
        np.testing.assert_array_equal(rest.lines[~claimed], measured.lines[~claimed])
        assert np.linalg.norm(rest.signal) == pytest.approx(1.0, abs=1e-5)
        assert measured.floor <= rest.floor <= 0.5
        assert compare(library, ROWS, rest).rows[0] == second
        nothing = residual(measured, np.ones_like(claimed))
        assert not nothing.signal.any()
        assert nothing.floor == 1.0


def test_a_calculated_scan_without_noise_has_its_own_width(library):
    for row in ROWS:
        points = np.arange(4.0, 45.0, 0.02)
        exact = 1000.0 * made.profile(library, row, points, fwhm=0.2)
        measured = prepare(Pattern(points, np.where(exact > 1.0, exact, 0.0), 1.541871))
        assert measured.fwhm == pytest.approx(0.2, rel=0.3)
        assert compare(library, ROWS, measured).rows[0] == row


class TestStrongLines:
    def test_are_the_maxima_above_the_limit(self, library):
        points = np.arange(4.0, 45.0, 0.02)
        places, heights = (8.0, 12.5, 20.0, 33.0), (1.0, 0.5, 0.12, 0.02)
        counts = 50.0 + 50000.0 * sum(h * np.exp(-4 * np.log(2) * ((points - p) / 0.15) ** 2) for p, h in zip(places, heights, strict=True))
        for seed in SEEDS:
            measured = prepare(Pattern(points, np.random.default_rng(seed).poisson(counts), match.RECIPE.grid.wavelength))
            for least, number in ((30.0, 2), (10.0, 3), (1.0, 4)):
                found = strong_lines(measured, least)
                assert [angle for angle, _ in found] == pytest.approx(list(places[:number]), abs=0.03)
                np.testing.assert_allclose([height for _, height in found], 100.0 * np.array(heights[:number]), atol=3.0)


@pytest.mark.parametrize("counts", [np.zeros(2001), np.full(2001, 7.0), np.r_[np.zeros(1000), 1.0, np.zeros(1000)], np.linspace(0.0, 1e5, 2001)])
def test_scans_without_lines_do_not_crash(library, counts):
    measured = prepare(Pattern(np.linspace(4.0, 44.0, 2001), counts, 1.5418))
    fits = adjust(library, compare(library, ROWS, measured), measured)
    assert np.isfinite(fits.similarity).all()
    assert (fits.similarity < 0.3).all()
    assert len(strong_lines(measured)) <= 1
    found = evidence(library, fits, 0, measured)
    assert 0.0 <= found.explained <= 1.0


def test_a_scan_outside_the_grid_and_an_empty_choice_do_not_crash(library):
    measured = prepare(Pattern(np.linspace(60.0, 90.0, 500), np.random.default_rng(0).poisson(50.0, 500), 1.5418))
    assert not measured.mask.any()
    fits = adjust(library, compare(library, ROWS, measured), measured)
    assert (fits.similarity == 0).all()
    assert evidence(library, fits, 0, measured).matched == []
    assert len(compare(library, np.empty(0, dtype=np.int64), measured).rows) == 0


def test_take_keeps_fields_together():
    fits = Fits(*(np.arange(3.0) + 10 * i for i in range(3)), np.arange(9.0).reshape(3, 3), np.arange(3.0), np.arange(3.0))
    part = fits.take(np.array([2, 0]))
    assert part.rows.tolist() == [2.0, 0.0]
    assert part.strain.tolist() == [[6.0, 7.0, 8.0], [0.0, 1.0, 2.0]]
