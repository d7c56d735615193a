"""One answer as people read it: what it is and how likely, what speaks for it, what is open, a small plot on a terminal, the candidates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from xrdmatch.report import card
from xrdmatch.report.phrases import filter_text, formula_text, percent, provider_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from xrdmatch.report.card import Fact, Row
    from xrdmatch.search.result import Identification, Match

#: Columns of the terminal from which entries get a column of their own, and from which formula and similarity do.
WIDE, MIDDLE = 100, 60
BAR = 8
#: Lines and members listed before "and n more".
LISTED = 8
#: Columns from which a plot is drawn, and the widest it gets.
NARROWEST, WIDEST = 50, 110
#: What stands between two parts of a line, and how far what goes on in a further line is set in.
GAP, INDENT = 3, 4

STYLES = {"match": "bold green", "ambiguous": "bold yellow", "unknown": "bold magenta", "unusable": "bold red", "error": "bold red"}
_MARKS = {"found": "green", "missing": "bold red", "extra": "bold yellow"}
_LABELS = {"open": "bold yellow", "phase": "bold", "perhaps": "bold", "hint": "bold cyan", "shares": "bold"}


def print_identification(result: Identification, console: Console, verbose: bool = False, plot: int = 0) -> None:
    """The card, the scan in `plot` rows of text where the terminal can show it, and the ranked candidates; `verbose`: all of them, line by line."""
    from rich.text import Text

    _print_title(result, console)
    told = card.facts(result, unicode(console))
    for fact in told:
        if fact.kind != "scan":
            _print_fact(fact, console)
    if plot and console.is_terminal and not console.is_dumb_terminal and unicode(console) and console.width >= NARROWEST:
        _print_sketch(result, console, plot)
    listed = card.rows(result, result.matches) if verbose else card.listed(result)
    if len(listed) > 1 or (listed and not result.phases):
        console.print(candidate_table(listed, console))
    for fact in told:
        if fact.kind == "scan":
            _print_fact(fact, console)
    if verbose:
        for line in filter(None, (filter_text(result), provider_text(result))):
            console.print(Text("  " + line, style="dim"))
        for match in [*result.matches, *result.second_matches]:
            beside = f"{'second' if match.phase == 2 else 'further'} phase"
            said = f"  {match.rank} {match.name}" if match.phase == 1 else f"  {beside} {match.rank}: {match.name}"
            console.print(Text(said, style="bold"))
            console.print(_labelled([(Text(title), Text(said, style="dim")) for title, said in evidence_lines(match)], indent=4))
    console.print()


def unicode(console: Console) -> bool:
    """Whether the terminal takes more than ASCII."""
    return (console.encoding or "utf-8").lower().startswith("utf")


def _print_title(result: Identification, console: Console) -> None:
    """`HKUST-1  97 %   scan.raw`: the file on a line of its own where it does not fit."""
    from rich.text import Text

    print_title(Text(card.title(result), style=STYLES.get(result.verdict, "bold")), result.file, console)


def print_title(line: Text, file: str, console: Console) -> None:
    """A title with its file behind it, or on a line of its own where both do not fit; a path is never broken, so that it can be copied."""
    from rich.text import Text

    said = Text(file, style="dim")
    if line.cell_len + GAP + len(file) <= console.width:
        console.print(Text(GAP * " ").join([line, said]), soft_wrap=True)
    else:
        console.print(line)
        console.print(Text("  ").append_text(said), soft_wrap=True)


def _print_fact(fact: Fact, console: Console) -> None:
    """Parts beside each other as far as they fit; a part that is longer than a line goes on in the next one, further in."""
    from rich.text import Text

    style = "dim" if fact.kind in ("scan", "next") else ""
    label = Text(f"{fact.label}: " if fact.label else "", style=_LABELS.get(fact.kind, style))
    for place, line in enumerate(flowed(fact.parts, console.width - 2 - len(label))):
        print_indented(Text.assemble(label, (line, style)) if place == 0 else Text(line, style=style), console)


def print_indented(text: Text, console: Console) -> None:
    """A line below a title; what does not fit goes on in the next one, further in."""
    from rich.text import Text

    fits = len(text) <= console.width - 2
    for number, part in enumerate([text] if fits else text.wrap(console, console.width - INDENT)):
        console.print(Text(" " * (INDENT if number else 2)).append_text(part))


def flowed(parts: Sequence[str], width: int) -> list[str]:
    """The parts with gaps between them, in lines of `width` where they fit."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + GAP + len(part) <= width:
            lines[-1] += GAP * " " + part
        else:
            lines.append(part)
    return lines


def _print_sketch(result: Identification, console: Console, height: int) -> None:
    """The scan in `height` rows, the lines of the best match under it, and what the signs mean."""
    from rich.text import Text

    from xrdmatch.report.terminal_plot import SIGNS, sketch

    drawn = sketch(result, min(console.width - 4, WIDEST), height)
    if drawn is None:
        return
    for row in [*drawn.rows, *([drawn.under] if height > 1 and any(drawn.marks) else [])]:
        line = Text("  ")
        for mark, part in groupby(zip(row, drawn.marks, strict=True), key=itemgetter(1)):
            line.append("".join(sign for sign, _ in part), style=_MARKS.get(mark, "dim"))
        console.print(line)
    if height < 2:
        return
    console.print(Text("  " + drawn.axis, style="dim"))
    there = [mark for mark in SIGNS if mark in drawn.marks]
    if there:
        best = result.matches[0]
        said = Text(f"  strong lines of {best.name}: " if there != ["extra"] else "  strong lines: ", style="dim")
        for place, mark in enumerate(there):
            said.append("  " if place else "").append(SIGNS[mark], style=_MARKS[mark]).append(f" {mark}", style="dim")
        console.print(said)


def _labelled(rows: Sequence[tuple[Text, ...]], indent: int = 2) -> RenderableType:
    """Labels and texts side by side; a text that wraps stays beside its label."""
    from rich.padding import Padding
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        grid.add_row(*row)
    return Padding(grid, (0, 0, 0, indent))


def candidate_table(rows: Sequence[Row], console: Console) -> Table:
    """Ranked frameworks; entry, forms and formula stand under the name, or beside it where there is room."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    wide, narrow, fancy = console.width >= WIDE, console.width < MIDDLE, console.is_terminal
    table = Table(box=box.SIMPLE_HEAD if fancy else None, header_style="bold" if fancy else "", pad_edge=False, padding=(0, 1 if fancy else 2, 0, 0))
    table.add_column(" #" if fancy else "  #", justify="right")
    table.add_column("Candidate", min_width=16)
    if wide:
        table.add_column("Entry")
    if not narrow:
        table.add_column("Formula", overflow="fold")
        table.add_column("Similarity", justify="right", no_wrap=True)
    table.add_column("Probability", no_wrap=True)
    for rank, row in enumerate(rows, 1):
        match = row.best
        formula = formula_text(match.formula, unicode(console))
        under = [*([formula.replace("\n", "")] if narrow else []), *under_name(row, wide)]
        name = Text(row.name, style="bold" if rank == 1 else "")
        cells: list[RenderableType] = [str(rank), Text("\n").join([name, *(Text(line, "dim") for line in under)])]
        if wide:
            cells.append(Text(card.entry_text(match), style="dim"))
        if not narrow:
            cells += [formula, f"{match.similarity:.3f}"]
        cells.append(_probability(row.probability, fancy and not narrow and unicode(console)))
        table.add_row(*cells)
    return table


def under_name(row: Row, wide: bool = False) -> list[str]:
    """What stands under a framework's name: its entry or its forms, and another metal than the library's."""
    entry = "" if wide or len(row.forms) > 1 else card.entry_text(row.best)
    return list(filter(None, (entry, card.forms_text(row), card.exchange_text(row.best))))


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
    a, b, c = (f"{100 * value:+z.1f}" for value in match.strain)
    told = [("adjusted", f"shift {match.shift:+z.2f}°, line width {match.fwhm:.2f}°, a b c by {a} {b} {c} %")]
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
