"""The commands as one program."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xrdmatch.cli.commands import COMMANDS, LazyCommand
from xrdmatch.cli.parameters import adapted
from xrdmatch.errors import XrdMatchError
from xrdmatch.system import interrupts
from xrdmatch.version import __version__

__all__ = ["app", "main"]

WELCOME = """\
xrdmatch names the metal-organic framework in a powder X-ray diffraction scan.

  xrdmatch identify scan.raw              what is it? ranked names and a verdict
  xrdmatch simulate cifs/ -o library.h5   structures into a reference library
  xrdmatch train library.h5 -o my-model   a library into a model of your own

xrdmatch --help lists all commands, xrdmatch COMMAND --help their options."""


class _Commands(TyperGroup):
    """Turns what a user or a user's file can cause into one line and an exit code; the only place that does."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for command in COMMANDS:
            self.add_command(LazyCommand(command))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A scan where a command is expected is what people try first."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.commands, 1)
            advice = f"Did you mean '{near[0]}'?" if near else "All commands: xrdmatch --help"
            if os.path.exists(args[0]):
                advice = f"To identify it: xrdmatch identify {shlex.join(args)}"
            ctx.fail(f"{args[0]!r} is not a command. {advice}")
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: Any) -> Any:
        return adapted(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from xrdmatch.cli.overview import print_overview

        print_overview(self.get_usage(ctx), self.help or "", self.get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except XrdMatchError as error:
            from xrdmatch.cli.options import Messages

            Messages().error(str(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            with interrupts.interrupt_held():  # what the message says matters, even to somebody who presses Ctrl-C again
                typer.echo(str(error) or "interrupted", err=True)
                interrupts.next_one_ends()
            raise typer.Exit(interrupts.INTERRUPTED) from error
        except OSError as error:
            if error.errno not in _SURROUNDINGS:
                raise
            # Where the output goes has gone or is full; the interpreter would complain while it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if error.errno != errno.EPIPE:
                typer.echo(f"error: {error.filename or 'standard output'}: cannot be written ({error.strerror}); choose another place", err=True)
            raise typer.Exit(1) from error


#: Errors of the system that are no defect of ours: full or read-only disks, permissions, a reader that has gone.
_SURROUNDINGS = frozenset(
    getattr(errno, name, None) for name in ("EPIPE", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EFBIG", "EIO", "ENAMETOOLONG")
)

app = typer.Typer(
    cls=_Commands,
    name="xrdmatch",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"xrdmatch {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Name the metal-organic framework in a raw powder X-ray diffraction scan.

    xrdmatch identify scan.raw is all it takes; every command explains itself with --help.
    """
    if context.invoked_subcommand is None:
        typer.echo(WELCOME)


def main() -> None:
    """Entry point of the `xrdmatch` script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name or a subscript must not end the run on an old code page
    app(prog_name="xrdmatch")
