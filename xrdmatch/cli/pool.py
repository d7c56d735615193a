"""identify of many files: processes that each read and identify on their own, with the answers in order.

The network is the smallest part of it. On the CPU each process runs its own; on a GPU all send their patterns to the parent's one session.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xrdmatch.cli import inputs
from xrdmatch.errors import XrdMatchError

if TYPE_CHECKING:
    from xrdmatch.cli.serving import Ticket
    from xrdmatch.identify import Identification, Identifier
    from xrdmatch.model import Session
    from xrdmatch.pattern import Pattern

#: Files from which starting processes, each with a model of its own, pays.
FEWEST = 24


@dataclass(frozen=True)
class Job:
    """How every file of a run is identified: what a worker needs to know."""

    model: str | None
    top: int
    elements: list[str] | None
    exclude: list[str]
    wavelength: float | None
    mode: Any
    range_index: int | None
    ticket: Ticket | None = None  # to the parent's session; without one a worker opens its own, on the CPU


_identifier: Identifier | None = None
_job: Job | None = None


def answer(identifier: Identifier, path: str, pattern: Pattern | XrdMatchError, wavelength: float | None, mode: Any) -> Identification:
    """The answer for one file; what cannot be read or identified is an answer as well."""
    from xrdmatch.identify import error_result

    try:
        if isinstance(pattern, XrdMatchError):
            raise pattern
        return identifier.identify(pattern, wavelength, mode, path)
    except XrdMatchError as error:
        return error_result(path, str(error), identifier.model.name)
    except Exception as error:  # a defect must not stop a batch
        return error_result(path, str(inputs.defect(path, error)), identifier.model.name)


def answers(files: Iterable[tuple[str, str]], jobs: int, job: Job, session: Session | None = None) -> Iterator[Identification]:
    """The answers for (path, why it cannot be read) in their order, made by `jobs` processes; a few are in flight for each, so memory stays flat.

    session: runs the network for all of them, in this process; without it each runs its own.
    """
    if session is not None:
        from xrdmatch.cli.serving import serving

        with serving(session) as ticket:
            yield from answers(files, jobs, replace(job, ticket=ticket))
        return
    import multiprocessing

    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    os.environ |= dict.fromkeys(threads, "1")  # inherited by the workers, which are the parallel part
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(job,))
    ahead: deque[Future[Identification]] = deque()
    try:
        for file in files:
            ahead.append(pool.submit(_work, file))
            if len(ahead) > 4 * jobs:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
        pool.shutdown()  # waits: the interpreter must not end before its workers
    except BrokenProcessPool as error:
        raise XrdMatchError("a worker was killed, most likely for want of memory: try --jobs 1") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for name, value in threads.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _start(job: Job) -> None:
    from xrdmatch.build import prepare_worker
    from xrdmatch.identify import Identifier
    from xrdmatch.model import Model

    global _identifier, _job
    prepare_worker()
    model = Model.load(job.model, "cpu")
    model.threads = 1
    if job.ticket is not None:
        from xrdmatch.cli.serving import Remote

        model.session = Remote(job.ticket)
    _identifier, _job = Identifier(model, "cpu", job.top, job.elements, job.exclude), job


def _work(file: tuple[str, str]) -> Identification:
    assert _identifier is not None
    assert _job is not None
    path, reason = file
    return answer(_identifier, path, inputs.load(path, _job.range_index, reason), _job.wavelength, _job.mode)
