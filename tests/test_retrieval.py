"""Which scans can be judged, and what verification hands on."""

from __future__ import annotations

from types import SimpleNamespace

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.preprocessing.fft_filter import denoise
from xrdmatch.search import retrieval as verifying
from xrdmatch.search.comparison import compare, prepare
from xrdmatch.search.retrieval import BY_LINES, LINES_NEEDED, PROMISING, SHORTEST, VERIFY, promising, unusable, verify

POINTS = np.arange(4.0, 45.0, 0.02)
ROWS = np.arange(5)
CU = 1.541871


def smeared(rng, width):
    """Noise that a detector's or a filter's response of `width` points has smeared."""
    x = np.arange(-6 * width, 6 * width + 1)
    return 500.0 + np.convolve(rng.normal(0.0, 10.0, POINTS.size + 12 * width), np.exp(-0.5 * (x / width) ** 2), "valid")


NOISE = {
    "few counts": lambda rng: rng.poisson(2.0, POINTS.size),
    "many counts": lambda rng: rng.poisson(5000.0, POINTS.size),
    "normal around zero": lambda rng: rng.normal(0.0, 1.0, POINTS.size),
    "air scatter": lambda rng: rng.poisson(50.0 + 2000.0 * np.exp(-(POINTS - 4.0) / 3.0)),
    "smeared over 3 points": lambda rng: smeared(rng, 3),
    "smeared over 5 points": lambda rng: smeared(rng, 5),
    "mean of 9 points": lambda rng: np.convolve(rng.normal(100.0, 10.0, POINTS.size + 8), np.ones(9) / 9, "valid"),
}


def measure(counts, points=POINTS):
    """As identify prepares a scan."""
    filtered = denoise(Pattern(points, np.asarray(counts, dtype=float), CU), "auto")
    return prepare(filtered.pattern, sigma=filtered.sigma, passed=filtered.passed)


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_unusable(kind):
    reasons = [unusable(measure(NOISE[kind](np.random.default_rng(seed)))) for seed in range(20)]
    assert sum(not reason for reason in reasons) <= 1
    assert all("stand out of the noise" in reason for reason in reasons if reason)


def test_an_amorphous_halo_is_mostly_unusable():
    halo = 200.0 + 1000.0 * np.exp(-0.5 * ((POINTS - 20.0) / 4.0) ** 2)
    usable = [not unusable(measure(np.random.default_rng(seed).poisson(halo))) for seed in range(30)]
    assert np.mean(usable) < 0.5


@pytest.mark.parametrize("counts", [np.zeros(POINTS.size), np.full(POINTS.size, 42.0), np.linspace(0.0, 900.0, POINTS.size)])
def test_flat_and_empty_scans_are_unusable(counts):
    assert "0 diffraction lines" in unusable(measure(counts))


@pytest.mark.parametrize(("start", "stop", "usable"), [(4.0, 9.0, False), (44.0, 90.0, False), (4.0, 18.0, True), (5.0, 40.0, True)])
def test_a_short_range_is_unusable(library, start, stop, usable):
    reason = unusable(prepare(made.scan(library, 0, start=start, stop=stop)))
    assert (reason == "") == usable
    assert usable or f"at least {SHORTEST:g} deg are needed" in reason


def test_a_range_beyond_the_grid_is_named_at_the_grids_wavelength(library):
    reason = unusable(prepare(made.scan(library, 0, start=60.0, stop=90.0)))
    assert reason.startswith("the scan covers 0.0 deg of 2-50 deg (Cu)")


@pytest.mark.parametrize("peak", [60000.0, 3000.0, 400.0])
def test_crystalline_scans_are_usable(library, peak):
    usable = [not unusable(prepare(made.scan(library, row, seed, peak=peak, base=30.0))) for row in ROWS for seed in range(3)]
    assert np.mean(usable) > 0.8


def test_fewer_lines_than_needed(library):
    for number in range(1, LINES_NEEDED + 2):
        places = np.linspace(8.0, 35.0, number)
        counts = 100.0 + 5000.0 * np.exp(-0.5 * ((POINTS[:, None] - places) / 0.06) ** 2).sum(axis=1)
        reason = unusable(measure(np.random.default_rng(number).poisson(counts)))
        assert (reason == "") == (number >= LINES_NEEDED)


def test_verify_keeps_the_best_of_each_family(library):
    from dataclasses import replace

    both = replace(library, family=np.array([0, 1, 0, 1, 2], dtype=np.int32), family_name=np.array(["one", "two", "three"]))
    recalled = np.linspace(0.9, 0.5, 5).astype(np.float32)
    for row in ROWS:
        measured = prepare(made.scan(library, row))
        fits, candidates = verify(both, ROWS[::-1].copy(), recalled, measured)
        assert len(fits.rows) == len(candidates) == 3
        assert sorted(both.family[fits.rows].tolist()) == [0, 1, 2]
        assert fits.rows[0] == row
        plain = compare(both, ROWS, measured)
        leaders = {both.family[other]: other for other in plain.rows[::-1].tolist()}
        assert set(fits.rows.tolist()) == set(leaders.values())
        for i, candidate in enumerate(candidates):
            assert candidate.recalled == pytest.approx(recalled[4 - fits.rows[i]])
            assert candidate.similarity == pytest.approx(fits.similarity[i])


@pytest.fixture
def adjusted(monkeypatch):
    """Rows that verify has adjusted, call by call."""
    asked = []
    usual = verifying.adjust
    monkeypatch.setattr(verifying, "adjust", lambda library, fits, measured: asked.append(fits.rows.tolist()) or usual(library, fits, measured))
    return asked


class TestWhatIsAdjusted:
    def verified(self, library, behind, monkeypatch, **given):
        monkeypatch.setattr(verifying, "BEHIND", behind)
        return verify(library, ROWS, np.ones(5, dtype=np.float32), prepare(made.scan(library, 4)), **given)

    def test_what_comes_near_the_first(self, library, adjusted, monkeypatch):
        fits, candidates = self.verified(library, 0.0, monkeypatch)
        assert adjusted == [[4]]
        assert fits.rows[0] == 4
        assert sorted(fits.rows.tolist()) == ROWS.tolist()
        assert len(candidates) == 5
        assert (fits.strain[1:] == 0.0).all()
        assert [candidate.similarity for candidate in candidates[1:]] == [candidate.plain for candidate in candidates[1:]]

    def test_all_where_all_come_near(self, library, adjusted, monkeypatch):
        fits, _ = self.verified(library, 9.0, monkeypatch)
        assert sorted(adjusted[0]) == ROWS.tolist()
        assert (np.diff(fits.similarity) <= 0).all()

    def test_no_more_than_told(self, library, adjusted, monkeypatch):
        fits, _ = self.verified(library, 9.0, monkeypatch, most=2)
        assert len(adjusted[0]) == 2
        assert sorted(fits.rows.tolist()) == ROWS.tolist()

    def test_those_that_are_asked_for_as_well(self, library, adjusted, monkeypatch):
        monkeypatch.setattr(verifying, "ALSO", 1)
        fits, _ = self.verified(library, 0.0, monkeypatch, also=np.array([0, 2, 4]))
        assert adjusted[0][0] == 4
        assert len(adjusted[0]) == 2
        assert adjusted[0][1] in (0, 2)
        assert sorted(fits.rows.tolist()) == ROWS.tolist()

    def test_those_beyond_the_verified_as_well(self, library, monkeypatch):
        monkeypatch.setattr(verifying, "VERIFY", 1)
        assert self.verified(library, 0.0, monkeypatch)[0].rows.tolist() == [4]
        assert self.verified(library, 0.0, monkeypatch, also=np.array([1]))[0].rows.tolist() == [4, 1]


class TestPromising:
    """Which of the recalled entries are drawn at all."""

    def kept(self, worth, lines, family=None):
        rows = np.arange(len(worth))[::-1]
        library = SimpleNamespace(family=np.arange(len(worth)) if family is None else family)
        return set(promising(library, rows, np.asarray(worth, np.float32), np.asarray(lines, np.float32)).tolist())

    def test_those_near_the_best_by_both(self):
        rng = np.random.default_rng(1)
        worth = rng.uniform(0.0, 1.0, 300)
        near = set(np.flatnonzero(worth >= worth.max() - PROMISING + 1e-6).tolist())
        assert near <= self.kept(worth, np.zeros(300))
        assert len(self.kept(worth, np.zeros(300))) <= len(near) + BY_LINES + VERIFY

    def test_the_best_by_lines_whatever_the_network_says(self):
        worth, lines = np.r_[np.full(200, 0.9), np.full(60, -0.2)], np.r_[np.zeros(200), np.linspace(0.1, 0.5, 60)]
        assert set(range(260 - BY_LINES, 260)) <= self.kept(worth, lines)

    def test_as_many_families_as_are_verified(self):
        """A family of many members must not be all that is looked at."""
        worth = np.r_[np.full(100, 1.0), np.linspace(0.1, 0.0, 50)]
        family = np.r_[np.zeros(100, int), np.arange(1, 51)]
        kept = self.kept(worth, np.r_[np.full(100, 1.0), np.zeros(50)], family)
        assert set(range(100)) <= kept
        assert len({int(family[row]) for row in kept}) == VERIFY
        assert set(range(100, 99 + VERIFY)) <= kept

    def test_of_none_none(self):
        assert self.kept([], []) == set()
