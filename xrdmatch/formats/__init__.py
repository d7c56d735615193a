"""Measured powder patterns from what diffractometers write: decided by content, never by suffix.

`read(path)` and `parse(data, name)` give a validated Pattern or raise ReadError with one line that names the file and says what to do.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats import containers
from xrdmatch.formats.own_results import own_result
from xrdmatch.formats.ranges import ReadOptions, to_pattern
from xrdmatch.formats.registry import COLUMNS, Head, recognised
from xrdmatch.formats.scan import Scan, other_axis
from xrdmatch.notes import note

__all__ = ["ReadOptions", "parse", "read", "write"]

#: Bytes of a file as it lies on the disk.
MAX_FILE = 256_000_000
#: Seconds since the last change of a file within which more may come.
RECENT = 2.0
#: Characters of a message about a file, its name not counted.
_MESSAGE = 1000
#: Formats whose files do not tell how many points they will have, so that an unfinished one looks like a finished one.
_OPEN_ENDED = ("text columns", "Bruker UXD", "powder CIF", "GSAS FX")
_AS_IT_IS = ReadOptions()
#: What damaged input makes a reader raise. Anything else is a bug of ours and shows as one.
_DAMAGE = (ValueError, IndexError, KeyError, ArithmeticError, EOFError, RecursionError, struct.error)


def read(path: str | os.PathLike[str], options: ReadOptions = _AS_IT_IS) -> Pattern:
    """The powder pattern in a file of any known format, plain or in gz, bz2, xz or zip. Raises ReadError where it cannot be read as a 2theta scan."""
    data, status = _content(Path(path))
    pattern = parse(data, str(Path(path)), options)
    age = time.time() - status.st_mtime
    if stat.S_ISREG(status.st_mode) and 0.0 <= age < RECENT and pattern.meta["format"].startswith(_OPEN_ENDED):
        pattern = replace(pattern, meta={**pattern.meta, "notes": (*pattern.meta.get("notes", ()), note("just_changed", seconds=RECENT))})
    return pattern


def parse(data: bytes, name: str, options: ReadOptions = _AS_IT_IS) -> Pattern:
    """The powder pattern in the bytes of a file; `name` stands in messages, its stem becomes the pattern's name. Raises ReadError like `read`."""
    with _clear_errors(name):
        return to_pattern(_scans(data), Path(name).name, options)


def parts(path: str | os.PathLike[str], ranges: bool, columns: bool) -> list[str]:
    """The numbers of a file's 2theta ranges, where `ranges`, or the names of its samples, where `columns`. Raises ReadError like `read`."""
    data, _ = _content(Path(path))
    with _clear_errors(str(path)):
        scans = _scans(data)
    names = list(dict.fromkeys(scan.column for scan in scans if scan.column))
    if columns and len(names) > 1:
        return names
    return [str(number) for number, scan in enumerate(scans, start=1) if not other_axis(scan.axis)] if ranges else []


def _content(place: Path) -> tuple[bytes, os.stat_result]:
    """The bytes of a file, more than `MAX_FILE` of them cut off, and what the system says of it. Raises ReadError where it cannot be opened."""
    try:
        if place.is_dir():
            raise ReadError(f"{place}: is a folder, expected a file with a powder scan")
        with place.open("rb") as stream:
            before = os.fstat(stream.fileno())
            data = stream.read(MAX_FILE + 1)
            after = os.fstat(stream.fileno())
            grown = len(data) <= MAX_FILE and after.st_size != len(data)
            if stat.S_ISREG(after.st_mode) and (grown or after.st_mtime_ns != before.st_mtime_ns):
                raise UnfinishedError(f"{place}: changed while it was read, so it is still being written: try again when the scan is done")
    except OSError as error:
        raise ReadError(f"{place}: cannot be opened ({error.strerror or error}); check the name and its permissions") from None
    return data, after


@contextmanager
def _clear_errors(name: str) -> Iterator[None]:
    """Turns whatever damaged input makes a reader raise into a ReadError that begins with the file's name."""
    try:
        # Damaged numbers overflow on their way to the check that refuses them; a warning would tell the user nothing.
        with np.errstate(all="ignore"):
            yield
    except ReadError as error:
        raise type(error)(f"{name}: {_brief(str(error))}") from error.__cause__
    except _DAMAGE as error:
        raise ReadError(f"{name}: is damaged or of an unknown kind ({type(error).__name__}: {str(error)[:100]}); export the scan again") from error
    except MemoryError as error:
        raise ReadError(f"{name}: does not fit into memory") from error


def _brief(message: str) -> str:
    """A message of bounded length: what a damaged file calls itself and its members can be as long as the file. The advice at its end stays."""
    return message if len(message) <= _MESSAGE else f"{message[: _MESSAGE // 2]} ... {message[-_MESSAGE // 2 :]}"


def write(pattern: Pattern, path: str | os.PathLike[str]) -> None:
    """Writes a pattern as .xy, .xye or .csv, whole or not at all. Raises XrdMatchError for another suffix or a place that cannot be written."""
    from xrdmatch.formats import export

    export.write(pattern, Path(path))


def _scans(data: bytes, nested: bool = False) -> list[Scan]:
    """The scans in the bytes of a file, taken out of what they are packed in."""
    if len(data) > MAX_FILE:
        raise ReadError(f"is larger than {MAX_FILE // 1_000_000} MB, expected one powder scan")
    data, members = containers.unpack(data)
    if not data.strip(b"\0 \t\r\n"):
        raise UnfinishedError("is empty: is it still being written?" if not data else "holds only blanks: is it still being written?")
    if members is None and (told := own_result(data)):
        raise ReadError(told)
    head = Head(data, members)
    known = recognised(head)
    if known is None and members is not None:
        if nested:
            raise ReadError("is an archive within an archive: unpack it and give the files")
        return _scans(containers.only_member(data), nested=True)
    return (known or COLUMNS).read(data)
