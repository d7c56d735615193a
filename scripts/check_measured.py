"""Measured scans against their own label, and each against ten wrong expectations: the table of docs/check.md.

    python scripts/check_measured.py MODEL ../shared/measured/labels.csv ../shared/measured/more/labels.csv

Wrong are frameworks of the same metal and linker, those of the same lattice type with the nearest cells, and the library's most frequent ones; none
whose entries the label accepts. Scans are left out whose label the library does not hold. Nothing of `check` is chosen by these figures.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from check_trials import Decoys

from xrdmatch.errors import XrdMatchError
from xrdmatch.evaluation.labelled_scans import wilson
from xrdmatch.formats import ReadOptions, read
from xrdmatch.library.expected_entries import ExpectedEntries
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.search.check import Checker
from xrdmatch.search.check_result import GOOD
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions

#: Wrong expectations of each kind, filled up to ten with frequent ones; kinds of scans that show one framework.
OF_SAME, NEAREST, ALL = 4, 3, 10
KINDS = ("mof", "cof", "zeolite", "byproduct")


def accepted_rows(library: Library, pattern: str, kind: str) -> np.ndarray:
    """Rows whose id or name the label accepts, of this category where the library says categories: letters of a zeolite are in refcodes as well."""
    wanted = re.compile(pattern)
    triples = zip(library.id.tolist(), library.name.tolist(), library.category.tolist(), strict=True)
    fits = [row for row, (one, name, category) in enumerate(triples) if category in ("", kind) and (wanted.search(one) or wanted.search(name))]
    return np.array(fits, dtype=int)


def wrong(decoys: Decoys, own: ExpectedEntries, accepted: np.ndarray) -> list[str]:
    """Ids of ten entries that stand for other frameworks."""
    library, row = decoys.library, own.called
    families = {int(library.family[one]) for one in np.union1d(own.rows, accepted).tolist()}
    nearest = decoys.alike(row, families)
    nearest = nearest[np.argsort(np.abs(np.log(decoys.volumes[nearest] / decoys.volumes[row])), kind="stable")]
    chosen: list[str] = []
    taken: set[int] = set()
    for some, most in ((decoys.relatives.rows(int(library.family[row])), OF_SAME), (nearest, OF_SAME + NEAREST), (decoys.frequent, ALL)):
        for one in np.asarray(some, dtype=int).tolist():
            rows = decoys.lookup.entries(str(library.id[one])).rows if int(library.family[one]) not in families else np.empty(0, int)
            if len(chosen) >= most or rows.size == 0 or families & set(library.family[rows].tolist()) or taken & set(rows.tolist()):
                continue
            chosen.append(str(library.id[one]))
            taken |= set(rows.tolist())
    return chosen


def cases(labels: Path, decoys: Decoys) -> Iterator[tuple[Path, list[str], float | None, list[str]]]:
    """File, what it shows, wavelength, and what it does not show."""
    for row in csv.DictReader(labels.open(encoding="utf-8")):
        if row["kind"] not in KINDS or not row["accepted"] or ";" in row["accepted"]:
            continue
        accepted = accepted_rows(decoys.library, row["accepted"], row["kind"])
        if accepted.size == 0:
            continue
        own = _own(decoys, row["label"], accepted)
        wavelength = float(row["wavelength"]) if row["wavelength"] else None
        yield labels.parent / row["file"], [one.text for one in own], wavelength, wrong(decoys, own[0], accepted)


def _own(decoys: Decoys, label: str, accepted: np.ndarray) -> list[ExpectedEntries]:
    """What the label is called; where the library calls nothing so, each framework that it accepts, of which the sample is one."""
    with contextlib.suppress(XrdMatchError):
        called = decoys.lookup.entries(label)
        if np.isin(accepted, called.rows).any():
            return [called]
    found: list[ExpectedEntries] = []
    for row in accepted.tolist():
        if not any(row in one.rows for one in found):
            found.append(decoys.lookup.entries(str(decoys.library.id[row])))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("labels", type=Path, nargs="+")
    given = arguments.parse_args()
    checker = Checker(Identifier(Model.load(given.model, "cpu")))
    decoys = Decoys(checker.model.library)
    right, false = Counter[str](), Counter[str]()
    for file, own, wavelength, others in (case for labels in given.labels for case in cases(labels, decoys)):
        options = SearchOptions(wavelength, detail=False)
        scan = read(file, ReadOptions(wavelength=wavelength))
        told = min((checker.check(scan, [one], options, file.name) for one in own), key=lambda one: (not one.good, -one.probability))
        right[told.verdict] += 1
        print(f"{file.name:45} {told.asked[0]:20} {told.verdict:8} {told.probability:.3f}  {told.reason}")
        for other in others:
            against = checker.check(scan, [other], options)
            false[against.verdict] += 1
            if against.good:
                print(f"    wrong: {other} {against.verdict} {against.probability:.3f}")
    for title, counts in (("right label", right), ("wrong expectation", false)):
        good, total = sum(counts[name] for name in GOOD), sum(counts.values())
        low, high = wilson(good, total)
        print(f"{title}: pure or present {good} of {total} ({100 * low:.0f}-{100 * high:.0f} %)  {dict(counts)}")


if __name__ == "__main__":
    main()
