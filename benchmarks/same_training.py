"""The encoder trained with its patterns made as tensors and with the numpy twin: whether as many steps reach the same figures.

    python benchmarks/same_training.py [LIBRARY.h5] [--entries 1500] [--steps 500] [--batch 64] [--seeds 0 1]

Both train on the same evenly taken entries with the same settings; only the stream of patterns differs. The recall is that of `encoder.recall`:
512 patterns of held-out structures, made in numpy, the same for both.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import LIBRARY, find_model
from xrdmatch.model.library_vectors import ideal
from xrdmatch.training import encoder
from xrdmatch.training.effects_numpy import measured_like
from xrdmatch.training.encoder import Settings, Stream
from xrdmatch.training.run import RunOptions


class NumpyStream(Stream):
    """The same batches in numpy."""

    def __init__(self, library: Library, *given: Any, **more: Any) -> None:
        super().__init__(library, *given, **more)
        self.library = library

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([self.settings.seed, step])
        rows = rng.choice(self.rows, self.settings.batch)
        clean = round(self.settings.clean * rows.size)
        measured = [measured_like(self.library, part, self.recipe.grid, rng, level) for part, level in self.parts(rows[clean:])]
        counts, mask = (np.concatenate(part) for part in zip(*measured, strict=True))
        sharp = ideal(self.library, rows[:clean], self.recipe.grid, rng.uniform(0.06, 0.2), rng.uniform(0.0, 6.0))
        inputs = self.recipe.apply_batch(np.concatenate([sharp, counts]), np.concatenate([np.ones(sharp.shape, dtype=bool), mask]))
        return torch.from_numpy(inputs), self.labels[torch.from_numpy(rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, nargs="?", help="by default that of the shipped model")
    parser.add_argument("--entries", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    given = parser.parse_args()
    torch.set_num_threads(1)
    whole = Library.load(given.library or find_model() / LIBRARY)
    library = whole.subset(np.linspace(0, len(whole) - 1, given.entries).astype(int))
    print(f"{len(library)} entries, {given.steps} steps of {given.batch}")
    print("patterns  seed    loss  recall@1  recall@5  recall@20   cpu s", flush=True)
    for seed in given.seeds:
        for name, stream in (("numpy", NumpyStream), ("tensors", Stream)):
            encoder.Stream = stream  # type: ignore[misc]
            settings = Settings(steps=given.steps, batch=given.batch, warmup=given.steps // 10, seed=seed)
            start = time.process_time()
            with tempfile.TemporaryDirectory() as place:
                encoder.train_encoder(library, Path(place), settings, RunOptions("cpu", threads=1))
                with (Path(place) / encoder.LOG).open() as file:
                    last = list(csv.DictReader(file))[-1]
            figures = "  ".join(f"{float(last[key]):{len(key)}.3f}" for key in ("recall@1", "recall@5", "recall@20"))
            print(f"{name:8}  {seed:4d}  {float(last['loss']):6.3f}  {figures}  {time.process_time() - start:6.0f}", flush=True)


if __name__ == "__main__":
    main()
