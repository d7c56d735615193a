"""Slow, obvious twins of fast routines, for the tests to compare with."""

import cmath

import gemmi
import numpy as np


def dft(values):
    """Discrete Fourier transform (n,) by its definition."""
    n = len(values)
    k = np.arange(n)
    return np.exp(-2j * np.pi * (np.outer(k, k) % n) / n) @ values


def dft_criterion(pattern):
    """The paper's criterion, step by step."""
    buffer = np.zeros(2304)
    buffer[20 : 20 + len(pattern)] = pattern
    buffer = buffer - np.median(buffer)
    buffer = buffer / np.std(np.abs(buffer))
    magnitude = np.log(np.abs(dft(buffer)))[1:1153]
    return magnitude[200:].mean()


def dft_filter(pattern, keep):
    """The paper's filter, step by step."""
    buffer = np.zeros(2304)
    buffer[20 : 20 + len(pattern)] = pattern
    buffer = np.clip(buffer - np.median(buffer), 0, None)
    spectrum = dft(buffer / buffer.max())
    kept = np.zeros(2304, dtype=complex)
    kept[:keep] = spectrum[:keep]
    for k in range(1, keep):
        kept[2304 - k] = np.conj(spectrum[k])
    return (np.conj(dft(np.conj(kept))) / 2304).real[20 : 20 + len(pattern)]


def minimum_filter(values, points):
    """Minimum over a centred window; an even window is widened by one."""
    half = (points | 1) // 2
    return np.array([values[max(0, i - half) : i + half + 1].min() for i in range(len(values))])


def maximum_filter(values, points):
    """Maximum over a centred window; an even window is widened by one."""
    return -minimum_filter(-np.asarray(values), points)


def lattice(cell):
    """Vectors a, b, c as rows, from three lengths (angstrom) and three angles (degrees)."""
    a, b, c = cell[:3]
    alpha, beta, gamma = np.radians(cell[3:])
    x = c * np.cos(beta)
    y = c * (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    return np.array([[a, 0, 0], [b * np.cos(gamma), b * np.sin(gamma), 0], [x, y, np.sqrt(c**2 - x**2 - y**2)]])


def powder_lines(structure, d_min, d_max):
    """{d rounded to 1e-4: |F|^2 summed over all reflections of that d}: one reflection and one atom at a time."""
    reciprocal = np.linalg.inv(lattice(structure.cell)).T
    limits = np.ceil(structure.cell[:3] / d_min).astype(int)
    lines = {}
    for h in range(-limits[0], limits[0] + 1):
        for k in range(-limits[1], limits[1] + 1):
            for m in range(-limits[2], limits[2] + 1):
                length = np.linalg.norm(h * reciprocal[0] + k * reciprocal[1] + m * reciprocal[2])
                if not 1 / d_max <= length <= 1 / d_min:
                    continue
                total = 0j
                for number, place, share in zip(structure.numbers, structure.fractional, structure.occupancy, strict=True):
                    factor = gemmi.Element(int(number)).it92.calculate_sf(stol2=(length / 2) ** 2)
                    total += share * factor * cmath.exp(2j * cmath.pi * (h * place[0] + k * place[1] + m * place[2]))
                d = round(1 / length, 4)
                lines[d] = lines.get(d, 0.0) + abs(total) ** 2
    return lines
