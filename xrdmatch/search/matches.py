"""Ranked candidates as the matches of an answer: each is made once, last, with its evidence at the scan's own angles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.composition import undecided
from xrdmatch.library.entry_names import entry_name
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import PreparedScan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.cell_refinement import polish_cells
from xrdmatch.search.indexed_lines import evidence_in_scan, indexed_lines
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.result import NAMED, Match
from xrdmatch.system.arrays import Float64Array


@dataclass(frozen=True, eq=False)
class Ranking:
    """All candidates of one phase, likeliest first. Made by `Ranking.of`.

    probabilities: (k,), to four digits. scan: what they were compared with. phase: 1, or 2 for what the first one's lines leave; unexplained: the
    share of the scan's line intensity that it leaves.
    """

    candidates: Candidates
    probabilities: Float64Array
    scan: PreparedScan
    phase: int = 1
    unexplained: float = 1.0

    @classmethod
    def of(cls, candidates: Candidates, probabilities: Float64Array, scan: PreparedScan, phase: int = 1, unexplained: float = 1.0) -> Ranking:
        """The candidates in the order of their probabilities (k,)."""
        order = np.argsort(-probabilities, kind="stable")
        return cls(candidates.take(order), np.round(probabilities[order], 4), scan, phase, unexplained)

    @property
    def best(self) -> Candidates:
        """The likeliest candidate alone."""
        return self.candidates.take([0])

    def states(self, place: int) -> bool:
        """Whether the candidate at this place is a second phase that is said to be there."""
        return self.phase == 2 and bool(self.probabilities[place] >= NAMED)

    def share(self, place: int) -> float:
        """Of a second phase, the share of the scan's line intensity that the candidate explains; 0 of a first one."""
        return round(self.unexplained * self.candidates.evidence[place].explained, 4) if self.phase == 2 else 0.0


#: A candidate by its ranking and its place there.
Place = tuple[Ranking, int]


def ordered_places(library: Library, first: Ranking, second: Ranking | None) -> list[Place]:
    """The best candidate, then the others by probability and what may be there together with it, each family once; as many as the first phase has."""
    places: list[Place] = [(first, 0)]
    families = {int(library.family[first.candidates.rows[0]])}
    chances = [(float(chance), (first, i)) for i, chance in enumerate(first.probabilities) if i]
    if second is not None:
        chances += [(float(first.probabilities[0] * chance), (second, i)) for i, chance in enumerate(second.probabilities)]
    for _, (ranking, i) in sorted(chances, key=lambda one: -one[0]):
        family = int(library.family[ranking.candidates.rows[i]])
        if family not in families and len(places) < len(first.candidates):
            families.add(family)
            places.append((ranking, i))
    return places


def listed_matches(library: Library, places: list[Place], options: SearchOptions, allowed: NDArray[np.bool_] | None) -> list[Match]:
    """The first `top` of ordered candidates as matches, and a second phase that is said to be there, however few are asked for."""
    chosen = places[: options.top]
    chosen += [(ranking, i) for ranking, i in places[options.top :] if ranking.states(i)]
    return [_match(library, place, rank, options.detail, allowed) for rank, place in enumerate(chosen, 1)]


def _match(library: Library, place: Place, rank: int, detail: bool, allowed: NDArray[np.bool_] | None) -> Match:
    ranking, i = place
    found, row = ranking.candidates, int(ranking.candidates.rows[i])
    family = int(library.family[row])
    members = library.members(family)
    members = members if allowed is None else members[allowed[members]]
    shown = found.take([i])
    if i == 0 and (ranking.phase == 1 or ranking.states(0)):  # it will be drawn, looked at closely, refined
        shown = polish_cells(library, shown, ranking.scan.comparison)
    a, b, c = (round(float(value), 4) for value in shown.strain[0, :3])
    scan = ranking.scan.measured
    return Match(
        rank=rank,
        id=str(library.id[row]),
        name=entry_name(library, row),
        formula=str(library.formula[row]),
        family=str(library.family_name[family]),
        members=library.id[members].tolist(),
        similarity=round(float(found.similarity[i]), 4),
        probability=float(ranking.probabilities[i]),
        shift=round(float(shown.shift[0]), 3),
        doi=str(library.doi[row]),
        strain=(a, b, c),
        fwhm=round(float(shown.fwhm[0]), 3),
        undecided=undecided(library, members) if members.size > 1 else None,
        phase=ranking.phase,
        share=ranking.share(i),
        evidence=evidence_in_scan(found.evidence[i], ranking.scan.wavelength, library, row) if detail else None,
        lines=indexed_lines(library, shown, 0, scan) if detail else None,
    )
