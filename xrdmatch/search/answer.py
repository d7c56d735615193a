"""Rankings to what an answer tells: verdict and level, phases, matches, what is not decided, what makes a named structure doubtful."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from xrdmatch.library.doubtful_entries import doubts_of
from xrdmatch.library.entry_names import entry_name
from xrdmatch.library.isotypes import isotypes, structure_type
from xrdmatch.library.metal_exchange import LetIn
from xrdmatch.library.reference_library import Library
from xrdmatch.notes import Note, note
from xrdmatch.search.ladder import FRAMEWORK, Headline, headline
from xrdmatch.search.matches import Ranking, in_order, listed_matches
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.phases import phases_of
from xrdmatch.search.result import LIKELY, Match, Phase
from xrdmatch.search.verdict import Decision, decide


@dataclass(frozen=True)
class Telling:
    """What telling an answer depends on beside the rankings.

    lines: number of clear lines. independent: how many of them are no orders of one spacing, all orders of one counted once. says_unknown: whether
    the model knows that nothing may fit. let_in: what a user's elements let into the search.
    """

    lines: int
    independent: int
    says_unknown: bool
    options: SearchOptions
    let_in: LetIn | None = None


@dataclass(frozen=True)
class Told:
    """The parts of an answer that come out of the rankings; fields as those of `Identification`."""

    decision: Decision
    phases: list[Phase]
    matches: list[Match]
    second_matches: list[Match]
    open_questions: tuple[Note, ...]
    notes: list[Note]

    def without_lines(self) -> Told:
        """The same, as it is kept where nobody looks at the lines of the best match."""
        phases = [replace(phase, match=replace(phase.match, lines=None)) for phase in self.phases]
        return replace(self, phases=phases, matches=[replace(match, lines=None) for match in self.matches])


def tell(library: Library, rankings: tuple[Ranking, Ranking | None], telling: Telling) -> Told:
    """The answer that the rankings of a first phase, and of a second one where it was looked for, amount to."""
    (first, second), options = rankings, telling.options
    best = headline(library, first)
    leads = int(first.candidates.rows[best.leads])
    if second is not None and library.family[second.candidates.rows[0]] == library.family[leads]:
        second = None  # it was looked for beside a likelier form of another framework
    matches = listed_matches(library, first, in_order(first, best.leads)[: options.top], options.detail, telling.let_in)
    others = [] if second is None else listed_matches(library, second, _beside(library, second, leads)[: options.top], options.detail, telling.let_in)
    decision = decide(best, (telling.lines, telling.independent), telling.says_unknown, matches[0].undecided or _isotypes(library, leads, best.name))
    phases = phases_of(library, decision, best.leads, (first, second), [*matches[:1], *others[:1]])
    there = list(zip(phases, [leads, *([] if second is None else [int(second.candidates.rows[0])])], strict=False))
    types = [one for phase, row in there if (one := _isotypes(library, row, phase.name))]
    reasons = (*decision.reasons, *(note("second_phase", name=phase.name, share=phase.share) for phase in phases[1:]))
    return Told(
        decision=replace(decision, reasons=reasons),
        phases=phases,
        matches=matches,
        second_matches=others,
        open_questions=(*_open_forms(library, first, best, phases), *(phase.match.undecided for phase in phases if phase.match.undecided), *types),
        notes=[
            *(phase.match.metal_exchanged.note(phase.name) for phase in phases if phase.match.metal_exchanged is not None),
            *(one for one in types if one not in reasons),
            *doubtful_notes(library, there),
        ],
    )


def doubtful_notes(library: Library, phases: Iterable[tuple[Phase, int]]) -> list[Note]:
    """What speaks against the structures of phases with these rows of the library."""
    return [note("doubtful_structure", name=phase.name, reason="; ".join(why)) for phase, row in phases if (why := doubts_of(library, row))]


def _beside(library: Library, second: Ranking, leads: int) -> list[int]:
    """Places of candidates for a second phase, without those of the first one's family."""
    return [int(place) for place in np.flatnonzero(library.family[second.candidates.rows] != library.family[leads])]


def _isotypes(library: Library, row: int, name: str) -> Note | None:
    """Compounds of the entry's structure type with other metals and nearly its cell, which a scan hardly tells from it."""
    found = isotypes(library, row)
    return note("isotypes", name=name, type=structure_type(str(library.title[row])), compounds=found) if found else None


def _open_forms(library: Library, first: Ranking, best: Headline, phases: list[Phase]) -> tuple[Note, ...]:
    """Which forms of a framework an answer leaves open, where its level is no finer."""
    if best.level != FRAMEWORK or not phases:
        return ()
    rows = [int(first.candidates.rows[place]) for place in best.groups[0].places if first.probabilities[place] >= LIKELY]
    return (note("undecided_form", name=entry_name(library, rows[0]), options=tuple(str(library.id[row]) for row in rows)),) if rows else ()
