"""Fit the weights of `xrdmatch check` to simulated scans, and measure its verdicts on others; check_trials.py says how both are made.

python scripts/fit_check.py fit fit.jsonl                        writes xrdmatch/search/check_weights.json
python scripts/fit_check.py measure MODEL check-scans/test       verdicts of `check` on scans that were not fitted to
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from check_trials import SHARES, WITH_DECOYS, Decoys, Sample
from scipy.optimize import minimize

from xrdmatch.model.folder import Model
from xrdmatch.search.check import Checker
from xrdmatch.search.check_result import GOOD, CheckResult
from xrdmatch.search.check_weights import CONSTANT
from xrdmatch.search.further_lines import NOISE_LEVELS, TERMS
from xrdmatch.search.identify import Identifier
from xrdmatch.search.presence import COMPARED, OWN

WEIGHTS = Path(__file__).parents[1] / "xrdmatch" / "search" / "check_weights.json"
ALONE = (*OWN, "shift_size", "log_lines", "log_limit")
BESIDE = (*ALONE, *(f"ahead_{name}" for name in COMPARED), "log_beyond_rival", "log_left_by_rival")
#: Share of clean scans in which a line may be listed, by which the margin is chosen; and 1 - similarity from which a framework is not called there.
CLEAN, UNLIKE = 0.0075, 0.3
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


def fit(files: Iterable[Path]) -> dict[str, dict[str, float]]:
    """All weights."""
    cases = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    some = [case for case in cases if "features" in case]
    own = np.array([case["kind"] == "own" for case in some], dtype=float)
    features = [case["features"] for case in some]
    found = {"presence_alone": logistic(features, ALONE, own), "presence": logistic(features, BESIDE, own)}
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


def report(rows: Sequence[dict[str, Any]]) -> None:
    """The figures of docs/check.md."""
    judged = [row for row in rows if row["verdict"] != "unusable"]
    own, wrong = ([row for row in judged if (row["kind"] == "own") == is_own] for is_own in (True, False))
    print(f"{len(rows)} cases, {len(rows) - len(judged)} of them in scans that are unusable")
    by_kind = defaultdict(list)
    for row in judged:
        by_kind[row["kind"], row["share"], ""].append(row)
        if row["kind"] == "own" and not row["share"]:
            by_kind[row["kind"], row["share"], row["level"]].append(row)
    for (kind, share, level), some in sorted(by_kind.items()):
        verdicts = "  ".join(f"{name} {np.mean([row['verdict'] == name for row in some]):.3f}" for name in ("pure", "present", "unclear", "absent"))
        print(f"{kind:9} {100 * share:3.0f} % {level:7} n {len(some):4}  {verdicts}")
    print("expected framework 'absent' with probability above 0.9:", _share(own, lambda row: row["verdict"] == "absent" and row["probability"] > 0.9))
    print("decoys pure or present:", _share(wrong, lambda row: row["verdict"] in GOOD))
    clean = [row for row in own if not row["share"] and row["verdict"] in GOOD]
    print("further lines listed in clean scans:", _share(clean, lambda row: row["verdict"] == "present"))
    above = [row for row in own if row["limit"] and 100 * row["share"] >= row["limit"] and row["verdict"] in GOOD]
    print("'pure' with a second phase above the stated limit:", _share(above, lambda row: row["verdict"] == "pure"))
    limits = [row["limit"] for row in own if row["verdict"] in GOOD and not row["share"]]
    known = [value for value in limits if value]
    quartiles = np.percentile(known, [25, 50, 75]).round(1).tolist() if known else []
    print(f"stated limit: quartiles {quartiles} %, none in {len(limits) - len(known)} of {len(limits)}")
    right = [_right(row) for row in judged if row["verdict"] != "unclear"]
    said = [row["probability"] for row in judged if row["verdict"] != "unclear"]
    print(f"expected calibration error {calibration_error(said, right):.4f} over {len(right)} verdicts")
    there = [(row["probability"], row["verdict"] != "absent") for row in judged if row["verdict"] != "unclear"]
    chances = [chance if is_there else 1.0 - chance for chance, is_there in there]
    truth = [row["kind"] == "own" for row in judged if row["verdict"] != "unclear"]
    print(f"of presence alone: {calibration_error(chances, truth):.4f}")
    print(f"median {1000 * np.median([row['seconds'] for row in own if not row['share']]):.0f} ms a clean scan")


def _share(rows: Sequence[dict[str, Any]], wanted: Any) -> str:
    count = sum(map(wanted, rows))
    return f"{count} of {len(rows)} ({100 * count / max(len(rows), 1):.1f} %)"


def _right(row: dict[str, Any]) -> bool:
    """Whether a verdict is right: pure, where no second phase is above the stated limit, or where it says that any could hide."""
    if row["verdict"] == "absent" or row["kind"] != "own":
        return (row["verdict"] == "absent") == (row["kind"] != "own")
    return row["verdict"] == "present" or not row["share"] or row["limit"] is None or 100 * row["share"] < row["limit"]


def calibration_error(said: Sequence[float], right: Sequence[bool]) -> float:
    """Over ten bins of the probability."""
    p, y = np.array(said), np.array(right, dtype=float)
    bins = np.minimum((10 * p).astype(int), 9)
    return float(sum(abs(p[bins == k].mean() - y[bins == k].mean()) * (bins == k).mean() for k in range(10) if (bins == k).any()))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = arguments.add_subparsers(dest="step", required=True)
    steps.add_parser("fit").add_argument("trials", type=Path, nargs="+")
    step = steps.add_parser("measure")
    step.add_argument("model")
    step.add_argument("folder", type=Path)
    step.add_argument("--part", type=int, nargs=2, default=(0, 1), help="which of how many parts of the samples")
    step.add_argument("-o", "--out", type=Path, help="keep the single verdicts")
    steps.add_parser("report").add_argument("verdicts", type=Path, nargs="+")
    given = arguments.parse_args()
    if given.step == "fit":
        WEIGHTS.write_text(json.dumps(fit(given.trials), indent=2) + "\n")
        return
    if given.step == "report":
        report([json.loads(line) for file in given.verdicts for line in file.read_text().splitlines()])
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
