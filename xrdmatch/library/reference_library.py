"""The reference library: structures as reflections, with names and families, in one HDF5 file.

Reflections are kept as hkl and |F|^2 times multiplicity, without Lorentz-polarisation and without a wavelength, so that any anode can be
served and any cell strain applied. docs/library.md lists the datasets one by one. A library is mapped into memory rather than read: it is there at
once, and only what is looked at is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.lattice import strained
from xrdmatch.diffraction.pattern import read_only
from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric
from xrdmatch.errors import LibraryError
from xrdmatch.library import library_file
from xrdmatch.library.dataset_table import LEVELS, NUMBERS, OPTIONAL_TEXTS, TEXTS
from xrdmatch.library.text_column import TextColumn

#: The strongest |F|^2 of an entry is stored as this, so that float16 holds six orders of magnitude below it.
INTENSITY_SCALE = 1000.0

#: Stands between the names of an entry's linkers.
LINKER_SEPARATOR = "; "

_TEXT_FIELDS = (*TEXTS, *OPTIONAL_TEXTS)
_GROUP_NAMES = tuple(f"{level}_name" for level in ("family", *LEVELS))


@dataclass(frozen=True, eq=False)
class Entry:
    """One reference structure: what `Library` holds a row of. linkers, linker_formulas: in one order, with "; " between.

    intensity: |F|^2 times multiplicity, in electrons squared a cell, or relative with the strongest 1000 where `scale` says what that stands for.
    cell_mass: g/mol of all atoms in the cell.
    """

    id: str
    formula: str
    cell: NDArray[np.float64]
    hkl: NDArray[np.int16]
    intensity: NDArray[np.float64]
    name: str = ""
    source: str = ""
    doi: str = ""
    note: str = ""
    linkers: str = ""
    linker_formulas: str = ""
    net: str = ""
    category: str = ""
    title: str = ""
    title_kind: str = ""
    scale: float = np.nan
    cell_mass: float = np.nan


@dataclass(frozen=True, eq=False, repr=False)
class Library:
    """Reference structures as reflections. `library.index()["ABCDEF_clean"]` is the row of an id.

    id, name, formula, source, doi, note: (n,) texts; lists and arrays of texts become columns. linkers (names, "; " between), linker_formulas, net,
    category, title, title_kind: (n,) texts as well, all empty where nothing is given. cell: (n, 6) angstrom and degrees. offsets: (n + 1,), the lines
    of entry i are rows offsets[i]:offsets[i + 1] of hkl (m, 3) and intensity (m,), by falling d-spacing; intensity is |F|^2 times multiplicity, the
    strongest of an entry 1000. hkl of a file is int8 where all indices fit: convert it before indices are added or multiplied. family: (n,) index
    into family_name. framework, composition: the same of the coarser levels (`xrdmatch.library.levels`), empty where they are not known: ask `level`
    for them. scale: (n,) electrons squared a cell, what an intensity of 1000 stands for. cell_mass: (n,) g/mol of the atoms in the cell. Both are NaN
    where they are not known. attrs: provenance.
    """

    id: TextColumn
    name: TextColumn
    formula: TextColumn
    source: TextColumn
    doi: TextColumn
    note: TextColumn
    cell: NDArray[np.float64]
    offsets: NDArray[np.int64]
    hkl: NDArray[np.integer[Any]]
    intensity: NDArray[np.float16]
    family: NDArray[np.int32]
    family_name: TextColumn
    linkers: TextColumn = field(default_factory=TextColumn.none)
    linker_formulas: TextColumn = field(default_factory=TextColumn.none)
    net: TextColumn = field(default_factory=TextColumn.none)
    category: TextColumn = field(default_factory=TextColumn.none)
    title: TextColumn = field(default_factory=TextColumn.none)
    title_kind: TextColumn = field(default_factory=TextColumn.none)
    framework: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    framework_name: TextColumn = field(default_factory=TextColumn.none)
    composition: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    composition_name: TextColumn = field(default_factory=TextColumn.none)
    scale: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    cell_mass: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    attrs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in (*_TEXT_FIELDS, *_GROUP_NAMES):
            if not isinstance(getattr(self, key), TextColumn):
                object.__setattr__(self, key, TextColumn.of(map(str, getattr(self, key))))
        n = len(self.id)
        for key in OPTIONAL_TEXTS:
            if len(getattr(self, key)) == 0:
                object.__setattr__(self, key, TextColumn.none(n))
        for key in NUMBERS:
            if len(getattr(self, key)) == 0:
                object.__setattr__(self, key, np.full(n, np.nan, np.float32))
        rows = {key: len(getattr(self, key)) for key in (*_TEXT_FIELDS, *NUMBERS, *self._levels, "cell", "family")}
        fits = set(rows.values()) == {n} and self.cell.shape == (n, 6) and self.hkl.shape == (len(self.intensity), 3)
        fits = (
            fits
            and len(self.offsets) == n + 1
            and self.offsets[0] == 0
            and self.offsets[-1] == len(self.hkl)
            and bool((np.diff(self.offsets) >= 0).all())
        )
        fits = fits and all(_within(getattr(self, level), getattr(self, f"{level}_name")) for level in ("family", *self._levels))
        if not fits:
            raise LibraryError(f"the library's datasets do not match: {rows}, {len(self.offsets)} offsets, {len(self.hkl)} lines")

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
            raise LibraryError(f"ids must be unique, these occur twice: {', '.join(twice[:5])}")
        counts = [len(row.intensity) for row in rows]
        texts: dict[str, Any] = {key: TextColumn.of(getattr(row, key) for row in rows) for key in _TEXT_FIELDS}
        return cls(
            **texts,
            cell=np.array([row.cell for row in rows], dtype=float).reshape(-1, 6),
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            hkl=np.concatenate([row.hkl for row in rows]).astype(np.int16) if rows else np.empty((0, 3), np.int16),
            intensity=np.concatenate([_scaled(row.intensity) for row in rows]) if rows else np.empty(0, np.float16),
            family=np.arange(len(rows), dtype=np.int32),
            family_name=TextColumn.of(row.name or row.id for row in rows),
            scale=np.array([_scale(row) for row in rows], dtype=np.float32),
            cell_mass=np.array([row.cell_mass for row in rows], dtype=np.float32),
            attrs=dict(attrs or {}),
        )

    def entry(self, i: int) -> Entry:
        """Entry `i` with what is its own: all but its family."""
        part = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        own: dict[str, Any] = {key: getattr(self, key)[i] for key in _TEXT_FIELDS} | {key: float(getattr(self, key)[i]) for key in NUMBERS}
        return Entry(**own, cell=self.cell[i], hkl=self.hkl[part].astype(np.int16), intensity=self.intensity[part].astype(float))

    def subset(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> Library:
        """The entries `rows`, in that order, with their families and provenance."""
        rows = np.asarray(rows, dtype=int)
        parts = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in rows]
        lines = np.concatenate(parts) if parts else np.empty(0, dtype=int)
        groups: dict[str, Any] = {}
        for level in ("family", *self._levels):
            kept, numbers = np.unique(getattr(self, level)[rows], return_inverse=True)
            groups |= {level: numbers.astype(np.int32), f"{level}_name": getattr(self, f"{level}_name").take(kept)}
        return replace(
            self,
            **{key: getattr(self, key).take(rows) for key in _TEXT_FIELDS},
            **{key: getattr(self, key)[rows] for key in NUMBERS},
            **groups,
            cell=self.cell[rows],
            offsets=np.concatenate([[0], np.cumsum([part.size for part in parts])]).astype(np.int64),
            hkl=self.hkl[lines],
            intensity=self.intensity[lines],
        )

    def joined(self, other: Library) -> Library:
        """This library followed by `other`. Raises LibraryError where both hold an id."""
        both = set(self.id.tolist()) & set(other.id.tolist())
        if both:
            raise LibraryError(f"{len(both)} ids are in both libraries, for example {sorted(both)[0]}")
        stacked: dict[str, Any] = {key: getattr(self, key).joined(getattr(other, key)) for key in _TEXT_FIELDS}
        stacked |= {key: np.concatenate([getattr(self, key), getattr(other, key)]) for key in ("cell", "hkl", "intensity", *NUMBERS)}
        for level in ("family", *(self._levels or other._levels)):
            (one, names), (two, more) = self.level(level), other.level(level)
            stacked |= {level: np.concatenate([one, two + len(names)]).astype(np.int32), f"{level}_name": names.joined(more)}
        return replace(self, **stacked, offsets=np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]]))

    def level(self, name: str) -> tuple[NDArray[np.int32], TextColumn]:
        """Which group each entry belongs to (n,), and the groups' names, at the level "family", "framework" or "composition".

        Where a library does not know the coarser levels, each family is one.
        """
        known = name if name == "family" or name in self._levels else "family"
        return getattr(self, known), getattr(self, f"{known}_name")

    @property
    def knows_levels(self) -> bool:
        """Whether the library knows frameworks and compositions, as those of version 0.1 do not."""
        return len(self._levels) == len(LEVELS)

    @property
    def _levels(self) -> tuple[str, ...]:
        """The levels beyond the family that the library knows."""
        return tuple(level for level in LEVELS if len(getattr(self, level)))

    def lines(self, i: int, strain: ArrayLike | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """d-spacings (k,) in angstrom and intensities (k,) of entry `i`; `strain` (6,) changes the cell: relative for lengths, degrees for angles."""
        cell = self.cell[i]
        if strain is not None:
            cell = strained(cell, np.asarray(strain, dtype=float))
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

    def save(self, path: str | Path, vectors: NDArray[np.floating[Any]] | None = None, lookup: NDArray[np.uint16] | None = None) -> None:
        """Write the HDF5 file, whole or not at all. vectors (n, dim): what an encoder makes of the entries, kept with them as float16.
        lookup (2, n, k): their strongest lines, as `xrdmatch.library.line_index` packs them.

        Raises LibraryError where that is impossible.
        """
        library_file.write(path, self._datasets(vectors, lookup), self.attrs)

    def _datasets(self, vectors: NDArray[np.floating[Any]] | None, lookup: NDArray[np.uint16] | None) -> dict[str, NDArray[Any]]:
        """What goes into the file, as it is stored."""
        narrow = self.hkl.min(initial=0) >= -127 and self.hkl.max(initial=0) <= 127
        stored = {key: getattr(self, key).stored for key in (*TEXTS, "family_name")}
        for level in self._levels:
            stored |= {level: getattr(self, level).astype("<i4"), f"{level}_name": getattr(self, f"{level}_name").stored}
        stored |= {key: getattr(self, key).astype("<f4") for key in NUMBERS if np.isfinite(getattr(self, key)).any()}
        stored |= {key: getattr(self, key).stored for key in OPTIONAL_TEXTS if getattr(self, key).stored.any()}
        stored |= {"cell": self.cell.astype("<f8"), "offsets": self.offsets.astype("<i8"), "family": self.family.astype("<i4")}
        stored |= {"intensity": self.intensity.astype("<f2"), "hkl": self.hkl.astype("|i1" if narrow else "<i2")}
        return stored | ({} if lookup is None else {"lookup": lookup.astype("<u2")}) | ({} if vectors is None else {"vectors": vectors.astype("<f2")})

    @classmethod
    def load(cls, path: str | Path) -> Library:
        """Read a library. Raises LibraryError where the file is missing, damaged, or no library."""
        return cls.load_whole(path)[0]

    @classmethod
    def load_whole(
        cls, path: str | Path, mapped: bool = library_file.MAPPED
    ) -> tuple[Library, NDArray[np.float16] | None, NDArray[np.uint16] | None]:
        """The library, its entries' vectors (n, dim) and their packed lines (2, n, k), None where the file has none; of one state of the file,
        even if it is being replaced.

        mapped: the arrays lie in the file, which may then be replaced, as `save` does, but not overwritten in place; otherwise in memory.
        """
        with library_file.clear_errors(path):
            contents = library_file.read(path, mapped)
            arrays: dict[str, Any] = dict(contents.datasets)
            vectors, lookup = arrays.pop("vectors", None), arrays.pop("lookup", None)
            arrays |= {key: TextColumn(arrays[key]) for key in (*_TEXT_FIELDS, *_GROUP_NAMES) if key in arrays}
            return cls(**arrays, attrs=contents.provenance), vectors, lookup


def _within(groups: NDArray[np.int32], names: TextColumn) -> bool:
    """Whether every group has a name."""
    return groups.size == 0 or 0 <= int(groups.min()) <= int(groups.max()) < len(names)


def _scale(row: Entry) -> float:
    """What an entry's strongest line, stored as 1000, stands for."""
    absolute = np.isnan(row.scale) and not np.isnan(row.cell_mass)
    return float(row.intensity.max(initial=0.0)) * (1.0 if absolute else row.scale / INTENSITY_SCALE)


def _scaled(intensity: NDArray[np.float64]) -> NDArray[np.float16]:
    top = intensity.max(initial=0.0)
    scaled = read_only(intensity) * (INTENSITY_SCALE / top if top > 0 else 0.0)
    return np.asarray(scaled, dtype=np.float16)
