"""Ranked candidates as the matches of an answer: each is made once, last, with its evidence at the scan's own angles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import strained
from xrdmatch.library.composition import metals_of, undecided
from xrdmatch.library.entry_names import entry_name, refcode
from xrdmatch.library.metal_exchange import LetIn
from xrdmatch.library.reference_library import LINKER_SEPARATOR, Library
from xrdmatch.preprocessing.prepared_scan import PreparedScan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.cell_refinement import polish_cells
from xrdmatch.search.indexed_lines import evidence_in_scan, indexed_lines
from xrdmatch.search.result import LIKELY, NAMED, OWN_LINES, Cell, Linker, Match
from xrdmatch.search.second_phase import SecondPhase
from xrdmatch.system.arrays import Float64Array


@dataclass(frozen=True, eq=False)
class Ranking:
    """All candidates of one phase, likeliest first. Made by `Ranking.of`.

    probabilities: (k,), to four digits. scan: what they were compared with. phase: 1, or 2 for what the first one's lines leave; unexplained: the
    share of the scan's line intensity that it leaves; own_lines: (k,) lines that a candidate for it has to itself.
    """

    candidates: Candidates
    probabilities: Float64Array
    scan: PreparedScan
    phase: int = 1
    unexplained: float = 1.0
    own_lines: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, candidates: Candidates, probabilities: Float64Array, scan: PreparedScan) -> Ranking:
        """The candidates of a first phase in the order of their probabilities (k,)."""
        order = np.argsort(-probabilities, kind="stable")
        return cls(candidates.take(order), np.round(probabilities[order], 4), scan)

    @classmethod
    def of_second(cls, found: SecondPhase, probabilities: Float64Array) -> Ranking:
        """Those of a second phase."""
        order = np.argsort(-probabilities, kind="stable")
        ranked = found.candidates.take(order), np.round(probabilities[order], 4), found.remainder
        return cls(*ranked, 2, found.unexplained, found.own_lines[order])

    def with_last(self, last: NDArray[np.bool_]) -> Ranking:
        """The same, with those that come `last` (k,) after others of their probability."""
        order = np.lexsort((last, -self.probabilities))
        own = None if self.own_lines is None else self.own_lines[order]
        return replace(self, candidates=self.candidates.take(order), probabilities=self.probabilities[order], own_lines=own)

    def if_likely(self, chance: float, otherwise: Ranking) -> Ranking:
        """These candidates where what they were weighed by holds with this `chance`, else the ranking `otherwise`."""
        known = dict(zip(otherwise.candidates.rows.tolist(), otherwise.probabilities.tolist(), strict=True))
        before = np.array([known.get(row, 0.0) for row in self.candidates.rows.tolist()])
        return Ranking.of(self.candidates, chance * self.probabilities + (1.0 - chance) * before, self.scan)

    @property
    def best(self) -> Candidates:
        """The likeliest candidate alone."""
        return self.candidates.take([0])

    def states(self, place: int) -> bool:
        """Whether the candidate at this place is a second phase that is said to be there."""
        own = self.own_lines is None or bool(self.own_lines[place] >= OWN_LINES)
        return self.phase == 2 and own and bool(self.probabilities[place] >= NAMED)

    def share(self, place: int) -> float:
        """Of a second phase, the share of the scan's line intensity that the candidate explains; 0 of a first one."""
        return round(self.unexplained * self.candidates.evidence[place].explained, 4) if self.phase == 2 else 0.0


def in_order(ranking: Ranking, leads: int) -> list[int]:
    """Places in a ranking, that of the candidate an answer leads with first, the others by probability."""
    return [leads, *(place for place in range(len(ranking.candidates)) if place != leads)]


def listed_matches(library: Library, ranking: Ranking, places: list[int], detail: bool, let_in: LetIn | None) -> list[Match]:
    """Candidates at these places as matches. let_in: what a user's elements let into the search; None: all."""
    return [_match(library, ranking, place, rank, detail, let_in) for rank, place in enumerate(places, 1)]


def _match(library: Library, ranking: Ranking, i: int, rank: int, detail: bool, let_in: LetIn | None) -> Match:
    found, row = ranking.candidates, int(ranking.candidates.rows[i])
    family = int(library.family[row])
    members = library.members(family)
    members = members if let_in is None else members[let_in.rows[members]]
    exchange = let_in.exchanges.get(row) if let_in is not None else None
    alike = members if exchange is None else _of_same_metals(library, members, row)
    shown = found.take([i])
    likely = ranking.states(i) if ranking.phase == 2 else ranking.probabilities[i] >= LIKELY
    if rank == 1 and likely:  # it will be drawn, looked at closely, refined
        shown = polish_cells(library, shown, ranking.scan.comparison)
    a, b, c = (round(float(value), 4) for value in shown.strain[0, :3])
    cell = strained(library.cell[row], shown.strain[0])
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
        refcode=refcode(str(library.id[row])),
        metals=metals_of(str(library.formula[row])),
        linkers=_linkers(library, row),
        framework=_framework(library, row),
        category=str(library.category[row]),
        strain=(a, b, c),
        fwhm=round(float(shown.fwhm[0]), 3),
        cell=_rounded(cell),
        library_cell=_rounded(library.cell[row]),
        undecided=undecided(library, alike) if alike.size > 1 else None,
        metal_exchanged=exchange,
        phase=ranking.phase,
        share=ranking.share(i),
        evidence=evidence_in_scan(found.evidence[i], ranking.scan.wavelength, library, row) if detail else None,
        lines=indexed_lines(library, shown, 0, scan) if detail or (rank == 1 and ranking.phase == 1) else None,
    )


def _linkers(library: Library, row: int) -> tuple[Linker, ...]:
    names, formulas = (getattr(library, field)[row].split(LINKER_SEPARATOR) for field in ("linkers", "linker_formulas"))
    formulas += [""] * (len(names) - len(formulas))
    return tuple(Linker(formula, name) for formula, name in zip(formulas, names, strict=False) if name)


def _framework(library: Library, row: int) -> str:
    """What all forms of an entry are called; as the entry itself where the library does not know frameworks."""
    numbers, names = library.level("framework")
    return str(names[int(numbers[row])]) if library.knows_levels else entry_name(library, row)


def _of_same_metals(library: Library, rows: NDArray[np.int64], row: int) -> NDArray[np.int64]:
    """Those of the rows whose metals are those of `row`: which of several are held says nothing of a metal that none of them has."""
    metals = metals_of(str(library.formula[row]))
    return np.array([other for other in rows.tolist() if metals_of(str(library.formula[other])) == metals], dtype=np.int64)


def _rounded(cell: Float64Array) -> Cell:
    a, b, c, alpha, beta, gamma = np.round(cell, 4).tolist()
    return a, b, c, alpha, beta, gamma
