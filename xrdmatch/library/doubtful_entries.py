"""Entries of a library that may be wrong: what the reading of their structure doubted."""

from __future__ import annotations

from xrdmatch.diffraction.doubts import DOUBTFUL
from xrdmatch.library.reference_library import Library


def doubts_of(library: Library, row: int) -> tuple[str, ...]:
    """Why the entry may be wrong, without the word "doubtful"; empty where nothing speaks against it."""
    own = [part.removeprefix(DOUBTFUL) for part in str(library.note[row]).split("; ") if part.startswith(DOUBTFUL)]
    return tuple(dict.fromkeys(own))
