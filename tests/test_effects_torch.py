"""Each effect on tensors against its twin in numpy: the same distributions, over thousands of draws; what is not drawn, to rounding."""

from __future__ import annotations

from dataclasses import replace

import cifs
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from scipy.stats import ks_2samp  # noqa: E402

from xrdmatch.diffraction import radiation  # noqa: E402
from xrdmatch.diffraction.lattice import tied_axes  # noqa: E402
from xrdmatch.diffraction.pattern import Grid  # noqa: E402
from xrdmatch.library.build import entry_of  # noqa: E402
from xrdmatch.library.reference_library import Library  # noqa: E402
from xrdmatch.model.library_vectors import ideal as ideal_pattern  # noqa: E402
from xrdmatch.preprocessing import recipe  # noqa: E402
from xrdmatch.preprocessing.recipe import Recipe  # noqa: E402
from xrdmatch.training import effects_numpy  # noqa: E402
from xrdmatch.training import effects_torch as tensors  # noqa: E402
from xrdmatch.training.effects_numpy import LEVELS, Hardness  # noqa: E402

GRID = Grid(5.0, 50.0, 0.04)
#: p-value below which two samples are said to differ. Draws are seeded, so a test that passes always does; thirty comparisons are made.
ALIKE = 1e-3


@pytest.fixture
def rng():
    return np.random.default_rng(21), torch.Generator().manual_seed(22)


@pytest.fixture(scope="module")
def mofs():
    rng = np.random.default_rng(12)
    structures = [
        cifs.cubic_frame("cubic"),
        cifs.random_structure(rng, (9.1, 10.3, 12.7, 81, 96, 112), 25, "triclinic"),
        cifs.random_structure(rng, (14.2, 14.2, 6.9, 90, 90, 120), 30, "hexagonal"),
    ]
    return Library.from_entries([entry_of(structure) for structure in structures])


def alike(one, other):
    """Whether two samples of one number may come from one distribution (Kolmogorov and Smirnov); single precision calls 1e-50 zero."""
    first, second = (np.asarray(values, dtype=float).ravel().round(6) for values in (one, other))
    return ks_2samp(first, second).pvalue > ALIKE


def test_the_comparison_tells_apart(rng):
    host, _ = rng
    first = host.normal(0.0, 1.0, 8000)
    assert alike(first, host.normal(0.0, 1.0, 8000))
    assert not alike(first, host.normal(0.0, 1.15, 8000))
    assert not alike(first, host.normal(0.1, 1.0, 8000))


def one_line_each(d, k):
    """Twins of k rows with lines of these d: padded (k, p) for numpy; 1/d^2 and row (n,) for tensors."""
    return (
        np.tile(d, (k, 1)).astype(float),
        torch.tensor(np.tile(1.0 / np.asarray(d) ** 2, k), dtype=torch.float32),
        torch.arange(k).repeat_interleave(len(d)),
    )


@pytest.mark.parametrize("cell", [(10, 11, 12, 90, 95, 90), (10, 10, 14, 90, 90, 120), (10, 10, 10, 90, 90, 90)])
@pytest.mark.parametrize("level", [Hardness(), replace(Hardness(), strain=0.0, breathing=1.0)])
def test_cell_strain(rng, cell, level):
    k = 6000
    cells = np.tile(np.array(cell, dtype=float), (k, 1))
    group, free = (torch.from_numpy(np.tile(one, (k, 1))) for one in tied_axes(cells[0]))
    wanted = effects_numpy.cell_strain(cells, rng[0], level)
    got = tensors.cell_strain(torch.tensor(cells, dtype=torch.float32), group, free.float(), rng[1], level).numpy()
    for axis in range(6):
        if np.ptp(wanted[:, axis]) == 0:
            assert np.ptp(got[:, axis]) == 0
        else:
            assert alike(wanted[:, axis], got[:, axis])
    if np.ptp(wanted[:, 0]) > 0:
        assert np.corrcoef(got[:, :3].T) == pytest.approx(np.corrcoef(wanted[:, :3].T), abs=0.06)


def test_metric_and_spacings(mofs):
    lines = tensors.Lines.of(mofs)
    rows = np.array([2, 0, 1, 0])
    hkl, intensity, row, there = lines.of_rows(rows)
    metric = tensors.reciprocal_metric(lines.cell[there])
    np.testing.assert_allclose(metric, radiation.reciprocal_metric(mofs.cell[rows]), rtol=2e-5, atol=1e-9)
    squared = tensors.inverse_d_squared(hkl, metric, row)
    for i, entry in enumerate(rows):
        d, area = mofs.lines(entry)
        np.testing.assert_allclose(1.0 / np.sqrt(squared[row == i].numpy()), d, rtol=2e-5)
        np.testing.assert_array_equal(intensity[row == i], area)
    np.testing.assert_allclose(
        tensors.lorentz_polarisation(torch.tensor([3.0, 20.0, 90.0, 140.0])), radiation.lorentz_polarisation([3, 20, 90, 140]), rtol=1e-4
    )


def test_debye_waller(rng):
    d, squared, row = one_line_each([1.8, 5.0], 5000)
    wanted, got = (
        effects_numpy.debye_waller(d, rng[0], Hardness()),
        tensors.debye_waller(squared, row, 5000, rng[1], Hardness()).reshape(5000, 2).numpy(),
    )
    assert alike(wanted[:, 0], got[:, 0])
    np.testing.assert_allclose(np.log(got[:, 0]) * 1.8**2, np.log(got[:, 1]) * 5.0**2, rtol=1e-2, atol=1e-4)  # one B a row


def test_texture(rng):
    k, level = 6000, Hardness()
    hkl = np.array([[1.0, 0, 0], [1, 1, 0], [2, 1, 3], [2, 0, 0]])
    metric = radiation.reciprocal_metric([9.1, 10.3, 12.7, 81, 96, 112])
    wanted = effects_numpy.march_dollase(np.tile(hkl, (k, 1, 1)), np.tile(metric, (k, 1, 1)), rng[0], level)
    lines, row = torch.tensor(np.tile(hkl, (k, 1)).T, dtype=torch.float32), torch.arange(k).repeat_interleave(4)
    metrics = torch.tensor(np.tile(metric, (k, 1, 1)), dtype=torch.float32)
    squared = tensors.inverse_d_squared(lines, metrics, row)
    got = tensors.march_dollase(lines, squared, metrics, row, rng[1], level).reshape(k, 4).numpy()
    for line in range(3):
        assert alike(wanted[:, line], got[:, line])
    np.testing.assert_allclose(got[:, 0], got[:, 3], rtol=1e-4)  # orders of one plane alike
    assert np.corrcoef(got.T) == pytest.approx(np.corrcoef(wanted.T), abs=0.06)


def test_guests(rng):
    d, squared, row = one_line_each([1.8, 6.0, 30.0], 6000)
    wanted = np.log(effects_numpy.guest_intensities(d, rng[0], Hardness()))
    got = np.log(tensors.guest_intensities(squared, row, 6000, rng[1], Hardness()).reshape(6000, 3).numpy())
    for line in range(3):
        assert alike(wanted[:, line], got[:, line])
    assert abs(np.corrcoef(got.T)[0, 1]) < 0.05
    assert np.corrcoef(np.abs(got.T))[1, 2] == pytest.approx(np.corrcoef(np.abs(wanted.T))[1, 2], abs=0.05)  # one strength a row


def test_positions(rng):
    d, squared, row = one_line_each([20.0, 4.0, 2.0], 6000)
    wanted = effects_numpy.line_positions(d, GRID, rng[0], Hardness())
    got = tensors.line_positions(squared, row, 6000, GRID, rng[1], Hardness()).reshape(6000, 3).numpy()
    for line in range(3):
        assert alike(wanted[:, line], got[:, line])
    assert np.corrcoef(got.T)[0, 2] == pytest.approx(np.corrcoef(wanted.T)[0, 2], abs=0.02)
    still = replace(Hardness(), zero_shift=0.0, displacement=0.0)
    np.testing.assert_allclose(
        tensors.line_positions(squared[:3], row[:3], 1, GRID, rng[1], still), radiation.two_theta(d[0], GRID.wavelength), atol=2e-4
    )


def test_widths(rng):
    k = 6000
    angles = np.tile([4.0, 25.0, 48.0], (k, 1))
    wanted = effects_numpy.line_widths(angles, GRID, rng[0], Hardness())
    row = torch.arange(k).repeat_interleave(3)
    got = tensors.line_widths(torch.tensor(angles, dtype=torch.float32).flatten(), row, k, GRID, rng[1], Hardness()).reshape(k, 3).numpy()
    for line in range(3):
        assert alike(wanted[:, line], got[:, line])
    assert np.corrcoef(got.T)[0, 2] == pytest.approx(np.corrcoef(wanted.T)[0, 2], abs=0.05)


def test_impurities(rng):
    (angles, wanted), (got_angles, got) = (
        effects_numpy.impurity_lines(8000, GRID, rng[0], Hardness()),
        tensors.impurity_lines(8000, GRID, rng[1], Hardness()),
    )
    assert alike(angles, got_angles)
    assert (got.numpy() > 0).any(axis=1).mean() == pytest.approx(Hardness().impurity, abs=0.02)
    assert alike((wanted > 0).sum(axis=1), (got > 0).sum(dim=1))
    assert alike(wanted[wanted > 0], got[got > 0])


@pytest.mark.parametrize("effect", ["fluorescence", "air_scatter", "haloes"])
def test_backgrounds(rng, effect):
    k, more = 5000, [Hardness()] if effect == "haloes" else []
    coarse = Grid(5.0, 50.0, 1.0)
    where = [] if effect == "fluorescence" else [coarse]
    wanted, got = getattr(effects_numpy, effect)(k, *where, rng[0], *more), getattr(tensors, effect)(k, *where, rng[1], *more).numpy()
    assert got.shape == wanted.shape
    for column in range(0, wanted.shape[1], 9):
        assert alike(wanted[:, column], got[:, column])
    assert alike(wanted.max(axis=1), got.max(axis=1))
    assert alike(wanted.argmax(axis=1), got.argmax(axis=1))


def test_counting(rng):
    k, level = 4000, Hardness()
    profile = np.tile([0.0, 0.003, 0.05, 1.0], (k, 1))
    wanted = effects_numpy.counting_statistics(profile, rng[0], level)
    got = tensors.counting_statistics(torch.tensor(profile, dtype=torch.float32), torch.ones(k, 4, dtype=torch.bool), rng[1], level).numpy()
    assert np.array_equal(got, np.round(got))
    for column in range(4):
        assert alike(wanted[:, column], got[:, column])
    fixed = replace(level, counts=(1.5, 1.5))  # 31.6 counts: the exact draw
    got = tensors.counting_statistics(torch.ones(20_000, 1), torch.ones(20_000, 1, dtype=torch.bool), rng[1], fixed).numpy()
    assert got.mean() == pytest.approx(10**1.5, rel=0.01)
    assert got.var() == pytest.approx(10**1.5, rel=0.04)


def test_smeared_noise(rng):
    k, level = 3000, Hardness()
    counts = np.full((k, 200), 400.0)
    points = 5
    got = tensors.smear_noise(torch.tensor(counts, dtype=torch.float32), GRID, rng[1], level, points).numpy() - counts
    smeared = np.abs(got).max(axis=1) > 0
    assert smeared.mean() == pytest.approx(level.smear, abs=0.03)
    noise = got[smeared]
    assert noise.std() == pytest.approx(20.0, rel=0.03)
    lags = [np.mean(noise[:, : -lag or None] * noise[:, lag:]) / noise.var() for lag in (1, 2, 4, 5, 8)]
    assert lags == pytest.approx([0.8, 0.6, 0.2, 0.0, 0.0], abs=0.04)  # of a running mean of five
    host = np.random.default_rng(3)
    assert {effects_numpy.smear_width(GRID, host) for _ in range(200)} == {3, 5, 7}


def test_range(rng):
    wanted, got = effects_numpy.range_cut(5000, GRID, rng[0], Hardness()), tensors.range_cut(5000, GRID, rng[1], Hardness()).numpy()
    assert alike(wanted.argmax(axis=1), got.argmax(axis=1))
    assert alike(wanted.sum(axis=1), got.sum(axis=1))
    whole = tensors.range_cut(50, GRID, rng[1], replace(Hardness(), cut=0.0))
    assert whole.all()


def test_drawn_profiles_are_those_of_numpy():
    """Rows of many lines of differing widths, of one line, and of lines outside alone."""
    host = np.random.default_rng(5)
    k, p = 6, 40
    angles, areas, widths = host.uniform(4.0, 52.0, (k, p)), host.random((k, p)), host.uniform(0.05, 0.5, (k, p))
    areas[1, 1:], areas[2], widths[3] = 0.0, 0.0, 0.2
    angles[4] = host.uniform(60.0, 90.0, p)
    eta = host.uniform(0.1, 0.9, k)
    flat = [torch.tensor(one, dtype=torch.float32).flatten() for one in (angles, areas, widths)]
    got = tensors.draw(*flat, torch.arange(k).repeat_interleave(p), GRID, torch.tensor(eta, dtype=torch.float32))
    wanted = effects_numpy.draw(angles, areas, widths, GRID, eta)
    np.testing.assert_allclose(got, wanted, atol=3e-4 * wanted.max())
    assert not got[2].any()
    assert not got[4].any()


def test_ideal_profiles_are_those_of_numpy(mofs):
    got = tensors.ideal(tensors.Lines.of(mofs), np.array([0, 1, 2]), GRID, 0.15, 2.0)
    np.testing.assert_allclose(got, ideal_pattern(mofs, np.array([0, 1, 2]), GRID, 0.15, 2.0), atol=1e-3)


@pytest.mark.parametrize("level", LEVELS)
def test_whole_patterns(mofs, level):
    """Everything together: totals, maxima, ranges and network inputs of patterns of one structure each."""
    rows = np.arange(3).repeat(700)
    host = np.random.default_rng(31)
    wanted, mask = effects_numpy.measured_like(mofs, rows, GRID, host, LEVELS[level])
    device = torch.Generator().manual_seed(32)
    got, got_mask = tensors.measured_like(tensors.Lines.of(mofs), rows, GRID, device, host, LEVELS[level])
    assert torch.isfinite(got).all()
    assert (got >= 0).all()
    assert not got[~got_mask].any()
    settings = Recipe(grid=GRID)
    inputs = settings.apply_batch(wanted, mask)[:, 0]
    got_inputs = tensors.network_input(settings, got, got_mask)[:, 0].numpy()
    for row in range(3):
        these = rows == row
        for one, other in ((wanted, got.numpy()), (inputs, got_inputs)):
            assert alike(one[these].max(axis=1), other[these].max(axis=1))
            assert alike((one[these] > 0).mean(axis=1), (other[these] > 0).mean(axis=1))
            assert alike(one[these].argmax(axis=1), other[these].argmax(axis=1))
        mean, other = inputs[these].mean(axis=0), got_inputs[these].mean(axis=0)
        assert mean @ other / np.sqrt((mean @ mean) * (other @ other)) > 0.98
    assert alike(mask.sum(axis=1), got_mask.sum(dim=1))


def test_network_input_is_the_recipes(mofs):
    """On the same counts and masks: the recipe's, but for which of two middle values is a median."""
    counts, mask = effects_numpy.measured_like(mofs, np.arange(3).repeat(40), GRID, np.random.default_rng(41))
    settings = Recipe(grid=GRID)
    wanted = settings.apply_batch(counts, mask)
    got = tensors.network_input(settings, torch.tensor(counts, dtype=torch.float32), torch.tensor(mask)).numpy()
    np.testing.assert_array_equal(got[:, 1], wanted[:, 1])
    cosines = np.einsum("km,km->k", got[:, 0], wanted[:, 0]) / GRID.size
    assert cosines.min() > 0.999
    filled = recipe.fill_outside(counts.astype(np.float32), mask)
    half_a_count = 0.5 * recipe._SECOND_DIFFERENCE  # between two middle values of whole counts
    sigma = tensors.noise_sigma(torch.tensor(filled), torch.tensor(mask))
    np.testing.assert_allclose(sigma, recipe.noise_sigma(filled, mask), rtol=1e-5, atol=1.001 * half_a_count)
    clean = settings.apply_batch(ideal_pattern(mofs, np.arange(3), GRID), np.ones((3, GRID.size), dtype=bool))
    ideal = torch.tensor(ideal_pattern(mofs, np.arange(3), GRID))
    np.testing.assert_allclose(tensors.network_input(settings, ideal, torch.ones(3, GRID.size, dtype=torch.bool)), clean, atol=0.05)


def test_one_seed_gives_one_batch(mofs):
    def batch(seed):
        return tensors.measured_like(
            tensors.Lines.of(mofs), np.array([0, 1, 2, 1]), GRID, torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        )[0]

    assert torch.equal(batch(1), batch(1))
    assert not torch.equal(batch(1), batch(2))


def test_what_only_numpy_does_is_refused(mofs, rng):
    with pytest.raises(ValueError, match="effects_numpy only"):
        tensors.measured_like(tensors.Lines.of(mofs), np.array([0]), GRID, rng[1], rng[0], replace(Hardness(), doublet=0.5))
    with pytest.raises(ValueError, match="minmax"):
        tensors.network_input(Recipe(kind="minmax"), torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.bool))


@pytest.mark.gpu
def test_a_batch_on_cuda_is_like_one_on_the_cpu(mofs):
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} finds no GPU")
    rows, host = np.arange(3).repeat(500), np.random.default_rng(6)
    made = {}
    for device in ("cpu", "cuda"):
        counts, mask = tensors.measured_like(tensors.Lines.of(mofs, device), rows, GRID, torch.Generator(device).manual_seed(1), host)
        made[device] = tensors.network_input(Recipe(grid=GRID), counts, mask)[:, 0].cpu().numpy()
    assert alike(made["cpu"].max(axis=1), made["cuda"].max(axis=1))
    mean, other = (one.mean(axis=0) for one in made.values())
    assert mean @ other / np.sqrt((mean @ mean) * (other @ other)) > 0.98
