"""The fields of an ONNX file, and what it may not do: take its weights out of other files.

A tensor of an ONNX file can point to a file by name, also to one outside the model's folder, and the runtime reads what it finds there. Our networks
are single files, so that any such pointer is refused before the runtime sees the file. Needs no ONNX library: field numbers are those of onnx.proto3,
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterator

#: Message -> field number -> the message within. Only fields that can lead to a tensor.
_FIELDS = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor; the location is 0 where its data stand within
_DEPTH = 40


def external_data(data: bytes) -> str:
    """The first name of another file that a tensor points to, "?" where it has none, "" where all is within. Raises ValueError for damaged bytes."""
    return next(_pointers(memoryview(data), "Model", 0), "")


def _pointers(data: memoryview, message: str, depth: int) -> Iterator[str]:
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    within = _FIELDS[message]
    for field, value in fields(data):
        if isinstance(value, int):
            if message == "Tensor" and field == _DATA_LOCATION and value != 0:
                yield "?"
        elif message == "Tensor" and field == _EXTERNAL_DATA:
            yield _text(value)
        elif field in within:
            yield from _pointers(value, within[field], depth + 1)


def _text(entry: memoryview) -> str:
    """The value of a pair of key and value."""
    values = [bytes(value) for field, value in fields(entry) if field == 2 and not isinstance(value, int)]
    return values[0][:100].decode("utf-8", "replace") if values else "?"


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and content of each field of a protocol buffer message; numbers of fixed width are passed over."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
            yield tag >> 3, value
        elif kind == 2:
            size, at = varint(data, at)
            if size > len(data) - at:
                raise ValueError("breaks off")
            yield tag >> 3, data[at : at + size]
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"field of kind {kind}")


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The integer that begins at `at`, and where it ends. Raises ValueError where it breaks off."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("breaks off")
