"""Examples to re-ranker: training, export into a model's folder, probabilities fitted anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from xrdmatch.errors import ModelError
from xrdmatch.model.folder import RERANKER, Model, write_config
from xrdmatch.system.arrays import Float64Array
from xrdmatch.training.distributed import Interrupt, ranks_of_environment
from xrdmatch.training.networks import Network, check_parity, export_onnx, fast_precision, pick_device
from xrdmatch.training.reranker_calibration import calibration_of, figures
from xrdmatch.training.reranker_data import Effects, Examples, batch
from xrdmatch.training.reranker_examples import files
from xrdmatch.training.reranker_network import Averaged, Reranker
from xrdmatch.training.run import RunOptions, load_checkpoint, save_checkpoint, training_alone

#: Parts of the examples: to train on, to fit probabilities on, and to measure on.
TRAIN, CALIBRATE, MEASURE = "train", "calibrate", "measure"
#: Where the training of each member lies until all are there: beside the checkpoint that the model's encoder may have left.
CHECKPOINT = "reranker-{}.pt"
#: Steps after which a training tells how it goes, and after which it writes its checkpoint.
TELL, RECORD = 20, 200
#: Gradients longer than this are shortened.
LONGEST_GRADIENT = 2.0


Progress = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Settings:
    """What one training is made of; stored with the model. steps: of each member. batch: scans, of which each gives a few candidates. members:
    networks that are trained one after the other, with the seeds from `seed` on, and averaged. Raises ValueError for numbers out of their range.
    """

    steps: int = 6000
    batch: int = 96
    members: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.1
    seed: int = 0
    effects: Effects = field(default_factory=Effects)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.members < 1:
            raise ValueError(f"steps, batch, members >= 1 are expected, got {self}")

    @property
    def alone(self) -> list[Settings]:
        """The settings of each member's own training."""
        return [replace(self, members=1, seed=self.seed + member) for member in range(self.members)]


def train_reranker(
    source: str | Path,
    out: str | Path,
    settings: Settings | None = None,
    run: RunOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The folder of examples `source` to the re-ranker of the model in `out`, with probabilities fitted on examples that it was not trained on.

    Returns the metrics in config.json. Raises ModelError where `out` holds no model with an encoder, where it has a re-ranker already and `run` does
    not say to replace it, or where the exported network answers otherwise than the trained one; LibraryError without examples of any part.
    """
    settings, run, out, clock = settings or Settings(), run or RunOptions(), Path(out), time.monotonic()
    model = _model_of(out, run)
    device = pick_device(run.device)
    places = list(files(Path(source)))
    run.set_threads(ranks_of_environment())
    with training_alone(out, ranks_of_environment()):
        network = _averaged(Examples.load(places, TRAIN), out, settings, run, device, progress)
        learn, check = (Examples.load(places, part) for part in (CALIBRATE, MEASURE))
        some = np.arange(min(16, len(learn)))
        export_onnx(network, out / RERANKER)
        parity = check_parity(network, out / RERANKER, learn.inputs(some, np.zeros_like(some)))
        weights = calibration_of(learn, logits_of(network, learn))
        metrics: dict[str, Any] = {"reranker_parity": parity} | figures(weights, check, logits_of(network, check))
        config = {**model.config, "calibration": weights.to_json(), "metrics": {**model.config.get("metrics", {}), **metrics}}
        told = {"settings": asdict(settings), "files": len(places), "date": datetime.now(UTC).date().isoformat()}
        write_config(out, {**config, "reranker": told})
        for member in range(settings.members):
            (out / CHECKPOINT.format(member)).unlink(missing_ok=True)
    return metrics | {"seconds": round(time.monotonic() - clock, 1)}


def _model_of(folder: Path, run: RunOptions) -> Model:
    model = Model.load(folder, "cpu")
    if not ranks_of_environment().alone:
        raise ModelError("the re-ranker is trained by one process; start it without torchrun")
    if model.kind != "encoder":
        raise ModelError(f"{folder}: a re-ranker looks at what an encoder recalls, and this is a classifier")
    if (folder / RERANKER).is_file() and not run.overwrite:
        raise ModelError(f"{folder}: already has a re-ranker; give --overwrite to replace it")
    return model


def _averaged(examples: Examples, out: Path, settings: Settings, run: RunOptions, device: torch.device, progress: Progress | None) -> Network:
    """All members, each trained or gone on with, as one network."""

    def after(steps: int) -> Progress | None:
        return None if progress is None else lambda now: progress({**now, "step": now["step"] + steps})

    members = [
        _trained(examples, out / CHECKPOINT.format(number), alone, run, device, after(number * settings.steps))
        for number, alone in enumerate(settings.alone)
    ]
    return members[0] if len(members) == 1 else Averaged(members).eval()


def _trained(
    examples: Examples,
    checkpoint: Path,
    settings: Settings,
    run: RunOptions,
    device: torch.device,
    progress: Progress | None,
) -> Reranker:
    """A fresh network trained, or the one of the checkpoint trained on."""
    torch.manual_seed(settings.seed)
    network = Reranker()
    network.fit_scaling(examples.numbers[examples.label >= 0])
    network.to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, settings.steps, pct_start=settings.warmup)
    parts = {"network": network, "optimiser": optimiser, "rate": rate}
    step = _restored(checkpoint, parts, len(examples), settings) if run.resume else 0
    spread, loss = network.spread.cpu().numpy().astype(float), 0.0
    network.train()
    with Interrupt() as interrupt:
        while step < settings.steps:
            rng = np.random.default_rng([settings.seed, step])
            scans = rng.integers(len(examples), size=settings.batch)
            inputs, labels = (part.to(device) for part in batch(examples, scans, rng, spread, settings.effects))
            value = _take_step(network, optimiser, inputs, labels)
            rate.step()
            step += 1
            loss = value if step == 1 else loss + 0.02 * (value - loss)
            if progress and step % TELL == 0:
                progress({"step": step, "loss": loss})
            if step % RECORD == 0 or step == settings.steps or interrupt.asked:
                save_checkpoint(checkpoint, _state(parts) | {"step": step, "scans": len(examples), "settings": _told(settings)})
            interrupt.obey(checkpoint)
    network.eval().cpu()
    return network


def _take_step(network: nn.Module, optimiser: torch.optim.Optimizer, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    # float16, of GPUs before Ampere, would need scaled gradients, which so small a network is not worth.
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=fast_precision(inputs.device) is torch.bfloat16):
        logits = network(inputs)[:, 0]
    loss = functional.binary_cross_entropy_with_logits(logits.float(), labels)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
    optimiser.step()
    return float(loss.item())


def _state(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part.state_dict() for name, part in parts.items()}


def _told(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in asdict(settings).items() if name != "effects"}


def _restored(path: Path, parts: Mapping[str, Any], scans: int, settings: Settings) -> int:
    """The step to go on with. Raises ModelError where the checkpoint is another training's."""
    if not path.exists():
        return 0
    state = load_checkpoint(path)
    if state.get("scans") != scans or state.get("settings") != _told(settings):
        raise ModelError(f"{path}: this training was begun with other examples or other settings; give the same to go on, or --overwrite")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])


def logits_of(network: Network, examples: Examples, at_once: int = 512) -> Float64Array:
    """The network's answers (n, k) to all candidates of examples; NaN where there is none."""
    found = np.full(examples.label.shape, np.nan)
    scan, candidate = np.nonzero(examples.label >= 0)
    with torch.no_grad():
        for first in range(0, len(scan), at_once):
            part = slice(first, first + at_once)
            found[scan[part], candidate[part]] = network(torch.from_numpy(examples.inputs(scan[part], candidate[part])))[:, 0].numpy()
    return found
