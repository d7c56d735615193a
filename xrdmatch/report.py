"""Results for people and for programs: the table, JSON lines, CSV."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from xrdmatch.baselines import Compared
    from xrdmatch.evaluate import Evaluation
    from xrdmatch.identify import Identification, Match

from xrdmatch.wording import filter_text, formula_text, percent, wavelength_text

Writer = Callable[["Identification"], None]

CSV_FIELDS = ("file", "verdict", "reason", "wavelength", "wavelength_source", "filtered", "noise", "model")
CSV_MATCH_FIELDS = ("rank", "id", "name", "formula", "family", "similarity", "probability", "shift", "doi")

#: Columns of the terminal from which refcodes get a column of their own.
WIDE = 100
BAR = 8
#: Lines and members listed before "and n more".
LISTED = 8

_STYLES = {"match": "bold green", "ambiguous": "bold yellow", "unknown": "bold magenta", "unusable": "bold red", "error": "bold red"}


def writer(kind: str, stream: TextIO, verbose: bool = False) -> Writer:
    """What prints one identification to `stream` at a time, flushed, as table, json or csv."""
    if kind == "json":
        return lambda result: _put(stream, json_line(result, verbose))
    if kind == "csv":
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow((*CSV_FIELDS, *CSV_MATCH_FIELDS))

        def write_rows(result: Identification) -> None:
            rows.writerows(csv_rows(result))
            stream.flush()

        return write_rows
    console = console_for(stream)

    def write_table(result: Identification) -> None:
        with console.capture() as text:
            print_identification(result, console, verbose)
        # Tables are padded to their width; a file or a pipe does not need that.
        stream.write(text.get() if console.is_terminal else re.sub(r" +\n", "\n", text.get()))
        stream.flush()

    return write_table


def _put(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()


def json_line(result: Identification, evidence: bool = False) -> str:
    """One line of ASCII JSON without NaN or infinity, which JSON does not know."""
    return to_json(result.to_json(evidence))


def to_json(data: Any, indent: int | None = None) -> str:
    return json.dumps(_finite(data), allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def csv_rows(result: Identification) -> list[list[Any]]:
    """One row a match; a file without matches has one row with those fields empty."""
    first = [getattr(result, name) for name in CSV_FIELDS]
    if not result.matches:
        return [[*first, *[""] * len(CSV_MATCH_FIELDS)]]
    return [[*first, *(getattr(match, name) for name in CSV_MATCH_FIELDS)] for match in result.matches]


# --- The table


def console_for(stream: TextIO, width: int | None = None) -> Console:
    """A rich console on `stream`: colour and rules on a terminal, plain text elsewhere. NO_COLOR is honoured."""
    from rich.console import Console

    terminal = stream.isatty()
    return Console(file=stream, width=width, highlight=False, force_terminal=terminal, color_system="auto" if terminal else None, emoji=False)


def print_identification(result: Identification, console: Console, verbose: bool = False) -> None:
    """File, verdict with its reason, how the scan was taken, and the ranked matches."""
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(result.file, style="bold underline" if console.is_terminal else ""), soft_wrap=True)
    reason = result.reason.removeprefix(f"{result.file}: ") if result.verdict == "error" else result.reason
    console.print(_labelled([(Text(result.verdict.upper(), style=_STYLES.get(result.verdict, "bold")), Text(reason))]))
    if result.verdict != "error":
        told = [part for part in (wavelength_text(result), filter_text(result)) if part]
        joined = " · ".join(told)
        for line in [joined] if len(joined) + 4 <= console.width else told:
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))
    if result.matches:
        console.print(match_table(result.matches, console))
        if result.matches[0].doi and not verbose:
            console.print(Padding(Text(f"1: https://doi.org/{result.matches[0].doi}", style="dim"), (0, 0, 0, 2)))
    if verbose:
        for match in result.matches:
            console.print(Text(f"  {match.rank} {match.name or match.id}", style="bold"))
            console.print(_labelled([(Text(title), Text(said, style="dim")) for title, said in evidence_lines(match)], indent=4))
    console.print()


def _labelled(rows: Sequence[tuple[Text, Text]], indent: int = 2) -> RenderableType:
    """Labels and texts side by side; a text that wraps stays beside its label."""
    from rich.padding import Padding
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, text in rows:
        grid.add_row(label, text)
    return Padding(grid, (0, 0, 0, indent))


def match_table(matches: Sequence[Match], console: Console) -> Table:
    """Ranked matches; the id stands under the name, or beside it where there is room."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    wide, fancy = console.width >= WIDE, console.is_terminal
    unicode = (console.encoding or "utf-8").lower().startswith("utf")
    table = Table(box=box.SIMPLE_HEAD if fancy else None, header_style="bold" if fancy else "", pad_edge=False, padding=(0, 1 if fancy else 2, 0, 0))
    table.add_column(" #" if fancy else "  #", justify="right")
    table.add_column("MOF", overflow="fold", ratio=None)
    if wide:
        table.add_column("Refcode", overflow="fold")
    table.add_column("Formula", overflow="fold")
    table.add_column("Family", overflow="fold")
    table.add_column("Similarity", justify="right", no_wrap=True)
    table.add_column("Probability", no_wrap=True)
    for match in matches:
        named = bool(match.name)
        title = Text(match.name or match.id, style="bold" if match.rank == 1 else "")
        under = [] if wide or not named else [Text(match.id, style="dim")]
        family = Text(match.family, style="dim" if match.family == (match.name or match.id) else "")
        family.append(f" ({len(match.members)})" if len(match.members) > 1 else "", style="dim")
        cells: list[RenderableType] = [str(match.rank), _stacked(title, *under)]
        if wide:
            cells.append(Text(match.id if named else "", style="dim"))
        cells += [formula_text(match.formula, unicode), family, f"{match.similarity:.3f}", _probability(match.probability, fancy and unicode)]
        table.add_row(*cells)
    return table


def _stacked(*lines: Text) -> Text:
    from rich.text import Text

    return Text("\n").join(lines)


def _probability(probability: float, bar: bool) -> Text:
    from rich.text import Text

    said = Text(f"{percent(probability):>5}")
    if bar:
        said.append(" " + bar_text(probability), style="green" if probability >= 0.5 else "yellow" if probability >= 0.1 else "dim")
    return said


def bar_text(share: float, width: int = BAR) -> str:
    """A bar of at most `width` characters, drawn in eighths."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")


def abbreviated(items: Sequence[str], shown: int = LISTED) -> str:
    """The first few, and how many more."""
    return ", ".join(items[:shown]) + (f" and {len(items) - shown} more" if len(items) > shown else "")


def evidence_lines(match: Match) -> list[tuple[str, str]]:
    """What speaks for a match and against it: lines found, missing and extra, and what was adjusted."""
    a, b, c = (f"{100 * value:+.1f}" for value in match.strain)
    told = [("adjusted", f"shift {match.shift:+.2f}°, line width {match.fwhm:.2f}°, a b c by {a} {b} {c} %")]
    found = match.evidence
    if found is not None:
        told.append(("explains", f"{100 * found.explained:.0f} % of the signal"))
        for title, lines in (("found", found.matched), ("missing", found.missing)):
            strongest = sorted(lines, key=lambda line: -line[4])
            told.append((title, abbreviated([f"({' '.join(map(str, hkl))}) {angle:.2f}°" for *hkl, angle, _ in strongest]) or "none"))
        told.append(("extra", abbreviated([f"{angle:.2f}°" for angle in found.extra]) or "none"))
    if len(match.members) > 1:
        told.append(("members", abbreviated(match.members)))
    if match.note:
        told.append(("undecided", match.note))
    if match.doi:
        told.append(("doi", match.doi))
    return told


def print_evaluation(result: Evaluation, console: Console) -> None:
    """Each kind's scores with k of n and the Wilson interval, then the files that went wrong."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    fancy = console.is_terminal
    table = Table(box=box.SIMPLE_HEAD if fancy else None, header_style="bold" if fancy else "", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Kind")
    table.add_column("What")
    for title in ("Right", "Of", "Share", "95 % interval"):
        table.add_column(title, justify="right", no_wrap=True)
    last = ""
    for score in result.scores():
        low, high = score.interval
        share = f"{100 * score.right / score.total:.0f} %" if score.total else "-"
        kind, last = (score.kind if score.kind != last else ""), score.kind
        table.add_row(kind, score.what, str(score.right), str(score.total), share, f"{100 * low:.0f}-{100 * high:.0f} %")
    console.print(table)
    wrong = [row for row in result.rows if row.ranks and row.ranks[0] != 1]
    if wrong:
        console.print(f"\nNot in the first place ({len(wrong)}):")
    for row in wrong:
        place = f"rank {row.ranks[0]}" if row.ranks[0] else "not found"
        first = f", first is {row.first} with {percent(row.probability)}" if row.first else ""
        console.print(Text(f"  {row.file}: {row.label} {place}; {row.verdict}{first}"), soft_wrap=True)


def print_comparison(name: str, structures: int, result: Evaluation, others: Sequence[Compared], console: Console) -> None:
    """Top-1 to top-5 of the model and of each baseline with Wilson intervals, one table a kind of pattern; then what differs between them."""
    from rich import box
    from rich.table import Table

    from xrdmatch.evaluate import RANKS

    systems = [(name, structures, result), *((one.title, one.structures, one.evaluation) for one in others)]
    kinds = list(dict.fromkeys(row.kind for row in result.rows if row.ranks))
    fancy = console.is_terminal
    for kind in kinds:
        total = sum(row.kind == kind and bool(row.ranks) for row in result.rows)
        console.print(f"\n{kind}: right of {total}, with the 95 % interval in percent")
        table = Table(box=box.SIMPLE_HEAD if fancy else None, header_style="bold" if fancy else "", pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("System")
        for title in ("Among", *(f"Top-{rank}" for rank in RANKS)):
            table.add_column(title, justify="right", no_wrap=True)
        for title, number, evaluation in systems:
            scores = {score.what: score for score in evaluation.scores() if score.kind == kind}
            cells = []
            for rank in RANKS:
                score = scores[f"top-{rank}"]
                low, high = score.interval
                cells.append(f"{score.right} ({100 * low:.0f}-{100 * high:.0f})")
            table.add_row(title, str(number), *cells)
        console.print(table)
    for one in others:
        if one.note:
            console.print(f"{one.title}: {one.note}")


def summary(verdicts: Sequence[str]) -> str:
    """`12 files: 9 match, 2 unknown, 1 error`."""
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in _STYLES if verdict in verdicts)
    return f"{len(verdicts)} file{'s' if len(verdicts) != 1 else ''}: {counts}"
