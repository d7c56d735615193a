"""Absent and present frameworks that a model with a re-ranker refuses, by lattice, kind of sample and clear lines: the tables of the model's card.

    python scripts/reranker_figures.py MODEL EXAMPLES

`EXAMPLES` is the folder that the re-ranker was trained on (make_reranker_examples.py); only its part "measure" is looked at, on which nothing was
trained or fitted. Each scan is asked once with its framework among the candidates and once without it and all that may be it.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from xrdmatch.diffraction.lattice import lattice_directions
from xrdmatch.evaluation.labelled_scans import wilson
from xrdmatch.model.folder import Model
from xrdmatch.search.candidate_view import NUMBERS
from xrdmatch.search.probability import Calibration
from xrdmatch.training.reranker import MEASURE
from xrdmatch.training.reranker_calibration import cases
from xrdmatch.training.reranker_data import Examples
from xrdmatch.training.reranker_examples import files

AT_ONCE = 512
NOTHING = "nothing of the library"
#: Numbers of clear lines from which a row of the last table begins.
LINES = (0, 4, 6, 8, 11)
#: Clear lines from which scans are told by lattice again.
MANY = 8
MANY_LINES = f"lattice, {MANY} clear lines and more"


@dataclass
class Refused:
    """Trials of absent and of present frameworks, and how many of each are refused."""

    absent: int = 0
    absent_refused: int = 0
    present: int = 0
    present_refused: int = 0

    def add(self, absent: bool, refused: bool) -> None:
        if absent:
            self.absent, self.absent_refused = self.absent + 1, self.absent_refused + refused
        else:
            self.present, self.present_refused = self.present + 1, self.present_refused + refused

    def row(self, name: str) -> str:
        return f"| {name} | {_share(self.absent_refused, self.absent)} | {_share(self.present_refused, self.present)} |"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("examples", type=Path)
    given = arguments.parse_args()
    model = Model.load(given.model, "cpu", 1)
    examples = Examples.load(files(given.examples), MEASURE)
    lattices = [NOTHING if row < 0 else lattice(model.library.cell[row]) for row in examples.row.tolist()]
    lines = np.rint(np.expm1(examples.numbers[:, :, NUMBERS.index("log_lines")].max(axis=1))).astype(int)
    tables: dict[str, dict[str, Refused]] = {title: defaultdict(Refused) for title in ("lattice", "sample", "clear lines", MANY_LINES)}
    for scan, absent, refused in trials(model, examples):
        keys = {"lattice": lattices[scan], "sample": str(examples.kind[scan]), "clear lines": lines_row(int(lines[scan]))}
        many = [(MANY_LINES, key) for key in (lattices[scan], "all") if lines[scan] >= MANY]
        for title, key in (*keys.items(), ("lattice", "all"), *many):
            tables[title][key].add(absent, refused)
    for title, table in tables.items():
        print(f"| {title} | absent refused | present refused |\n|---|---|---|")
        print("\n".join(table[name].row(name) for name in sorted(table)) + "\n")


def trials(model: Model, examples: Examples) -> Iterator[tuple[int, bool, bool]]:
    """Of each trial its scan, whether the framework is absent, and whether the answer is that none fits."""
    weights = Calibration.from_json(model.config["calibration"])
    for features, right, scan in cases(examples, logits(model, examples)):
        probabilities, none = weights.of_features(features)
        yield scan, right == len(probabilities), bool(none > probabilities.max())


def logits(model: Model, examples: Examples) -> np.ndarray:
    """What the model's re-ranker says of all candidates (n, k); NaN where there is none."""
    if model.reranker is None:
        raise SystemExit(f"{model.path}: has no re-ranker")
    found = np.full(examples.label.shape, np.nan)
    scan, candidate = np.nonzero(examples.label >= 0)
    for first in range(0, len(scan), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        found[scan[part], candidate[part]] = model.reranker.run(examples.inputs(scan[part], candidate[part]))[:, 0]
    return found


def lines_row(lines: int) -> str:
    """The row of so many clear lines."""
    first = max(least for least in LINES if least <= lines)
    last = next((least - 1 for least in LINES if least > first), None)
    return f"{first:2d} and more" if last is None else f"{first:2d} to {last}"


def lattice(cell: np.ndarray) -> str:
    """The lattice system that a cell (6,) has by its numbers; rhombohedral cells on hexagonal axes count as hexagonal."""
    free = len(lattice_directions(cell))
    if free == 1:
        return "cubic" if np.abs(cell[3:] - 90.0).max() < 0.1 else "rhombohedral"
    if free == 2:
        return "tetragonal" if np.abs(cell[3:] - 90.0).max() < 0.1 else "hexagonal"
    return {3: "orthorhombic", 4: "monoclinic"}.get(free, "triclinic")


def _share(number: int, total: int) -> str:
    if not total:
        return ""
    low, high = wilson(number, total)
    return f"{number} of {total}, {100 * number / total:.1f} % ({100 * low:.1f}-{100 * high:.1f})"


if __name__ == "__main__":
    main()
