"""Fit a model's probabilities anew, on scans that are simulated from atoms with guests in the pores (benchmarks/held_out.py).

    python scripts/calibrate_model.py mof-encoder full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz

Training calibrates on scans that it makes of reflections alone, the same way it makes the encoder's training patterns: there the encoder looks better
than it is. These scans are made otherwise. They are of one half of the structures the encoder never saw; the other half is for measuring.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import numpy as np
from held_out import LEVELS, MEAN, scans, structures

from xrdmatch.calibrate import Trial, fitted, taken_through
from xrdmatch.library import Library
from xrdmatch.model import Model, write_config
from xrdmatch.pattern import Pattern


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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("library", type=Path, help="the library the encoder was trained on (.h5)")
    arguments.add_argument("sources", type=Path, nargs="+", help="the structure files it was made of")
    arguments.add_argument("--number", type=int, default=1800)
    arguments.add_argument("--seed", type=int, default=3)
    given = arguments.parse_args()
    model = Model.load(given.model, "cpu")
    weights, quality = fitted(trials(model, structures(Library.load(given.library), given.sources, 0), given.number, given.seed))
    metrics = {name: value for name, value in model.config.get("metrics", {}).items() if not name.startswith(("simulated", "calibration"))}
    write_config(given.model, {**model.config, "calibration": weights.to_json(), "metrics": {**metrics, **quality}})
    print(json.dumps({"calibration": weights.to_json(), **quality}, indent=1))


if __name__ == "__main__":
    main()
