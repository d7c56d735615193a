"""What a cell says of its lattice: conventional axes, centring, and the changes that symmetry leaves free.

Many structure files of the field give the smallest cell: three axes at 60 degrees for a face-centred cubic framework. Its conventional cell has the
indices that people write, and shows which lengths and angles are tied.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.pattern import read_only

#: How far, in angstrom, lattice points may lie from where the symmetry has them: cells are published with three digits.
TOLERANCE = 0.005
#: How near an angle has to be to one that symmetry fixes, in degrees.
ANGLE = 0.02
#: Steps, in sixths of the axes, from a lattice point to others within the cell. R is the obverse setting, r the reverse one.
CENTRINGS = {
    "F": [(0, 3, 3), (3, 0, 3)],
    "I": [(3, 3, 3)],
    "A": [(0, 3, 3)],
    "B": [(3, 0, 3)],
    "C": [(3, 3, 0)],
    "R": [(4, 2, 2)],
    "r": [(2, 4, 2)],
}


def conventional_axes(cell: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """The conventional cell (6,) of the lattice that `cell` (6,) spans, and the matrix (3, 3) that turns indices h (row) into h @ matrix.

    None where the lattice has no centring in its conventional cell, or spglib finds none: such cells stay as they were published. Lengths in
    angstrom, angles in degrees. Only the lattice counts, not the atoms; axes are those of spglib (Togo et al., Sci. Technol. Adv. Mater. Methods
    2024, 4, 2384822).
    """
    import spglib

    failures = getattr(spglib, "SpglibError", ())  # what versions from 3 on raise where earlier ones return None
    basis = _basis(np.asarray(cell, dtype=float))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of that change, at every call
        try:
            found = spglib.get_symmetry_dataset((basis, [[0.0, 0.0, 0.0]], [1]), symprec=TOLERANCE)
        except failures:
            found = None
    if found is None:
        return None
    matrix = np.linalg.inv(found.transformation_matrix)
    whole = np.rint(matrix)
    if np.abs(matrix - whole).max() > 1e-3 or round(abs(float(np.linalg.det(whole)))) < 2:
        return None
    return _cell_of(found.std_lattice), whole.astype(int)


def centring(hkl: NDArray[np.integer[Any]]) -> str:
    """What centres the cell that lines (n, 3) are indexed in: F, I, A, B, C, R (obverse), r (R reverse), or P where nothing does.

    By the reflection conditions that all of these lines keep (International Tables A, Hahn 2005, table 2.2.13.1).
    """
    return next((symbol for symbol in CENTRINGS if len(hkl) and allowed(hkl, symbol).all()), "P")


def allowed(hkl: NDArray[np.integer[Any]], symbol: str) -> NDArray[np.bool_]:
    """Which lines (..., 3) a cell with this centring can show."""
    steps = np.array(CENTRINGS.get(symbol, [(0, 0, 0)])).T
    return np.asarray((hkl @ steps % 6 == 0).all(axis=-1))


def lattice_group(cell: NDArray[np.float64], symbol: str) -> str:
    """Hermann-Mauguin symbol of the highest space group without glides and screws that a lattice allows: cell (6,) and the symbol of its centring.

    It has all lines that any structure of this lattice can show. P -1 where the axes are not those of a standard setting; the reverse setting of a
    rhombohedral lattice has none, and counts as P 6/m m m.
    """
    group, _ = tied_axes(cell)
    right = np.abs(cell[3:] - 90.0) < ANGLE
    square = group[0] == group[1]
    if right.all():
        if square and group[2] == group[0] and symbol in "PIF":
            return f"{symbol} m -3 m"
        return f"{symbol} 4/m m m" if square and symbol in "PI" else f"{symbol if symbol in 'FIABC' else 'P'} m m m"
    if square and right[:2].all() and abs(cell[5] - 120.0) < ANGLE:
        return "R -3 m:H" if symbol == "R" else "P 6/m m m"
    if right[0] and right[2]:
        return f"{symbol if symbol in 'ACI' else 'P'} 1 2/m 1"
    return "P -1"


def _basis(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Axes a, b and c (3, 3), as rows, of a cell (6,)."""
    lengths, cosines = cell[:3], np.cos(np.radians(cell[3:]))
    angles = np.array([[1.0, cosines[2], cosines[1]], [cosines[2], 1.0, cosines[0]], [cosines[1], cosines[0], 1.0]])
    return np.asarray(np.linalg.cholesky(np.outer(lengths, lengths) * angles))


def _cell_of(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cell (6,) of the rows a, b, c of a basis (3, 3)."""
    lengths = np.linalg.norm(basis, axis=1)
    cosines = (basis @ basis.T / np.outer(lengths, lengths))[[1, 0, 0], [2, 2, 1]]
    return np.concatenate([lengths, np.degrees(np.arccos(cosines.clip(-1.0, 1.0)))]).round(6)


def cell_on_axes(cell: NDArray[np.float64], axes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The cell (6,) that combinations of the axes of another one span: rows of `axes` (3, 3). Indices (n, 3) become hkl @ axes.T."""
    return _cell_of(axes @ _basis(cell))


def cell_between(start: NDArray[np.float64], stop: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """The cell (6,) whose metric tensor lies this share (0 to 1) of the way from that of one cell to that of another.

    What keeps its length in both, whatever its direction, keeps it in between: the struts of a rack that folds.
    """
    first, last = (basis @ basis.T for basis in (_basis(start), _basis(stop)))
    return _cell_of(np.asarray(np.linalg.cholesky(first + share * (last - first)), dtype=np.float64))


def strained(cells: NDArray[np.float64], strain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cells (..., 6) whose lengths change by the first three of `strain` (..., 6), relative, and whose angles by the others, in degrees."""
    return np.asarray(np.concatenate([cells[..., :3] * (1.0 + strain[..., :3]), cells[..., 3:] + strain[..., 3:]], axis=-1))


def tied_axes(cell: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which cell parameters move together when the lattice keeps its symmetry.

    Returns groups (3,), equal numbers for axes of equal length, and free (3,), True for the angles that symmetry does not fix (not 60, 90,
    109.47 or 120 degrees). Read off the cell, since most CIFs of the field are given in P1.
    """
    lengths, angles = cell[:3], cell[3:]
    group = np.arange(3)
    for later in range(1, 3):
        for earlier in range(later):
            if abs(lengths[later] - lengths[earlier]) < 1e-3 * lengths[earlier]:
                group[later] = group[earlier]
                break
    special = np.abs(angles[:, None] - np.array([60.0, 90.0, 109.471, 120.0])) < ANGLE
    return group, ~special.any(axis=1)


def lattice_directions(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Changes (p, 6) a cell may take and keep its lattice: rows of 0 and 1 over a, b, c, alpha, beta, gamma that go together. Read-only."""
    return _directions(*cell.tolist())


@lru_cache(maxsize=1024)  # a scan's candidates are asked for at every step of their adjustment
def _directions(*cell: float) -> NDArray[np.float64]:
    group, free = tied_axes(np.array(cell))
    lengths = [np.concatenate([group == axis, np.zeros(3)]) for axis in sorted(set(group.tolist()))]
    angles = [np.concatenate([np.zeros(3), np.eye(3)[axis]]) for axis in np.flatnonzero(free)]
    return read_only(lengths + angles)
