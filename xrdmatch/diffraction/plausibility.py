"""What speaks against a structure as it was read: another composition than its file states, atoms in one place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.doubts import DOUBTFUL
from xrdmatch.diffraction.elements import hill_formula
from xrdmatch.system.arrays import Float64Array

#: Atoms nearer than this (angstrom) are in one place.
ONE_PLACE = 0.4
#: Sum of occupancies from which two atoms cannot be in one place.
OVERFULL = 1.05
#: Pairs of atoms that are looked at in one go.
_AT_ONCE = 500_000
#: Differences of composition that are not told: this share of an element, and this many atoms of it a cell.
_SHARE, _ATOMS = 0.05, 0.25
#: What solvents in pores are made of. Whatever else is missing was lost.
_SOLVENT = ("C", "N", "O", "S", "Cl")
#: Most atoms of an element for one of carbon in common solvents: nitriles and amides, methanol and water aside, DMSO, chloroform.
_A_CARBON = {"N": 1.0, "S": 0.5, "Cl": 3.0}


def close_pairs(cell: Float64Array, fractional: Float64Array, limit: float) -> tuple[NDArray[np.int64], Float64Array]:
    """(p, 2) pairs of atoms nearer to each other than `limit` (angstrom, less than half of every axis), and their (p,) distances."""
    box = gemmi.UnitCell(*cell)
    axes = np.array(box.orth.mat.tolist())
    reach = limit * np.array([box.reciprocal().a, box.reciprocal().b, box.reciprocal().c])  # fractions of the axes
    axis, *others = np.argsort(-cell[:3], kind="stable").tolist()
    order = np.argsort(fractional[:, axis] % 1.0, kind="stable")
    wrapped = fractional[order] % 1.0
    along, again = wrapped[:, axis], np.concatenate([order, order])
    rows = np.arange(len(order))
    within = np.searchsorted(np.concatenate([along, along + 1.0]), along + reach[axis], "right") - rows - 1  # of the atoms behind, how many
    pairs, distances = [], []
    for part in np.split(rows, np.flatnonzero(np.diff(np.cumsum(within) // _AT_ONCE)) + 1):
        first = np.repeat(part, within[part])
        second = first + 1 + np.arange(first.size) - np.repeat(np.cumsum(within[part]) - within[part], within[part])
        for column in others:
            step = wrapped[first, column] - wrapped[second % len(order), column]
            near = np.flatnonzero(np.abs(step - np.rint(step)) <= reach[column])
            first, second = first[near], second[near]
        off = wrapped[first] - wrapped[second % len(order)]
        off -= np.rint(off)
        apart = ((off @ axes.T) ** 2).sum(axis=1)
        near = np.flatnonzero(apart < limit * limit)
        pairs.append(np.column_stack([order[first[near]], again[second[near]]]))
        distances.append(np.sqrt(apart[near]))
    return np.concatenate(pairs), np.concatenate(distances)


def _any_close(cell: Float64Array, fractional: Float64Array, limit: float) -> bool:
    """Whether there may be a pair nearer than `limit` (angstrom): two atoms in one box of twice that, in one of eight grids that overlap by half."""
    reciprocal = gemmi.UnitCell(*cell).reciprocal()
    widths = 2.0 * limit * np.array([reciprocal.a, reciprocal.b, reciprocal.c])
    boxes = (1.0 / np.clip(widths, 1e-4, 1.0)).astype(np.int64)
    places = fractional % 1.0 * boxes
    grids = [places.astype(np.int64) % boxes, (places + 0.5).astype(np.int64) % boxes]
    steps = np.array([boxes[1] * boxes[2], boxes[2], 1])
    columns = [(grid * steps).T for grid in grids]
    for x, y, z in itertools.product(columns, repeat=3):
        code = x[0] + y[1] + z[2]
        code.sort()
        if (code[1:] == code[:-1]).any():
            return True
    return False


def overlaps(cell: Float64Array, numbers: NDArray[np.int16], fractional: Float64Array, occupancy: Float64Array) -> list[str]:
    """A doubt where more atoms lie in one place than it can hold; hydrogen, which X-rays hardly see, is let be."""
    heavy = numbers > 1
    numbers, fractional, occupancy = numbers[heavy], fractional[heavy], occupancy[heavy]
    if not _any_close(cell, fractional, ONE_PLACE):  # several times as fast, and nearly always enough
        return []
    pairs, distances = close_pairs(cell, fractional, ONE_PLACE)
    full = occupancy[pairs].sum(axis=1) > OVERFULL
    if not full.any():
        return []
    nearest = pairs[full][distances[full].argmin()]
    names = " and ".join(sorted(gemmi.Element(int(number)).name for number in numbers[nearest]))
    return [f"{DOUBTFUL}{int(full.sum())} pairs of atoms are closer than {ONE_PLACE:g} A to each other ({names}): disorder, or wrong symmetry"]


def formula_doubts(amounts: Mapping[str, float], formula: Mapping[str, float], units: float | None) -> list[str]:
    """Doubts where the atoms read are not those of the file's sum formula, hydrogen and solvents aside.

    amounts, formula: atoms of a cell and of a formula unit, by symbol; units: formula units a cell, where the file states them.
    """
    scale = _scale(amounts, formula)
    if not formula or not amounts:
        return []
    read, stated = _text(amounts), _text(formula)
    if scale is None or not _explained(amounts, {symbol: scale * amount for symbol, amount in formula.items()}):
        return [f"{DOUBTFUL}the atoms read are {read}, but the file's sum formula is {stated}"]
    if units and not any(abs(scale - one) <= _SHARE * one for one in cell_units(formula, units)):
        return [f"{DOUBTFUL}the atoms read are {scale:.3g} formula units of {stated} per cell, but the file says {units:g}"]
    return []


def cell_units(formula: Mapping[str, float], units: float) -> tuple[float, ...]:
    """Formula units a cell that a file may mean: Z; or 1, for pymatgen writes the formula of the whole cell beside the Z of the reduced one."""
    whole = units > 1 and all(abs(amount / units - round(amount / units)) < 1e-3 for amount in formula.values())
    return (units, 1.0) if whole else (units,)


def _text(amounts: Mapping[str, float]) -> str:
    symbols = sorted(amounts)
    return hill_formula([gemmi.Element(symbol).atomic_number for symbol in symbols], [amounts[symbol] for symbol in symbols])


def _scale(amounts: Mapping[str, float], formula: Mapping[str, float]) -> float | None:
    """Formula units a cell, by the elements that no solvent has, else by what there is; None where they have no element in common."""
    shared = [symbol for symbol in formula if symbol in amounts]
    for kind in (
        [symbol for symbol in shared if gemmi.Element(symbol).is_metal],
        [symbol for symbol in shared if symbol not in (*_SOLVENT, "H")],
        [symbol for symbol in shared if symbol != "H"],
        shared,
    ):
        if kind:
            return sum(amounts[symbol] for symbol in kind) / sum(formula[symbol] for symbol in kind)
    return None


def _explained(amounts: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    """Whether solvent and hydrogen alone make the difference between two compositions of a cell."""
    off = {}
    for symbol in {*amounts, *wanted} - {"H"}:
        difference = wanted.get(symbol, 0.0) - amounts.get(symbol, 0.0)
        off[symbol] = difference if abs(difference) > _SHARE * wanted.get(symbol, 0.0) + _ATOMS else 0.0
    if any(amount for symbol, amount in off.items() if symbol not in _SOLVENT) or ("C" in wanted and not amounts.get("C")):
        return False
    hydrogen = wanted.get("H", 0.0) - amounts.get("H", 0.0)
    return any(_is_solvent({symbol: sign * amount for symbol, amount in off.items()}, sign * hydrogen) for sign in (1.0, -1.0))


def _is_solvent(off: Mapping[str, float], hydrogen: float) -> bool:
    """Whether these atoms can be solvent molecules: none below zero, no more N, S and Cl than their carbon takes, O of alcohols and of water."""
    if any(amount < 0 for amount in off.values()):
        return False
    carbon = off.get("C", 0.0)
    if any(off.get(symbol, 0.0) > most * carbon + _ATOMS for symbol, most in _A_CARBON.items()):
        return False
    return off.get("O", 0.0) <= carbon + max(hydrogen, 0.0) / 2.0 + _ATOMS
