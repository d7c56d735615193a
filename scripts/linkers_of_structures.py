"""Cut every structure of some sources at its metals: one JSON line a structure, appended to a file, so that it can be stopped and started.

    python scripts/linkers_of_structures.py --out linkers.jsonl \
        CoRE_MOF/data/2019-ASR.tar.xz CoRE_MOF/data/2019-FSR.tar.xz CoRE_MOF/data/2014.tar.xz raspa2-cif/

Ids that stand in the file already are left out; of two files of one id the first counts, as in `xrdmatch simulate`. A line: id; formula (of the
structure); metals (symbol: number in the cell); fragments (the fields of xrdmatch.library.fragments.Fragment, without what is empty); left_out
(atoms of disorder); or id and error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from xrdmatch.diffraction.structure import iter_sources, parse
from xrdmatch.errors import StructureError
from xrdmatch.library.fragments import parts_of


def line_of(name: str, data: bytes, source: str) -> dict[str, Any]:
    try:
        structure = parse(data, name, source)
        parts = parts_of(structure)
    except (StructureError, ValueError) as error:
        return {"error": str(error)[:200]}
    fragments = [{key: value for key, value in vars(fragment).items() if value} for fragment in parts.fragments]
    for fragment in fragments:
        if "groups" in fragment:
            fragment["groups"] = dict(fragment["groups"])
    return {"formula": structure.formula, "metals": parts.metals, "fragments": fragments, "left_out": parts.left_out}


def finished(path: Path) -> set[str]:
    """Ids that stand in the file; a last line that was cut off is none."""
    ids = set()
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            ids.add(json.loads(text)["id"])
        except ValueError:
            continue
    return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    done = finished(options.out)
    print(f"{len(done)} done", file=sys.stderr, flush=True)
    with options.out.open("a", encoding="utf-8") as file:
        for name, data, source in iter_sources(options.sources):
            identifier = Path(name).stem
            if identifier in done:
                continue
            done.add(identifier)
            file.write(json.dumps({"id": identifier} | line_of(name, data, source)) + "\n")
            if len(done) % 500 == 0:
                file.flush()
                print(f"{time.strftime('%H:%M:%S')} {len(done)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
