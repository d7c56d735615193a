"""The page of `check`: scans as a plate or a list, and each with what was expected laid over it and the peaks that are left over."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from xrdmatch.library.common_names import stem
from xrdmatch.report import card
from xrdmatch.report.calculated_pattern import Overlay, laid_over
from xrdmatch.report.card import Fact
from xrdmatch.report.checked import CSV_EXPECTED, CSV_FIELDS, CSV_FURTHER, STYLES, csv_row, strong_lines
from xrdmatch.report.html_page import Cell, curve, first_cells, match_data, probability_bar, sparkline, table_row
from xrdmatch.report.page_frame import ScanPage
from xrdmatch.report.phrases import cell_text, percent, sample_text, sentence, wavelength_text
from xrdmatch.report.plate import Filled, plate_markup, wells_of
from xrdmatch.search.check_result import CheckResult, Expected, FurtherLine

#: Reasons that a person should look at first though what was expected is there.
LOOK_AT = frozenset(("cell_differs", "another_form", "lines_missing", "missing_texture", "missing_guests", "missing_width"))


@dataclass
class CheckPage(ScanPage):
    """The page of `check`. files, said: of each scan, for the plate."""

    files: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    ORDER: ClassVar[Sequence[str]] = tuple(STYLES)
    KIND: ClassVar[str] = " checked"
    HEADS: ClassVar[Sequence[str]] = ("Scan", "Verdict", "Expected", ">Probability", ">Limit", ">Further peaks", "Pattern.")

    def add(self, result: CheckResult) -> None:
        """Take what the page shows of an answer; the answer itself is not kept."""
        view = laid_over(result.measured, [one.match for one in result.expected]) if result.measured is not None else None
        self.files.append(result.file)
        self.said.append(f"{expected_name(result)}, {result.verdict}" + (f" {percent(result.probability)}" if result.expected else ""))
        self.keep(result.verdict, expected_name(result), summary_row(result, self.place, view), scan_data(result, view, self.points))

    def choices(self) -> Counter[str]:
        """What was expected of several scans, where it differs."""
        return Counter({name: number for name, number in self.names.items() if 1 < number < len(self.rows)})

    def plate(self) -> str:
        """The scans at their places where they are named after wells."""
        wells = wells_of(self.files)
        return plate_markup({well: Filled(place, self.verdicts[place], self.said[place]) for place, well in wells.items()}) if wells else ""


def expected_name(result: CheckResult) -> str:
    """What was expected, by its names where they are known."""
    return " + ".join(one.name for one in result.expected) or " + ".join(result.asked)


def summary_row(result: CheckResult, place: int, view: Overlay | None) -> str:
    """One row of the overview; it says all that matters without any script."""
    limit = result.detection_limit
    highest = max((line.height for line in result.further_lines), default=0.0)
    number = len(result.further_lines)
    under = " · ".join(stem(one.match.id) for one in result.expected) if result.good else _reason(result)
    likely = probability_bar(result.probability, percent(result.probability)) if result.expected else ""
    right = ' class="number"'
    cells: list[Cell] = [
        *first_cells(result.file, result.verdict, place, view),
        (expected_name(result).lower(), f"<b>{html.escape(expected_name(result))}</b><small>{html.escape(under)}</small>", ""),
        (f"{result.probability:.6f}" if result.expected else "", likely, right),
        ("" if limit is None else limit, "" if limit is None else f"{limit:.3g} %", right),
        (f"{highest:.3f}" if number else "", f"{number} (up to {highest:.3g} %)" if number else "", right),
        (place, sparkline(view) if view is not None else "", ' class="spark"'),
    ]
    return table_row(cells, result.verdict, expected_name(result), place)


def scan_data(result: CheckResult, view: Overlay | None, points: int) -> dict[str, Any]:
    """What the page's script draws and lists of one scan."""
    columns = (*CSV_FIELDS, *CSV_EXPECTED, *CSV_FURTHER)
    data: dict[str, Any] = {
        "file": result.file,
        "verdict": result.verdict,
        "title": _title(result),
        "name": expected_name(result),
        "facts": [{"kind": fact.kind, "label": fact.label, "parts": list(fact.parts)} for fact in facts(result)],
        "doi": "",
        "notes": [sentence(one) for one in result.notes if one.code != "wavelength_assumed"],  # which the facts say
        "further": [_further(line) for line in result.further_lines],
        "row": {name: "" if value is None else value for name, value in zip(columns, csv_row(result), strict=True)},
    }
    if view is None:
        return data
    told: dict[str, Any] = {"wavelength": result.wavelength, "scan": curve(view, points), "peaks": []}
    return data | told | {"matches": [_expected(one, place, view) for place, one in enumerate(result.expected)]}


def _title(result: CheckResult) -> str:
    """What was expected and how sure the verdict is; an absent framework is not headed by a bare percentage, which would read as how likely it is."""
    if not result.expected:
        return ""
    return f"{expected_name(result)}{' not there,' if result.verdict == 'absent' else ' '} {percent(result.probability)}"


def _further(line: FurtherLine) -> dict[str, Any]:
    return {"angle": line.two_theta, "height": line.height, "chance": percent(line.probability), "phase": line.phase}


def _expected(one: Expected, place: int, view: Overlay) -> dict[str, Any]:
    """An expected framework as the page draws it."""
    scales = {id(match): scale for match, scale in zip(view.phases, view.scales, strict=True)}
    told = {"name": one.name, "probability": one.probability, "likely": percent(one.probability), "forms": "", "named": True, "extra": []}
    return match_data(one.match, scales.get(id(one.match)), view) | told | {"phase": min(place, 1) + 1}


def facts(result: CheckResult) -> list[Fact]:
    """All that is said under the title: what to look at, why, the figures."""
    if result.verdict == "error":
        return [Fact("reason", (_reason(result),))]
    first = [one for one in result.reasons if one.code in LOOK_AT and result.good]
    told = [Fact("open", (_capital(sentence(one)),), "look at") for one in first]
    told += [Fact("reason", (_capital(sentence(one)),)) for one in result.reasons if one not in first]
    told += [_about(one) for one in result.expected]
    told += [
        Fact("phase", (f"{one.name} {percent(one.probability)}", one.category, f"{percent(one.share)} of the signal"), "also there")
        for one in result.further_phases
    ]
    if result.looks_like is not None:
        told.append(Fact("phase", (f"{result.looks_like[0]} {percent(result.looks_like[1])}",), "looks like"))
    if result.good:
        told.append(Fact("limit", (_limit(result),), "detection limit"))
        told.append(Fact("sample", tuple(sample_text(result).split(", ")), "sample"))
    noise = "" if result.noise is None else f"noise {100 * result.noise:.2g} %"
    told.append(Fact("scan", (wavelength_text(result), noise, "filtered" if result.filtered else "")))
    return [Fact(fact.kind, parts, fact.label) for fact in told if (parts := tuple(filter(None, fact.parts)))]


def _reason(result: CheckResult) -> str:
    return result.reason.removeprefix(f"{result.file}: ")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _about(one: Expected) -> Fact:
    """The form, whether it is there, its lines and its cell."""
    shown, missing = strong_lines(one)
    lines = f"{shown} of {shown + missing} strong peaks found" if shown + missing else ""
    volume = f"volume {100 * one.volume_change:+z.1f} %" if one.match.library_cell[0] else ""
    parts = (f"there with {percent(one.probability)}", card.entry_text(one.match), lines, *cell_text(one.match).split(", "), volume)
    return Fact("evidence", parts, one.name)


def _limit(result: CheckResult) -> str:
    if result.detection_limit is None:
        return "none: the peaks lie so close that even a large second phase could hide"
    return f"a second phase is seen from {result.detection_limit:.2g} % of the strongest peak up"
