"""How often the right entry is among those that are recalled to be compared with a scan, and how long the recall takes.

    python benchmarks/held_out.py full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz --level middle --number 2000 -o held-out/middle
    python benchmarks/recall.py held-out/middle/labels.csv --jobs 2

Counted are the entry that the scan was made of, by its id, and any of its family: by the network alone, by the strongest lines alone, and by both,
which is what `identify` compares.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from xrdmatch import formats
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.retrieval import RankOptions, retriever
from xrdmatch.search.scan_quality import unusable

OPTIONS = RankOptions()

ALONE = 200  # entries of the network by itself, for comparison
WAYS = (
    f"network, {ALONE}",
    f"network, {OPTIONS.n_by_network}",
    f"strongest lines, {OPTIONS.n_by_lines}",
    f"both, {OPTIONS.n_by_network} and {OPTIONS.n_by_lines}",
)


def found(model: Model, path: Path, row: int) -> np.ndarray | None:
    """(ways, 2): whether the entry, and any of its family, is recalled; None for a scan that is unusable."""
    scan = prepare_scan(formats.read(path))
    if unusable(scan.comparison):
        return None
    plain = scan.comparison.coarse
    network = np.argsort(-model.scores(scan.network_input(model.recipe)[None])[0], kind="stable")[:ALONE]
    lines = np.argsort(-model.index.line_index.scores(plain.signal, plain.mask), kind="stable")[: OPTIONS.n_by_lines]
    both = retriever(model).retrieve(scan, OPTIONS).rows
    family = model.library.family
    return np.array([[row in rows, family[row] in family[rows]] for rows in (network, network[: OPTIONS.n_by_network], lines, both)])


def part(model_name: str | None, rows: list[tuple[Path, str]]) -> list[np.ndarray | None]:
    model = Model.load(model_name, "cpu")
    index = model.library.index()
    return [found(model, path, index[name]) for path, name in rows]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("labels", type=Path, nargs="+", help="labels.csv as benchmarks/held_out.py writes it")
    arguments.add_argument("--model", help="name or folder; the shipped one by default")
    arguments.add_argument("--jobs", type=int, default=1)
    given = arguments.parse_args()
    with ProcessPoolExecutor(given.jobs) as pool:
        for labels in given.labels:
            with labels.open(newline="") as stream:
                rows = [(labels.parent / row["file"], row["label"]) for row in csv.DictReader(stream)]
            parts = [rows[i :: given.jobs] for i in range(given.jobs)]
            results = [result for some in pool.map(part, [given.model] * given.jobs, parts) for result in some]
            hits = np.stack([result for result in results if result is not None])
            print(f"{labels}: {len(results)} scans, {len(results) - len(hits)} unusable")
            for way, (own, family) in zip(WAYS, hits.sum(axis=0), strict=True):
                print(f"  {way}: own entry {own} ({own / len(hits):.2%}), its family {family} ({family / len(hits):.2%})", flush=True)


if __name__ == "__main__":
    main()
