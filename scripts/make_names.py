"""Make xrdmatch/library/names.csv: the names people say for entries of the reference library, each with the DOI of a paper.

    python scripts/make_names.py --library full.h5 --structures 2014/ 2019-ASR/ 2019-FSR/ raspa2-cif/ \
        --aliases MOF_names_and_CSD_codes.csv --core 2019-ASR.csv 2019-FSR.csv

Three sources, the first that knows an entry wins:

1. scripts/names_checked.csv: the most used frameworks, each checked here against the structure itself: metals, atoms per metal of every element but
   hydrogen, and cell volume per metal. A row that does not fit its structure stops the script.
2. The names that papers use, as collected by refcode; spelt one way, without compound numbers, formulas and sample states.
3. Entries without a name that have the composition of a named entry and its pattern (the criterion of xrdmatch.families): redeterminations.
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
from xrdmatch.library.common_names import core_dois, stem
from xrdmatch.library.composition import composition
from xrdmatch.library.families import relatives
from xrdmatch.library.reference_library import Library

HERE = Path(__file__).parent
OUT = HERE.parent / "xrdmatch" / "library" / "names.csv"

#: Largest relative difference of a checked structure from its row: cell volume per metal; atoms per metal.
VOLUME_TOLERANCE, ATOMS_TOLERANCE = 0.05, 0.02
#: Cosine from which an entry takes the name of one with its composition; papers also name what their structure file does not show.
LIKE = {"checked": 0.95, "paper": 0.98}

_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-") | {"\u2032": "'", "\u2019": "'", "₂": "2", "⊃": "@"})
_METAL = "(?:Mg|Ca|Sr|Ba|Al|Ga|In|Ti|Zr|Hf|V|Cr|Mn|Fe|Co|Ni|Cu|Zn|Cd|Ag|Sc|Y|La|Ce|Pr|Nd|Sm|Eu|Gd|Tb|Dy|Ho|Er|Tm|Yb|Lu|Bi|Li|Na|K|Rb|Cs|Ru|Pd|Pt)"
#: Names of papers that mean something else than the framework known by them: a label of its own; a dimethyl derivative.
_NOT_THEIRS = {"FAYPAY": "DMOF-1", "IFAGON": "DMOF-1"}
#: Spelt one way: pattern of an alias, what it becomes.
_SPELLINGS = (
    (r"(?:CPO-27|MOF-74)[- ]?\(?({m})\)?.*|({m})[- ]?MOF-74.*", r"\1\2-MOF-74 (CPO-27-\1\2)"),
    (r"(?:MOF-5|IRMOF-1)(?:_.*)?", "MOF-5"),
    (r"(?:HKUST-1|MOF-199|Cu-BTC|CuBTC).*", "HKUST-1"),
    (r"({m})-HKUST-1", r"HKUST-1(\1)"),
    (r"(?:ZIF-?8|MAF-4)(?!\d).*", "ZIF-8"),
    (r"ZIF-4-I", "ZIF-4"),
    (r"D-ZIF-7.*", "ZIF-7"),
    (r"(?:NOTT|MFM)-300 ?\(In\).*", "MFM-300(In) (NOTT-300)"),
    (r"MFM-300\(VIII\)", "MFM-300(V)"),
    (r"COMOC-2\(VIV\)", "COMOC-2(V)"),
    (r"({m})[- ](MIL-\d+[A-D]?)(?:_.*)?", r"\2(\1)"),
    (r"(MIL-\d+[A-D]?) ?\(({m}(?:,{m})?)\)(-NO2|-NH2|-OH|-Br|-Cl|-CH3)?.*", r"\1(\2)\3"),
    (r"(MIL-\d+[A-D]?) ?(?:ht|lt|as|deuterium)(?: ?\({m}\))?", r"\1"),
    (r"(STA-12)\(({m})\).*|({m})-(STA-12).*", r"\1\4(\2\3)"),
    (r"NJU-Bai ?(\d+)", r"NJU-Bai\1"),
    (r"(NTHU-1)(?:Co|Cr|CrCo|Fe|Mn|Zn)", r"\1"),
    (r"(UCY-\d+|TIF-1)[/$ ].*", r"\1"),
    (  # a letter, stroke or word that tells the state of a sample
        r"(SUMOF-6-..|(?:Mg-CUK|CYCU|CZJ|YCM|SIZ|STAM|AEPF|GCP|SIMOF|MOF|ATF|NENU|ZJU|PCN|IFMC|SNU|AEMOF|UiO|DUT|TMOF|NTHU|MIL)-(?:28|7(?!\d)|10(?!\d)|101|40"
        r"|56|39|508|200|50|26|20|21|22|1|2(?!\d)|3(?!\d)|9(?!\d)))"
        r"(?:as|syn|a|c|M|\u2033|'|-a|-ac|-as|-syn|-CO2|-0\.20|-1\d\d|-2\d\d|-TA.*|-rt|-lt|dry| .*|MeOH|MeCHO|N|\(C2/c\)|\(P1\)|\([RL]T\))",
        r"\1",
    ),
)
#: Not names: generic labels and numbers that only mean something inside their paper.
_NO_NAME = re.compile(
    r"(?:(?:Ln|M|NH2-)?-?{m}?-?MOF(?: ?\d+)?(?:-.{1,4})?|{m}\d?-(?:\d+[a-z]?|L\d?|[IVX]+|R)|MOF-[1-4]a?|MOF-15|[IVX]+[a-c]?-.*|L-\d.*"
    r"|(?:La|Nd|Ce|Ni|Hf|Ru)-?(?:I|II|III|\(.*)-.*|CP-\d+|PCP-.*|CuL-.*|ZnL-.*|{m}2?-{m}|MOF-HTB.*|\d.*|MOF-[A-Z][a-z].*|Fe3\+-.*|Mo\d+-.*|COV-.*"
    r"|.*(?:synthesized|exchanged|crystals|xerogel|clathrate|solvate).*|target .*|dehydrated .*|pyridine-.*|EuN-BDC.*|HMOF-.*|Structure.*|CCDC.*"
    r"|.*[αβγ∞\u2223|].*|S1•.*|BeHPO.*|BePO4.*|MV2.*|Tripp-.*|M-TREN.*|MLi2.*)".replace("{m}", _METAL)
)
_NAME = re.compile(
    rf"(?:(?:{_METAL}|NH2|porph|bio|rht|rho|soc|Bio|{_METAL}-soc)-?)?[A-Za-z]*[A-Z][A-Za-z]+\d*-[A-Za-z]*\d.*|mesoMOF-\d|tp-PMBB-.*|dia-7i-.*"
    rf"|{_METAL}2?-[A-Z][A-Za-z0-9]{{2,}}|porph@.*|rho-ZMOF"
)


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


def spelt(alias: str) -> str:
    """The one spelling of a paper's alias; empty where it is no name people say."""
    text = re.sub(r"\s+", " ", alias.strip().translate(_DASHES)).strip(" .")
    if re.search(r"[\[\]·⋅$=?\u00d7]|\(H2O\)|(?i:compound|complex|loaded|crystal)", text):
        return ""
    text = re.sub(r"^(?!porph)[\w.()+,'-]+@(?=[A-Z])", "", text)  # a guest in a host is the host
    text = re.sub(r"[ _-]?(?:\((?:as|syn|dry|RT|LT|HT|CO2|hydrated form|Eu|La|Ce)\)|syn| as|_as|_int|_ht|dmf| SC|-ht|-INT|HP)$", "", text)
    for pattern, becomes in _SPELLINGS:
        found = re.fullmatch(pattern.replace("{m}", _METAL), text)
        if found:
            return found.expand(becomes)
    text = re.sub(r"(?<=\d) ?\((?=[A-Z][a-z]?\))", "(", text)
    if len(text) > 24 or " " in text or _NO_NAME.fullmatch(text) or not _NAME.fullmatch(text):
        return ""
    return text


def paper_names(path: Path) -> dict[str, tuple[str, str]]:
    """Name and DOI by refcode, where one of the paper's aliases is a name people say."""
    table: dict[str, tuple[str, str]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            names = [name for alias in row["MOF Name"].split("<|>") if (name := spelt(alias))]
            table[row["Ref Code"]] = (max(names, key=lambda name: "CPO-27" in name) if names else "", row["Reference"])
    return table


def matched_refcodes(paths: list[Path]) -> dict[str, str]:
    """Refcode by file name, for structures that CoRE MOF took from supporting information."""
    table = {}
    for path in paths:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table.update({row["filename"]: (row["Matched_CSD_of_CoRE"] or "").strip() for row in csv.DictReader(file)})
    return table


def with_metal(name: str, formula: str) -> str:
    """MIL-53 and its like, where the metal is what tells them apart, carry it."""
    if re.fullmatch(r"MIL-(?:47|53|68|88[A-D]?|100|101|126)", name):
        found = [symbol for symbol in atoms(formula) if gemmi.Element(symbol).is_metal]
        name = name.replace("MIL-88", "MIL-88A") if name == "MIL-88" else name
        return f"{name}({found[0]})" if len(found) == 1 else name
    return name


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
        candidates = by_key.get(base) or by_key.get(base[:6] if re.fullmatch(r"[A-Z]{6}\d\d", base) else "")
        if not candidates or identifier not in held or identifier.endswith("freeONLY"):
            continue
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
    return good, {base for base, _ in failures} - set(good)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--structures", type=Path, nargs="+", required=True)
    parser.add_argument("--aliases", type=Path, required=True)
    parser.add_argument("--core", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--no-relatives", action="store_true", help="leave out the third source")
    options = parser.parse_args()
    library = Library.load(options.library)
    papers, dois, matched = paper_names(options.aliases), core_dois(options.core), matched_refcodes(options.core)
    checked, refused = run_checks(read_checks(HERE / "names_checked.csv"), options.structures, library)
    refused |= set(_NOT_THEIRS)
    rows = first_rows(library, checked, refused, papers, dois, matched)
    if not options.no_relatives:
        add_relatives(library, rows, papers, dois, matched)
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


def paper_of(code: str, papers: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """Name and DOI of a refcode; a redetermination without its own takes those of the first determination, then of any other one."""
    order = [code, code[:6], *sorted(key for key in papers if code and key[:6] == code[:6])]
    known = [papers[key] for key in order if key in papers]
    return next((name for name, _ in known if name), ""), next((doi for _, doi in known if doi), "")


def first_rows(
    library: Library, checked: dict[str, Check], refused: set[str], papers: dict[str, tuple[str, str]], dois: dict[str, str], matched: dict[str, str]
) -> dict[str, tuple[str, str, str]]:
    """(name, DOI, source) by key, from the checked table and the papers."""
    rows: dict[str, tuple[str, str, str]] = {}
    first = defaultdict(list)
    for code in papers:
        first[code[:6]].append(code)
    for identifier, formula in zip(library.id.tolist(), library.formula.tolist(), strict=True):
        base, code = stem(identifier), refcode(identifier, matched)
        if base in rows or base in refused:
            continue
        name, doi = paper_of(code, {key: papers[key] for key in first.get(code[:6], ())})
        doi = dois.get(identifier, "") or doi
        check = checked.get(base) or checked.get(code) or checked.get(code[:6] if code else "")
        if check:
            rows[base] = (check.name, doi or check.doi, "checked")
        elif name:
            rows[base] = (with_metal(name, formula), doi, "paper")
    return rows


def add_relatives(
    library: Library, rows: dict[str, tuple[str, str, str]], papers: dict[str, tuple[str, str]], dois: dict[str, str], matched: dict[str, str]
) -> None:
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
        open_rows = [row for row in members if stem(ids[row]) not in rows]
        for source, like in LIKE.items():
            named = [row for row in members if stem(ids[row]) in rows and rows[stem(ids[row])][2] == source]
            for row in open_rows:
                pool = [other for other in named if one_compound(amounts[row], amounts[other])]
                relative = relatives(library, [row], pool, like)[0] if pool else None
                if relative is not None and stem(ids[row]) not in rows:
                    doi = dois.get(ids[row], "") or paper_of(refcode(ids[row], matched), papers)[1]
                    name, named_doi, _ = rows[stem(ids[relative])]
                    rows[stem(ids[row])] = (name, doi or named_doi, "pattern")
            open_rows = [row for row in open_rows if stem(ids[row]) not in rows]


def one_compound(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two compositions a metal atom differ by a water molecule at most; hydrogen is missing from some structures."""
    oxygen = one.get("O", 0.0) - other.get("O", 0.0)
    hydrogen = one.get("H", 0.0) - other.get("H", 0.0)
    bare = min(one.get("H", 0.0), other.get("H", 0.0)) == 0.0
    return abs(oxygen) <= 1.1 and (bare or abs(hydrogen - 2.0 * oxygen) <= 1.1)


if __name__ == "__main__":
    main()
