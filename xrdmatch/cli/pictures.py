"""explain and map: what the network looked at, and how labelled scans lie to each other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrdmatch.cli import inputs, options, outputs
from xrdmatch.cli.option_groups import grouped
from xrdmatch.errors import XrdMatchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Input(StrEnum):
    """What of a scan is mapped."""

    recipe = "recipe"
    minmax = "minmax"


@dataclass(frozen=True)
class PictureOptions:
    """The picture that is made. Raises BadParameter where its ending is no picture's."""

    out: Annotated[Path, typer.Option("--output", "-o", metavar="PICTURE", help="A file ending in .png, .svg or .pdf.")]
    plot_size: outputs.PlotSizeOption = outputs.PlotSize.double

    def __post_init__(self) -> None:
        from xrdmatch.report.figure_style import SUFFIXES

        if self.out.suffix.lower() not in SUFFIXES:
            raise options.wrong("--output", f"{self.out}: expected a picture ending in {' '.join(SUFFIXES)}")

    def save(self, figure: Figure) -> None:
        from xrdmatch.report.figure_style import save

        save(figure, self.out)


@grouped("path out model wavelength rank filter_mode range_index column peaks plot_size device quiet")
def explain(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A measured file, or - for standard input.")],
    picture: PictureOptions,
    model: options.ModelOptions,
    scan: options.ScanOptions,
    rank: Annotated[int, typer.Option("--rank", min=1, max=12, help="The match to explain: 1 is the first.")] = 1,
    quiet: options.QuietOption = False,
) -> None:
    """Show what the network looked at: class activation maps over the scan, with the match's reflections indexed.

    Grad-CAM shows what speaks for this match; the activation map of Wang et al. (2020) shows where the network is active whatever the answer.
    Needs the plot extra.
    """
    from xrdmatch.evaluation.activation_maps import explain as find
    from xrdmatch.report.activation_figure import explanation_figure
    from xrdmatch.report.figure_style import need_matplotlib
    from xrdmatch.report.phrases import sentence
    from xrdmatch.search.identify import Identifier
    from xrdmatch.search.options import SearchOptions

    messages = options.Messages(quiet)
    need_matplotlib()
    files = list(scan.parts(inputs.expand([path])))
    if len(files) != 1:
        raise options.wrong("PATH", f"give one scan, since one is explained at a time; {path} gives {len(files)}")
    name, pattern = next(iter(inputs.patterns(files, 1, scan.reading())))
    if isinstance(pattern, XrdMatchError):
        raise pattern
    identifier = Identifier(model.model, model.device.value)
    messages.fallback(identifier.model)
    found = find(identifier, pattern, SearchOptions(scan.wavelength, scan.filter_mode.value, top=max(rank, 5)), name, rank)
    for note in found.result.notes:
        messages.warn(sentence(note), name)
    picture.save(explanation_figure(found, picture.plot_size.value))
    said = found.match.name
    messages.note(
        f"{picture.out}: match {rank}, {said}, probability {100 * found.match.probability:.0f} %; the maps resolve {found.resolution:.2f} degrees"
    )


@dataclass(frozen=True)
class MapOptions:
    """Which scans are mapped, and what of each."""

    kind: Annotated[list[str] | None, typer.Option("--kind", help="Use only rows of this kind, such as mof; may be repeated.")] = None
    given: Annotated[Input, typer.Option("--input", help="recipe: background and noise removed; minmax: as in Wang et al. 2020.")] = Input.recipe
    filter_mode: options.FilterOption = options.Filter.auto


@grouped("source out kind given filter_mode plot_size seed quiet")
def map_scans(
    source: Annotated[Path, typer.Argument(metavar="LABELS.csv|DIR", help="A table with columns file and label, or a folder of scans.")],
    picture: PictureOptions,
    scans: MapOptions,
    seed: options.SeedOption = 0,
    quiet: options.QuietOption = False,
) -> None:
    """Draw a map of labelled scans by neighbourhood component analysis (figure 4 of Wang et al. 2020).

    In a folder, a scan's label is its subfolder, or its name without the number at its end. The method is told the labels: see docs/reproduction.md.
    Needs the plot and baselines extras.
    """
    from xrdmatch.evaluation.nca_map import labelled, make_map
    from xrdmatch.report.figure_style import need_matplotlib
    from xrdmatch.report.map_figure import map_figure

    messages = options.Messages(quiet)
    need_matplotlib()
    files = [Path(name) for name, absent in inputs.expand([str(source)], True) if not absent] if source.is_dir() else []
    rows, folder = labelled(source, files, scans.kind or [])
    made = make_map(rows, folder, scans.given.value, scans.filter_mode.value, seed)
    for _, reason in made.failed:
        messages.error(reason)
    picture.save(map_figure(made, picture.plot_size.value))
    right, total = made.alone
    told = f"; without the map, {right} of {total} have a nearest neighbour of their own label" if total else ""
    messages.note(f"{picture.out}: {len(made.files)} scans of {len(set(made.labels))} labels{told}")
    if not total:
        messages.warn("no two scans share a label, so there is nothing to group; say in a labels.csv, or by subfolders, which scans belong together")
    if made.failed:
        raise typer.Exit(1)
