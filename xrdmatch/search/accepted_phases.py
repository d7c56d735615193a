"""Phases that a user says are there: each is refined in what those before it leave, and the rest of the scan is searched for a further one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xrdmatch.library.reference_library import Library
from xrdmatch.notes import note
from xrdmatch.preprocessing.prepared_scan import PreparedScan
from xrdmatch.search.answer import Telling, Told, doubtful_notes
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.matches import Ranking, listed_matches
from xrdmatch.search.phases import weight_shares
from xrdmatch.search.pipeline import compare_and_refine
from xrdmatch.search.result import Match, Phase
from xrdmatch.search.second_phase import lines_left
from xrdmatch.search.verdict import Decision


@dataclass(frozen=True, eq=False)
class AcceptedPhases:
    """rankings: of each accepted phase, with that one candidate, compared with what those before it leave. left: share of the scan's line intensity
    that all of them leave."""

    rankings: tuple[Ranking, ...]
    left: float

    @property
    def candidates(self) -> Candidates:
        """All of them, in the order given."""
        first, *others = (ranking.candidates for ranking in self.rankings)
        for other in others:
            first = first.joined(other)
        return first


def accepted_rows(library: Library, texts: Sequence[str]) -> list[int]:
    """The library's rows for ids, refcodes or names, each once. Raises LibraryError where no entry is called so."""
    from xrdmatch.library.find_entries import entry_called  # not needed, and so not imported, for most scans

    return list(dict.fromkeys(entry_called(library, text.strip()).row for text in texts))


def accepted_phases(scan: PreparedScan, library: Library, rows: Sequence[int]) -> AcceptedPhases:
    """The entries `rows`, one at least, as phases of a scan."""
    rankings: list[Ranking] = []
    whole = max(float(scan.comparison.lines.sum()), 1e-30)
    rest, left = scan.comparison, 1.0
    for row in rows:
        found = compare_and_refine(Candidates.of(np.array([row]), np.zeros(1), rest.fwhm), library, rest)
        if rankings:
            rankings.append(replace(Ranking.of(found, np.ones(1), scan.remainder(rest)), phase=2, unexplained=left))
        else:
            rankings.append(Ranking.of(found, np.ones(1), scan))
        rest = lines_left(rest, found, library)
        left = float(rest.lines.sum()) / whole
    return AcceptedPhases(tuple(rankings), left)


def tell_accepted(library: Library, accepted: AcceptedPhases, further: Ranking | None, telling: Telling) -> Told:
    """The answer that accepted phases and the ranking of a further one amount to: a match, whose `second_matches` are the other accepted phases and
    then the candidates for the further one."""
    options = telling.options
    matches = [
        replace(listed_matches(library, ranking, [0], options.detail, telling.let_in)[0], phase=number)
        for number, ranking in enumerate(accepted.rankings, 1)
    ]
    number = len(matches) + 1
    others = [] if further is None else listed_matches(library, further, _places(further, options.top), options.detail, telling.let_in)
    others = [replace(match, phase=number) for match in others]
    there = further is not None and further.states(0)
    phases = _phases(library, accepted, [*matches, *others[:there]])
    rows = [int(row) for row in (*accepted.candidates.rows, *(further.best.rows if further is not None and there else ()))]
    reasons = [note("accepted", names=tuple(match.name for match in matches), left=round(accepted.left, 4))]
    reasons += [note("second_phase", name=phase.name, share=phase.share) for phase in phases[len(matches) :]]
    return Told(
        decision=Decision("match", tuple(reasons), "", ((matches[0].name, 1.0),)),
        phases=phases,
        matches=matches[:1],
        second_matches=[*matches[1:], *others],
        open_questions=tuple(match.undecided for match in matches if match.undecided),
        notes=doubtful_notes(library, zip(phases, rows, strict=True)),
    )


def _places(ranking: Ranking, top: int) -> list[int]:
    return list(range(min(top, len(ranking.candidates))))


def _phases(library: Library, accepted: AcceptedPhases, matches: Sequence[Match]) -> list[Phase]:
    """What is there, with shares of the signal: of the first phase what it takes of the whole scan, of the others what they explain of the rest."""
    after_first = accepted.rankings[1].unexplained if len(accepted.rankings) > 1 else accepted.left
    shares = [round(1.0 - after_first, 4), *(match.share for match in matches[1:])]
    rows = [int(np.flatnonzero(library.id.stored == match.id.encode())[0]) for match in matches]
    weights = weight_shares(library, accepted.rankings[0].scan, rows, shares)
    return [
        Phase(number, match.name, match.probability, share, weight, match.category, match)
        for number, (match, share, weight) in enumerate(zip(matches, shares, weights, strict=True), 1)
    ]
