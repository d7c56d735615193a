"""The answer for one scan: its verdict, why, and the ranked matches."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.library.metal_exchange import MetalExchange
from xrdmatch.notes import Note, note
from xrdmatch.search.candidates import Evidence
from xrdmatch.search.indexed_lines import Indexed
from xrdmatch.search.sample import Sample
from xrdmatch.version import __version__

#: Probability from which one framework is named, or a second phase said to be there, and that several frameworks have to reach together, each at
#: least LIKELY, to be offered as alternatives. Even odds: what is said is right more often than not.
NAMED, OFFERED, LIKELY = 0.5, 0.5, 0.1
#: Lines that a second phase must have to itself to be said to be there.
OWN_LINES = 2

#: a, b, c in angstrom, alpha, beta, gamma in degrees.
Cell = tuple[float, float, float, float, float, float]
_NO_CELL: Cell = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


#: Fields of an answer that its JSON has in other words, or not at all.
_NOT_IN_JSON = frozenset(("pattern", "measured", "reasons", "level", "headline", "open_questions"))


def sentence_of(of: Note | None) -> str:
    """A note in words; empty without one."""
    from xrdmatch.report.phrases import sentence

    return sentence(of) if of is not None else ""


class Reasoned:
    """An answer with its `reasons`, told in words and as a code."""

    reasons: tuple[Note, ...]

    @property
    def reason(self) -> str:
        """Why this verdict, in words."""
        return "; ".join(sentence_of(one) for one in self.reasons)

    @property
    def reason_code(self) -> str:
        """The code of the first reason, such as "fits" or "too_few_lines"."""
        return self.reasons[0].code if self.reasons else ""


def _open_question(of: Note) -> dict[str, Any]:
    from xrdmatch.report.phrases import open_question

    return open_question(of)


@dataclass(frozen=True)
class Linker:
    """A linker by formula and name."""

    formula: str
    name: str


@dataclass(frozen=True)
class Match:
    """One ranked family, through its best entry. shift in degrees; strain of a, b, c; fwhm in degrees. cell: refined; library_cell: as published.

    rank: among the candidates of its phase. framework: what all forms of it are called. undecided: what powder diffraction leaves open within the
    family. metal_exchanged: which metals the entry stands in for, where it has none that was asked for. phase 2, or more beside accepted ones:
    found in the lines that those before it leave, with the probability that it is there beside them; share: of the scan's line intensity that it
    explains. evidence, lines: at the
    scan's wavelength and angles.
    """

    rank: int
    id: str
    name: str
    formula: str
    family: str
    members: list[str]
    similarity: float
    probability: float
    shift: float
    doi: str = ""
    refcode: str = ""
    metals: tuple[str, ...] = ()
    linkers: tuple[Linker, ...] = ()
    framework: str = ""
    category: str = ""
    strain: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fwhm: float = 0.0
    cell: Cell = _NO_CELL
    library_cell: Cell = _NO_CELL
    undecided: Note | None = None
    metal_exchanged: MetalExchange | None = None
    phase: int = 1
    share: float = 0.0
    evidence: Evidence | None = field(default=None, repr=False)
    lines: Indexed | None = field(default=None, repr=False, compare=False)

    @property
    def note(self) -> str:
        """That the metal is another one, and what powder diffraction leaves open within the family, in words; empty where nothing."""
        exchanged = self.metal_exchanged.note(self.name) if self.metal_exchanged is not None else None
        return "; ".join(sentence_of(one) for one in (exchanged, self.undecided) if one is not None)

    def to_json(self, evidence: bool = False) -> dict[str, Any]:
        """Plain values, with the lines of the `evidence` where these are asked for."""
        data = {name: value for name, value in vars(self).items() if name not in ("lines", "evidence", "undecided")}
        data |= {"members": list(self.members), "metals": list(self.metals), "linkers": [asdict(one) for one in self.linkers], "note": self.note}
        data |= {"metal_exchanged": None if self.metal_exchanged is None else self.metal_exchanged.to_json()}
        data |= {"cell": cell_json(self.cell), "library_cell": cell_json(self.library_cell)}
        return {**data, "evidence": asdict(self.evidence) if self.evidence else None} if evidence else data


@dataclass(frozen=True)
class Phase:
    """One of the substances that an answer says are there.

    name, probability: as the answer has them at its level. share: of the scan's line intensity that it explains. weight_share: roughly, by weight, of
    what was identified; None for a single phase, or where the library does not know its absolute scale. category: the library's, or empty.
    """

    phase: int
    name: str
    probability: float
    share: float
    weight_share: float | None
    category: str
    match: Match = field(repr=False)

    def to_json(self, evidence: bool = False) -> dict[str, Any]:
        """Plain values."""
        return {**{name: value for name, value in vars(self).items() if name != "match"}, "match": self.match.to_json(evidence)}


@dataclass(frozen=True)
class Hint:
    """What an unknown may be like.

    kind: "isoreticular". of: the entry's name; net: its RCSR symbol. cell: a, b, c in angstrom, alpha, beta, gamma in degrees, refined against the
    scan. scale: of the lengths `axes` ("abc", "ab" or "c") against that entry's. similarity: 0 to 1, of the patterns on a logarithmic axis of 1/d.
    probability: that the net is right.
    """

    kind: str
    of: str
    net: str
    cell: Cell
    scale: float
    axes: str
    similarity: float
    probability: float


@dataclass(frozen=True)
class Identification(Reasoned):
    """The answer for one file. docs/commands.md lists the fields.

    accepted: ids of the entries that the user said are there; then `matches` holds the first of them, and `second_matches` the others and what may
    be there beside all of them.

    reasons: why this verdict, the first one first. level: "form", "framework" or "composition", the finest one that is likely enough, or empty.
    headline: names of the best answer, several where it is ambiguous, with the probability of each: all candidates of one framework together, however
    many are listed. phases: what the answer says is there. matches: candidates for the first phase, ranked; second_matches: for a second one, whether
    it is said to be there or not. open_questions: what powder diffraction does not decide. pattern: the scan as it was compared, filtered where that
    was called for; measured: as it came, with the wavelength that was taken. sample: what the scan says of the sample itself.
    hint: what an unknown may be like.
    """

    file: str
    verdict: str
    reasons: tuple[Note, ...] = ()
    headline: tuple[tuple[str, float], ...] = ()
    level: str = ""
    wavelength: float | None = None
    wavelength_source: str = ""
    filtered: bool = False
    filter_reason: Note | None = None
    noise: float | None = None
    provider: str = ""
    model: str = ""
    version: str = __version__
    seconds: float = 0.0
    phases: list[Phase] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    second_matches: list[Match] = field(default_factory=list)
    open_questions: tuple[Note, ...] = ()
    sample: Sample = field(default_factory=Sample)
    hint: Hint | None = None
    accepted: tuple[str, ...] = ()
    notes: list[Note] = field(default_factory=list)
    pattern: Pattern | None = field(default=None, repr=False)
    measured: Pattern | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The best answer's name, or the closest one's where nothing is named; empty where there is none."""
        return self.headline[0][0] if self.headline else ""

    @property
    def probability(self) -> float:
        """That of the best answer: all candidates that carry its name together. What the verdict goes by."""
        return self.headline[0][1] if self.headline else 0.0

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, the scan with what was found in it, and the ranked matches."""
        from xrdmatch.report.notebook import identification_html

        return identification_html(self)

    def _repr_png_(self) -> bytes | None:
        """The same as a picture; None where matplotlib is absent."""
        from xrdmatch.report.notebook import identification_png

        return identification_png(self)

    def to_json(self, evidence: bool = False) -> dict[str, Any]:
        """Plain values, as the command line prints them; `evidence` adds each match's lines."""
        data = {name: value for name, value in vars(self).items() if name not in _NOT_IN_JSON}
        first = {"file": self.file, "verdict": self.verdict, "reason": self.reason, "reason_code": self.reason_code}
        best = {"name": self.name, "probability": round(self.probability, 4), "level": self.level or None}
        words = {
            "not_decided": [_open_question(one) for one in self.open_questions],
            "phases": [phase.to_json(evidence) for phase in self.phases],
            "second_matches": [match.to_json(evidence) for match in self.second_matches],
            "filter_reason": sentence_of(self.filter_reason),
            "notes": [{"code": one.code, "text": sentence_of(one)} for one in self.notes],
            "matches": [match.to_json(evidence) for match in self.matches],
            "accepted": list(self.accepted),
            "sample": asdict(self.sample),
            "hint": {**asdict(self.hint), "cell": cell_json(self.hint.cell)} if self.hint else None,
        }
        return {**first, **best, **data, **words}


def cell_json(cell: Cell) -> dict[str, float] | None:
    """A cell by the names of its parameters; None where it is not known."""
    return dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell, strict=True)) if cell != _NO_CELL else None


def error_result(file: str, message: str, model: str = "") -> Identification:
    """What a file that cannot be read gets instead of an answer."""
    return Identification(file, "error", (note("error", message=message),), model=model)
