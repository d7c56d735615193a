"""What a notebook shows of results and patterns: HTML with an inline SVG plot, and a PNG where matplotlib is there.

`identify` and `pattern` reach for this module only when a notebook asks; everything else imports to the left.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import XrdMatchError
from xrdmatch.report import card
from xrdmatch.report.calculated_pattern import Overlay, overlay
from xrdmatch.report.html_page import doi_link, thinned
from xrdmatch.report.phrases import formula_text, percent
from xrdmatch.search.indexed_lines import Indexed
from xrdmatch.search.result import Identification, Match
from xrdmatch.system.arrays import Float64Array

#: Points of a curve, and the size of a plot in its own units.
POINTS, WIDTH, HEIGHT = 1600, 760, 260
#: Measured, calculated, lines, missing, extra; Okabe and Ito's colours, the first as the notebook writes its text.
COLOURS = {"measured": "currentColor", "calculated": "#E69F00", "lines": "#56B4E9", "missing": "#D55E00", "extra": "#CC79A7"}
_BADGES = {"match": "#009E73", "ambiguous": "#B8860B", "unknown": "#CC79A7", "unusable": "#808080", "error": "#D55E00"}


def identification_html(result: Identification) -> str:
    """The verdict, what the card says, the scan with its calculated pattern, and the candidates."""
    badge = f'<b style="color:{_BADGES.get(result.verdict, "#808080")}">{html.escape(result.verdict.upper())}</b>'
    named = result.verdict in ("match", "ambiguous")
    names = " or ".join(f"<b>{html.escape(name)}</b> {html.escape(percent(share))}" for name, share in result.headline) if named else ""
    parts = [f"{badge} {names} <span style='opacity:.65'>{html.escape(result.file)}</span>"]
    for fact in card.facts(result):
        label = f"<b>{html.escape(fact.label)}:</b> " if fact.label else ""
        said = f"{label}{html.escape('  ·  '.join(fact.parts))}"
        parts.append(f"<br><small style='opacity:.65'>{said}</small>" if fact.kind in ("scan", "next") else f"<br>{said}")
    view = overlay(result)
    if view is not None:
        parts.append(overlay_svg(view))
    if result.matches:
        parts.append(matches_html([*result.matches, *result.second_matches]))
    return f"<div>{''.join(parts)}</div>"


def matches_html(matches: Sequence[Match]) -> str:
    """The ranked matches as a table."""
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("#", "framework", "refcode", "formula", "similarity", "probability", ""))
    rows = []
    for match in matches:
        link = doi_link(match.doi)
        second = " (second phase?)" if match.phase > 1 else ""
        instead = f" ({match.metal_exchanged})" if match.metal_exchanged is not None else ""
        texts = (str(match.rank), match.name + instead + second, match.id, formula_text(match.formula).replace("\n", ""))
        cells = [*map(html.escape, (*texts, f"{match.similarity:.3f}", percent(match.probability)))]
        cells.append(f'<a href="{html.escape(link)}" rel="noopener noreferrer">doi</a>' if link else "")
        rows.append("<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table style='color:inherit'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def pattern_html(pattern: Pattern) -> str:
    """A pattern as a small plot under its name and range."""
    said = html.escape(repr(pattern))
    axis = _Axis(pattern.two_theta, pattern.intensity, HEIGHT - 30)
    curve = axis.curve(pattern.two_theta, pattern.intensity, "measured")
    return f"<div><small>{said}</small>{_svg(curve + axis.ticks(HEIGHT - 30), HEIGHT)}</div>"


def overlay_svg(view: Overlay) -> str:
    """Measured and calculated curves, the lines of the phases under them, missing and extra lines marked."""
    floor = HEIGHT - 60
    both = np.maximum(view.measured, view.calculated)
    axis = _Axis(view.two_theta, both, floor, float(view.measured.min()))
    parts = [axis.curve(view.two_theta, view.measured, "measured")]
    if view.phases:
        parts.append(axis.curve(view.two_theta, view.calculated, "calculated"))
    for match in view.phases:
        if match.lines is not None:
            parts.append(axis.lines(match.lines, floor + 8))
    for sign, kind, angles in (("▼", "missing", [line[3] for line in view.missing]), ("◆", "extra", view.extra)):
        for angle in angles:
            near = np.abs(view.two_theta - angle) < 0.15
            y = axis.y(float(both[near].max()) if near.any() else 0.0) - 3
            title = f"<title>{kind} line at {angle:.2f}°</title>"
            parts.append(f'<text x="{axis.x(angle):.1f}" y="{max(y, 10):.1f}" text-anchor="middle" fill="{COLOURS[kind]}">{sign}{title}</text>')
    return _svg("".join(parts) + axis.ticks(HEIGHT - 34), HEIGHT)


def _svg(inside: str, height: int) -> str:
    style = "max-width:100%;height:auto;display:block;font:11px sans-serif"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" style="{style}">{inside}</svg>'


class _Axis:
    """Angles and counts to the units of a plot."""

    def __init__(self, angles: Float64Array, counts: Float64Array, floor: float, low: float | None = None) -> None:
        self.start, self.stop, self.floor = float(angles[0]), float(angles[-1]), floor
        self.low = float(counts.min()) if low is None else low
        self.span = max(float(counts.max()) - self.low, 1e-300)

    def x(self, angle: float) -> float:
        return 4.0 + (angle - self.start) / (self.stop - self.start) * (WIDTH - 8.0)

    def y(self, count: float) -> float:
        return self.floor - (count - self.low) / self.span * (self.floor - 16.0)

    def curve(self, angles: Float64Array, counts: Float64Array, kind: str) -> str:
        kept = thinned(angles, counts, POINTS)
        points = " ".join(f"{self.x(float(angle)):.1f},{self.y(float(count)):.1f}" for angle, count in zip(*kept, strict=True))
        return f'<polyline points="{points}" fill="none" stroke="{COLOURS[kind]}" stroke-width="1"/>'

    def lines(self, lines: Indexed, top: float) -> str:
        """A tick a line, with its hkl as a tooltip."""
        parts = []
        for place in np.flatnonzero(lines.intensity > 0.5):
            hkl = " ".join(str(value) for value in lines.hkl[place])
            x, high = self.x(float(lines.observed[place])), 3.0 + 9.0 * float(lines.intensity[place] / 100.0) ** 0.5
            title = f"<title>{hkl}: {lines.observed[place]:.2f}°</title>"
            parts.append(f'<path d="M{x:.1f} {top:.1f}v{high:.1f}" stroke="{COLOURS["lines"]}">{title}</path>')
        return "".join(parts)

    def ticks(self, top: float) -> str:
        step = next((size for size in (1, 2, 5, 10, 20) if (self.stop - self.start) / size < 14), 50)
        parts = [f'<path d="M4 {top}H{WIDTH - 4}" stroke="currentColor" opacity=".5"/>']
        for angle in range(step * int(np.ceil(self.start / step)), int(self.stop) + 1, step):
            x = self.x(angle)
            parts.append(f'<path d="M{x:.1f} {top}v4" stroke="currentColor" opacity=".5"/>')
            parts.append(f'<text x="{min(max(x, 14), WIDTH - 14):.1f}" y="{top + 16}" text-anchor="middle" fill="currentColor">{angle}°</text>')
        return "".join(parts)


def identification_png(result: Identification) -> bytes | None:
    """The figure of `figures.identification_figure`; None where matplotlib is absent or there is no scan."""
    from xrdmatch.report.figure_style import png
    from xrdmatch.report.figures import identification_figure

    try:
        return png(identification_figure(result))
    except XrdMatchError:
        return None


def pattern_png(pattern: Pattern) -> bytes | None:
    """The pattern's figure; None where matplotlib is absent."""
    from xrdmatch.report.figure_style import png
    from xrdmatch.report.figures import patterns_figure

    try:
        return png(patterns_figure([(pattern.name or "pattern", pattern)]))
    except XrdMatchError:
        return None
