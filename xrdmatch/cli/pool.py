"""identify of many files: workers that each read and identify on their own, with the answers in order.

The network is the smallest part of it. On the CPU each process runs its own; on a GPU all send their patterns to the parent's one session. Workers of
a cluster run their own, on the device that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrdmatch.cli import inputs
from xrdmatch.errors import XrdMatchError
from xrdmatch.system.parallel import Workers, ordered
from xrdmatch.system.startup import no_garbage

if TYPE_CHECKING:
    from xrdmatch.cli.serving import Ticket
    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.formats import ReadOptions
    from xrdmatch.model.folder import Model
    from xrdmatch.model.session import Network
    from xrdmatch.search.identify import Identifier
    from xrdmatch.search.options import SearchOptions
    from xrdmatch.search.result import Identification

#: Files from which starting processes, each with a model of its own, pays; and files a worker takes at a time where each gets so many in the end.
FEWEST, AT_ONCE, PLENTY = 24, 2, 16


@dataclass(frozen=True)
class Job:
    """How every file of a run is identified: what a worker needs to know."""

    model: str | None
    options: SearchOptions
    reading: ReadOptions | None = None
    device: Any = "cpu"
    ticket: Ticket | None = None  # to the parent's session; without one a worker opens its own
    folder: str = ""  # what paths are relative to, where a worker may have been started elsewhere


def answer(identifier: Identifier, path: str, pattern: Pattern | XrdMatchError, options: SearchOptions) -> Identification:
    """The answer for one file; what cannot be read or identified is an answer as well."""
    from xrdmatch.search.result import error_result

    try:
        if isinstance(pattern, XrdMatchError):
            raise pattern
        return identifier.identify(pattern, options, path)
    except XrdMatchError as error:
        return error_result(path, str(error), identifier.model.name)
    except Exception as error:  # a defect must not stop a batch
        return error_result(path, str(inputs.defect(path, error)), identifier.model.name)


def here(scans: Iterable[tuple[str, Pattern | XrdMatchError]], model: Model, job: Job) -> Iterator[Identification]:
    """The answers for (path, pattern) by this process, in their order."""
    with no_garbage():
        from xrdmatch.search.identify import Identifier

    identifier = Identifier(model)
    identifier.check(job.options)  # what is wrong with them shows before the first scan
    yield from (answer(identifier, path, pattern, job.options) for path, pattern in scans)


def answers(files: Sequence[tuple[str, str]], workers: Workers, job: Job, session: Network | None = None) -> Iterator[Identification]:
    """The answers for (path, why it cannot be read) in their order. Workers of a cluster have to find files and model under the same paths.

    session: runs the network for all of them, in this process; without it each runs its own.
    """
    if session is not None:
        from xrdmatch.cli.serving import serving

        with serving(session) as ticket:
            yield from answers(files, workers, replace(job, ticket=ticket))
        return
    if workers.scheduler is not None:
        known = job.model or os.environ.get("XRDMATCH_MODEL")
        job = replace(job, folder=os.getcwd(), model=str(Path(known).resolve()) if known and Path(known).is_dir() else known)
    yield from ordered(_answer, files, workers, job, _prepare, AT_ONCE if len(files) >= PLENTY * workers.jobs else 1)


def _prepare(job: Job) -> tuple[Identifier, Job]:
    with no_garbage():
        from xrdmatch.model.folder import Model
        from xrdmatch.search.identify import Identifier

        model = Model.load(job.model, job.device, threads=1)
        if job.ticket is not None:
            from xrdmatch.cli.serving import Remote

            model = model.with_network(Remote(job.ticket))
        identifier = Identifier(model)
        identifier.check(job.options)
        return identifier, job


def _answer(state: tuple[Identifier, Job], file: tuple[str, str]) -> Identification:
    identifier, job = state
    path, reason = file
    place = os.path.join(job.folder, path)
    pattern = inputs.load(place, job.reading, reason)
    if isinstance(pattern, XrdMatchError):
        pattern = type(pattern)(str(pattern).replace(place, path))
    return answer(identifier, path, pattern, job.options)
