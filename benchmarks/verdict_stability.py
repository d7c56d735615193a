"""Whether two scans of one sample get the same verdict, and one scan at two step widths, counting times and zero shifts.

    python benchmarks/verdict_stability.py full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz [--model DIR] [--samples 300] [--csv FILE]

The samples are those of `held_out.py`, of structures that the encoder never saw, at its three levels by turns; for every second one the family is
taken out of the model's library. Each sample is measured once, and then again in four ways: only counted anew; at every second point; four times as
long; with the zero of the instrument 0.02 degrees off. Prints, by way and by level, the share of pairs with one verdict, and of those with one
verdict and one name, with Wilson's 95 % interval; and which verdicts and reasons the others have.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from held_out import LEVELS, MEAN, mean_counts, structures

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.structure import parse
from xrdmatch.errors import StructureError
from xrdmatch.evaluation.labelled_scans import wilson
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import DEFAULT, Model, find_model
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.result import Identification

#: Points of which one is kept, times as long, degrees.
STEP, TIME, ZERO = 2, 4.0, 0.02
WAYS = ("counted again", "step x 2", "time x 4", "zero 0.02 deg")
NAMED = ("match", "ambiguous")
Rng = np.random.Generator


@dataclass(frozen=True)
class Pair:
    """One sample, the level it was made at, whether its family is in the library, and two answers."""

    sample: str
    level: str
    present: bool
    way: str
    first: Identification
    second: Identification

    @property
    def one_verdict(self) -> bool:
        return self.first.verdict == self.second.verdict

    @property
    def one_name(self) -> bool:
        return self.one_verdict and (self.first.verdict not in NAMED or self.first.name == self.second.name)

    @property
    def told(self) -> str:
        """What differs, the same either way round."""
        return " / ".join(sorted(f"{one.verdict} ({one.reason_code})" for one in (self.first, self.second)))


def measured(x: np.ndarray, mean: np.ndarray, rng: Rng) -> dict[str, Pattern]:
    """Scans of one sample whose mean counts are `mean` (n,) at the angles `x` (n,), by the way they were measured; "" is the first one."""
    places = {"": x, WAYS[0]: x, WAYS[1]: x[::STEP], WAYS[2]: x, WAYS[3]: x + ZERO}
    means = {"": mean, WAYS[0]: mean, WAYS[1]: mean[::STEP], WAYS[2]: TIME * mean, WAYS[3]: mean}
    return {way: Pattern(places[way], rng.poisson(means[way]).astype(float), MEAN) for way in places}


def pairs(identifier: Identifier, scans: dict[str, Pattern], texts: tuple[str, str, bool]) -> Iterator[Pair]:
    options = SearchOptions(detail=False, hint=False)
    first = identifier.identify(scans[""], options)
    for way in WAYS:
        yield Pair(*texts, way, first, identifier.identify(scans[way], options))


def samples(model: Model, wanted: dict[str, bytes], number: int, seed: int) -> Iterator[Pair]:
    """Pairs of `number` samples of the structures `wanted`; of every second one the family is taken out of the library."""
    order = np.random.default_rng([seed, 81]).permutation(sorted(wanted)).tolist()
    index, library = model.library.index(), model.library
    chosen = [(place, name) for place, name in enumerate(order[:number]) if name in index]
    gone = [int(library.family[index[name]]) for place, name in chosen if place % 2]
    kept = np.flatnonzero(~np.isin(library.family, gone))
    by_presence = {True: Identifier(model), False: Identifier(model.with_index(model.index.subset(kept)))}
    for place, name in chosen:
        # By threes, so that each level has structures of both halves.
        level = list(LEVELS)[place // 2 % len(LEVELS)]
        rng = np.random.default_rng([seed, 82, place])
        other = order[(place + 1) % len(order)]
        present = place % 2 == 0 and int(library.family[index[name]]) not in gone
        try:
            x, mean = mean_counts(parse(wanted[name], name), parse(wanted[other], other), LEVELS[level], rng)
        except (StructureError, ValueError):
            continue
        yield from pairs(by_presence[present], measured(x, mean, rng), (name, level, present))


def line(title: str, some: Sequence[Pair]) -> str:
    """How many of the pairs agree."""
    told = []
    for what, right in (("one verdict", sum(pair.one_verdict for pair in some)), ("and one name", sum(pair.one_name for pair in some))):
        low, high = wilson(right, len(some))
        told.append(f"{what} {right} of {len(some)}, {100 * right / max(len(some), 1):.1f} % ({100 * low:.1f}-{100 * high:.1f} %)")
    return f"{title:24} {', '.join(told)}"


def report(found: Sequence[Pair]) -> None:
    print(line("all", found))
    for way in WAYS:
        print(line(way, [pair for pair in found if pair.way == way]))
    for level in LEVELS:
        for present in (True, False):
            print(line(f"{level}, {'present' if present else 'absent'}", [pair for pair in found if (pair.level, pair.present) == (level, present)]))
    for told, number in Counter(pair.told for pair in found if not pair.one_verdict).most_common():
        print(f"{number:4}  {told}")


def write_csv(found: Sequence[Pair], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("sample", "level", "present", "way", *(f"{of} {n}" for n in (1, 2) for of in ("verdict", "reason", "name", "probability"))))
        for pair in found:
            told = (text for one in (pair.first, pair.second) for text in (one.verdict, one.reason_code, one.name, f"{one.probability:.4f}"))
            writer.writerow((pair.sample, pair.level, pair.present, pair.way, *told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="the library the encoder was trained on (.h5), with its families")
    parser.add_argument("sources", type=Path, nargs="+", help="the structure files it was made of")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    wanted = structures(Library.load(given.library), given.sources, 1)
    found = list(samples(Model.load(find_model(given.model), "cpu"), wanted, given.samples, given.seed))
    report(found)
    if given.csv:
        write_csv(found, given.csv)


if __name__ == "__main__":
    main()
