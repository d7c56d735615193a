"""Library to encoder: streamed measured-like patterns, a cosine softmax over the library's groups of like patterns, export.

The encoder learns to place a measured pattern beside the noise-free pattern of its structure. Some groups are held out and never trained on: the
log's recall is measured on them, so that it says what happens to a structure that is added later.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
from xrdmatch.training.distributed import Interrupt, Ranks, ranks_of_environment, together
from xrdmatch.training.effects_numpy import HARD, MIDDLE, Hardness, measured_like
from xrdmatch.training.effects_torch import Lines, network_input
from xrdmatch.training.effects_torch import ideal as ideal_on_device
from xrdmatch.training.effects_torch import measured_like as measured_on_device
from xrdmatch.training.fit_probability import TrialPlan, calibrate
from xrdmatch.training.networks import Encoder, check_parity, export_onnx, fast_precision, pick_device
from xrdmatch.training.run import CHECKPOINT, LOG, RunOptions, check_folder, load_checkpoint, save_checkpoint, sha256, training_alone, written
from xrdmatch.version import __version__

#: Share of groups that are never trained on.
HELD_OUT = 0.03
#: Hardness of the measured-like patterns: each level makes an equal part of every batch.
TRAINED_ON = (MIDDLE, HARD)
#: Steps after which a training tells how it goes, and after which it writes log and checkpoint.
TELL, RECORD = 20, 500


@dataclass(frozen=True)
class Settings:
    """What one training run is made of; stored with the model. Raises ValueError for numbers out of their range."""

    steps: int = 9000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 300
    clean: float = 0.125  # share of a batch that is noise-free, so that library vectors lie among the measured ones
    scale: float = 24.0  # inverse temperature of the cosine softmax
    dim: int = 192
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not 0.0 <= self.clean <= 1.0:
            raise ValueError(f"steps, batch >= 1 and 0 <= clean <= 1 are expected, got {self}")


class Stream:
    """Batches of training patterns by their step, made on the device that trains.

    labels: (n,) class of each entry of the library, below 0 for those that are not trained on. levels: each makes an
    equal part of every batch.

    One step is always the same for one seed and device (on a GPU to rounding), so that a resumed run goes on where it stopped.
    """

    def __init__(
        self,
        library: Library,
        labels: NDArray[np.int64],
        recipe: Recipe,
        settings: Settings,
        levels: Sequence[Hardness] = TRAINED_ON,
        device: torch.device | str = "cpu",
    ) -> None:
        self.rows, self.recipe, self.settings, self.levels = np.flatnonzero(labels >= 0), recipe, settings, levels
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
    settings: Settings | None = None,
    run: RunOptions | None = None,
    recipe: Recipe | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> Encoder:
    """Train on `library`, keep checkpoint.pt and training.csv in `out`, return the trained encoder.

    Runs in the device's `fast_precision`, float16 with scaled gradients. Under torchrun each process takes its share of every batch; the first one
    writes. `out` is taken as it is: `check_folder` says whether it may be.
    """
    settings, run, ranks = settings or Settings(), run or RunOptions(), ranks_of_environment()
    device = pick_device(run.device)
    run.set_threads(ranks)
    with together(ranks, device):
        training = Training.start(library, out, settings, run, recipe or Recipe(), device)
        with Interrupt(ranks) as interrupt:
            while training.step < settings.steps:
                training.take_step(interrupt)
                training.record(interrupt, progress)
    encoder = training.classes.encoder
    encoder.eval()
    return encoder


@dataclass
class Training:
    """A training in progress: what its steps need, and how far it has come."""

    library: Library
    out: Path
    checked: NDArray[np.int64]  # rows that the log's recall is measured on
    stream: Stream
    classes: Classes
    network: nn.Module  # the classes, compiled and shared among processes as asked
    optimiser: torch.optim.Optimizer
    scaler: Any
    precision: torch.dtype
    ranks: Ranks
    origin: Mapping[str, Any]  # what has to be the same where it is gone on with
    step: int = 0  # steps that are done
    loss: Any = None  # its running mean; of a single process on the device
    begun: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, library: Library, out: Path, settings: Settings, run: RunOptions, recipe: Recipe, device: torch.device) -> Training:
        """A fresh training, or the one in the folder's checkpoint if there is one to resume."""
        ranks = ranks_of_environment()
        torch.manual_seed(settings.seed)
        labels = like_patterns(library, recipe)
        trained, checked = _split(labels, settings.seed)
        classes = Classes(Encoder(recipe.grid.size, recipe.channels, settings.dim), int(labels.max()) + 1, settings).to(device)
        weights = [*classes.encoder.parameters(), classes.proxies]
        optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        out.mkdir(parents=True, exist_ok=True)
        origin = {"entries": sha256_of(library), **{name: value for name, value in asdict(settings).items() if name != "steps"}}
        step = _restore(out / CHECKPOINT, classes, optimiser, origin) if run.resume else 0
        network = ranks.parallel(torch.compile(classes) if run.compiled else classes)
        if step == 0 and ranks.first:
            (out / LOG).unlink(missing_ok=True)
        own = np.where(np.isin(np.arange(labels.size), trained), labels, -1)
        stream = Stream(library, own, recipe, settings, device=device)
        precision = fast_precision(device)
        scaler = torch.amp.GradScaler(device.type, enabled=precision is torch.float16)
        return cls(library, out, checked, stream, classes, network, optimiser, scaler, precision, ranks, origin, step)

    def take_step(self, interrupt: Interrupt) -> None:
        """One batch."""
        settings, device = self.stream.settings, self.stream.labels.device.type
        weight, (inputs, target) = self.ranks.share(*self.stream[self.step])
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(self.step, settings)
        with torch.autocast(device, dtype=self.precision, enabled=self.precision is not torch.float32):
            logits = self.network(inputs)
        loss = weight * functional.cross_entropy(logits.float(), target)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        # A single process leaves the loss on the device: to ask for each would make it wait for each step.
        lost = loss.detach() if self.ranks.alone else interrupt.total(loss.item() / self.ranks.world)[0]
        self.loss = lost if self.loss is None else self.loss + 0.02 * (lost - self.loss)
        self.step += 1

    def record(self, interrupt: Interrupt, progress: Callable[[dict[str, float]], None] | None) -> None:
        """Tell how it goes, now and then; write log and checkpoint, less often and where it is interrupted."""
        if progress and self.step % TELL == 0:
            progress({"step": self.step, "loss": float(self.loss)})
        due = self.step % RECORD == 0 or self.step == self.stream.settings.steps
        if self.ranks.first and (due or interrupt.asked):
            _save(self.out / CHECKPOINT, self.classes, self.optimiser, self.step, self.origin)
        if self.ranks.first and due:
            row = {"step": self.step, "seconds": round(time.monotonic() - self.begun, 1), "loss": round(float(self.loss), 4)}
            row |= recall(self.classes.encoder, self.library, self.checked, self.stream.recipe, self.stream.levels[0])
            _log(self.out / LOG, row)
            if progress:
                progress({key: float(value) for key, value in row.items()})
        interrupt.obey(self.out / CHECKPOINT)


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
    settings: Settings | None = None,
    run: RunOptions | None = None,
    scans: int = 1500,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """The library file `source` to the model folder `out`: train, export, check, encode the library, calibrate on `scans` simulated scans.

    Returns the metrics in config.json. Raises LibraryError for an unfit library and ModelError where the folder is taken (see `check_folder`), where
    the exported network answers otherwise than the trained one, or where CUDA was asked for and cannot be used.
    Under torchrun the processes share the training; the first one does the rest, the others return no metrics.
    """
    settings, run, ranks = settings or Settings(), run or RunOptions(), ranks_of_environment()
    library, out, recipe = Library.load(source), Path(out), Recipe()
    if len(library) == 0:
        raise LibraryError(f"{source}: the library is empty, there is nothing to train on")
    clock = time.monotonic()
    config = {"kind": "encoder", "network": "encoder", "recipe": recipe.to_json(), "provenance": _provenance(Path(source), library, settings, run)}
    encoding: Device = "cpu" if run.device == "cpu" else "auto"  # that torch has a GPU does not mean that onnxruntime has one
    with training_alone(out, ranks):
        check_folder(out, run)
        encoder = train_encoder(library, out, settings, run, recipe, progress)
        if not ranks.first:
            return {}
        rows = held_out(library, recipe, settings)
        with new_model(out) as made:
            export_onnx(encoder, made / NETWORK)
            metrics: dict[str, Any] = {"onnx_parity": check_parity(encoder, made / NETWORK, ideal_inputs(library, rows[:32], recipe))}
            metrics["held_out_entries"] = len(rows) if len(rows) < len(library) else 0  # none: all other figures are of entries it was trained on
            metrics |= recall(encoder, library, rows, recipe, TRAINED_ON[0])
            finish_model(Model(made, config, encoding), library, rows, TrialPlan(scans, settings.seed), metrics)
    metrics["seconds"] = round(time.monotonic() - clock, 1)
    return metrics


def _provenance(source: Path, library: Library, settings: Settings, run: RunOptions) -> dict[str, Any]:
    """How and of what a model was made, as its config.json tells."""
    return {
        "data": {"file": source.name, "sha256": sha256(source), "entries": len(library), **library.attrs},
        "settings": asdict(settings),
        "hardness": [asdict(level) for level in TRAINED_ON],
        "xrdmatch": __version__,
        "torch": str(torch.__version__),
        "device": pick_device(run.device).type,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def finish_model(model: Model, library: Library, rows: NDArray[np.int64], plan: TrialPlan, metrics: dict[str, Any]) -> None:
    """Encode the library with the exported network in the model's folder, calibrate on simulated scans of `rows`, write the folder: once, when all is
    known. The calibration's quality is added to `metrics`."""
    vectors = model.encode(ideal_inputs(library, np.arange(len(library)), model.recipe)).astype(np.float16).astype(np.float32)  # as they are stored
    index = ReferenceIndex.of(library, vectors)
    weights, quality = calibrate(model.with_index(index), rows, plan)
    metrics |= quality
    write_encoder(model.path, {**model.config, **{name: fitted.to_json() for name, fitted in weights.items()}, "metrics": metrics}, index)


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
            raise ModelError(f"{path}: this training was begun with {said}; give the same to go on, or --overwrite to start again")
    try:
        classes.encoder.load_state_dict(state["encoder"])
        classes.proxies.data.copy_(state["proxies"])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: the checkpoint is of another library or other settings; give --overwrite to start again") from error


def _log(path: Path, row: dict[str, Any]) -> None:
    """Append a row, by writing the file anew: a process that is killed leaves no half of one."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ",".join(row) + "\n"
    with written(path) as part:
        part.write_text(before + ",".join(str(value) for value in row.values()) + "\n", encoding="utf-8")
