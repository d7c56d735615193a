"""simulate: crystal structures to a reference library, or to one pattern."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrdmatch.cli import options, outputs
from xrdmatch.cli.option_groups import grouped
from xrdmatch.errors import LibraryError, StructureError, XrdMatchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xrdmatch.diffraction.pattern import Grid, Pattern
    from xrdmatch.library.build import BuildReport
    from xrdmatch.library.descriptions import Descriptions
    from xrdmatch.library.reference_library import Library
    from xrdmatch.library.source_table import SourceTable

    #: A pattern, and what draws it.
    Drawn = tuple[Pattern, Callable[[], Figure]]

#: Heads the list of structures of which something was repaired or assumed, or is doubtful, here and where structures are added.
REPAIRED = "repaired, read leniently, or doubtful"
#: Heads the list of refcodes in a table of names that no structure has.
UNNAMED = "refcodes of the table of names that no entry has"
PATTERN, LIBRARY = "One pattern (.xy .xye .csv)", "Library (.h5)"


@dataclass(frozen=True)
class LibraryOptions:
    """What a library holds beside the structures' reflections, and how it is made."""

    resume: Annotated[bool, typer.Option("--resume", help="Continue from OUT.partial, left by an interrupted run.", rich_help_panel=LIBRARY)] = False
    names: Annotated[bool, typer.Option("--names/--no-names", help="Add common names, such as HKUST-1.", rich_help_panel=LIBRARY)] = True
    name_table: Annotated[
        Path | None,
        typer.Option("--name-table", metavar="FILE", help="Names of your own: CSV with refcode, name, doi. They go first.", rich_help_panel=LIBRARY),
    ] = None
    net_table: Annotated[
        Path | None, typer.Option("--net-table", metavar="CSV", help="Nets of frameworks: columns id, net (RCSR symbol).", rich_help_panel=LIBRARY)
    ] = None
    families: Annotated[
        bool, typer.Option("--families/--no-families", help="Group structures that powder diffraction cannot tell apart.", rich_help_panel=LIBRARY)
    ] = True
    table: Annotated[
        Path | None,
        typer.Option(
            "--source-table", metavar="CSV", help="Names, categories and licences of files, and which to leave out.", rich_help_panel=LIBRARY
        ),
    ] = None
    doi: Annotated[list[Path] | None, typer.Option("--doi", metavar="CSV", help="CoRE MOF tables with DOIs.", rich_help_panel=LIBRARY)] = None
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="List every repair, duplicate and failure, as CSV.", rich_help_panel=LIBRARY)
    ] = None


@dataclass(frozen=True)
class PatternOptions:
    """How one pattern is calculated, and drawn."""

    start: Annotated[float, typer.Option("--start", help="First 2theta in degrees.", rich_help_panel=PATTERN)] = 5.0
    stop: Annotated[float, typer.Option("--stop", help="Last 2theta in degrees.", rich_help_panel=PATTERN)] = 50.0
    step: Annotated[float, typer.Option("--step", help="Step in degrees.", rich_help_panel=PATTERN)] = 0.02
    fwhm: Annotated[float, typer.Option("--fwhm", min=0.001, help="Line width in degrees.", rich_help_panel=PATTERN)] = 0.1
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|DIR",
            help="Whose library names are looked up in; the shipped model's by default.",
            envvar="XRDMATCH_MODEL",
            rich_help_panel=PATTERN,
        ),
    ] = None
    wavelength: Annotated[
        float | None,
        typer.Option("--wavelength", "-w", metavar=options.WAVELENGTH, parser=options.wavelength, help="Cu by default.", rich_help_panel=PATTERN),
    ] = None
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the pattern with its lines: .pdf .svg .png (extra plot).", rich_help_panel=PATTERN),
    ] = None
    plot_size: Annotated[outputs.PlotSize, typer.Option("--plot-size", help="Width of one journal column, or of two.", rich_help_panel=PATTERN)] = (
        outputs.PlotSize.double
    )
    plot_scale: Annotated[outputs.PlotScale, typer.Option("--plot-scale", help="sqrt makes weak lines visible.", rich_help_panel=PATTERN)] = (
        outputs.PlotScale.linear
    )

    @property
    def grid(self) -> Grid:
        """Of Cu K-alpha where no wavelength is given. Raises BadParameter where angles and step make no grid."""
        from xrdmatch.diffraction.pattern import Grid
        from xrdmatch.diffraction.radiation import CU_K_ALPHA

        try:
            return Grid(self.start, self.stop, self.step, self.wavelength or CU_K_ALPHA)
        except ValueError as error:
            raise options.wrong(
                "--start --stop --step",
                f"expected 0 < start < stop < 180 and a step within, got {self.start:g}, {self.stop:g} and {self.step:g}",
            ) from error


@grouped()
def simulate(
    context: typer.Context,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            help="CIF and POSCAR files, folders, archives (.zip .tar .tar.gz .tar.xz); for a pattern a name or refcode of the library as well.",
        ),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="A library (.h5), or one structure's pattern (.xy .xye .csv).")],
    library: LibraryOptions,
    pattern: PatternOptions,
    work: options.WorkOptions,
) -> None:
    """Turn crystal structures into a reference library, or one structure into a pattern.

    A structure that cannot be loaded is listed and left out; the library is still written, and the exit code is 1.

    A pattern needs no file: HKUST-1 or FIQCEN is drawn from the model's library if there is no file of that name; a line says from which entry.
    """
    suffix, plot = out.suffix.lower(), pattern.plot
    if plot is not None and (suffix not in options.PATTERN_SUFFIXES or not outputs.picture_target(plot, 1)):
        raise options.wrong("--plot", f"{plot}: --plot draws one pattern ({' '.join(options.PATTERN_SUFFIXES)}) into one picture (.pdf .svg .png)")
    if suffix in options.PATTERN_SUFFIXES:
        options.refuse(context, LIBRARY, f"{out} is one pattern")
        _pattern(sources, out, pattern, options.Messages(work.quiet))
    elif suffix in options.HDF5_SUFFIXES:
        options.refuse(context, PATTERN, f"{out} is a library")
        _library(sources, out, library, work)
    else:
        raise options.wrong("--output", f"{out}: expected a library (.h5) or a pattern ({' '.join(options.PATTERN_SUFFIXES)})")


def _pattern(sources: list[Path], out: Path, asked: PatternOptions, messages: options.Messages) -> None:
    from xrdmatch import formats

    pattern, draw = _of_entry(str(sources[0]), asked, messages) if _is_name(sources) else _of_structure(sources, out, asked, messages)
    formats.write(pattern, out)
    if asked.plot is not None:
        from xrdmatch.report.figure_style import save

        save(draw(), asked.plot)


def _is_name(sources: list[Path]) -> bool:
    """Whether this is no file, and is not called as one would be: then it is looked up in the library."""
    from xrdmatch.library.named_reference import is_structure_file

    return len(sources) == 1 and not is_structure_file(str(sources[0]))


def _of_structure(sources: list[Path], out: Path, asked: PatternOptions, messages: options.Messages) -> Drawn:
    from xrdmatch.diffraction.structure import iter_sources, parse
    from xrdmatch.diffraction.structure_factors import simulate_pattern
    from xrdmatch.library.build import notes_on

    grid, items = asked.grid, list(iter_sources(sources))
    if len(items) != 1:
        given = f" ({', '.join(Path(name).stem for name, _, _ in items[:3])}{', ...' if len(items) > 3 else ''})" if items else ""
        raise StructureError(f"{out}: a pattern is made of one structure, but {len(items)} were given{given}; choose a library (.h5) for several")
    name, data, source = items[0]
    structure = parse(data, name, source)
    pattern = simulate_pattern(structure, grid, asked.fwhm)
    told = notes_on(structure)
    messages.listed(REPAIRED, [(structure.id, told)] if told else [])

    def draw() -> Figure:
        from xrdmatch.report.figures import structure_figure

        return structure_figure(structure, pattern, asked.plot_size.value, asked.plot_scale.value)

    return pattern, draw


def _of_entry(name: str, asked: PatternOptions, messages: options.Messages) -> Drawn:
    """The pattern of the library's entry of this name, refcode or id."""
    from xrdmatch.library.doubtful_entries import doubts_of
    from xrdmatch.library.entry_pattern import entry_pattern, entry_reflections
    from xrdmatch.library.find_entries import entry_called
    from xrdmatch.library.reference_library import Library
    from xrdmatch.model.folder import LIBRARY, find_model

    options.check_model("--model", asked.model)
    grid, folder = asked.grid, find_model(asked.model)
    library = Library.load(folder / LIBRARY)
    try:
        chosen = entry_called(library, name)
    except LibraryError as error:
        raise LibraryError(f"{error} There is no file of this name either.") from error
    row = chosen.row
    pattern = entry_pattern(library, row, grid, asked.fwhm)
    called = " ".join(part for part in (library.name[row], library.formula[row].replace(" ", "")) if part)
    others = f"; {chosen.entries} entries are called so" if chosen.entries > 1 else ""
    others += f", in {chosen.families} families: this is of the largest" if chosen.families > 1 else ""
    messages.note(f"{name}: drawn from {library.id[row]} ({called}) of the library of {folder.resolve().name}{others}")
    told = "; ".join(dict.fromkeys(part for part in (library.note[row], *doubts_of(library, row)) if part))
    messages.listed(REPAIRED, [(library.id[row], told)] if told else [])

    def draw() -> Figure:
        from xrdmatch.report.figures import indexed_reflections, lines_figure

        lines = indexed_reflections(library.cell[row], entry_reflections(library, row), pattern)
        return lines_figure(pattern, lines, asked.plot_size.value, asked.plot_scale.value)

    return pattern, draw


def _library(sources: list[Path], out: Path, asked: LibraryOptions, work: options.WorkOptions) -> None:
    from xrdmatch.library.build import Told, build
    from xrdmatch.library.name_table import without_entry
    from xrdmatch.system.atomic_files import check_writable
    from xrdmatch.system.parallel import Workers, usable_cores

    messages = options.Messages(work.quiet)
    told = _descriptions(asked)  # before the work, as all that may be amiss
    if asked.report is not None and not asked.report.exists():
        check_writable(asked.report)
    with options.progress(messages, "simulating", None, "structures") as bar:
        stop = _count_behind(sources, told.sources, bar) if messages.live else threading.Event()

        def finish(library: Library) -> Library:
            stop.set()
            size = len(library)
            bar.update(description="grouping", total=size, completed=0)
            return told.applied(library, lambda share: bar.update(completed=round(share * size)))

        try:
            workers = Workers(work.jobs or usable_cores(), work.scheduler)
            library, done = build(sources, out, workers, asked.resume, told=Told(bar.advance, finish, told.sources.choose))
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"interrupted; {out}.partial holds what is done, go on with --resume") from error
        finally:
            stop.set()
    _tell(library, done, out, messages)
    messages.listed(UNNAMED, [(code, "") for code in without_entry(library.id, told.own)])
    if asked.report is not None:
        _write_report(done, asked.report)
    if done.failed:
        raise typer.Exit(1)


def _descriptions(asked: LibraryOptions) -> Descriptions:
    """What the tables that were given say. Raises LibraryError where one cannot be read."""
    from xrdmatch.library.common_names import core_dois
    from xrdmatch.library.descriptions import Descriptions
    from xrdmatch.library.name_table import read_names
    from xrdmatch.library.nets import read_nets
    from xrdmatch.library.source_table import SourceTable

    return Descriptions(
        sources=SourceTable({}) if asked.table is None else SourceTable.load(asked.table),
        own={} if asked.name_table is None else read_names(asked.name_table),
        common=asked.names,
        dois=core_dois(asked.doi or []),
        nets={} if asked.net_table is None else read_nets(asked.net_table),
        families=asked.families,
    )


def _count_behind(sources: list[Path], table: SourceTable, bar: Any) -> threading.Event:
    """Count the structures in a thread, since a compressed archive takes a while, and give the bar its total."""
    from xrdmatch.diffraction.structure import iter_sources

    stop = threading.Event()

    def count() -> None:
        total = 0
        try:
            for total, _ in enumerate(table.choose(iter_sources(sources), []), 1):  # noqa: B007
                if stop.is_set():
                    return
        except XrdMatchError:
            return  # the run itself says so
        bar.update(total=total)

    threading.Thread(target=count, daemon=True).start()
    return stop


def _tell(library: Library, done: BuildReport, out: Path, messages: options.Messages) -> None:
    import numpy as np

    groups = f", {len(np.unique(library.family))} families" if len(np.unique(library.family)) < len(library) else ""
    before = f" ({done.resumed} from before)" if done.resumed else ""
    messages.note(f"{out}: {len(library)} structures{before}{groups}")
    messages.listed(REPAIRED, done.repaired)
    messages.listed("duplicates left out", done.duplicates)
    messages.listed("left out by the table", done.left_out)
    messages.listed("could not be loaded", done.failed)


def _write_report(done: BuildReport, path: Path) -> None:
    import csv

    with options.output_stream(path) as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("what", "name", "reason"))
        for what in ("failed", "repaired", "duplicates", "left_out"):
            rows.writerows((what, *item) for item in getattr(done, what))
