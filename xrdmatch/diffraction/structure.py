"""Crystal structures out of CIF files, POSCAR files and pymatgen objects.

gemmi parses CIF. Where it refuses a file, the few tags that a powder pattern needs are salvaged line by line and parsed again; what is refused
even then goes to pymatgen. Every liberty taken is listed in `Structure.notes`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import gemmi
import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.pattern import read_only
from xrdmatch.diffraction.structure_files import MAX_BYTES, TOO_LARGE, content
from xrdmatch.diffraction.structure_files import iter_sources as iter_sources  # the other half of the door to structures
from xrdmatch.errors import StructureError

#: Californium, the last element with tabulated scattering factors; NO3, Cn or Es in an atom label are no elements.
_HEAVIEST = 98
_SYMBOL = re.compile(r"[A-Za-z]{1,2}")
_ATOM_TAG = "_atom_site_fract_x"
_SYMOP_TAG = re.compile(r"(equiv_pos_as|operation)_xyz$", re.IGNORECASE)
_VALUE = re.compile(r"""'[^']*'(?=\s|$)|"[^"]*"(?=\s|$)|\S+""")
#: Marks an atom row that could not be salvaged.
_DROPPED = "# left out: "
#: What gemmi and this module raise on a file they cannot read.
_UNREADABLE = (ValueError, RuntimeError, IndexError, StructureError)
_NEEDED_TAG = re.compile(r"_(cell_(length|angle)|symmetry_|space_group_(name|it_number|symop)|chemical_(name|formula)_)", re.IGNORECASE)


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
        raise StructureError(f"{name}: the cell angles {cell[3:].tolist()} do not close to a volume")


def element_symbol(text: str) -> str | None:
    """`Zn` for `zn` or `ZN`; None where that is no element's symbol."""
    element = gemmi.Element(text.capitalize())
    return str(element.name) if element.atomic_number > 0 and element.name == text.capitalize() else None


def element_number(symbol: str) -> int:
    """Atomic number of an atom type as CIF files write it (`Zn`, `ZN2+`, `O1w`, `D`, `Wat`); 0 where it is no element."""
    bare = symbol.strip().strip("'\"")
    found = _SYMBOL.match(bare)
    if not found or bare[:2].lower() == "du":  # Du is a dummy atom
        return 0
    letters = found.group().capitalize()
    if bare[:3].lower() == "wat":
        return 8
    for name in (letters, letters[0]):
        number = int(gemmi.Element(name).atomic_number)
        if 0 < number <= _HEAVIEST:
            return number
    return 0


def metals(formula: str) -> list[str]:
    """Metal symbols of a formula such as `C6 H2 Cu O4`, in its order."""
    symbols = ["".join(c for c in part if c.isalpha()) for part in formula.split()]
    return [symbol for symbol in symbols if gemmi.Element(symbol).is_metal]


def hill_formula(numbers: ArrayLike, occupancy: ArrayLike) -> str:
    """Composition in Hill order, divided by the largest common factor: `C18 H6 Cu3 O12`."""
    elements, rows = np.unique(np.asarray(numbers, dtype=int), return_inverse=True)
    sums = np.bincount(rows, np.asarray(occupancy, dtype=float), elements.size)
    amounts = {gemmi.Element(int(number)).name: float(amount) for number, amount in zip(elements, sums, strict=True)}
    whole = {symbol: round(amount) for symbol, amount in amounts.items()}
    exact = all(abs(amounts[symbol] - count) < 0.05 and count for symbol, count in whole.items())
    factor = math.gcd(*whole.values()) if exact and whole else 1
    first = [symbol for symbol in ("C", "H") if symbol in amounts and "C" in amounts]
    order = first + sorted(symbol for symbol in amounts if symbol not in first)
    parts = []
    for symbol in order:
        amount = whole[symbol] // factor if exact else amounts[symbol]
        parts.append(symbol if amount == 1 else f"{symbol}{amount:g}" if exact else f"{symbol}{round(amount, 2):g}")
    return " ".join(parts)


def parse_cif(text: str, name: str, source: str = "") -> Structure:
    """Structure out of CIF text. Raises StructureError with the reason where neither gemmi nor pymatgen can read it."""
    _check_text(text, name)
    try:
        return _from_block(_main_block(gemmi.cif.read_string(text)), name, (), source)
    except _UNREADABLE as error:
        first = _short(error)
    try:
        repaired = salvage(text)
        notes = [f"salvaged from a file with errors ({first})"]
        if dropped := repaired.count(_DROPPED):
            notes.append(f"left out {dropped} malformed rows of the atom list")
        return _from_block(gemmi.cif.read_string(repaired).sole_block(), name, tuple(notes), source)
    except _UNREADABLE:
        pass
    try:
        return _from_pymatgen_text(text, name, first, source)
    except Exception as error:  # pymatgen raises whatever its layers raise; the file is at fault in every case
        raise StructureError(f"{name}: not a readable crystal structure: {first.removeprefix(name + ': ')}") from error


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


def _main_block(document: Any) -> Any:
    for block in document:
        if block.find_values("_atom_site_fract_x"):
            return block
    raise ValueError("expected atom coordinates (_atom_site_fract_x), found none")


def _from_block(block: Any, name: str, notes: tuple[str, ...], source: str) -> Structure:
    small = gemmi.make_small_structure_from_block(block)
    cell = np.array(small.cell.parameters)
    check_cell(cell, name)
    if not small.cell.is_crystal():
        raise StructureError(f"{name}: expected a unit cell (_cell_length_a and so on), found none")
    remarks = [*notes, *_complete_symmetry(small)]
    plain = _plain_columns(block) if not small.symops[1:] and (small.spacegroup is None or small.spacegroup.number == 1) else None
    if plain is None:
        sites = small.get_all_unit_cell_sites()
        symbols = [site.type_symbol or site.label for site in sites]
        fractional = np.array([site.fract.tolist() for site in sites]).reshape(-1, 3)
        occupancy = np.array([site.occ for site in sites])
    else:
        symbols, fractional, occupancy = plain
    known = {symbol: element_number(symbol) for symbol in set(symbols)}
    numbers = np.array([known[symbol] for symbol in symbols], dtype=np.int16)
    unknown = sorted(symbol for symbol, number in known.items() if not number)
    if unknown:
        remarks.append(f"left out atoms of unknown type: {', '.join(unknown[:5])}")
    keep = (numbers > 0) & np.isfinite(fractional).all(axis=1)
    if not keep[numbers > 0].all():
        remarks.append(f"left out {int((~keep[numbers > 0]).sum())} atoms without coordinates")
    empty = occupancy == 0.0
    if empty[keep].any() and not empty[keep].all():
        remarks.append(f"left out {int(empty[keep].sum())} atoms of zero occupancy")
        keep &= ~empty
    odd = ~((occupancy > 0) & (occupancy <= 1.0 + 1e-6))
    if odd[keep].any():
        remarks.append(f"took {int(odd[keep].sum())} impossible occupancies as 1")
        occupancy = np.where(odd, 1.0, occupancy)
    numbers, fractional, occupancy = numbers[keep], fractional[keep], occupancy[keep]
    once = _listed_once(numbers, fractional, occupancy)
    if not once.all():
        remarks.append(f"left out {int((~once).sum())} atoms that are listed twice")
        numbers, fractional, occupancy = numbers[once], fractional[once], occupancy[once]
    return Structure(name, hill_formula(numbers, occupancy), cell, numbers, fractional, occupancy, tuple(remarks), source)


def _listed_once(numbers: NDArray[np.int16], fractional: NDArray[np.float64], occupancy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """False for the second of two atoms of one element in one place (lattice translations included) that cannot both be there."""
    place = np.rint(fractional % 1.0 * 2000.0).astype(np.int64) % 2000
    code = ((place[:, 0] * 2000 + place[:, 1]) * 2000 + place[:, 2]) * 128 + numbers
    _, first, group = np.unique(code, return_index=True, return_inverse=True)
    once = np.ones(numbers.size, dtype=bool)
    if first.size < numbers.size:
        once = np.bincount(group, occupancy)[group] <= 1.01
        once[first] = True
    return once


def _complete_symmetry(small: Any) -> list[str]:
    """Fill in what gemmi leaves open of the symmetry of `small`; returns what was assumed."""
    if small.spacegroup is not None or small.symops:
        return []
    if small.spacegroup_number > 1 and not small.spacegroup_hm:
        small.spacegroup = gemmi.find_spacegroup_by_number(small.spacegroup_number)
        small.setup_cell_images()
        return [f"took the standard setting of space group {small.spacegroup_number}, since only its number is given"]
    given = small.spacegroup_hm or small.spacegroup_hall
    return [f"took P 1, since the space group {given!r} is not known"] if given else []


def _plain_columns(block: Any) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]] | None:
    """Symbols, coordinates (n, 3) and occupancies (n,) straight from the loop of a P1 file; None where it needs gemmi's own reading."""
    loop = block.find_loop("_atom_site_fract_x").get_loop()
    if loop is None:
        return None
    tags = [tag.lower() for tag in loop.tags]
    values, width = loop.values, len(tags)
    kind = "_atom_site_type_symbol" if "_atom_site_type_symbol" in tags else "_atom_site_label"
    if kind not in tags:
        return None
    try:
        columns = [np.array(values[tags.index(f"_atom_site_fract_{axis}") :: width], dtype=float) for axis in "xyz"]
        share = values[tags.index("_atom_site_occupancy") :: width] if "_atom_site_occupancy" in tags else None
        occupancy = np.ones(columns[0].size) if share is None else np.array(share, dtype=float)
    except ValueError:  # standard uncertainties in brackets, or dots
        return None
    symbols = values[tags.index(kind) :: width]
    return None if "?" in symbols or "." in symbols else (symbols, np.stack(columns, axis=1), occupancy)


def salvage(text: str) -> str:
    """A minimal CIF with the cell, the symmetry and the atoms of `text`, whatever is broken in the rest of it.

    Values with unquoted spaces are quoted, quotes that are never closed are closed, rows that run over several lines are joined, and loops other
    than atoms and symmetry are dropped. An atom row that stays incomplete is kept as a comment.
    """
    out = ["data_salvaged"]
    tags: list[str] = []  # of the loop that is being read
    row: list[str] = []  # values of a row that is not yet complete
    in_header = atoms_read = False
    for raw in text.splitlines():
        line = raw.strip()
        word, _, rest = line.partition(" ")
        word = word.lower()
        if word.startswith("data_") and atoms_read:
            break
        if word == "loop_" or word.startswith("data_"):
            _drop(row, out)
            tags, in_header = rest.split(), word == "loop_"
        elif line.startswith("_"):
            _drop(row, out)
            tag, *value = line.split(None, 1)
            if in_header and not value:
                tags.append(tag)
            else:
                in_header, tags = False, []
                if _NEEDED_TAG.match(tag) and value:
                    out.append(f"{tag} {_quoted(value[0])}")
        elif tags and line and not line.startswith("#"):
            if in_header:
                in_header, tags = False, _begin_loop(tags, out)
                atoms_read = atoms_read or _ATOM_TAG in map(str.lower, tags)
            if tags:
                _loop_row(line, tags, row, out)
    _drop(row, out)
    return "\n".join(out) + "\n"


def _begin_loop(tags: list[str], out: list[str]) -> list[str]:
    """The tags of a loop that is needed, written to `out`; none for another loop."""
    if not (_ATOM_TAG in map(str.lower, tags) or any(_SYMOP_TAG.search(tag) for tag in tags)):
        return []
    out.extend(["loop_", *tags])
    return tags


def _loop_row(line: str, tags: list[str], row: list[str], out: list[str]) -> None:
    """Add the values of `line` to the unfinished `row`, and write the row to `out` once it is complete."""
    if any(_SYMOP_TAG.search(tag) for tag in tags):
        if found := re.search(r"['\"]?\s*([-+xyzXYZ0-9/., ]+?)\s*['\"]?$", line):
            out.append(" ".join([*["1"] * (len(tags) - 1), f"'{found.group(1)}'"]))
        return
    values = _VALUE.findall(line)
    if len(row) + len(values) > len(tags):
        _drop(row, out)
    row += values
    if len(row) == len(tags):
        out.append(" ".join(row))
        row.clear()
    elif len(row) > len(tags):
        _drop(row, out)


def _drop(row: list[str], out: list[str]) -> None:
    if row:
        out.append(_DROPPED + " ".join(row))
        row.clear()


def _quoted(value: str) -> str:
    bare = value.rstrip(",").strip("'\"").replace("'", "")
    return f"'{bare}'" if " " in bare or not bare else bare


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


def _from_pymatgen_text(text: str, name: str, reason: str, source: str) -> Structure:
    import warnings

    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = CifParser.from_str(text, occupancy_tolerance=100.0).parse_structures(primitive=False)[0]
    return from_pymatgen(parsed, name, (f"read by pymatgen after gemmi refused it ({reason})",), source)


def parse_poscar(text: str, name: str, source: str = "") -> Structure:
    """Structure out of the text of a VASP POSCAR file."""
    from pymatgen.io.vasp import Poscar

    try:
        return from_pymatgen(Poscar.from_str(text).structure, name, source=source)
    except Exception as error:  # as in parse_cif
        raise StructureError(f"{name}: not a readable POSCAR file: {_short(error)}") from error


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
