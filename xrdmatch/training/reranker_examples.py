"""Examples for the re-ranker: simulated scans with their likeliest candidates after adjustment, in files of some hundred scans.

One search gives both trials of a scan. With the scan's own family among the candidates it is one of a structure that the library holds; without it,
one of a structure that it does not hold, since the next best are adjusted all the same. Entries that may well be the own framework, with another
metal, halogen or solvent or in another setting, are told apart: to name them would not be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import lattice_directions
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.library.common_names import stem
from xrdmatch.library.composition import composition, holding
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import PreparedScan, prepare_scan
from xrdmatch.search.candidate_view import NUMBERS, Field, Lattices, View, view
from xrdmatch.search.candidates import FEATURES, Candidates
from xrdmatch.search.cell_refinement import MAX_STRAIN, RefinementOptions, refine_and_draw
from xrdmatch.search.comparison import candidate_signals, compare
from xrdmatch.search.pipeline import best_of_families, described
from xrdmatch.search.probability import Calibration
from xrdmatch.search.retrieval import RankOptions, retriever
from xrdmatch.search.scan_quality import clear_lines, unusable
from xrdmatch.system import atomic_files

#: Candidates of a scan that are kept, of which so many are decoys; and families that are adjusted.
KEPT, DECOYS, ADJUSTED = 10, 2, 10
#: Relative difference of the own cell's lengths up to which an entry of the same kind of lattice serves as a decoy.
DECOY_CELL = 0.035
#: Recall goes further than for an answer: without the own family, others are the best.
RECALL = RankOptions(max_recall_gap=0.6)
#: All adjusted families get the sharp rounds, also those far behind the own one.
ADJUSTMENT = RefinementOptions(max_blurred_gap=1.0)
#: Shares of trials with the sample's elements given, and with a small library of one's own.
ELEMENTS_GIVEN, SMALL_LIBRARY = 0.15, 0.05
#: Cosine of vectors from which two entries may be one framework; and from which they may where their cells are nearly one (relative difference of the
#: lengths, and degrees), by the free parameters of the lattice: a cubic cell is met by chance. Of 27 scans of which a first network named an entry
#: although the own family and its like were gone, 20 were named so.
TWIN, ONE_CELL, ONE_CELL_ANGLE = 0.6, 0.04, 3.0
TWIN_OF_ONE_CELL = {1: 0.6, 2: 0.45, 3: 0.3}
#: Families of such a library, beside the own one.
SMALLEST_FIELD = 60


@dataclass(frozen=True, eq=False)
class Example:
    """One scan with up to `KEPT` candidates. label: (k,) 1 of the own family, 0 of another. likeness: (k,) cosine of the vectors with the own
    entry's. related: (k,) whether the refcode is the own one's. decoy: (k,).
    """

    view: View
    features: NDArray[np.float32]
    rows: NDArray[np.int64]
    label: NDArray[np.int8]
    likeness: NDArray[np.float32]
    related: NDArray[np.bool_]
    decoy: NDArray[np.bool_]


class ExampleMaker:
    """Makes examples of one model's library. Only its retrieval and its adjustment are asked, not its probabilities, but to say who is likely."""

    def __init__(self, model: Model) -> None:
        self.model, self.library = model, model.library
        self.retriever = retriever(model)
        self.lattices = Lattices.of(model.library)
        self.calibration = Calibration.from_json(model.config.get("calibration"))

    def example(self, pattern: Pattern, row: int | None, rng: np.random.Generator) -> Example | None:
        """The candidates of a scan of entry `row`, None for none of the library; None where the scan cannot be used or there is nothing else."""
        scan = prepare_scan(pattern)
        if unusable(scan.comparison, clear=clear_lines(scan.comparison)):
            return None
        allowed = self._allowed(row, rng)
        found = self._adjusted(scan, row, allowed, rng)
        if found is None:
            return None
        candidates, signals, decoy = found
        drawn = view(self.library, candidates, scan.comparison, signals, Field(self.lattices, allowed))
        features = candidates.features()
        own = np.zeros(len(candidates), bool) if row is None else self.library.family[candidates.rows] == self.library.family[row]
        likeness = np.zeros(len(candidates), np.float32) if row is None else self.model.vectors[candidates.rows] @ self.model.vectors[row]
        related = np.zeros(len(candidates), bool) if row is None else may_be_one(self.library, candidates.rows, row, likeness)
        return Example(
            drawn,
            np.stack([features[name] for name in FEATURES], axis=1).astype(np.float32),
            candidates.rows,
            own.astype(np.int8),
            likeness,
            related & ~own,
            decoy,
        )

    def _allowed(self, row: int | None, rng: np.random.Generator) -> NDArray[np.bool_] | None:
        """Which entries may be named: mostly all, sometimes those of the sample's elements or of a small library."""
        chance, library = rng.random(), self.library
        if row is None or chance > ELEMENTS_GIVEN + SMALL_LIBRARY:
            return None
        if chance < ELEMENTS_GIVEN:
            return holding(library, tuple(composition(str(library.formula[row]))))
        some = rng.choice(len(library.family_name), min(SMALLEST_FIELD, len(library.family_name)), replace=False)
        families = np.append(some, library.family[row])
        return np.isin(library.family, families)

    def _adjusted(
        self, scan: PreparedScan, row: int | None, allowed: NDArray[np.bool_] | None, rng: np.random.Generator
    ) -> tuple[Candidates, NDArray[np.float32], NDArray[np.bool_]] | None:
        """The likeliest candidates and decoys as adjusted, likeliest first, their signals, and which are decoys."""
        library, comparison = self.library, scan.comparison
        recalled = self.retriever.retrieve(scan, replace(RECALL, allowed=allowed))
        if len(recalled) == 0:
            return None
        best, _ = best_of_families(recalled, library, comparison.coarse)
        chosen = best.take(np.arange(min(ADJUSTED, len(best))))
        if row is not None:
            chosen = chosen.joined(self._decoys(scan, row, chosen.rows, allowed, rng))
        decoys = set(chosen.rows[min(ADJUSTED, len(best)) :].tolist())
        refined, signals = refine_and_draw(library, chosen, comparison, ADJUSTMENT)
        ranked = described(library, refined, comparison, signals)
        share, _ = self.calibration.seen_by_gate(ranked.features())
        decoy = np.array([one in decoys for one in ranked.rows.tolist()], dtype=bool)
        order = np.argsort(-share, kind="stable")
        order = np.concatenate([order[~decoy[order]][: KEPT - int(decoy.sum())], order[decoy[order]]])
        if row is not None and len(order) and not (own := library.family[ranked.rows] == library.family[row])[order].any() and own.any():
            order[-1 - int(decoy.sum())] = int(np.flatnonzero(own)[0])  # its own family is kept, however unlikely
        return ranked.take(order), signals[order], decoy[order]

    def _decoys(
        self, scan: PreparedScan, row: int, taken: NDArray[np.int64], allowed: NDArray[np.bool_] | None, rng: np.random.Generator
    ) -> Candidates:
        """Entries of the own kind of lattice, their cells brought to the own one's size."""
        library, lattices = self.library, self.lattices
        change = library.cell[row, :3] / library.cell[:, :3] - 1.0
        free = (lattices.kind == lattices.kind[row]) & (np.abs(change) < DECOY_CELL).all(axis=1) & (library.family != library.family[row])
        free &= ~np.isin(library.family, library.family[taken])
        rows = np.flatnonzero(free if allowed is None else free & allowed)
        rows = rng.permutation(rows)[:DECOYS]
        scores = self.model.scores(scan.network_input(self.model.recipe)[None])[0][rows] if len(rows) else np.empty(0)
        decoys = Candidates.of(rows, scores, scan.comparison.fwhm)
        strain = np.concatenate([change[rows].clip(-MAX_STRAIN, MAX_STRAIN), np.zeros((len(rows), 3))], axis=1)
        decoys = replace(decoys, strain=strain)
        signals = candidate_signals(library, decoys, scan.comparison)
        return compare(decoys, signals, scan.comparison) if len(rows) else decoys


def may_be_one(library: Library, rows: NDArray[np.int64], row: int, likeness: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Which entries `rows` (k,) may be the framework of entry `row`, whatever the family.

    Other determinations of it are, and entries whose vectors have a cosine `likeness` (k,) of `TWIN` with its own one, or less where the cells are
    nearly one, however the axes are called.
    """
    same = [stem(str(library.id[other]))[:6] == stem(str(library.id[row]))[:6] for other in rows.tolist()]
    cells, own = library.cell[rows], library.cell[row]
    near = (np.abs(np.sort(cells[:, :3], axis=1) / np.sort(own[:3]) - 1.0) < ONE_CELL).all(axis=1)
    near &= (np.abs(np.sort(cells[:, 3:], axis=1) - np.sort(own[3:])) < ONE_CELL_ANGLE).all(axis=1)
    needed = TWIN_OF_ONE_CELL[min(3, len(lattice_directions(own)))]
    return np.asarray(np.array(same, dtype=bool) | (likeness >= TWIN) | (near & (likeness >= needed)))


def stored(examples: list[Example], origin: list[tuple[int, str, str]]) -> dict[str, NDArray[np.generic]]:
    """Arrays of n examples as a file holds them. origin: (library row or -1, kind of sample, part) of each."""
    n, points = len(examples), examples[0].view.scan.size
    signals = np.zeros((n, KEPT, points), np.uint8)
    top = np.zeros((n, KEPT), np.float32)
    numbers, features = np.zeros((n, KEPT, len(NUMBERS)), np.float32), np.zeros((n, KEPT, len(FEATURES)), np.float32)
    label, rows = np.full((n, KEPT), -1, np.int8), np.full((n, KEPT), -1, np.int32)
    likeness, related, decoy = np.zeros((n, KEPT), np.float16), np.zeros((n, KEPT), bool), np.zeros((n, KEPT), bool)
    for i, one in enumerate(examples):
        k = len(one.rows)
        top[i, :k] = one.view.candidates.max(axis=1)
        signals[i, :k] = np.rint(255.0 * one.view.candidates / np.maximum(top[i, :k, None], 1e-9))
        numbers[i, :k], features[i, :k], label[i, :k], rows[i, :k] = one.view.numbers, one.features, one.label, one.rows
        likeness[i, :k], related[i, :k], decoy[i, :k] = one.likeness, one.related, one.decoy
    return {
        "scan": np.stack([np.rint(255.0 * one.view.scan).astype(np.uint8) for one in examples]),
        "mask": np.packbits(np.stack([one.view.mask for one in examples]), axis=1),
        "candidates": signals,
        "top": top,
        "numbers": numbers,
        "features": features,
        "label": label,
        "rows": rows,
        "likeness": likeness,
        "related": related,
        "decoy": decoy,
        "row": np.array([row for row, _, _ in origin], np.int32),
        "kind": np.array([kind for _, kind, _ in origin]),
        "part": np.array([part for _, _, part in origin]),
    }


def write(path: Path, examples: list[Example], origin: list[tuple[int, str, str]]) -> None:
    """Write a file of examples, whole or not at all."""
    with atomic_files.atomic_write(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **stored(examples, origin))  # type: ignore[arg-type]


def files(folder: Path) -> Iterator[Path]:
    """The files of examples in a folder, in their order."""
    yield from sorted(folder.glob("examples-*.npz"))
