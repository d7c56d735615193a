"""A library of a million entries, made out of core: how long, how much memory, how large.

    python benchmarks/scale.py scale.h5 --count 1000000 --log docs/scaling-build.csv
    python benchmarks/scale_search.py scale.h5 -o docs/scaling

Entry number j stands for entry j mod n of the shipped library's n, in a shuffled order: the first n entries are those of the library as they are, all
others are variants, each with its own cell strain (within the lattice symmetry) and, as if atoms were substituted, its own change of all structure
factors. So the first 10^4 and 10^5 entries are libraries of their own. The file is one that xrdmatch loads, vectors and lookup lines included. Blocks
are made by --jobs processes and written one after the other; a second run goes on with what an interrupted one left. --log adds time and memory after
each block, of this process.

The vector of an entry is the network's answer to its noise-free pattern. Those of entries from --encode on are derived, which takes a tenth of the
time: the parent's vector, moved as an encoded variant of another parent is moved from its own. Search takes as long with either.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import h5py
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import reciprocal_metric
from xrdmatch.library.library_file import FORMAT, FORMAT_VERSION
from xrdmatch.library.line_index import KEPT, LineIndex
from xrdmatch.library.reference_library import INTENSITY_SCALE, Library
from xrdmatch.model.folder import Model
from xrdmatch.model.library_vectors import ideal_inputs
from xrdmatch.system.parallel import Workers, ordered
from xrdmatch.training.effects_numpy import Hardness, cell_strain

BLOCK = 4096  # entries made at a time; part of the random streams
#: Strain of the variants: 1 % on every lattice, and up to 5 % of one axis against another on a third of them.
STRAIN = Hardness(strain=0.01, breathing=0.33, breathing_strain=0.05)
#: Change of the structure factors, as a share of their root mean square in the entry: uniform between these.
SUBSTITUTION = (0.05, 0.5)
TEXTS = {"id": 64, "name": 64, "formula": 96, "source": 64, "doi": 64, "note": 40}  # bytes
SEED = 0


@dataclass(frozen=True, eq=False)
class Block:
    """Entries start..start + k, ready to be written."""

    start: int
    library: Library
    vectors: NDArray[np.float16] | None  # to be derived where there are none
    lookup: NDArray[np.uint16]


def parents(library: Library, start: int, stop: int) -> NDArray[np.int64]:
    """Rows of the shipped library that entries start..stop are variants of."""
    order = np.random.default_rng(SEED).permutation(len(library))
    return np.asarray(order[np.arange(start, stop) % len(library)])


def variants(library: Library, start: int, stop: int) -> Library:
    """Entries start..stop of the large library."""
    rng = np.random.default_rng([SEED, start])
    made = library.subset(parents(library, start, stop))
    number = np.arange(start, stop) // len(library)
    new = number > 0
    cell = np.where(new[:, None], cell_strain(made.cell, rng, STRAIN), made.cell)
    entry = np.repeat(np.arange(len(made)), np.diff(made.offsets))
    intensity = np.where(new[entry], substituted(made, entry, rng), made.intensity.astype(float))
    top = np.maximum.reduceat(intensity, made.offsets[:-1])
    intensity *= (INTENSITY_SCALE / top)[entry]
    hkl = made.hkl.astype(float)
    squared = np.einsum("pi,pij,pj->p", hkl, reciprocal_metric(cell)[entry], hkl)
    order = np.argsort(entry + squared / (squared.max() + 1.0))  # lines of each entry by falling d-spacing, which strain may change
    ids = [f"{name}-{k}" if k else name for name, k in zip(made.id.tolist(), number.tolist(), strict=True)]
    return replace(
        made,
        id=np.array(ids),
        cell=cell,
        hkl=made.hkl[order],
        intensity=intensity[order].astype(np.float16),
        note=np.where(new, "variant: strained and substituted", ""),
        family=np.arange(len(made), dtype=np.int32),
        family_name=np.array(ids),
    )


def substituted(library: Library, entry: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Intensities (m,) of lines after a substitution, unscaled.

    What other atoms add to a structure factor is a sum of phases, so close to a normal number (Wilson, Acta Cryst. 1949, 2, 318): F becomes
    F + s g rms(F), with g standard normal a line and s one number an entry.
    """
    amplitude = np.sqrt(library.intensity.astype(float))
    mean = np.sqrt(np.add.reduceat(amplitude**2, library.offsets[:-1]) / np.diff(library.offsets))
    share = rng.uniform(*SUBSTITUTION, len(library))
    return np.asarray((amplitude + (share * mean)[entry] * rng.standard_normal(amplitude.size)) ** 2)


@dataclass(frozen=True)
class Job:
    """What a worker needs to know."""

    count: int
    encode: int
    model: str | None


def prepare(job: Job) -> tuple[Job, Model]:
    return job, Model.load(job.model, "cpu", threads=1)


def make(state: tuple[Job, Model], start: int) -> Block:
    """One block; runs in a worker."""
    job, model = state
    library = variants(model.library, start, min(start + BLOCK, job.count))
    inputs = ideal_inputs(library, np.arange(len(library)), model.recipe) if start < job.encode else None
    return Block(start, library, None if inputs is None else model.encode(inputs).astype(np.float16), LineIndex.of(library).packed())


def derived(file: h5py.File, model: Model, start: int, stop: int) -> NDArray[np.float16]:
    """Vectors (k, dim) of entries start..stop: each parent's, moved as a run of encoded variants is moved from theirs."""
    encoded, plain = int(file.attrs["encoded"]), len(model.library)
    if encoded < plain + stop - start:
        raise SystemExit(f"--encode {encoded}: expected more than the {plain} entries of the library and a block of variants")
    first = int(np.random.default_rng([SEED, start, 1]).integers(plain, encoded - (stop - start) + 1))
    last = first + stop - start
    moved = file["vectors"][first:last].astype(np.float32) - model.vectors[parents(model.library, first, last)]
    vectors = model.vectors[parents(model.library, start, stop)] + moved
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float16)


def create(file: h5py.File, count: int, dim: int) -> None:
    """Empty datasets of a library of `count` entries; vectors and lookup lie in one piece, so that they can be mapped into memory."""
    for key, width in TEXTS.items():
        file.create_dataset(key, (count,), f"S{width}", chunks=(BLOCK,), compression="gzip", compression_opts=1)
    file.create_dataset("family_name", (count,), f"S{TEXTS['id']}", chunks=(BLOCK,), compression="gzip", compression_opts=1)
    file.create_dataset("family", data=np.arange(count, dtype=np.int32))
    file.create_dataset("cell", (count, 6), np.float64)
    file.create_dataset("offsets", (count + 1,), np.int64)
    packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    file.create_dataset("hkl", (0, 3), np.int16, maxshape=(None, 3), chunks=(1 << 18, 3), **packed)
    file.create_dataset("intensity", (0,), np.float16, maxshape=(None,), chunks=(1 << 18,), **packed)
    file.create_dataset("vectors", (count, dim), np.float16)
    file.create_dataset("lookup", (2, count, KEPT), np.uint16)
    provenance = {"made_by": "benchmarks/scale.py", "of": "variants of the shipped library", "seed": SEED}
    file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION, "provenance": json.dumps(provenance), "done": 0, "encoded": 0})


def append(file: h5py.File, block: Block, model: Model) -> None:
    """Write a block behind those that are there."""
    start, stop = block.start, block.start + len(block.library)
    before = int(file["offsets"][start])
    for key, width in TEXTS.items():
        file[key][start:stop] = np.char.encode(getattr(block.library, key), "utf-8").astype(f"S{width}")
    file["family_name"][start:stop] = file["id"][start:stop]
    file["cell"][start:stop] = block.library.cell
    file["offsets"][start + 1 : stop + 1] = before + block.library.offsets[1:]
    for key in ("hkl", "intensity"):
        file[key].resize(before + len(block.library.hkl), axis=0)
        file[key][before:] = getattr(block.library, key)
    file["vectors"][start:stop] = derived(file, model, start, stop) if block.vectors is None else block.vectors
    file["lookup"][:, start:stop] = block.lookup
    if block.vectors is not None:
        file.attrs["encoded"] = stop
    file.attrs["done"] = stop
    file.flush()


def memory() -> tuple[float, float]:
    """Memory of this process in MB: now and at most."""
    with open("/proc/self/statm") as stream:
        now = int(stream.read().split()[1]) * resource.getpagesize() / 1e6
    return now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--model", help="whose library and network; the shipped one by default")
    parser.add_argument("--encode", type=int, help="entries that the network encodes; all by default")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--log", type=Path, help="CSV: entries, seconds, CPU seconds, memory")
    asked = parser.parse_args()
    model = Model.load(asked.model, "cpu")
    job = Job(asked.count, asked.count if asked.encode is None else asked.encode, asked.model)
    part = asked.target.with_name(asked.target.name + ".part")
    clock = time.perf_counter()
    with h5py.File(part, "a") as file:
        if "done" not in file.attrs:
            create(file, asked.count, model.vectors.shape[1])
        starts = range(int(file.attrs["done"]), asked.count, BLOCK)
        for block in ordered(make, starts, Workers(asked.jobs), job, prepare):
            append(file, block, model)
            now, peak = memory()
            row = (file.attrs["done"], file.attrs["encoded"], time.perf_counter() - clock, time.process_time(), now, peak)
            line = ",".join(f"{value:.0f}" for value in row)
            print(line, flush=True)
            if asked.log:
                with asked.log.open("a") as stream:
                    stream.write(("entries,encoded,seconds,cpu_seconds,rss_mb,peak_mb\n" if stream.tell() == 0 else "") + line + "\n")
    part.replace(asked.target)


if __name__ == "__main__":
    main()
