"""The commands as one program. Each is one function of its module here."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xrdmatch.cli.identify import identify
from xrdmatch.cli.info import info
from xrdmatch.cli.models import add, evaluate, train
from xrdmatch.cli.patterns import augment, denoise
from xrdmatch.cli.pictures import explain, map_scans
from xrdmatch.cli.simulate import simulate
from xrdmatch.errors import XrdMatchError
from xrdmatch.version import __version__

__all__ = ["app", "main"]

START, MORE = "Start here", "More"

WELCOME = """\
xrdmatch names the metal-organic framework in a powder X-ray diffraction scan.

  xrdmatch identify scan.raw              what is it? ranked names and a verdict
  xrdmatch simulate cifs/ -o library.h5   structures into a reference library
  xrdmatch train library.h5 -o my-model   a library into a model of your own

xrdmatch --help lists all commands, xrdmatch COMMAND --help their options."""


class _Commands(TyperGroup):
    """Turns what a user or a user's file can cause into one line and an exit code; the only place that does."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A scan where a command is expected is what people try first."""
        if args and self.get_command(ctx, args[0]) is None and os.path.exists(args[0]):
            ctx.fail(f"{args[0]!r} is no command. To identify it: xrdmatch identify {shlex.join(args)}")
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: Any) -> Any:
        return _labelled(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _labelled(command.get_params(ctx))
        return command

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except XrdMatchError as error:
            from xrdmatch.cli.options import Messages

            Messages().error(str(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo(str(error) or "interrupted", err=True)
            raise typer.Exit(130) from error
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

#: What --help calls a value, where typer would show a type of Python; a switch has none.
_LABELS = {"bool": "", "int": "N", "int range": "N", "float": "NUMBER", "float range": "NUMBER", "path": "PATH", "str": "TEXT"}


def _labelled(params: Any) -> Any:
    for param in params:
        if param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: None  # its name says it: PATH, SOURCE
            continue
        label = _LABELS.get(param.bare_type()) if param.metavar is None and hasattr(param, "bare_type") else None
        if label is not None:
            param.metavar = label
    return params


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

    [bold]xrdmatch identify scan.raw[/bold] is all it takes; every command explains itself with --help.
    """
    if context.invoked_subcommand is None:
        typer.echo(WELCOME)


app.command(rich_help_panel=START)(identify)
app.command(rich_help_panel=START)(simulate)
app.command(rich_help_panel=START)(train)
for _command in (denoise, augment, evaluate, explain, add, info):
    app.command(rich_help_panel=MORE)(_command)
app.command("map", rich_help_panel=MORE)(map_scans)


def main() -> None:
    """Entry point of the `xrdmatch` script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name or a subscript must not end the run on an old code page
    app(prog_name="xrdmatch")
