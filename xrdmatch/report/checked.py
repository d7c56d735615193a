"""What `check` finds, for people and for programs: a card or a table, JSON lines, CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from xrdmatch.report.phrases import cell_text, percent, sample_text, sentence
from xrdmatch.report.records import console_for, to_json
from xrdmatch.report.terminal_table import print_indented, print_title

if TYPE_CHECKING:
    from rich.text import Text

    from xrdmatch.search.check_result import CheckResult, Expected

Writer = Callable[["CheckResult"], None]

#: Columns of the CSV: of the scan, of what was expected (the one that is there the least surely), and of what else is there.
CSV_FIELDS = ("file", "asked", "verdict", "probability", "reason", "explained", "detection_limit")
CSV_EXPECTED = ("name", "form", "shift", "volume_change", "strong_lines", "missing_lines")
CSV_FURTHER = ("further_lines", "strongest_further", "further_phases", "crystallite_size_nm", "crystallinity", "wavelength", "model")
STYLES = {
    "pure": "bold green",
    "present": "bold cyan",
    "absent": "bold magenta",
    "unclear": "bold yellow",
    "unusable": "bold red",
    "error": "bold red",
}
#: Further lines that a card lists.
LISTED = 8


def writer(kind: str, stream: TextIO) -> Writer:
    """What prints one result to `stream` at a time, flushed, as table, json or csv."""
    if kind == "json":
        return lambda result: _put(stream, to_json(result.to_json()) + "\n")
    if kind == "csv":
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow((*CSV_FIELDS, *CSV_EXPECTED, *CSV_FURTHER))

        def write_row(result: CheckResult) -> None:
            rows.writerow(csv_row(result))
            stream.flush()

        return write_row
    from rich.text import Text

    console = console_for(stream)

    def write_card(result: CheckResult) -> None:
        with console.capture() as text:
            head, body = card(result)
            if console.is_terminal:
                print_title(head, result.file, console)
                for line in body:
                    print_indented(line, console)
                console.print()
            else:
                console.print(Text(f"{head.plain}  {result.file}\n" + "".join(f"  {line.plain}\n" for line in body)), soft_wrap=True)
        _put(stream, text.get() if console.is_terminal else re.sub(r" +\n", "\n", text.get()))

    return write_card


def _put(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


def csv_row(result: CheckResult) -> list[Any]:
    """One row a scan; several texts of one field have "; " between."""
    first = [result.file, "; ".join(result.asked), result.verdict, result.probability, result.reason, result.explained, result.detection_limit]
    own: list[Any] = [""] * len(CSV_EXPECTED)
    if result.expected:
        worst = min(result.expected, key=lambda one: one.probability)
        shown, missing = strong_lines(worst)
        own = [worst.name, worst.match.id, worst.match.shift, worst.volume_change, shown + missing, missing]
    heights = [line.height for line in result.further_lines]
    phases = "; ".join(phase.name for phase in result.further_phases)
    sample = [result.sample.crystallite_size_nm, result.sample.crystallinity]
    return [*first, *own, len(heights), max(heights, default=""), phases, *sample, result.wavelength, result.model]


def strong_lines(one: Expected) -> tuple[int, int]:
    """How many strong lines show, and how many are missing."""
    found = one.match.evidence
    return (len(found.matched), len(found.missing)) if found else (0, 0)


def card(result: CheckResult) -> tuple[Text, list[Text]]:
    """The verdict with its probability; why, and the figures behind it."""
    from rich.text import Text

    head = Text(result.verdict.upper(), style=STYLES[result.verdict])
    if result.expected:
        names = " + ".join(one.name for one in result.expected)
        head.append(f"  {names}", style="bold default").append(f"  {percent(result.probability)}", style="not bold default")
    reasons = [sentence(one).removeprefix(f"{result.file}: ") for one in result.reasons]
    body = [Text(reason[:1].upper() + reason[1:]) for reason in reasons]
    body += [Text(said, style="dim") for one in result.expected for said in [_about(one)] if said and result.verdict != "absent"]
    if further := _further(result):
        body.append(Text("also there: " + further))
    if (sample := sample_text(result)) and result.good:
        body.append(Text(sample, style="dim"))
    return head, body


def _about(one: Expected) -> str:
    shown, missing = strong_lines(one)
    cell = cell_text(one.match)
    lines = f"{shown} of {shown + missing} strong peaks" if shown + missing else ""
    return ", ".join(part for part in (cell, lines) if part)


def _further(result: CheckResult) -> str:
    """The further lines, highest first, each with what it is."""
    highest = sorted(result.further_lines, key=lambda line: -line.height)
    shown = [f"{line.two_theta:.2f}° {line.height:.3g} % ({line.phase or 'unassigned'})" for line in highest[:LISTED]]
    more = [f"and {len(highest) - LISTED} more"] if len(highest) > LISTED else []
    return ", ".join([*shown, *more])


def summary(verdicts: Sequence[str]) -> str:
    """`96 scans: 80 pure, 10 present, 6 absent`."""
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in STYLES if verdict in verdicts)
    return f"{len(verdicts)} scan{'s' if len(verdicts) != 1 else ''}: {counts}"
