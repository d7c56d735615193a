"""The list of commands against the commands themselves, and what is read from the command line."""

from __future__ import annotations

import inspect
import io
import sys
from pathlib import Path

import pytest
import typer

from xrdmatch.cli.app import app
from xrdmatch.cli.commands import COMMANDS, LazyCommand
from xrdmatch.cli.overview import PLAIN_FRAME, print_overview

IDENTIFY = next(command for command in COMMANDS if command.name == "identify")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_list_says_what_the_command_says_of_itself(command):
    first = inspect.cleandoc(command.function.__doc__).split("\n\n")[0]
    assert command.help == " ".join(first.split())


def test_every_command_is_listed_once():
    group = typer.main.get_command(app)
    context = group.make_context("xrdmatch", [])
    assert group.list_commands(context) == [command.name for command in COMMANDS]
    assert len({command.place for command in COMMANDS}) == len(COMMANDS)


def plain(command):
    """The same command with typer's own conversion of values."""
    one = typer.Typer(add_completion=False)
    one.command()(command.function)
    return typer.main.get_command(one)


@pytest.mark.parametrize(
    "line",
    [
        "a.xy b.xy",
        "a.xy --format json --top 3 --wavelength Cu --settle 0.5 --model somewhere -o out.txt --quiet --device cpu",
        "a.xy --plot p.pdf --plot-size single --export e --export-shifted --elements Zn,C --jobs 2 --scheduler local --range-index 1 --filter off",
        "",
        "--watch folder --recursive",
    ],
)
def test_values_are_what_typer_makes_of_them(line, monkeypatch):
    monkeypatch.delenv("XRDMATCH_MODEL", raising=False)
    ours, usual = LazyCommand(IDENTIFY).make_context("identify", line.split()), plain(IDENTIFY).make_context("identify", line.split())
    assert ours.params == usual.params
    assert {name: type(value) for name, value in ours.params.items()} == {name: type(value) for name, value in usual.params.items()}
    assert isinstance(ours.params["output"], Path | None)


@pytest.mark.parametrize(
    "line", ["--format jsno", "--top 0", "--top x", "--wavelength Cx", "--settle 0", "--jobs 1.5", "--plot-scale SQRT", "--scheduler x"]
)
def test_what_typer_refuses_is_refused(line):
    """What is said of it is in test_usage_errors.py."""
    for command in (LazyCommand(IDENTIFY), plain(IDENTIFY)):
        with pytest.raises(typer.BadParameter):
            command.make_context("identify", ["a.xy", *line.split()])


@pytest.mark.parametrize("width", [50, 60, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_overview_fits_the_terminal(width, encoding, monkeypatch):
    stream = io.BytesIO()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding=encoding))
    group = typer.main.get_command(app)
    print_overview("Usage: xrdmatch", group.help, group.params)
    sys.stdout.flush()
    lines = stream.getvalue().decode(encoding).splitlines()
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines)
    framed = [line for line in lines if line and line[0] in "│|"]
    assert {len(line) for line in framed} == {width}
    text = " ".join(" ".join(line.strip("│|").split()) for line in lines)
    assert all(command.name in text for command in COMMANDS)
    assert all(" ".join(command.help.split()[:2]) in text for command in COMMANDS)
    assert (PLAIN_FRAME[4] * 9 in "".join(lines)) is (encoding == "ascii")
