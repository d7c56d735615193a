"""What handing out work costs: processes of this machine (--jobs) against a Dask cluster on it (--scheduler local), with work that takes no time.

    python benchmarks/workers.py --jobs 2 --items 2000

Prints seconds until the first result (starting the workers) and milliseconds an item after it, of all processes together on the wall clock: compare
the two with each other, and with what an item of real work takes (docs/scaling.md).
"""

from __future__ import annotations

import argparse
import time

from xrdmatch.system.parallel import Workers, ordered


def nothing(job: None, item: int) -> int:
    return item


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--items", type=int, default=2000)
    asked = parser.parse_args()
    for name, workers in {"--jobs": Workers(asked.jobs), "--scheduler local": Workers(asked.jobs, "local")}.items():
        clock = time.perf_counter()
        results = ordered(nothing, range(asked.items), workers)
        next(results)
        start = time.perf_counter()
        assert sum(results) == asked.items * (asked.items - 1) // 2
        end = time.perf_counter()
        print(f"{name} {asked.jobs}: {start - clock:.1f} s to start, {1e3 * (end - start) / (asked.items - 1):.2f} ms an item")


if __name__ == "__main__":
    main()
