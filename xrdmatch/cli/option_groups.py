"""Options in groups: a command takes frozen dataclasses, and typer reads the options from their fields."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

import typer

Command = Callable[..., None]


def grouped(order: str = "") -> Callable[[Command], Command]:
    """A decorator of commands some of whose parameters are dataclasses of options.

    A field is declared as a parameter is elsewhere, `Annotated[type, typer.Option(...)] = default`; a class may inherit from another and declare a
    field anew. Typer sees one parameter for each field; the command gets the dataclasses, made of what was given.

    order: all names in the order of --help, with blanks between; without it they come as they are declared.
    Raises TypeError where two groups share a name or `order` does not name each parameter once.
    """

    def decorate(command: Command) -> Command:
        parameters = inspect.signature(command, eval_str=True).parameters
        groups: dict[str, Any] = {name: one.annotation for name, one in parameters.items() if is_dataclass(one.annotation)}
        flat = [one for name, whole in parameters.items() for one in (_parameters(groups[name]) if name in groups else [whole])]
        shown = [one.name for one in flat if one.annotation is not typer.Context]
        names = order.split() or shown
        if sorted(names) != sorted(shown) or len(set(names)) < len(names):
            raise TypeError(f"{command.__name__}: expected each of these names once, in the order of --help: {' '.join(shown)}")

        @functools.wraps(command)
        def call(**given: Any) -> None:
            made = {name: kind(**{field.name: given.pop(field.name) for field in fields(kind)}) for name, kind in groups.items()}
            command(**made, **given)

        flat.sort(key=lambda one: names.index(one.name) if one.name in names else -1)
        call.__signature__ = inspect.Signature([one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in flat])  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in flat}
        return call

    return decorate


def _parameters(kind: Any) -> Iterator[inspect.Parameter]:
    """The fields of a dataclass as parameters of a function."""
    types = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[field.name])
