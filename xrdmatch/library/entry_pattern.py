"""The ideal pattern of a library's entry, out of its reflections: no structure file is needed."""

from __future__ import annotations

import numpy as np

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.radiation import two_theta
from xrdmatch.diffraction.structure_factors import D_MIN, Reflections, pattern_of
from xrdmatch.errors import LibraryError
from xrdmatch.library.reference_library import Library


def entry_reflections(library: Library, row: int) -> Reflections:
    """The lines of an entry, by falling d-spacing; intensities relative to its strongest, which is 1000."""
    d, intensity = library.lines(row)
    part = slice(int(library.offsets[row]), int(library.offsets[row + 1]))
    return Reflections(library.hkl[part].astype(np.int16), d, intensity)


def entry_pattern(library: Library, row: int, grid: Grid | None = None, fwhm: float = 0.1, eta: float = 0.5) -> Pattern:
    """Ideal powder pattern of an entry, highest point 100: as `simulate_pattern` makes it of the structure, but for lines that no library keeps.

    Raises LibraryError where `grid` goes beyond the smallest d-spacing that the library holds.
    """
    grid, name = grid or Grid(), library.id[row]
    last = float(two_theta(float(library.attrs.get("d_min", D_MIN)), grid.wavelength))
    if np.isfinite(last) and grid.stop > last:
        raise LibraryError(
            f"{name}: the library holds its lines up to {np.floor(10 * last) / 10:g} degrees at this wavelength, but {grid.stop:g} were asked for; "
            "choose an earlier end, or simulate from the structure file"
        )
    return pattern_of(entry_reflections(library, row), grid, fwhm, eta, name, library.formula[row])
