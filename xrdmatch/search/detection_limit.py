"""The least second phase that a check would have seen: the height from which most phases that may be there would show a peak that is listed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.line_index import GRID, LineIndex
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.further_lines import Tolerance
from xrdmatch.system.arrays import Float64Array

#: How surely a second phase has to be seen where it is said that it would be.
SURELY = 0.9
#: Largest limit that is stated, percent of the strongest peak.
LARGEST = 50.0
#: Entries of the whole library that stand for any phase.
SOME = 400
#: Share of the second phases that are of the same metal and linker, where the library has such.
RELATED = 0.5


@dataclass(frozen=True, eq=False)
class SecondPhases:
    """What a second phase may be. lines: of k phases. weight: (k,) how likely it is each, summing to 1."""

    lines: LineIndex
    weight: Float64Array

    @classmethod
    def of(cls, index: LineIndex, related: NDArray[np.int64], added: NDArray[np.int64], not_these: NDArray[np.int64]) -> SecondPhases:
        """Rows of a library. related: of the same metal and linker; added: what a synthesis or a measurement adds; not_these: what was expected."""
        some = np.union1d(added, np.arange(0, len(index), max(1, len(index) // SOME)))
        some = np.setdiff1d(some, np.union1d(related, not_these))
        share = RELATED if related.size and some.size else float(related.size > 0)
        weight = np.concatenate([np.full(related.size, share / max(related.size, 1)), np.full(some.size, (1.0 - share) / max(some.size, 1))])
        return cls(index.subset(np.concatenate([related, some])), weight)

    def needed(self, scan: ComparisonSignal, tolerated: Tolerance) -> Float64Array:
        """Height (k,) of each phase's strongest peak within the scan's range, percent of the scan's strongest, from which one of its peaks is listed;
        infinite where it has none there."""
        at = np.rint((self.lines.place * GRID.step + GRID.start - scan.grid.start) / scan.grid.step).astype(int).clip(0, scan.grid.size - 1)
        height = self.lines.weight.astype(float) ** 2 * scan.mask[at]
        top = height.max(axis=1, initial=0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            least = np.where(height > 0.0, tolerated.listed[at] / height, np.inf).min(axis=1, initial=np.inf)
            return np.asarray(np.where(top > 0.0, 100.0 * least * top, np.inf))


def detection_limit(scan: ComparisonSignal, tolerated: Tolerance, phases: SecondPhases) -> float | None:
    """Height of a second phase's strongest peak, percent of the scan's strongest, from which it is seen as surely as `SURELY`. None where that is
    above `LARGEST`."""
    needed = phases.needed(scan, tolerated)
    order = np.argsort(needed, kind="stable")
    enough = np.flatnonzero(np.cumsum(phases.weight[order]) >= SURELY * phases.weight.sum() - 1e-12)
    limit = float(needed[order[enough[0]]]) if enough.size else np.inf
    return limit if limit <= LARGEST else None
