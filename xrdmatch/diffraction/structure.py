"""Crystal structures out of CIF files, POSCAR files and pymatgen objects.

gemmi parses CIF. Where it refuses a file, the few tags that a powder pattern needs are salvaged line by line and parsed again. Every liberty taken
is listed in `Structure.notes`, and so is what makes the result doubtful.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.cif_block import Tags
from xrdmatch.diffraction.cif_salvage import DROPPED, salvage
from xrdmatch.diffraction.cif_structure import contents_of
from xrdmatch.diffraction.elements import element_number, hill_formula
from xrdmatch.diffraction.pattern import read_only
from xrdmatch.diffraction.poscar import read_poscar
from xrdmatch.diffraction.structure_files import MAX_BYTES, TOO_LARGE, content
from xrdmatch.diffraction.structure_files import iter_sources as iter_sources  # the other half of the door to structures
from xrdmatch.errors import StructureError

#: What gemmi raises on a file it cannot read.
_UNREADABLE = (ValueError, RuntimeError, IndexError)


@dataclass(frozen=True, eq=False)
class Structure:
    """Everything in one unit cell, as a powder pattern needs it.

    cell: (6,) a, b, c in angstrom, alpha, beta, gamma in degrees. numbers: (n,) atomic numbers. fractional: (n, 3) coordinates of every atom of
    the cell (symmetry expanded). occupancy: (n,). notes: what had to be repaired or assumed.
    """

    id: str
    formula: str
    cell: NDArray[np.float64]
    numbers: NDArray[np.int16]
    fractional: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    notes: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell", read_only(self.cell))
        object.__setattr__(self, "numbers", read_only(self.numbers, np.int16))
        object.__setattr__(self, "fractional", read_only(self.fractional).reshape(-1, 3))
        object.__setattr__(self, "occupancy", read_only(self.occupancy))
        check_cell(self.cell, self.id)
        n = self.numbers.size
        if n == 0:
            raise StructureError(f"{self.id}: expected atoms with coordinates, found none")
        if self.fractional.shape != (n, 3) or self.occupancy.shape != (n,):
            raise ValueError("numbers, fractional and occupancy must have one row an atom")
        if not np.isfinite(self.fractional).all():
            raise StructureError(f"{self.id}: a coordinate is not a number")


def check_cell(cell: NDArray[np.float64], name: str) -> None:
    """Raise StructureError unless `cell` (6,) spans a volume a crystal can have."""
    if cell.shape != (6,) or not np.isfinite(cell).all() or (cell[:3] < 1.0).any() or (cell[3:] <= 5.0).any() or (cell[3:] >= 175.0).any():
        raise StructureError(f"{name}: not a usable unit cell: {cell.tolist()}")
    if not gemmi.UnitCell(*cell).volume >= 1.0:  # also where it is not a number
        raise StructureError(f"{name}: the cell angles {cell[3:].tolist()} are impossible: the cell has no volume")


def parse_cif(text: str, name: str, source: str = "") -> Structure:
    """Structure out of CIF text, the first where it holds several. Raises StructureError with the reason where it cannot be read."""
    _check_text(text, name)
    notes: tuple[str, ...] = ()
    try:
        try:
            document = gemmi.cif.read_string(text)
        except _UNREADABLE as error:
            document, notes = _salvaged(text, error)
        blocks = [tags for tags in map(Tags, document) if tags.has_atoms()]
        if not blocks:
            raise StructureError("expected atom coordinates (_atom_site_fract_x, or _atom_site_Cartn_x), found none")
        if len(blocks) > 1:
            notes += (f"took {blocks[0].name}, the first of the file's {len(blocks)} structures",)
        cell = blocks[0].cell()
        check_cell(cell, name)
        found = contents_of(blocks[0], cell)
        formula = hill_formula(found.numbers, found.occupancy)
        return Structure(name, formula, cell, found.numbers, found.fractional, found.occupancy, (*notes, *found.notes), source)
    except StructureError as error:
        raise StructureError(f"{name}: {str(error).removeprefix(name + ': ')}") from error


def _salvaged(text: str, error: Exception) -> tuple[Any, tuple[str, ...]]:
    """What can be read of a file that gemmi refuses with `error`. Raises StructureError where that is nothing."""
    repaired = salvage(text)
    try:
        document = gemmi.cif.read_string(repaired)
    except _UNREADABLE:
        raise StructureError(f"not a readable crystal structure: {_short(error)}") from error
    if not any(tags.has_atoms() for tags in map(Tags, document)):
        raise StructureError(f"not a readable crystal structure: {_short(error)}") from error
    dropped = repaired.count(DROPPED)
    lost = (f"left out {dropped} malformed rows of the atom list",) if dropped else ()
    return document, (f"salvaged from a file with errors ({_short(error)})", *lost)


def _check_text(text: str, name: str) -> None:
    start = text[:4096].lstrip().lower()
    if not start:
        raise StructureError(f"{name}: expected a crystal structure, but the file is empty")
    if "\0" in start:
        raise StructureError(f"{name}: expected a crystal structure as text, but the file is binary")
    if start.startswith(("<!doctype", "<html", "<?xml")):
        raise StructureError(f"{name}: expected a crystal structure, but this is a web page or XML: download the CIF file itself")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def from_pymatgen(structure: Any, name: str = "structure", notes: tuple[str, ...] = (), source: str = "") -> Structure:
    """Structure out of a `pymatgen.core.Structure` (disorder and partial occupancy kept)."""
    rows = [(element_number(specie.symbol), site.frac_coords, float(amount)) for site in structure for specie, amount in site.species.items()]
    unknown = sum(row[0] == 0 for row in rows)
    if unknown:
        notes = (*notes, f"left out {unknown} atoms of unknown type")
    rows = [row for row in rows if row[0] > 0]
    numbers = np.array([row[0] for row in rows], dtype=np.int16)
    occupancy = np.array([row[2] for row in rows])
    fractional = np.array([row[1] for row in rows]).reshape(-1, 3)
    return Structure(name, hill_formula(numbers, occupancy), np.array(structure.lattice.parameters), numbers, fractional, occupancy, notes, source)


def parse_poscar(text: str, name: str, source: str = "") -> Structure:
    """Structure out of the text of a VASP POSCAR file. Raises StructureError where it is none, or does not say which elements its atoms are."""
    try:
        found = read_poscar(text)
    except StructureError as error:
        raise StructureError(f"{name}: {error}") from error
    occupancy = np.ones(found.numbers.size)
    return Structure(name, hill_formula(found.numbers, occupancy), found.cell, found.numbers, found.fractional, occupancy, found.notes, source)


def parse(data: bytes, name: str, source: str = "") -> Structure:
    """Structure out of the bytes of a file called `name`; its id is the stem of the name."""
    path = PurePosixPath(name)
    if len(data) > MAX_BYTES:
        raise StructureError(f"{name}: {TOO_LARGE}")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = data.decode(encoding, errors="replace")
    try:
        if path.suffix.lower() in (".vasp", ".poscar") or path.name.upper() in ("POSCAR", "CONTCAR"):
            return parse_poscar(text, path.stem, source)
        return parse_cif(text, path.stem, source)
    except StructureError as error:
        raise StructureError(f"{name}: {str(error).removeprefix(path.stem + ': ')}") from error


def load(path: str | Path) -> Structure:
    """Structure out of one CIF or POSCAR file."""
    path = Path(path)
    return parse(content(path), path.name, path.name)
