"""info: what is installed and what would run."""

from __future__ import annotations

import platform
import sys
import textwrap
from enum import StrEnum
from typing import Annotated, Any

import typer

from xrdmatch.cli import options
from xrdmatch.errors import XrdMatchError
from xrdmatch.version import __version__

#: What decides how it runs and answers, and what the extras bring.
PACKAGES = ("numpy", "h5py", "gemmi", "spglib", "typer", "rich", "matplotlib", "watchfiles", "distributed", "torch", "onnx")


class Format(StrEnum):
    """How the facts are written."""

    text = "text"
    json = "json"


def info(
    model: options.ModelOption = None,
    device: options.DeviceOption = options.Device.auto,
    format: Annotated[Format, typer.Option("--format", "-f", help="json is one object.")] = Format.text,
) -> None:
    """Show version, model, library and the device that would be used: paste it into a bug report."""
    from xrdmatch.report.records import to_json

    facts = collect(model, device.value)
    if format is Format.json:
        typer.echo(to_json(facts, indent=2))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            said = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines = textwrap.wrap(str(said), 78 - width, break_long_words=False, break_on_hyphens=False) if said not in (None, "") else ["-"]
            typer.echo(f"{name.replace('_', ' '):{width}}  " + ("\n" + " " * (width + 2)).join(lines))
    if facts["model_error"]:
        raise typer.Exit(1)


def collect(model: str | None, device: str) -> dict[str, Any]:
    """The facts, in the order they are printed; a model that does not load is a fact as well."""
    import onnxruntime

    from xrdmatch.model.folder import shipped_folder, shipped_models
    from xrdmatch.model.session import cuda_obstacle
    from xrdmatch.system.parallel import usable_cores

    facts: dict[str, Any] = {
        "xrdmatch": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": f"{platform.platform()}, {usable_cores()} cores",
        "packages": [f"{name} {_version_of(name)}" for name in PACKAGES],
        "onnxruntime": onnxruntime.__version__,
        "providers_installed": onnxruntime.get_available_providers(),
        "cuda": cuda_obstacle() or "nothing known stands in its way",
        "shipped_models": shipped_models(),
        "models_folder": str(shipped_folder()),
    }
    about: dict[str, Any] = dict.fromkeys(("model", "model_path", "kind", "entries", "families", "trained", "provider"))
    try:
        about |= _about_model(model, device)
        error = ""
    except XrdMatchError as problem:
        error = str(problem)
    return {**facts, **about, "model_error": error}


def _version_of(package: str) -> str:
    """Without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _about_model(name: str | None, device: Any) -> dict[str, Any]:
    from xrdmatch.model.folder import Model

    model = Model.load(name, device)
    made = model.config.get("provenance") or {}
    return {
        "model": model.name,
        "model_path": str(model.path),
        "kind": model.kind,
        "entries": len(model.library),
        "families": len(set(model.library.family.tolist())),
        "trained": made.get("date") if isinstance(made, dict) else None,
        "provider": model.session.provider,
        **({"cuda": model.session.fallback} if model.session.fallback else {}),  # found out by trying, so it knows better
    }
