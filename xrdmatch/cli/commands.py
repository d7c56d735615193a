"""The commands: what the list of them says, and where each is found. A command's module is imported when that command is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand

from xrdmatch.cli.parameters import adapted

START, MORE = "Start here", "More"


@dataclass(frozen=True)
class Command:
    """name: on the command line. place: module and function. panel, help: in `xrdmatch --help`; help is the first paragraph of the docstring."""

    name: str
    place: str
    panel: str
    help: str

    @property
    def function(self) -> Callable[..., None]:
        module, _, name = self.place.partition(":")
        found: Callable[..., None] = getattr(importlib.import_module(f"xrdmatch.cli.{module}"), name)
        return found


#: In the order of the list.
COMMANDS = (
    Command("identify", "identify:identify", START, "Name the framework in raw powder scans: a ranked list with a verdict."),
    Command("check", "check:check", START, "Check whether scans show what you made, and nothing else."),
    Command("simulate", "simulate:simulate", START, "Turn crystal structures into a reference library, or one structure into a pattern."),
    Command(
        "train",
        "training:train",
        START,
        "Train a model: a library becomes an encoder, an augmented set the classifier of Wang et al. 2020, examples a re-ranker.",
    ),
    Command("find", "find:find", MORE, "Find entries of the library by name, refcode, formula, metal, linker or category."),
    Command("stack", "stack:stack", MORE, "Draw scans over the simulated patterns of what they should be: one figure."),
    Command("serve", "serve:serve", MORE, "Open a page on this machine to drop scans into."),
    Command("denoise", "patterns:denoise", MORE, "Remove noise from measured scans with the FFT filter."),
    Command(
        "augment",
        "patterns:augment",
        MORE,
        "Make training patterns for train --network wang2020: with shuffled measured noise (Wang et al. 2020), or as a diffractometer records them.",
    ),
    Command("evaluate", "models:evaluate", MORE, "Measure accuracy on scans you have labelled, with Wilson 95 % intervals."),
    Command(
        "explain",
        "pictures:explain",
        MORE,
        "Show what the network looked at: class activation maps over the scan, with the match's reflections indexed.",
    ),
    Command("add", "models:add", MORE, "Add your own structures to a model, in seconds and without training."),
    Command("info", "info:info", MORE, "Show version, model, library and the device that would be used: paste it into a bug report."),
    Command("map", "pictures:map_scans", MORE, "Draw a map of labelled scans by neighbourhood component analysis (figure 4 of Wang et al. 2020)."),
)


class LazyCommand(TyperCommand):
    """A command that is known by its name and help; it becomes the command itself when its arguments are to be read."""

    def __init__(self, command: Command) -> None:
        super().__init__(command.name, help=command.help, rich_help_panel=command.panel)
        self._command = command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        one = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        one.command(self._command.name, cls=_LoadedCommand)(self._command.function)
        return typer.main.get_command(one).make_context(info_name, args, parent, **extra)


class _LoadedCommand(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return adapted(super().get_params(ctx))
