"""Fit the weights of `xrdmatch check` to simulated scans, and measure its verdicts on others; check_trials.py says how both are made.

python scripts/fit_check.py refit MODEL check-scans              all of it: trials of check-scans/fit, weights, verdicts on check-scans/test, figures
python scripts/fit_check.py fit fit.jsonl                        writes xrdmatch/search/check_weights.json
python scripts/fit_check.py measure MODEL check-scans/test       verdicts of `check` on scans that were not fitted to
python scripts/check_figures.py verdicts.jsonl                   the figures again
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from check_figures import report
from check_trials import SHARES, WITH_DECOYS, Decoys, Sample
from scipy.optimize import minimize

from xrdmatch.model.folder import Model
from xrdmatch.search.check import Checker
from xrdmatch.search.check_result import CheckResult
from xrdmatch.search.check_weights import CONSTANT
from xrdmatch.search.further_lines import NOISE_LEVELS, TERMS
from xrdmatch.search.identify import Identifier
from xrdmatch.search.presence import COMPARED, OWN, RERANKED

WEIGHTS = Path(__file__).parents[1] / "xrdmatch" / "search" / "check_weights.json"
ALONE = (*OWN, "shift_size", "log_lines", "log_limit")
BESIDE = (*ALONE, *(f"ahead_{name}" for name in COMPARED), "log_beyond_rival", "log_left_by_rival")
#: Share of clean scans in which a line may be listed, by which the margin is chosen; and 1 - similarity from which a framework is not called there.
CLEAN, UNLIKE = 0.015, 0.3
#: Where the fit of the tolerance starts: its terms and the steepness.
START = (1.0, 2.0, 5.0, 0.05, 0.01, 0.001, 0.01, 2.0)


def logistic(cases: Sequence[dict[str, float]], names: Sequence[str], right: np.ndarray, ridge: float = 1.0) -> dict[str, float]:
    """Weights of a logistic regression, by Newton's method; a `ridge` on scaled features keeps them moderate."""
    x = np.array([[case[name] for name in names] for case in cases])
    middle, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    z = np.column_stack([np.ones(len(x)), (x - middle) / spread])
    weights, penalty = np.zeros(z.shape[1]), ridge * np.eye(z.shape[1])
    penalty[0, 0] = 1e-6
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(z @ weights, -30, 30)))
        step = np.linalg.solve((z * (p * (1 - p))[:, None]).T @ z + penalty, z.T @ (right - p) - penalty @ weights)
        weights = weights + step
    plain = weights[1:] / spread
    return {CONSTANT: float(weights[0] - plain @ middle), **dict(zip(names, plain.tolist(), strict=True))}


def tolerance_weights(scans: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Weights of the tolerance, and its margin."""
    rows = np.array([line for scan in scans for line in scan["lines"]])
    owner = np.repeat(np.arange(len(scans)), [len(scan["lines"]) for scan in scans])
    height, terms, foreign = rows[:, 0], rows[:, 1:-1], rows[:, -1]
    start = np.log(START)

    def loss(logs: np.ndarray) -> float:
        z = np.exp(logs[-1]) * np.log(height / (terms @ np.exp(logs[:-1])))
        return float(np.mean(np.logaddexp(0, -z) * foreign + np.logaddexp(0, z) * (1 - foreign)) + 1e-4 * ((logs - start)[:-1] ** 2).sum())

    best = np.exp(minimize(loss, start, method="L-BFGS-B").x)
    over = np.log(height / (terms @ best[:-1]))
    most = np.full(len(scans), -np.inf)
    loud = height > NOISE_LEVELS * terms[:, 0]
    np.maximum.at(most, owner[loud], over[loud])
    misfit = np.zeros(len(scans))
    misfit[owner] = terms[:, -1]
    clean = np.array([scan["share"] == 0 for scan in scans]) & (misfit < UNLIKE)
    margin = float(np.exp(np.quantile(most[clean], 1.0 - CLEAN)))
    return {**dict(zip(TERMS, best[:-1].tolist(), strict=True)), "steepness": float(best[-1]), "margin": max(margin, 1.0)}


def lines_of(files: Iterable[Path]) -> list[dict[str, Any]]:
    """The cases of files of JSON lines."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def fit(trials: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """All weights."""
    cases = list(trials)
    some = [case for case in cases if "features" in case]
    own = np.array([case["kind"] == "own" for case in some], dtype=float)
    features = [case["features"] for case in some]
    found = {"presence_alone": logistic(features, ALONE, own), "presence": logistic(features, BESIDE, own)}
    if all(RERANKED in one for one in features):
        found["presence_alone_reranked"] = logistic(features, (*ALONE, RERANKED), own)
        found["presence_reranked"] = logistic(features, (*BESIDE, RERANKED, f"ahead_{RERANKED}"), own)
    scans = [case for case in cases if case.get("lines") and isinstance(case["lines"][0], list) and case["share"] < max(SHARES)]
    found["line"] = tolerance_weights(scans)
    return {name: {key: round(value, 5) for key, value in weights.items()} for name, weights in found.items()}


def measured(checker: Checker, decoys: Decoys, folder: Path, part: Sequence[int]) -> Iterable[dict[str, Any]]:
    """Verdicts on the scans of a folder, as plain values."""
    library, index = decoys.library, decoys.library.index()
    for file in sorted(folder.glob("*.npz"))[part[0] :: part[1]]:
        sample = Sample.load(file)
        if sample.name not in index or not sample.other:
            continue
        own = set(library.family[decoys.lookup.entries(sample.name).rows].tolist())
        other = int(library.family[index[sample.other]]) if sample.other in index else -1
        rng = np.random.default_rng([int(file.stem), 6])
        wrong = [(kind, entries) for kind, entries in decoys.of(index[sample.name], own, rng) if not entries.from_file]
        for share in SHARES:
            cases = [("own", sample.name)]
            cases += [(kind, one.text) for kind, one in wrong if share in WITH_DECOYS and not (share and other in library.family[one.rows])]
            for kind, text in cases:
                told = checker.check(sample.pattern(share), [text])
                yield {"kind": kind, "share": share, "file": file.stem, "level": sample.level, **_plain(told)}


def _plain(told: CheckResult) -> dict[str, Any]:
    lines = [line.height for line in told.further_lines]
    return {"verdict": told.verdict, "probability": told.probability, "limit": told.detection_limit, "lines": lines, "seconds": told.seconds}


def in_parts(workers: int, command: Callable[[int, str], Sequence[str]]) -> list[str]:
    """Lines that `workers` runs of a script make, each with a part of the samples. command: its arguments by the part and the file to write."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"{part}.jsonl") for part in range(workers)]
        runs = [subprocess.Popen([sys.executable, *command(part, file)], stdout=subprocess.DEVNULL) for part, file in enumerate(files)]
        if sum(run.wait() != 0 for run in runs):
            raise SystemExit("a part failed")
        return [line for file in files for line in Path(file).read_text().splitlines()]


def refit(model: str, scans: Path, workers: int, every: int) -> None:
    """Weights for a model, and what its verdicts are then: the trials of all samples of scans/fit, the verdicts on every so-manieth of scans/test."""
    here = Path(__file__).parent
    trial, own = str(here / "check_trials.py"), str(here / "fit_check.py")
    trials = in_parts(workers, lambda part, file: (trial, model, str(scans / "fit"), "--part", str(part), str(workers), "-o", file))
    WEIGHTS.write_text(json.dumps(fit(map(json.loads, trials)), indent=2) + "\n")
    parts = str(every * workers)
    verdicts = in_parts(workers, lambda part, file: (own, "measure", model, str(scans / "test"), "--part", str(part), parts, "-o", file))
    (scans / "verdicts.jsonl").write_text("\n".join(verdicts) + "\n")
    report([json.loads(line) for line in verdicts])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = arguments.add_subparsers(dest="step", required=True)
    steps.add_parser("fit").add_argument("trials", type=Path, nargs="+")
    step = steps.add_parser("measure")
    step.add_argument("model")
    step.add_argument("folder", type=Path)
    step.add_argument("--part", type=int, nargs=2, default=(0, 1), help="which of how many parts of the samples")
    step.add_argument("-o", "--out", type=Path, help="keep the single verdicts")
    step = steps.add_parser("refit")
    step.add_argument("model")
    step.add_argument("scans", type=Path, help="a folder with fit and test, of benchmarks/check_scans.py")
    step.add_argument("--workers", type=int, default=2)
    step.add_argument("--every", type=int, default=1, help="measure on every so-manieth sample only")
    given = arguments.parse_args()
    if given.step == "refit":
        refit(given.model, given.scans, given.workers, given.every)
        return
    if given.step == "fit":
        WEIGHTS.write_text(json.dumps(fit(lines_of(given.trials)), indent=2) + "\n")
        return
    model = Model.load(given.model, "cpu")
    rows = []
    with (given.out or Path(os.devnull)).open("w") as stream:
        for row in measured(Checker(Identifier(model)), Decoys(model.library), given.folder, given.part):
            rows.append(row)
            stream.write(json.dumps(row) + "\n")
            stream.flush()
    report(rows)


if __name__ == "__main__":
    main()
