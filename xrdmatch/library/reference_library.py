"""The reference library: structures as reflections, with names and families, in one HDF5 file.

Reflections are kept as hkl and |F|^2 times multiplicity, without Lorentz-polarisation and without a wavelength, so that any anode can be
served and any cell strain applied. docs/library.md lists the datasets one by one.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.pattern import read_only
from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric
from xrdmatch.errors import LibraryError
from xrdmatch.system import atomic_files

FORMAT = "xrdmatch-library"
FORMAT_VERSION = 1

#: Bytes of one dataset; half a million structures stay below it.
MAX_DATASET = 4_000_000_000

#: The strongest |F|^2 of an entry is stored as this, so that float16 holds six orders of magnitude below it.
INTENSITY_SCALE = 1000.0

_TEXT_FIELDS = ("id", "name", "formula", "source", "doi", "note")


@dataclass(frozen=True, eq=False)
class Entry:
    """One reference structure: what `Library` holds a row of."""

    id: str
    formula: str
    cell: NDArray[np.float64]
    hkl: NDArray[np.int16]
    intensity: NDArray[np.float64]
    name: str = ""
    source: str = ""
    doi: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Library:
    """Reference structures as reflections. `library.index()["ABCDEF_clean"]` is the row of an id.

    id, name, formula, source, doi, note: (n,) texts. cell: (n, 6) angstrom and degrees. offsets: (n + 1,), the lines of entry i are rows
    offsets[i]:offsets[i + 1] of hkl (m, 3) and intensity (m,), by falling d-spacing; intensity is |F|^2 times multiplicity, the strongest of an entry
    1000. family: (n,) index into family_name. attrs: provenance.
    """

    id: NDArray[np.str_]
    name: NDArray[np.str_]
    formula: NDArray[np.str_]
    source: NDArray[np.str_]
    doi: NDArray[np.str_]
    note: NDArray[np.str_]
    cell: NDArray[np.float64]
    offsets: NDArray[np.int64]
    hkl: NDArray[np.int16]
    intensity: NDArray[np.float16]
    family: NDArray[np.int32]
    family_name: NDArray[np.str_]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.id)
        rows = {key: len(getattr(self, key)) for key in (*_TEXT_FIELDS, "cell", "family")}
        fits = set(rows.values()) == {n} and self.cell.shape == (n, 6) and self.hkl.shape == (len(self.intensity), 3)
        fits = (
            fits
            and len(self.offsets) == n + 1
            and self.offsets[0] == 0
            and self.offsets[-1] == len(self.hkl)
            and bool((np.diff(self.offsets) >= 0).all())
        )
        if not fits or (n and not 0 <= self.family.min() <= self.family.max() < len(self.family_name)):
            raise LibraryError(f"the library's datasets do not fit each other: {rows}, {len(self.offsets)} offsets, {len(self.hkl)} lines")

    def __len__(self) -> int:
        return len(self.id)

    def __repr__(self) -> str:
        return f"<Library: {len(self)} structures, {len(np.unique(self.family))} families, {len(self.hkl)} lines>"

    @classmethod
    def from_entries(cls, entries: Iterable[Entry], attrs: dict[str, Any] | None = None) -> Library:
        """A library in the order of `entries`, each its own family. Raises LibraryError where an id comes twice."""
        rows = list(entries)
        ids = [row.id for row in rows]
        if twice := sorted(name for name, count in Counter(ids).items() if count > 1):
            raise LibraryError(f"ids must be unique, these come twice: {', '.join(twice[:5])}")
        counts = [len(row.intensity) for row in rows]
        texts = {key: _texts([getattr(row, key) for row in rows]) for key in _TEXT_FIELDS}
        return cls(
            **texts,
            cell=np.array([row.cell for row in rows], dtype=float).reshape(-1, 6),
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            hkl=np.concatenate([row.hkl for row in rows]).astype(np.int16) if rows else np.empty((0, 3), np.int16),
            intensity=np.concatenate([_scaled(row.intensity) for row in rows]) if rows else np.empty(0, np.float16),
            family=np.arange(len(rows), dtype=np.int32),
            family_name=np.array([name or name_id for name, name_id in zip(texts["name"], texts["id"], strict=True)], dtype=str),
            attrs=dict(attrs or {}),
        )

    def entry(self, i: int) -> Entry:
        """Entry `i` with what is its own: all but its family."""
        part = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        texts = {key: str(getattr(self, key)[i]) for key in _TEXT_FIELDS}
        return Entry(**texts, cell=self.cell[i], hkl=self.hkl[part], intensity=self.intensity[part].astype(float))

    def subset(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> Library:
        """The entries `rows`, in that order, with their families and provenance."""
        rows = np.asarray(rows, dtype=int)
        parts = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in rows]
        lines = np.concatenate(parts) if parts else np.empty(0, dtype=int)
        kept, family = np.unique(self.family[rows], return_inverse=True)
        return replace(
            self,
            **{key: getattr(self, key)[rows] for key in (*_TEXT_FIELDS, "cell")},
            offsets=np.concatenate([[0], np.cumsum([part.size for part in parts])]).astype(np.int64),
            hkl=self.hkl[lines],
            intensity=self.intensity[lines],
            family=family.astype(np.int32),
            family_name=self.family_name[kept],
        )

    def joined(self, other: Library) -> Library:
        """This library followed by `other`. Raises LibraryError where both hold an id."""
        both = set(self.id.tolist()) & set(other.id.tolist())
        if both:
            raise LibraryError(f"{len(both)} ids are in both libraries, for example {sorted(both)[0]}")
        stacked: dict[str, Any] = {
            key: np.concatenate([getattr(self, key), getattr(other, key)]) for key in (*_TEXT_FIELDS, "cell", "hkl", "intensity", "family_name")
        }
        return replace(
            self,
            **stacked,
            offsets=np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]]),
            family=np.concatenate([self.family, other.family + len(self.family_name)]).astype(np.int32),
        )

    def lines(self, i: int, strain: ArrayLike | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """d-spacings (k,) in angstrom and intensities (k,) of entry `i`; `strain` (6,) changes the cell: relative for lengths, degrees for angles."""
        cell = self.cell[i]
        if strain is not None:
            change = np.asarray(strain, dtype=float)
            cell = np.concatenate([cell[:3] * (1.0 + change[:3]), cell[3:] + change[3:]])
        part = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        d = 1.0 / np.sqrt(inverse_d_squared(self.hkl[part], reciprocal_metric(cell)))
        return d, self.intensity[part].astype(float)

    def padded_lines(self, rows: NDArray[np.integer[Any]], dtype: Any = np.float64) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """hkl (k, p, 3), intensity (k, p) and what is a line (k, p) of several entries; shorter rows are padded with zero intensity.
        dtype: of the first two.
        """
        counts = np.diff(self.offsets)[rows]
        column = np.arange(int(counts.max(initial=1)))
        real = column < counts[:, None]
        index = np.where(real, self.offsets[rows][:, None] + column, 0)
        return self.hkl[index].astype(dtype), self.intensity[index].astype(dtype) * real, real

    def stacked_lines(self, rows: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the lines of several entries lie in hkl and intensity, one entry after the other (n,), and how many each has (k,)."""
        first = self.offsets[rows]
        counts = self.offsets[rows + 1] - first
        start = np.cumsum(counts) - counts
        return np.repeat(first - start, counts) + np.arange(int(counts.sum())), counts

    def members(self, family: int) -> NDArray[np.int64]:
        """Rows of the entries of one family."""
        order, first = self._by_family
        return order[first[family] : first[family + 1]]

    @cached_property
    def _by_family(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows (n,) family after family, and where each family begins, with the end (families + 1,)."""
        return np.argsort(self.family, kind="stable"), np.concatenate([[0], np.cumsum(np.bincount(self.family, minlength=len(self.family_name)))])

    def index(self) -> dict[str, int]:
        """Row of each id."""
        return {name: row for row, name in enumerate(self.id.tolist())}

    def save(self, path: str | Path, vectors: NDArray[np.float32] | None = None, lookup: NDArray[np.uint16] | None = None) -> None:
        """Write the HDF5 file, whole or not at all. vectors (n, dim): what an encoder makes of the entries, kept with them as float16.
        lookup (2, n, k): their strongest lines, as `xrdmatch.library.line_index` packs them.

        Raises LibraryError where that is impossible.
        """
        import h5py

        # Made in memory: HDF5 itself breaks down where the disk is full.
        with h5py.File("library", "w", driver="core", backing_store=False) as file:
            for key in (*_TEXT_FIELDS, "family_name"):
                file.create_dataset(key, data=np.char.encode(getattr(self, key), "utf-8"), compression="gzip", shuffle=True)
            for key in ("cell", "offsets", "hkl", "intensity", "family"):
                file.create_dataset(key, data=getattr(self, key), compression="gzip", compression_opts=6, shuffle=True)
            if vectors is not None:
                file.create_dataset("vectors", data=vectors.astype(np.float16))
            if lookup is not None:
                file.create_dataset("lookup", data=lookup, compression="gzip", shuffle=True)
            file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION, "provenance": json.dumps(self.attrs)})
            file.flush()
            image = file.id.get_file_image()
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with atomic_files.whole(path) as part:
                part.write_bytes(image)
        except OSError as error:
            raise LibraryError(f"{path}: the library cannot be written ({atomic_files.reason(error)}); choose another place") from error

    @classmethod
    def load(cls, path: str | Path) -> Library:
        """Read a library. Raises LibraryError where the file is missing, damaged, or no library."""
        return cls.load_whole(path)[0]

    @classmethod
    def load_whole(cls, path: str | Path) -> tuple[Library, NDArray[np.float32] | None, NDArray[np.uint16] | None]:
        """The library, its entries' vectors (n, dim) and their packed lines (2, n, k), None where the file has none; of one state of the file,
        even if it is being replaced.
        """
        import h5py

        path = Path(path)
        if not path.is_file():
            raise LibraryError(f"{path}: expected a library (.h5), but there is no such file")
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("format") != FORMAT:
                    raise LibraryError(f"{path}: expected a library written by xrdmatch simulate, found format {file.attrs.get('format')!r}")
                if file.attrs["format_version"] > FORMAT_VERSION:
                    raise LibraryError(f"{path}: written by a newer xrdmatch (format {file.attrs['format_version']}); update xrdmatch to read it")
                texts: dict[str, Any] = {key: _decoded(own_dataset(file, key)[:]) for key in (*_TEXT_FIELDS, "family_name")}
                arrays: dict[str, Any] = {key: own_dataset(file, key)[:] for key in ("cell", "offsets", "intensity", "family")}
                arrays["hkl"] = _by_columns(own_dataset(file, "hkl"))
                vectors = own_dataset(file, "vectors")[:].astype(np.float32) if "vectors" in file else None
                lookup = own_dataset(file, "lookup")[:].astype(np.uint16) if "lookup" in file else None
                attrs = json.loads(file.attrs["provenance"])
            arrays["cell"] = arrays["cell"].astype(float)
            for array in arrays.values():
                array.flags.writeable = False
            return cls(**texts, **arrays, attrs=attrs), vectors, lookup
        except LibraryError as error:
            raise error if str(path) in str(error) else LibraryError(f"{path}: {error}") from error
        except PermissionError as error:
            raise LibraryError(atomic_files.closed(path, error)) from error
        except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise LibraryError(f"{path}: expected a library (.h5), but it is damaged: {error}") from error


def _decoded(texts: NDArray[Any]) -> NDArray[np.str_]:
    """Stored UTF-8 as text; np.char.decode takes ten times as long for what is mostly plain ASCII."""
    stored = np.asarray(texts, dtype=np.bytes_)
    return stored.astype(np.str_) if stored.tobytes().isascii() else np.char.decode(stored, "utf-8")


def _by_columns(dataset: Any) -> NDArray[np.int16]:
    """A dataset (n, 3) as it is stored, column by column: faster to read, and to work with."""
    columns = np.empty(dataset.shape[::-1], dtype=dataset.dtype)
    for i, column in enumerate(columns):
        dataset.read_direct(column[:, None], np.s_[:, i : i + 1])
    return columns.T


def own_dataset(file: Any, name: str, most: float = MAX_DATASET) -> Any:
    """A dataset of an open HDF5 file that lies in this very file and unpacks to `most` bytes at most.

    HDF5 can point to other files, and a few bytes can unpack to terabytes. Raises LibraryError where either is so, KeyError where it is missing.
    """
    import h5py

    link = file.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise LibraryError(f"its dataset {name!r} points elsewhere, which no file of xrdmatch does: it is refused for safety")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise LibraryError(f"its dataset {name!r} takes its values out of other files, which no file of xrdmatch does: it is refused for safety")
    if dataset.nbytes > most:
        raise LibraryError(f"its dataset {name!r} unpacks to {dataset.nbytes / 1e9:.0f} GB, expected {most / 1e9:.0f} GB at most")
    return dataset


def check_writable(path: str | Path) -> None:
    """Raise LibraryError unless a file can be written at `path`: before the work, not after it."""
    target = Path(path)
    probe = target.with_name(f"{target.name}.{os.getpid()}.probe")
    try:
        if target.is_dir():
            raise IsADirectoryError("there is a folder of that name")
        target.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise LibraryError(f"{target}: the library cannot be written ({atomic_files.reason(error)}); choose another place") from error


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


def _texts(values: Sequence[str]) -> NDArray[np.str_]:
    return np.array(values, dtype=str) if values else np.empty(0, dtype="U1")


def _scaled(intensity: NDArray[np.float64]) -> NDArray[np.float16]:
    top = intensity.max(initial=0.0)
    scaled = read_only(intensity) * (INTENSITY_SCALE / top if top > 0 else 0.0)
    return np.asarray(scaled, dtype=np.float16)
