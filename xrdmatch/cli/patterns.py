"""denoise and augment: measured scans filtered, and training patterns made of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrdmatch.cli import inputs, options, outputs
from xrdmatch.errors import LibraryError, XrdMatchError
from xrdmatch.system import atomic_files

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.library.reference_library import Library
    from xrdmatch.preprocessing.fft_filter import Filtered
    from xrdmatch.system.parallel import Workers

PATTERN_SUFFIXES = (".xy", ".xye", ".csv")


class Suffix(StrEnum):
    """What patterns are written as in a folder."""

    xy = "xy"
    xye = "xye"
    csv = "csv"


class Method(StrEnum):
    """How training patterns are made."""

    shuffle = "shuffle"
    physics = "physics"
    mix = "mix"


class Level(StrEnum):
    """How far the effects of the physics method go."""

    easy = "easy"
    middle = "middle"
    hard = "hard"


#: Median of a noise source, as a share of the strongest line, from which its patterns teach little.
DROWNS = 0.2
#: Patterns from which starting processes pays.
FEWEST = 2000


def denoise(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders, patterns such as '*.raw', or - for standard input.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="A file (.xy .xye .csv), or a folder for several.")],
    filter_mode: options.FilterOption = options.Filter.auto,
    suffix: Annotated[Suffix, typer.Option("--suffix", help="Format of the files in a folder.")] = Suffix.xy,
    plot: outputs.PlotOption = None,
    plot_size: outputs.PlotSizeOption = outputs.PlotSize.double,
    plot_scale: outputs.PlotScaleOption = outputs.PlotScale.linear,
    plot_format: outputs.PlotFormatOption = outputs.PlotFormat.pdf,
    wavelength: options.WavelengthOption = None,
    recursive: options.RecursiveOption = False,
    range_index: options.RangeOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Remove noise from measured scans with the FFT filter.

    Whether each scan was filtered, and why, goes to standard error. A scan that needs no filtering is written unchanged.
    """
    from xrdmatch.report.phrases import sentence

    messages = options.Messages(quiet)
    files = list(inputs.expand(paths, recursive))
    single = out.suffix.lower() in PATTERN_SUFFIXES and not out.is_dir()
    if single and len(files) != 1:
        raise options.wrong("--output", f"{out} is one file, but {len(files)} scans were given; name a folder")
    if not single and out.suffix and not out.is_dir():
        raise options.wrong("--output", f"{out}: expected a file ending in {' '.join(PATTERN_SUFFIXES)}, or a folder")
    failed, taken = 0, set[Path]()
    plots = outputs.Plots(plot, len(files), f".{plot_format.value}", _drawing(plot_size.value, plot_scale.value)) if plot is not None else None
    with contextlib.ExitStack() as ended:
        if plots is not None:
            ended.callback(plots.close, keep=False)  # what is left where something stops the run
        for path, pattern in inputs.patterns(files, 2, range_index):
            target = out if single else inputs.target(out, path, f".{suffix.value}", taken)
            try:
                if isinstance(pattern, XrdMatchError):
                    raise pattern
                result = _filtered(pattern, target, filter_mode.value, wavelength)
                messages.note(f"{path} -> {target}: {sentence(result.reason)}")
                for note in pattern.meta.get("notes", ()):
                    messages.warn(sentence(note), path)
                if plots is not None:
                    plots.add(path, (pattern, result))
            except XrdMatchError as error:
                failed += 1
                messages.error(str(error))
        if plots is not None:
            messages.note(plots.close(keep=True))
    if failed:
        raise typer.Exit(1)


def _drawing(size: Any, scale: Any) -> Callable[[tuple[Pattern, Filtered]], Figure]:
    def draw(scan: tuple[Pattern, Filtered]) -> Figure:
        from xrdmatch.report.figures import patterns_figure

        pattern, result = scan
        return patterns_figure(
            [("measured", pattern), ("filtered", result.pattern)] if result.filtered else [("measured, needs no filter", pattern)], size, scale
        )

    return draw


def _filtered(pattern: Pattern, target: Path, mode: Any, wavelength: float | None) -> Filtered:
    """Filter and write one scan."""
    from dataclasses import replace

    from xrdmatch import formats
    from xrdmatch.preprocessing.fft_filter import denoise as run_filter

    result = run_filter(replace(pattern, wavelength=wavelength or pattern.wavelength), mode)
    target.parent.mkdir(parents=True, exist_ok=True)
    formats.write(result.pattern, target)
    return result


def augment(
    library: Annotated[Path, typer.Argument(metavar="LIBRARY", help="A library (.h5) made by simulate.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.h5", help="The training patterns.")],
    noise: Annotated[
        list[str] | None, typer.Option("--noise", metavar="PATH", help="Scan or folder to take noise from, for shuffle and mix; may be repeated.")
    ] = None,
    method: Annotated[
        Method,
        typer.Option("--method", help="shuffle: shuffled noise under the 401 largest points; physics: what a diffractometer does; mix: half each."),
    ] = Method.shuffle,
    copies: Annotated[int, typer.Option("--copies", min=1, help="Patterns per structure, divided among the noise sources.")] = 72,
    strength: Annotated[
        float | None, typer.Option("--strength", min=0.0, help="Scale each source's largest noise to this share of the strongest line (for blanks).")
    ] = None,
    level: Annotated[Level, typer.Option("--level", help="physics: how strong the effects are.")] = Level.middle,
    blank: Annotated[
        list[str] | None, typer.Option("--blank", metavar="PATH", help="physics: scan of an empty holder, put under some patterns; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Take only this many structures, drawn at random by the seed.")] = None,
    ids: Annotated[Path | None, typer.Option("--ids", metavar="FILE", help="Take only these structures, one id per line.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="LABELS.csv", help="With --limit: one structure per family, starting with those that these labels accept."),
    ] = None,
    fwhm: Annotated[float, typer.Option("--fwhm", min=0.01, help="shuffle: width of the simulated lines in degrees.")] = 0.1,
    seed: options.SeedOption = 0,
    jobs: options.JobsOption = None,
    scheduler: options.SchedulerOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Make training patterns for train --network wang2020: with shuffled measured noise (Wang et al. 2020), or as a diffractometer records them."""
    from xrdmatch.library.reference_library import Library
    from xrdmatch.system.parallel import Workers, usable_cores

    messages = options.Messages(quiet)
    if labels is not None and (limit is None or ids is not None):
        raise options.wrong("--labels", "goes with --limit, and not with --ids")
    if method is not Method.physics and not noise:
        raise options.wrong("--noise", f"--method {method.value} takes its noise from measured scans; name some")
    if method is Method.physics and noise:
        raise options.wrong("--noise", "--method physics takes none; empty holders go to --blank, and --method mix takes both")
    if method is Method.shuffle and blank:
        raise options.wrong("--blank", "goes with --method physics or mix; --noise takes blanks as well, with --strength 0.1")
    if method is Method.mix and copies < 2:
        raise options.wrong("--copies", "--method mix takes half of the copies from each method; give 2 or more")
    if method is Method.shuffle and scheduler is not None:
        raise options.wrong("--scheduler", "goes with --method physics or mix; shuffling takes no longer than writing")
    entries = Library.load(library)
    rows = _rows(entries, library, limit, ids, seed) if labels is None else _covering(entries, labels, limit or 0, seed)
    sources = _noise(noise, "--noise", messages) if noise else {}
    if strength is None:
        _warn_of_blanks(sources, messages)
    blanks = _noise(blank, "--blank", messages) if blank else {}
    with options.progress(messages, "augmenting", len(rows) * (2 if method is Method.mix else 1), "structures") as bar:
        common: dict[str, Any] = {"copies": copies, "seed": seed, "strength": strength, "progress": lambda done: bar.advance(1)}
        workers = Workers(1 if len(rows) * copies < FEWEST and jobs is None else jobs or usable_cores(), scheduler)
        number = _made(entries, rows, out, method, fwhm, sources, blanks, level, workers, common)
    told = [f"{what} from {len(scans)} scan{'s' if len(scans) > 1 else ''}" for what, scans in (("noise", sources), ("blanks", blanks)) if scans]
    messages.note(", ".join([f"{out}: {number} patterns of {len(rows)} structures", *told]))


def _made(
    entries: Library,
    rows: NDArray[np.int64],
    out: Path,
    method: Method,
    fwhm: float,
    sources: dict[str, Any],
    blanks: dict[str, Any],
    level: Level,
    workers: Workers,
    common: dict[str, Any],
) -> int:
    """Write the set; number of patterns."""
    from xrdmatch.preprocessing.fft_filter import PAPER_GRID
    from xrdmatch.training.effects_numpy import LEVELS, with_instrument
    from xrdmatch.training.training_set import library_profiles, write_physics, write_shuffled

    if method is Method.shuffle:
        profiles = library_profiles(entries, rows, PAPER_GRID, fwhm)
        names = list(sources)
        return write_shuffled(profiles, entries.id[rows].tolist(), list(sources.values()), out, noise_names=names, grid=PAPER_GRID, **common)
    hardness = with_instrument(LEVELS[level.value])
    return write_physics(entries, rows, out, level=hardness, blanks=blanks, noise=sources, fwhm=fwhm, workers=workers, **common)


def _noise(given: list[str], option: str, messages: options.Messages) -> dict[str, Any]:
    """Values on the paper's grid of the scans noise is taken from, by name; one that does not serve is left out with a warning."""
    from xrdmatch.preprocessing.fft_filter import PAPER_GRID
    from xrdmatch.training.training_set import noise_on_grid

    sources: dict[str, Any] = {}
    for path, pattern in inputs.patterns(inputs.expand(given), 2):
        try:
            if isinstance(pattern, XrdMatchError):
                raise pattern
            name = Path(path).name
            sources[name if name not in sources else path] = noise_on_grid(pattern, PAPER_GRID)
        except XrdMatchError as error:
            messages.warn(f"left out as a noise source: {error}")
    if not sources:
        raise LibraryError(f"none of the noise sources could be used; {option} takes measured scans that cover most of 5-50 degrees")
    return sources


def _rows(library: Library, path: Path, limit: int | None, ids: Path | None, seed: int) -> NDArray[np.int64]:
    """Rows of the structures asked for, in the library's order."""
    import numpy as np

    rows = np.arange(len(library))
    if ids is not None:
        try:
            wanted = ids.read_text(encoding="utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise LibraryError(f"{ids}: expected a text file with one id a line, but it cannot be read ({atomic_files.reason(error)})") from error
        index = library.index()
        unknown = [name for name in wanted if name not in index]
        if unknown:
            raise LibraryError(f"{ids}: {len(unknown)} of {len(wanted)} ids are not in {path}, for example {unknown[0]}")
        rows = np.array(sorted({index[name] for name in wanted}), dtype=np.int64)
    if limit is not None and limit < rows.size:
        rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    if rows.size == 0:
        raise LibraryError(f"{ids or path}: no structures to take")
    return rows


def _covering(library: Library, labels: Path, limit: int, seed: int) -> NDArray[np.int64]:
    """Rows that cover what the labels accept, and others."""
    from xrdmatch.evaluation.labelled_scans import covering_rows, read_labels

    return covering_rows(library, read_labels(labels), limit, seed)


def _warn_of_blanks(sources: dict[str, Any], messages: options.Messages) -> None:
    """Say which sources would drown the patterns: scaled to 0..1, a scan without lines is all noise."""
    import numpy as np

    from xrdmatch.training.training_set import noise_values

    for name, source in sources.items():
        middle = float(np.median(noise_values(source)))
        if middle > DROWNS:
            messages.warn(f"noise from {name} fills {middle:.0%} of the scale: is it a blank? --strength 0.1 keeps such noise below the lines")
