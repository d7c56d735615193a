"""What the network is compared with: the classical models of Wang et al. 2020, and plain search-match.

The models learn from an augmented set; search-match compares with the library's simulated patterns and learns nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch import formats
from xrdmatch.diffraction.pattern import Grid
from xrdmatch.errors import LibraryError, ReadError, XrdMatchError, how_to_install
from xrdmatch.evaluation.classical_models import BLOCK, LEARNING, SLOW, Training, classify
from xrdmatch.evaluation.labelled_scans import Evaluation, Row, covering_rows, judge, read_labels
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.fft_filter import PAPER_GRID, Mode
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.search.result import Identification, Match, error_result
from xrdmatch.system.arrays import Float32Array
from xrdmatch.training.augmentation import library_profiles
from xrdmatch.training.effects_numpy import Hardness, measured_like
from xrdmatch.training.training_set import AugmentedSet, Rows

Tell = Callable[[str], None]

MINMAX = Recipe(kind="minmax", grid=PAPER_GRID)
#: Plain cosine with our recipe: 5-point mean, opening of 151 points, 3 sigma, square root.
SEARCH = Recipe(grid=Grid(5.0, 50.0, 0.02), smooth=0.10, background=3.0, gate=3.0, power=0.5)
#: Largest shift tried with it, degrees.
MAX_SHIFT = 0.24
#: Width of the simulated lines that search-match compares with, degrees.
FWHM = 0.12
#: Structures beyond which they are left out: their time and memory grow with the square of it.
SLOW_CLASSES = 1_100
#: Structures, and patterns of each, that are made where no training set is given.
MADE_STRUCTURES, MADE_COPIES = 1_012, 12
#: Families listed as an answer.
LISTED = 5

TITLES = {
    "bayes": "naive Bayes",
    "knn": "kNN",
    "logistic": "logistic regression",
    "forest": "random forest",
    "svm": "SVM",
    "cosine": "cosine",
    "recipe": "cosine, our recipe",
}


@dataclass(frozen=True)
class Compared:
    """One system's answers. structures: how many it chose among; note: what differs from the others; seconds: all it took."""

    system: str
    title: str
    structures: int
    evaluation: Evaluation
    note: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in ("system", "title", "structures", "note", "seconds")}
        return {**told, **self.evaluation.to_json()}


@dataclass(frozen=True, eq=False)
class Queries:
    """Measured scans as the baselines take them: labels' rows, errors of files that cannot be read, x (q, points) min-max, for the search
    signal (q, m) and mask (q, m)."""

    entries: list[dict[str, str]]
    errors: dict[int, str] = field(default_factory=dict)
    x: Float32Array = field(default_factory=lambda: np.empty((0, PAPER_GRID.size), np.float32))
    signal: Float32Array = field(default_factory=lambda: np.empty((0, SEARCH.grid.size), np.float32))
    mask: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, SEARCH.grid.size), bool))


def chosen(text: str) -> list[str]:
    """Names out of "all" or a list with commas. Raises ValueError with what there is for another name."""
    names = list(TITLES) if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in TITLES]
    if unknown or not names:
        raise ValueError(f"{', '.join(unknown) or 'nothing'} is not a baseline; choose from {', '.join(TITLES)}, or all")
    return list(dict.fromkeys(names))


def read_queries(entries: list[dict[str, str]], folder: Path, filter_mode: Mode) -> Queries:
    """Every labelled scan (`file` relative to `folder`), filtered as the model's input is.

    What cannot be read or has no data in 5-50 degrees is an error of its row.
    """
    errors = {}
    x = np.zeros((len(entries), PAPER_GRID.size), np.float32)
    signal = np.zeros((len(entries), SEARCH.grid.size), np.float32)
    mask = np.zeros(signal.shape, bool)
    for i, entry in enumerate(entries):
        try:
            scan = formats.read(folder / entry["file"])
        except ReadError as error:
            errors[i] = str(error)
            continue
        stated = float(entry["wavelength"]) if entry.get("wavelength") else None
        prepared = prepare_scan(scan, stated, filter_mode)
        signal[i], measured = prepared.network_input(SEARCH)
        mask[i] = measured > 0
        if mask[i].sum() < 3:
            errors[i] = f"{entry['file']}: the scan has no data within {PAPER_GRID.start:g}-{PAPER_GRID.stop:g} degrees"
            continue
        x[i] = prepared.network_input(MINMAX)[0]
    return Queries(entries, errors, x, signal, mask)


@dataclass(frozen=True)
class CompareOptions:
    """How baselines are compared.

    training: an augmented set; without one, `MADE_COPIES` physics patterns are made of `MADE_STRUCTURES` structures of the library, one a family,
    those that the labels accept first. With one, search-match is limited to its structures, too, so that all choose among the same.
    """

    training: str | Path | None = None
    filter_mode: Mode = "auto"
    seed: int = 0


def compare_all(
    names: Sequence[str], labels: Path, library: Library, options: CompareOptions | None = None, tell: Tell | None = None
) -> list[Compared]:
    """Judge each baseline of `names` on the scans of labels.csv.

    library: what search-match compares with, and where the classes of the training set are looked up; families are judged, not entries. `tell` is
    told what is going on. Raises LibraryError where set and library do not belong together, XrdMatchError where scikit-learn is missing.
    """
    options, tell = options or CompareOptions(), tell or (lambda text: None)
    queries = read_queries(read_labels(labels), labels.parent, options.filter_mode)
    known = _known(any(name in LEARNING for name in names), library, queries, options, tell)
    results = []
    for name in names:
        tell(f"baseline: {TITLES[name]}")
        if name in SLOW and known is not None and len(known.rows) > SLOW_CLASSES:
            tell(f"{TITLES[name]} is left out: {len(known.rows)} structures, it is run up to {SLOW_CLASSES}")
            continue
        results.append(_compared(name, library, queries, known, options))
    return results


def _known(learning: bool, library: Library, queries: Queries, options: CompareOptions, tell: Tell) -> Training | None:
    """What the baselines learn from and choose among; None where none learns and all of the library is searched."""
    if learning:
        _require_sklearn()
    known = _from_set(options.training, library, options.seed) if options.training is not None else None
    if known is None and learning:
        tell(f"no --training given: making {MADE_COPIES} patterns of up to {MADE_STRUCTURES} structures")
        known = made_training(library, queries.entries, options.seed)
    if learning and known is not None and np.unique(known.y).size < 2:
        raise LibraryError(f"{options.training or 'the library'}: the classical models need patterns of at least two structures")
    return known


def _compared(name: str, library: Library, queries: Queries, known: Training | None, options: CompareOptions) -> Compared:
    """One baseline, judged."""
    clock, remark = time.perf_counter(), ""
    if name in LEARNING:
        assert known is not None
        rows = known.rows
        if len(known.y) > SLOW.get(name, len(known.y)):
            remark = f"{'each tree ' if name == 'forest' else ''}learned from {SLOW[name]} of {len(known.y)} patterns"
        scores = classify(name, known, queries.x, options.seed)
    else:
        rows = known.rows if known is not None and options.training is not None else np.arange(len(library))
        scores = search(name, library, rows, queries)
    judged = _judged(queries, scores, rows, library)
    return Compared(name, TITLES[name], len(rows), judged, remark, round(time.perf_counter() - clock, 1))


def _require_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError as error:
        raise XrdMatchError(
            f"classical baselines need scikit-learn, which is not installed: {how_to_install('scikit-learn', 'baselines')}"
        ) from error


def _from_set(path: str | Path, library: Library, seed: int) -> Training:
    """The training rows of an augmented set: those that `xrdmatch train` with the same seed trains on, one fifth held back."""
    with AugmentedSet(path) as data:
        if data.points != PAPER_GRID.size:
            raise LibraryError(f"{path}: patterns of {data.points} points; the baselines take those on the paper's grid of {PAPER_GRID.size}")
        index = library.index()
        missing = [name for name in data.ids if name not in index]
        if missing:
            raise LibraryError(f"{path}: {len(missing)} of its structures are not in the model's library, for example {missing[0]}; name its --model")
        rows = np.array([index[name] for name in data.ids], dtype=np.int64)
        held = Rows(data, 0.2, seed)
        number = int((~held.held).sum())
        x, y, done = np.empty((number, data.points), np.float16), np.empty(number, np.int32), 0
        for patterns, labels in held.training(0, BLOCK):
            part = slice(done, done + len(labels))
            x[part], y[part], done = patterns[:, 0], labels, part.stop
        return Training(x, y, rows)


def made_training(library: Library, labels: list[dict[str, str]], seed: int) -> Training:
    """Physics patterns of structures that cover the labels."""
    number = min(MADE_STRUCTURES, len(np.unique(library.family)))
    rows = covering_rows(library, labels, number, seed)
    rng = np.random.default_rng(seed)
    x = np.empty((MADE_COPIES * number, PAPER_GRID.size), np.float16)
    y = np.tile(np.arange(number, dtype=np.int32), MADE_COPIES)
    for start in range(0, y.size, 256):
        part = slice(start, start + 256)
        counts, mask = measured_like(library, rows[y[part]], PAPER_GRID, rng, Hardness())
        x[part] = MINMAX.apply_batch(counts, mask)[:, 0]
    order = rng.permutation(y.size)
    return Training(x[order], y[order], rows)


# --- Search-match


def search(name: str, library: Library, rows: NDArray[np.int64], queries: Queries) -> NDArray[np.float64]:
    """Cosines (q, len(rows)) of the scans with the simulated patterns of library rows.

    cosine: both scaled to 0..1 on the paper's grid, as the classical models see them. recipe: both through `SEARCH`, within the scan's range, the
    best of all shifts up to `MAX_SHIFT`.
    """
    if name == "cosine":
        unit = (queries.x / np.maximum(np.linalg.norm(queries.x, axis=1, keepdims=True), 1e-9)).astype(np.float32)
        return np.concatenate(list(_plain(library, rows, unit)), axis=1)
    return np.concatenate(list(_treated(library, rows, queries)), axis=1)


def _plain(library: Library, rows: NDArray[np.int64], unit: Float32Array) -> Iterator[NDArray[np.float64]]:
    for block in library_profiles(library, rows, PAPER_GRID, FWHM):
        yield (unit @ (block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-9)).T).astype(float)


def _treated(library: Library, rows: NDArray[np.int64], queries: Queries) -> Iterator[NDArray[np.float64]]:
    reach = round(MAX_SHIFT / SEARCH.grid.step)
    q, m = queries.signal.shape
    padded = np.pad(queries.signal, [(0, 0), (reach, reach)])
    moved = np.stack([padded[:, shift : shift + m] for shift in range(2 * reach + 1)], axis=1).reshape(-1, m)
    length = np.maximum(np.linalg.norm(queries.signal, axis=1), 1e-9)
    whole = np.ones((1, m), bool)
    for block in library_profiles(library, rows, SEARCH.grid, FWHM):
        lines = SEARCH.signal(block, np.repeat(whole, len(block), axis=0), np.zeros(len(block), np.float32)) ** np.float32(SEARCH.power)
        product = (moved @ lines.T).reshape(q, 2 * reach + 1, len(block)).max(axis=1)
        seen = np.sqrt(queries.mask.astype(np.float32) @ (lines**2).T)
        yield (product / (length[:, None] * np.maximum(seen, 1e-9))).astype(float)


# --- From scores to ranks


def _judged(queries: Queries, scores: NDArray[np.float64], rows: NDArray[np.int64], library: Library) -> Evaluation:
    """The first `LISTED` families of each scan, judged as an identification is."""
    judged: list[Row] = []
    for i, entry in enumerate(queries.entries):
        if i in queries.errors:
            judged.append(judge(error_result(entry["file"], queries.errors[i]), entry))
            continue
        matches = ranked(scores[i], rows, library)
        judged.append(judge(Identification(entry["file"], "match", matches=matches), entry))
    return Evaluation(judged)


def ranked(scores: NDArray[np.float64], rows: NDArray[np.int64], library: Library, number: int = LISTED) -> list[Match]:
    """The best `number` families by their best class; classes at -inf are not answers. `similarity` holds the score."""
    family = library.family[rows]
    order = np.argsort(-scores, kind="stable")
    order = order[np.isfinite(scores[order])]
    firsts = order[np.sort(np.unique(family[order], return_index=True)[1])][:number]
    matches = []
    for rank, i in enumerate(firsts.tolist(), 1):
        row = int(rows[i])
        members = [str(library.id[j]) for j in library.members(int(family[i]))]
        title = str(library.family_name[family[i]])
        texts = str(library.id[row]), str(library.name[row]), str(library.formula[row])
        matches.append(Match(rank, *texts, title, members, round(float(scores[i]), 4), 0.0, 0.0))
    return matches
