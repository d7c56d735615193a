"""Worker processes of this machine, each at the end of a pipe of its own.

They share no lock and no queue, and nothing but the calling thread waits for them: so they can be killed at any moment, whatever they are doing, and
the program ends when it wants to.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from xrdmatch.errors import XrdMatchError
from xrdmatch.system.interrupts import interrupt_held

#: Batches a worker has at a time: one to work on and one to go on with.
HELD = 2
#: One thread each: the workers are the parallel part.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

#: What a worker does with one item.
Work = Callable[[Any], Any]


@dataclass(frozen=True)
class _Failed:
    """What the work on a batch raised."""

    error: Exception


@dataclass(eq=False)
class _Worker:
    """A process, our end of its pipe, and the numbers of the batches it has."""

    process: SpawnProcess
    connection: Connection
    held: set[int] = field(default_factory=set)


class WorkerProcesses:
    """Up to `jobs` processes that do begin()(item) with the items of batches; begin runs once in each.

    `begin` and what it returns: pickled by name. A context manager: when its block ends well the workers end, else they are killed.
    """

    def __init__(self, begin: Callable[[], Work], jobs: int) -> None:
        self._begin, self._jobs = begin, jobs
        self._workers: list[_Worker] = []
        self._waiting: deque[tuple[int, list[Any]]] = deque()
        self._done: dict[int, list[Any] | _Failed] = {}
        self._number = 0

    def size(self) -> int:
        return self._jobs

    def submit(self, items: list[Any]) -> int:
        """Give a batch to the workers; the number to ask for its results with. Raises XrdMatchError where a worker was killed."""
        self._number += 1
        self._waiting.append((self._number, items))
        self._collect(0.0)
        return self._number

    def result(self, number: int, timeout: float | None = None) -> list[Any]:
        """The results of a batch, when they are there, once. Raises what the work raised, XrdMatchError where a worker was killed, and TimeoutError
        where they are not there after `timeout` seconds.
        """
        self._collect(0.0)
        end = None if timeout is None else time.monotonic() + timeout
        while number not in self._done:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0.0:
                raise TimeoutError
            self._collect(left)
        found = self._done.pop(number)
        if isinstance(found, _Failed):
            raise found.error
        return found

    def __enter__(self) -> WorkerProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            for worker in self._workers:
                worker.connection.close()  # which ends it
            for worker in self._workers if kind is None else ():
                worker.process.join()
        finally:
            with interrupt_held():
                for worker in self._workers:
                    worker.process.kill()
                for worker in self._workers:
                    worker.process.join()  # the interpreter must not end before its workers

    def _collect(self, timeout: float | None) -> None:
        """Take what has been done within `timeout` seconds, and give the workers more."""
        self._hand_out()
        by_connection = {worker.connection: worker for worker in self._workers}
        for ready in wait(list(by_connection), timeout):
            worker = by_connection[ready]  # type: ignore[index]
            with _killed():
                number, found = worker.connection.recv()
            worker.held.remove(number)
            self._done[number] = found
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting:
            least = min(self._workers, key=lambda worker: len(worker.held), default=None)
            if len(self._workers) < self._jobs and (least is None or least.held):
                self._start()
                continue
            if least is None or len(least.held) >= HELD:
                return
            number, items = self._waiting.popleft()
            with _killed():
                least.connection.send((number, items))
            least.held.add(number)

    def _start(self) -> None:
        from multiprocessing import get_context

        if os.name == "posix":
            from multiprocessing import resource_tracker

            resource_tracker.ensure_running()  # its start would let Ctrl-C through
        context = get_context("spawn")  # threads of numpy do not survive a fork
        ours, theirs = context.Pipe()
        with theirs, interrupt_held(), _one_thread():
            process = context.Process(target=_serve, args=(theirs, self._begin), daemon=True)
            process.start()
        self._workers.append(_Worker(process, ours))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The environment that a process inherits."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ |= dict.fromkeys(_THREADS, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _killed() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise XrdMatchError("a worker was killed, most likely because memory ran out; try fewer --jobs") from error


def _serve(connection: Connection, begin: Callable[[], Work]) -> None:
    """Be a worker. Ctrl-C reaches every process of the terminal, but only the parent has something to save."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given: queue.SimpleQueue[tuple[int, list[Any]]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, given), daemon=True).start()
    work: Work | _Failed
    try:
        work = begin()
    except Exception as error:
        work = _Failed(_portable(error))
    while True:
        number, items = given.get()
        answer: list[Any] | _Failed
        try:
            answer = work if isinstance(work, _Failed) else [work(item) for item in items]
            message = pickle.dumps((number, answer), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            message = pickle.dumps((number, _Failed(_portable(error))))
        with contextlib.suppress(OSError):  # nobody waits for it any more
            connection.send_bytes(message)


def _receive(connection: Connection, given: queue.SimpleQueue[tuple[int, list[Any]]]) -> None:
    """Take batches as they come, so that the parent never waits while it sends one; end the process when the parent has ended, or wants no more."""
    try:
        while True:
            given.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; a RuntimeError that says the same where it does not survive the pipe."""
    text = traceback.format_exc()
    error.add_note(f"in a worker:\n{text}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error
