"""Absolute strength of lines, density and cell content, beside pymatgen's."""

import math

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice
from pymatgen.core import Structure as Crystal

from xrdmatch.diffraction.radiation import CU_K_ALPHA
from xrdmatch.diffraction.structure import from_pymatgen
from xrdmatch.library.absolute_scale import corundum_ratio, density, formula_units
from xrdmatch.library.build import entry_of
from xrdmatch.library.reference_library import Entry, Library

#: International Tables symbol, cell and sites of ten substances, and corundum. Cells and coordinates are common knowledge, rounded.
SUBSTANCES = {
    "corundum": ("R-3c", Lattice.hexagonal(4.7602, 12.9933), ["Al", "O"], [[0, 0, 0.35216], [0.30624, 0, 0.25]], 6),
    "NaCl": ("Fm-3m", Lattice.cubic(5.6402), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]], 4),
    "Si": ("Fd-3m", Lattice.cubic(5.4309), ["Si"], [[0, 0, 0]], 8),
    "CaF2": ("Fm-3m", Lattice.cubic(5.4631), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]], 4),
    "MgO": ("Fm-3m", Lattice.cubic(4.2112), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]], 4),
    "Al": ("Fm-3m", Lattice.cubic(4.0494), ["Al"], [[0, 0, 0]], 4),
    "Cu": ("Fm-3m", Lattice.cubic(3.6149), ["Cu"], [[0, 0, 0]], 4),
    "CsCl": ("Pm-3m", Lattice.cubic(4.123), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]], 1),
    "ZnO": ("P6_3mc", Lattice.hexagonal(3.2498, 5.2066), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]], 2),
    "TiO2": ("P4_2/mnm", Lattice.tetragonal(4.5937, 2.9587), ["Ti", "O"], [[0, 0, 0], [0.3053, 0.3053, 0]], 2),
    "CeO2": ("Fm-3m", Lattice.cubic(5.4113), ["Ce", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]], 4),
}


def crystal(name):
    group, lattice, species, sites, _ = SUBSTANCES[name]
    return Crystal.from_spacegroup(group, lattice, species, sites)


def by_pymatgen(name):
    """m |F|^2 LP / (V^2 rho) of the strongest line, from pymatgen's structure factors."""
    structure = crystal(name)
    lines = XRDCalculator(CU_K_ALPHA).get_pattern(structure, scaled=False, two_theta_range=(0, 53))
    return max(lines.y) / structure.volume**2 / structure.density


@pytest.fixture(scope="module")
def library():
    return Library.from_entries([entry_of(from_pymatgen(crystal(name), name)) for name in SUBSTANCES])


@pytest.mark.parametrize("name", SUBSTANCES)
def test_strength_beside_corundum(library, name):
    expected = by_pymatgen(name) / by_pymatgen("corundum")
    assert corundum_ratio(library, library.index()[name]) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("name", SUBSTANCES)
def test_density_and_content(library, name):
    row = library.index()[name]
    assert density(library, row) == pytest.approx(float(crystal(name).density), rel=1e-3)
    assert formula_units(library, row) == pytest.approx(SUBSTANCES[name][4], rel=1e-3)


def test_the_cell_a_file_chose_makes_no_difference(library):
    """A primitive cell is stored as the conventional one, with all that is in that."""
    primitive = Library.from_entries([entry_of(from_pymatgen(crystal("NaCl").get_primitive_structure(), "primitive"))])
    row = library.index()["NaCl"]
    assert corundum_ratio(primitive, 0) == pytest.approx(corundum_ratio(library, row), rel=1e-3)
    assert formula_units(primitive, 0) == pytest.approx(4.0, rel=1e-3)


def test_the_scale_survives_the_file_and_a_part_of_the_library(library, tmp_path):
    library.subset([3, 1]).joined(library.subset([2])).save(tmp_path / "some.h5")
    read = Library.load(tmp_path / "some.h5")
    for row, old in enumerate((3, 1, 2)):
        assert corundum_ratio(read, row) == pytest.approx(corundum_ratio(library, old), rel=1e-5)
    assert read.entry(0).scale == pytest.approx(library.entry(3).scale)


def test_a_library_that_does_not_know_its_scale_says_so():
    old = Library.from_entries([Entry("old", "Na Cl", np.array([5.6, 5.6, 5.6, 90, 90, 90]), np.array([[2, 0, 0]]), np.array([1000.0]))])
    assert math.isnan(corundum_ratio(old, 0))
    assert math.isnan(density(old, 0))
