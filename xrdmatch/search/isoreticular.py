"""A hint for a scan that nothing fits: the framework that it may be isoreticular with, of the same net with another linker.

What `scaled_cells` finds is refined and compared like any candidate, and weighed by a conditional logit, one of whose choices is that no net is right
(McFadden 1974). A hint is given where one net is likely enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import strained
from xrdmatch.library.common_names import stem
from xrdmatch.library.text_column import TextColumn
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.pipeline import compare_and_refine
from xrdmatch.search.result import Hint
from xrdmatch.search.retrieval import RankOptions
from xrdmatch.search.scaled_cells import AXES, ScalableEntries, Sisters, scaled
from xrdmatch.system.arrays import Float64Array

#: Sisters that are refined, and of each net at most.
REFINED, OF_A_NET = 16, 4
#: Probability of a net from which a hint is given. Of such hints for simulated unknowns of the other half, 26 of 30 name the right net
#: (benchmarks/isoreticular_hints.py).
LIKELY_NET = 0.7
#: Weights of what is known of a sister, and what is added: fitted by the same script to one half of its scans.
WEIGHTS = {
    "log_distance_scaled": 2.607,
    "log_distance": 1.707,
    "position_similarity": 1.985,
    "position_weight": 0.078,
    "log_scale": -3.487,
    "log_lines": -0.344,
}
CONSTANT = -7.12
#: Similarities nearer to 1 say no more.
NEAREST = 0.02
#: How much less likely an entry may be, as a logarithm, that people have a name for, to be named in place of a nameless one of its net.
AS_GOOD = 1.0


@dataclass(frozen=True, eq=False)
class WeighedSisters:
    """Sisters of a scan with what speaks for them, k of them.

    rows: (k,) of the library. nets: (k,). axes: k keys of `AXES`. similarity: (k,) on the logarithmic axis. cells: (k, 6) refined. features: (k,) by
    the names in `WEIGHTS`.
    """

    rows: NDArray[np.int64]
    nets: NDArray[np.str_]
    axes: list[str]
    similarity: Float64Array
    cells: Float64Array
    features: dict[str, Float64Array]

    def scores(self) -> Float64Array:
        """ln of how much likelier each is than that none is right (k,)."""
        return np.asarray(CONSTANT + sum(weight * self.features[name] for name, weight in WEIGHTS.items()))

    def likeliest_net(self, scores: Float64Array) -> tuple[str, float]:
        """The net that is likeliest to be right with these scores (k,), and its probability: of all its entries together."""
        shares = np.exp(scores - np.logaddexp.reduce([*scores, 0.0]))
        of_net = {net: float(shares[self.nets == net].sum()) for net in self.nets.tolist()}
        net = max(of_net, key=lambda one: of_net[one])
        return net, of_net[net]


def isoreticular_hint(scan: ComparisonSignal, entries: ScalableEntries, allowed: NDArray[np.bool_] | None = None) -> Hint | None:
    """What a scan that nothing fits is most like, where that is likely enough to be worth saying. allowed: (n,) entries that may be named."""
    found = weighed_sisters(scan, entries, allowed)
    if found is None:
        return None
    net, probability = found.likeliest_net(found.scores())
    return hint_of(found, entries, net, probability) if probability >= LIKELY_NET else None


def weighed_sisters(scan: ComparisonSignal, entries: ScalableEntries, allowed: NDArray[np.bool_] | None = None) -> WeighedSisters | None:
    """The entries and scales that are most like a scan, refined; None where no entry may be named."""
    if not len(entries):
        return None
    sisters, library = entries.sisters(scan), entries.library
    places = _likeliest(sisters, entries, allowed)
    if not places:
        return None
    rows = entries.rows[sisters.place[places]]
    axes = [sisters.axes[place] for place in places]
    start = np.concatenate(
        [scaled(library.cell[[row]], one, sisters.scale[[place]]) for row, one, place in zip(rows.tolist(), axes, places, strict=True)]
    )
    alone = np.arange(rows.size)
    each = TextColumn.of(map(str, alone))
    moved = replace(library.subset(rows), id=each, family_name=each, cell=start, family=alone.astype(np.int32))
    options = RankOptions(max_score_gap=np.inf, min_families=rows.size)
    fits = compare_and_refine(Candidates.of(alone, np.zeros(rows.size), scan.fwhm), moved, scan, options)
    fits = fits.take(np.argsort(fits.rows))
    cells = strained(start, fits.strain)
    own, similarity = fits.features(), sisters.similarity[places]
    features = {
        "log_distance_scaled": _log_distance(similarity),
        "log_distance": _log_distance(fits.similarity),
        "position_similarity": own["position_similarity"],
        "position_weight": own["position_weight"],
        "log_scale": np.abs(np.log(sisters.scale[places])),
        "log_lines": np.log(np.diff(library.offsets)[rows]),
    }
    return WeighedSisters(rows, entries.net[sisters.place[places]], axes, similarity, cells, features)


def _likeliest(sisters: Sisters, entries: ScalableEntries, allowed: NDArray[np.bool_] | None) -> list[int]:
    """Places of the sisters that are worth refining, the most alike first: `OF_A_NET` of a net, `REFINED` together."""
    chosen: list[int] = []
    taken: dict[str, int] = {}
    for place in np.argsort(-sisters.similarity, kind="stable").tolist():
        entry = sisters.place[place]
        net = str(entries.net[entry])
        if len(chosen) < REFINED and taken.get(net, 0) < OF_A_NET and (allowed is None or allowed[entries.rows[entry]]):
            chosen.append(place)
            taken[net] = taken.get(net, 0) + 1
    return chosen


def _log_distance(similarity: Float64Array) -> Float64Array:
    return np.asarray(-np.log(np.maximum(1.0 - similarity, NEAREST)))


def hint_of(found: WeighedSisters, entries: ScalableEntries, net: str, probability: float) -> Hint:
    """The hint that the likeliest entry of a net gives; of one that people have a name for where that is nearly as likely."""
    library, scores = entries.library, found.scores()
    own = np.flatnonzero(found.nets == net)
    good = own[scores[own] >= scores[own].max() - AS_GOOD]
    place = max(good.tolist(), key=lambda one: (bool(library.name[int(found.rows[one])]), scores[one]))
    row, axes = int(found.rows[place]), found.axes[place]
    a, b, c, alpha, beta, gamma = np.round(found.cells[place], 3).tolist()
    changed = np.array(AXES[axes])
    scale = float((found.cells[place, :3] / library.cell[row, :3])[changed].mean())
    name = library.name[row] or library.title[row] or stem(library.id[row])
    similarity = round(float(found.similarity[place]), 3)
    return Hint("isoreticular", name, net, (a, b, c, alpha, beta, gamma), round(scale, 3), axes, similarity, round(probability, 3))
