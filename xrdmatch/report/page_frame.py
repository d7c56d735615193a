"""One self-contained HTML page for any number of scans: what the pages of `identify` and `check` share.

Nothing is fetched: style, script and data are inside, and a content security policy forbids all else. What comes from files is data, never markup.
"""

from __future__ import annotations

import html
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from xrdmatch.report.terminal_table import STYLES
from xrdmatch.system.atomic_files import atomic_write, writing

#: Endings of a page's name.
SUFFIXES = (".html", ".htm")
#: The page's script, in the order in which its parts use each other.
SCRIPTS = ("page_base.js", "page_plot.js", "page_bench.js", "page_scan.js", "page_check.js", "page.js")
STYLESHEETS = ("page.css", "page_plate.css")
#: Points of all scans together, and the least and most of one: a screen shows some two thousand, and zooming in wants more.
POINTS, LEAST, MOST = 700_000, 2400, 12_000


@dataclass
class ScanPage:
    """A page in the making: `add` each answer, then `write`. `number` is how many are expected; it sets how many points each may keep.

    rows: of the overview, as markup. data: each scan's, as script elements. names: what scans can be chosen by, with their number.
    """

    number: int = 1
    title: str = "xrdmatch"
    rows: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    names: Counter[str] = field(default_factory=Counter)

    #: Verdicts in the order in which they are counted.
    ORDER: ClassVar[Sequence[str]] = tuple(STYLES)
    #: Heads of the overview's columns: what is right-aligned begins with ">", what cannot be sorted ends with ".".
    HEADS: ClassVar[Sequence[str]] = ("Scan", "Verdict", "Framework", ">Probability", ">Similarity", ">Noise", "Pattern.")

    #: A class of the page's body.
    KIND: ClassVar[str] = ""

    @property
    def place(self) -> int:
        """The number of the next scan."""
        return len(self.rows)

    @property
    def points(self) -> int:
        """How many points of each scan are kept."""
        return int(min(max(POINTS / max(self.number, 1), LEAST), MOST))

    def keep(self, verdict: str, name: str, row: str, data: dict[str, Any]) -> None:
        """Take a scan's row of the overview and what is shown of it below."""
        self.data.append(f'<script type="application/json" id="data-{self.place}">{embedded(data)}</script>')
        self.rows.append(row)
        self.verdicts.append(verdict)
        if name:
            self.names[name] += 1

    def choices(self) -> Counter[str]:
        """The names that are offered to choose scans by."""
        return self.names

    def plate(self) -> str:
        """Markup of the scans by their places, where they have some."""
        return ""

    def text(self) -> str:
        """The whole page."""
        from xrdmatch.version import __version__

        told = ", ".join(f"{self.verdicts.count(verdict)} {verdict}" for verdict in self.ORDER if verdict in self.verdicts)
        fields = {
            "title": html.escape(self.title),
            "style": joined(STYLESHEETS),
            "script": joined(SCRIPTS),
            "version": __version__,
            "count": f"{len(self.rows)} scan{'s' if len(self.rows) != 1 else ''}: {told}" if self.rows else "no scans",
            "kind": ("one" if len(self.rows) == 1 else "many") + self.KIND,
            "body": self.body(),
            "data": "\n".join(self.data),
        }
        return filled(part("page.html"), fields)

    def body(self) -> str:
        """The overview, and the place below it for one scan."""
        plate = self.plate()
        fields = {
            "order": " ".join(self.ORDER),
            "names": names_found(self.choices()),
            "plate": plate,
            "list": "<details><summary>All scans as a list</summary>" if plate else "",
            "unlist": "</details>" if plate else "",
            "heads": "\n".join(map(_head, self.HEADS)),
            "rows": "\n".join(self.rows),
        }
        return filled(part("page_body.html"), fields)

    def write(self, path: str | Path) -> None:
        """Write the page beside `path` and rename. Raises XrdMatchError where the place cannot be written."""
        with writing(path), atomic_write(path) as place:
            place.write_text(self.text(), encoding="utf-8", newline="\n")


def part(name: str) -> str:
    """One of the files that pages are made of."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def joined(names: Sequence[str]) -> str:
    """Several of them, one below the other."""
    return "\n".join(map(part, names))


def filled(text: str, fields: Mapping[str, str]) -> str:
    """A text with each {{name}} in it replaced, once: what is filled in is not looked at again."""
    head, *rest = text.split("{{")
    return head + "".join(fields[name] + after for name, after in (piece.split("}}", 1) for piece in rest))


def _head(name: str) -> str:
    kind = ' class="number"' if name.startswith(">") else ""
    sorted_by = ' aria-sort="ascending"' if name == "Scan" else ""
    said = name.strip(">.")
    return f"<th{kind}{sorted_by}>" + (said if name.endswith(".") else f'<button type="button">{said}</button>') + "</th>"


def embedded(data: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element or begin a comment."""
    text = json.dumps(_finite(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def names_found(names: Counter[str]) -> str:
    """Each name that was found with the number of scans, the commonest first, as buttons that filter by it; an empty place where there is none."""
    ordered = sorted(names.items(), key=lambda item: (-item[1], item[0].lower()))
    buttons = (
        f'<button type="button" aria-pressed="false" data-name="{html.escape(name)}">{html.escape(name)} <b>{number}</b></button>'
        for name, number in ordered
    )
    return f'<p id="names">{" ".join(buttons)}</p>'
