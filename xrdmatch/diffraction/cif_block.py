"""One structure of a CIF file as it stands in its data block: tags of every spelling, numbers, the cell, the list of atoms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.cif_salvage import plain_tag
from xrdmatch.errors import StructureError
from xrdmatch.system.arrays import Float64Array

_CELL_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_FRACTION = re.compile(r"([-+]?\s*\d+\.?\d*)\s*/\s*(\d+\.?\d*)")
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
#: Tags under which atoms have their labels, the first one that is there.
_LABEL_TAGS = ("label", "label_component_0", "label_atom_id", "id")
#: What stands where a value is not known.
_UNKNOWN = frozenset(("?", ".", ""))
#: Calculation flag of an atom that is not one.
_DUMMY = "dum"


class Tags:
    """The values of a data block by their tags, in small letters and with `_` for the dots of newer dictionaries."""

    def __init__(self, block: Any) -> None:
        self.name = str(block.name)
        self._pairs: dict[str, str] = {}
        self._columns: dict[str, tuple[Any, int]] = {}
        self._values: dict[int, list[str]] = {}  # of the loops that were asked for, which gemmi copies as a whole
        for item in block:
            if (pair := item.pair) is not None:
                self._pairs[plain_tag(pair[0])] = pair[1]
            elif (loop := item.loop) is not None:
                for place, tag in enumerate(loop.tags):
                    self._columns.setdefault(plain_tag(tag), (loop, place))

    def text(self, *tags: str) -> str:
        """The first of these values that is known; empty where none is."""
        for tag in tags:
            for value in (self._pairs.get(tag), *self.column(tag)[:1]):
                if value is not None and (bare := gemmi.cif.as_string(value).strip()) not in ("", "?", "."):
                    return str(bare)
        return ""

    def number(self, *tags: str) -> float | None:
        """The first of these values as a number; None where it is none."""
        value = parse_number(self.text(*tags))
        return value if np.isfinite(value) else None

    def has_atoms(self) -> bool:
        return any(tag in known for tag in ("_atom_site_fract_x", "_atom_site_cartn_x") for known in (self._columns, self._pairs))

    def column(self, tag: str) -> list[str]:
        """The values of a tag as they are written, of one that stands outside a loop as well; empty where it is not there."""
        if tag in self._columns:
            loop, place = self._columns[tag]
            if id(loop) not in self._values:
                self._values[id(loop)] = loop.values
            values = self._values[id(loop)]
            return values[place :: loop.width()]
        return [self._pairs[tag]] if tag in self._pairs else []

    def cell(self) -> Float64Array:
        """a, b, c in angstrom, alpha, beta, gamma in degrees. Raises StructureError where one is not said."""
        found = [self.number(f"_cell_{tag}") for tag in _CELL_TAGS]
        if None in found:
            missing = ", ".join(f"_cell_{tag}" for tag, value in zip(_CELL_TAGS, found, strict=True) if value is None)
            raise StructureError(f"expected a unit cell, but {missing} is not given")
        return np.array(found, dtype=float)


@dataclass(frozen=True, eq=False)
class AtomSites:
    """The rows of an atom list. symbols: types, and labels where a row has no type; typed: (n,) which it is. fractional: (n, 3), not a number where
    unknown. written: the three columns of fractional coordinates as text, empty where they were computed. notes: what was assumed.
    """

    symbols: list[str]
    typed: NDArray[np.bool_]
    fractional: Float64Array
    occupancy: Float64Array
    written: list[list[str]]
    notes: tuple[str, ...] = ()


def parse_number(text: str) -> float:
    """`0.25`, `.25(1)`, `1/4`, `-1/3`, `0,25`; not a number for anything else."""
    bare = text.strip().strip("'\"").partition("(")[0].strip()
    try:
        return float(bare)
    except ValueError:
        pass
    if found := _FRACTION.fullmatch(bare):
        below = float(found.group(2))
        return float(found.group(1).replace(" ", "")) / below if below else np.nan
    return float(bare.replace(",", ".")) if _DECIMAL_COMMA.fullmatch(bare) else np.nan


def parse_numbers(texts: Sequence[str]) -> Float64Array:
    """(n,) numbers, as `parse_number` reads them."""
    try:
        return np.array(texts, dtype=float)
    except ValueError:  # standard uncertainties in brackets, dots, fractions
        return np.array([parse_number(text) for text in texts])


def read_sites(tags: Tags, cell: Float64Array) -> AtomSites:
    """The atom list of a block. Raises StructureError where it has none, or where nothing says what the atoms are."""
    written = [tags.column(f"_atom_site_fract_{axis}") for axis in "xyz"]
    cartesian = [tags.column(f"_atom_site_cartn_{axis}") for axis in "xyz"]
    if not all(written) and not all(cartesian):
        raise StructureError("expected atom coordinates (_atom_site_fract_x, _y and _z, or _atom_site_Cartn_x, _y and _z), found none")
    notes: list[str] = []
    if all(written):
        fractional = np.stack([parse_numbers(column) for column in written], axis=1)
        _dots_as_zero(fractional, written, tags.column("_atom_site_calc_flag"), notes)
    else:
        fractional = np.full((len(cartesian[0]), 3), np.nan)
    if all(cartesian) and not np.isfinite(fractional).all():
        notes += _fill_from_cartesian(fractional, cartesian, tags, cell)
        written = written if all(written) else []
    symbols, typed = _symbols(tags, len(fractional))
    occupancy = np.ones(len(fractional))
    if shares := tags.column("_atom_site_occupancy"):
        occupancy = parse_numbers(shares)
        occupancy = np.where(np.isnan(occupancy), 1.0, occupancy)
    return AtomSites(symbols, typed, fractional, occupancy, written, tuple(notes))


def _dots_as_zero(fractional: Float64Array, written: list[list[str]], flags: list[str], notes: list[str]) -> None:
    """A dot for a coordinate is how the ICSD writes 0; an atom flagged as a dummy has none. Changes `fractional`."""
    if not np.isnan(fractional).any():
        return
    dots = np.array([[text.strip("'\"") in (".", "-.", "+.") for text in column] for column in written]).T
    if flags:
        dots &= np.array([flag.lower() != _DUMMY for flag in flags])[:, None]
    if dots.any():
        fractional[dots] = 0.0
        notes.append(f"read '.' as 0 in {int(dots.sum())} coordinates")


def _symbols(tags: Tags, count: int) -> tuple[list[str], NDArray[np.bool_]]:
    types, labels = tags.column("_atom_site_type_symbol"), next((column for tag in _LABEL_TAGS if (column := tags.column(f"_atom_site_{tag}"))), [])
    if not types and not labels:
        raise StructureError("expected the elements of the atoms (_atom_site_type_symbol or _atom_site_label), found neither")
    if not types:
        return labels, np.zeros(count, dtype=bool)
    plain = {symbol: symbol.strip("'\"") for symbol in set(types)}
    types = [plain[symbol] for symbol in types]
    if _UNKNOWN.isdisjoint(plain.values()):
        return types, np.ones(count, dtype=bool)
    typed = np.array([symbol not in _UNKNOWN for symbol in types])
    return [symbol if known else label for symbol, label, known in zip(types, labels or types, typed, strict=True)], typed


def _fill_from_cartesian(fractional: Float64Array, cartesian: list[list[str]], tags: Tags, cell: Float64Array) -> list[str]:
    """Fractional coordinates of Cartesian ones, by the file's own matrix where it gives one. Changes `fractional`; returns what was assumed."""
    places = np.stack([parse_numbers(column) for column in cartesian], axis=1)
    fill = np.isnan(fractional).any(axis=1) & np.isfinite(places).all(axis=1)
    matrix, shift, source = _to_fractional(tags, cell)
    fractional[fill] = places[fill] @ matrix.T + shift
    return [f"computed fractional coordinates from Cartesian ones ({source})"] if fill.any() else []


def _to_fractional(tags: Tags, cell: Float64Array) -> tuple[Float64Array, Float64Array, str]:
    """(3, 3) matrix and (3,) shift from Cartesian angstrom to fractions, and where they are from."""
    for kind in ("fract", "cartn"):
        for name in ("tran", "transform", "transf"):
            rows = [[tags.number(f"_atom_sites_{kind}_{name}_matrix_{i}{j}") for j in "123"] for i in "123"]
            if any(None in row for row in rows):
                continue
            matrix = np.array(rows, dtype=float)
            shift = np.array([tags.number(f"_atom_sites_{kind}_{name}_vector_{i}") or 0.0 for i in "123"])
            if kind == "cartn" and abs(np.linalg.det(matrix)) > 1e-6:
                matrix = np.linalg.inv(matrix)
                shift = -matrix @ shift
            return matrix, shift, "by the matrix in the file"
    matrix = np.array(gemmi.UnitCell(*cell).frac.mat.tolist())
    right = np.allclose(cell[3:], 90.0)
    return matrix, np.zeros(3), "along the axes" if right else "assuming a along x and b in the plane of x and y"
