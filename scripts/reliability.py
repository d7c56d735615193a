"""How often an answer is right against the probability it states: a reliability diagram, and the expected calibration error.

    python scripts/reliability.py MODEL ../shared/measured held-out/easy held-out/middle held-out/hard -o docs/plots/reliability.svg

Two series: scans of benchmarks/held_out.py, one folder with labels.csv each, of structures that the encoder never saw, for every second one of which
all that may be the framework is taken out of the library; and all measured scans together (the minerals without and with their structures). A
scan that is unusable has no probability and is left out. Right is an answer whose best name is the label's framework, or stands in
tests/measured_cases.csv as truly there. Counts of each bin and Wilson's 95 % intervals are printed and drawn. The error is the mean distance, over
ten equal bins, of stated probability and share of right answers, each bin weighted by its scans. `MODEL`: a folder or the name of a shipped
model.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from measured_cases import read_cases, right
from measured_sets import Answer, collected

from xrdmatch.evaluation.labelled_scans import read_labels, wilson
from xrdmatch.formats import read
from xrdmatch.library.metal_exchange import LetIn
from xrdmatch.model.folder import Model, find_model
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.report import figure_style
from xrdmatch.search.identify import Identifier
from xrdmatch.search.ladder import headline
from xrdmatch.search.scan_quality import unusable
from xrdmatch.training.reranker_examples import may_be_one

BINS = 10
Pairs = tuple[np.ndarray, np.ndarray]  # stated probability and whether the answer is right, of n scans


@dataclass(frozen=True)
class Bin:
    """Scans whose answer states a probability between two tenths."""

    stated: float
    right: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.total)


def binned(pairs: Pairs) -> list[Bin]:
    """Those of the `BINS` bins that hold scans, by rising probability."""
    stated, correct = pairs
    place = np.minimum((stated * BINS).astype(int), BINS - 1)
    inside = (place == number for number in range(BINS))
    return [Bin(float(stated[here].mean()), int(correct[here].sum()), int(here.sum())) for here in inside if here.any()]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error, 0 to 1."""
    total = sum(one.total for one in bins)
    return sum(one.total * abs(one.stated - one.right / one.total) for one in bins) / total


def measured(found: Sequence[Answer]) -> Pairs:
    """Usable measured scans."""
    cases = {case.key: case.expected for case in read_cases()}
    usable = [one for one in found if one.verdict not in ("unusable", "error")]
    as_if_named = (replace(one, verdict="match", stated=((one.name, -1),)) for one in usable)
    correct = [one.first or right(stated, cases.get((one.set, one.file), "")) for one, stated in zip(usable, as_if_named, strict=True)]
    return np.array([one.probability for one in usable]), np.array(correct, dtype=bool)


def simulated(model: Model, folders: Sequence[Path]) -> Pairs:
    """Usable simulated scans; of every second one all that may be its framework is taken out of the library."""
    identifier, library, index = Identifier(model), model.library, model.library.index()
    rows = [(folder / row["file"], row) for folder in folders for row in read_labels(folder / "labels.csv") if row["label"] in index]
    stated, correct = [], []
    for number, (path, row) in enumerate(rows):
        own = index[row["label"]]
        absent = number % 2 == 1
        scan = prepare_scan(read(path), float(row["wavelength"]))
        if unusable(scan.comparison):
            continue
        ranking, _ = identifier.rankings(scan, LetIn(~framework(model, own)) if absent else None)
        best = headline(library, ranking)
        groups = best.groups if best.level else best.groups[:1]
        families = library.family[ranking.candidates.rows[[place for group in groups for place in group.places]]]
        stated.append(best.probability)
        correct.append(not absent and library.family[own] in families)
    return np.array(stated), np.array(correct, dtype=bool)


def framework(model: Model, row: int) -> np.ndarray:
    """(n,) which entries may be the framework of this one: its family and what calibration takes out with it (`reranker_examples.may_be_one`)."""
    library = model.library
    return (library.family == library.family[row]) | may_be_one(library, np.arange(len(library)), row, model.vectors @ model.vectors[row])


def table(title: str, bins: Sequence[Bin]) -> Iterator[str]:
    yield f"{title}: {sum(one.total for one in bins)} scans, expected calibration error {calibration_error(bins):.3f}"
    for one in bins:
        low, high = one.interval
        yield f"  stated {one.stated:.3f}: right {one.right} of {one.total}, {one.right / one.total:.3f} ({low:.3f}-{high:.3f})"


def draw(series: dict[str, list[Bin]], out: Path) -> None:
    with figure_style.style():
        figure = figure_style.new_figure("single", 75.0)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="0.7", lw=0.6)
        looks = ((figure_style.BLUE, "o", -0.006), (figure_style.VERMILLION, "s", 0.006))
        for row, ((title, bins), (colour, marker, aside)) in enumerate(zip(series.items(), looks, strict=True)):
            x = np.array([one.stated for one in bins]) + aside
            y = np.array([one.right / one.total for one in bins])
            off = np.abs(np.array([one.interval for one in bins]).T - y)
            name = f"{title}, {sum(one.total for one in bins):,} scans, error {calibration_error(bins):.3f}"
            axes.errorbar(x, y, yerr=off, color=colour, marker=marker, ms=3, lw=0.7, elinewidth=0.5, capsize=1.5, label=name)
            look = {"color": colour, "ha": "center", "va": "center", "fontsize": figure_style.TEXT - 1.5}
            for one in bins:  # how many scans, below the middle of their bin
                axes.text((min(int(one.stated * BINS), BINS - 1) + 0.5) / BINS, -0.07 - 0.055 * row, str(one.total), **look)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.16, 1.2), xlabel="stated probability of the best answer", ylabel="share of right answers")
        axes.set_yticks(np.arange(0, 1.01, 0.2))
        axes.legend(loc="upper left")
        figure_style.save(figure, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("measured", type=Path)
    parser.add_argument("simulated", type=Path, nargs="+", help="folders with labels.csv, made by benchmarks/held_out.py")
    parser.add_argument("--answers", help="a file of scripts/measured_sets.py, which saves asking again")
    parser.add_argument("-o", "--out", type=Path, help="the figure; without it only the numbers")
    given = parser.parse_args()
    model = Model.load(find_model(given.model), "cpu")
    found = collected(given.answers or given.model, given.measured)
    series = {"simulated": binned(simulated(model, given.simulated)), "measured": binned(measured(found))}
    for title, bins in series.items():
        print(*table(title, bins), sep="\n")
    print(*table("measured, without the minerals", binned(measured([one for one in found if one.kind != "mineral"]))), sep="\n")
    if given.out:
        draw(series, given.out)


if __name__ == "__main__":
    main()
