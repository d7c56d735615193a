"""Feeds mutated and truncated scans to the readers and reports what came of them.

    python scripts/fuzz_readers.py --number 100000
    python scripts/fuzz_readers.py --number 100000 --folder ../shared/formats

Every input has to end in a Pattern or in a ReadError of one line, within 2 s; the peak of memory over the whole run, above its start, bounds what one
input takes. Without --folder the seeds are the files that tests/scanfiles.py makes, one or more of each layout; with it, the files of that folder.
The first input that breaks a rule is kept beside the report.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import contextlib

import test_formats_faults as faults

from xrdmatch import formats
from xrdmatch.errors import ReadError

SECONDS, MEGABYTES = 2.0, 200.0
#: Larger seeds cost time without reaching other code.
LARGEST = 120_000


def peak() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0 if sys.platform.startswith("linux") else 1024.0**2)


def seeds_of(folder: Path | None) -> dict[str, bytes]:
    if folder is None:
        return faults.SEEDS
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size <= LARGEST)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--number", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")  # a warning on the way is a fault as well
    seeds = seeds_of(options.folder)
    for data in seeds.values():
        with contextlib.suppress(ReadError):
            formats.parse(data, "warm")
    rng = np.random.default_rng(options.seed)
    names, came, slowest, before, begin = sorted(seeds), Counter[str](), (0.0, ""), peak(), time.monotonic()
    for number in range(options.number):
        name = names[number % len(names)]
        data = seeds[name][: int(rng.integers(0, len(seeds[name]) + 1))] if number % 4 == 0 else faults.mutate(rng, seeds[name])
        clock = time.perf_counter()
        try:
            formats.parse(data, "f")
            outcome = "Pattern"
        except ReadError as error:
            outcome = "ReadError" if "\n" not in str(error) else "ReadError of several lines"
        except BaseException:
            outcome = traceback.format_exc()
        taken = time.perf_counter() - clock
        slowest = max(slowest, (taken, name))
        came[outcome] += 1
        if outcome not in ("Pattern", "ReadError") or taken > SECONDS:
            Path("fuzz-failure.bin").write_bytes(data)
            sys.exit(f"input {number}, from {name}, took {taken:.2f} s: {outcome}\nkept as fuzz-failure.bin")
    print(f"{options.number} inputs from {len(seeds)} seeds in {time.monotonic() - begin:.0f} s: {dict(came)}")
    print(f"slowest {slowest[0]:.2f} s ({slowest[1]}); peak memory {peak() - before:.0f} MB above the start")
    if peak() - before > MEGABYTES:
        sys.exit(f"expected {MEGABYTES:.0f} MB at most")


if __name__ == "__main__":
    main()
