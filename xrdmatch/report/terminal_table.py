"""One answer as people read it: the verdict first, what cannot be decided, a small plot where the terminal allows, the ranked matches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from xrdmatch.report.phrases import cell_text, filter_text, formula_text, percent, provider_text, sample_text, wavelength_text
from xrdmatch.search.result import LIKELY

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from xrdmatch.search.result import Identification, Match, Phase

#: Columns of the terminal from which refcodes and families get columns of their own, and from which formula and similarity do.
WIDE, MIDDLE = 100, 60
BAR = 8
#: Lines and members listed before "and n more".
LISTED = 8
#: Columns from which a plot is drawn, and the widest it gets.
NARROWEST, WIDEST = 50, 110

STYLES = {"match": "bold green", "ambiguous": "bold yellow", "unknown": "bold magenta", "unusable": "bold red", "error": "bold red"}
_MARKS = {"found": "green", "missing": "bold red", "extra": "bold yellow"}


def print_identification(result: Identification, console: Console, verbose: bool = False, plot: int = 0) -> None:
    """The verdict, its reason, how the scan was taken, the scan in `plot` rows of text where the terminal can show it, and the ranked matches."""
    from rich.padding import Padding
    from rich.text import Text

    _print_verdict(result, console)
    reason = result.reason.removeprefix(f"{result.file}: ")
    undecided = result.reason_code.startswith("undecided")
    console.print(_labelled([(Text("undecided", style="bold yellow"), Text(reason))] if undecided else [(Text(reason),)]))
    if result.verdict != "error":
        taken = " · ".join(filter(None, [wavelength_text(result), provider_text(result)]))
        told = [part for part in (taken, filter_text(result)) if part]
        joined = " · ".join(told)
        lines = [joined] if len(joined) + 4 <= console.width else told
        for line in [*lines, *_about_sample(result, console.width)]:
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))
    if plot and console.is_terminal and not console.is_dumb_terminal and _unicode(console) and console.width >= NARROWEST:
        _print_sketch(result, console, plot)
    if phases := phase_lines(result):
        console.print(_labelled([(Text(label, style="bold"), Text(said)) for label, said in phases]))
    if result.matches:
        console.print(match_table(result.matches, console))
        if result.matches[0].doi and not verbose:
            console.print(Padding(Text(f"1: https://doi.org/{result.matches[0].doi}", style="dim"), (0, 0, 0, 2)))
    if verbose:
        for match in [*result.matches, *result.second_matches]:
            said = f"  {match.rank} {match.name}" if match.phase == 1 else f"  second phase {match.rank}: {match.name}"
            console.print(Text(said, style="bold"))
            console.print(_labelled([(Text(title), Text(said, style="dim")) for title, said in evidence_lines(match)], indent=4))
    console.print()


def _about_sample(result: Identification, width: int) -> list[str]:
    """Refined cell and sample figures: of a match, since those of a scan that is not named say little."""
    if result.verdict != "match" or not result.matches:
        return []
    told = [part for part in (cell_text(result.matches[0]), sample_text(result)) if part]
    joined = " · ".join(told)
    return [joined] if joined and len(joined) + 4 <= width else told


def _unicode(console: Console) -> bool:
    return (console.encoding or "utf-8").lower().startswith("utf")


def _print_verdict(result: Identification, console: Console) -> None:
    """`MATCH  HKUST-1 97 %  scan.raw`: the file on a line of its own where it does not fit."""
    from rich.text import Text

    line = Text(result.verdict.upper(), style=STYLES.get(result.verdict, "bold"))
    if result.verdict in ("match", "ambiguous") and result.matches:
        line.append("  ")
        for place, (name, share) in enumerate(result.headline):
            line.append(" or " if place else "", style="default")
            line.append(name, style="bold default")
            line.append(f" {percent(share)}", style="not bold default")
    fits = line.cell_len + 2 + len(result.file) <= console.width
    file = Text(result.file, style="dim")
    if fits:
        console.print(Text("  ").join([line, file]), soft_wrap=True)
    else:
        console.print(line)
        console.print(Text("  ").append_text(file), soft_wrap=True)


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


def match_table(matches: Sequence[Match], console: Console) -> Table:
    """Ranked matches; refcode, family and formula stand under the name, or beside it where there is room."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    wide, narrow, fancy = console.width >= WIDE, console.width < MIDDLE, console.is_terminal
    table = Table(box=box.SIMPLE_HEAD if fancy else None, header_style="bold" if fancy else "", pad_edge=False, padding=(0, 1 if fancy else 2, 0, 0))
    table.add_column(" #" if fancy else "  #", justify="right")
    table.add_column("Framework", overflow="fold", min_width=16)
    if wide:
        table.add_column("Refcode", overflow="fold")
    if not narrow:
        table.add_column("Formula", overflow="fold")
    if wide:
        table.add_column("Family", overflow="fold")
    if not narrow:
        table.add_column("Similarity", justify="right", no_wrap=True)
    table.add_column("Probability", no_wrap=True)
    for match in matches:
        title = Text(match.name, style="bold" if match.rank == 1 else "")
        formula = formula_text(match.formula, _unicode(console))
        under = [Text(line, style="dim") for line in [*([formula.replace("\n", "")] if narrow else []), *beside_name(match, wide)]]
        cells: list[RenderableType] = [str(match.rank), Text("\n").join([title, *under])]
        if wide:
            cells.append(Text(match.id, style="dim"))
        if not narrow:
            cells.append(formula)
        if wide:
            cells.append(Text(f"{match.family} ({len(match.members)})" if len(match.members) > 1 else "", style="dim"))
        if not narrow:
            cells.append(f"{match.similarity:.3f}")
        cells.append(_probability(match.probability, fancy and not narrow and _unicode(console)))
        table.add_row(*cells)
    return table


def beside_name(match: Match, wide: bool = False) -> list[str]:
    """What stands under a name: its refcode, its family where that has another name, how many are alike, and its other metal."""
    other = match.metal_exchanged
    instead = [] if other is None else [f"with {' or '.join(other.wanted)} for {', '.join(other.held)}: not in the library"]
    if wide:
        return instead
    alike = len(match.members) - 1
    if alike < 1 or match.name in match.family.split(" / "):
        return [f"{match.id} and {alike} alike" if alike > 0 else match.id, *instead]
    return [match.id, f"family {match.family} ({alike + 1})", *instead]


def phase_lines(result: Identification) -> list[tuple[str, str]]:
    """What is there beside the first phase, with shares; and what may be, where no second phase is said to be there."""
    if len(result.phases) > 1:
        return [(f"phase {phase.phase}", f"{phase.name}, {_shares(phase)}") for phase in result.phases]
    likely = [match for match in result.second_matches if match.probability >= LIKELY] if result.phases else []
    return [("perhaps also", ", ".join(f"{match.name} ({percent(match.probability)})" for match in likely[:2]))] if likely else []


def _shares(phase: Phase) -> str:
    weight = (
        "" if phase.weight_share is None else f", about {percent(phase.weight_share)} by weight (from intensities; texture and guests make it rough)"
    )
    return f"{percent(phase.share)} of the signal{weight}"


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
