"""Ideal patterns of library entries, and the network inputs that their vectors are encoded from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.peak_shapes import draw
from xrdmatch.diffraction.radiation import d_spacing, lorentz_polarisation, reciprocal_metric
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.recipe import Recipe


def ideal(library: Library, rows: NDArray[np.int64], grid: Grid, fwhm: float = 0.12, b: float = 3.0) -> NDArray[np.float32]:
    """Noise-free profiles (k, m) of library entries, highest point 1: what a library vector is encoded from. `b`: overall Debye-Waller B."""
    hkl, intensity, real = library.padded_lines(rows)
    metrics = reciprocal_metric(library.cell[rows])
    squared = np.einsum("kpi,kij,kpj->kp", hkl, metrics, hkl)
    d = 1.0 / np.sqrt(np.where(real, squared, 1.0))
    angles = np.degrees(2.0 * np.arcsin(np.clip(grid.wavelength / (2.0 * d), 0.0, 0.999)))
    areas = np.where(real, intensity * np.exp(-b / (2.0 * d**2)) * lorentz_polarisation(angles), 0.0)
    areas = np.where(d < d_spacing(grid.start - 0.5, grid.wavelength), areas, 0.0)
    profile = draw(angles, areas, np.full_like(angles, fwhm), grid)
    return np.asarray(profile / np.maximum(profile.max(axis=1, keepdims=True), 1e-9))


def ideal_inputs(library: Library, rows: NDArray[np.int64], recipe: Recipe) -> NDArray[np.float32]:
    """Network input (k, channels, m) of the noise-free patterns of library entries."""
    inputs = np.empty((len(rows), recipe.channels, recipe.grid.size), dtype=np.float32)
    by_size = np.argsort(np.diff(library.offsets)[rows], kind="stable")  # lines are padded to the longest entry of a chunk
    for part in np.array_split(by_size, max(1, -(-len(rows) // 128))):
        profiles = ideal(library, rows[part], recipe.grid)
        inputs[part] = recipe.apply_batch(profiles, np.ones(profiles.shape, dtype=bool))
    return inputs
