"""How sure the answer is: which of the verified families, and whether any of them.

Two logits are multiplied (a nested logit): a softmax over the families, whose scores are weighted sums of what was found for each, and a logistic
"any of them" out of the best family's findings and of what is known of the scan. The weights are fitted on simulated scans of entries that were in
the library and of entries that were taken out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ModelError
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
    """Weights of the candidates' features (6,), and of the gate: the query's (5,) followed by the best candidate's (6,)."""

    candidate: NDArray[np.float64]
    gate: NDArray[np.float64]

    def probabilities(self, candidates: Sequence[Candidate], query: Query) -> tuple[NDArray[np.float64], float]:
        """Probability (k,) of each candidate, and of none of them."""
        features = np.stack([candidate.features() for candidate in candidates])
        scores = features @ self.candidate
        share = np.exp(scores - scores.max())
        share /= share.sum()
        found = 1.0 / (1.0 + np.exp(-float(self.gate @ np.concatenate([query.features(), features[scores.argmax()]]))))
        return share * found, 1.0 - found

    def to_json(self) -> dict[str, list[float]]:
        return {"candidate": self.candidate.round(4).tolist(), "gate": self.gate.round(4).tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[float]] | None) -> Calibration:
        """The stored weights; without any, similarity alone, with even odds at 0.8. Raises ModelError where they are not understood."""
        if data is None:
            return cls(np.array([40.0, 0.0, 0.0, 0.0, 0.0, 0.0]), np.array([-32.0, 0.0, 0.0, 0.0, 0.0, 40.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
        try:
            weights = cls(np.array(data["candidate"], dtype=float), np.array(data["gate"], dtype=float))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the model's calibration is not understood ({error!r}); it was written by another version of xrdmatch") from error
        if (weights.candidate.shape, weights.gate.shape) != ((6,), (11,)):
            raise ModelError(f"the model's calibration has {weights.candidate.size} and {weights.gate.size} weights, expected 6 and 11")
        return weights


def fit(candidates: Sequence[NDArray[np.float64]], queries: NDArray[np.float64], right: NDArray[np.int64]) -> Calibration:
    """Weights of greatest likelihood. candidates: one (k_i, 6) array a query; queries: (n, 5); right: (n,) right candidate, k_i for none."""
    found = right < np.array([len(rows) for rows in candidates])
    if found.any():
        choice = _fit_choice([rows for rows, is_found in zip(candidates, found, strict=True) if is_found], right[found])
    else:
        choice = Calibration.from_json(None).candidate
    best = np.stack([rows[(rows @ choice).argmax()] for rows in candidates])
    gate = np.concatenate([queries, best], axis=1)
    # "Any" against "none" is a choice of two, the second without features.
    two = [np.stack([row, np.zeros_like(row)]) for row in gate]
    return Calibration(choice, _fit_choice(two, np.where(found, 0, 1)))


def _fit_choice(options: Sequence[NDArray[np.float64]], chosen: NDArray[np.int64], ridge: float = 1e-3, rounds: int = 3000) -> NDArray[np.float64]:
    """Weights (f,) of a conditional logit: options (k_i, f) of each case, and which was chosen.

    Gradient ascent with Adam steps on scaled features; the problem is convex. A small `ridge` keeps weights finite where classes separate.
    """
    n, k, features = len(options), max(len(rows) for rows in options), options[0].shape[1]
    x, there = np.zeros((n, k, features)), np.zeros((n, k), dtype=bool)
    for i, rows in enumerate(options):
        x[i, : len(rows)], there[i, : len(rows)] = rows, True
    scale = np.maximum(x[there].std(axis=0), 1e-6)
    x /= scale
    w, m, v = np.zeros(features), np.zeros(features), np.zeros(features)
    for step in range(1, rounds + 1):
        z = np.where(there, x @ w, -np.inf)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(n), chosen] -= 1.0
        gradient = np.einsum("nk,nkf->f", p, x) / n + ridge * w
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w -= 0.02 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-9)
    return np.asarray(w / scale)
