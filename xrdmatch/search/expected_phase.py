"""An expected framework in a scan: its best form, refined, and what speaks for it and against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.expected_entries import ExpectedEntries
from xrdmatch.library.line_index import LineIndex
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.comparison import candidate_signals, shifted
from xrdmatch.search.line_evidence import refined_lines
from xrdmatch.search.pipeline import compare_and_refine
from xrdmatch.search.retrieval import RankOptions, largest
from xrdmatch.system.arrays import Float64Array

#: Entries of a framework that are compared with a scan, and families of it that are refined.
COMPARED, REFINED = 16, 3
#: How near, in line widths, a line of the expected framework covers a place.
NEAR = 0.6


class ExpectedPhase:
    """One expected framework, ready to be looked for in many scans. index: the lines of the library that `entries` lie in, where they are known."""

    def __init__(self, entries: ExpectedEntries, index: LineIndex | None = None) -> None:
        self.entries = entries
        own = entries.library.subset(entries.rows) if index is None else None
        self._lines = index.subset(entries.rows) if own is None and index is not None else LineIndex.of(own or entries.library)
        self.options = RankOptions(max_refined=REFINED, min_families=1)

    @property
    def library(self) -> Library:
        return self.entries.library

    def compared(self, scan: ComparisonSignal) -> Candidates:
        """The forms of the framework against a scan, the best first."""
        plain, rows = scan.coarse, self.entries.rows
        chosen = rows if rows.size <= COMPARED else rows[self._chosen(self._lines.scores(plain.signal, plain.mask))]
        found = compare_and_refine(Candidates.of(chosen, np.zeros(chosen.size), scan.fwhm), self.library, scan, self.options)
        return found.take(np.argsort(-_worth(found), kind="stable"))

    def _chosen(self, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        """Places of the entries whose strongest lines the scan shows best, with the best of each of the families that it shows best."""
        order = np.argsort(-scores, kind="stable")
        _, first = np.unique(self.library.family[self.entries.rows[order]], return_index=True)
        best = order[np.sort(first)][: COMPARED // 2]
        return np.union1d(best, largest(scores, COMPARED // 2))


def _worth(found: Candidates) -> Float64Array:
    """What refined forms are ordered by: lines, their places, and what the strain of the cell costs."""
    return np.asarray(found.similarity + found.position_similarity - 0.02 * found.strain_penalty)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Expected frameworks that are laid over a scan, one candidate each.

    profiles: (k, m) of each on the scan's grid and scale, whatever its detection limit; profile: (m,) their sum. near: (m,) the highest of it within
    `NEAR` line widths. lines: (m,) the height of the highest of their lines whose centre lies within `NEAR` line widths.
    """

    scan: ComparisonSignal
    phases: Sequence[tuple[Library, Candidates]]

    @cached_property
    def profiles(self) -> NDArray[np.float32]:
        drawn = np.stack([_drawn(library, one, self.scan) for library, one in self.phases])
        return np.asarray(_scales(drawn, self.scan)[:, None] * drawn, dtype=np.float32)

    @cached_property
    def profile(self) -> NDArray[np.float32]:
        return np.asarray(self.profiles.sum(axis=0))

    @cached_property
    def near(self) -> NDArray[np.float32]:
        return highest_near(self.profile, self.reach)

    @property
    def reach(self) -> int:
        """Points of the grid in `NEAR` line widths."""
        return max(1, round(NEAR * self.scan.fwhm / self.scan.grid.step))

    @cached_property
    def lines(self) -> NDArray[np.float32]:
        found = np.zeros(self.scan.grid.size, np.float32)
        for (library, one), profile in zip(self.phases, self.profiles, strict=True):
            own = refined_lines(library, one, self.scan)[0]
            np.maximum.at(found, own.index, (0.01 * float(profile.max(initial=0.0)) * own.heights).astype(np.float32))
        return highest_near(found, self.reach)


def _drawn(library: Library, one: Candidates, scan: ComparisonSignal) -> NDArray[np.float32]:
    """Profile (m,) of one candidate where the scan has it, strongest 1."""
    signal = candidate_signals(library, one, replace(scan, detection_limit=0.0))[0]
    return shifted(signal, round(float(one.shift[0]) / scan.grid.step)) ** np.float32(1.0 / scan.recipe.power)


def _scales(drawn: NDArray[np.float32], scan: ComparisonSignal) -> NDArray[np.float32]:
    """Counts (k,) of each profile's strongest line, those that bring the square roots of all together nearest to the scan's."""
    root, aim = np.sqrt(drawn), np.sqrt(scan.lines)
    scales = np.array([(float(one @ aim) / max(float(one @ one), 1e-30)) ** 2 for one in root])
    if len(drawn) > 1:  # the roots of a sum are no sum: each in turn, of what the others leave
        for _ in range(4):
            for i, one in enumerate(root):
                rest = np.sqrt((scan.lines - (scales @ drawn - scales[i] * drawn[i])).clip(min=0.0))
                scales[i] = (float(one @ rest) / max(float(one @ one), 1e-30)) ** 2
    return scales.astype(np.float32)


def highest_near(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """The largest value (m,) within `reach` points."""
    padded = np.pad(values, reach, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1))
