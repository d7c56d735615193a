"""An answer laid over its scan."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric
from xrdmatch.report.calculated_pattern import overlay, shown, strongest, unexplained
from xrdmatch.search.calculated_profile import fit_scales, profile
from xrdmatch.search.identify import Identifier
from xrdmatch.search.indexed_lines import conventional
from xrdmatch.search.result import error_result


@pytest.fixture(scope="module")
def identifier(tiny_model):
    return Identifier(tiny_model, "cpu")


@pytest.mark.parametrize("wavelength", [1.541871, 0.71073])
def test_the_calculated_pattern_is_that_of_the_scan(identifier, library, wavelength):
    """A scan that is drawn from the entry itself, by another routine, leaves a difference of a few percent of its strongest line."""
    answer = identifier.identify(made.scan(library, 1, wavelength=wavelength, zero=0.04))
    view = overlay(answer)
    height = view.measured.max() - np.median(view.measured)
    assert np.abs(view.difference).max() < 0.15 * height
    assert np.sqrt(np.mean(view.difference**2)) < 0.02 * height
    assert np.corrcoef(view.measured, view.calculated)[0, 1] > 0.99
    assert [match.rank for match in view.phases] == [1]
    assert not view.extra
    np.testing.assert_array_equal(view.two_theta, answer.measured.two_theta)


def test_a_second_phase_is_calculated_with_its_share(identifier, library):
    first, second = made.scan(library, 0, 1), made.scan(library, 4, 2)
    answer = identifier.identify(made.mixed(first, second, 0.4))
    assert [phase.phase for phase in answer.phases] == [1, 2]
    view = overlay(answer)
    assert len(view.phases) == 2
    assert all(scale > 0 for scale in view.scales)
    alone = overlay(replace(answer, phases=answer.phases[:1]))
    assert np.abs(view.difference).sum() < np.abs(alone.difference).sum()
    assert not view.extra


def test_without_matches_there_is_a_background_and_nothing_else(identifier):
    points = np.arange(5.0, 45.0, 0.02)
    flat = Pattern(points, np.random.default_rng(0).poisson(400.0, points.size).astype(float), 1.5418)
    answer = identifier.identify(flat)
    assert answer.verdict == "unusable"
    view = overlay(answer)
    assert view.phases == ()
    assert view.calculated == pytest.approx(view.background)
    assert view.background.mean() == pytest.approx(400.0, rel=0.03)
    assert overlay(error_result("x.xy", "is empty")) is None


def test_scales_are_found_and_never_negative():
    rng = np.random.default_rng(3)
    one, two = rng.random(400), rng.random(400)
    assert fit_scales([one, two], 3.0 * one + 0.5 * two) == pytest.approx([3.0, 0.5])
    assert fit_scales([one], 2.0 * one) == pytest.approx([2.0])
    scales = fit_scales([one, two], one - 0.2 * two)
    assert scales[1] == 0.0
    assert scales[0] > 0
    assert fit_scales([one], -one) == [0.0]
    assert fit_scales([np.zeros(400), one], one) == pytest.approx([0.0, 1.0])
    assert fit_scales([], one) == []


def test_the_drawn_profile_keeps_the_areas(identifier, library):
    match = identifier.identify(made.scan(library, 4)).matches[0]
    points = np.arange(4.0, 45.0, 0.005)
    drawn = profile(match.lines, Pattern(points, np.ones(points.size), 1.541871))
    assert drawn.sum() * 0.005 == pytest.approx(match.lines.intensity.sum(), rel=0.05)  # the tails of lines at the ends lie outside


def test_labels_keep_apart_and_lines_that_do_not_show_have_none(identifier, library):
    answer = identifier.identify(made.scan(library, 1, without=()))
    lines = answer.matches[0].lines
    chosen = strongest(lines, 12, 1.0)
    angles = np.sort(lines.observed[chosen])
    assert (np.diff(angles) >= 1.0).all()
    assert lines.intensity[chosen[0]] == 100.0
    flat = replace(
        overlay(answer), measured=np.full(answer.measured.two_theta.size, 100.0), background=np.full(answer.measured.two_theta.size, 100.0)
    )
    assert shown(lines, overlay(answer))[chosen[:3]].all()
    assert not shown(lines, flat).any()


def test_lines_of_a_second_phase_are_not_extra(identifier, library):
    match = identifier.identify(made.scan(library, 4)).matches[0]
    strong = float(match.lines.observed[match.lines.intensity.argmax()])
    assert unexplained([strong, 2.0], [match]) == [2.0]
    assert unexplained([strong], []) == [strong]


CELLS = {
    "cubic": (20.0, 20.0, 20.0, 90.0, 90.0, 90.0),
    "tetragonal": (20.0, 20.0, 9.0, 90.0, 90.0, 90.0),
    "orthorhombic": (20.0, 15.0, 9.0, 90.0, 90.0, 90.0),
    "hexagonal": (20.0, 20.0, 9.0, 90.0, 90.0, 120.0),
    "rhombohedral": (20.0, 20.0, 20.0, 70.0, 70.0, 70.0),
    "monoclinic": (20.0, 15.0, 9.0, 90.0, 103.0, 90.0),
    "triclinic": (20.0, 15.0, 9.0, 80.0, 103.0, 95.0),
}


@pytest.mark.parametrize("system", CELLS)
def test_indices_people_write_have_the_same_d_and_do_not_depend_on_the_representative(system):
    cell = np.array(CELLS[system])
    axis = np.arange(-3, 4)
    hkl = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int16)
    hkl = hkl[(hkl != 0).any(axis=1)]
    written, metric = conventional(hkl, cell), reciprocal_metric(cell)
    assert inverse_d_squared(written, metric) == pytest.approx(inverse_d_squared(hkl, metric))
    np.testing.assert_array_equal(conventional(-hkl, cell), written)
    np.testing.assert_array_equal(conventional(written, cell), written)
    assert ((written < 0).sum(axis=1) <= (hkl < 0).sum(axis=1)).all()


@pytest.mark.parametrize(
    ("system", "given", "wanted"),
    [
        ("cubic", (0, 0, 2), (2, 0, 0)),
        ("cubic", (-1, 3, -2), (3, 2, 1)),
        ("tetragonal", (0, -1, 2), (1, 0, 2)),
        ("hexagonal", (-1, 2, 3), (1, 1, 3)),
        ("monoclinic", (-1, -2, 3), (1, 2, -3)),
        ("monoclinic", (-1, 0, -3), (1, 0, 3)),
        ("triclinic", (-1, -2, -3), (1, 2, 3)),
    ],
)
def test_indices_people_write(system, given, wanted):
    assert tuple(conventional(np.array([given], dtype=np.int16), np.array(CELLS[system]))[0]) == wanted


@pytest.mark.parametrize(("start", "stop"), [(0.0, 60.0), (-3.0, 40.0), (5.0, 178.0)])
def test_scans_may_begin_at_zero_or_below_and_end_far_behind(identifier, library, start, stop):
    inner = made.scan(library, 1, start=3.0, stop=40.0)
    points = np.arange(start, stop, 0.02)
    counts = np.interp(points, inner.two_theta, inner.intensity)
    answer = identifier.identify(Pattern(points, counts, inner.wavelength))
    view = overlay(answer)
    assert view.calculated.shape == points.shape
    assert np.isfinite(view.calculated).all()
    assert np.corrcoef(view.measured, view.calculated)[0, 1] > 0.98
    match = answer.matches[0]
    assert profile(match.lines, Pattern([-5.0, -4.0, 0.0], [1.0, 1.0, 1.0])).tolist() == [0.0] * 3


def test_the_noise_on_a_halo_is_no_line(identifier, library):
    """Whatever its height: nearly none of the lines of a structure is shown by counted noise on a broad halo, all strong ones by a scan of it."""
    answer = identifier.identify(made.scan(library, 0))
    scan, lines = answer.measured, answer.matches[0].lines
    halo = 200.0 + 3000.0 * np.exp(-(((scan.two_theta - 20.0) / 8.0) ** 2))
    counts = np.random.default_rng(3).poisson(halo).astype(float)
    view = overlay(answer)
    noise = replace(view, measured=counts, background=np.full(counts.size, counts.min()))
    assert shown(lines, noise, 0.0).mean() < 0.05
    both = replace(view, measured=counts + 5.0 * view.measured, background=noise.background)
    strong = np.argsort(-lines.intensity)[:5]
    assert shown(lines, both)[strong].all()
