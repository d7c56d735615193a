"""Work that waits: a queue, and threads that each hold one worker process, so that a scan which hangs or kills its process costs that scan alone."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from xrdmatch.errors import XrdMatchError
from xrdmatch.system.worker_processes import Work, WorkerProcesses

#: Seconds that one task may take, the loading of the model included; and after which a waiting thread looks whether all is to end.
PATIENCE, GLANCE = 300.0, 0.2

#: What a task came to, or why it came to nothing.
Outcome = Any
_STARTS = threading.Lock()


class WorkQueue:
    """Does tasks in `jobs` processes, the urgent ones first. begin: as of `WorkerProcesses`. patience: seconds that a task may take.

    Who submits bounds how many wait.
    """

    def __init__(self, begin: Callable[[], Work], jobs: int, patience: float = PATIENCE) -> None:
        self._begin, self._patience = begin, patience
        self._waiting: list[tuple[int, int, Any, Callable[[], bool], Callable[[Outcome], None]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(jobs)]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Any, done: Callable[[Outcome], None], wanted: Callable[[], bool] = lambda: True, urgent: bool = False) -> None:
        """Have a task done; `done` is called with its result or an exception, by another thread. When its turn comes and it is no longer `wanted`, it
        is dropped."""
        with self._changed:
            heapq.heappush(self._waiting, (not urgent, next(self._order), task, wanted, done))
            self._changed.notify()

    def ask(self, task: Any) -> Any:
        """The result of an urgent task. Raises what the work raised, XrdMatchError where its process was killed or the queue was closed."""
        kept: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.submit(task, kept.put, urgent=True)
        while not self._closed:
            with contextlib.suppress(queue.Empty):
                outcome = kept.get(timeout=GLANCE)
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome
        raise XrdMatchError("xrdmatch serve has ended")

    def close(self) -> None:
        """End all processes, whatever they are doing; what waits is not done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        processes: WorkerProcesses | None = None
        while (item := self._next()) is not None:
            _, _, task, wanted, done = item
            if not wanted():
                continue
            processes = processes or WorkerProcesses(self._begin, 1)
            try:
                outcome: Outcome = self._done(processes, task)
            except _Lost as lost:
                outcome = lost.error
                _kill(processes)
                processes = None
            except Exception as error:
                outcome = error
            if not self._closed:
                done(outcome)
        if processes is not None:
            _kill(processes)

    def _next(self) -> Any:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return None if self._closed else heapq.heappop(self._waiting)

    def _done(self, processes: WorkerProcesses, task: Any) -> Any:
        """What the process makes of a task. Raises what the work raised, and _Lost where the process is of no more use."""
        end = time.monotonic() + self._patience
        try:
            with _STARTS:  # processes inherit an environment that is changed for their start
                number = processes.submit([task])
            while not self._closed and time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    return processes.result(number, GLANCE)[0]
        except XrdMatchError as error:
            if getattr(error, "__notes__", None):  # the worker's traceback: the work raised it
                raise
            raise _Lost(XrdMatchError("its process was killed, most likely because memory ran out")) from error
        raise _Lost(XrdMatchError(f"took longer than {self._patience:.0f} seconds and was stopped"))


class _Lost(Exception):
    """A process that was killed, or has to be."""

    def __init__(self, error: XrdMatchError) -> None:
        super().__init__(str(error))
        self.error = error


def _kill(processes: WorkerProcesses) -> None:
    processes.__exit__(XrdMatchError, None, None)
