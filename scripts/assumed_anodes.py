"""How often a scan without a wavelength is told to be of another anode than copper: rightly, wrongly, and where the library lacks its structure.

    python benchmarks/held_out.py models/mof-encoder/library.h5 2019-ASR.tar.xz --level easy --number 200 -o held-out/easy
    python scripts/assumed_anodes.py held-out/easy/labels.csv held-out/middle/labels.csv held-out/hard/labels.csv --every 3

The simulated scans lie over copper's angles. Moved to where molybdenum or cobalt puts their lines, and asked about without a wavelength, they
should be told to be Mo's or Co's; left as they are, with their family shut out, nothing should be told.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import xrdmatch
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import ANODES, CU_K_ALPHA, convert_two_theta
from xrdmatch.library.entry_names import entry_name
from xrdmatch.library.metal_exchange import LetIn
from xrdmatch.search.identify import Identifier


class WithoutFamily(Identifier):
    """Identifies as if a family were not in the library."""

    shut_out = -1

    def let_in(self, options):
        return LetIn(np.asarray(self.model.library.family != self.shut_out), {}) if self.shut_out >= 0 else None


def measured_with(anode: str, pattern: Pattern) -> Pattern:
    """A scan of copper's as this anode would give it, without a wavelength."""
    angles = convert_two_theta(pattern.two_theta, CU_K_ALPHA, ANODES[anode].k_alpha)
    there = np.isfinite(angles)
    return replace(pattern, two_theta=angles[there], intensity=pattern.intensity[there], wavelength=None, name="scan.xy")


def outcome(identifier: WithoutFamily, pattern: Pattern, anode: str, names: set[str]) -> str:
    answer = identifier.identify(pattern)
    told = next((note for note in answer.notes if note.code == "other_anode_fits"), None)
    if told is None:
        return f"{answer.verdict}, nothing told"
    return "told rightly" if told["anode"] == anode and told["name"] in names else "told wrongly"


def trial(labels: Path, every: int, identifier: WithoutFamily) -> dict[str, Counter[str]]:
    library = identifier.model.library
    row_of = {name: row for row, name in enumerate(library.id.tolist())}
    counted = {case: Counter() for case in ("absent", "Mo", "Co")}
    with labels.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["label"] in row_of][::every]
    for row in rows:
        pattern, place = xrdmatch.read(labels.parent / row["file"]), row_of[row["label"]]
        names = {entry_name(library, int(row)) for row in library.members(int(library.family[place]))}
        for case, count in counted.items():
            identifier.shut_out = int(library.family[place]) if case == "absent" else -1
            count[outcome(identifier, measured_with("Cu" if case == "absent" else case, pattern), case, names)] += 1
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=150))
    parser.add_argument("labels", type=Path, nargs="+", metavar="LABELS.csv")
    parser.add_argument("--every", type=int, default=1, help="take each n-th scan")
    given = parser.parse_args()
    identifier = WithoutFamily(None, "cpu")
    for labels in given.labels:
        for case, count in trial(labels, given.every, identifier).items():
            print(f"{labels.parent.name}  {case:6}  " + ", ".join(f"{what}: {number}" for what, number in sorted(count.items())), flush=True)


if __name__ == "__main__":
    main()
