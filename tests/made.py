"""Scans drawn line by line from library entries, independently of diffraction.peak_shapes; and pages made of answers."""

from __future__ import annotations

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import CU_K_ALPHA, inverse_d_squared, lorentz_polarisation, reciprocal_metric
from xrdmatch.report import html_page


def angles_of(library, row, wavelength=CU_K_ALPHA, strain=(0.0, 0.0, 0.0)):
    """2theta (n,) of an entry's lines, NaN beyond reach, and their 1/d^2."""
    cell = library.cell[row].copy()
    cell[:3] *= 1.0 + np.asarray(strain)
    squared = inverse_d_squared(library.hkl[library.offsets[row] : library.offsets[row + 1]], reciprocal_metric(cell))
    sine = 0.5 * wavelength * np.sqrt(squared)
    return np.degrees(2.0 * np.arcsin(np.where(sine < 1.0, sine, np.nan))), squared


def profile(library, row, points, wavelength=CU_K_ALPHA, zero=0.0, strain=(0.0, 0.0, 0.0), fwhm=0.15, b=2.0, without=()):
    """Noise-free profile (m,) at `points` degrees, highest point 1; the lines `without` are left out."""
    angles, squared = angles_of(library, row, wavelength, strain)
    areas = library.intensity[library.offsets[row] : library.offsets[row + 1]].astype(float)
    total = np.zeros(len(points))
    for i, (angle, area, square) in enumerate(zip(angles, areas, squared, strict=True)):
        if i in without or not np.isfinite(angle):
            continue
        height = area * np.exp(-0.5 * b * square) * lorentz_polarisation(np.array([angle]))[0]
        x = (points - angle - zero) / fwhm
        total += height * (0.5 * (2.0 / np.pi) / (1.0 + 4.0 * x**2) + 0.5 * np.sqrt(4.0 * np.log(2.0) / np.pi) * np.exp(-4.0 * np.log(2.0) * x**2))
    return total / total.max()


def scan(library, row, seed=0, peak=20000.0, base=100.0, start=4.0, stop=45.0, step=0.02, wavelength=CU_K_ALPHA, known=True, **how):
    """A counted scan: Poisson noise on `base` counts, the strongest line `peak` above it. `how` goes to `profile`."""
    points = np.arange(start, stop + 0.5 * step, step)
    mean = base + peak * profile(library, row, points, wavelength, **how)
    counts = np.random.default_rng(seed).poisson(mean).astype(float)
    return Pattern(points, counts, wavelength if known else None, str(library.id[row]))


def mixed(first, second, share):
    """Two scans of the same points, `share` of the second."""
    return first.with_intensity((1.0 - share) * first.intensity + share * second.intensity)


def page_of(results, title="xrdmatch"):
    """The page of several answers, as text."""
    page = html_page.Page(len(results), title)
    for result in results:
        page.add(result)
    return page.text()
