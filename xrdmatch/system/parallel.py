"""Work on many items in other processes, of this machine or of a Dask cluster: one ordered map for every command, and the only door to Dask.

A worker prepares once (it loads a model, say) and then takes batch after batch. Results come in the order of the items, a few batches are in flight
for each worker, so memory stays flat whatever the number of items. A batch whose Dask worker is killed is done again by another one, and each
result is handed out once.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from xrdmatch.errors import XrdMatchError, how_to_install
from xrdmatch.system.interrupts import interrupt_held
from xrdmatch.version import __version__

if TYPE_CHECKING:
    from concurrent.futures import Future

    from xrdmatch.system.worker_processes import WorkerProcesses

#: A scheduler's address, or the word for a cluster on this machine.
ADDRESS, LOCAL = re.compile(r"(tcp|tls)://[^/\s]+:\d+"), "local"
#: Seconds in which a scheduler has to answer, and in which the first of its workers has to be there.
ANSWER, ARRIVE = 10.0, 60.0
#: Batches in flight for each worker.
AHEAD = 3
#: Fewest items in a batch for Dask, whose scheduler needs milliseconds for each, and batches whose results are fetched at once.
FEWEST, FETCHED = 8, 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """CPU cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Workers:
    """Where work is done: `jobs` processes of this machine, of which one is this process, or those of a Dask `scheduler`.

    scheduler: `tcp://HOST:PORT`, or `local` for a Dask cluster of `jobs` processes on this machine.
    """

    jobs: int = 1
    scheduler: str | None = None


@dataclass(frozen=True)
class _Task:
    """What every worker does: function(state, item) with the state that prepare(job) gives it once."""

    function: Callable[[Any, Any], Any]
    prepare: Callable[[Any], Any] | None
    job: Any
    key: str = field(default_factory=lambda: os.urandom(8).hex())

    def state(self) -> Any:
        return self.job if self.prepare is None else self.prepare(self.job)


def ordered(
    function: Callable[[Any, Item], Result],
    items: Iterable[Item],
    workers: Workers,
    job: Any = None,
    prepare: Callable[[Any], Any] | None = None,
    batch: int = 1,
) -> Iterator[Result]:
    """function(state, item) of every item, in their order; `state` is what prepare(job) gives a worker once, by default `job` itself.

    function and prepare: of a module, as other processes import them by name. batch: items a worker takes at a time, at least.
    Raises XrdMatchError where workers are killed or out of reach; what `function` raises comes through.
    """
    task = _Task(function, prepare, job)
    if workers.jobs <= 1 and workers.scheduler is None:
        state = task.state()
        yield from (function(state, item) for item in items)
        return
    left, batch = iter(items), batch if workers.scheduler is None else max(batch, FEWEST)
    ahead: deque[Any] = deque()
    with _processes(task, workers.jobs) if workers.scheduler is None else _Dask(task, workers) as engine:
        while part := list(islice(left, batch)):
            ahead.append(engine.submit(part))
            if len(ahead) >= AHEAD * engine.size():
                yield from engine.result(ahead.popleft())
        while ahead:
            yield from engine.result(ahead.popleft())


def _processes(task: _Task, jobs: int) -> WorkerProcesses:
    from xrdmatch.system.worker_processes import WorkerProcesses

    return WorkerProcesses(partial(_begun, task), jobs)


def _begun(task: _Task) -> Callable[[Any], Any]:
    return partial(task.function, task.state())


class _Dask:
    """Workers of a Dask cluster. The job goes to each of them once, and, being part of the graph, again to those that replace a killed one."""

    def __init__(self, task: _Task, workers: Workers) -> None:
        self.task, self.workers, self.number = task, workers, 0

    def __enter__(self) -> _Dask:
        from concurrent.futures import ThreadPoolExecutor

        try:
            from distributed import Client, LocalCluster
        except ModuleNotFoundError as error:
            raise XrdMatchError(f"--scheduler needs {error.name}, which is not installed: {how_to_install('distributed', 'cluster')}") from error
        self.address = self.workers.scheduler
        with contextlib.ExitStack() as opened:
            opened.enter_context(_quiet("distributed", "distributed.client", "tornado", "asyncio"))
            if self.address == LOCAL:
                from multiprocessing import resource_tracker

                resource_tracker.ensure_running()  # its start would let Ctrl-C through
                with interrupt_held():  # the cluster's threads and their processes, those of later included, never see it
                    cluster = LocalCluster(
                        n_workers=self.workers.jobs, threads_per_worker=1, memory_limit=None, dashboard_address=None, silence_logs="CRITICAL"
                    )
                self.client = opened.enter_context(Client(opened.enter_context(cluster)))
            else:
                try:
                    self.client = opened.enter_context(Client(self.address, timeout=ANSWER))
                except (OSError, ValueError) as error:  # a time that is up is an OSError
                    raise XrdMatchError(
                        f"{self.address}: no Dask scheduler answers there within {ANSWER:.0f} s; start one with 'dask scheduler', or take --jobs"
                    ) from error
            try:
                self.client.wait_for_workers(1, timeout=ARRIVE)
            except OSError as error:
                raise XrdMatchError(
                    f"{self.address}: the scheduler has no workers, and none came in {ARRIVE:.0f} s; start some with 'dask worker {self.address}'"
                ) from error
            self.common = self.client.submit(_same, self.task, key=f"xrdmatch-job-{self.task.key}")
            self.fetching = ThreadPoolExecutor(FETCHED)
            self.opened = opened.pop_all()
        return self

    def size(self) -> int:
        """Threads of all workers, which come and go."""
        return max(1, int(sum(self.client.nthreads().values())))

    def submit(self, items: list[Any]) -> Future[list[Any]]:
        self.number += 1
        future = self.client.submit(_work_there, self.common, items, __version__, key=f"xrdmatch-{self.task.key}-{self.number}")
        return self.fetching.submit(future.result)  # a few at once, since each is several messages

    def result(self, future: Future[list[Any]]) -> list[Any]:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        try:
            return future.result()
        except KilledWorker as error:
            raise XrdMatchError(
                f"{self.address}: one piece of work killed several workers, most likely because memory ran out; give the workers more memory"
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise XrdMatchError(f"{self.address}: the connection to the scheduler was lost; start it and run the command again") from error
        except ImportError as error:
            raise XrdMatchError(f"{self.address}: a worker lacks {error.name}; install xrdmatch {__version__} where the workers run") from error

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        del self.common
        self.fetching.shutdown(wait=False, cancel_futures=True)
        self.opened.close()


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keeps these loggers from telling at length what becomes one error here."""
    import logging

    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _same(task: _Task) -> _Task:
    return task


#: The state of the job that a Dask worker did last, and who may change it: its threads share the state.
_held: tuple[str, Any] = ("", None)
_holding = threading.Lock()


def _work_there(task: _Task, items: list[Any], version: str) -> list[Any]:
    global _held
    if version != __version__:
        raise XrdMatchError(f"a Dask worker runs xrdmatch {__version__}, this command is of {version}; install the same on both")
    with _holding:
        if _held[0] != task.key:
            _held = (task.key, task.state())
        state = _held[1]
    return [task.function(state, item) for item in items]
