"""How long whole processes take, and how much memory, beside a Python that does nothing.

    python benchmarks/startup.py [--count 15]

The processes take turns, so that a busy machine slows all of them alike; the ratio to the bare interpreter is what can be compared between machines.
Processor time is hardly changed by what else runs, wall time is (Unix only, since the system's account of finished processes is needed).
The limits are those the project sets itself on 2 cores: 0.5 s for --help, 1.5 s for identify of one file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLE = "docs/samples/hkust-1.xy"
CALLS = {
    "python -c pass": ["-c", "pass"],
    "xrdmatch --version": ["-m", "xrdmatch", "--version"],
    "xrdmatch --help": ["-m", "xrdmatch", "--help"],
    "xrdmatch identify --help": ["-m", "xrdmatch", "identify", "--help"],
    f"xrdmatch identify {SAMPLE}": ["-m", "xrdmatch", "identify", SAMPLE, "--quiet"],
}
LIMITS = {"xrdmatch --help": 0.5, f"xrdmatch identify {SAMPLE}": 1.5}


def spent(arguments: list[str]) -> tuple[float, float, float]:
    """Wall and processor time (s) of one process, from its start to its end, and its largest memory (MB)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
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
    count = parser.parse_args().count
    for arguments in CALLS.values():
        spent(arguments)  # files come into the cache, and modules are compiled
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CALLS}
    for _ in range(count):
        for name, arguments in CALLS.items():
            times[name].append(spent(arguments))
    print(f"{'seconds, median':44}{'wall':>8}{'fastest':>9}{'cpu':>8}{'x bare':>8}{'MB':>6}   limit")
    bare = statistics.median(cpu for _, cpu, _ in times["python -c pass"])
    for name, values in times.items():
        walls, cpus, memory = zip(*values, strict=True)
        cpu, limit = statistics.median(cpus), f"{LIMITS[name]:g} s" if name in LIMITS else ""
        print(f"{name:44}{statistics.median(walls):8.3f}{min(walls):9.3f}{cpu:8.3f}{cpu / bare:8.1f}{max(memory):6.0f}   {limit}".rstrip())


if __name__ == "__main__":
    main()
