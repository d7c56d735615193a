"""What an entry is called: the name that people say, else what its structure is made of and its refcode ("Zn imidazolate, cag, GIZJOP")."""

from __future__ import annotations

import re

from xrdmatch.library.common_names import stem
from xrdmatch.library.reference_library import Library

_REFCODE = re.compile(r"[A-Z]{6}(\d\d)?")


def refcode(identifier: str) -> str:
    """The CSD refcode that an entry's id holds, empty where it holds none."""
    code = stem(identifier)
    return code if _REFCODE.fullmatch(code) else ""


def entry_name(library: Library, row: int) -> str:
    """Never empty: the name people say; else the title, with the refcode where there is one; else the refcode or the file's name."""
    name, title = str(library.name[row]), str(library.title[row])
    code = refcode(str(library.id[row]))
    return name or ", ".join(part for part in (title, code) if part) or stem(str(library.id[row]))
