"""How long whole processes take, and how much memory, beside a Python that imports no more than they cannot do without.

    python benchmarks/startup.py [--count 15] [--model NAME|DIR]

The processes take turns, so that a busy machine slows all of them alike; ratios within one run are what can be compared between machines.
Processor time (user and system) is hardly changed by what else runs, wall time is (Unix only, since the system's account of finished processes is
needed). The limits are those the project sets itself: naming a scan in at most 3 times `import numpy, onnxruntime`, --help in at most 2 times
`import typer`; and 1.5 s and 0.5 s on 2 cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLE = "docs/samples/hkust-1.xy"
BARE, TYPER, NUMERIC = (f"python -c '{code}'" for code in ("pass", "import typer", "import numpy, onnxruntime"))
HELP, IDENTIFY, FIND = "xrdmatch --help", f"xrdmatch identify {SAMPLE}", "xrdmatch find uio-66"
CALLS = {
    BARE: ["-c", "pass"],
    TYPER: ["-c", "import typer"],
    NUMERIC: ["-c", "import numpy, onnxruntime"],
    "xrdmatch --version": ["-m", "xrdmatch", "--version"],
    HELP: ["-m", "xrdmatch", "--help"],
    "xrdmatch identify --help": ["-m", "xrdmatch", "identify", "--help"],
    IDENTIFY: ["-m", "xrdmatch", "identify", SAMPLE, "--quiet"],
    FIND: ["-m", "xrdmatch", "find", "uio-66", "--quiet"],
}
LIMITS = {HELP: 0.5, IDENTIFY: 1.5, FIND: 0.5}
#: What is compared with what, and how many times as long it may take.
RATIOS = ((IDENTIFY, NUMERIC, 3), (HELP, TYPER, 2))


def spent(arguments: list[str]) -> tuple[float, float, float]:
    """Wall and processor time (s) of one process, from its start to its end, and its largest memory (MB)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled once
    clock = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall, process.returncode = time.perf_counter() - clock, os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=15, help="processes of each kind")
    parser.add_argument("--model", help="model of identify and find (default: the shipped one)")
    given = parser.parse_args()
    model = ["--model", given.model] if given.model else []
    calls = {name: [*call, *(model if name in (IDENTIFY, FIND) else [])] for name, call in CALLS.items()}
    for arguments in calls.values():
        spent(arguments)  # files come into the cache, and modules are compiled
    times: dict[str, list[tuple[float, ...]]] = {name: [] for name in calls}
    for _ in range(given.count):
        for name, arguments in calls.items():
            times[name].append(spent(arguments))
    print(f"{'seconds, median':44}{'wall':>8}{'least':>8}{'cpu':>8}{'least':>8}{'MB':>6}   limit")
    for name, values in times.items():
        walls, cpus, memory = zip(*values, strict=True)
        limit = f"{LIMITS[name]:g} s" if name in LIMITS else ""
        four = "".join(f"{of(some):8.3f}" for some in (walls, cpus) for of in (statistics.median, min))
        print(f"{name:44}{four}{max(memory):6.0f}   {limit}".rstrip())
    print(f"\n{'times as long, by medians and by the least':44}{'wall':>8}{'least':>8}{'cpu':>8}{'least':>8}{'':6}   limit")
    for name, other, most in RATIOS:
        four = "".join(f"{ratio(times, name, other, place, of):8.2f}" for place in (0, 1) for of in (statistics.median, min))
        print(f"{name}\n    : {other:38}{four}{'':6}   {most}")


def ratio(times: Mapping[str, list[tuple[float, ...]]], name: str, other: str, place: int, of: Callable[[list[float]], float]) -> float:
    """Wall (place 0) or processor time (1) of one kind of process to that of another: of their medians, or of their least."""
    return of([one[place] for one in times[name]]) / of([one[place] for one in times[other]])


if __name__ == "__main__":
    main()
