"""The filter: what it measures on scans with known noise, what it removes, and what it leaves alone."""

import numpy as np
import pytest
from naive import dft_criterion, dft_filter

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.preprocessing import fft_filter as d
from xrdmatch.report.phrases import sentence

SEEDS = range(12)


def clean(rng, fwhm=0.1, step=0.02, lines=40, background=0.02):
    """Angles (n,) and pseudo-Voigt lines of height 1 on a falling background (n,)."""
    angles = np.arange(5.0, 50.0, step)
    centres = 6.0 + 43.0 * np.sqrt(rng.random(lines))
    u = ((angles[:, None] - centres) / fwhm) ** 2
    profile = 0.7 * np.exp(-4 * np.log(2) * u) + 0.3 / (1 + 4 * u)
    heights = rng.exponential(1.0, lines) ** 2
    total = profile @ heights
    return angles, total / total.max() + background * (1 + 2 * np.exp(-(angles - 5) / 10))


def fwhm_of(angles, values, top):
    """Width at half maximum of the line at index `top`, degrees."""
    half = values[top] / 2
    left, right = top, top
    while values[left] > half:
        left -= 1
    while values[right] > half:
        right += 1
    start = np.interp(half, values[left : left + 2], angles[left : left + 2])
    stop = np.interp(-half, -values[right - 1 : right + 1], angles[right - 1 : right + 1])
    return stop - start


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.05])
@pytest.mark.parametrize("fwhm", [0.08, 0.2])
def test_known_noise_is_recovered(sigma, fwhm):
    measured = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        angles, truth = clean(rng, fwhm)
        measured.append(d.denoise(Pattern(angles, truth + rng.normal(0, sigma, angles.size)), "off"))
    assert np.mean([m.sigma for m in measured]) == pytest.approx(sigma, rel=0.06)
    assert np.std([m.sigma for m in measured]) < 0.06 * sigma
    assert np.mean([m.noise for m in measured]) == pytest.approx(sigma, rel=0.25)


@pytest.mark.parametrize("mean", [0.1, 0.3, 1.0, 3.0, 10.0, 1000.0])
def test_counting_noise_is_the_root_of_the_count(mean):
    sigma = [d.noise_sigma(np.random.default_rng(seed).poisson(mean, 3000)) for seed in SEEDS]
    assert np.mean(sigma) == pytest.approx(np.sqrt(mean), rel=0.1)


@pytest.mark.parametrize("step", [0.01, 0.02])
@pytest.mark.parametrize("lines", [5, 60, 200])
def test_sharp_lines_without_noise_are_not_noise(step, lines):
    for seed in SEEDS:
        angles, truth = clean(np.random.default_rng(seed), 0.08, step, lines)
        result = d.denoise(Pattern(angles, truth))
        assert result.noise < 3e-4
        assert not result.filtered
        np.testing.assert_array_equal(result.pattern.intensity, truth)


def test_the_paper_rule_mistakes_sharp_lines_for_noise_and_auto_does_not():
    """At 10,000 counts in the strongest line a scan is clean, yet the paper's criterion fires on most when the lines are sharp."""
    paper, auto = [], []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        angles, truth = clean(rng, 0.05)
        scan = Pattern(angles, rng.poisson(1e4 * truth), 1.5406)
        paper.append(d.denoise(scan, "paper").filtered)
        auto.append(d.denoise(scan, "auto").filtered)
    assert np.mean(paper) > 0.5
    assert not any(auto)


@pytest.mark.parametrize("step", [0.005, 0.02, 0.03])
@pytest.mark.parametrize("peak", [50, 300])
def test_filter_brings_noisy_scans_closer_to_the_truth(step, peak):
    before, after, left = [], [], []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        angles, truth = clean(rng, 0.15, step)
        counts = rng.poisson(peak * truth).astype(float)
        result = d.denoise(Pattern(angles, counts), "on")
        before.append(np.std(counts - peak * truth))
        after.append(np.std(result.pattern.intensity - peak * truth))
        left.append(result.noise_gain)
    assert np.mean(after) < {0.005: 0.45, 0.02: 0.75, 0.03: 0.85}[step] * np.mean(before)
    assert np.mean(left) == pytest.approx(np.mean(after) / np.mean(before), rel=0.25)
    assert all(a < b for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("step", [0.005, 0.01, 0.02])
@pytest.mark.parametrize("fwhm", [0.06, 0.1, 0.3])
def test_a_sharp_line_keeps_its_width_and_height(step, fwhm):
    wider, lower = [], []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        angles, truth = clean(rng, fwhm, step, lines=15, background=0.0)
        noisy = truth + 0.02 + rng.normal(0, 0.003, angles.size)
        width = d.line_width(noisy, 0.003, step)
        smooth, _ = d.low_pass(truth, width)
        top = int(truth.argmax())
        wider.append(fwhm_of(angles, smooth, top) / fwhm_of(angles, truth, top))
        lower.append(smooth[top] / truth[top])
    assert np.mean(wider) < 1.03
    assert max(wider) < 1.05
    assert min(lower) > 0.95


@pytest.mark.parametrize("peak", [100, 1000, 100_000])
@pytest.mark.parametrize("fwhm", [0.1, 0.3])
def test_line_width_is_found_at_any_count(peak, fwhm):
    ratio = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        _, truth = clean(rng, fwhm, 0.01)
        counts = rng.poisson(peak * truth)
        ratio.append(d.line_width(counts, d.noise_sigma(counts), 0.01) * 0.01 / fwhm)
    assert 0.8 < np.median(ratio) < 1.3


def test_ends_of_the_scan_do_not_ring():
    angles = np.arange(5.0, 50.0, 0.02)
    steep = 100.0 * np.exp(-(angles - 5.0) / 3.0) + np.linspace(0, 50, angles.size)
    smooth, _ = d.low_pass(steep, 8.0)
    np.testing.assert_allclose(smooth, steep, atol=0.5)
    np.testing.assert_allclose(smooth.sum(), steep.sum(), rtol=1e-6)


@pytest.mark.parametrize("mode", ["auto", "paper", "on", "off"])
def test_transform_contract(mode):
    """Input unchanged, repeatable, a list is accepted, name and meta survive, the result is finite."""
    rng = np.random.default_rng(3)
    angles, truth = clean(rng)
    counts = rng.poisson(60 * truth).astype(float)
    given = counts.copy()
    first = d.denoise(Pattern(angles, counts, 1.5406, "scan", {"anode": "Cu"}), mode)
    again = d.denoise(Pattern(angles.tolist(), counts.tolist(), 1.5406, "scan", {"anode": "Cu"}), mode)
    np.testing.assert_array_equal(counts, given)
    np.testing.assert_array_equal(first.pattern.intensity, again.pattern.intensity)
    assert first.filtered == again.filtered == (mode != "off")
    assert first.pattern.name == "scan"
    assert first.pattern.meta["anode"] == "Cu"
    assert np.isfinite(first.pattern.intensity).all()
    assert first.reason.code == {"auto": "filter_applied", "paper": "paper_filter_applied", "on": "filter_applied", "off": "filter_off"}[mode]
    assert sentence(first.reason).startswith("filtered" if first.filtered else "not filtered")
    assert first.sigma > 0
    assert first.noise > d.NOISY


@pytest.mark.parametrize("mode", ["auto", "paper", "on", "off"])
@pytest.mark.parametrize("counts", [[0.0, 0.0], [3.0] * 500, [0.0] * 250 + [100.0] + [0.0] * 249, [1.0, 2.0, 1.0]])
def test_degenerate_scans_come_back(mode, counts):
    angles = 10.0 + 0.02 * np.arange(len(counts))
    result = d.denoise(Pattern(angles, counts), mode)
    assert np.isfinite(result.pattern.intensity).all()
    assert np.isfinite([result.noise, result.sigma]).all()


def test_scan_outside_the_paper_range_has_no_criterion():
    angles = np.arange(60.0, 80.0, 0.02)
    counts = np.random.default_rng(0).poisson(5, angles.size)
    result = d.denoise(Pattern(angles, counts, 1.5406), "paper")
    assert np.isnan(result.criterion)
    assert not result.filtered
    assert d.denoise(Pattern(angles, counts, 1.5406), "on").filtered


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="sometimes"):
        d.denoise(Pattern([1, 2], [1, 2]), "sometimes")


def test_paper_functions_agree_with_their_naive_twins():
    rng = np.random.default_rng(0)
    _, truth = clean(rng)
    scan = rng.poisson(100 * truth).astype(float)
    assert d.paper_criterion(scan) == pytest.approx(dft_criterion(scan), abs=1e-9)
    for keep in (150, 200):
        np.testing.assert_allclose(d.paper_filter(scan, keep), dft_filter(scan, keep), atol=1e-9)
    assert d.paper_criterion(scan.tolist()) == d.paper_criterion(scan)


def test_paper_criterion_rises_with_noise_and_knows_white_noise():
    """For white noise of standard deviation 1 the magnitude of N bins is Rayleigh distributed: mean log = (ln N - gamma) / 2."""
    _, truth = clean(np.random.default_rng(1), 0.2)
    levels = [
        np.mean([d.paper_criterion(truth + np.random.default_rng(s).normal(0, sigma, truth.size)) for s in SEEDS]) for sigma in (0.001, 0.01, 0.1)
    ]
    assert levels[0] < levels[1] < levels[2]
    assert levels[0] < d.PAPER_LIMIT < levels[2]
    white = [d.paper_criterion(np.random.default_rng(s).normal(0, 1, 2251)) for s in SEEDS]
    spread = np.sqrt(1 - 2 / np.pi)  # of |x|, by which the criterion divides
    assert np.mean(white) == pytest.approx((np.log(2251) - np.euler_gamma) / 2 - np.log(spread), abs=0.05)


def test_paper_filter_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="2284"):
        d.paper_filter(np.ones(3000))
    with pytest.raises(ValueError, match="constant"):
        d.paper_criterion(np.zeros(2251))
    assert not d.paper_filter(np.zeros(2251)).any()


def test_around_agrees_with_its_naive_twin():
    rng = np.random.default_rng(5)
    for size in (1, 2, 7, 40):
        for share in (0.0, 0.1, 0.5, 1.0):
            flags = rng.random(size) < share
            for at in range(size):
                before = [place for place in range(at) if flags[place]]
                after = [place for place in range(at + 1, size) if flags[place]]
                assert d.around(flags, at) == (before[-1] if before else -1, after[0] if after else size)
