"""The answer of `check` for one scan: is it what was expected, and is it pure?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.notes import Note, note
from xrdmatch.search.result import Match, Reasoned, cell_json, sentence_of
from xrdmatch.search.sample import Sample
from xrdmatch.version import __version__

PURE, PRESENT, ABSENT, UNCLEAR, UNUSABLE, ERROR = "pure", "present", "absent", "unclear", "unusable", "error"
VERDICTS = (PURE, PRESENT, ABSENT, UNCLEAR, UNUSABLE, ERROR)
#: Those after which a synthesis counts as done, and those that ask for a person.
GOOD = frozenset((PURE, PRESENT))


@dataclass(frozen=True)
class Expected:
    """One of the frameworks that were expected.

    text: as it was given. name: what it is called. probability: that it is there. match: its form that fits best, refined; evidence at the scan's own
    angles. volume_change: of the refined cell against that form's, as a share. another_form: whether that form is of another pattern than the entry
    that was named. missing_reason: the likeliest common reason of missing lines.
    """

    text: str
    name: str
    probability: float
    match: Match
    volume_change: float
    another_form: bool = False
    missing_reason: Note | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        match, found = self.match, self.match.evidence
        lines = {
            kind: [{"hkl": list(line[:3]), "two_theta": line[3], "height": line[4]} for line in (getattr(found, kind) if found else [])]
            for kind in ("matched", "missing")
        }
        told = {"text": self.text, "name": self.name, "probability": self.probability, "id": match.id, "form": match.name, "refcode": match.refcode}
        told |= {"formula": match.formula, "doi": match.doi, "similarity": match.similarity, "shift": match.shift, "fwhm": match.fwhm}
        told |= {"cell": cell_json(match.cell), "library_cell": cell_json(match.library_cell), "volume_change": self.volume_change}
        return {**told, "another_form": self.another_form, **lines, "missing_reason": sentence_of(self.missing_reason) or None}


@dataclass(frozen=True)
class FurtherLine:
    """A line that nothing expected explains. two_theta: degrees in the scan; height: percent of the strongest; probability: that it is foreign.
    phase: what the library says it is, or empty."""

    two_theta: float
    height: float
    probability: float
    phase: str = ""


@dataclass(frozen=True)
class FurtherPhase:
    """What further lines are likely of. share: of the scan's line intensity. category: the library's, or empty."""

    name: str
    id: str
    probability: float
    share: float
    category: str = ""


@dataclass(frozen=True)
class CheckResult(Reasoned):
    """The answer for one file. docs/check.md lists the fields.

    verdict: one of `VERDICTS`. probability: that the verdict is right; of unclear, that all that was expected is there. reasons: why, what a person
    should look at first. explained: share of the line intensity. detection_limit: height of a second phase's strongest line, percent of the scan's
    strongest, below which it may not be seen; None where even a large one could hide.
    """

    file: str
    verdict: str
    expected: tuple[Expected, ...] = ()
    asked: tuple[str, ...] = ()
    probability: float = 0.0
    reasons: tuple[Note, ...] = ()
    explained: float | None = None
    further_lines: tuple[FurtherLine, ...] = ()
    further_phases: tuple[FurtherPhase, ...] = ()
    detection_limit: float | None = None
    looks_like: tuple[str, float] | None = None
    sample: Sample = field(default_factory=Sample)
    wavelength: float | None = None
    wavelength_source: str = ""
    filtered: bool = False
    noise: float | None = None
    model: str = ""
    version: str = __version__
    seconds: float = 0.0
    notes: tuple[Note, ...] = ()
    measured: Pattern | None = field(default=None, repr=False, compare=False)

    @property
    def good(self) -> bool:
        """Whether what was expected is there."""
        return self.verdict in GOOD

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the command line prints them."""
        first = {"file": self.file, "verdict": self.verdict, "probability": self.probability, "asked": list(self.asked)}
        said = {"reason": self.reason, "reason_code": self.reason_code, "expected": [one.to_json() for one in self.expected]}
        lines = {"explained": self.explained, "further_lines": [asdict(one) for one in self.further_lines]}
        lines |= {"further_phases": [asdict(one) for one in self.further_phases], "detection_limit": self.detection_limit}
        like = {"name": self.looks_like[0], "probability": self.looks_like[1]} if self.looks_like else None
        scan = {name: getattr(self, name) for name in ("wavelength", "wavelength_source", "filtered", "noise", "model", "version", "seconds")}
        notes = [{"code": one.code, "text": sentence_of(one)} for one in self.notes]
        return {**first, **said, **lines, "looks_like": like, "sample": asdict(self.sample), **scan, "notes": notes}


def error_result(file: str, message: str, asked: Sequence[str] = (), model: str = "") -> CheckResult:
    """What a file that cannot be read gets instead of an answer."""
    return CheckResult(file, ERROR, asked=tuple(asked), reasons=(note("error", message=message),), model=model)
