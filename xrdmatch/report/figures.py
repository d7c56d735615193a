"""Figures for papers and their supporting information: scans with what was found in them, patterns, learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import CU_K_ALPHA
from xrdmatch.errors import XrdMatchError
from xrdmatch.report.calculated_pattern import Overlay, overlay, shown, title
from xrdmatch.report.figure_style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    TEXT,
    VERMILLION,
    Scale,
    Size,
    new_figure,
    root_scale,
    shortened,
    style,
    two_theta_label,
)
from xrdmatch.search.indexed_lines import Indexed
from xrdmatch.search.result import Identification, Match
from xrdmatch.system.arrays import Float64Array
from xrdmatch.system.atomic_files import reason

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xrdmatch.diffraction.structure import Structure
    from xrdmatch.diffraction.structure_factors import Reflections

#: A candidate's colour by its place in the figure.
CANDIDATES = (BLUE, VERMILLION, GREEN)
#: Candidates shown at most, and the probability from which one beside the best is shown.
SHOWN, LIKELY = 3, 0.05
#: Colours of the indices of a first and a second phase.
PHASE_LABELS = ("0.25", VERMILLION)
#: Share of the highest line from which another is seen on each axis.
SEEN = {"linear": 0.02, "sqrt": 0.004}
#: Lines with hkl in a single column; a double column has room for twice as many.
LABELS = 9
#: Characters of a heading.
HEADING = {"single": 46, "double": 96}


# --- An identified scan


def identification_figure(result: Identification, size: Size = "double", scale: Scale = "linear", heading: bool = True) -> Figure:
    """The scan, the calculated pattern of the best match, the candidates' lines with hkl, the difference, missing and extra lines.

    size: the width of one journal column or of two. scale: sqrt makes weak lines visible. heading: the file's name and the verdict on top.
    Raises XrdMatchError where matplotlib is absent or the answer has no scan.
    """
    view = overlay(result)
    if view is None:
        raise XrdMatchError(f"{result.file}: there is no scan to draw: {result.reason}")
    with style():
        if not view.phases:
            return _bare(result, view, size, scale, heading)
        named = candidates(result)
        figure = new_figure(size, (97.0 if size == "double" else 84.0) + 8.0 * (len(named) - 1))
        ratios = (1.0, 0.02 + 0.16 * len(named), 0.22)
        top, ticks, rest = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": ratios, "hspace": 0.0})
        _pattern_axes(top, view, scale, size)
        _tick_axes(ticks, named, view)
        rest.plot(view.two_theta, view.difference, color=BLACK, lw=0.5)
        rest.axhline(0.0, color="0.6", lw=0.4, zorder=0)
        rest.set_ylabel("difference")
        rest.set_yticks([])
        rest.set_xlabel(_axis(result))
        rest.set_xlim(view.two_theta[0], view.two_theta[-1])
        figure.align_ylabels([top, rest])
        if heading:
            _heading(figure, result, size)
        return figure


def candidates(result: Identification) -> list[Match]:
    """What a figure shows: the phases that are named, and others that are likely, `SHOWN` at most."""
    beside = [match for match in result.matches[1:] if match.probability >= LIKELY]
    return [match for match in [*(phase.match for phase in result.phases), *beside] if match.lines is not None][:SHOWN]


def _pattern_axes(axes: Axes, view: Overlay, scale: Scale, size: Size) -> None:
    axes.plot(view.two_theta, view.measured, color=BLACK, lw=0.6, label="measured")
    axes.plot(view.two_theta, view.calculated, color=ORANGE, lw=0.8, alpha=0.9, label="calculated")
    axes.plot(view.two_theta, view.background, color="0.6", lw=0.5, ls=(0, (4, 2)), label="background")
    _counts(axes, view, scale)
    shades = zip(view.phases, view.scales, PHASE_LABELS, strict=False)
    phases = [(match.lines, height, shade) for match, height, shade in shades if match.lines is not None]
    _label_lines(axes, view, phases, LABELS * (2 if size == "double" else 1), SEEN[scale])
    _mark(axes, view, [line[3] for line in view.missing], "v", VERMILLION, "missing line")
    _mark(axes, view, view.extra, "D", PURPLE, "extra line")
    handles, names = axes.get_legend_handles_labels()
    above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": len(names), "columnspacing": 1.0}
    axes.legend(handles, names, handlelength=1.4, borderaxespad=0.2, borderpad=0.2, handletextpad=0.5, **above)


def _counts(axes: Axes, view: Overlay, scale: Scale) -> None:
    """The intensity axis: room on top for the labels; square roots where asked for."""
    if scale == "sqrt":
        root_scale(axes)
    low, high = float(min(view.measured.min(), view.background.min())), float(max(view.measured.max(), view.calculated.max()))
    room = 0.22 * (high - low) if scale == "linear" else 0.5 * (high - low)
    axes.set_ylim(max(0.0, low - 0.03 * (high - low)) if scale == "sqrt" else low - 0.03 * (high - low), high + (room or 1.0))
    axes.set_ylabel("intensity" + (" (square-root scale)" if scale == "sqrt" else ""))
    axes.set_yticks([])


def _at(view: Overlay, angle: float, reach: float = 0.12) -> float:
    """The scan's highest point near an angle."""
    near = np.abs(view.two_theta - angle) <= reach
    both = np.maximum(view.measured, view.calculated)
    return float(both[near].max()) if near.any() else float(np.interp(angle, view.two_theta, both))


def _mark(axes: Axes, view: Overlay, angles: Sequence[float], marker: str, colour: str, name: str) -> None:
    if not angles:
        return
    heights = [_at(view, angle) for angle in angles]
    lift: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, 4)}
    axes.plot([], [], marker=marker, color=colour, ls="none", ms=3.5, label=name)
    for angle, height in zip(angles, heights, strict=True):
        sign = "▼" if marker == "v" else "◆"
        axes.annotate(sign, (angle, height), color=colour, ha="center", va="bottom", fontsize=TEXT - 1, annotation_clip=True, **lift)


def _label_lines(axes: Axes, view: Overlay, phases: Sequence[tuple[Indexed, float, str]], number: int, share: float) -> None:
    """hkl over the highest lines of all phases that the scan shows, upright, where they run neither into each other nor into marks or the frame.

    phases: lines, the scale that makes their heights comparable, colour of the labels. share: of the top, from which a line is seen.
    """
    start, stop = float(view.two_theta[0]), float(view.two_theta[-1])
    span = stop - start
    ranked = [
        (scale * float(lines.intensity[place]), float(lines.observed[place]), lines.hkl[place].tolist(), colour)
        for lines, scale, colour in phases
        for place in np.flatnonzero(shown(lines, view, share))
    ]
    taken = [*view.extra, *(line[3] for line in view.missing)]
    lift: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, 4)}
    room = 1.05 * span / (2.2 * number)
    left = number
    for _, angle, hkl, colour in sorted(ranked, key=lambda line: -line[0]):
        if left == 0:
            break
        if min((abs(angle - other) for other in taken), default=span) < room or not start + 0.4 * room < angle < stop - 0.4 * room:
            continue
        axes.annotate(hkl_text(hkl), (angle, _at(view, angle)), rotation=90, ha="center", va="bottom", fontsize=TEXT - 1.5, color=colour, **lift)
        taken.append(angle)
        left -= 1


def hkl_text(hkl: Sequence[int]) -> str:
    """220, or 10 2 0 where an index has two digits; a bar over negative ones (mathtext)."""
    parts = [rf"$\overline{{{-value}}}$" if value < 0 else str(value) for value in hkl]
    return (" " if any(abs(value) > 9 for value in hkl) else "").join(parts)


def _tick_axes(axes: Axes, named: Sequence[Match], view: Overlay) -> None:
    """One row of lines a candidate, as high as the root of their intensity, with its name."""
    missing = {tuple(line[:3]) for line in view.missing}
    for row, match in enumerate(named):
        lines, colour = match.lines, CANDIDATES[row % len(CANDIDATES)]
        if lines is None:
            continue
        heights = 0.1 + 0.4 * np.sqrt(lines.intensity / 100.0)
        base = -float(row)
        axes.vlines(lines.observed, base, base + heights * (lines.intensity > 0.3), color=colour, lw=0.6)
        if row == 0:
            gone = [place for place, hkl in enumerate(lines.hkl.tolist()) if tuple(hkl) in missing]
            axes.plot(lines.observed[gone], [base - 0.08] * len(gone), ls="none", marker="^", ms=2.5, color=VERMILLION)
        said = f"{title(match)}{_sureness(match)}"
        text = axes.annotate(said, (0.995, base + 0.98), xycoords=("axes fraction", "data"), ha="right", va="top", fontsize=TEXT - 1.5, color=colour)
        text.set_parse_math(False)
    axes.set_ylim(-len(named) + 1 - 0.25, 1.15)
    axes.set_yticks([])


def _sureness(match: Match) -> str:
    if match.phase > 1:
        return f" · {'second' if match.phase == 2 else 'further'} phase"
    return f" · {100 * match.probability:.0f} %"


def _bare(result: Identification, view: Overlay, size: Size, scale: Scale, heading: bool) -> Figure:
    """A scan in which nothing was named."""
    figure = new_figure(size, 60.0)
    axes = figure.subplots()
    axes.plot(view.two_theta, view.measured, color=BLACK, lw=0.6)
    _counts(axes, view, scale)
    axes.set_xlim(view.two_theta[0], view.two_theta[-1])
    axes.set_xlabel(_axis(result))
    if heading:
        _heading(figure, result, size)
    return figure


def _heading(figure: Figure, result: Identification, size: Size) -> None:
    name = Path(result.file).name or result.file
    said = {"match": "", "ambiguous": "ambiguous: ", "unknown": "unknown; closest: "}.get(result.verdict, result.verdict)
    best = " + ".join([result.name, *(phase.name for phase in result.phases[1:])])
    room = max(12, HEADING[size] - len(said) - len(best))
    text = figure.suptitle(f"{said}{best}  ·  {shortened(name, room)}", fontsize=TEXT + (1 if size == "double" else 0), x=0.01, ha="left")
    text.set_parse_math(False)


def _axis(result: Identification | Pattern) -> str:
    return two_theta_label(result.wavelength)


# --- Patterns and learning curves


def patterns_figure(patterns: Sequence[tuple[str, Pattern]], size: Size = "double", scale: Scale = "linear") -> Figure:
    """Patterns over each other by name, the first in grey behind the others: a scan as measured, and as filtered.

    Raises XrdMatchError where matplotlib is absent.
    """
    with style():
        figure = new_figure(size, 60.0)
        axes = figure.subplots()
        for colour, (name, pattern) in zip(("0.55", BLUE, VERMILLION, GREEN), patterns, strict=False):
            axes.plot(pattern.two_theta, pattern.intensity, color=colour, lw=0.5 if colour == "0.55" else 0.8, label=name)
        _plain(axes, patterns[0][1], scale)
        for text in axes.legend(loc="upper right").get_texts():
            text.set_parse_math(False)
        return figure


def structure_figure(structure: Structure, pattern: Pattern, size: Size = "double", scale: Scale = "linear") -> Figure:
    """A simulated pattern (`simulate_pattern`) with its structure's lines under it and hkl over the strongest. Raises as `patterns_figure`."""
    return lines_figure(pattern, simulated_lines(structure, pattern), size, scale)


def lines_figure(pattern: Pattern, lines: Indexed, size: Size = "double", scale: Scale = "linear") -> Figure:
    """A simulated pattern over its lines, with hkl over the strongest; its name and formula on top. Raises as `patterns_figure`."""
    with style():
        figure = new_figure(size, 68.0)
        top, ticks = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1.0, 0.1), "hspace": 0.0})
        top.plot(pattern.two_theta, pattern.intensity, color=BLUE, lw=0.8)
        _plain(top, pattern, scale)
        none = np.zeros(pattern.two_theta.size)
        view = Overlay(pattern.two_theta, pattern.intensity, none, pattern.intensity, (), (), [], [])
        _label_lines(top, view, [(lines, 1.0, PHASE_LABELS[0])], LABELS * (2 if size == "double" else 1), SEEN[scale])
        top.set_xlabel("")
        top.set_ylim(0.0, top.get_ylim()[1] * (1.2 if scale == "linear" else 1.6))
        ticks.vlines(lines.observed, 0.0, 0.15 + 0.85 * np.sqrt(lines.intensity / 100.0), color=BLACK, lw=0.6)
        ticks.set_yticks([])
        ticks.set_ylim(-0.1, 1.1)
        ticks.set_xlabel(two_theta_label(pattern.wavelength))
        text = figure.suptitle(shortened(f"{pattern.name}  ·  {pattern.meta.get('formula', '')}", HEADING[size]), fontsize=TEXT, x=0.01, ha="left")
        text.set_parse_math(False)
        return figure


def simulated_lines(structure: Structure, pattern: Pattern) -> Indexed:
    """The lines of a structure within a simulated pattern's range."""
    from xrdmatch.diffraction.structure_factors import conventional_lines, reflections

    wavelength, stop = pattern.wavelength or CU_K_ALPHA, float(pattern.two_theta[-1])
    found = reflections(structure, wavelength / (2.0 * np.sin(np.radians(stop) / 2.0)))
    return indexed_reflections(*conventional_lines(structure.cell, found), pattern)


def indexed_reflections(cell: Float64Array, found: Reflections, pattern: Pattern) -> Indexed:
    """The lines of a conventional cell (6,) within a simulated pattern's range."""
    from xrdmatch.diffraction.lattice import centring, lattice_group
    from xrdmatch.diffraction.radiation import two_theta
    from xrdmatch.search.indexed_lines import WEAKEST, conventional

    wavelength, stop = pattern.wavelength or CU_K_ALPHA, float(pattern.two_theta[-1])
    angles, heights = found.lines(wavelength)
    kept = (angles >= pattern.two_theta[0]) & (angles <= stop)
    kept &= heights > WEAKEST * 0.01 * max(float(heights[kept].max(initial=0.0)), 1e-300)
    d, hkl = found.d[: angles.size][kept], found.hkl[: angles.size][kept]
    symbol = centring(hkl)
    top = 100.0 / max(float(heights[kept].max(initial=0.0)), 1e-300)
    columns = d, two_theta(d, wavelength), angles[kept], heights[kept] * top, np.full(d.size, 0.1)
    return Indexed(cell, lattice_group(cell, symbol), conventional(hkl, cell, symbol), *columns)


def _plain(axes: Axes, pattern: Pattern, scale: Scale) -> None:
    """Labels and range of one pattern's axes."""
    if scale == "sqrt":
        root_scale(axes)
    axes.set_xlim(pattern.two_theta[0], pattern.two_theta[-1])
    axes.set_xlabel(two_theta_label(pattern.wavelength))
    axes.set_ylabel("intensity" + (" (square-root scale)" if scale == "sqrt" else ""))
    axes.set_yticks([])


def curves_figure(rows: Sequence[dict[str, float]]) -> Figure:
    """Learning curves of a training log: losses on the left, shares right on the right, over epochs or steps. Raises ValueError without rows."""
    if not rows:
        raise ValueError("there are no rows to draw")
    with style():
        along = next((name for name in ("epoch", "step") if name in rows[0]), "")
        x = [row[along] if along else place for place, row in enumerate(rows, 1)]
        losses = {"loss": "training", "val_loss": "validation"}
        shares = {name: name.replace("val_top", "top-") for name in rows[0] if name.startswith(("val_top", "recall@"))}
        figure = new_figure("double", 62.0)
        for axes, lines, label in zip(figure.subplots(1, 2), (losses, shares), ("loss", "share right on validation"), strict=True):
            for place, (field, name) in enumerate((field, name) for field, name in lines.items() if field in rows[0]):
                marker = "o" if len(rows) < 30 else ""
                axes.plot(
                    x, [row[field] for row in rows], color=(BLUE, VERMILLION, GREEN, ORANGE)[place % 4], marker=marker, ms=2.5, lw=1.0, label=name
                )
            axes.set_xlabel(along or "row")
            axes.set_ylabel(label)
            axes.legend(loc="best")
        figure.axes[1].set_ylim(0.0, 1.0)
        return figure


def read_log(path: str | Path) -> list[dict[str, float]]:
    """The rows of a training.csv, numbers only. Raises XrdMatchError where it cannot be read."""
    import csv

    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError) as error:
        raise XrdMatchError(f"{path}: expected a training log (training.csv), but it cannot be read ({reason(error)})") from error
