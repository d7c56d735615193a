"""Accuracy over the size of the library (figure 3b of Wang et al. 2020), as a table and a plot.

    python scripts/library_size.py full.h5 labels.csv --noise SCAN... --network 189=cnn-189 --network 1012=cnn-1012 -o docs/library-size

Takes 189, 500, 1,012 and 5,000 structures and then all, one a family, those that the labels accept first; each set holds the smaller ones. For
each size it makes 72 shuffled copies of every structure, lets the classical models learn from four fifths, and asks them, plain search-match, and the
networks given for this size. Logistic regression, forest and SVM stop at 1,100 structures, see `xrdmatch.evaluation.baselines`. Every result is added
to PREFIX.csv when it is there; what the file has already is not computed again.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from pathlib import Path

import numpy as np

from xrdmatch import formats
from xrdmatch.evaluation.baselines import SLOW_CLASSES, TITLES, CompareOptions, compare_all
from xrdmatch.evaluation.classical_models import LEARNING, SLOW
from xrdmatch.evaluation.labelled_scans import RANKS, Evaluation, covering_rows, evaluate, read_labels, wilson
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.fft_filter import PAPER_GRID
from xrdmatch.report import figure_style
from xrdmatch.search.identify import Identifier
from xrdmatch.training.augmentation import ShuffleOptions, library_profiles, noise_on_grid, write_shuffled

SIZES = ("189", "500", "1012", "5000", "all")
NETWORK = "network"
TITLE = {**TITLES, NETWORK: "CNN (Wang 2020)"}
FIELDS = ["system", "structures", "kind", "rank", "right", "of", "low", "high", "note", "seconds"]
COLOURS = {
    "network": figure_style.VERMILLION,
    "recipe": figure_style.BLUE,
    "cosine": figure_style.SKY,
    "knn": figure_style.GREEN,
    "bayes": figure_style.ORANGE,
    "logistic": figure_style.PURPLE,
    "svm": figure_style.BLACK,
    "forest": "0.6",
}


def rows_of(system: str, structures: int, result: Evaluation, note: str, seconds: float) -> list[dict[str, object]]:
    """Top-1 to top-5 for each kind, as rows of the CSV."""
    table = []
    for score in result.scores():
        if score.what.startswith("top-"):
            low, high = score.interval
            numbers = {"rank": score.what.removeprefix("top-"), "right": score.right, "of": score.total, "low": f"{low:.3f}", "high": f"{high:.3f}"}
            table.append({"system": system, "structures": structures, "kind": score.kind, **numbers, "note": note, "seconds": f"{seconds:.1f}"})
    return table


def size_of(text: str) -> str:
    """A size as it is asked for. Raises argparse's error where it is none."""
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of structures, or all, got {text!r}")
    return text


def trained(folder: Path) -> str:
    """How long a classifier was trained, and on what."""
    made = json.loads((folder / "config.json").read_text(encoding="utf-8"))["provenance"]
    epochs = made["settings"]["epochs"]
    return f"{epochs} epoch{'s' if epochs > 1 else ''} of {made['data'].get('copies', '?')} copies"


def read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add(path: Path, rows: list[dict[str, object]]) -> None:
    known = path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if not known:
            writer.writeheader()
        writer.writerows(rows)


def draw(path: Path, out: Path) -> None:
    """Top-1 and top-5 over the number of structures, MOFs and mixtures together."""
    found: dict[tuple[str, int, int], list[int]] = {}
    for row in read(path):
        sums = found.setdefault((row["system"], int(row["structures"]), int(row["rank"])), [0, 0])
        sums[0] += int(row["right"])
        sums[1] += int(row["of"])
    sizes = sorted({size for _, size, _ in found})
    with figure_style.style():
        figure = figure_style.new_figure("double", 72.0)
        for axes, rank in zip(figure.subplots(1, 2, sharey=True), (RANKS[0], RANKS[-1]), strict=True):
            for place, (system, colour) in enumerate(COLOURS.items()):
                points = [(size, *found[system, size, rank]) for size in sizes if (system, size, rank) in found]
                if not points:
                    continue
                x = np.array([size for size, *_ in points]) * 1.05 ** (place - 3.5)  # side by side
                share = np.array([100.0 * right / of for _, right, of in points])
                bounds = 100.0 * np.array([wilson(right, of) for _, right, of in points])
                off = np.abs(bounds.T - share)
                look = {"color": colour, "capsize": 1.2, "elinewidth": 0.4, "capthick": 0.4, "ms": 2.5, "lw": 0.9}
                axes.errorbar(x, share, yerr=off, marker="o", label=TITLE[system], **look)
            axes.set_xscale("log")
            axes.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
            axes.minorticks_off()
            axes.set_xlabel("structures in the library")
            axes.set_title(f"top-{rank}", fontsize=figure_style.TEXT)
            axes.set_ylim(-3.0, 103.0)
        figure.axes[0].set_ylabel(f"right / % of {max(of for _, of in found.values())} measured patterns")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center")
        figure_style.save(figure, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--noise", nargs="+", type=Path, default=[], help="measured scans of crystals")
    parser.add_argument("--network", action="append", default=[], metavar="SIZE=DIR", help="a classifier trained on so many structures")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), type=size_of, metavar="N|all")
    parser.add_argument("--systems", nargs="+", default=list(TITLES), choices=list(TITLES))
    parser.add_argument("--filter", default="paper", choices=["auto", "paper", "on", "off"])
    parser.add_argument("-o", "--output", required=True, metavar="PREFIX")
    options = parser.parse_args()
    library, labels = Library.load(options.library), read_labels(options.labels)
    table, networks = Path(options.output + ".csv"), dict(pair.split("=", 1) for pair in options.network)
    noise = {path.name: noise_on_grid(formats.read(path), PAPER_GRID) for path in options.noise}
    for size in options.sizes:
        number = len(np.unique(library.family)) if size == "all" else int(size)
        rows = covering_rows(library, labels, number, 0)
        done = {row["system"] for row in read(table) if int(row["structures"]) == number}
        asked = [name for name in options.systems if name not in done and not (name in SLOW and number > SLOW_CLASSES)]
        learning = [name for name in asked if name in LEARNING] if noise else []
        with tempfile.TemporaryDirectory() as folder:
            training = Path(folder) / "set.h5"
            if learning:
                profiles = library_profiles(library, rows, PAPER_GRID, 0.1)
                write_shuffled(profiles, library.id[rows].tolist(), noise, training, ShuffleOptions(grid=PAPER_GRID))
            for name in [name for name in asked if name not in LEARNING] + learning:
                how = CompareOptions(training if name in LEARNING else None, options.filter)
                one = compare_all([name], options.labels, library.subset(rows), how)[0]
                add(table, rows_of(name, number, one.evaluation, one.note, one.seconds))
                print(number, name, one.seconds, "s", flush=True)
        if size in networks and NETWORK not in done:
            result = evaluate(options.labels, Identifier(networks[size]), options.filter)
            add(table, rows_of(NETWORK, number, result, trained(Path(networks[size])), sum(row.seconds for row in result.rows)))
    draw(table, Path(options.output + ".svg"))


if __name__ == "__main__":
    main()
