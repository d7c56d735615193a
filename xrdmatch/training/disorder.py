"""What real frameworks hold that structure files lack: guests and solvent in the pores, other metals, sites that are not full.

All of it changes |F|^2 by the atoms, most at large d-spacings, as it does in a crystal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import read_only
from xrdmatch.diffraction.structure import Structure
from xrdmatch.diffraction.structure_factors import Reflections, conventional_lines, reflections

Rng = np.random.Generator

#: Guest atoms in a cubic angstrom of pore at full load: liquid water to dimethylformamide, 0.33 electrons.
DENSITY = 0.045
#: Angstrom between a guest and the framework's atoms.
ROOM = 2.7
#: Standard deviation (angstrom, uniform) of the places that one guest atom which sits somewhere is spread over, and how many.
SITTING, SPREAD = (0.2, 0.9), 4
#: Places that stand for one atom of solvent which is everywhere, and most in one cell; so many make it smooth. Lines of smaller spacing (angstrom,
#: uniform) do not see it.
FINENESS, MOST_PLACES, SOLVENT_ENDS = 12, 4000, (2.5, 4.5)
#: Kinds of guest atoms: carbon, nitrogen, oxygen; and one that scatters more (F, S, Cl, Br, I).
LIGHT, HEAVY = (6, 7, 8), (9, 16, 17, 17, 35, 53)
#: Metals that take one another's place in one framework.
METALS = ((12, 25, 26, 27, 28, 29, 30), (13, 21, 22, 23, 24, 26, 31, 49), (22, 40, 58, 72, 92), (39, 57, 58, 60, 63, 64, 65, 68, 70))
_FIELDS = (("hkl", np.int16), ("d", np.float64), ("intensity", np.float64))


@dataclass(frozen=True)
class Disorder:
    """How far it goes. guests: largest share of the pores' full load. empty, flowing: shares of samples without guests, and with solvent that is
    everywhere; in the others guests sit somewhere. heavy: share of samples with a guest atom that scatters more. metal: share with another metal.
    partial: share in which the sites of one element are not full, down to `fullness`.
    """

    guests: float = 1.0
    empty: float = 0.25
    flowing: float = 0.45
    heavy: float = 0.1
    metal: float = 0.12
    partial: float = 0.15
    fullness: float = 0.7


def lines_of_sample(structure: Structure, disorder: Disorder, rng: Rng) -> tuple[NDArray[np.float64], Reflections]:
    """Cell (6,) and lines of the structure as a sample of it may be, in the conventional axes of a centred lattice.

    It may have another metal, sites that are not full, guests that sit somewhere or solvent that is everywhere.
    """
    changed = _with_other_metal(structure, rng) if rng.random() < disorder.metal else structure
    if rng.random() < disorder.partial:
        changed = _partial(changed, disorder.fullness, rng)
    kind, load, heavy = rng.random(), disorder.guests * rng.random(), rng.random() < disorder.heavy
    if kind < disorder.empty:
        return conventional_lines(changed.cell, reflections(changed))
    if kind < disorder.empty + disorder.flowing:
        filled, ends = with_solvent(changed, load, heavy, rng), rng.uniform(*SOLVENT_ENDS)
        return conventional_lines(changed.cell, _joined(reflections(filled, d_min=ends), reflections(changed, d_max=ends)))
    return conventional_lines(changed.cell, reflections(with_guests(changed, load, heavy, rng)))


def with_guests(structure: Structure, load: float, heavy: bool, rng: Rng) -> Structure:
    """The structure with guest atoms in its pores, `load` of what they can hold, each spread over some places."""
    axes = cell_axes(structure.cell)
    places = _free_places(structure, min(MOST_PLACES, int(DENSITY * abs(np.linalg.det(axes))) + 1), axes, rng)
    places = places[rng.random(len(places)) < load]
    spread = np.repeat(places, SPREAD, axis=0)
    spread = spread + rng.normal(0.0, rng.uniform(*SITTING), spread.shape) @ np.linalg.inv(axes)
    return _holding(structure, spread, np.repeat(_guest_atoms(len(places), heavy, rng), SPREAD), 1.0 / SPREAD)


def with_solvent(structure: Structure, load: float, heavy: bool, rng: Rng) -> Structure:
    """The structure with solvent everywhere in its pores, `load` of what they can hold."""
    axes = cell_axes(structure.cell)
    full = DENSITY * abs(np.linalg.det(axes))  # atoms of an empty cell
    tries = min(MOST_PLACES, round(FINENESS * full) + 1)
    places = _free_places(structure, tries, axes, rng)
    return _holding(structure, places, _guest_atoms(len(places), heavy, rng), load * full / tries)


def _free_places(structure: Structure, tries: int, axes: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    """Those of so many random places in the cell that are in its pores, (k, 3)."""
    places = rng.random((tries, 3))
    return np.asarray(places[_distance_to_atoms(structure, places, axes) > ROOM])


def _guest_atoms(number: int, heavy: bool, rng: Rng) -> NDArray[np.int64]:
    """Atomic numbers of guest atoms; heavy: some of them are of an element that scatters more."""
    numbers = rng.choice(LIGHT, number)
    return np.where(rng.random(number) < rng.uniform(0.02, 0.2), rng.choice(HEAVY), numbers) if heavy else numbers


def _holding(structure: Structure, places: NDArray[np.float64], numbers: NDArray[np.int64], occupancy: float) -> Structure:
    """The structure with these atoms as well; as it is without any."""
    if not len(places):
        return structure
    return replace(
        structure,
        numbers=np.concatenate([structure.numbers, numbers]),
        fractional=np.concatenate([structure.fractional, places]),
        occupancy=np.concatenate([structure.occupancy, np.full(len(places), occupancy)]),
    )


def _joined(low: Reflections, high: Reflections) -> Reflections:
    return Reflections(*(read_only(np.concatenate([getattr(low, name), getattr(high, name)]), dtype) for name, dtype in _FIELDS))


def cell_axes(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows a, b, c (3, 3) in angstrom of a cell (6,)."""
    cosines = np.cos(np.radians(cell[3:]))
    metric = np.outer(cell[:3], cell[:3]) * np.array([[1.0, cosines[2], cosines[1]], [cosines[2], 1.0, cosines[0]], [cosines[1], cosines[0], 1.0]])
    return np.asarray(np.linalg.cholesky(metric))


def _distance_to_atoms(structure: Structure, places: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance (k,) in angstrom of places (k, 3) in a cell to the nearest atom; infinite beyond `ROOM`."""
    from scipy.spatial import cKDTree

    images = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
    atoms = ((structure.fractional % 1.0)[None] + images[:, None]).reshape(-1, 3)
    margin = ROOM * np.linalg.norm(np.linalg.inv(axes), axis=0) + 1e-6
    atoms = atoms[((atoms > -margin) & (atoms < 1.0 + margin)).all(axis=1)]
    return np.asarray(cKDTree(atoms @ axes).query(places @ axes, distance_upper_bound=ROOM)[0])


def _with_other_metal(structure: Structure, rng: Rng) -> Structure:
    """The structure with one of its metals exchanged for another that may take its place; as it is where none is known."""
    groups = [(metal, group) for group in METALS for metal in group if (structure.numbers == metal).any()]
    if not groups:
        return structure
    metal, group = groups[rng.integers(len(groups))]
    return replace(structure, numbers=np.where(structure.numbers == metal, rng.choice(group), structure.numbers))


def _partial(structure: Structure, fullness: float, rng: Rng) -> Structure:
    """The structure with the sites of one element filled in part."""
    element = rng.choice(np.unique(structure.numbers))
    return replace(structure, occupancy=structure.occupancy * np.where(structure.numbers == element, rng.uniform(fullness, 1.0), 1.0))
