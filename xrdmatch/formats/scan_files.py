"""Which files are scans: by their ending, and where that says nothing, by their content."""

from __future__ import annotations

from pathlib import Path

from xrdmatch.errors import XrdMatchError

PACKED = (".gz", ".bz2", ".xz", ".zip")
#: Endings of files that are still being copied or edited.
UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".bak", ".swp", ".lock", "~")
#: A table of an unknown ending is a scan from so many points and degrees on.
POINTS, SPAN = 100, 5.0
#: Bytes up to which a file of an unknown ending is read as a table.
TABLE = 16_000_000


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
