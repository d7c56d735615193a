"""Library files: mapped by their table, read by HDF5 where they have none that describes them, and never beyond their end."""

import json
import mmap
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xrdmatch.errors import LibraryError
from xrdmatch.library import dataset_table, library_file
from xrdmatch.library.reference_library import Library

COLUMNS = ("id", "name", "formula", "source", "doi", "note", "family_name", "cell", "offsets", "hkl", "intensity", "family")


def same(one, other):
    for key in COLUMNS:
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
    assert one.attrs == other.attrs


@pytest.fixture
def place(library, tmp_path):
    """A library's file with vectors and lines, as an encoder has it."""
    path = tmp_path / "library.h5"
    library.save(path, np.eye(5, 8, dtype=np.float32), np.arange(240, dtype=np.uint16).reshape(2, 5, 24))
    return path


@pytest.fixture
def without_h5py(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)


@pytest.fixture
def without_h5py_after(monkeypatch):
    """From the call on there is no h5py."""
    return lambda: monkeypatch.setitem(sys.modules, "h5py", None)


def as_0_1_wrote_it(library, path):
    """A file of xrdmatch 0.1: compressed datasets, wide indices, no table."""
    with h5py.File(path, "w") as file:
        for key in COLUMNS:
            values = getattr(library, key)
            data = np.char.encode(np.asarray(values), "utf-8") if values.__class__ is not np.ndarray else values
            file.create_dataset(key, data=data.astype(np.int16) if key == "hkl" else data, compression="gzip", shuffle=True)
        file.attrs.update({"format": "xrdmatch-library", "format_version": 1, "provenance": json.dumps(library.attrs)})


@pytest.mark.parametrize("mapped", [True, False])
def test_a_library_is_read_without_hdf5(place, library, without_h5py, mapped):
    back, vectors, lookup = Library.load_whole(place, mapped)
    same(back, library)
    np.testing.assert_array_equal(vectors, np.eye(5, 8))
    np.testing.assert_array_equal(lookup.ravel(), np.arange(240))


@pytest.mark.parametrize("mapped", [True, False])
def test_what_is_read_cannot_be_written_to(place, mapped):
    back, vectors, lookup = Library.load_whole(place, mapped)
    texts = [getattr(back, key).stored for key in COLUMNS[:7]]
    for values in (*texts, *(getattr(back, key) for key in COLUMNS[7:]), vectors, lookup):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = values[1]


def test_files_of_version_0_1_are_read(library, tmp_path):
    as_0_1_wrote_it(library, tmp_path / "old.h5")
    same(Library.load(tmp_path / "old.h5"), library)


def test_a_file_of_0_1_is_written_anew(library, tmp_path):
    path = tmp_path / "old.h5"
    as_0_1_wrote_it(library, path)
    assert dataset_table.read_table(memoryview(path.read_bytes())) is None
    script = Path(__file__).parents[1] / "scripts" / "rewrite_library.py"
    subprocess.run([sys.executable, script, path], check=True, capture_output=True, timeout=300)
    assert dataset_table.read_table(memoryview(path.read_bytes())) is not None
    same(Library.load(path), library)


SAID = {"linkers": "trimesate", "net": "tbo", "category": "mof", "title": "copper(II) 1,3,5-benzenetricarboxylate"}


def test_linkers_net_category_and_title_are_kept(library, tmp_path, without_h5py_after):
    first = replace(library.entry(0), id="saying", **SAID)
    both = Library.from_entries([first]).joined(library)
    both.save(tmp_path / "said.h5")
    without_h5py_after()
    back = Library.load(tmp_path / "said.h5")
    for key, text in SAID.items():
        assert getattr(back, key).tolist() == [text, *[""] * len(library)]
        assert getattr(back.subset([3, 0]), key).tolist() == ["", text]
        assert getattr(back.entry(0), key) == text


def test_a_file_of_another_program_that_says_linkers_is_written_anew(library, tmp_path):
    path = tmp_path / "other.h5"
    as_0_1_wrote_it(library, path)
    with h5py.File(path, "r+") as file:
        file.create_dataset("linkers", data=np.array([b"trimesate", *[b""] * 4]), compression="gzip")
    script = Path(__file__).parents[1] / "scripts" / "rewrite_library.py"
    subprocess.run([sys.executable, script, path], check=True, capture_output=True, timeout=300)
    assert dataset_table.read_table(memoryview(path.read_bytes())) is not None
    assert Library.load(path).linkers.tolist() == ["trimesate", "", "", "", ""]


def test_what_no_entry_says_is_not_in_the_file(place, library):
    with h5py.File(place) as file:
        assert not set(SAID) & set(file)
    back = Library.load(place)
    for key in SAID:
        assert getattr(back, key).tolist() == [""] * len(library)


def test_optional_texts_of_another_number_of_entries_are_refused(place):
    with h5py.File(place, "r+") as file:
        file["linkers"] = np.array([b"trimesate", b"terephthalate"])
    with pytest.raises(LibraryError, match="do not match"):
        Library.load(place)


def test_a_file_that_is_replaced_stays_as_it_was_for_who_reads_it(place, library):
    old = Library.load(place)
    library.subset([3]).save(place)
    same(old, library)
    assert len(Library.load(place)) == 1


def test_what_another_program_changes_is_seen(place):
    with h5py.File(place, "r+") as file:
        del file["name"]
        file["name"] = np.array([b"1", b"2", b"3", b"4", b"5"])
        file["formula"][0] = b"C60"
        file.attrs["provenance"] = '{"by": "hand"}'
    back = Library.load(place)
    assert back.name.tolist() == ["1", "2", "3", "4", "5"]
    assert back.formula[0] == "C60"
    assert back.attrs == {"by": "hand"}


def test_a_file_that_cannot_be_mapped_is_read(place, library, monkeypatch, without_h5py):
    def refuse(*_, **__):
        raise OSError(19, "No such device")

    monkeypatch.setattr(mmap, "mmap", refuse)
    same(Library.load(place), library)


def test_indices_are_as_narrow_as_they_can_be(library, tmp_path):
    wide = library.entry(0)
    wide.hkl[0] = (128, 0, 0)
    for number, (made, dtype) in enumerate(((library, np.int8), (Library.from_entries([wide]), np.int16))):
        made.save(tmp_path / f"{number}.h5")
        back = Library.load(tmp_path / f"{number}.h5")
        assert back.hkl.dtype == dtype
        np.testing.assert_array_equal(back.hkl, made.hkl)
        assert back.entry(0).hkl.dtype == np.int16


def test_a_long_history_gets_a_longer_block(library, tmp_path, monkeypatch):
    for length in (0, 100, 1000, 100_000):
        made = replace(library, attrs={"history": "x" * length})
        made.save(tmp_path / "library.h5")
        with h5py.File(tmp_path / "library.h5") as file:
            assert file.userblock_size >= max(512, length)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "h5py", None)
            same(Library.load(tmp_path / "library.h5"), made)


# ---- damaged tables


def test_a_damaged_block_costs_time_and_nothing_else(place, library):
    data = place.read_bytes()
    end = data.index(dataset_table.SIGNATURE)
    rng = np.random.default_rng(0)
    for at in [0, 17, 20, 26, 34, 36, 60, *rng.integers(0, end, 40).tolist()]:
        place.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
        assert dataset_table.read_table(memoryview(place.read_bytes())) is None
        same(Library.load(place), library)
    for block in (bytes(end), data[:40] + bytes(end - 40)):
        place.write_bytes(block + data[end:])
        same(Library.load(place), library)


def test_a_change_of_what_hdf5_says_of_the_file_makes_the_table_void(place):
    data = place.read_bytes()
    with h5py.File(place) as file:
        extents = [(file[key].id.get_offset(), file[key].nbytes) for key in file]
    for at in range(data.index(dataset_table.SIGNATURE), len(data), 7):
        image = bytearray(data)
        image[at] ^= 1
        in_values = any(offset <= at < offset + size for offset, size in extents)
        assert (dataset_table.read_table(memoryview(image)) is not None) is in_values


def with_table(data, table):
    """The file with another table, whose checksum is right where it names no dataset with values."""
    end = data.index(dataset_table.SIGNATURE)
    text = json.dumps(table).encode().ljust(end - 35)
    assume(len(text) == end - 35)
    return b"xrdmatch table 1 %08d %08x\n" % (len(text), zlib.crc32(data[end:], zlib.crc32(text))) + text + data[end:]


def claimed(data, datasets, offsets):
    """The file with a table that says this of it, with the right checksum."""
    head = {"format": library_file.FORMAT, "format_version": 1, "provenance": {}}
    image = bytearray(data)
    dataset_table.put_table(memoryview(image), datasets, offsets, head)
    return memoryview(bytes(image))


def fake(dtype, shape):
    """An array of any shape in a few bytes."""
    return np.broadcast_to(np.zeros((), dtype), shape)


@pytest.fixture(scope="module")
def whole(library, tmp_path_factory):
    """The bytes of a library file, its datasets and where they lie."""
    path = tmp_path_factory.mktemp("whole") / "library.h5"
    library.save(path)
    data = path.read_bytes()
    with h5py.File(path) as file:
        return data, {key: file[key][:] for key in file}, {key: file[key].id.get_offset() for key in file}


def test_a_right_table_is_taken(whole):
    data, datasets, offsets = whole
    found = dataset_table.read_table(claimed(data, datasets, offsets))
    for key, values in datasets.items():
        np.testing.assert_array_equal(found.datasets[key], values)


@pytest.mark.parametrize(
    ("key", "dtype", "shape", "moved"),
    [
        ("hkl", "|i1", (10**9, 3), 0),  # beyond the end
        ("hkl", "<i8", None, 0),  # a type no library has
        ("cell", "<f4", None, 0),
        ("id", "<U4", None, 0),
        ("cell", "<f8", (30,), 0),  # another number of dimensions
        ("cell", "<f8", None, 10**9),
        ("cell", "<f8", None, 8),  # not where a dataset begins
        ("cell", "<f8", None, -64 * 10**6),
        ("id", "|S99999999", None, 0),
    ],
)
def test_a_table_that_says_what_cannot_be_is_refused(whole, key, dtype, shape, moved):
    data, datasets, offsets = whole
    wrong = {**datasets, key: fake(dtype, shape or datasets[key].shape)}
    assert dataset_table.read_table(claimed(data, wrong, {**offsets, key: offsets[key] + moved})) is None


def test_datasets_that_overlap_or_are_missing_are_refused(whole):
    data, datasets, offsets = whole
    assert dataset_table.read_table(claimed(data, datasets, {**offsets, "hkl": offsets["intensity"]})) is None
    assert dataset_table.read_table(claimed(data, datasets, {**offsets, "id": 0})) is None  # in the block itself
    for key in datasets:
        fewer = {name: values for name, values in datasets.items() if name != key}
        assert dataset_table.read_table(claimed(data, fewer, offsets)) is None
    assert dataset_table.read_table(claimed(data, {**datasets, "more": datasets["cell"]}, {**offsets, "more": offsets["cell"]})) is None


@given(st.data())
def test_no_table_reads_beyond_the_file(whole, data_of):
    """Places, types and shapes at random, with the right checksum: refused, or views that lie within the file."""
    data, datasets, offsets = whole
    size = st.one_of(st.integers(0, 300), st.integers(0, 2 * len(data)))
    changed, places = dict(datasets), dict(offsets)
    for key in data_of.draw(st.lists(st.sampled_from(sorted(datasets)), min_size=1, max_size=3)):
        shape = data_of.draw(st.tuples(*[size] * datasets[key].ndim))
        changed[key] = fake(data_of.draw(st.sampled_from([datasets[key].dtype.str, "|i1", "<i2", "<f8", "|S7"])), shape)
        places[key] = data_of.draw(st.one_of(st.sampled_from(sorted(offsets.values())), st.integers(0, 40).map(lambda n: 64 * n), size))
    image = claimed(data, changed, places)
    found = dataset_table.read_table(image)
    if found is not None:
        begin = np.frombuffer(image, np.uint8).__array_interface__["data"][0]
        for values in found.datasets.values():
            first = values.__array_interface__["data"][0] - begin
            assert values.size == 0 or 0 <= first <= first + values.nbytes <= len(image)
            assert values.size == 0 or not values.flags.writeable


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["datasets", "id", "cell", "format", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["whole", "datasets", "id", "format_version", "provenance"]))
def test_a_table_of_anything_is_refused(whole, value, where):
    data, datasets, offsets = whole
    table = {
        "format": "xrdmatch-library",
        "format_version": 1,
        "provenance": {},
        "datasets": {key: [values.dtype.str, list(values.shape), offsets[key]] for key, values in datasets.items()},
    }
    if where == "id":
        table["datasets"]["id"] = value
    image = with_table(data, value if where == "whole" else table if where == "id" else {**table, where: value})
    assert dataset_table.read_table(memoryview(image)) is None


@given(st.binary(max_size=2000))
def test_no_bytes_are_taken_for_a_library(data):
    assert dataset_table.read_table(memoryview(data)) is None
    assert dataset_table.read_table(memoryview(b"xrdmatch table 1 00000999 00000000\n" + data)) is None
