"""Six noise scans for the method of Wang et al. (2020) out of one diffractometer's notebook, chosen by a rule and not by what comes out.

    python scripts/stoe_noise_scans.py ../shared/measured/lab

The rule: of the scans with copper radiation, in capillaries as the test scans are, that reach from 5 to 39.9 degrees, one of each sample (the
first in the order of names), the six whose 401st largest value is the least share of the strongest: the most crystalline by the method's own measure.
`--up-to 0.2` takes the six evenly out of all whose value is no larger, as in the six foreign scans of docs/reproduction.md. Prints their paths.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np

from xrdmatch.formats import read
from xrdmatch.preprocessing.fft_filter import PAPER_GRID
from xrdmatch.training.augmentation import noise_on_grid, noise_values

NUMBER = 6
SPAN = (5.0, 39.9)  # degrees
SAMPLE = re.compile(r"PXRD_(?P<sample>[^_]+)_Cu-Ka1_capillary")


def candidates(folder: Path) -> list[tuple[float, Path]]:
    """Largest noise value and path of each sample's first scan, in the order of the values."""
    found: dict[str, tuple[float, Path]] = {}
    for path in sorted(folder.iterdir()):
        named = SAMPLE.match(path.name)
        if named is None or named["sample"] in found:
            continue
        scan = read(path)
        if scan.two_theta[0] > SPAN[0] or scan.two_theta[-1] < SPAN[1]:
            continue
        found[named["sample"]] = float(noise_values(noise_on_grid(scan, PAPER_GRID)).max()), path
    return sorted(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--up-to", type=float, help="largest noise value, a share of the strongest point")
    given = parser.parse_args()
    fit = [pair for pair in candidates(given.folder) if given.up_to is None or pair[0] <= given.up_to]
    if len(fit) < NUMBER:
        sys.exit(f"{given.folder}: {len(fit)} scans fit the rule, {NUMBER} are needed")
    chosen = fit[:NUMBER] if given.up_to is None else [fit[at] for at in np.linspace(0, len(fit) - 1, NUMBER).round().astype(int)]
    print(f"{len(fit)} samples fit the rule; largest noise value of the six: {', '.join(f'{top:.3f}' for top, _ in chosen)}", file=sys.stderr)
    for _, path in chosen:
        print(path)


if __name__ == "__main__":
    main()
