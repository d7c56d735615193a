"""Line by line: what is listed for and against a candidate, and what is left for a second one."""

from __future__ import annotations

import made
import numpy as np
import pytest
from searching import ROWS, compared, evidence_of, refine_cells, refined, signal_of

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.preprocessing.prepared_scan import COMPARISON
from xrdmatch.search.comparison import candidate_signals
from xrdmatch.search.line_evidence import Lines, expected_signal, line_evidence, position_weights, refined_lines, residual, strong_lines

SEEDS = range(4)


class TestEvidence:
    def short(self, library, row, **how):
        """A scan whose line tails drown in noise: where they stand out, they hide that a line is not there."""
        return made.scan(library, row, peak=1500.0, fwhm=0.1, **how)

    def prominent(self, library, row, fits, measured, least=25.0):
        """Indices into the entry's lines of strong ones that no other line covers."""
        lines = refined_lines(library, fits, measured)[0]
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
            fits, measured = refined(library, made.scan(library, row, seed))
            found = evidence_of(library, fits, measured)
            assert found.missing == []
            assert found.extra == []
            assert 0.9 < found.explained <= 1.0
            assert all(height > 10.0 and 4.0 <= angle <= 45.0 for *_, angle, height in found.matched)

    def test_a_removed_line_is_missing(self, library):
        """Noise within a line width of the gap passes for the line in some scans."""
        missed = []
        for row in ROWS:
            whole, measured = refined(library, self.short(library, row), np.array([row]))
            for index, hkl in self.prominent(library, row, whole, measured)[:3]:
                for seed in range(6):
                    fits, rest = refined(library, self.short(library, row, seed=seed, without=(index,)), np.array([row]))
                    missed.append(hkl in [line[:3] for line in evidence_of(library, fits, rest).missing])
                    assert fits.similarity[0] < whole.similarity[0] - 0.01
        assert len(missed) >= 15
        assert np.mean(missed) > 0.5

    def test_of_many_is_that_of_each(self, library):
        for row in ROWS:
            fits, measured = refined(library, self.short(library, row))
            found = line_evidence(library, fits, measured, candidate_signals(library, fits, measured))
            assert found.evidence.tolist() == [evidence_of(library, fits, measured, i) for i in range(len(ROWS))]

    def test_a_foreign_line_is_extra(self, library):
        rng = np.random.default_rng(8)
        for row in ROWS:
            angles = made.angles_of(library, row)[0]
            free = [x for x in rng.uniform(8.0, 40.0, 200) if np.nanmin(np.abs(angles - x)) > 0.5]
            pattern = made.scan(library, row)
            line = 6000.0 * np.exp(-4 * np.log(2) * ((pattern.two_theta - free[0]) / 0.15) ** 2)
            fits, measured = refined(library, pattern.with_intensity(pattern.intensity + line), np.array([row]))
            found = evidence_of(library, fits, measured)
            assert len(found.extra) == 1
            assert found.extra[0] == pytest.approx(free[0], abs=0.03)
            assert found.missing == []
            assert 0.5 < found.explained < 0.99

    def test_a_wrong_candidate_has_lines_missing_or_extra(self, library):
        for row in ROWS:
            fits, measured = refined(library, self.short(library, row))
            found = [evidence_of(library, fits, measured, i) for i in range(len(ROWS))]
            assert fits.rows[0] == row
            assert all(0.0 <= one.explained <= 1.0 for one in found)
            against = [len(one.missing) + len(one.extra) for one in found]
            assert all(count >= against[0] for count in against[1:])
            assert np.mean(against[1:]) > against[0] + 2

    def test_lines_outside_the_range_count_for_nothing(self, library):
        fits, measured = refined(library, made.scan(library, 1, start=12.0, stop=30.0), np.array([1]))
        found = evidence_of(library, fits, measured)
        assert all(12.0 <= line[3] <= 30.0 for line in [*found.matched, *found.missing])

    def test_the_residual_is_the_other_phase(self, library):
        first, second = 0, 4
        pattern = made.mixed(made.scan(library, first, 1), made.scan(library, second, 2), 0.4)
        fits, measured = refined(library, pattern, np.array([first]))
        profile = candidate_signals(library, fits, measured)[0]
        rest = residual(measured, expected_signal(profile, float(fits.shift[0]), measured))
        assert (rest.lines <= measured.lines).all()
        assert (rest.lines >= 0).all()
        assert not rest.lines[~rest.mask].any()
        assert np.linalg.norm(rest.signal) == pytest.approx(1.0, abs=1e-5)
        assert measured.detection_limit <= rest.detection_limit <= 0.5
        assert compared(library, ROWS, rest).rows[0] == second
        nothing = residual(measured, measured.signal)
        assert not nothing.signal.any()
        assert nothing.detection_limit == 1.0
        np.testing.assert_array_equal(residual(measured, np.zeros_like(measured.signal)).lines, measured.lines)

    def test_positions_speak_for_the_right_one_and_dense_lines_prove_nothing(self, library):
        for row in ROWS:
            fits, measured = refined(library, made.scan(library, row))
            weights = {int(other): evidence_of(library, fits, measured, i).positions for i, other in enumerate(fits.rows)}
            assert weights[row] > 2.0
            assert weights[row] == max(weights.values())
        everywhere = Lines(np.zeros((2401, 3), np.int16), measured.grid.two_theta, np.full(2401, 50.0), np.arange(2401), 4)
        peaks = strong_lines(measured, 5.0)
        assert abs(position_weights([everywhere], measured, peaks)[0]) < 1.0
        nowhere = Lines(np.zeros((0, 3), np.int16), np.empty(0), np.empty(0), np.empty(0, dtype=int), 4)
        assert position_weights([nowhere], measured, peaks)[0] < -1.0
        assert position_weights([nowhere], measured, []).tolist() == [0.0]
        assert position_weights([], measured, peaks).size == 0


class TestStrongLines:
    def test_are_the_maxima_above_the_limit(self, library):
        points = np.arange(4.0, 45.0, 0.02)
        places, heights = (8.0, 12.5, 20.0, 33.0), (1.0, 0.5, 0.12, 0.02)
        counts = 50.0 + 50000.0 * sum(h * np.exp(-4 * np.log(2) * ((points - p) / 0.15) ** 2) for p, h in zip(places, heights, strict=True))
        for seed in SEEDS:
            measured = signal_of(Pattern(points, np.random.default_rng(seed).poisson(counts), COMPARISON.grid.wavelength))
            for least, number in ((30.0, 2), (10.0, 3), (1.0, 4)):
                found = strong_lines(measured, least)
                assert [angle for angle, _ in found] == pytest.approx(list(places[:number]), abs=0.03)
                np.testing.assert_allclose([height for _, height in found], 100.0 * np.array(heights[:number]), atol=3.0)


@pytest.mark.parametrize("counts", [np.zeros(2001), np.full(2001, 7.0), np.r_[np.zeros(1000), 1.0, np.zeros(1000)], np.linspace(0.0, 1e5, 2001)])
def test_scans_without_lines_do_not_crash(library, counts):
    measured = signal_of(Pattern(np.linspace(4.0, 44.0, 2001), counts, 1.5418))
    fits = refine_cells(library, compared(library, ROWS, measured), measured)
    assert np.isfinite(fits.similarity).all()
    assert (fits.similarity < 0.3).all()
    assert len(strong_lines(measured)) <= 1
    found = evidence_of(library, fits, measured)
    assert 0.0 <= found.explained <= 1.0


def test_a_scan_outside_the_grid_and_an_empty_choice_do_not_crash(library):
    measured = signal_of(Pattern(np.linspace(60.0, 90.0, 500), np.random.default_rng(0).poisson(50.0, 500), 1.5418))
    assert not measured.mask.any()
    fits = refine_cells(library, compared(library, ROWS, measured), measured)
    assert (fits.similarity == 0).all()
    assert evidence_of(library, fits, measured).matched == []
    assert len(compared(library, np.empty(0, dtype=np.int64), measured).rows) == 0
