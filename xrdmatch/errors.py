"""Errors that a user can act on.

A message names the file, what was expected, what came, and what to do. The command line catches `XrdMatchError` once and prints the message;
programming mistakes raise `ValueError` or `TypeError` and are not caught.
"""


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


def how_to_install(packages: str, extra: str) -> str:
    """The commands that bring what an extra of xrdmatch consists of. The extra itself can be named only where xrdmatch lies, in a copy of it."""
    return f'pip install {packages}, or in your copy of xrdmatch: pip install ".[{extra}]"'
