"""Commands that take their options in dataclasses."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from xrdmatch.cli.commands import COMMANDS
from xrdmatch.cli.option_groups import grouped


@dataclass(frozen=True)
class Where:
    """A group of options."""

    path: Annotated[str, typer.Argument(metavar="PATH")]
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, envvar="GROUPED_JOBS")] = 2


@dataclass(frozen=True)
class Here(Where):
    """A group that declares an option of another anew, and adds one."""

    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=4, envvar="GROUPED_JOBS")] = 3
    tags: Annotated[list[str] | None, typer.Option("--tag")] = None


def program(got: list[Any]) -> typer.Typer:
    made = typer.Typer()

    @made.command()
    @grouped("path loud tags jobs")
    def run(context: typer.Context, where: Here, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
        """Run it."""
        got.append((type(context).__name__, where, loud))

    return made


def grouped_with(order: str) -> None:
    def run(where: Here) -> None: ...

    grouped(order)(run)


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["a"], {}, (Here("a", 3, None), False)),
        (["a", "-j", "1", "--tag", "x", "--tag", "y", "--loud"], {}, (Here("a", 1, ["x", "y"]), True)),
        (["a"], {"GROUPED_JOBS": "4"}, (Here("a", 4, None), False)),
    ],
)
def test_a_command_gets_its_dataclasses(arguments: list[str], environment: dict[str, str], expected: tuple[Here, bool]) -> None:
    got: list[Any] = []
    result = CliRunner().invoke(program(got), arguments, env=environment)
    assert result.exit_code == 0, result.output
    ((_, where, loud),) = got
    assert (where, loud) == expected


def test_a_wrong_value_is_a_usage_error_that_names_its_option() -> None:
    got: list[Any] = []
    for arguments, named in ((["a", "--jobs", "5"], "--jobs"), ([], "PATH"), (["a", "--job", "1"], "--job")):
        result = CliRunner().invoke(program(got), arguments)
        assert result.exit_code == 2
        assert named in result.output
    assert not got


def test_help_shows_the_options_in_the_order_that_is_given() -> None:
    text = CliRunner().invoke(program([]), ["--help"]).output
    assert "Run it." in text
    places = [text.index(f"--{name}") for name in ("loud", "tag", "jobs")]
    assert places == sorted(places)


@pytest.mark.parametrize("order", ["path jobs", "path jobs tags tags", "path jobs tags more"])
def test_an_order_that_does_not_fit_the_options_is_refused(order: str) -> None:
    with pytest.raises(TypeError, match="path jobs tags"):
        grouped_with(order)


def test_two_groups_with_one_name_are_refused() -> None:
    def run(where: Here, there: Where) -> None: ...

    with pytest.raises(TypeError, match="each of these names once"):
        grouped()(run)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_no_command_takes_more_than_six_arguments(command: Any) -> None:
    assert len(inspect.signature(inspect.unwrap(command.function)).parameters) <= 6
