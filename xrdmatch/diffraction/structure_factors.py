"""Structure to reflections to pattern.

Structure factors are kinematic, F(hkl) = sum_j occ_j f_j(s) exp(2 pi i (h x_j + k y_j + l z_j)) with s = 1 / 2d and the analytical scattering
factors of International Tables C (1992), table 6.1.1.4 (as gemmi holds them). No thermal motion, no anomalous scattering: intensities are |F|^2
summed over the reflections of one d-spacing, so that Lorentz-polarisation, wavelength, Debye-Waller factor and cell strain can be applied later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import conventional_axes
from xrdmatch.diffraction.pattern import Grid, Pattern, read_only
from xrdmatch.diffraction.peak_shapes import render
from xrdmatch.diffraction.radiation import CU_K_ALPHA, inverse_d_squared, lorentz_polarisation, reciprocal_metric, two_theta
from xrdmatch.diffraction.structure import Structure
from xrdmatch.errors import StructureError

#: Smallest d-spacing kept, in angstrom: 2theta = 54 deg with Cu, a little beyond the default grid so that a strained cell still fills it.
D_MIN = 1.70
#: Largest d-spacing kept, in angstrom: 2theta = 2 deg with Cu.
D_MAX = 44.2
#: Reflections whose 1/d^2 agree within this share are one line (symmetry equivalents; gaps of cell parameters written with 4 digits).
MERGE_TOLERANCE = 2e-5
#: Of the reflections of one d-spacing, those this strong beside the strongest can stand for all: others may be absent by symmetry.
_SHOWS = 1e-3
#: Complex values (8 bytes each) in one block of the phase table: what a core's cache holds.
_BLOCK = 200_000
#: Indices beyond which a cell is refused: twenty times as many as MIL-101 has, and about 1 GB of memory.
_MOST_REFLECTIONS = 20_000_000


@dataclass(frozen=True, eq=False)
class Reflections:
    """Lines of one structure, by falling d-spacing.

    hkl: (n, 3) int16, one representative of each line. d: (n,) angstrom. intensity: (n,) |F|^2 times multiplicity, electrons squared a cell.
    """

    hkl: NDArray[np.int16]
    d: NDArray[np.float64]
    intensity: NDArray[np.float64]

    def lines(self, wavelength: float = CU_K_ALPHA) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """2theta in degrees and intensity with Lorentz-polarisation (largest = 100) of the lines the wavelength can reach."""
        angles = two_theta(self.d, wavelength)
        reach = np.isfinite(angles) & (angles < 179.0)
        angles = angles[reach]
        heights = self.intensity[reach] * lorentz_polarisation(angles)
        return angles, 100.0 * heights / max(heights.max(initial=0.0), 1e-300)


@lru_cache(maxsize=128)
def _form_factor(number: int) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Coefficients a (4,), b (4,) in angstrom^2 and c: f(s) = sum a exp(-b s^2) + c."""
    table = gemmi.Element(number).it92
    if table is None:  # beyond californium nothing is tabulated; scale uranium by charge
        a, b, c = _form_factor(92)
        return a * np.float32(number / 92), b, c * number / 92
    return np.array(table.a, dtype=np.float32), np.array(table.b, dtype=np.float32), float(table.c)


def scattering_factor(number: int, s_squared: NDArray[np.float32]) -> NDArray[np.float32]:
    """f (n,) in electrons of element `number` at s^2 = 1 / (4 d^2), (n,) in 1/angstrom^2."""
    a, b, c = _form_factor(number)
    return np.asarray(np.exp(-s_squared[:, None] * b) @ a + np.float32(c))


def reflections(structure: Structure, d_min: float = D_MIN, d_max: float = D_MAX) -> Reflections:
    """All lines of `structure` with d_min <= d <= d_max, including those of zero intensity.

    The phase factors are products of three one-dimensional tables and the sum over atoms is one matrix product an element, in single precision.
    """
    # The longest axis becomes the rows of the matrix product: that keeps the table over the other two small.
    order = np.argsort(structure.cell[:3])[::-1]
    metric = reciprocal_metric(structure.cell)[np.ix_(order, order)]
    limits = np.floor(structure.cell[:3][order] / d_min + 1e-6).astype(int)
    rows = np.arange(limits[0] + 1)
    second, third = (np.arange(-limit, limit + 1) for limit in limits[1:])
    pairs = np.stack([np.repeat(second, third.size), np.tile(third, second.size)], axis=1)
    pairs = pairs[_reachable(pairs, metric, d_min)]
    if rows.size * len(pairs) > _MOST_REFLECTIONS:
        raise StructureError(f"{structure.id}: a cell of {structure.cell[:3].tolist()} angstrom has too many reflections to simulate")
    squared = (metric[0, 0] * rows**2)[:, None] + np.outer(rows, 2.0 * pairs @ metric[1:, 0]) + ((pairs @ metric[1:, 1:]) * pairs).sum(axis=1)
    inside = (squared <= 1.0 / d_min**2) & (squared >= 1.0 / d_max**2)
    inside[0] &= (pairs[:, 0] > 0) | ((pairs[:, 0] == 0) & (pairs[:, 1] > 0))  # of -h and h one is enough (Friedel)
    keep = np.flatnonzero(inside)
    if keep.size == 0:
        return Reflections(read_only(np.empty((0, 3)), np.int16), read_only(np.empty(0)), read_only(np.empty(0)))
    squared = squared.reshape(-1)[keep]
    amplitude = _amplitudes(structure, order, rows, pairs, keep, (0.25 * squared).astype(np.float32))
    intensity = 2.0 * (amplitude.real.astype(float) ** 2 + amplitude.imag.astype(float) ** 2)
    hkl = np.empty((keep.size, 3), dtype=np.int16)
    row, pair = np.divmod(keep, len(pairs))
    hkl[:, order[0]], hkl[:, order[1]], hkl[:, order[2]] = rows[row], pairs[pair, 0], pairs[pair, 1]
    return _merge(hkl, squared, intensity)


def _reachable(pairs: NDArray[np.int64], metric: NDArray[np.float64], d_min: float) -> NDArray[np.bool_]:
    """Which (k, l) have any h with d >= d_min: the smallest 1/d^2 over real h is that of the projected metric."""
    projected = metric[1:, 1:] - np.outer(metric[1:, 0], metric[0, 1:]) / metric[0, 0]
    return np.asarray(((pairs @ projected) * pairs).sum(axis=1) <= 1.0 / d_min**2)


def _amplitudes(
    structure: Structure,
    order: NDArray[np.int64],
    rows: NDArray[np.int64],
    pairs: NDArray[np.int64],
    keep: NDArray[np.int64],
    s_squared: NDArray[np.float32],
) -> NDArray[np.complex64]:
    """F at the `keep` positions of the (rows x pairs) grid of indices."""
    second, third = pairs[:, 0], pairs[:, 1]
    k_limit, l_limit = int(np.abs(second).max()), int(np.abs(third).max())
    atoms = np.argsort(structure.numbers, kind="stable")
    elements, first = np.unique(structure.numbers[atoms], return_index=True)
    x, y, z = structure.fractional[atoms][:, order].T
    phases_h = _phases(0, int(rows[-1]), x) * structure.occupancy[atoms].astype(np.float32)
    phases_k, phases_l = _phases(-k_limit, k_limit, y), _phases(-l_limit, l_limit, z)
    second, third = second + k_limit, third + l_limit
    chunk = max(16, _BLOCK // len(pairs))
    total = np.zeros(keep.size, dtype=np.complex64)
    for number, begin, end in zip(elements, first, [*first[1:], atoms.size], strict=True):
        sums = np.zeros((rows.size, len(pairs)), dtype=np.complex64)
        for start in range(begin, end, chunk):
            part = slice(start, min(start + chunk, end))
            phases_kl = np.take(phases_k[:, part], second, axis=0)
            phases_kl *= np.take(phases_l[:, part], third, axis=0)
            sums += phases_h[:, part] @ phases_kl.T
        total += scattering_factor(int(number), s_squared) * sums.reshape(-1)[keep]
    return total


def _phases(low: int, high: int, x: NDArray[np.float64]) -> NDArray[np.complex64]:
    """exp(2 pi i n x) for n = low .. high: (high - low + 1, atoms)."""
    turns = np.outer(np.arange(low, high + 1), x)
    turns -= np.rint(turns)
    angle = (2.0 * np.pi * turns).astype(np.float32)
    table = np.empty(angle.shape, dtype=np.complex64)
    np.cos(angle, out=table.real)
    np.sin(angle, out=table.imag)
    return table


def _merge(hkl: NDArray[np.int16], squared: NDArray[np.float64], intensity: NDArray[np.float64]) -> Reflections:
    """Sum the reflections of one d-spacing; the last of those that have an intensity, in the order given, stands for all."""
    order = np.argsort(squared)
    ordered, heights = squared[order], intensity[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1.0) > MERGE_TOLERANCE * ordered)
    counts = np.diff(starts, append=order.size)
    shows = heights >= _SHOWS * np.repeat(np.maximum.reduceat(heights, starts), counts)
    chosen = np.maximum.reduceat(np.where(shows, order, -1), starts)
    d = 1.0 / np.sqrt(ordered[starts])
    return Reflections(read_only(hkl[chosen], np.int16), read_only(d), read_only(np.add.reduceat(heights, starts)))


def conventional_lines(cell: NDArray[np.float64], lines: Reflections) -> tuple[NDArray[np.float64], Reflections]:
    """A cell (6,) and its lines in the conventional axes of a centred lattice; both as they are where there is no centring."""
    axes = conventional_axes(cell)
    if axes is None:
        return cell, lines
    cell, matrix = axes
    hkl = (lines.hkl @ matrix).astype(np.int16)
    return cell, _merge(hkl, inverse_d_squared(hkl, reciprocal_metric(cell)), lines.intensity)


def simulate_pattern(structure: Structure, grid: Grid | None = None, fwhm: float = 0.1, eta: float = 0.5) -> Pattern:
    """Ideal powder pattern of a structure, highest point 100: no noise, background, texture or thermal motion."""
    grid = grid or Grid()
    d_min = grid.wavelength / (2.0 * np.sin(np.radians(grid.stop + 1.0) / 2.0))
    return pattern_of(reflections(structure, d_min), grid, fwhm, eta, structure.id, structure.formula)


def pattern_of(lines: Reflections, grid: Grid, fwhm: float, eta: float, name: str, formula: str) -> Pattern:
    """Ideal powder pattern of lines, highest point 100. fwhm: degrees. eta: Lorentz share."""
    profile = render(*lines.lines(grid.wavelength), grid, fwhm, eta)
    top = profile.max(initial=0.0)
    return Pattern(grid.two_theta, profile * (100.0 / top if top > 0 else 1.0), grid.wavelength, name, {"formula": formula, "simulated": True})
