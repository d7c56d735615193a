"""What typer makes of the declared options and arguments, changed in two ways: how --help names a value, and what it takes to read one."""

from __future__ import annotations

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
    """Passes values that are of their parameter's type already; others go to what typer converts and checks them with.

    That is made by pydantic (from typer 0.27 on), for every parameter, given or not, and importing pydantic takes as long as importing NumPy.
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
            if isinstance(kind, type) and issubclass(kind, Enum) and (isinstance(value, kind) or value in [choice.value for choice in kind]):
                return kind(value)
        return self._usual().coerce(value, param=param, ctx=ctx)
