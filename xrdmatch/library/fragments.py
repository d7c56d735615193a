"""A framework cut at its metal atoms: which linkers, anions, bound solvent and guests a structure is made of."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from xrdmatch.diffraction.bonds import BondedAtoms, Shift, bonded_atoms
from xrdmatch.diffraction.structure import Structure
from xrdmatch.library.composition import NON_METALS
from xrdmatch.library.skeletons import Skeleton, hill

#: C-C bonds shorter than these (angstrom) are aromatic or double, and triple.
_DOUBLE, _TRIPLE = 1.45, 1.27
#: Keys of what has no skeleton: hydrogen too far from its atom, and what runs through the whole crystal.
LOOSE_HYDROGEN, ENDLESS = "H", "endless"
#: Above this number of atoms in the cell a structure is not cut.
MOST_ATOMS = 20000


@dataclass(frozen=True)
class Fragment:
    """A molecule or ion that is left when the metals are taken out.

    formula: of one, in Hill order. key: of its skeleton. count: how many in the cell. hydrogens: of one. double, triple: C-C bonds of these lengths.
    cis: double bonds in a chain whose two neighbours are on one side (maleate, not fumarate).
    donors: its atoms that touch a metal, as a formula (`O4`), empty for a guest. metals: how many metal atoms one touches. groups: those that bind
    metals, as `Skeleton.groups` counts them. periodic: endless, not a molecule; formula is then that of the cell's part.
    """

    formula: str
    key: str
    count: int
    hydrogens: int = 0
    double: int = 0
    triple: int = 0
    donors: str = ""
    metals: int = 0
    cis: int = 0
    groups: tuple[tuple[str, int], ...] = ()
    periodic: bool = False


@dataclass(frozen=True)
class Parts:
    """What a structure is made of: metals of the cell (symbol: number), and fragments, the heaviest first. left_out: atoms of disorder."""

    metals: dict[str, int]
    fragments: tuple[Fragment, ...]
    left_out: int = 0


def parts_of(structure: Structure) -> Parts:
    """Cut a structure at its metals. Raises ValueError where the cell holds more than `MOST_ATOMS` atoms."""
    if structure.numbers.size > MOST_ATOMS:
        raise ValueError(f"{structure.id}: {structure.numbers.size} atoms in the cell, {MOST_ATOMS} can be cut")
    atoms = bonded_atoms(structure, NON_METALS)
    alike: dict[tuple[str, str, str, int], tuple[Fragment, Skeleton, int]] = {}
    for members in _molecules(atoms):
        one, skeleton = _fragment(atoms, members)
        kind = (one.formula, one.key, one.donors, one.metals)
        first, graph, count = alike.get(kind, (one, skeleton, 0))
        alike[kind] = first, graph, count + 1
    fragments = [
        replace(one, count=count, groups=() if one.periodic else tuple(skeleton.groups().items())) for one, skeleton, count in alike.values()
    ]
    metals = Counter(symbol for symbol, metal in zip(atoms.symbols, atoms.is_metal, strict=True) if metal)
    return Parts(dict(sorted(metals.items())), tuple(sorted(fragments, key=lambda one: (-len(one.key), -one.count, one.formula))), atoms.left_out)


def _molecules(atoms: BondedAtoms) -> list[dict[int, set[Shift]]]:
    """Connected atoms that are no metals, each with the cell shifts at which the walk met it; more than one where the molecule is endless."""
    seen: set[int] = set()
    found = []
    for start, metal in enumerate(atoms.is_metal):
        if metal or start in seen:
            continue
        members = {start: {(0, 0, 0)}}
        at = {start: (0, 0, 0)}
        waiting = deque([start])
        while waiting:
            here = waiting.popleft()
            a, b, c = at[here]
            for other, (x, y, z), _ in atoms.bonds[here]:
                if atoms.is_metal[other]:
                    continue
                place = (a + x, b + y, c + z)
                if other not in at:
                    at[other] = place
                    waiting.append(other)
                members.setdefault(other, set()).add(place)
        seen |= set(members)
        found.append(members)
    return found


def _fragment(atoms: BondedAtoms, members: dict[int, set[Shift]]) -> tuple[Fragment, Skeleton]:
    """One molecule, its groups not counted yet, and its skeleton."""
    at = {atom: next(iter(shifts)) for atom, shifts in members.items()}
    periodic = any(len(shifts) > 1 for shifts in members.values())
    heavy = {atom: place for place, atom in enumerate(atom for atom in members if atoms.symbols[atom] != "H")}
    bonds = {(one, other): apart for one in heavy for other, _, apart in atoms.bonds[one] if other in heavy and other > one}
    lengths = [apart for (one, other), apart in bonds.items() if atoms.symbols[one] == atoms.symbols[other] == "C"]
    skeleton = Skeleton(
        tuple(atoms.symbols[atom] for atom in heavy),
        frozenset((min(heavy[one], heavy[other]), max(heavy[one], heavy[other])) for one, other in bonds),
    )
    amounts = Counter(atoms.symbols[atom] for atom in members)
    donors, metals = _donors(atoms, heavy, at)
    fragment = Fragment(
        formula=hill(amounts),
        key=ENDLESS if periodic else skeleton.key() if heavy else LOOSE_HYDROGEN,
        count=1,
        hydrogens=amounts["H"],
        double=sum(_TRIPLE <= length < _DOUBLE for length in lengths),
        triple=sum(length < _TRIPLE for length in lengths),
        donors=donors,
        metals=metals,
        cis=0 if periodic else _cis_bonds(atoms, heavy, at),
        periodic=periodic,
    )
    return fragment, skeleton


def _donors(atoms: BondedAtoms, heavy: Collection[int], at: Mapping[int, Shift]) -> tuple[str, int]:
    """The atoms that touch a metal, as a formula, and how many metal atoms they touch. Carbon counts where nothing else does: the carbon of a
    chelating carboxylate lies as close to a large metal as a bond would.
    """
    metals: set[tuple[int, int, int, int]] = set()
    donors: Counter[str] = Counter()
    for atom in heavy:
        a, b, c = at[atom]
        touching = [(other, a + x, b + y, c + z) for other, (x, y, z), _ in atoms.bonds[atom] if atoms.is_metal[other]]
        metals |= set(touching)
        donors[atoms.symbols[atom]] += bool(touching)
    others = {symbol: count for symbol, count in donors.items() if symbol != "C" and count}
    return hill(others or donors).replace(" ", ""), len(metals)


def _cis_bonds(atoms: BondedAtoms, heavy: Collection[int], at: Mapping[int, Shift]) -> int:
    """Short C-C bonds with one heavy neighbour on either side, both on the same side of it (and not one and the same atom)."""
    count = 0
    for one in heavy:
        for other, _, apart in atoms.bonds[one]:
            if other <= one or other not in heavy or not _TRIPLE <= apart < _DOUBLE or {atoms.symbols[one], atoms.symbols[other]} != {"C"}:
                continue
            ends = [[atom for atom, _, _ in atoms.bonds[here] if atom in heavy and atom != far] for here, far in ((one, other), (other, one))]
            if [len(end) for end in ends] == [1, 1] and ends[0] != ends[1]:
                first, start, end, last = (atoms.place(atom, at[atom]) for atom in (ends[0][0], one, other, ends[1][0]))
                axis = (end - start) / np.linalg.norm(end - start)
                before, after = first - start, last - end
                count += float((before - (before @ axis) * axis) @ (after - (after @ axis) * axis)) > 0.0
    return count
