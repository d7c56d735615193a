"""From a prepared scan to ranked candidates: retrieve, compare, refine, weigh line by line.

The one path of every scan: identification, calibration, explanations, baselines and benchmarks call `rank`.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.model.session import Network
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal, PreparedScan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.cell_refinement import refine_and_draw
from xrdmatch.search.comparison import candidate_signals, compare, position_similarity
from xrdmatch.search.line_evidence import line_evidence
from xrdmatch.search.reranking import reranked
from xrdmatch.search.retrieval import NETWORK_WEIGHT, SIMILARITY_WEIGHT, RankOptions, retriever
from xrdmatch.system.arrays import Float64Array

#: Six letters, two digits where a structure was determined again.
REFCODE = re.compile(r"[A-Z]{6}(\d\d)?(_|$)")

_DEFAULTS = RankOptions()


def rank(scan: PreparedScan, model: Model, options: RankOptions = _DEFAULTS) -> Candidates:
    """The best entry of each family that may be in a scan, with all that speaks for and against it; refined ones first, the best of them first.

    Empty where nothing may be named.
    """
    return compare_and_refine(retriever(model).retrieve(scan, options), model.library, scan.comparison, options, model.reranker)


def compare_and_refine(
    recalled: Candidates, library: Library, scan: ComparisonSignal, options: RankOptions = _DEFAULTS, reranker: Network | None = None
) -> Candidates:
    """Compare recalled candidates with a scan, keep the best of each family, and refine those that come near the first, `max_refined` of them at
    most, and the best few of the `related` ones. Where fewer come near, further ones make up `min_families`, as they stand in the library.
    reranker: looks at the likeliest of a first phase side by side with the scan.
    """
    candidates, score = best_of_families(recalled, library, scan.coarse)
    if len(candidates) == 0:
        return candidates
    close = min(options.max_refined, int((score >= score.max() - options.max_score_gap).sum()))
    related = _among(candidates.rows[close:], options.related) if options.related is not None else np.zeros(len(candidates) - close, dtype=bool)
    chosen = np.concatenate([np.arange(close), close + np.flatnonzero(related)[: options.n_related_refined]])
    first = np.arange(min(len(candidates), options.min_families))
    further = candidates.take(first[~_among(first, chosen)])
    refined, signals = refine_and_draw(library, candidates.take(chosen), scan)
    signals = np.concatenate([signals, candidate_signals(library, further, scan)])
    ranked = described(library, refined.joined(further), scan, signals)
    return ranked if reranker is None or not options.reranked else reranked(reranker, library, ranked, scan, signals, options.allowed)


def described(library: Library, ranked: Candidates, scan: ComparisonSignal, signals: NDArray[np.float32]) -> Candidates:
    """Candidates as they were refined, whose signals are `signals` (k, m), with all that is weighed of them."""
    sizes = np.array([library.members(family).size for family in library.family[ranked.rows].tolist()], dtype=float)
    ranked = replace(ranked, position_similarity=position_similarity(signals, scan), family_size=sizes)
    return line_evidence(library, ranked, scan, signals)


def _among(values: NDArray[np.int64], some: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which `values` (k,) are among `some`. By table, for NumPy's other way imports its masked arrays, which takes long."""
    return np.isin(values, some, kind="table")


def best_of_families(candidates: Candidates, library: Library, scan: ComparisonSignal) -> tuple[Candidates, Float64Array]:
    """The best entry of each family, as it stands in the library, and what each is worth (k,): network, positions and heights; best first."""
    signals = candidate_signals(library, candidates, scan)
    compared = replace(compare(candidates, signals, scan), position_similarity=position_similarity(signals, scan))
    compared = compared.take(np.argsort(-compared.similarity, kind="stable"))
    compared = compared.take(_familiar_first(library, compared))
    _, first = np.unique(library.family[compared.rows], return_index=True)
    best = compared.take(np.sort(first))
    best = replace(best, plain_similarity=best.similarity)
    score = best.position_similarity + NETWORK_WEIGHT * best.network_score + SIMILARITY_WEIGHT * best.similarity
    order = np.argsort(-score, kind="stable")
    return best.take(order), score[order]


def _familiar_first(library: Library, candidates: Candidates) -> NDArray[np.int64]:
    """An order in which, of candidates that fit equally well, to a hundredth, those come first that carry their family's first name, then those
    with a CSD refcode.
    """
    rows = candidates.rows
    first = [name.split(" / ")[0] for name in library.family_name[library.family[rows]].tolist()]
    named = np.array([name == title for name, title in zip(library.name[rows].tolist(), first, strict=True)], dtype=bool)
    coded = np.array([REFCODE.match(name) is not None for name in library.id[rows].tolist()], dtype=bool)
    return np.asarray(np.lexsort((-candidates.similarity, ~coded, ~named, -candidates.similarity.round(2))))
