"""Check the structure files beyond CoRE MOF before they are shipped, and write which to use, under which names, to scripts/sources.csv.

    python scripts/check_sources.py ../shared/structures/manifest.tsv scripts/structures.tsv

A manifest lists archive, member, source, version, licence, name and category of each file; the archives or folders lie beside it. Known facts
stand in substances.csv (by-products, linkers, holders, standards: formula, density, strongest lines, and the records of each) and names in
source_names.csv. A file is left out that does not load, is not the substance it is called, may not be shipped, or repeats a better record.
`simulate --source-table` reads what comes out.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from structure_checks import Findings, Substance, checked, contents

from xrdmatch.diffraction.doubts import DOUBTFUL
from xrdmatch.diffraction.structure import Structure, iter_sources, parse
from xrdmatch.errors import StructureError
from xrdmatch.library.build import entry_of
from xrdmatch.library.families import SAME, similarity
from xrdmatch.library.reference_library import Library

HERE = Path(__file__).parent
COLUMNS = ("archive", "file", "id", "name", "title", "category", "licence", "source", "doi", "use", "reason")
#: Archives and folders that are taken whole: where they come from, what they hold, and under which licence.
WHOLE = {
    "2019-ASR.tar.xz": ("mof", "CC BY 4.0", "CoRE MOF 2019, all solvent removed: doi 10.1021/acs.jced.9b00835"),
    "2019-FSR.tar.xz": ("mof", "CC BY 4.0", "CoRE MOF 2019, free solvent removed: doi 10.1021/acs.jced.9b00835"),
    "2014.tar.xz": ("mof", "CC BY 4.0", "CoRE MOF 2014: doi 10.1021/cm502594j"),
    "cif": ("mof", "MIT", "RASPA2, structures/mofs/cif"),
}
#: What the repositories are called in a library.
CALLED = {
    "danieleongari/CURATED-COFs": "CURATED-COFs",
    "core-cof/CoRE-COF-Database": "CoRE COF v6",
    "Debian libncrystal-data": "NCrystal data 3.4.1",
    "OpenChemistry/crystals": "OpenChemistry crystals",
    "PyPI raspa2==2.0.4": "RASPA2 2.0.4",
    "PyPI larixite==2026.1.0": "larixite 2026.1.0",
    "PyPI netsunhinged==0.1.0": "netsunhinged 0.1.0",
}
#: Framework types that are interrupted, so that they have more oxygen than SiO2.
INTERRUPTED = ("CHI", "CLO", "ITV", "LIT", "PAR", "RON", "SVR", "WEN")
#: Oxygen a framework atom that a whole framework has at least and at most, and its density in framework atoms a nm3.
OXYGEN, FRAMEWORK_DENSITY = (1.95, 2.05), (8.0, 23.0)
#: A record is modern from this year on.
MODERN = 1960
#: What stands in files that the CSD gave out.
_CSD = re.compile(r"downloaded from the[\s#]+Cambridge Structural Database")
_DOI = re.compile(r"^_(?:journal_paper|citation)_doi\s+'?(10\.[^\s']+)", re.MULTILINE)
_COD = re.compile(r"_cod_database_code\s+'?(\d{7})")
_YEAR = re.compile(r"_journal_year\s+'?(\d{4})")


@dataclass(frozen=True)
class File:
    """One file of the sources, and what is decided on it. given: its row of the manifest. structure: None where it does not load."""

    given: dict[str, str]
    text: str
    structure: Structure | None
    name: str = ""
    title: str = ""
    category: str = ""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    findings: Findings = field(default_factory=Findings)

    @property
    def record(self) -> str:
        return Path(self.given["member"]).stem

    def refused(self, *reasons: str) -> File:
        return replace(self, reasons=(*self.reasons, *(reason for reason in reasons if reason)))


def table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    quoting: Any = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter, quoting=quoting))


def read(manifest: Path) -> list[File]:
    """Every file of the manifest, in its order."""
    rows = table(manifest, "\t")
    data = {(source, name): content for name, content, source in iter_sources(sorted({manifest.parent / row["archive"] for row in rows}))}
    return [_file(row, data.get((row["archive"], Path(row["member"]).name))) for row in rows]


def _file(row: dict[str, str], data: bytes | None) -> File:
    if data is None:
        return File(row, "", None, reasons=("not in the archive",))
    text = data.decode("utf-8", "replace")
    if _CSD.search(text):
        return File(row, text, None, reasons=("downloaded from the CSD by its header, whose terms are not those of the repository",))
    try:
        structure = parse(data, Path(row["member"]).name, row["archive"])
        entry_of(structure)
    except StructureError as error:
        return File(row, text, None, reasons=(f"cannot be read: {str(error).partition(': ')[2].partition(':')[0]}",))
    wrong = [note.removeprefix(DOUBTFUL) for note in structure.notes if note.startswith(f"{DOUBTFUL}the atoms read are")]
    return File(row, text, structure, category=row["category"], reasons=tuple(wrong))


def substances(files: dict[str, File], facts: list[dict[str, str]]) -> dict[str, File]:
    """The by-products, holders and standards: each compared with what is known of its substance, and the best record of each kept."""
    decided: dict[str, File] = {}
    for row in facts:
        known = Substance(row["formula"], float(row["density"]) if row["density"] else None, tuple(float(d) for d in row["lines"].split()))
        title = "; ".join(part for part in (row["chemical_name"], f"{row['type']} type" if row["type"] else "") if part)
        records = []
        for name in filter(files.__contains__, row["records"].split()):
            file = replace(files[name], name=f"{row['name']}, {row['formula']}", title=title, category=row["category"]).refused(row["left_out"])
            if file.structure is not None and not file.reasons:
                found = checked(file.structure, known)
                file = replace(file, findings=found, notes=found.notes).refused(*found.wrong)
            records.append(file)
        decided |= {file.record: file for file in best_of(records)}
    return decided


def best_of(records: list[File]) -> list[File]:
    """The records of one substance, all but the best good one refused."""
    good = sorted((file for file in records if not file.reasons), key=_rank)  # of equals the one that substances.csv has first
    if not good:
        return records
    best = good[0]
    return [file if file is best or file.reasons else file.refused(f"repeats {best.record}, which is {_better(best, file)}") for file in records]


def _year(file: File) -> int:
    found = _YEAR.search(file.text)
    return int(found.group(1)) if found else MODERN


def _rank(file: File) -> tuple[Any, ...]:
    return file.findings.lacks_hydrogen, _year(file) < MODERN, round(file.findings.off, 3)


def _better(best: File, other: File) -> str:
    if best.findings.lacks_hydrogen < other.findings.lacks_hydrogen:
        return "complete with hydrogen"
    if (_year(best) < MODERN) < (_year(other) < MODERN):
        return "of a later determination"
    return "nearer to the known lines" if _rank(best) < _rank(other) else "as good"


def framework(file: File, names: dict[str, dict[str, str]]) -> File:
    """A zeolite, with its code and name, checked by its oxygen and its density of framework atoms."""
    row = names.get(file.record)
    code = file.record
    if re.fullmatch("[A-Z]{3}t?", code):
        mineral = row["name"] if row else ""
        code = code.removesuffix("t")
        name, title = (f"{mineral} ({code})" if mineral else f"{code} framework"), "idealised SiO2 framework of the type"
    else:
        name, title = (row["name"] if row else file.given["name"]), ""
    file = replace(file, name=name, title=title).refused(row["left_out"] if row else "")
    if file.structure is None:
        return file
    atoms = contents(file.structure)
    nodes = sum(atoms.get(symbol, 0.0) for symbol in ("Si", "Al", "P"))
    oxygen, density = atoms.get("O", 0.0) / nodes, 1000.0 * nodes / _volume(file.structure)
    water = any(symbol in atoms for symbol in ("H", "Na", "Ca", "K"))
    if not OXYGEN[0] <= oxygen <= (9.0 if water or code in INTERRUPTED else OXYGEN[1]):
        file = file.refused(f"{oxygen:.2f} oxygen atoms a framework atom, not 2: the framework is not as it should be")
    elif not FRAMEWORK_DENSITY[0] <= density <= FRAMEWORK_DENSITY[1]:
        file = file.refused(f"{density:.1f} framework atoms a nm3, which no zeolite has")
    lost = "Al" in atoms and "P" not in atoms and not set(atoms) - {"Si", "Al", "O"}
    return replace(file, notes=("the cations are not in the file",)) if lost else file


def _volume(structure: Structure) -> float:
    return float(gemmi.UnitCell(*structure.cell).volume)


#: What the names of COFs have beside them, and how it is said here.
_STACKING = (
    (r"^refined unit cell parameters for ", ""),
    (r"^AA-stacking mode of (.+)$", r"\1, AA stacking"),
    (r"^([a-z]+)-(c\d+) (COF-\d+)$", r"\3, \1-\2"),
    (r"\u2010", "-"),
    (r"[ -]quasi-AB$", ", quasi-AB stacking"),
    (r"(?<!,) (?:model )?(?:arranged )?(?:in |with )?(A-?[ABC](?:-?C)?)(?:_(I+))?(?: model)?(?: stacking)?(?: mode)?$", r", \1 stacking \2"),
    (r" with eclipsed$", ", AA stacking"),
    (r" with P1 mode$", ", P 1"),
    (r"[ _](?:corr)$|_corr$", ""),
    (r" (\d+-fold)(?: interpenetrated)?$", r", \1 interpenetrated"),
    (r" non-interpenetrated$", ", not interpenetrated"),
    (r"_hydrate$", " hydrate"),
    (r" antiparallel$", ", antiparallel"),
    (r"^(\w+)'s (.+)$", r"\2 (\1)"),
    (r"^(Kan|Gao|Yang|Dong)_(.+)$", r"\2 (\1)"),
    (r"^\(1-22\)n COF", "(1-22)n COF"),
)


def tidy(name: str) -> str:
    """The name of a COF without what a file name or a figure's caption added."""
    name = " ".join(name.split())
    for pattern, instead in _STACKING:
        name = re.sub(pattern, instead, name)
    return name.strip()


def without_repeats(files: list[File]) -> list[File]:
    """Files, in order of preference, with those refused whose name and pattern are those of an earlier one."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, file in enumerate(files):
        if file.structure is not None and not file.reasons:
            groups[re.sub(r"[^a-z0-9']", "", file.name.partition(", ")[0].lower())].append(place)
    files = list(files)
    for places in groups.values():
        kept: list[int] = []
        for place in places:
            twin = next((other for other in kept if _same_pattern(files[other], files[place])), None)
            if twin is None:
                kept.append(place)
            else:
                files[place] = files[place].refused(f"repeats {files[twin].record}: same name and pattern")
    return files


def _same_pattern(one: File, other: File) -> bool:
    structures = [file.structure for file in (one, other) if file.structure is not None]
    elements = [set(contents(structure)) - {"H"} for structure in structures]
    pair = Library.from_entries([entry_of(structure) for structure in structures])
    return elements[0] == elements[1] and bool(similarity(pair, 0, np.array([1]))[0] >= SAME)


def decide(files: list[File], facts: Path) -> list[File]:
    """Every file with its name, category and, where it is left out, the reasons. facts: folder of substances.csv and source_names.csv."""
    names = {row["record"]: row for row in table(facts / "source_names.csv")}
    known = substances({file.record: file for file in files}, table(facts / "substances.csv"))
    done, measured = [], []
    for file in files:
        row = names.get(file.record)
        if file.record in known:
            done.append(known[file.record])
        elif file.given["category"] == "zeolite":
            measured.append(framework(file, names))
        elif file.given["category"] == "cof":
            done.append(replace(file, name=tidy(file.given["name"])))
        else:
            done.append(_other(file, row))
    ordered = [*done, *sorted(measured, key=lambda file: file.record in names or file.title != "")]
    decided = {file.record: file for file in without_repeats(ordered)}
    return [decided[file.record] for file in files]


def _other(file: File, row: dict[str, str] | None) -> File:
    """A MOF, or what is none of the kinds above, with what source_names.csv says of it."""
    if row is None:
        return replace(file, name=file.given["name"])
    return replace(file, name=row["name"], category=row["category"] or file.category).refused(row["left_out"])


def row_of(file: File) -> tuple[str, ...]:
    """A row of the table."""
    source, cod, doi = CALLED.get(file.given["source"], file.given["source"]), _COD.search(file.text), _DOI.search(file.text)
    if source == "fxcoudert/citable-data":
        source = f"citable-data, {file.given['version'].partition(':')[2]}"
    licence = re.sub(r" \(.*", "", file.given["licence"])
    if file.title.startswith("idealised"):
        source = f"IZA database of zeolite structures, by way of {source}"
    elif cod:
        source = f"COD {cod.group(1)}, by way of {source}"
    doubts = [note for note in (file.structure.notes if file.structure else ()) if note.startswith(DOUBTFUL)]
    model = ["a model: calculated, not measured"] if "optimised" in file.given["use"] else []
    reason = "; ".join(file.reasons or (*file.notes, *model, *doubts))
    use = "no" if file.reasons else "yes"
    where = (file.given["archive"], Path(file.given["member"]).name, file.record)
    said = (file.name, file.title, file.category or file.given["category"], licence, source, doi.group(1) if doi else "")
    return (*where, *said, use, reason)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--facts", type=Path, default=HERE, help="folder of substances.csv and source_names.csv")
    parser.add_argument("--out", type=Path, default=HERE / "sources.csv")
    given = parser.parse_args()
    files = decide([file for manifest in given.manifests for file in read(manifest)], given.facts)
    with given.out.open("w", encoding="utf-8", newline="") as target:
        rows = csv.writer(target, lineterminator="\n")
        rows.writerow(COLUMNS)
        for archive, (category, licence, source) in WHOLE.items():
            rows.writerow((archive, "*", "", "", "", category, licence, source, "", "yes", ""))
        rows.writerows(row_of(file) for file in files)
    used = Counter(file.category or file.given["category"] for file in files if not file.reasons)
    print(f"{given.out}: {sum(used.values())} of {len(files)} files to use; " + ", ".join(f"{n} {kind}" for kind, n in sorted(used.items())))


if __name__ == "__main__":
    main()
