"""Training patterns made from reference profiles, and the HDF5 file they are kept in.

The shuffle method is that of Wang et al., J. Chem. Inf. Model. 2020, 60, 2004 (doi 10.1021/acs.jcim.0c00020), as in its authors' published script:
the strongest points of a simulated pattern stay, all others are replaced by a random permutation of measured noise, because noise follows
neither a Gaussian nor a Poisson distribution. The physics method applies what `xrdmatch.training.effects_numpy` lists instead.

An augmented set holds x (rows, points) float16 in 0..1, y (rows,) the label's index, id (labels,), and its provenance as attributes.
float16 keeps three digits of every value, however small, which is finer than counting statistics, at half the size of float32; equal steps of
8 bit (1/255) would wipe out weak lines and most of the noise.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.errors import LibraryError, ReadError
from xrdmatch.library.library_file import own_dataset
from xrdmatch.library.reference_library import Library
from xrdmatch.model.library_vectors import ideal
from xrdmatch.preprocessing.fft_filter import PAPER_GRID
from xrdmatch.system import atomic_files
from xrdmatch.system.arrays import Float32Array
from xrdmatch.system.parallel import Workers, ordered
from xrdmatch.training.effects_numpy import Copies, Hardness, with_instrument
from xrdmatch.version import __version__

Made = tuple[NDArray[np.floating[Any]], NDArray[np.int32]]  # patterns (k, points) and labels (k,)
Progress = Callable[[int], None]

KEPT = 401  # strongest points of a pattern that stay: those not below the 401st largest
COPIES = 72  # of each pattern, in the paper: 6 noise sources x 12 permutations

FORMAT = "xrdmatch-augmented"
FORMAT_VERSION = 1
CHUNK_ROWS = 16  # rows of one HDF5 chunk: small, so that training can mix many chunks at a time
MEMORY_LIMIT = 2 << 30  # bytes; training holds a set up to this size in memory and reads a larger one in blocks each epoch
BLOCK_ROWS = 8192  # rows that training takes up at a time
READ_ROWS = 64  # neighbouring rows it reads of a large file at once; a block mixes BLOCK_ROWS / READ_ROWS such pieces from anywhere in it
PROFILE_ROWS = 64  # library entries simulated at a time
BUFFER_ROWS = 2048  # rows collected before they are written: the memory a set of any size needs


def scaled(values: ArrayLike) -> Float32Array:
    """`values` (..., n) min-max scaled to 0..1 along the last axis; zeros where they are constant."""
    array = np.asarray(values, dtype=np.float32)
    low = array.min(axis=-1, keepdims=True)
    span = array.max(axis=-1, keepdims=True) - low
    return np.asarray((array - low) / np.where(span > 0, span, np.float32(1)), dtype=np.float32)


def noise_values(intensity: ArrayLike, strength: float | None = None) -> Float32Array:
    """The noise of a measured scan on the grid (n,): its values, scaled to 0..1, that are not above its own `KEPT`th largest, in their order.

    The paper's scans are of crystals, so what lies under their 401 strongest points is small. A blank has no line to be small against: `strength`
    scales its noise so that the largest value is this share of a pattern's strongest line. Raises ValueError for `KEPT` points or fewer.
    """
    values = scaled(intensity)
    if values.ndim != 1 or values.size <= KEPT:
        raise ValueError(f"noise needs a scan of more than {KEPT} points on the grid, got shape {values.shape}")
    limit = np.partition(values, values.size - KEPT)[values.size - KEPT]
    noise: Float32Array = values[values <= limit]
    top = float(noise.max())
    return noise if strength is None or top <= 0 else noise * np.float32(strength / top)


def shuffle_copies(profile: ArrayLike, noise: Float32Array, copies: int, rng: np.random.Generator) -> Float32Array:
    """`copies` (copies, n) of a pattern (n,), scaled to 0..1, whose points below the `KEPT`th largest are replaced by permutations of `noise`.

    The first n - KEPT noise values are taken; where a scan gives fewer, they are repeated. Equal values at the threshold (a pattern with few
    lines is 0 in most places) are told apart at random, so that `KEPT` points stay in every pattern.
    """
    pattern = scaled(profile)
    if pattern.ndim != 1 or pattern.size <= KEPT:
        raise ValueError(f"a pattern of more than {KEPT} points is expected, got shape {pattern.shape}")
    order = np.lexsort((rng.random(pattern.size), -pattern))
    weak = np.sort(order[KEPT:])
    rows = np.tile(pattern, (copies, 1))
    rows[:, weak] = rng.permuted(np.tile(np.resize(noise, weak.size), (copies, 1)), axis=1)
    return rows


def share(copies: int, sources: int, turn: int = 0) -> NDArray[np.int64]:
    """How many copies each noise source makes (sources,): evenly, and what does not divide goes round with `turn`, the pattern's number."""
    counts = np.full(sources, copies // sources)
    counts[(turn * (copies % sources) + np.arange(copies % sources)) % sources] += 1
    return counts


@dataclass(frozen=True)
class ShuffleOptions:
    """How patterns are shuffled. Raises ValueError where there would be no copy.

    strength: see `noise_values`. grid: of profiles and noise, where it is to be told in the file.
    """

    copies: int = COPIES
    seed: int = 0
    strength: float | None = None
    grid: Grid | None = None

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"at least one copy is needed, got {self.copies}")

    def provenance(self, noise: Iterable[str]) -> dict[str, Any]:
        """How a set was made with these noise sources."""
        names = list(noise)
        return {
            "method": "shuffle",
            "seed": self.seed,
            "copies": self.copies,
            "copies_per_source": share(self.copies, len(names)).tolist(),
            "kept": KEPT,
            "strength": self.strength,
            "noise": names,
            "grid": None if self.grid is None else asdict(self.grid),
        }


def write_shuffled(
    profiles: Iterable[ArrayLike],
    ids: Sequence[str],
    noise: Mapping[str, ArrayLike],
    path: str | Path,
    how: ShuffleOptions | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the shuffled copies of all `profiles` and return the number of rows.

    profiles: blocks (k, n) of simulated patterns on the grid, together as many as `ids`. noise: measured scans on the same grid (n,) with their
    names, see `noise_values`. The copies of a pattern are divided over the noise sources by `share`. Each pattern draws from its own random
    stream, so the result does not depend on the blocks' sizes. `progress` is called with the number of patterns done.
    Raises LibraryError where nothing can be written, ValueError where the arguments do not fit each other.
    """
    how = how or ShuffleOptions()
    if not noise:
        raise ValueError("at least one noise source is needed")
    points = np.shape(next(iter(noise.values())))[0]
    return write_set(path, shuffled_rows(profiles, len(ids), noise, how, progress), ids, points, how.provenance(noise))


def shuffled_rows(
    profiles: Iterable[ArrayLike], number: int, noise: Mapping[str, ArrayLike], how: ShuffleOptions, progress: Progress | None
) -> Iterator[Made]:
    """Shuffled copies of each of the `number` profiles, with its number; arguments as in `write_shuffled`."""
    sources = [noise_values(values, how.strength) for values in noise.values()]
    done = 0
    for block in profiles:
        for profile in np.atleast_2d(np.asarray(block, dtype=np.float32)):
            rng = np.random.default_rng([how.seed, done])
            counts = share(how.copies, len(sources), done)
            parts = [shuffle_copies(profile, values, count, rng) for values, count in zip(sources, counts, strict=True) if count]
            yield np.concatenate(parts), np.full(how.copies, done, dtype=np.int32)
            done += 1
            if progress is not None:
                progress(done)
    if done != number:
        raise ValueError(f"{done} profiles came for {number} ids")


def physics_rows(how: Copies, rows: NDArray[np.int64], progress: Progress | None, workers: Workers) -> Iterator[Made]:
    """`how.copies` patterns of each library entry of `rows`, with its number in `rows`; the same whatever the workers."""
    for number, patterns in enumerate(ordered(Copies.patterns, enumerate(rows.tolist()), workers, how)):
        yield patterns, np.full(how.copies, number, dtype=np.int32)
        if progress is not None:
            progress(number + 1)


@dataclass(frozen=True)
class PhysicsOptions:
    """How the physics method makes patterns, and how many. Raises ValueError where there would be no copy.

    level: how far its effects go. blanks: measured scans of empty holders on the grid, by name. noise: measured scans on the grid, by name, from
    which half of the patterns are made by the shuffle method; strength and fwhm (degrees) are of that half.
    """

    copies: int = COPIES
    seed: int = 0
    level: Hardness = field(default_factory=lambda: with_instrument(Hardness()))
    blanks: Mapping[str, ArrayLike] = field(default_factory=dict)
    noise: Mapping[str, ArrayLike] = field(default_factory=dict)
    strength: float | None = None
    fwhm: float = 0.1
    grid: Grid = PAPER_GRID

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"at least one copy is needed, got {self.copies}")

    @property
    def shuffled(self) -> ShuffleOptions | None:
        """Of the half that is shuffled; None where there is none."""
        copies = self.copies // 2 if self.noise else 0
        return ShuffleOptions(copies, self.seed, self.strength, self.grid) if copies else None

    def provenance(self) -> dict[str, Any]:
        """How a set is made with them."""
        made = {"method": "physics", "seed": self.seed, "copies": self.copies, "level": asdict(self.level), "blanks": list(self.blanks)}
        if self.shuffled is None:
            return {**made, "grid": asdict(self.grid)}
        return {**made, "grid": asdict(self.grid), "method": "mix", "shuffled": self.shuffled.provenance(self.noise)}


def write_physics(
    library: Library,
    rows: NDArray[np.int64],
    path: str | Path,
    how: PhysicsOptions | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> int:
    """Write patterns of library entries made by the physics method, half of them by the shuffle method where there is noise; number of rows.

    `progress` is called after each structure and method. workers: where the physics method runs, by default in this process.
    Raises as `write_shuffled`.
    """
    how = how or PhysicsOptions()
    shuffled = how.shuffled
    base = np.array(list(how.blanks.values()), dtype=float) if how.blanks else None
    copies = Copies(library, how.grid, how.copies - (shuffled.copies if shuffled else 0), how.seed, how.level, base)
    made: Iterator[Made] = physics_rows(copies, np.asarray(rows, dtype=np.int64), progress, workers or Workers())
    if shuffled is not None:
        profiles = library_profiles(library, rows, how.grid, how.fwhm)
        made = itertools.chain(shuffled_rows(profiles, len(rows), how.noise, shuffled, progress), made)
    return write_set(path, made, library.id[rows].tolist(), how.grid.size, how.provenance())


def library_profiles(library: Library, rows: NDArray[np.integer[Any]], grid: Grid, fwhm: float = 0.1) -> Iterator[Float32Array]:
    """Noise-free profiles (k, grid.size) of library entries in blocks, in the order of `rows`: what the reference method starts from.

    fwhm: line width in degrees. No thermal motion, as in the paper's theoretical patterns.
    """
    for start in range(0, len(rows), PROFILE_ROWS):
        yield ideal(library, np.asarray(rows[start : start + PROFILE_ROWS], dtype=np.int64), grid, fwhm, 0.0)


def noise_on_grid(pattern: Pattern, grid: Grid) -> Float32Array:
    """A measured scan (grid.size,) as a noise source; where it does not reach, its own values are repeated, since they are shuffled anyway.

    Raises ReadError where the scan covers less than half of the grid.
    """
    values, mask = grid.resample(pattern)
    if mask.sum() < 0.5 * mask.size:
        raise ReadError(f"{pattern.name}: covers {mask.mean():.0%} of {grid.start:g}-{grid.stop:g} deg; a noise source has to cover half of it")
    return np.asarray(np.where(mask, values, np.resize(values[mask], values.size)), dtype=np.float32)


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
