"""A name for every structure from what it is made of: metals and linkers ("Zn imidazolate"), else metals and groups, else its formula."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from xrdmatch.diffraction.structure import Structure
from xrdmatch.library.composition import compound, metals_of
from xrdmatch.library.fragments import LOOSE_HYDROGEN, Fragment, Parts, parts_of
from xrdmatch.library.linker_names import Name, described, name_of
from xrdmatch.library.reference_library import Library
from xrdmatch.library.text_column import TextColumn

#: Longer names of a linker are given by groups and formula instead.
_LONGEST = 64
#: How many linkers and metals a name lists.
_MOST = 3
#: Atoms that may be missing from, or too many in, the parts compared with the formula, as a share.
_SLACK = 0.01
#: Kinds of names, the one that says most first.
_RANK = {"linkers": 0, "inorganic": 1, "groups": 2, "formula": 3}
#: Oxidation states of metals in frameworks, lowest and highest.
_STATES: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("Li", "Na", "K", "Rb", "Cs", "Ag"), (1, 1)),
    **dict.fromkeys(("Be", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd"), (2, 2)),
    **dict.fromkeys(("Al", "Ga", "In", "Sc", "Y", "La", "Pr", "Nd", "Pm", "Sm", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Lu", "Bi"), (3, 3)),
    **dict.fromkeys(("Zr", "Hf", "Th"), (4, 4)),
    "Cu": (1, 2),
    "Au": (1, 3),
    "Hg": (1, 2),
    "Tl": (1, 3),
    "Pb": (2, 4),
    "Sn": (2, 4),
    "Sb": (3, 5),
    "Ti": (3, 4),
    "V": (2, 5),
    "Cr": (2, 6),
    "Mn": (2, 4),
    "Fe": (2, 3),
    "Co": (2, 3),
    "Ni": (2, 2),
    "Nb": (4, 5),
    "Ta": (5, 5),
    "Mo": (0, 6),
    "W": (0, 6),
    "Tc": (4, 7),
    "Re": (1, 7),
    "Ru": (2, 4),
    "Os": (2, 4),
    "Rh": (1, 3),
    "Ir": (1, 4),
    "Pd": (2, 4),
    "Pt": (2, 4),
    "Ce": (3, 4),
    "Eu": (2, 3),
    "Yb": (2, 3),
    "U": (4, 6),
    "Np": (4, 6),
    "Pu": (3, 6),
    "Am": (3, 3),
    "Te": (4, 6),
}


@dataclass(frozen=True)
class Linker:
    """A linker of a name. named: it has a name of its own, not only groups and formula."""

    formula: str
    name: str
    named: bool


@dataclass(frozen=True)
class FrameworkName:
    """What a structure is called by what it is made of.

    kind: "linkers" (every linker has a name), "groups" (at least one is told by groups and formula), "inorganic" (metals and inorganic anions) or
    "formula". linkers, guests, bound_solvent: what was found. formula_fits: the parts add up to the structure's formula.
    charge_left: of the cell, in elementary charges, after the metals took the usual oxidation states that balance best: above 0 where anions are
    missing, below where metals or hydrogen are; None where a charge is not known.
    """

    text: str
    kind: str
    metals: tuple[str, ...]
    linkers: tuple[Linker, ...] = ()
    guests: tuple[str, ...] = ()
    bound_solvent: tuple[str, ...] = ()
    formula_fits: bool = True
    charge_left: int | None = None


@dataclass(frozen=True)
class _Sorted:
    """Fragments by their part in the framework, with their names."""

    linkers: list[tuple[Fragment, Name | None]]
    caps: list[tuple[Fragment, Name | None]]
    anions: list[tuple[Fragment, Name | None]]
    bridges: list[tuple[Fragment, Name | None]]
    solvent: list[tuple[Fragment, Name | None]]
    guests: list[tuple[Fragment, Name | None]]


def framework_name(parts: Parts, formula: str) -> FrameworkName:
    """The name of a structure cut into `parts`. formula: the structure's own, in Hill order, to check them by."""
    fits = formula_fits(parts, formula)
    groups = _sorted(parts)
    chosen = _chosen(groups)
    linkers = tuple({linker.name: linker for linker in reversed([_linker(*item) for item in chosen])}.values())[::-1]
    metals = tuple(sorted(parts.metals, key=lambda symbol: (-parts.metals[symbol], symbol)))
    text, kind = _text(metals, linkers, groups, fits)
    if kind == "formula":
        text = formula.replace(" ", "")
    return FrameworkName(
        text=text,
        kind=kind,
        metals=metals,
        linkers=linkers,
        guests=_texts(groups.guests),
        bound_solvent=_texts(groups.solvent),
        formula_fits=fits,
        charge_left=charge_left(parts),
    )


def _text(metals: tuple[str, ...], linkers: tuple[Linker, ...], groups: _Sorted, fits: bool) -> tuple[str, str]:
    """The name without its net, and its kind."""
    head = "/".join(metals[:_MOST])
    if not linkers and metals:
        inorganic = [name.text for _, name in groups.anions + groups.bridges if name]
        unknown = any(name is None for _, name in groups.anions + groups.bridges)
        return (
            (f"{head} {' '.join(dict.fromkeys(inorganic))}", "inorganic")
            if inorganic and not unknown and len(set(inorganic)) <= _MOST
            else ("", "formula")
        )
    endless = any(fragment.periodic for fragment, _ in groups.linkers)
    if not linkers or not metals or endless or (not fits and not all(linker.named for linker in linkers)):
        return "", "formula"
    listed = " + ".join(linker.name for linker in linkers[:_MOST]) + (f" +{len(linkers) - _MOST}" if len(linkers) > _MOST else "")
    return f"{head} {listed}", "linkers" if all(linker.named for linker in linkers) else "groups"


def _linker(fragment: Fragment, name: Name | None) -> Linker:
    formula = fragment.formula.replace(" ", "")
    if name is None:
        return Linker(formula, described(fragment), False)
    return Linker(formula, name.text, True) if len(name.text) <= _LONGEST else Linker(formula, described(fragment), False)


def _sorted(parts: Parts) -> _Sorted:
    groups = _Sorted([], [], [], [], [], [])
    for fragment in parts.fragments:
        if fragment.key == LOOSE_HYDROGEN:
            continue
        name = None if fragment.periodic else name_of(fragment)
        kind = name.kind if name else "linker" if "C" in re.findall("[A-Z][a-z]?", fragment.formula) else "anion"
        if not fragment.metals and not fragment.periodic:
            groups.guests.append((fragment, name))
        elif kind in ("solvent", "guest", "cation"):
            groups.solvent.append((fragment, name))
        elif kind == "cap":
            groups.caps.append((fragment, name))
        elif kind == "bridge":
            groups.bridges.append((fragment, name))
        elif kind == "anion":
            groups.anions.append((fragment, name))
        else:
            groups.linkers.append((fragment, name))
    return groups


def _chosen(groups: _Sorted) -> list[tuple[Fragment, Name | None]]:
    """The fragments that make the name: linkers, anions first; where these are neutral, what balances them; without any, the caps."""
    linkers = groups.linkers or groups.caps
    if not linkers:
        return []
    negative = [item for item in linkers if item[1] is None or item[1].charge is None or item[1].charge < 0]
    neutral = [item for item in linkers if item not in negative]
    bridging = [item for item in groups.anions if item[0].metals > 1 and len(item[0].formula.split()) > 1]
    balancing = bridging if negative else groups.anions
    order = sorted(negative, key=_size) + sorted(balancing, key=_size) + sorted(neutral, key=_size)
    return [item for item in order if item[1] is not None or item in linkers]


def _size(item: tuple[Fragment, Name | None]) -> tuple[int, str]:
    """Larger molecules first, and what is there more often."""
    heavy = sum(int(amount or 1) for symbol, amount in re.findall(r"([A-Z][a-z]?)(\d*)", item[0].formula) if symbol != "H")
    return -heavy * item[0].count, item[0].formula


def _texts(items: list[tuple[Fragment, Name | None]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.text if name else fragment.formula.replace(" ", "") for fragment, name in items))


def atoms_of(formula: str) -> Counter[str]:
    """Numbers of atoms of a formula such as `C8 H4 O4` or `C8H4O4`."""
    amounts: Counter[str] = Counter()
    for symbol, amount in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", formula):
        amounts[symbol] += float(amount or 1)  # type: ignore[assignment]
    return amounts


def formula_fits(parts: Parts, formula: str) -> bool:
    """Whether metals and fragments add up to the formula, hydrogen aside."""
    found: Counter[str] = Counter(parts.metals)
    for fragment in parts.fragments:
        for symbol, amount in atoms_of(fragment.formula).items():
            found[symbol] += amount * fragment.count
    wanted = atoms_of(formula)
    wanted["H"] += wanted.pop("D", 0)
    found.pop("H", None), wanted.pop("H", None)
    total, whole = sum(found.values()), sum(wanted.values())
    if not total or not whole:
        return total == whole
    return all(abs(found[symbol] / total - wanted[symbol] / whole) <= _SLACK for symbol in set(found) | set(wanted))


def charge_left(parts: Parts) -> int | None:
    """Charge of the cell when the metals take those of their usual oxidation states that balance the fragments best (see `FrameworkName`)."""
    charge = 0
    for fragment in parts.fragments:
        if fragment.key == LOOSE_HYDROGEN:
            continue
        name = None if fragment.periodic else name_of(fragment)
        if name is None or name.charge is None:
            return None
        charge += name.charge * fragment.count
    if not parts.metals or any(symbol not in _STATES for symbol in parts.metals):
        return None
    least = sum(_STATES[symbol][0] * count for symbol, count in parts.metals.items())
    most = sum(_STATES[symbol][1] * count for symbol, count in parts.metals.items())
    return max(0, least + charge) + min(0, most + charge)


def name_of_structure(structure: Structure) -> FrameworkName:
    """The name of a structure, its formula where it is too large to be cut."""
    try:
        return framework_name(parts_of(structure), structure.formula)
    except ValueError:
        return FrameworkName(structure.formula.replace(" ", ""), "formula", ())


def of_one_compound(library: Library) -> Library:
    """The library with what disorder hid in one structure told by another of the same compound (refcode) with the same metals.

    Solvent and disorder are treated differently in the several files of one compound; the framework is the same. Titles that a table gives stay.
    """
    fields = ("title", "title_kind", "linkers", "linker_formulas")
    columns = {field: list(getattr(library, field).tolist()) for field in fields}
    places = [(compound(one), metals_of(formula)) for one, formula in zip(library.id.tolist(), library.formula.tolist(), strict=True)]
    rank = [_RANK.get(kind, -1) for kind in columns["title_kind"]]
    best: dict[tuple[str, tuple[str, ...]], int] = {}
    for row, place in enumerate(places):
        if place[1] and rank[row] >= 0 and (place not in best or rank[row] < rank[best[place]]):
            best[place] = row
    for row, place in enumerate(places):
        better = best.get(place, row)
        if 0 <= rank[better] < rank[row] and columns["title_kind"][better] != "inorganic":
            for field in fields:
                columns[field][row] = columns[field][better]
    texts: dict[str, Any] = {field: TextColumn.of(column) for field, column in columns.items()}
    return replace(library, **texts)
