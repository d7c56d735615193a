"""VASP's POSCAR files: lattice vectors, elements with their counts, coordinates."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.elements import type_number
from xrdmatch.errors import StructureError
from xrdmatch.system.arrays import Float64Array


@dataclass(frozen=True, eq=False)
class Poscar:
    """vectors: (3, 3), one axis a row, angstrom. numbers: (n,) atomic numbers. fractional: (n, 3). notes: what was assumed."""

    vectors: Float64Array
    numbers: NDArray[np.int16]
    fractional: Float64Array
    notes: tuple[str, ...] = ()

    @property
    def cell(self) -> Float64Array:
        """(6,) a, b, c in angstrom, alpha, beta, gamma in degrees."""
        lengths = np.linalg.norm(self.vectors, axis=1)
        cosines = [self.vectors[i] @ self.vectors[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
        return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))])


def read_poscar(text: str) -> Poscar:
    """The contents of a POSCAR. Raises StructureError where a line is not what it should be, or nothing says which elements the atoms are."""
    lines = text.splitlines()
    if len(lines) < 8:
        raise StructureError("not a readable POSCAR file: expected a comment, a scale, three lattice vectors, elements, counts and coordinates")
    vectors = _vectors(lines)
    names = lines[5].split()
    old = bool(names) and all(name.isdigit() for name in names)  # VASP 4 writes no elements
    counts = _counts(lines[5] if old else lines[6])
    rest = lines[6 if old else 7 :]
    if rest and rest[0].strip()[:1].lower() == "s":  # selective dynamics
        rest = rest[1:]
    if rest and _is_number(rest[0].split()[:1]):
        raise StructureError(f"not a readable POSCAR file: expected Direct or Cartesian above the coordinates, got {rest[0].strip()!r}")
    total = sum(counts)
    cartesian = bool(rest) and rest[0].strip()[:1].lower() in ("c", "k")
    rows = [line.split() for line in rest[1 : total + 1]]
    places = np.array([_numbers(row[:3], "coordinates") for row in rows]).reshape(-1, 3)
    if len(places) < total:
        raise StructureError(f"not a readable POSCAR file: expected {total} atoms, found {len(places)}")
    if cartesian:
        scale = float(np.linalg.norm(vectors[0]) / np.linalg.norm(_numbers(lines[2].split()[:3], "a lattice vector")))
        places = (places * _scales(lines, scale)) @ np.linalg.inv(vectors)
    symbols, notes = _symbols_beside(lines[0], rows, counts) if old else (_symbols(names, counts), ())
    return Poscar(vectors, np.array([type_number(symbol) for symbol in symbols], dtype=np.int16), places, notes)


def _vectors(lines: list[str]) -> Float64Array:
    """Lattice vectors, scaled: by one factor, by one for each direction, or (below zero) to a volume."""
    vectors = np.array([_numbers(line.split()[:3], "a lattice vector") for line in lines[2:5]])
    volume = _volume(vectors)
    words = lines[1].split()
    factors = _numbers(words[:3], "one scale factor, or three") if _is_number(words[1:2]) else _numbers(words[:1], "a scale", 1)
    if len(factors) == 1:
        factors = factors if factors[0] > 0 else (-factors / volume) ** (1 / 3)
    scaled = np.asarray(vectors * factors)
    _volume(scaled)
    return scaled


def _volume(vectors: Float64Array) -> float:
    """The volume of a cell. Raises StructureError where there is none, or no axis that a crystal can have."""
    volume = abs(float(np.linalg.det(vectors))) if np.abs(vectors).max() < 1e5 else 0.0
    if not volume > 1e-9:
        raise StructureError("not a readable POSCAR file: the lattice vectors do not give a possible cell volume")
    return volume


def _scales(lines: list[str], scale: float) -> Float64Array:
    """What Cartesian coordinates are multiplied by, as the lattice vectors are: (3,)."""
    words = lines[1].split()
    return np.array(_numbers(words[:3], "a scale")) if len(words) >= 3 and _is_number(words[1:3]) else np.full(3, scale)


def _is_number(words: list[str]) -> bool:
    return bool(words) and all(re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?", word) for word in words)


def _numbers(words: list[str], what: str, count: int = 3) -> Float64Array:
    try:
        found = np.array([float(word.replace("d", "e").replace("D", "e")) for word in words])
    except ValueError:
        found = np.empty(0)
    if found.size != count or not np.isfinite(found).all():
        raise StructureError(f"not a readable POSCAR file: expected {what}, got {' '.join(words)!r}")
    return found


def _counts(line: str) -> list[int]:
    words = line.partition("!")[0].split()
    if not words or not all(word.isdigit() and int(word) < 10**7 for word in words) or not sum(map(int, words)):
        raise StructureError(f"not a readable POSCAR file: expected the number of atoms of each element, got {line.strip()!r}")
    return [int(word) for word in words]


def _symbols(names: list[str], counts: list[int]) -> list[str]:
    """One symbol an atom, of the line of elements (`Ti`, `Ti_pv`, `Ti/7f2a`)."""
    bare = [re.split(r"[_/.]", name)[0] for name in names if not name.startswith("!")]
    if len(bare) != len(counts) or not all(type_number(symbol) for symbol in bare):
        raise StructureError(f"not a readable POSCAR file: expected one element for each of {len(counts)} counts, got {' '.join(names)!r}")
    return [symbol for symbol, count in zip(bare, counts, strict=True) for _ in range(count)]


def _symbols_beside(comment: str, rows: list[list[str]], counts: list[int]) -> tuple[list[str], tuple[str, ...]]:
    """The elements of a file of VASP 4: behind the coordinates, else in the comment if that lists as many and nothing else."""
    behind = [next((word for word in row[3:] if type_number(word) and word not in ("T", "F")), "") for row in rows]
    if all(behind):
        return behind, ("took the elements after the coordinates",)
    words = re.sub(r"[,;:]", " ", comment).split()
    found = [re.fullmatch(r"([A-Z][a-z]?)(\d*)", word) for word in words]
    if len(words) == len(counts) and all(one and type_number(one[1]) for one in found):
        pairs = [(one[1], one[2]) for one in found if one]
        if all(not amount or int(amount) == count for (_, amount), count in zip(pairs, counts, strict=True)):
            return _symbols([symbol for symbol, _ in pairs], counts), (f"took the elements {comment.strip()!r} from the comment",)
    raise StructureError(
        f"names no elements, only how many atoms there are ({' '.join(map(str, counts))}), as in VASP 4: "
        f"insert a line with the {len(counts)} elements above that line"
    )
