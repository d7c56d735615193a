"""Several processes that train one network: torchrun starts them, each takes its share of every batch, the first one writes.

    torchrun --nproc-per-node 2 -m xrdmatch train library.h5 -o model

Gradients, losses and the statistics of batch normalisation are those of the whole batch, so that the number of processes changes the speed and not
the result. Without torchrun there is one process, and nothing here costs anything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, distributed, nn

from xrdmatch.errors import ModelError


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together: rank of world; local: its number, and beside: how many there are, on this machine."""

    rank: int = 0
    world: int = 1
    local: int = 0
    beside: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.world == 1

    def share(self, *arrays: Any) -> tuple[float, list[Any]]:
        """This process's patterns of a batch (n, ...), and what their mean loss is multiplied by so that the mean over the processes is the batch's.

        A process that is left without any gets the first, and weight 0: it has to take part in the step.
        """
        size = len(arrays[0])
        if self.rank >= size:
            return 0.0, [array[:1] for array in arrays]
        own = [array[self.rank :: self.world] for array in arrays]
        return self.world * len(own[0]) / size, own

    def sum(self, *values: float) -> list[float]:
        """Sums over all processes, which have to ask at the same time for as many."""
        if self.alone:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device="cuda" if distributed.get_backend() == "nccl" else "cpu")
        distributed.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network to train: its gradients become the means over all processes."""
        return network if self.alone else nn.parallel.DistributedDataParallel(network)


def ranks_of_environment() -> Ranks:
    """As torchrun says."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return Ranks(*(int(os.environ[name]) for name in names)) if all(name in os.environ for name in names) else Ranks()


@contextlib.contextmanager
def together(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Connects the processes while the block runs: over NCCL on GPUs, one each, and over gloo on CPUs.

    Raises ModelError where they do not find each other.
    """
    if ranks.alone:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(ranks.local)
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:  # DistStoreError and its like are RuntimeErrors
        raise ModelError(f"the processes that torchrun started cannot reach each other: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


class Interrupt:
    """Turns the first Ctrl-C into a wish, so that a step is never left half done; the second raises at once. Does nothing outside the main thread.

    Of several processes any may be asked, and torchrun passes Ctrl-C on once more: they agree in `total`, and stop after the same step.
    """

    def __init__(self, ranks: Ranks | None = None) -> None:
        self.ranks = ranks or Ranks()
        self.asked = False
        self._wish = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked and self.ranks.alone:
            raise KeyboardInterrupt
        self._wish = True
        self.asked = self.asked or self.ranks.alone

    def total(self, *values: float) -> list[float]:
        """Sums over all processes; and whether one of them was asked to stop."""
        *sums, wishes = self.ranks.sum(*values, float(self._wish))
        self.asked = wishes > 0
        return sums

    def obey(self, checkpoint: Path) -> None:
        """Raise KeyboardInterrupt where one was asked for; the caller has saved."""
        if self.asked:
            raise KeyboardInterrupt(f"training stopped; {checkpoint} is saved, go on with --resume")


class _Sum(torch.autograd.Function):  # type: ignore[misc]
    """The sum of a tensor over all processes; each one's gradient is the sum of all of theirs."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(context, gradients[0])


class BatchNorm(nn.BatchNorm1d):  # type: ignore[misc]
    """Batch normalisation over the patterns (batch, channels, points) of all processes. torch's own such layer does not run on CPUs."""

    def forward(self, values: Tensor) -> Tensor:
        if not (self.training and distributed.is_available() and distributed.is_initialized()):
            return super().forward(values)
        own = values.float()
        count = torch.full((1,), float(own.shape[0] * own.shape[2]), device=own.device)
        total = _Sum.apply(torch.cat([count, own.sum(dim=(0, 2)), own.square().sum(dim=(0, 2))]))
        number, (mean, square) = total[0], (total[1:] / total[0]).chunk(2)
        variance = (square - mean.square()).clamp_min(0.0)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * number / (number - 1), self.momentum)
        scale = self.weight / (variance + self.eps).sqrt()
        return (own * scale[:, None] + (self.bias - mean * scale)[:, None]).to(values.dtype)
