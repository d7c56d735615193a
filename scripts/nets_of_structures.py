"""Name the net (its RCSR symbol) of every framework of a library: one JSON line a structure, appended to a file; it can be stopped and started.

    python -m pip install mofstructure==0.1.9.1     (MIT; in an environment of its own, with xrdmatch)
    python scripts/nets_of_structures.py --library models/mof-encoder/library.h5 --out nets.jsonl \
        CoRE_MOF/data/2019-ASR.tar.xz CoRE_MOF/data/2019-FSR.tar.xz CoRE_MOF/data/2014.tar.xz raspa2-cif/

One member of each family comes first, the largest family first, then all others. Ids that stand in the file already are left out: that is how a run
is resumed. Each structure is looked at in a child process, which is ended after --limit seconds, so that one structure cannot stop the rest.

    python scripts/nets_of_structures.py --out nets.jsonl --table nets.csv

makes of it the table that `xrdmatch simulate --net-table` takes.

A line: id; net (the RCSR symbol, null where the net has none); nets (how many interpenetrate); periodicity; atoms (of the primitive cell); seconds;
error.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from xrdmatch.diffraction.structure import Structure, iter_sources, parse
from xrdmatch.library.reference_library import Library

#: Where a member of a family is taken from: structures without solvent before those with it.
_SOURCES = ("2019-ASR", "2014", "cif", "2019-FSR")
#: Above this number of atoms in the primitive cell a net takes minutes.
_MOST_ATOMS = 900


def net_of(structure: Structure) -> dict[str, Any]:
    """What mofstructure says of a structure: the fields of a line but id and seconds."""
    import gemmi
    import spglib
    from ase import Atoms
    from mofstructure.mofdeconstructor import remove_unbound_guest
    from mofstructure.topology import analyse

    matrix = np.array(gemmi.UnitCell(*structure.cell).orth.mat.tolist()).T
    whole = structure.occupancy >= 0.5
    cell = (matrix, structure.fractional[whole], structure.numbers[whole].astype(int))
    lattice, positions, numbers = spglib.find_primitive(cell, symprec=0.02) or cell
    line: dict[str, Any] = {"net": None, "nets": None, "periodicity": None, "atoms": len(numbers), "error": None}
    if len(numbers) > _MOST_ATOMS:
        return line | {"error": f"more than {_MOST_ATOMS} atoms"}
    atoms = Atoms(numbers=numbers, scaled_positions=positions, cell=lattice, pbc=True)
    # Each metal a vertex: contracting clusters cuts endless rods at will, and would call MIL-53 pcu.
    found = analyse(atoms[remove_unbound_guest(atoms)], method="single_node", timeout=None)
    parts = found["components"]
    if found["status"] != "ok":
        return line | {"error": f"{found['status']}: {found.get('detail')}"[:200]}
    symbols = {part.get("topology") for part in parts}
    net = symbols.pop() if len(symbols) == 1 else None
    return line | {"net": net, "nets": len(parts), "periodicity": parts[0].get("periodicity")}


def _child(pipe: Connection, far_end: Connection) -> None:
    """Answers (name, bytes, source) with a line's fields until the pipe is closed."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    far_end.close()  # a forked child holds the parent's end too, and would never see it closed
    while True:
        try:
            name, data, source = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(net_of(parse(data, name, source)))
        except Exception as error:  # the structure is at fault, or mofstructure: both are said in the line
            pipe.send({"error": f"{type(error).__name__}: {error}"[:200]})


class Child:
    """A child process that is ended, and started anew for the next structure, where it takes too long."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._process: Any = None
        self._pipe: Any = None

    def ask(self, item: tuple[str, bytes, str]) -> dict[str, Any]:
        if self._process is None or not self._process.is_alive():
            self._pipe, other = multiprocessing.Pipe()
            self._process = multiprocessing.Process(target=_child, args=(other, self._pipe), daemon=True)
            self._process.start()
            other.close()
        self._pipe.send(item)
        try:
            if self._pipe.poll(self._limit):
                return dict(self._pipe.recv())
            reason = f"stopped after {self._limit:g} s"
        except (EOFError, OSError):
            reason = "the process ended"
        self._process.kill()
        self._process.join()
        self._pipe.close()
        return {"error": reason}


def order(library: Library) -> list[str]:
    """Ids: one of each family, the largest family first; then all others likewise."""
    rank = np.array([next((i for i, part in enumerate(_SOURCES) if source.startswith(part)), len(_SOURCES)) for source in library.source.tolist()])
    size = np.bincount(library.family)[library.family]
    rows = np.lexsort((np.arange(len(library)), rank, library.family, -size))
    first = np.r_[True, np.diff(library.family[rows]) != 0]
    ids = library.id.tolist()
    return [ids[row] for row in (*rows[first], *rows[~first])]


def finished(path: Path) -> set[str]:
    """Ids that stand in the file; a last line that was cut off is none."""
    if not path.exists():
        return set()
    ids = set()
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            ids.add(json.loads(text)["id"])
        except ValueError:
            continue
    return ids


def wanted(options: argparse.Namespace) -> Iterator[tuple[str, tuple[str, bytes, str]]]:
    """(id, (file name, bytes, source)) of what is not done yet, in order."""
    done = finished(options.out)
    ids = [identifier for identifier in order(Library.load(options.library)) if identifier not in done]
    files: dict[str, tuple[str, bytes, str]] = {}
    for name, data, source in iter_sources(options.sources):
        files.setdefault(Path(name).stem, (name, data, source))
    left = [identifier for identifier in ids if identifier in files]
    print(f"{len(done)} done, {len(left)} to do, {len(ids) - len(left)} without a structure file", file=sys.stderr, flush=True)
    for identifier in left:
        yield identifier, files.pop(identifier)


def write_table(lines: Path, table: Path) -> None:
    """The nets that were found, as CSV with the columns id and net."""
    found = [json.loads(text) for text in lines.read_text(encoding="utf-8").splitlines() if text.endswith("}")]
    nets = sorted({line["id"]: line["net"] for line in found if line.get("net")}.items())
    table.write_text("".join(f"{identifier},{net}\n" for identifier, net in [("id", "net"), *nets]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="*")
    parser.add_argument("--library", type=Path)
    parser.add_argument("--table", type=Path, metavar="CSV", help="write the nets of --out, and find none")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds a structure may take")
    options = parser.parse_args()
    if options.table is not None:
        write_table(options.out, options.table)
        return
    if options.library is None or not options.sources:
        parser.error("give --library and structure files, or --table")
    child = Child(options.limit)
    with options.out.open("a", encoding="utf-8") as file:
        for number, (identifier, item) in enumerate(wanted(options)):
            started = time.monotonic()
            line = {"id": identifier} | child.ask(item)
            file.write(json.dumps(line | {"seconds": round(time.monotonic() - started, 2)}) + "\n")
            file.flush()
            if number % 100 == 0:
                print(f"{time.strftime('%H:%M:%S')} {number}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
