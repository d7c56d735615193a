"""Re-rankers side by side on examples that none was trained on, each with probabilities fitted anew: how two are chosen between.

    python scripts/compare_rerankers.py MODEL [MODEL ...] --examples FOLDER [FOLDER ...]

All models hold one encoder and differ in the re-ranker. Probabilities are fitted on part "calibrate" of all folders together, which
make_reranker_examples.py wrote; the table is of part "measure", a row for each folder and model. Absent: trials of a scan without its own family,
or of nothing that the library holds. Area: under the curve of right first answers against absent ones. Then the shares that the fitted probabilities
refuse, the share of the present ones that is refused where 97 % of the absent are, and the calibration error over ten bins.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from reliability import binned, calibration_error
from reranker_figures import logits

from xrdmatch.model.folder import Model
from xrdmatch.search.probability import Calibration
from xrdmatch.training.reranker import CALIBRATE, MEASURE
from xrdmatch.training.reranker_calibration import calibration_of, cases
from xrdmatch.training.reranker_data import Examples
from xrdmatch.training.reranker_examples import files

#: Share of the absent ones that has to be refused.
REFUSED = 0.97
HEADER = "| examples | model | absent | present | area | absent refused | present refused | present refused at 97 % | calibration error |"


@dataclass(frozen=True)
class Trials:
    """Trials (n,) of one folder: probability of the best answer and of none, whether the structure is absent, whether the best answer is right."""

    best: np.ndarray
    none: np.ndarray
    absent: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, weights: Calibration, examples: Examples, found: np.ndarray) -> Trials:
        rows = []
        for features, right, _ in cases(examples, found):
            probabilities, none = weights.of_features(features)
            first = int(probabilities.argmax())
            rows.append((probabilities[first], none, right == len(probabilities), first == right))
        best, none, absent, correct = np.array(rows, dtype=float).T
        return cls(best, none, absent > 0, correct > 0)

    def row(self, examples: str, model: str) -> str:
        refused, absent, present = self.none > self.best, self.absent, ~self.absent
        counts, both = [absent.sum(), present.sum()], bool(absent.any() and present.any())
        shares = [f"{100 * refused[which].mean():.1f} %" if which.any() else "" for which in (absent, present)]
        at = [f"{self.area():.4f}", *shares, f"{100 * self.refused_at():.1f} %"] if both else ["", *shares, ""]
        cells = [examples, model, *counts, *at, f"{calibration_error(binned((self.best, self.right))):.4f}"]
        return f"| {' | '.join(map(str, cells))} |"

    def area(self) -> float:
        """Share of the pairs of a right first answer and an absent structure in which the right one has the higher probability."""
        right, absent = self.best[~self.absent & self.right], np.sort(self.best[self.absent])
        below, to = (np.searchsorted(absent, right, side) for side in ("left", "right"))
        return float((below + to).mean() / 2 / absent.size)

    def refused_at(self) -> float:
        """Share of the present ones that fall below the probability which `REFUSED` of the absent ones do not reach."""
        return float((self.best[~self.absent] < np.quantile(self.best[self.absent], REFUSED)).mean())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("models", nargs="+")
    arguments.add_argument("--examples", type=Path, nargs="+", required=True)
    given = arguments.parse_args()
    learn = Examples.load([place for folder in given.examples for place in files(folder)], CALIBRATE)
    measured = {folder.name: Examples.load(files(folder), MEASURE) for folder in given.examples}
    print(f"probabilities fitted on {len(learn)} scans\n\n{HEADER}\n{'|---' * HEADER.count(' | ')}|---|")
    for name in given.models:
        model = Model.load(name, "cpu", 1)
        weights = calibration_of(learn, logits(model, learn))
        for folder, examples in measured.items():
            print(Trials.of(weights, examples, logits(model, examples)).row(folder, Path(name).name), flush=True)


if __name__ == "__main__":
    main()
