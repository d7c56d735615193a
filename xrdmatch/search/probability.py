"""How sure the answer is: which of the candidates, and whether any of them.

Two logits are multiplied (a nested logit): a softmax over the candidates, whose scores are weighted sums of their features, and a logistic "any of
them" out of the best one's features and its lead. The weights are fitted on simulated scans of entries that were in the library and of entries that
were taken out of it; those for a second phase on simulated mixtures and scans of one phase. Where a model has a re-ranker, what it says of a first
phase counts as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ModelError
from xrdmatch.search.candidates import FEATURES, RERANKED_FEATURES, Candidates
from xrdmatch.system.arrays import Float64Array

#: Features of a second phase, and of a first one: these have no first phase to share metal and linker with.
SECOND_PHASE_FEATURES = FEATURES
FIRST_PHASE_FEATURES = tuple(name for name in FEATURES if name != "same_metal_and_linker")
#: What the gate sees of the best candidate. Not the network's score, nor anything of the scan: what those mean for unlike crystals and scans, the
#: simulated ones cannot tell.
_GATE_FEATURES = ("log_distance", "strain_penalty", "position_weight", "position_similarity", "shift_size")
CONSTANT, LOG_SHARE, LOG_UNEXPLAINED = "constant", "log_share", "log_unexplained"
#: All that the gate sees, of a first phase and of a second one.
FIRST_PHASE_GATE = (CONSTANT, *_GATE_FEATURES, LOG_SHARE)
SECOND_PHASE_GATE = (*FIRST_PHASE_GATE, "same_metal_and_linker", LOG_UNEXPLAINED)
#: The same of a first phase, where a re-ranker has looked at the candidates: its gate then needs nothing else. With all features of the other gate
#: beside, and the numbers that the re-ranker sees, simulated scans are told no better (area under the curve 0.986 both).
RERANKED = "reranked"
RERANKED_PHASE_FEATURES = (*FIRST_PHASE_FEATURES, RERANKED)
RERANKED_PHASE_GATE = (CONSTANT, LOG_SHARE, *RERANKED_FEATURES)
#: Features that can only speak against a candidate.
AGAINST = frozenset(("missing_share", "extra_share", "strain_penalty", "shift_size"))
#: Even odds at this similarity, and how steep, where nothing was fitted.
_EVEN, _STEEP, _STEEP_CHOICE = 0.8, 8.0, 40.0
#: Least share of the lines a first phase leaves that its logarithm is taken of.
_LEAST_SHARE = 1e-3

Named = dict[str, Float64Array]


@dataclass(frozen=True)
class Calibration:
    """Weights by name: of the candidates' features, and of the gate. Those of a second phase know two features more, those with a re-ranker some."""

    candidate: Mapping[str, float]
    gate: Mapping[str, float]

    @property
    def needs_reranker(self) -> bool:
        """Whether a re-ranker has to have looked at the candidates."""
        return RERANKED in self.gate

    def probabilities(self, candidates: Candidates, unexplained: float | None = None) -> tuple[Float64Array, float]:
        """Probability (k,) of each candidate, and of none of them. unexplained: of a second phase, the share of the scan's lines it was looked for
        in.
        """
        return self.of_features(candidates.features(), unexplained)

    def of_features(self, features: Named, unexplained: float | None = None) -> tuple[Float64Array, float]:
        """The same of candidates with these features, (k,) by name."""
        share, seen = self.seen_by_gate(features, unexplained)
        found = 1.0 / (1.0 + np.exp(-sum(weight * seen[name] for name, weight in self.gate.items())))
        return share * found, float(1.0 - found)

    def seen_by_gate(self, features: Named, unexplained: float | None = None) -> tuple[Float64Array, dict[str, float]]:
        """Shares (k,) of candidates with these features, and what the gate sees of the best."""
        scores = sum((weight * features[name] for name, weight in self.candidate.items()), np.zeros(len(features["similarity"])))
        share = np.exp(scores - scores.max())
        share /= share.sum()
        best = int(scores.argmax())
        seen = {CONSTANT: 1.0, LOG_SHARE: float(np.log(share[best]))} | {name: float(values[best]) for name, values in features.items()}
        return share, seen | ({} if unexplained is None else {LOG_UNEXPLAINED: float(np.log(max(unexplained, _LEAST_SHARE)))})

    def to_json(self) -> dict[str, dict[str, float]]:
        return {part: {name: round(weight, 4) for name, weight in getattr(self, part).items()} for part in ("candidate", "gate")}

    @classmethod
    def default(cls, second_phase: bool = False) -> Calibration:
        """Similarity alone, with even odds at 0.8."""
        features, gate = _names(second_phase)
        chosen = {CONSTANT: _STEEP * float(np.log(1.0 - _EVEN)), "log_distance": _STEEP}
        return cls({name: _STEEP_CHOICE * (name == "similarity") for name in features}, {name: chosen.get(name, 0.0) for name in gate})

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None, second_phase: bool = False) -> Calibration:
        """The stored weights; the default without any. Version 0.1 stored them without names, in the order of the names here.

        Raises ModelError where they are not understood.
        """
        if data is None:
            return cls.default(second_phase)
        try:
            known = _names(second_phase, RERANKED in data["gate"])
            parts = [_named(data[part], names) for part, names in zip(("candidate", "gate"), known, strict=True)]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"the model's calibration is not understood ({error}); it was written by another version of xrdmatch: "
                "train again or copy the shipped model again"
            ) from error
        return cls(*parts)


def _names(second_phase: bool, reranked: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if reranked and not second_phase:
        return RERANKED_PHASE_FEATURES, RERANKED_PHASE_GATE
    return (SECOND_PHASE_FEATURES, SECOND_PHASE_GATE) if second_phase else (FIRST_PHASE_FEATURES, FIRST_PHASE_GATE)


def _named(stored: Mapping[str, float] | Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """Stored weights by name. Raises ValueError where they are others than `names`."""
    if not isinstance(stored, Mapping):
        if len(stored) != len(names):
            raise ValueError(f"it has {len(stored)} weights, expected {len(names)}")
        return {name: float(weight) for name, weight in zip(names, stored, strict=True)}
    if set(stored) != set(names):
        raise ValueError(f"it has weights of {', '.join(sorted(stored))}, expected {', '.join(sorted(names))}")
    return {name: float(stored[name]) for name in names}


def fit(cases: Sequence[Named], right: NDArray[np.int64], unexplained: Sequence[float | None] | None = None, reranked: bool = False) -> Calibration:
    """Weights of greatest likelihood.

    cases: the features of each scan's candidates, (k_i,) by name; right: (n,) right candidate, k_i for none; unexplained: of second phases, as in
    `Calibration.probabilities`. reranked: of first phases, whether a re-ranker has looked at the candidates.
    """
    second_phase = unexplained is not None
    features, gate = _names(second_phase, reranked)
    found = right < np.array([len(case["similarity"]) for case in cases])
    rows = [np.stack([case[name] for name in features], axis=1) for case in cases]
    if found.any():
        with_right = [row for row, is_found in zip(rows, found, strict=True) if is_found]
        chosen = _fit_choice(with_right, right[found], [name in AGAINST for name in features])
        choice = Calibration(dict(zip(features, chosen.tolist(), strict=True)), {})
    else:
        choice = Calibration.default(second_phase)
    shares = unexplained if unexplained is not None else [None] * len(cases)
    seen = [choice.seen_by_gate(case, share)[1] for case, share in zip(cases, shares, strict=True)]
    # "Any" against "none" is a choice of two, the second without features.
    two = [np.array([[one[name] for name in gate], [0.0] * len(gate)]) for one in seen]
    weights = _fit_choice(two, np.where(found, 0, 1), [name in AGAINST for name in gate])
    return Calibration(choice.candidate, dict(zip(gate, weights.tolist(), strict=True)))


def _fit_choice(options: Sequence[Float64Array], chosen: NDArray[np.int64], against: Sequence[bool], ridge: float = 1e-3) -> Float64Array:
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

    def loss(w: Float64Array) -> tuple[float, Float64Array]:
        z = np.where(there, x @ w, -np.inf)
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        total = p.sum(axis=1, keepdims=True)
        value = float(np.mean(np.log(total[:, 0]) - z[case, chosen])) + 0.5 * ridge * float(w @ w)
        p /= total
        p[case, chosen] -= 1.0
        return value, np.einsum("nk,nkf->f", p, x) / n + ridge * w

    bounds = [(None, 0.0 if is_against else None) for is_against in against]
    return np.asarray(minimize(loss, np.zeros(features), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 3000}).x / scale)
