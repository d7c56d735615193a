"""Names of linkers, anions, solvent and guests, by skeleton, hydrogen and C-C bonds.

Two tables: linkers.csv, written for this project with the names that chemists use in a framework (terephthalate, DABCO), and, where the environment
variable XRDMATCH_LINKER_NAMES names a file with the columns key, name and smiles, that one for what the first lacks. scripts/make_linker_names.py
makes such a file out of the IUPAC names that the package mofstructure collects.
"""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from xrdmatch.library.csv_table import read_table
from xrdmatch.library.fragments import Fragment
from xrdmatch.library.skeletons import Molecule, molecule

#: The environment variable that names a second table.
MORE_NAMES = "XRDMATCH_LINKER_NAMES"
#: What a name is of. bridge: single atoms between metals; cap: monocarboxylates, named only where nothing larger is there.
KINDS = ("linker", "azolate", "cap", "anion", "bridge", "solvent", "cation", "guest")
#: Hydrogen that may be too much or too little, and C-C bonds of another length than the molecule's, as shares of them and at least.
_SLACK_H, _SLACK_BONDS = 1, 0.5
_COUNTS = {2: "di", 3: "tri", 4: "tetra", 5: "penta", 6: "hexa", 8: "octa"}
_MULTIPLES = {2: "bis", 3: "tris", 4: "tetrakis", 6: "hexakis", 8: "octakis"}
#: Acids whose anions lose more than -ic acid or keep a name of their own: what the name ends in, and what that becomes.
_ANIONS = (
    (r"-1,3,5-triic acid$", "-1,3,5-tricarboxylate"),
    (r"benzene-1,3-diic acid$", "isophthalate"),
    (r"benzene-1,4-diic acid$", "terephthalate"),
    (r"sulfonato\b", "sulfo"),
    (r"phosphorous acid$", "phosphite"),
    (r"ous acid$", "ite"),
    (r"ic acid$", "ate"),
)
_AZOLE = re.compile(r"(pyrazol|imidazol|triazol|tetrazol|indazol)e$")


@dataclass(frozen=True)
class Name:
    """The name of a fragment, what it is (one of `KINDS`), and its charge; None where hydrogen is missing and nothing tells."""

    text: str
    kind: str
    charge: int | None


@dataclass(frozen=True)
class _Row:
    name: str
    kind: str
    molecule: Molecule


@cache
def _own_rows() -> dict[str, tuple[_Row, ...]]:
    """Rows of linkers.csv by key."""
    found: dict[str, list[_Row]] = defaultdict(list)
    text = (resources.files("xrdmatch.library") / "linkers.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        read = molecule(row["smiles"])
        found[read.skeleton.key()].append(_Row(row["name"], row["kind"], read))
    return {key: tuple(rows) for key, rows in found.items()}


@cache
def _iupac_texts() -> dict[str, list[tuple[str, str]]]:
    """(name, SMILES) of the second table by key. Raises LibraryError where it cannot be read."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    place = os.environ.get(MORE_NAMES)
    if not place:
        return found
    for _, row in read_table(place, f"a table of linkers ({MORE_NAMES})", ("key", "name", "smiles")).records():
        found[row["key"]].append((row["name"], row["smiles"]))
    return found


@lru_cache(maxsize=4096)
def _rows(key: str) -> tuple[_Row, ...]:
    iupac = tuple(_Row(anion_name(name), "linker", molecule(smiles)) for name, smiles in _iupac_texts().get(key, ()))
    return _own_rows().get(key, ()) + iupac


def anion_name(name: str) -> str:
    """The anion of an acid: terephthalic acid becomes terephthalate, 1,4-butanedioic acid 1,4-butanedioate; other names stay."""
    for pattern, becomes in _ANIONS:
        changed = re.sub(pattern, becomes, name)
        if changed != name:
            return changed
    return name


def name_of(fragment: Fragment) -> Name | None:
    """The name of a fragment that a table knows; None where none has its skeleton, or hydrogen and C-C bonds both speak against it."""
    fitting = [(misfit, place, row) for place, row in enumerate(_rows(fragment.key)) if (misfit := _misfit(fragment, row)) is not None]
    if not fitting:
        return None
    _, _, row = min(fitting, key=lambda item: item[:2])
    return Name(_as_bound(fragment, row), row.kind, _charge(fragment, row.molecule))


def _misfit(fragment: Fragment, row: _Row) -> float | None:
    """How badly a fragment fits a row, None where it does not."""
    if row.kind == "guest" and fragment.metals:
        return None
    known = row.molecule
    most = sum(known.hydrogens)
    least = most - known.acidic
    said = fragment.hydrogens > 0 or least == 0
    off = max(0, fragment.hydrogens - most, least - fragment.hydrogens) if said else 0
    bonds = abs(fragment.double - known.double) + 2 * abs(fragment.triple - known.triple)
    bonds_fit = bonds <= max(1.0, _SLACK_BONDS * (known.double + 2 * known.triple))
    carbon = known.skeleton.symbols.count("C") > 1  # else there is no C-C bond to judge by
    if off > max(_SLACK_H, least // 3) and not (carbon and bonds_fit and known.double):
        return None
    if not said and carbon and not bonds_fit:
        return None
    turned = 0.5 * (known.cis != bool(fragment.cis))
    return off + bonds + turned + (0.25 if row.kind in ("guest", "cation") and fragment.metals else 0.0)


def _as_bound(fragment: Fragment, row: _Row) -> str:
    """The name as its protons ask: imidazolate, or imidazole where it kept its own; and likewise for azoles of the IUPAC table."""
    complete = sum(row.molecule.hydrogens)
    nitrogen = re.search(r"N(\d*)", fragment.donors)
    several = nitrogen is not None and int(nitrogen[1] or 1) > 1  # bound by two of its nitrogen atoms, no place for the proton is left
    if row.kind == "azolate" and fragment.hydrogens >= complete > 0 and row.molecule.charge == 0 and not several:
        return re.sub(r"olate(\)?)", r"ole\1", row.name) if "olate" in row.name else re.sub(r"ate$", "e", row.name)
    if row.kind == "linker" and _AZOLE.search(row.name) and row.molecule.acidic and (several or 0 < fragment.hydrogens < complete):
        return re.sub(r"^\d+[Hh]-", "", _AZOLE.sub(r"\1ate", row.name))
    return re.sub(r"(?<![a-zA-Z])(\d)h-", r"\1H-", row.name)


def _charge(fragment: Fragment, known: Molecule) -> int | None:
    if not known.acidic:
        return known.charge
    complete = sum(known.hydrogens)
    if fragment.hydrogens >= complete - known.acidic and (fragment.hydrogens or complete == known.acidic):
        return known.charge + min(0, fragment.hydrogens - complete)
    acids = sum(count * (2 if group == "phosphonate" else 1) for group, count in fragment.groups if group.endswith("ate"))
    return -acids if acids else None


def described(fragment: Fragment) -> str:
    """What a fragment without a name is said to be, by its groups and formula: `tricarboxylate C27H15O6`, `bis(pyridine) C14H14N4`, `ligand C4H9`."""
    groups = dict(fragment.groups)
    kind = "ligand"
    for group in ("carboxylate", "phosphonate", "sulfonate"):
        if group in groups:
            kind = _COUNTS.get(groups[group], "" if groups[group] == 1 else "poly") + group
            break
    else:
        for group in ("tetrazole", "triazole", "diazole", "pyridine", "diazine", "triazine", "nitrile"):
            if group in groups:
                kind = group if groups[group] == 1 else f"{_MULTIPLES.get(groups[group], 'poly')}({group})"
                break
    return f"{kind} {fragment.formula.replace(' ', '')}"
