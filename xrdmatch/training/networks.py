"""The 1-D networks and their ONNX export.

Both networks share an interface: `features(patterns)` gives the last convolution's activation, `head(activation)` the raw answer used in training,
`answer(head)` what a user sees, and `output` its name in the ONNX file. `forward` is head after features. Patterns are (batch, channels, points)
float32, as the recipe makes them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from xrdmatch.errors import ModelError
from xrdmatch.model.session import Device, open_session
from xrdmatch.system import atomic_files
from xrdmatch.training.distributed import BatchNorm

INPUT, ACTIVATION = "pattern", "activation"  # names in the ONNX file, beside each network's `output`
OPSET = 17
PARITY = 1e-4  # largest difference allowed between torch and ONNX


def pick_device(device: Device) -> torch.device:
    """The torch device. Raises ModelError where CUDA is asked for and torch cannot use it."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"cannot train on CUDA: torch {torch.__version__} finds no usable GPU. Use --device cpu or auto")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def half_precision(device: torch.device) -> torch.dtype:
    """bfloat16, whose range needs no scaling; float16 on a GPU before Ampere."""
    return torch.bfloat16 if device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def has_half_precision(device: torch.device) -> bool:
    """Whether the device has units for half precision. A CPU without them emulates bfloat16, which takes some ten times as long as float32."""
    has: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    return device.type == "cuda" or bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def fast_precision(device: torch.device) -> torch.dtype:
    """Half precision where the device has units for it, otherwise float32."""
    return half_precision(device) if has_half_precision(device) else torch.float32


class Network(nn.Module):  # type: ignore[misc]
    """What the networks share: input shape, and the way from patterns to an answer."""

    output = "output"

    def __init__(self, points: int, channels: int) -> None:
        super().__init__()
        self.points, self.channels = points, channels

    def features(self, patterns: Tensor) -> Tensor:
        """(batch, channels, points) -> the last convolution's activation (batch, filters, positions), after its ReLU."""
        raise NotImplementedError

    def head(self, activation: Tensor) -> Tensor:
        """Activation -> the raw answer the loss is computed on."""
        raise NotImplementedError

    def answer(self, head: Tensor) -> Tensor:
        """Raw answer -> what is exported."""
        return head

    def forward(self, patterns: Tensor) -> Tensor:
        return self.head(self.features(patterns))


class Dropout(nn.Module):  # type: ignore[misc]
    """`torch.nn.Dropout`, whose draws take half of the training time of a small network on a CPU; here they are bytes, compared with a limit.

    share: of values set to 0, in steps of 1/256; the others grow so that the mean stays. torch's random state decides, as for `torch.nn.Dropout`.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.limit = round(256 * share)

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return values
        if values.device.type != "cpu":
            return functional.dropout(values, self.limit / 256)
        seed = int(torch.randint(2**62, ()))
        drawn = np.frombuffer(np.random.Generator(np.random.SFC64(seed)).bytes(values.numel()), dtype=np.uint8) >= self.limit
        mask = torch.empty_like(values)  # keeps the order in memory, so that neither side is copied
        mask.as_strided((values.numel(),), (1,)).copy_(torch.from_numpy(drawn))
        return values * mask.mul_(256 / (256 - self.limit))


class Wang2020(Network):
    """The reference CNN of Wang et al., J. Chem. Inf. Model. 2020, 60, 2004, as in its authors' published script.

    (batch, 1, points) -> `head`: logits (batch, classes); `answer`: probabilities. The min-max scaling per 2theta column that is fitted on the
    training set (`fit_scaling`) belongs to the network, so that it takes patterns as the recipe makes them.
    """

    output = "probability"
    FILTERS = ((6,), (16, 16), (32, 32), (64, 64))  # of the convolutions between two poolings
    KERNEL = 5
    DENSE = (120, 84)
    DROPOUT = 0.2
    ACTIVITY = 0.1  # weight of the L2 activity penalty on the probabilities

    def __init__(self, classes: int, points: int = 2251, channels: int = 1) -> None:
        super().__init__(points, channels)
        self.register_buffer("low", torch.zeros(channels, points))
        self.register_buffer("span", torch.ones(channels, points))
        layers: list[nn.Module] = []
        # Patterns are images of height 1 with channels innermost: a CPU convolves those several times faster than nn.Conv1d does.
        for block in self.FILTERS:
            for filters in block:
                layers += [nn.Conv2d(channels, filters, (1, self.KERNEL)), nn.ReLU()]
                channels, points = filters, points - self.KERNEL + 1
            layers += [nn.MaxPool2d((1, 2)), Dropout(self.DROPOUT)]
            points //= 2
        if points < 1:
            raise ValueError(f"a pattern of {self.points} points is too short for this network")
        # The last pooling and dropout open the head, so that `features` ends at the last convolution.
        self.trunk = nn.Sequential(*layers[:-2])
        wide, narrow = self.DENSE
        self.top = nn.Sequential(
            *layers[-2:], nn.Flatten(), nn.Linear(channels * points, wide), nn.ReLU(), nn.Linear(wide, narrow), nn.ReLU(), nn.Linear(narrow, classes)
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):  # Keras' defaults
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        self.to(memory_format=torch.channels_last)

    def fit_scaling(self, low: ArrayLike, high: ArrayLike) -> None:
        """Take the training set's smallest and largest value of each column, (channels, points) each; a constant column is only shifted."""
        least = torch.as_tensor(np.asarray(low, dtype=np.float32)).reshape(self.low.shape)
        span = torch.as_tensor(np.asarray(high, dtype=np.float32)).reshape(self.low.shape) - least
        self.low.copy_(least)
        self.span.copy_(torch.where(span > 0, span, torch.ones_like(span)))

    def features(self, patterns: Tensor) -> Tensor:
        scaled = ((patterns - self.low) / self.span).unsqueeze(2)
        activation: Tensor = self.trunk(scaled.contiguous(memory_format=torch.channels_last))
        return activation.squeeze(2)

    def head(self, activation: Tensor) -> Tensor:
        logits: Tensor = self.top(activation.unsqueeze(2))
        return logits

    def answer(self, head: Tensor) -> Tensor:
        return functional.softmax(head, dim=1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Categorical cross-entropy plus the activity penalty, both averaged over the batch. logits (batch, classes), labels (batch,)."""
        penalty = self.ACTIVITY * self.answer(logits).square().sum(dim=1).mean()
        return functional.cross_entropy(logits, labels) + penalty


class Encoder(Network):
    """A strided CNN: (batch, channels, points) -> unit vector (batch, dim); patterns of one structure lie close together.

    The first layer steps by 4 points, so all later ones work on a quarter of the pattern: that is what makes it fast on a CPU. Batch
    normalisation folds into the convolutions when exported.
    """

    output = "vector"
    LAYERS = ((64, 16, 4), (128, 5, 2), (256, 5, 2), (256, 5, 2))  # filters, kernel, stride

    def __init__(self, points: int, channels: int = 2, dim: int = 192) -> None:
        super().__init__(points, channels)
        layers: list[nn.Module] = []
        for filters, kernel, stride in self.LAYERS:
            pad = kernel // 2
            layers += [nn.Conv1d(channels, filters, kernel, stride, pad, bias=False), BatchNorm(filters), nn.ReLU()]
            channels, points = filters, (points + 2 * pad - kernel) // stride + 1
        self.trunk = nn.Sequential(*layers)
        self.top = nn.Sequential(nn.Flatten(), nn.Linear(channels * points, dim))

    def features(self, patterns: Tensor) -> Tensor:
        activation: Tensor = self.trunk(patterns)
        return activation

    def head(self, activation: Tensor) -> Tensor:
        vector: Tensor = self.top(activation)
        return vector / vector.norm(dim=1, keepdim=True).clamp_min(1e-12)


class _Exported(nn.Module):  # type: ignore[misc]
    """Answer and activation side by side."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        activation = self.network.features(patterns)
        return self.network.answer(self.network.head(activation)), activation


def export_onnx(network: Network, path: str | Path, example: ArrayLike | None = None) -> None:
    """Write `network` as one ONNX file with input `pattern` and outputs `network.output` and `activation`, for any batch size.

    `example`: patterns (batch, channels, points) to trace with, zeros by default. The network's own mode (training or not) stays as it was.
    """
    buffer = io.BytesIO()
    shape = (2, network.channels, network.points)
    patterns = torch.zeros(shape) if example is None else torch.as_tensor(np.asarray(example, dtype=np.float32))
    patterns = patterns.to(next(network.parameters()).device)
    training = network.training
    names = [INPUT, network.output, ACTIVATION]
    try:
        with warnings.catch_warnings():
            # dynamo=False: the newer exporter needs onnxscript, leaves batch normalisation unfolded and splits weights off the file.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                _Exported(network.eval()),
                (patterns,),
                buffer,
                input_names=names[:1],
                output_names=names[1:],
                dynamic_axes={name: {0: "batch"} for name in names},
                opset_version=OPSET,
                dynamo=False,
            )
    finally:
        network.train(training)
    with atomic_files.writing(path, ModelError), atomic_files.atomic_write(path) as part:
        part.write_bytes(buffer.getbuffer())


def onnx_parity(network: Network, path: str | Path, patterns: ArrayLike) -> float:
    """Largest absolute difference between `network` and the ONNX file at `path` over both outputs for `patterns` (batch, channels, points)."""
    batch = np.asarray(patterns, dtype=np.float32)
    session = open_session(path, "cpu")
    training = network.training
    with torch.no_grad():
        wanted = _Exported(network.eval())(torch.as_tensor(batch).to(next(network.parameters()).device))
    network.train(training)
    got = (session.run(batch, name) for name in (network.output, ACTIVATION))
    return max(float(np.abs(a.cpu().numpy() - b).max()) for a, b in zip(wanted, got, strict=True))


def check_parity(network: Network, path: str | Path, patterns: ArrayLike) -> float:
    """`onnx_parity`, but raises ModelError above `PARITY`."""
    difference = onnx_parity(network, path, patterns)
    if not difference <= PARITY:
        raise ModelError(f"{path}: the exported network differs from the trained one by {difference:.2g}, more than {PARITY:g}; do not use it")
    return difference
