"""One self-contained HTML page for any number of answers: a sortable summary, and each scan with what was found in it.

Nothing is fetched: style, script and data are inside, and a content security policy forbids all else. What comes from files is data, never markup.
"""

from __future__ import annotations

import base64
import html
import json
import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from xrdmatch.preprocessing.fft_filter import noise_sigma
from xrdmatch.report.calculated_pattern import Overlay, lone_scale, overlay
from xrdmatch.report.phrases import filter_text, formula_text, percent, sentence, wavelength_text
from xrdmatch.search.candidates import Evidence
from xrdmatch.search.indexed_lines import Indexed
from xrdmatch.search.result import Identification, Match
from xrdmatch.system.arrays import Float64Array
from xrdmatch.system.atomic_files import atomic_write, writing

#: Endings of a page's name.
SUFFIXES = (".html", ".htm")
#: Points of all scans together, and the least and most of one: a screen shows some two thousand, and zooming in wants more.
POINTS, LEAST, MOST = 700_000, 2400, 12_000
#: Points of a background, buckets of a summary's small curve.
COARSE, SPARK = 512, 90
#: Lines of the best match and of others that are kept, the weakest of them in percent, and members that are named.
LINES, OTHERS, WEAKEST, MEMBERS = 150, 40, 0.4, 12
_LEVELS = 65535


@dataclass
class Page:
    """A page in the making: `add` each answer, then `write`. `number` is how many are expected; it sets how many points each may keep."""

    number: int = 1
    title: str = "xrdmatch"
    rows: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)

    def add(self, result: Identification) -> None:
        """Take what the page shows of an answer; the answer itself is not kept."""
        points = int(min(max(POINTS / max(self.number, 1), LEAST), MOST))
        place, view = len(self.rows), overlay(result)
        self.rows.append(summary_row(result, place, view))
        self.data.append(f'<script type="application/json" id="data-{place}">{embedded(scan_data(result, view, points))}</script>')
        self.verdicts.append(result.verdict)

    def text(self) -> str:
        """The whole page."""
        from xrdmatch.version import __version__

        parts = {name: _asset(name) for name in ("page.html", "page.css", "page.js")}
        told = ", ".join(f"{self.verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(self.verdicts))
        fields = {
            "title": html.escape(self.title),
            "style": parts["page.css"],
            "script": parts["page.js"],
            "version": __version__,
            "count": f"{len(self.rows)} scan{'s' if len(self.rows) != 1 else ''}: {told}" if self.rows else "no scans",
            "kind": "one" if len(self.rows) == 1 else "many",
            "rows": "\n".join(self.rows),
            "data": "\n".join(self.data),
        }
        text = parts["page.html"]
        head, *rest = text.split("{{")
        return head + "".join(fields[name] + after for name, after in (part.split("}}", 1) for part in rest))

    def write(self, path: str | Path) -> None:
        """Write the page beside `path` and rename. Raises XrdMatchError where the place cannot be written."""
        with writing(path), atomic_write(path) as part:
            part.write_text(self.text(), encoding="utf-8", newline="\n")


def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


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


# --- The summary


def summary_row(result: Identification, place: int, view: Overlay | None) -> str:
    """One row of the summary; it says all that matters without any script."""
    best = result.matches[0] if result.matches else None
    named = result.verdict in ("match", "ambiguous") and best is not None
    likely = result.probability
    noise = result.noise
    what = _framework(best, named) if best is not None else f'<span class="why">{html.escape(_reason(result))}</span>'
    cells = [
        (place, f'<a href="#{place}">{html.escape(Path(result.file).name or result.file)}</a>', f' title="{html.escape(result.file)}"'),
        (result.verdict, f'<span class="badge {html.escape(result.verdict)}">{html.escape(result.verdict)}</span>', ""),
        (best.name.lower() if best is not None else "", what, ""),
        (f"{likely:.6f}" if best is not None else "", _bar(likely) if best is not None else "", ' class="number"'),
        (f"{best.similarity:.6f}" if best is not None else "", f"{best.similarity:.3f}" if best is not None else "", ' class="number"'),
        ("" if noise is None else f"{noise:.6f}", "" if noise is None else f"{100 * noise:.2g} %", ' class="number"'),
        (place, sparkline(view) if view is not None else "", ' class="spark"'),
    ]
    listed = "".join(f'<td data-key="{html.escape(str(key))}"{more}>{cell}</td>' for key, cell, more in cells)
    return f'<tr data-place="{place}" data-verdict="{html.escape(result.verdict)}">{listed}</tr>'


def _framework(best: Match, named: bool) -> str:
    name = html.escape(best.name)
    under = f"<small>{html.escape(best.id)} · {html.escape(formula_text(best.formula).replace(chr(10), ''))}</small>"
    return f"<b>{name}</b>{under}" if named else f'<span class="why">closest: {name}</span>{under}'


def _reason(result: Identification) -> str:
    return result.reason.removeprefix(f"{result.file}: ")


def _bar(share: float) -> str:
    width = f"{100 * min(max(share, 0.0), 1.0):.0f}%"
    return f'<span class="bar"><i style="width:{width}"></i></span> <span class="said">{html.escape(percent(share))}</span>'


def sparkline(view: Overlay) -> str:
    """The scan as a small SVG curve, its peaks kept; square-root scale."""
    angles, counts = thinned(view.two_theta, view.measured, 2 * SPARK)
    roots = np.sqrt(np.maximum(counts - view.measured.min(), 0.0))
    x = 120.0 * (angles - angles[0]) / max(float(angles[-1] - angles[0]), 1e-9)
    y = 22.0 - 20.0 * roots / max(float(roots.max()), 1e-300)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<svg viewBox="0 0 120 24" width="120" height="24" aria-hidden="true"><polyline points="{points}"/></svg>'


# --- One scan


def scan_data(result: Identification, view: Overlay | None, points: int) -> dict[str, Any]:
    """What the page's script draws and lists of one scan."""
    data: dict[str, Any] = {
        "file": result.file,
        "verdict": result.verdict,
        "reason": _reason(result),
        "notes": [sentence(one) for one in result.notes],
    }
    if view is None:
        return data
    data["likely"] = percent(result.probability)
    data["told"] = [part for part in (wavelength_text(result), filter_text(result)) if part]
    data["wavelength"] = result.wavelength
    data["scan"] = curve(view, points)
    scales = {id(match): scale for match, scale in zip(view.phases, view.scales, strict=True)}
    named = [phase.match for phase in result.phases]
    rest = [match for match in [*result.matches, *result.second_matches] if match not in named]
    data["matches"] = [match_data(match, scales.get(id(match)), view) | {"named": match in named} for match in [*named, *rest]]
    return data


def curve(view: Overlay, points: int) -> dict[str, Any]:
    """Scan and background as base64 of 16-bit numbers between the limits given; angles only where they are not even."""
    angles, counts = thinned(view.two_theta, view.measured, points)
    low, high = float(min(counts.min(), view.background.min())), float(max(counts.max(), view.background.max()))
    span = max(high - low, 1e-300)
    even = np.linspace(angles[0], angles[-1], angles.size)
    coarse = np.interp(np.linspace(angles[0], angles[-1], COARSE), view.two_theta, view.background)
    data = {
        "from": float(angles[0]),
        "to": float(angles[-1]),
        "low": low,
        "high": low + span,
        "sigma": noise_sigma(view.measured),
        "y": packed((counts - low) / span),
        "background": packed((coarse - low) / span),
    }
    if np.abs(even - angles).max() > 0.25 * (angles[-1] - angles[0]) / angles.size:
        data["x"] = packed((angles - angles[0]) / (angles[-1] - angles[0]))
    return data


def thinned(angles: Float64Array, counts: Float64Array, points: int) -> tuple[Float64Array, Float64Array]:
    """At most `points` of a scan (n,): the lowest and the highest of each of half as many buckets, so that no peak is lost or lowered."""
    if angles.size <= points:
        return angles, counts
    edges = np.linspace(0, angles.size, max(points // 2, 1) + 1).astype(int)
    lowest = np.array([start + int(counts[start:stop].argmin()) for start, stop in pairwise(edges)])
    highest = np.array([start + int(counts[start:stop].argmax()) for start, stop in pairwise(edges)])
    kept = np.unique(np.concatenate([[0, angles.size - 1], lowest, highest]))
    return angles[kept], counts[kept]


def packed(values: Float64Array) -> str:
    """Shares 0..1 (n,) as base64 of little-endian 16-bit numbers."""
    return base64.b64encode(np.rint(np.clip(values, 0.0, 1.0) * _LEVELS).astype("<u2").tobytes()).decode("ascii")


def match_data(match: Match, scale: float | None, view: Overlay) -> dict[str, Any]:
    """One candidate: its fields, its lines with what became of them, and the scale of its calculated pattern (counts times degrees at 100 %)."""
    fields = ("rank", "id", "name", "family", "similarity", "probability", "shift", "strain", "fwhm", "note", "phase", "share")
    data: dict[str, Any] = {name: getattr(match, name) for name in fields}
    data["formula"] = formula_text(match.formula).replace("\n", "")
    data["likely"] = percent(match.probability)
    data["members"] = match.members[:MEMBERS]
    data["more"] = max(0, len(match.members) - MEMBERS)
    data["doi"] = doi_link(match.doi)
    found = match.evidence or Evidence(0.0)
    data["explained"] = found.explained
    data["extra"] = found.extra
    if match.lines is not None:
        data["cell"] = [round(float(value), 4) for value in match.lines.cell]
        data["scale"] = scale if scale is not None else lone_scale(match.lines, view)
        states = (
            {tuple(line[:3]): state for state, lines in (("found", found.matched), ("missing", found.missing)) for line in lines} if found else {}
        )
        data["lines"] = line_rows(match.lines, LINES if match.rank == 1 else OTHERS, states)
    return data


def line_rows(lines: Indexed, number: int, states: dict[tuple[int, ...], str]) -> list[list[Any]]:
    """h, k, l, d, 2theta in the scan, percent, width, state of the strongest lines, by angle."""
    strong = np.sort(np.argsort(-lines.intensity, kind="stable")[:number])
    rows = []
    for place in strong[lines.intensity[strong] >= WEAKEST]:
        hkl = tuple(int(value) for value in lines.hkl[place])
        numbers = (lines.d[place], lines.observed[place], lines.intensity[place], lines.width[place])
        rows.append([*hkl, *(round(float(value), digits) for value, digits in zip(numbers, (4, 3, 1, 3), strict=True)), states.get(hkl, "")])
    return rows


def doi_link(doi: str) -> str:
    """The address of a DOI, or nothing where it is none: only doi.org is ever linked to."""
    return f"https://doi.org/{quote(doi, safe='/:;().-_')}" if doi.startswith("10.") else ""
