"""Structure to reflections to pattern.

Structure factors are kinematic, F(hkl) = sum_j occ_j f_j(s) exp(2 pi i (h x_j + k y_j + l z_j)) with s = 1 / 2d and the analytical scattering
factors of International Tables C (1992), table 6.1.1.4 (as gemmi holds them). No thermal motion, no anomalous scattering: intensities are
|F|^2 summed over the reflections of one d-spacing, so that Lorentz-polarisation, wavelength, Debye-Waller factor and cell strain can be applied later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.pattern import Grid, Pattern, read_only
from xrdmatch.profile import render
from xrdmatch.structure import Structure
from xrdmatch.xray import CU_K_ALPHA, inverse_d_squared, lorentz_polarisation, reciprocal_metric, two_theta

#: Smallest d-spacing kept, in angstrom: 2theta = 54 deg with Cu, a little beyond the default grid so that a strained cell still fills it.
D_MIN = 1.70
#: Largest d-spacing kept, in angstrom: 2theta = 2 deg with Cu.
D_MAX = 44.2
#: Reflections whose 1/d^2 agree within this share are one line (symmetry equivalents; gaps of cell parameters written with 4 digits).
MERGE_TOLERANCE = 2e-5
#: Complex values in one block of the phase table; bounds memory for the largest cells (8 bytes each).
_BLOCK = 4_000_000


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
    metric = reciprocal_metric(structure.cell)
    # The longest axis becomes the rows of the matrix product: that keeps the table over the other two small.
    order = np.argsort(structure.cell[:3])[::-1]
    limits = np.floor(structure.cell[:3][order] / d_min + 1e-6).astype(int)
    rows = np.arange(limits[0] + 1)
    second, third = (np.arange(-limit, limit + 1) for limit in limits[1:])
    pairs = np.stack([np.repeat(second, third.size), np.tile(third, second.size)], axis=1)
    pairs = pairs[_reachable(pairs, metric[np.ix_(order, order)], d_min)]
    hkl = np.empty((rows.size, len(pairs), 3), dtype=np.int16)
    hkl[..., 0], hkl[..., 1], hkl[..., 2] = rows[:, None], pairs[:, 0], pairs[:, 1]
    flat = hkl.reshape(-1, 3)
    squared = inverse_d_squared(flat, metric[np.ix_(order, order)])
    half = (flat[:, 0] > 0) | (flat[:, 1] > 0) | ((flat[:, 1] == 0) & (flat[:, 2] > 0))
    keep = np.flatnonzero(half & (squared <= 1.0 / d_min**2) & (squared >= 1.0 / d_max**2))
    if keep.size == 0:
        return Reflections(read_only(np.empty((0, 3)), np.int16), read_only(np.empty(0)), read_only(np.empty(0)))
    amplitude = _amplitudes(structure, order, rows, pairs, keep, (0.25 * squared[keep]).astype(np.float32))
    intensity = 2.0 * (amplitude.real.astype(float) ** 2 + amplitude.imag.astype(float) ** 2)
    inverse = np.argsort(order)
    return _merge(flat[keep][:, inverse], squared[keep], intensity)


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
    total = np.zeros(keep.size, dtype=np.complex64)
    second, third = pairs[:, 0], pairs[:, 1]
    k_limit, l_limit = int(np.abs(second).max()), int(np.abs(third).max())
    chunk = max(1, _BLOCK // len(pairs))
    for number in np.unique(structure.numbers):
        atoms = np.flatnonzero(structure.numbers == number)
        sums = np.zeros((rows.size, len(pairs)), dtype=np.complex64)
        for start in range(0, atoms.size, chunk):
            part = atoms[start : start + chunk]
            x, y, z = structure.fractional[part][:, order].T
            table_h = _phases(rows[-1], x)[rows[-1] :]
            table_h *= structure.occupancy[part].astype(np.float32)
            table_kl = _phases(k_limit, y)[second + k_limit]
            table_kl *= _phases(l_limit, z)[third + l_limit]
            sums += table_h @ table_kl.T
        total += scattering_factor(int(number), s_squared) * sums.reshape(-1)[keep]
    return total


def _phases(limit: int, x: NDArray[np.float64]) -> NDArray[np.complex64]:
    """exp(2 pi i n x) for n = -limit .. limit: (2 limit + 1, atoms)."""
    turns = np.outer(np.arange(limit + 1), x)
    turns -= np.rint(turns)
    angle = (2.0 * np.pi * turns).astype(np.float32)
    table = np.empty((2 * limit + 1, x.size), dtype=np.complex64)
    table[limit:].real, table[limit:].imag = np.cos(angle), np.sin(angle)
    table[:limit] = table[:limit:-1].conj()
    return table


def _merge(hkl: NDArray[np.int16], squared: NDArray[np.float64], intensity: NDArray[np.float64]) -> Reflections:
    """Sum the reflections of one d-spacing; the representative has the largest h, then k, then l."""
    order = np.lexsort((-hkl[:, 2], -hkl[:, 1], -hkl[:, 0], squared))
    squared, hkl, intensity = squared[order], hkl[order], intensity[order]
    starts = np.flatnonzero(np.diff(squared, prepend=-1.0) > MERGE_TOLERANCE * squared)
    d = 1.0 / np.sqrt(squared[starts])
    return Reflections(read_only(hkl[starts], np.int16), read_only(d), read_only(np.add.reduceat(intensity, starts)))


def simulate_pattern(structure: Structure, grid: Grid | None = None, fwhm: float = 0.1, eta: float = 0.5) -> Pattern:
    """Ideal powder pattern of a structure, highest point 100: no noise, background, texture or thermal motion."""
    grid = grid or Grid()
    d_min = grid.wavelength / (2.0 * np.sin(np.radians(grid.stop + 1.0) / 2.0))
    angles, heights = reflections(structure, d_min).lines(grid.wavelength)
    profile = render(angles, heights, grid, fwhm, eta)
    top = profile.max(initial=0.0)
    meta = {"formula": structure.formula, "simulated": True}
    return Pattern(grid.two_theta, profile * (100.0 / top if top > 0 else 1.0), grid.wavelength, structure.id, meta)
