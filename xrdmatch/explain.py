"""What of a scan the network looked at: class activation maps over the pattern, with the matched reflections indexed.

Two maps. `plain` is that of Wang et al., J. Chem. Inf. Model. 2020, 60, 2004: the last convolution's activation, averaged over its channels. It says
where the network is active, whatever the answer. `grad` is Grad-CAM (Selvaraju et al., Int. J. Comput. Vis. 2020, 128, 336): channels weighted by
the mean gradient of the answer's score, so it says what speaks for this answer. Both are cut at 0 and divided by their maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.canvas import BLACK, BLUE, TEXT, Size, new_figure, shortened, style, two_theta_label
from xrdmatch.denoise import Mode, denoise
from xrdmatch.errors import XrdMatchError
from xrdmatch.figures import hkl_text
from xrdmatch.head import Head, read_head
from xrdmatch.identify import Identification, Identifier, Match
from xrdmatch.indexed import Indexed
from xrdmatch.model import NETWORK, Model
from xrdmatch.overlay import overlay, shown, strongest, title
from xrdmatch.pattern import Pattern
from xrdmatch.xray import convert_two_theta

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The network's output beside its answer.
ACTIVATION = "activation"
#: Largest difference allowed between the answer of onnxruntime and that of the head that the gradient is taken from.
PARITY = 1e-3
#: Colours of the maps, white over yellow to orange: light enough for a black line on all of them. Cells a map is drawn in.
COLOURS, CELLS = ("#FFFFFF", "#FFF2B0", "#FFD25A", "#F79A2E", "#E8642A"), 400
#: Reflections that get their hkl.
LABELS = 14
#: Characters of a heading.
HEADING = 92

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why the network gave `match` for a scan.

    two_theta: (m,) degrees of the scan, the points of the network's input. plain, grad: (m,) the maps, 0..1; grad is all 0 where nothing speaks for
    the match. score: the cosine with the match's library vector, or a classifier's logit, that grad explains. resolution: degrees between two
    positions of the last convolution; the maps are interpolated between them.
    """

    result: Identification
    match: Match
    two_theta: Floats
    plain: Floats
    grad: Floats
    score: float
    resolution: float

    def at(self, angles: Floats) -> tuple[Floats, Floats]:
        """Both maps at `angles` (n,) degrees of the scan; 0 outside the network's range."""
        plain, grad = (np.interp(angles, self.two_theta, values, 0.0, 0.0) for values in (self.plain, self.grad))
        return plain, grad


def explain(
    identifier: Identifier, pattern: Pattern, wavelength: float | None = None, filter_mode: Mode = "auto", file: str | None = None, rank: int = 1
) -> Explanation:
    """Identify a scan and map what the network looked at for the match of `rank`.

    Raises XrdMatchError where the answer has no such match, ModelError where the network's layers are not understood.
    """
    result = identifier.identify(pattern, wavelength, filter_mode, file)
    match = next((one for one in result.matches if one.rank == rank), None)
    if match is None:
        there = f"it has {len(result.matches)} matches" if result.matches else f"it is {result.verdict}: {result.reason}"
        raise XrdMatchError(f"{result.file}: there is no match {rank} to explain, {there}")
    model = identifier.model
    scan = result.measured or pattern
    filtered = denoise(scan, filter_mode)
    inputs = model.recipe.apply(filtered.pattern, sigma=filtered.sigma * filtered.passed)[None]
    head = read_head(model.path / NETWORK)
    activation = model.session.run(inputs, ACTIVATION)[0].astype(float)
    direction, score = _towards(model, head, activation, model.encode(inputs)[0].astype(float), match)
    grid = model.recipe.grid
    plain, grad = (stretched(values, head, grid.size) for values in maps(head, activation, direction))
    angles = convert_two_theta(grid.two_theta, grid.wavelength, result.wavelength or grid.wavelength)
    reach = np.isfinite(angles)
    return Explanation(result, match, angles[reach], plain[reach], grad[reach], score, head.jump * grid.step)


def maps(head: Head, activation: Floats, direction: Floats) -> tuple[Floats, Floats]:
    """The plain map and Grad-CAM (positions,) of an activation (filters, positions), 0..1. direction: (k,), see `Head.gradient`."""
    weights = head.gradient(activation, direction).mean(axis=1)
    return _unit(activation.mean(axis=0)), _unit(weights @ activation)


def _unit(values: Floats) -> Floats:
    cut = np.maximum(values, 0.0)
    top = float(cut.max(initial=0.0))
    return np.asarray(cut / top if top > 0 else cut)


def stretched(values: Floats, head: Head, points: int) -> Floats:
    """A map (positions,) on the points (m,) of the network's input, each position at the centre of what it sees."""
    return np.asarray(np.interp(np.arange(points), head.start + head.jump * np.arange(values.size), values))


def _towards(model: Model, head: Head, activation: Floats, said: Floats, match: Match) -> tuple[Floats, float]:
    """The direction in the head's output that speaks for the match, and its score; first makes sure that the head is what onnxruntime runs."""
    answer = head.answer(activation)
    row = model.library.index()[match.id]
    if model.kind == "encoder":
        length = float(np.linalg.norm(answer))
        unit, target = answer / max(length, 1e-12), model.vectors[row].astype(float)
        score = float(unit @ target)
        direction = (target - score * unit) / max(length, 1e-12)  # of the cosine: what only lengthens the vector does not count
    else:
        odds = np.exp(answer - answer.max())
        unit = odds / odds.sum()
        place = int(np.flatnonzero(model.label_rows == row)[0])
        score, direction = float(answer[place]), np.eye(answer.size)[place]
    if unit.shape != said.shape or not float(np.abs(unit - said).max()) < PARITY:
        from xrdmatch.errors import ModelError

        raise ModelError(f"{model.path / NETWORK}: what follows its last convolution is not understood, so its answers cannot be explained")
    return direction, score


# --- The figure


def explanation_figure(found: Explanation, size: Size = "double") -> Figure:
    """The scan over Grad-CAM and over the plain map, with the match's reflections and the hkl of the strongest. Raises as `canvas.style`."""
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


def _map_axes(axes: Axes, scan: Pattern, angles: Floats, values: Floats, name: str, room: float) -> Any:
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
