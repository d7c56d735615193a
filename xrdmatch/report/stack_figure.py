"""Scans over the simulated patterns of what they should be: one figure, shared angles, each pattern lifted above the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.radiation import convert_two_theta
from xrdmatch.errors import XrdMatchError
from xrdmatch.library.named_reference import NamedReference
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.preprocessing.scan_background import background
from xrdmatch.report.figure_style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    TEXT,
    VERMILLION,
    WIDTHS,
    Scale,
    Size,
    new_figure,
    shortened,
    style,
    two_theta_label,
)
from xrdmatch.search.claimed_lines import EXTRA, ClaimedLines, claimed_lines
from xrdmatch.system.arrays import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Patterns of a figure at most.
MOST = 30
#: Colours of references, one after the other.
REFERENCES = (BLUE, VERMILLION, GREEN, ORANGE, SKY)
#: Distance of two patterns, in heights of one; how far labels and marks stand above what is drawn.
LIFT, LABEL, MARK = 1.25, 0.2, 0.05
#: Millimetres of a point of text.
POINT = 25.4 / 72.0
#: Height of a pattern and of what is around them, and the largest of a figure, millimetres.
ROW, AROUND, HIGHEST = 15.0, 18.0, 235.0
#: Characters of a label.
LABELS = {"single": 30, "double": 70}
#: Line width of simulated patterns, degrees; and points of their grid at most.
FWHM, GRID_POINTS = 0.1, 12_000


@dataclass(frozen=True)
class StackOptions:
    """How a stack is drawn.

    size, scale: as of other figures. start, stop: degrees at the figure's wavelength, by default what the scans cover. flat: subtract backgrounds.
    wavelength: angstrom of the axis, by default the first scan's; others are converted to it. marks: whether lines are marked.
    """

    size: Size = "double"
    scale: Scale = "linear"
    start: float | None = None
    stop: float | None = None
    flat: bool = False
    wavelength: float | None = None
    marks: bool = True


_DEFAULTS = StackOptions()


def stack_figure(scans: Sequence[tuple[str, Pattern]], references: Sequence[NamedReference] = (), options: StackOptions = _DEFAULTS) -> Figure:
    """Scans by label, the first at the bottom, over the references. Lines of the scans that a reference has bear its colour, others a diamond.

    Raises XrdMatchError where matplotlib is absent, and where there is no scan, too much for one figure, or nothing between `start` and `stop`.
    """
    if not scans:
        raise XrdMatchError("a stack needs at least one scan")
    if len(scans) + len(references) > MOST:
        raise XrdMatchError(f"{len(scans) + len(references)} patterns are too many for one figure; {MOST} are possible, so choose some")
    prepared = [prepare_scan(pattern, filter_mode="off") for _, pattern in scans]
    wavelength = options.wavelength or prepared[0].wavelength
    library = Library.from_entries(replace(one.entry, id=str(place)) for place, one in enumerate(references))
    claimed = [claimed_lines(scan, library) if options.marks and references else None for scan in prepared]
    flat = [scan.measured.with_intensity(scan.measured.intensity - background(scan.measured)) if options.flat else scan.measured for scan in prepared]
    drawn = [_converted(pattern, wavelength) for pattern in flat]
    limits = _limits(drawn, options)
    with style():
        figure = new_figure(options.size, min(HIGHEST, AROUND + ROW * (len(scans) + len(references))))
        axes = figure.subplots()
        for place, reference in enumerate(references):
            pattern = reference.pattern(_grid(limits, wavelength), FWHM)
            _draw(axes, pattern, place, _Look(f"{reference.label}, simulated", REFERENCES[place % len(REFERENCES)], 0.0, options), limits)
        for place, ((label, _), pattern, lines) in enumerate(zip(scans, drawn, claimed, strict=True), len(references)):
            heights = _draw(axes, pattern, place, _Look(label, BLACK, 0.0 if options.flat else None, options), limits)
            if lines is not None:
                angles = convert_two_theta(lines.two_theta, prepared[place - len(references)].wavelength, wavelength)
                _mark(axes, ClaimedLines(angles, lines.reference), pattern, heights, limits)
        _finish(axes, len(scans) + len(references), limits, wavelength, options.scale)
        _explain(axes, claimed, references)
        return figure


def _converted(pattern: Pattern, wavelength: float) -> Pattern:
    """The pattern as it would lie with another wavelength."""
    angles = convert_two_theta(pattern.two_theta, pattern.wavelength or wavelength, wavelength)
    reach = np.isfinite(angles)
    return replace(pattern, two_theta=angles[reach], intensity=pattern.intensity[reach], wavelength=wavelength)


def _limits(patterns: Sequence[Pattern], options: StackOptions) -> tuple[float, float]:
    """First and last angle of the figure."""
    start = options.start if options.start is not None else min(float(pattern.two_theta[0]) for pattern in patterns)
    stop = options.stop if options.stop is not None else max(float(pattern.two_theta[-1]) for pattern in patterns)
    if not any(((pattern.two_theta >= start) & (pattern.two_theta <= stop)).sum() > 1 for pattern in patterns):
        raise XrdMatchError(f"no scan has points between {start:g} and {stop:g} degrees; choose other limits")
    return start, stop


def _grid(limits: tuple[float, float], wavelength: float) -> Grid:
    start = max(limits[0], 0.5)
    step = max(0.01, (limits[1] - start) / GRID_POINTS)
    return Grid(start, start + step * int((limits[1] - start) / step), step, wavelength)


@dataclass(frozen=True)
class _Look:
    """How one pattern is drawn. foot: its intensity at the foot of its lines, where known; else its lowest."""

    label: str
    colour: str
    foot: float | None
    options: StackOptions


def _draw(axes: Axes, pattern: Pattern, place: int, look: _Look, limits: tuple[float, float]) -> Float64Array:
    """One pattern at its height, between 0 and 1 above it, with its label; returns its heights (n,) in the figure."""
    inside = (pattern.two_theta >= limits[0]) & (pattern.two_theta <= limits[1])
    seen = pattern.intensity[inside] if inside.any() else pattern.intensity
    low, high = look.foot if look.foot is not None else float(seen.min()), float(seen.max())
    heights = ((pattern.intensity - low) / max(high - low, 1e-300)).clip(0.0, 1.0)
    heights = np.sqrt(heights) if look.options.scale == "sqrt" else heights
    lifted = np.asarray(heights + LIFT * place)
    axes.plot(pattern.two_theta[inside], lifted[inside], color=look.colour, lw=0.6)
    said = shortened(look.label, LABELS[look.options.size])
    # As much of the axis as the text covers, about: above what is drawn there.
    under = pattern.two_theta > limits[1] - (limits[1] - limits[0]) * (0.02 + len(said) * 0.6 * TEXT * POINT / WIDTHS[look.options.size])
    above = min(float(heights[inside & under].max(initial=0.0)) + LABEL, 1.0)
    text = axes.annotate(
        said, (0.992, LIFT * place + above), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=TEXT, color=look.colour
    )
    text.set_parse_math(False)
    return lifted


def _mark(axes: Axes, lines: ClaimedLines, pattern: Pattern, heights: Float64Array, limits: tuple[float, float]) -> None:
    """A mark above each strong line: a dot in the colour of the reference that has it, a diamond where none has."""
    edge = 0.004 * (limits[1] - limits[0])  # half a mark
    inside = (lines.two_theta >= limits[0] + edge) & (lines.two_theta <= limits[1] - edge)
    for angle, reference in zip(lines.two_theta[inside].tolist(), lines.reference[inside].tolist(), strict=True):
        near = np.abs(pattern.two_theta - angle) <= 0.1
        top = float(heights[near].max()) if near.any() else float(np.interp(angle, pattern.two_theta, heights))
        extra = reference == EXTRA
        colour = PURPLE if extra else REFERENCES[reference % len(REFERENCES)]
        axes.plot(angle, top + MARK, marker="D" if extra else "o", ms=2.8 if extra else 1.8, mew=0.0, color=colour, ls="none", zorder=3)


def _finish(axes: Axes, rows: int, limits: tuple[float, float], wavelength: float, scale: Scale) -> None:
    axes.set_xlim(*limits)
    axes.set_ylim(-0.06, LIFT * (rows - 1) + 1.0 + 0.15)
    axes.set_yticks([])
    axes.set_ylabel("intensity" + (" (square-root scale)" if scale == "sqrt" else ""))
    axes.set_xlabel(two_theta_label(wavelength))


def _explain(axes: Axes, claimed: Sequence[ClaimedLines | None], references: Sequence[NamedReference]) -> None:
    """What the marks mean, above the figure: those that are there."""
    there = {int(one) for lines in claimed if lines is not None for one in lines.reference}
    for place, reference in enumerate(references):
        if place in there:
            axes.plot(
                [],
                [],
                marker="o",
                ms=2.8,
                mew=0.0,
                ls="none",
                color=REFERENCES[place % len(REFERENCES)],
                label=f"line of {shortened(reference.label, 30)}",
            )
    if EXTRA in there:
        axes.plot([], [], marker="D", ms=2.8, mew=0.0, ls="none", color=PURPLE, label="line of no reference")
    handles, names = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(
            handles, names, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, handletextpad=0.1, columnspacing=1.0, borderaxespad=0.2
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
