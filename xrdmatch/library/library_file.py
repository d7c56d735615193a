"""Library files: HDF5 that is written in one piece and mapped into memory, and what makes a file unfit to be read."""

from __future__ import annotations

import contextlib
import io
import json
import mmap
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import LibraryError
from xrdmatch.library import dataset_table
from xrdmatch.library.dataset_table import Contents
from xrdmatch.system import atomic_files

FORMAT = "xrdmatch-library"
FORMAT_VERSION = 1

#: Bytes of one dataset that HDF5 unpacks; half a million structures stay below it.
MAX_DATASET = 4_000_000_000

#: Whether files are mapped into memory: Windows lets nobody replace a file that is.
MAPPED = sys.platform != "win32"


def write(path: str | Path, datasets: Mapping[str, NDArray[Any]], provenance: dict[str, Any]) -> None:
    """Write a library file, whole or not at all. datasets: of the types in `dataset_table.TYPES`. Raises LibraryError where that is impossible."""
    image = _image(datasets, provenance)
    with atomic_files.writing(path, LibraryError, "the library"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.atomic_write(path) as part:
            part.write_bytes(image)


def _image(datasets: Mapping[str, NDArray[Any]], provenance: dict[str, Any]) -> memoryview:
    """The bytes of the file. Made in memory: HDF5 itself breaks down where the disk is full."""
    import h5py

    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "provenance": provenance}
    stream = io.BytesIO()
    block = dataset_table.block_size(datasets, head)
    with h5py.File(stream, "w", userblock_size=block, alignment_threshold=1, alignment_interval=dataset_table.ALIGNMENT) as file:
        for key, values in datasets.items():
            file.create_dataset(key, data=values)
        file.attrs.update({**head, "provenance": json.dumps(provenance)})
        offsets = {key: file[key].id.get_offset() if values.size else 0 for key, values in datasets.items()}
    image = stream.getbuffer()
    dataset_table.put_table(image, datasets, offsets, head)
    return image


def read(path: str | Path, mapped: bool = MAPPED) -> Contents:
    """What a library file holds, in read-only arrays; mapped: they lie in the file, which may be replaced but not overwritten while they are used.

    A file that another program wrote or changed, or xrdmatch 0.1, is read by HDF5 into memory. Raises what `clear_errors` takes.
    """
    path = Path(path)
    if not path.is_file():
        raise LibraryError(f"{path}: expected a library (.h5), but there is no such file")
    with path.open("rb") as file:
        image = _bytes(file, mapped) if dataset_table.may_begin(file.read(dataset_table.SMALLEST)) else None
    contents = dataset_table.read_table(image) if image is not None else None
    if contents is None or contents.format != FORMAT or contents.version > FORMAT_VERSION:
        return _from_hdf5(path)
    return contents


def _bytes(file: BinaryIO, mapped: bool) -> memoryview:
    if mapped:
        with contextlib.suppress(OSError):  # not every file system can do it
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    file.seek(0)
    return memoryview(file.read())


def _from_hdf5(path: Path) -> Contents:
    import h5py

    with h5py.File(path, "r") as file:
        if file.attrs.get("format") != FORMAT:
            raise LibraryError(f"{path}: expected a library written by xrdmatch simulate, found format {file.attrs.get('format')!r}")
        version = int(file.attrs["format_version"])
        if version > FORMAT_VERSION:
            raise LibraryError(f"{path}: written by a newer xrdmatch (format {version}); update xrdmatch to read it")
        names = [name for name in dataset_table.TYPES if name not in dataset_table.OPTIONAL or name in file]
        datasets = {name: own_dataset(file, name)[:] for name in names}
        for name, dtype in (("cell", np.float64), ("vectors", np.float16), ("lookup", np.uint16)):
            if name in datasets:
                datasets[name] = datasets[name].astype(dtype)
        for array in datasets.values():
            array.flags.writeable = False
        return Contents(datasets, FORMAT, version, json.loads(file.attrs["provenance"]))


@contextlib.contextmanager
def clear_errors(path: str | Path) -> Iterator[None]:
    """Makes one LibraryError, which names the file, of everything that goes wrong with a library's file."""
    try:
        yield
    except LibraryError as error:
        raise error if str(path) in str(error) else LibraryError(f"{path}: {error}") from error
    except PermissionError as error:
        raise LibraryError(atomic_files.closed(path, error)) from error
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise LibraryError(f"{path}: expected a library (.h5), but it is damaged: {error}") from error


def own_dataset(file: Any, name: str, most: float = MAX_DATASET) -> Any:
    """A dataset of an open HDF5 file that lies in this very file and unpacks to `most` bytes at most.

    HDF5 can point to other files, and a few bytes can unpack to terabytes. Raises LibraryError where either is so, KeyError where it is missing.
    """
    import h5py

    link = file.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise LibraryError(f"its dataset {name!r} is a link to another place, which xrdmatch never writes: refused for safety")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise LibraryError(f"its dataset {name!r} takes its values from other files, which xrdmatch never writes: refused for safety")
    if dataset.nbytes > most:
        raise LibraryError(f"its dataset {name!r} unpacks to {dataset.nbytes / 1e9:.0f} GB, expected {most / 1e9:.0f} GB at most")
    return dataset


def check_writable(path: str | Path) -> None:
    """Raise LibraryError unless a file can be written at `path`: before the work, not after it."""
    with atomic_files.writing(path, LibraryError, "the library"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    atomic_files.check_writable(path, LibraryError, "the library")


def format_of(path: str | Path) -> str:
    """What kind of HDF5 file of ours this is: its `format` attribute; empty where it has none. Raises LibraryError where it cannot be opened."""
    import h5py

    if not Path(path).is_file():
        raise LibraryError(f"{path}: expected a library or an augmented set (.h5), but there is no such file")
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("format", ""))
    except PermissionError as error:
        raise LibraryError(atomic_files.closed(path, error)) from error
    except OSError as error:
        raise LibraryError(f"{path}: expected a library or an augmented set (.h5), but it is another kind of file, or damaged ({error})") from error
