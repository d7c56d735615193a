"""The page of `identify`: a sortable summary of any number of answers, and each scan with what was found in it."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from xrdmatch.preprocessing.fft_filter import noise_sigma
from xrdmatch.report import card
from xrdmatch.report.calculated_pattern import Overlay, lone_scale, overlay, shown
from xrdmatch.report.card import LISTED_FROM, Row
from xrdmatch.report.page_frame import ScanPage
from xrdmatch.report.phrases import formula_text, percent, sentence
from xrdmatch.report.refinement_files import find_peaks
from xrdmatch.search.candidates import Evidence
from xrdmatch.search.indexed_lines import Indexed
from xrdmatch.search.result import Identification, Match
from xrdmatch.system.arrays import Float64Array

#: Points of a background, buckets of a summary's small curve.
COARSE, SPARK = 512, 90
#: Lines of the best match and of others that are kept, the weakest of them in percent, and members that are named.
LINES, OTHERS, WEAKEST, MEMBERS = 150, 40, 0.4, 12
#: Peaks of an unknown that have their angles, and the lowest of them as a share of the highest.
PEAKS, LOWEST = 20, 0.02
_LEVELS = 65535

#: A cell of the overview: what it is sorted by, its markup, its attributes.
Cell = tuple[object, str, str]


class Page(ScanPage):
    """The page of `identify`."""

    def add(self, result: Identification) -> None:
        """Take what the page shows of an answer; the answer itself is not kept."""
        view = overlay(result)
        self.keep(result.verdict, answer_name(result), summary_row(result, self.place, view), scan_data(result, view, self.points))


# --- The overview


def answer_name(result: Identification) -> str:
    """The name or the names of an answer; empty where nothing is named."""
    return " or ".join(name for name, _ in result.headline) if result.verdict in ("match", "ambiguous") else ""


def summary_row(result: Identification, place: int, view: Overlay | None) -> str:
    """One row of the overview; it says all that matters without any script."""
    best = result.matches[0] if result.matches else None
    name = answer_name(result)
    likely, noise = result.probability, result.noise
    what = _framework(result, best, name) if best is not None else f'<span class="why">{html.escape(_reason(result))}</span>'
    bar = probability_bar(likely, _said(result, best, likely)) if best is not None else ""
    cells: list[Cell] = [
        *first_cells(result.file, result.verdict, place, view),
        (best.name.lower() if best is not None else "", what, ""),
        (f"{likely:.6f}" if best is not None else "", bar, ' class="number"'),
        (f"{best.similarity:.6f}" if best is not None else "", f"{best.similarity:.3f}" if best is not None else "", ' class="number"'),
        ("" if noise is None else f"{noise:.6f}", "" if noise is None else f"{100 * noise:.2g} %", ' class="number"'),
        (place, sparkline(view) if view is not None else "", ' class="spark"'),
    ]
    return table_row(cells, result.verdict, name, place)


def first_cells(file: str, verdict: str, place: int, view: Overlay | None) -> tuple[Cell, Cell]:
    """The scan's file with its tick, and the verdict."""
    short = html.escape(Path(file).name or file)
    tick = f'<input type="checkbox" aria-label="Stack {short}"> ' if view is not None else ""
    badge = f'<span class="badge {html.escape(verdict)}">{html.escape(verdict)}</span>'
    return (place, f'{tick}<a href="#{place}">{short}</a>', f' title="{html.escape(file)}"'), (verdict, badge, "")


def table_row(cells: Sequence[Cell], verdict: str, name: str, place: int) -> str:
    """Cells as a row. name: what the row can be chosen by."""
    listed = "".join(f'<td data-key="{html.escape(str(key))}"{more}>{cell}</td>' for key, cell, more in cells)
    return f'<tr data-place="{place}" data-verdict="{html.escape(verdict)}" data-name="{html.escape(name)}">{listed}</tr>'


def _framework(result: Identification, best: Match, name: str) -> str:
    formula = formula_text(best.formula).replace(chr(10), "")
    under = f"<small>{html.escape(' · '.join(filter(None, (formula, best.refcode))))}</small>"
    second = "".join(f" + {html.escape(phase.name)} ({percent(phase.share)} of the signal)" for phase in result.phases[1:])
    if name:
        return f"<b>{html.escape(name)}</b>{second}{under}"
    near = result.probability >= LISTED_FROM
    return f'<span class="why">{f"closest: {html.escape(best.name)}" if near else "nothing like it in the library"}</span>{under if near else ""}'


def _reason(result: Identification) -> str:
    return result.reason.removeprefix(f"{result.file}: ")


def _said(result: Identification, match: Match, probability: float) -> str:
    """How sure it is in words; what was accepted is not weighed."""
    return "accepted" if match.id in result.accepted else percent(probability)


def probability_bar(share: float, said: str) -> str:
    """A probability as a bar, and beside it what is said of it."""
    width = f"{100 * min(max(share, 0.0), 1.0):.0f}%"
    return f'<span class="bar"><i style="width:{width}"></i></span> <span class="said">{html.escape(said)}</span>'


def sparkline(view: Overlay) -> str:
    """The scan as a small SVG curve, its peaks kept."""
    angles, counts = thinned(view.two_theta, view.measured, 2 * SPARK)
    heights = counts - view.measured.min()
    x = 120.0 * (angles - angles[0]) / max(float(angles[-1] - angles[0]), 1e-9)
    y = 22.0 - 20.0 * heights / max(float(heights.max()), 1e-300)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<svg viewBox="0 0 120 24" width="120" height="24" aria-hidden="true"><polyline points="{points}"/></svg>'


# --- One scan


def scan_data(result: Identification, view: Overlay | None, points: int) -> dict[str, Any]:
    """What the page's script draws and lists of one scan."""
    data: dict[str, Any] = {
        "file": result.file,
        "verdict": result.verdict,
        "title": card.title(result) if answer_name(result) else "",
        "name": result.name,
        "probability": result.probability,
        "reason": _reason(result),
        "facts": [{"kind": fact.kind, "label": fact.label, "parts": list(fact.parts)} for fact in card.facts(result)],
        "doi": doi_link(result.phases[0].match.doi) if result.phases else "",
        "notes": [sentence(one) for one in result.notes if one.code != "wavelength_assumed"],  # which the facts say
        "accepted": list(result.accepted),
        "phases": [{name: getattr(phase, name) for name in ("phase", "name", "probability", "share", "weight_share")} for phase in result.phases],
    }
    if view is None:
        return data
    data["wavelength"] = result.wavelength
    data["scan"] = curve(view, points)
    data["peaks"] = highest_peaks(result, view) if result.verdict == "unknown" else []
    data["matches"] = [row_data(row, named, view, _said(result, row.best, row.probability)) for row, named in listed_rows(result)]
    return data


def highest_peaks(result: Identification, view: Overlay) -> list[float]:
    """2theta of the scan's highest peaks, `PEAKS` at most, the highest first."""
    scan = result.measured or result.pattern
    peaks = sorted(find_peaks(scan, view), key=lambda peak: -peak.height) if scan is not None else []
    return [round(float(peak.angle), 3) for peak in peaks[:PEAKS] if peak.height > LOWEST * peaks[0].height]


def listed_rows(result: Identification) -> list[tuple[Row, bool]]:
    """What is listed, and whether the answer names it: its phases, other frameworks that may be the first one, then guesses at a second one."""
    phases = [Row(phase.name, phase.probability, _forms(result, phase.match)) for phase in result.phases]
    taken = {id(form) for row in phases for form in row.forms}
    others = [*card.rows(result, result.matches), *card.rows(result, result.second_matches)]
    rest = [row for row in others if not any(id(form) in taken for form in row.forms)]
    return [*((row, True) for row in phases), *((row, False) for row in rest)]


def _forms(result: Identification, match: Match) -> tuple[Match, ...]:
    """A phase's match, and the others of its framework among the candidates for the phase."""
    matches: Sequence[Match] = result.matches if match.phase == 1 else result.second_matches
    return (match, *(other for other in matches if other is not match and other.framework and other.framework == match.framework))


def row_data(row: Row, named: bool, view: Overlay, likely: str) -> dict[str, Any]:
    """A framework by its best form, with the probability of all of them, also in words: `likely`."""
    scales = {id(match): scale for match, scale in zip(view.phases, view.scales, strict=True)}
    told = {"name": row.name, "probability": row.probability, "likely": likely, "forms": card.forms_text(row), "named": named}
    return match_data(row.best, scales.get(id(row.best)), view) | told


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
    data["entry"] = card.entry_text(match)
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
        data["lines"] = line_rows(match.lines, LINES if match.rank == 1 else OTHERS, states, view)
    return data


def line_rows(lines: Indexed, number: int, states: dict[tuple[int, ...], str], view: Overlay) -> list[list[Any]]:
    """h, k, l, d, 2theta in the scan, percent, width, state, and whether the scan shows it (1 or 0), of the strongest lines, by angle."""
    strong = np.sort(np.argsort(-lines.intensity, kind="stable")[:number])
    strong = strong[lines.intensity[strong] >= WEAKEST]
    seen = shown(lines.part(strong), view)
    rows = []
    for place, clear in zip(strong, seen, strict=True):
        hkl = tuple(int(value) for value in lines.hkl[place])
        numbers = (lines.d[place], lines.observed[place], lines.intensity[place], lines.width[place])
        rounded = (round(float(value), digits) for value, digits in zip(numbers, (4, 3, 1, 3), strict=True))
        rows.append([*hkl, *rounded, states.get(hkl, ""), int(clear)])
    return rows


def doi_link(doi: str) -> str:
    """The address of a DOI, or nothing where it is none: only doi.org is ever linked to."""
    return f"https://doi.org/{quote(doi, safe='/:;().-_')}" if doi.startswith("10.") else ""
