"""stack: scans over simulated patterns, in one figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrdmatch.cli import inputs, options, outputs
from xrdmatch.cli.option_groups import grouped
from xrdmatch.cli.pictures import PictureOptions
from xrdmatch.errors import XrdMatchError

if TYPE_CHECKING:
    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.library.named_reference import NamedReference
    from xrdmatch.library.reference_library import Library
    from xrdmatch.report.stack_figure import StackOptions


@dataclass(frozen=True)
class ReferenceOptions:
    """What the scans are shown over. Raises BadParameter where there is no such model."""

    references: Annotated[
        list[str] | None,
        typer.Option("--reference", "-r", metavar="NAME|REFCODE|CIF", help="A structure file, or a name or refcode of the library; may be repeated."),
    ] = None
    model: options.ModelOption = None

    def __post_init__(self) -> None:
        options.check_model("--model", self.model)

    def found(self) -> list[NamedReference]:
        """Raises LibraryError or StructureError for one that cannot be had."""
        from xrdmatch.library.named_reference import named_reference

        return [named_reference(text, self._library()) for text in self.references or []]

    def _library(self) -> Callable[[], Library]:
        @cache
        def load() -> Library:
            from xrdmatch.library.reference_library import Library
            from xrdmatch.model.folder import LIBRARY, find_model

            return Library.load(find_model(self.model) / LIBRARY)

        return load


@dataclass(frozen=True)
class DrawOptions:
    """How the figure looks."""

    labels: Annotated[
        list[str] | None, typer.Option("--label", "-l", metavar="TEXT", help="What to call a scan, in the order of the scans; may be repeated.")
    ] = None
    start: Annotated[float | None, typer.Option("--start", help="First 2theta in degrees; by default the scans' first.")] = None
    stop: Annotated[float | None, typer.Option("--stop", help="Last 2theta in degrees; by default the scans' last.")] = None
    flat: Annotated[bool, typer.Option("--subtract-background", help="Draw the scans without their background.")] = False
    marks: Annotated[bool, typer.Option("--marks/--no-marks", help="Mark the scans' lines: which a reference has, and which none has.")] = True
    plot_scale: Annotated[outputs.PlotScale, typer.Option("--plot-scale", help="sqrt makes weak lines visible.")] = outputs.PlotScale.linear

    def __post_init__(self) -> None:
        if self.start is not None and self.stop is not None and self.stop <= self.start:
            raise options.wrong("--start --stop", f"expected the last angle above the first, got {self.start:g} and {self.stop:g}")

    def of(self, size: outputs.PlotSize) -> StackOptions:
        from xrdmatch.report.stack_figure import StackOptions

        return StackOptions(size.value, self.plot_scale.value, self.start, self.stop, self.flat, marks=self.marks)


@grouped("paths references out model labels wavelength start stop flat marks plot_size plot_scale filter_mode range_index column peaks quiet")
def stack(
    paths: Annotated[list[str], typer.Argument(metavar="SCAN", help="Files, folders, patterns such as 'run*/*.raw', or - for standard input.")],
    references: ReferenceOptions,
    picture: PictureOptions,
    drawn: DrawOptions,
    scans: options.ScanOptions,
    quiet: options.QuietOption = False,
) -> None:
    """Draw scans over the simulated patterns of what they should be: one figure.

    References stand at the bottom, the scans above them in the order given. A dot marks a line that a reference has, in its colour, once its zero
    shift and cell are fitted; a diamond one that none has. Needs the plot extra.
    """
    from xrdmatch.report.figure_style import need_matplotlib
    from xrdmatch.report.stack_figure import stack_figure

    messages = options.Messages(quiet)
    need_matplotlib()
    found = references.found()
    read, failed = _read(list(scans.parts(inputs.expand(paths))), scans, messages)
    labels = drawn.labels or []
    if len(labels) > len(read):
        raise options.wrong("--label", f"{len(labels)} labels were given for {len(read)} scans; give one for each, in their order")
    named = [(label, pattern) for label, (_, pattern) in zip([*labels, *(name for name, _ in read[len(labels) :])], read, strict=True)]
    picture.save(stack_figure(named, found, drawn.of(picture.plot_size)))
    for one in found:
        messages.note(f"{one.given}: drawn from {one.source}")
    messages.note(f"{picture.out}: {len(named)} scan{'s' if len(named) != 1 else ''} over {len(found)} reference{'s' if len(found) != 1 else ''}")
    if failed:
        raise typer.Exit(1)


def _read(files: list[tuple[str, str]], asked: options.ScanOptions, messages: options.Messages) -> tuple[list[tuple[str, Pattern]], bool]:
    """The scans that can be read, by name, with what is to be said of them; whether others could not. Raises XrdMatchError where none can."""
    from dataclasses import replace

    from xrdmatch.report.phrases import sentence

    read: list[tuple[str, Pattern]] = []
    failed = False
    for path, pattern in inputs.patterns(files, 2, asked.reading()):
        if isinstance(pattern, XrdMatchError):
            messages.error(str(pattern))
            failed = True
            continue
        for note in pattern.meta.get("notes", ()):
            messages.warn(sentence(note), path)
        file, part = inputs.located(path)
        name = "standard input" if path == inputs.STDIN else Path(file).stem + (f" {part}" if part else "")
        read.append((name, replace(pattern, wavelength=asked.wavelength or pattern.wavelength)))
    if not read:
        raise XrdMatchError("there is no scan to draw: none could be read")
    return read, failed
