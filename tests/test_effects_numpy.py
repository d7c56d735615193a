"""What each effect does to the distribution of patterns, over thousands of draws."""

from dataclasses import fields, replace

import cifs
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.radiation import d_spacing, inverse_d_squared, reciprocal_metric
from xrdmatch.diffraction.structure_factors import simulate_pattern
from xrdmatch.library.build import entry_of
from xrdmatch.library.reference_library import Library
from xrdmatch.model.library_vectors import ideal as ideal_pattern
from xrdmatch.training import effects_numpy
from xrdmatch.training.effects_numpy import LEVELS, Hardness

GRID = Grid(5.0, 50.0, 0.02)
LEVEL = Hardness()
NOTHING = Hardness(0, 0, 0, 0, 0, 0, 0, 0, 0, (100.0, 100.0), 0, (0.1, 0.1), 0, 0, 0, 0, (4.0, 4.0), 0)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture(scope="module")
def structures():
    rng = np.random.default_rng(12)
    triclinic = cifs.random_structure(rng, (9.1, 10.3, 12.7, 81, 96, 112), 25, "triclinic")
    return [cifs.cubic_frame("cubic"), triclinic, cifs.random_structure(rng, (14.2, 14.2, 6.9, 90, 90, 120), 30, "hexagonal")]


@pytest.fixture(scope="module")
def mofs(structures):
    return Library.from_entries([entry_of(structure) for structure in structures])


def test_levels_grow_harder():
    easy, middle, hard = (LEVELS[name] for name in ("easy", "middle", "hard"))
    assert middle == Hardness()
    for name in (field.name for field in fields(Hardness)):
        values = [getattr(level, name) for level in (easy, middle, hard)]
        if name == "counts":
            assert values[0] > values[1] > values[2]
        elif name == "size":
            assert values[0][0] > values[1][0] > values[2][0]
        else:
            assert values == sorted(values), name


class TestCellStrain:
    quiet = replace(LEVEL, breathing=0.0)

    def strained(self, cell, rng, level=None, count=8000):
        cells = np.tile(np.array(cell, dtype=float), (count, 1))
        before = cells.copy()
        changed = effects_numpy.cell_strain(cells, rng, level or self.quiet)
        np.testing.assert_array_equal(cells, before)
        return changed[:, :3] / cells[:, :3] - 1, changed[:, 3:] - cells[:, 3:]

    def test_lengths_spread_as_stated(self, rng):
        lengths, angles = self.strained((10, 11, 12, 90, 95, 90), rng)
        assert np.abs(lengths.mean(axis=0)).max() < 3e-4
        np.testing.assert_allclose(lengths.std(axis=0), self.quiet.strain, rtol=0.15)
        assert angles[:, 1].std() == pytest.approx(100 * self.quiet.strain, rel=0.1)
        assert np.abs(angles[:, [0, 2]]).max() == 0
        assert 0.5 < np.corrcoef(lengths.T)[0, 1] < 0.95  # swelling as a whole outweighs distortion

    @pytest.mark.parametrize(
        ("cell", "tied"),
        [((10, 10, 10, 90, 90, 90), (0, 1, 2)), ((10, 10, 14, 90, 90, 120), (0, 1)), ((10, 12, 10, 90, 90, 90), (0, 2))],
    )
    @pytest.mark.parametrize("level", [quiet, replace(LEVEL, breathing=1.0)])
    def test_tied_axes_stay_tied(self, rng, cell, tied, level):
        lengths, angles = self.strained(cell, rng, level, 500)
        for axis in tied[1:]:
            np.testing.assert_allclose(lengths[:, axis], lengths[:, tied[0]], atol=1e-12)
        assert np.abs(angles).max() == 0
        free = set(range(3)) - set(tied)
        assert all(not np.allclose(lengths[:, axis], lengths[:, tied[0]]) for axis in free)

    def test_breathing_comes_in_its_share_and_moves_axes_apart(self, rng):
        level = replace(LEVEL, strain=0.0, breathing=0.3)
        lengths, _ = self.strained((10, 11, 12, 90, 90, 90), rng, level)
        breathes = np.abs(lengths).max(axis=1) > 0
        assert breathes.mean() == pytest.approx(0.3, abs=0.02)
        assert np.abs(lengths).max() <= level.breathing_strain
        np.testing.assert_allclose(lengths[breathes].std(axis=0), level.breathing_strain / np.sqrt(3), rtol=0.05)
        assert abs(np.corrcoef(lengths[breathes].T)[0, 1]) < 0.1

    def test_every_cell_stays_a_cell(self, rng):
        for level in LEVELS.values():
            cells = np.tile([9.1, 10.3, 12.7, 81, 96, 112.0], (2000, 1))
            assert (np.linalg.eigvalsh(reciprocal_metric(effects_numpy.cell_strain(cells, rng, level))) > 0).all()


def test_debye_waller_dims_high_angles_within_its_range(rng):
    d = np.tile([1.7, 3.0, 20.0], (4000, 1))
    factor = effects_numpy.debye_waller(d, rng, LEVEL)
    b = -2 * d**2 * np.log(factor)
    np.testing.assert_allclose(b, b[:, :1].repeat(3, axis=1), rtol=1e-6)
    assert 0 <= b.min() < 0.1
    assert LEVEL.debye_waller - 0.1 < b.max() <= LEVEL.debye_waller
    assert b.mean() == pytest.approx(LEVEL.debye_waller / 2, rel=0.05)
    assert (factor[:, 2] > factor[:, 0]).all()


class TestTexture:
    def orientations(self, rng, k=400):
        """Many directions, evenly over the sphere, as indices of a cubic lattice."""
        points = rng.normal(size=(k, 300, 3))
        return points / np.linalg.norm(points, axis=2, keepdims=True), np.tile(np.eye(3), (k, 1, 1))

    def test_intensity_is_kept_over_all_orientations(self, rng):
        factor = effects_numpy.march_dollase(*self.orientations(rng), rng, replace(LEVEL, texture=1.0))
        assert factor.mean() == pytest.approx(1.0, abs=0.01)
        np.testing.assert_allclose(factor.mean(axis=1), 1.0, atol=0.25)

    def test_share_and_range(self, rng):
        factor = effects_numpy.march_dollase(*self.orientations(rng, 2000), rng, LEVEL)
        textured = np.ptp(factor, axis=1) > 0
        assert textured.mean() == pytest.approx(LEVEL.texture, abs=0.03)
        assert (factor[~textured] == 1).all()
        assert 1.6**-3 <= factor.min() < 1.1 * 1.6**-3
        assert 0.9 * 0.55**-3 < factor.max() <= 0.55**-3

    def test_plates_raise_the_lines_along_the_axis(self, rng):
        hkl = np.tile(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0]]), (3000, 1, 1))
        factor = effects_numpy.march_dollase(hkl, np.tile(np.eye(3), (3000, 1, 1)), rng, replace(LEVEL, texture=1.0))
        np.testing.assert_allclose(factor[:, 0], factor[:, 3])  # orders of one plane alike
        order = np.corrcoef(np.log(factor[:, :3]).T)
        assert order[0, 1] < 0.5


def test_guests_change_large_spacings_most(rng):
    d = np.tile([1.8, 6.0, 12.0, 30.0], (20_000, 1))
    logs = np.log(effects_numpy.guest_intensities(d, rng, LEVEL))
    spread = logs.std(axis=0)
    assert np.abs(logs.mean(axis=0)).max() < 0.01
    assert spread[0] < 0.6 * spread[1] < 0.6 * spread[2]
    assert spread[3] == pytest.approx(spread[2], rel=0.05)
    assert spread[2] == pytest.approx(np.hypot(LEVEL.guest, LEVEL.scatter) / np.sqrt(3), rel=0.05)  # strengths uniform from 0
    assert np.abs(np.corrcoef(logs.T)[0, 1]) < 0.05
    assert np.log(effects_numpy.guest_intensities(d, rng, replace(LEVEL, guest=0.0, scatter=0.0))).max() == 0


def test_shifts_spread_as_stated(rng):
    angles = np.array([5.0, 20.0, 45.0])
    d = np.tile(d_spacing(angles, GRID.wavelength), (20_000, 1))
    zero = effects_numpy.line_positions(d, GRID, rng, replace(LEVEL, displacement=0.0)) - angles
    np.testing.assert_allclose(zero.std(axis=0), LEVEL.zero_shift, rtol=0.03)
    np.testing.assert_allclose(zero, zero[:, :1].repeat(3, axis=1), atol=1e-9)
    sample = effects_numpy.line_positions(d, GRID, rng, replace(LEVEL, zero_shift=0.0)) - angles
    np.testing.assert_allclose(sample.std(axis=0), LEVEL.displacement * np.cos(np.radians(angles / 2)), rtol=0.03)
    both = effects_numpy.line_positions(d, GRID, rng, LEVEL) - angles
    assert np.abs(both.mean(axis=0)).max() < 0.002
    np.testing.assert_allclose(effects_numpy.line_positions(d[:1], GRID, rng, NOTHING)[0], angles)


class TestWidths:
    angles = np.tile([5.0, 20.0, 45.0], (4000, 1))

    def test_scherrer(self, rng):
        level = replace(NOTHING, size=(10.0, 10.0), instrument=(0.0, 0.0))
        widths = effects_numpy.line_widths(self.angles[:1], GRID, rng, level)[0]
        np.testing.assert_allclose(widths, np.degrees(0.9 * GRID.wavelength / (100.0 * np.cos(np.radians(self.angles[0] / 2)))))
        assert widths[1] == pytest.approx(0.807, abs=0.002)  # 10 nm at 20 degrees with copper

    def test_microstrain_grows_with_the_tangent(self, rng):
        level = replace(NOTHING, size=(1e9, 1e9), instrument=(0.0, 0.0), microstrain=0.004)
        widths = effects_numpy.line_widths(self.angles, GRID, rng, level)
        tangent = np.tan(np.radians(self.angles / 2))
        strain = np.radians(widths) / (4 * tangent)
        np.testing.assert_allclose(strain, strain[:, :1].repeat(3, axis=1), rtol=1e-3, atol=1e-6)
        assert strain.max() <= 0.004
        assert strain.mean() == pytest.approx(0.004 / 3, rel=0.1)  # the square of a uniform draw

    def test_parts_add_in_quadrature(self, rng):
        level = replace(NOTHING, size=(20.0, 20.0), instrument=(0.1, 0.1))
        widths = effects_numpy.line_widths(self.angles[:1], GRID, rng, level)[0]
        scherrer = np.degrees(0.9 * GRID.wavelength / (200.0 * np.cos(np.radians(self.angles[0] / 2))))
        np.testing.assert_allclose(widths, np.hypot(0.1, scherrer))

    def test_sizes_are_log_uniform(self, rng):
        level = replace(LEVEL, instrument=(0.0, 0.0), microstrain=0.0)
        widths = np.radians(effects_numpy.line_widths(self.angles, GRID, rng, level)[:, 0])
        size = 0.09 * GRID.wavelength / (widths * np.cos(np.radians(2.5)))
        assert level.size[0] <= size.min() < size.max() <= level.size[1]
        assert np.log(size).mean() == pytest.approx(np.log(level.size).mean(), abs=0.05)
        assert np.log(size).std() == pytest.approx(np.ptp(np.log(level.size)) / np.sqrt(12), rel=0.05)


def test_impurities_in_their_share(rng):
    angles, areas = effects_numpy.impurity_lines(20_000, GRID, rng, LEVEL)
    some = areas.max(axis=1) > 0
    assert some.mean() == pytest.approx(LEVEL.impurity, abs=0.015)
    assert 0 <= areas.min() < areas.max() <= 0.4
    count = (areas[some] > 0).sum(axis=1)
    assert set(count.tolist()) == set(range(1, 9))
    assert (GRID.start <= angles).all()
    assert (angles <= GRID.stop).all()
    assert effects_numpy.impurity_lines(100, GRID, rng, replace(LEVEL, impurity=0.0))[1].max() == 0


def test_backgrounds_are_positive_and_smooth(rng):
    level = effects_numpy.background(1500, GRID, rng, LEVEL)
    assert level.min() >= 0
    assert level.max() < 3
    assert np.abs(np.diff(level, axis=1)).max() < 0.03 * level.max()
    plain = effects_numpy.background(500, GRID, rng, replace(LEVEL, halo=0.0))
    assert (np.diff(plain, axis=1) <= 1e-12).all()
    humps = (np.diff(level, axis=1) > 1e-9).any(axis=1)
    share = 1 - (1 - LEVEL.halo) ** 2  # of two haloes; some hide on a steep slope
    assert 0.8 * share < humps.mean() <= share + 0.02


def test_fluorescence_is_flat_and_mostly_small(rng):
    flat = effects_numpy.fluorescence(20_000, rng)
    assert flat.shape == (20_000, 1)
    assert 0 <= flat.min() < flat.max() <= 0.3
    assert flat.mean() == pytest.approx(0.3 / 4, rel=0.03)  # of a cubed uniform draw


def test_air_scatter_falls_within_its_range(rng):
    air = effects_numpy.air_scatter(8000, GRID, rng)
    assert 0 <= air.min() < air.max() <= 0.9
    assert (np.diff(air, axis=1) <= 0).all()
    assert air[:, 0].mean() == pytest.approx(0.8 / 4 + 0.1 / 3, rel=0.05)
    np.testing.assert_allclose(air[:, -1], 0.0, atol=0.8 * np.exp(-45 / 6))  # what the slowest decay leaves
    steep = air[air[:, 0] > 0.4]
    after = np.array([np.interp(-np.exp(-1.0) * row[0], -row, GRID.two_theta - GRID.start) for row in steep])
    assert 0.9 < after.min() < 1.5  # degrees to 1/e; the slope beneath makes it longer
    assert 5.0 < after.max() < 12.0


def test_haloes_come_as_often_and_as_high_as_stated(rng):
    humps = effects_numpy.haloes(6000, GRID, rng, LEVEL)
    assert (humps.max(axis=1) > 0).mean() == pytest.approx(1 - (1 - LEVEL.halo) ** 2, abs=0.02)
    one = effects_numpy.haloes(20_000, Grid(5.0, 50.0, 0.5), rng, replace(LEVEL, halo=0.05, halo_height=1.0))
    some = one[one.max(axis=1) > 0.01]
    assert some.max() <= 2.0
    tops = Grid(5.0, 50.0, 0.5).two_theta[some.argmax(axis=1)]
    assert 7.5 <= tops.min() < 9.0
    assert 31.0 < tops.max() <= 32.5
    width = (some > 0.5 * some.max(axis=1, keepdims=True)).sum(axis=1) * 0.5
    assert 2.5 < width.min() < 5.0  # 2.35 standard deviations of 1.5 degrees
    assert 9.5 < np.percentile(width, 95) < 12.0  # of 5 degrees; a few rows have two humps
    assert effects_numpy.haloes(100, GRID, rng, replace(LEVEL, halo=0.0)).max() == 0


class TestDoublet:
    level = replace(LEVEL, doublet=0.6)
    d = np.tile([20.0, 5.0, 2.0], (20_000, 1))

    def split(self, rng, level=level):
        return effects_numpy.k_alpha_doublet(self.d, np.tile([3.0, 2.0, 1.0], (len(self.d), 1)), rng, level)

    def test_share_and_ratio(self, rng):
        _, areas = self.split(rng)
        ratio = areas[:, 3:] / areas[:, :3]
        np.testing.assert_allclose(ratio, ratio[:, :1].repeat(3, axis=1))
        both = ratio[:, 0] > 0
        assert both.mean() == pytest.approx(0.6, abs=0.01)
        assert 0.45 <= ratio[both].min() < 0.451
        assert 0.519 < ratio[both].max() <= 0.52
        assert ratio[both].mean() == pytest.approx(0.485, abs=0.001)
        np.testing.assert_allclose(areas[:, :3] + areas[:, 3:], np.tile([3.0, 2.0, 1.0], (len(areas), 1)))

    def test_positions_are_those_of_the_two_wavelengths(self, rng):
        from xrdmatch.diffraction.radiation import ANODES

        d, areas = self.split(rng)
        both = areas[:, 3] > 0
        np.testing.assert_array_equal(d[~both, :3], self.d[~both])
        copper = ANODES["Cu"]
        np.testing.assert_allclose(d[both, :3] / d[both, 3:], copper.k_alpha2 / copper.k_alpha1)
        # In 1/d, which is proportional to sin theta, the doublet's centre of gravity lies where the single line was.
        centre = (areas[:, :3] / d[:, :3] + areas[:, 3:] / d[:, 3:]) / (areas[:, :3] + areas[:, 3:])
        np.testing.assert_allclose(centre[both], 1 / self.d[both], rtol=1e-5)

    def test_a_line_splits_as_a_diffractometer_shows_it(self):
        """A line of d = 2 angstrom, at 45.3 degrees, becomes two that are 0.12 degrees apart."""
        from xrdmatch.library.reference_library import Entry

        one = Library.from_entries([Entry("one", "C", np.array([2.0, 2, 2, 90, 90, 90]), np.array([[1, 0, 0]], np.int16), np.ones(1))])
        grid = Grid(5.0, 50.0, 0.01)
        sharp = replace(NOTHING, size=(1e5, 1e5), instrument=(0.04, 0.04), counts=(7.0, 7.0), doublet=1.0)
        profile = effects_numpy.measured_like(one, np.array([0]), grid, np.random.default_rng(1), sharp)[0][0]
        profile = profile - np.median(profile)
        first = int(profile.argmax())
        second = first + 7 + int(profile[first + 7 :].argmax())
        assert grid.two_theta[second] - grid.two_theta[first] == pytest.approx(0.122, abs=0.015)
        assert profile[second] / profile[first] == pytest.approx(0.49, abs=0.06)
        single = effects_numpy.measured_like(one, np.array([0]), grid, np.random.default_rng(1), replace(sharp, doublet=0.0))[0][0]
        single = single - np.median(single)
        assert single[int(single.argmax()) + second - first] < 0.1 * single.max()

    def test_nothing_is_drawn_at_zero(self, rng):
        before = rng.bit_generator.state["state"]["state"]
        d, areas = self.split(rng, LEVEL)
        assert d is self.d
        assert areas.shape == self.d.shape
        assert rng.bit_generator.state["state"]["state"] == before


class TestMeasuredBlanks:
    level = replace(LEVEL, blank=0.4, blank_height=0.5)
    blanks = np.random.default_rng(2).poisson(np.linspace(60, 20, 300), (3, 300)).astype(float)

    def test_share_and_height(self, rng):
        counts = np.full((6000, 300), 100.0)
        added = effects_numpy.measured_blanks(counts, self.blanks, rng, self.level) - counts
        some = added.max(axis=1) > 0
        assert some.mean() == pytest.approx(0.4, abs=0.02)  # a few are scaled to less than a count
        heights = added.max(axis=1)[some] / 100
        assert heights.max() <= 0.5
        assert heights.mean() == pytest.approx(0.25, rel=0.05)
        assert heights.std() == pytest.approx(0.5 / np.sqrt(12), rel=0.05)
        assert (added >= 0).all()

    def test_the_noise_is_the_blanks_own(self, rng):
        counts = np.full((300, 300), 1e6)
        added = effects_numpy.measured_blanks(counts, self.blanks, rng, replace(self.level, blank=1.0)) - counts
        likest = [max(np.corrcoef(row, blank)[0, 1] for blank in self.blanks) for row in added]
        assert min(likest) > 0.999
        which = [int(np.argmax([np.corrcoef(row, blank)[0, 1] for blank in self.blanks])) for row in added]
        assert min(np.bincount(which, minlength=3)) > 60

    def test_none_given_none_added(self, rng):
        counts = np.ones((4, 300))
        assert effects_numpy.measured_blanks(counts, self.blanks[:0], rng, self.level) is counts
        assert effects_numpy.measured_blanks(counts, self.blanks, rng, LEVEL) is counts


class TestCountingStatistics:
    @pytest.mark.parametrize("counts", [0.5, 8.0, 45.0, 55.0, 3000.0])
    def test_variance_equals_the_mean(self, rng, counts):
        drawn = effects_numpy.counting_statistics(np.full((20, 5000), counts / 1e4), rng, NOTHING)
        assert drawn.mean() == pytest.approx(counts, rel=0.02)
        assert drawn.var() / drawn.mean() == pytest.approx(1.0, abs=0.05)
        assert drawn.min() >= 0
        np.testing.assert_array_equal(drawn, np.rint(drawn))

    def test_peak_counts_are_log_uniform(self, rng):
        drawn = np.log10(effects_numpy.counting_statistics(np.ones((5000, 1)), rng, LEVEL))
        assert drawn.mean() == pytest.approx(np.mean(LEVEL.counts), abs=0.05)
        assert drawn.std() == pytest.approx(np.ptp(LEVEL.counts) / np.sqrt(12), rel=0.05)

    def test_nothing_counts_nothing(self, rng):
        assert effects_numpy.counting_statistics(np.zeros((2, 10)), rng, LEVEL).max() == 0


def test_range_cuts_in_their_share_and_limits(rng):
    mask = effects_numpy.range_cut(4000, GRID, rng, LEVEL)
    first, last = GRID.two_theta[mask.argmax(axis=1)], GRID.two_theta[GRID.size - 1 - mask[:, ::-1].argmax(axis=1)]
    assert (first > GRID.start + GRID.step).mean() == pytest.approx(LEVEL.cut, abs=0.03)
    assert first.max() <= 10 + GRID.step
    assert last.min() >= 30 - GRID.step
    assert (last < GRID.stop - GRID.step).mean() == pytest.approx(LEVEL.cut * 20 / 30, abs=0.03)
    assert (np.abs(np.diff(mask.astype(int), axis=1)).sum(axis=1) <= 2).all()
    assert effects_numpy.range_cut(50, GRID, rng, replace(LEVEL, cut=0.0)).all()


def test_the_strongest_line_in_range(rng):
    angles, areas = np.array([[10.0, 20.0, 70.0]] * 3), np.array([[5.0, 2.0, 9.0]] * 3)
    mask = np.ones((3, GRID.size), dtype=bool)
    mask[1, GRID.two_theta < 15] = False
    mask[2] = False
    assert effects_numpy.strongest_seen(angles, areas, GRID, mask)[:, 0].tolist() == [5, 2, 1]


class TestSmearNoise:
    def test_its_share_its_size_and_its_correlation(self):
        rng = np.random.default_rng(8)
        counts = np.full((4000, 300), 400.0)
        noise = effects_numpy.smear_noise(counts, GRID, rng, LEVEL) - counts
        smeared = noise.any(axis=1)
        assert smeared.mean() == pytest.approx(LEVEL.smear, abs=0.03)
        assert noise[smeared].std() == pytest.approx(20.0, rel=0.05)  # as large as counting noise
        neighbours = (noise[smeared][:, 1:] * noise[smeared][:, :-1]).mean() / noise[smeared].var()
        assert neighbours > 0.5

    def test_none_where_the_share_is_zero(self):
        counts = np.full((10, 50), 400.0)
        np.testing.assert_array_equal(effects_numpy.smear_noise(counts, GRID, np.random.default_rng(0), replace(LEVEL, smear=0.0)), counts)


class TestMeasuredLike:
    def test_the_seed_decides(self, mofs):
        rows = np.array([0, 1, 2, 1])
        one, mask = effects_numpy.measured_like(mofs, rows, GRID, np.random.default_rng(1))
        two, _ = effects_numpy.measured_like(mofs, rows, GRID, np.random.default_rng(1))
        other, _ = effects_numpy.measured_like(mofs, rows, GRID, np.random.default_rng(2))
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, other)
        assert not np.array_equal(one[1], one[3])
        assert (one.shape, mask.shape, mask.dtype) == ((4, GRID.size), (4, GRID.size), bool)

    @pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
    def test_counts_are_counts_within_the_mask(self, mofs, level):
        counts, mask = effects_numpy.measured_like(mofs, np.tile([0, 1, 2], 60), GRID, np.random.default_rng(3), level)
        assert np.isfinite(counts).all()
        assert counts.min() >= 0
        np.testing.assert_array_equal(counts, np.rint(counts))
        assert (counts[~mask] == 0).all()
        assert (counts.max(axis=1) > 0).all()

    def test_with_every_effect_off_it_is_the_ideal_pattern(self, mofs):
        rows = np.arange(len(mofs))
        counts, mask = effects_numpy.measured_like(mofs, rows, GRID, np.random.default_rng(4), replace(NOTHING, counts=(7.0, 7.0)))
        assert mask.all()
        ideal = ideal_pattern(mofs, rows, GRID, fwhm=0.13, b=0.0)
        lines = ideal > 0.2
        for row in rows:
            one, two = np.diff(counts[row]), np.diff(ideal[row])  # the slope of the background is as good as none
            assert one @ two / np.sqrt((one @ one) * (two @ two)) > 0.95  # the line shape is drawn at random
            top = GRID.two_theta[lines[row]][counts[row][lines[row]].argmax()]
            assert abs(top - GRID.two_theta[ideal[row].argmax()]) <= 0.03

    def test_harder_levels_are_less_like_the_ideal(self, mofs):
        rows = np.tile([0, 1, 2], 80)
        ideal = ideal_pattern(mofs, rows, GRID)
        means = []
        for level in LEVELS.values():
            counts, _ = effects_numpy.measured_like(mofs, rows, GRID, np.random.default_rng(5), level)
            counts = counts - np.median(counts, axis=1, keepdims=True)
            cosine = (counts * ideal).sum(axis=1) / np.sqrt((counts**2).sum(axis=1) * (ideal**2).sum(axis=1))
            means.append(cosine.mean())
        assert means[0] > means[1] > means[2]


def test_ideal_is_the_simulated_pattern(mofs, structures):
    ideal = ideal_pattern(mofs, np.array([2, 0, 1]), GRID, fwhm=0.12, b=0.0)
    for profile, row in zip(ideal.astype(float), (2, 0, 1), strict=True):
        whole = simulate_pattern(structures[row], GRID, 0.12).intensity
        assert profile.max() == pytest.approx(1.0)
        assert profile @ whole / np.sqrt((profile @ profile) * (whole @ whole)) > 0.9998


def test_ideal_applies_the_overall_temperature_factor(mofs):
    cold, warm = (ideal_pattern(mofs, np.array([0]), GRID, b=b)[0] for b in (0.0, 6.0))
    high = GRID.two_theta > 40
    assert warm[high].sum() < 0.8 * cold[high].sum()


def test_library_lines_have_the_spacings_of_their_cells(mofs):
    for row in range(len(mofs)):
        entry = mofs.entry(row)
        d, _ = mofs.lines(row)
        np.testing.assert_allclose(1 / d**2, inverse_d_squared(entry.hkl, reciprocal_metric(entry.cell)))
        assert (np.diff(d) <= 1e-9).all()
