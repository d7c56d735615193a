"""How often verdicts of `xrdmatch check` on simulated scans are right, as the tables of docs/check.md and of the model's card.

python scripts/check_figures.py verdicts.jsonl [before.jsonl]

With a second file the cases that both have are compared, before and after a change. scripts/fit_check.py makes the verdicts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from reliability import binned, calibration_error

from xrdmatch.evaluation.labelled_scans import wilson
from xrdmatch.search.check_result import ABSENT, GOOD, PRESENT, PURE, UNCLEAR, UNUSABLE

Row = dict[str, Any]
#: What is expected wrongly, as the table calls it.
WRONG = {
    "nearest": "same lattice type, nearest cell",
    "net": "another metal and linker of the same net",
    "sister": "another phase of the same metal and linker",
    "frequent": "a frequent framework",
}


def load(file: Path) -> list[Row]:
    """The verdicts of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def share_text(rows: Sequence[Row], wanted: Callable[[Row], bool]) -> str:
    """`12 of 300, 4 % (2-7)`: how many, and the share with its 95 % interval."""
    count = sum(map(wanted, rows))
    low, high = wilson(count, len(rows))
    return f"{count} of {len(rows)}, {100 * count / max(len(rows), 1):.1f} % ({100 * low:.1f}-{100 * high:.1f})"


def is_right(row: Row) -> bool:
    """Whether a verdict is right: pure, where no second phase is above the stated limit, or where it says that any could hide."""
    if row["verdict"] == ABSENT or row["kind"] != "own":
        return bool((row["verdict"] == ABSENT) == (row["kind"] != "own"))
    return bool(row["verdict"] == PRESENT or not row["share"] or row["limit"] is None or 100 * row["share"] < row["limit"])


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """The figures of the card, by what they are of."""
    judged = [row for row in rows if row["verdict"] != UNUSABLE]
    own, wrong = ([row for row in judged if (row["kind"] == "own") == is_own] for is_own in (True, False))
    clean = [row for row in own if not row["share"]]
    told = {"what was expected, alone: pure or present": share_text(clean, lambda row: row["verdict"] in GOOD)}
    told["something else expected: pure or present"] = share_text(wrong, lambda row: row["verdict"] in GOOD)
    told["absent above 90 %, of what was there"] = share_text(own, lambda row: row["verdict"] == ABSENT and row["probability"] > 0.9)
    clean = [row for row in clean if row["verdict"] in GOOD]
    told["clean scans with further peaks"] = share_text(clean, lambda row: row["verdict"] == PRESENT)
    for share in sorted({row["share"] for row in own} - {0.0}):
        some = [row for row in own if row["share"] == share and row["verdict"] in GOOD]
        told[f"second phase of {100 * share:.0f} % found"] = share_text(some, lambda row: row["verdict"] == PRESENT)
    above = [row for row in own if row["limit"] and row["share"] and 100 * row["share"] >= row["limit"] and row["verdict"] in GOOD]
    told["second phases above the stated limit found"] = share_text(above, lambda row: row["verdict"] == PRESENT)
    limits = [row["limit"] if row["limit"] is not None else np.inf for row in clean]
    quartiles = ", ".join("none" if not np.isfinite(one) else f"{one:.0f} %" for one in np.percentile(limits, [25, 50, 75], method="nearest"))
    told["stated limit, quartiles of clean scans"] = f"{quartiles}; none in {np.isinf(limits).sum()} of {len(limits)}"
    decided = [row for row in judged if row["verdict"] != UNCLEAR]
    error = calibration_error(binned((np.array([row["probability"] for row in decided]), np.array([is_right(row) for row in decided]))))
    told["expected calibration error"] = f"{error:.3f} over {len(decided)} verdicts"
    return told


def report(rows: Sequence[Row]) -> None:
    """Print the tables."""
    unusable = sum(row["verdict"] == UNUSABLE for row in rows)
    print(f"{len(rows)} cases of {len({row['file'] for row in rows})} samples, {unusable} cases in scans that are unusable\n")
    print("| simulated | cases, share, 95 % |\n|---|---|")
    for name, said in figures(rows).items():
        print(f"| {name} | {said} |")
    judged = [row for row in rows if row["verdict"] != UNUSABLE]
    print("\n| second phase | scans | pure | present | unclear | absent |\n|---|---|---|---|---|---|")
    for share in sorted({row["share"] for row in judged}):
        some = [row for row in judged if row["kind"] == "own" and row["share"] == share]
        print(f"| {100 * share:.0f} % | {len(some)} | " + " | ".join(_percent(some, {name}) for name in (PURE, PRESENT, UNCLEAR, ABSENT)) + " |")
    print("\n| expected | scans | pure or present | unclear | absent |\n|---|---|---|---|---|")
    for kind, title in WRONG.items():
        some = [row for row in judged if row["kind"] == kind]
        print(f"| {title} | {len(some)} | " + " | ".join(_percent(some, names) for names in (GOOD, {UNCLEAR}, {ABSENT})) + " |")


def _percent(rows: Sequence[Row], verdicts: set[str] | frozenset[str]) -> str:
    return f"{100 * np.mean([row['verdict'] in verdicts for row in rows]):.1f} %" if rows else ""


def _case(row: Row) -> tuple[Any, ...]:
    return row["file"], row["kind"], row["share"]


def compare(after: Sequence[Row], before: Sequence[Row]) -> None:
    """Print the figures of the cases that both have, side by side."""
    both = {_case(row) for row in after} & {_case(row) for row in before}
    first, then = (figures([row for row in rows if _case(row) in both]) for rows in (before, after))
    print(f"{len(both)} cases\n\n| simulated | before | after |\n|---|---|---|")
    for name, said in then.items():
        print(f"| {name} | {first.get(name, '')} | {said} |")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("verdicts", type=Path, nargs="+")
    files = arguments.parse_args().verdicts
    if len(files) == 2:
        compare(load(files[0]), load(files[1]))
    else:
        report(load(files[0]))


if __name__ == "__main__":
    main()
