"""Kills the commands that write files, at random moments, and looks at what they left.

    python scripts/kill_trials.py --number 40
    python scripts/kill_trials.py --number 200 --only add

Each trial starts a command on files that this script makes, sends it SIGKILL (kill -9) or SIGINT (Ctrl-C, to all its processes, once or twice) at a
moment drawn from the time it takes, and checks: under the target's name stands the old file or a whole new one; a model folder can be loaded; no
process is left; Ctrl-C ends with exit code 130 and without a traceback. Then the command is run again (with --resume where it has that) and has to
end well, with the result of a run that nobody disturbed. What breaks a rule is printed with the trial's number; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import cifs
import conftest
import numpy as np

from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.training.training_set import AugmentedSet

STRUCTURES = 60
#: Seconds after which a process whose parent was killed has to be gone.
GRACE = 10.0
#: A short training as a program: the command calibrates on 1,500 scans, which is most of its time and the same everywhere.
SHORT_ENCODER = """
import sys
from xrdmatch.__main__ import main
from xrdmatch.training import encoder
whole = encoder.train_model
encoder.train_model = lambda *a, **k: whole(*a, **{**k, "scans": 60})
sys.argv[0] = "xrdmatch"
main()
"""


def xrdmatch(*words: object) -> list[str]:
    return [sys.executable, "-m", "xrdmatch", *map(str, words)]


@dataclass
class Case:
    """One command. whole: raises where the target is not whole, else says in short what it holds. again: the command that goes on."""

    name: str
    command: list[str]
    target: Path
    whole: Callable[[Path], Any]
    again: list[str] = field(default_factory=list)
    before: Path | None = None  # what stands under the target's name when the command starts, or nothing
    share: int = 1  # slow commands are killed less often
    seconds: float = 0.0
    result: Any = None


def library_of(path: Path) -> Any:
    library = Library.load(path)
    return sorted(library.id.tolist()), len(library.family_name)


def set_of(path: Path) -> Any:
    with AugmentedSet(path) as data:
        return len(data), data.read(0, len(data)).astype(float).sum()


def results_of(path: Path) -> Any:
    return [json.loads(line)["file"] for line in path.read_text().splitlines()]


def model_of(folder: Path) -> Any:
    """Nothing where the folder is no model yet."""
    if not (folder / "config.json").is_file():
        return None
    model = Model.load(folder, "cpu")
    model.ready()
    if model.kind == "encoder" and "calibration" not in model.config and "provenance" in model.config and "settings" in model.config["provenance"]:
        raise ValueError("the model is not calibrated")
    return sorted(model.library.id.tolist())


def cases(folder: Path) -> list[Case]:
    """The commands, each on small files of its own."""
    structures, more, scans = folder / "cifs", folder / "more", folder / "scans"
    for place in (structures, more, scans):
        place.mkdir()
    rng = np.random.default_rng(0)
    for number in range(STRUCTURES):
        atoms = [f"X{i} {('Zn', 'O', 'C', 'N')[i % 4]} {x:.4f} {y:.4f} {z:.4f}" for i, (x, y, z) in enumerate(rng.random((160, 3)))]
        text = cifs.cif(atoms, (16.0 + 0.2 * number, 17.0, 18.0, 90, 90, 90))
        (structures / f"S{number:03}.cif").write_text(text)
        if number < 4:
            (more / f"M{number}.cif").write_text(cifs.cif(atoms[:60], (13.0 + number, 14.0, 15.0, 90, 90, 90)))
    library = conftest.made_up_library()
    library.save(folder / "library.h5")
    for row in range(5):
        for copy in range(8):
            conftest.write_scan(scans / f"{row}-{copy}.xy", library, row, copy, wavelength=True)
    subprocess.run(xrdmatch("augment", folder / "library.h5", "-o", folder / "set.h5", "--noise", scans / "0-0.xy", "--copies", 40, "-q"), check=True)
    old, encoder = folder / "old", folder / "encoder"
    old.mkdir()
    short = [sys.executable, "-c", SHORT_ENCODER]
    train = ["train", str(folder / "library.h5"), "-o", "OUT", "--steps", "12", "--batch", "8", "--device", "cpu", "--jobs", "1", "-q"]
    subprocess.run([*short, *(str(encoder) if word == "OUT" else word for word in train)], check=True)
    added = folder / "added"
    subprocess.run(xrdmatch("add", more, "--model", added, "--from", encoder, "--device", "cpu", "-q"), check=True)
    (old / "results.jsonl").write_text('{"file": "of before"}\n')
    classifier = [
        "train",
        folder / "set.h5",
        "-o",
        "OUT",
        "--library",
        folder / "library.h5",
        "--epochs",
        2,
        "--batch",
        20,
        "--device",
        "cpu",
        "--jobs",
        1,
    ]
    target = folder / "target"
    identify = xrdmatch("identify", scans, "--model", encoder, "--format", "json", "-o", target / "results.jsonl", "-q", "--device", "cpu")
    model, results = target / "model", target / "results.jsonl"
    noise = ["--noise", scans / "0-0.xy", "--copies", 3000]
    made = [
        Case("simulate", xrdmatch("simulate", structures, "-o", target / "out.h5", "--jobs", 2), target / "out.h5", library_of),
        Case("augment", xrdmatch("augment", folder / "library.h5", "-o", target / "set.h5", *noise), target / "set.h5", set_of),
        Case("train wang2020", xrdmatch(*(model if word == "OUT" else word for word in classifier)), model, model_of, share=2),
        Case("train encoder", [*short, *(str(model) if word == "OUT" else word for word in train)], model, model_of, before=added, share=3),
        Case("add", xrdmatch("add", more, "--model", model, "--device", "cpu"), model, model_of, before=encoder),
        Case("add, new folder", xrdmatch("add", more, "--model", model, "--from", encoder, "--device", "cpu"), model, model_of),
        Case("identify --output", identify, results, results_of, before=old / "results.jsonl"),
    ]
    for case in made:
        case.again = [*case.command, "--resume"] if case.name.startswith(("simulate", "train")) else case.command
        if case.name == "train encoder":  # over the model that is there
            case.command = [*case.command, "--overwrite"]
    return made


def place(case: Case) -> None:
    """The target's folder as it is before the command."""
    shutil.rmtree(case.target.parent, ignore_errors=True)
    case.target.parent.mkdir()
    if case.before is not None:
        (shutil.copytree if case.before.is_dir() else shutil.copy)(case.before, case.target)


def start(command: list[str]) -> subprocess.Popen[str]:
    """In a process group of its own, as a terminal does."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def measure(case: Case) -> None:
    """How long the command takes when nobody disturbs it, and what it makes."""
    place(case)
    begin = time.monotonic()
    process = start(case.command)
    _, err = process.communicate()
    case.seconds = time.monotonic() - begin
    if process.returncode:
        sys.exit(f"{case.name}: exit code {process.returncode} without any kill: {err}")
    case.result = case.whole(case.target)


def gone(group: int) -> bool:
    """Whether every process of a group ends within the grace."""
    end = time.monotonic() + GRACE
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return False


def trial(case: Case, how: signal.Signals, moment: float, second: float | None) -> tuple[str, list[str]]:
    """What the kill met (the old file, nothing, a new one), and the rules it broke. second: seconds after which another Ctrl-C follows, if any."""
    place(case)
    old = case.whole(case.target) if case.before is not None else None
    process = start(case.command)
    time.sleep(moment)
    if how is signal.SIGKILL:
        process.kill()
    else:
        for pause in (0.0, second):
            if pause is not None:
                time.sleep(pause)
                if process.poll() is None:
                    os.killpg(process.pid, how)
    _, err = process.communicate()
    broken = []
    if how is signal.SIGINT and (process.returncode not in (0, 130, -signal.SIGINT) or "Traceback" in err):
        broken.append(f"exit code {process.returncode}: {err[-500:]}")
    if not gone(process.pid):
        broken.append("a process was left")
    found = None
    if case.target.exists():
        try:
            found = case.whole(case.target)
        except Exception as error:
            broken.append(f"what stands under the target's name is not whole: {error!r}")
    met = "new" if found is not None and found == case.result else "old" if found is not None and found == old else "nothing"
    if found is not None and met == "nothing":
        broken.append(f"under the target's name stands neither the old nor the new: {str(found)[:200]}")
    if case.before is not None and met == "nothing":
        broken.append("the old file is gone")
    if case.name.startswith("add") and met == "new":
        return met, broken  # the ids are in the library: adding again is refused, and rightly
    begun = not case.name.startswith("train") or (case.target / "checkpoint.pt").is_file()  # else there is nothing to go on with
    again = subprocess.run(case.again if begun else case.command, capture_output=True, text=True, check=False)
    if again.returncode:
        broken.append(f"the next run ends with {again.returncode}: {again.stderr[-500:]}")
    elif (made := case.whole(case.target)) != case.result:
        broken.append(f"the next run makes something else: {str(made)[:200]}")
    return met, broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--number", type=int, default=20, help="kills of each command")
    parser.add_argument("--only", default="", help="commands whose name begins with this")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    draw, faults = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            if not case.name.startswith(options.only):
                continue
            measure(case)
            met: Counter[str] = Counter()
            for number in range(max(2, options.number // case.share)):
                how = (signal.SIGKILL, signal.SIGINT)[number % 2]
                moment = draw.uniform(0.1, 1.05) * case.seconds
                second = draw.choice((None, 0.02, 0.1, 0.5)) if how is signal.SIGINT else None
                what, broken = trial(case, how, moment, second)
                met[what] += 1
                faults += bool(broken)
                for fault in broken:
                    print(f"{case.name}, trial {number}, {how.name} after {moment:.2f} s of {case.seconds:.2f}: {fault}", flush=True)
            there = ", ".join(f"{met[what]} {what}" for what in ("nothing", "old", "new") if met[what])
            print(f"{case.name:18} {sum(met.values())} kills in up to {case.seconds:.1f} s; under the target's name: {there}", flush=True)
    print("no rule was broken" if not faults else f"{faults} trials broke a rule")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
