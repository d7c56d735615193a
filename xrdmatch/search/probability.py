"""How sure the answer is: which of the verified families, and whether any of them.

Two logits are multiplied (a nested logit): a softmax over the families, whose scores are weighted sums of what was found for each, and a logistic
"any of them" out of the best family's findings and its lead. The weights are fitted on simulated scans of entries that were in
the library and of entries that were taken out of it; those for a second phase on simulated mixtures and scans of one phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ModelError
from xrdmatch.search.line_evidence import Evidence


@dataclass(frozen=True)
class Candidate:
    """What verification found for one family: adjusted similarity, the network's cosine, the lines, and similarity and bend of the adjustment."""

    similarity: float
    recalled: float
    evidence: Evidence
    plain: float = 0.0  # similarity before anything but the shift was adjusted
    bend: float = 0.0  # how far the cell was bent for it (`adjust.bend`)
    presence: float = 0.0  # agreement in which lines show, whatever their heights (`match.presence`)
    shift: float = 0.0  # degrees
    members: int = 1  # structures of the family: what has been published often is what a scan often is of
    sister: bool = False  # of a second phase: made of the same metal and linker as the first

    def features(self) -> NDArray[np.float64]:
        """(12,): similarity, its log distance from 1, the network's cosine, share explained, shares of strong lines missing and extra, similarity
        as the library has it, bend, the weight of the positions, which beyond a few tens says no more, presence, size of the shift, and ln of the
        family's size.
        """
        found, missing, extra = len(self.evidence.matched), len(self.evidence.missing), len(self.evidence.extra)
        distance = -np.log(max(1.0 - self.similarity, 1e-3))
        shares = missing / max(1, found + missing), extra / max(1, found + extra)
        positions = 10.0 * np.tanh(self.evidence.positions / 20.0)
        found_so = self.similarity, distance, self.recalled, self.evidence.explained, *shares, self.plain, self.bend, positions
        return np.array([*found_so, self.presence, abs(self.shift), np.log(self.members)])

    def features_beside(self) -> NDArray[np.float64]:
        """(13,): the same of a second phase, and whether it is a sister of the first."""
        return np.append(self.features(), float(self.sister))


#: Numbers of weights: of a candidate and of the gate, for the first phase and for a second one.
FEATURES, GATE = 12, 7
FEATURES_BESIDE, GATE_BESIDE = 13, 9
#: What the gate sees of the best candidate: distance of the similarity from 1, bend, positions, presence, shift. Not the network's cosine, nor
#: anything of the scan: what those mean for unlike crystals and scans, the simulated ones cannot tell.
_SEEN = (1, 7, 8, 9, 10)
#: Features that can only speak against a candidate: shares missing and extra, bend, size of the shift.
_AGAINST = (4, 5, 7, 10)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Weights of the candidates' features (12,), and of the gate (7,): a constant, five features of the best candidate, ln of its share.

    For a second phase (13,) and (9,): the gate also sees whether the best is a sister, and ln of the share of the scan that the first phase left.
    """

    candidate: NDArray[np.float64]
    gate: NDArray[np.float64]

    def probabilities(self, candidates: Sequence[Candidate], left: float | None = None) -> tuple[NDArray[np.float64], float]:
        """Probability (k,) of each candidate, and of none of them. left: of a second phase, the share of the scan's lines it was looked for in."""
        share, row = gate_row(stacked(candidates, left), self.candidate, left)
        found = 1.0 / (1.0 + np.exp(-float(self.gate @ row)))
        return share * found, 1.0 - found

    def to_json(self) -> dict[str, list[float]]:
        return {"candidate": self.candidate.round(4).tolist(), "gate": self.gate.round(4).tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[float]] | None, beside: bool = False) -> Calibration:
        """The stored weights, `beside` for a second phase; without any, similarity alone, with even odds at 0.8.

        Raises ModelError where they are not understood.
        """
        sizes = (FEATURES_BESIDE, GATE_BESIDE) if beside else (FEATURES, GATE)
        if data is None:
            gate = np.zeros(sizes[1])
            gate[0], gate[1] = 8.0 * np.log(1.0 - 0.8), 8.0
            return cls(40.0 * np.eye(sizes[0])[0], gate)
        try:
            weights = cls(np.array(data["candidate"], dtype=float), np.array(data["gate"], dtype=float))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the model's calibration is not understood ({error!r}); it was written by another version of xrdmatch") from error
        if (weights.candidate.shape, weights.gate.shape) != ((sizes[0],), (sizes[1],)):
            raise ModelError(
                f"the model's calibration has {weights.candidate.size} and {weights.gate.size} weights, expected {sizes[0]} and {sizes[1]}; "
                "it was written by another version of xrdmatch: train or copy the shipped model again"
            )
        return weights


def stacked(candidates: Sequence[Candidate], left: float | None = None) -> NDArray[np.float64]:
    """Features (k, 12) of the candidates of a first phase, or (k, 13) of a second one, for which `left` is known."""
    return np.stack([candidate.features() if left is None else candidate.features_beside() for candidate in candidates])


def gate_row(
    features: NDArray[np.float64], weights: NDArray[np.float64], left: float | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares (k,) of candidates with `features` (k, 12 or 13), and what the gate sees (7 or 9,)."""
    scores = features @ weights
    share = np.exp(scores - scores.max())
    share /= share.sum()
    best = int(scores.argmax())
    beside = [] if left is None else [features[best, -1], np.log(max(left, 1e-3))]
    return share, np.array([1.0, *features[best, _SEEN], np.log(share[best]), *beside])


def fit(candidates: Sequence[NDArray[np.float64]], right: NDArray[np.int64], left: Sequence[float | None] | None = None) -> Calibration:
    """Weights of greatest likelihood. candidates: one (k_i, 12) array a scan, or (k_i, 13) of a second phase; right: (n,) right candidate, k_i for
    none; left: of second phases, as in `probabilities`.
    """
    found = right < np.array([len(rows) for rows in candidates])
    lefts = left if left is not None else [None] * len(candidates)
    if found.any():
        choice = _fit_choice([rows for rows, is_found in zip(candidates, found, strict=True) if is_found], right[found], _AGAINST)
    else:
        choice = Calibration.from_json(None, left is not None).candidate
    gate = np.stack([gate_row(rows, choice, share)[1] for rows, share in zip(candidates, lefts, strict=True)])
    # "Any" against "none" is a choice of two, the second without features.
    two = [np.stack([row, np.zeros_like(row)]) for row in gate]
    against = [1 + place for place, feature in enumerate(_SEEN) if feature in _AGAINST]
    return Calibration(choice, _fit_choice(two, np.where(found, 0, 1), against))


def _fit_choice(
    options: Sequence[NDArray[np.float64]], chosen: NDArray[np.int64], against: Sequence[int] = (), ridge: float = 1e-3
) -> NDArray[np.float64]:
    """Weights (f,) of a conditional logit: options (k_i, f) of each case, and which was chosen; those of the features `against` are never positive.

    A `ridge` on scaled features keeps weights finite where classes separate, and the probabilities moderate.
    """
    from scipy.optimize import minimize

    n, k, features = len(options), max(len(rows) for rows in options), options[0].shape[1]
    x, there = np.zeros((n, k, features)), np.zeros((n, k), dtype=bool)
    for i, rows in enumerate(options):
        x[i, : len(rows)], there[i, : len(rows)] = rows, True
    scale = np.maximum(x[there].std(axis=0), 1e-6)
    x /= scale
    case = np.arange(n)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = np.where(there, x @ w, -np.inf)
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        total = p.sum(axis=1, keepdims=True)
        value = float(np.mean(np.log(total[:, 0]) - z[case, chosen])) + 0.5 * ridge * float(w @ w)
        p /= total
        p[case, chosen] -= 1.0
        return value, np.einsum("nk,nkf->f", p, x) / n + ridge * w

    bounds = [(None, 0.0 if feature in against else None) for feature in range(features)]
    return np.asarray(minimize(loss, np.zeros(features), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 3000}).x / scale)
