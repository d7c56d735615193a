"""Augmented set to model folder: the training loop, its checkpoints and log, the export and its check.

The defaults are the paper's: 4:1 split, Adam at 1e-3, batches of 128, 50 epochs. A model folder in the making holds checkpoint.pt (to resume from)
and training.csv (one row per epoch); when training is done, model.onnx (the epoch of least validation loss) and config.json.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
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
from xrdmatch.model.folder import CONFIG, LIBRARY, NETWORK, new_model, write_config
from xrdmatch.model.session import Device
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.system import atomic_files
from xrdmatch.system.parallel import usable_cores
from xrdmatch.training.distributed import Interrupt, Ranks, ranks_of_environment, together
from xrdmatch.training.networks import Wang2020, check_parity, export_onnx, half_precision, pick_device
from xrdmatch.training.training_set import AugmentedSet, Rows
from xrdmatch.version import __version__

NETWORKS = {"wang2020": Wang2020}
Precision = Literal["float32", "bfloat16"]

CHECKPOINT_MINUTES = 10.0  # longest time whose work a power cut can take
PARITY_ROWS = 32  # validation patterns the exported network is checked with
CHECKPOINT, LOG = "checkpoint.pt", "training.csv"
#: Batches after which a GPU is asked for the loss: to ask after each would make it wait for the host.
ASK = 20


@dataclass(frozen=True)
class Settings:
    """What a training run is made of, besides its data and its length."""

    network: str = "wang2020"
    batch: int = 128
    lr: float = 1e-3
    seed: int = 0
    validation: float = 0.2
    precision: Precision = "float32"


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
    *,
    network: str = "wang2020",
    epochs: int = 50,
    batch: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
    validation: float = 0.2,
    precision: Precision | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: Device = "auto",
    threads: int | None = None,
    compiled: bool = False,
    recipe: Mapping[str, Any] | None = None,
    library: Library | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a classifier on the augmented set `source` and write the model folder.

    validation: share of rows, drawn by `seed`, that is only measured on. precision: bfloat16 computes in half the bits, which is faster;
    by default it is taken on a GPU (float16 with scaled gradients where that has no units for it), float32 on a CPU. compiled: by torch.compile.
    resume: go on from the folder's checkpoint if there is one; epochs may differ, all else must be the same. threads: of the CPU, all by default;
    on a machine that is busy with other work, 1 is much faster than several that wait for each other.
    recipe: how measured patterns become input, stored in config.json; by default min-max scaling on the set's grid. library: the labels' structures.

    Ctrl-C finishes the batch, saves a checkpoint and raises KeyboardInterrupt. Raises LibraryError for an unfit set; ModelError where CUDA is asked
    for and absent, the checkpoint does not fit, the folder is taken (see `check_folder`), or the exported network differs from the trained one.
    Under torchrun each process takes a share of every batch; the first one writes.
    """
    where = pick_device(device)
    settings = Settings(network, batch, lr, seed, validation, precision or ("bfloat16" if where.type == "cuda" else "float32"))
    if network not in NETWORKS or epochs < 1 or batch < 1 or not 0 < validation < 1:
        raise ValueError(
            f"a network of {', '.join(NETWORKS)}, epochs, batch >= 1 and 0 < validation < 1 are expected, got {settings}, {epochs} epochs"
        )
    ranks = ranks_of_environment()
    torch.set_num_threads(threads or max(1, usable_cores() // ranks.beside))
    torch.manual_seed(seed)
    folder = Path(folder)
    with AugmentedSet(source) as data, training_alone(folder, ranks):
        check_folder(folder, resume, overwrite)
        steps = default_recipe(data) if recipe is None else dict(recipe)
        rows = Rows(data, validation, seed)
        with together(ranks, where), Interrupt(ranks) as interrupt:
            run = Run.start(folder, settings, rows, where, ranks, resume, epochs, compiled)
            while run.epoch < epochs:
                run.train(rows, epochs, interrupt, progress)
                run.validate(rows, epochs, interrupt, progress)
        return run.finish(rows, steps, library)


@dataclass
class Run:
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
    def start(
        cls, folder: Path, settings: Settings, rows: Rows, device: torch.device, ranks: Ranks, resume: bool, epochs: int, compiled: bool
    ) -> Run:
        """A fresh run, or the one in the folder's checkpoint if there is one to resume."""
        network = NETWORKS[settings.network](len(rows.data.ids), rows.data.points).to(device)
        optimiser = torch.optim.Adam(network.parameters(), lr=settings.lr, eps=1e-7, fused=True)  # eps as in Keras
        run = cls(
            folder,
            settings,
            sha256(rows.data.path),
            device,
            ranks,
            network,
            ranks.parallel(torch.compile(network) if compiled else network),
            optimiser,
        )
        path = folder / CHECKPOINT
        if resume and path.is_file():
            run.restore(path)
        else:
            network.fit_scaling(*rows.limits())
        if not ranks.first:
            torch.manual_seed(hash((settings.seed, ranks.rank, run.epoch, run.batch)))  # dropout of its own
        folder.mkdir(parents=True, exist_ok=True)
        return run

    def train(self, rows: Rows, epochs: int, interrupt: Interrupt, progress: Callable[[Progress], None] | None) -> None:
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
                progress(Progress(self.epoch, epochs, self.batch, total, self.loss / self.seen, self.seen / self.seconds))
            if interrupt.asked or now - self.saved > 60 * CHECKPOINT_MINUTES:
                self.save(epochs)
            interrupt.obey(self.folder / CHECKPOINT)

    def here(self, array: NDArray[Any]) -> Tensor:
        """An array on the device; the host does not wait until it has come to a GPU."""
        values = torch.from_numpy(array)
        return values.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else values

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, rows: Rows, epochs: int, interrupt: Interrupt, progress: Callable[[Progress], None] | None) -> None:
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
                self.save(epochs)
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
        self.save(epochs)
        if self.ranks.first:
            write_log(self.folder / LOG, self.history)
        if progress:
            total = rows.batches(self.settings.batch)
            progress(Progress(self.epoch - 1, epochs, total, total, loss, rate, metrics))

    def save(self, epochs: int) -> None:
        """Write the checkpoint; what is needed to go on as if nothing had happened."""
        if not self.ranks.first:
            return
        content = {name: getattr(self, name) for name in ("fingerprint", "epoch", "batch", "loss", "seen", "seconds", "history", "best")}
        content |= {"settings": asdict(self.settings), "epochs": epochs, "random": torch.get_rng_state()}
        content |= {"weights": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        if self.device.type == "cuda":
            content["cuda_random"] = torch.cuda.get_rng_state(self.device)
        save_checkpoint(self.folder / CHECKPOINT, content)
        self.saved = time.monotonic()

    def restore(self, path: Path) -> None:
        """Go back to a checkpoint. Raises ModelError where it is another data set's, or other settings'."""
        content = load_checkpoint(path)
        if "fingerprint" not in content:
            raise ModelError(f"{path}: this is no training of {self.settings.network}; give another folder, or start anew with --overwrite")
        if content["fingerprint"] != self.fingerprint:
            raise ModelError(f"{path}: made with another augmented set; give the same one, or start anew with --overwrite")
        for name, value in asdict(self.settings).items():
            if content["settings"][name] != value:
                raise ModelError(
                    f"{path}: made with {name} {content['settings'][name]}, now it is {value}; give the same, or start anew with --overwrite"
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
                    "settings": {**asdict(self.settings), "epochs": len(self.history)},
                    "xrdmatch": __version__,
                    "torch": str(torch.__version__),
                    "device": self.device.type,
                    "date": datetime.now(UTC).isoformat(timespec="seconds"),
                },
            }
            write_config(made, config)
        return Trained(self.folder, len(self.history), metrics, parity)


def check_folder(folder: Path, resume: bool, overwrite: bool) -> None:
    """Raises ModelError where the folder holds a model, or a training that was not finished, that is neither gone on with nor replaced."""
    unfinished = (folder / CHECKPOINT).is_file()
    held = "a model" if (folder / CONFIG).is_file() else "an unfinished training" if unfinished else ""
    if held and not overwrite and not (resume and unfinished):
        ways = "--resume to go on with it, " if unfinished else ""
        raise ModelError(f"{folder}: holds {held} already; give {ways}--overwrite to replace it, or another folder")


@contextlib.contextmanager
def training_alone(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Raises ModelError where another training runs in the folder, or where it cannot be written. Of several processes the first one asks."""
    if not ranks.first:
        yield
        return
    try:
        with atomic_files.writing(folder, ModelError), atomic_files.folder_lock(folder, ".training.lock", wait=False):
            yield
    except atomic_files.Busy as error:
        raise ModelError(f"{folder}: another training runs in this folder; wait for it, or choose another folder") from error


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


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """torch.save, whole or not at all. Raises ModelError where it cannot be written."""
    # By way of memory: torch's own writer ends in a RuntimeError where the disk is full.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with written(path) as part:
        part.write_bytes(buffer.getbuffer())


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """`atomic_files.atomic_write` that raises ModelError where the place cannot be written."""
    with atomic_files.writing(path, ModelError), atomic_files.atomic_write(path) as part:
        yield part


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote; tensors and plain values only, never code. Raises ModelError where it is damaged."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises nearly anything, with torch's advice on how to load it all the same
        raise ModelError(f"{path}: the checkpoint is damaged, or no checkpoint; start anew with --overwrite") from error
    return content


def write_log(path: Path, history: list[dict[str, float]]) -> None:
    """One CSV row per epoch; written whole, so that it never disagrees with the checkpoint."""
    with written(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
