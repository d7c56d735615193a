"""What follows a network's last convolution, read from its ONNX file and computed in numpy: outputs, and their gradients.

onnxruntime runs a graph forward only and lends no weights; Grad-CAM needs the gradient of an answer with respect to the activation. The heads of
`xrdmatch.training.networks` are a pooling or none and a few dense layers, whose gradient takes a few lines. An ONNX file is a protocol buffer
(`xrdmatch.model.onnx_fields`); of it this reads nodes, their integers, and weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xrdmatch.errors import ModelError
from xrdmatch.model.onnx_fields import fields, varint
from xrdmatch.system.arrays import Float64Array

#: Field numbers of onnx.proto.
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_INPUT, _OUTPUT, _OP, _ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 3, 8
_DIMS, _DATA_TYPE, _FLOAT_DATA, _TENSOR_NAME, _RAW_DATA = 1, 2, 4, 8, 9
_TYPES = {1: "<f4", 10: "<f2"}


@dataclass(frozen=True)
class Node:
    """One operation of the graph: its kind, the names of its inputs and outputs, its integer attributes."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    numbers: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Head:
    """pool: whether neighbours are pooled by two first. layers: weights (out, in) and biases (out,), with ReLU between them.

    jump, start: point of the network's input at the centre of activation position i is start + jump * i.
    """

    pool: bool
    layers: list[tuple[Float64Array, Float64Array]]
    jump: float
    start: float

    def answer(self, activation: Float64Array) -> Float64Array:
        """Output (k,) of the last dense layer for one activation (filters, positions)."""
        return self._forward(activation)[-1]

    def gradient(self, activation: Float64Array, direction: Float64Array) -> Float64Array:
        """Gradient (filters, positions) of the last layer's output along `direction` (k,) with respect to the activation."""
        values = self._forward(activation)
        slope = direction
        for (weight, _), after in zip(reversed(self.layers), reversed(values[1:]), strict=True):
            if after is not values[-1]:
                slope = slope * (after > 0)
            slope = slope @ weight
        if not self.pool:
            return slope.reshape(activation.shape)
        pairs = self._pairs(activation)
        chosen = pairs.argmax(axis=2)
        spread = np.zeros_like(pairs)
        np.put_along_axis(spread, chosen[:, :, None], slope.reshape(pairs.shape[:2])[:, :, None], axis=2)
        result = np.zeros_like(activation)
        result[:, : 2 * pairs.shape[1]] = spread.reshape(len(activation), -1)
        return result

    def _forward(self, activation: Float64Array) -> list[Float64Array]:
        """The flattened activation, and each layer's values after its ReLU; the last layer has none."""
        values = [(self._pairs(activation).max(axis=2) if self.pool else activation).ravel()]
        for weight, bias in self.layers:
            values.append(weight @ values[-1] + bias)
            if len(values) <= len(self.layers):
                values[-1] = np.maximum(values[-1], 0.0)
        return values

    @staticmethod
    def _pairs(activation: Float64Array) -> Float64Array:
        half = activation.shape[1] // 2
        return activation[:, : 2 * half].reshape(len(activation), half, 2)


def read_head(path: Path) -> Head:
    """The head of a network that `xrdmatch train` wrote. Raises ModelError where the file cannot be read or has another build."""
    try:
        nodes, weights = read_graph(memoryview(path.read_bytes()))
        return _head(nodes, weights)
    except (OSError, ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: expected a network written by xrdmatch train, but its layers are not understood ({error})") from error


def _head(nodes: list[Node], weights: dict[str, Float64Array]) -> Head:
    last = max(place for place, node in enumerate(nodes) if node.kind == "Conv")
    jump, start = 1.0, 0.0
    for node in nodes[: last + 1]:
        if node.kind in ("Conv", "MaxPool"):  # of images of height 1, the last number is the width's
            kernel, stride = node.numbers["kernel_shape"][-1], node.numbers.get("strides", [1])[-1]
            sides = node.numbers.get("pads", [0, 0])
            start += jump * (0.5 * (kernel - 1) - sides[len(sides) // 2 - 1])
            jump *= stride
    tail = nodes[last + 1 :]
    layers = []
    for node in tail:
        if node.kind == "Gemm":
            weight = weights[node.inputs[1]]
            weight = weight if node.numbers.get("transB", [0])[0] else weight.T
            layers.append((weight, weights[node.inputs[2]]))
    if not layers:
        raise ValueError("no dense layer follows the last convolution")
    return Head(any(node.kind == "MaxPool" for node in tail), layers, jump, start)


# --- The file


def read_graph(content: memoryview) -> tuple[list[Node], dict[str, Float64Array]]:
    """Nodes in order, and the floating-point weights by name. Raises ValueError where `content` is no ONNX model."""
    graph = next((value for number, value in fields(content) if number == _GRAPH and isinstance(value, memoryview)), None)
    if graph is None:
        raise ValueError("no graph in it")
    nodes, weights = [], {}
    for number, value in fields(graph):
        if number == _NODE and isinstance(value, memoryview):
            nodes.append(_node(value))
        elif number == _INITIALIZER and isinstance(value, memoryview):
            name, array = _tensor(value)
            if array is not None:
                weights[name] = array
    return nodes, weights


def _node(content: memoryview) -> Node:
    node = Node("", [], [])
    kind = ""
    for number, value in fields(content):
        if not isinstance(value, memoryview):
            continue
        if number == _INPUT:
            node.inputs.append(_text(value))
        elif number == _OUTPUT:
            node.outputs.append(_text(value))
        elif number == _OP:
            kind = _text(value)
        elif number == _ATTRIBUTE:
            name, numbers = _attribute(value)
            node.numbers[name] = numbers
    return Node(kind, node.inputs, node.outputs, node.numbers)


def _attribute(content: memoryview) -> tuple[str, list[int]]:
    name, numbers = "", []
    for number, value in fields(content):
        if number == _ATTRIBUTE_NAME and isinstance(value, memoryview):
            name = _text(value)
        elif number in (_ATTRIBUTE_INT, _ATTRIBUTE_INTS):
            numbers += _integers(value)
    return name, numbers


def _tensor(content: memoryview) -> tuple[str, Float64Array | None]:
    """Name and values; None for what is not floating point."""
    name, shape, kind, raw = "", [], 0, b""
    for number, value in fields(content):
        if number == _DIMS:
            shape += _integers(value)
        elif number == _DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_NAME and isinstance(value, memoryview):
            name = _text(value)
        elif number in (_RAW_DATA, _FLOAT_DATA) and isinstance(value, memoryview):
            raw += bytes(value)
    if kind not in _TYPES:
        return name, None
    return name, np.frombuffer(raw, dtype=_TYPES[kind]).astype(float).reshape(shape)


def _integers(value: int | memoryview) -> list[int]:
    """One integer, or several packed into bytes; two's complement of 64 bits."""
    if isinstance(value, int):
        found = [value]
    else:
        found, place = [], 0
        while place < len(value):
            one, place = varint(value, place)
            found.append(one)
    return [one - (1 << 64) if one >= 1 << 63 else one for one in found]


def _text(value: memoryview) -> str:
    return bytes(value).decode()
