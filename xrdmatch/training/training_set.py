"""The HDF5 file that training patterns are kept in, and how a training reads it.

An augmented set holds x (rows, points) float16 in 0..1, y (rows,) the label's index, id (labels,), and its provenance as attributes.
float16 keeps three digits of every value, however small, which is finer than counting statistics, at half the size of float32; equal steps of
8 bit (1/255) would wipe out weak lines and most of the noise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import LibraryError
from xrdmatch.library.library_file import own_dataset
from xrdmatch.system import atomic_files
from xrdmatch.version import __version__

Made = tuple[NDArray[np.floating[Any]], NDArray[np.int32]]  # patterns (k, points) and labels (k,)

FORMAT = "xrdmatch-augmented"
FORMAT_VERSION = 1
CHUNK_ROWS = 16  # rows of one HDF5 chunk: small, so that training can mix many chunks at a time
MEMORY_LIMIT = 2 << 30  # bytes; training holds a set up to this size in memory and reads a larger one in blocks each epoch
BLOCK_ROWS = 8192  # rows that training takes up at a time
READ_ROWS = 64  # neighbouring rows it reads of a large file at once; a block mixes BLOCK_ROWS / READ_ROWS such pieces from anywhere in it
BUFFER_ROWS = 2048  # rows collected before they are written: the memory a set of any size needs


def write_set(path: str | Path, rows: Iterable[Made], ids: Sequence[str], points: int, provenance: Mapping[str, Any]) -> int:
    """Write an augmented set from blocks of x (k, points) and y (k,), whatever made them; returns the number of rows.

    The file is written beside its target and renamed, in buffers of some `BUFFER_ROWS`. Raises LibraryError where that fails.
    """
    import h5py

    with atomic_files.writing(path, LibraryError, "the augmented set"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.atomic_write(path) as part, part.open("w+b") as stream:
            sink, total = atomic_files.Sink(stream), 0
            with h5py.File(sink, "w") as file:
                x = file.create_dataset("x", (0, points), np.float16, maxshape=(None, points), chunks=(CHUNK_ROWS, points))
                y = file.create_dataset("y", (0,), np.int32, maxshape=(None,), chunks=(BUFFER_ROWS,))
                file.create_dataset("id", data=np.char.encode(np.array(list(ids), dtype=str), "utf-8"))
                for values, labels in _buffered(rows):
                    x.resize(total + len(labels), axis=0)
                    y.resize(total + len(labels), axis=0)
                    x[total:], y[total:] = values, labels
                    total += len(labels)
                    sink.check()
                made = {**provenance, "version": __version__}
                file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION, "provenance": json.dumps(made)})
            sink.check()
            stream.flush()
    return total


def _buffered(rows: Iterable[Made]) -> Iterator[tuple[NDArray[np.float16], NDArray[np.int32]]]:
    """Blocks of `rows` joined to some `BUFFER_ROWS`, as they are stored."""
    values: list[NDArray[np.float16]] = []
    labels: list[NDArray[np.int32]] = []
    for x, y in rows:
        values.append(x.astype(np.float16))
        labels.append(y)
        if sum(map(len, labels)) >= BUFFER_ROWS:
            yield np.concatenate(values), np.concatenate(labels)
            values, labels = [], []
    if labels:
        yield np.concatenate(values), np.concatenate(labels)


class AugmentedSet:
    """An augmented file, open for reading.

    path: the file. ids: labels. labels: (rows,) int32 index into ids. points: columns. provenance: how it was made.
    Raises LibraryError where the file is missing, damaged, or something else.
    """

    def __init__(self, path: str | Path) -> None:
        import h5py

        self.path = Path(path)
        if not self.path.is_file():
            raise LibraryError(f"{self.path}: expected an augmented set (.h5), but there is no such file")
        try:
            self._file = h5py.File(self.path, "r")
        except PermissionError as error:
            raise LibraryError(atomic_files.closed(self.path, error)) from error
        except OSError as error:
            raise LibraryError(f"{self.path}: expected an augmented set (.h5), but it is damaged: {error}") from error
        try:
            attrs = self._file.attrs
            if attrs.get("format") != FORMAT:
                raise LibraryError(f"{self.path}: expected a set written by xrdmatch augment, found format {attrs.get('format')!r}")
            if attrs["format_version"] > FORMAT_VERSION:
                raise LibraryError(f"{self.path}: written by a newer xrdmatch (format {attrs['format_version']}); update xrdmatch to read it")
            self._x = own_dataset(self._file, "x", math.inf)
            self.labels: NDArray[np.int32] = own_dataset(self._file, "y")[:]
            self.ids: list[str] = [name.decode() for name in own_dataset(self._file, "id")[:].tolist()]
            self.provenance: dict[str, Any] = json.loads(attrs["provenance"])
            self.points: int = self._x.shape[1]
            if len(self.labels) != len(self._x):
                raise KeyError("x and y differ in length")
        except (LibraryError, OSError, KeyError, ValueError) as error:
            self._file.close()
            if isinstance(error, LibraryError):
                raise error if str(self.path) in str(error) else LibraryError(f"{self.path}: {error}") from error
            raise LibraryError(f"{self.path}: expected an augmented set (.h5), but it is damaged: {error}") from error

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Bytes of all patterns."""
        return 2 * len(self) * self.points

    def read(self, start: int, stop: int) -> NDArray[np.float16]:
        """Patterns of rows start..stop (k, points)."""
        patterns: NDArray[np.float16] = self._x[start:stop]
        return patterns

    def __enter__(self) -> AugmentedSet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


class Rows:
    """The patterns of an augmented set, split into training and validation rows by a seed.

    Small sets are held in memory and shuffled row by row. Of large ones, each block joins pieces of `READ_ROWS` neighbouring rows from random places
    and is shuffled within, so memory does not grow with the set.
    """

    def __init__(self, data: AugmentedSet, validation: float, seed: int) -> None:
        self.data, self.seed = data, seed
        self.held = np.zeros(len(data), dtype=bool)
        self.held[np.random.default_rng([seed, 0]).permutation(len(data))[: round(validation * len(data))]] = True
        if self.held.all() or not self.held.any():
            raise LibraryError(f"{data.path}: {len(data)} patterns are too few to hold back a share of {validation:g} for validation")
        self.memory = data.read(0, len(data)) if data.nbytes <= MEMORY_LIMIT else None

    def batches(self, batch: int) -> int:
        """Training batches of one epoch."""
        return -(-int((~self.held).sum()) // batch)

    def training(self, epoch: int, batch: int) -> Iterator[tuple[NDArray[np.float16], NDArray[np.int32]]]:
        """Patterns (k, 1, points) and labels (k,) of all training rows, k = `batch` but for the last; the same order for the same epoch."""
        rng = np.random.default_rng([self.seed, 1, epoch])
        x, y = np.empty((0, self.data.points), np.float16), np.empty(0, np.int32)
        for block in self._blocks(rng):
            x, y = np.concatenate([x, self._fetch(block)]), np.concatenate([y, self.data.labels[block]])
            whole = len(y) // batch * batch
            for start in range(0, whole, batch):
                yield x[start : start + batch, None], y[start : start + batch]
            x, y = x[whole:], y[whole:]
        if len(y):
            yield x[:, None], y

    def validation(self, batch: int) -> Iterator[tuple[NDArray[np.float16], NDArray[np.int32]]]:
        """Patterns and labels of all validation rows, in the file's order."""
        held = np.flatnonzero(self.held)
        for start in range(0, held.size, BLOCK_ROWS):
            block = held[start : start + BLOCK_ROWS]
            x = self._fetch(block)
            for i in range(0, block.size, batch):
                yield x[i : i + batch, None], self.data.labels[block[i : i + batch]]

    def limits(self) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Smallest and largest value of each column (1, points) over the training rows."""
        low, high = np.full((1, self.data.points), np.inf, np.float16), np.full((1, self.data.points), -np.inf, np.float16)
        for x, _ in self.training(0, BLOCK_ROWS):
            low, high = np.minimum(low, x.min(axis=0)), np.maximum(high, x.max(axis=0))
        return low, high

    def _blocks(self, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Training rows in random order, some `BLOCK_ROWS` at a time."""
        if self.memory is not None:
            order = rng.permutation(np.flatnonzero(~self.held))
            yield from (order[start : start + BLOCK_ROWS] for start in range(0, order.size, BLOCK_ROWS))
            return
        pieces = rng.permutation(-(-len(self.data) // READ_ROWS))
        per_block = BLOCK_ROWS // READ_ROWS
        for start in range(0, pieces.size, per_block):
            rows = (pieces[start : start + per_block, None] * READ_ROWS + np.arange(READ_ROWS)).ravel()
            rows = rows[rows < len(self.data)]
            yield rng.permutation(rows[~self.held[rows]])

    def _fetch(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Patterns (k, points) of `rows`."""
        if self.memory is not None:
            return np.asarray(self.memory[rows])
        pieces, place = np.unique(rows // READ_ROWS, return_inverse=True)
        parts = [self.data.read(piece * READ_ROWS, min((piece + 1) * READ_ROWS, len(self.data))) for piece in pieces.tolist()]
        patterns: NDArray[np.float16] = np.concatenate([np.empty((0, self.data.points), np.float16), *parts])
        return np.asarray(patterns[place * READ_ROWS + rows % READ_ROWS])
