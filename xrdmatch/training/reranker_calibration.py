"""Probabilities of a model with a re-ranker, fitted on examples of structures that it was not trained on.

Each scan is two trials: as it is, and with its own family and all that may be its framework taken out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from xrdmatch.search.candidate_view import NUMBERS
from xrdmatch.search.candidates import FEATURES, RERANKED_FEATURES
from xrdmatch.search.probability import Calibration, Named, fit
from xrdmatch.search.reranking import FARTHEST_LOGIT
from xrdmatch.system.arrays import Float64Array
from xrdmatch.training.reranker_data import Examples

#: A scan's candidates' features, its own one's place among them (their number where it is not there), and which scan it was.
Case = tuple[Named, int, int]


def cases(examples: Examples, logits: Float64Array) -> Iterator[Case]:
    """Both trials of each scan. logits: (n, k) the re-ranker's. Decoys, which no search would find, are left out."""
    own = examples.label == 1
    there = (examples.label >= 0) & ~examples.decoy
    for i in range(len(examples)):
        for kept in (there[i], there[i] & ~own[i] & ~examples.related[i]):
            places = np.flatnonzero(kept)
            if places.size:
                right = np.flatnonzero(own[i, places])
                yield _features(examples, i, places, logits), int(right[0]) if right.size else places.size, i
            if examples.row[i] < 0:
                break  # of nothing that the library holds there is one trial only


def _features(examples: Examples, scan: int, places: NDArray[np.int64], logits: Float64Array) -> Named:
    of_search = examples.features[scan, places].astype(float)
    numbers = examples.numbers[scan, places].astype(float)
    found = {name: of_search[:, i] for i, name in enumerate(FEATURES)}
    found[RERANKED_FEATURES[0]] = logits[scan, places].clip(-FARTHEST_LOGIT, FARTHEST_LOGIT)
    return found | {name: numbers[:, NUMBERS.index(name)] for name in RERANKED_FEATURES[1:]}


def calibration_of(examples: Examples, logits: Float64Array) -> Calibration:
    """Weights of greatest likelihood."""
    features, right, _ = zip(*cases(examples, logits), strict=True)
    return fit(list(features), np.array(right), reranked=True)


def figures(weights: Calibration, examples: Examples, logits: Float64Array) -> dict[str, float]:
    """How these probabilities do on examples: calibration error over ten bins, shares right first and rejected."""
    confidence, correct, gone, refused = [], [], [], []
    for features, right, _ in cases(examples, logits):
        probabilities, none = weights.of_features(features)
        best = int(probabilities.argmax())
        confidence.append(float(probabilities[best]))
        correct.append(best == right)
        gone.append(right == len(probabilities))
        refused.append(none > probabilities[best])
    sure, true, absent, rejected = np.array(confidence), np.array(correct), np.array(gone), np.array(refused)
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [abs(sure[bins == k].mean() - true[bins == k].mean()) * (bins == k).mean() for k in range(10) if (bins == k).any()]
    return {
        "calibration_error": round(float(sum(gaps)), 4),
        "simulated_top1": round(float(true[~absent].mean()), 4),
        "simulated_absent_rejected": round(float(rejected[absent].mean()), 4),
        "simulated_present_rejected": round(float(rejected[~absent].mean()), 4),
        "simulated_scans": float(len(examples)),
    }
