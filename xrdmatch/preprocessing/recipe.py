"""How a pattern becomes network input.

One `Recipe` serves training and identification alike and travels in the model folder: there is no second preprocessing path. Every step works on
stacks of patterns (k, m), so that a training batch and a single scan take the same code.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.quantiles import median, percentile
from xrdmatch.errors import ModelError
from xrdmatch.preprocessing import fft_filter
from xrdmatch.preprocessing.smoothing import opening, running_mean
from xrdmatch.system.arrays import Float32Array

#: Scales the median absolute second difference of white noise to its standard deviation: 1 / (0.6745 sqrt(6)).
_SECOND_DIFFERENCE = 1.0 / (0.674490 * np.sqrt(6.0))

#: Stretches of a scan whose noise is measured apart.
BLOCKS = 24


@dataclass(frozen=True)
class Recipe:
    """Steps from intensities on `grid` to network input.

    kind: "search" (smooth, subtract background, gate noise, power, unit length; channels: pattern and range mask) or "minmax" (scaled to 0..1, one
    channel: the reference method). smooth: degrees of the running mean. background: degrees of the morphological opening. gate: noise standard
    deviations that are subtracted before clipping at zero. power: exponent that lifts weak lines.
    """

    kind: str = "search"
    grid: Grid = Grid(2.0, 50.0, 0.04)
    smooth: float = 0.12
    background: float = 3.0
    gate: float = 3.0
    power: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in ("search", "minmax"):
            raise ValueError(f"unknown recipe kind {self.kind!r}")

    @property
    def channels(self) -> int:
        return 2 if self.kind == "search" else 1

    def apply(self, pattern: Pattern, sigma: float | None = None, noise_gain: float = 1.0) -> Float32Array:
        """Network input (channels, grid.size) of one pattern.

        `sigma`: noise of one point in counts before any filter, where it is known better
        than it can be measured; `noise_gain`: share of it that a filter left.
        """
        values, mask = self.grid.resample(pattern)
        level = np.array([self.smoothed_noise(pattern, sigma, noise_gain)], dtype=np.float32)
        return np.asarray(self.apply_batch(values[None], mask[None], level)[0])

    def smoothed_noise(self, pattern: Pattern, sigma: float | None = None, noise_gain: float = 1.0) -> float:
        """Noise in counts that the running mean leaves of a scan: it averages `smooth` degrees of the scan's own points, however the grid lies.

        Independent points leave sigma / sqrt(n), a low-pass filter of this gain leaves that: what both let through is the slower of
        the two, not their product. Detectors that smear noise over neighbours leave more, which is measured as well.
        """
        point = fft_filter.noise_sigma(pattern.intensity) if sigma is None else sigma
        width = max(self.smooth, self.grid.step)
        return max(point * min(noise_gain, float(np.sqrt(pattern.step / width))), smeared_noise(pattern, width))

    def apply_batch(self, intensity: ArrayLike, mask: NDArray[np.bool_], level: Float32Array | None = None) -> Float32Array:
        """Network input (k, channels, m) of intensities (k, m) on the grid, with data where `mask` (k, m) is True.

        level: (k,) noise after the running mean, in counts; by default measured on the grid's points.
        """
        values = np.asarray(intensity, dtype=np.float32)
        if self.kind == "minmax":
            low = np.where(mask, values, np.inf).min(axis=1, keepdims=True)
            high = np.where(mask, values, -np.inf).max(axis=1, keepdims=True)
            scaled = (values - low) / np.maximum(high - low, 1e-30)
            return np.where(mask, scaled, 0.0).astype(np.float32)[:, None]
        signal = self.signal(values, mask, level) ** np.float32(self.power)
        length = np.sqrt((signal**2).sum(axis=1, keepdims=True))
        signal *= np.sqrt(signal.shape[1]) / np.maximum(length, 1e-6)
        return np.stack([signal, mask.astype(np.float32)], axis=1)

    def signal(self, values: Float32Array, mask: NDArray[np.bool_], level: Float32Array | None = None) -> Float32Array:
        """Diffraction lines (k, m) above background and noise, in the intensities' unit, zero outside the mask. `level` as in apply_batch."""
        points = max(1, round(self.smooth / self.grid.step)) | 1
        window = max(3, round(self.background / self.grid.step)) | 1
        filled = fill_outside(values, mask)
        if level is None:
            # The running mean of n points leaves sigma / sqrt(n) of the noise.
            level = noise_sigma(filled, mask) / np.float32(np.sqrt(points))
        smooth = running_mean(filled, points)
        lines = smooth - opening(smooth, window)
        lines -= self.gate * level[:, None]
        return np.where(mask, lines, 0.0).clip(min=0.0).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any] | str) -> Recipe:
        """Raises ModelError where `data` is not what to_json wrote."""
        try:
            fields = dict(json.loads(data) if isinstance(data, str) else data)
            return cls(**{**fields, "grid": Grid(**fields["grid"])})
        except (TypeError, KeyError, ValueError) as error:
            raise ModelError(f"the model's recipe is not understood ({error}); was it written by a newer xrdmatch?") from error


def fill_outside(values: Float32Array, mask: NDArray[np.bool_]) -> Float32Array:
    """Continue each row (k, m) beyond its measured range with its first and last measured value, so that no step is filtered."""
    if mask.all():
        return values
    positions = np.arange(values.shape[1])
    first = np.argmax(mask, axis=1)[:, None]
    last = (values.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1))[:, None]
    return np.asarray(np.take_along_axis(values, np.clip(positions[None], first, last), axis=1))


def noise_sigma(values: Float32Array, mask: NDArray[np.bool_] | None = None) -> Float32Array:
    """Standard deviation (k,) of white noise on rows (k, m), from the median absolute second difference, which slopes and few lines leave alone."""
    second = np.abs(values[:, 2:] - 2.0 * values[:, 1:-1] + values[:, :-2])
    if mask is not None and not mask.all():
        inner = mask[:, 2:] & mask[:, :-2]
        middle = np.array([median(row[kept]) if kept.any() else 0.0 for row, kept in zip(second, inner, strict=True)], dtype=second.dtype)
    else:
        middle = median(second)
    return np.asarray(middle * _SECOND_DIFFERENCE, dtype=np.float32)


def smeared_noise(pattern: Pattern, width: float, percent: float = 25.0) -> float:
    """Noise in counts of a scan's running mean over `width` degrees, from its bends over twice that distance; percentile `percent` of 24 stretches.

    Unlike differences of neighbours it sees noise that is correlated from point to point; the quietest quarter of the scan leaves out the lines.
    """
    middles = _bends(pattern, width)
    return float(percentile(middles, percent) / (0.674490 * np.sqrt(1.5))) if middles.size else 0.0


@lru_cache(maxsize=1)  # a scan is asked for two percentiles in a row
def _bends(pattern: Pattern, width: float) -> Float32Array:
    """Median size of the bends in each of 24 stretches; none of a scan too short for that."""
    points = max(1, round(width / pattern.step)) | 1
    lag = 2 * points
    if pattern.intensity.size < BLOCKS * lag:
        return np.empty(0, np.float32)
    smooth = running_mean(pattern.intensity.astype(np.float32), points)
    bends = np.abs(smooth[lag:-lag] - 0.5 * (smooth[2 * lag :] + smooth[: -2 * lag]))
    size, longer = divmod(bends.size, BLOCKS)  # blocks of two lengths, as np.array_split makes them
    edge = longer * (size + 1)
    return np.concatenate([median(part) for part in (bends[:edge].reshape(longer, size + 1), bends[edge:].reshape(-1, size))])
