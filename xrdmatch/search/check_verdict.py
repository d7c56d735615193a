"""The verdict of `check`: pure, present, absent or unclear, how likely it is right, and why, what a person should look at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xrdmatch.library.common_names import stem
from xrdmatch.notes import Note, note
from xrdmatch.search.check_result import ABSENT, GOOD, PRESENT, PURE, UNCLEAR, Expected
from xrdmatch.search.further_lines import FurtherLines

#: Probability from which an expected framework is said to be there, and below which it is said not to be. The first is the lowest, in steps of 0.05,
#: at which no level of the simulated scans that the weights are fitted to takes more than 2 % of decoys for what was expected.
THERE, GONE = 0.6, 0.3
#: Change of the cell's volume, as a share, that a person should look at.
SWOLLEN = 0.02
#: Share of strong lines missing, of a framework that is there, that a person should look at.
MANY_MISSING = 0.25


@dataclass(frozen=True, eq=False)
class Findings:
    """What a verdict is made of. lines: all of the scan, with how surely each is foreign. limit: percent. explained: share of the line intensity.
    like: what else the scan looks like, with its probability."""

    expected: Sequence[Expected]
    lines: FurtherLines
    limit: float | None
    explained: float
    like: tuple[str, float] | None


@dataclass(frozen=True)
class Decision:
    """probability: that the verdict is right; of unclear, that all that was expected is there."""

    verdict: str
    probability: float
    reasons: tuple[Note, ...]

    @property
    def good(self) -> bool:
        return self.verdict in GOOD


def decided(found: Findings) -> Decision:
    """All of what was expected has to be there."""
    chances = [one.probability for one in found.expected]
    worst = found.expected[int(np.argmin(chances))]
    all_there = float(np.prod(chances))
    if min(chances) < GONE:
        return Decision(ABSENT, round(1.0 - worst.probability, 4), (_absent(worst, found), *_missing([replace(worst, missing_reason=None)])))
    if min(chances) < THERE:
        return Decision(UNCLEAR, round(all_there, 4), (_unclear(worst, found), *_missing([worst])))
    names = tuple(one.name for one in found.expected)
    further = found.lines.listed()
    first = _to_look_at(found.expected)
    if further.height.size == 0:
        limit = note("nothing_else", limit=found.limit) if found.limit is not None else note("nothing_else_visible")
        return Decision(PURE, round(all_there, 4), (*first, note("expected_there", names=names, explained=found.explained), limit))
    strongest = int(further.height.argmax())
    told = note("further_lines", lines=further.height.size, height=float(further.height[strongest]))
    return Decision(PRESENT, round(all_there, 4), (*first, note("expected_there", names=names, explained=found.explained), told))


def _to_look_at(expected: Sequence[Expected]) -> tuple[Note, ...]:
    """What a person should look at though the framework is there."""
    told: list[Note] = []
    for one in expected:
        if abs(one.volume_change) >= SWOLLEN:
            told.append(note("cell_differs", name=one.name, change=one.volume_change))
        if one.another_form:
            told.append(note("another_form", name=one.name, form=stem(one.match.id)))
        evidence = one.match.evidence
        if evidence and len(evidence.missing) > MANY_MISSING * (len(evidence.matched) + len(evidence.missing)):
            told += _missing([one])
    return tuple(told)


def _missing(expected: Sequence[Expected]) -> tuple[Note, ...]:
    told = []
    for one in expected:
        missing = one.match.evidence.missing if one.match.evidence else []
        if missing:
            strongest = sorted(missing, key=lambda line: -line[4])[:4]
            told.append(note("lines_missing", lines=len(missing), angles=tuple(line[3] for line in strongest)))
        told += [one.missing_reason] if one.missing_reason else []
    return tuple(told)


def _absent(worst: Expected, found: Findings) -> Note:
    like = found.like[0] if found.like else ""
    return note("expected_absent", name=worst.name, like=like)


def _unclear(worst: Expected, found: Findings) -> Note:
    like = found.like[0] if found.like else ""
    return note("expected_unclear", name=worst.name, probability=worst.probability, like=like)
