"""A map of labelled scans: neighbourhood component analysis (NCA), as in figure 4 of Wang et al., J. Chem. Inf. Model. 2020, 60, 2004.

NCA (Goldberger et al., NIPS 2004) seeks the linear projection in which the neighbours of a scan have its label. It is told the labels, and a pattern
has more points than there are scans: groups on the map do not prove that scans can be told apart. `alone` measures that, without a projection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import LibraryError, XrdMatchError, how_to_install
from xrdmatch.evaluation.baselines import read_queries
from xrdmatch.evaluation.labelled_scans import kind_of, read_labels
from xrdmatch.preprocessing.fft_filter import Mode
from xrdmatch.system.arrays import Float64Array

Input = Literal["recipe", "minmax"]

#: What a measurement's number looks like at the end of a file's name: "ZIF-8_2", "ZIF-8 (2)".
NUMBERED = re.compile(r"[ _.]+\d+$|[ _.]*\(\d+\)$")


@dataclass(frozen=True, eq=False)
class Map:
    """Points (n, 2) of the scans `files` with their labels. alone: how many of those whose label others share have one of these as nearest
    neighbour, by cosine of the patterns and without the projection, and how many there are. failed: files that could not be read, with the reason."""

    files: list[str]
    labels: list[str]
    points: Float64Array
    alone: tuple[int, int]
    failed: list[tuple[str, str]]


def labelled(source: Path, files: Sequence[Path] = (), kinds: Sequence[str] = ()) -> tuple[list[dict[str, str]], Path]:
    """Rows with file and label, and the folder the files are relative to.

    source: a labels.csv, of which only the kinds asked for are taken, or a folder, of which `files` are labelled by their subfolder, or, right in it,
    by their name without its number. Raises LibraryError where nothing is left.
    """
    if source.is_dir():
        rows = []
        for path in files:
            within = path.relative_to(source)
            label = within.parts[0] if len(within.parts) > 1 else NUMBERED.sub("", path.stem) or path.stem
            rows.append({"file": str(within), "label": label})
    else:
        rows = [row for row in read_labels(source) if not kinds or kind_of(row) in kinds]
    if not rows:
        wanted = f" of the kind {' or '.join(kinds)}" if kinds else ""
        raise LibraryError(f"{source}: expected scans{wanted}, found none")
    return rows, source if source.is_dir() else source.parent


def make_map(rows: list[dict[str, str]], folder: Path, given: Input = "recipe", filter_mode: Mode = "auto", seed: int = 0) -> Map:
    """The map of labelled scans. given: what of a scan is projected, our recipe's signal or the paper's min-max pattern.

    Raises XrdMatchError where scikit-learn is absent or fewer than three scans of two labels can be read.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.neighbors import NeighborhoodComponentsAnalysis
    except ModuleNotFoundError as error:
        raise XrdMatchError(f"a map needs scikit-learn, which is not installed: {how_to_install('scikit-learn', 'baselines')}") from error
    queries = read_queries(rows, folder, filter_mode)
    kept = [i for i in range(len(rows)) if i not in queries.errors]
    labels = [rows[i]["label"] for i in kept]
    failed = [(rows[i]["file"], reason) for i, reason in queries.errors.items()]
    if len(kept) < 3 or len(set(labels)) < 2:
        why = f"; {failed[0][1]}" if failed else ""
        raise LibraryError(f"a map needs at least three scans with at least two labels; found {len(kept)} with {len(set(labels))}{why}")
    patterns = (queries.signal if given == "recipe" else queries.x)[kept].astype(float)
    unit = patterns / np.maximum(np.linalg.norm(patterns, axis=1, keepdims=True), 1e-12)
    # All of NCA happens within the span of the scans, which has one dimension less than there are scans.
    within = PCA(min(len(kept) - 1, unit.shape[1]), svd_solver="full").fit_transform(unit)
    numbers = np.unique(labels, return_inverse=True)[1]
    points = NeighborhoodComponentsAnalysis(n_components=2, init="pca", random_state=seed).fit_transform(within, numbers)
    return Map([rows[i]["file"] for i in kept], labels, np.asarray(points, dtype=float), leave_one_out(unit, numbers), failed)


def leave_one_out(unit: Float64Array, numbers: NDArray[np.int64]) -> tuple[int, int]:
    """Of patterns (n, m) of unit length whose label another shares, how many have one of their own as nearest neighbour; and how many there are."""
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    shared = np.bincount(numbers)[numbers] > 1
    right = numbers[cosine.argmax(axis=1)] == numbers
    return int((right & shared).sum()), int(shared.sum())
