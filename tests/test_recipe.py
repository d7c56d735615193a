"""From a pattern to network input."""

import json

import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.errors import ModelError
from xrdmatch.preprocessing.recipe import Recipe, fill_outside, noise_sigma, smeared_noise

GRID = Grid(5, 45, 0.04)
RECIPES = {"search": Recipe(grid=GRID), "minmax": Recipe(kind="minmax", grid=GRID), "linear": Recipe(grid=GRID, power=1.0, gate=0.0)}


def scan(seed=0, start=6.0, stop=40.0, lines=(8.0, 12.5, 13.1, 22.0), counts=2000.0, wavelength=GRID.wavelength):
    angles = np.arange(start, stop, 0.02)
    mean = 200 * np.exp(-angles / 15) + 40 + sum(counts * np.exp(-0.5 * ((angles - line) / 0.06) ** 2) for line in lines)
    return Pattern(angles, np.random.default_rng(seed).poisson(mean), wavelength)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
class TestContract:
    def test_shape_type_and_values(self, recipe):
        given = recipe.apply(scan())
        assert (given.shape, given.dtype) == ((recipe.channels, GRID.size), np.float32)
        assert np.isfinite(given).all()
        assert given.min() >= 0

    def test_the_pattern_is_unchanged_and_the_result_repeats(self, recipe):
        pattern = scan()
        before = pattern.intensity.copy()
        np.testing.assert_array_equal(recipe.apply(pattern), recipe.apply(pattern))
        np.testing.assert_array_equal(pattern.intensity, before)

    def test_a_batch_is_its_rows_and_its_input_is_unchanged(self, recipe):
        rng = np.random.default_rng(1)
        intensity, mask = rng.poisson(100, (5, GRID.size)).astype(float), np.ones((5, GRID.size), dtype=bool)
        mask[1, :100], mask[2, 700:] = False, False
        before = intensity.copy()
        together = recipe.apply_batch(intensity, mask)
        np.testing.assert_array_equal(intensity, before)
        for row in range(5):
            np.testing.assert_allclose(together[row], recipe.apply_batch(intensity[row : row + 1], mask[row : row + 1])[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(recipe.apply_batch(intensity.tolist(), mask), together)

    def test_scale_of_the_counts_does_not_matter(self, recipe):
        pattern = scan()
        np.testing.assert_allclose(recipe.apply(pattern.with_intensity(37.0 * pattern.intensity)), recipe.apply(pattern), rtol=1e-2, atol=1e-3)

    @pytest.mark.parametrize("level", [0.0, 5.0])
    def test_an_empty_scan_gives_no_lines(self, recipe, level):
        given = recipe.apply(Pattern([10, 20, 30], [level] * 3, GRID.wavelength))
        assert np.isfinite(given).all()
        assert given[0].max() == 0

    def test_a_scan_outside_the_grid_gives_nothing(self, recipe):
        given = recipe.apply(Pattern([60, 61, 62], [1, 2, 3], GRID.wavelength))
        assert np.isfinite(given).all()
        assert not given.any()

    def test_json_round_trip(self, recipe):
        assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
        assert Recipe.from_json(json.dumps(recipe.to_json())) == recipe


def test_the_search_recipe_keeps_lines_and_drops_background_and_noise():
    given, mask = RECIPES["search"].apply(scan())
    at = {line: given[np.abs(GRID.two_theta - line) < 0.1].max() for line in (8.0, 12.5, 13.1, 22.0)}
    assert min(at.values()) > 0.7 * max(at.values())
    away = mask.astype(bool) & np.all([np.abs(GRID.two_theta - line) > 0.6 for line in at], axis=0)
    assert (given[away] > 0).mean() < 0.2
    assert np.mean(given[away]) < 0.02 * max(at.values())
    assert (given[mask == 0] == 0).all()
    assert given @ given == pytest.approx(GRID.size, rel=1e-3)


def test_minmax_spans_zero_to_one_over_the_measured_range():
    (given,) = RECIPES["minmax"].apply(scan())
    assert (given.min(), given.max()) == (0, 1)


def test_weak_lines_gain_by_the_power():
    rows = np.zeros((1, GRID.size))
    for place, height in ((200, 10_000), (500, 100)):
        rows[0] += height * np.exp(-0.5 * ((np.arange(GRID.size) - place) / 2) ** 2)
    mask = np.ones(rows.shape, dtype=bool)
    square, linear = (Recipe(grid=GRID, gate=0.0, power=power).apply_batch(rows, mask)[0, 0] for power in (0.5, 1.0))
    assert square[500] / square[200] == pytest.approx(0.1, rel=0.05)
    assert linear[500] / linear[200] == pytest.approx(0.01, rel=0.05)


def test_a_range_cut_does_not_bring_lines():
    """A scan that starts on a steep background has no line at its first point."""
    angles = np.arange(9, 40, 0.04)
    values, mask = GRID.resample(Pattern(angles, 1000 * np.exp(-(angles - 9) / 3) + 50, GRID.wavelength))
    signal = RECIPES["search"].signal(values[None].astype(np.float32), mask[None])
    assert signal.max() < 1


@pytest.mark.parametrize("sigma", [0.5, 10.0, 300.0])
def test_noise_sigma_is_recovered_under_slopes_and_lines(sigma):
    rng = np.random.default_rng(2)
    x = np.arange(2000)
    smooth = 50 * sigma * np.exp(-x / 500) + sum(80 * sigma * np.exp(-0.5 * ((x - place) / 3) ** 2) for place in (300, 700, 1500))
    rows = (smooth + rng.normal(0, sigma, (40, 2000))).astype(np.float32)
    assert noise_sigma(rows).mean() == pytest.approx(sigma, rel=0.05)
    mask = np.ones(rows.shape, dtype=bool)
    mask[:, 1200:] = False
    assert noise_sigma(fill_outside(rows, mask), mask).mean() == pytest.approx(sigma, rel=0.06)
    mask[0] = False
    assert np.isfinite(noise_sigma(rows, mask)).all()
    assert noise_sigma(np.zeros((1, 100), np.float32))[0] == 0


def test_fill_outside_goes_on_with_the_first_and_last_value():
    mask = np.array([[False, True, True, False], [True, True, True, True]])
    filled = fill_outside(np.array([[9, 1, 2, 9], [1, 2, 3, 4]], dtype=np.float32), mask)
    assert filled.tolist() == [[1, 1, 2, 2], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    "data", ["", "[]", "{}", '{"grid": 5}', '{"kind": "other", "grid": {}}', '{"kind": "search", "grid": {}, "colour": 1}', "null"]
)
def test_a_recipe_that_is_not_understood(data):
    with pytest.raises(ModelError, match="recipe is not understood"):
        Recipe.from_json(data)


def test_unknown_kind():
    with pytest.raises(ValueError, match="unknown recipe kind"):
        Recipe(kind="else")


def test_a_grid_in_a_models_configuration_that_would_fill_the_memory_is_refused():
    stored = Recipe().to_json()
    stored["grid"]["step"] = 1e-9
    with pytest.raises(ModelError, match="at most 1000000"):
        Recipe.from_json(stored)


def test_smeared_noise_agrees_with_its_naive_twin():
    """Of two scans asked for by turns, so that what is kept of one is never taken for the other."""
    for _ in range(2):
        for pattern in (scan(1), scan(2, counts=300.0)):
            for width, percentile in ((0.1, 25.0), (0.1, 50.0), (0.2, 25.0)):
                points = max(1, round(width / pattern.step)) | 1
                smooth = np.convolve(np.pad(pattern.intensity, points // 2, mode="edge"), np.full(points, 1.0 / points), "valid")
                bends = [
                    abs(smooth[i] - 0.5 * (smooth[i - 2 * points] + smooth[i + 2 * points])) for i in range(2 * points, smooth.size - 2 * points)
                ]
                middles = [np.median(part) for part in np.array_split(bends, 24)]
                wanted = np.percentile(middles, percentile) / 0.67449 / np.sqrt(1.5)
                assert smeared_noise(pattern, width, percentile) == pytest.approx(wanted, rel=1e-3)
    assert smeared_noise(scan(stop=8.0), 0.1) == 0.0
