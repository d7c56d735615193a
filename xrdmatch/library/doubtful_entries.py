"""Entries of a library that may be wrong: what their structure's reading doubted, and frameworks of the shipped library that lost charged parts.

incomplete.csv, made by scripts/find_incomplete.py from the CIF files of CoRE MOF, lists those of the shipped library, which was built before the
charges of frameworks were checked. An entry is only found there if it came from the archive that the table names: a file of one's own may be whole.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from xrdmatch.diffraction.doubts import DOUBTFUL, charge_doubt
from xrdmatch.library.reference_library import Library


@lru_cache(maxsize=1)
def incomplete() -> dict[tuple[str, str], str]:
    """What is doubtful of a framework by its id and the archive it came from."""
    text = Path(__file__).with_name("incomplete.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines()[1:]]
    return {(name, source): charge_doubt(float(anions), float(metals)) for name, source, anions, metals in rows}


def doubts_of(library: Library, row: int) -> tuple[str, ...]:
    """Why the entry may be wrong, without the word "doubtful"; empty where nothing speaks against it."""
    own = [part.removeprefix(DOUBTFUL) for part in str(library.note[row]).split("; ") if part.startswith(DOUBTFUL)]
    known = incomplete().get((str(library.id[row]), str(library.source[row])))
    return tuple(dict.fromkeys([*own, *([known.removeprefix(DOUBTFUL)] if known else [])]))
