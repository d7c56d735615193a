"""serve: a page on this machine to drop scans into."""

from __future__ import annotations

import signal
import sys
import webbrowser
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrdmatch.cli import options, outputs
from xrdmatch.cli import watch as watching
from xrdmatch.cli.option_groups import grouped
from xrdmatch.system.startup import no_garbage

if TYPE_CHECKING:
    from xrdmatch.serve.workspace import Workspace

#: Worker processes by default at most: each has a model in memory.
MOST_WORKERS = 4
#: What --keep writes.
KEPT = ("results.jsonl", "results.csv", "report.html")
LIMITS = "Limits"


@dataclass(frozen=True)
class PageOptions:
    """Where the page is, and what becomes of it."""

    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 0
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in your browser.")] = True
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help=f"When it ends, write {', '.join(KEPT)} there. Without it nothing is kept."),
    ] = None

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep.is_file():
            raise options.wrong("--keep", f"{self.keep} is a file; give a folder")


@dataclass(frozen=True)
class LimitOptions:
    """How much the page takes."""

    max_size: Annotated[int, typer.Option("--max-size", min=1, max=256, metavar="MB", rich_help_panel=LIMITS, help="Largest file.")] = 100
    max_scans: Annotated[int, typer.Option("--max-scans", min=1, max=10_000, rich_help_panel=LIMITS, help="Scans on the page at a time.")] = 500
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Worker processes; by default one per core, at most 4, and one on a GPU."),
    ] = None
    quiet: options.QuietOption = False


@grouped("model device port browser keep jobs max_size max_scans quiet")
def serve(model: options.ModelOptions, page: PageOptions, limits: LimitOptions) -> None:
    """Open a page on this machine to drop scans into.

    The page shows what identify finds as scans come in, checks them for an expected phase, and searches the rest when you accept one. It is reached
    from this machine alone, through the address that is printed; nothing leaves the machine. Ctrl-C ends it and deletes what was dropped.
    """
    messages = options.Messages(limits.quiet)
    with no_garbage():
        from xrdmatch.serve.server import listening, need_libraries, serving
    need_libraries()
    jobs = _jobs(model, limits, messages)
    if page.keep is not None:
        outputs.make_folder(page.keep)
    with ExitStack() as ending:
        place = listening(page.port)
        stop = ending.enter_context(watching.stopped_by_signals(also=_closed_terminal()))
        workspace = ending.enter_context(_workspace(model, limits, jobs))
        address = ending.enter_context(serving(workspace, place))
        typer.echo(address)
        sys.stdout.flush()
        messages.note("Open this address in a browser on this machine. Ctrl-C ends it.")
        if page.browser:
            webbrowser.open(address)
        while not stop.wait(1.0):  # a wait without end would not let Ctrl-C through on Windows
            pass
        messages.note("ending")
        if page.keep is not None:
            _keep(workspace, page.keep, messages)


def _closed_terminal() -> tuple[int, ...]:
    """The signal of a terminal that is closed, where there is one and it is not ignored, as nohup has it."""
    hangup = getattr(signal, "SIGHUP", None)
    return () if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN else (hangup,)


def _jobs(model: options.ModelOptions, limits: LimitOptions, messages: options.Messages) -> int:
    """How many processes work. Raises ModelError where the model cannot run: before the page is there."""
    from xrdmatch.model.folder import Model
    from xrdmatch.model.session import CPU
    from xrdmatch.system.parallel import usable_cores

    loaded = Model.load(model.model, model.device.value)
    loaded.ready()
    messages.fallback(loaded)
    on_gpu = not loaded.only_cpu and loaded.session.provider != CPU
    return limits.jobs or (1 if on_gpu else min(usable_cores(), MOST_WORKERS))


def _workspace(model: options.ModelOptions, limits: LimitOptions, jobs: int) -> Workspace:
    from xrdmatch.serve.answering import beginning
    from xrdmatch.serve.settings import Limits
    from xrdmatch.serve.work import WorkQueue
    from xrdmatch.serve.workspace import Workspace

    work = WorkQueue(beginning(model.model, model.device.value), jobs)
    return Workspace(work, Limits(limits.max_size * 1_000_000, limits.max_scans))


def _keep(workspace: Workspace, folder: Path, messages: options.Messages) -> None:
    """Write what was found. A folder's older results are replaced."""
    from xrdmatch.serve.downloads import DOWNLOADS
    from xrdmatch.system.atomic_files import atomic_write, writing

    answers = workspace.results()
    for name in KEPT:
        path = folder / name
        with writing(path), atomic_write(path) as part:
            part.write_bytes(DOWNLOADS[name](answers).content)
    messages.note(f"{folder}: results of {len(answers)} scan{'s' if len(answers) != 1 else ''}")
