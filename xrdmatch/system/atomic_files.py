"""Files that appear whole or not at all, and folders that one process changes at a time."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from xrdmatch.errors import XrdMatchError

#: Seconds without a change after which the part file of a process that is gone is removed; processes of other machines cannot be seen, but write on.
LEFT_BEHIND = 60.0
#: Characters of the target's name in the name of its part file, so that a long name stays within what file systems allow.
_STEM = 100


@contextlib.contextmanager
def atomic_write(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A new name beside `target` to write to; it becomes `target` when the block ends well and goes when it does not.

    Whatever ends the process, `target` is the old file or the new one. A link is followed; a device or a pipe is written to as it is. Part files that
    killed processes left of this target are removed. Raises OSError where the place cannot be written.
    """
    place = Path(os.path.realpath(target))
    if place.is_dir():
        raise IsADirectoryError(21, "there is a folder of that name", str(target))
    if place.exists() and not place.is_file():
        yield place
        return
    sweep(place)
    part = place.with_name(f"{_prefix(place)}{os.getpid()}.{os.urandom(3).hex()}.part")
    try:
        yield part
        _to_disk(part)
        os.replace(part, place)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def sweep(place: Path) -> None:
    """Remove the part files of `place` whose process is gone."""
    prefix = _prefix(place)
    with contextlib.suppress(OSError):
        for item in list(os.scandir(place.parent)):
            found = re.fullmatch(r"(\d+)\.[0-9a-f]+\.part", item.name.removeprefix(prefix)) if item.name.startswith(prefix) else None
            if found and time.time() - item.stat().st_mtime > LEFT_BEHIND and not _runs(int(found[1])):
                os.unlink(item.path)


@contextlib.contextmanager
def writing(place: str | os.PathLike[str], kind: type[XrdMatchError] = XrdMatchError, what: str = "") -> Iterator[None]:
    """Where the system refuses to write, raises an error of this `kind` that says so of `place`; `what` lies there, where that is not plain."""
    try:
        yield
    except BrokenPipeError:
        raise  # of standard output or error, not of a file
    except OSError as error:
        raise kind(f"{os.fspath(place)}: {what and f'{what} '}cannot be written ({reason(error)}); choose another place") from error


def check_writable(place: str | os.PathLike[str], kind: type[XrdMatchError] = XrdMatchError, what: str = "") -> None:
    """Raises like `writing` unless a file can be written at `place`: before the work, not after it."""
    target = Path(place)
    with writing(place, kind, what):
        if target.is_dir():
            raise IsADirectoryError(21, "there is a folder of that name")
        probe = target.with_name(f"{_prefix(target)}{os.getpid()}.{os.urandom(3).hex()}.part")
        probe.touch()
        probe.unlink()


def closed(path: str | os.PathLike[str], error: OSError) -> str:
    """What to say of a file that the system does not let us read."""
    return f"{os.fspath(path)}: cannot be opened ({reason(error)}); check its permissions"


def reason(error: Exception) -> str:
    """What stands in the way of a file, in a few words and without its name: `No space left on device`."""
    # HDF5 puts the system's words into a long sentence of its own.
    within = re.search(r"error message = '([^']+)'", str(error))
    return within[1] if within else getattr(error, "strerror", None) or str(error)


class Sink:
    """A file for HDF5 that never fails under it: HDF5 breaks down, and the process with it, where a write does. `check` raises what went wrong."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.error: BaseException | None = None

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def write(self, data: Any) -> int:
        self._try(self.stream.write, data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._try(self.stream.seek, offset, whence)
        return offset

    def tell(self) -> int:
        return self.stream.tell()

    def read(self, size: int = -1) -> bytes:
        return bytes(self._try(self.stream.read, size) or b"")

    def readinto(self, target: Any) -> int:
        return int(self._try(self.stream.readinto, target) or 0)  # type: ignore[attr-defined]

    def truncate(self, size: int | None = None) -> int:
        self._try(self.stream.truncate, size)
        return size or 0

    def flush(self) -> None:
        self._try(self.stream.flush)

    def _try(self, action: Callable[..., Any], *words: Any) -> Any:
        try:
            return action(*words)
        except BaseException as error:  # Ctrl-C comes here as well
            self.error = self.error or error
            return None


class Busy(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def folder_lock(folder: Path, name: str = ".lock", wait: bool = True) -> Iterator[None]:
    """Holds the lock of a folder, which is made where it is missing; the system frees it whatever ends the process.

    wait: for another process to finish; without it raises Busy. Raises OSError where the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / name, timeout=-1 if wait else 0):
            yield
    except Timeout as error:
        raise Busy(str(folder / name)) from error
    finally:
        if new and not any(item.name != name for item in os.scandir(folder)):
            # Nothing came of it: leave no folder that nobody asked for.
            with contextlib.suppress(OSError):
                (folder / name).unlink(missing_ok=True)
                folder.rmdir()


def _prefix(place: Path) -> str:
    return f".{place.name[:_STEM]}."


def _to_disk(path: Path) -> None:
    """Ask the system to store what was written, so that a power cut does not leave an empty file under the new name."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _runs(pid: int) -> bool:
    """Whether a process of this number runs on this machine; True where that cannot be told."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
