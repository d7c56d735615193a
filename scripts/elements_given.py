"""Measured scans of frameworks that the library holds, asked with the elements that the sample was made of, and without.

    python scripts/elements_given.py MODEL ../shared/measured

A line for each scan: the best answer with its probability, with elements and without, and whether it is right (+ first, named; - not first). Then the
sums that the model's card has.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from measured_sets import Answer, answer

from xrdmatch.evaluation.labelled_scans import read_labels
from xrdmatch.model.folder import Model, find_model
from xrdmatch.search.identify import Identifier

#: Elements of the synthesis by the label's beginning, the longest that fits; scans with other labels are not of frameworks that the library holds.
ELEMENTS = {
    "MIL-101(Cr)": "Cr C O H F",
    "MIL-101": "Fe C O H",
    "MIL-53": "Fe C O H",
    "MIL-88B": "Fe C O H",
    "ZIF-62": "Co C N H",
    "ZIF-67": "Co C N H",
    "ZIF-71": "Zn C N H Cl",
    "ZIF-8_Br": "Zn C N H Br",
    "PCN-777": "Zr C N O H",
    "COF-5": "B C O H",
    "COF-108": "B C O H",
    "COF-366-Co": "Co C N O H",
    "PI-COF-4": "C N O H",
    "CTF-1": "C N H",
}


def elements(label: str) -> tuple[str, ...] | None:
    """Those of one phase with this label; None where it is not in the table."""
    fitting = [name for name in ELEMENTS if label.startswith(name) and "+" not in label]
    return tuple(ELEMENTS[max(fitting, key=len)].split()) if fitting else None


def told(one: Answer) -> str:
    return f"{'+' if one.first else '-'} {one.name} {100 * one.probability:.0f} %{'' if one.named else ' (not named)'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    identifier = Identifier(Model.load(find_model(given.model), "cpu"))
    pairs = []
    for place in (given.folder, given.folder / "more"):
        for row in read_labels(place / "labels.csv"):
            of_sample = elements(row["label"])
            if of_sample and row.get("accepted"):
                pairs.append([answer(identifier, place.name, place / row["file"], row, which) for which in (of_sample, None)])
                print(row["file"], row["label"], *map(told, pairs[-1]), sep=" | ")
    for name, answers in zip(("with elements", "without"), zip(*pairs, strict=True), strict=True):
        first = [one for one in answers if one.first]
        print(f"{name}: {len(first)} of {len(answers)} first, {sum(one.named for one in first)} of them named")


if __name__ == "__main__":
    main()
