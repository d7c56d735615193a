"""What the network is compared with: the classical models of Wang et al. 2020, and plain search-match.

Parameters of the classical models and their input (every 2theta column scaled to 0..1 on the training set) are those of the paper's published
script. They learn from an augmented set; search-match compares with the library's simulated patterns and learns nothing. The only module that
imports scikit-learn for classification.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch import formats
from xrdmatch.diffraction.pattern import Grid
from xrdmatch.errors import LibraryError, ReadError, XrdMatchError, how_to_install
from xrdmatch.evaluation.labelled_scans import Evaluation, Row, covering_rows, judge, read_labels
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.fft_filter import PAPER_GRID, Mode
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.search.result import Identification, Match, error_result
from xrdmatch.system.arrays import Float32Array
from xrdmatch.system.parallel import usable_cores
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
#: Training patterns that the slow three get, as many of each structure as this allows; of the forest each tree, drawn anew. Minutes each at 1,012
#: structures; naive Bayes and kNN get all patterns.
SLOW = {"logistic": 6_072, "forest": 2_024, "svm": 6_072}
#: Structures beyond which they are left out: their time and memory grow with the square of it.
SLOW_CLASSES = 1_100
#: Structures, and patterns of each, that are made where no training set is given.
MADE_STRUCTURES, MADE_COPIES = 1_012, 12
#: Neighbours of kNN, smoothing of naive Bayes, trees of the forest (the paper's).
NEIGHBOURS, ALPHA, TREES = 140, 0.01, 100
#: Rows scaled or compared at a time.
BLOCK = 2048
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
LEARNING = ("bayes", "knn", "logistic", "forest", "svm")


@dataclass(frozen=True, eq=False)
class Training:
    """Patterns the classical models learn from: x (n, points) scaled to 0..1, y (n,) index into rows, rows: library row of each class."""

    x: NDArray[Any]
    y: NDArray[np.int32]
    rows: NDArray[np.int64]

    def at_most(self, number: int) -> Training:
        """The first `number` / classes patterns of each class, at least two; they stand in random order."""
        each = max(2, number // len(self.rows))
        order = np.argsort(self.y, kind="stable")
        starts = np.searchsorted(self.y[order], np.arange(len(self.rows)))
        place = np.arange(order.size) - starts[self.y[order]]
        kept = np.sort(order[place < each])
        return Training(self.x[kept], self.y[kept], self.rows)


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


# --- The classical models


def classify(name: str, training: Training, queries: Float32Array, seed: int = 0) -> NDArray[np.float64]:
    """Scores (q, classes) of one classical model: the larger the likelier, -inf where it gives a class no vote."""
    if name not in LEARNING:
        raise ValueError(f"{name} is not a classical model")
    low = training.x.min(axis=0).astype(np.float32)
    span = training.x.max(axis=0).astype(np.float32) - low
    span = np.where(span > 0, span, np.float32(1))

    def scaled(x: NDArray[Any]) -> Float32Array:
        return np.asarray((x - low) / span, dtype=np.float32)

    asked = scaled(queries)
    if name == "bayes":
        return _bayes(training, scaled, asked)
    if name == "knn":
        return _votes(_neighbours(training, scaled, asked))
    if name == "forest":
        return _votes(_forest(training, scaled, asked, seed))
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    # The paper ranks by the SVM's pairwise probabilities (five more fits of each of the half million pairs); votes and margins rank the same first.
    model = LogisticRegression() if name == "logistic" else SVC(decision_function_shape="ovr")
    subset = training.at_most(SLOW[name])
    with warnings.catch_warnings(action="ignore"):  # the paper's 100 steps of logistic regression do not converge, which scikit-learn says
        margins = np.asarray(model.fit(scaled(subset.x), subset.y).decision_function(asked), dtype=float)
    scores = np.full((len(asked), len(training.rows)), -np.inf)
    scores[:, model.classes_] = margins if margins.ndim > 1 else np.stack([-margins, margins], axis=1)  # of two classes there is one margin
    return scores


def _bayes(training: Training, scaled: Callable[[NDArray[Any]], Float32Array], asked: Float32Array) -> NDArray[np.float64]:
    """All that naive Bayes takes from a class are its sums, so one mean pattern with its weight stands for the class: the same fit, much faster."""
    from sklearn.naive_bayes import MultinomialNB

    sums = np.zeros((len(training.rows), training.x.shape[1]))
    for start in range(0, len(training.y), BLOCK):
        order = start + np.argsort(training.y[start : start + BLOCK], kind="stable")
        classes, firsts = np.unique(training.y[order], return_index=True)
        sums[classes] += np.add.reduceat(scaled(training.x[order]).astype(float), firsts, axis=0)
    number = np.bincount(training.y, minlength=len(training.rows))
    kept = np.flatnonzero(number)
    model = MultinomialNB(alpha=ALPHA).fit(sums[kept] / number[kept, None], kept, sample_weight=number[kept])
    scores = np.full((len(asked), len(training.rows)), -np.inf)
    scores[:, kept] = model.predict_joint_log_proba(asked)
    return scores


def _neighbours(training: Training, scaled: Callable[[NDArray[Any]], Float32Array], asked: Float32Array) -> NDArray[np.float64]:
    """Share of the `NEIGHBOURS` nearest patterns (Euclidean) that belong to each class, in blocks, as KNeighborsClassifier votes."""
    distance = np.empty((len(asked), len(training.y)), np.float32)
    for start in range(0, len(training.y), BLOCK):
        part = slice(start, start + BLOCK)
        block = scaled(training.x[part])
        distance[:, part] = (block**2).sum(axis=1) - 2.0 * asked @ block.T  # less the scan's own square, the same for all
    number = min(NEIGHBOURS, len(training.y))
    nearest = np.argpartition(distance, number - 1, axis=1)[:, :number]
    return np.stack([np.bincount(training.y[row], minlength=len(training.rows)) / number for row in nearest])


def _forest(training: Training, scaled: Callable[[NDArray[Any]], Float32Array], asked: Float32Array, seed: int) -> NDArray[np.float64]:
    """Mean class probabilities of `TREES` trees, each on its own bootstrap and kept no longer than needed: a whole forest takes gigabytes.

    As many grow at a time as there are cores; a seed gives the same forest on any number.
    """
    from sklearn.tree import DecisionTreeClassifier

    rng, size = np.random.default_rng(seed), min(len(training.y), SLOW["forest"])
    draws = [(rng.integers(len(training.y), size=size), int(rng.integers(2**31))) for _ in range(TREES)]

    def grown(draw: tuple[NDArray[np.int64], int]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        tree = DecisionTreeClassifier(max_features="sqrt", random_state=draw[1])
        tree.fit(scaled(training.x[draw[0]]), training.y[draw[0]])
        return tree.classes_, tree.predict_proba(asked)

    total = np.zeros((len(asked), len(training.rows)))
    pool = ThreadPoolExecutor(usable_cores())  # threads: scikit-learn lets go of the interpreter while a tree grows
    try:
        for classes, shares in pool.map(grown, draws):
            total[:, classes] += shares
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the trees that grow, not for a hundred
    return total / TREES


def _votes(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(shares > 0, shares, -np.inf)


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
