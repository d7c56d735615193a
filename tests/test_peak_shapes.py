"""Drawn line shapes."""

import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.peak_shapes import draw, draw_rows, render

GRID = Grid(5, 50, 0.01)


def one_line(angle, width, eta, area=1.0, grid=GRID, **options):
    return draw(np.array([[angle]]), np.array([[area]]), np.array([[width]]), grid, eta, **options)[0].astype(float)


def measured_width(angles, profile):
    """Full width at half maximum, by linear interpolation of both flanks."""
    half = profile.max() / 2
    above = np.flatnonzero(profile >= half)
    first, last = above[0], above[-1]
    left = np.interp(half, profile[first - 1 : first + 1], angles[first - 1 : first + 1])
    right = np.interp(-half, -profile[last : last + 2], angles[last : last + 2])
    return right - left


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("width", [0.06, 0.12, 0.4, 1.0])
def test_the_drawn_width_is_the_asked_width(width, eta):
    assert measured_width(GRID.two_theta, one_line(27.0, width, eta)) == pytest.approx(width, rel=0.02)


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_the_line_has_the_shape_of_a_pseudo_voigt(eta):
    x, width = GRID.two_theta - 27.0, 0.2
    gauss = np.exp(-4 * np.log(2) * (x / width) ** 2) * 2 * np.sqrt(np.log(2) / np.pi) / width
    lorentz = 2 / (np.pi * width) / (1 + 4 * (x / width) ** 2)
    expected = eta * lorentz + (1 - eta) * gauss
    np.testing.assert_allclose(one_line(27.0, width, eta), expected, atol=0.01 * expected.max())


@pytest.mark.parametrize("angle", [20.0, 20.003, 20.005, 20.0098])
def test_area_and_centre_hold_between_grid_points(angle):
    profile = one_line(angle, 0.1, 0.0, area=3.0)
    assert profile.sum() * GRID.step == pytest.approx(3.0, rel=1e-4)
    assert profile @ GRID.two_theta / profile.sum() == pytest.approx(angle, abs=2e-4)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_areas_add_up(eta):
    rng = np.random.default_rng(0)
    angles, areas, widths = rng.uniform(15, 40, (3, 30)), rng.random((3, 30)), rng.uniform(0.05, 0.3, (3, 30))
    profiles = draw(angles, areas, widths, GRID, eta)
    np.testing.assert_allclose(profiles.sum(axis=1) * GRID.step, areas.sum(axis=1), rtol=0.02 if eta else 1e-3)
    assert profiles.min() >= 0


def test_widths_that_differ_keep_their_variance():
    angles, areas, widths = np.array([[15.0, 27.0, 40.0]]), np.ones((1, 3)), np.array([[0.1, 0.17, 0.3]])
    profile = draw(angles, areas, widths, GRID, 0.0)[0].astype(float)
    for angle, width in zip(angles[0], widths[0], strict=True):
        near = np.abs(GRID.two_theta - angle) < 1.5
        x, weight = GRID.two_theta[near] - angle, profile[near] / profile[near].sum()
        assert np.sqrt(weight @ x**2) == pytest.approx(width / np.sqrt(8 * np.log(2)), rel=0.02)


def test_padding_rows_and_lines_outside():
    angles = np.array([[20.0, 0.0], [30.0, 31.0], [4.0, 80.0]])
    areas = np.array([[1.0, 0.0], [1.0, 2.0], [0.0, 1.0]])
    profiles = draw(angles, areas, np.full((3, 2), 0.1), GRID)
    np.testing.assert_allclose(profiles[0], one_line(20.0, 0.1, 0.5), atol=1e-4)
    assert profiles[2].max() == 0
    assert draw(np.empty((2, 0)), np.empty((2, 0)), np.empty((2, 0)), GRID).shape == (2, GRID.size)
    assert not draw(angles * np.nan, areas, np.full((3, 2), 0.1), GRID).any()


def test_rows_do_not_disturb_each_other():
    rng = np.random.default_rng(1)
    angles, areas, widths = rng.uniform(6, 49, (4, 20)), rng.random((4, 20)), rng.uniform(0.05, 0.3, (4, 20))
    eta = np.array([0.1, 0.4, 0.6, 0.9])
    together = draw(angles, areas, widths, GRID, eta)
    for row in range(4):
        alone = draw(angles[row : row + 1], areas[row : row + 1], widths[row : row + 1], GRID, eta[row])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5 * together.max())


def test_lines_at_the_edge_do_not_come_round():
    profile = one_line(GRID.stop, 0.2, 0.0)
    assert profile[: GRID.size // 2].max() < 1e-6 * profile.max()
    assert one_line(GRID.stop + 0.1, 0.2, 0.0)[-1] > 0


def test_render_takes_lists_and_leaves_its_input_alone():
    angles, heights = np.array([10.0, 20.0]), np.array([0.5, 2.0])
    coarse = Grid(5, 50, 0.04)
    profile = render(angles, heights, coarse, 0.1)
    np.testing.assert_array_equal(profile, render([10.0, 20.0], [0.5, 2], coarse, 0.1))
    assert (angles.tolist(), heights.tolist()) == ([10, 20], [0.5, 2])
    assert profile.shape == (coarse.size,)
    assert measured_width(coarse.two_theta, profile) == pytest.approx(0.1, abs=0.01)
    assert render([], [], coarse).max() == 0


@pytest.mark.parametrize("alike", [True, False])
def test_rows_of_one_width_each_are_drawn_as_draw_does(alike):
    """Lines within and beyond the grid, rows of many lines, of one and of none."""
    rng = np.random.default_rng(4)
    counts = np.array([40, 1, 0, 7])
    row = np.repeat(np.arange(4), counts)
    angles, areas = rng.uniform(4.0, 51.0, row.size), rng.random(row.size) * (rng.random(row.size) < 0.9)
    widths = np.full(4, 0.2) if alike else rng.uniform(0.05, 0.5, 4)
    grid = Grid(5.0, 50.0, 0.02)
    padded = np.zeros((2, 4, 40))
    for i, count in enumerate(counts):
        padded[:, i, :count] = angles[row == i], areas[row == i]
    expected = draw(padded[0], padded[1], np.broadcast_to(widths[:, None], (4, 40)), grid, 0.5, classes=1)
    got = draw_rows(angles, areas, row, widths, grid)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-6 * expected.max())
    assert not got[2].any()
