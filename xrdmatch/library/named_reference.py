"""A reference that people give by a file, or by a name or refcode of the library."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.radiation import two_theta
from xrdmatch.diffraction.structure_factors import D_MIN, simulate_pattern
from xrdmatch.diffraction.structure_files import ARCHIVE_SUFFIXES, STRUCTURE_SUFFIXES
from xrdmatch.errors import LibraryError, StructureError
from xrdmatch.library.common_names import stem
from xrdmatch.library.entry_pattern import entry_pattern
from xrdmatch.library.find_entries import entry_called
from xrdmatch.library.reference_library import Entry, Library


@dataclass(frozen=True, eq=False)
class NamedReference:
    """One reference. given: as it was asked for. label: what a figure calls it. entry: its lines, as a library keeps them. source: its file, or its
    id in the library."""

    given: str
    label: str
    entry: Entry
    source: str
    _draw: Callable[[Grid, float], Pattern] = field(repr=False)

    def pattern(self, grid: Grid, fwhm: float = 0.1) -> Pattern:
        """Its ideal pattern, highest point 100, over as much of the grid as its lines are known for. fwhm: degrees."""
        return self._draw(grid, fwhm)


def is_structure_file(text: str) -> bool:
    """Whether this is a file, or is called as a structure's file would be; other texts are names."""
    return os.path.lexists(text) or text.lower().endswith((*STRUCTURE_SUFFIXES, *ARCHIVE_SUFFIXES))


def named_reference(text: str, library: Callable[[], Library]) -> NamedReference:
    """The reference of a structure file, or of a name, refcode or id of the library, which is loaded where it is needed.

    Raises StructureError for a file that holds no usable structure or several, and LibraryError, with the nearest names, for a name that no entry
    has.
    """
    return _of_file(text) if is_structure_file(text) else _of_library(text, library())


def _of_file(path: str) -> NamedReference:
    from xrdmatch.diffraction.structure import iter_sources, parse
    from xrdmatch.library.build import entry_of

    items = list(iter_sources([path]))
    if len(items) != 1:
        raise StructureError(f"{path}: a reference is one structure, but this holds {len(items)}; name a file of one structure")
    name, data, source = items[0]
    structure = parse(data, name, source)

    def draw(grid: Grid, fwhm: float) -> Pattern:
        return simulate_pattern(structure, grid, fwhm)

    return NamedReference(path, Path(name).stem, entry_of(structure), path, draw)


def _of_library(text: str, library: Library) -> NamedReference:
    try:
        row = entry_called(library, text).row
    except LibraryError as error:
        raise LibraryError(f"{error} There is no file of this name either.") from error
    code = stem(library.id[row])

    def draw(grid: Grid, fwhm: float) -> Pattern:
        last = float(two_theta(float(library.attrs.get("d_min", D_MIN)), grid.wavelength))
        if np.isfinite(last) and grid.stop > last:
            grid = Grid(grid.start, max(np.floor(10.0 * last) / 10.0, grid.start + 2.0 * grid.step), grid.step, grid.wavelength)
        return entry_pattern(library, row, grid, fwhm)

    return NamedReference(text, library.name[row] or library.title[row] or code, library.entry(row), library.id[row], draw)
