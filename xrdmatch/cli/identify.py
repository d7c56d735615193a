"""identify: measured files to ranked frameworks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from xrdmatch.cli import inputs, options, outputs, pool
from xrdmatch.cli import watch as watching
from xrdmatch.cli.option_groups import grouped
from xrdmatch.system.startup import no_garbage

if TYPE_CHECKING:
    from xrdmatch.search.result import Identification
    from xrdmatch.system.parallel import Workers

#: Rows of the plot of a single scan.
PLOT = 4
#: Names that are listed of files that are passed over.
PASSED = 8
#: Workers by default at most.
MOST_WORKERS = 16


class Format(StrEnum):
    """How results are written."""

    table = "table"
    json = "json"
    csv = "csv"


@dataclass(frozen=True)
class ScanOptions(options.ScanOptions):
    """Which scans, and how they are read. Raises BadParameter where these cannot be."""

    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Files, folders, patterns such as 'run*/*.raw', or - for standard input.")
    ] = None
    recursive: options.RecursiveOption = False
    watch: options.WatchOption = None
    settle: options.SettleOption = 2.0

    def __post_init__(self) -> None:
        paths = self.paths or []
        if not paths and self.watch is None:
            raise options.wrong("PATH", "give files, folders, - for standard input, or --watch DIR")
        if paths.count(inputs.STDIN) > 1:
            raise options.wrong("PATH", "standard input (-) can be read only once")
        if self.from_stdin and options.ALL in (self.range_index, self.column):
            raise options.wrong("PATH", f"standard input (-) is read once; give files for --range-index {options.ALL} and --column {options.ALL}")
        if self.watch is not None and options.ALL in (self.range_index, self.column):
            raise options.wrong("--watch", f"takes one scan of each file; leave out --range-index {options.ALL} and --column {options.ALL}")
        if self.watch is not None and not self.watch.is_dir():
            raise options.wrong("--watch", f"{self.watch} is not a folder")

    @property
    def from_stdin(self) -> bool:
        return inputs.STDIN in (self.paths or [])


@dataclass(frozen=True)
class CandidateOptions:
    """What a scan may be, how many answers are given, and what is known of the instrument."""

    top: Annotated[int, typer.Option("--top", "-n", min=1, max=12, help="List at most this many matches.")] = 5
    elements: Annotated[
        str | None,
        typer.Option(
            "--elements",
            metavar="Zn,C,N,O",
            help="Consider only structures of these elements, hydrogen, and named frameworks whose metal one of these may replace.",
        ),
    ] = None
    exclude: Annotated[str | None, typer.Option("--exclude", metavar="Cr,V", help="Rule out structures with any of these elements.")] = None
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="NAME|REFCODE", help="A phase that is there; the rest of the scan is searched. May be given several times."),
    ] = None
    instrument_width: options.InstrumentWidthOption = 0.08
    hint: Annotated[bool, typer.Option("--hint/--no-hint", help="Say of an unknown which framework it may be isoreticular with.")] = True


@dataclass(frozen=True)
class ResultOptions:
    """How results are written, and where."""

    format: Annotated[
        Format | None,
        typer.Option(
            "--format", "-f", help="json: one line per file. csv: one row per match. By default the ending of --output decides, otherwise table."
        ),
    ] = None
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write results to this file, complete or not at all.")] = None
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Show each scan in full, with lines found, missing and extra, and family members."),
    ] = False

    @property
    def form(self) -> Format:
        return self.format or options.by_ending(self.output, Format, Format.table)


@dataclass(frozen=True)
class WorkOptions(options.WorkOptions):
    """Where the work is done, and how much is said of it."""

    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Parallel workers, used from 24 files on; by default one per available core, at most 16."),
    ] = None


@grouped(
    "paths model wavelength format output top verbose filter_mode recursive watch settle range_index column peaks elements exclude "
    "accept instrument_width hint plot plot_size plot_scale plot_format html export export_shifted device jobs scheduler quiet"
)
def identify(
    scans: ScanOptions,
    model: options.ModelOptions,
    candidates: CandidateOptions,
    results: ResultOptions,
    made: outputs.FileOptions,
    work: WorkOptions,
) -> None:
    """Name the framework in raw powder scans: a ranked list with a verdict.

    File formats are recognised by their content (Bruker, PANalytical, Rigaku, STOE, text and more); in a folder, other files are skipped.
    Exit code 1 if a file could not be read; the others are still identified.
    """
    if work.scheduler is not None and scans.from_stdin:
        raise options.wrong("--scheduler", "other machines cannot read standard input (-); give files")
    _import_what_is_needed()
    messages, watched = options.Messages(work.quiet), scans.watch is not None
    files = list(scans.parts(_files(scans, results, messages)))
    outputs.check_apart(made.export, [*(scans.paths or []), scans.watch], scans.recursive)
    sinks = outputs.sinks(len(files) + 2 * watched, messages, made)
    job = _job(scans, model, candidates, results.verbose or results.form is Format.table or bool(sinks.sinks), work.scheduler)
    verdicts: list[str] = []
    with (
        sinks,
        _results(results, watched, [] if watched else [path for path, _ in files] if len(files) > 1 else None) as (stream, write),
        watching.stopped_by_signals(watched) as stop,
    ):
        come = None
        if scans.watch is not None:
            own = inputs.results_in(results.output, stream)
            come = watching.Watch(scans.watch, scans.recursive, scans.settle, own, scans.reading()).patterns(stop)
        answers = _answers(files, come, job, model, work, messages)
        if watched:
            messages.note(f"watching {scans.watch}; Ctrl-C ends")
        with options.progress(options.Messages(work.quiet or stream.isatty() or watched), "identifying", len(files), "files") as bar:
            for result in _told(answers, messages):
                write(result)
                sinks.put(result)
                verdicts.append(result.verdict)
                bar.advance()
    _end(verdicts, sinks, messages, watched, results.form is Format.table and not results.verbose)


def _files(scans: ScanOptions, results: ResultOptions, messages: options.Messages) -> list[tuple[str, str]]:
    """The files that were given, and those in folders; what is passed over there is told."""
    passed: list[str] = []
    files = list(inputs.expand(scans.paths or [], scans.recursive, inputs.results_in(results.output, sys.stdout), passed))
    if passed:
        shown = ", ".join([Path(name).name for name in passed[:PASSED]] + ["..."] * (len(passed) > PASSED))
        count = f"{len(passed)} files that are not scans" if len(passed) > 1 else "1 file that is not a scan"
        messages.note(f"skipped {count}: {shown}")
    return files


def _import_what_is_needed() -> None:
    with no_garbage():
        import xrdmatch.model.folder
        import xrdmatch.model.session
        import xrdmatch.report.records
        import xrdmatch.search.options
        import xrdmatch.system.parallel  # noqa: F401


def _job(scans: ScanOptions, model: options.ModelOptions, candidates: CandidateOptions, detail: bool, scheduler: str | None) -> pool.Job:
    """How every file is identified. detail: with evidence and what figures need."""
    from xrdmatch.search.options import SearchOptions

    wanted = options.symbols("--elements", candidates.elements)
    unwanted = options.symbols("--exclude", candidates.exclude) or ()
    search = SearchOptions(
        scans.wavelength,
        scans.filter_mode.value,
        candidates.top,
        wanted,
        unwanted,
        detail,
        candidates.instrument_width,
        candidates.hint,
        tuple(candidates.accept or ()),
    )
    return pool.Job(model.model, search, scans.reading(), model.device.value if scheduler is not None else "cpu")


def _answers(
    files: list[tuple[str, str]],
    come: Iterator[watching.Read] | None,
    job: pool.Job,
    model: options.ModelOptions,
    work: WorkOptions,
    messages: options.Messages,
) -> Iterator[Identification]:
    """The answers for `files`, by several processes where that pays, then by this process for the scans that `come` later."""
    from xrdmatch.model.folder import Model
    from xrdmatch.model.session import CPU
    from xrdmatch.system.parallel import Workers, usable_cores

    loaded, workers = Model.load(model.model, model.device.value), Workers(min(work.jobs or usable_cores(), MOST_WORKERS), work.scheduler)
    if not _pays(files, workers):
        with no_garbage():
            loaded.ready()
        messages.fallback(loaded)
        return pool.here(chain(inputs.patterns(files, workers.jobs, job.reading), come or ()), loaded, job)
    session = None  # of this process, where workers do not open their own
    if not loaded.only_cpu:
        messages.fallback(loaded)
        session = None if loaded.session.provider == CPU or workers.scheduler is not None else loaded.session
    answers = pool.answers(files, workers, job, session)
    return answers if come is None else chain(answers, pool.here(come, loaded, job))


def _pays(files: list[tuple[str, str]], workers: Workers) -> bool:
    """Whether other processes are worth starting, or asked for. They cannot read standard input."""
    return workers.scheduler is not None or (workers.jobs > 1 and len(files) >= pool.FEWEST and all(path != inputs.STDIN for path, _ in files))


@contextmanager
def _results(results: ResultOptions, grows: bool, several: list[str] | None) -> Iterator[tuple[TextIO, Callable[[Identification], None]]]:
    """Where results go and what writes one there. A file appears whole at the end, or, where it `grows`, is added to as results come.

    several: the files, where there is more than one, and none where it is not known how many will come; None: a single scan.
    """
    from xrdmatch.report import records

    output = results.output
    if not grows or output is None or str(output) == "-":
        with options.output_stream(output) as stream:
            if several is not None and results.form is Format.table and not results.verbose:
                write, close = records.list_writer(stream, several)
                yield stream, write
                close()
                return
            write = records.writer(results.form.value, stream, results.verbose, PLOT)
            # Standard error says what is wrong; a table on the same screen has nothing to add.
            told_once = results.form is Format.table and stream is sys.stdout
            yield stream, (lambda result: None if told_once and result.verdict == "error" else write(result))
        return
    with watching.added_to(output) as stream:
        before = os.fstat(stream.fileno()).st_size
        listed = results.form is Format.table and not results.verbose
        write = records.list_writer(stream)[0] if listed else records.writer(results.form.value, stream, results.verbose)
        if results.form is Format.csv:
            watching.one_header(stream, before, output)
        yield stream, write


def _told(results: Iterator[Identification], messages: options.Messages) -> Iterator[Identification]:
    """The results as they come, with what has to be said of each on standard error."""
    from xrdmatch.report.phrases import sentence

    for result in results:
        if result.verdict == "error":
            messages.error(result.reason)
        for note in result.notes:
            messages.warn(sentence(note), result.file)
        yield result


def _end(verdicts: list[str], sinks: outputs.Sinks, messages: options.Messages, watched: bool, listed: bool) -> None:
    """The summary, where there is something to sum up and the results do not end with one, and the exit code."""
    from xrdmatch.report import records

    messages.close()
    if watched or (len(verdicts) > 1 and messages.live and not listed):
        messages.note(records.summary(verdicts))
    if "error" in verdicts or sinks.failed:
        raise typer.Exit(1)
