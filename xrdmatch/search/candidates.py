"""The library entries that may be in a scan, with all that was found out about them: one struct of arrays from retrieval to probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.system.arrays import Float64Array

#: Overall Debye-Waller B of candidates before refinement, angstrom^2: that of a framework at room temperature.
START_B = 2.0
#: What a fit changes of a candidate.
FIT_FIELDS = ("similarity", "shift", "strain", "fwhm", "debye_waller")
#: Names of the features, in the order in which calibrations of version 0.1 store their weights.
FEATURES = (
    "similarity",
    "log_distance",
    "network_score",
    "explained",
    "missing_share",
    "extra_share",
    "plain_similarity",
    "strain_penalty",
    "position_weight",
    "position_similarity",
    "shift_size",
    "log_family_size",
    "same_metal_and_linker",
)
#: What a re-ranker adds, fields of `Candidates` both: its logit, and ln of the families that may be named.
RERANKED_FEATURES = ("reranked", "log_field")
#: Position weights beyond some tens say no more: 10 tanh(w / 20).
POSITION_SCALE, POSITION_REACH = 10.0, 20.0

HklLine = tuple[int, int, int, float, float]


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against one candidate, line by line.

    explained: share of the measured line intensity where the candidate has lines. matched, missing: the candidate's strong lines
    that the scan shows, or does not show though it should; extra: angles of strong measured lines the candidate does not have.
    Lines are (h, k, l, 2theta in degrees, relative intensity 0..100). positions: ln of how much likelier the measured lines lie where they do
    if the candidate is there than by chance; a candidate with lines everywhere gains nothing by it.
    """

    explained: float
    matched: list[HklLine] = field(default_factory=list)
    missing: list[HklLine] = field(default_factory=list)
    extra: list[float] = field(default_factory=list)
    positions: float = 0.0


@dataclass(frozen=True, eq=False)
class States:
    """What a candidate's signal depends on, of k of them: the fields of `Candidates` with these names."""

    rows: NDArray[np.int64]
    strain: Float64Array
    fwhm: Float64Array
    debye_waller: Float64Array

    def part(self, part: slice) -> States:
        """Some of them."""
        return States(self.rows[part], self.strain[part], self.fwhm[part], self.debye_waller[part])


@dataclass(frozen=True, eq=False)
class Candidates:
    """k candidates. Made by `Candidates.of`; each step of the search fills in what it finds.

    rows: (k,) rows of the library. network_score: (k,) an encoder's cosine or a classifier's probability.
    Fit: similarity (k,) 0..1; shift (k,) degrees; strain (k, 6), relative changes of a, b, c, and changes of the angles in degrees; fwhm (k,)
    degrees; debye_waller (k,) overall B in angstrom^2; plain_similarity (k,) before anything but the shift was refined; strain_penalty (k,) how far
    the cell was strained (`cell_refinement.strain_penalty`); position_similarity (k,) agreement in which lines show, whatever their heights. Lines:
    evidence (k,) of each one. family_size (k,): entries of its family, for what has been published often is what a scan often is of.
    same_metal_and_linker (k,): of a second phase, whether it is made of what the first one is made of. By a model's re-ranker, zero without one:
    reranked (k,) its logit; log_field (k,) ln of the families that may be named.
    """

    rows: NDArray[np.int64]
    network_score: Float64Array
    similarity: Float64Array
    shift: Float64Array
    strain: Float64Array
    fwhm: Float64Array
    debye_waller: Float64Array
    plain_similarity: Float64Array
    strain_penalty: Float64Array
    position_similarity: Float64Array
    family_size: Float64Array
    same_metal_and_linker: NDArray[np.bool_]
    reranked: Float64Array
    log_field: Float64Array
    evidence: NDArray[np.object_] = field(repr=False)

    @classmethod
    def of(cls, rows: NDArray[np.int64], network_score: NDArray[Any], fwhm: float) -> Candidates:
        """Candidates as they stand in the library, of which nothing but the network's score is known. fwhm: the scan's, in degrees."""
        k = len(rows)
        zero, evidence = np.zeros(k), np.empty(k, dtype=object)
        evidence[:] = [Evidence(0.0)] * k
        unknown = ("similarity", "shift", "plain_similarity", "strain_penalty", "position_similarity", *RERANKED_FEATURES)
        state = dict.fromkeys(unknown, zero)
        return cls(
            rows=np.asarray(rows),
            network_score=np.asarray(network_score, dtype=float),
            strain=np.zeros((k, 6)),
            fwhm=np.full(k, fwhm),
            debye_waller=np.full(k, START_B),
            family_size=np.ones(k),
            same_metal_and_linker=np.zeros(k, dtype=bool),
            evidence=evidence,
            **state,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, order: NDArray[np.integer[Any]] | Sequence[int]) -> Candidates:
        """Those at these places, in this order."""
        return Candidates(**{name: values[order] for name, values in vars(self).items()})

    def joined(self, other: Candidates) -> Candidates:
        """These and those of `other`, one after the other."""
        return Candidates(**{name: np.concatenate([values, getattr(other, name)]) for name, values in vars(self).items()})

    def where(self, better: NDArray[np.bool_], other: Candidates, names: Sequence[str]) -> Candidates:
        """The same, with `names` taken from `other` where it is `better` (k,)."""
        kept = {}
        for name in names:
            old, new = getattr(self, name), getattr(other, name)
            kept[name] = np.where(better if old.ndim == 1 else better[:, None], new, old)
        return replace(self, **kept)

    def features(self) -> dict[str, Float64Array]:
        """What speaks for and against each candidate, (k,) by the names `FEATURES` and `RERANKED_FEATURES`: what probabilities are made of."""
        matched, missing, extra = (
            np.array([len(getattr(one, name)) for one in self.evidence], dtype=float) for name in ("matched", "missing", "extra")
        )
        positions = np.array([one.positions for one in self.evidence], dtype=float)
        return {
            "similarity": self.similarity,
            "log_distance": -np.log(np.maximum(1.0 - self.similarity, 1e-3)),
            "network_score": self.network_score,
            "explained": np.array([one.explained for one in self.evidence], dtype=float),
            "missing_share": missing / np.maximum(1.0, matched + missing),
            "extra_share": extra / np.maximum(1.0, matched + extra),
            "plain_similarity": self.plain_similarity,
            "strain_penalty": self.strain_penalty,
            "position_weight": POSITION_SCALE * np.tanh(positions / POSITION_REACH),
            "position_similarity": self.position_similarity,
            "shift_size": np.abs(self.shift),
            "log_family_size": np.log(self.family_size),
            "same_metal_and_linker": self.same_metal_and_linker.astype(float),
        } | {name: getattr(self, name) for name in RERANKED_FEATURES}
