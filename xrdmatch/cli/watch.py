"""identify --watch: scans in the order in which a diffractometer finishes them, each once it is complete.

What the system tells of changes only wakes us: the truth is what the folder holds, which is looked at again now and then in any case. So network
shares, where such notices do not come, work as well, a few seconds later.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from xrdmatch.cli import inputs
from xrdmatch.cli.folders import Files, is_measured
from xrdmatch.errors import ReadError, UnfinishedError, XrdMatchError, how_to_install
from xrdmatch.system.atomic_files import writing

if TYPE_CHECKING:
    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.formats import ReadOptions

#: Seconds between looks at the whole folder without any notice of a change.
LOOK = 5.0
#: How many times the quiet time a file that cannot be read, or that looks unfinished, is left alone before it is answered as it is.
PATIENCE = 5.0
#: Milliseconds between looks at the files that are waited for.
TICK = 200

#: Size, time of last change, and number of the file: what stays the same while nobody writes.
Signature = tuple[int, int, int]
Read = tuple[str, "Pattern | XrdMatchError"]


@dataclass
class _Waiting:
    """A file that may not be complete: since when it has looked like this, what reading it said, and whether only a change can help."""

    signature: Signature
    since: float
    said: str = ""
    broken: bool = False


@dataclass
class Watch:
    """The files of a folder that are new or change after this object was made. `quiet`: seconds without change after which one is complete."""

    folder: Path
    recursive: bool = False
    quiet: float = 2.0
    omit: Files = frozenset()
    reading: ReadOptions | None = None
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, Signature] = field(init=False)
    _waiting: dict[str, _Waiting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if importlib.util.find_spec("watchfiles") is None:
            raise XrdMatchError(f"--watch needs watchfiles, which is not installed: {how_to_install('watchfiles', 'watch')}")
        if not self.folder.is_dir():
            raise XrdMatchError(f"{self.folder}: expected a folder to watch, but this is not one")
        self._known = dict(self._listed())

    def look(self) -> None:
        """Compare the folder with what is known."""
        now = self.clock()
        there = dict(self._listed())
        for path, signature in there.items():
            if self._known.get(path) != signature:
                waiting = self._waiting.get(path)
                if waiting is None or waiting.signature != signature:
                    self._waiting[path] = _Waiting(signature, now)
        for path in self._waiting.keys() - there.keys():
            del self._waiting[path]  # renamed or removed; a share that is away lists nothing and starts anew when it is back

    def complete(self) -> Iterator[Read]:
        """What can be read of the files that have been quiet for long enough, those that were first so before the others."""
        for path, waiting in sorted(self._waiting.items(), key=lambda item: (item[1].since, item[0])):
            still = self.clock() - waiting.since
            if still < self.quiet * (PATIENCE if waiting.said else 1.0) or waiting.broken or not waiting.signature[0]:
                continue
            if not is_measured(Path(path)):
                self._done(path, waiting)
                continue
            pattern = inputs.load(path, self.reading)
            if _signature(path) != waiting.signature:
                self.look()  # it went on while it was read
                continue
            doubt = _doubt(pattern)
            waiting.broken = isinstance(pattern, UnfinishedError)
            if waiting.broken or (doubt and not waiting.said):
                waiting.said = doubt
                continue
            self._done(path, waiting)
            yield path, pattern

    def unfinished(self) -> Iterator[Read]:
        """The files that are still waited for, as errors: when nobody watches any more, they have to have an answer."""
        for path, waiting in sorted(self._waiting.items()):
            if not is_measured(Path(path)):
                continue
            why = waiting.said.removeprefix(f"{path}: ") or f"{waiting.signature[0]} bytes so far"
            its_turn = not waiting.said and waiting.signature[0] and self.clock() - waiting.since >= self.quiet
            state = "its turn came" if its_turn else f"this file was complete ({why})"
            yield path, ReadError(f"{path}: the watch ended before {state}; identify it on its own")

    def patterns(self, stop: threading.Event) -> Iterator[Read]:
        """Each file as it is complete, until `stop` is set; then those that never were."""
        looked = self.clock()
        for changed in self._wakes(stop):
            if changed or self.clock() - looked > LOOK:
                self.look()
                looked = self.clock()
            for read in self.complete():
                yield read
                if stop.is_set():
                    break
        self.look()
        yield from self.unfinished()

    def _wakes(self, stop: threading.Event) -> Iterator[bool]:
        """Every TICK, and whenever the system tells of a change (True then). A folder that goes away is waited for."""
        import watchfiles

        while not stop.is_set():
            if not self.folder.is_dir():
                stop.wait(1.0)
                continue
            fresh = True  # what came before the watcher was ready has had no notice
            for changes in watchfiles.watch(
                self.folder, watch_filter=None, debounce=2 * TICK, rust_timeout=TICK, yield_on_timeout=True, stop_event=stop, recursive=self.recursive
            ):
                yield fresh or bool(changes)
                fresh = False
                if not self.folder.is_dir():
                    break

    def _listed(self) -> Iterator[tuple[str, Signature]]:
        """Path and signature of every file that is not hidden."""
        for folder, inner, names in os.walk(self.folder):
            inner[:] = [name for name in inner if self.recursive and not name.startswith(".")]
            for name in names:
                path = os.path.join(folder, name)
                signature = None if name.startswith(".") else _signature(path, self.omit)
                if signature is not None:
                    yield path, signature

    def _done(self, path: str, waiting: _Waiting) -> None:
        self._known[path] = waiting.signature
        del self._waiting[path]


def _doubt(pattern: Pattern | XrdMatchError) -> str:
    """Why a file may not be complete, though it has been quiet; empty where nothing says so.

    After an error it is waited for until it changes; after a note it may be complete as it is.
    """
    if isinstance(pattern, XrdMatchError):
        return str(pattern) if isinstance(pattern, ReadError) else ""
    from xrdmatch.formats.scan import UNFINISHED
    from xrdmatch.report.phrases import sentence

    return next((sentence(note) for note in pattern.meta.get("notes", ()) if note.code in UNFINISHED), "")


def _signature(path: str, omit: Files = frozenset()) -> Signature | None:
    """None for what is not there (any more), is not a file, or is to be left out."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if (status.st_dev, status.st_ino) in omit or not os.path.isfile(path):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


@contextmanager
def stopped_by_signals(wanted: bool = True, also: tuple[int, ...] = ()) -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM or a signal of `also` sets, so that the scan at hand is finished first; a second Ctrl-C interrupts at once."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, *also) if wanted}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def added_to(path: Path) -> Iterator[TextIO]:
    """A file at whose end results are added as they come: unlike other results it is there from the start, and what stood in it stays."""
    with writing(path):
        stream = path.open("a+", encoding="utf-8", newline="")
    with stream:
        yield stream


def one_header(stream: TextIO, before: int, path: Path) -> None:
    """Take off the header that a CSV writer has just written where the file already had `before` bytes. Raises XrdMatchError where they differ."""
    stream.flush()
    stream.seek(0)
    first = stream.readline()
    stream.seek(before)
    if before:
        header = stream.read()
        stream.truncate(before)
        if first != header:
            raise XrdMatchError(f"{path}: its first line is not the header of these results; choose another file, or remove this one")
