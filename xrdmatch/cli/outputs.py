"""What identify and check make beside their results: figures, a page, files for refinement.

Each is checked before the work and written whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from xrdmatch.cli import inputs, options
from xrdmatch.errors import XrdMatchError
from xrdmatch.system.atomic_files import check_writable, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xrdmatch.report.check_page import CheckPage
    from xrdmatch.report.figure_style import Book
    from xrdmatch.report.html_page import Page
    from xrdmatch.search.check_result import CheckResult
    from xrdmatch.search.result import Identification

PANEL = "Figures, pages and export"


class PlotSize(StrEnum):
    """How wide a figure is."""

    single = "single"
    double = "double"


class PlotScale(StrEnum):
    """How intensities are drawn."""

    linear = "linear"
    sqrt = "sqrt"


class PlotFormat(StrEnum):
    """What figures in a folder are written as."""

    pdf = "pdf"
    svg = "svg"
    png = "png"


PlotSizeOption = Annotated[PlotSize, typer.Option("--plot-size", rich_help_panel=PANEL, help="Width of one journal column, or of two.")]

HtmlOption = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", rich_help_panel=PANEL, help="Write one page with all scans, to look through in a browser, offline."),
]


@dataclass(frozen=True)
class PlotOptions:
    """Figures of scans."""

    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE|DIR",
            rich_help_panel=PANEL,
            help="Draw the result: .pdf .svg .png, or a folder for one picture per scan (extra plot).",
        ),
    ] = None
    plot_size: PlotSizeOption = PlotSize.double
    plot_scale: Annotated[PlotScale, typer.Option("--plot-scale", rich_help_panel=PANEL, help="sqrt makes weak lines visible.")] = PlotScale.linear
    plot_format: Annotated[PlotFormat, typer.Option("--plot-format", rich_help_panel=PANEL, help="Format of the pictures in a folder.")] = (
        PlotFormat.pdf
    )


@dataclass(frozen=True)
class FileOptions(PlotOptions):
    """What is made beside the results."""

    html: HtmlOption = None
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", rich_help_panel=PANEL, help="Write files for a refinement: cell, indexed lines, peaks, .xye."),
    ] = None
    export_shifted: Annotated[
        bool, typer.Option("--export-shifted", rich_help_panel=PANEL, help="Subtract the zero shift found from the exported angles.")
    ] = False


class Sink(Protocol):
    """Takes one answer after the other."""

    def put(self, result: Any) -> None: ...

    def close(self, keep: bool) -> str:
        """Put what was made in its place, or remove it; what to tell of it."""
        ...


class Sinks:
    """Several sinks as one. What one of them cannot do is reported and does not stop the others, nor the results."""

    def __init__(self, sinks: list[Sink], messages: options.Messages) -> None:
        self.sinks, self.messages, self.failed = sinks, messages, False

    def put(self, result: Identification | CheckResult) -> None:
        for sink in self.sinks:
            self._try(result.file, sink.put, result)

    def __enter__(self) -> Sinks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for sink in self.sinks:
            self._try("", lambda sink=sink: self.messages.note(said) if (said := sink.close(kind is None)) else None)

    def _try(self, path: str, call: Callable[..., object], *given: object) -> None:
        try:
            call(*given)
        except XrdMatchError as error:
            self.failed = True
            self.messages.error(str(error))
        except Exception as error:  # a defect here must not cost the results
            self.failed = True
            self.messages.error(str(inputs.defect(path, error)))


def picture_target(path: Path, number: int) -> bool:
    """Whether `path`, the value of --plot, is one picture (else a folder for several), checked against the number of scans and what can be drawn."""
    from xrdmatch.report.figure_style import SUFFIXES, need_matplotlib

    given = path.suffix.lower()
    if path.is_dir() or (not given and str(path) != inputs.STDIN):
        single = False
    elif given not in SUFFIXES:
        raise options.wrong("--plot", f"{path}: expected a picture ending in {' '.join(SUFFIXES)}, or a folder")
    elif number > 1 and given != ".pdf":
        raise options.wrong("--plot", f"{path} is one picture, but {number} scans were given; name a folder, or a .pdf, which holds a page for each")
    else:
        single = True
    need_matplotlib()
    return single


def make_folder(path: Path) -> None:
    """A folder that can be written into. Raises XrdMatchError where there can be none."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    check_writable(path / "file")


class Plots:
    """A figure of each scan: into one file, or into a folder."""

    def __init__(self, path: Path, number: int, suffix: str, draw: Callable[[Any], Figure]) -> None:
        from xrdmatch.report.figure_style import Book

        self.path, self.suffix, self.draw, self.number = path, suffix, draw, 0
        self.taken: set[Path] = set()
        self.book: Book | None = None
        if picture_target(path, number):
            self.book = Book(path)
        else:
            make_folder(path)

    def put(self, result: Identification) -> None:
        if result.verdict != "error":  # which says itself why there is no scan
            self.add(result.file, result)

    def add(self, file: str, drawn: Any) -> None:
        from xrdmatch.report.figure_style import save

        if self.book is not None:
            self.book.add(self.draw(drawn))
        else:
            save(self.draw(drawn), inputs.target(self.path, file, self.suffix, self.taken))
        self.number += 1

    def close(self, keep: bool) -> str:
        if self.book is not None:
            self.book.close(keep)
        return f"{self.path}: {self.number} figure{'s' if self.number != 1 else ''}"


class WebPage:
    """All scans on one HTML page, written at the end."""

    def __init__(self, path: Path, page: Page | CheckPage) -> None:
        from xrdmatch.report.page_frame import SUFFIXES

        if path.suffix.lower() not in SUFFIXES or path.is_dir():
            raise options.wrong("--html", f"{path}: expected a file ending in {' or '.join(SUFFIXES)}")
        check_writable(path)
        self.path, self.page = path, page

    def put(self, result: Any) -> None:
        self.page.add(result)

    def close(self, keep: bool) -> str:
        if not keep:
            return ""
        self.page.write(self.path)
        return f"{self.path}: {len(self.page.rows)} scan{'s' if len(self.page.rows) != 1 else ''}"


class Export:
    """Files for refinement of each scan, in one folder."""

    def __init__(self, path: Path, shifted: bool) -> None:
        if path.is_file():
            raise options.wrong("--export", f"{path} is a file; give a folder")
        make_folder(path)
        self.path, self.shifted, self.scans = path, shifted, 0
        self.taken: set[Path] = set()

    def put(self, result: Identification) -> None:
        from xrdmatch.report.refinement_files import export

        if result.verdict != "error":  # which says itself why there is no scan
            export(result, self.path, inputs.target(self.path, result.file, "", self.taken).name, self.shifted)
            self.scans += 1

    def close(self, keep: bool) -> str:
        return f"{self.path}: files for refinement of {self.scans} scan{'s' if self.scans != 1 else ''}"


def check_apart(export: Path | None, folders: Sequence[str | Path | None], recursive: bool) -> None:
    """A usage error where exported files would be taken for scans, in this run or the next: `export` lies in a folder that is read or watched."""
    for folder in folders:
        if export is None or folder is None or not os.path.isdir(folder):
            continue
        place, read = export.resolve(), Path(folder).resolve()
        if place == read or (recursive and read in place.parents):
            raise options.wrong("--export", f"{export} lies in {folder}, where its files would be taken for scans; choose a folder outside")


def sinks(number: int, messages: options.Messages, asked: FileOptions) -> Sinks:
    """What was asked for, for `number` scans. Raises XrdMatchError or a usage error where it cannot be had."""
    made: list[Sink] = []
    if asked.export_shifted and asked.export is None:
        raise options.wrong("--export-shifted", "needs --export DIR: name a folder")
    if asked.export is not None:
        made.append(Export(asked.export, asked.export_shifted))
    if asked.html is not None:
        from xrdmatch.report.html_page import Page

        made.append(WebPage(asked.html, Page(number, asked.html.stem)))
    if asked.plot is not None:

        def draw(result: Identification) -> Figure:
            from xrdmatch.report.figures import identification_figure

            return identification_figure(result, asked.plot_size.value, asked.plot_scale.value)

        made.append(Plots(asked.plot, number, f".{asked.plot_format.value}", draw))
    return Sinks(made, messages)


def check_sinks(path: Path | None, number: int, messages: options.Messages) -> Sinks:
    """The page of check, where one was asked for. Raises XrdMatchError or a usage error where it cannot be had."""
    if path is None:
        return Sinks([], messages)
    from xrdmatch.report.check_page import CheckPage

    return Sinks([WebPage(path, CheckPage(number, path.stem))], messages)


def draw_learning(folder: Path, messages: options.Messages) -> None:
    """training.png beside a training's log, where there is one and matplotlib is installed; a picture that cannot be drawn costs no model."""
    from xrdmatch.report.figure_style import MISSING_LIBRARY, need_matplotlib, save
    from xrdmatch.report.figures import curves_figure, read_log

    log = folder / "training.csv"
    if not log.is_file():
        return
    try:
        need_matplotlib()
    except XrdMatchError:
        messages.note(f"{log} holds the learning curve; {MISSING_LIBRARY}")
        return
    try:
        save(curves_figure(read_log(log)), folder / "training.png")
        messages.note(f"{folder / 'training.png'}: learning curve")
    except (XrdMatchError, ValueError) as error:
        messages.warn(str(error), str(log))
