"""Whether the anions that a framework still has can balance its metals.

Files of frameworks "without solvent" have sometimes lost more than solvent: the SiF6 pillars of SIFSIX frameworks, nitrate, chloride or other
counter-ions. What is left then has too little negative charge for its metals. The charge counted here is the most that the atoms can carry, and the
charge of the metals the least that is usual, so that what is told is certain rather than complete.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.plausibility import close_pairs
from xrdmatch.system.arrays import Float64Array

Ints = NDArray[np.int64]

_H, _B, _C, _N, _O, _F, _SI, _P, _S = 1, 5, 6, 7, 8, 9, 14, 15, 16
#: Elements that are counted as metals carry charge; these metalloids do not.
_METALLOIDS = frozenset(("B", "Si", "Ge", "As", "Sb", "Te", "Se", "Po", "At"))
_HALOGENS = (9, 17, 35, 53)
_CHALCOGENS = (8, 16, 34, 52)
#: Covalent radii (angstrom) of what ligands are made of: Cordero et al., Dalton Trans. 2008, 2832. A bond may be this much longer than their sum.
_RADII = {
    1: 0.31,
    5: 0.84,
    6: 0.76,
    7: 0.71,
    8: 0.66,
    9: 0.57,
    14: 1.11,
    15: 1.07,
    16: 1.05,
    17: 1.02,
    33: 1.19,
    34: 1.20,
    35: 1.20,
    52: 1.38,
    53: 1.39,
}
_SLACK = 0.3
_LONGEST = 2.4
#: Oxygen atoms nearer than this (angstrom) are alternatives: a peroxide has 1.45.
_OXYGENS = 1.35
#: Least usual charges of metal ions; 2 for the others, 3 for lanthanides.
_ONE = frozenset(("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Au", "Tl", "Hg", "Rh", "Ir", "Re", "Tc"))
_NONE = frozenset(("Mo", "W", "Cr", "Pd", "Pt", "Ru", "Os", "Nb", "Ta"))  # carbonyls, clusters
_THREE = frozenset(("Al", "Ga", "In", "Sc", "Y", "Bi"))
_FOUR = frozenset(("Zr", "Hf", "Th"))


#: Charge of a group by its central atom and the number of its terminal oxygen (or sulfur) atoms; as many as these for others.
_GROUPS = {
    (_H, 1): 2,  # hydroxide, or an oxide that was given a hydrogen atom too many
    (_C, 2): 1,  # carboxylate
    (_C, 3): 2,  # carbonate
    (_N, 2): 1,  # nitrite
    (_N, 3): 1,  # nitrate
    (_P, 2): 1,  # phosphinate
    (_P, 3): 2,  # phosphonate
    (_P, 4): 3,  # phosphate
    (33, 3): 2,
    (33, 4): 3,
    (_S, 3): 2,  # sulfite; a sulfonate has 1
    (_S, 4): 2,  # sulfate
    (17, 4): 1,  # perchlorate
}


def missing_anions(cell: Float64Array, numbers: NDArray[np.int16], fractional: Float64Array, occupancy: Float64Array) -> tuple[float, float] | None:
    """(charge of the anions, charge of the metals) of a cell where the first, at most, is less than the second, at least; None where all is well.

    cell: (6,); numbers, occupancy: (n,); fractional: (n, 3). Only ordered structures with carbon and a metal are judged, in cells so large that no
    atom is bound to an image of its own.
    """
    least = {number: _least_charge(number) for number in set(numbers.tolist())}
    metal = np.isin(numbers, [number for number, charge in least.items() if charge is not None])
    if not metal.any() or _C not in least or (occupancy < 0.99).any() or cell[:3].min() < 2.0 * _LONGEST:
        return None
    needed = float(sum(least[number] or 0 for number in numbers[metal].tolist()))
    rest = np.flatnonzero(~metal)
    kinds = numbers[rest].astype(np.int64)
    # Half a charge for each oxygen, as carboxylates have, is enough for most frameworks: no bonds are looked for then.
    if rest.size == 0 or np.isin(kinds, _CHALCOGENS).sum() / 2.0 + np.isin(kinds, _HALOGENS).sum() >= needed:
        return None
    pairs, distances = close_pairs(cell, fractional[rest], _LONGEST)
    bonds = _bonds(kinds, pairs, distances)
    if _disordered(kinds, pairs[distances < _OXYGENS], bonds):
        return None
    found = _simple_anions(kinds, bonds)
    if found < needed:
        found += _nitrogen_anions(kinds, bonds, needed - found)
    return None if found >= needed else (found, needed)


@lru_cache(maxsize=128)
def _least_charge(number: int) -> int | None:
    """Least usual charge of a metal's ion; None for what is no metal."""
    element = gemmi.Element(number)
    if not element.is_metal or element.name in _METALLOIDS:
        return None
    name = element.name
    if name in _NONE:
        return 0
    return 1 if name in _ONE else 3 if name in _THREE or 57 <= number <= 71 else 4 if name in _FOUR else 2


def _bonds(kinds: Ints, pairs: Ints, distances: Float64Array) -> Ints:
    """(b, 2) pairs of ligand atoms that are bound to each other, of those that are near."""
    radius = np.full(128, 1.2)
    radius[list(_RADII)] = list(_RADII.values())
    longest = radius[kinds[pairs]].sum(axis=1) + _SLACK
    both_hydrogen = (kinds[pairs] == _H).all(axis=1)
    return np.asarray(pairs[(distances < longest) & ~both_hydrogen])


def _disordered(kinds: Ints, near: Ints, bonds: Ints) -> bool:
    """Whether atoms have more neighbours than they can bind, or oxygen atoms too near ones: alternatives beside each other, as if all were there."""
    if (kinds[near] == _O).all(axis=1).any():
        return True
    neighbours = np.bincount(bonds.ravel(), minlength=kinds.size)
    most = np.full(128, 99)
    most[[_H, _C, _N, _O]] = (1, 4, 4, 3)
    return bool((neighbours > most[kinds]).any())


def _simple_anions(kinds: Ints, bonds: Ints) -> float:
    """Most negative charge of oxygen, sulfur, halogens and what they are bound to: 2 of an oxygen by itself, 1 of a carboxylate or a nitrate."""
    neighbours = np.bincount(bonds.ravel(), minlength=kinds.size)
    chalcogen, halogen = np.isin(kinds, _CHALCOGENS), np.isin(kinds, _HALOGENS)
    charge = 2.0 * float((chalcogen & (neighbours == 0)).sum())
    ends = (chalcogen & (neighbours == 1))[bonds]
    carried = np.bincount(bonds[:, ::-1][ends], minlength=kinds.size)  # by each atom, of the chalcogens that have no other neighbour
    for centre in np.flatnonzero(carried).tolist():
        kind, count = int(kinds[centre]), int(carried[centre])
        nitro = kind == _N and count == 2 and neighbours[centre] == 3
        charge += 0 if nitro else _GROUPS.get((kind, count), count)
    charge += float((halogen & (neighbours == 0)).sum())
    fluorinated = np.bincount(bonds[np.isin(kinds[bonds[:, ::-1]], _HALOGENS)], minlength=kinds.size)
    charge += 2.0 * float((np.isin(kinds, (_SI, 32)) & (fluorinated >= 5)).sum())
    charge += float((np.isin(kinds, (_P, 33, 51)) & (fluorinated >= 5)).sum())
    return charge + float(((kinds == _B) & (neighbours >= 4)).sum())


def _nitrogen_anions(kinds: Ints, bonds: Ints, enough: float) -> float:
    """Most negative charge of azolates, amides, cyanides and other ligands that nitrogen and carbon carry; may stop at `enough`."""
    around: dict[int, list[int]] = defaultdict(list)
    for one, other in bonds.tolist():
        around[one].append(other)
        around[other].append(one)
    charge, in_azole = 0.0, set[int]()
    for atom in np.flatnonzero(kinds == _N).tolist():
        if atom in in_azole or charge >= enough:
            continue
        rings = list(_rings(atom, around))
        if azole := next((ring for ring in rings if len(ring) == 5 and all(kinds[one] in (_C, _N) for one in ring)), ()):
            nitrogen = [one for one in azole if kinds[one] == _N]
            in_azole |= set(nitrogen)
            # A hydrogen atom on an azole may be there to fill a valence that a metal takes; any other substituent makes it neutral.
            charge += not any(sum(kinds[other] != _H for other in around[one]) > 2 for one in nitrogen)
        elif len(around[atom]) < 2 or (len(around[atom]) == 2 and not rings):
            charge += 1.0  # cyanides, azides, amides
    bare = (kinds == _C) & (np.bincount(bonds.ravel(), minlength=kinds.size) == 1)
    return charge + float(bare.sum())


def _rings(atom: int, around: dict[int, list[int]]) -> Iterator[tuple[int, ...]]:
    """Rings of five atoms through `atom`, and of six, of which the far one is not told (-1)."""
    for one, other in itertools.combinations(around[atom], 2):
        for second, last in itertools.product(around[one], around[other]):
            if len({atom, one, other, second, last}) < 5:
                continue
            if last in around[second]:
                yield atom, one, second, last, other
            elif set(around[second]) & set(around[last]) - {atom, one, other}:
                yield atom, one, second, last, other, -1
