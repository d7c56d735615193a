"""How sure the answer is: which of the verified families, and whether any of them.

Two logits are multiplied (a nested logit): a softmax over the families, whose scores are weighted sums of what was found for each, and a logistic
"any of them" out of the best family's findings and its lead. The weights are fitted on simulated scans of entries that were in
the library and of entries that were taken out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ModelError
from xrdmatch.evidence import Evidence


@dataclass(frozen=True)
class Candidate:
    """What verification found for one family: adjusted similarity, the network's cosine, the lines, and similarity and bend of the adjustment."""

    similarity: float
    recalled: float
    evidence: Evidence
    plain: float = 0.0  # similarity before anything but the shift was adjusted
    bend: float = 0.0  # how far the cell was bent for it (`adjust.bend`)

    def features(self) -> NDArray[np.float64]:
        """(9,): similarity, its log distance from 1, the network's cosine, share explained, shares of strong lines missing and extra, similarity
        as the library has it, bend, and the weight of the positions, which beyond a few tens says no more.
        """
        found, missing, extra = len(self.evidence.matched), len(self.evidence.missing), len(self.evidence.extra)
        distance = -np.log(max(1.0 - self.similarity, 1e-3))
        shares = missing / max(1, found + missing), extra / max(1, found + extra)
        positions = 10.0 * np.tanh(self.evidence.positions / 20.0)
        return np.array([self.similarity, distance, self.recalled, self.evidence.explained, *shares, self.plain, self.bend, positions])


#: Numbers of weights: of a candidate, and of the gate.
FEATURES, GATE = 9, 6
#: What the gate sees of the best candidate: similarity, shares missing and extra, positions. Not the network's cosine nor anything of the scan:
#: what those mean for unlike crystals and scans, the simulated ones cannot tell.
_SEEN = (0, 4, 5, 8)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Weights of the candidates' features (9,), and of the gate (6,): a constant, four features of the best candidate, ln of its share."""

    candidate: NDArray[np.float64]
    gate: NDArray[np.float64]

    def probabilities(self, candidates: Sequence[Candidate]) -> tuple[NDArray[np.float64], float]:
        """Probability (k,) of each candidate, and of none of them."""
        share, row = gate_row(np.stack([candidate.features() for candidate in candidates]), self.candidate)
        found = 1.0 / (1.0 + np.exp(-float(self.gate @ row)))
        return share * found, 1.0 - found

    def to_json(self) -> dict[str, list[float]]:
        return {"candidate": self.candidate.round(4).tolist(), "gate": self.gate.round(4).tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[float]] | None) -> Calibration:
        """The stored weights; without any, similarity alone, with even odds at 0.8. Raises ModelError where they are not understood."""
        if data is None:
            gate = np.zeros(GATE)
            gate[0], gate[1] = -32.0, 40.0
            return cls(40.0 * np.eye(FEATURES)[0], gate)
        try:
            weights = cls(np.array(data["candidate"], dtype=float), np.array(data["gate"], dtype=float))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the model's calibration is not understood ({error!r}); it was written by another version of xrdmatch") from error
        if (weights.candidate.shape, weights.gate.shape) != ((FEATURES,), (GATE,)):
            raise ModelError(
                f"the model's calibration has {weights.candidate.size} and {weights.gate.size} weights, expected {FEATURES} and {GATE}; "
                "it was written by another version of xrdmatch: train or copy the shipped model again"
            )
        return weights


def gate_row(features: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares (k,) of candidates with `features` (k, 9), and what the gate sees (6,)."""
    scores = features @ weights
    share = np.exp(scores - scores.max())
    share /= share.sum()
    best = int(scores.argmax())
    return share, np.array([1.0, *features[best, _SEEN], np.log(share[best])])


def fit(candidates: Sequence[NDArray[np.float64]], right: NDArray[np.int64]) -> Calibration:
    """Weights of greatest likelihood. candidates: one (k_i, 9) array a scan; right: (n,) right candidate, k_i for none."""
    found = right < np.array([len(rows) for rows in candidates])
    if found.any():
        choice = _fit_choice([rows for rows, is_found in zip(candidates, found, strict=True) if is_found], right[found])
    else:
        choice = Calibration.from_json(None).candidate
    gate = np.stack([gate_row(rows, choice)[1] for rows in candidates])
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
