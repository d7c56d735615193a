"""Which of the measured scans in tests/measured_cases.csv a model answers otherwise than the table says, and which wrong ones are not in it.

    python scripts/measured_cases.py MODEL ../shared/measured
    python scripts/measured_cases.py MODEL ../shared/measured --write

With `--write` the table is brought up to date: states are set anew, and scans that are answered wrongly get a row, whose reason is left to write.
`MODEL` is a folder, the name of a shipped model, or a file of scripts/measured_sets.py. Columns: set and file as there; expected: what a right
answer says, alternatives separated by |, see `right`; first: whether the label's framework comes first among the candidates, empty where the library
does not hold it; answer: right or wrong; reason: why it is wrong, or what there is to know.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from measured_sets import Answer, collected

TABLE = Path(__file__).resolve().parents[1] / "tests" / "measured_cases.csv"
#: Expected where nothing may be named, and where the scan has to be refused; between alternatives.
NOTHING, UNUSABLE, OR = "nothing", "unusable", "|"
UNKNOWN = "not looked at yet"


@dataclass(frozen=True)
class Case:
    """One row of the table, all as text."""

    set: str
    file: str
    expected: str
    first: str
    answer: str
    reason: str

    @property
    def key(self) -> tuple[str, str]:
        return self.set, self.file

    def with_state(self, found: Answer) -> Case:
        """The same with what this answer makes of it."""
        first = ("yes" if found.first else "no") if found.ranks and found.set != "alone" else ""
        return replace(self, first=first, answer="right" if right(found, self.expected) else "wrong")


def right(found: Answer, wanted: str) -> bool:
    """Whether an answer says one of the alternatives: nothing (the scan is unknown or unusable), unusable, the scan's label (all its phases are
    stated, and no others), or names that each stated phase has one of, as its beginning."""
    return any(_says(found, one.strip()) for one in wanted.split(OR))


def _says(found: Answer, wanted: str) -> bool:
    if wanted == NOTHING:
        return found.verdict in ("unknown", "unusable")
    if wanted == UNUSABLE or not found.named:
        return found.verdict == wanted
    if wanted == found.label and found.ranks:
        return {number for _, number in found.stated} == set(range(len(found.ranks)))
    parts = [part.strip().lower() for part in wanted.split(" + ")]
    names = [name.lower() for name, _ in found.stated]
    return len(names) == len(parts) and all(any(re.match(re.escape(part) + r"(?!\w)", name) for name in names) for part in parts)


def usual(found: Answer) -> str:
    """What a scan without a row is expected to give: its label, or nothing; minerals without their structures nothing."""
    if found.kind == "blank":
        return UNUSABLE
    return NOTHING if found.set == "alone" or not found.ranks else found.label


def read_cases(path: Path = TABLE) -> list[Case]:
    with path.open(newline="", encoding="utf-8") as stream:
        return [Case(**row) for row in csv.DictReader(stream)]


def write_cases(cases: Iterable[Case], path: Path = TABLE) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Case)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, cases))


def updated(cases: list[Case], found: list[Answer]) -> list[Case]:
    """The rows with their states of these answers, in their order, then one for each further answer that is wrong."""
    answers = {(one.set, one.file): one for one in found}
    known = [case.with_state(answers[case.key]) if case.key in answers else case for case in cases]
    keys = {case.key for case in cases}
    more = (Case(*key, usual(one), "", "", UNKNOWN).with_state(one) for key, one in answers.items() if key not in keys)
    return [*known, *(case for case in more if case.answer == "wrong")]


def changes(before: list[Case], after: list[Case], found: list[Answer]) -> list[str]:
    """What differs, a line a scan, with what is said of it now."""
    old, said = {case.key: case for case in before}, {(one.set, one.file): one for one in found}
    lines = []
    for case in after:
        was, now = old.get(case.key), said.get(case.key)
        if was == case or now is None:
            continue
        names = " + ".join(name for name, _ in now.stated)
        told = f"{now.verdict} {names or now.name} {now.probability:.2f}; expected: {case.expected}"
        differ = [of for of in ("answer", "first") if was and getattr(was, of) != getattr(case, of)]
        states = "; ".join(f"{of} {getattr(was, of) or '-'}, now {getattr(case, of) or '-'}" for of in differ)
        lines.append(f"{case.set} {case.file}: {states or 'wrong, and not in the table'} ({told})")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    before, found = read_cases() if TABLE.is_file() else [], collected(given.model, given.folder)
    after = updated(before, found)
    lines = changes(before, after, found)
    print(*lines, f"{len(lines)} of {len(after)} rows changed; {sum(case.answer == 'wrong' for case in after)} wrong", sep="\n")
    if given.write:
        write_cases(after)
        for case in after:
            if case.answer == "wrong" and case.reason in ("", UNKNOWN):
                print(f"write a reason: {case.set} {case.file}")


if __name__ == "__main__":
    main()
