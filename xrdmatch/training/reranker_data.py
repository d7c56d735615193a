"""Files of examples as batches for the re-ranker, with what happens to scans that the simulation leaves out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xrdmatch.errors import LibraryError
from xrdmatch.search.candidate_view import CHANNELS, NUMBERS
from xrdmatch.system.arrays import Float64Array

Rng = np.random.Generator

#: Negatives of a scan in one batch, and how often the likeliest of them comes first.
NEGATIVES, HARDEST = 2, 0.5


@dataclass(frozen=True)
class Effects:
    """What is done to stored signals, each to its share of examples: heights of a candidate's lines along a smooth curve (sigma of ln), its place by
    a point, a range cut shorter, lines of another scan at up to a height, noise on the numbers (in standard deviations). With half of it, 78 in place
    of 81 % were named right among scans of another simulation, where 1 % of those without their family were named.
    """

    heights: float = 0.8
    sigma: float = 0.5
    moved: float = 0.3
    cut: float = 0.2
    mixed: float = 0.3
    mixed_height: float = 0.3
    numbers: float = 0.2


@dataclass(frozen=True, eq=False)
class Examples:
    """All examples of a folder in memory. Names as in `reranker_examples.stored`; usable: (n, k) whether a candidate teaches anything."""

    scan: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    candidates: NDArray[np.uint8]
    top: NDArray[np.float32]
    numbers: NDArray[np.float32]
    features: NDArray[np.float32]
    label: NDArray[np.int8]
    rows: NDArray[np.int32]
    likeness: NDArray[np.float16]
    related: NDArray[np.bool_]
    decoy: NDArray[np.bool_]
    row: NDArray[np.int32]
    kind: NDArray[np.str_]
    part: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.scan)

    @classmethod
    def load(cls, places: Iterable[Path], part: str | None = None) -> Examples:
        """The examples of these files, those of one part where it is given. Raises LibraryError where there are none."""
        parts: list[dict[str, NDArray[np.generic]]] = []
        for place in places:
            with np.load(place) as data:
                kept = np.ones(len(data["part"]), bool) if part is None else data["part"] == part
                parts.append({name: data[name][kept] for name in cls.__dataclass_fields__})
        if not sum(len(one["scan"]) for one in parts):
            raise LibraryError("no examples; make some with scripts/make_reranker_examples.py")
        return cls(**{name: np.concatenate([one[name] for one in parts]) for name in cls.__dataclass_fields__})

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n, k) of candidates that are the scan's own family, or surely not."""
        return np.asarray((self.label == 1) | ((self.label == 0) & ~self.related))

    def inputs(self, which: NDArray[np.int64], candidate: NDArray[np.int64]) -> NDArray[np.float32]:
        """Network input (b, CHANNELS, POINTS) of a candidate each of these scans."""
        scans = self.scan[which].astype(np.float32) / np.float32(255.0)
        inputs = np.zeros((len(which), CHANNELS, scans.shape[1]), np.float32)
        inputs[:, 0] = scans
        inputs[:, 1] = self.candidates[which, candidate].astype(np.float32) * (self.top[which, candidate, None] / np.float32(255.0))
        inputs[:, 2] = np.unpackbits(self.mask[which], axis=1)[:, : scans.shape[1]]
        inputs[:, 3, : len(NUMBERS)] = self.numbers[which, candidate]
        return inputs

    def drawn(self, scans: NDArray[np.int64], rng: Rng) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which scan and which of its candidates (b,): the own family where it is there, and `NEGATIVES` others, more where it is not."""
        which, candidate = [], []
        usable = self.usable[scans]
        for i, fit in zip(scans.tolist(), usable, strict=True):
            right = np.flatnonzero(fit & (self.label[i] == 1))
            wrong = np.flatnonzero(fit & (self.label[i] == 0))
            number = NEGATIVES + (right.size == 0)
            first = wrong[:1] if rng.random() < HARDEST else wrong[:0]
            rest = rng.permutation(wrong[first.size :])[: number - first.size]
            chosen = np.concatenate([right[:1], first, rest])
            which.append(np.full(chosen.size, i))
            candidate.append(chosen)
        return np.concatenate(which), np.concatenate(candidate)


def batch(examples: Examples, scans: NDArray[np.int64], rng: Rng, spread: Float64Array, effects: Effects) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (b, CHANNELS, POINTS) and labels (b,) of some candidates of these scans, with `effects`. spread: of the numbers."""
    which, candidate = examples.drawn(scans, rng)
    inputs = examples.inputs(which, candidate)
    _disturb(inputs, examples, rng, effects)
    inputs[:, 3, : len(NUMBERS)] += effects.numbers * rng.normal(0.0, 1.0, (len(which), len(NUMBERS))).astype(np.float32) * spread
    return torch.from_numpy(inputs), torch.from_numpy(examples.label[which, candidate].astype(np.float32))


def _disturb(inputs: NDArray[np.float32], examples: Examples, rng: Rng, effects: Effects) -> None:
    b, points = len(inputs), inputs.shape[2]
    place = np.linspace(0.0, 1.0, points)
    for i in np.flatnonzero(rng.random(b) < effects.heights):
        knots = rng.normal(0.0, effects.sigma * rng.random(), 12)
        inputs[i, 1] *= np.exp(np.interp(place, np.sort(rng.random(12)), knots)).astype(np.float32)
    for i in np.flatnonzero(rng.random(b) < effects.moved):
        inputs[i, 1] = np.roll(inputs[i, 1], rng.choice([-1, 1]))
    for i in np.flatnonzero(rng.random(b) < effects.mixed):
        other = examples.scan[rng.integers(len(examples))].astype(np.float32) / np.float32(255.0)
        lines = np.sqrt(inputs[i, 0] ** 2 + (effects.mixed_height * rng.random() * other * inputs[i, 2]) ** 2)
        inputs[i, 0] = lines / max(float(lines.max()), 1e-6)
    for i in np.flatnonzero(rng.random(b) < effects.cut):
        seen = np.flatnonzero(inputs[i, 2])
        if seen.size < 600:
            continue
        first = seen[0] + rng.integers(0, 60) * (rng.random() < 0.5)
        last = seen[-1] - rng.integers(0, 300) * (rng.random() < 0.7)
        inputs[i, :3, :first] = 0.0
        inputs[i, :3, last + 1 :] = 0.0
        top = float(inputs[i, 0].max())
        if top > 0:  # what is left of a scan is its own strongest line
            inputs[i, :2] /= top
