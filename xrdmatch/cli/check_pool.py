"""check of many scans: each is read and checked on its own, by this process or by several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xrdmatch.cli import inputs
from xrdmatch.errors import XrdMatchError
from xrdmatch.system.parallel import Workers, ordered
from xrdmatch.system.startup import no_garbage

if TYPE_CHECKING:
    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.formats import ReadOptions
    from xrdmatch.search.check import Checker
    from xrdmatch.search.check_result import CheckResult
    from xrdmatch.search.options import SearchOptions

#: Scans from which starting processes, each with a model of its own, pays; scans a worker takes at a time; workers by default at most.
FEWEST, AT_ONCE, MOST_WORKERS = 32, 4, 16


@dataclass(frozen=True)
class Task:
    """One scan. expected: what it should show. reason: why it cannot be read, or empty."""

    path: str
    expected: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True)
class Job:
    """How every scan of a run is checked: what a worker needs to know."""

    model: str | None
    device: Any
    options: SearchOptions
    reading: ReadOptions | None = None


def ready(job: Job) -> Checker:
    """A checker with the job's model. Raises ModelError or LibraryError where it is not whole."""
    with no_garbage():
        from xrdmatch.model.folder import Model
        from xrdmatch.search.check import Checker
        from xrdmatch.search.identify import Identifier

        return Checker(Identifier(Model.load(job.model, job.device, threads=1)))


def answer(checker: Checker, path: str, pattern: Pattern | XrdMatchError, expected: Sequence[str], options: SearchOptions) -> CheckResult:
    """The result for one scan; what cannot be read or looked up is a result as well."""
    from xrdmatch.search.check_result import error_result

    try:
        if isinstance(pattern, XrdMatchError):
            raise pattern
        return checker.check(pattern, expected, options, path)
    except XrdMatchError as error:
        return error_result(path, str(error), expected, checker.model.name)
    except Exception as error:  # a defect must not stop a batch
        return error_result(path, str(inputs.defect(path, error)), expected, checker.model.name)


def here(checker: Checker, tasks: Sequence[Task], job: Job, threads: int) -> Iterator[CheckResult]:
    """The results by this process, in their order; `threads` read ahead."""
    patterns = inputs.patterns([(task.path, task.reason) for task in tasks], threads, job.reading)
    for task, (path, pattern) in zip(tasks, patterns, strict=True):
        yield answer(checker, path, pattern, task.expected, job.options)


def answers(tasks: Sequence[Task], jobs: int, job: Job) -> Iterator[CheckResult]:
    """The results by several processes, in their order."""
    yield from ordered(_answer, tasks, Workers(jobs), job, _prepare, AT_ONCE)


def _prepare(job: Job) -> tuple[Checker, Job]:
    return ready(Job(job.model, "cpu", job.options, job.reading)), job


def _answer(state: tuple[Checker, Job], task: Task) -> CheckResult:
    checker, job = state
    return answer(checker, task.path, inputs.load(task.path, job.reading, task.reason), task.expected, job.options)
