"""What the lines are that nothing expected explains: oxides, salts, holders and relatives of what was expected first, then the whole library."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.composition import SameMetalAndLinker
from xrdmatch.library.entry_names import entry_name
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import PreparedScan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.check_result import FurtherPhase
from xrdmatch.search.detection_limit import SecondPhases
from xrdmatch.search.expected_phase import Fitted
from xrdmatch.search.further_lines import FurtherLines
from xrdmatch.search.line_evidence import refined_lines, residual
from xrdmatch.search.pipeline import rank
from xrdmatch.search.probability import Calibration
from xrdmatch.search.result import NAMED
from xrdmatch.search.scan_quality import unusable
from xrdmatch.search.second_phase import LINES_NEEDED, REMAINDER

#: Categories of entries that a synthesis or a measurement adds, which are looked at first.
ADDED = ("byproduct", "linker", "holder", "standard")
#: Least height of a phase's line that explains a measured one, percent of its strongest.
EXPLAINS = 0.5
#: Lines that a phase has to explain before it is named.
FEWEST = 2


@dataclass(frozen=True, eq=False)
class Assigned:
    """phases: what was named. names: of each further line the phase that it is of, or empty."""

    phases: tuple[FurtherPhase, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Suspects:
    """Entries of the library that further lines may be of. expected: families that they are not of. first: rows that are looked at first."""

    expected: NDArray[np.int32]
    related: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, library: Library, families: NDArray[np.int32], relatives: SameMetalAndLinker) -> Suspects:
        related = [relatives.rows(int(family)) for family in families.tolist()]
        rows = np.unique(np.concatenate([*related, np.empty(0, dtype=np.int64)]))
        rows = rows[~np.isin(library.family[rows], families, kind="table")] if families.size and rows.size else rows
        added = np.flatnonzero(np.isin(library.category.stored, [name.encode() for name in ADDED]))
        return cls(families, rows, np.union1d(rows, added))

    def second_phases(self, model: Model) -> SecondPhases:
        """What a second phase beside the expected ones may be like."""
        expected = np.flatnonzero(np.isin(model.library.family, self.expected, kind="table")) if self.expected.size else np.empty(0, dtype=np.int64)
        return SecondPhases.of(model.index.line_index, self.related, np.setdiff1d(self.first, self.related), expected)


def assigned(scan: PreparedScan, fitted: Fitted, lines: FurtherLines, model: Model, suspects: Suspects, weights: Calibration) -> Assigned:
    """Which phase of the library the further lines are likely of; none where no phase explains several of them."""
    nothing = Assigned(names=("",) * lines.height.size)
    whole, library = scan.comparison, model.library
    power = whole.recipe.power
    length = float(np.sqrt((whole.lines.astype(float) ** (2.0 * power)).sum()))
    rest = residual(whole, (fitted.profile**power / np.float32(max(length, 1e-30))).astype(np.float32))
    if lines.height.size < FEWEST or unusable(rest, LINES_NEEDED):
        return nothing
    remainder = scan.remainder(rest)
    allowed = ~np.isin(library.family, suspects.expected, kind="table") if suspects.expected.size else None
    found = rank(remainder, model, replace(REMAINDER, allowed=allowed, related=suspects.first))
    if len(found) == 0:
        return nothing
    found = replace(found, same_metal_and_linker=np.isin(found.rows, suspects.related, kind="table"))
    share = float(rest.lines.sum() / max(whole.lines.sum(), 1e-30))
    chances, _ = weights.probabilities(found, share)
    best = int(chances.argmax())
    if chances[best] < NAMED:
        return nothing
    return _named(library, found.take([best]), float(chances[best]), share, remainder, lines)


def _named(library: Library, one: Candidates, chance: float, share: float, remainder: PreparedScan, lines: FurtherLines) -> Assigned:
    own = refined_lines(library, one, remainder.comparison)[0]
    angles = own.angles[own.heights > EXPLAINS]
    reach = own.reach * remainder.comparison.grid.step
    mine = [bool(angles.size) and bool(np.abs(angles - angle).min() <= reach) for angle in lines.two_theta.tolist()]
    if sum(mine) < FEWEST:
        return Assigned(names=("",) * len(mine))
    row = int(one.rows[0])
    name = entry_name(library, row)
    phase = FurtherPhase(name, str(library.id[row]), round(chance, 4), round(share * one.evidence[0].explained, 4), str(library.category[row]))
    return Assigned((phase,), tuple(name if yes else "" for yes in mine))
