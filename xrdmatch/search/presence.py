"""Whether an expected framework is in a scan: what speaks for it by itself, and beside the likeliest other entry of the library."""

from __future__ import annotations

import numpy as np

from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.candidate_view import Field, Lattices, lattices_of
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.check_weights import Logistic, stored
from xrdmatch.search.expected_phase import ExpectedPhase, Fitted
from xrdmatch.search.reranking import logit_of
from xrdmatch.search.second_phase import lines_left

#: What of a candidate's features is used by itself, and compared with the likeliest other's.
OWN = ("log_distance", "plain_similarity", "explained", "missing_share", "extra_share", "strain_penalty", "position_weight", "position_similarity")
COMPARED = ("log_distance", "position_similarity", "position_weight", "explained", "missing_share", "extra_share")
RERANKED = "reranked"
#: A line of the framework explains what lies near it where it is this high, percent of the scan's strongest.
HIGH = 1.0
#: Least share whose logarithm is taken.
_LEAST = 1e-3

Features = dict[str, float]


def own_features(one: Candidates, scan: ComparisonSignal) -> Features:
    """Of the best form of what is expected (one candidate) by itself, but for what a re-ranker says."""
    told = {name: float(values[0]) for name, values in one.features().items() if name in OWN or name == "shift_size"}
    evidence = one.evidence[0]
    lines = len(evidence.matched) + len(evidence.missing)
    return told | {"log_lines": float(np.log1p(lines)), "log_limit": float(np.log(max(scan.detection_limit, _LEAST)))}


def side_by_side(model: Model, phase: ExpectedPhase, one: Candidates, scan: ComparisonSignal) -> Features:
    """What the model's re-ranker says of one of the phase's forms beside the whole scan; nothing where the model has none."""
    if model.reranker is None:
        return {}
    lattices = lattices_of(model.library)
    if phase.entries.from_file:
        lattices = Lattices.of(phase.library).beside(lattices)
    return {RERANKED: logit_of(model.reranker, Field(lattices), phase.library, one, scan)}


def rival_features(own: Features, fitted: Fitted, library: Library, rival: Candidates) -> Features:
    """Beside the likeliest other entry (one candidate of `library`); fitted: what is expected, laid over the scan."""
    scan = fitted.scan
    other = {name: float(values[0]) for name, values in rival.features().items()}
    rest = lines_left(scan, rival, library)
    high = 0.01 * HIGH * float(scan.lines.max(initial=0.0))
    mine = fitted.lines > high
    beyond = float(rest.lines[mine].sum()) / max(float(scan.lines.sum()), 1e-30)
    left = float(rest.lines.sum()) / max(float(scan.lines.sum()), 1e-30)
    ahead = {f"ahead_{name}": own[name] - other[name] for name in (*COMPARED, RERANKED) if name in own}
    return own | ahead | {"log_beyond_rival": float(np.log(max(beyond, _LEAST))), "log_left_by_rival": float(np.log(max(left, _LEAST)))}


def presence(features: Features, weights: Logistic | None = None) -> float:
    """Probability that the framework is there, by itself or, where the features tell of it, beside the likeliest other entry; with or without what a
    re-ranker says."""
    name = "presence" + ("" if "log_beyond_rival" in features else "_alone") + ("_reranked" if RERANKED in features else "")
    return (weights or Logistic(stored(name))).probability(features)
