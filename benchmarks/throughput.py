"""How many scans a second `xrdmatch identify` names in a folder, or `check` checks, reading included, and where the time goes.

    python benchmarks/throughput.py [SCANS] [--files 300] [--jobs 1 2] [--device cpu]
    python benchmarks/throughput.py [SCANS] --files 96 --expect UiO-66
    python benchmarks/throughput.py [SCANS] --against ../other-checkout [--runs 5] [--jobs 2]

SCANS is a folder of .xy files, taken as they are. Where it holds none, scans are simulated into it from the shipped library as `augment --method
physics` does it (2251 points from 5 to 50 degrees, level middle), as columns of text; without it they are removed in the end. Each run is a whole
process, start included; files per second of wall time count what else runs on the machine, the processor time hardly does.
The second table is one process over some of the files: processor time a file, by part.
With --expect the scans are checked for one framework, which hardly any of those that are simulated here shows.
With --against another checkout and this one take the same scans by turns, each with its own shipped model: every ratio, and their medians.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xrdmatch import formats
from xrdmatch.diffraction.pattern import Grid
from xrdmatch.model.folder import Model
from xrdmatch.training.effects_numpy import LEVELS, measured_like

ROOT = Path(__file__).parents[1]
GRID = Grid(5.0, 50.0, 0.02)
OLD = time.time() - 3600.0  # a fresh file gets a note that it may still be being written


def make(folder: Path, number: int, seed: int) -> None:
    """Scans 00000.xy to the last; each belongs to its number whatever is made with it."""
    library = Model.load(None, "cpu").library
    for first in range(0, number, 50):
        names = [folder / f"{i:05d}.xy" for i in range(first, min(number, first + 50))]
        rng = np.random.default_rng([seed, first])
        counts, masks = measured_like(library, rng.integers(len(library), size=50), GRID, rng, LEVELS["middle"])
        for name, values, mask in zip(names, counts, masks, strict=False):
            rows = zip(GRID.two_theta[mask], values[mask], strict=True)
            name.write_text("# wavelength 1.5418\n" + "".join(f"{angle:.2f} {count:.0f}\n" for angle, count in rows))
            os.utime(name, (OLD, OLD))


@dataclass(frozen=True)
class Run:
    """What one process over a folder took: seconds, processor seconds of it and its workers, and its answers. largest: KB, of all runs so far."""

    wall: float
    cpu: float
    largest: int
    answers: list[dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """What is asked of a folder of scans. expect: what they are checked for; without it they are identified."""

    folder: Path
    device: str
    expect: str = ""

    @property
    def words(self) -> list[str]:
        asked = ["check", "--expect", self.expect] if self.expect else ["identify"]
        return [*asked, str(self.folder.resolve()), "-f", "json", "-q", "--device", self.device]


def run(task: Task, jobs: int, root: Path = ROOT) -> Run:
    """The task as a command of the checkout at `root`."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "answers.jsonl"
        command = [sys.executable, "-m", "xrdmatch", *task.words, "-o", str(out), "--jobs", str(jobs)]
        done = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=False)
        assert done.returncode in (0, 3)  # 3: what was expected is not there
        answers = [json.loads(line) for line in out.read_text().splitlines()]
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss, answers)


def whole(task: Task, number: int, jobs: int) -> None:
    """One process over the folder, and a line of what it took."""
    one = run(task, jobs)
    assert len(one.answers) == number
    providers = "+".join(sorted({answer.get("provider", "") for answer in one.answers}))
    print(f"{jobs:4d} {number / one.wall:8.1f} {one.wall:8.1f} {1e3 * one.cpu / number:13.1f} {one.largest / 1e3:12.0f}   {providers}")
    print("      " + ", ".join(f"{count} {verdict}" for verdict, count in Counter(answer["verdict"] for answer in one.answers).most_common()))


def turns(task: Task, jobs: int, other: Path, runs: int) -> None:
    """The checkout `other` and this one over the folder, by turns."""
    print(f"{other} and this checkout by turns, {jobs} jobs")
    print("   seconds: other    this   ratio   processor seconds: other    this   ratio   verdicts that differ")
    ratios = []
    for _ in range(runs):
        before, now = run(task, jobs, other), run(task, jobs)
        verdicts = ({answer["file"]: answer["verdict"] for answer in one.answers} for one in (before, now))
        differ = sum(1 for pair in zip(*(sorted(found.items()) for found in verdicts), strict=True) if pair[0] != pair[1])
        ratios.append((before.wall / now.wall, before.cpu / now.cpu))
        wall, cpu = (f"{old:7.1f} {new:7.1f} {old / new:7.2f}" for old, new in ((before.wall, now.wall), (before.cpu, now.cpu)))
        print(f"          {wall}                      {cpu}   {differ}", flush=True)
    wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"medians of {runs} ratios: {wall:.2f} in seconds, {cpu:.2f} in processor seconds")


def parts(files: list[Path], device: Any) -> None:
    """Processor time a file, by part, in this process."""
    spent: dict[str, float] = {}
    running: list[str] = []

    def timed(name: str, function: Callable[..., Any], within: str = "") -> Callable[..., Any]:
        """The function, timed where it is called `within` that part, or by no part at all; in all modules that have it."""
        spent.setdefault(name, 0.0)

        def timer(*given: Any, **named: Any) -> Any:
            if running[-1:] != ([within] if within else []):
                return function(*given, **named)
            running.append(name)
            start = time.process_time()
            result = function(*given, **named)
            spent[name] += time.process_time() - start
            running.pop()
            return result

        for module in [module for key, module in sys.modules.items() if key.startswith("xrdmatch")]:
            for key in [key for key, value in vars(module).items() if value is function]:
                setattr(module, key, timer)
        return timer

    from xrdmatch.preprocessing.prepared_scan import prepare_scan
    from xrdmatch.search import cell_refinement, line_evidence, matches, pipeline, second_phase
    from xrdmatch.search.identify import Identifier
    from xrdmatch.search.options import SearchOptions
    from xrdmatch.search.retrieval import EncoderRetriever

    options = SearchOptions(detail=False)
    identifier = Identifier(Model.load(None, device, threads=1))
    identifier.identify(formats.read(files[0]), options)  # what is loaded when first used
    read = timed("read the file", formats.read)
    timed("filter, noise, background", prepare_scan)
    timed("a second phase", second_phase.find_second_phase)
    timed("first phase", pipeline.rank)
    EncoderRetriever.retrieve = timed("  of it recall", EncoderRetriever.retrieve, "first phase")
    timed("  of it comparing the recalled", pipeline.best_of_families, "first phase")
    timed("  of it refining the best", cell_refinement.refine_and_draw, "first phase")
    timed("  of it the evidence", line_evidence.line_evidence, "first phase")
    timed("the first without the second", pipeline.compare_and_refine)
    timed("the matches as they are listed", matches.listed_matches)
    start = time.process_time()
    for file in files:
        identifier.identify(read(file), options)
    total = time.process_time() - start
    for name, seconds in [*spent.items(), ("all", total)]:
        print(f"{name:38}{1e3 * seconds / len(files):8.1f} ms {100 * seconds / total:6.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("--files", type=int, default=300, help="scans to simulate")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, len(os.sched_getaffinity(0))])
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--expect", default="", metavar="NAME", help="check the scans for this framework instead")
    parser.add_argument("--sample", type=int, default=60, help="files of the table by part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout, to compare with by turns")
    parser.add_argument("--runs", type=int, default=5, help="turns of --against")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.scans or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.glob("*.xy")):
            make(folder, given.files, given.seed)
        names, task = sorted(folder.glob("*.xy")), Task(folder, given.device, given.expect)
        if given.against is not None:
            turns(task, given.jobs[-1], given.against.resolve(), given.runs)
            return
        print("jobs  files/s   wall s  cpu ms a file  largest MB   ran on")
        for jobs in given.jobs:
            whole(task, len(names), jobs)
        if given.expect:
            return
        print()
        parts(names[:: max(1, len(names) // given.sample)][: given.sample], given.device)


if __name__ == "__main__":
    main()
