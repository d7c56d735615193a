"""The figure of a map of labelled scans (matplotlib)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xrdmatch.evaluation.nca_map import Map
from xrdmatch.report.figure_style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, TEXT, VERMILLION, Size, new_figure, shortened, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: One colour and one mark a label; together they repeat after 84 labels.
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
MARKS = "os^Dv*PX<>hp"
#: Labels in one column of the legend, and characters of each.
LEGEND, ROOM = 24, 28


def map_figure(made: Map, size: Size = "double") -> Figure:
    """The map, one colour and mark a label, with a legend beside it. Raises as `figure_style.style`."""
    names = sorted(set(made.labels), key=str.casefold)
    with style():
        figure = new_figure(size, 92.0 if size == "double" else 78.0)
        axes = figure.subplots()
        for place, name in enumerate(names):
            here = np.array([label == name for label in made.labels])
            colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
            said = f"{shortened(name, ROOM)} ({here.sum()})"
            axes.plot(*made.points[here].T, ls="none", marker=mark, color=colour, ms=5, mew=0.4, mec="white", label=said)
        axes.set_xlabel("first component")
        axes.set_ylabel("second component")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.margins(0.08)
        columns = -(-len(names) // LEGEND)
        legend = axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), ncols=columns, fontsize=TEXT - 0.5, handletextpad=0.2, columnspacing=0.8)
        for text in legend.get_texts():
            text.set_parse_math(False)
        return figure
