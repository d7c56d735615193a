"""Crystal structures out of CIF files, POSCAR files, folders, archives and pymatgen objects.

gemmi parses CIF. Where it refuses a file, the few tags that a powder pattern needs are salvaged line by line and parsed again; what is refused
even then goes to pymatgen. Every liberty taken is listed in `Structure.notes`.
"""

from __future__ import annotations

import math
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import StructureError
from xrdmatch.pattern import read_only

#: File name endings that hold structures, and archives of them.
STRUCTURE_SUFFIXES = (".cif", ".vasp", ".poscar")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")

#: A structure file larger than this is not one (bytes).
MAX_BYTES = 64 * 2**20

_SYMBOL = re.compile(r"[A-Za-z]{1,2}")
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
    if gemmi.UnitCell(*cell).volume < 1.0:
        raise StructureError(f"{name}: the cell angles {cell[3:].tolist()} do not close to a volume")


def element_number(symbol: str) -> int:
    """Atomic number of an atom type as CIF files write it (`Zn`, `ZN2+`, `O1w`, `D`); 0 where it is no element."""
    found = _SYMBOL.match(symbol.strip())
    if not found:
        return 0
    letters = found.group().capitalize()
    for name in (letters, letters[0]):
        number = int(gemmi.Element(name).atomic_number)
        if number:
            return number
    return 0


def hill_formula(numbers: Iterable[int], occupancy: Iterable[float]) -> str:
    """Composition in Hill order, divided by the largest common factor: `C18 H6 Cu3 O12`."""
    amounts: Counter[str] = Counter()
    for number, share in zip(numbers, occupancy, strict=True):
        amounts[gemmi.Element(int(number)).name] += share  # type: ignore[assignment]
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
    try:
        return _from_block(_main_block(gemmi.cif.read_string(text), name), name, (), source)
    except (ValueError, RuntimeError, IndexError, UnicodeDecodeError) as error:
        first = _short(error)
    except StructureError as error:
        first = str(error)
    try:
        return _from_block(gemmi.cif.read_string(salvage(text)).sole_block(), name, (f"salvaged from a file with errors ({first})",), source)
    except (ValueError, RuntimeError, IndexError, UnicodeDecodeError, StructureError):
        pass
    try:
        return _from_pymatgen_text(text, name, first, source)
    except Exception as error:  # pymatgen raises whatever its layers raise; the file is at fault in every case
        raise StructureError(f"{name}: not a readable crystal structure: {first}") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _main_block(document: Any, name: str) -> Any:
    blocks = [block for block in document if block.find_loop("_atom_site_fract_x")]
    if not blocks:
        raise StructureError(f"{name}: expected atom coordinates (_atom_site_fract_x), found none")
    return blocks[0]


def _from_block(block: Any, name: str, notes: tuple[str, ...], source: str) -> Structure:
    small = gemmi.make_small_structure_from_block(block)
    cell = np.array(small.cell.parameters)
    check_cell(cell, name)
    remarks = list(notes)
    plain = _plain_columns(block) if small.spacegroup_hm.replace(" ", "") in ("P1", "") and len(small.symops) <= 1 else None
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
    odd = ~((occupancy > 0) & (occupancy <= 1.0 + 1e-6))
    if odd[keep].any():
        remarks.append(f"took {int(odd[keep].sum())} impossible occupancies as 1")
        occupancy = np.where(odd, 1.0, occupancy)
    numbers, fractional, occupancy = numbers[keep], fractional[keep], occupancy[keep]
    return Structure(name, hill_formula(numbers, occupancy), cell, numbers, fractional, occupancy, tuple(remarks), source)


def _plain_columns(block: Any) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]] | None:
    """Symbols, coordinates (n, 3) and occupancies (n,) straight from the loop of a P1 file; None where it needs gemmi's own reading."""
    loop = block.find_loop("_atom_site_fract_x").get_loop()
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
    return values[tags.index(kind) :: width], np.stack(columns, axis=1), occupancy


def salvage(text: str) -> str:
    """A minimal CIF with the cell, the symmetry and the atoms of `text`, whatever is broken in the rest of it.

    Values with unquoted spaces are quoted, quotes that are never closed are closed, and loops other than atoms and symmetry are dropped.
    """
    out = ["data_salvaged"]
    tags: list[str] = []
    in_header = False
    for raw in text.splitlines():
        line = raw.strip()
        lower = line.lower()
        if not line or line.startswith("#"):
            continue
        if lower == "loop_" or lower.startswith(("data_", "loop_ ")):
            tags, in_header = [], lower.startswith("loop_")
        elif line.startswith("_"):
            tag, _, value = line.partition(" ") if " " in line else line.partition("\t")
            if in_header and not value.strip():
                tags.append(tag)
            else:
                in_header, tags = False, []
                if _NEEDED_TAG.match(tag) and value.strip():
                    out.append(f"{tag} {_quoted(value.strip())}")
        elif tags:
            if in_header:
                in_header = False
                tags = _begin_loop(tags, out)
            if tags:
                out.append(_loop_row(line, tags))
    return "\n".join(row for row in out if row) + "\n"


def _begin_loop(tags: list[str], out: list[str]) -> list[str]:
    names = [tag.lower() for tag in tags]
    atoms = "_atom_site_fract_x" in names
    symmetry = any(name.endswith(("equiv_pos_as_xyz", "operation_xyz")) for name in names)
    if not (atoms or symmetry):
        return []
    out.extend(["loop_", *tags])
    return tags


def _loop_row(line: str, tags: list[str]) -> str:
    """One row of a loop, or nothing where it has not one value a tag."""
    if any(tag.lower().endswith("_xyz") for tag in tags):
        found = re.search(r"['\"]?\s*([-+xyzXYZ0-9/., ]+?)\s*['\"]?$", line)
        leading = ["1"] * (len(tags) - 1)
        return " ".join([*leading, f"'{found.group(1)}'"]) if found else ""
    parts = line.split()
    return " ".join(parts) if len(parts) == len(tags) else ""


def _quoted(value: str) -> str:
    bare = value.rstrip(",").strip("'\"").replace("'", "")
    return f"'{bare}'" if " " in bare or not bare else bare


def from_pymatgen(structure: Any, name: str = "structure", notes: tuple[str, ...] = (), source: str = "") -> Structure:
    """Structure out of a `pymatgen.core.Structure` (disorder and partial occupancy kept)."""
    rows = [
        (int(getattr(specie, "Z", 0)), site.frac_coords, float(amount)) for site in structure for specie, amount in site.species.items() if specie
    ]
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
        raise StructureError(f"{name}: {len(data) >> 20} MB is no structure file (limit {MAX_BYTES >> 20} MB)")
    text = data.decode("utf-8", errors="replace")
    if path.suffix.lower() in (".vasp", ".poscar") or path.name.upper() in ("POSCAR", "CONTCAR"):
        return parse_poscar(text, path.stem, source)
    return parse_cif(text, path.stem, source)


def load(path: str | Path) -> Structure:
    """Structure out of one CIF or POSCAR file."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StructureError(f"{path}: cannot be opened: {error.strerror}") from error
    return parse(data, path.name, str(path.name))


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def _is_structure_name(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in STRUCTURE_SUFFIXES or path.name.upper() in ("POSCAR", "CONTCAR")


def iter_sources(paths: Iterable[str | Path]) -> Iterator[tuple[str, bytes, str]]:
    """(file name, content, source) of each structure file in files, folders (recursively) and archives, in a stable order.

    Raises StructureError where a path does not exist or an archive is damaged.
    """
    for given in paths:
        path = Path(given)
        if path.is_dir():
            for item in sorted(path.rglob("*")):
                if item.is_file() and _is_structure_name(item.name):
                    yield item.name, item.read_bytes(), path.name
        elif not path.exists():
            raise StructureError(f"{path}: no such file or folder")
        elif is_archive(path):
            yield from _iter_archive(path)
        else:
            yield path.name, path.read_bytes(), path.name


def _iter_archive(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """Members are read into memory one by one and never written, so that no member name can leave a folder."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for info in sorted(archive.infolist(), key=lambda item: item.filename):
                    if _is_structure_name(info.filename) and info.file_size <= MAX_BYTES:
                        yield PurePosixPath(info.filename).name, archive.read(info), path.name
        else:
            with tarfile.open(path, "r|*") as archive:
                for member in archive:
                    if member.isfile() and _is_structure_name(member.name) and member.size <= MAX_BYTES:
                        handle = archive.extractfile(member)
                        if handle is not None:
                            yield PurePosixPath(member.name).name, handle.read(), path.name
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise StructureError(f"{path}: expected a .zip or .tar archive of structure files, but it is damaged: {_short(error)}") from error
