"""The reference library: what it holds, its file, and files that are none."""

import json
import os
from dataclasses import replace

import h5py
import numpy as np
import pytest

from xrdmatch.diffraction.radiation import d_spacing, two_theta
from xrdmatch.errors import LibraryError
from xrdmatch.library.library_file import FORMAT, FORMAT_VERSION, check_writable
from xrdmatch.library.reference_library import INTENSITY_SCALE, Entry, Library

TEXTS = ("id", "name", "formula", "source", "doi", "note")
ARRAYS = ("cell", "offsets", "hkl", "intensity", "family")


def entry(key, lines=4, **fields):
    rng = np.random.default_rng(len(key) + lines)
    hkl = np.arange(3 * lines).reshape(lines, 3) + 1
    cell = np.array([12.0, 13.0, 14.0, 90.0, 95.0, 90.0])
    return Entry(key, "C6 H2 Cu O4", cell, hkl.astype(np.int16), 1 + 5000 * rng.random(lines), **fields)


@pytest.fixture
def three():
    entries = [entry("A", 3, name="Ångström-1", doi="10.1/x", source="set", note="salvaged"), entry("B", 7), entry("C", 1)]
    return Library.from_entries(entries, {"made": "by a test", "d_min": 1.7})


def same(one, other):
    for key in (*TEXTS, "family_name", *ARRAYS):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
    assert one.attrs == other.attrs


def test_entries_come_back(three):
    assert len(three) == 3
    assert three.index() == {"A": 0, "B": 1, "C": 2}
    assert three.family_name.tolist() == ["Ångström-1", "B", "C"]
    given, back = entry("B", 7), three.entry(1)
    np.testing.assert_array_equal(back.hkl, given.hkl)
    np.testing.assert_allclose(back.intensity, given.intensity * INTENSITY_SCALE / given.intensity.max(), rtol=1e-3)
    assert three.entry(0).note == "salvaged"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_round_trip(three, tmp_path, count):
    library = three.subset(range(count))
    library.save(tmp_path / "new" / "library.h5")
    back = Library.load(tmp_path / "new" / "library.h5")
    same(library, back)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["library.h5"]
    with pytest.raises(ValueError, match="read-only"):
        back.offsets[0] = 1


def test_plain_h5py_can_read_it(three, tmp_path):
    """The snippet of docs/library.md, written out."""
    three.save(tmp_path / "library.h5")
    with h5py.File(tmp_path / "library.h5") as file:
        assert set(file) == {*TEXTS, *ARRAYS, "family_name"}
        assert (file.attrs["format"], file.attrs["format_version"]) == (FORMAT, FORMAT_VERSION)
        assert json.loads(file.attrs["provenance"])["made"] == "by a test"
        ids = [name.decode() for name in file["id"][:]]
        row = ids.index("B")
        start, stop = file["offsets"][row : row + 2]
        assert file["hkl"][start:stop].shape == (7, 3)
        assert file["intensity"][start:stop].max() == INTENSITY_SCALE
        assert file["name"][0].decode() == "Ångström-1"
        assert file["intensity"].dtype == np.float16


def test_ids_are_unique():
    with pytest.raises(LibraryError, match="these occur twice: A"):
        Library.from_entries([entry("A"), entry("B"), entry("A")])


def test_subset_keeps_families_and_provenance(three):
    library = replace(three, family=np.array([0, 1, 0], dtype=np.int32), family_name=np.array(["first", "second"]))
    part = library.subset([2, 0])
    assert part.id.tolist() == ["C", "A"]
    assert (part.family.tolist(), part.family_name.tolist()) == ([0, 0], ["first"])
    assert part.attrs == three.attrs
    for i, row in enumerate([2, 0]):
        np.testing.assert_array_equal(part.entry(i).hkl, three.entry(row).hkl)
    assert library.members(0).tolist() == [0, 2]
    assert len(three.subset([])) == 0


def test_joined(three):
    other = Library.from_entries([entry("D", 5), entry("E", 2)])
    both = three.joined(other)
    assert both.id.tolist() == ["A", "B", "C", "D", "E"]
    assert both.family.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(both.entry(3).hkl, other.entry(0).hkl)
    np.testing.assert_array_equal(both.entry(1).intensity, three.entry(1).intensity)
    assert both.attrs == three.attrs
    with pytest.raises(LibraryError, match="1 ids are in both libraries, for example C"):
        three.joined(Library.from_entries([entry("C")]))


def test_lines_and_strain(three):
    d, intensity = three.lines(1)
    assert d.shape == intensity.shape == (7,)
    wider, _ = three.lines(1, [0.01, 0.01, 0.01, 0, 0, 0])
    np.testing.assert_allclose(wider, 1.01 * d)
    tilted, _ = three.lines(1, [0, 0, 0, 0, 1.0, 0])
    assert not np.allclose(tilted, d)
    np.testing.assert_allclose(d_spacing(two_theta(d, 0.7), 0.7), d)


def test_padded_lines(three):
    hkl, intensity, real = three.padded_lines(np.array([2, 1]))
    assert (hkl.shape, intensity.shape, real.sum(axis=1).tolist()) == ((2, 7, 3), (2, 7), [1, 7])
    np.testing.assert_array_equal(intensity[1], three.entry(1).intensity)
    assert (intensity[~real] == 0).all()


def test_stacked_lines(three):
    at, counts = three.stacked_lines(np.array([2, 1, 2]))
    assert counts.tolist() == [1, 7, 1]
    np.testing.assert_array_equal(three.hkl[at], np.concatenate([three.entry(i).hkl for i in (2, 1, 2)]))
    np.testing.assert_array_equal(three.intensity[at][1:8], three.entry(1).intensity)
    assert three.stacked_lines(np.empty(0, dtype=int))[0].size == 0


def test_members_of_a_family(three):
    family = np.array([2, 0, 2], dtype=np.int32)
    library = replace(three, family=family, family_name=np.array(["a", "b", "c"]))
    assert [library.members(i).tolist() for i in range(3)] == [[1], [], [0, 2]]


@pytest.mark.parametrize("names", [["HKUST-1", "ZIF-8", ""], ["\u00c5ngstr\u00f6m", "ZIF-8", "\u03b3-CD"]])
def test_names_come_back(three, tmp_path, names):
    replace(three, name=np.array(names)).save(tmp_path / "named.h5")
    assert Library.load(tmp_path / "named.h5").name.tolist() == names


def test_weak_lines_survive_single_file_precision():
    made = Entry("A", "C", np.array([10.0, 10, 10, 90, 90, 90]), np.ones((3, 3), np.int16), np.array([4e7, 4e4, 40.0]))
    np.testing.assert_allclose(Library.from_entries([made]).entry(0).intensity, [1000, 1, 1e-3], rtol=1e-3)


def corrupt(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def replaced(key, data):
    def change(file):
        del file[key]
        if data is not None:
            file[key] = data

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file: file.attrs.__setitem__("format", "else"), "found format 'else'"),
        (lambda file: file.attrs.__delitem__("format"), "found format None"),
        (lambda file: file.attrs.__setitem__("format_version", FORMAT_VERSION + 1), "newer xrdmatch"),
        (lambda file: file.attrs.__delitem__("format_version"), "damaged"),
        (lambda file: file.attrs.__delitem__("provenance"), "damaged"),
        (lambda file: file.attrs.__setitem__("provenance", "{not json"), "damaged"),
        (replaced("hkl", None), "damaged"),
        (replaced("id", None), "damaged"),
        (replaced("id", np.array([b"\xff\xfe", b"b", b"c"])), "damaged"),
        (replaced("id", 5), "damaged"),
        (replaced("hkl", np.zeros((4, 3), np.int16)), "do not match"),
        (replaced("hkl", np.zeros((11, 2), np.int16)), "do not match"),
        (replaced("cell", np.zeros((2, 6))), "do not match"),
        (replaced("cell", np.zeros((3, 5))), "do not match"),
        (replaced("offsets", np.array([0, 5, 3, 11])), "do not match"),
        (replaced("offsets", np.array([1, 3, 10, 11])), "do not match"),
        (replaced("family", np.array([0, 1, 7], np.int32)), "do not match"),
        (lambda file: (file.__delitem__("family"), file.create_group("family")), "damaged"),
    ],
)
def test_damaged_files_are_one_clear_error(three, tmp_path, change, reason):
    path = tmp_path / "library.h5"
    three.save(path)
    corrupt(path, change)
    with pytest.raises(LibraryError, match=reason) as caught:
        Library.load(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_files(three, tmp_path, share):
    path = tmp_path / "library.h5"
    three.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(LibraryError, match=r"library\.h5: expected a library"):
        Library.load(path)


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(LibraryError, match="no such file"):
            Library.load(path)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(LibraryError, match="damaged"):
        Library.load(tmp_path / "text.h5")


def test_an_interrupted_write_leaves_the_old_file(three, tmp_path, monkeypatch):
    path = tmp_path / "library.h5"
    three.save(path)
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        three.subset([0]).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["library.h5"]


def no_place(tmp_path, kind):
    if kind == "parent is a file":
        (tmp_path / "file").write_text("")
        return tmp_path / "file" / "library.h5"
    if kind == "target is a folder":
        (tmp_path / "library.h5").mkdir()
        return tmp_path / "library.h5"
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("needs a user whom permissions bind")
    return tmp_path / "library.h5"


@pytest.mark.parametrize("kind", ["parent is a file", "target is a folder", "read-only folder"])
def test_where_nothing_can_be_written(three, tmp_path, kind):
    path = no_place(tmp_path, kind)
    before = sorted(tmp_path.rglob("*"))
    for write in (three.save, check_writable):
        with pytest.raises(LibraryError, match=r"library\.h5: the library cannot be written"):
            write(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_check_writable_leaves_nothing(tmp_path):
    check_writable(tmp_path / "new" / "library.h5")
    assert list((tmp_path / "new").iterdir()) == []


# ---- hostile files ----


@pytest.mark.parametrize("trick", ["external link", "soft link", "external values", "virtual", "bomb", "group"])
def test_datasets_that_lie_elsewhere_or_unpack_to_too_much_are_refused(library, tmp_path, trick):
    import h5py

    place, other = tmp_path / "library.h5", tmp_path / "other.h5"
    library.save(place)
    library.save(other)
    (tmp_path / "values.bin").write_bytes(bytes(8 * library.cell.size))
    with h5py.File(place, "a") as file:
        del file["cell"]
        if trick == "external link":
            file["cell"] = h5py.ExternalLink("other.h5", "/cell")
        elif trick == "soft link":
            file["cell"] = h5py.SoftLink("/intensity")
        elif trick == "external values":
            file.create_dataset("cell", library.cell.shape, float, external=[(str(tmp_path / "values.bin"), 0, 8 * library.cell.size)])
        elif trick == "virtual":
            layout = h5py.VirtualLayout(library.cell.shape, float)
            layout[:] = h5py.VirtualSource(str(other), "cell", shape=library.cell.shape)
            file.create_virtual_dataset("cell", layout)
        elif trick == "bomb":
            file.create_dataset("cell", (10**9, 6), float, chunks=(10**6, 6), compression="gzip")
        else:
            file.create_group("cell")
    assert place.stat().st_size < 200_000
    with pytest.raises(LibraryError, match=r"library\.h5: its dataset 'cell' (is a link to another place|takes its values|unpacks to 48 GB)"):
        Library.load(place)
