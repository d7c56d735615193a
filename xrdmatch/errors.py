"""Errors that a user can act on.

A message names the file, what was expected, what came, and what to do. The command line catches `XrdMatchError` once and prints the message;
programming mistakes raise `ValueError` or `TypeError` and are not caught.
"""

import os
import sys


class XrdMatchError(Exception):
    """Base of all errors that a user or a user's file can cause."""


class ReadError(XrdMatchError):
    """A measured file cannot be read as a powder pattern."""


class UnfinishedError(ReadError):
    """A measured file breaks off, as one does that is still being written."""


class StructureError(XrdMatchError):
    """A crystal structure cannot be loaded or simulated."""


class LibraryError(XrdMatchError):
    """A reference library or an augmented set is missing, damaged or of an unknown version."""


class ModelError(XrdMatchError):
    """A model folder is missing, damaged or cannot run on the device asked for."""


def how_to_install(packages: str, extra: str, place: str = sys.prefix) -> str:
    """The command that brings what an extra of xrdmatch consists of, as cmd.exe, PowerShell and bash take it.

    packages: their names, in double quotes where they hold brackets. place: the environment, in which pipx and uv leave a mark; pip may be absent
    there. The extra itself can be named only where xrdmatch lies, in a copy of it.
    """
    if os.path.exists(os.path.join(place, "pipx_metadata.json")):
        return f"pipx inject xrdmatch {packages}"
    if os.path.exists(os.path.join(place, "uv-receipt.toml")):
        return f'uv pip install --python "{place}" {packages}'
    return f'pip install {packages}, or in your copy of xrdmatch: pip install ".[{extra}]"'
