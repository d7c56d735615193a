"""Parts of simulated scans for `xrdmatch check`: a sample, a further phase, what lies under both. scripts/fit_check.py mixes and measures them.

    python benchmarks/check_scans.py full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz --part 0 --number 600 -o check-scans/fit
    python benchmarks/check_scans.py full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz --part 1 --number 400 -o check-scans/test

Samples are made from atoms as `held_out.py` makes them, of structures that were held out of the encoder's training, at its three levels by turns;
the further phase is of the same metal and linker in half of them, any of the library in the others.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from held_out import LEVELS, angles, background, partners, sample, structures

from xrdmatch.diffraction.structure import parse
from xrdmatch.errors import StructureError
from xrdmatch.library.reference_library import Library

#: Share of further phases that are of the sample's metal and linker.
SISTERS = 0.5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("library", type=Path, help="the library the encoder was trained on (.h5), with its families")
    arguments.add_argument("sources", type=Path, nargs="+", help="the structure files it was made of")
    arguments.add_argument("--part", type=int, choices=(0, 1), required=True, help="0: to fit on, 1: to measure on")
    arguments.add_argument("--number", type=int, default=600)
    arguments.add_argument("-o", "--out", type=Path, required=True)
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    library = Library.load(given.library)
    wanted = structures(library, given.sources, given.part)
    sisters, others, files = partners(library, given.sources, wanted, given.part)
    rng = np.random.default_rng([given.part, 91])
    order = rng.permutation(sorted(wanted)).tolist()
    for number in range(given.number):
        kind = list(LEVELS)[number % len(LEVELS)]
        name = order[number % len(order)]
        of_same = name in sisters and rng.random() < SISTERS
        other = str(rng.choice(sisters[name] if of_same else others))
        own = np.random.default_rng([given.part, 92, number])
        x = angles(LEVELS[kind], own)
        try:
            first, second = (sample(parse(data, stem), x, LEVELS[kind], own) for stem, data in ((name, wanted[name]), (other, files[other])))
        except (StructureError, ValueError):
            continue
        parts = {"two_theta": x, "first": first, "second": second, "base": background(x, LEVELS[kind], own)}
        texts = {"name": name, "other": other if first.any() and second.any() else "", "level": kind}
        counts = 10 ** own.uniform(*LEVELS[kind].counts)
        np.savez_compressed(given.out / f"{number:05d}.npz", counts=counts, **texts, **{key: part.astype(np.float32) for key, part in parts.items()})


if __name__ == "__main__":
    main()
