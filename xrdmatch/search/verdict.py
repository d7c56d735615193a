"""The verdict on a scan, out of the probabilities of all candidates: how many are listed does not change it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xrdmatch.library.entry_names import entry_name
from xrdmatch.library.reference_library import Library
from xrdmatch.notes import Note, note
from xrdmatch.search.matches import Place, Ranking
from xrdmatch.search.result import LIKELY, NAMED, OFFERED
from xrdmatch.search.scan_quality import LINES_NAMED


@dataclass(frozen=True)
class Decision:
    """verdict, why, and the names it is about with their probabilities."""

    verdict: str
    reasons: tuple[Note, ...]
    headline: tuple[tuple[str, float], ...]


def decide(library: Library, places: list[Place], lines: int, says_unknown: bool, undecided: Note | None) -> Decision:
    """The verdict on ordered candidates.

    lines: number of clear lines. says_unknown: whether the model knows that nothing may fit. undecided: what the best family leaves open.
    """
    first = places[0][0]
    names, likely = named_shares(library, first), first.probabilities >= LIKELY
    best, same = names[0]
    verdict, reason, headline = "unknown", note("nothing_fits", closest=best), names[:1]
    if not says_unknown:
        verdict, reason = "match", note("classifier")
    elif lines < LINES_NAMED:
        reason = note("too_few_lines_to_name", lines=lines, closest=best)
    elif same >= NAMED:
        verdict, reason = "match", undecided or note("fits", name=best)
    elif likely.sum() > 1 and first.probabilities[likely].sum() >= OFFERED:
        headline = names[:1] + [pair for pair in names[1:] if pair[1] >= LIKELY]
        verdict, reason = "ambiguous", note("ambiguous", options=tuple(name for name, _ in headline))
    second = [
        note("second_phase", name=entry_name(library, int(ranking.candidates.rows[i])), share=ranking.share(i))
        for ranking, i in places
        if ranking.states(i)
    ]
    return Decision(verdict, (reason, *second), tuple(headline))


def named_shares(library: Library, ranking: Ranking) -> list[tuple[str, float]]:
    """Names with their probability, all candidates together that carry a name; in the order of their likeliest candidates."""
    shares: dict[str, float] = {}
    for row, chance in zip(ranking.candidates.rows.tolist(), ranking.probabilities.tolist(), strict=True):
        name = entry_name(library, row)
        shares[name] = shares.get(name, 0.0) + chance
    return [(name, float(np.round(share, 4))) for name, share in shares.items()]
