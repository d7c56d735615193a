"""Whether two versions of xrdmatch give the same answers: verdicts, ranks and probabilities, scan by scan.

    PYTHONPATH=old python scripts/compare_versions.py run labels.csv held-out/*/labels.csv -o old.jsonl
    PYTHONPATH=new python scripts/compare_versions.py run labels.csv held-out/*/labels.csv -o new.jsonl
    python scripts/compare_versions.py compare old.jsonl new.jsonl

`run` calls `python -m xrdmatch identify --format json` on the scans of each labels.csv (columns file, wavelength), so that only the documented output
of either version counts. `compare` prints how many answers agree, and each one that does not.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

#: Matches asked for, and the largest difference between probabilities that counts as equal.
TOP, TOLERANCE = 5, 0.001
#: Files of one command: some systems limit the length of a line.
FILES = 1000


def scans(labels: Path) -> dict[str, list[str]]:
    """Scans of a labels.csv by their wavelength, empty where none is stated."""
    grouped: dict[str, list[str]] = {}
    with labels.open(newline="", encoding="utf-8-sig") as stream:
        for row in csv.DictReader(stream):
            grouped.setdefault(row.get("wavelength") or "", []).append(str(labels.parent / row["file"]))
    return grouped


def run(labels: list[Path], out: Path, model: str | None, jobs: int) -> None:
    """Answers of the installed version, one JSON object a line."""
    with out.open("w", encoding="utf-8") as stream:
        for path in labels:
            for wavelength, files in scans(path).items():
                for start in range(0, len(files), FILES):
                    command = [sys.executable, "-m", "xrdmatch", "identify", *files[start : start + FILES], "--format", "json", "--quiet"]
                    command += ["--top", str(TOP), "--jobs", str(jobs)]
                    command += ["--wavelength", wavelength] if wavelength else []
                    command += ["--model", model] if model else []
                    stream.write(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
                    stream.flush()


def answers(path: Path) -> dict[str, dict]:
    with path.open(encoding="utf-8") as stream:
        return {answer["file"]: answer for answer in map(json.loads, stream)}


def difference(old: dict, new: dict) -> str:
    """What differs between two answers, the gravest first; empty where nothing does."""
    if old["verdict"] != new["verdict"]:
        return f"verdict: {old['verdict']}, now {new['verdict']}"
    before, after = old["matches"], new["matches"]
    if [match["family"] for match in before] != [match["family"] for match in after]:
        return f"ranks: {' '.join(match['family'] for match in before)}, now {' '.join(match['family'] for match in after)}"
    if [match["id"] for match in before] != [match["id"] for match in after]:
        return f"entries: {' '.join(match['id'] for match in before)}, now {' '.join(match['id'] for match in after)}"
    apart = max((abs(one["probability"] - other["probability"]) for one, other in zip(before, after, strict=True)), default=0.0)
    return f"probabilities: up to {apart:.4f} apart" if apart > TOLERANCE else ""


def compare(old: Path, new: Path) -> int:
    """How many answers differ, which are printed."""
    before, after = answers(old), answers(new)
    both = [file for file in before if file in after]
    found = {file: difference(before[file], after[file]) for file in both}
    for file, said in found.items():
        if said:
            print(f"{file}: {said}")
    kinds = Counter(said.split(":")[0] for said in found.values() if said)
    pairs = [pair for file in both for pair in zip(before[file]["matches"], after[file]["matches"], strict=False) if not found[file]]
    apart = max((abs(one["probability"] - other["probability"]) for one, other in pairs), default=0.0)
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in Counter(before[file]["verdict"] for file in both).most_common())
    print(f"{len(both)} scans in both ({verdicts}); {len(before) - len(both)} only in the first, {len(after) - len(both)} only in the second")
    print(f"{len(both) - sum(kinds.values())} equal, probabilities within {apart:.5f}; differ: {dict(kinds) or 'none'}")
    return sum(kinds.values())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = arguments.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="answers of the installed version")
    running.add_argument("labels", type=Path, nargs="+")
    running.add_argument("--model")
    running.add_argument("--jobs", type=int, default=2)
    running.add_argument("-o", "--out", type=Path, required=True)
    comparing = commands.add_parser("compare", help="two files of answers")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    given = arguments.parse_args()
    if given.command == "run":
        run(given.labels, given.out, given.model, given.jobs)
    else:
        sys.exit(1 if compare(given.old, given.new) else 0)


if __name__ == "__main__":
    main()
