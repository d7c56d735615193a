"""Which entries of the library deserve a comparison with a scan: what the network recalls, and what the scan's strongest lines do.

An encoder and a classifier are two retrievers behind one interface; nothing else asks which of the two a model is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import PreparedScan
from xrdmatch.search.candidates import Candidates
from xrdmatch.system.arrays import Float64Array

#: What a network's cosine, and the similarity of lines, count beside agreement in which lines show, when candidates are chosen.
NETWORK_WEIGHT, SIMILARITY_WEIGHT = 0.7, 0.3


@dataclass(frozen=True, eq=False)
class RankOptions:
    """What is looked at, and how far. The numbers were chosen on simulated scans; more of each costs time and finds hardly more.

    allowed: (n,) entries that may be named, by default all. related: rows that are looked at wherever they stand (of a second phase: those of the
    first one's metal and linker).
    n_by_network, n_by_lines: entries recalled by the network, and by their strongest lines. max_recall_gap: of these, those this near the best in
    what the two say together are compared, and the n_best_by_lines whatever the network thinks. min_families: families that are compared at least,
    and that are ranked. max_score_gap: how far behind the best a family may be for its best entry to be refined; max_refined: how many are at most.
    n_related_entries, n_related_refined: of `related`, entries that are compared and families that are refined beside these.
    reranked: whether the model's re-ranker, where it has one, looks at the likeliest; it knows whole scans, not what a first phase leaves.
    """

    allowed: NDArray[np.bool_] | None = None
    related: NDArray[np.int64] | None = None
    n_by_network: int = 100
    n_by_lines: int = 160
    max_recall_gap: float = 0.3
    n_best_by_lines: int = 16
    min_families: int = 12
    max_score_gap: float = 0.15
    max_refined: int = 16
    n_related_entries: int = 24
    n_related_refined: int = 5
    reranked: bool = True


class Retriever(Protocol):
    """Recalls candidates for a scan.

    says_unknown: whether it knows that nothing may fit; if not, its scores are the probabilities of the only answers there are.
    """

    @property
    def says_unknown(self) -> bool: ...

    def retrieve(self, scan: PreparedScan, options: RankOptions) -> Candidates:
        """Candidates as they stand in the library, each row once."""

    def known(self) -> NDArray[np.int64]:
        """Rows of the library that it can recall."""

    def explained_score(self, output: Float64Array, row: int) -> tuple[Float64Array, Float64Array, float]:
        """Of the network's last layer, `output` (k,): what the network answers with (k,), the direction in which the score of a row grows (k,), and
        that score.
        """


def retriever(model: Model) -> Retriever:
    """The retriever of a model's kind."""
    return ClassifierRetriever(model) if model.kind == "classifier" else EncoderRetriever(model)


@dataclass(frozen=True, eq=False)
class EncoderRetriever:
    """The nearest library vectors, and the entries whose strongest lines the scan shows."""

    model: Model
    says_unknown: bool = True

    def retrieve(self, scan: PreparedScan, options: RankOptions) -> Candidates:
        index = self.model.index
        scores = self.model.scores(scan.network_input(self.model.recipe)[None])[0]
        plain = scan.comparison.coarse
        lines = index.line_index.scores(plain.signal, plain.mask)
        if options.allowed is not None:
            scores, lines = (np.where(options.allowed, values, np.float32(-np.inf)) for values in (scores, lines))
        rows = _joined(largest(scores, options.n_by_network), largest(lines, options.n_by_lines))
        worth = NETWORK_WEIGHT * scores + SIMILARITY_WEIGHT * lines
        rows = promising(index.library, rows[np.isfinite(worth[rows])], worth, lines, options)
        if options.related is not None:
            rows = _joined(rows, options.related[largest(worth[options.related], options.n_related_entries)])
        return Candidates.of(rows, scores[rows], scan.comparison.fwhm)

    def known(self) -> NDArray[np.int64]:
        return np.arange(len(self.model.index))

    def explained_score(self, output: Float64Array, row: int) -> tuple[Float64Array, Float64Array, float]:
        """The cosine with the entry's vector."""
        length = float(np.linalg.norm(output))
        unit, target = output / max(length, 1e-12), self.model.vectors[row].astype(float)
        score = float(unit @ target)
        return unit, (target - score * unit) / max(length, 1e-12), score  # what only lengthens the vector does not count


@dataclass(frozen=True, eq=False)
class ClassifierRetriever:
    """The likeliest labels: the comparison of lines must not choose which ones are looked at."""

    model: Model
    says_unknown: bool = False

    def retrieve(self, scan: PreparedScan, options: RankOptions) -> Candidates:
        """The best label of each of the likeliest families, with the sum of the family's probabilities."""
        scores = self.model.scores(scan.network_input(self.model.recipe)[None])[0]
        top = np.argsort(-scores, kind="stable")
        if options.allowed is not None:
            top = top[options.allowed[self.known()[top]]]
        rows, chances = self.known()[top], scores[top]
        _, first, group = np.unique(self.model.library.family[rows], return_index=True, return_inverse=True)
        total = np.bincount(group, chances).astype(np.float32)
        order = np.argsort(-total, kind="stable")[: options.min_families]
        return Candidates.of(rows[first[order]], total[order], scan.comparison.fwhm)

    def known(self) -> NDArray[np.int64]:
        return self.model.label_rows

    def explained_score(self, output: Float64Array, row: int) -> tuple[Float64Array, Float64Array, float]:
        """The label's logit."""
        odds = np.exp(output - output.max())
        place = int(np.flatnonzero(self.known() == row)[0])
        return odds / odds.sum(), np.eye(output.size)[place], float(output[place])


def promising(
    library: Library, rows: NDArray[np.int64], worth: NDArray[np.float32], lines: NDArray[np.float32], options: RankOptions
) -> NDArray[np.int64]:
    """Of recalled rows (k,) those that deserve a look at their reflections, `min_families` families at least: drawing them is most of the work.

    worth, lines: (n,) what network and lines together, and the lines alone, say of each entry of the library.
    """
    near = worth[rows] >= worth[rows].max(initial=-np.inf) - options.max_recall_gap
    near[largest(lines[rows], options.n_best_by_lines)] = True
    order = np.argsort(-worth[rows], kind="stable")
    _, first = np.unique(library.family[rows[order]], return_index=True)
    near[order[np.sort(first)[: options.min_families]]] = True
    return np.asarray(rows[near])


def _joined(rows: NDArray[np.int64], more: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each of the rows once."""
    known = set(rows.tolist())
    return np.concatenate([rows, np.array([row for row in more.tolist() if row not in known], dtype=np.int64)])


def largest(values: NDArray[np.float32], number: int) -> NDArray[np.int64]:
    """Places of the largest `number` values (n,), largest first."""
    top = np.argpartition(-values, number - 1)[:number] if values.size > number else np.arange(values.size)
    return np.asarray(top[np.argsort(-values[top], kind="stable")])
