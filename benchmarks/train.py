"""Patterns a second that training takes, on the CPU and on a GPU, and what of a step the making of its patterns costs.

    python benchmarks/train.py [LIBRARY.h5] [--threads 1] [--steps 8]

The encoder's steps are those of `xrdmatch train --network encoder`: the same stream, network, batch and precision, over as many classes as the
library has entries. The numpy twin of the stream (`physics.measured_like` and `Recipe.apply_batch`) runs beside it in the same process, on one
thread. The classifier's steps take random patterns of the paper's size. Without a GPU that part is passed over with a line. Medians; on one thread
of a CPU processor time, which hardly changes with what else runs, elsewhere wall time.
"""

from __future__ import annotations

import os
import sys

if "--threads" not in sys.argv:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from same_training import NumpyStream
from torch.nn import functional

from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import LIBRARY, find_model
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.training.encoder import Classes, Settings, Stream
from xrdmatch.training.networks import Encoder, Wang2020, fast_precision


def seconds(work: Callable[[], object], times: int, device: torch.device) -> float:
    """Median of one run, after one that is not counted; a GPU is waited for."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    taken = []
    for _ in range(times + 1):
        start = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(clock() - start)
    return statistics.median(taken[1:])


def encoder(library: Library, device: torch.device, steps: int, compiled: bool) -> None:
    recipe, settings, precision = Recipe(), Settings(), fast_precision(device)
    number = np.arange(len(library))
    stream = Stream(library, number, recipe, settings, device=device)
    classes = Classes(Encoder(recipe.grid.size, recipe.channels, settings.dim), len(library), settings).to(device)
    network = torch.compile(classes) if compiled else classes
    optimiser = torch.optim.AdamW(classes.parameters(), lr=settings.learning_rate)
    scaler = torch.amp.GradScaler(device.type, enabled=precision is torch.float16)
    batch = stream[0]

    def learn(inputs: torch.Tensor, target: torch.Tensor, precision: torch.dtype = precision) -> None:
        with torch.autocast(device.type, dtype=precision, enabled=precision is not torch.float32):
            logits = network(inputs)
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(functional.cross_entropy(logits.float(), target)).backward()
        scaler.step(optimiser)
        scaler.update()

    at = iter(range(1, 10_000))
    made = seconds(lambda: stream[next(at)], steps, device)
    learned = seconds(lambda: learn(*batch), steps, device)
    whole = seconds(lambda: learn(*stream[next(at)]), steps, device)
    naive = NumpyStream(library, number, recipe, settings)
    twin = seconds(lambda: naive[next(at)], steps, torch.device("cpu"))
    name = f"{device.type}{', compiled' if compiled else ''}, {precision}".replace("torch.", "")
    print(f"encoder on {name}: {settings.batch / whole:.0f} patterns a second, {1e3 * whole:.0f} ms a step of {settings.batch}")
    print(f"  making the patterns {1e3 * made:.1f} ms, {100 * made / (made + learned):.1f} % of a step; learning {1e3 * learned:.1f} ms")
    print(f"  the same patterns in numpy {1e3 * twin:.1f} ms on one core: {twin / made:.1f} times as long")
    if device.type == "cpu":
        other = torch.float32 if precision is torch.bfloat16 else torch.bfloat16
        taken = seconds(lambda: learn(*batch, other), 1, device)
        print(f"  learning in {str(other).removeprefix('torch.')} {1e3 * taken:.1f} ms: {taken / learned:.1f} times as long")


def classifier(device: torch.device, steps: int, points: int = 2251, labels: int = 1012, batch: int = 128) -> None:
    """The network of Wang et al. 2020 with the paper's numbers."""
    network = Wang2020(labels, points).to(device)
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    patterns, target = torch.rand(batch, 1, points, device=device), torch.randint(0, labels, (batch,), device=device)
    for precision in (torch.float32, torch.bfloat16):

        def learn(precision: torch.dtype = precision) -> None:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
                logits = network(patterns)
            optimiser.zero_grad(set_to_none=True)
            network.loss(logits.float(), target).backward()
            optimiser.step()

        taken = seconds(learn, steps, device)
        paper = 50 * 0.8 * 72_864 * taken / batch / 60
        said = f"{batch / taken:.0f} patterns a second, {1e3 * taken:.0f} ms a step of {batch}; 50 epochs of the paper's set {paper:.0f} minutes"
        print(f"wang2020 on {device.type}, {str(precision).removeprefix('torch.')}: {said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, nargs="?", help="by default that of the shipped model")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, for torch")
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed")
    parser.add_argument("--compile", action="store_true", help="once more with torch.compile")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    library = Library.load(given.library or find_model() / LIBRARY)
    print(f"torch {torch.__version__}, {given.threads} threads; {len(library)} entries")
    devices = [torch.device("cpu")] + ([torch.device("cuda")] if torch.cuda.is_available() else [])
    for device in devices:
        for compiled in (False, True) if given.compile else (False,):
            encoder(library, device, given.steps, compiled)
        classifier(device, given.steps)
    if len(devices) == 1:
        print("GPU: passed over, torch finds none")


if __name__ == "__main__":
    main()
