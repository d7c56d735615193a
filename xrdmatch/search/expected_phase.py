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
from xrdmatch.search.cell_refinement import refine_and_draw
from xrdmatch.search.comparison import candidate_signals, compare, position_similarity, shifted
from xrdmatch.search.line_evidence import highest_near, line_evidence, refined_lines
from xrdmatch.system.arrays import Float64Array

#: Cells of a framework that are compared with a scan, and of these refined. Forms of a breathing one may have one pattern by name and family only.
COMPARED, REFINED = 16, 4
#: Relative difference of a length, and difference of an angle in degrees, from which cells are two.
APART, ANGLES_APART = 0.01, 1.0
#: How near, in line widths, a line of the expected framework covers a place.
NEAR = 0.6


class ExpectedPhase:
    """One expected framework, ready to be looked for in many scans. index: the lines of the library that `entries` lie in, where they are known."""

    def __init__(self, entries: ExpectedEntries, index: LineIndex | None = None) -> None:
        self.entries = entries
        self._lines = LineIndex.of(entries.library.subset(entries.rows)) if index is None else index.subset(entries.rows)
        self._cell = cell_groups(entries.library.cell[entries.rows])

    @property
    def library(self) -> Library:
        return self.entries.library

    def compared(self, scan: ComparisonSignal) -> Candidates:
        """The cells of the framework against a scan, the best first, each with the entry whose strongest lines the scan shows best."""
        plain, library = scan.coarse, self.library
        rows = self.entries.rows[self._best_of_cells(self._lines.scores(plain.signal, plain.mask))]
        drawn = Candidates.of(rows, np.zeros(rows.size), scan.fwhm)
        signals = candidate_signals(library, drawn, plain)
        near = replace(compare(drawn, signals, plain), position_similarity=position_similarity(signals, plain))
        near = replace(near, plain_similarity=near.similarity)
        refined, signals = refine_and_draw(library, near.take(np.argsort(-_worth(near), kind="stable")[:REFINED]), scan)
        refined = replace(refined, position_similarity=position_similarity(signals, scan))
        best = np.argsort(-_worth(refined), kind="stable")
        return line_evidence(library, refined.take(best), scan, signals[best])

    def _best_of_cells(self, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        """Places of the best entry of each cell, of the cells that the scan shows best."""
        order = np.argsort(-scores, kind="stable")
        _, first = np.unique(self._cell[order], return_index=True)
        return np.asarray(order[np.sort(first)][:COMPARED])


def cell_groups(cells: Float64Array) -> NDArray[np.int64]:
    """Number (n,) of the first of these cells (n, 6) that is the same but for a little."""
    group = np.full(len(cells), -1, dtype=np.int64)
    for place, cell in enumerate(cells):
        if group[place] < 0:
            lengths = np.abs(cells[:, :3] / cell[:3] - 1.0).max(axis=1) < APART
            angles = np.abs(cells[:, 3:] - cell[3:]).max(axis=1) < ANGLES_APART
            group[lengths & angles & (group < 0)] = place
    return group


def _worth(found: Candidates) -> Float64Array:
    """What forms are ordered by: lines, their places, and what the strain of the cell costs."""
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
