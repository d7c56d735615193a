"""What the commands share: options, messages on standard error, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import typer

from xrdmatch.errors import ModelError, XrdMatchError
from xrdmatch.system import atomic_files
from xrdmatch.system.startup import no_garbage

if TYPE_CHECKING:
    from xrdmatch.formats import ReadOptions
    from xrdmatch.model.folder import Model

#: Endings of libraries and of sets of training patterns.
HDF5_SUFFIXES = (".h5", ".hdf5")
#: Endings of files that hold one pattern.
PATTERN_SUFFIXES = (".xy", ".xye", ".csv")
#: Repeats of one warning that are printed; the rest are counted.
WARNINGS = 3


class Device(StrEnum):
    """Where the network runs."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


class Filter(StrEnum):
    """When a scan goes through the FFT filter."""

    auto = "auto"
    paper = "paper"
    on = "on"
    off = "off"


def wrong(option: str, what: str) -> typer.BadParameter:
    """The usage error of an option or argument: its name as people type it, what is wrong with it and what to give instead."""
    return typer.BadParameter(what, param_hint=option)


def refuse(context: typer.Context, panel: str, why: str) -> None:
    """Raise BadParameter where an option of this panel of --help was given, which would do nothing here; why: what here is."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if getattr(parameter, "rich_help_panel", None) == panel and source is not None and source.name == "COMMANDLINE":
            raise wrong(parameter.opts[-1], f"belongs to {panel}, but {why}")


Form = TypeVar("Form", bound=StrEnum)

#: Endings that mean another form than their own name.
_ENDINGS = {"jsonl": "json", "ndjson": "json"}


def by_ending(output: Path | None, forms: type[Form], otherwise: Form) -> Form:
    """The form of results that the ending of a file stands for: .csv, .json, .jsonl; `otherwise` for others, and without a file."""
    ending = output.suffix.lower().removeprefix(".") if output is not None else ""
    return next((form for form in forms if form.value == _ENDINGS.get(ending, ending)), otherwise)


def wavelength(text: str) -> float:
    """Angstrom, of what is given on the command line."""
    from xrdmatch.diffraction.radiation import parse_wavelength

    try:
        return parse_wavelength(text)
    except XrdMatchError as error:
        raise wrong("--wavelength", str(error)) from error


def _scheduler(text: str) -> str:
    from xrdmatch.system.parallel import ADDRESS, LOCAL

    if text != LOCAL and not ADDRESS.fullmatch(text):
        raise wrong("--scheduler", f"expected {LOCAL} or tcp://HOST:PORT, as 'dask scheduler' prints it, got {text!r}")
    return text


def _models(incomplete: str) -> list[str]:
    """For the shell's completion; where no shipped model fits, the shell goes on with folders."""
    from xrdmatch.model.folder import shipped_models

    return [name for name in shipped_models() if name.startswith(incomplete)]


def check_model(option: str, model: str | None) -> None:
    """Raises BadParameter, with the names that exist, where this is neither a shipped model nor the folder of one."""
    if model is None:
        return
    with no_garbage():
        from xrdmatch.model.folder import VARIABLE, find_model

    try:
        find_model(model)
    except ModelError as error:
        raise wrong(VARIABLE if os.environ.get(VARIABLE) == model else option, str(error)) from error


def symbols(option: str, text: str | None) -> tuple[str, ...] | None:
    """Element symbols of a list such as `Zn,C,N,O`, the value of an option; None where there is none. Raises BadParameter for what is no element."""
    if text is None:
        return None
    from xrdmatch.diffraction.elements import element_symbols

    try:
        return element_symbols(text)
    except XrdMatchError as error:
        raise wrong(option, str(error)) from error


ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|DIR",
        help="A model's name or folder; the shipped one by default.",
        envvar="XRDMATCH_MODEL",
        autocompletion=_models,
    ),
]
WAVELENGTH = "Cu|CuKa1|ANGSTROM"
WavelengthOption = Annotated[
    float | None,
    typer.Option(
        "--wavelength", "-w", metavar=WAVELENGTH, parser=wavelength, help="Overrides the file's wavelength. Cu is assumed if neither gives one."
    ),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="auto uses an NVIDIA GPU if there is a working one; cuda fails without.")]
JobsOption = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Parallel workers; by default one per available core.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="tcp://HOST:PORT|local",
        parser=_scheduler,
        help="Run on a Dask cluster (extra cluster): a scheduler's address, or local for --jobs processes here.",
    ),
]
ThreadsOption = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="CPU threads; by default one per available core.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress, notes and warnings; errors are still shown.")]
NameTableOption = Annotated[
    Path | None, typer.Option("--name-table", metavar="FILE", help="Names of your own: a CSV table with the columns refcode, name and doi.")
]
FilterOption = Annotated[Filter, typer.Option("--filter", help="FFT filter. auto: only for noisy scans. paper: by the rule of Wang et al. 2020.")]
RangeOption = Annotated[
    str | None,
    typer.Option("--range-index", metavar="N|all", help="Which range to read if the file holds several, from 1, or each. By default the longest."),
]
ColumnOption = Annotated[
    str | None,
    typer.Option("--column", metavar="NAME|N|all", help="Which sample to read if a table holds several, or each. By default the first."),
]
PeaksOption = Annotated[bool, typer.Option("--peaks", help="Draw a list of peaks as a scan; without it, lists are refused.")]
#: What asks for every range, or every sample.
ALL = "all"
RecursiveOption = Annotated[bool, typer.Option("--recursive", "-r", help="Include subfolders.")]
WATCH = "A folder that fills"
WatchOption = Annotated[
    Path | None,
    typer.Option("--watch", metavar="DIR", help="Wait for new scans in this folder and answer each, until Ctrl-C.", rich_help_panel=WATCH),
]
SettleOption = Annotated[
    float, typer.Option("--settle", min=0.1, help="A file is complete after this many seconds without change.", rich_help_panel=WATCH)
]
InstrumentWidthOption = Annotated[
    float,
    typer.Option(
        "--instrument-width", min=0.0, metavar="DEGREES", help="Line width of a perfect sample on your diffractometer, for crystallite sizes."
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", help="The same seed gives the same result.")]


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and where its network runs. Raises BadParameter where there is no such model."""

    model: ModelOption = None
    device: DeviceOption = Device.auto

    def __post_init__(self) -> None:
        check_model("--model", self.model)


@dataclass(frozen=True)
class ScanOptions:
    """How a measured file is read."""

    wavelength: WavelengthOption = None
    filter_mode: FilterOption = Filter.auto
    range_index: RangeOption = None
    column: ColumnOption = None
    peaks: PeaksOption = False

    def reading(self) -> ReadOptions:
        """What to read of each file. Raises BadParameter for a range that is no number."""
        from xrdmatch.formats import ReadOptions

        chosen = self.range_index
        if chosen not in (None, ALL) and not (chosen.isdecimal() and int(chosen) > 0):
            raise wrong("--range-index", f"expected a number from 1, or {ALL}, got {chosen!r}")
        column = None if self.column == ALL else self.column
        return ReadOptions(None if chosen in (None, ALL) else int(chosen), column, self.peaks, self.wavelength)

    def parts(self, files: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """The files that are read; those of several ranges or samples once for each, where all were asked for."""
        from xrdmatch.cli.inputs import each_part

        each = self.range_index == ALL, self.column == ALL
        return each_part(files, *each) if any(each) else iter(files)


@dataclass(frozen=True)
class WorkOptions:
    """Where the work is done, and how much is said of it."""

    jobs: JobsOption = None
    scheduler: SchedulerOption = None
    quiet: QuietOption = False


@dataclass
class Messages:
    """Notes, warnings and errors, one line each on standard error."""

    quiet: bool = False
    _warned: dict[str, int] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Whether progress may be shown."""
        return not self.quiet and sys.stderr.isatty()

    def note(self, text: str) -> None:
        if not self.quiet:
            typer.echo(text, err=True)

    def warn(self, text: str, source: str = "") -> None:
        """Print a warning; one that comes for many sources is printed a few times and then only counted."""
        self._warned[text] = self._warned.get(text, 0) + 1
        if not self.quiet and self._warned[text] <= WARNINGS:
            _tagged("warning", "yellow", f"{source}: {text}" if source else text)

    def fallback(self, model: Model) -> None:
        """Say once why the network runs on the CPU of a machine with an NVIDIA driver."""
        if model.session.fallback:
            self.warn(f"running on the CPU: {model.session.fallback}; --device cpu silences this")

    def error(self, text: str) -> None:
        _tagged("error", "red", text)

    def close(self) -> None:
        """Say how often repeated warnings came."""
        for text, times in self._warned.items():
            if times > WARNINGS and not self.quiet:
                _tagged("warning", "yellow", f"the same for {times - WARNINGS} more: {text}")

    def listed(self, what: str, items: list[tuple[str, str]], shown: int = 10) -> None:
        """A heading with a count, and the first of (name, reason)."""
        if not items:
            return
        self.note(f"{len(items)} {what}:")
        for name, reason in items[:shown]:
            self.note(f"  {reason if reason.startswith(name) else f'{name}: {reason}' if reason else name}")
        if len(items) > shown:
            self.note(f"  ... and {len(items) - shown} more")


def _tagged(tag: str, colour: str, text: str) -> None:
    """NO_COLOR counts; a pipe gets no colour in any case."""
    plain = bool(os.environ.get("NO_COLOR"))
    typer.echo((tag if plain else typer.style(tag, fg=colour, bold=True)) + ": " + text, err=True, color=False if plain else None)


@contextlib.contextmanager
def output_stream(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file at `path` that appears when all is written. `-` is standard output as well."""
    if path is None or str(path) == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    with atomic_files.writing(path), atomic_files.atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        yield stream


@contextlib.contextmanager
def progress(messages: Messages, title: str, total: int | None = None, unit: str = "") -> Iterator[Any]:
    """A rich progress line on a terminal: an object with advance(number) and update(...); silent elsewhere."""
    if not messages.live:
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")]
    columns += [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as display:
        yield _Live(display, display.add_task(title, total=total, rate=""), unit)


class _Silent:
    def advance(self, number: int = 1) -> None: ...

    def update(self, **fields: Any) -> None: ...


class _Live(_Silent):
    def __init__(self, display: Any, task: Any, unit: str) -> None:
        self.display, self.task, self.unit = display, task, unit

    def advance(self, number: int = 1) -> None:
        self.update(advance=number)

    def update(self, **fields: Any) -> None:
        """total, completed, description; rate, by default in units a second."""
        speed = self.display.tasks[0].speed
        self.display.update(self.task, **{"rate": f"{speed:.3g} {self.unit}/s" if speed and self.unit else "", **fields})
