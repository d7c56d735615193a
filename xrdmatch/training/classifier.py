"""Augmented set to model folder: the training loop, its checkpoints and log, the export and its check.

The defaults are the paper's: 4:1 split, Adam at 1e-3, batches of 128, 50 epochs. A model folder in the making holds checkpoint.pt (to resume from)
and training.csv (one row per epoch); when training is done, model.onnx (the epoch of least validation loss) and config.json.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.errors import LibraryError, ModelError
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import LIBRARY, NETWORK, new_model, write_config
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.training.distributed import Interrupt, Ranks, ranks_of_environment, together
from xrdmatch.training.networks import Wang2020, check_parity, export_onnx, half_precision, pick_device
from xrdmatch.training.run import CHECKPOINT, LOG, RunOptions, check_folder, load_checkpoint, save_checkpoint, sha256, training_alone, written
from xrdmatch.training.training_set import AugmentedSet, Rows
from xrdmatch.version import __version__

NETWORKS = {"wang2020": Wang2020}
Precision = Literal["float32", "bfloat16"]

CHECKPOINT_MINUTES = 10.0  # longest time whose work a power cut can take
PARITY_ROWS = 32  # validation patterns the exported network is checked with
#: Batches after which a GPU is asked for the loss: to ask after each would make it wait for the host.
ASK = 20


@dataclass(frozen=True)
class Settings:
    """How a classifier is trained, the defaults as in the paper. Raises ValueError for numbers out of their range and for an unknown network.

    validation: share of rows, drawn by `seed`, that is only measured on. precision: bfloat16 computes in half the bits, which is faster; by default
    it is taken on a GPU (float16 with scaled gradients where that has no units for it), float32 on a CPU.
    """

    network: str = "wang2020"
    batch: int = 128
    lr: float = 1e-3
    seed: int = 0
    validation: float = 0.2
    precision: Precision | None = None
    epochs: int = 50

    def __post_init__(self) -> None:
        if self.network not in NETWORKS or self.epochs < 1 or self.batch < 1 or not 0 < self.validation < 1:
            raise ValueError(f"a network of {', '.join(NETWORKS)}, epochs, batch >= 1 and 0 < validation < 1 are expected, got {self}")

    def on(self, device: torch.device) -> Settings:
        """The same with the precision that this device computes in."""
        return replace(self, precision=self.precision or ("bfloat16" if device.type == "cuda" else "float32"))

    def to_json(self) -> dict[str, Any]:
        """What has to be the same where a training is gone on with: all but its length."""
        return {name: value for name, value in asdict(self).items() if name != "epochs"}


@dataclass(frozen=True)
class Progress:
    """Where training stands, given to the callback after each batch; `metrics` only after an epoch's validation."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    rate: float  # patterns per second
    metrics: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Trained:
    """A finished training: the folder, the best epoch's metrics, and the largest difference between torch and ONNX."""

    folder: Path
    epochs: int
    metrics: Mapping[str, float]
    parity: float


def train_classifier(
    source: str | Path,
    folder: str | Path,
    settings: Settings | None = None,
    run: RunOptions | None = None,
    library: Library | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a classifier on the augmented set `source` and write the model folder.

    Where it is resumed, the epochs may differ, and all other settings must be the same. library: the labels' structures.

    Ctrl-C finishes the batch, saves a checkpoint and raises KeyboardInterrupt. Raises LibraryError for an unfit set; ModelError where CUDA is asked
    for and absent, the checkpoint does not fit, the folder is taken (see `check_folder`), or the exported network differs from the trained one.
    Under torchrun each process takes a share of every batch; the first one writes.
    """
    run, folder, ranks = run or RunOptions(), Path(folder), ranks_of_environment()
    where = pick_device(run.device)
    settings = (settings or Settings()).on(where)
    run.set_threads(ranks)
    torch.manual_seed(settings.seed)
    with AugmentedSet(source) as data, training_alone(folder, ranks):
        check_folder(folder, run)
        recipe = default_recipe(data)
        rows = Rows(data, settings.validation, settings.seed)
        with together(ranks, where), Interrupt(ranks) as interrupt:
            training = Training.start(folder, settings, rows, run, where, ranks)
            while training.epoch < settings.epochs:
                training.train(rows, interrupt, progress)
                training.validate(rows, interrupt, progress)
        return training.finish(rows, recipe, library)


@dataclass
class Training:
    """A training in progress: everything a checkpoint holds."""

    folder: Path
    settings: Settings
    fingerprint: str
    device: torch.device
    ranks: Ranks
    network: Wang2020
    parallel: torch.nn.Module
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    loss: float = 0.0  # summed over this epoch's patterns
    seen: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    saved: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, folder: Path, settings: Settings, rows: Rows, run: RunOptions, device: torch.device, ranks: Ranks) -> Training:
        """A fresh training, or the one in the folder's checkpoint if there is one to resume."""
        network = NETWORKS[settings.network](len(rows.data.ids), rows.data.points).to(device)
        optimiser = torch.optim.Adam(network.parameters(), lr=settings.lr, eps=1e-7, fused=True)  # eps as in Keras
        parallel = ranks.parallel(torch.compile(network) if run.compiled else network)
        training = cls(folder, settings, sha256(rows.data.path), device, ranks, network, parallel, optimiser)
        path = folder / CHECKPOINT
        if run.resume and path.is_file():
            training.restore(path)
        else:
            network.fit_scaling(*rows.limits())
        if not ranks.first:
            torch.manual_seed(hash((settings.seed, ranks.rank, training.epoch, training.batch)))  # dropout of its own
        folder.mkdir(parents=True, exist_ok=True)
        return training

    def train(self, rows: Rows, interrupt: Interrupt, progress: Callable[[Progress], None] | None) -> None:
        """The rest of this epoch's batches."""
        self.network.train()
        total, world = rows.batches(self.settings.batch), self.ranks.world
        half = half_precision(self.device)
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.precision == "bfloat16" and half is torch.float16)
        every = ask_after(self.device, self.ranks)
        waiting, clock = torch.zeros((), device=self.device), time.monotonic()
        for number, (x, y) in enumerate(rows.training(self.epoch, self.settings.batch)):
            if number < self.batch:
                clock = time.monotonic()
                continue
            weight, (own, labels) = self.ranks.share(self.here(x), self.here(y).long())
            with torch.autocast(self.device.type, dtype=half, enabled=self.settings.precision == "bfloat16"):
                logits = self.parallel(own.float())
            loss = weight * self.network.loss(logits.float(), labels)
            self.optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(self.optimiser)
            scaler.update()
            waiting += loss.detach() * (len(y) / world)
            self.batch, self.seen = number + 1, self.seen + len(y)
            if self.batch % every and self.batch < total and not interrupt.asked:
                continue
            (lost,) = interrupt.total(float(waiting))
            self.loss += lost
            waiting.zero_()
            now = time.monotonic()
            self.seconds, clock = self.seconds + now - clock, now
            if progress:
                progress(Progress(self.epoch, self.settings.epochs, self.batch, total, self.loss / self.seen, self.seen / self.seconds))
            if interrupt.asked or now - self.saved > 60 * CHECKPOINT_MINUTES:
                self.save()
            interrupt.obey(self.folder / CHECKPOINT)

    def here(self, array: NDArray[Any]) -> Tensor:
        """An array on the device; the host does not wait until it has come to a GPU."""
        values = torch.from_numpy(array)
        return values.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else values

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, rows: Rows, interrupt: Interrupt, progress: Callable[[Progress], None] | None) -> None:
        """Measure the epoch on the validation rows, log it, keep it where it is the best, and go to the next."""
        self.network.eval()
        sums = np.zeros(4)  # patterns, loss, right first, right among the first five
        for number, (x, y) in enumerate(rows.validation(4 * self.settings.batch)):
            if number % self.ranks.world != self.ranks.rank:
                continue
            labels = self.here(y).long()
            logits = self.network(self.here(x).float())
            rank = (logits > logits.gather(1, labels[:, None])).sum(dim=1)
            sums += [len(y), float(self.network.loss(logits, labels)) * len(y), int((rank < 1).sum()), int((rank < 5).sum())]
            if interrupt.asked:
                self.save()
            interrupt.obey(self.folder / CHECKPOINT)
        sums = np.array(interrupt.total(*sums))
        rate, loss = self.seen / self.seconds, self.loss / self.seen
        metrics = {
            "epoch": self.epoch + 1,
            "loss": loss,
            "val_loss": sums[1] / sums[0],
            "val_top1": sums[2] / sums[0],
            "val_top5": sums[3] / sums[0],
            "patterns_per_second": rate,
            "seconds": self.seconds,
        }
        metrics = {name: float(value) for name, value in metrics.items()}
        if not self.history or metrics["val_loss"] < min(row["val_loss"] for row in self.history):
            self.best = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
        self.history.append(metrics)
        self.epoch, self.batch, self.loss, self.seen, self.seconds = self.epoch + 1, 0, 0.0, 0, 0.0
        self.save()
        if self.ranks.first:
            write_log(self.folder / LOG, self.history)
        if progress:
            total = rows.batches(self.settings.batch)
            progress(Progress(self.epoch - 1, self.settings.epochs, total, total, loss, rate, metrics))

    def save(self) -> None:
        """Write the checkpoint; what is needed to go on as if nothing had happened."""
        if not self.ranks.first:
            return
        content = {name: getattr(self, name) for name in ("fingerprint", "epoch", "batch", "loss", "seen", "seconds", "history", "best")}
        content |= {"settings": self.settings.to_json(), "epochs": self.settings.epochs, "random": torch.get_rng_state()}
        content |= {"weights": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        if self.device.type == "cuda":
            content["cuda_random"] = torch.cuda.get_rng_state(self.device)
        save_checkpoint(self.folder / CHECKPOINT, content)
        self.saved = time.monotonic()

    def restore(self, path: Path) -> None:
        """Go back to a checkpoint. Raises ModelError where it is another data set's, or other settings'."""
        content = load_checkpoint(path)
        if "fingerprint" not in content:
            raise ModelError(f"{path}: this is no training of {self.settings.network}; give another folder, or start again with --overwrite")
        if content["fingerprint"] != self.fingerprint:
            raise ModelError(f"{path}: made with another augmented set; give that one to go on, or start again with --overwrite")
        for name, value in self.settings.to_json().items():
            if content["settings"][name] != value:
                raise ModelError(
                    f"{path}: made with {name} {content['settings'][name]}, now it is {value}; give that to go on, or start again with --overwrite"
                )
        for name in ("epoch", "batch", "loss", "seen", "seconds", "history", "best"):
            setattr(self, name, content[name])
        self.network.load_state_dict(content["weights"])
        self.optimiser.load_state_dict(content["optimiser"])
        torch.set_rng_state(content["random"])
        if self.device.type == "cuda" and "cuda_random" in content:
            torch.cuda.set_rng_state(content["cuda_random"], self.device)

    def finish(self, rows: Rows, recipe: Mapping[str, Any], library: Library | None) -> Trained:
        """Put the best epoch into the folder. Raises ModelError where the exported network does not answer as the trained one."""
        metrics = min(self.history, key=lambda row: row["val_loss"])
        if not self.ranks.first:
            return Trained(self.folder, len(self.history), metrics, float("nan"))
        self.network.load_state_dict(self.best)
        with new_model(self.folder) as made:
            export_onnx(self.network, made / NETWORK)
            parity = check_parity(self.network, made / NETWORK, next(rows.validation(PARITY_ROWS))[0])
            if library is not None:
                library.save(made / LIBRARY)
            config = {
                "kind": "classifier",
                "network": self.settings.network,
                "labels": rows.data.ids,
                "recipe": dict(recipe),
                "metrics": {**metrics, "onnx_parity": parity},
                "provenance": {
                    "data": {"file": rows.data.path.name, "sha256": self.fingerprint, "rows": len(rows.data), **rows.data.provenance},
                    "settings": {**self.settings.to_json(), "epochs": len(self.history)},
                    "xrdmatch": __version__,
                    "torch": str(torch.__version__),
                    "device": self.device.type,
                    "date": datetime.now(UTC).isoformat(timespec="seconds"),
                },
            }
            write_config(made, config)
        return Trained(self.folder, len(self.history), metrics, parity)


def ask_after(device: torch.device, ranks: Ranks) -> int:
    """Batches after which the loss is asked for. A CPU has it at hand, and several processes have to agree after each batch."""
    return ASK if device.type == "cuda" and ranks.alone else 1


def default_recipe(data: AugmentedSet) -> dict[str, Any]:
    """Min-max scaling on the grid the set was made on."""
    stated = data.provenance.get("grid")
    grid = Grid(**stated) if stated else Grid()
    if grid.size != data.points:
        raise LibraryError(
            f"{data.path}: patterns of {data.points} points do not lie on the set's grid of {grid.size}, {grid.start} to {grid.stop} deg"
        )
    return Recipe(kind="minmax", grid=grid).to_json()


def write_log(path: Path, history: list[dict[str, float]]) -> None:
    """One CSV row per epoch; written whole, so that it never disagrees with the checkpoint."""
    with written(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)
