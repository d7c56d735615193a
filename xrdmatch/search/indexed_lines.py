"""A candidate's lines as they lie in a scan: indexed, at the scan's own wavelength and angles.

Verification compares on a grid at Cu K-alpha; what people see and refine with is the scan as it was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import allowed, centring, lattice_group, strained
from xrdmatch.diffraction.pattern import Pattern, read_only
from xrdmatch.diffraction.radiation import convert_two_theta, inverse_d_squared, powder_lines, reciprocal_metric, two_theta
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import COMPARISON
from xrdmatch.search.candidates import Candidates, Evidence, HklLine
from xrdmatch.system.arrays import Float64Array

#: Reflections whose 1/d^2 agree within this share are one line in the library.
EQUAL = 2e-5
#: Lines below this share of the strongest, in percent, are left out.
WEAKEST = 0.01


@dataclass(frozen=True, eq=False)
class Indexed:
    """One refined candidate's lines within a scan's range, by rising angle.

    cell: (6,) a, b, c in angstrom and angles in degrees, refined. space_group: the highest one its lattice allows, not that of the structure.
    hkl: (n, 3). d: (n,) angstrom, of that cell.
    two_theta: (n,) degrees where Bragg's law puts them; observed: (n,) degrees where they lie in the scan, its shift included.
    intensity: (n,) percent of the strongest, integrated. width: (n,) full widths at half maximum in degrees.
    """

    cell: Float64Array
    space_group: str
    hkl: NDArray[np.int16]
    d: Float64Array
    two_theta: Float64Array
    observed: Float64Array
    intensity: Float64Array
    width: Float64Array

    def __len__(self) -> int:
        return len(self.d)

    def part(self, places: NDArray[np.int64]) -> Indexed:
        """Some of the lines."""
        columns = (self.d, self.two_theta, self.observed, self.intensity, self.width)
        return Indexed(self.cell, self.space_group, self.hkl[places], *(column[places] for column in columns))


def indexed_lines(library: Library, candidates: Candidates, i: int, scan: Pattern) -> Indexed:
    """The lines of candidate `i` in `scan`, whose wavelength has to be known. Raises ValueError where it is not."""
    if scan.wavelength is None:
        raise ValueError("the scan's wavelength has to be known")
    row = int(candidates.rows[i])
    cell = strained(library.cell[row], candidates.strain[i])
    part = slice(int(library.offsets[row]), int(library.offsets[row + 1]))
    squared = inverse_d_squared(library.hkl[part], reciprocal_metric(cell))
    _, areas = powder_lines(library.intensity[part], squared, float(candidates.debye_waller[i]), scan.wavelength)
    d = 1.0 / np.sqrt(squared)
    ideal = two_theta(d, scan.wavelength)
    at_grid = two_theta(d, COMPARISON.grid.wavelength) + candidates.shift[i]
    observed = in_scan(at_grid, scan.wavelength)
    kept = np.isfinite(observed) & (observed >= scan.two_theta[0]) & (observed <= scan.two_theta[-1])
    top = float(areas[kept].max(initial=0.0))
    kept &= areas >= 0.01 * WEAKEST * max(top, 1e-300)
    order = np.flatnonzero(kept)[np.argsort(observed[kept], kind="stable")]
    # A width at the grid's wavelength, as wide as the same spread of d makes it at the scan's.
    slope = scan.wavelength / COMPARISON.grid.wavelength * np.cos(np.radians(at_grid[order] / 2.0)) / np.cos(np.radians(observed[order] / 2.0))
    columns = (d[order], ideal[order], observed[order], 100.0 * (areas[order] / max(top, 1e-300)), candidates.fwhm[i] * slope)
    symbol = centring(library.hkl[part])
    hkl = conventional(library.hkl[part][order], library.cell[row], symbol)
    return Indexed(read_only(cell), lattice_group(library.cell[row], symbol), read_only(hkl, np.int16), *map(read_only, columns))


def conventional(hkl: NDArray[np.integer[Any]], cell: Float64Array, symbol: str = "P") -> NDArray[np.int16]:
    """The indices (n, 3) that people write for lines (n, 3) of one d-spacing each: 200 of a cubic cell, not 002.

    The library keeps one representative of each line. Of all that the lattice's own symmetry makes of it, this one has the fewest minus signs, and
    then the largest h, k and l in this order. cell: (6,), from which that symmetry is read; symbol: of its centring, which the symmetry keeps.
    """
    alike = np.einsum("ni,oij->noj", hkl.astype(np.int64), np.array(_lattice_symmetry(tuple(cell.tolist()), symbol)))
    large = 1 << 16
    h, k, m = np.moveaxis(alike, 2, 0)
    rank = (alike < 0).sum(axis=2) * -(large**3) + (h * large + k) * large + m
    return np.asarray(alike[np.arange(len(alike)), rank.argmax(axis=1)], dtype=np.int16)


@lru_cache(maxsize=256)
def _lattice_symmetry(cell: tuple[float, ...], symbol: str) -> list[list[list[int]]]:
    """Matrices R, of -1, 0 and 1, for which h R has the d-spacing of h, whatever h, and is allowed where h is: they keep the reciprocal lattice."""
    metric = reciprocal_metric(cell)
    tolerance = EQUAL * np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    steps = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.einsum("ni,ij,nj->n", steps, metric, steps)
    rows = [steps[np.abs(lengths - metric[i, i]) < tolerance[i, i]] for i in range(3)]

    def fits(vectors: NDArray[np.int64], other: NDArray[np.int64], i: int, j: int) -> NDArray[np.bool_]:
        return np.asarray(np.abs(vectors @ metric @ other - metric[i, j]) < tolerance[i, j])

    found = []
    for first in rows[0]:
        for second in rows[1][fits(rows[1], first, 0, 1)]:
            third = rows[2][fits(rows[2], first, 0, 2) & fits(rows[2], second, 1, 2)]
            found += [[first.tolist(), second.tolist(), vector.tolist()] for vector in third]
    some = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    some = some[allowed(some, symbol)]
    return [matrix for matrix in found if allowed(some @ np.array(matrix), symbol).all()]


def in_scan(angles: Float64Array, wavelength: float) -> Float64Array:
    """Angles (n,) in degrees of verification's grid, as they lie in a scan of this wavelength (angstrom); NaN beyond its reach."""
    return convert_two_theta(angles, COMPARISON.grid.wavelength, wavelength)


def evidence_in_scan(found: Evidence, wavelength: float, library: Library, row: int) -> Evidence:
    """The same evidence with its angles as they lie in a scan of this wavelength (angstrom), and the indices people write for this entry's lines."""
    cell, symbol = library.cell[row], centring(library.hkl[library.offsets[row] : library.offsets[row + 1]])

    def moved(lines: list[HklLine]) -> list[HklLine]:
        angles = in_scan(np.array([line[3] for line in lines], dtype=float), wavelength)
        hkl = conventional(np.array([line[:3] for line in lines], dtype=np.int16).reshape(-1, 3), cell, symbol).tolist()
        return [(h, k, m, round(float(angle), 3), line[4]) for (h, k, m), angle, line in zip(hkl, angles, lines, strict=True)]

    extra = [round(float(angle), 3) for angle in in_scan(np.array(found.extra, dtype=float), wavelength)]
    return replace(found, matched=moved(found.matched), missing=moved(found.missing), extra=extra)
