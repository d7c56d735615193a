"""Frameworks that breathe: forms between the known ones of a series.

Guests open and close the cell of MIL-88 and MIL-53 by far more than a strained cell can follow. breathing.csv lists, for each series, reference
structures of one setting from closed to open. Between neighbours the cell is interpolated, with the reflections of the nearer one: the metal nodes
keep their fractional coordinates while the cell opens (Serre et al., Science 2007, 315, 1828).
"""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise

import numpy as np

from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.library.text_column import TextColumn

#: Largest change of a cell length from one form to the next.
STEP = 0.025
#: Stands between an anchor's id and the longest changing axis in the id of an interpolated form.
MARK = "~"


def series() -> dict[str, list[str]]:
    """Anchor ids of each series, from closed to open."""
    result: dict[str, list[str]] = {}
    with (files("xrdmatch.library") / "breathing.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            result.setdefault(row["series"], []).append(row["anchor"])
    return result


def with_breathing(library: Library) -> Library:
    """The library with interpolated forms of every series of which it holds two anchors or more; each series is one family."""
    index = library.index()
    groups = {name: [index[anchor] for anchor in anchors if anchor in index] for name, anchors in series().items()}
    groups = {name: rows for name, rows in groups.items() if len(rows) > 1}
    made: list[tuple[str, Entry]] = [(name, entry) for name, rows in groups.items() for entry in _between(library, name, rows)]
    made = [(name, entry) for name, entry in made if entry.id not in index]
    if not groups:
        return library
    both = library.joined(Library.from_entries([entry for _, entry in made])) if made else library
    family = both.family.copy()
    names = both.family_name.tolist()
    for name, rows in groups.items():
        joined = np.isin(family, family[rows])
        joined[len(library) :] |= np.array([owner == name for owner, _ in made], dtype=bool)
        family[joined] = len(names)
        others = {names[number] for number in np.unique(family[~joined])}
        names.append(name if name not in others else f"{name} (all forms)")
    kept, numbers = np.unique(family, return_inverse=True)
    return replace(both, family=numbers.astype(np.int32), family_name=TextColumn.of(names[number] for number in kept))


def _between(library: Library, name: str, rows: list[int]) -> list[Entry]:
    made = []
    for first, last in pairwise(rows):
        start, stop = library.cell[first], library.cell[last]
        change = float(np.abs(stop[:3] / start[:3] - 1.0).max())
        steps = max(1, int(np.ceil(change / STEP)))
        axis = int(np.abs(stop[:3] / start[:3] - 1.0).argmax())
        for k in range(1, steps):
            share = k / steps
            base = library.entry(first if share < 0.5 else last)
            cell = start + share * (stop - start)
            note = f"interpolated between {library.id[first]} and {library.id[last]}"
            made.append(replace(base, id=f"{name}{MARK}{'abc'[axis]}{cell[axis]:.2f}", name=name, cell=cell, note=note, source="breathing series"))
    return made
