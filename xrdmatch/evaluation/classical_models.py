"""The classical models of Wang et al. 2020 over training patterns: naive Bayes, nearest neighbours, logistic regression, random forest, SVM.

Parameters and input (every 2theta column scaled to 0..1 on the training set) are those of the paper's published script. The only module that imports
scikit-learn for classification.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.system.arrays import Float32Array
from xrdmatch.system.parallel import usable_cores

LEARNING = ("bayes", "knn", "logistic", "forest", "svm")
#: Training patterns that the slow three get, as many of each structure as this allows; of the forest each tree, drawn anew. Minutes each at 1,012
#: structures; naive Bayes and kNN get all patterns.
SLOW = {"logistic": 6_072, "forest": 2_024, "svm": 6_072}
#: Neighbours of kNN, smoothing of naive Bayes, trees of the forest (the paper's).
NEIGHBOURS, ALPHA, TREES = 140, 0.01, 100
#: Rows scaled or compared at a time.
BLOCK = 2048


@dataclass(frozen=True, eq=False)
class Training:
    """Patterns the classical models learn from: x (n, points) scaled to 0..1, y (n,) index into rows, rows: library row of each class."""

    x: NDArray[Any]
    y: NDArray[np.int32]
    rows: NDArray[np.int64]

    def at_most(self, number: int) -> Training:
        """The first `number` / classes patterns of each class, at least two; they stand in random order."""
        each = max(2, number // len(self.rows))
        order = np.argsort(self.y, kind="stable")
        starts = np.searchsorted(self.y[order], np.arange(len(self.rows)))
        place = np.arange(order.size) - starts[self.y[order]]
        kept = np.sort(order[place < each])
        return Training(self.x[kept], self.y[kept], self.rows)


def classify(name: str, training: Training, queries: Float32Array, seed: int = 0) -> NDArray[np.float64]:
    """Scores (q, classes) of one classical model: the larger the likelier, -inf where it gives a class no vote."""
    if name not in LEARNING:
        raise ValueError(f"{name} is not a classical model")
    low = training.x.min(axis=0).astype(np.float32)
    span = training.x.max(axis=0).astype(np.float32) - low
    span = np.where(span > 0, span, np.float32(1))

    def scaled(x: NDArray[Any]) -> Float32Array:
        return np.asarray((x - low) / span, dtype=np.float32)

    asked = scaled(queries)
    if name == "bayes":
        return _bayes(training, scaled, asked)
    if name == "knn":
        return _votes(_neighbours(training, scaled, asked))
    if name == "forest":
        return _votes(_forest(training, scaled, asked, seed))
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    # The paper ranks by the SVM's pairwise probabilities (five more fits of each of the half million pairs); votes and margins rank the same first.
    model = LogisticRegression() if name == "logistic" else SVC(decision_function_shape="ovr")
    subset = training.at_most(SLOW[name])
    with warnings.catch_warnings(action="ignore"):  # the paper's 100 steps of logistic regression do not converge, which scikit-learn says
        margins = np.asarray(model.fit(scaled(subset.x), subset.y).decision_function(asked), dtype=float)
    scores = np.full((len(asked), len(training.rows)), -np.inf)
    scores[:, model.classes_] = margins if margins.ndim > 1 else np.stack([-margins, margins], axis=1)  # of two classes there is one margin
    return scores


def _bayes(training: Training, scaled: Callable[[NDArray[Any]], Float32Array], asked: Float32Array) -> NDArray[np.float64]:
    """All that naive Bayes takes from a class are its sums, so one mean pattern with its weight stands for the class: the same fit, much faster."""
    from sklearn.naive_bayes import MultinomialNB

    sums = np.zeros((len(training.rows), training.x.shape[1]))
    for start in range(0, len(training.y), BLOCK):
        order = start + np.argsort(training.y[start : start + BLOCK], kind="stable")
        classes, firsts = np.unique(training.y[order], return_index=True)
        sums[classes] += np.add.reduceat(scaled(training.x[order]).astype(float), firsts, axis=0)
    number = np.bincount(training.y, minlength=len(training.rows))
    kept = np.flatnonzero(number)
    model = MultinomialNB(alpha=ALPHA).fit(sums[kept] / number[kept, None], kept, sample_weight=number[kept])
    scores = np.full((len(asked), len(training.rows)), -np.inf)
    scores[:, kept] = model.predict_joint_log_proba(asked)
    return scores


def _neighbours(training: Training, scaled: Callable[[NDArray[Any]], Float32Array], asked: Float32Array) -> NDArray[np.float64]:
    """Share of the `NEIGHBOURS` nearest patterns (Euclidean) that belong to each class, in blocks, as KNeighborsClassifier votes."""
    distance = np.empty((len(asked), len(training.y)), np.float32)
    for start in range(0, len(training.y), BLOCK):
        part = slice(start, start + BLOCK)
        block = scaled(training.x[part])
        distance[:, part] = (block**2).sum(axis=1) - 2.0 * asked @ block.T  # less the scan's own square, the same for all
    number = min(NEIGHBOURS, len(training.y))
    nearest = np.argpartition(distance, number - 1, axis=1)[:, :number]
    return np.stack([np.bincount(training.y[row], minlength=len(training.rows)) / number for row in nearest])


def _forest(training: Training, scaled: Callable[[NDArray[Any]], Float32Array], asked: Float32Array, seed: int) -> NDArray[np.float64]:
    """Mean class probabilities of `TREES` trees, each on its own bootstrap and kept no longer than needed: a whole forest takes gigabytes.

    As many grow at a time as there are cores; a seed gives the same forest on any number.
    """
    from sklearn.tree import DecisionTreeClassifier

    rng, size = np.random.default_rng(seed), min(len(training.y), SLOW["forest"])
    draws = [(rng.integers(len(training.y), size=size), int(rng.integers(2**31))) for _ in range(TREES)]

    def grown(draw: tuple[NDArray[np.int64], int]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        tree = DecisionTreeClassifier(max_features="sqrt", random_state=draw[1])
        tree.fit(scaled(training.x[draw[0]]), training.y[draw[0]])
        return tree.classes_, tree.predict_proba(asked)

    total = np.zeros((len(asked), len(training.rows)))
    pool = ThreadPoolExecutor(usable_cores())  # threads: scikit-learn lets go of the interpreter while a tree grows
    try:
        for classes, shares in pool.map(grown, draws):
            total[:, classes] += shares
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the trees that grow, not for a hundred
    return total / TREES


def _votes(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(shares > 0, shares, -np.inf)
