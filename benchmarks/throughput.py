"""How many scans a second `xrdmatch identify` names in a folder, reading included, and where the time goes.

    python benchmarks/throughput.py [SCANS] [--files 300] [--jobs 1 2] [--device cpu]

SCANS is a folder of .xy files, taken as they are. Where it holds none, scans are simulated into it from the shipped library as `augment --method
physics` does it (2251 points from 5 to 50 degrees, level middle), as columns of text; without it they are removed in the end. Each run is a whole
process, start included; files per second of wall time count what else runs on the machine, the processor time hardly does.
The second table is one process over some of the files: processor time a file, by part.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
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


def whole(folder: Path, number: int, jobs: int, device: str) -> None:
    """One process over the folder, and a line of what it took."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "answers.jsonl"
        command = [sys.executable, "-m", "xrdmatch", "identify", str(folder), "-f", "json", "-o", str(out), "-q"]
        subprocess.run([*command, "--jobs", str(jobs), "--device", device], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
        answers = [json.loads(line) for line in out.read_text().splitlines()]
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    providers = "+".join(sorted({answer["provider"] for answer in answers}))
    # ru_maxrss is the largest of all processes so far, in KB on Linux
    print(f"{jobs:4d} {number / wall:8.1f} {wall:8.1f} {1e3 * cpu / number:13.1f} {after.ru_maxrss / 1e3:12.0f}   {providers}")
    assert len(answers) == number
    print("      " + ", ".join(f"{count} {verdict}" for verdict, count in Counter(answer["verdict"] for answer in answers).most_common()))


def parts(files: list[Path], device: Any) -> None:
    """Processor time a file, by part, in this process."""
    spent: dict[str, float] = {}
    running: list[str] = []

    def timed(name: str, function: Callable[..., Any], within: str = "") -> Callable[..., Any]:
        """The function, timed where it is called `within` that part, or by no part at all."""
        spent.setdefault(name, 0.0)

        def run(*given: Any, **named: Any) -> Any:
            if running[-1:] != ([within] if within else []):
                return function(*given, **named)
            running.append(name)
            start = time.process_time()
            result = function(*given, **named)
            spent[name] += time.process_time() - start
            running.pop()
            return result

        return run

    from xrdmatch.search import identify, pipeline
    from xrdmatch.search.options import SearchOptions
    from xrdmatch.search.retrieval import EncoderRetriever

    options = SearchOptions(detail=False)
    identifier = identify.Identifier(Model.load(None, device, threads=1))
    identifier.identify(formats.read(files[0]), options)  # what is loaded when first used
    read = timed("read the file", formats.read)
    identify.prepare_scan = timed("filter, noise, background", identify.prepare_scan)
    identify.rank = timed("first phase", identify.rank)
    EncoderRetriever.retrieve = timed("  of it recall", EncoderRetriever.retrieve, "first phase")
    pipeline.best_of_families = timed("  of it comparing the recalled", pipeline.best_of_families, "first phase")
    pipeline.refine_cells = timed("  of it refining the best", pipeline.refine_cells, "first phase")
    pipeline.line_evidence = timed("  of it the evidence", pipeline.line_evidence, "first phase")
    identify.find_second_phase = timed("a second phase", identify.find_second_phase)
    identify.compare_and_refine = timed("the first without the second", identify.compare_and_refine)
    identify.listed_matches = timed("the matches as they are listed", identify.listed_matches)
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
    parser.add_argument("--sample", type=int, default=60, help="files of the table by part")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.scans or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.glob("*.xy")):
            make(folder, given.files, given.seed)
        names = sorted(folder.glob("*.xy"))
        print("jobs  files/s   wall s  cpu ms a file  largest MB   ran on")
        for jobs in given.jobs:
            whole(folder, len(names), jobs, given.device)
        print()
        parts(names[:: max(1, len(names) // given.sample)][: given.sample], given.device)


if __name__ == "__main__":
    main()
