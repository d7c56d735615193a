"""What is said of one answer, in the order in which a chemist asks: what it is, by what it was found, what is left open, what else is there.

Plain text without any layout, so that the terminal and the page say the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xrdmatch.library.common_names import stem
from xrdmatch.report.calculated_pattern import unexplained
from xrdmatch.report.phrases import cell_text, formula_text, hint_text, percent, sample_text, sentence, wavelength_text
from xrdmatch.search.result import LIKELY

if TYPE_CHECKING:
    from xrdmatch.search.result import Identification, Match, Phase

#: Probability from which a candidate is listed: below it there is nothing to weigh.
LISTED_FROM = 0.01
#: Angles, and forms of a framework, that are listed before "and n more".
ANGLES, FORMS = 4, 4
#: Reasons that the rest of the card says already.
_SAID = frozenset(("fits", "form_open", "second_phase", "undecided_metal", "undecided_metal_and_linker", "undecided_linker"))
#: File names of supporting information, which name a journal and not a structure.
_SUPPORTING_FILE = re.compile(r"_si_?\d|gsi\d{6}", re.IGNORECASE)
#: Entries between the known forms of a framework that breathes (library.breathing): the axis and its length.
_BETWEEN_FORMS = re.compile(r"~([abc])([\d.]+)$")


@dataclass(frozen=True)
class Fact:
    """Parts that stand beside each other where there is room, behind a label where there is one. kind: what they are about."""

    kind: str
    parts: tuple[str, ...]
    label: str = ""


@dataclass(frozen=True)
class Row:
    """Candidates of one framework. probability: of all of them together; forms: its matches, likeliest first."""

    name: str
    probability: float
    forms: tuple[Match, ...] = field(repr=False)

    @property
    def best(self) -> Match:
        return self.forms[0]


def rows(result: Identification, matches: Sequence[Match]) -> list[Row]:
    """The ranked candidates with those of one framework together, likeliest first; the one that the answer leads with stays in front."""
    together: dict[str, list[Match]] = {}
    for match in matches:
        together.setdefault(match.framework or match.name, []).append(match)
    found = [_row(result, name, forms) for name, forms in together.items()]
    return [*found[:1], *sorted(found[1:], key=lambda row: -row.probability)]


def _row(result: Identification, framework: str, forms: list[Match]) -> Row:
    listed = sum(match.probability for match in forms)
    # Forms that are not listed count as well: the answer's own figure knows them.
    told = next((chance for name, chance in result.headline if name in (framework, forms[0].name)), 0.0) if forms[0].phase == 1 else 0.0
    return Row(framework if len(forms) > 1 else forms[0].name, min(max(listed, told), 1.0), tuple(forms))


def title(result: Identification) -> str:
    """`HKUST-1  99 %`, `HKUST-1 55 % or UiO-66 30 %`; the verdict where nothing is named."""
    if result.verdict not in ("match", "ambiguous") or not result.headline:
        return result.verdict.upper()
    if result.accepted:
        return f"{result.headline[0][0]}, accepted"
    gap = "  " if len(result.headline) == 1 else " "
    return " or ".join(f"{name}{gap}{percent(chance)}" for name, chance in result.headline)


def facts(result: Identification, subscripts: bool = True) -> list[Fact]:
    """All that is said under the title. subscripts: whether formulas may have them."""
    if result.verdict == "error":
        return [Fact("reason", (result.reason.removeprefix(f"{result.file}: "),))]
    told = []
    if not result.phases or result.reason_code not in _SAID:
        told.append(Fact("reason", (_reason(result),)))
    if result.phases:
        match = result.phases[0].match
        told += [Fact("substance", substance(match, subscripts)), Fact("evidence", _evidence(result, match))]
        told += [
            Fact("exchanged", (exchange_text(match),)),
            *(Fact("open", (sentence(one),), "not decided") for one in result.open_questions),
        ]
        told += also_there(result)
    if said := hint_text(result):
        told.append(Fact("hint", (f"{said}. Not a match",), "hint"))
    if (following := _next(result)) is not None:
        told.append(following)
    told.append(Fact("scan", _scan(result)))
    return [Fact(fact.kind, parts, fact.label) for fact in told if (parts := tuple(filter(None, fact.parts)))]


def _reason(result: Identification) -> str:
    """Why; of an unknown, also what the closest entry lacks."""
    best = result.matches[0] if result.matches else None
    if result.reason_code != "nothing_fits" or best is None or best.evidence is None:
        return result.reason
    lacks, extra = len(best.evidence.missing), len(best.evidence.extra)
    told = [f"lacks {_count(lacks, 'strong line')}"] * bool(lacks) + [f"does not explain {_count(extra, 'line')} of the scan"] * bool(extra)
    return result.reason + (f", which {' and '.join(told)}" if told else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def substance(match: Match, subscripts: bool = True) -> tuple[str, ...]:
    """Formula and what it is made of, entry, DOI."""
    formula = formula_text(match.formula, subscripts).replace("\n", "")
    made = made_of(match)
    return (", ".join(filter(None, (formula, made))), entry_text(match), f"doi {match.doi}" if match.doi else "")


def made_of(match: Match) -> str:
    """`Cu trimesate`: metals and linkers, where the name does not say them already and the linkers have names."""
    linkers = [linker.name for linker in match.linkers if linker.formula not in linker.name]
    if not linkers or all(linker in match.name for linker in linkers):
        return ""
    return " ".join(filter(None, ("/".join(match.metals), " + ".join(linkers))))


def exchange_text(match: Match) -> str:
    """`with Fe for Cr: not in the library`, of a framework that was let in for a list of elements."""
    other = match.metal_exchanged
    return "" if other is None else f"with {' or '.join(other.wanted)} for {', '.join(other.held)}: not in the library"


def entry_text(match: Match) -> str:
    """`CSD FIQCEN and 29 more with the same pattern`; names of supporting files give way to the DOI that follows."""
    supporting = bool(match.doi and not match.refcode and _SUPPORTING_FILE.search(match.id))
    between = _BETWEEN_FORMS.search(match.id)
    entry = f"CSD {match.refcode}" if match.refcode else "" if supporting else f"entry {stem(match.id)}"
    entry = f"calculated form with {between[1]} = {between[2]} Å" if between else entry
    alike = len(match.members) - 1
    if not entry:
        return f"{alike + 1} entries with this pattern" if alike else ""
    return f"{entry} and {alike} more with the same pattern" if alike > 0 else entry


def _evidence(result: Identification, match: Match) -> tuple[str, ...]:
    """The refined cell, lines found, missing and extra, and what the scan says of the sample."""
    told = cell_text(match).split(", ")
    if (found := match.evidence) is not None:
        seen, missing = len(found.matched), len(found.missing)
        lines = [f"{seen} of {_count(seen + missing, 'strong line')} found"]
        lines += [f"missing {angles([line[3] for line in found.missing])}"] * bool(missing)
        extra = unexplained(found.extra, [phase.match for phase in result.phases[1:]])
        lines.append(f"extra {angles(extra)}" if extra else "none extra")
        told.append(", ".join(lines))
    return (*told, *sample_text(result).split(", "))


def angles(values: Sequence[float]) -> str:
    """The first few angles in degrees, and how many more."""
    more = len(values) - ANGLES
    return " ".join(f"{value:.2f}°" for value in values[:ANGLES]) + (f" and {more} more" if more > 0 else "")


def also_there(result: Identification) -> list[Fact]:
    """The phases beside the first one, or what may be."""
    if len(result.phases) > 1:
        shares = "; ".join(f"{phase.name} {percent(phase.share)}" for phase in result.phases)
        rough = any(phase.weight_share is not None for phase in result.phases)
        told = [Fact("phase", (f"{phase.name} {_sureness(result, phase)}", entry_text(phase.match)), "also there") for phase in result.phases[1:]]
        weights = f"roughly {_by_weight(result.phases)} (from intensities; texture and guests make this rough)" if rough else ""
        return [*told, Fact("shares", (shares,), "share of the signal"), *([Fact("shares", (weights,), "share by weight")] if rough else [])]
    likely = [f"{match.name} {percent(match.probability)}" for match in result.second_matches if match.probability >= LIKELY][:2]
    if likely:
        return [Fact("perhaps", (", ".join(likely),), "perhaps also there")]
    share = result.phases[0].share if result.phases else 0.0
    return [Fact("phase", (f"nothing found; {percent(share)} of the signal is explained",), "also there")]


def _sureness(result: Identification, phase: Phase) -> str:
    return "accepted" if phase.match.id in result.accepted else percent(phase.probability)


def _by_weight(phases: Sequence[Phase]) -> str:
    return "; ".join(f"{phase.name} {percent(phase.weight_share)}" for phase in phases if phase.weight_share is not None)


def _next(result: Identification) -> Fact | None:
    """That no other candidate is worth listing, where none is."""
    if not result.matches:
        return None
    if result.phases and len(listed(result)) < 2:
        return Fact("next", (f"nothing above {100 * LISTED_FROM:.0f} %",), "next")
    return None  # the table says it


def listed(result: Identification, least: float = LISTED_FROM) -> list[Row]:
    """The candidates worth listing."""
    return [row for row in rows(result, result.matches) if row.probability >= least]


def forms_text(row: Row) -> str:
    """`forms: EFEGOM 40 %, DONNAW 7 %`, of a framework with several."""
    if len(row.forms) < 2:
        return ""
    shown = ", ".join(f"{stem(form.id)} {percent(form.probability)}" for form in row.forms[:FORMS])
    more = len(row.forms) - FORMS
    return f"forms: {shown}" + (f" and {more} more" if more > 0 else "")


def _scan(result: Identification) -> tuple[str, str]:
    """Wavelength and where it is from; whether the scan was filtered, and its noise."""
    filtered = "" if result.filter_reason is None else "filtered" if result.filtered else "not filtered"
    if filtered and result.noise is not None:
        filtered += f" (noise {100 * result.noise:.2g} %)"
    return wavelength_text(result), filtered
