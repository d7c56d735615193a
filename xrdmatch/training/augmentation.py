"""Training patterns made from reference profiles: the shuffle method, and the physics method.

The shuffle method is that of Wang et al., J. Chem. Inf. Model. 2020, 60, 2004 (doi 10.1021/acs.jcim.0c00020), as in its authors' published script:
the strongest points of a simulated pattern stay, all others are replaced by a random permutation of measured noise, because noise follows
neither a Gaussian nor a Poisson distribution. The physics method applies what `xrdmatch.training.effects_numpy` lists instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.errors import ReadError
from xrdmatch.library.reference_library import Library
from xrdmatch.model.library_vectors import ideal
from xrdmatch.preprocessing.fft_filter import PAPER_GRID
from xrdmatch.system.arrays import Float32Array
from xrdmatch.system.parallel import Workers, ordered
from xrdmatch.training.effects_numpy import Copies, Hardness, with_instrument
from xrdmatch.training.training_set import Made, write_set

Progress = Callable[[int], None]

KEPT = 401  # strongest points of a pattern that stay: those not below the 401st largest
COPIES = 72  # of each pattern, in the paper: 6 noise sources x 12 permutations
PROFILE_ROWS = 64  # library entries simulated at a time


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
