"""Anodes, wavelengths and Bragg geometry.

Wavelengths are in angstrom, angles (`two_theta`) in degrees, d-spacings in angstrom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.errors import XrdMatchError


@dataclass(frozen=True)
class Anode:
    """Characteristic K lines of an X-ray tube, in angstrom."""

    symbol: str
    k_alpha1: float
    k_alpha2: float
    k_beta: float

    @property
    def k_alpha(self) -> float:
        """Intensity-weighted mean of K-alpha1 and K-alpha2 (2:1)."""
        return (2.0 * self.k_alpha1 + self.k_alpha2) / 3.0


# International Tables for Crystallography C (2004), table 4.2.2.4 (Hoelzer et al. 1997 for Cr-Cu, Deslattes et al. 2003 for Mo and Ag).
ANODES = {
    anode.symbol: anode
    for anode in (
        Anode("Cr", 2.289726, 2.293651, 2.084881),
        Anode("Fe", 1.936041, 1.939973, 1.756604),
        Anode("Co", 1.788996, 1.792835, 1.620826),
        Anode("Cu", 1.540593, 1.544427, 1.392235),
        Anode("Mo", 0.709317, 0.713607, 0.632303),
        Anode("Ag", 0.559422, 0.563813, 0.497080),
    )
}

CU_K_ALPHA = ANODES["Cu"].k_alpha

#: Wavelengths a powder diffractometer or a beamline can have, in angstrom.
WAVELENGTH_RANGE = (0.05, 3.0)


def parse_wavelength(text: str) -> float:
    """Wavelength in angstrom from `Cu`, `CuKa`, `CuKa1`, `CuKa2`, `CuKb` (any listed anode, any case) or a number in angstrom.

    A bare anode means the K-alpha mean, which is what an unresolved doublet shows.
    """
    name = text.strip().lower().replace("-", "").replace("_", "").replace("alpha", "a").replace("beta", "b")
    for symbol, anode in ANODES.items():
        if name.startswith(symbol.lower()):
            lines = {"": anode.k_alpha, "ka": anode.k_alpha, "ka1": anode.k_alpha1, "ka2": anode.k_alpha2, "kb": anode.k_beta, "kb1": anode.k_beta}
            if name[2:] in lines:
                return lines[name[2:]]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    low, high = WAVELENGTH_RANGE
    if not low <= value <= high:
        known = ", ".join(ANODES)
        raise XrdMatchError(
            f"wavelength {text!r} not understood: give an anode ({known}), a line such as CuKa1, or a value in angstrom from {low} to {high}"
        )
    return value


def d_spacing(two_theta: ArrayLike, wavelength: float) -> NDArray[np.float64]:
    """d-spacing in angstrom of reflections at `two_theta` (degrees), by Bragg's law."""
    return np.asarray(wavelength / (2.0 * np.sin(np.radians(np.asarray(two_theta, dtype=float)) / 2.0)))


def two_theta(d: ArrayLike, wavelength: float) -> NDArray[np.float64]:
    """Angle in degrees of reflections with spacing `d` (angstrom); NaN where the wavelength cannot reach them."""
    sine = wavelength / (2.0 * np.asarray(d, dtype=float))
    return np.degrees(2.0 * np.arcsin(np.where(sine <= 1.0, sine, np.nan)))


def convert_two_theta(angles: ArrayLike, source: float, target: float) -> NDArray[np.float64]:
    """Angles (degrees) measured with wavelength `source` as they would lie with `target`; NaN where out of reach."""
    sine = np.sin(np.radians(np.asarray(angles, dtype=float)) / 2.0) * (target / source)
    return np.degrees(2.0 * np.arcsin(np.where(np.abs(sine) <= 1.0, sine, np.nan)))


def lorentz_polarisation(angles: ArrayLike) -> NDArray[np.float64]:
    """(1 + cos^2 2theta) / (sin^2 theta cos theta): unpolarised beam, powder geometry, no monochromator. `angles`: 2theta in degrees."""
    return lorentz_polarisation_of_sine(np.sin(np.radians(np.asarray(angles, dtype=float)) / 2.0) ** 2)


def lorentz_polarisation_of_sine(sine_squared: NDArray[Any]) -> NDArray[Any]:
    """The same from sin^2 theta, which is wavelength^2 / 4d^2: no trigonometry, for many lines at once."""
    return np.asarray((1.0 + (1.0 - 2.0 * sine_squared) ** 2) / (sine_squared * np.sqrt(1.0 - sine_squared)))


def powder_lines(intensity: NDArray[Any], squared: NDArray[Any], b: float | NDArray[Any], wavelength: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """2theta in degrees and areas of lines (n,) with |F|^2 = `intensity` and 1/d^2 = `squared`, in the precision of the latter.

    The areas are with Lorentz-polarisation and the overall Debye-Waller factor exp(-B / 2d^2), `b` in angstrom^2, one or (n,). Lines that the
    wavelength hardly reaches, or does not, lie at 168.5 degrees.
    """
    sine_squared = (0.25 * wavelength**2 * squared).clip(1e-5, 0.99)
    angles = np.degrees(2.0 * np.arcsin(np.sqrt(sine_squared)))
    return angles, intensity * np.exp(-0.5 * b * squared) * lorentz_polarisation_of_sine(sine_squared)


def reciprocal_components(cell: ArrayLike) -> NDArray[np.float64]:
    """The six different elements (..., 6) of G*, as 11, 22, 33, 12, 13, 23, of cells as in `reciprocal_metric`."""
    values = np.asarray(cell, dtype=float)
    inverse, cosines = 1.0 / values[..., :3], np.cos(np.radians(values[..., 3:]))
    # The adjugate of the metric (International Tables B 1.1), scaled by the lengths: exact products of the cosines.
    square, mixed = cosines**2, cosines[..., [0, 0, 1]] * cosines[..., [1, 2, 2]]
    volume = 1.0 - square.sum(axis=-1) + 2.0 * mixed[..., 0] * cosines[..., 2]
    adjugate = np.concatenate([1.0 - square, mixed - cosines[..., ::-1]], axis=-1)
    return np.asarray(adjugate * (inverse[..., [0, 1, 2, 0, 0, 1]] * inverse[..., [0, 1, 2, 1, 2, 2]]) / volume[..., None])


def reciprocal_metric(cell: ArrayLike) -> NDArray[np.float64]:
    """G* (..., 3, 3) of cells (..., 6) given as a, b, c in angstrom, alpha, beta, gamma in degrees: 1/d^2 = h G* h."""
    return np.asarray(reciprocal_components(cell)[..., [[0, 3, 4], [3, 1, 5], [4, 5, 2]]])


def cell_volume(cell: ArrayLike) -> float:
    """Volume in cubic angstrom of a cell (6,) in angstrom and degrees."""
    return float(np.linalg.det(reciprocal_metric(cell)) ** -0.5)


def inverse_d_squared(hkl: ArrayLike, metric: NDArray[np.float64]) -> NDArray[np.float64]:
    """1/d^2 (n,) in 1/angstrom^2 of reflections (n, 3) under a reciprocal metric, one (3, 3) or each its own (n, 3, 3)."""
    index = np.asarray(hkl, dtype=float)
    return np.asarray(np.einsum("...i,...ij,...j->...", index, metric, index))


def inverse_d_squared_of_cells(hkl: NDArray[Any], components: NDArray[Any]) -> NDArray[Any]:
    """1/d^2 (n,) of reflections (3, n), each in its own cell: components (6, n) as of `reciprocal_components`. In the precision of the two."""
    h, k, m = hkl
    h_part = h * components[0] + k * components[3] + m * components[4]
    k_part = h * components[3] + k * components[1] + m * components[5]
    m_part = h * components[4] + k * components[5] + m * components[2]
    return np.asarray(h_part * h + k_part * k + m_part * m)
