"""Library to encoder: streamed measured-like patterns, a cosine softmax over the library's groups of like patterns, export.

The encoder learns to place a measured pattern beside the noise-free pattern of its structure. Some groups are held out and never trained on: the
log's recall is measured on them, so that it says what happens to a structure that is added later.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from xrdmatch import __version__
from xrdmatch.calibrate import calibrate
from xrdmatch.errors import LibraryError, ModelError
from xrdmatch.library import Library
from xrdmatch.lookup import Lookup
from xrdmatch.model import NETWORK, Device, Model, new_model, usable_cores, write_encoder
from xrdmatch.network import Encoder, check_parity, export_onnx
from xrdmatch.physics import Hardness, ideal, ideal_inputs, measured_like
from xrdmatch.ranks import Interrupt, Ranks, ranks_of_environment, together
from xrdmatch.recipe import Recipe
from xrdmatch.train import CHECKPOINT, LOG, load_checkpoint, save_checkpoint, sha256, training_alone, written

#: Share of groups that are never trained on.
HELD_OUT = 0.03
#: Pieces a batch is made in: the most processes that can train one encoder.
PARTS = 16


@dataclass(frozen=True)
class Settings:
    """What one training run is made of; stored with the model."""

    steps: int = 9000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 300
    clean: float = 0.125  # share of a batch that is noise-free, so that library vectors lie among the measured ones
    scale: float = 24.0  # inverse temperature of the cosine softmax
    dim: int = 192
    seed: int = 0


class Stream(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):  # type: ignore[misc]
    """Batch number `step` of training patterns: always the same for one seed, so that a resumed run goes on where it stopped.

    A batch is made in `PARTS` pieces, each with its own random stream, so that it is the same whatever the number of processes that make it.
    ranks: of several processes each gets its pieces. Small pieces stay in the processor's cache, which halves the time.
    """

    def __init__(
        self,
        library: Library,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        recipe: Recipe,
        settings: Settings,
        level: Hardness,
        ranks: Ranks | None = None,
    ) -> None:
        self.library, self.rows, self.labels, self.recipe, self.settings, self.level = library, rows, labels, recipe, settings, level
        ranks = ranks or Ranks()
        self.parts = range(ranks.rank, min(PARTS, settings.batch), ranks.world)

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        pieces = [self.piece(step, part) for part in self.parts]
        return torch.cat([inputs for inputs, _ in pieces]), torch.cat([target for _, target in pieces])

    def piece(self, step: int, part: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Part of a step's batch: inputs (k, channels, m) and labels (k,)."""
        number = np.array_split(np.arange(self.settings.batch), min(PARTS, self.settings.batch))[part]
        rng = np.random.default_rng([self.settings.seed, step, part])
        rows = rng.choice(self.rows, number.size)
        turns = np.floor(self.settings.clean * np.append(number, number[-1] + 1) + 0.5)  # spread evenly over the whole batch
        clean = int(turns[-1] - turns[0])
        counts, mask = measured_like(self.library, rows[clean:], self.recipe.grid, rng, self.level)
        sharp = ideal(self.library, rows[:clean], self.recipe.grid, rng.uniform(0.06, 0.2), rng.uniform(0.0, 6.0))
        values = np.concatenate([sharp, counts.astype(np.float32)])
        masks = np.concatenate([np.ones(sharp.shape, dtype=bool), mask])
        return torch.from_numpy(self.recipe.apply_batch(values, masks)), torch.from_numpy(self.labels[rows])


def like_patterns(library: Library, recipe: Recipe, threshold: float = 0.95) -> NDArray[np.int64]:
    """Group (n,) of each entry: entries whose noise-free inputs have a cosine above `threshold` with a group's first member are one class."""
    inputs = ideal_inputs(library, np.arange(len(library)), recipe)[:, 0]
    inputs /= np.maximum(np.linalg.norm(inputs, axis=1, keepdims=True), 1e-9)
    group = np.full(len(library), -1, dtype=np.int64)
    count = 0
    for start in range(0, len(inputs), 512):
        alike = inputs[start : start + 512] @ inputs.T > threshold
        for row, close in enumerate(alike, start):
            if group[row] < 0:
                group[close & (group < 0)] = count
                group[row] = count
                count += 1
    return group


class Classes(nn.Module):  # type: ignore[misc]
    """The encoder with one proxy vector a class: what is trained."""

    def __init__(self, encoder: Encoder, classes: int, settings: Settings) -> None:
        super().__init__()
        self.encoder, self.scale = encoder, settings.scale
        self.proxies = nn.Parameter(torch.randn(classes, settings.dim) * settings.dim**-0.5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Patterns (k, channels, m) to logits (k, classes): scaled cosines with the proxies."""
        return self.scale * self.encoder(inputs) @ functional.normalize(self.proxies, dim=1).T


def train_encoder(
    library: Library,
    out: Path,
    recipe: Recipe | None = None,
    settings: Settings | None = None,
    level: Hardness | None = None,
    resume: bool = False,
    workers: int = 1,
    progress: Callable[[dict[str, float]], None] | None = None,
    ranks: Ranks | None = None,
) -> Encoder:
    """Train on `library`, keep checkpoint.pt and training.csv in `out`, return the trained encoder.

    ranks: of several processes, connected by `ranks.together`, each makes and takes its share of every batch; the first one writes.
    """
    recipe, settings, level, ranks = recipe or Recipe(), settings or Settings(), level or Hardness(), ranks or Ranks()
    torch.manual_seed(settings.seed)
    labels = like_patterns(library, recipe)
    trained, checked = _split(labels, settings.seed)
    encoder = Encoder(recipe.grid.size, recipe.channels, settings.dim)
    classes = Classes(encoder, int(labels.max()) + 1, settings)
    optimiser = torch.optim.AdamW([*encoder.parameters(), classes.proxies], lr=settings.learning_rate, weight_decay=settings.weight_decay)
    out.mkdir(parents=True, exist_ok=True)
    first = _restore(out / CHECKPOINT, classes, optimiser) if resume else 0
    network = ranks.parallel(classes)
    if first == 0 and ranks.first:
        (out / LOG).unlink(missing_ok=True)
    loader = torch.utils.data.DataLoader(
        Stream(library, trained, labels, recipe, settings, level, ranks),
        batch_size=None,
        sampler=range(first, settings.steps),
        num_workers=workers,
        worker_init_fn=_ignore_interrupt,
    )
    average, clock, last = float("nan"), time.monotonic(), first
    with Interrupt(ranks) as interrupt:
        for step, (inputs, target) in enumerate(loader, first):
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step, settings)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = network(inputs)
            loss = functional.cross_entropy(logits.float(), target) * (ranks.world * len(target) / settings.batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            (lost,) = interrupt.total(loss.item() / ranks.world)
            last = step + 1
            average = lost if math.isnan(average) else 0.98 * average + 0.02 * lost
            if progress and last % 20 == 0:
                progress({"step": last, "loss": average})
            if ranks.first and (last % 500 == 0 or last == settings.steps):
                _save(out / CHECKPOINT, classes, optimiser, last)
                row = {"step": last, "seconds": round(time.monotonic() - clock, 1), "loss": round(average, 4)}
                row |= recall(encoder, library, checked, recipe, level)
                _log(out / LOG, row)
                if progress:
                    progress({key: float(value) for key, value in row.items()})
            if ranks.first and interrupt.asked:
                _save(out / CHECKPOINT, classes, optimiser, last)
            interrupt.obey(out / CHECKPOINT)
    encoder.eval()
    return encoder


def _ignore_interrupt(worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; only the one that trains has something to save."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def held_out(library: Library, recipe: Recipe, settings: Settings) -> NDArray[np.int64]:
    """Library rows that a training with these settings never sees; all rows where the library is too small to spare any."""
    return _split(like_patterns(library, recipe), settings.seed)[1]


def _split(labels: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to measure on: apart, or both all rows where no group, or every one, would be held out."""
    held = (np.random.default_rng(seed).random(labels.max() + 1) < HELD_OUT)[labels]
    if held.all() or not held.any():
        return np.arange(labels.size), np.arange(labels.size)
    return np.flatnonzero(~held), np.flatnonzero(held)


def train_model(
    source: str | Path,
    out: str | Path,
    *,
    steps: int = Settings.steps,
    batch: int = Settings.batch,
    seed: int = 0,
    resume: bool = False,
    device: Device = "auto",
    threads: int | None = None,
    workers: int = 1,
    scans: int = 1500,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """The library file `source` to the model folder `out`: train, export, check, encode the library, calibrate on `scans` simulated scans.

    Returns the metrics in config.json. Raises LibraryError for an unfit library and ModelError where the exported network answers otherwise than
    the trained one. Runs on the CPU (bfloat16 where the processor has it); `device` is for the export's check. Under torchrun the processes share the
    training; the first one does the rest, the others return no metrics.
    """
    ranks = ranks_of_environment()
    if ranks.world > PARTS:
        raise ModelError(f"{ranks.world} processes are too many to train one encoder; start {PARTS} at most")
    library, out, recipe = Library.load(source), Path(out), Recipe()
    if len(library) == 0:
        raise LibraryError(f"{source}: the library is empty, there is nothing to train on")
    settings = Settings(steps=steps, batch=batch, seed=seed)
    torch.set_num_threads(threads or max(1, usable_cores() // ranks.beside - workers))
    clock = time.monotonic()
    with training_alone(out, ranks):
        with together(ranks, torch.device("cpu")):
            encoder = train_encoder(library, out, recipe, settings, resume=resume, workers=workers, progress=progress, ranks=ranks)
        if not ranks.first:
            return {}
        rows = held_out(library, recipe, settings)
        config: dict[str, Any] = {
            "kind": "encoder",
            "network": "encoder",
            "recipe": recipe.to_json(),
            "provenance": {
                "data": {"file": Path(source).name, "sha256": sha256(Path(source)), "entries": len(library), **library.attrs},
                "settings": asdict(settings),
                "hardness": asdict(Hardness()),
                "xrdmatch": __version__,
                "torch": str(torch.__version__),
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        }
        with new_model(out) as made:
            export_onnx(encoder, made / NETWORK)
            metrics: dict[str, Any] = {"onnx_parity": check_parity(encoder, made / NETWORK, ideal_inputs(library, rows[:32], recipe))}
            metrics["held_out_entries"] = len(rows) if len(rows) < len(library) else 0  # none: all other figures are of entries it was trained on
            finish_model(made, config, library, rows, metrics, recall(encoder, library, rows, recipe, Hardness()), seed, scans, device)
    metrics["seconds"] = round(time.monotonic() - clock, 1)
    return metrics


def finish_model(
    out: Path,
    config: dict[str, Any],
    library: Library,
    rows: NDArray[np.int64],
    metrics: dict[str, Any],
    recalled: dict[str, float],
    seed: int,
    scans: int,
    device: Device,
) -> None:
    """Encode the library with the exported network in `out`, calibrate on simulated scans of `rows`, write the folder: once, when all is known."""
    model = Model(out, config, device)
    vectors = model.encode(ideal_inputs(library, np.arange(len(library)), model.recipe)).astype(np.float16).astype(np.float32)  # as they are stored
    model.__dict__ |= {"library": library, "vectors": vectors, "lookup": Lookup.of(library)}
    weights, quality = calibrate(model, rows, scans, seed)
    metrics |= {**recalled, **quality}
    write_encoder(out, {**config, **{name: fitted.to_json() for name, fitted in weights.items()}, "metrics": metrics}, library, vectors)


def _schedule(step: int, settings: Settings) -> float:
    """Linear warm-up, then half a cosine to 2 %."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.02 + 0.49 * (1.0 + math.cos(math.pi * done))


@torch.no_grad()  # type: ignore[untyped-decorator]
def encode(encoder: Encoder, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors (k, dim) of network inputs (k, channels, m)."""
    encoder.eval()
    parts = [encoder(torch.from_numpy(part)).float().numpy() for part in np.array_split(inputs, max(1, len(inputs) // 256))]
    encoder.train()
    return np.concatenate(parts)


def recall(encoder: Encoder, library: Library, rows: NDArray[np.int64], recipe: Recipe, level: Hardness, number: int = 512) -> dict[str, float]:
    """Shares of measured-like patterns of `rows` whose own entry is first, among 5 and among 200 of the whole library."""
    rng = np.random.default_rng(1)
    asked = rng.choice(rows, number)
    counts, mask = measured_like(library, asked, recipe.grid, rng, level)
    queries = encode(encoder, recipe.apply_batch(counts, mask))
    better = np.zeros(number, dtype=int)
    own = np.einsum("kd,kd->k", queries, encode(encoder, ideal_inputs(library, asked, recipe)))
    for part in np.array_split(np.arange(len(library)), max(1, len(library) // 1024)):
        better += (queries @ encode(encoder, ideal_inputs(library, part, recipe)).T > own[:, None] + 1e-6).sum(axis=1)
    return {f"recall@{k}": round(float((better < k).mean()), 4) for k in (1, 5, 20, 200)}


def _save(path: Path, classes: Classes, optimiser: torch.optim.Optimizer, step: int) -> None:
    content = {"encoder": classes.encoder.state_dict(), "proxies": classes.proxies.data, "optimiser": optimiser.state_dict(), "step": step}
    save_checkpoint(path, content)


def _restore(path: Path, classes: Classes, optimiser: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = load_checkpoint(path)
    try:
        classes.encoder.load_state_dict(state["encoder"])
        classes.proxies.data.copy_(state["proxies"])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: the checkpoint is of another library or other settings; train without --resume") from error


def _log(path: Path, row: dict[str, Any]) -> None:
    """Append a row, by writing the file anew: a process that is killed leaves no half of one."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ",".join(row) + "\n"
    with written(path) as part:
        part.write_text(before + ",".join(str(value) for value in row.values()) + "\n", encoding="utf-8")
