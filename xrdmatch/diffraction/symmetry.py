"""From the atoms that a CIF file lists to all atoms of the cell: which operations, and which images of a site are one atom."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.cif_block import AtomSites, Tags
from xrdmatch.diffraction.doubts import DOUBTFUL
from xrdmatch.diffraction.space_groups import CELL_FITS, Setting, by_hall, by_number, by_symbol, in_setting, operation_codes
from xrdmatch.errors import StructureError
from xrdmatch.system.arrays import Float64Array

#: Images of a site nearer than this (angstrom) are one atom, unless its occupancy says that they are alternatives.
ONE_ATOM = 0.4
#: Images nearer than this (angstrom) are one atom in any case.
_ROUNDING = 0.01
#: ... and images that differ in each coordinate by no more than so many units of the last digit that the file writes.
_LAST_DIGITS = 1.6
#: Change of the cell's metric under the operations from which a symbol cannot be meant (3 % of a length, 3 degrees).
_CELL_REFUSED = 0.06
#: Sum of occupancies that one place can hold; the rest is rounding.
FULL = 1.01

# The operations of a magnetic group come first: they belong to the cell of the file, others beside them to the parent structure.
_OPERATIONS = ("_space_group_symop_magn_operation_xyz", "_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_CENTERINGS = ("_space_group_symop_magn_centering_xyz",)
_SYMBOLS = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m",
    "_space_group_name_h-m_ref",
    "_space_group_name_h-m_full",
)
_HALLS = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
_MAGNETIC = ("_space_group_magn_number_bns", "_space_group_magn_name_bns", "_space_group_magn_number_og", "_space_group_magn_name_og")
_MODULATED = ("_space_group_symop_ssg_operation_algebraic", "_space_group_symop_magn_ssg_operation_algebraic", "_space_group_ssg_name")


@dataclass(frozen=True)
class Symmetry:
    """settings: what the file may mean, the usual one first. notes: what was assumed; asked: what the file says, where that leaves several open."""

    settings: tuple[Setting, ...]
    notes: tuple[str, ...] = ()
    asked: str = ""


@dataclass(frozen=True, eq=False)
class Expanded:
    """All atoms of the cell. site: (k,) rows of the sites they come from. fractional: (k, 3).

    split, merged: how many sites lie within 0.4 angstrom of an image of their own and were kept apart, as their occupancy allows, or taken for one.
    """

    site: NDArray[np.int64]
    fractional: Float64Array
    split: int = 0
    merged: int = 0


def read_symmetry(tags: Tags, cell: Float64Array) -> Symmetry:
    """What a block says of its symmetry: listed operations, else the Hall symbol, the Hermann-Mauguin symbol, the number.

    Raises StructureError where an operation is none, a symbol is not known or does not fit the cell, or the structure is modulated.
    """
    for tag in _MODULATED:
        if tags.text(tag):
            raise StructureError(f"expected symmetry in three dimensions, but the structure is modulated ({tag}): use its average structure")
    symbol, number = tags.text(*_SYMBOLS), int(tags.number(*_NUMBERS) or 0)
    if listed := next((column for tag in _OPERATIONS if (column := tags.column(tag))), []):
        setting = _listed(tuple(listed), tuple(next((column for tag in _CENTERINGS if (column := tags.column(tag))), [])))
        return Symmetry((setting,), _listed_notes(setting, symbol, cell))
    if any(tags.text(tag) for tag in _MAGNETIC):
        raise StructureError("expected the operations of the magnetic space group (_space_group_symop_magn_operation.xyz), found only its name")
    hall = tags.text(*_HALLS)
    if hall and (known := by_hall(hall)):
        return _fitting([known], cell, f"Hall symbol {hall!r}")
    code = tags.text("_space_group_it_coordinate_system_code")
    return _named(symbol, number, code, cell) if symbol or number else _nothing_said(hall)


def _nothing_said(hall: str) -> Symmetry:
    if hall:
        raise StructureError(f"the Hall symbol {hall!r} is not known: list the symmetry operations, or correct it")
    return Symmetry(tuple(by_number(1)), ("took P 1, since the file gives no symmetry",))


def _named(symbol: str, number: int, code: str, cell: Float64Array) -> Symmetry:
    """The settings that a Hermann-Mauguin symbol, or where that is not known a number, may mean; code: of the setting, where the file gives one."""
    settings = in_setting(by_symbol(symbol), code) if symbol else []
    if settings:
        found = _fitting(settings, cell, f"space group {symbol!r}")
        notes = list(found.notes)
        if gemmi.find_spacegroup_by_name(symbol) is None:
            notes.append(f"read the space group {symbol!r} as {settings[0].name.partition(':')[0]} (number {settings[0].number})")
        if number not in (0, settings[0].number):
            notes.append(f"{DOUBTFUL}the space group {symbol!r} has number {settings[0].number}, but the file says {number}")
        return Symmetry(found.settings, tuple(notes), found.asked)
    settings = in_setting(by_number(number), code)
    if not settings:
        said = repr(symbol) if symbol else f"number {number}"
        raise StructureError(f"the space group {said} is not known, and no symmetry operations are listed: correct it, or list the operations")
    found = _fitting(settings, cell, f"space group number {number}")
    why = f"the symbol {symbol!r} is not known" if symbol else "only its number is given"
    meant = number if found.asked else f"{number} ({found.settings[0].name})"
    return Symmetry(found.settings, (f"took space group {meant}, since {why}", *found.notes), found.asked)


def _fitting(settings: list[Setting], cell: Float64Array, said: str) -> Symmetry:
    """Those of the settings whose operations leave the cell as it is. Raises StructureError where none does, and what is meant cannot be told."""
    misfits = [setting.misfit(cell) for setting in settings]
    least = min(misfits)
    if least <= CELL_FITS:
        kept = [setting for setting, misfit in zip(settings, misfits, strict=True) if misfit <= least + 1e-4]
        return Symmetry(tuple(kept), (), said if len(kept) > 1 else "")
    others = [setting for setting in by_number(settings[0].number) if setting.misfit(cell) <= CELL_FITS]
    if len(others) == 1:
        return Symmetry(tuple(others), (f"{DOUBTFUL}the cell does not fit {said}: took its setting {others[0].name}, which does",))
    if least <= _CELL_REFUSED:
        return Symmetry((settings[misfits.index(least)],), (f"{DOUBTFUL}the cell does not quite have the symmetry of {said}",))
    shape = " ".join(f"{value:g}" for value in cell)
    raise StructureError(f"the cell {shape} does not fit {said}, and no symmetry operations are listed: correct one of them, or list the operations")


def _listed_notes(setting: Setting, symbol: str, cell: Float64Array) -> tuple[str, ...]:
    notes = []
    if len(setting) > 1:
        if setting.misfit(cell) > CELL_FITS:
            notes.append(f"{DOUBTFUL}the cell does not have the symmetry of the operations listed")
        if not _is_group(setting):
            notes.append(f"{DOUBTFUL}the {len(setting)} symmetry operations listed do not form a group; used as they are")
    known = {len(one) for one in by_symbol(symbol)} if symbol else set()
    if known and len(setting) not in known:
        count = " or ".join(map(str, sorted(known)))
        notes.append(f"{DOUBTFUL}{len(setting)} symmetry operations are listed, but {symbol!r} has {count}; used those listed")
    return tuple(notes)


@lru_cache(maxsize=256)
def _listed(operations: tuple[str, ...], centerings: tuple[str, ...]) -> Setting:
    """Listed operations times listed centerings, the identity first and each once."""
    pairs = [_operation(text) for text in operations]
    if centerings:
        shifts = [_operation(text)[1] for text in centerings]
        pairs = [(turn, move + shift) for shift in ([np.zeros(3), *shifts]) for turn, move in pairs]
    pairs = [(np.eye(3), np.zeros(3)), *pairs]
    turns, moves = np.array([turn for turn, _ in pairs]), np.array([move for _, move in pairs]) % 1.0
    _, first = np.unique(operation_codes(turns, moves), return_index=True)
    first.sort()
    return Setting("the operations listed", 0, turns[first], moves[first])


@lru_cache(maxsize=1024)
def _operation(text: str) -> tuple[Float64Array, Float64Array]:
    """Rotation (3, 3) and translation (3,) of `-x, y+1/2, -z`; the time reversal of `x,y,z,-1` changes no position."""
    bare = re.sub(r"\s+", "", text.strip().strip("'\"")).lower()
    bare = re.sub(r",[+-]?[1m]$|(,[+-]?m[xyz][^,]*){3}$|;[^;]*$", "", bare)
    try:
        found = gemmi.parse_triplet_as_ftransform(bare)
    except (ValueError, RuntimeError) as error:
        raise StructureError(f"expected a symmetry operation such as '-x, y+1/2, -z', got {text.strip()!r}") from error
    turn, move = np.array(found.mat.tolist()), np.array(found.vec.tolist())
    if abs(abs(np.linalg.det(turn)) - 1.0) > 1e-6 or not np.allclose(turn, np.rint(turn)) or np.abs(turn).max() > 2:
        raise StructureError(f"{text.strip()!r} is not a symmetry operation: it changes volumes")
    twelfths = np.rint(move * 24.0) / 24.0
    return turn, np.where(np.abs(move - twelfths) < 0.005, twelfths, move)


@lru_cache(maxsize=256)
def _is_group(setting: Setting) -> bool:
    """Whether the product of any two operations is among them."""
    turns = np.rint(setting.rotations)
    own = operation_codes(turns, setting.translations)
    products = np.einsum("iab,jbc->ijac", turns, turns).reshape(-1, 3, 3)
    moves = (np.einsum("iab,jb->ija", turns, setting.translations) + setting.translations[:, None]).reshape(-1, 3)
    return bool(np.isin(operation_codes(products, moves), own).all())


def expand(setting: Setting, sites: AtomSites, cell: Float64Array, apart: bool = True) -> Expanded:
    """All atoms of the cell.

    Images within 0.4 angstrom of each other are one atom on a special position. Where they differ by more than rounding and their occupancies add up
    to no more than 1, they are alternatives, and all are kept (not with `apart` false).
    """
    count = len(sites.fractional)
    if len(setting) == 1:
        return Expanded(np.arange(count), sites.fractional)
    images = np.einsum("mij,nj->nmi", setting.rotations, sites.fractional) + setting.translations
    axes = np.array(gemmi.UnitCell(*cell).orth.mat.tolist())
    kept = np.ones(images.shape[:2], dtype=bool)
    split = merged = 0
    for row in np.flatnonzero(_special(setting, images, axes)).tolist():
        near = _distances(images[row], axes) < ONE_ATOM
        same = _rounded_alike(setting, sites, row, images[row], axes)
        alternatives = _first_of_each(same[np.ix_(near[0], near[0])]).sum() if near[0].sum() > 1 else 1
        if alternatives > 1 and sites.occupancy[row] * alternatives <= FULL:
            split += 1
            kept[row] = _first_of_each(same if apart else near)
        else:
            merged += int(alternatives > 1)
            kept[row] = _first_of_each(near)
    return Expanded(np.repeat(np.arange(count), kept.sum(axis=1)), images[kept], split, merged)


def _special(setting: Setting, images: Float64Array, axes: Float64Array) -> NDArray[np.bool_]:
    """(n,) which sites have images that may coincide: in a group, one then coincides with the site itself."""
    if not _is_group(setting):
        return np.ones(len(images), dtype=bool)
    off = images - images[:, :1]
    off -= np.rint(off)
    near = ((off @ axes.T) ** 2).sum(axis=2) < ONE_ATOM**2
    return np.asarray(near.sum(axis=1) > 1)


def _distances(images: Float64Array, axes: Float64Array) -> Float64Array:
    """(m, m) distances in angstrom between points (m, 3), lattice translations included."""
    off = images[:, None] - images[None]
    off -= np.rint(off)
    return np.asarray(np.sqrt(((off @ axes.T) ** 2).sum(axis=2)))


def _rounded_alike(setting: Setting, sites: AtomSites, row: int, images: Float64Array, axes: Float64Array) -> NDArray[np.bool_]:
    """(m, m) which images of a site differ by the rounding of its coordinates alone."""
    alike = _distances(images, axes) < _ROUNDING
    if not sites.written:
        return alike
    texts = [column[row] for column in sites.written]
    decimals = [_decimals(text) for text in texts]
    exact = np.array([_as_twelfth(value, places) for value, places in zip(sites.fractional[row], decimals, strict=True)])
    points = setting.rotations @ exact + setting.translations
    off = points[:, None] - points[None]
    off -= np.rint(off)
    last = 10.0 ** -max(1, *decimals)
    return np.asarray(alike | (np.abs(off) <= _LAST_DIGITS * min(last, 0.01) + 1e-9).all(axis=2))


def _decimals(text: str) -> int:
    found = re.search(r"\.(\d*)", text)
    return len(found.group(1)) if found else 0


def _as_twelfth(value: float, decimals: int) -> float:
    """The multiple of 1/12 that `value` is, written with so many decimals (rounded or cut off); the value itself where it is none."""
    nearest = round(value * 12.0) / 12.0
    return nearest if decimals >= 2 and abs(value - nearest) < 10.0**-decimals else value


def _first_of_each(same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(m,) true for points that are the same as no earlier one that was kept."""
    kept = np.zeros(len(same), dtype=bool)
    free = np.ones(len(same), dtype=bool)
    for i, row in enumerate(same):
        if free[i]:
            kept[i] = True
            free &= ~row
    return kept
