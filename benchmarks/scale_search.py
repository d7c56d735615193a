"""Search in libraries of 10^4 to 10^6 entries: time a query, memory and recall@200 of brute force and of two indexes of faiss.

    python benchmarks/scale.py scale.h5 --count 1000000
    python benchmarks/scale_search.py scale.h5 -o docs/scaling
    python benchmarks/scale_search.py scale.h5 -o docs/scaling --draw docs/plots/scaling.svg --build docs/scaling-build.csv

Needs the extras scale and plot. Asks with patterns as a laboratory would record them (level middle) of the first 10^4 entries, which every library
holds. Each engine runs in a process of its own with one thread; times are CPU times, so that other work on the machine does not count. recall200 is
the share of the exact 200 nearest (float32, all vectors) that an engine finds; own200 the share of queries whose own entry is among its 200. Rows
"product" are `Identifier.identify`, whole and its two searches. Writes OUT.csv;
--draw PICTURE draws it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import h5py
import numpy as np
from numpy.typing import NDArray
from scale import SEED, parents

from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.report import figure_style
from xrdmatch.system.arrays import Float32Array
from xrdmatch.training.effects_numpy import measured_like

SIZES = (10_000, 100_000, 240_000, 1_000_000)
QUERIES, TOP, BATCH = 256, 200, 64
ROWS = 16_384  # vectors that brute force looks at in one go
#: Engine: faiss' factory string for {n} lists, and how thoroughly it looks (lists of an inverted file, candidates of a graph); none for brute force.
ENGINES: dict[str, tuple[str, tuple[int, ...]]] = {
    "float32": ("", (0,)),
    "float16 mapped": ("", (0,)),
    "IVF": ("IVF{n},SQfp16", (16, 64, 256)),
    "HNSW": ("HNSW16,SQfp16", (200, 400, 800)),
}
#: What is drawn: engine, column and depth, with the line's colour and dashes.
LINES = {
    ("vectors, float32 in memory", "float32", "query_ms", 0): (figure_style.BLACK, "-"),
    ("vectors, float16 mapped", "float16 mapped", "query_ms", 0): (figure_style.BLACK, ":"),
    ("IVF, 256 lists", "IVF", "query_ms", 256): (figure_style.BLUE, "-"),
    ("IVF, 64 lists", "IVF", "query_ms", 64): (figure_style.BLUE, "--"),
    ("HNSW, 800 candidates", "HNSW", "query_ms", 800): (figure_style.GREEN, "-"),
    ("identify: lines looked up", "product", "lines_ms", 0): (figure_style.VERMILLION, "--"),
    ("identify: whole", "product", "whole_ms", 0): (figure_style.VERMILLION, "-"),
}
TRAINED = 20  # vectors a list that the lists' centres are found from


def mapped(path: Path, number: int) -> NDArray[np.float16]:
    """The first `number` vectors, which stay in the file until they are looked at."""
    with h5py.File(path, "r") as file:
        place, dim = file["vectors"].id.get_offset(), file["vectors"].shape[1]
    return np.memmap(path, np.float16, "r", place, (number, dim))


def questions() -> tuple[Float32Array, NDArray[np.int64]]:
    """Vectors (k, dim) of measured-like patterns of entries among the first 10^4, and the entries' numbers."""
    model = Model.load(None, "cpu")
    rng = np.random.default_rng(SEED + 1)
    own = rng.choice(SIZES[0], QUERIES, replace=False)
    rows = parents(model.library, 0, SIZES[0])[own]
    return model.encode(model.recipe.apply_batch(*measured_like(model.library, rows, Recipe().grid, rng))), own


def brute(vectors: NDArray[Any], queries: Float32Array) -> NDArray[np.int64]:
    """The `TOP` nearest of each query (k, TOP)."""
    scores = np.empty((len(queries), len(vectors)), np.float32)
    for start in range(0, len(vectors), ROWS):
        scores[:, start : start + ROWS] = queries @ vectors[start : start + ROWS].astype(np.float32, copy=False).T
    return np.argpartition(-scores, TOP - 1, axis=1)[:, :TOP]


def prepared(engine: str, vectors: NDArray[np.float16]) -> tuple[Callable[[Float32Array, int], NDArray[np.int64]], float]:
    """The engine's search, ready, and the MB that it keeps: in memory, or in a file that the system may drop from memory."""
    factory, _ = ENGINES[engine]
    if engine == "float32":
        values = np.concatenate([vectors[start : start + ROWS].astype(np.float32) for start in range(0, len(vectors), ROWS)])
        return lambda queries, _: brute(values, queries), values.nbytes / 1e6
    if not factory:
        return lambda queries, _: brute(vectors, queries), vectors.nbytes / 1e6
    import faiss

    faiss.omp_set_num_threads(1)
    lists = int(4 * np.sqrt(len(vectors)))
    index = faiss.index_factory(vectors.shape[1], factory.format(n=lists), faiss.METRIC_INNER_PRODUCT)
    sample = np.sort(np.random.default_rng(SEED).choice(len(vectors), min(len(vectors), TRAINED * lists), replace=False))
    index.train(vectors[sample].astype(np.float32))
    for start in range(0, len(vectors), ROWS):
        index.add(vectors[start : start + ROWS].astype(np.float32))

    def search(queries: Float32Array, depth: int) -> NDArray[np.int64]:
        if engine == "IVF":
            index.nprobe = depth
        else:
            index.hnsw.efSearch = depth
        return index.search(queries, TOP)[1]

    return search, len(faiss.serialize_index(index)) / 1e6


def private() -> float:
    """MB of memory that only this process has, without mapped files."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in status if line.startswith("RssAnon"))


def measure(engine: str, path: Path, number: int) -> list[dict[str, Any]]:
    """One engine on one library, in this process."""
    vectors = mapped(path, number)
    with np.load(asked_file(path)) as asked:
        queries, own, exact = asked["queries"], asked["own"], asked[f"exact{number}"]
    before, clock = private(), time.process_time()
    search, kept = prepared(engine, vectors)
    built, memory = time.process_time() - clock, private() - before
    rows = []
    for depth in ENGINES[engine][1]:
        search(queries[:2], depth)
        single = []
        for query in queries[:32]:
            clock = time.process_time()
            search(query[None], depth)
            single.append(time.process_time() - clock)
        clock = time.process_time()
        found = np.concatenate([search(queries[start : start + BATCH], depth) for start in range(0, QUERIES, BATCH)])
        batch = (time.process_time() - clock) / QUERIES
        rows.append(
            {
                "depth": depth,
                "build_s": round(built, 1),
                "query_ms": round(1e3 * float(np.median(single)), 3),
                "batch_ms": round(1e3 * batch, 3),
                "kept_mb": round(kept),
                "private_mb": round(memory),
                "recall200": round(float(np.mean([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)])), 4),
                "own200": round(float((found == own[:, None]).any(axis=1).mean()), 4),
            }
        )
    return rows


def asked_file(source: Path) -> Path:
    """Where the queries and their exact answers are kept for the engines' processes."""
    return source.with_name(source.name + ".npz")


def product(path: Path, number: int) -> list[dict[str, Any]]:
    """`identify` over the library's first entries, as it is: brute force in memory by vectors and by lines, then the comparison with the scan."""
    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.library.line_index import LineIndex
    from xrdmatch.library.reference_library import Library
    from xrdmatch.model.reference_index import ReferenceIndex
    from xrdmatch.search.identify import Identifier

    model = Model.load(None, "cpu")
    shipped = model.library
    with h5py.File(path, "r") as file:
        texts = {key: np.char.decode(file[key][:number], "utf-8") for key in ("id", "name", "formula", "source", "doi", "note", "family_name")}
        offsets = file["offsets"][: number + 1]
        arrays = {key: file[key][: offsets[-1]] for key in ("hkl", "intensity")}
        library = Library(**texts, **arrays, offsets=offsets, cell=file["cell"][:number], family=file["family"][:number])
        vectors = file["vectors"][:number].astype(np.float32)
        lines = LineIndex.unpacked(file["lookup"][:, :number])
    model = Model.load(None, "cpu", threads=1)
    identifier = Identifier(model.with_index(ReferenceIndex(library, vectors, lines)))
    rng = np.random.default_rng(SEED + 2)
    spent: dict[str, list[float]] = {"network": [], "lines": [], "whole": []}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            clock = time.process_time()
            result = function(*given, **more)
            spent[name].append(time.process_time() - clock)
            return result

        return call

    Model.scores = timed("network", Model.scores)
    LineIndex.scores = timed("lines", LineIndex.scores)
    whole = timed("whole", identifier.identify)
    grid = Recipe().grid
    right = 0
    for row in parents(shipped, 0, SIZES[0])[rng.choice(SIZES[0], 24, replace=False)]:
        counts, mask = measured_like(shipped, np.array([row]), grid, rng)
        answer = whole(Pattern(grid.two_theta[mask[0]], counts[0][mask[0]], grid.wavelength, "scan"))
        right += bool(answer.matches) and answer.matches[0].id == shipped.id[row]
    times = {f"{name}_ms": round(1e3 * float(np.median(values)), 1) for name, values in spent.items()}
    return [{**times, "private_mb": round(private()), "own_first": round(right / 24, 3)}]


def run_all(source: Path, out: Path, sizes: list[int], engines: list[str]) -> None:
    queries, own = questions()
    exact = {f"exact{number}": np.concatenate([brute(mapped(source, number), part) for part in np.array_split(queries, 8)]) for number in sizes}
    np.savez(asked_file(source), queries=queries, own=own, **exact)
    with h5py.File(source, "r") as file:
        encoded = int(file.attrs["encoded"])
    rows: list[dict[str, Any]] = []
    for number in sizes:
        for engine in engines:
            done = subprocess.run([sys.executable, __file__, str(source), "--one", engine, "--sizes", str(number)], capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            found = [{"engine": engine, "entries": number, "encoded": min(number, encoded), **row} for row in json.loads(done.stdout)]
            print(*found, sep="\n", flush=True)
            rows += found
            write(rows, out.with_suffix(".csv"))


def draw(table: Path, build: Path | None, out: Path) -> None:
    """Time a query and what is found over the number of entries; with the log of the build, its memory."""
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    with figure_style.style():
        figure = figure_style.new_figure("double", 66.0)
        times, found, *more = figure.subplots(1, 2 if build is None else 3)
        for (name, engine, column, depth), (colour, look) in LINES.items():
            points = [row for row in rows if row["engine"] == engine and row["depth"] in ("", str(depth))]
            entries = [int(row["entries"]) for row in points]
            style = {"color": colour, "ls": look, "marker": "o", "ms": 2.5, "lw": 0.9, "label": name}
            times.loglog(entries, [float(row[column]) for row in points], **style)
            if depth:
                found.semilogx(entries, [float(row["recall200"]) for row in points], **style)
        exact = [row for row in rows if row["engine"] == "float32"]
        grey = {"color": figure_style.BLACK, "ls": "-", "marker": "o", "ms": 2.5, "lw": 0.9}
        found.semilogx([int(row["entries"]) for row in exact], [float(row["own200"]) for row in exact], **grey)
        found.annotate("own entry, exact search", (int(exact[0]["entries"]), 1.02), fontsize=figure_style.TEXT - 1)
        times.set_ylabel("CPU time of a query / ms")
        found.set_ylabel("share of the exact 200 found")
        found.set_ylim(0.0, 1.09)
        for axes in more:
            with build.open() as stream:  # type: ignore[union-attr]
                log = list(csv.DictReader(stream))
            axes.plot([int(row["entries"]) / 1e6 for row in log], [float(row["rss_mb"]) for row in log], color=figure_style.BLUE, lw=0.9)
            axes.set_ylim(0.0, 1000.0)
            axes.set_xlabel("entries written / million")
            axes.set_ylabel("memory of the build / MB")
        for axes in (times, found):
            axes.set_xlabel("entries in the library")
        figure.legend(*times.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        figure_style.save(figure, out)


def write(rows: list[dict[str, Any]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("scaling"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--engines", nargs="*", choices=[*ENGINES, "product"], default=[*ENGINES, "product"])
    parser.add_argument("--draw", type=Path, metavar="PICTURE", help="only draw OUT.csv, into this file")
    parser.add_argument("--build", type=Path, help="with --draw: the log of scale.py")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.draw:
        draw(asked.output.with_suffix(".csv"), asked.build, asked.draw)
    elif asked.one:
        print(json.dumps(product(asked.source, asked.sizes[0]) if asked.one == "product" else measure(asked.one, asked.source, asked.sizes[0])))
    else:
        run_all(asked.source, asked.output, sorted(asked.sizes), asked.engines)


if __name__ == "__main__":
    main()
