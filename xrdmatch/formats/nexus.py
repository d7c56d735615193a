"""NeXus and other HDF5 files of beamlines, read by a process of their own.

The HDF5 library is not made for damaged files: some make it loop for ever or fall over, and nothing within the same process can end that. So
`hdf5_patterns` takes the patterns out in a second process with limits of time and memory, which sends them back as JSON and plain numbers.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.abscissa import abscissa
from xrdmatch.formats.scan import MAX_POINTS, Scan, details, radiation

#: Seconds that a file may take, and bytes of an answer.
_SECONDS, _MAX_ANSWER = 20.0, 64_000_000
_DAMAGED = "is an HDF5 file that is damaged: is it still being written?"


def read(data: bytes) -> list[Scan]:
    """The patterns of an HDF5 file. Raises ReadError where it holds none, and says what it holds instead."""
    size = _stated_size(data)
    if size is None or size > len(data):
        raise UnfinishedError(f"is an HDF5 file that ends after {len(data)} bytes{f' of {size}' if size else ''}: is it still being written?")
    head, _, numbers = _answer(data).partition(b"\n")
    try:
        told = json.loads(head)
        if "error" in told:
            raise (UnfinishedError if told["unfinished"] else ReadError)(str(told["error"]))
        return _scans(told["patterns"], np.frombuffer(numbers, dtype="<f8"))
    except (ValueError, TypeError, LookupError):
        raise UnfinishedError(_DAMAGED) from None


def _stated_size(data: bytes) -> int | None:
    """Bytes that the file has by its superblock (HDF5 File Format Specification 3.0, section II.A); None where that is missing or of another kind."""
    places = {0: 40, 1: 44, 2: 28, 3: 28}
    version = data[8] if len(data) > 8 else -1
    if version not in places or len(data) < places[version] + 8 or data[13 if version < 2 else 9] != 8:
        return None
    return int(struct.unpack_from("<Q", data, places[version])[0])


def _answer(data: bytes) -> bytes:
    """What the second process says: a line of JSON, then numbers."""
    # -P: a module that lies beside the scans is never taken for one of Python's.
    command = [sys.executable, "-P", "-m", "xrdmatch.formats.hdf5_patterns"]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    try:
        done = subprocess.run(
            command,
            input=data,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "PYTHONPATH": paths, "HDF5_USE_FILE_LOCKING": "FALSE"},
        )
    except subprocess.TimeoutExpired:
        raise ReadError(
            f"is an HDF5 file that takes more than {_SECONDS:.0f} s to read: it may be damaged; if not, export the pattern alone"
        ) from None
    except OSError as error:
        raise ReadError(f"is an HDF5 file, which is read by another Python process, but that cannot be started ({error.strerror})") from None
    if done.returncode != 0 or len(done.stdout) > _MAX_ANSWER:
        raise UnfinishedError(_DAMAGED)
    return done.stdout


def _scans(patterns: list[dict[str, Any]], numbers: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[Scan]:
    scans: list[Scan] = []
    at = 0
    for pattern in patterns:
        size = int(pattern["size"])
        if not 0 < size <= MAX_POINTS or at + 2 * size > numbers.size:
            raise ValueError("sizes do not fit")
        positions, counts = numbers[at : at + size], numbers[at + size : at + 2 * size]
        at += 2 * size
        lines = [float(line) for line in pattern["wavelengths"]]
        wavelength, meta = radiation(*lines[:2])
        if wavelength is not None and len(lines) == 1:
            meta = {"wavelength_kind": "stated"}
        words = {key: str(value) for key, value in pattern["words"].items() if key in ("date", "sample", "range_name")}
        meta |= details(format=f"NeXus {pattern['words'].get('definition', '')}".strip(), **words)
        meant = abscissa(str(pattern["axis"]))
        scans.append(Scan(positions, counts, wavelength, "", meta, replace(meant, called=str(pattern["called"])) if meant else None))
    # An image's axes, an energy scan beside the pattern: only where nothing else is there do they say why the file is refused.
    usable = [scan for scan in scans if scan.abscissa is not None and scan.abscissa.angles is not None]
    return usable or scans
