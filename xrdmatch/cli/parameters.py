"""What typer makes of the declared options and arguments, changed in three ways: how --help names a value, what it takes to read one,
and what is said of one that is wrong."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

#: What --help calls a value, where typer would show a type of Python; a switch has none.
_LABELS = {"bool": "", "int": "N", "int range": "N", "float": "NUMBER", "float range": "NUMBER", "path": "PATH", "str": "TEXT"}


def adapted(params: Any) -> Any:
    """The same parameters of a command."""
    for param in params:
        _label(param)
        if hasattr(param, "get_runtime_param") and not isinstance(param.get_runtime_param, _Direct):
            param.get_runtime_param = _Direct(param.get_runtime_param)
    return params


def _label(param: Any) -> None:
    if param.param_type_name == "argument":
        param.display_type_rich = lambda ctx: None  # its name says it: PATH, SOURCE
        return
    label = _LABELS.get(param.bare_type()) if param.metavar is None and hasattr(param, "bare_type") else None
    if label is not None:
        param.metavar = label


class _Direct:
    """Reads numbers and choices, and passes values that are of their parameter's type already; others go to what typer converts and checks them with.

    That is made by pydantic (from typer 0.27 on), for every parameter, given or not, and importing pydantic takes as long as importing NumPy; and
    pydantic speaks of inputs and of Python's types.
    """

    def __init__(self, usual: Any) -> None:
        self._usual = usual

    def __call__(self) -> _Direct:
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        kind, told = param.type_descriptor.annotation, param.type_descriptor.parameter_info
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if told.parser is None:
            if kind == list[str] and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
                return list(value)
            if kind in (str, int, float) and type(value) is kind:
                return value
            if kind in (int, float):
                return _number(value, kind, param, told)
            if isinstance(kind, type) and issubclass(kind, Enum):
                return value if isinstance(value, kind) else _choice(value, kind, param)
        return self._usual().coerce(value, param=param, ctx=ctx)


def _number(value: Any, kind: type[int] | type[float], param: Any, told: Any) -> int | float:
    """Raises BadParameter for what is no number, or not within the bounds of its option."""
    try:
        number = kind(value)
    except ValueError:
        number = None
    low, high = told.min, told.max
    if number is None or not math.isfinite(number) or (low is not None and number < low) or (high is not None and number > high):
        bounds = f" from {low:g} to {high:g}" if low is not None and high is not None else f", {low:g} or more" if low is not None else ""
        raise _wrong(param, f"expected a {'whole ' if kind is int else ''}number{bounds}, got {value}")
    return number


def _choice(value: Any, kind: type[Enum], param: Any) -> Enum:
    """Raises BadParameter for what is none of the choices."""
    for choice in kind:
        if choice.value == value:
            return choice
    *others, last = (str(choice.value) for choice in kind)
    raise _wrong(param, f"expected {', '.join(others)} or {last}, got {value}")


def _wrong(param: Any, what: str) -> Exception:
    from xrdmatch.cli.options import wrong

    return wrong(next((flag for flag in param.opts if flag.startswith("--")), param.opts[0]), what)
