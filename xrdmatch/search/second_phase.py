"""A second phase: what the lines look like that the best family leaves unexplained, and the scan without it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.composition import SameMetalAndLinker
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal, PreparedScan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.comparison import candidate_signals, shifted
from xrdmatch.search.line_evidence import expected_signal, residual
from xrdmatch.search.own_lines import free_of, own_lines
from xrdmatch.search.pipeline import rank
from xrdmatch.search.retrieval import RankOptions
from xrdmatch.search.scan_quality import unusable

#: Share of the line intensity left unexplained from which a second phase is looked for; chosen on 800 simulated mixtures.
MIN_UNEXPLAINED = 0.03
#: Clear lines it needs: fewer than a scan of its own, since the first phase covers some, and its probability knows how little is left.
LINES_NEEDED = 1
#: What is looked at in what a first phase leaves, beside the best few of its metal and linker: less than in a whole scan, for it has few lines.
REMAINDER = RankOptions(n_by_network=60, n_by_lines=80, n_best_by_lines=12, min_families=8, max_refined=8)


@dataclass(frozen=True, eq=False)
class SecondPhase:
    """What may explain what the phases found so far leave. remainder: those lines; unexplained: their share of the scan's line
    intensity; own_lines: (k,) lines that each candidate has to itself.
    """

    remainder: PreparedScan
    unexplained: float
    candidates: Candidates
    own_lines: NDArray[np.int64]


def find_second_phase(
    scan: PreparedScan, first: Candidates, model: Model, relatives: SameMetalAndLinker, options: RankOptions = REMAINDER
) -> SecondPhase | None:
    """What may be in a scan beside its `first` phase, of another family.

    None where too little is left, or nothing that the first phase could not have made with other intensities. first: one candidate, or several that
    are all there, each refined against what those before it leave.
    """
    library, whole = model.library, scan.comparison
    rest = lines_left(whole, first, library)
    unexplained = float(rest.lines.sum() / max(whole.lines.sum(), 1e-30))
    if unexplained < MIN_UNEXPLAINED or unusable(rest, LINES_NEEDED) or not free_of(library, first, whole).any():
        return None
    families = sorted(set(library.family[first.rows].tolist()))
    others = ~np.isin(library.family, families, kind="table")
    others = others if options.allowed is None else options.allowed & others
    related = np.array(sorted({row for family in families for row in relatives.rows(family).tolist()}), dtype=np.int64)
    remainder = scan.remainder(rest)
    candidates = rank(remainder, model, replace(options, allowed=others, related=related[others[related]], reranked=False))
    if len(candidates) == 0:
        return None
    candidates = replace(candidates, same_metal_and_linker=np.isin(candidates.rows, related, kind="table"))
    return SecondPhase(remainder, unexplained, candidates, own_lines(library, first, candidates, whole))


def lines_left(scan: ComparisonSignal, phases: Candidates, library: Library) -> ComparisonSignal:
    """The scan less the lines of `phases`, one after the other."""
    rest = scan
    for place in range(len(phases)):
        one = phases.take([place])
        rest = residual(rest, expected_signal(candidate_signals(library, one, rest)[0], float(one.shift[0]), rest))
    return rest


def subtract_phase(scan: PreparedScan, second: Candidates, remainder: PreparedScan, library: Library) -> PreparedScan:
    """The scan less the lines of a `second` phase (one candidate, refined against the `remainder`), also where the first phase has lines."""
    whole, rest = scan.comparison, remainder.comparison
    drawn = _in_place(library, second, replace(rest, mask=whole.mask))
    seen = drawn * rest.mask
    # Its scale is that of what the first phase leaves; signals are of unit length there and in the whole scan.
    scale = float(seen @ rest.signal) / max(float(seen @ seen), 1e-30)
    power = whole.recipe.power
    all_lines, part = (float(np.sqrt((lines.astype(float) ** (2.0 * power)).sum())) for lines in (whole.lines, rest.lines))
    return replace(scan, comparison=residual(whole, drawn * np.float32(scale * part / max(all_lines, 1e-30))))


def _in_place(library: Library, candidate: Candidates, scan: ComparisonSignal) -> NDArray[np.float32]:
    """Signal (m,) of one candidate as drawn, at its place in the scan."""
    return shifted(candidate_signals(library, candidate, scan)[0], round(float(candidate.shift[0]) / scan.grid.step))
