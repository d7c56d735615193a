"""Library to encoder: streamed measured-like patterns, a cosine softmax over the library's groups of like patterns, export.

The encoder learns to place a measured pattern beside the noise-free pattern of its structure. Some groups are held out and never trained on: the
log's recall is measured on them, so that it says what happens to a structure that is added later.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from xrdmatch.errors import LibraryError, ModelError
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import NETWORK, Model, new_model, write_encoder
from xrdmatch.model.library_vectors import ideal_inputs
from xrdmatch.model.reference_index import ReferenceIndex
from xrdmatch.model.session import Device
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.system.parallel import usable_cores
from xrdmatch.training.classifier import CHECKPOINT, LOG, check_folder, load_checkpoint, save_checkpoint, sha256, training_alone, written
from xrdmatch.training.distributed import Interrupt, Ranks, ranks_of_environment, together
from xrdmatch.training.effects_numpy import HARD, MIDDLE, Hardness, measured_like
from xrdmatch.training.effects_torch import Lines, network_input
from xrdmatch.training.effects_torch import ideal as ideal_on_device
from xrdmatch.training.effects_torch import measured_like as measured_on_device
from xrdmatch.training.fit_probability import TrialPlan, calibrate
from xrdmatch.training.networks import Encoder, check_parity, export_onnx, fast_precision, pick_device
from xrdmatch.version import __version__

#: Share of groups that are never trained on.
HELD_OUT = 0.03
#: Hardness of the measured-like patterns: each level makes an equal part of every batch.
TRAINED_ON = (MIDDLE, HARD)


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


class Stream:
    """Batches of training patterns by their step, made on the device that trains.

    One step is always the same for one seed and device (on a GPU to rounding), so that a resumed run goes on where it stopped.
    """

    def __init__(
        self,
        library: Library,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        recipe: Recipe,
        settings: Settings,
        levels: Sequence[Hardness] = TRAINED_ON,
        device: torch.device | str = "cpu",
    ) -> None:
        self.rows, self.recipe, self.settings, self.levels = rows, recipe, settings, levels
        self.lines = Lines.of(library, device)
        self.labels = torch.from_numpy(labels).to(device)
        self.rng = torch.Generator(device)

    def __len__(self) -> int:
        return self.settings.steps

    def parts(self, rows: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], Hardness]]:
        """The rows of one batch by the level that makes their patterns."""
        return list(zip(np.array_split(rows, len(self.levels)), self.levels, strict=True))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Network input (batch, channels, m) and labels (batch,)."""
        seeds = np.random.SeedSequence([self.settings.seed, step])
        host = np.random.default_rng(seeds)  # draws that the host needs as numbers; all others are the device's
        self.rng.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        rows = host.choice(self.rows, self.settings.batch)
        clean = round(self.settings.clean * rows.size)
        measured = [measured_on_device(self.lines, part, self.recipe.grid, self.rng, host, level) for part, level in self.parts(rows[clean:])]
        counts, mask = (torch.cat(part) for part in zip(*measured, strict=True))
        sharp = ideal_on_device(self.lines, rows[:clean], self.recipe.grid, host.uniform(0.06, 0.2), host.uniform(0.0, 6.0))
        inputs = network_input(self.recipe, torch.cat([sharp, counts]), torch.cat([torch.ones_like(sharp, dtype=torch.bool), mask]))
        return inputs, self.labels[torch.from_numpy(rows).to(self.labels.device, non_blocking=True)]


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
    levels: Sequence[Hardness] = TRAINED_ON,
    resume: bool = False,
    device: torch.device | str = "cpu",
    compiled: bool = False,
    progress: Callable[[dict[str, float]], None] | None = None,
    ranks: Ranks | None = None,
) -> Encoder:
    """Train on `library`, keep checkpoint.pt and training.csv in `out`, return the trained encoder.

    Runs in the device's `fast_precision`, float16 with scaled gradients. compiled: by torch.compile, which takes a minute at the start. ranks: of
    several processes, connected by `ranks.together`, each takes its share of every batch; the first one writes.
    """
    recipe, settings, ranks = recipe or Recipe(), settings or Settings(), ranks or Ranks()
    device = torch.device(device)
    torch.manual_seed(settings.seed)
    labels = like_patterns(library, recipe)
    trained, checked = _split(labels, settings.seed)
    encoder = Encoder(recipe.grid.size, recipe.channels, settings.dim)
    classes = Classes(encoder, int(labels.max()) + 1, settings).to(device)
    optimiser = torch.optim.AdamW([*encoder.parameters(), classes.proxies], lr=settings.learning_rate, weight_decay=settings.weight_decay)
    out.mkdir(parents=True, exist_ok=True)
    origin = {"entries": sha256_of(library), **{name: value for name, value in asdict(settings).items() if name != "steps"}}
    first = _restore(out / CHECKPOINT, classes, optimiser, origin) if resume else 0
    network = ranks.parallel(torch.compile(classes) if compiled else classes)
    if first == 0 and ranks.first:
        (out / LOG).unlink(missing_ok=True)
    stream = Stream(library, trained, labels, recipe, settings, levels, device)
    precision = fast_precision(device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision is torch.float16)
    average, clock, last = math.nan, time.monotonic(), first
    with Interrupt(ranks) as interrupt:
        for step in range(first, settings.steps):
            weight, (inputs, target) = ranks.share(*stream[step])
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step, settings)
            with torch.autocast(device.type, dtype=precision, enabled=precision is not torch.float32):
                logits = network(inputs)
            loss = weight * functional.cross_entropy(logits.float(), target)
            optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(optimiser)
            scaler.update()
            # A single process leaves the loss on the device: to ask for each would make it wait for each step.
            lost = loss.detach() if ranks.alone else interrupt.total(loss.item() / ranks.world)[0]
            average = lost if step == first else average + 0.02 * (lost - average)
            last = step + 1
            if progress and last % 20 == 0:
                progress({"step": last, "loss": float(average)})
            if ranks.first and (last % 500 == 0 or last == settings.steps):
                _save(out / CHECKPOINT, classes, optimiser, last, origin)
                row = {"step": last, "seconds": round(time.monotonic() - clock, 1), "loss": round(float(average), 4)}
                row |= recall(encoder, library, checked, recipe, levels[0])
                _log(out / LOG, row)
                if progress:
                    progress({key: float(value) for key, value in row.items()})
            if ranks.first and interrupt.asked:
                _save(out / CHECKPOINT, classes, optimiser, last, origin)
            interrupt.obey(out / CHECKPOINT)
    encoder.eval()
    return encoder


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
    overwrite: bool = False,
    device: Device = "auto",
    threads: int | None = None,
    compiled: bool = False,
    scans: int = 1500,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """The library file `source` to the model folder `out`: train, export, check, encode the library, calibrate on `scans` simulated scans.

    Returns the metrics in config.json. Raises LibraryError for an unfit library and ModelError where the folder is taken (see
    `classifier.check_folder`), where the exported network answers otherwise than
    the trained one, or where CUDA was asked for and cannot be used. threads: of the CPU, all by default. compiled: as in `train_encoder`.
    Under torchrun the processes share the training; the first one does the rest, the others return no metrics.
    """
    ranks = ranks_of_environment()
    library, out, recipe = Library.load(source), Path(out), Recipe()
    if len(library) == 0:
        raise LibraryError(f"{source}: the library is empty, there is nothing to train on")
    settings = Settings(steps=steps, batch=batch, seed=seed)
    torch.set_num_threads(threads or max(1, usable_cores() // ranks.beside))
    where = pick_device(device)
    clock = time.monotonic()
    with training_alone(out, ranks):
        check_folder(out, resume, overwrite)
        with together(ranks, where):
            encoder = train_encoder(library, out, recipe, settings, resume=resume, device=where, compiled=compiled, progress=progress, ranks=ranks)
        if not ranks.first:
            return {}
        rows = held_out(library, recipe, settings)
        encoding: Device = "cpu" if device == "cpu" else "auto"  # that torch has a GPU does not mean that onnxruntime has one
        config: dict[str, Any] = {
            "kind": "encoder",
            "network": "encoder",
            "recipe": recipe.to_json(),
            "provenance": {
                "data": {"file": Path(source).name, "sha256": sha256(Path(source)), "entries": len(library), **library.attrs},
                "settings": asdict(settings),
                "hardness": [asdict(level) for level in TRAINED_ON],
                "xrdmatch": __version__,
                "torch": str(torch.__version__),
                "device": where.type,
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        }
        with new_model(out) as made:
            export_onnx(encoder, made / NETWORK)
            metrics: dict[str, Any] = {"onnx_parity": check_parity(encoder, made / NETWORK, ideal_inputs(library, rows[:32], recipe))}
            metrics["held_out_entries"] = len(rows) if len(rows) < len(library) else 0  # none: all other figures are of entries it was trained on
            finish_model(made, config, library, rows, metrics, recall(encoder, library, rows, recipe, TRAINED_ON[0]), seed, scans, encoding)
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
    index = ReferenceIndex.of(library, vectors)
    weights, quality = calibrate(model.with_index(index), rows, TrialPlan(scans, seed))
    metrics |= {**recalled, **quality}
    write_encoder(out, {**config, **{name: fitted.to_json() for name, fitted in weights.items()}, "metrics": metrics}, index)


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
    device = next(encoder.parameters()).device
    parts = [encoder(torch.from_numpy(part).to(device)).float().cpu().numpy() for part in np.array_split(inputs, max(1, len(inputs) // 256))]
    encoder.train()
    return np.concatenate(parts)


def recall(encoder: Encoder, library: Library, rows: NDArray[np.int64], recipe: Recipe, level: Hardness, number: int = 512) -> dict[str, float]:
    """Shares of measured-like patterns of `rows` whose own entry is first, among 5, 20 and 200 of the whole library."""
    rng = np.random.default_rng(1)
    asked = rng.choice(rows, number)
    counts, mask = measured_like(library, asked, recipe.grid, rng, level)
    queries = encode(encoder, recipe.apply_batch(counts, mask))
    better = np.zeros(number, dtype=int)
    own = np.einsum("kd,kd->k", queries, encode(encoder, ideal_inputs(library, asked, recipe)))
    for part in np.array_split(np.arange(len(library)), max(1, len(library) // 1024)):
        better += (queries @ encode(encoder, ideal_inputs(library, part, recipe)).T > own[:, None] + 1e-6).sum(axis=1)
    return {f"recall@{k}": round(float((better < k).mean()), 4) for k in (1, 5, 20, 200)}


def sha256_of(library: Library) -> str:
    """What tells one library from another: its ids and reflections."""
    digest = hashlib.sha256("\n".join(library.id.tolist()).encode())
    for values in (library.offsets, library.cell, library.intensity):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _save(path: Path, classes: Classes, optimiser: torch.optim.Optimizer, step: int, origin: Mapping[str, Any]) -> None:
    content = {"encoder": classes.encoder.state_dict(), "proxies": classes.proxies.data, "optimiser": optimiser.state_dict(), "step": step}
    save_checkpoint(path, {**content, "origin": dict(origin)})


def _restore(path: Path, classes: Classes, optimiser: torch.optim.Optimizer, origin: Mapping[str, Any]) -> int:
    """The step to go on with. Raises ModelError where the checkpoint is another training's; those of version 0.1 do not tell of what they are."""
    if not path.exists():
        return 0
    state = load_checkpoint(path)
    for name, value in state.get("origin", origin).items():
        if value != origin.get(name):
            said = "another library" if name == "entries" else f"{name} {value}, not {origin.get(name)}"
            raise ModelError(f"{path}: this training was begun with {said}; give the same to go on, or --overwrite to start anew")
    try:
        classes.encoder.load_state_dict(state["encoder"])
        classes.proxies.data.copy_(state["proxies"])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: the checkpoint is of another library or other settings; give --overwrite to start anew") from error


def _log(path: Path, row: dict[str, Any]) -> None:
    """Append a row, by writing the file anew: a process that is killed leaves no half of one."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ",".join(row) + "\n"
    with written(path) as part:
        part.write_text(before + ",".join(str(value) for value in row.values()) + "\n", encoding="utf-8")
