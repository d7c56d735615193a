"""Make a table of the IUPAC names, out of the package mofstructure (MIT), of the linkers that given structures hold.

    python -m pip install mofstructure==0.1.9.1
    python scripts/make_linker_names.py linkers.jsonl --out linkers_iupac.csv
    export XRDMATCH_LINKER_NAMES=linkers_iupac.csv

linkers.jsonl is written by scripts/linkers_of_structures.py. A skeleton that linkers.csv knows is left out; of several names of one molecule the
one that reads most like a rule's is kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections import defaultdict
from importlib import resources, util
from pathlib import Path

from xrdmatch.library.skeletons import molecule

#: Longer names are read by nobody.
_LONGEST = 90
#: What makes a name a bad one, and how much.
_BLEMISHES = (
    (r"λ|rac-|deuter|\d+[rs]\*|ylidene|\bato\b|olato|azonia|oxonia|azanium|iridium|platin|ferr|^r,r|^rac ", 4),
    (r"cyclopenta-1|cyclohexa-1|tricyclo|bicyclo\[|diyl$|triyl$|oxidanyl|radical|^\w{1,4}$", 2),
    (r"carboxylato|carboxylate.*acid|sulfonato|phosphonato|olate.*acid|-ium|ium-|ammonio|onia", 3),
    (r"yl-?$|ylium|triyl|tetrayl$|-$|^-|^\(|radical|anion|hydroxymethyl\)", 3),
    (r"dihydro|hydroxy\)|\dh,", 1),
    (r"\(\d[rs],|^\(?[rse z]\)-|\b[ld]-", 1),
)


_PLAIN = str.maketrans({"\u2032": "'", "\u2033": "''", "\u2034": "'''", "\u2019": "'", "\u2013": "-", "\u2010": "-"})


def blemish(name: str) -> tuple[int, int]:
    return sum(weight for pattern, weight in _BLEMISHES if re.search(pattern, name)), len(name)


def tidy(name: str) -> str:
    """One spelling: straight primes and hyphens, capital indicated hydrogen, no letter case of its own."""
    text = name.strip().translate(_PLAIN)
    text = re.sub(r"(?<![a-zA-Z])(\d+)h(?=[-,])", r"\1H", text)
    return re.sub(r"^\(([ez])\)-", lambda found: f"({found[1].upper()})-", re.sub(r"^n(?=[,-]|\d?')", "N", text))


def main() -> None:
    import msgpack

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    wanted = {fragment["key"] for line in options.lines.open(encoding="utf-8") for fragment in json.loads(line).get("fragments", ())}
    own = (resources.files("xrdmatch.library") / "linkers.csv").read_text(encoding="utf-8")
    wanted -= {molecule(row["smiles"]).skeleton.key() for row in csv.DictReader(own.splitlines())}
    found = util.find_spec("mofstructure")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("mofstructure is not installed: python -m pip install mofstructure==0.1.9.1")
    table = msgpack.unpackb((Path(found.submodule_search_locations[0]) / "db" / "iupacname_smiles.msgpack").read_bytes(), strict_map_key=False)
    names: dict[tuple[str, int, int, int], list[tuple[str, str]]] = defaultdict(list)
    for smiles, name in table.items():
        if not smiles or not name or re.fullmatch(r"[A-Z]{14}(-[A-Z]{10}-[A-Z])?", smiles):
            continue
        try:
            known = molecule(smiles)
        except ValueError:
            continue
        key = known.skeleton.key()
        if key in wanted and len(name) <= _LONGEST and tidy(name).isascii():
            names[(key, sum(known.hydrogens) - known.charge, known.double, known.triple)].append((tidy(name), smiles))
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "name", "smiles"])
        writer.writerows(sorted((key[0], *min(alike, key=lambda item: blemish(item[0]))) for key, alike in names.items()))
    print(f"{len(wanted)} skeletons without a name of ours, {len({key[0] for key in names})} of them named", file=sys.stderr)


if __name__ == "__main__":
    main()
