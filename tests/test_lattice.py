"""Lattices: conventional axes, centring, and what their symmetry leaves free."""

from __future__ import annotations

import cifs
import gemmi
import numpy as np
import pytest

from xrdmatch.diffraction.lattice import (
    allowed,
    cell_between,
    cell_on_axes,
    centring,
    conventional_axes,
    lattice_directions,
    lattice_group,
    tied_axes,
)
from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric
from xrdmatch.diffraction.structure import parse_cif
from xrdmatch.diffraction.structure_factors import conventional_lines, reflections
from xrdmatch.library.build import entry_of
from xrdmatch.search.indexed_lines import conventional

#: Steps to the other lattice points of a centred cell.
STEPS = {
    "F": [(0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)],
    "I": [(0.5, 0.5, 0.5)],
    "C": [(0.5, 0.5, 0)],
    "R": [(2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)],
}
#: Conventional cells, the centring of each, and the highest space group of the lattice.
CENTRED = {
    "cubic F": ((26.3, 26.3, 26.3, 90, 90, 90), "F", "F m -3 m"),
    "cubic I": ((17.1, 17.1, 17.1, 90, 90, 90), "I", "I m -3 m"),
    "tetragonal I": ((15.2, 15.2, 21.7, 90, 90, 90), "I", "I 4/m m m"),
    "rhombohedral": ((25.9, 25.9, 6.8, 90, 90, 120), "R", "R -3 m:H"),
    "orthorhombic F": ((9.8, 15.5, 28.3, 90, 90, 90), "F", "F m m m"),
    "orthorhombic I": ((6.6, 13.4, 16.7, 90, 90, 90), "I", "I m m m"),
    "orthorhombic C": ((7.7, 13.4, 25.2, 90, 90, 90), "C", "C m m m"),
    "monoclinic C": ((19.7, 15.4, 6.8, 90, 104.9, 90), "C", "C 1 2/m 1"),
}
PLAIN = {
    "cubic": ((26.3, 26.3, 26.3, 90, 90, 90), "P m -3 m"),
    "tetragonal": ((15.2, 15.2, 21.7, 90, 90, 90), "P 4/m m m"),
    "hexagonal": ((25.9, 25.9, 6.8, 90, 90, 120), "P 6/m m m"),
    "orthorhombic": ((6.6, 13.4, 16.7, 90, 90, 90), "P m m m"),
    "monoclinic": ((19.7, 15.4, 6.8, 90, 104.9, 90), "P 1 2/m 1"),
    "triclinic": ((12.8, 12.9, 16.0, 67.4, 67.2, 63.1), "P -1"),
}


def basis_of(cell):
    return np.array(gemmi.UnitCell(*cell).orth.mat.tolist()).T


def cell_of(basis):
    lengths = np.linalg.norm(basis, axis=1)
    pairs = ((1, 2), (0, 2), (0, 1))
    return np.array([*lengths, *(np.degrees(np.arccos(basis[i] @ basis[j] / lengths[i] / lengths[j])) for i, j in pairs)])


def smallest(cell, symbol):
    """A primitive cell (rows a, b, c in the axes of `cell`): the shortest lattice vectors that span the lattice."""
    steps = STEPS[symbol]
    points = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=float)
    points = np.concatenate([points, *(points + step for step in steps)])
    points = points[np.argsort(np.linalg.norm(points @ basis_of(cell), axis=1), kind="stable")]
    points = points[(np.abs(points) > 1e-9).any(axis=1)]
    share = 1.0 / (1 + len(steps))
    for i in range(len(points)):
        for j in range(i):
            for k in range(j):
                if np.linalg.det(points[[k, j, i]]) == pytest.approx(share):
                    return points[[k, j, i]]
    raise AssertionError("no primitive cell")


def some_indices():
    return np.random.default_rng(0).integers(-6, 7, (400, 3))


@pytest.mark.parametrize("kind", CENTRED)
@pytest.mark.parametrize("digits", [6, 3])
def test_the_smallest_cell_of_a_centred_lattice_becomes_its_conventional_one(kind, digits):
    cell, symbol, group = CENTRED[kind]
    primitive = cell_of(smallest(cell, symbol) @ basis_of(cell)).round(digits)
    found, matrix = conventional_axes(primitive)
    assert sorted(found[:3]) == pytest.approx(sorted(cell[:3]), abs=0.01)
    assert sorted(found[3:]) == pytest.approx(sorted(cell[3:]), abs=0.05)
    assert abs(round(float(np.linalg.det(matrix)))) == 1 + len(STEPS[symbol])
    hkl = some_indices()
    moved = hkl @ matrix
    assert inverse_d_squared(moved, reciprocal_metric(found)) == pytest.approx(inverse_d_squared(hkl, reciprocal_metric(primitive)), rel=2e-3)
    assert centring(moved) == symbol
    assert lattice_group(found, symbol) == group
    assert gemmi.find_spacegroup_by_name(group).xhm() == group


@pytest.mark.parametrize("kind", PLAIN)
def test_other_cells_stay_as_they_are(kind):
    cell, group = PLAIN[kind]
    assert conventional_axes(cell) is None
    assert lattice_group(np.array(cell, dtype=float), "P") == group
    lines = reflections(parse_cif(cifs.cif(["Zn1 Zn 0.1 0.2 0.3", "O1 O 0.4 0.15 0.27"], cell), "one"), d_min=3.0)
    same, still = conventional_lines(np.array(cell), lines)
    assert same.tolist() == list(cell)
    assert still is lines


def test_the_smallest_cell_of_a_tetragonal_lattice_shows_more_free_changes_than_that_has():
    cell, symbol, _ = CENTRED["tetragonal I"]
    primitive = cell_of(smallest(cell, symbol) @ basis_of(cell))
    found, _ = conventional_axes(primitive)
    assert len(lattice_directions(primitive)) > len(lattice_directions(found)) == 2


@pytest.mark.parametrize("kind", ["cubic F", "tetragonal I", "rhombohedral", "monoclinic C"])
def test_an_entry_is_the_same_from_either_cell(kind):
    """Two atoms in the smallest cell, and all of their copies in the conventional one."""
    cell, symbol, _ = CENTRED[kind]
    basis = smallest(cell, symbol)
    atoms = {"Zn": np.array([0.11, 0.22, 0.34]), "O": np.array([0.3, 0.05, 0.2])}
    inside = [f"{name}1 {name} " + " ".join(f"{x:.9f}" for x in place @ np.linalg.inv(basis)) for name, place in atoms.items()]
    copies = [
        f"{name}{i} {name} " + " ".join(f"{x:.9f}" for x in place + step)
        for name, place in atoms.items()
        for i, step in enumerate([(0, 0, 0), *STEPS[symbol]])
    ]
    small = entry_of(parse_cif(cifs.cif(inside, tuple(cell_of(basis @ basis_of(cell)).round(9))), "small"))
    large = entry_of(parse_cif(cifs.cif(copies, cell), "large"))
    assert sorted(small.cell) == pytest.approx(sorted(large.cell), abs=1e-4)
    ways = [np.sqrt(inverse_d_squared(entry.hkl, reciprocal_metric(entry.cell))) for entry in (small, large)]
    assert ways[0] == pytest.approx(ways[1], rel=1e-5)
    assert small.intensity / small.intensity.max() == pytest.approx(large.intensity / large.intensity.max(), rel=1e-3, abs=1e-5)
    assert centring(small.hkl) == centring(large.hkl) == symbol


@pytest.mark.parametrize("kind", CENTRED)
def test_indices_people_write_keep_the_centring(kind):
    cell, symbol, _ = CENTRED[kind]
    hkl = some_indices()
    hkl = hkl[allowed(hkl, symbol)].astype(np.int16)
    written = conventional(hkl, np.array(cell, dtype=float), symbol)
    assert allowed(written, symbol).all()
    assert inverse_d_squared(written, reciprocal_metric(cell)) == pytest.approx(inverse_d_squared(hkl, reciprocal_metric(cell)))


def test_a_rhombohedral_line_is_012_and_not_102():
    cell = np.array([4.99, 4.99, 17.06, 90.0, 90.0, 120.0])
    lines = np.array([[0, 1, 2], [1, 0, 4], [-1, 0, 2], [0, 0, 6], [1, 1, 0]], dtype=np.int16)
    assert conventional(lines, cell, centring(lines)).tolist() == [[0, 1, 2], [1, 0, 4], [0, 1, 2], [0, 0, 6], [1, 1, 0]]
    assert conventional(lines, cell)[0].tolist() == [1, 0, 2]  # without centring, the same d as 012


def test_centring_of_no_lines_and_of_the_reverse_setting():
    assert centring(np.empty((0, 3), np.int16)) == "P"
    assert centring(np.array([[1, 0, 2], [0, 1, 4], [1, 1, 3]])) == "r"
    assert lattice_group(np.array([5.0, 5.0, 17.0, 90.0, 90.0, 120.0]), "r") == "P 6/m m m"
    assert lattice_group(np.array([5.0, 6.0, 7.0, 90.0, 90.0, 90.0]), "R") == "P m m m"  # lines that are so by chance


def test_what_spglib_cannot_do_stays(monkeypatch):
    import spglib

    def fails(*given, **options):
        raise failure("no symmetry")

    failure = getattr(spglib, "SpglibError", None)
    for answer in [lambda *given, **options: None, *([fails] if failure else [])]:
        monkeypatch.setattr(spglib, "get_symmetry_dataset", answer)
        assert conventional_axes((18.6, 18.6, 18.6, 60, 60, 60)) is None


@pytest.mark.parametrize(
    ("cell", "group", "free"),
    [
        ((10, 10, 10, 90, 90, 90), [0, 0, 0], [False] * 3),
        ((10, 10, 12, 90, 90, 120), [0, 0, 2], [False] * 3),
        ((10, 12, 10, 90, 90, 90), [0, 1, 0], [False] * 3),
        ((10, 11, 12, 90, 98, 90), [0, 1, 2], [False, True, False]),
        ((10, 10.005, 12, 88, 98, 91), [0, 0, 2], [True] * 3),
        ((62, 62, 62, 60, 60, 60), [0, 0, 0], [False] * 3),
        ((32, 32, 32, 109.471, 109.471, 109.471), [0, 0, 0], [False] * 3),
    ],
)
def test_tied_axes(cell, group, free):
    found, loose = tied_axes(np.array(cell, dtype=float))
    assert (found.tolist(), loose.tolist()) == (group, free)


def test_struts_of_a_rack_keep_their_lengths_between_two_cells() -> None:
    """A rhombus of 10 angstrom folds from 80 to 50 degrees: its diagonals are the axes a and b."""

    def cell(half_angle: float) -> np.ndarray:
        return np.array([20.0 * np.cos(np.radians(half_angle)), 20.0 * np.sin(np.radians(half_angle)), 6.8, 90.0, 90.0, 90.0])

    for share in (0.0, 0.3, 0.7, 1.0):
        between = cell_between(cell(40.0), cell(25.0), share)
        assert np.hypot(between[0] / 2, between[1] / 2) == pytest.approx(10.0, abs=1e-4)
    assert np.allclose(cell_between(cell(40.0), cell(25.0), 1.0), cell(25.0), atol=1e-5)


def test_other_axes_of_one_lattice_leave_d_as_it_is() -> None:
    cell, hkl, axes = (
        np.array([19.7, 7.8, 6.8, 90.0, 104.9, 90.0]),
        np.array([[1, 1, 0], [3, 1, -2], [0, 2, 1]]),
        np.array([[1, 0, 1], [0, 0, 1], [0, 1, 0]]),
    )
    moved = cell_on_axes(cell, axes)
    before, after = inverse_d_squared(hkl, reciprocal_metric(cell)), inverse_d_squared(hkl @ axes.T, reciprocal_metric(moved))
    assert np.allclose(before, after, rtol=1e-6)
    assert moved[2] == pytest.approx(7.8)
