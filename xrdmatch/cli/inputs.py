"""Measured files as people name them: paths, folders, patterns with * and ?, and - for standard input."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from xrdmatch.errors import ReadError, XrdMatchError
from xrdmatch.system import atomic_files

if TYPE_CHECKING:
    from concurrent.futures import Future
    from queue import SimpleQueue

    from xrdmatch.diffraction.pattern import Pattern

STDIN = "-"
PACKED = (".gz", ".bz2", ".xz", ".zip")

#: Files by device and number, whatever they are called.
Files = frozenset[tuple[int, int]]


def expand(given: Iterable[str], recursive: bool = False, omit: Files = frozenset()) -> Iterator[tuple[str, str]]:
    """(path, reason) of every file in the order given; reason says why there is nothing to read, else it is empty.

    A folder gives its files with a known ending, sorted, but for those in `omit`; * and ? are expanded where no file has that very name.
    """
    for name in given:
        if name == STDIN or os.path.isfile(name):
            yield name, ""
        elif os.path.isdir(name):
            found, closed = _folder(Path(name), recursive, omit)
            yield from ((file, "") for file in found)
            yield from ((str(folder), f"{folder}: this folder cannot be opened ({why}); check its permissions") for folder, why in closed)
            if not found and not closed:
                deeper = "" if recursive else "; --recursive looks into subfolders"
                yield name, f"{name}: no measured files in this folder (looked for {' '.join(_suffixes())}{deeper})"
        elif glob.has_magic(name) and not os.path.lexists(name):
            fitting = sorted(glob.glob(name, recursive=True))
            yield from expand(fitting, recursive, omit)
            if not fitting:
                yield name, f"{name}: no file fits this pattern"
        else:
            yield name, _absent(name)


def _suffixes() -> tuple[str, ...]:
    from xrdmatch.formats.registry import SUFFIXES

    return SUFFIXES


def _absent(name: str) -> str:
    """What to say of a file that is not there, with the names of its folder that are near; nothing where reading it will say what is wrong."""
    import difflib

    path = Path(name)
    if os.path.lexists(name) or not path.parent.is_dir():
        return ""
    try:
        there = os.listdir(path.parent)
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, there, 2, 0.75)
    names = " or ".join(str(path.with_name(other)) for other in near)
    return f"{name}: there is no such file; did you mean {names}?" if near else ""


def _folder(folder: Path, recursive: bool, omit: Files) -> tuple[list[str], list[tuple[Path, str]]]:
    """The measured files of a folder, sorted, and the folders in it that are closed to us, with the reason."""
    found: list[str] = []
    closed: list[tuple[Path, str]] = []
    for place, inner, names in os.walk(folder, onerror=lambda error: closed.append((Path(error.filename), atomic_files.reason(error)))):
        inner[:] = [name for name in inner if recursive and not name.startswith(".")]
        for item in (Path(place, name) for name in names if not name.startswith(".")):
            if item.is_file() and is_measured(item) and not (omit and _number(item.stat()) in omit):
                found.append(str(item))
    return sorted(found), sorted(closed)


def results_in(*places: Path | TextIO | None) -> Files:
    """The files that results go to, by path or open stream: in a folder that is identified or watched they are not scans."""
    found = set()
    for place in places:
        # A path may not exist yet, and a stream need not be a file.
        with contextlib.suppress(OSError, ValueError):
            if place is not None:
                found.add(_number(place.stat() if isinstance(place, Path) else os.fstat(place.fileno())))
    return frozenset(found)


def _number(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def is_measured(path: Path) -> bool:
    """Whether a folder's file is taken for a scan: by its ending, and a .cif by its powder tags; but not what xrdmatch itself has written there."""
    from xrdmatch.formats.own_results import HEAD, own_result

    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    if not name.endswith((*_suffixes(), ".cif")):
        return False
    try:
        with path.open("rb") as stream:
            return b"_pd_" in stream.read(1 << 20) if name.endswith(".cif") else not own_result(stream.read(HEAD))
    except OSError:
        return not name.endswith(".cif")  # reading it will say what is wrong


def read(path: str, range_index: int | None = None) -> Pattern:
    """The pattern in a file or on standard input."""
    from xrdmatch import formats

    if path == STDIN:
        return formats.parse(sys.stdin.buffer.read(), "standard input", formats.ReadOptions(range_index))
    return formats.read(path, formats.ReadOptions(range_index))


def load(path: str, range_index: int | None = None, reason: str = "") -> Pattern | XrdMatchError:
    """A file's pattern, or why there is none; `reason` says that there is nothing to read."""
    if reason:
        return ReadError(reason)
    try:
        return read(path, range_index)
    except XrdMatchError as error:
        return error
    except Exception as error:  # a defect of a reader must not stop a batch
        return defect(path, error)


def patterns(files: Iterable[tuple[str, str]], jobs: int, range_index: int | None = None) -> Iterator[tuple[str, Pattern | XrdMatchError]]:
    """Each file's pattern, or why there is none, in order. Some are read ahead by `jobs` threads, so that memory stays flat."""
    left = iter(files)
    first = list(islice(left, 2))
    if len(first) < 2:  # nothing to read ahead
        yield from ((path, load(path, range_index, reason)) for path, reason in first)
        return
    from concurrent.futures import Future
    from queue import SimpleQueue

    wanted: SimpleQueue[_Reading | None] = SimpleQueue()
    ahead: deque[_Reading] = deque()
    for _ in range(jobs):
        # Of those that the interpreter does not wait for at its end: a pipe that nobody writes to would hold it for ever.
        threading.Thread(target=_read_ahead, args=(wanted, range_index), daemon=True).start()
    try:
        for path, reason in chain(first, left):
            ahead.append(_Reading(path, reason, Future()))
            wanted.put(ahead[-1])
            if len(ahead) > 2 * jobs:
                yield ahead[0].path, ahead.popleft().pattern.result()
        while ahead:
            yield ahead[0].path, ahead.popleft().pattern.result()
    finally:
        for reading in ahead:
            reading.pattern.cancel()
        for _ in range(jobs):
            wanted.put(None)


@dataclass(frozen=True)
class _Reading:
    """A file that a thread reads."""

    path: str
    reason: str
    pattern: Future[Pattern | XrdMatchError]


def _read_ahead(wanted: SimpleQueue[_Reading | None], range_index: int | None) -> None:
    while (reading := wanted.get()) is not None:
        if not reading.pattern.set_running_or_notify_cancel():
            continue
        try:
            reading.pattern.set_result(load(reading.path, range_index, reading.reason))
        except BaseException as error:  # raised where the result is asked for
            reading.pattern.set_exception(error)


def target(folder: Path, path: str, suffix: str, taken: set[Path]) -> Path:
    """A name in the folder that no other scan of this run has: scan.xy, else scan.raw.xy, else scan.raw-2.xy; without a suffix, a folder's name."""
    source = Path("standard-input" if path == STDIN else path)
    names = [source.stem, source.name, *(f"{source.name}-{number}" for number in range(2, 10_000))]
    found = next(folder / (name + suffix) for name in names if folder / (name + suffix) not in taken)
    taken.add(found)
    return found


def defect(path: str, error: Exception) -> XrdMatchError:
    """What to say of an error that should not be; XRDMATCH_DEBUG lets it through."""
    if os.environ.get("XRDMATCH_DEBUG"):
        raise error
    return XrdMatchError(f"{path}: a defect of xrdmatch ({type(error).__name__}: {error}); please report it with the file")
