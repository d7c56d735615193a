"""Where an expected framework's lattice may show lines at all: guests in the pores make such lines as the empty framework does not have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import allowed, centring, strained
from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric, two_theta
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
    cell = strained(library.cell[row], one.strain[0])
    metric = reciprocal_metric(cell)
    part = slice(int(library.offsets[row]), int(library.offsets[row + 1]))
    squared = _squared(cell, metric, centring(library.hkl[part].astype(np.int16)))
    angles = two_theta(1.0 / np.sqrt(squared), scan.grid.wavelength) + float(one.shift[0])
    reach = max(1, round(AT * scan.fwhm / scan.grid.step))
    place = np.rint((angles - scan.grid.start) / scan.grid.step)
    found = np.zeros(scan.grid.size + 2 * reach)
    inside = np.flatnonzero(np.isfinite(place) & (place >= 0) & (place < scan.grid.size))
    share = np.exp(-(FALL_OFF**2) * squared[inside])
    np.maximum.at(found, place[inside].astype(int) + reach, share)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(found, 2 * reach + 1).max(axis=1))


def _squared(cell: Float64Array, metric: Float64Array, symbol: str) -> Float64Array:
    """1/d^2 (n,) of all lines that a lattice allows down to the smallest spacing."""
    volume = 1.0 / np.sqrt(np.linalg.det(metric))
    smallest = max(SMALLEST, SMALLEST * (volume / LARGEST) ** (1.0 / 3.0))
    most = np.floor(cell[:3] / smallest).astype(int)
    axes = [np.arange(0 if i == 0 else -n, n + 1) for i, n in enumerate(most.tolist())]
    hkl: NDArray[np.int64] = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[allowed(hkl, symbol)]
    squared = inverse_d_squared(hkl, metric)
    return squared[(squared > 1e-9) & (squared < smallest**-2)]
