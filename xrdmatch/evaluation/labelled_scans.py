"""Labelled patterns to accuracy, with intervals.

labels.csv has the columns file and label, and may have accepted (regular expressions over ids and names, one a phase, separated by ;), wavelength
(angstrom) and kind (mof, mineral, mixture, unknown, blank). Where nothing is accepted the label itself counts, however it is spelled; for the kinds
unknown and blank nothing may be named. Spreadsheets save such a table in many ways: columns are separated by commas, semicolons or tabs, as the first
line has them, decimals may have a comma where columns have none, and the text may be UTF-8, UTF-16 or of a code page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch import formats
from xrdmatch.errors import LibraryError, ReadError
from xrdmatch.library.csv_table import read_table
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.fft_filter import Mode
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.result import Identification, Match, error_result

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


#: Kinds of scans in which nothing is to be named.
NOTHING = frozenset(("unknown", "blank"))


def read_labels(path: Path) -> list[dict[str, str]]:
    """Rows of labels.csv, their wavelength with a decimal point; rows without anything are passed over. Raises LibraryError where it is not one."""
    table = read_table(path, "a CSV file of labels", ("file", "label"))
    rows = []
    for line, row in table.records():
        if row.get("wavelength") and table.separator != ",":
            row["wavelength"] = row["wavelength"].replace(",", ".")
        if wrong := _fault(row):
            raise LibraryError(f"{path}, line {line}: {wrong}")
        rows.append(row)
    return rows


def _fault(row: dict[str, str]) -> str:
    """What is wrong with a row of labels.csv, or an empty string."""
    if not row.get("file") or "label" not in row:
        return "expected a file and a label"
    if not expected(row) and not _of_nothing(row):
        return f"its label {row['label']!r} names nothing, and nothing is accepted; give a label, or the kind unknown or blank"
    try:
        re.compile(row.get("accepted") or "")
    except re.error as error:
        return f"accepted is not a regular expression ({error}): {row['accepted']!r}"
    try:
        usable = not row.get("wavelength") or 0.0 < float(row["wavelength"]) < 10.0
    except ValueError:
        usable = False
    return "" if usable else f"expected a wavelength in angstrom, got {row['wavelength']!r}"


def kind_of(row: Mapping[str, str]) -> str:
    """The kind of a labelled scan; "pattern" where it has none."""
    return (row.get("kind") or "").strip() or "pattern"


def _of_nothing(row: Mapping[str, str]) -> bool:
    return kind_of(row).lower() in NOTHING


def expected(row: Mapping[str, str]) -> list[str]:
    """Regular expressions for the phases of a labelled scan, one a phase: what is accepted, else its label; none where nothing is to be named."""
    accepted = [part for part in (row.get("accepted") or "").split(";") if part]
    if accepted or _of_nothing(row):
        return accepted
    words = re.findall(r"[^\W\d_]+|\d+", row.get("label") or "")
    # However it is spelled: ZIF-8, zif 8 and ZIF8, but not ZIF-80.
    return [r"(?i)(?<![^\W_])" + r"[\W_]*".join(re.escape(word) for word in words) + r"(?![^\W_])"] if words else []


def fits(match: Match, accepted: str) -> bool:
    """Whether any member of the match's family, or its name, fits the regular expression."""
    return any(re.search(accepted, text) for text in (match.id, match.name, match.family, *match.members) if text)


def covering_rows(library: Library, labels: list[dict[str, str]], number: int, seed: int) -> NDArray[np.int64]:
    """`number` rows of `library`, one a family, in its order: those of every family that a label accepts, then others drawn by `seed`.

    The first entry of a family stands for it, of an accepted one the first whose id or name fits. Raises LibraryError where the labels
    accept more families than `number`, or the library has fewer.
    """
    patterns = [re.compile(part) for row in labels for part in expected(row)]
    texts = zip(library.id.tolist(), library.name.tolist(), strict=True)
    fit = np.array([any(pattern.search(text) for pattern in patterns for text in pair if text) for pair in texts], dtype=bool)
    accepted = np.flatnonzero(fit)
    wanted = accepted[np.unique(library.family[accepted], return_index=True)[1]]
    firsts = np.unique(library.family, return_index=True)[1]
    others = firsts[~np.isin(library.family[firsts], library.family[wanted])]
    if not wanted.size <= number <= wanted.size + others.size:
        there = wanted.size + others.size
        raise LibraryError(
            f"the labels accept {wanted.size} families and the library has {there}; one structure per family is taken: "
            f"give a number between these, not {number}"
        )
    drawn = np.random.default_rng(seed).permutation(others)[: number - wanted.size]
    return np.sort(np.concatenate([wanted, drawn]))


def listed(answer: Identification) -> list[Match]:
    """All that an answer says may be there: its phases, then the other candidates by probability, those for a second phase beside the first."""
    phases = [phase.match for phase in answer.phases] or answer.matches[:1]
    first = phases[0].probability if phases else 0.0
    others = [(match.probability, match) for match in answer.matches] + [(first * match.probability, match) for match in answer.second_matches]
    return [*phases, *(match for _, match in sorted(others, key=lambda one: -one[0]) if match not in phases)]


def judge(answer: Identification, labels: dict[str, str]) -> Row:
    """Where the accepted phases stand in one answer."""
    candidates = listed(answer)
    ranks = tuple(next((rank for rank, match in enumerate(candidates, 1) if fits(match, part)), 0) for part in expected(labels))
    best = answer.matches[0] if answer.matches else None
    return Row(
        labels["file"],
        labels["label"],
        kind_of(labels),
        ranks,
        answer.verdict,
        answer.name,
        best.similarity if best else 0.0,
        answer.probability,
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
            options = SearchOptions(float(stated) if stated else None, filter_mode, detail=False, hint=False)
            answer = identifier.identify(formats.read(path), options, entry["file"])
        except ReadError as error:
            answer = error_result(entry["file"], str(error), identifier.model.name)
        rows.append(judge(answer, entry))
        if progress:
            progress(1)
    return Evaluation(rows)
