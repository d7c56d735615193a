"""Make xrdmatch/library/names.csv: the names people say for entries of the reference library, each with the DOI of a paper.

    python scripts/make_names.py --library full.h5 --structures 2014/ 2019-ASR/ 2019-FSR/ raspa2-cif/ --core 2019-ASR.csv 2019-FSR.csv

Two sources, the first that knows an entry wins:

1. scripts/names_checked.csv: the most used frameworks, each checked here against the structure itself: metals, atoms per metal of every element but
   hydrogen, and cell volume per metal. A structure that does not fit its row is told and gets no name. A row without a name says of structures that
   they are another compound, which composition and pattern do not tell: they get none either.
2. Entries without a name that have the composition of a named entry and its pattern (the criterion of xrdmatch.families): redeterminations.

DOIs are those of CoRE MOF's own tables, else the checked row's.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import gemmi

from xrdmatch.diffraction.structure import Structure, iter_sources, parse
from xrdmatch.library.breathing import MARK
from xrdmatch.library.common_names import core_dois, stem
from xrdmatch.library.composition import composition
from xrdmatch.library.families import relatives
from xrdmatch.library.reference_library import Library

HERE = Path(__file__).parent
OUT = HERE.parent / "xrdmatch" / "library" / "names.csv"

#: Largest relative difference of a checked structure from its row: cell volume per metal; atoms per metal.
VOLUME_TOLERANCE, ATOMS_TOLERANCE = 0.05, 0.02
#: Cosine from which an entry takes the name of one with its composition.
LIKE = 0.95


class Check(NamedTuple):
    """One row of names_checked.csv."""

    name: str
    atoms: dict[str, float]
    volume: float | None
    doi: str
    keys: list[str]


def read_checks(path: Path) -> list[Check]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Check(row["name"], atoms(row["composition"]), float(row["volume_per_metal"] or 0) or None, row["doi"], row["keys"].split())
            for row in csv.DictReader(file)
        ]


def atoms(formula: str) -> dict[str, float]:
    """Element amounts of `Cu C6 O4`, hydrogen left out."""
    found = re.findall(r"([A-Z][a-z]?)([\d.]*)", formula)
    return {symbol: float(amount or 1) for symbol, amount in found if symbol != "H"}


def metal_count(amounts: dict[str, float]) -> float:
    """Metal atoms of a composition; of the lattice-building elements where it has no metal (covalent frameworks)."""
    count = sum(n for symbol, n in amounts.items() if gemmi.Element(symbol).is_metal)
    return count or sum(n for symbol, n in amounts.items() if symbol in ("B", "Si")) or sum(amounts.values())


def misfit(structure: Structure, check: Check) -> str:
    """What of `structure` does not fit `check`; empty where all fits. Oxygen is left out: water and hydroxide are often not located."""
    found = atoms(structure.formula)
    per_metal = {symbol: n / metal_count(found) for symbol, n in found.items()}
    wanted = {symbol: n / metal_count(check.atoms) for symbol, n in check.atoms.items()}
    for symbol in sorted((set(per_metal) | set(wanted)) - {"O"}):
        have, want = per_metal.get(symbol, 0.0), wanted.get(symbol, 0.0)
        if abs(have - want) > ATOMS_TOLERANCE * max(want, 0.5) and (want or symbol not in ("F", "N", "P", "W")):  # solvent and counter ions
            return f"{symbol} per metal {have:.2f}, expected {want:.2f} ({structure.formula})"
    if check.volume:
        numbers = {gemmi.Element(symbol).atomic_number for symbol in check.atoms if gemmi.Element(symbol).is_metal}
        metals = sum(share for number, share in zip(structure.numbers, structure.occupancy, strict=True) if int(number) in numbers)
        volume = gemmi.UnitCell(*structure.cell).volume / metals
        if abs(volume / check.volume - 1.0) > VOLUME_TOLERANCE:
            return f"{volume:.1f} cubic angstrom per metal, expected {check.volume:.1f}"
    return ""


def matched_refcodes(paths: list[Path]) -> dict[str, str]:
    """Refcode by file name, for structures that CoRE MOF took from supporting information."""
    table = {}
    for path in paths:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table.update({row["filename"]: (row["Matched_CSD_of_CoRE"] or "").strip() for row in csv.DictReader(file)})
    return table


def run_checks(checks: list[Check], folders: list[Path], library: Library) -> tuple[dict[str, Check], set[str]]:
    """The check that holds for each key, and the keys none holds for; prints and counts what fails."""
    held = set(library.id.tolist())
    by_key: dict[str, list[Check]] = defaultdict(list)
    for check in checks:
        for key in check.keys:
            by_key[key].append(check)
    good: dict[str, Check] = {}
    failures = []
    for name, data, source in iter_sources(folders):
        identifier = Path(name).stem
        base = stem(identifier)
        whole = identifier in by_key  # a row may name one form of a structure, where the other has lost a part
        candidates = by_key.get(identifier) or by_key.get(base) or by_key.get(base[:6] if re.fullmatch(r"[A-Z]{6}\d\d", base) else "")
        if not candidates or identifier not in held or (identifier.endswith("freeONLY") and not whole):
            continue
        base = identifier if whole else base
        structure = parse(data, name, source)
        reasons = [misfit(structure, check) for check in candidates]
        fits = [check for check, reason in zip(candidates, reasons, strict=True) if not reason]
        if fits:
            good[base] = fits[0]
        else:
            failures.append((base, f"{candidates[0].name}: {identifier}: {reasons[0]}"))
    for base, text in failures:
        if base not in good:
            print(f"does not fit: {text}", file=sys.stderr)
    missing = sorted(key for key in by_key if not any(base.startswith(key) for base in good) and not any(b.startswith(key) for b, _ in failures))
    print(f"{len(good)} structures checked, {len({c.name for c in good.values()})} names; not in the library: {' '.join(missing)}", file=sys.stderr)
    named = {base: check for base, check in good.items() if check.name}
    return named, ({base for base, _ in failures} | set(good)) - set(named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--structures", type=Path, nargs="+", required=True)
    parser.add_argument("--core", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--no-relatives", action="store_true", help="leave out the second source")
    options = parser.parse_args()
    library = Library.load(options.library)
    library = library.subset(
        [row for row, identifier in enumerate(library.id.tolist()) if MARK not in identifier]
    )  # strained copies are named by what made them
    dois, matched = core_dois(options.core), matched_refcodes(options.core)
    checked, refused = run_checks(read_checks(HERE / "names_checked.csv"), options.structures, library)
    rows = first_rows(library, checked, refused, dois, matched)
    if not options.no_relatives:
        add_relatives(library, rows, refused, dois)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "name", "doi", "source"])
        writer.writerows((key, *rows[key]) for key in sorted(rows))
    entries = sum(stem(name) in rows for name in library.id.tolist())
    print(
        f"{len(rows)} rows, {len({row[0] for row in rows.values()})} names, {entries} entries; {Counter(row[2] for row in rows.values())}",
        file=sys.stderr,
    )


def refcode(identifier: str, matched: dict[str, str]) -> str:
    base = stem(identifier)
    return base if re.fullmatch(r"[A-Z]{6}(\d\d)?", base) else matched.get(identifier, "")


def first_rows(
    library: Library, checked: dict[str, Check], refused: set[str], dois: dict[str, str], matched: dict[str, str]
) -> dict[str, tuple[str, str, str]]:
    """(name, DOI, source) by key, from the checked table."""
    rows: dict[str, tuple[str, str, str]] = {}
    for identifier in library.id.tolist():
        base, code = stem(identifier), refcode(identifier, matched)
        check = checked.get(base) or checked.get(code) or checked.get(code[:6] if code else "")
        if identifier in checked and identifier != base:
            rows[identifier] = (checked[identifier].name, dois.get(identifier, "") or checked[identifier].doi, "checked")
        elif check and base not in rows and base not in refused:
            rows[base] = (check.name, dois.get(identifier, "") or check.doi, "checked")
    return rows


def add_relatives(library: Library, rows: dict[str, tuple[str, str, str]], refused: set[str], dois: dict[str, str]) -> None:
    """Name entries that have composition and pattern of a named one."""
    ids = library.id.tolist()
    kinds = defaultdict(list)
    for row, formula in enumerate(library.formula.tolist()):
        found = atoms(formula)
        scale = metal_count(found)
        kinds[tuple(sorted((symbol, round(n / scale, 2)) for symbol, n in found.items() if symbol != "O"))].append(row)
    amounts = [composition(formula) for formula in library.formula.tolist()]
    whole = {stem(name) for name in ids if not name.endswith("freeONLY")}  # bound solvent is only looked at where there is nothing else
    for members in kinds.values():
        members = [row for row in members if not (ids[row].endswith("freeONLY") and stem(ids[row]) in whole)]
        named = [row for row in members if stem(ids[row]) in rows]
        for row in members:
            base = stem(ids[row])
            pool = [other for other in named if one_compound(amounts[row], amounts[other])]
            relative = relatives(library, [row], pool, LIKE)[0] if pool and base not in rows and base not in refused else None
            if relative is not None:
                rows[base] = (rows[stem(ids[relative])][0], dois.get(ids[row], "") or rows[stem(ids[relative])][1], "pattern")


def one_compound(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two compositions a metal atom differ by a water molecule at most; hydrogen is missing from some structures."""
    oxygen = one.get("O", 0.0) - other.get("O", 0.0)
    hydrogen = one.get("H", 0.0) - other.get("H", 0.0)
    bare = min(one.get("H", 0.0), other.get("H", 0.0)) == 0.0
    return abs(oxygen) <= 1.1 and (bare or abs(hydrogen - 2.0 * oxygen) <= 1.1)


if __name__ == "__main__":
    main()
