"""Name every entry of a library by what it is made of, and say what share has which kind of name.

    python scripts/name_entries.py --library core.h5 --linkers linkers.jsonl --nets nets.jsonl --out entries.jsonl --write named.h5

linkers.jsonl and nets.jsonl are written by scripts/linkers_of_structures.py and scripts/nets_of_structures.py; the second may be unfinished. A net
found for one member of a family holds for the others, those of the same linker first. A line of the output: id; name (what people say, where they
do, else what it is made of); structure_name; kind ("people", "linkers", "groups", "inorganic", "formula"); metals; linkers [{"formula", "name"}];
guests; bound_solvent; net; formula_fits; charge_left; framework and composition, as xrdmatch.library.levels has them. Entries without a structure
file, such as strained copies, take the line of the one they come from.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from xrdmatch.library.breathing import MARK
from xrdmatch.library.common_names import name_of
from xrdmatch.library.framework_names import FrameworkName, framework_name, of_one_compound, parts_from_line, with_net
from xrdmatch.library.levels import Chemistry, levels
from xrdmatch.library.reference_library import Library
from xrdmatch.library.text_column import TextColumn

#: How sizes of groups are counted: label, from, to.
SIZES = (("1", 1, 1), ("2", 2, 2), ("3-5", 3, 5), ("6-20", 6, 20), ("more", 21, 10**9))


def lines(path: Path | None) -> dict[str, dict[str, Any]]:
    """Lines by id, without those that say an error."""
    if path is None:
        return {}
    found = (json.loads(text) for text in path.read_text(encoding="utf-8").splitlines() if text.endswith("}"))
    return {line["id"]: line for line in found if not line.get("error")}


def nets_by_family(library: Library, names: dict[str, FrameworkName], nets: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The net of each entry: its own; else that of the members of its family with the same first linker, where these agree; else of all members."""
    family = dict(zip(library.id.tolist(), library.family.tolist(), strict=True))
    own = {identifier: line["net"] or "" for identifier, line in nets.items() if identifier in names}
    found: dict[tuple[int, str], set[str]] = defaultdict(set)
    for identifier, net in own.items():
        for kind in ("", _first_linker(names[identifier])):
            found[(family[identifier], kind)] |= {net} if net else set()
    told = {}
    for identifier, name in names.items():
        near = [found.get((family[identifier], kind), set()) for kind in (_first_linker(name), "")]
        shared = next((nets for nets in near if nets), set())
        told[identifier] = own.get(identifier) or (next(iter(shared)) if len(shared) == 1 else "")
    return told


def named(library: Library, told: list[dict[str, Any]]) -> Library:
    """The library with title, linkers and net of its entries."""
    linkers = ["; ".join(linker["name"] for linker in line["linkers"]) for line in told]
    texts = {"title": [line["name"] for line in told], "linkers": linkers, "net": [line["net"] for line in told]}
    return replace(library, **{key: TextColumn.of(values) for key, values in texts.items()})


def _first_linker(name: FrameworkName) -> str:
    return name.linkers[0].name if name.linkers else "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--linkers", type=Path, required=True)
    parser.add_argument("--nets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--write", type=Path, metavar="LIBRARY.h5", help="the same library with title, linkers and net of every entry")
    options = parser.parse_args()
    library = Library.load(options.library)
    ids = set(library.id.tolist())
    cut = {identifier: line for identifier, line in lines(options.linkers).items() if identifier in ids}
    names = of_one_compound({identifier: framework_name(parts_from_line(line), line["formula"]) for identifier, line in cut.items()})
    nets = nets_by_family(library, names, lines(options.nets))
    kinds: Counter[str] = Counter()
    told: list[dict[str, Any]] = []
    entries: list[Chemistry] = []
    fields = (library.id, library.formula, library.name, library.family)
    for identifier, formula, own, family in zip(*(field.tolist() for field in fields), strict=True):
        source = identifier.split(MARK)[0]
        found = names.get(source) or FrameworkName(formula.replace(" ", ""), "formula", ())
        found = with_net(found, nets.get(source, ""))
        people = own or (name_of(source) or ("",))[0]
        kind = "people" if people else found.kind
        kinds[kind] += 1
        kinds["with a net"] += bool(found.net)
        kinds["all linkers named"] += found.kind in ("linkers", "inorganic")
        line = {"id": identifier, "name": people or found.text, "structure_name": found.text, "kind": kind, "metals": found.metals}
        line |= {"linkers": [{"formula": linker.formula, "name": linker.name} for linker in found.linkers], "guests": found.guests}
        line |= {"bound_solvent": found.bound_solvent, "net": found.net, "formula_fits": found.formula_fits, "charge_left": found.charge_left}
        told.append(line)
        linkers = tuple(linker.name for linker in found.linkers)
        entries.append(Chemistry(identifier, formula, family, people, tuple(found.metals), linkers, found.net, found.text))
    grouped = levels(entries)
    with options.out.open("w", encoding="utf-8") as file:
        for line, framework, composition in zip(told, grouped.framework.tolist(), grouped.composition.tolist(), strict=True):
            line |= {"framework": grouped.framework_name[framework], "composition": grouped.composition_name[composition]}
            file.write(json.dumps(line) + "\n")
    if options.write is not None:
        named(library, told).save(options.write)
    for what, groups in (("forms", library.family), ("frameworks", grouped.framework), ("compositions", grouped.composition)):
        sizes = np.bincount(np.unique(groups, return_inverse=True)[1])
        counts = ", ".join(f"{label}: {int(((sizes >= low) & (sizes <= high)).sum())}" for label, low, high in SIZES)
        print(f"{what}: {len(sizes)}; of entries {counts}; largest {sizes.max()}", file=sys.stderr)
    for kind, count in kinds.most_common():
        print(f"{kind}: {count} of {len(library)}, {count / len(library):.1%}", file=sys.stderr)


if __name__ == "__main__":
    main()
