"""A scan as a small plot of text, with the lines of its best match: what fits on a terminal.

Each column stands for a few tenths of a degree and shows its highest point above the background; whatever stands out of the noise gets an eighth of a
row at least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.preprocessing.fft_filter import noise_sigma
from xrdmatch.report.calculated_pattern import Overlay, overlay
from xrdmatch.search.result import Identification

FOUND, MISSING, EXTRA = "found", "missing", "extra"
#: The sign under the plot for each.
SIGNS = {FOUND: "|", MISSING: "x", EXTRA: "?"}
#: Noise levels above the background from which a point shows.
LEVEL = 3.0
_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Sketch:
    """rows: the plot from top to bottom, each `width` characters; marks: a state for each column, or nothing; axis: angles under it."""

    rows: list[str]
    marks: list[str]
    axis: str

    @property
    def under(self) -> str:
        """The row of signs under the plot."""
        return "".join(SIGNS.get(mark, " ") for mark in self.marks)


def sketch(result: Identification, width: int, height: int) -> Sketch | None:
    """The scan in `width` columns and `height` rows of text; None where there is no scan."""
    view = overlay(result)
    if view is None:
        return None
    levels = np.ceil(column_heights(view, width) * 8 * height).astype(int)
    rows = ["".join(_EIGHTHS[min(max(level - 8 * row, 0), 8)] for level in levels) for row in reversed(range(height))]
    return Sketch(rows, _marks(view, width), axis(view, width))


def column_heights(view: Overlay, width: int) -> NDArray[np.float64]:
    """(width,) each column's highest point above background and noise, 1 for the highest of all, unless it is noise itself."""
    sigma = noise_sigma(view.measured)
    above = np.maximum(view.measured - view.background - LEVEL * sigma, 0.0)
    columns = column_of(view, view.two_theta, width)
    highest = np.zeros(width)
    np.maximum.at(highest, columns, above)
    return np.asarray(highest / max(float(highest.max()), 4.0 * LEVEL * sigma, 1e-300))


def column_of(view: Overlay, angles: NDArray[np.float64], width: int) -> NDArray[np.int64]:
    """The column (n,) that holds each angle (n,)."""
    start, stop = view.two_theta[0], view.two_theta[-1]
    return np.asarray(np.clip((angles - start) / (stop - start) * width, 0, width - 1), dtype=np.int64)


def _marks(view: Overlay, width: int) -> list[str]:
    """The best match's strong lines that the scan shows or lacks, and the scan's strong lines that it does not have; the odd ones win a column."""
    found = [line[3] for match in view.phases for line in (match.evidence.matched if match.evidence else [])]
    marks = [""] * width
    for state, angles in ((FOUND, found), (EXTRA, view.extra), (MISSING, [line[3] for line in view.missing])):
        for column in column_of(view, np.array(angles, dtype=float), width).tolist():
            marks[column] = state
    return marks


def axis(view: Overlay, width: int) -> str:
    """Angles at round steps, each beginning at its column."""
    start, stop = float(view.two_theta[0]), float(view.two_theta[-1])
    step = next((size for size in (1, 2, 5, 10, 20, 50) if (stop - start) / size <= width / 8), 50)
    line = [" "] * width
    for angle in range(step * int(np.ceil(start / step)), int(stop) + 1, step):
        column, said = int(column_of(view, np.array([angle]), width)[0]), f"{angle}°"
        if column + len(said) <= width and all(sign == " " for sign in line[max(0, column - 1) : column + len(said)]):
            line[column : column + len(said)] = said
    return "".join(line)
