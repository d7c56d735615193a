"""What the search finds in simulated scans of what is expected in them, and of decoys: what the weights of `xrdmatch check` are fitted to.

    python benchmarks/check_scans.py ... --part 0 -o check-scans/fit    and    --part 1 -o check-scans/test
    python scripts/check_trials.py MODEL check-scans/fit -o fit.jsonl
    python scripts/fit_check.py fit fit.jsonl

Of each sample seven scans are made: with a further phase whose strongest line has 0, 1, 2, 5, 10, 20 and 50 percent of the sample's height. What is
expected is the sample's own framework, and decoys: an entry of the same lattice type scaled onto its cell; that with the nearest cell;
another metal and linker of the same net; another phase of the same metal and linker; one of the most frequent frameworks. In half of the
cases of a decoy the sample's own entry is taken out of the library.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from xrdmatch.diffraction.lattice import centring, lattice_directions
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import cell_volume
from xrdmatch.library.composition import SameMetalAndLinker
from xrdmatch.library.expected_entries import ExpectedEntries, ExpectedLookup
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import PreparedScan, prepare_scan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.expected_phase import ExpectedPhase, Fitted
from xrdmatch.search.further_lines import TERMS, lines_of, local_noise, tolerance_terms
from xrdmatch.search.pipeline import rank
from xrdmatch.search.presence import own_features, rival_features, side_by_side
from xrdmatch.search.probability import Calibration
from xrdmatch.search.scan_quality import unusable

WAVELENGTH = 1.541871
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
DECOYS = ("scaled", "nearest", "net", "sister", "frequent")
#: Frameworks that are most frequent in the library, of which decoys are.
FREQUENT = 60
#: Shares of a further phase at which decoys are looked for.
WITH_DECOYS = (0.0, 0.2)


@dataclass(frozen=True)
class Sample:
    """A file of benchmarks/check_scans.py."""

    file: Path
    name: str
    other: str
    level: str
    two_theta: np.ndarray
    first: np.ndarray
    second: np.ndarray
    base: np.ndarray
    counts: float

    @classmethod
    def load(cls, file: Path) -> Sample:
        with np.load(file) as data:
            texts = {key: str(data[key]) for key in ("name", "other", "level")}
            return cls(
                file, **texts, **{key: data[key].astype(float) for key in ("two_theta", "first", "second", "base")}, counts=float(data["counts"])
            )

    def pattern(self, share: float) -> Pattern:
        rng = np.random.default_rng([int(self.file.stem), round(1000 * share)])
        counts = rng.poisson(self.counts * (self.first + share * self.second + self.base))
        return Pattern(self.two_theta, counts.astype(float), WAVELENGTH, self.file.stem)

    def is_foreign(self, share: float, two_theta: float, reach: float) -> bool:
        """Whether what the further phase adds near an angle is more than what the sample has there."""
        near = np.abs(self.two_theta - two_theta) <= reach
        return bool(near.any()) and share * self.second[near].max() > self.first[near].max()


class Decoys:
    """Entries that are not what a sample is, by kind."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.relatives, self.lookup = SameMetalAndLinker(library), ExpectedLookup(library)
        groups = library.level("framework")[0]
        self.frequent = [int(np.flatnonzero(groups == group)[0]) for group, _ in Counter(groups.tolist()).most_common(FREQUENT)]

    @cached_property
    def lattices(self) -> np.ndarray:
        return np.array([hash((len(lattice_directions(cell)), *_tied(cell))) for cell in self.library.cell])

    @cached_property
    def volumes(self) -> np.ndarray:
        return np.array([cell_volume(cell) for cell in self.library.cell])

    @cached_property
    def nets(self) -> dict[str, list[int]]:
        found = defaultdict(list)
        for row, title in enumerate(self.library.title.tolist()):
            net = title.rsplit(", ", 1)[-1]
            if ", " in title and len(net) in (3, 5) and net[:3].islower() and net.isascii():
                found[net].append(row)
        return found

    def of(self, row: int, own: set[int], rng: np.random.Generator) -> Iterator[tuple[str, ExpectedEntries]]:
        """own: families of what the sample is."""
        library = self.library
        like = self.alike(row, own)
        net = library.title[row].rsplit(", ", 1)[-1]
        rows = {
            "nearest": like[np.argsort(np.abs(np.log(self.volumes[like] / self.volumes[row])))][:5],
            "net": [one for one in self.nets.get(net, []) if library.composition[one] != library.composition[row]] if library.knows_levels else [],
            "sister": self.relatives.rows(int(library.family[row])),
            "frequent": self.frequent,
        }
        if like.size:
            yield "scaled", self._scaled(row, int(rng.choice(like)), rng)
        for kind, some in rows.items():
            some = [one for one in np.asarray(some, dtype=int).tolist() if int(library.family[one]) not in own]
            if not some:
                continue
            entries = self.lookup.entries(str(library.id[int(rng.choice(some))]))
            if not own & set(library.family[entries.rows].tolist()):
                yield kind, entries

    def alike(self, row: int, own: set[int]) -> np.ndarray:
        """Rows of the same lattice type and centring, of other families, of 0.5 to 2 times the volume."""
        library = self.library
        ratio = self.volumes / self.volumes[row]
        rows = np.flatnonzero((self.lattices == self.lattices[row]) & (ratio > 0.5) & (ratio < 2.0))
        symbol = centring(library.hkl[library.offsets[row] : library.offsets[row + 1]])
        rows = np.random.default_rng(row).permutation(rows)[:400]
        kept = [
            one
            for one in rows.tolist()
            if int(library.family[one]) not in own and centring(library.hkl[library.offsets[one] : library.offsets[one + 1]]) == symbol
        ]
        return np.array(kept, dtype=int)

    def _scaled(self, row: int, other: int, rng: np.random.Generator) -> ExpectedEntries:
        """The entry `other` with the cell of `row`, but for a per cent."""
        one = self.library.subset([other])
        cell = self.library.cell[row].copy()
        cell[:3] *= 1.0 + rng.normal(0.0, 0.01)
        return ExpectedEntries("scaled", "scaled", replace(one, cell=cell[None]), np.zeros(1, dtype=np.int64), 0, True)


def _tied(cell: np.ndarray) -> tuple[int, ...]:
    return tuple(lattice_directions(cell).astype(bool).astype(int).ravel().tolist())


def trials(model: Model, folder: Path, part: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Cases of presence and of lines, as plain values."""
    library, decoys, index = model.library, Decoys(model.library), model.library.index()
    weights = Calibration.from_json(model.config.get("calibration"))
    for file in sorted(folder.glob("*.npz"))[part[0] :: part[1]]:
        sample = Sample.load(file)
        if sample.name not in index or not sample.other:
            continue
        own = decoys.lookup.entries(sample.name)
        families = set(library.family[own.rows].tolist())
        rng = np.random.default_rng([int(file.stem), 5])
        cases = [("own", own), *decoys.of(index[sample.name], families, rng)]
        phases = [(kind, ExpectedPhase(entries, None if entries.from_file else model.index.line_index)) for kind, entries in cases]
        other = int(library.family[index[sample.other]]) if sample.other in index else -1
        for share in SHARES:
            scan = prepare_scan(sample.pattern(share))
            if unusable(scan.comparison):
                continue
            candidates = rank(scan, model)
            for kind, phase in phases if share in WITH_DECOYS else phases[:1]:
                if kind != "own" and share and not phase.entries.from_file and other in library.family[phase.entries.rows]:
                    continue  # it is there
                hidden = kind != "own" and rng.random() < 0.5
                one = phase.compared(scan.comparison).take([0])
                told = {"kind": kind, "share": share, "file": file.stem, "level": sample.level, "hidden": hidden}
                told |= {"features": _features(model, weights, scan, candidates, phase, one, families if hidden else set())}
                yield told | ({"lines": _lines(sample, share, scan, Fitted(scan.comparison, [(phase.library, one)]), one)} if kind == "own" else {})


def _features(
    model: Model, weights: Calibration, scan: PreparedScan, candidates: Candidates, phase: ExpectedPhase, one: Candidates, hidden: set[int]
) -> dict[str, float]:
    """hidden: families that the library has not got."""
    mine = set() if phase.entries.from_file else set(phase.library.family[phase.entries.rows].tolist())
    families = model.library.family[candidates.rows].tolist()
    others = candidates.take([place for place, family in enumerate(families) if family not in mine | hidden])
    rival = others.take([int(weights.probabilities(others)[0].argmax())])
    own = own_features(one, scan.comparison) | side_by_side(model, phase, one, scan.comparison)
    return rival_features(own, Fitted(scan.comparison, [(phase.library, one)]), model.library, rival)


def _lines(sample: Sample, share: float, scan: PreparedScan, fitted: Fitted, one: Candidates) -> list[list[float]]:
    """Of all lines height and terms of the tolerance, in shares of the strongest line, and 1 where the further phase makes it."""
    found = lines_of(scan.comparison)
    terms = tolerance_terms(fitted, local_noise(scan), 1.0 - float(one.similarity[0]))
    at = [scan.comparison.grid.nearest(angle) for angle, _ in found]
    reach = 0.5 * scan.comparison.fwhm
    rows = []
    for place, (angle, height) in zip(at, found, strict=True):
        own = [round(float(terms[name][place]), 6) for name in TERMS]
        rows.append([0.01 * height, *own, float(sample.is_foreign(share, angle, reach))])
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--part", type=int, nargs=2, default=(0, 1), help="which of how many parts of the samples")
    arguments.add_argument("-o", "--out", type=Path, required=True)
    given = arguments.parse_args()
    model = Model.load(given.model, "cpu")
    model.ready()
    with given.out.open("w") as stream:
        for case in trials(model, given.folder, tuple(given.part)):
            stream.write(json.dumps(case) + "\n")


if __name__ == "__main__":
    main()
