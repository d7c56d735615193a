"""Frameworks that breathe: forms between the known ones of a series.

Guests open and close the cell of MIL-88 and MIL-53 by far more than a strained cell can follow. breathing.csv lists, for each series, reference
structures from closed to open. Between neighbours the metric tensor of the cell is interpolated, so that struts keep their lengths, with the
reflections of the nearer one: the metal nodes keep their fractional coordinates while the cell opens (Serre et al., Science 2007, 315, 1828).

Columns of breathing.csv: series, the name that the forms carry; anchor, id of a structure; axes, those of the series in terms of the anchor's, such
as "a+c b c" (empty: as they stand), for one framework is published in several settings; cell, a published one of a form that no structure is of, in
the anchor's setting, whose reflections it takes (empty: the anchor's own); doi, of the paper that has the cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import ANGLE, cell_between, cell_on_axes
from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric
from xrdmatch.library.composition import metals_of
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.library.text_column import TextColumn

#: Largest relative change of a cell length from one form to the next.
STEP = 0.025
#: Stands between the series and the longest changing axis in the id of an interpolated form.
MARK = "~"

_NOTE = "interpolated between "
_TERM = re.compile(r"([+-]?)([abc])")


@dataclass(frozen=True)
class Anchor:
    """A known form of a series: a row of breathing.csv. axes: (3, 3), rows are those of the series in the anchor's; cell: (6,) or None."""

    id: str
    axes: NDArray[np.int64]
    cell: NDArray[np.float64] | None = None
    doi: str = ""

    def label(self) -> str:
        return self.id if self.cell is None else f"{self.id} with the cell of {self.doi}"


def series() -> dict[str, list[Anchor]]:
    """Anchors of each series, from closed to open."""
    result: dict[str, list[Anchor]] = {}
    with (files("xrdmatch.library") / "breathing.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            cell = np.array(row["cell"].split(), dtype=float) if row["cell"] else None
            result.setdefault(row["series"], []).append(Anchor(row["anchor"], _axes(row["axes"]), cell, row["doi"]))
    return result


def source_of(identifier: str, note: str) -> str:
    """The id of the structure that an entry is of: its own, or of an interpolated form its first anchor's."""
    return note.removeprefix(_NOTE).split(" ")[0] if MARK in identifier and note.startswith(_NOTE) else identifier


def with_breathing(library: Library) -> Library:
    """The library with interpolated forms of every series of which it holds two anchors or more.

    The forms of a series are one family, together with those families of its anchors that hold no other metal.
    """
    index = library.index()
    held = {name: [anchor for anchor in anchors if anchor.id in index] for name, anchors in series().items()}
    held = {name: anchors for name, anchors in held.items() if len(anchors) > 1}
    if not held:
        return library
    made = [(name, entry) for name, anchors in held.items() for entry in _forms(library, name, anchors) if entry.id not in index]
    both = library.joined(Library.from_entries([entry for _, entry in made])) if made else library
    family, names = both.family.copy(), both.family_name.tolist()
    for name, anchors in held.items():
        own = np.array([index[anchor.id] for anchor in anchors])
        joined = np.isin(family, _families_of_metals(library, own))
        new = [entry.id for owner, entry in made if owner == name] + [identifier for identifier in index if identifier.startswith(name + MARK)]
        joined |= np.isin(both.id.tolist(), new)
        known = joined[own].any()
        family[joined] = len(names)
        others = {names[number] for number in np.unique(family[~joined])}
        names.append(name if name not in others else f"{name} ({'all' if known else 'interpolated'} forms)")
    kept, numbers = np.unique(family, return_inverse=True)
    return replace(both, family=numbers.astype(np.int32), family_name=TextColumn.of(names[number] for number in kept))


def _axes(text: str) -> NDArray[np.int64]:
    """The matrix (3, 3) of axes such as "a+c b c"."""
    rows = np.zeros((3, 3), dtype=np.int64)
    for row, axis in zip(rows, text.split() or "abc", strict=True):
        for sign, letter in _TERM.findall(axis):
            row["abc".index(letter)] += -1 if sign == "-" else 1
    return rows


def _families_of_metals(library: Library, rows: NDArray[np.int64]) -> list[int]:
    """Families of these rows that hold no metal but theirs."""
    metals = {metal for row in rows for metal in metals_of(str(library.formula[row]))}
    members = {family: library.formula[library.members(family)].tolist() for family in set(library.family[rows].tolist())}
    return [family for family, formulas in members.items() if all(metals.issuperset(metals_of(formula)) for formula in formulas)]


def _forms(library: Library, name: str, anchors: Sequence[Anchor]) -> list[Entry]:
    """Forms between neighbours, and those of published cells, from closed to open."""
    known = [_on_axes(library.entry(library.index()[anchor.id]), anchor) for anchor in anchors]
    made = []
    for (first, start), (last, stop) in pairwise(zip(anchors, known, strict=True)):
        note = f"{_NOTE}{first.label()} and {last.label()}"
        growth = stop.cell[:3] / start.cell[:3]
        axis = int(np.abs(np.log(growth)).argmax())
        steps = max(1, int(np.ceil(abs(np.log(growth[axis])) / np.log1p(STEP))))
        for k in range(0 if first.cell is not None else 1, steps + (last.cell is not None)):
            share = float((growth[axis] ** (2 * k / steps) - 1.0) / (growth[axis] ** 2 - 1.0))  # equal ratios of this axis
            cell = cell_between(start.cell, stop.cell, share)
            form = _with_cell(start if k < steps / 2 else stop, cell)
            made.append(replace(form, id=f"{name}{MARK}{'abc'[axis]}{cell[axis]:.2f}", name=name, note=note, source="breathing series"))
    return list({entry.id: entry for entry in made}.values())


def _on_axes(entry: Entry, anchor: Anchor) -> Entry:
    """An anchor's entry on the axes of its series, with the cell that breathing.csv gives it."""
    hkl = (entry.hkl @ anchor.axes.T).astype(np.int16)
    moved = replace(entry, cell=cell_on_axes(entry.cell, anchor.axes), hkl=hkl, doi=entry.doi or anchor.doi)
    if anchor.cell is None:
        return moved
    return _with_cell(replace(moved, doi=anchor.doi), cell_on_axes(anchor.cell, anchor.axes))


def _with_cell(entry: Entry, cell: NDArray[np.float64]) -> Entry:
    """The entry with another cell (6,). Lines that coincide for a right angle come apart where it is none any longer, half the intensity each."""
    hkl, intensity = entry.hkl.astype(np.int64), entry.intensity.astype(float)
    for angle in range(3):
        if abs(entry.cell[3 + angle] - 90.0) < ANGLE <= abs(cell[3 + angle] - 90.0):
            one, other = [axis for axis in range(3) if axis != angle]
            apart = (hkl[:, one] != 0) & (hkl[:, other] != 0)
            mirrored = hkl[apart] * np.where(np.arange(3) == one, -1, 1)
            intensity = np.concatenate([np.where(apart, intensity / 2.0, intensity), intensity[apart] / 2.0])
            hkl = np.concatenate([hkl, mirrored])
    order = np.argsort(inverse_d_squared(hkl, reciprocal_metric(cell)), kind="stable")
    return replace(entry, cell=cell, hkl=hkl[order].astype(np.int16), intensity=intensity[order])
