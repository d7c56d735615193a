"""find: entries of a model's library by name, refcode, formula, metal, linker or category."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrdmatch.cli import options
from xrdmatch.cli.option_groups import grouped
from xrdmatch.system.startup import no_garbage

if TYPE_CHECKING:
    from xrdmatch.library.find_entries import Search, Wanted
    from xrdmatch.library.reference_library import Library


class Format(StrEnum):
    """How the entries are written."""

    table = "table"
    json = "json"
    csv = "csv"


@dataclass(frozen=True)
class WantedOptions:
    """What is looked for. Raises BadParameter where nothing is, or what cannot be."""

    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="A name, refcode, formula or DOI, or a part of a name; upper case and hyphens are free."),
    ] = None
    metal: Annotated[str | None, typer.Option("--metal", metavar="Zr,...", help="Only entries with this metal, or with all of several.")] = None
    linker: Annotated[str | None, typer.Option("--linker", metavar="NAME", help="Only entries with this linker.")] = None
    category: Annotated[str | None, typer.Option("--category", metavar="NAME", help="Only entries of this category: mof, cof, zeolite, ...")] = None

    def __post_init__(self) -> None:
        if not any(text and text.strip() for text in ("".join(self.text or []), self.metal, self.linker, self.category)):
            raise options.wrong("TEXT", "give a name, refcode or formula, or one of --metal, --linker and --category")

    def wanted(self) -> Wanted:
        """Raises BadParameter for what is no metal."""
        with no_garbage():
            from xrdmatch.library.composition import metals_of
            from xrdmatch.library.find_entries import Wanted

        metals = options.symbols("--metal", self.metal) or ()
        for symbol in metals:
            if not metals_of(symbol):
                raise options.wrong("--metal", f"{symbol} does not count as a metal; look for a formula instead")
        return Wanted(" ".join(self.text or []).strip(), metals, (self.linker or "").strip(), (self.category or "").strip())


@dataclass(frozen=True)
class ResultOptions:
    """How many families are listed, how and where."""

    top: Annotated[int, typer.Option("--top", min=1, help="Families listed at most.")] = 20
    format: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="json: one object per line. By default the ending of --output decides, otherwise table."),
    ] = None
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write results to this file, complete or not at all.")] = None

    @property
    def form(self) -> Format:
        return self.format or options.by_ending(self.output, Format, Format.table)


@grouped()
def find(wanted: WantedOptions, results: ResultOptions, model: options.ModelOption = None, quiet: options.QuietOption = False) -> None:
    """Find entries of the library by name, refcode, formula, metal, linker or category.

    One row is one family: entries that powder diffraction cannot tell apart. Where nothing is found, nothing is printed but the nearest names, on
    standard error, and the exit code is 1.
    """
    messages, asked = options.Messages(quiet), wanted.wanted()
    options.check_model("--model", model)
    with no_garbage():
        from xrdmatch.library.find_entries import Search
        from xrdmatch.library.reference_library import Library
        from xrdmatch.model.folder import LIBRARY, find_model
        from xrdmatch.report.found_entries import write_found

    library = Library.load(find_model(model) / LIBRARY)
    search = Search(library, asked)
    if asked.linker:
        _tell_of_linkers(library, messages)
    if not len(search):
        _tell_of_nothing(search, asked, messages)
        raise typer.Exit(1)
    with options.output_stream(results.output) as stream:
        write_found(results.form.value, search.found(results.top), stream)
    if len(search) > results.top:
        messages.note(f"the first {results.top} of {len(search)} families; --top {len(search)} lists all")


def _tell_of_linkers(library: Library, messages: options.Messages) -> None:
    from xrdmatch.library.find_entries import says

    if not says(library, "linkers"):
        messages.warn(
            "this library does not say the linkers of its entries: --linker was looked for in names, or where it is a formula (C8H4O4) "
            "among the compositions that it could give"
        )


def _tell_of_nothing(search: Search, asked: Wanted, messages: options.Messages) -> None:
    """What was looked for, and the names that are like it."""
    parts = [f"metal {' and '.join(asked.metals)}" if asked.metals else "", f"linker {asked.linker}" if asked.linker else ""]
    parts += [f"category {asked.category}" if asked.category else ""]
    said = ", ".join(part for part in (asked.text, *parts) if part)
    near = search.nearest()
    messages.error(f"{said}: nothing like this in the library{'; the nearest names are ' + ', '.join(near) if near else ''}")
