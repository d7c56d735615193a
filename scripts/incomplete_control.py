"""How often lost counter-ions are told from charges alone, and how often a complete framework is suspected.

    python scripts/incomplete_control.py ../shared/structures/mofs.tar.xz

Of a folder or archive of structures it is counted how many are told to be incomplete, and of those that are not and hold halides or
hexafluorosilicate, how many are told so once these are removed.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.charge_balance import missing_anions
from xrdmatch.diffraction.plausibility import close_pairs
from xrdmatch.diffraction.structure import Structure, iter_sources, parse
from xrdmatch.errors import StructureError

#: Halogens within this distance of carbon (angstrom) belong to a linker.
BOUND = 2.3


def judged(structure: Structure) -> tuple[float, float] | None:
    return missing_anions(structure.cell, structure.numbers, structure.fractional, structure.occupancy)


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+")
    for source in parser.parse_args().sources:
        control(source)


if __name__ == "__main__":
    main()
