"""Which atoms of a crystal structure are bonded, by covalent radii.

Two atoms that are no metals are bonded where they are closer than the sum of their covalent radii (Cordero et al. 2008, 10.1039/b801115j) and 0.25
angstrom; a metal and another atom up to 0.45 angstrom above that sum; two metals never; hydrogen to its nearest atom alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.structure import Structure

#: Longer than the sum of covalent radii, in angstrom: bonds between non-metals, and from a metal.
_SLACK, _METAL_SLACK = 0.25, 0.45
#: No bond is longer than this (angstrom), and hydrogen's no longer than that.
_LONGEST, _LONGEST_TO_H = 3.3, 1.35
#: Atoms closer than this (angstrom) are one atom in two places (disorder); the one with the lower occupancy is left out.
_DISORDER, _DISORDER_H = 0.85, 0.5

Shift = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class BondedAtoms:
    """Atoms of a cell and their bonds.

    symbols, is_metal: (n,). fractional: (n, 3), from 0 to 1. matrix: (3, 3), makes angstrom of them. bonds[i]: (place, cell shift, length)
    of each neighbour of atom i. left_out: how many atoms were left out as disorder.
    """

    symbols: list[str]
    is_metal: list[bool]
    fractional: NDArray[np.float64]
    matrix: NDArray[np.float64]
    bonds: list[list[tuple[int, Shift, float]]]
    left_out: int

    def place(self, atom: int, shift: Shift) -> NDArray[np.float64]:
        """Where an atom is (3,), in angstrom, moved by whole cells."""
        return np.asarray(self.matrix @ (self.fractional[atom] + shift))


def bonded_atoms(structure: Structure, non_metals: Collection[str]) -> BondedAtoms:
    """The atoms of a structure's cell without disorder, and their bonds. non_metals: symbols of all elements that are no metals."""
    import gemmi

    matrix = np.array(gemmi.UnitCell(*structure.cell).orth.mat.tolist())
    symbols = ["H" if number == 1 else gemmi.Element(int(number)).name for number in structure.numbers]
    fractional = structure.fractional - np.floor(structure.fractional)
    kept = _without_disorder(symbols, fractional, structure.occupancy, matrix)
    chosen = [symbols[i] for i in kept]
    metal = [symbol not in non_metals for symbol in chosen]
    radius = np.array([gemmi.Element(symbol).covalent_r for symbol in chosen])
    bonds = _bonds(chosen, np.array(metal, dtype=bool), radius, _pairs(fractional[kept], matrix, _LONGEST))
    return BondedAtoms(chosen, metal, fractional[kept], matrix, bonds, len(symbols) - len(kept))


def _pairs(
    fractional: NDArray[np.float64], matrix: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs (p, 2) of atoms within `radius` angstrom, one direction each, the cell shift (p, 3) of the second, and the distance (p,)."""
    from scipy.spatial import cKDTree

    reach = np.linalg.norm(np.linalg.inv(matrix), axis=1) * radius  # in fractions of each axis
    most = np.ceil(reach).astype(int)
    shifts = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1).reshape(-1, 3)
    places = (fractional[None] + shifts[:, None]).reshape(-1, 3)
    owner = np.tile(np.arange(len(fractional)), len(shifts))
    moved = np.repeat(shifts, len(fractional), axis=0)
    near = ((places >= -reach) & (places <= 1.0 + reach)).all(axis=1)
    places, owner, moved = places[near], owner[near], moved[near]
    images = cKDTree(places @ matrix.T)
    found = cKDTree(fractional @ matrix.T).sparse_distance_matrix(images, radius, output_type="coo_matrix")
    one, image, distance = found.row.astype(np.int64), found.col.astype(np.int64), np.asarray(found.data)
    other, shift = owner[image], moved[image]
    upward = np.sign(shift) @ np.array([9, 3, 1])  # of a bond and its reverse one is kept
    keep = (one < other) | ((one == other) & (upward > 0))
    return np.stack([one[keep], other[keep]], axis=1), shift[keep], distance[keep]


def _without_disorder(symbols: list[str], fractional: NDArray[np.float64], occupancy: NDArray[np.float64], matrix: NDArray[np.float64]) -> list[int]:
    """Places of the atoms that are kept: of those that share one place only one."""
    pairs, _, distance = _pairs(fractional, matrix, _DISORDER)
    keep = [True] * len(symbols)
    for (one, other), apart in sorted(zip(pairs.tolist(), distance.tolist(), strict=True), key=lambda item: item[0]):
        hydrogen = (symbols[one] == "H") + (symbols[other] == "H")
        if one == other or not (keep[one] and keep[other]) or apart > (_DISORDER_H if hydrogen else _DISORDER):
            continue
        keep[one if occupancy[one] < occupancy[other] - 0.01 or (hydrogen == 1 and symbols[one] == "H") else other] = False
    return [atom for atom, kept in enumerate(keep) if kept]


def _bonds(
    symbols: list[str],
    metal: NDArray[np.bool_],
    radius: NDArray[np.float64],
    near: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
) -> list[list[tuple[int, Shift, float]]]:
    """Bonds of each atom (n,) among pairs that are near each other."""
    pairs, shifts, distance = near
    hydrogen = np.array([symbol == "H" for symbol in symbols], dtype=bool)
    one, other = pairs.T
    slack = np.where(metal[one] | metal[other], _METAL_SLACK, _SLACK)
    bonded = (distance < radius[one] + radius[other] + slack) & ~(metal[one] & metal[other])
    to_h = hydrogen[one] | hydrogen[other]
    bonded &= ~to_h | ((distance < _LONGEST_TO_H) & ~(hydrogen[one] & hydrogen[other]) & ~metal[one] & ~metal[other])
    bonds: list[list[tuple[int, Shift, float]]] = [[] for _ in symbols]
    for (i, j), (x, y, z), apart in zip(pairs[bonded].tolist(), shifts[bonded].tolist(), distance[bonded].tolist(), strict=True):
        bonds[i].append((j, (x, y, z), apart))
        bonds[j].append((i, (-x, -y, -z), apart))
    for i in np.flatnonzero(hydrogen).tolist():  # the nearest atom alone
        for j, (x, y, z), apart in sorted(bonds[i], key=lambda bond: bond[2])[1:]:
            bonds[i].remove((j, (x, y, z), apart))
            bonds[j].remove((i, (-x, -y, -z), apart))
    return bonds
