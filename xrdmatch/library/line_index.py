"""A second way to recall: entries whose strongest lines the scan shows.

The encoder has learned frameworks; a structure unlike them (a dense mineral with five lines) is found by its lines. Each entry keeps its strongest
ones as places on a grid with their weights, so that all entries are scored by one gather.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.radiation import CU_K_ALPHA, inverse_d_squared, powder_lines, reciprocal_metric
from xrdmatch.library.reference_library import Library

#: Lines kept of an entry, and the grid they are placed on.
KEPT, GRID = 24, Grid(2.0, 50.0, 0.04)
#: Degrees within which neighbouring lines count as one, and within which a line of the scan is taken for an entry's.
MERGED, NEAR = 0.12, 0.12
#: Overall Debye-Waller B, angstrom^2.
B = 3.0
#: Sum of squares of weights that counts as none.
_NOTHING = np.float32(1e-6)


@dataclass(frozen=True, eq=False)
class LineIndex:
    """place: (n, KEPT) uint16, points of `GRID`. weight: (n, KEPT) float16, root of the line's share of the strongest; 0 where there are fewer."""

    place: NDArray[np.uint16]
    weight: NDArray[np.float16]

    @classmethod
    def of(cls, library: Library) -> LineIndex:
        """The strongest lines of every entry of `library`."""
        place, weight = np.zeros((len(library), KEPT), np.uint16), np.zeros((len(library), KEPT), np.float16)
        for row in range(len(library)):
            angles, heights = _strongest(library, row)
            place[row, : angles.size] = np.rint((angles - GRID.start) / GRID.step)
            weight[row, : angles.size] = np.sqrt(heights)
        return cls(place, weight)

    def packed(self) -> NDArray[np.uint16]:
        """(2, n, KEPT): both arrays as they are stored."""
        return np.stack([self.place, self.weight.view(np.uint16)])

    @classmethod
    def unpacked(cls, stored: NDArray[np.uint16]) -> LineIndex:
        return cls(np.minimum(stored[0], GRID.size - 1), stored[1].view(np.float16))

    def __len__(self) -> int:
        return len(self.place)

    def joined(self, other: LineIndex) -> LineIndex:
        """These entries followed by those of `other`."""
        return LineIndex(np.concatenate([self.place, other.place]), np.concatenate([self.weight, other.weight]))

    def subset(self, rows: NDArray[np.integer[Any]]) -> LineIndex:
        """The entries `rows`, in that order."""
        return LineIndex(self.place[rows], self.weight[rows])

    def scores(self, signal: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """How much of each entry's lines a scan shows, (n,): cosine-like up to a factor of the scan's, of its signal (m,) on `GRID` (square-root
        scale) and its measured range.

        Of the scan the root is taken once more: heights differ more from sample to sample than places.
        """
        reach = round(NEAR / GRID.step)
        signal = np.sqrt(signal)
        spread = signal.copy()
        for shift in range(1, reach + 1):
            fading = np.float32(1.0 - 0.1 * shift)
            spread[shift:] = np.maximum(spread[shift:], fading * signal[:-shift])
            spread[:-shift] = np.maximum(spread[:-shift], fading * signal[shift:])
        return np.asarray(np.einsum("nk,nk->n", self._weights, spread.take(self._places, mode="clip")) * self._scales(mask.tobytes()))

    @cached_property
    def _weights(self) -> NDArray[np.float32]:
        return self.weight.astype(np.float32)

    @cached_property
    def _squares(self) -> NDArray[np.float32]:
        return self._weights**2

    @cached_property
    def _places(self) -> NDArray[np.intp]:
        """What NumPy would make of `place` at every gather."""
        return self.place.astype(np.intp)

    @cached_property
    def _scales(self) -> Callable[[bytes], NDArray[np.float32]]:
        """1 / length (n,) of each entry's weights within a measured range (the bytes of its mask), 0 where it has no line there.

        The last few are kept: scans of a folder mostly share their range.
        """

        @lru_cache(maxsize=16)
        def scales(mask: bytes) -> NDArray[np.float32]:
            measured = np.frombuffer(mask, np.uint8).astype(np.float32)
            square = np.einsum("nk,nk->n", self._squares, measured.take(self._places, mode="clip"))
            return np.where(square > _NOTHING, 1.0 / np.sqrt(np.maximum(square, _NOTHING)), np.float32(0.0))

        return scales


def _strongest(library: Library, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles in degrees and heights (strongest 1) of an entry's strongest lines, those that overlap taken together."""
    part = slice(int(library.offsets[row]), int(library.offsets[row + 1]))
    squared = inverse_d_squared(library.hkl[part], reciprocal_metric(library.cell[row]))
    angles, heights = powder_lines(library.intensity[part], squared, B, CU_K_ALPHA)
    inside = np.flatnonzero((angles >= GRID.start) & (angles <= GRID.stop) & (heights > 0))
    if inside.size == 0:
        return np.empty(0), np.empty(0)
    inside = inside[np.argsort(angles[inside], kind="stable")]
    angles, heights = angles[inside], heights[inside]
    starts = np.flatnonzero(np.diff(angles, prepend=-1.0) > MERGED)
    total = np.add.reduceat(heights, starts)
    centre = np.add.reduceat(heights * angles, starts) / total
    top = np.argsort(-total, kind="stable")[:KEPT]
    return centre[top], total[top] / total.max()
