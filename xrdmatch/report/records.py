"""Results for people and for programs: the table, JSON lines, CSV."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from xrdmatch.evaluation.baselines import Compared
    from xrdmatch.evaluation.labelled_scans import Evaluation
    from xrdmatch.search.result import Identification, Match

from xrdmatch.report.phrases import percent
from xrdmatch.report.scan_list import ScanList
from xrdmatch.report.terminal_table import STYLES, print_identification

Writer = Callable[["Identification"], None]

CSV_FIELDS = ("file", "verdict", "name", "probability", "level", "reason", "wavelength", "wavelength_source", "filtered", "noise", "model")
#: Of a phase, and of the match that stands for it; of the closest match where no phase is named.
CSV_PHASE_FIELDS = ("phase", "phase_name", "phase_probability", "share", "weight_share", "category")
CSV_MATCH_FIELDS = ("id", "refcode", "formula", "family", "similarity", "shift", "doi", "metal_exchanged")


def writer(kind: str, stream: TextIO, verbose: bool = False, plot: int = 0) -> Writer:
    """What prints one identification to `stream` at a time, flushed, as table, json or csv. `plot`: rows of a plot in the table, on a terminal."""
    if kind == "json":
        return lambda result: _put(stream, json_line(result, verbose))
    if kind == "csv":
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow((*CSV_FIELDS, *CSV_PHASE_FIELDS, *CSV_MATCH_FIELDS))

        def write_rows(result: Identification) -> None:
            rows.writerows(csv_rows(result))
            stream.flush()

        return write_rows
    console = console_for(stream)
    return lambda result: _printed(stream, console, lambda: print_identification(result, console, verbose, plot))


def list_writer(stream: TextIO, files: Sequence[str] = ()) -> tuple[Writer, Callable[[], None]]:
    """What prints one line an answer to `stream`, flushed, and what prints the summary at the end. files: those that are expected."""
    console = console_for(stream)
    listed = ScanList(console, files)
    return lambda result: _printed(stream, console, lambda: listed.add(result)), lambda: _printed(stream, console, listed.close)


def _printed(stream: TextIO, console: Console, call: Callable[[], None]) -> None:
    """What `call` prints, flushed. Tables are padded to their width; a file or a pipe does not need that."""
    with console.capture() as text:
        call()
    stream.write(text.get() if console.is_terminal else re.sub(r" +\n", "\n", text.get()))
    stream.flush()


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
    """One row a phase; a file without any has one row with those fields empty, and the closest match where there is one."""
    first = [getattr(result, name) for name in CSV_FIELDS]
    if not result.phases:
        return [[*first, *[""] * len(CSV_PHASE_FIELDS), *_match_cells(result.matches[0] if result.matches else None)]]
    fields = [name.removeprefix("phase_") for name in CSV_PHASE_FIELDS]
    return [[*first, *(getattr(phase, name) for name in fields), *_match_cells(phase.match)] for phase in result.phases]


def _match_cells(match: Match | None) -> list[Any]:
    return [getattr(match, name, "") for name in CSV_MATCH_FIELDS]


# --- The table


def console_for(stream: TextIO, width: int | None = None) -> Console:
    """A rich console on `stream`: colour and rules on a terminal, plain text elsewhere. NO_COLOR is honoured."""
    from rich.console import Console

    terminal = stream.isatty()
    return Console(file=stream, width=width, highlight=False, force_terminal=terminal, color_system="auto" if terminal else None, emoji=False)


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
    wrong = [row for row in result.rows if row.ranks and 1 not in row.ranks]
    if wrong:
        console.print(f"\nNot in the first place ({len(wrong)}):")
    for row in wrong:
        best = min((rank for rank in row.ranks if rank), default=0)  # of a mixture's phases
        place = f"rank {best}" if best else "not found"
        first = f", first is {row.first} with {percent(row.probability)}" if row.first else ""
        console.print(Text(f"  {row.file}: {row.label} {place}; {row.verdict}{first}"), soft_wrap=True)


def print_comparison(name: str, structures: int, result: Evaluation, others: Sequence[Compared], console: Console) -> None:
    """Top-1 to top-5 of the model and of each baseline with Wilson intervals, one table a kind of pattern; then what differs between them."""
    from rich import box
    from rich.table import Table

    from xrdmatch.evaluation.labelled_scans import RANKS

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
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in STYLES if verdict in verdicts)
    return f"{len(verdicts)} file{'s' if len(verdicts) != 1 else ''}: {counts}"
