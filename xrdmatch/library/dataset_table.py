"""Where the datasets of a library file lie, so that they are mapped into memory as they stand, without HDF5.

A library is an HDF5 file whose datasets are neither compressed nor cut into chunks. It begins with a user block: bytes that HDF5 leaves to whoever
writes the file (HDF5 File Format Specification 3.0, section II). Ours holds a line of text and JSON, with spaces up to the block's end:

    xrdmatch table 1 LENGTH CHECKSUM
    {"format": ..., "format_version": ..., "provenance": {...}, "datasets": {NAME: [TYPE, SHAPE, OFFSET], ...}}

LENGTH is that of the JSON. CHECKSUM is the CRC-32 of the JSON and of all that lies behind the block and in no dataset: HDF5's own description of the
file. So a table is only believed in the file it was written for; after a change by any other program the file is read by HDF5.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Texts of each entry that every library has, and those that a file has where they say something of an entry at least.
TEXTS, OPTIONAL_TEXTS = ("id", "name", "formula", "source", "doi", "note"), ("linkers", "linker_formulas", "net", "category", "title", "title_kind")
#: Numbers of each entry that libraries made by version 0.2 or later have, and its framework and composition, each with the names of all of them.
NUMBERS, LEVELS = ("scale", "cell_mass"), ("framework", "composition")
#: The types that a dataset may have in a file (S: texts of any length), and its number of dimensions.
TYPES: Mapping[str, tuple[tuple[str, ...], int]] = {
    **dict.fromkeys((*TEXTS, *OPTIONAL_TEXTS, "family_name"), (("S",), 1)),
    "cell": (("<f8",), 2),
    "offsets": (("<i8",), 1),
    "hkl": (("|i1", "<i2"), 2),
    "intensity": (("<f2",), 1),
    "family": (("<i4",), 1),
    **dict.fromkeys(LEVELS, (("<i4",), 1)),
    **{f"{level}_name": (("S",), 1) for level in LEVELS},
    **dict.fromkeys(NUMBERS, (("<f4",), 1)),
    "vectors": (("<f2",), 2),
    "lookup": (("<u2",), 3),
}
#: Of these a library may do without.
OPTIONAL = ("vectors", "lookup", *OPTIONAL_TEXTS, *NUMBERS, *LEVELS, *(f"{level}_name" for level in LEVELS))
#: Datasets begin at multiples of so many bytes, the length of a cache line.
ALIGNMENT = 64
#: What HDF5 begins with, and the smallest user block it allows; a larger one is this times a power of two.
SIGNATURE, SMALLEST = b"\x89HDF\r\n\x1a\n", 512
#: Longest JSON that is read; most of it is what a writer says of the library's origin.
LONGEST = 10_000_000

_FIRST_LINE = re.compile(rb"xrdmatch table 1 ([0-9]{8}) ([0-9a-f]{8})\n")
_FIRST_LENGTH = len(b"xrdmatch table 1 00000000 00000000\n")
_TEXT = re.compile(r"\|S[1-9][0-9]{0,5}")


@dataclass(frozen=True, eq=False)
class Contents:
    """What a library file holds: its datasets by name, and its attributes."""

    datasets: Mapping[str, NDArray[Any]]
    format: str
    version: int
    provenance: dict[str, Any]


def block_size(datasets: Mapping[str, NDArray[Any]], head: Mapping[str, Any]) -> int:
    """Bytes of the user block that the table of these datasets fits into."""
    needed = _FIRST_LENGTH + len(_json(datasets, dict.fromkeys(datasets, 10**15), head))
    size = SMALLEST
    while size < needed:
        size *= 2
    return size


def put_table(image: memoryview, datasets: Mapping[str, NDArray[Any]], offsets: Mapping[str, int], head: Mapping[str, Any]) -> None:
    """Write the table into the user block of a file (its bytes), once all else is there. head: format, format_version and provenance."""
    start = block_size(datasets, head)
    text = _json(datasets, offsets, head).ljust(start - _FIRST_LENGTH)
    extents = [(offsets[name], values.nbytes) for name, values in datasets.items() if values.size]
    image[:start] = b"xrdmatch table 1 %08d %08x\n" % (len(text), _checksum(image, text, start, extents)) + text


def may_begin(first: bytes) -> bool:
    """Whether a file that begins like this (512 bytes are enough) may have a table."""
    return _FIRST_LINE.match(first) is not None


def read_table(image: memoryview) -> Contents | None:
    """What a library file (its bytes) holds, as read-only views of those bytes; None where it has no table that describes it."""
    found = _FIRST_LINE.match(image[:_FIRST_LENGTH])
    start = _FIRST_LENGTH + int(found[1]) if found else 0
    if found is None or start > LONGEST or image[start : start + len(SIGNATURE)] != SIGNATURE:
        return None
    text = bytes(image[_FIRST_LENGTH:start])
    try:
        whole, extents = _contents(image, json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    apart = all(begin <= end for begin, end in _gaps(start, extents, len(image)))
    return whole if apart and _checksum(image, text, start, extents) == int(found[2], 16) else None


def _contents(image: memoryview, table: Any) -> tuple[Contents, list[tuple[int, int]]]:
    """What the table says, and offset and size of each dataset that is not empty. Raises one of many errors where it says what cannot be."""
    datasets = {name: _view(image, name, *place) for name, place in table["datasets"].items()}
    missing = set(TYPES) - set(OPTIONAL) - set(datasets)
    if missing or type(table["format_version"]) is not int or not isinstance(table["provenance"], dict):
        raise ValueError(f"no {missing}, or no version or provenance")
    extents = [(table["datasets"][name][2], values.nbytes) for name, values in datasets.items() if values.size]
    return Contents(datasets, str(table["format"]), table["format_version"], table["provenance"]), extents


def _json(datasets: Mapping[str, NDArray[Any]], offsets: Mapping[str, int], head: Mapping[str, Any]) -> bytes:
    places = {name: [values.dtype.str, list(values.shape), offsets[name]] for name, values in datasets.items()}
    return json.dumps({**head, "datasets": places}).encode()


def _view(image: memoryview, name: str, dtype: Any, shape: Any, offset: Any) -> NDArray[Any]:
    """One dataset. Raises ValueError or KeyError where it is not what a library holds, or does not lie within the file."""
    types, dimensions = TYPES[name]
    known = dtype in types or (types == ("S",) and _TEXT.fullmatch(dtype) is not None)
    numbers = [*shape, offset]
    if not known or len(shape) != dimensions or not all(type(number) is int and 0 <= number <= len(image) for number in numbers):
        raise ValueError(f"{name}: {dtype}, {shape}, {offset}")
    count = 1
    for size in shape:
        count *= size
    if count == 0:
        return np.empty(shape, dtype)
    kind = np.dtype(dtype)
    if offset % ALIGNMENT or offset + count * kind.itemsize > len(image):
        raise ValueError(f"{name} lies at {offset}")
    return np.frombuffer(image, kind, count, offset).reshape(shape)


def _gaps(start: int, extents: list[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    """From where to where a file holds no dataset, behind its user block; a gap ends before it begins where two datasets overlap."""
    gaps = []
    for offset, size in sorted(extents):
        gaps.append((start, offset))
        start = offset + size
    return [*gaps, (start, end)]


def _checksum(image: memoryview, text: bytes, start: int, extents: list[tuple[int, int]]) -> int:
    value = zlib.crc32(text)
    for begin, end in _gaps(start, extents, len(image)):
        value = zlib.crc32(image[begin:end], value)
    return value
