"""Does the FFT filter help, and is the paper's threshold of 1 right? Accuracy with the filter off, auto, paper and on over counting levels.

    python scripts/filter_effect.py --model cnn-1012 --model mof-encoder --number 60 -o docs/filter-effect

Draws entries of the first model's library as scans of a careful diffractometer (`physics.EASY`, whole range) whose strongest point counts from 10 to
100,000, filters each in every way, and asks plain cosine, cosine with our recipe, and each model. What the two rules do follows at any threshold from
the answers with the filter never and always applied. Writes DIR-scans.csv (one row a scan and system), DIR.csv (accuracies) and DIR.svg.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.evaluation.baselines import SEARCH, Queries, ranked, search
from xrdmatch.evaluation.labelled_scans import wilson
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.fft_filter import NOISY, PAPER_GRID, PAPER_LIMIT, denoise, paper_filter
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.report import figure_style
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions
from xrdmatch.training.effects_numpy import EASY, measured_like

COUNTS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)  # log10 of the strongest point's counts
THRESHOLDS = np.linspace(-2.0, 4.0, 61)
MINMAX = Recipe(kind="minmax", grid=PAPER_GRID)
#: How a scan is filtered: never, always by our cut, always by the paper's.
WAYS = ("off", "on", "paper filter")
COLOURS = {"off": figure_style.BLACK, "paper": figure_style.VERMILLION, "on": figure_style.GREEN, "auto": figure_style.BLUE}
DASHES = {"auto": ":"}  # often the same as "on" or "off", which must show under it


@dataclass(frozen=True, eq=False)
class Scan:
    """A simulated scan and what the two rules measure of it; forms: (pattern, noise of one point) by WAYS."""

    row: int
    level: float
    noise: float
    criterion: float
    forms: dict[str, tuple[Pattern, float]]


def make(library: Library, row: int, level: float, rng: np.random.Generator) -> Scan:
    """One scan of a library entry, in its three forms."""
    hardness = replace(EASY, counts=(level, level), cut=0.0)
    counts = measured_like(library, np.array([row]), PAPER_GRID, rng, hardness)[0][0]
    scan = Pattern(PAPER_GRID.two_theta, counts, PAPER_GRID.wavelength, str(library.id[row]))
    off, on = denoise(scan, "off"), denoise(scan, "on")
    top = counts.max() - np.median(counts)
    paper = scan.with_intensity(paper_filter(counts) * (top if top > 0 else 1.0))
    return Scan(
        row,
        level,
        off.noise,
        denoise(scan, "paper").criterion,
        {"off": (scan, off.sigma, 1.0), "on": (on.pattern, on.sigma, on.noise_gain), "paper filter": (paper, off.sigma, float(np.sqrt(399 / 2304)))},
    )


def by_search(name: str, library: Library, scans: list[Scan], way: str) -> list[bool]:
    """Whether the right family comes first."""
    whole = np.ones((len(scans), SEARCH.grid.size), bool)
    forms = [scan.forms[way] for scan in scans]
    values = np.stack([pattern.intensity for pattern, *_ in forms]).astype(np.float32)
    levels = np.array([SEARCH.smoothed_noise(*form) for form in forms], np.float32)
    signal = SEARCH.signal(values, whole, levels) ** np.float32(SEARCH.power)
    x = MINMAX.apply_batch(values, whole)[:, 0]
    scores = search(name, library, np.arange(len(library)), Queries([], {}, x, signal, whole))
    return [hit(library, scan, ranked(row, np.arange(len(library)), library, 1)[0].family) for scan, row in zip(scans, scores, strict=True)]


def by_model(identifier: Identifier, library: Library, scans: list[Scan], way: str) -> list[bool]:
    """The same for a model: a classifier is asked as the paper asks it, an encoder as `identify` does."""
    model = identifier.model
    if model.kind == "classifier":
        inputs = np.stack([model.recipe.apply(scan.forms[way][0]) for scan in scans])
        best = model.label_rows[model.encode(inputs).argmax(axis=1)]
        return [str(model.library.id[row]) == str(library.id[scan.row]) for row, scan in zip(best, scans, strict=True)]
    found = []
    for scan in scans:
        matches = identifier.identify(scan.forms[way][0], SearchOptions(filter_mode="off")).matches
        found.append(bool(matches) and str(library.id[scan.row]) in matches[0].members)
    return found


def hit(library: Library, scan: Scan, family: str) -> bool:
    return family == str(library.family_name[library.family[scan.row]])


def applied(right: dict[str, NDArray[np.bool_]], scans: list[Scan], mode: str, threshold: float | None = None) -> NDArray[np.bool_]:
    """Which scans are right when the filter runs by `mode`, at its own threshold or another."""
    if mode in ("off", "on"):
        return right[mode]
    if mode == "auto":
        return np.where([scan.noise >= (NOISY if threshold is None else threshold) for scan in scans], right["on"], right["off"])
    return np.where([scan.criterion > (PAPER_LIMIT if threshold is None else threshold) for scan in scans], right["paper filter"], right["off"])


def draw(answers: dict[str, dict[str, NDArray[np.bool_]]], scans: list[Scan], path: Path) -> None:
    """Above: accuracy over counts for each mode. Below: accuracy over the paper's threshold, all counting levels together."""
    levels = np.array([scan.level for scan in scans])
    with figure_style.style():
        figure = figure_style.new_figure("double", 95.0)
        for column, (name, right) in enumerate(answers.items()):
            upper, lower = (figure.add_subplot(2, len(answers), place * len(answers) + column + 1) for place in (0, 1))
            for mode, colour in COLOURS.items():
                hits = applied(right, scans, mode)
                shares = [100 * hits[levels == level].mean() for level in COUNTS]
                upper.plot(10.0 ** np.array(COUNTS), shares, "o", ls=DASHES.get(mode, "-"), ms=2, color=colour, label=mode)
            upper.set_xscale("log")
            upper.set_title(name, fontsize=figure_style.TEXT)
            upper.set_xlabel("counts of the strongest point")
            lower.plot(THRESHOLDS, [100 * applied(right, scans, "paper", value).mean() for value in THRESHOLDS], color=figure_style.VERMILLION)
            lower.axvline(PAPER_LIMIT, color="0.5", lw=0.5, ls=":")
            lower.set_xlabel("threshold of the paper's criterion")
            for axes in (upper, lower):
                axes.set_ylim(0, 102)
                if column == 0:
                    axes.set_ylabel("right first / %")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), title="filter", title_fontsize=figure_style.TEXT - 0.5, loc="outside right center")
        figure_style.save(figure, path)


def write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", action="append", required=True, help="name or folder; scans are drawn from the first one's library")
    parser.add_argument("--number", type=int, default=60, help="entries drawn at each counting level")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="beginning of the names of what is written")
    options = parser.parse_args()
    models = [Identifier(name) for name in options.model]
    library = models[0].model.library
    rows = np.random.default_rng(options.seed).choice(len(library), min(options.number, len(library)), replace=False)
    scans = [make(library, int(row), level, np.random.default_rng([options.seed, int(row), int(10 * level)])) for level in COUNTS for row in rows]
    answers: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for title, name in (("cosine", "cosine"), ("cosine, our recipe", "recipe")):
        answers[title] = {way: np.array(by_search(name, library, scans, way)) for way in WAYS}
    for model in models:
        answers[model.model.name] = {way: np.array(by_model(model, library, scans, way)) for way in WAYS}
    beginning = str(options.output)
    each = [
        [library.id[scan.row], scan.level, f"{scan.noise:.5f}", f"{scan.criterion:.3f}", name, *(int(right[way][i]) for way in WAYS)]
        for name, right in answers.items()
        for i, scan in enumerate(scans)
    ]
    write(Path(beginning + "-scans.csv"), ["id", "log10_counts", "noise", "criterion", "system", "off", "on", "paper_filter"], each)
    levels = np.array([scan.level for scan in scans])
    table: list[list[object]] = []
    for name, right in answers.items():
        for mode in COLOURS:
            hits = applied(right, scans, mode)
            for level in (*COUNTS, None):
                part = hits if level is None else hits[levels == level]
                low, high = wilson(int(part.sum()), part.size)
                table.append([name, mode, "all" if level is None else level, int(part.sum()), part.size, f"{low:.3f}", f"{high:.3f}"])
        curve = [applied(right, scans, "paper", value).mean() for value in THRESHOLDS]
        print(
            f"{name}: paper's criterion at {PAPER_LIMIT:g} {100 * applied(right, scans, 'paper').mean():.1f} %, best {100 * max(curve):.1f} % at "
            f"{THRESHOLDS[int(np.argmax(curve))]:.1f}; " + ", ".join(f"{mode} {100 * applied(right, scans, mode).mean():.1f} %" for mode in COLOURS)
        )
    write(Path(beginning + ".csv"), ["system", "filter", "log10_counts", "right", "of", "low", "high"], table)
    fires = [f"10^{level:g}: {np.mean([scan.criterion > PAPER_LIMIT for scan in scans if scan.level == level]):.0%}" for level in COUNTS]
    print("the paper's criterion fires on " + ", ".join(fires))
    draw(answers, scans, Path(beginning + ".svg"))


if __name__ == "__main__":
    main()
