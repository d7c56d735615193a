"""Which scans can be judged, and the notes on a scan: given where it is made so, and not for a good one."""

from __future__ import annotations

import made
import numpy as np
import pytest
from searching import ROWS, compared, signal_of

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.scan_quality import LINES_NEEDED, SHORTEST, cut_off, quality_notes, unusable

POINTS = np.arange(4.0, 45.0, 0.02)
CU = 1.541871


def codes(pattern):
    return [note.code for note in quality_notes(prepare_scan(pattern))]


def added(pattern, extra, seed=0):
    return pattern.with_intensity(pattern.intensity + np.random.default_rng(seed).poisson(extra))


def measure(counts, points=POINTS):
    """A scan as identify prepares it."""
    return prepare_scan(Pattern(points, np.asarray(counts, dtype=float), CU)).comparison


class TestUsable:
    def smeared(self, rng, width):
        """Noise that a detector's or a filter's response of `width` points has smeared."""
        x = np.arange(-6 * width, 6 * width + 1)
        return 500.0 + np.convolve(rng.normal(0.0, 10.0, POINTS.size + 12 * width), np.exp(-0.5 * (x / width) ** 2), "valid")

    def noise(self, kind, rng):
        return {
            "few counts": lambda: rng.poisson(2.0, POINTS.size),
            "many counts": lambda: rng.poisson(5000.0, POINTS.size),
            "normal around zero": lambda: rng.normal(0.0, 1.0, POINTS.size),
            "air scatter": lambda: rng.poisson(50.0 + 2000.0 * np.exp(-(POINTS - 4.0) / 3.0)),
            "smeared over 3 points": lambda: self.smeared(rng, 3),
            "smeared over 5 points": lambda: self.smeared(rng, 5),
            "mean of 9 points": lambda: np.convolve(rng.normal(100.0, 10.0, POINTS.size + 8), np.ones(9) / 9, "valid"),
        }[kind]()

    @pytest.mark.parametrize(
        "kind",
        ["few counts", "many counts", "normal around zero", "air scatter", "smeared over 3 points", "smeared over 5 points", "mean of 9 points"],
    )
    def test_noise_is_unusable(self, kind):
        reasons = [unusable(measure(self.noise(kind, np.random.default_rng(seed)))) for seed in range(20)]
        assert sum(reason is None for reason in reasons) <= 1
        assert {reason.code for reason in reasons if reason} == {"too_few_lines"}

    def test_an_amorphous_halo_is_mostly_unusable(self):
        halo = 200.0 + 1000.0 * np.exp(-0.5 * ((POINTS - 20.0) / 4.0) ** 2)
        usable = [unusable(measure(np.random.default_rng(seed).poisson(halo))) is None for seed in range(30)]
        assert np.mean(usable) < 0.5

    @pytest.mark.parametrize("counts", [np.zeros(POINTS.size), np.full(POINTS.size, 42.0), np.linspace(0.0, 900.0, POINTS.size)])
    def test_flat_and_empty_scans_are_unusable(self, counts):
        assert unusable(measure(counts))["lines"] == 0

    @pytest.mark.parametrize(("start", "stop", "usable"), [(4.0, 9.0, False), (44.0, 90.0, False), (4.0, 18.0, True), (5.0, 40.0, True)])
    def test_a_short_range_is_unusable(self, library, start, stop, usable):
        reason = unusable(signal_of(made.scan(library, 0, start=start, stop=stop)))
        assert (reason is None) == usable
        assert usable or (reason.code, reason["needed"]) == ("range_too_short", SHORTEST)

    def test_a_range_beyond_the_grid_is_named_at_the_grids_wavelength(self, library):
        reason = unusable(signal_of(made.scan(library, 0, start=60.0, stop=90.0)))
        assert (reason.code, reason["span"], reason["start"], reason["stop"]) == ("range_too_short", 0.0, 2.0, 50.0)

    @pytest.mark.parametrize("peak", [60000.0, 3000.0, 400.0])
    def test_crystalline_scans_are_usable(self, library, peak):
        usable = [unusable(signal_of(made.scan(library, row, seed, peak=peak, base=30.0))) is None for row in ROWS for seed in range(3)]
        assert np.mean(usable) > 0.8

    def test_fewer_lines_than_needed(self):
        for number in range(1, LINES_NEEDED + 2):
            places = np.linspace(8.0, 35.0, number)
            counts = 100.0 + 5000.0 * np.exp(-0.5 * ((POINTS[:, None] - places) / 0.06) ** 2).sum(axis=1)
            reason = unusable(measure(np.random.default_rng(number).poisson(counts)))
            assert (reason is None) == (number >= LINES_NEEDED)
            assert reason is None or reason["lines"] == number


class TestNotes:
    @pytest.mark.parametrize("row", ROWS)
    def test_a_good_scan_needs_no_words(self, library, row):
        assert codes(made.scan(library, row)) == []

    @pytest.mark.parametrize("row", ROWS)
    def test_few_counts(self, library, row):
        assert "few_counts" in codes(made.scan(library, row, peak=60.0, base=20.0))

    @pytest.mark.parametrize("row", ROWS)
    def test_a_halo(self, library, row):
        pattern = made.scan(library, row)
        for centre in (18.0, 24.0):
            with_halo = added(pattern, 20000.0 * np.exp(-0.5 * ((pattern.two_theta - centre) / 5.0) ** 2))
            found = [note for note in quality_notes(prepare_scan(with_halo)) if note.code == "halo"]
            assert len(found) == 1
            assert abs(found[0]["two_theta"] - centre) <= 3.0

    @pytest.mark.parametrize("row", ROWS)
    def test_fluorescence(self, library, row):
        pattern = made.scan(library, row)
        assert "high_background" in codes(added(pattern, np.full(pattern.two_theta.size, 80000.0)))

    def test_a_flat_scan_says_nothing_wrong(self):
        for counts in (np.zeros(500), np.full(500, 9.0)):
            assert "halo" not in codes(Pattern(np.linspace(5.0, 45.0, 500), counts, 1.5418))

    def test_an_assumed_wavelength(self, library):
        assert codes(made.scan(library, 0, known=False)) == ["wavelength_assumed"]

    @pytest.mark.parametrize("row", ROWS)
    def test_a_scan_that_starts_above_the_strongest_line(self, library, row):
        def found(pattern):
            scan = prepare_scan(pattern, filter_mode="off")
            return cut_off(library, compared(library, np.array([row]), scan.comparison), scan)

        whole = made.scan(library, row, start=2.0)
        assert found(whole) == []
        strongest = float(whole.two_theta[whole.intensity.argmax()])
        (note,) = found(made.scan(library, row, start=strongest + 1.0))
        assert note.code == "strongest_line_cut_off"
        assert note["start"] == pytest.approx(strongest + 1.0)
        assert note["two_theta"] == pytest.approx(strongest, abs=0.2)
