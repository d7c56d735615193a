"""A data block of a CIF file to all atoms of the cell, with a note on every liberty taken and a doubt where the result may be wrong."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.cif_block import AtomSites, Tags, read_sites
from xrdmatch.diffraction.doubts import DOUBTFUL
from xrdmatch.diffraction.elements import Species, amounts_of, difference, names_several, numbers_of_labels, parse_formula, shared_site, type_number
from xrdmatch.diffraction.plausibility import OVERFULL, cell_units, close_pairs, formula_doubts, overlaps
from xrdmatch.diffraction.space_groups import Setting, operation_codes
from xrdmatch.diffraction.symmetry import FULL, Symmetry, expand, read_symmetry
from xrdmatch.errors import StructureError
from xrdmatch.system.arrays import Float64Array

#: Atoms nearer than this (angstrom), hydrogen aside, speak against a setting.
_NO_BOND = 0.9
#: Operations times sites up to which other origins are tried.
_TRIED = 1000
#: Differences of composition, and shares of atoms too near to others, below this are none when settings are compared.
_STEP = 0.02


@dataclass(frozen=True, eq=False)
class CellContents:
    """numbers: (n,) atomic numbers. fractional: (n, 3). occupancy: (n,). notes: what was repaired, assumed or is doubtful."""

    numbers: NDArray[np.int16]
    fractional: Float64Array
    occupancy: Float64Array
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Stated:
    """What the file says of the composition: atoms of a formula unit by symbol, and formula units a cell."""

    formula: Mapping[str, float]
    units: float | None


def contents_of(tags: Tags, cell: Float64Array) -> CellContents:
    """All atoms of the cell (6,) of a block. Raises StructureError where atoms or symmetry cannot be made out."""
    symmetry = read_symmetry(tags, cell)
    sites, notes = _usable(read_sites(tags, cell))
    stated = _Stated(parse_formula(tags.text("_chemical_formula_sum")), tags.number("_cell_formula_units_z"))
    chosen, why = _chosen(symmetry, sites, cell, stated)
    doubts = overlaps(cell, chosen.numbers, chosen.fractional, chosen.occupancy)
    if stated.formula:
        doubts += formula_doubts(amounts_of(chosen.numbers, chosen.occupancy), stated.formula, stated.units)
    return replace(chosen, notes=(*symmetry.notes, *notes, *why, *chosen.notes, *doubts))


def _usable(sites: AtomSites) -> tuple[AtomSites, list[str]]:
    """The sites that have a place and are not empty, with occupancies between 0 and 1."""
    notes = list(sites.notes)
    keep = np.isfinite(sites.fractional).all(axis=1)
    if not keep.all():
        notes.append(f"left out {int((~keep).sum())} atoms without coordinates")
    empty = sites.occupancy == 0.0
    if empty[keep].any() and not empty[keep].all():
        notes.append(f"left out {int(empty[keep].sum())} atoms of zero occupancy")
        keep &= ~empty
    occupancy = sites.occupancy
    odd = ~((occupancy > 0) & (occupancy <= 1.0 + 1e-6))
    if odd[keep].any():
        notes.append(f"took {int(odd[keep].sum())} impossible occupancies as 1")
        occupancy = np.where(odd, 1.0, occupancy)
    if keep.all():
        return replace(sites, occupancy=occupancy), notes
    rows = np.flatnonzero(keep)
    return (
        AtomSites(
            [sites.symbols[row] for row in rows],
            sites.typed[keep],
            sites.fractional[keep],
            occupancy[keep],
            [[column[row] for row in rows] for column in sites.written],
        ),
        notes,
    )


def _chosen(symmetry: Symmetry, sites: AtomSites, cell: Float64Array, stated: _Stated) -> tuple[CellContents, list[str]]:
    """The atoms in the setting that fits the sum formula best, then the one without atoms too near to each other, then the usual one."""
    first = _placed(symmetry.settings[0], sites, cell, stated.formula)
    options = [(symmetry.settings[0], *first)]
    for setting in symmetry.settings:
        ways = (True, False) if stated.formula and (setting is not symmetry.settings[0] or first[1]) else (True,)
        for apart in ways:
            if setting is not symmetry.settings[0] or not apart:
                options.append((setting, *_placed(setting, sites, cell, stated.formula, apart)))
    if len(options) == 1:
        return _with_another_origin(symmetry.settings[0], first[0], sites, cell, stated)
    scores = [_against(contents, cell, stated) for _, contents, _ in options]
    best = scores.index(min(scores))
    setting, contents, _ = options[best]
    if scores[best][0] > 0:
        return _with_another_origin(setting, contents, sites, cell, stated)
    if len(symmetry.settings) == 1 or not symmetry.asked:
        return contents, []
    if setting is symmetry.settings[0]:
        if setting.number in range(3, 16) and "number" not in symmetry.asked:
            return contents, []  # a short monoclinic symbol means b unique
        why = "the usual one"
    else:
        why = "which fits the sum formula" if scores[best][:2] < scores[0][:2] else "in which fewer atoms are too close to each other"
    return contents, [f"{symmetry.asked} has several settings: took {setting.name}, {why}"]


def _with_another_origin(
    setting: Setting, contents: CellContents, sites: AtomSites, cell: Float64Array, stated: _Stated
) -> tuple[CellContents, list[str]]:
    """The atoms about that origin, by multiples of 1/8, about which they are those of the sum formula.

    They stay as they are where they fit already, and where no other origin, or several different ones, will do.
    """
    amounts = amounts_of(contents.numbers, contents.occupancy)
    if len(setting) * len(sites.symbols) > _TRIED or not formula_doubts(amounts, stated.formula, stated.units):
        return contents, []
    fitting: dict[tuple[int, ...], tuple[CellContents, str]] = {}
    seen = {tuple(np.sort(operation_codes(setting.rotations, setting.translations)))}
    for eighths in [place for place in itertools.product(range(8), repeat=3) if len({part % 2 for part in place}) == 1]:
        other = setting.shifted(np.array(eighths) / 8.0)
        code = tuple(np.sort(operation_codes(other.rotations, other.translations)))
        if code in seen:
            continue
        seen.add(code)
        tried, _ = _placed(other, sites, cell, stated.formula)
        if _against(tried, cell, stated) == (0, 0, 0):
            fitting.setdefault(_fingerprint(tried, cell), (tried, " ".join(str(Fraction(part, 8)) for part in eighths)))
    if len(fitting) != 1:
        return contents, []
    found, origin = next(iter(fitting.values()))
    return found, [f"{DOUBTFUL}the atoms fit the sum formula only with the origin of {setting.name} at {origin}: took that"]


def _fingerprint(contents: CellContents, cell: Float64Array) -> tuple[int, ...]:
    """Equal for structures that differ in the choice of the origin alone: their distances up to 2.6 angstrom, in hundredths."""
    _, distances = close_pairs(cell, contents.fractional, min(2.6, 0.4 * float(cell[:3].min())))
    return tuple(np.sort(np.rint(distances * 50.0).astype(int)).tolist())


def _against(contents: CellContents, cell: Float64Array, stated: _Stated) -> tuple[int, int, int]:
    """What speaks against a setting, smaller is better: composition, number of formula units, atoms too near to each other."""
    amounts = amounts_of(contents.numbers, contents.occupancy)
    off = difference(amounts, stated.formula) if stated.formula else 0.0
    known = cell_units(stated.formula, stated.units) if stated.formula and stated.units else ()
    units = min((difference(amounts, stated.formula, one) for one in known), default=0.0)
    heavy = contents.numbers > 1
    pairs, _ = close_pairs(cell, contents.fractional[heavy], _NO_BOND)
    near = pairs[contents.occupancy[heavy][pairs].sum(axis=1) > OVERFULL]
    share = np.unique(near).size / max(int(heavy.sum()), 1)
    return round(off / _STEP), round(units / _STEP), round(share / _STEP)


def _placed(setting: Setting, sites: AtomSites, cell: Float64Array, formula: Mapping[str, float], apart: bool = True) -> tuple[CellContents, int]:
    """All atoms of the cell in one setting, and how many sites were kept apart from an image of their own."""
    expanded = expand(setting, sites, cell, apart)
    rows, fractional = expanded.site, expanded.fractional
    notes = [f"took {expanded.merged} sites closer than 0.4 A to their own images as one atom each"] if expanded.merged else []
    if expanded.split:
        kept = "kept the images of" if apart else "took as one atom"
        notes.append(f"{kept} {expanded.split} partly occupied sites closer than 0.4 A to their own images")
    weights = sites.occupancy * np.bincount(rows, minlength=len(sites.symbols))
    numbers, shared, more = _elements(sites, weights, formula)
    kinds, occupancy = numbers[rows], sites.occupancy[rows]
    if shared:
        kinds, fractional, occupancy = _shared_out(rows, kinds, fractional, occupancy, shared)
    kept_rows = kinds > 0
    kinds, fractional, occupancy = kinds[kept_rows], fractional[kept_rows], occupancy[kept_rows]
    once = _listed_once(kinds, fractional, occupancy)
    if not once.all():
        more.append(f"left out {int((~once).sum())} atoms that are listed twice")
        kinds, fractional, occupancy = kinds[once], fractional[once], occupancy[once]
    return CellContents(kinds, fractional, occupancy, (*notes, *more)), expanded.split


def _elements(sites: AtomSites, weights: Float64Array, formula: Mapping[str, float]) -> tuple[NDArray[np.int16], dict[int, Species], list[str]]:
    """Atomic numbers (n,) of the sites, 0 where they have none; the species of shared sites by row; notes."""
    known = {symbol: type_number(symbol) for symbol in set(sites.symbols)}
    for symbol, number in known.items():
        if formula and symbol.isupper() and len(symbol) == 2 and _name(number) not in formula:  # CA of an organic compound
            known[symbol] = 0
    numbers = np.array([known[symbol] for symbol in sites.symbols], dtype=np.int16)
    numbers[~sites.typed] = 0
    if (numbers > 0).all():
        return numbers, {}, []
    notes: list[str] = []
    species = {symbol: found for symbol in known if (found := shared_site(symbol))}
    shared = {row: species[symbol] for row, symbol in enumerate(sites.symbols) if symbol in species}
    for row, found in shared.items():
        numbers[row] = found[0][0]
    numbers, doubtful = numbers_of_labels(sites.symbols, numbers, weights, formula)
    for row, symbol in enumerate(sites.symbols):
        if sites.typed[row] and row not in shared and names_several(symbol):  # not to be taken for its first element
            raise StructureError(f"expected elements with their shares, such as '0.75Si + 0.25Al', got {symbol!r}")
    if doubtful:
        read = ", ".join(f"{label} as {_name(numbers[sites.symbols.index(label)])}" for label in doubtful[:5])
        notes.append(f"{DOUBTFUL}read {read}: the file gives neither element types nor a sum formula")
    equal = sorted(symbol for symbol, found in species.items() if found[0][1] < 0)
    if equal:
        notes.append(f"{DOUBTFUL}assumed equal shares in {', '.join(equal[:5])}, which states none")
    unknown = sorted({symbol for symbol, number in zip(sites.symbols, numbers, strict=True) if not number})
    if unknown:
        notes.append(f"left out atoms of unknown type: {', '.join(unknown[:5])}")
    return numbers, shared, notes


def _name(number: int) -> str:
    return str(gemmi.Element(int(number)).name)


def _shared_out(
    rows: NDArray[np.int64], kinds: NDArray[np.int16], fractional: Float64Array, occupancy: Float64Array, shared: Mapping[int, Species]
) -> tuple[NDArray[np.int16], Float64Array, Float64Array]:
    """The atoms with one for each element of a shared site. Shares add up to the site's occupancy, or are fractions of it."""
    source, numbers, shares = [], [], []
    for place, row in enumerate(rows.tolist()):
        species = shared.get(row, ((int(kinds[place]), 1.0),))
        total = sum(abs(share) for _, share in species)
        scale = 1.0 if abs(total - occupancy[place]) < 0.01 else occupancy[place]
        for number, share in species:
            source.append(place)
            numbers.append(number)
            shares.append(abs(share) * scale)
    return np.array(numbers, dtype=np.int16), fractional[source], np.array(shares)


def _listed_once(numbers: NDArray[np.int16], fractional: Float64Array, occupancy: Float64Array) -> NDArray[np.bool_]:
    """False for the second of two atoms of one element in one place (lattice translations included) that cannot both be there."""
    place = np.rint(fractional % 1.0 * 2000.0).astype(np.int64) % 2000
    code = ((place[:, 0] * 2000 + place[:, 1]) * 2000 + place[:, 2]) * 128 + numbers
    ordered = np.sort(code)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.ones(numbers.size, dtype=bool)
    _, first, group = np.unique(code, return_index=True, return_inverse=True)
    once = np.bincount(group, occupancy)[group] <= FULL
    once[first] = True
    return np.asarray(once)
