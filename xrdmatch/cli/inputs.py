"""Measured files as people name them: paths, folders, patterns with * and ?, and - for standard input."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from xrdmatch.cli.folders import Files, number, scans_in
from xrdmatch.errors import ReadError, XrdMatchError

if TYPE_CHECKING:
    from concurrent.futures import Future
    from queue import SimpleQueue

    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.formats import ReadOptions

STDIN = "-"
#: What stands between a file and one of its parts: `scan.raw#2` is its second range, `table.csv#HKUST-1` the sample of that name.
PART = "#"


def expand(given: Iterable[str], recursive: bool = False, omit: Files = frozenset(), passed: list[str] | None = None) -> Iterator[tuple[str, str]]:
    """(path, reason) of every file in the order given; reason says why there is nothing to read, else it is empty.

    A folder gives its scans, sorted, but for those in `omit`; the names of its other files are added to `passed`. * and ? are expanded where no file
    has that very name.
    """
    for name in given:
        if name == STDIN or os.path.isfile(name) or os.path.isfile(located(name)[0]):
            yield name, ""
        elif os.path.isdir(name):
            found, closed, others = scans_in(Path(name), recursive, omit)
            yield from ((file, "") for file in found)
            yield from ((str(folder), f"{folder}: this folder cannot be opened ({why}); check its permissions") for folder, why in closed)
            if passed is not None:
                passed.extend(others)
            if not found and not closed:
                deeper = "" if recursive else "; --recursive looks into subfolders"
                yield name, f"{name}: no scans in this folder{deeper}"
        elif glob.has_magic(name) and not os.path.lexists(name):
            fitting = sorted(glob.glob(name, recursive=True))
            yield from expand(fitting, recursive, omit, passed)
            if not fitting:
                yield name, f"{name}: no file matches this pattern"
        else:
            yield name, _absent(name)


def located(path: str) -> tuple[str, str]:
    """The file, and which part of it, of a path such as `scan.raw#2`; a file that has that very name is whole."""
    ends = [] if PART not in path or os.path.lexists(path) else [at for at, sign in enumerate(path) if sign == PART and path[at + 1 :]]
    end = next((at for at in ends if os.path.isfile(path[:at])), ends[-1] if ends else len(path))  # a sample's name may hold the mark
    return path[:end], path[end + 1 :]


def each_part(files: Iterable[tuple[str, str]], ranges: bool, columns: bool) -> Iterator[tuple[str, str]]:
    """The same files, those of several ranges or samples once for each: `scan.raw#1`, `scan.raw#2`."""
    from xrdmatch import formats

    for path, reason in files:
        parts: list[str] = []
        if not reason and path != STDIN and not located(path)[1]:
            with contextlib.suppress(XrdMatchError):  # reading it will say what is wrong
                parts = formats.parts(path, ranges, columns)
        yield from ((f"{path}{PART}{part}", "") for part in parts) if len(parts) > 1 else ((path, reason),)


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


def results_in(*places: Path | TextIO | None) -> Files:
    """The files that results go to, by path or open stream: in a folder that is identified or watched they are not scans."""
    found = set()
    for place in places:
        # A path may not exist yet, and a stream need not be a file.
        with contextlib.suppress(OSError, ValueError):
            if place is not None:
                found.add(number(place.stat() if isinstance(place, Path) else os.fstat(place.fileno())))
    return frozenset(found)


def read(path: str, reading: ReadOptions | None = None) -> Pattern:
    """The pattern in a file, in a part of it, or on standard input."""
    from xrdmatch import formats

    reading = reading or formats.ReadOptions()
    if path == STDIN:
        return formats.parse(sys.stdin.buffer.read(), "standard input", reading)
    file, part = located(path)
    if part:
        reading = replace(reading, range_index=int(part)) if part.isdecimal() else replace(reading, column=part)
    return formats.read(file, reading)


def load(path: str, reading: ReadOptions | None = None, reason: str = "") -> Pattern | XrdMatchError:
    """A file's pattern, or why there is none; `reason` says that there is nothing to read."""
    if reason:
        return ReadError(reason)
    try:
        return read(path, reading)
    except XrdMatchError as error:
        return error
    except Exception as error:  # a defect of a reader must not stop a batch
        return defect(path, error)


def patterns(files: Iterable[tuple[str, str]], jobs: int, reading: ReadOptions | None = None) -> Iterator[tuple[str, Pattern | XrdMatchError]]:
    """Each file's pattern, or why there is none, in order. Some are read ahead by `jobs` threads, so that memory stays flat."""
    left = iter(files)
    first = list(islice(left, 2))
    if len(first) < 2:  # nothing to read ahead
        yield from ((path, load(path, reading, reason)) for path, reason in first)
        return
    from concurrent.futures import Future
    from queue import SimpleQueue

    wanted: SimpleQueue[_Reading | None] = SimpleQueue()
    ahead: deque[_Reading] = deque()
    for _ in range(jobs):
        # Of those that the interpreter does not wait for at its end: a pipe that nobody writes to would hold it for ever.
        threading.Thread(target=_read_ahead, args=(wanted, reading), daemon=True).start()
    try:
        for path, reason in chain(first, left):
            ahead.append(_Reading(path, reason, Future()))
            wanted.put(ahead[-1])
            if len(ahead) > 2 * jobs:
                yield ahead[0].path, ahead.popleft().pattern.result()
        while ahead:
            yield ahead[0].path, ahead.popleft().pattern.result()
    finally:
        for waiting in ahead:
            waiting.pattern.cancel()
        for _ in range(jobs):
            wanted.put(None)


@dataclass(frozen=True)
class _Reading:
    """A file that a thread reads."""

    path: str
    reason: str
    pattern: Future[Pattern | XrdMatchError]


def _read_ahead(wanted: SimpleQueue[_Reading | None], options: ReadOptions | None) -> None:
    while (reading := wanted.get()) is not None:
        if not reading.pattern.set_running_or_notify_cancel():
            continue
        try:
            reading.pattern.set_result(load(reading.path, options, reading.reason))
        except BaseException as error:  # raised where the result is asked for
            reading.pattern.set_exception(error)


def target(folder: Path, path: str, suffix: str, taken: set[Path]) -> Path:
    """A name in the folder that no other scan of this run has: scan.xy, else scan.raw.xy, else scan.raw-2.xy; without a suffix, a folder's name."""
    file, part = located(path)
    source = Path("standard-input" if path == STDIN else file)
    if part:
        source = source.with_stem(f"{source.stem}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', part)}")
    names = [source.stem, source.name, *(f"{source.name}-{number}" for number in range(2, 10_000))]
    found = next(folder / (name + suffix) for name in names if folder / (name + suffix) not in taken)
    taken.add(found)
    return found


def defect(path: str, error: Exception) -> XrdMatchError:
    """What to say of an error that should not be; XRDMATCH_DEBUG lets it through."""
    if os.environ.get("XRDMATCH_DEBUG"):
        raise error
    return XrdMatchError(f"{path}: a bug in xrdmatch ({type(error).__name__}: {error}); please report it with the file")
