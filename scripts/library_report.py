"""Print what docs/library-families.md states about a library: families by size, families of several names, names in several families.

python scripts/library_report.py full_named.h5
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict

import numpy as np

from xrdmatch.library.common_names import stem
from xrdmatch.library.composition import composition, compound, metals_of, undecided
from xrdmatch.library.reference_library import Library
from xrdmatch.report.phrases import sentence


def sizes(library: Library) -> None:
    count = np.bincount(library.family)
    codes = [len({stem(library.id[row])[:6] for row in rows}) for rows in members(library)]
    print(f"{len(library)} entries, {len(count)} families; largest {count.max()}")
    for title, numbers in (("entries", count), ("refcodes", np.array(codes))):
        cells = [f"{title} a family"]
        for low, high in ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 10**6)):
            cells.append(f"{low}{'' if low == high else f'-{high}' if high < 10**6 else '+'}: {int(((numbers >= low) & (numbers <= high)).sum())}")
        print("  ".join(cells))


def members(library: Library) -> list[np.ndarray]:  # type: ignore[type-arg]
    order = np.argsort(library.family, kind="stable")
    return np.split(order, np.cumsum(np.bincount(library.family))[:-1])


def several_names(library: Library) -> None:
    """Families whose members go by different names, by what differs."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for family, rows in enumerate(members(library)):
        by_name = defaultdict(list)
        for row in rows.tolist():
            if library.name[row]:
                by_name[str(library.name[row])].append(row)
        if len(by_name) < 2:
            continue
        metals = {name: {metals_of(str(library.formula[row])) for row in own} for name, own in by_name.items()}
        carbon = {name: min(composition(str(library.formula[row])).get("C", 0.0) for row in own) for name, own in by_name.items()}
        spread = max(carbon.values()) / max(min(carbon.values()), 1e-9)
        shared = any(metals[a] & metals[b] for a in by_name for b in by_name if a < b)
        kind = "different metal only" if not shared and spread < 1.15 else "same metal, like linker" if spread < 1.15 else "different linker"
        kinds[kind].append(f"{library.family_name[family]}: " + ", ".join(f"{name} C/M {carbon[name]:.1f}" for name in by_name))
    sizes = {kind: len(rows) for kind, rows in kinds.items()}
    print(f"\nfamilies of several names: {sizes}")
    for kind in sorted(kinds):
        print(f"\n## {kind}")
        print("\n".join(kinds[kind]))


def several_compositions(library: Library) -> None:
    """Families whose compounds differ in carbon a metal atom, of the same metals or not, named or not."""
    found = 0
    for rows in members(library):
        least: dict[str, float] = {}
        for row in rows.tolist():
            code = compound(str(library.id[row]))
            least[code] = min(least.get(code, np.inf), composition(str(library.formula[row])).get("C", 0.0))
        found += max(least.values()) > 1.15 * max(min(least.values()), 0.1)
    print(f"\nfamilies with compounds that differ by more than 15 % in carbon a metal atom: {found}")


def split_names(library: Library) -> None:
    """Names whose entries lie in several families."""
    found = defaultdict(Counter)
    for name, family in zip(library.name.tolist(), library.family.tolist(), strict=True):
        if name:
            found[name][family] += 1
    several = {name: count for name, count in found.items() if len(count) > 1}
    print(f"\n{len(found)} names, {len(several)} of them in several families")
    for name, count in sorted(several.items(), key=lambda item: -len(item[1]))[:60]:
        print(f"{name}: {sum(count.values())} entries in {len(count)} families: {sorted(count.values(), reverse=True)}")


def sentences(library: Library) -> None:
    found = [undecided(library, library.members(family)) for family in range(len(library.family_name))]
    texts = [sentence(one) if one else "" for one in found]
    kinds = Counter(text.rsplit("; ", 1)[-1].split(" ")[0] if text else "" for text in texts)
    print(f"\nsentences: {kinds}")
    for family in np.flatnonzero([bool(text) for text in texts])[::40][:30]:
        print(f"{library.family_name[family]}: {texts[family]}")


def main() -> None:
    library = Library.load(sys.argv[1])
    named = int((library.name != "").sum())
    without = int(((library.name != "") & (library.doi == "")).sum())
    print(f"{named} entries named, {int((library.doi != '').sum())} with a DOI, {without} named without a DOI")
    for part in (sizes, several_names, several_compositions, split_names, sentences):
        part(library)


if __name__ == "__main__":
    main()
