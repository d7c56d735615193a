"""A model's re-ranker on the likeliest candidates: how likely scan and candidate, seen side by side, are of one structure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.reference_library import Library
from xrdmatch.model.session import Network
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.candidate_view import NUMBERS, Field, lattices_of, view
from xrdmatch.search.candidates import RERANKED_FEATURES, Candidates
from xrdmatch.search.comparison import candidate_signals
from xrdmatch.search.retrieval import NETWORK_WEIGHT, SIMILARITY_WEIGHT

#: Candidates that are looked at; the logit of the others, and how far any goes.
LOOKED_AT, NOT_LOOKED_AT, FARTHEST_LOGIT = 8, -12.0, 12.0


def reranked(
    network: Network,
    library: Library,
    candidates: Candidates,
    scan: ComparisonSignal,
    signals: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None = None,
) -> Candidates:
    """Candidates in their order, whose signals as refined are `signals` (k, m), with what the re-ranker and its numbers say of the likeliest ones.

    allowed: (n,) entries of the library that may be named, None for all.
    """
    if len(candidates) == 0:
        return candidates
    worth = candidates.position_similarity + NETWORK_WEIGHT * candidates.network_score + SIMILARITY_WEIGHT * candidates.similarity
    first = np.argsort(-worth, kind="stable")[:LOOKED_AT]
    seen = view(library, candidates.take(first), scan, signals[first], Field(lattices_of(library), allowed))
    found: dict[str, Any] = {name: np.zeros(len(candidates)) for name in RERANKED_FEATURES}
    found["reranked"][:] = NOT_LOOKED_AT
    found["reranked"][first] = network.run(seen.inputs())[:, 0].clip(-FARTHEST_LOGIT, FARTHEST_LOGIT)
    for name in RERANKED_FEATURES[1:]:
        found[name][first] = seen.numbers[:, NUMBERS.index(name)]
    return replace(candidates, **found)


def logit_of(network: Network, field: Field, library: Library, one: Candidates, scan: ComparisonSignal) -> float:
    """The re-ranker's logit of one refined candidate of `library`; field: what it is chosen from, the candidate's row in it as in `library`."""
    seen = view(library, one, scan, candidate_signals(library, one, scan), field)
    return float(network.run(seen.inputs())[0, 0].clip(-FARTHEST_LOGIT, FARTHEST_LOGIT))
