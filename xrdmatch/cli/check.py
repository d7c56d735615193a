"""check: is it what I made, and is it pure?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from xrdmatch.cli import check_pool, inputs, options, outputs
from xrdmatch.cli import watch as watching
from xrdmatch.cli.identify import Format
from xrdmatch.cli.option_groups import grouped
from xrdmatch.system.startup import no_garbage

if TYPE_CHECKING:
    from xrdmatch.search.check import Checker
    from xrdmatch.search.check_result import CheckResult

#: What stands between the names of a plan's row.
AND = "+"
#: Exit code where something expected is absent, or where that is unclear.
NOT_THERE = 3


@dataclass(frozen=True)
class ScanOptions(options.ScanOptions):
    """Which scans, what is expected in them, and how they are read. Raises BadParameter where these cannot be."""

    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Files, folders, patterns, - for standard input; or a plan: a CSV of file and expect.")
    ] = None
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", "-e", metavar="NAME|REFCODE|CIF", help="What the scans should show. Given several times: all of them together."),
    ] = None
    recursive: options.RecursiveOption = False
    watch: options.WatchOption = None
    settle: options.SettleOption = 2.0

    def __post_init__(self) -> None:
        paths = self.paths or []
        if not paths and self.watch is None:
            raise options.wrong("PATH", "give scans, folders, - for standard input, a plan, or --watch DIR")
        if not self.expect and (self.watch is not None or len(paths) != 1 or Path(paths[0]).suffix.lower() != ".csv"):
            raise options.wrong("--expect", "say what the scans should show, for example --expect UiO-66; or give one plan, a CSV of file and expect")
        if any(not text.strip() for text in self.expect or []):
            raise options.wrong("--expect", "is empty; give a name, a refcode or a structure file")
        if self.watch is not None and not self.watch.is_dir():
            raise options.wrong("--watch", f"{self.watch} is not a folder")

    @property
    def is_plan(self) -> bool:
        return not self.expect


@dataclass(frozen=True)
class ResultOptions:
    """How results are written, and where."""

    format: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="json: one line per scan. csv: one row per scan. By default the ending of --output decides, else table."),
    ] = None
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write results to this file, complete or not at all.")] = None
    html: outputs.HtmlOption = None

    @property
    def form(self) -> Format:
        return self.format or options.by_ending(self.output, Format, Format.table)


@dataclass(frozen=True)
class WorkOptions:
    """Where the work is done, how much is said of it, and what is known of the instrument."""

    instrument_width: options.InstrumentWidthOption = 0.08
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Parallel workers, used from 32 scans on; by default one per core, at most 16."),
    ] = None
    quiet: options.QuietOption = False


@grouped(
    "paths expect model wavelength format output filter_mode recursive watch settle range_index column peaks instrument_width html device jobs quiet"
)
def check(scans: ScanOptions, model: options.ModelOptions, results: ResultOptions, work: WorkOptions) -> None:
    """Check whether scans show what you made, and nothing else.

    Every scan gets one verdict: pure, present (with further peaks), absent, unclear or unusable. A name stands for its whole framework, whatever the
    form, the cell and the metal. Exit code 0 if all are pure or present, 3 if one is absent or unclear or unusable, 1 if one could not be read.
    """
    messages = options.Messages(work.quiet)
    with no_garbage():
        import xrdmatch.report.checked as checked
        import xrdmatch.search.check  # noqa: F401
    tasks = _planned(Path((scans.paths or [""])[0]), scans) if scans.is_plan else _given(scans, results)
    told: list[str] = []
    watched = scans.watch is not None
    sinks = outputs.check_sinks(results.html, len(tasks) + 2 * watched, messages)
    with sinks, _results(results, watched) as (stream, write), watching.stopped_by_signals(watched) as stop:
        come = None
        if scans.watch is not None:
            own = inputs.results_in(results.output, stream)
            come = watching.Watch(scans.watch, scans.recursive, scans.settle, own, scans.reading()).patterns(stop)
            messages.note(f"watching {scans.watch}; Ctrl-C ends")
        with options.progress(options.Messages(work.quiet or stream.isatty() or come is not None), "checking", len(tasks), "scans") as bar:
            for result in _answers(tasks, come, scans, model, work, bool(sinks.sinks)):
                _tell(result, messages)
                if result.verdict != "error" or results.form is not Format.table or stream is not sys.stdout:
                    write(result)
                sinks.put(result)
                told.append(result.verdict)
                bar.advance()
    messages.close()
    if watched or (len(told) > 1 and messages.live):
        messages.note(checked.summary(told))
    _end(told, sinks.failed)


def _end(verdicts: list[str], failed: bool) -> None:
    """The exit code: what could not be read or written goes before what is not there."""
    if "error" in verdicts or failed:
        raise typer.Exit(1)
    if not set(verdicts) <= {"pure", "present"}:
        raise typer.Exit(NOT_THERE)


def _tell(result: CheckResult, messages: options.Messages) -> None:
    """What has to be said of a result on standard error."""
    from xrdmatch.report.phrases import sentence

    if result.verdict == "error":
        messages.error(result.reason)
    for note in result.notes:
        messages.warn(sentence(note), result.file)


def _given(scans: ScanOptions, results: ResultOptions) -> list[check_pool.Task]:
    """The scans that were given, all with the same expectation."""
    files = inputs.expand(scans.paths or [], scans.recursive, inputs.results_in(results.output, sys.stdout))
    expected = tuple(text.strip() for text in scans.expect or [])
    return [check_pool.Task(path, expected, reason) for path, reason in scans.parts(files)]


def _planned(path: Path, scans: ScanOptions) -> list[check_pool.Task]:
    """The rows of a plan; its files lie beside it. Raises LibraryError where it is none."""
    from xrdmatch.library.csv_table import read_table

    tasks = []
    table = read_table(path, "a plan, a table with the columns file and expect, or give --expect", ("file", "expect"))
    for line, row in table.records():
        file, asked = row.get("file", "").strip(), tuple(part.strip() for part in row.get("expect", "").split(AND) if part.strip())
        wrong = "no file is named" if not file else "nothing is expected" if not asked else ""
        place = str(path.parent / file) if file else f"{path}, line {line}"
        expected = tuple(_beside(path.parent, text) for text in asked)
        parts = [(place, f"{path}, line {line}: {wrong}")] if wrong else list(scans.parts(inputs.expand([place])))
        tasks += [check_pool.Task(name, expected, reason) for name, reason in parts]
    if not tasks:
        raise options.wrong("PATH", f"{path} has no rows")
    return tasks


def _beside(folder: Path, text: str) -> str:
    """A structure file lies beside the plan, too."""
    place = folder / text
    return str(place) if place.is_file() else text


def _answers(
    tasks: list[check_pool.Task],
    come: Iterator[watching.Read] | None,
    scans: ScanOptions,
    model: options.ModelOptions,
    work: WorkOptions,
    detail: bool,
) -> Iterator[CheckResult]:
    """The results of `tasks`, by several processes where that pays, then those of the scans that `come` later. detail: with what a page needs."""
    from xrdmatch.search.options import SearchOptions
    from xrdmatch.system.parallel import usable_cores

    search = SearchOptions(scans.wavelength, scans.filter_mode.value, detail=detail, instrument_width=work.instrument_width)
    jobs = min(work.jobs or usable_cores(), check_pool.MOST_WORKERS)
    job = check_pool.Job(model.model, model.device.value, search, scans.reading())
    checker = check_pool.ready(job)
    expected = tuple(text.strip() for text in scans.expect or [])
    if expected:
        _known(checker, expected)
    if come is None and jobs > 1 and len(tasks) >= check_pool.FEWEST and all(task.path != inputs.STDIN for task in tasks):
        return check_pool.answers(tasks, jobs, job)
    later = (check_pool.answer(checker, path, pattern, expected, search) for path, pattern in come or ())
    return chain(check_pool.here(checker, tasks, job, jobs), later)


def _known(checker: Checker, expected: tuple[str, ...]) -> None:
    """Raises BadParameter where something expected is not known: before the first scan."""
    from xrdmatch.errors import XrdMatchError

    try:
        checker.asked(expected)
    except XrdMatchError as error:
        raise options.wrong("--expect", str(error)) from error


@contextmanager
def _results(results: ResultOptions, grows: bool) -> Iterator[tuple[TextIO, Callable[[CheckResult], None]]]:
    """Where results go and what writes one there. A file appears whole at the end, or, where it `grows`, is added to as results come."""
    from xrdmatch.report import checked

    output = results.output
    if not grows or output is None or str(output) == "-":
        with options.output_stream(output) as stream:
            yield stream, checked.writer(results.form.value, stream)
        return
    with watching.added_to(output) as stream:
        before = stream.seek(0, 2)
        write = checked.writer(results.form.value, stream)
        if results.form is Format.csv:
            watching.one_header(stream, before, output)
        yield stream, write
