"""The shuffle augmentation: what it keeps, what it replaces, and with which distribution."""

import h5py
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.errors import LibraryError
from xrdmatch.training import augmentation
from xrdmatch.training import training_set as a

POINTS = 2251


def profile(seed, lines=60):
    """A pattern (POINTS,) of Gaussian lines, positive everywhere, so that no two points are equal."""
    rng = np.random.default_rng(seed)
    x = np.arange(POINTS)
    centres, heights = rng.uniform(50, 2200, lines), rng.exponential(1, lines)
    return np.exp(-(((x[:, None] - centres) / 4) ** 2)) @ heights + 1e-3 * rng.random(POINTS)


def scan(seed, level=0.05):
    """A measured scan: a pattern on skewed noise."""
    return profile(seed) / 3 + level * np.random.default_rng(seed + 100).gamma(2.0, 0.5, POINTS)


def test_noise_is_what_lies_under_the_401st_largest_value():
    values = scan(1)
    noise = augmentation.noise_values(values)
    assert noise.size == POINTS - 401 + 1  # the threshold itself belongs to the noise, too, as in the published script
    unit = (values - values.min()) / np.ptp(values)
    assert np.all(noise <= np.sort(unit)[::-1][400] + 1e-7)
    below = unit[unit <= np.sort(unit)[::-1][400]]
    np.testing.assert_allclose(noise, below, atol=1e-6)


def test_strength_sets_the_largest_noise_value():
    plain, weak = augmentation.noise_values(scan(1)), augmentation.noise_values(scan(1), strength=0.03)
    assert weak.max() == pytest.approx(0.03)
    np.testing.assert_allclose(weak / weak.max(), plain / plain.max(), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_strongest_points_stay_and_the_rest_is_a_permutation_of_noise(seed):
    given = profile(seed)
    noise = augmentation.noise_values(scan(9))
    before = given.copy(), noise.copy()
    copies = augmentation.shuffle_copies(given, noise, 6, np.random.default_rng(seed))
    np.testing.assert_array_equal(given, before[0])
    np.testing.assert_array_equal(noise, before[1])
    assert copies.shape == (6, POINTS)
    assert copies.min() >= 0
    assert copies.max() == 1
    unit = (given - given.min()) / np.ptp(given)
    strong = unit >= np.sort(unit)[::-1][400]
    assert strong.sum() == 401
    np.testing.assert_allclose(copies[:, strong], np.tile(unit[strong], (6, 1)), atol=1e-6)
    for row in copies:
        np.testing.assert_array_equal(np.sort(row[~strong]), np.sort(noise[: POINTS - 401]))
    again = augmentation.shuffle_copies(given.tolist(), noise, 6, np.random.default_rng(seed))
    np.testing.assert_array_equal(copies, again)


def test_shuffled_noise_has_the_sources_distribution_at_every_place_and_no_memory():
    """Over many copies each replaced point has the noise's mean and spread, and neighbours are uncorrelated, in the source or not."""
    smooth = np.sin(np.arange(POINTS) / 200) ** 2 * 0.05  # a source whose neighbours are almost equal
    noise = augmentation.noise_values(scan(3, 0.0) + smooth)
    given = profile(3)
    copies = augmentation.shuffle_copies(given, noise, 2000, np.random.default_rng(0))
    strong = given >= np.sort(given)[::-1][400]
    drawn = copies[:, ~strong]
    used = noise[: POINTS - 401]
    error = used.std() / np.sqrt(2000)
    assert np.abs(drawn.mean(axis=0) - used.mean()).max() < 5 * error
    np.testing.assert_allclose(drawn.std(axis=0), used.std(), rtol=0.2)
    left, right = drawn[:, :-1] - used.mean(), drawn[:, 1:] - used.mean()
    assert abs((left * right).mean() / used.var()) < 0.01
    assert np.corrcoef(used[:-1], used[1:])[0, 1] > 0.5


def test_a_pattern_of_few_lines_still_gets_its_noise():
    """Most points of a sharp pattern are 0: the 401st largest value is 0 too, and keeping all that reach it would leave out the noise."""
    given = np.zeros(POINTS)
    given[500:520] = 1
    noise = augmentation.noise_values(scan(2)) + np.float32(0.01)
    copies = augmentation.shuffle_copies(given, noise, 3, np.random.default_rng(0))
    np.testing.assert_array_equal((copies == 0).sum(axis=1), 381)
    np.testing.assert_array_equal(copies[:, 500:520], 1)
    assert np.diff(np.flatnonzero(copies[0] == 0)).std() > 2  # spread over the pattern, not a block


def test_few_noise_values_are_repeated_and_too_few_refused():
    noise = augmentation.noise_values(scan(1)[:700])
    assert augmentation.shuffle_copies(profile(0), noise, 2, np.random.default_rng(0)).shape == (2, POINTS)
    with pytest.raises(ValueError, match="401"):
        augmentation.noise_values(np.ones(401))
    with pytest.raises(ValueError, match="401"):
        augmentation.shuffle_copies(np.ones(10), noise, 1, np.random.default_rng(0))


@pytest.mark.parametrize(("copies", "sources"), [(72, 6), (72, 5), (3, 4), (1, 6), (7, 1)])
def test_copies_are_shared_evenly(copies, sources):
    counts = np.array([augmentation.share(copies, sources, turn) for turn in range(sources)])
    assert (counts.sum(axis=1) == copies).all()
    assert np.ptp(counts, axis=1).max() <= 1
    assert np.ptp(counts.sum(axis=0)) == 0  # and over the patterns every source makes as many
    assert augmentation.share(72, 6).tolist() == [12] * 6


def write(path, blocks, progress=None, **options):
    rows = np.stack([profile(seed) for seed in range(5)])
    names = [f"MOF-{i}" for i in range(5)]
    return augmentation.write_shuffled(
        (rows[part] for part in blocks),
        names,
        {"one": scan(7), "two": scan(8)},
        path,
        augmentation.ShuffleOptions(**{"copies": 9, **options}),
        progress,
    )


def test_written_set_holds_rows_labels_and_provenance(tmp_path):
    path, seen = tmp_path / "set.h5", []
    total = write(path, [slice(0, 2), slice(2, 5)], seed=4, grid=Grid(), progress=seen.append)
    assert total == 45
    assert seen == [1, 2, 3, 4, 5]
    assert [p.name for p in tmp_path.iterdir()] == ["set.h5"]
    with h5py.File(path) as file:
        assert file.attrs["format"] == "xrdmatch-augmented"
        assert file["x"].shape == (45, POINTS)
        assert file["x"].dtype == np.float16
    with a.AugmentedSet(path) as data:
        assert data.ids == [f"MOF-{i}" for i in range(5)]
        np.testing.assert_array_equal(data.labels, np.repeat(np.arange(5), 9))
        assert data.provenance["noise"] == ["one", "two"]
        assert data.provenance["copies_per_source"] == [5, 4]
        assert data.provenance["grid"]["stop"] == 50.0
        rows = data.read(0, 45).astype(np.float32)
        rng = np.random.default_rng([4, 2])
        wanted = np.concatenate(
            [
                augmentation.shuffle_copies(profile(2), augmentation.noise_values(scan(7 + i)), n, rng)
                for i, n in enumerate(augmentation.share(9, 2, 2))
            ]
        )
        np.testing.assert_allclose(rows[18:27], wanted, atol=3e-4)


def test_set_does_not_depend_on_blocks_or_buffer(tmp_path, monkeypatch):
    write(tmp_path / "a.h5", [slice(0, 5)])
    monkeypatch.setattr(a, "BUFFER_ROWS", 10)
    write(tmp_path / "b.h5", [slice(i, i + 1) for i in range(5)])
    with a.AugmentedSet(tmp_path / "a.h5") as one, a.AugmentedSet(tmp_path / "b.h5") as other:
        np.testing.assert_array_equal(one.read(0, 45), other.read(0, 45))
        np.testing.assert_array_equal(one.labels, other.labels)


def test_memory_stays_flat():
    """Blocks are written as they come: never more than the buffer and one block are held."""
    pulled = 0

    def rows():
        nonlocal pulled
        for _ in range(100):
            pulled += 50
            yield np.zeros((50, 4), np.float32), np.zeros(50, np.int32)

    first = next(a._buffered(rows()))
    assert len(first[1]) == pulled <= a.BUFFER_ROWS + 50


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "set.h5"
    write(path, [slice(0, 5)])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="3 profiles came for 5 ids"):
        write(path, [slice(0, 3)])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["set.h5"]
    with pytest.raises(LibraryError, match="cannot be written"):
        write(path / "below" / "set.h5", [slice(0, 5)])


def test_other_files_are_refused_by_name(tmp_path):
    with pytest.raises(LibraryError, match=r"none\.h5.*no such file"):
        a.AugmentedSet(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    with pytest.raises(LibraryError, match="damaged"):
        a.AugmentedSet(text)
    with h5py.File(tmp_path / "library.h5", "w") as file:
        file.attrs["format"] = "xrdmatch-library"
    with pytest.raises(LibraryError, match="xrdmatch-library"):
        a.AugmentedSet(tmp_path / "library.h5")
    with h5py.File(tmp_path / "newer.h5", "w") as file:
        file.attrs.update({"format": a.FORMAT, "format_version": 99})
    with pytest.raises(LibraryError, match="newer"):
        a.AugmentedSet(tmp_path / "newer.h5")


class TestPhysics:
    GRID = Grid(5.0, 50.0, 0.1)

    def made(self, library, path, **how):
        rows = np.array([3, 0, 2])
        number = augmentation.write_physics(library, rows, path, augmentation.PhysicsOptions(**{"copies": 7, "grid": self.GRID, **how}))
        with a.AugmentedSet(path) as data:
            assert number == len(data) == 21
            assert data.ids == library.id[rows].tolist()
            return data.read(0, len(data)).astype(float), data.labels, data.provenance

    def test_rows_are_scans_scaled_to_one(self, library, tmp_path):
        x, y, provenance = self.made(library, tmp_path / "set.h5")
        assert y.tolist() == [0] * 7 + [1] * 7 + [2] * 7
        np.testing.assert_array_equal(x.max(axis=1), 1.0)
        assert x.min() == 0
        assert len({row.tobytes() for row in x}) == 21
        assert (provenance["method"], provenance["copies"], provenance["level"]["doublet"]) == ("physics", 7, 0.8)
        assert Grid(**provenance["grid"]) == self.GRID

    def test_patterns_belong_to_their_structures(self, library, tmp_path):
        from xrdmatch.training.effects_numpy import EASY

        x, y, _ = self.made(library, tmp_path / "set.h5", level=EASY, copies=7)
        clean = np.concatenate(list(augmentation.library_profiles(library, np.array([3, 0, 2]), self.GRID, 0.2)))
        right = np.array([np.corrcoef(np.vstack([row[None], clean]))[0, 1:].argmax() for row in x])
        assert (right == y).mean() > 0.85

    def test_a_seed_gives_the_same_whatever_comes_before(self, library, tmp_path):
        whole, _, _ = self.made(library, tmp_path / "one.h5", seed=3)
        again, _, _ = self.made(library, tmp_path / "two.h5", seed=3)
        np.testing.assert_array_equal(whole, again)
        other, _, _ = self.made(library, tmp_path / "other.h5", seed=4)
        assert not (whole == other).all(axis=1).any()
        augmentation.write_physics(library, np.array([3]), tmp_path / "first.h5", augmentation.PhysicsOptions(copies=7, grid=self.GRID, seed=3))
        with a.AugmentedSet(tmp_path / "first.h5") as data:
            np.testing.assert_array_equal(data.read(0, 7), whole[:7])

    def test_blanks_are_named_and_used(self, library, tmp_path):
        from dataclasses import replace

        from xrdmatch.training.effects_numpy import Hardness

        level = replace(Hardness(), blank=1.0, blank_height=0.5, cut=0.0)
        blank = 50 + 50 * (np.arange(self.GRID.size) % 2.0)
        x, _, provenance = self.made(library, tmp_path / "set.h5", level=level, blanks={"empty.xyd": blank})
        assert provenance["blanks"] == ["empty.xyd"]
        comb = np.abs(x[:, 1:-1] - 0.5 * (x[:, 2:] + x[:, :-2])).mean(axis=1)
        plain, _, _ = self.made(library, tmp_path / "plain.h5", level=level)
        assert np.median(comb) > 2 * np.median(np.abs(plain[:, 1:-1] - 0.5 * (plain[:, 2:] + plain[:, :-2])).mean(axis=1))

    def test_the_mix_is_half_of_each(self, library, tmp_path):
        noise = {"one.raw": scan(1)[: self.GRID.size], "two.raw": scan(2)[: self.GRID.size]}
        x, y, provenance = self.made(library, tmp_path / "set.h5", noise=noise, copies=7)
        assert np.bincount(y).tolist() == [7, 7, 7]
        assert provenance["method"] == "mix"
        assert provenance["shuffled"]["copies"] == 3
        assert provenance["shuffled"]["noise"] == ["one.raw", "two.raw"]
        alone = tmp_path / "shuffled.h5"
        profiles = augmentation.library_profiles(library, np.array([3, 0, 2]), self.GRID)
        augmentation.write_shuffled(profiles, ["a", "b", "c"], noise, alone, augmentation.ShuffleOptions(copies=3))
        with a.AugmentedSet(alone) as data:
            np.testing.assert_array_equal(data.read(0, 9).astype(float), x[:9])
