"""Make examples for `xrdmatch train --network reranker`: simulated scans of structure files, with the likeliest candidates of a model.

    python scripts/make_reranker_examples.py mof-encoder parts.json examples 2019-ASR.tar.xz 2019-FSR.tar.xz ... --scans 100000

parts.json: {id: part} of the entries that never serve for training; all others are "train". Each family is met equally often, those of lattices with
few parameters more often, and cells of very many atoms less often, for they take long. Goes on where a run before it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from xrdmatch.diffraction.structure import iter_sources, parse
from xrdmatch.diffraction.structure_factors import Reflections
from xrdmatch.errors import XrdMatchError
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
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    maker = ExampleMaker(Model.load(given.model, "cpu", 1))
    known = maker.library.index()
    files = {Path(name).stem: data for name, data, _ in iter_sources(given.sources, lambda *_: None) if Path(name).stem in known}
    source = Source(maker, files, json.loads(given.parts.read_text()))
    print(f"{len(files)} structures", flush=True)
    clock, made = time.monotonic(), 0
    for number in range(-(-given.scans // IN_A_FILE)):
        place = given.out / f"examples-{given.seed}-{number:05d}.npz"
        if place.is_file():
            continue
        examples, origin = source.file_of(np.random.default_rng([given.seed, number]))
        write(place, examples, origin)
        made += len(examples)
        print(f"{place.name}: {len(examples)} scans, {made / (time.monotonic() - clock):.2f} a second", flush=True)


class Source:
    """Structures by how often they are met. files: content by id; parts: of those that never serve for training."""

    def __init__(self, maker: ExampleMaker, files: Files, parts: dict[str, str]) -> None:
        self.maker, self.files, self.parts, self.index = maker, files, parts, maker.library.index()
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
        """Library row, part, and cell and lines of a structure; sometimes of none."""
        while rng.random() >= OF_NOTHING:
            name = str(rng.choice(self.names, p=self.chances))
            try:
                return self.index[name], self.parts.get(name, "train"), lines_of_sample(parse(self.files[name], name), Disorder(), rng)
            except XrdMatchError:
                continue
        return None, str(rng.choice(list(PARTS), p=list(PARTS.values()))), None


if __name__ == "__main__":
    main()
