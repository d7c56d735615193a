"""Many answers as people read them: a line a scan, and what they come to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xrdmatch.report.card import LISTED_FROM
from xrdmatch.report.phrases import percent
from xrdmatch.report.terminal_table import MIDDLE, STYLES, unicode

if TYPE_CHECKING:
    from rich.console import Console

    from xrdmatch.search.result import Identification

#: The sign of each verdict, for terminals that have it and for others.
MARKS = {"match": ("✓", "+"), "ambiguous": ("~", "~"), "unknown": ("?", "?"), "unusable": ("-", "-"), "error": ("!", "!")}
#: The narrowest and the widest that the files' column gets, the latter as a share of the terminal's width.
FILE_LEAST, FILE_SHARE = 12, 0.38
#: Columns of mark and probability with what stands between.
BETWEEN = 12


class ScanList:
    """Prints a line for each answer, and at the end what they come to. files: those that are expected, for the width of their column; none: a list
    that grows, without a heading.

    On a terminal a line is as wide as that, and files lose the folder that they share; elsewhere nothing is shortened.
    """

    def __init__(self, console: Console, files: Sequence[str] = ()) -> None:
        self.console, self.results = console, Counter[tuple[str, str]]()
        self.second: Counter[str] = Counter()
        self.folder = _shared_folder(files) if console.is_terminal else ""
        longest = max((len(file) for file in files), default=24) - len(self.folder)
        self.column = min(longest, max(FILE_LEAST, int(FILE_SHARE * console.width))) if console.is_terminal else longest
        self.narrow = console.is_terminal and console.width < MIDDLE  # the mark alone says the verdict
        self.begun = not files

    def add(self, result: Identification) -> None:
        """Print the line of one answer."""
        from rich.text import Text

        if not self.begun:
            self._head()
        name = " or ".join(name for name, _ in result.headline) if result.verdict in ("match", "ambiguous") else ""
        self.results[result.verdict, name] += 1
        self.second.update(phase.name for phase in result.phases[1:])
        file = self._shortened(result.file.removeprefix(self.folder), self.column)
        chance = percent(result.probability) if name else ""
        line = Text.assemble((f"{file:<{self.column}}  "), (self._mark(result.verdict), STYLES[result.verdict]), f" {chance:>5}  ")
        line.append(self._cut(said(result, self.narrow)), style="bold" if name else "dim")
        self.console.print(line, soft_wrap=True)

    def _head(self) -> None:
        from rich.text import Text

        self.begun = True
        self.console.print(Text(f"{'Scan':<{self.column}}    Prob.  Framework", style="bold" if self.console.is_terminal else ""), soft_wrap=True)

    def _mark(self, verdict: str) -> str:
        return MARKS[verdict][0 if unicode(self.console) else 1]

    def _shortened(self, text: str, room: int) -> str:
        """On a terminal, the text in at most `room` characters, its middle left out."""
        if not self.console.is_terminal or len(text) <= room:
            return text
        tail = (room - len(self._dots)) // 3
        return text[: room - len(self._dots) - tail] + self._dots + text[len(text) - tail :]

    def _cut(self, text: str) -> str:
        """On a terminal, what fits in the last column."""
        room = max(self.console.width - self.column - BETWEEN, FILE_LEAST)
        return text if not self.console.is_terminal or len(text) <= room else text[: room - len(self._dots)] + self._dots

    @property
    def _dots(self) -> str:
        return "…" if unicode(self.console) else ".."

    def close(self) -> None:
        """Print how many scans there were, the names that were found with their numbers, and how many had none."""
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        total = self.results.total()
        if not total:
            return
        place = f" in {self.folder}" if self.folder else ""
        self.console.print(Text(f"\n{total} scan{'s' if total != 1 else ''}{place}", style="bold"), soft_wrap=True)
        grid = Table.grid(padding=(0, 2, 0, 0))
        for verdict, style in STYLES.items():
            names = Counter({name: number for (of, name), number in self.results.items() if of == verdict})
            if names:
                listed = _listed(names) if any(names) else ""
                grid.add_row(Text(self._mark(verdict), style), Text(str(names.total()), justify="right"), Text(verdict), Text(listed))
        if self.second:
            grid.add_row("", Text(str(self.second.total()), justify="right"), Text("second phase"), Text(_listed(self.second)))
        self.console.print(Padding(grid, (0, 0, 0, 2)))


def said(result: Identification, short: bool = False) -> str:
    """Name and second phase, or why there is none. short: without the verdict."""
    if result.verdict in ("match", "ambiguous"):
        second = "".join(f" + {phase.name} ({percent(phase.share)} of the signal)" for phase in result.phases[1:])
        return " or ".join(name for name, _ in result.headline) + second
    if result.verdict == "unknown" and result.name:
        near = f"closest: {result.name} ({percent(result.probability)})" if result.probability >= LISTED_FROM else "nothing like it in the library"
        return near if short else f"unknown; {near}"
    return f"{'' if short else f'{result.verdict}: '}{result.reason.removeprefix(f'{result.file}: ')}"


def _listed(names: Counter[str]) -> str:
    """`HKUST-1 (3); ZIF-8 (2); UiO-66`, the commonest first; names may hold commas."""
    ordered = sorted(names.items(), key=lambda item: (-item[1], item[0].lower()))
    return "; ".join(f"{name} ({number})" if number > 1 else name for name, number in ordered)


def _shared_folder(files: Sequence[str]) -> str:
    """The folder that all files lie in, with what separates it from their names; empty where there is none."""
    try:
        folder = os.path.commonpath([os.path.dirname(file) for file in files])
    except ValueError:  # no files, or on different drives
        return ""
    return os.path.join(folder, "") if folder and all(file.startswith(os.path.join(folder, "")) for file in files) else ""
