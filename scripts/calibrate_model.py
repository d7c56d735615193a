"""Fit a model's probabilities anew, on scans that are simulated from atoms with guests in the pores (benchmarks/held_out.py).

    python scripts/calibrate_model.py mof-encoder full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz

Training calibrates on scans that it makes of reflections alone, the same way it makes the encoder's training patterns: there the encoder looks better
than it is. These scans are made otherwise: at three levels of hardness, and of few large crystallites, in equal parts. The weights are fitted on one
half of the structures the encoder never saw; the figures are of a third as many scans of the other half. The probability of a second phase is fitted
on scans of one phase, of two, and of two of the same metal and linker, in equal parts, fewer than for the first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import numpy as np
from held_out import COARSE, LEVELS, MEAN, mixtures, partners, scans, structures

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.library.composition import SameMetalAndLinker
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model, write_config
from xrdmatch.search.probability import Calibration
from xrdmatch.training.fit_probability import Trial, quality, second_phase_trial, taken_through, weights_of

CONDITIONS = {**LEVELS, "coarse": COARSE}
#: Halves of the structures the encoder never saw.
LEARN, CHECK = 0, 1


def trials(given: argparse.Namespace, condition: str, part: int, number: int) -> list[Trial]:
    """`number` scans under one condition, every third with its framework taken out of the library."""
    model, library = Model.load(given.model, "cpu"), Library.load(given.library)
    index = model.library.index()
    made = scans(structures(library, given.sources, part), CONDITIONS[condition], number, given.seed)
    found = (taken_through(model, Pattern(x, counts, MEAN, name), index[name], i % 3 == 0) for i, (name, x, counts) in enumerate(made))
    return [one for one in found if one]


def second_phase_trials(given: argparse.Namespace, condition: str, part: int, number: int, weights: Calibration) -> list[Trial]:
    """`number` scans of one phase, as many of any two, and of two of one metal and linker, under one condition."""
    model, library, level = Model.load(given.model, "cpu"), Library.load(given.library), CONDITIONS[condition]
    wanted = structures(library, given.sources, part)
    others = partners(library, given.sources, wanted, given.seed)
    index, relatives = model.library.index(), SameMetalAndLinker(model.library)

    def made() -> Iterator[tuple[tuple[str, ...], np.ndarray, np.ndarray]]:
        yield from (((name,), x, counts) for name, x, counts in scans(wanted, level, number, given.seed + 1))
        for kind in ("any", "sister"):
            yield from (((name, other), x, counts) for name, other, x, counts in mixtures(library, others, wanted, kind, level, number, given.seed))

    found = (second_phase_trial(model, relatives, weights, Pattern(x, counts, MEAN), [index[name] for name in names]) for names, x, counts in made())
    return [one for one in found if one]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("library", type=Path, help="the library the encoder was trained on (.h5)")
    arguments.add_argument("sources", type=Path, nargs="+", help="the structure files it was made of")
    arguments.add_argument("--number", type=int, default=4800)
    arguments.add_argument("--seed", type=int, default=3)
    arguments.add_argument("--jobs", type=int, default=1)
    given = arguments.parse_args()
    parts = list(product((LEARN, CHECK), CONDITIONS))
    numbers = {LEARN: given.number // len(CONDITIONS), CHECK: given.number // (3 * len(CONDITIONS))}
    with ProcessPoolExecutor(given.jobs) as pool:

        def run(function: Callable[..., list[Trial]], share: int, *more: Calibration) -> dict[int, list[Trial]]:
            """The trials of each half, over all conditions."""
            runs = [(part, pool.submit(function, given, condition, part, numbers[part] // share, *more)) for part, condition in parts]
            return {half: list(chain(*(one.result() for part, one in runs if part == half))) for half in numbers}

        weights, figures = fitted(run(trials, 1), "")
        second, further = fitted(run(second_phase_trials, 8, weights), "second_phase_")
    fits, config = {"calibration": weights.to_json(), "calibration_second_phase": second.to_json()}, Model.load(given.model, "cpu").config
    config = {name: value for name, value in config.items() if name != "calibration_beside"}  # as version 0.1 called it
    old = ("simulated", "calibration", "beside", "second_phase")
    metrics = {name: value for name, value in config.get("metrics", {}).items() if not name.startswith(old)} | figures | further
    write_config(given.model, {**config, **fits, "metrics": metrics})
    print(json.dumps({**fits, **figures, **further}, indent=1))


def fitted(made: dict[int, list[Trial]], prefix: str) -> tuple[Calibration, dict[str, float]]:
    """Weights fitted on the one half, and their figures on the other."""
    weights = weights_of(made[LEARN])
    print(f"{prefix}fitted on {len(made[LEARN])} scans", flush=True)
    return weights, {f"{prefix}{name}": value for name, value in quality(weights, made[CHECK]).items()}


if __name__ == "__main__":
    main()
