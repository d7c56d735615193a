"""The re-ranking network: a scan and one adjusted candidate, side by side, to how likely both are of one structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from xrdmatch.search.candidate_view import CHANNELS, NUMBERS, POINTS
from xrdmatch.training.networks import Network

#: Numbers that the network is shown beside the signals. What similarities and shares of lines mean for unlike samples, simulated scans cannot tell;
#: and the network sees for itself what they are made of.
SHOWN = (
    "log_width_ratio",
    "log_detection_limit",
    "strain_penalty",
    "shift",
    "free_parameters",
    "log_near_families",
    "log_independent_lines",
)
#: Standard deviations at which a number is cut off.
FARTHEST = 4.0


class Reranker(Network):
    """(batch, CHANNELS, POINTS), as `candidate_view.View.inputs` makes them, to logits (batch, 1).

    Signals, mask, difference and product go through strided convolutions; numbers, scaled by their mean and spread in training, through two dense
    layers; the head sees mean and maximum over the pattern of both.
    """

    output = "logit"
    LAYERS = ((32, 9, 2), (48, 5, 2), (64, 5, 2), (96, 5, 2), (96, 3, 2))  # filters, kernel, stride
    NUMBERS_WIDTH, HEAD_WIDTH, DROPOUT = 32, 96, 0.2

    def __init__(self) -> None:
        super().__init__(POINTS, CHANNELS)
        self.register_buffer("middle", torch.zeros(len(NUMBERS)))
        self.register_buffer("spread", torch.ones(len(NUMBERS)))
        self.register_buffer("shown", torch.tensor([name in SHOWN for name in NUMBERS], dtype=torch.float32))
        layers: list[nn.Module] = []
        channels = 5
        for filters, kernel, stride in self.LAYERS:
            # Images of height 1 with channels innermost, as in `Wang2020`: twice as fast on a CPU as nn.Conv1d.
            layers += [nn.Conv2d(channels, filters, (1, kernel), (1, stride), (0, kernel // 2), bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
            channels = filters
        self.trunk = nn.Sequential(*layers)
        width = self.NUMBERS_WIDTH
        self.beside = nn.Sequential(nn.Linear(len(NUMBERS), width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        wide = 2 * (channels + width)
        self.top = nn.Sequential(nn.Linear(wide, self.HEAD_WIDTH), nn.ReLU(), nn.Dropout(self.DROPOUT), nn.Linear(self.HEAD_WIDTH, 1))
        self.to(memory_format=torch.channels_last)

    def fit_scaling(self, numbers: ArrayLike) -> None:
        """Take mean and spread of the numbers (n, len(NUMBERS)) of the training set."""
        values = torch.as_tensor(np.asarray(numbers, dtype=np.float32))
        self.middle.copy_(values.mean(dim=0))
        self.spread.copy_(values.std(dim=0).clamp_min(1e-3))

    def features(self, patterns: Tensor) -> Tensor:
        scan, candidate, mask = patterns[:, 0], patterns[:, 1], patterns[:, 2]
        signals = torch.stack([scan, candidate, mask, scan - candidate, torch.sqrt((scan * candidate).clamp_min(1e-9))], dim=1)
        numbers = (patterns[:, 3, : len(NUMBERS)] - self.middle) / self.spread
        beside = self.beside(numbers.clamp(-FARTHEST, FARTHEST) * self.shown)
        activation: Tensor = self.trunk(signals.unsqueeze(2).contiguous(memory_format=torch.channels_last)).squeeze(2)
        return torch.cat([activation, beside[:, :, None].expand(-1, -1, activation.shape[2])], dim=1)

    def head(self, activation: Tensor) -> Tensor:
        logits: Tensor = self.top(torch.cat([activation.mean(dim=2), activation.amax(dim=2)], dim=1))
        return logits


class Averaged(Network):
    """Several re-rankers, the mean of whose logits is the answer: one alone says much else of a scan that was counted again."""

    output = "logit"

    def __init__(self, members: Sequence[Reranker]) -> None:
        super().__init__(POINTS, CHANNELS)
        self.members = nn.ModuleList(members)

    def features(self, patterns: Tensor) -> Tensor:
        return torch.cat([member.features(patterns) for member in self.members], dim=1)

    def head(self, activation: Tensor) -> Tensor:
        parts = activation.chunk(len(self.members), dim=1)
        return torch.stack([member.head(part) for member, part in zip(self.members, parts, strict=True)]).mean(dim=0)
