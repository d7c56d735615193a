"""Slow, obvious twins of fast routines, for the tests to compare with."""

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
