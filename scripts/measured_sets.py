"""Answers to all measured scans of ../shared/measured, once for everything that is counted of them.

    python scripts/measured_sets.py MODEL ../shared/measured -o answers.jsonl

`MODEL` is a folder or the name of a shipped model. Five sets: the scans of labels.csv, of more/, of lab/, and of minerals/ twice: with the library
as it is ("alone") and with the minerals' own structures added to it ("joined"). scripts/card_tables.py, scripts/reliability.py and
scripts/measured_cases.py take the file, or a model, and go on from there.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from xrdmatch import formats
from xrdmatch.evaluation.labelled_scans import expected, fits, judge, kind_of, read_labels
from xrdmatch.library.reference_library import Library
from xrdmatch.model.add import extended, load_entries
from xrdmatch.model.folder import Model, find_model
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions

#: Folder of labels.csv, whether the minerals' structures are added.
SETS = {"measured": (".", False), "more": ("more", False), "lab": ("lab", False), "alone": ("minerals", False), "joined": ("minerals", True)}
NAMED = ("match", "ambiguous")


@dataclass(frozen=True)
class Answer:
    """What a model says of one scan.

    set: of `SETS`. file: below that set's folder. ranks: of the label's phases among the candidates, 0 where absent; empty where the label has none.
    stated: of each phase that the answer says is there, its name and the number of the label's phase that it is, -1 where it is none.
    """

    set: str
    file: str
    label: str
    kind: str
    ranks: tuple[int, ...]
    verdict: str
    name: str
    probability: float
    stated: tuple[tuple[str, int], ...]
    reason: str

    @property
    def named(self) -> bool:
        return self.verdict in NAMED

    @property
    def first(self) -> bool:
        """Whether one of the label's phases comes first."""
        return 1 in self.ranks


def identifiers(model: str, folder: Path) -> dict[bool, Identifier]:
    """The model as it is (False), and with the minerals' structures (True)."""
    plain = Model.load(find_model(model), "cpu")
    minerals = Library.from_entries(load_entries([folder / "minerals"], [], []))
    return {False: Identifier(plain), True: Identifier(extended(plain, minerals))}


def answer(identifier: Identifier, which: str, path: Path, row: dict[str, str], elements: tuple[str, ...] | None = None) -> Answer:
    stated = row.get("wavelength") or ""
    options = SearchOptions(float(stated) if stated else None, elements=elements, detail=False, hint=False)
    found = identifier.identify(formats.read(path), options, row["file"])
    accepted = expected(row)
    of_label = (next((number for number, part in enumerate(accepted) if fits(phase.match, part)), -1) for phase in found.phases)
    phases = tuple((phase.name, number) for phase, number in zip(found.phases, of_label, strict=True))
    told = (found.verdict, found.name, round(found.probability, 4), phases, found.reason_code)
    return Answer(which, row["file"], row["label"], kind_of(row), judge(found, row).ranks, *told)


def answers(model: str, folder: Path, only: Iterable[tuple[str, str]] | None = None) -> Iterator[Answer]:
    """Answers to all scans, or to these (set, file)."""
    by_library = identifiers(model, folder)
    wanted = None if only is None else set(only)
    for which, (place, joined) in SETS.items():
        for row in read_labels(folder / place / "labels.csv"):
            if wanted is None or (which, row["file"]) in wanted:
                yield answer(by_library[joined], which, folder / place / row["file"], row)


def load(path: Path) -> list[Answer]:
    """Answers that `main` wrote."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Answer(**{**row, "ranks": tuple(row["ranks"]), "stated": tuple((name, of) for name, of in row["stated"])}) for row in rows]


def collected(source: str, folder: Path) -> list[Answer]:
    """Those of a file that `main` wrote, or else of a model."""
    return load(Path(source)) if source.endswith(".jsonl") else list(answers(source, folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    with given.out.open("w", encoding="utf-8") as stream:
        for one in answers(given.model, given.folder):
            stream.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
