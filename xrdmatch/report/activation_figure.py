"""The figure of an explanation: the scan over its two activation maps, with the matched reflections indexed (matplotlib)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import XrdMatchError
from xrdmatch.evaluation.activation_maps import Explanation
from xrdmatch.report.calculated_pattern import overlay, shown, strongest, title
from xrdmatch.report.figure_style import BLACK, BLUE, TEXT, Size, new_figure, shortened, style, two_theta_label
from xrdmatch.report.figures import hkl_text
from xrdmatch.search.indexed_lines import Indexed
from xrdmatch.system.arrays import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of the maps, white over yellow to orange: light enough for a black line on all of them. Cells a map is drawn in.
COLOURS, CELLS = ("#FFFFFF", "#FFF2B0", "#FFD25A", "#F79A2E", "#E8642A"), 400
#: Reflections that get their hkl.
LABELS = 14
#: Characters of a heading.
HEADING = 92


def explanation_figure(found: Explanation, size: Size = "double") -> Figure:
    """The scan over Grad-CAM and over the plain map, with the match's reflections and the hkl of the strongest. Raises as `figure_style.style`."""
    scan = found.result.measured or found.result.pattern
    if scan is None:
        raise XrdMatchError(f"{found.result.file}: there is no scan to draw")
    with style():
        figure = new_figure(size, 105.0)
        upper, lower, ticks = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": (1.0, 0.75, 0.13), "hspace": 0.0})
        for axes, values, name in ((upper, found.grad, "Grad-CAM"), (lower, found.plain, "activation")):
            image = _map_axes(axes, scan, found.two_theta, values, name, room=0.28 if axes is upper else 0.08)
        if found.match.lines is not None:
            lines, view = found.match.lines, overlay(found.result)
            seen = shown(lines, view) if view is not None else np.ones(len(lines), bool)
            _label_reflections(upper, scan, lines, seen)
            ticks.vlines(lines.observed[~seen], 0.0, 1.0, color="0.75", lw=0.5)
            ticks.vlines(lines.observed[seen], 0.0, 1.0, color=BLUE, lw=0.6)
        ticks.set_ylim(-0.2, 1.2)
        ticks.set_yticks([])
        ticks.set_ylabel("lines", rotation=0, ha="right", va="center")
        ticks.set_xlabel(two_theta_label(found.result.wavelength))
        ticks.set_xlim(scan.two_theta[0], scan.two_theta[-1])
        figure.align_ylabels([upper, lower])
        bar = figure.colorbar(image, ax=[upper, lower], fraction=0.02, pad=0.01, ticks=[0.0, 1.0])
        if bar.solids is not None:
            bar.solids.set_rasterized(False)  # else it is an image, even in a vector file
        bar.set_label("how much it counts (maximum = 1)")
        figure.suptitle(_heading(found), fontsize=TEXT, x=0.01, ha="left").set_parse_math(False)
        return figure


def _heading(found: Explanation) -> str:
    result, match = found.result, found.match
    name = shortened(result.file, HEADING // 2)
    return f"{name}: match {match.rank}, {shortened(title(match), HEADING // 2)}, probability {100 * match.probability:.0f} %"


def _map_axes(axes: Axes, scan: Pattern, angles: Float64Array, values: Float64Array, name: str, room: float) -> Any:
    """One map as coloured cells behind the scan; what is drawn, for the colour bar."""
    low, high = float(scan.intensity.min()), float(scan.intensity.max())
    span = high - low or 1.0
    edges = np.linspace(float(angles[0]), float(angles[-1]), CELLS + 1)
    cells = np.interp(0.5 * (edges[1:] + edges[:-1]), angles, values)
    bottom, top = low - 0.04 * span, high + room * span
    image = axes.pcolormesh(edges, [bottom, top], cells[None], cmap=_colours(), vmin=0.0, vmax=1.0, edgecolors="face", linewidth=0.1, zorder=0)
    axes.plot(scan.two_theta, scan.intensity, color=BLACK, lw=0.6)
    axes.set_ylim(bottom, top)
    axes.set_yticks([])
    axes.set_ylabel("intensity")
    axes.text(0.995, 0.96, name, transform=axes.transAxes, ha="right", va="top", fontsize=TEXT)
    return image


def _colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("counts", COLOURS)


def _label_reflections(axes: Axes, scan: Pattern, lines: Indexed, seen: NDArray[np.bool_]) -> None:
    """hkl over the strongest reflections that the scan shows, upright, with a white rim that reads on any colour."""
    from matplotlib.patheffects import withStroke

    rim = [withStroke(linewidth=1.6, foreground="white")]
    span = float(scan.two_theta[-1] - scan.two_theta[0])
    for place in strongest(lines, LABELS, span / 40):
        if not seen[place]:
            continue
        angle = float(lines.observed[place])
        near = np.abs(scan.two_theta - angle) <= max(0.12, scan.step)
        height = float(scan.intensity[near].max()) if near.any() else float(np.interp(angle, scan.two_theta, scan.intensity))
        said = hkl_text(lines.hkl[place].tolist())
        lift: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, 2)}
        axes.annotate(said, (angle, height), rotation=90, ha="center", va="bottom", fontsize=TEXT - 1, annotation_clip=True, path_effects=rim, **lift)
