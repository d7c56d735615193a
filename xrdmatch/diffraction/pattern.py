"""A measured or simulated powder pattern, and the angular grid patterns are brought to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.quantiles import median
from xrdmatch.diffraction.radiation import CU_K_ALPHA, convert_two_theta


def read_only(values: ArrayLike, dtype: Any = np.float64) -> NDArray[Any]:
    """A contiguous copy that nobody can write to."""
    array = np.array(values, dtype=dtype, order="C")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False, repr=False)
class Pattern:
    """One powder scan.

    two_theta: (n,) degrees, strictly increasing. intensity: (n,) finite, counts where the file has them.
    wavelength: angstrom, or None where the source does not say. meta: what the file tells (anode, counting_time in s, date, sample, format).
    Raises ValueError where the arrays do not fit these rules.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    wavelength: float | None = None
    name: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        angles, counts = read_only(self.two_theta), read_only(self.intensity)
        if angles.ndim != 1 or angles.shape != counts.shape or angles.size < 2:
            raise ValueError(f"two_theta and intensity must be 1-D, equally long and of 2 points or more, got {angles.shape} and {counts.shape}")
        if not (np.isfinite(angles).all() and np.isfinite(counts).all()):
            raise ValueError("two_theta and intensity must be finite")
        if not (np.diff(angles) > 0).all():
            raise ValueError("two_theta must increase strictly")
        object.__setattr__(self, "two_theta", angles)
        object.__setattr__(self, "intensity", counts)
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    def __repr__(self) -> str:
        wavelength = f", {self.wavelength:.4f} A" if self.wavelength else ""
        return f"<Pattern {self.name!r}: {self.two_theta.size} points, {self.two_theta[0]:.2f} to {self.two_theta[-1]:.2f} deg{wavelength}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: a small plot."""
        from xrdmatch.report.notebook import pattern_html

        return pattern_html(self)

    def _repr_png_(self) -> bytes | None:
        """The same as a picture; None where matplotlib is absent."""
        from xrdmatch.report.notebook import pattern_png

        return pattern_png(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pattern, (self.two_theta, self.intensity, self.wavelength, self.name, dict(self.meta))  # a read-only view of meta cannot be pickled

    def with_intensity(self, intensity: ArrayLike) -> Pattern:
        """The same scan with other intensities (n,)."""
        return replace(self, intensity=np.asarray(intensity, dtype=float))

    def within(self, mask: NDArray[np.bool_]) -> Pattern:
        """The scan from the first to the last True of `mask` (n,)."""
        kept = np.flatnonzero(mask)
        part = slice(int(kept[0]), int(kept[-1]) + 1)
        return replace(self, two_theta=self.two_theta[part], intensity=self.intensity[part])

    @cached_property
    def step(self) -> float:
        """Median step in degrees."""
        return float(median(np.diff(self.two_theta)))


#: Points of a grid: a step of 0.0002 degrees over the whole circle.
MAX_GRID = 1_000_000


@dataclass(frozen=True)
class Grid:
    """Even 2theta points from start to stop (both included), degrees, at a stated wavelength (angstrom)."""

    start: float = 5.0
    stop: float = 50.0
    step: float = 0.02
    wavelength: float = CU_K_ALPHA

    def __post_init__(self) -> None:
        if not (0 < self.start < self.stop < 180 and 0 < self.step < self.stop - self.start):
            raise ValueError(f"grid needs 0 < start < stop < 180 and a step within, got {self}")
        if self.size > MAX_GRID:
            raise ValueError(f"grid has {self.size} points, at most {MAX_GRID} are possible")

    @property
    def size(self) -> int:
        return round((self.stop - self.start) / self.step) + 1

    @cached_property
    def two_theta(self) -> NDArray[np.float64]:
        """(size,) degrees."""
        return read_only(self.start + self.step * np.arange(self.size))

    def nearest(self, angle: float) -> int:
        """The point nearest to an angle in degrees; one outside the grid gives a place outside it."""
        return round((angle - self.start) / self.step)

    def resample(self, pattern: Pattern) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Intensity (size,) at the grid's angles and wavelength, and a mask (size,) that is True where the pattern has data.

        A scan finer than the grid is averaged over each grid step, so that its counting statistics are kept; a coarser one is interpolated.
        Where the pattern does not tell its wavelength, the grid's is taken.
        """
        source = pattern.wavelength or self.wavelength
        angles = convert_two_theta(pattern.two_theta, source, self.wavelength)
        reach = np.isfinite(angles)
        angles, counts = angles[reach], pattern.intensity[reach]
        if angles.size < 2:
            return np.zeros(self.size), np.zeros(self.size, dtype=bool)
        points = self.two_theta
        values = np.interp(points, angles, counts)
        if median(np.diff(angles)) < 0.75 * self.step:
            bins = np.rint((angles - self.start) / self.step).astype(int)
            inside = (bins >= 0) & (bins < self.size)
            total = np.bincount(bins[inside], counts[inside], self.size)
            number = np.bincount(bins[inside], minlength=self.size)
            values = np.where(number > 0, total / np.maximum(number, 1), values)
        half = 0.5 * self.step
        mask = (points >= angles[0] - half) & (points <= angles[-1] + half)
        return np.where(mask, values, 0.0), mask
