"""denoise and augment: measured scans filtered, and training patterns made of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrdmatch.cli import inputs, options, outputs
from xrdmatch.cli.option_groups import grouped
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
    from xrdmatch.training.augmentation import PhysicsOptions


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


@dataclass(frozen=True)
class DenoiseOptions(options.ScanOptions):
    """Which scans, and how they are read."""

    recursive: options.RecursiveOption = False


@dataclass(frozen=True)
class TargetOptions:
    """Where filtered scans go. Raises BadParameter where the place is neither a pattern's file nor a folder."""

    out: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="A file (.xy .xye .csv), or a folder for several.")]
    suffix: Annotated[Suffix, typer.Option("--suffix", help="Format of the files in a folder.")] = Suffix.xy

    def __post_init__(self) -> None:
        if not self.single and self.out.suffix and not self.out.is_dir():
            raise options.wrong("--output", f"{self.out}: expected a file ending in {' '.join(options.PATTERN_SUFFIXES)}, or a folder")

    @property
    def single(self) -> bool:
        """Whether there is one file."""
        return self.out.suffix.lower() in options.PATTERN_SUFFIXES and not self.out.is_dir()


@grouped("paths out filter_mode suffix plot plot_size plot_scale plot_format wavelength recursive range_index column peaks quiet")
def denoise(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders, patterns such as '*.raw', or - for standard input.")],
    target: TargetOptions,
    scans: DenoiseOptions,
    figures: outputs.PlotOptions,
    quiet: options.QuietOption = False,
) -> None:
    """Remove noise from measured scans with the FFT filter.

    Whether each scan was filtered, and why, goes to standard error. A scan that needs no filtering is written unchanged.
    """
    messages = options.Messages(quiet)
    files = list(scans.parts(inputs.expand(paths, scans.recursive)))
    if target.single and len(files) != 1:
        raise options.wrong("--output", f"{target.out} is one file, but {len(files)} scans were given; name a folder")
    failed, taken = 0, set[Path]()
    plots = outputs.Plots(figures.plot, len(files), f".{figures.plot_format.value}", _drawing(figures)) if figures.plot is not None else None
    with contextlib.ExitStack() as ended:
        if plots is not None:
            ended.callback(plots.close, keep=False)  # what is left where something stops the run
        for path, pattern in inputs.patterns(files, 2, scans.reading()):
            place = target.out if target.single else inputs.target(target.out, path, f".{target.suffix.value}", taken)
            try:
                if isinstance(pattern, XrdMatchError):
                    raise pattern
                result = _filtered(pattern, place, scans)
                _tell(path, pattern, place, result, messages)
                if plots is not None:
                    plots.add(path, (pattern, result))
            except XrdMatchError as error:
                failed += 1
                messages.error(str(error))
        if plots is not None:
            messages.note(plots.close(keep=True))
    if failed:
        raise typer.Exit(1)


def _drawing(asked: outputs.PlotOptions) -> Callable[[tuple[Pattern, Filtered]], Figure]:
    def draw(scan: tuple[Pattern, Filtered]) -> Figure:
        from xrdmatch.report.figures import patterns_figure

        pattern, result = scan
        shown = [("measured", pattern), ("filtered", result.pattern)] if result.filtered else [("measured, needs no filter", pattern)]
        return patterns_figure(shown, asked.plot_size.value, asked.plot_scale.value)

    return draw


def _filtered(pattern: Pattern, target: Path, asked: DenoiseOptions) -> Filtered:
    """Filter and write one scan."""
    from dataclasses import replace

    from xrdmatch import formats
    from xrdmatch.preprocessing.fft_filter import denoise as run_filter

    result = run_filter(replace(pattern, wavelength=asked.wavelength or pattern.wavelength), asked.filter_mode.value)
    target.parent.mkdir(parents=True, exist_ok=True)
    formats.write(result.pattern, target)
    return result


def _tell(path: str, pattern: Pattern, target: Path, result: Filtered, messages: options.Messages) -> None:
    """What was done with one scan, and what else should be known of it."""
    from xrdmatch.report.phrases import sentence

    messages.note(f"{path} -> {target}: {sentence(result.reason)}")
    for note in pattern.meta.get("notes", ()):
        messages.warn(sentence(note), path)


@dataclass(frozen=True)
class EffectOptions:
    """How training patterns are made. Raises BadParameter where an option does not go with the method."""

    noise: Annotated[
        list[str] | None, typer.Option("--noise", metavar="PATH", help="Scan or folder to take noise from, for shuffle and mix; may be repeated.")
    ] = None
    method: Annotated[
        Method,
        typer.Option("--method", help="shuffle: shuffled noise under the 401 largest points; physics: what a diffractometer does; mix: half each."),
    ] = Method.shuffle
    copies: Annotated[int, typer.Option("--copies", min=1, help="Patterns per structure, divided among the noise sources.")] = 72
    strength: Annotated[
        float | None, typer.Option("--strength", min=0.0, help="Scale each source's largest noise to this share of the strongest line (for blanks).")
    ] = None
    level: Annotated[Level, typer.Option("--level", help="physics: how strong the effects are.")] = Level.middle
    blank: Annotated[
        list[str] | None, typer.Option("--blank", metavar="PATH", help="physics: scan of an empty holder, put under some patterns; may be repeated.")
    ] = None
    fwhm: Annotated[float, typer.Option("--fwhm", min=0.01, help="shuffle: width of the simulated lines in degrees.")] = 0.1

    def __post_init__(self) -> None:
        if self.method is not Method.physics and not self.noise:
            raise options.wrong("--noise", f"--method {self.method.value} takes its noise from measured scans: give one or more")
        if self.method is Method.physics and self.noise:
            raise options.wrong("--noise", "--method physics uses none; give empty holders with --blank, or use --method mix, which takes both")
        if self.method is Method.shuffle and self.blank:
            raise options.wrong("--blank", "works with --method physics or mix only; for shuffle, give blanks with --noise and --strength 0.1")
        if self.method is Method.mix and self.copies < 2:
            raise options.wrong("--copies", "--method mix makes half of the copies by each method: give 2 or more")

    def physics(self, noise: dict[str, Any], blanks: dict[str, Any], seed: int) -> PhysicsOptions:
        """For the physics method, with the scans read."""
        from xrdmatch.training.augmentation import PhysicsOptions
        from xrdmatch.training.effects_numpy import LEVELS, with_instrument

        return PhysicsOptions(self.copies, seed, with_instrument(LEVELS[self.level.value]), blanks, noise, self.strength, self.fwhm)


@dataclass(frozen=True)
class StructureOptions:
    """Which structures of the library are taken. Raises BadParameter where options exclude each other."""

    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Take only this many structures, drawn at random by the seed.")] = None
    ids: Annotated[Path | None, typer.Option("--ids", metavar="FILE", help="Take only these structures, one id per line.")] = None
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="LABELS.csv", help="With --limit: one structure per family, starting with those that these labels accept."),
    ] = None

    def __post_init__(self) -> None:
        if self.labels is not None and (self.limit is None or self.ids is not None):
            raise options.wrong("--labels", "needs --limit, and cannot be combined with --ids")


@grouped("library out noise method copies strength level blank limit ids labels fwhm seed jobs scheduler quiet")
def augment(
    library: Annotated[Path, typer.Argument(metavar="LIBRARY", help="A library (.h5) made by simulate.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.h5", help="The training patterns.")],
    effects: EffectOptions,
    structures: StructureOptions,
    work: options.WorkOptions,
    seed: options.SeedOption = 0,
) -> None:
    """Make training patterns for train --network wang2020: with shuffled measured noise (Wang et al. 2020), or as a diffractometer records them."""
    from xrdmatch.library.reference_library import Library
    from xrdmatch.preprocessing.fft_filter import PAPER_GRID
    from xrdmatch.training.augmentation import ShuffleOptions, library_profiles, write_physics, write_shuffled

    if out.suffix.lower() not in options.HDF5_SUFFIXES:
        raise options.wrong("--output", f"{out}: expected a file ending in {' or '.join(options.HDF5_SUFFIXES)}, the format that train reads")
    if effects.method is Method.shuffle and work.scheduler is not None:
        raise options.wrong("--scheduler", "works with --method physics or mix only; shuffling is as quick as writing the file")
    messages, entries = options.Messages(work.quiet), Library.load(library)
    rows = _rows(entries, library, structures, seed)
    sources = _noise(effects.noise, "--noise", messages) if effects.noise else {}
    if effects.strength is None:
        _warn_of_blanks(sources, messages)
    blanks = _noise(effects.blank, "--blank", messages) if effects.blank else {}
    with options.progress(messages, "augmenting", len(rows) * (2 if effects.method is Method.mix else 1), "structures") as bar:
        if effects.method is Method.shuffle:
            how = ShuffleOptions(effects.copies, seed, effects.strength, PAPER_GRID)
            profiles = library_profiles(entries, rows, PAPER_GRID, effects.fwhm)
            number = write_shuffled(profiles, entries.id[rows].tolist(), sources, out, how, lambda done: bar.advance(1))
        else:
            workers = _workers(len(rows) * effects.copies, work)
            number = write_physics(entries, rows, out, effects.physics(sources, blanks, seed), lambda done: bar.advance(1), workers)
    told = [f"{what} from {len(scans)} scan{'s' if len(scans) > 1 else ''}" for what, scans in (("noise", sources), ("blanks", blanks)) if scans]
    messages.note(", ".join([f"{out}: {number} patterns of {len(rows)} structures", *told]))


def _workers(patterns: int, work: options.WorkOptions) -> Workers:
    """Where so many patterns are made."""
    from xrdmatch.system.parallel import Workers, usable_cores

    return Workers(1 if patterns < FEWEST and work.jobs is None else work.jobs or usable_cores(), work.scheduler)


def _noise(given: list[str], option: str, messages: options.Messages) -> dict[str, Any]:
    """Values on the paper's grid of the scans noise is taken from, by name; one that does not serve is left out with a warning."""
    from xrdmatch.preprocessing.fft_filter import PAPER_GRID
    from xrdmatch.training.augmentation import noise_on_grid

    sources: dict[str, Any] = {}
    for path, pattern in inputs.patterns(inputs.expand(given), 2):
        try:
            if isinstance(pattern, XrdMatchError):
                raise pattern
            name = Path(path).name
            sources[name if name not in sources else path] = noise_on_grid(pattern, PAPER_GRID)
        except XrdMatchError as error:
            messages.warn(f"not used as a noise source: {error}")
    if not sources:
        raise LibraryError(f"none of the noise sources could be used; give {option} measured scans that cover at least half of 5-50 degrees")
    return sources


def _rows(library: Library, path: Path, asked: StructureOptions, seed: int) -> NDArray[np.int64]:
    """Rows of the structures asked for, in the library's order."""
    import numpy as np

    if asked.labels is not None and asked.limit is not None:
        from xrdmatch.evaluation.labelled_scans import covering_rows, read_labels

        return covering_rows(library, read_labels(asked.labels), asked.limit, seed)
    rows = np.arange(len(library)) if asked.ids is None else _rows_of_ids(library, path, asked.ids)
    if asked.limit is not None and asked.limit < rows.size:
        rows = np.sort(np.random.default_rng(seed).choice(rows, asked.limit, replace=False))
    if rows.size == 0:
        raise LibraryError(f"{asked.ids or path}: no structures to take")
    return rows


def _rows_of_ids(library: Library, path: Path, ids: Path) -> NDArray[np.int64]:
    """Rows of the ids in a file. Raises LibraryError where it cannot be read or one is not in the library."""
    import numpy as np

    try:
        wanted = ids.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise LibraryError(f"{ids}: expected a text file with one id a line, but it cannot be read ({atomic_files.reason(error)})") from error
    index = library.index()
    unknown = [name for name in wanted if name not in index]
    if unknown:
        raise LibraryError(f"{ids}: {len(unknown)} of {len(wanted)} ids are not in {path}, for example {unknown[0]}")
    return np.array(sorted({index[name] for name in wanted}), dtype=np.int64)


def _warn_of_blanks(sources: dict[str, Any], messages: options.Messages) -> None:
    """Say which sources would drown the patterns: scaled to 0..1, a scan without lines is all noise."""
    import numpy as np

    from xrdmatch.training.augmentation import noise_values

    for name, source in sources.items():
        middle = float(np.median(noise_values(source)))
        if middle > DROWNS:
            messages.warn(f"noise from {name} fills {middle:.0%} of the scale: is it a blank? --strength 0.1 keeps such noise below the lines")
