"""The scans of a folder."""

from __future__ import annotations

import os
from pathlib import Path

from xrdmatch.system import atomic_files

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
    """Whether a folder's file is taken for a scan; what knows it is imported when it is asked, which takes long."""
    from xrdmatch.formats import scan_files

    return scan_files.is_measured(path)
