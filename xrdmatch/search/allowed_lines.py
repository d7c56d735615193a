"""Where an expected framework's lattice may show lines at all: guests in the pores make such lines as the empty framework does not have."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import allowed, centring, strained
from xrdmatch.diffraction.pattern import read_only
from xrdmatch.diffraction.radiation import cell_volume, inverse_d_squared_of_cells, reciprocal_components, two_theta
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.candidates import Candidates
from xrdmatch.system.arrays import Float64Array

#: Spacing in angstrom at which the share of disordered guests in a line has fallen to 1/e: exp(-(FALL_OFF / d)^2), for an rms displacement of 0.6.
FALL_OFF = 2.7
#: Smallest spacing that is looked at, angstrom, and how near to a line, in line widths, is at it.
SMALLEST, AT = 2.0, 0.6
#: Cells so large that their lines are everywhere, cubic angstrom.
LARGEST = 150_000.0


def guest_lines(library: Library, one: Candidates, scan: ComparisonSignal) -> Float64Array:
    """How much guests of one candidate may add at each place of the grid (m,), 1 at most; 0 where its lattice, as refined, allows no line."""
    row = int(one.rows[0])
    part = slice(int(library.offsets[row]), int(library.offsets[row + 1]))
    hkl = allowed_hkl(tuple(library.cell[row].tolist()), centring(library.hkl[part].astype(np.int16)))
    squared = inverse_d_squared_of_cells(hkl, reciprocal_components(strained(library.cell[row], one.strain[0])))
    angles = two_theta(1.0 / np.sqrt(squared), scan.grid.wavelength) + float(one.shift[0])
    reach = max(1, round(AT * scan.fwhm / scan.grid.step))
    place = np.rint((angles - scan.grid.start) / scan.grid.step)
    found = np.zeros(scan.grid.size + 2 * reach)
    inside = np.flatnonzero(np.isfinite(place) & (place >= 0) & (place < scan.grid.size))
    np.maximum.at(found, place[inside].astype(int) + reach, np.exp(-(FALL_OFF**2) * squared[inside]))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(found, 2 * reach + 1).max(axis=1))


@lru_cache(maxsize=64)
def allowed_hkl(cell: tuple[float, ...], symbol: str) -> Float64Array:
    """Indices (3, n) of all lines that a lattice allows down to the smallest spacing, one of each Friedel pair. symbol: of its centring."""
    components = reciprocal_components(np.array(cell))
    smallest = SMALLEST * max(1.0, (cell_volume(np.array(cell)) / LARGEST) ** (1.0 / 3.0))
    most = [int(length / smallest) for length in cell[:3]]
    axes = [np.arange(0 if i == 0 else -n, n + 1) for i, n in enumerate(most)]
    hkl: NDArray[np.int64] = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    squared = inverse_d_squared_of_cells(hkl.T.astype(float), components)
    hkl = hkl[(squared > 1e-9) & (squared < smallest**-2)]
    return read_only(hkl[allowed(hkl, symbol)].T)
