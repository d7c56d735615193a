"""Labelled patterns to accuracy, with intervals.

labels.csv has the columns file, label, accepted (regular expressions over ids and names, one a phase, separated by ;), and may have wavelength
(angstrom) and kind (mof, mineral, mixture, unknown, blank).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch import formats
from xrdmatch.errors import LibraryError, ReadError
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.fft_filter import Mode
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.result import Identification, Match, error_result
from xrdmatch.system import atomic_files

#: Ranks whose accuracy is stated.
RANKS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Row:
    """One labelled file: ranks of its phases among the matches (0 where a phase is not there), and the answer in short."""

    file: str
    label: str
    kind: str
    ranks: tuple[int, ...]
    verdict: str
    first: str
    similarity: float
    probability: float
    seconds: float
    reason: str


@dataclass(frozen=True)
class Score:
    """k of n with its Wilson 95 % interval."""

    kind: str
    what: str
    right: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.total)


@dataclass(frozen=True)
class Evaluation:
    """Rows of one evaluation."""

    rows: list[Row]

    def scores(self) -> list[Score]:
        """Accuracy for each kind of pattern: top-1 to top-5, mixtures found whole, unknowns and blanks refused."""
        result = []
        for kind in dict.fromkeys(row.kind for row in self.rows):
            rows = [row for row in self.rows if row.kind == kind]
            known = [row for row in rows if row.ranks]
            for rank in RANKS if known else ():
                result.append(Score(kind, f"top-{rank}", sum(any(0 < found <= rank for found in row.ranks) for row in known), len(known)))
            if any(len(row.ranks) > 1 for row in known):
                result.append(Score(kind, "all phases in top-5", sum(all(0 < found <= 5 for found in row.ranks) for row in known), len(known)))
            if known:
                named = [row for row in known if 1 in row.ranks]
                kept = sum(row.verdict in ("match", "ambiguous") for row in named)
                result.append(Score(kind, "right and named (match or ambiguous)", kept, len(named)))
            else:
                for verdict in ("unknown", "ambiguous", "unusable"):
                    result.append(Score(kind, verdict, sum(row.verdict == verdict for row in rows), len(rows)))
        return result

    def to_json(self) -> dict[str, Any]:
        scores = [{**asdict(score), "interval": [round(bound, 4) for bound in score.interval]} for score in self.scores()]
        return {"scores": scores, "files": [asdict(row) for row in self.rows]}


def wilson(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson, J. Am. Stat. Assoc. 1927, 22, 209); (0, 1) where there is nothing to count."""
    if total == 0:
        return 0.0, 1.0
    share = right / total
    middle = share + z * z / (2 * total)
    spread = z * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, float((middle - spread) / scale)), min(1.0, float((middle + spread) / scale))


def read_labels(path: Path) -> list[dict[str, str]]:
    """Rows of labels.csv. Raises LibraryError where it is not one."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            numbered = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise LibraryError(f"{path}: expected a CSV file of labels, but it cannot be read ({atomic_files.reason(error)})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise LibraryError(f"{path}: expected a CSV file of labels, but it cannot be read as one ({error})") from error
    missing = {"file", "label"} - columns
    if missing:
        raise LibraryError(f"{path}: expected the columns file, label, accepted; {', '.join(sorted(missing))} not found")
    for line, row in numbered:
        wrong = _fault(row)
        if wrong:
            raise LibraryError(f"{path}, line {line}: {wrong}")
    return [row for _, row in numbered]


def _fault(row: dict[str, str]) -> str:
    """What is wrong with a row of labels.csv, or an empty string."""
    if not row["file"] or row["label"] is None:
        return "expected a file and a label"
    try:
        re.compile(row.get("accepted") or "")
    except re.error as error:
        return f"accepted is not a regular expression ({error}): {row['accepted']!r}"
    try:
        usable = not row.get("wavelength") or 0.0 < float(row["wavelength"]) < 10.0
    except ValueError:
        usable = False
    return "" if usable else f"expected a wavelength in angstrom, got {row['wavelength']!r}"


def fits(match: Match, accepted: str) -> bool:
    """Whether any member of the match's family, or its name, fits the regular expression."""
    return any(re.search(accepted, text) for text in (match.id, match.name, match.family, *match.members) if text)


def covering_rows(library: Library, labels: list[dict[str, str]], number: int, seed: int) -> NDArray[np.int64]:
    """`number` rows of `library`, one a family, in its order: those of every family that a label accepts, then others drawn by `seed`.

    The first entry of a family stands for it, of an accepted one the first whose id or name fits. Raises LibraryError where the labels
    accept more families than `number`, or the library has fewer.
    """
    patterns = [re.compile(part) for row in labels for part in (row.get("accepted") or "").split(";") if part]
    texts = zip(library.id.tolist(), library.name.tolist(), strict=True)
    fit = np.array([any(pattern.search(text) for pattern in patterns for text in pair if text) for pair in texts], dtype=bool)
    accepted = np.flatnonzero(fit)
    wanted = accepted[np.unique(library.family[accepted], return_index=True)[1]]
    firsts = np.unique(library.family, return_index=True)[1]
    others = firsts[~np.isin(library.family[firsts], library.family[wanted])]
    if not wanted.size <= number <= wanted.size + others.size:
        there = wanted.size + others.size
        raise LibraryError(f"{number} structures, one a family, were asked for: the labels accept {wanted.size} families, the library has {there}")
    drawn = np.random.default_rng(seed).permutation(others)[: number - wanted.size]
    return np.sort(np.concatenate([wanted, drawn]))


def judge(answer: Identification, labels: dict[str, str]) -> Row:
    """Where the accepted phases stand in one answer."""
    patterns = [part for part in (labels.get("accepted") or "").split(";") if part]
    ranks = tuple(next((match.rank for match in answer.matches if fits(match, part)), 0) for part in patterns)
    best = answer.matches[0] if answer.matches else None
    return Row(
        labels["file"],
        labels["label"],
        labels.get("kind") or "pattern",
        ranks,
        answer.verdict,
        best.title if best else "",
        best.similarity if best else 0.0,
        best.probability if best else 0.0,
        answer.seconds,
        answer.reason,
    )


def evaluate(labels: Path, identifier: Identifier, filter_mode: Mode = "auto", progress: Callable[[int], None] | None = None) -> Evaluation:
    """Identify every file of labels.csv (paths relative to it); a file that cannot be read counts as wrong, with its error."""
    rows = []
    for entry in read_labels(labels):
        path = labels.parent / entry["file"]
        stated = entry.get("wavelength") or ""
        try:
            options = SearchOptions(float(stated) if stated else None, filter_mode, detail=False)
            answer = identifier.identify(formats.read(path), options, entry["file"])
        except ReadError as error:
            answer = error_result(entry["file"], str(error), identifier.model.name)
        rows.append(judge(answer, entry))
        if progress:
            progress(1)
    return Evaluation(rows)
