"""Say what share of a library's entries has which kind of name, and how large its forms, frameworks and compositions are.

python scripts/name_report.py models/mof-encoder/library.h5
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np

from xrdmatch.library.reference_library import LINKER_SEPARATOR, Library

#: How sizes of groups are counted: label, from, to.
SIZES = (("1", 1, 1), ("2", 2, 2), ("3-5", 3, 5), ("6-20", 6, 20), ("more", 21, 10**9))
#: Kinds of titles all of whose linkers have a name; one without any has no linker to be named.
ALL_NAMED = ("linkers", "inorganic", "given")


def kinds_of_names(library: Library) -> Counter[str]:
    """How many entries have which kind of name, a net, and a name for every linker."""
    found: Counter[str] = Counter()
    columns = (library.name, library.title_kind, library.net, library.category)
    for name, kind, net, category in zip(*(column.tolist() for column in columns), strict=True):
        found["name: " + ("people say" if name else kind or "id alone")] += 1
        found["net known"] += bool(net)
        found["all linkers named"] += kind in ALL_NAMED
        found[f"category: {category or 'none'}"] += 1
    return found


def main() -> None:
    library = Library.load(sys.argv[1])
    for what, count in sorted(kinds_of_names(library).items()):
        print(f"{what}: {count} of {len(library)}, {count / len(library):.1%}")
    linkers = Counter(linker for text in library.linkers.tolist() for linker in text.split(LINKER_SEPARATOR) if linker)
    print(f"different linkers: {len(linkers)}")
    for level in ("family", "framework", "composition"):
        sizes = np.bincount(library.level(level)[0])
        counts = ", ".join(f"{label}: {int(((sizes >= low) & (sizes <= high)).sum())}" for label, low, high in SIZES)
        print(f"{level}: {len(sizes)} groups; of entries {counts}; largest {sizes.max()}")


if __name__ == "__main__":
    main()
