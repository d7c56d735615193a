"""What `find` finds, for people and for programs: a table, JSON lines, CSV."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from xrdmatch.library.common_names import stem
from xrdmatch.report.phrases import formula_text
from xrdmatch.report.records import console_for

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from xrdmatch.library.find_entries import Found

#: Columns of the CSV, those of the JSON with the cell's six in place of `cell`.
CSV_FIELDS = (
    *("id", "name", "refcode", "formula", "metals", "linkers", "net", "category", "title"),
    *("a", "b", "c", "alpha", "beta", "gamma", "doi", "family", "members", "matched"),
)
#: Columns of a terminal from which DOIs are shown.
_WIDE = 110


def write_found(kind: str, found: Sequence[Found], stream: TextIO) -> None:
    """One row a family to `stream`, as table, json (a line each) or csv, in which several texts of one field have "; " between."""
    if kind == "json":
        for one in found:
            stream.write(json.dumps(one.to_json()) + "\n")
    elif kind == "csv":
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(CSV_FIELDS)
        for one in found:
            told = one.to_json()
            told |= told["cell"]
            values = (told[name] for name in CSV_FIELDS)
            rows.writerow("; ".join(value) if isinstance(value, list) else value for value in values)
    else:
        console = console_for(stream)
        with console.capture() as text:
            console.print(found_table(found, console))
        stream.write(text.get() if console.is_terminal else re.sub(r" +\n", "\n", text.get()))


def found_table(found: Sequence[Found], console: Console) -> Table:
    """Name, refcode, formula, cell and how many entries of the family have the same pattern; what else the library says stands under the name."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    fancy, wide = console.is_terminal, console.width >= _WIDE
    unicode = (console.encoding or "utf-8").lower().startswith("utf")
    table = Table(box=box.SIMPLE_HEAD if fancy else None, header_style="bold" if fancy else "", pad_edge=False, padding=(0, 1 if fancy else 2, 0, 0))
    table.add_column("Framework", overflow="fold", min_width=16)
    table.add_column("Refcode", overflow="fold", min_width=8)
    table.add_column("Formula", overflow="fold")
    table.add_column("a, b, c (Å)" if unicode else "a, b, c (A)", no_wrap=True)
    table.add_column("Alike", justify="right", no_wrap=True)
    if wide:
        table.add_column("DOI", overflow="fold")
    for one in found:
        title = Text(one.name, style="bold")
        made_of = one.title or ", ".join([*one.linkers, *([one.net] if one.net else [])])
        more = "; ".join(part for part in (made_of if made_of not in one.name else "", one.category) if part)
        cells: list[RenderableType] = [
            Text("\n").join([title, Text(more, style="dim")]) if more else title,
            Text(stem(one.id)),
            Text(formula_text(one.formula, unicode)),
            Text("  ".join(f"{length:.2f}" for length in one.cell[:3])),
            str(len(one.members) - 1) if len(one.members) > 1 else "",
        ]
        table.add_row(*cells, *([Text(one.doi, style="dim")] if wide else []))
    return table
