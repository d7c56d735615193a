"""`xrdmatch --help`: drawn as typer draws the help of a command, without rich, which takes longer to import than all else that is needed."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from xrdmatch.cli.commands import COMMANDS

#: The four corners of a frame, its horizontal and its vertical line; and what stands for them where the terminal's code page lacks them.
FRAME, PLAIN_FRAME = ("╭", "╮", "╰", "╯", "─", "│"), ("+", "+", "+", "+", "-", "|")
#: Columns that are used at least.
NARROWEST = 50

Style = dict[str, Any]
_LONG, _SHORT, _TEXT = Style(fg="cyan", bold=True), Style(fg="green", bold=True), Style()


def print_overview(usage: str, text: str, options: Iterable[Any]) -> None:
    """Usage, what the program does, its options, and the commands by panel. text: paragraphs. options: typer's parameters."""
    width = max(NARROWEST, shutil.get_terminal_size().columns)
    lines = ["", " " + typer.style(usage, bold=True), ""]
    for number, paragraph in enumerate(text.split("\n\n")):
        lines += [" " + typer.style(line, dim=number > 0) for line in textwrap.wrap(" ".join(paragraph.split()), width - 2)] + [""]
    lines += _panel("Options", [_flags(option) for option in options], [_LONG, _SHORT, _TEXT], width)
    longest = max(len(command.name) for command in COMMANDS)
    for panel in dict.fromkeys(command.panel for command in COMMANDS):
        rows = [(command.name.ljust(longest), command.help) for command in COMMANDS if command.panel == panel]
        lines += _panel(panel, rows, [_LONG, _TEXT], width)
    typer.echo("\n".join([*lines, ""]), color=False if os.environ.get("NO_COLOR") else None)


def _flags(option: Any) -> tuple[str, str, str]:
    """Long flags, short flags and help of an option."""
    long = [flag for flag in option.opts if flag.startswith("--")]
    return ",".join(long), ",".join(flag for flag in option.opts if flag not in long), option.help or ""


def _panel(title: str, rows: Sequence[Sequence[str]], styles: Sequence[Style], width: int) -> list[str]:
    """Lines of a frame around rows of cells, the last of which are wrapped."""
    left, right, low_left, low_right, across, down = _frame()
    sizes = [max(len(row[place]) for row in rows) for place in range(len(styles) - 1)]
    sizes.append(width - 4 - sum(sizes) - 2 * len(sizes))
    drawn = [typer.style(f"{left}{across} ", dim=True) + title + typer.style(f" {across * (width - len(title) - 5)}{right}", dim=True)]
    edge = typer.style(down, dim=True)
    for *cells, text in rows:
        for number, line in enumerate(textwrap.wrap(text, sizes[-1]) or [""]):
            shown = [*(cell if number == 0 else "" for cell in cells), line]
            padded = (typer.style(cell.ljust(size), **style) for cell, size, style in zip(shown, sizes, styles, strict=True))
            drawn.append(f"{edge} {'  '.join(padded)} {edge}")
    return [*drawn, typer.style(f"{low_left}{across * (width - 2)}{low_right}", dim=True)]


def _frame() -> tuple[str, ...]:
    try:
        "".join(FRAME).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return PLAIN_FRAME
    return FRAME
