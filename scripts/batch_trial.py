"""A batch with broken files among good ones: every file gets its answer, and the good ones get that of a run of their own.

    python scripts/batch_trial.py --files 1000 --broken 100 --processes 50

Makes the scans from entries of a model's library and breaks some in ten ways, runs `xrdmatch identify FOLDER --format json`, and compares each line
with the answer to that file alone: from Python, one file at a time, for all of them, and from a process of its own for some.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xrdmatch import formats
from xrdmatch.diffraction.pattern import Grid
from xrdmatch.errors import XrdMatchError
from xrdmatch.search.identify import Identifier
from xrdmatch.training.effects_numpy import EASY, measured_like

GRID = Grid(4.0, 50.0, 0.02)
#: What can be wrong with a file: from the bytes of a good one to those of a bad one.
FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "one column": lambda data: b"\n".join(line.split()[0] for line in data.splitlines() if line),
    "words": lambda data: b"the scan was not saved\n" * 40,
    "web page": lambda data: b"<!DOCTYPE html><html><body>404</body></html>",
    "cut archive": lambda data: b"PK\x03\x04" + data[:500],
    "cut raw": lambda data: b"RAW1.01\0" + data[:300],
    "angles beyond 180": lambda data: b"".join(b"%d %d\n" % (200 + at, at) for at in range(300)),
    "not finite": lambda data: data + b"51.0 inf\n",
    "binary": lambda data: bytes(range(256)) * 40,
}


def make(folder: Path, identifier: Identifier, files: int, broken: int, seed: int = 0) -> dict[str, str]:
    """Writes the scans; what is wrong with each broken one, by its path."""
    rng, library = np.random.default_rng(seed), identifier.model.library
    bad = set(rng.choice(files, broken, replace=False).tolist())
    faults = {}
    for number, row in enumerate(rng.integers(0, len(library), files).tolist()):
        counts, mask = measured_like(library, np.array([row]), GRID, rng, EASY)
        points = zip(GRID.two_theta[mask[0]], counts[0][mask[0]], strict=True)
        data = b"# Anode: Cu\n" + b"".join(b"%.2f %d\n" % (angle, count) for angle, count in points)
        place = folder / f"{number:04}.xy"
        if number in bad:
            what = list(FAULTS)[len(faults) % len(FAULTS)]
            faults[str(place)], data = what, FAULTS[what](data)
        place.write_bytes(data)
    return faults


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two answers are equal but for the time they took."""
    return {**one, "seconds": 0} == {**other, "seconds": 0}


def command(model: str | None, *words: object) -> subprocess.CompletedProcess[str]:
    chosen = ["--model", model] if model else []
    call = [sys.executable, "-m", "xrdmatch", "identify", *map(str, words), "--format", "json", "--quiet", *chosen]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def alone(identifier: Identifier, path: str) -> dict[str, Any]:
    """The answer to one file, as JSON gives it; an error's without its matches."""
    try:
        found = identifier.identify(formats.read(path), file=path).to_json()
    except XrdMatchError as error:
        return {"file": path, "verdict": "error", "reason": str(error)}
    answer: dict[str, Any] = json.loads(json.dumps(found))
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default=None)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=100)
    parser.add_argument("--processes", type=int, default=50, help="files that get a process of their own as well")
    options = parser.parse_args()
    identifier = Identifier(options.model)
    with tempfile.TemporaryDirectory() as folder:
        faults = make(Path(folder), identifier, options.files, options.broken)
        time.sleep(formats.RECENT)  # fresh files get a note
        begin = time.monotonic()
        done = command(options.model, folder)
        taken = time.monotonic() - begin
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        errors = [answer for answer in answers if answer["verdict"] == "error"]
        print(
            f"{len(answers)} answers in {taken:.0f} s, exit code {done.returncode}, {len(errors)} errors, {done.stderr.count('error: ')} of them told"
        )
        wrong = [f"{len(answers)} answers"] if len(answers) != options.files else []
        wrong += ["exit code"] if done.returncode != (1 if options.broken else 0) else []
        wrong += list({answer["file"] for answer in errors} ^ set(faults))
        for answer in answers:
            single = alone(identifier, answer["file"])
            if not same(answer, {**answer, **single}):
                wrong.append(answer["file"])
        good = [answer for answer in answers if answer["verdict"] != "error"]
        for answer in good[:: max(1, len(good) // options.processes)]:
            if not same(json.loads(command(options.model, answer["file"]).stdout), answer):
                wrong.append(f"{answer['file']} in a process of its own")
    print("every answer is that of a run of its own" if not wrong else f"{len(wrong)} differ: {wrong[:5]}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
