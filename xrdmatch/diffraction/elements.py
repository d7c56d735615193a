"""Elements out of what files write for them: type symbols, labels of atoms, sites shared by several elements, sum formulas."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.errors import XrdMatchError

#: Californium, the last element with tabulated scattering factors; NO3, Cn or Es in an atom label are no elements.
_HEAVIEST = 98
_SYMBOL = re.compile(r"[A-Za-z]{1,2}")
#: A type symbol that leaves nothing open: `Zn`, `Zn2+`, `Zn+2`, `O2-`, `ZN` (as a type, not as a label).
_PLAIN_TYPE = re.compile(r"([A-Za-z]{1,2})(\d*[+-]|[+-]\d+)?")
#: The charge of an ion within a list of several: before a blank, a sign, a separator or the end.
_CHARGE = re.compile(r"(?<=[A-Za-z])(\d*[+-]|[+-]\d+)(?=[\s+/,:;&)]|$)")
_NUMBER = r"\d*\.\d+|\d+(?:\.\d*)?%?"
_SHARE_FIRST = re.compile(rf"({_NUMBER})%?([A-Za-z]{{1,3}}|□)")
_SHARE_LAST = re.compile(r"([A-Z][a-z]{0,2}|□)(\d*\.\d+|\d+%)%?")
#: An unoccupied share of a site.
_VACANCY = frozenset(("□", "vac", "va", "v0"))
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
#: Water as an atom's type or label, and what else begins with another letter than its heaviest atom.
_WATER = re.compile(r"(wat|h2o|h3o|d2o)", re.IGNORECASE)
#: Amounts of the letters in capitals, such as CA or HO, that are tried both ways against the sum formula.
_MOST_OPEN = 6

#: (atomic number, share) of the elements on one site.
Species = tuple[tuple[int, float], ...]


def element_symbol(text: str) -> str | None:
    """`Zn` for `zn` or `ZN`; None where that is no element's symbol."""
    element = gemmi.Element(text.capitalize())
    return str(element.name) if element.atomic_number > 0 and element.name == text.capitalize() else None


def element_symbols(text: str) -> tuple[str, ...]:
    """The symbols of a list such as `Zn,C,N,O`. Raises XrdMatchError for what is no element, and for none at all."""
    found = [part.strip() for part in text.replace(" ", ",").split(",") if part.strip()]
    unknown = [part for part in found if element_symbol(part) is None]
    if unknown or not found:
        raise XrdMatchError(f"expected element symbols such as Zn,C,N,O, got {', '.join(unknown) or text!r}")
    return tuple(str(element_symbol(part)) for part in found)


@lru_cache(maxsize=4096)
def element_number(symbol: str) -> int:
    """Atomic number of an atom type as CIF files write it (`Zn`, `ZN2+`, `O1w`, `D`, `Wat`); 0 where it is no element."""
    two, one = _readings(symbol)
    return two or one


def type_number(symbol: str) -> int:
    """Atomic number of a type symbol that leaves nothing open (`Zn`, `ZN`, `Zn2+`); 0 for labels and all else."""
    found = _PLAIN_TYPE.fullmatch(symbol)
    return _exact(found.group(1).capitalize()) if found else 0


def _readings(symbol: str) -> tuple[int, int]:
    """What the first two letters stand for together, and what the first does alone; 0 for no element."""
    bare = symbol.strip().strip("'\"").lstrip("(")
    found = _SYMBOL.match(bare)
    if not found or bare[:2].lower() == "du":  # Du is a dummy atom
        return 0, 0
    if _WATER.match(bare):
        return 0, 8
    letters = found.group().capitalize()
    return _exact(letters) if len(letters) == 2 else 0, _exact(letters[0])


def _exact(name: str) -> int:
    number = int(gemmi.Element(name).atomic_number)
    return number if 0 < number <= _HEAVIEST else 0


def metals(formula: str) -> list[str]:
    """Metal symbols of a formula such as `C6 H2 Cu O4`, in its order."""
    symbols = ["".join(c for c in part if c.isalpha()) for part in formula.split()]
    return [symbol for symbol in symbols if gemmi.Element(symbol).is_metal]


def amounts_of(numbers: ArrayLike, occupancy: ArrayLike) -> dict[str, float]:
    """Sum of the occupancies of each element, by symbol."""
    elements, rows = np.unique(np.asarray(numbers, dtype=int), return_inverse=True)
    sums = np.bincount(rows, np.asarray(occupancy, dtype=float), elements.size)
    return {gemmi.Element(int(number)).name: float(amount) for number, amount in zip(elements, sums, strict=True)}


def hill_formula(numbers: ArrayLike, occupancy: ArrayLike) -> str:
    """Composition in Hill order, divided by the largest common factor: `C18 H6 Cu3 O12`."""
    amounts = amounts_of(numbers, occupancy)
    whole = {symbol: round(amount) for symbol, amount in amounts.items()}
    exact = all(abs(amounts[symbol] - count) < 0.05 and count for symbol, count in whole.items())
    factor = math.gcd(*whole.values()) if exact and whole else 1
    first = [symbol for symbol in ("C", "H") if symbol in amounts and "C" in amounts]
    order = first + sorted(symbol for symbol in amounts if symbol not in first)
    parts = []
    for symbol in order:
        amount = whole[symbol] // factor if exact else amounts[symbol]
        parts.append(symbol if amount == 1 else f"{symbol}{amount:g}" if exact else f"{symbol}{round(amount, 2):g}")
    return " ".join(parts)


def mass_of(numbers: ArrayLike, occupancy: ArrayLike) -> float:
    """Mass in g/mol of atoms, by atomic numbers (n,) and occupancies (n,)."""
    return sum(amount * gemmi.Element(symbol).weight for symbol, amount in amounts_of(numbers, occupancy).items())


def formula_mass(formula: str) -> float:
    """Mass in g/mol of one formula such as `C18 H6 Cu3 O12`."""
    return sum(amount * gemmi.Element(symbol).weight for symbol, amount in parse_formula(formula).items())


def parse_formula(text: str) -> dict[str, float]:
    """Amounts of a sum formula such as `C4 H4 N2 O2 Zn`, by symbol (deuterium as hydrogen); empty where it is none, or is written with brackets."""
    bare = re.sub(r"[\s,'\"]+", " ", text).strip()
    amounts: dict[str, float] = {}
    for part in bare.split():
        if not re.fullmatch(rf"(?:{_FORMULA_PART.pattern})+", part):
            return {}
        for symbol, amount in _FORMULA_PART.findall(part):
            if _exact(symbol) == 0 or amount == ".":
                return {}
            name = "H" if symbol == "D" else symbol
            amounts[name] = amounts.get(name, 0.0) + (float(amount) if amount else 1.0)
    return {symbol: amount for symbol, amount in amounts.items() if amount > 0}


def names_several(symbol: str) -> bool:
    """Whether a type symbol holds more letters after a sign or separator, as those of shared sites do."""
    return bool(re.search(r"[A-Za-z][^A-Za-z]*[+/,:;&%*.][^A-Za-z]*[A-Za-z]", symbol))


@lru_cache(maxsize=4096)
def shared_site(symbol: str) -> Species | None:
    """The elements of a site that several share, or one does not fill, with their shares; None where `symbol` names one element, or none.

    Read are `0.75Si + 0.25Al`, `0.75Si4+ + 0.25Al3+`, `Si0.75Al0.25`, `75%Si 25%Al`, `(Si,Al)`, `Si/Al`, `0.9Fe`, and vacancies (`0.1□`, `0.1Vac`).
    Shares that are not said are equal; they come as negative numbers, for the reader to tell.
    """
    bare = symbol.strip().strip("'\"").strip()
    if not re.search(r"[+/,:;&.%□]", bare) or _PLAIN_TYPE.fullmatch(bare):
        return None
    bare = re.sub(r"\((\d+)\)", "", bare)  # standard uncertainties
    bare = re.sub(r"[\s*]+", "", _CHARGE.sub("", bare)).strip("()[]{}")
    parts = [part for part in re.split(r"[+/,:;&()]", bare) if part]
    found: list[tuple[str, float]] = []
    for part in parts:
        for pattern, place in ((_SHARE_FIRST, 0), (_SHARE_LAST, 1)):
            pieces = pattern.findall(part)
            if pieces and re.fullmatch(rf"(?:{pattern.pattern})+", part):
                found += [(piece[1 - place], _share(piece[place], part)) for piece in pieces]
                break
        else:
            if len(parts) < 2 or not re.fullmatch(r"[A-Za-z]{1,2}\d*|□", part):
                return None
            found.append((part.rstrip("0123456789"), -1.0 / len(parts)))
    return _species(found)


def _share(text: str, part: str) -> float:
    return float(text.rstrip("%")) / (100.0 if "%" in part else 1.0)


def _species(found: list[tuple[str, float]]) -> Species | None:
    """Atomic numbers for the symbols; None where one is no element, or the shares are impossible."""
    rows = [(0 if name.lower() in _VACANCY else _exact(name.capitalize()) or -1, share) for name, share in found]
    if any(number < 0 for number, _ in rows) or len({share < 0 for _, share in rows}) > 1 or sum(abs(share) for _, share in rows) > 1.05:
        return None
    return tuple((number, share) for number, share in rows if number) or None


def numbers_of_labels(
    labels: Sequence[str], known: NDArray[np.int16], weights: NDArray[np.float64], formula: Mapping[str, float]
) -> tuple[NDArray[np.int16], list[str]]:
    """Atomic numbers (n,) of atoms of which only labels are known, and those labels, such as `HO1` or `CA`, whose element nothing decides.

    known: (n,) numbers of the atoms that have a type, 0 for the others. weights: (n,) how many atoms of the cell each stands for. The elements of the
    sum formula decide whether `HO` is H or Ho; where both are in it, its amounts do; without it the spelling of the other labels.
    """
    readings = [(0, 0) if number else _readings(label) for label, number in zip(labels, known, strict=True)]
    own = [label.strip("'\"") for label, number in zip(labels, known, strict=True) if not number]
    capitals = all(label[:2].isupper() or not label[:2].isalpha() for label in own)
    numbers = np.array([number or two or one for number, (two, one) in zip(known, readings, strict=True)], dtype=np.int16)
    letters = [label.strip("'\"")[:2] for label in labels]
    open_places: dict[str, list[int]] = {}
    for place, (two, one) in enumerate(readings):
        if not (two and one):
            continue
        named = [number for number in (two, one) if gemmi.Element(number).name in formula]
        if len(named) == 1:
            numbers[place] = named[0]
        elif letters[place].isupper():
            if not formula and not capitals:  # beside Zn1, CA1 is a carbon atom
                numbers[place] = one
            open_places.setdefault(letters[place], []).append(place)
    if formula:
        _by_amounts(numbers, readings, weights, formula, open_places)
        return numbers, []
    return numbers, [labels[places[0]] for places in open_places.values()] if capitals else []


def _by_amounts(
    numbers: NDArray[np.int16],
    readings: list[tuple[int, int]],
    weights: NDArray[np.float64],
    formula: Mapping[str, float],
    open_places: dict[str, list[int]],
) -> None:
    """Read the labels of `open_places` as their one or their two letters, whichever comes nearest to the formula; changes `numbers`."""
    kinds = list(open_places)[:_MOST_OPEN]
    best: tuple[float, tuple[int, ...]] | None = None
    for choice in itertools.product((0, 1), repeat=len(kinds)):
        for kind, which in zip(kinds, choice, strict=True):
            numbers[open_places[kind]] = readings[open_places[kind][0]][which]
        off = difference(amounts_of(numbers[numbers > 0], weights[numbers > 0]), formula)
        if best is None or off < best[0] - 1e-9:
            best = off, choice
    for kind, which in zip(kinds, best[1] if best else (), strict=True):
        numbers[open_places[kind]] = readings[open_places[kind][0]][which]


def difference(amounts: Mapping[str, float], formula: Mapping[str, float], units: float | None = None) -> float:
    """How far a composition is from a sum formula, hydrogen aside: the share of atoms too many or missing.

    units: formula units in `amounts`, where known.
    """
    symbols = (set(amounts) | set(formula)) - {"H"}
    have = np.array([amounts.get(symbol, 0.0) for symbol in symbols])
    want = np.array([formula.get(symbol, 0.0) for symbol in symbols])
    if not want.any() or not have.any():
        return 1.0
    scales = [units] if units else [h / w for h, w in zip(have, want, strict=True) if h > 0 and w > 0] or [1.0]
    return float(min(np.abs(have - scale * want).sum() / max(have.sum(), scale * want.sum()) for scale in scales))
