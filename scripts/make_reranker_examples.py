"""Make examples for `xrdmatch train --network reranker`: simulated scans of structure files, with the likeliest candidates of a model.

    python scripts/make_reranker_examples.py mof-encoder parts.json examples 2019-ASR.tar.xz 2019-FSR.tar.xz ... --scans 100000

parts.json: {id: part} of the entries that never serve for training; all others are "train". Each family is met equally often, those of lattices with
few parameters more often, and cells of very many atoms less often, for they take long. Goes on where a run before it stopped.

--absent takes structures that the library does not hold, minerals for one, of which some scans are made: all there is to say of them is that nothing
fits. Those of the same elements as an oxide, salt, metal, zeolite or holder of the library are left out, since they may be the same, and those of the
same elements as a structure in --leave-out, which is to stay unseen.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from xrdmatch.diffraction.structure import iter_sources, parse
from xrdmatch.diffraction.structure_factors import Reflections
from xrdmatch.errors import XrdMatchError
from xrdmatch.library.composition import composition
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.training.disorder import Disorder, lines_of_sample
from xrdmatch.training.reranker_examples import Example, ExampleMaker, write
from xrdmatch.training.scans_from_atoms import SAMPLES, scan

IN_A_FILE = 256
#: Scans made of one structure with one filling of its pores, and share of scans of nothing that a library holds.
OF_ONE, OF_NOTHING = 2, 0.06
#: How much more often lattices of one and two free parameters are met, and how often held-out structures.
FEW_PARAMETERS = {1: 4.0, 2: 2.0}
HELD_OUT_SHARE = 0.22
#: Categories that an absent structure of the same elements may be an entry of.
SIMPLE = ("byproduct", "holder", "standard", "zeolite")
#: Shares of the parts among scans of nothing.
PARTS = {"train": 0.78, "calibrate": 0.11, "measure": 0.11}
#: Bytes of a structure file from which it is met less often, in proportion.
LARGE = 60_000


Files = dict[str, bytes]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("parts", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("sources", type=Path, nargs="+")
    arguments.add_argument("--scans", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--absent", type=Path, nargs="+", default=[], help="structure files that the library does not hold")
    arguments.add_argument("--absent-share", type=float, default=0.1, help="of the scans")
    arguments.add_argument("--leave-out", type=Path, nargs="+", default=[], help="structure files of whose elements no absent structure may be")
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    maker = ExampleMaker(Model.load(given.model, "cpu", 1))
    known = maker.library.index()
    files = {Path(name).stem: data for name, data, _ in iter_sources(given.sources, lambda *_: None) if Path(name).stem in known}
    absent = Absent(absent_files(maker.library, given.absent, given.leave_out), given.absent_share)
    source = Source(maker, files, json.loads(given.parts.read_text()), absent)
    print(f"{len(files)} structures, {len(absent.files)} absent ones", flush=True)
    clock, made = time.monotonic(), 0
    for number in range(-(-given.scans // IN_A_FILE)):
        place = given.out / f"examples-{given.seed}-{number:05d}.npz"
        if place.is_file():
            continue
        examples, origin = source.file_of(np.random.default_rng([given.seed, number]))
        write(place, examples, origin)
        made += len(examples)
        print(f"{place.name}: {len(examples)} scans, {made / (time.monotonic() - clock):.2f} a second", flush=True)


def absent_files(library: Library, sources: Sequence[Path], left_out: Sequence[Path]) -> Files:
    """Structure files of such elements as no simple entry of the library has, and no structure that is left out."""
    simple = np.flatnonzero(np.isin(library.category.tolist(), SIMPLE))
    taken = {frozenset(composition(str(library.formula[row]))) for row in simple.tolist()}
    taken |= {_elements(data, name) for name, data, _ in iter_sources(left_out, lambda *_: None)}
    files = {name: data for name, data, _ in iter_sources(sources, lambda *_: None)}
    return {name: data for name, data in files.items() if (elements := _elements(data, name)) and elements not in taken}


def _elements(data: bytes, name: str) -> frozenset[str]:
    """The elements of a structure file; none where it cannot be read."""
    try:
        return frozenset(composition(parse(data, name).formula))
    except XrdMatchError:
        return frozenset()


@dataclass(frozen=True)
class Absent:
    """Structures that the library does not hold, and the share of scans that are of them."""

    files: Files = field(default_factory=dict)
    share: float = 0.0

    def part(self, name: str) -> str:
        """The part that all scans of a structure belong to."""
        place = zlib.crc32(name.encode()) % 1000 / 1000.0
        return next(part for part, end in zip(PARTS, np.cumsum(list(PARTS.values())), strict=True) if place < end)


class Source:
    """Structures by how often they are met. files: content by id; parts: of those that never serve for training."""

    def __init__(self, maker: ExampleMaker, files: Files, parts: dict[str, str], absent: Absent) -> None:
        self.maker, self.files, self.parts, self.index, self.absent = maker, files, parts, maker.library.index(), absent
        self.absent_names = sorted(absent.files)
        self.names = np.array(sorted(files))
        self.chances = self._chances()

    def _chances(self) -> np.ndarray:
        library, names = self.maker.library, self.names.tolist()
        rows = np.array([self.index[name] for name in names])
        chance = 1.0 / np.bincount(library.family[rows])[library.family[rows]]
        chance *= [FEW_PARAMETERS.get(free, 1.0) for free in self.maker.lattices.free[rows].tolist()]
        chance *= [min(1.0, LARGE / len(self.files[name])) for name in names]
        held = np.array([name in self.parts for name in names])
        for these, share in ((held, HELD_OUT_SHARE), (~held, 1.0 - HELD_OUT_SHARE)):
            chance[these] *= share / max(chance[these].sum(), 1e-30)
        return np.asarray(chance / chance.sum())

    def file_of(self, rng: np.random.Generator) -> tuple[list[Example], list[tuple[int, str, str]]]:
        """The examples of one file, and of each the row, the kind of sample and the part."""
        examples: list[Example] = []
        origin: list[tuple[int, str, str]] = []
        others: deque[tuple[np.ndarray, Reflections]] = deque(maxlen=12)
        while len(examples) < IN_A_FILE:
            row, part, sample = self._sample(rng)
            for _ in range(OF_ONE):
                kind = str(rng.choice(list(SAMPLES)))
                cell, lines = sample or (np.empty(6), None)
                example = self.maker.example(scan(cell, lines, list(others), kind, rng), row, rng)
                if example is not None:
                    examples.append(example)
                    origin.append((-1 if row is None else row, kind, part))
            others.extend([sample] if sample else [])
        return examples, origin

    def _sample(self, rng: np.random.Generator) -> tuple[int | None, str, tuple[np.ndarray, Reflections] | None]:
        """Library row, part, and cell and lines of a structure; sometimes of one that the library does not hold, and of none."""
        while rng.random() >= OF_NOTHING:
            is_absent = bool(self.absent_names) and rng.random() < self.absent.share
            name = str(rng.choice(self.absent_names) if is_absent else rng.choice(self.names, p=self.chances))
            data = (self.absent.files if is_absent else self.files)[name]
            try:
                lines = lines_of_sample(parse(data, name), Disorder(), rng)
            except XrdMatchError:
                continue
            return (None, self.absent.part(name), lines) if is_absent else (self.index[name], self.parts.get(name, "train"), lines)
        return None, str(rng.choice(list(PARTS), p=list(PARTS.values()))), None


if __name__ == "__main__":
    main()
