"""How sure the answer is: a conditional logit over the verified families and "none of them".

Each family's score is a weighted sum of what was found for it, the score of "none" a weighted sum of what is known of the scan;
probabilities are their softmax. The weights are fitted on simulated scans of entries that were in the library and of entries taken out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.match import Evidence


@dataclass(frozen=True)
class Candidate:
    """What verification found for one family: adjusted similarity, the network's cosine, and the lines."""

    similarity: float
    recalled: float
    evidence: Evidence

    def features(self) -> NDArray[np.float64]:
        """(6,): similarity, its log distance from 1, the network's cosine, share explained, shares of strong lines missing and extra."""
        found, missing, extra = len(self.evidence.matched), len(self.evidence.missing), len(self.evidence.extra)
        distance = -np.log(max(1.0 - self.similarity, 1e-3))
        shares = missing / max(1, found + missing), extra / max(1, found + extra)
        return np.array([self.similarity, distance, self.recalled, self.evidence.explained, *shares])


@dataclass(frozen=True)
class Query:
    """What is known of the scan: line width in degrees, detection limit relative to the strongest line, number of strong lines, range in degrees."""

    fwhm: float
    floor: float
    lines: int
    span: float

    def features(self) -> NDArray[np.float64]:
        """(5,) with a constant first."""
        return np.array([1.0, np.log(self.fwhm / 0.15), np.log10(max(self.floor, 1e-4)), np.log(max(self.lines, 1)), np.log(self.span / 45.0)])


@dataclass(frozen=True, eq=False)
class Calibration:
    """Weights of the candidates' (6,) and the query's (5,) features."""

    candidate: NDArray[np.float64]
    query: NDArray[np.float64]

    def probabilities(self, candidates: Sequence[Candidate], query: Query) -> tuple[NDArray[np.float64], float]:
        """Probability (k,) of each candidate, and of none of them."""
        scores = np.array([*(self.candidate @ candidate.features() for candidate in candidates), self.query @ query.features()])
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        return weights[:-1], float(weights[-1])

    def to_json(self) -> dict[str, list[float]]:
        return {"candidate": self.candidate.round(4).tolist(), "query": self.query.round(4).tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[float]] | None) -> Calibration:
        """The stored weights; without any, similarity alone, with "none" at a similarity of about 0.8."""
        if data is None:
            return cls(np.array([40.0, 0.0, 0.0, 0.0, 0.0, 0.0]), np.array([32.0, 0.0, 0.0, 0.0, 0.0]))
        return cls(np.array(data["candidate"], dtype=float), np.array(data["query"], dtype=float))


def fit(
    candidates: Sequence[NDArray[np.float64]], queries: NDArray[np.float64], right: NDArray[np.int64], ridge: float = 1e-3, rounds: int = 4000
) -> Calibration:
    """Weights of greatest likelihood. candidates: one (k_i, 6) array a query; queries: (n, 5); right: (n,) right candidate, k_i for none.

    Gradient ascent with Adam steps on scaled features; the problem is convex. A small `ridge` keeps weights finite where classes separate.
    """
    k = max(len(rows) for rows in candidates)
    n, features = len(candidates), candidates[0].shape[1]
    x = np.zeros((n, k + 1, features + queries.shape[1]))
    open_slot = np.zeros((n, k + 1), dtype=bool)
    for i, rows in enumerate(candidates):
        x[i, : len(rows), :features] = rows
        open_slot[i, : len(rows)] = True
    x[:, k, features:] = queries
    open_slot[:, k] = True
    target = np.where(right >= np.array([len(rows) for rows in candidates]), k, right)
    scale = np.maximum(x[open_slot].std(axis=0), 1e-6)
    x /= scale
    w, m, v = np.zeros(x.shape[2]), np.zeros(x.shape[2]), np.zeros(x.shape[2])
    for step in range(1, rounds + 1):
        z = np.where(open_slot, x @ w, -np.inf)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(n), target] -= 1.0
        gradient = np.einsum("nk,nkf->f", p, x) / n + ridge * w
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w -= 0.02 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-9)
    w /= scale
    return Calibration(w[:features], w[features:])
