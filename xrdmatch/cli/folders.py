"""Which files of a folder are scans: by their ending, and where that says nothing, by their content."""

from __future__ import annotations

import os
from pathlib import Path

from xrdmatch.errors import XrdMatchError
from xrdmatch.system import atomic_files

PACKED = (".gz", ".bz2", ".xz", ".zip")
#: Endings of files that are still being copied or edited.
UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".bak", ".swp", ".lock", "~")
#: A table of an unknown ending is a scan from so many points and degrees on.
POINTS, SPAN = 100, 5.0
#: Bytes up to which a file of an unknown ending is read as a table.
TABLE = 16_000_000

#: Files by device and number, whatever they are called.
Files = frozenset[tuple[int, int]]


def scans_in(folder: Path, recursive: bool, omit: Files) -> tuple[list[str], list[tuple[Path, str]], list[str]]:
    """The scans of a folder, sorted; the folders in it that are closed to us, with the reason; and the files that were passed over."""
    found: list[str] = []
    passed: list[str] = []
    closed: list[tuple[Path, str]] = []
    for place, inner, names in os.walk(folder, onerror=lambda error: closed.append((Path(error.filename), atomic_files.reason(error)))):
        inner[:] = [name for name in inner if recursive and not name.startswith(".")]
        for item in (Path(place, name) for name in names if not name.startswith(".")):
            if not item.is_file() or (omit and number(item.stat()) in omit):
                continue
            (found if is_measured(item) else passed).append(str(item))
    return sorted(found), sorted(closed), sorted(passed)


def number(status: os.stat_result) -> tuple[int, int]:
    """What a file is known by, whatever it is called."""
    return status.st_dev, status.st_ino


def is_measured(path: Path) -> bool:
    """Whether a folder's file is taken for a scan; what xrdmatch itself has written there is none."""
    from xrdmatch.formats.registry import SUFFIXES

    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    try:
        if name.endswith(".cif"):  # mostly a structure
            with path.open("rb") as stream:
                return b"_pd_" in stream.read(1 << 20)
        if name.endswith(SUFFIXES):
            return not _own(path)
        return not name.endswith(UNFINISHED) and _looks_like_a_scan(path)
    except OSError:
        return name.endswith(SUFFIXES)  # reading it will say what is wrong


def _own(path: Path) -> bool:
    from xrdmatch.formats.own_results import HEAD, own_result

    with path.open("rb") as stream:
        return bool(own_result(stream.read(HEAD)))


def _looks_like_a_scan(path: Path) -> bool:
    """Whether a file of an unknown ending is of a known format, or a table of a scan's size."""
    from xrdmatch import formats
    from xrdmatch.formats.registry import HEAD, TEXT_COLUMNS, Head, recognised

    try:
        with path.open("rb") as stream:
            start = stream.read(HEAD)
        many_kinds = start.startswith((b"PK\x03\x04", b"\x89HDF"))  # Office documents, our own libraries: reading tells
        if not many_kinds and recognised(Head(start)) is not None:
            return True
        if _own(path) or path.stat().st_size > TABLE or not (many_kinds or Head(start).text):
            return False
        pattern = formats.read(path)
    except XrdMatchError:
        return False
    if pattern.meta.get("format") != TEXT_COLUMNS:
        return True
    return pattern.two_theta.size >= POINTS and float(pattern.two_theta[-1] - pattern.two_theta[0]) >= SPAN
