"""identify: measured files to ranked frameworks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from xrdmatch.cli import inputs, options, outputs, pool
from xrdmatch.cli import watch as watching
from xrdmatch.system.startup import no_garbage

if TYPE_CHECKING:
    from xrdmatch.search.result import Identification

WATCH = "A folder that fills"
#: Rows of the plot of a single scan; of several, each has one.
PLOT = 4


class Format(StrEnum):
    """How results are written."""

    table = "table"
    json = "json"
    csv = "csv"


def identify(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Files, folders, patterns such as 'run*/*.raw', or - for standard input.")
    ] = None,
    model: options.ModelOption = None,
    wavelength: options.WavelengthOption = None,
    format: Annotated[
        Format | None,
        typer.Option(
            "--format", "-f", help="json: one line per file. csv: one row per match. By default the ending of --output decides, otherwise table."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write results to this file, complete or not at all.")] = None,
    top: Annotated[int, typer.Option("--top", "-n", min=1, max=12, help="List at most this many matches.")] = 5,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the evidence: lines found, missing and extra; family members.")] = False,
    filter_mode: options.FilterOption = options.Filter.auto,
    recursive: options.RecursiveOption = False,
    watch: Annotated[
        Path | None,
        typer.Option("--watch", metavar="DIR", help="Keep identifying what is written into this folder, until Ctrl-C.", rich_help_panel=WATCH),
    ] = None,
    settle: Annotated[
        float, typer.Option("--settle", min=0.1, help="A file is complete after this many seconds without change.", rich_help_panel=WATCH)
    ] = 2.0,
    range_index: options.RangeOption = None,
    elements: Annotated[
        str | None, typer.Option("--elements", metavar="Zn,C,N,O", help="Consider only structures of these elements; hydrogen is always allowed.")
    ] = None,
    exclude: Annotated[str | None, typer.Option("--exclude", metavar="Cr,V", help="Rule out structures with any of these elements.")] = None,
    plot: outputs.PlotOption = None,
    plot_size: outputs.PlotSizeOption = outputs.PlotSize.double,
    plot_scale: outputs.PlotScaleOption = outputs.PlotScale.linear,
    plot_format: outputs.PlotFormatOption = outputs.PlotFormat.pdf,
    html: outputs.HtmlOption = None,
    export: outputs.ExportOption = None,
    export_shifted: outputs.ShiftedOption = False,
    device: options.DeviceOption = options.Device.auto,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Parallel workers, used from 24 files on; by default one per available core, at most 16."),
    ] = None,
    scheduler: options.SchedulerOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Name the framework in raw powder scans: a ranked list with a verdict.

    File formats are recognised by their content (Bruker, PANalytical, Rigaku, STOE, text and more). In a folder, files with a known ending are read.
    Exit code 1 where a file could not be read; the others are still identified.
    """
    with no_garbage():
        from xrdmatch.model.folder import Model
        from xrdmatch.model.session import CPU
        from xrdmatch.report import records
        from xrdmatch.search.options import SearchOptions
        from xrdmatch.system.parallel import Workers, usable_cores

    paths = paths or []
    if not paths and watch is None:
        raise options.wrong("PATH", "give files, folders, - for standard input, or --watch DIR")
    if paths.count(inputs.STDIN) > 1:
        raise options.wrong("PATH", "standard input (-) can be read only once")
    if scheduler is not None and inputs.STDIN in paths:
        raise options.wrong("--scheduler", "other machines cannot read standard input (-); give files")
    if watch is not None and not watch.is_dir():
        raise options.wrong("--watch", f"{watch} is not a folder")
    wanted, unwanted = options.symbols("--elements", elements), options.symbols("--exclude", exclude) or ()
    messages, form = options.Messages(quiet), format or options.by_ending(output, Format, Format.table)
    files = list(inputs.expand(paths, recursive, inputs.results_in(output, sys.stdout)))
    outputs.check_apart(export, [*paths, watch], recursive)
    asked = outputs.Asked(plot, plot_size, plot_scale, plot_format, html, export, export_shifted)
    sinks = outputs.sinks(len(files) + 2 * (watch is not None), messages, asked)
    verdicts: list[str] = []
    rows = PLOT if len(files) == 1 and watch is None else 1
    detail = verbose or form is Format.table or bool(sinks.sinks)
    with (
        sinks,
        _results(output, form, verbose, watch is not None, rows) as (stream, write),
        watching.stopped_by_signals(watch is not None) as stop,
    ):
        told_once = form is Format.table and stream is sys.stdout  # standard error says what is wrong; a table has nothing to add
        own = inputs.results_in(output, stream)
        arrivals = watching.Watch(watch, recursive, settle, own, range_index) if watch is not None else None
        loaded, workers = Model.load(model, device.value), Workers(min(jobs or usable_cores(), 16), scheduler)
        many = scheduler is not None or (workers.jobs > 1 and len(files) >= pool.FEWEST and inputs.STDIN not in paths)
        session = None  # of this process, where workers do not open their own
        if not many:
            with no_garbage():
                loaded.ready()
        if not many or not loaded.only_cpu:
            messages.fallback(loaded)
            session = None if loaded.session.provider == CPU or scheduler is not None else loaded.session
        where = device.value if scheduler is not None else "cpu"
        job = pool.Job(model, SearchOptions(wavelength, filter_mode.value, top, wanted, unwanted, detail), range_index, where)
        with options.progress(options.Messages(quiet or stream.isatty() or watch is not None), "identifying", len(files), "files") as bar:
            come: Iterator[watching.Read] = iter(())
            if arrivals is not None:
                messages.note(f"watching {watch}; Ctrl-C ends")
                come = arrivals.patterns(stop)
            if many:
                results = pool.answers(files, workers, job, session)
                if arrivals is not None:
                    results = chain(results, pool.here(come, loaded, job))
            else:
                results = pool.here(chain(inputs.patterns(files, workers.jobs, range_index), come), loaded, job)
            for result in _told(results, messages):
                if not (told_once and result.verdict == "error"):
                    write(result)
                sinks.put(result)
                verdicts.append(result.verdict)
                bar.advance()
    messages.close()
    if watch is not None or (len(verdicts) > 1 and messages.live):
        messages.note(records.summary(verdicts))
    if "error" in verdicts or sinks.failed:
        raise typer.Exit(1)


@contextmanager
def _results(output: Path | None, format: Format, verbose: bool, grows: bool, plot: int) -> Iterator[tuple[TextIO, Callable[[Identification], None]]]:
    """Where results go and what writes one there. A file appears whole at the end, or, where it `grows`, is added to as results come."""
    from xrdmatch.report import records

    if not grows or output is None or str(output) == "-":
        with options.output_stream(output) as stream:
            yield stream, records.writer(format.value, stream, verbose, plot)
        return
    with watching.added_to(output) as stream:
        before = os.fstat(stream.fileno()).st_size
        write = records.writer(format.value, stream, verbose, plot)
        if format is Format.csv:
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
