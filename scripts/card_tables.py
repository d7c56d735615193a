"""The tables of a model's card on measured scans, with Wilson's 95 % intervals, as Markdown.

    python scripts/card_tables.py MODEL ../shared/measured

`MODEL` is a folder, the name of a shipped model, or a file of scripts/measured_sets.py. First: the labelled framework comes first among the
candidates; named: it does, and the answer says that it is there; whole: the answer states all that the label says, and nothing else. Of scans whose
label the library does not hold, those are counted that are named although nothing may be; what tests/measured_cases.csv lists as truly there
(a reagent, minerals that the library holds) counts as named all the same, and is told beside.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measured_cases import NOTHING, read_cases, right
from measured_sets import Answer, collected

from xrdmatch.evaluation.labelled_scans import wilson

#: Share of the scans without a framework of the library that may be named where a threshold is set by them.
NAMED_OF_UNKNOWN = 0.02


@dataclass(frozen=True)
class Row:
    """One line of a table: what it is called, and which answers it counts."""

    title: str
    fits: Callable[[Answer], bool]


def of(which: str, *kinds: str) -> Callable[[Answer], bool]:
    return lambda one: one.set == which and (not kinds or one.kind in kinds)


KNOWN = (
    Row("MOFs", of("measured", "mof")),
    Row("more MOFs", of("more", "mof")),
    Row("COFs", of("more", "cof")),
    Row("zeolites, natural", of("more", "zeolite")),
    Row("sodium sulfate on a framework", of("more", "byproduct")),
    Row("minerals, library joined with their structures", of("joined")),
    Row("mixtures of two MOFs: one of the two", of("measured", "mixture")),
)
UNKNOWN = (
    Row("frameworks", of("measured", "unknown")),
    Row("one notebook of a laboratory", of("lab")),
    Row("more", of("more", "unknown")),
    Row("blanks", lambda one: one.kind == "blank"),
    Row("minerals, without their structures", of("alone")),
)


def share(number: int, total: int) -> str:
    """A number with the interval of its share; nothing where there is nothing to count."""
    if total == 0:
        return "0"
    low, high = wilson(number, total)
    return f"{number}, {100 * low:.0f}-{100 * high:.0f} %"


def known_table(found: Sequence[Answer]) -> list[str]:
    lines = ["| set | scans | first | in five | right and named | whole |", "|---|---|---|---|---|---|"]
    for row in KNOWN:
        some = [one for one in found if row.fits(one)]
        first, five = sum(one.first for one in some), sum(any(0 < rank <= 5 for rank in one.ranks) for one in some)
        named, whole = sum(one.first and one.named for one in some), sum(right(one, one.label) for one in some)
        cells = (share(number, len(some)) for number in (first, five, named, whole))
        lines.append(f"| {row.title} | {len(some)} | {' | '.join(cells)} |")
    return lines


def truly_there(found: Sequence[Answer]) -> set[tuple[str, str]]:
    """Scans that are named, and rightly so by tests/measured_cases.csv, though their label says that the library does not hold them."""
    answers = {(one.set, one.file): one for one in found}
    rows = (case for case in read_cases() if case.expected != NOTHING and case.key in answers)
    return {case.key for case in rows if answers[case.key].named and right(answers[case.key], case.expected)}


def unknown_table(found: Sequence[Answer]) -> list[str]:
    there = truly_there(found)
    lines = [
        "| set of what the library does not hold | scans | unknown | unusable | named, of the usable | truly there |",
        "|---|---|---|---|---|---|",
    ]
    for row in UNKNOWN:
        some = [one for one in found if row.fits(one)]
        usable = [one for one in some if one.verdict != "unusable"]
        named = [one for one in usable if one.named]
        kept = sum((one.set, one.file) in there for one in named)
        unknown = sum(one.verdict == "unknown" for one in some)
        cells = f"{unknown} | {len(some) - len(usable)} | {share(len(named), len(usable))} | {kept}"
        lines.append(f"| {row.title} | {len(some)} | {cells} |")
    return lines


def separation(found: Sequence[Answer]) -> str:
    """How well the probability tells right-first frameworks from the notebook's scans."""
    right_ones = np.array([one.probability for one in found if one.set in ("measured", "more") and one.kind in ("mof", "cof") and one.first])
    others = np.array([one.probability for one in found if one.set == "lab" and one.verdict != "unusable"])
    above = right_ones[:, None] - others[None]
    area = float(((above > 0) + 0.5 * (above == 0)).mean())
    limit = np.sort(others)[::-1][int(NAMED_OF_UNKNOWN * others.size)]
    named = int((right_ones > limit).sum())
    low, high = wilson(named, right_ones.size)
    return (
        f"The area under the curve of the headline's probability, right-first MOFs and COFs ({right_ones.size}) against the usable scans of the "
        f"notebook ({others.size}), is {area:.2f}; at a threshold that names {100 * NAMED_OF_UNKNOWN:.0f} % of the notebook, "
        f"{named} ({100 * low:.0f}-{100 * high:.0f} %) of the right ones are named."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    found = collected(given.model, given.folder)
    print(*known_table(found), "", *unknown_table(found), "", separation(found), sep="\n")


if __name__ == "__main__":
    main()
