"""Minerals out of the PyPI package larixite as CIF files in one archive, with a table of their names: both are what `xrdmatch simulate` takes.

    pip download --no-deps larixite
    python scripts/larixite_minerals.py larixite-*.whl minerals
    xrdmatch simulate minerals.zip -o minerals.h5 --no-names --name-table minerals.csv

The package holds a part of the American Mineralogist Crystal Structure Database as SQLite (amcsd_cif1.db): cell, space group with its operations, and
atoms; coordinates and occupancies are integers of 1 / 4,000,000 in base 64. An entry is called amcsd- and its number there. The same wheel gives the
same archive, byte for byte.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

#: The database in the wheel, the unit of its numbers, and what stands for a text that it does not have.
DATABASE, UNIT, MISSING = "amcsd_cif1.db", 4e6, "<missing>"
#: Values that stand for ? and for . among coordinates.
MARKS = {2.0: "?", 3.0: "."}
QUERY = f"""
    SELECT cif.id, minerals.name, cif.formula, hm_notation, symmetry_xyz, a, b, c, alpha, beta, gamma,
        atoms_sites, atoms_x, atoms_y, atoms_z, atoms_occupancy
    FROM cif JOIN spacegroups ON spacegroups.id = spacegroup_id LEFT JOIN minerals ON minerals.id = mineral_id
    WHERE atoms_sites NOT IN ('0', 'None', '{MISSING}') ORDER BY cif.id
"""
CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def numbers(packed: str) -> list[str]:
    """Coordinates or occupancies as a CIF file writes them."""
    values = np.frombuffer(base64.b64decode(packed), dtype="<i4") / UNIT
    return [MARKS.get(value, f"{value:.6f}") for value in values.tolist()]


def quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def cif(row: tuple[str, ...]) -> str:
    """The CIF text of one structure: a row of QUERY."""
    _, _, formula, symbol, operations, *cell, sites, x, y, z, occupancy = row
    columns = [json.loads(sites), numbers(x), numbers(y), numbers(z)]
    tags = ["_atom_site_label", *(f"_atom_site_fract_{axis}" for axis in "xyz")]
    if occupancy not in ("0", MISSING):
        columns.append(numbers(occupancy))
        tags.append("_atom_site_occupancy")
    lines = ["data_amcsd", f"_chemical_formula_sum {quoted(formula)}", f"_symmetry_space_group_name_H-M {quoted(symbol)}"]
    lines += [f"_cell_{tag} {value}" for tag, value in zip(CELL, cell, strict=True)]
    lines += ["loop_", "_space_group_symop_operation_xyz", *(quoted(operation) for operation in json.loads(operations))]
    lines += ["loop_", *tags, *(" ".join([quoted(label), *values]) for label, *values in zip(*columns, strict=True)), ""]
    return "\n".join(lines)


def structures(database: Path) -> Iterator[tuple[str, str, str]]:
    """Id, name (empty where it has none) and CIF text of each structure."""
    with sqlite3.connect(database) as connection:
        for row in connection.execute(QUERY):
            yield f"amcsd-{row[0]:06d}", "" if row[1] in (None, MISSING) else row[1], cif(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="larixite-*.whl, or its amcsd_cif1.db")
    parser.add_argument("target", type=Path, help="target.zip and target.csv are written")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = given.wheel
        if zipfile.is_zipfile(database):
            with zipfile.ZipFile(database) as wheel:
                database = Path(wheel.extract(f"larixite/{DATABASE}", folder))
        count = 0
        with (
            zipfile.ZipFile(given.target.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive,
            given.target.with_suffix(".csv").open("w", newline="", encoding="utf-8") as table,
        ):
            names = csv.writer(table)
            names.writerow(("refcode", "name", "doi"))
            for identifier, name, text in structures(database):
                archive.writestr(zipfile.ZipInfo(f"{identifier}.cif"), text, zipfile.ZIP_DEFLATED)
                if name:
                    names.writerow((identifier, name, ""))
                count += 1
    print(f"{given.target.with_suffix('.zip')}: {count} structures")


if __name__ == "__main__":
    main()
