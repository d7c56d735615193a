"""How long one query of the library takes, without the network and without verification: the goal is 5 ms over 19,447 entries.

    python benchmarks/search.py [--model NAME|DIR] [--queries 50]

A query is a vector against all vectors (one product, then the 100 largest), and the scan's lines against the strongest lines of all entries (the
160 best). The naive twin goes over the entries one by one in Python; that it finds the same rows is checked. One thread, medians of processor time.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import COMPARISON, prepare_scan
from xrdmatch.search.retrieval import RankOptions, largest
from xrdmatch.training.effects_numpy import measured_like

OPTIONS = RankOptions()


def timed(function: Callable[..., Any], queries: list[Any]) -> tuple[float, list[Any]]:
    """Median milliseconds of a query, and the answers."""
    taken, answers = [], []
    for query in queries:
        start = time.process_time()
        answers.append(function(*query))
        taken.append(1e3 * (time.process_time() - start))
    return statistics.median(taken), answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--queries", type=int, default=50)
    given = parser.parse_args()
    model = Model.load(given.model, "cpu")
    vectors, lookup, rng = model.vectors, model.index.line_index, np.random.default_rng(0)
    counts, mask = measured_like(model.library, rng.integers(len(model.library), size=given.queries), COMPARISON.grid, rng)
    scans = [Pattern(COMPARISON.grid.two_theta[seen], values[seen], COMPARISON.grid.wavelength) for values, seen in zip(counts, mask, strict=True)]
    encoded = [(model.encode(prepare_scan(scan).network_input(model.recipe)[None])[0],) for scan in scans]
    lines = [(plain.signal, plain.mask) for plain in (prepare_scan(scan).comparison.coarse for scan in scans)]

    def by_vector(query: np.ndarray) -> np.ndarray:
        return largest(query @ vectors.T, OPTIONS.n_by_network)

    def by_lines(signal: np.ndarray, seen: np.ndarray) -> np.ndarray:
        return largest(lookup.scores(signal, seen), OPTIONS.n_by_lines)

    def naive(query: np.ndarray) -> np.ndarray:
        scored = sorted(((float(np.dot(query, vector)), row) for row, vector in enumerate(vectors)), reverse=True)
        return np.array([row for _, row in scored[: OPTIONS.n_by_network]])

    product, rows = timed(by_vector, encoded)
    strongest, _ = timed(by_lines, lines)
    slow, naive_rows = timed(naive, encoded[:5])
    same = min(len(np.intersect1d(one, other)) / OPTIONS.n_by_network for one, other in zip(rows, naive_rows, strict=False))
    print(f"{len(vectors)} entries, {len(scans)} queries")
    print(f"the {OPTIONS.n_by_network} nearest vectors   {product:8.2f} ms")
    print(f"the {OPTIONS.n_by_lines} best by lines     {strongest:8.2f} ms")
    print(f"together              {product + strongest:8.2f} ms, goal 5 ms")
    print(f"one by one in Python  {slow:8.2f} ms: {slow / product:.0f} times the product; {100 * same:.0f} % of the rows are the same at least")


if __name__ == "__main__":
    main()
