"""Notes on a scan: said where the scan is made so, and not for a good one."""

from __future__ import annotations

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.preprocessing.fft_filter import denoise
from xrdmatch.search.comparison import compare, prepare
from xrdmatch.search.scan_quality import cut_off, notes

ROWS = range(5)


def told(pattern):
    filtered = denoise(pattern)
    return notes(filtered, prepare(filtered.pattern, sigma=filtered.sigma, passed=filtered.passed), pattern)


def added(pattern, extra, seed=0):
    return pattern.with_intensity(pattern.intensity + np.random.default_rng(seed).poisson(extra))


@pytest.mark.parametrize("row", ROWS)
def test_a_good_scan_needs_no_words(library, row):
    assert told(made.scan(library, row)) == []


@pytest.mark.parametrize("row", ROWS)
def test_few_counts(library, row):
    assert any("few counts" in note for note in told(made.scan(library, row, peak=60.0, base=20.0)))


@pytest.mark.parametrize("row", ROWS)
def test_a_halo(library, row):
    pattern = made.scan(library, row)
    for centre in (18.0, 24.0):
        found = told(added(pattern, 20000.0 * np.exp(-0.5 * ((pattern.two_theta - centre) / 5.0) ** 2)))
        said = [note for note in found if "halo" in note]
        assert len(said) == 1
        assert abs(float(said[0].split("around ")[1].split(" deg")[0]) - centre) <= 3.0


@pytest.mark.parametrize("row", ROWS)
def test_fluorescence(library, row):
    pattern = made.scan(library, row)
    assert any("fluorescence" in note for note in told(added(pattern, np.full(pattern.two_theta.size, 80000.0))))


def test_a_flat_scan_says_nothing_wrong():
    for counts in (np.zeros(500), np.full(500, 9.0)):
        assert all("halo" not in note for note in told(Pattern(np.linspace(5.0, 45.0, 500), counts, 1.5418)))


@pytest.mark.parametrize("row", ROWS)
def test_a_scan_that_starts_above_the_strongest_line(library, row):
    whole = made.scan(library, row, start=2.0)
    measured = prepare(whole)
    fits = compare(library, np.array([row]), measured)
    assert cut_off(library, fits, 0, measured, whole) == ""
    strongest = float(whole.two_theta[whole.intensity.argmax()])
    short = made.scan(library, row, start=strongest + 1.0)
    measured = prepare(short)
    said = cut_off(library, compare(library, np.array([row]), measured), 0, measured, short)
    assert f"starts at {strongest + 1.0:.1f} deg" in said
    assert "has its strongest line at" in said
