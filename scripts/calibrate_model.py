"""Fit a model's probabilities anew, on scans that are simulated from atoms with guests in the pores (benchmarks/held_out.py).

    python scripts/calibrate_model.py mof-encoder full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz

Training calibrates on scans that it makes of reflections alone, the same way it makes the encoder's training patterns: there the encoder looks better
than it is. These scans are made otherwise. The weights are fitted on one half of the structures the encoder never saw; the figures are of a third as
many scans of the other half. The probability of a second phase is fitted on scans of one phase, of two, and of two of the same metal and linker, in
equal parts, half as many as for the first.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import numpy as np
from held_out import LEVELS, MEAN, Partners, mixtures, partners, scans, structures

from xrdmatch.calibrate import Trial, quality, taken_on, taken_through, weights_of
from xrdmatch.calibration import Calibration
from xrdmatch.chemistry import Kinship
from xrdmatch.library import Library
from xrdmatch.model import Model, write_config
from xrdmatch.pattern import Pattern

Structures = dict[str, bytes]


def trials(model: Model, wanted: dict[str, bytes], number: int, seed: int) -> list[Trial]:
    """Scans of the three levels in equal parts, mixed; every third with its framework taken out of the library."""
    index = model.library.index()
    results = []
    for level, hardness in LEVELS.items():
        for i, (name, angles, counts) in enumerate(scans(wanted, hardness, number // 3, seed)):
            found = taken_through(model, Pattern(angles, counts, MEAN, name), index[name], i % 3 == 0)
            results += [found] if found else []
        print(f"{level}: {len(results)} scans", flush=True)
    return [results[i] for i in np.random.default_rng(seed).permutation(len(results))]


def trials_beside(model: Model, weights: Calibration, library: Library, wanted: Structures, others: Partners, number: int, seed: int) -> list[Trial]:
    """Scans of the three levels, of one phase, of any two and of two sisters, in equal parts."""
    index, kinship, results = model.library.index(), Kinship(model.library), []
    for level, hardness in LEVELS.items():
        alone = (((name,), x, counts) for name, x, counts in scans(wanted, hardness, number // 9, seed + 1))
        mixed = [mixtures(library, others, wanted, kind, hardness, number // 9, seed) for kind in ("any", "sister")]
        for names, x, counts in chain(alone, (((name, other), x, counts) for name, other, x, counts in chain(*mixed))):
            found = taken_on(model, kinship, weights, Pattern(x, counts, MEAN), [index[name] for name in names])
            results += [found] if found else []
        print(f"{level}: {len(results)} scans with something beside the first phase", flush=True)
    return [results[i] for i in np.random.default_rng(seed).permutation(len(results))]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("library", type=Path, help="the library the encoder was trained on (.h5)")
    arguments.add_argument("sources", type=Path, nargs="+", help="the structure files it was made of")
    arguments.add_argument("--number", type=int, default=3600)
    arguments.add_argument("--seed", type=int, default=3)
    given = arguments.parse_args()
    model, library = Model.load(given.model, "cpu"), Library.load(given.library)
    learn, check = (structures(library, given.sources, part) for part in (0, 1))
    weights = weights_of(trials(model, learn, given.number, given.seed))
    figures = quality(weights, trials(model, check, given.number // 3, given.seed))
    fits = {"calibration": weights.to_json()}
    for wanted, number in ((learn, given.number // 2), (check, given.number // 6)):
        found = trials_beside(model, weights, library, wanted, partners(library, given.sources, wanted, given.seed), number, given.seed)
        if wanted is learn:
            beside = weights_of(found)
            fits["calibration_beside"] = beside.to_json()
        else:
            figures |= {f"beside_{name}": value for name, value in quality(beside, found).items()}
    kept = {name: value for name, value in model.config.get("metrics", {}).items() if not name.startswith(("simulated", "calibration", "beside"))}
    write_config(given.model, {**model.config, **fits, "metrics": {**kept, **figures}})
    print(json.dumps({**fits, **figures}, indent=1))


if __name__ == "__main__":
    main()
