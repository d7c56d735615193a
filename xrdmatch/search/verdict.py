"""The verdict on a scan, out of the probabilities of all candidates: how many are listed does not change it."""

from __future__ import annotations

from dataclasses import dataclass

from xrdmatch.notes import Note, note
from xrdmatch.search.ladder import COMPOSITION, FRAMEWORK, Headline
from xrdmatch.search.result import LIKELY, OFFERED
from xrdmatch.search.scan_quality import LINES_NAMED


@dataclass(frozen=True)
class Decision:
    """verdict, why, the level, and the names it is about with their probabilities."""

    verdict: str
    reasons: tuple[Note, ...]
    level: str
    headline: tuple[tuple[str, float], ...]

    @property
    def names(self) -> bool:
        """Whether the answer says that something is there."""
        return self.verdict in ("match", "ambiguous")


def decide(best: Headline, lines: tuple[int, int], says_unknown: bool, undecided: Note | None) -> Decision:
    """The verdict on a first phase.

    lines: number of clear lines, and of these that are no orders of one spacing, which count once. says_unknown: whether the model knows that nothing
    may fit. undecided: what the best family leaves open.
    """
    told = tuple((group.name, group.probability) for group in best.groups)
    if not says_unknown:
        return Decision("match", (note("classifier"),), best.level, told[:1])
    clear, independent = lines
    if clear < LINES_NAMED:
        return Decision("unknown", (note("too_few_lines_to_name", lines=clear, closest=told[0][0]),), "", told[:1])
    if independent < 2:
        return Decision("unknown", (note("one_spacing", lines=clear, closest=told[0][0]),), "", told[:1])
    if best.level == COMPOSITION:
        options = tuple(group.name for group in best.groups if group.probability >= LIKELY) or (best.groups[0].name,)
        return Decision("ambiguous", (note("composition", name=best.name, options=options),), best.level, ((best.name, best.probability),))
    if best.level:
        reason = undecided or note("form_open" if best.level == FRAMEWORK else "fits", name=best.name)
        return Decision("match", (reason,), best.level, told)
    likely = [pair for pair in told if pair[1] >= LIKELY]
    if len(likely) > 1 and sum(chance for _, chance in likely) >= OFFERED:
        return Decision("ambiguous", (note("ambiguous", options=tuple(name for name, _ in likely)),), "", tuple(likely))
    return Decision("unknown", (note("nothing_fits", closest=best.name, lines=clear),), "", told[:1])
