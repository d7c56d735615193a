"""Names people say (HKUST-1, ZIF-8) and the DOIs of the papers behind library entries.

The names are a readable table, xrdmatch/library/names.csv, made by scripts/make_names.py: a key (refcode, or the stem of a structure file without its
suffix), the name, the DOI of a paper, and the name's source: "checked" against the structure, or an equal composition and "pattern" with one that is.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from xrdmatch.errors import LibraryError
from xrdmatch.library.reference_library import Library
from xrdmatch.library.text_column import TextColumn
from xrdmatch.system import atomic_files

#: What CoRE MOF appends to a structure's name: how solvent and disorder were treated.
_SUFFIX = re.compile(r"_(?:clean|freeONLY|charged|manual|SL|ion|neutral|uncharged|auto|part|min|5b|h|b|clean5b)$")


def stem(identifier: str) -> str:
    """The part of an entry's id that names the structure: `FIQCEN` of `FIQCEN_clean`, `ja4050828` of `ja4050828_auto`."""
    code = re.match(r"[A-Z]{6}(?:\d\d)?(?=_)", identifier)
    if code:
        return code.group()
    shorter = _SUFFIX.sub("", identifier)
    return identifier if shorter == identifier else stem(shorter)


@cache
def _table() -> dict[str, tuple[str, str]]:
    from importlib import resources

    text = (resources.files("xrdmatch.library") / "names.csv").read_text(encoding="utf-8")
    return {row["key"]: (row["name"], row["doi"]) for row in csv.DictReader(text.splitlines())}


def name_of(identifier: str) -> tuple[str, str] | None:
    """Name and DOI (possibly empty) of an entry's id; None where it has no name people say. Letter case must match."""
    table = _table()
    return table.get(identifier) or table.get(stem(identifier))


def ways_to_say(name: str, metals: Sequence[str]) -> frozenset[str]:
    """Each way to say a name: `NU-1200` and `BUT-12` of `NU-1200 (BUT-12)`. Left out are metals of the entry in brackets and what follows a comma:
    `MIL-88B` of `MIL-88B(Cr)`, `DUT-49` of `DUT-49, contracted`. A remark in brackets stays: `MOF-5 (interpenetrated)` is another framework.
    """
    whole = name.split(", ")[0]
    parts = re.fullmatch(r"(.+?)( ?)\(([^()]+)\)", whole)
    if parts is None:
        return frozenset([whole] if whole else [])
    before, gap, inside = parts.groups()
    if set(re.split("[,/]", inside)) <= set(metals):
        return ways_to_say(before, metals)
    return ways_to_say(before, metals) | {inside} if gap and re.search(r"\d", inside) else frozenset([whole])


def core_dois(paths: Iterable[str | Path]) -> dict[str, str]:
    """DOI by id from the tables CoRE MOF ships beside its structures (columns filename and DOI_public; a table without them gives nothing).

    Raises LibraryError where a table cannot be read.
    """
    found: dict[str, str] = {}
    for path in paths:
        try:
            with Path(path).open(newline="", encoding="utf-8-sig") as file:
                for row in csv.DictReader(file):
                    doi = (row.get("DOI_public") or "").strip()
                    if doi.startswith("10.") and row.get("filename"):
                        found[row["filename"]] = doi
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            why = atomic_files.reason(error)
            raise LibraryError(f"{path}: cannot be read as a table with the columns filename and DOI_public ({why})") from error
    return found


def with_names(library: Library, dois: Mapping[str, str] | None = None) -> Library:
    """The library with the name and DOI of every entry that has them. `dois` (by id) goes before the table; what the library has already is kept."""
    names, papers = library.name.tolist(), library.doi.tolist()
    for row, identifier in enumerate(library.id.tolist()):
        name, doi = name_of(identifier) or ("", "")
        names[row] = names[row] or name
        papers[row] = papers[row] or (dois or {}).get(identifier, "") or doi
    return replace(library, name=TextColumn.of(names), doi=TextColumn.of(papers))
