"""Patterns and grids."""

import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.radiation import ANODES, convert_two_theta

CU, CO = ANODES["Cu"].k_alpha, ANODES["Co"].k_alpha


def test_a_pattern_keeps_a_copy_that_nobody_can_write():
    angles, counts, meta = np.arange(5.0, 10), np.ones(5), {"anode": "Cu"}
    pattern = Pattern(angles, counts, meta=meta)
    angles[0], counts[0], meta["anode"] = 99, 99, "Co"
    assert (pattern.two_theta[0], pattern.intensity[0], pattern.meta["anode"]) == (5, 1, "Cu")
    for array in (pattern.two_theta, pattern.intensity):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(TypeError):
        pattern.meta["anode"] = "Fe"
    assert Pattern([1, 2], [3, 4]).intensity.tolist() == [3, 4]
    changed = pattern.with_intensity([1, 2, 3, 4, 5])
    assert (changed.meta["anode"], changed.intensity[4], pattern.intensity[4]) == ("Cu", 5, 1)


@pytest.mark.parametrize(
    ("angles", "counts", "reason"),
    [
        ([1, 2, 3], [1, 2], "equally long"),
        ([1], [1], "2 points"),
        ([[1, 2]], [[1, 2]], "1-D"),
        ([1, 2, np.nan], [1, 2, 3], "finite"),
        ([1, 2, 3], [1, np.inf, 3], "finite"),
        ([1, 3, 2], [1, 2, 3], "increase"),
        ([1, 2, 2], [1, 2, 3], "increase"),
    ],
)
def test_what_is_no_pattern(angles, counts, reason):
    with pytest.raises(ValueError, match=reason):
        Pattern(angles, counts)


def test_step_is_the_median():
    assert Pattern([5, 5.02, 5.04, 5.06, 9], np.ones(5)).step == pytest.approx(0.02)


def test_grid():
    grid = Grid(5, 50, 0.02)
    assert (grid.size, grid.two_theta[0]) == (2251, 5)
    assert grid.two_theta[-1] == pytest.approx(50)
    with pytest.raises(ValueError, match="read-only"):
        grid.two_theta[0] = 1
    for start, stop, step in ((0, 50, 0.02), (50, 5, 0.02), (5, 190, 0.02), (5, 50, 0), (5, 50, 60)):
        with pytest.raises(ValueError, match="grid needs"):
            Grid(start, stop, step)


def test_resampling_leaves_a_scan_on_the_grid_alone():
    grid = Grid(10, 20, 0.05)
    counts = np.random.default_rng(0).poisson(100, grid.size)
    pattern = Pattern(grid.two_theta, counts, grid.wavelength)
    values, mask = grid.resample(pattern)
    np.testing.assert_allclose(values, counts)
    assert mask.all()
    again, _ = grid.resample(pattern)
    np.testing.assert_array_equal(values, again)


def test_the_mask_marks_the_measured_range():
    grid = Grid(5, 50, 0.02)
    values, mask = grid.resample(Pattern(np.arange(10, 30.001, 0.02), np.full(1001, 7.0), grid.wavelength))
    assert grid.two_theta[mask][[0, -1]].tolist() == pytest.approx([10, 30])
    assert (values[mask] == 7).all()
    assert (values[~mask] == 0).all()
    _, none = grid.resample(Pattern([60, 61, 62], [1, 2, 3], grid.wavelength))
    assert not none.any()


@pytest.mark.parametrize("share", [2, 4, 5])
def test_a_finer_scan_is_averaged_so_that_its_noise_falls_as_counts_do(share):
    grid = Grid(10, 50, 0.04)
    fine = np.arange(10 - 0.02, 50 + 0.02, 0.04 / share) + 0.02 / share
    counts = np.random.default_rng(1).poisson(400, fine.size)
    values, mask = grid.resample(Pattern(fine, counts, grid.wavelength))
    inside = values[mask]
    assert inside.mean() == pytest.approx(400, rel=0.01)
    assert inside.std() == pytest.approx(20 / np.sqrt(share), rel=0.1)


def test_a_coarser_scan_is_interpolated():
    grid = Grid(10, 20, 0.02)
    values, mask = grid.resample(Pattern(np.arange(10, 20.01, 0.1), np.arange(101.0), grid.wavelength))
    np.testing.assert_allclose(values[mask], (grid.two_theta[mask] - 10) * 10, atol=1e-9)


def test_a_cobalt_scan_lands_where_copper_would_show_it():
    grid = Grid(5, 50, 0.02)
    angles = np.arange(5, 70, 0.02)
    line = np.exp(-0.5 * ((angles - 30) / 0.05) ** 2)
    expected = convert_two_theta([30.0], CO, CU)[0]
    for pattern, place in ((Pattern(angles, line, CO), expected), (Pattern(angles, line, CU), 30.0)):
        values, _ = grid.resample(pattern)
        assert (values @ grid.two_theta) / values.sum() == pytest.approx(place, abs=0.005)
    values, _ = grid.resample(Pattern(angles, line))  # nobody knows: the grid's wavelength
    assert grid.two_theta[values.argmax()] == pytest.approx(30, abs=0.011)
    molybdenum = Grid(5, 50, 0.02, 0.7107)
    _, mask = molybdenum.resample(Pattern(np.arange(5, 170, 0.1), np.ones(1650), 2.29))
    assert mask.any()


def test_a_grid_that_would_fill_the_memory_is_refused():
    with pytest.raises(ValueError, match="at most 1000000"):
        Grid(5.0, 50.0, 1e-9)


def test_nearest_is_where_the_grid_has_an_angle():
    grid = Grid(5.0, 50.0, 0.02)
    assert [grid.nearest(float(angle)) for angle in grid.two_theta] == list(range(grid.size))
    assert grid.nearest(5.009) == 0
    assert grid.nearest(5.011) == 1
    assert grid.nearest(4.98) == -1
    assert grid.nearest(50.02) == grid.size
