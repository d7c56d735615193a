"""List the entries of a library whose framework lost counter-ions or pillars, and write them to xrdmatch/library/incomplete.csv.

    python scripts/find_incomplete.py models/mof-encoder/library.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz
    python scripts/find_incomplete.py models/mof-encoder/library.h5 --control ../shared/structures/mofs.tar.xz

An entry is judged by the charges in the file of its id, from the archive that the library names as its source. With --control, a folder or archive
of structures, it is measured how many are told to be incomplete, and of those that are not and hold halides or hexafluorosilicate, how many are told
so once these are removed.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.charge_balance import missing_anions
from xrdmatch.diffraction.plausibility import close_pairs
from xrdmatch.diffraction.structure import Structure, iter_sources, parse
from xrdmatch.errors import StructureError
from xrdmatch.library.reference_library import Library

TABLE = Path(__file__).parents[1] / "xrdmatch" / "library" / "incomplete.csv"
#: Halogens within this distance of carbon (angstrom) belong to a linker.
BOUND = 2.3


def judged(structure: Structure) -> tuple[float, float] | None:
    return missing_anions(structure.cell, structure.numbers, structure.fractional, structure.occupancy)


def suspects(library: Library, archives: list[Path]) -> list[tuple[str, str, float, float]]:
    """(id, source, charge of the anions, charge of the metals) of the entries that cannot be complete, by id."""
    source_of = dict(zip(library.id.tolist(), library.source.tolist(), strict=True))
    found = []
    for name, data, source in iter_sources(archives):
        stem = Path(name).stem
        if source_of.get(stem) != source:
            continue
        try:
            charges = judged(parse(data, name, source))
        except StructureError as error:
            print("left out:", error)
            continue
        if charges:
            found.append((stem, source, *charges))
    return sorted(found)


def halides(structure: Structure) -> NDArray[np.bool_]:
    """(n,) which atoms are halogens not bound to carbon, or the silicon of SiF6."""
    halogen = np.isin(structure.numbers, (9, 17, 35, 53))
    pairs, _ = close_pairs(structure.cell, structure.fractional, min(BOUND, 0.45 * float(structure.cell[:3].min())))
    kinds = structure.numbers[pairs]
    bound = np.zeros(halogen.size, dtype=bool)
    bound[pairs[(kinds == 6)[:, ::-1]]] = True
    fluorine = np.bincount(pairs[(kinds == 9)[:, ::-1]], minlength=halogen.size)
    return (halogen & ~bound) | ((structure.numbers == 14) & (fluorine >= 5))


def control(source: Path) -> None:
    """Print how many structures are told to be incomplete, and how many more once their halides are removed."""
    counts: Counter[str] = Counter()
    for name, data, origin in iter_sources([source]):
        try:
            whole = parse(data, name, origin)
        except StructureError:
            continue
        told = judged(whole) is not None
        metal = any(gemmi.Element(int(number)).is_metal for number in set(whole.numbers.tolist()))
        counts["structures with metal and carbon"] += metal and 6 in whole.numbers
        counts["told to be incomplete"] += told
        keep = ~halides(whole)
        if told or not metal or 6 not in whole.numbers or keep.all() or (whole.occupancy < 0.99).any():
            continue
        left = Structure(whole.id, whole.formula, whole.cell, whole.numbers[keep], whole.fractional[keep], whole.occupancy[keep])
        counts["others without their halides"] += 1
        counts["of these told to be incomplete"] += judged(left) is not None
    print(f"{source}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("library", type=Path)
    parser.add_argument("archives", type=Path, nargs="*")
    parser.add_argument("--control", type=Path, action="append", default=[])
    given = parser.parse_args()
    for source in given.control:
        control(source)
    if not given.archives:
        return
    library = Library.load(given.library)
    found = suspects(library, given.archives)
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("id", "source", "anions", "metals"))
        rows.writerows((name, source, f"{anions:g}", f"{metals:g}") for name, source, anions, metals in found)
    index = library.index()
    named = sorted({str(library.name[index[name]]) for name, *_ in found} - {""})
    print(f"{len(found)} of {len(library)} entries; named ones: {', '.join(named)}")


if __name__ == "__main__":
    main()
