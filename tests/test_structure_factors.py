"""Reflections and patterns, against pymatgen, against a naive twin, and against themselves."""

import importlib
import warnings

import cifs
import coremof
import naive
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.peak_shapes import render
from xrdmatch.diffraction.radiation import CU_K_ALPHA, d_spacing, two_theta
from xrdmatch.diffraction.structure import parse, parse_cif
from xrdmatch.diffraction.structure_factors import D_MAX, D_MIN, Reflections, reflections, scattering_factor, simulate_pattern
from xrdmatch.errors import StructureError

GRID = Grid(5.0, 50.0, 0.02)
CELLS = {
    "triclinic": (7.1, 8.3, 9.7, 81, 96, 112),
    "monoclinic": (9.1, 6.3, 11.2, 90, 104, 90),
    "hexagonal": (10.2, 10.2, 6.9, 90, 90, 120),
    "cubic": (9.5, 9.5, 9.5, 90, 90, 90),
    "long axis first": (24.0, 5.1, 6.2, 90, 90, 90),
    "very oblique": (9.0, 9.0, 9.0, 40, 40, 40),
}


def by_pymatgen(structure, wavelength=CU_K_ALPHA):
    """(angles, heights) out of pymatgen's XRDCalculator, of a pymatgen structure."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pattern = XRDCalculator(wavelength=wavelength).get_pattern(structure, two_theta_range=(2.5, 52))
    return np.array(pattern.x), np.array(pattern.y)


def to_pymatgen(structure):
    from pymatgen.core import Lattice, Structure

    sites = {}
    for number, place, share in zip(structure.numbers, structure.fractional, structure.occupancy, strict=True):
        sites.setdefault(tuple(place), {})[int(number)] = float(share)
    from pymatgen.core import Element

    species = [{Element.from_Z(number): share for number, share in site.items()} for site in sites.values()]
    return Structure(Lattice.from_parameters(*structure.cell), species, list(sites))


def profile_cosine(structure, reference):
    ours = render(*reflections(structure).lines(), GRID)
    theirs = render(*by_pymatgen(reference), GRID)
    return ours @ theirs / np.sqrt((ours @ ours) * (theirs @ theirs))


@pytest.fixture(scope="module")
def real_mofs():
    found = coremof.some(24)
    if not found:
        pytest.skip("needs the PyPI package core-mof: set XRDMATCH_CORE_MOF to its wheel or folder, or XRDMATCH_DOWNLOAD=1 to fetch it")
    return found


def test_real_mofs_as_pymatgen_sees_them(real_mofs):
    from pymatgen.io.cif import CifParser

    assert len(real_mofs) >= 20
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cosines = {
            name: profile_cosine(parse(data, name), CifParser.from_str(data.decode()).parse_structures(primitive=False)[0])
            for name, data in real_mofs
        }
    assert min(cosines.values()) >= 0.9999, cosines


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_golden_lines_of_each_crystal_system(cell):
    # The scattering factors come from other tables there, hence the 3 %; the naive twin below is compared at 1e-4.
    structure = cifs.random_structure(np.random.default_rng(3), cell, 20)
    angles, heights = reflections(structure).lines()
    theirs, expected = by_pymatgen(to_pymatgen(structure))
    scale = heights[angles < 50].sum() / expected[theirs < 50].sum()
    for angle, height in zip(theirs, expected, strict=True):
        if height > 0.5 and angle < two_theta(D_MIN, CU_K_ALPHA):
            ours, same = np.abs(angles - angle) < 0.01, np.abs(theirs - angle) < 0.01  # close lines are joined differently
            np.testing.assert_allclose(heights[ours].sum(), expected[same].sum() * scale, rtol=0.03, atol=0.05)
    assert profile_cosine(structure, to_pymatgen(structure)) > 0.99999


def test_disordered_cell():
    rng = np.random.default_rng(4)
    structure = cifs.random_structure(rng, CELLS["triclinic"], 20, occupancy=rng.uniform(0.1, 1.0, 20))
    assert profile_cosine(structure, to_pymatgen(structure)) > 0.99999
    columns = (*cifs.COLUMNS, "occupancy")
    mixed = parse_cif(cifs.cif(["Zn1 Zn 0 0 0 0.6", "Co1 Co 0 0 0 0.4", "O1 O 0.3 0.3 0.3 0.5"], columns=columns), "mixed")
    assert profile_cosine(mixed, to_pymatgen(mixed)) > 0.99999


def test_more_than_two_thousand_atoms():
    structure = cifs.random_structure(np.random.default_rng(5), (19.0, 23.0, 21.0, 90, 97, 90), 2200)
    assert profile_cosine(structure, to_pymatgen(structure)) > 0.9999


@pytest.mark.parametrize("cell", [CELLS["triclinic"], CELLS["cubic"], CELLS["very oblique"]])
def test_a_naive_twin_agrees(cell):
    structure = cifs.random_structure(np.random.default_rng(6), cell, 6, occupancy=np.linspace(0.4, 1, 6))
    lines = reflections(structure, 2.2, 8.0)
    twin = naive.powder_lines(structure, 2.2, 8.0)
    assert np.round(lines.d, 4).tolist() == sorted(twin, reverse=True)
    np.testing.assert_allclose(lines.intensity, [twin[d] for d in np.round(lines.d, 4)], rtol=1e-4, atol=1e-3 * lines.intensity.max())


@pytest.mark.parametrize("times", [(2, 1, 1), (1, 2, 3), (2, 2, 2)])
@pytest.mark.parametrize("cell", [CELLS["triclinic"], CELLS["hexagonal"]])
def test_a_supercell_gives_the_same_pattern(cell, times):
    structure = cifs.random_structure(np.random.default_rng(7), cell, 12)
    one = simulate_pattern(structure, GRID).intensity
    other = simulate_pattern(cifs.supercell(structure, times), GRID).intensity
    np.testing.assert_allclose(other, one, atol=0.05)


def test_origin_and_order_of_the_atoms_do_not_matter():
    rng = np.random.default_rng(8)
    structure = cifs.random_structure(rng, CELLS["triclinic"], 15)
    order = rng.permutation(15)
    moved = type(structure)(
        "m", "X", structure.cell, structure.numbers[order], structure.fractional[order] + [0.3, -5.2, 7.7], structure.occupancy[order]
    )
    np.testing.assert_allclose(
        reflections(moved).intensity, reflections(structure).intensity, rtol=1e-3, atol=1e-4 * reflections(structure).intensity.max()
    )


def test_many_atoms_are_summed_in_blocks(monkeypatch):
    structure = cifs.random_structure(np.random.default_rng(9), CELLS["triclinic"], 150)
    whole = reflections(structure).intensity
    monkeypatch.setattr(importlib.import_module("xrdmatch.diffraction.structure_factors"), "_BLOCK", 1)
    np.testing.assert_allclose(reflections(structure).intensity, whole, rtol=1e-3, atol=1e-5 * whole.max())


def test_lines_stay_within_their_limits_and_fall():
    structure = cifs.random_structure(np.random.default_rng(10), (40.0, 12.0, 14.0, 90, 90, 90), 10)
    for low, high in ((D_MIN, D_MAX), (2.0, 13.0)):
        d = reflections(structure, low, high).d
        assert low <= d.min() <= d.max() <= high
        assert (np.diff(d) < 0).all()
    assert reflections(structure, 2.0, 41.0).d[0] == pytest.approx(40.0)
    assert reflections(structure, 2.0, 39.0).d[0] == pytest.approx(20.0)


def test_equivalent_reflections_are_one_line():
    lines = reflections(cifs.cubic_frame(), 3.0)
    sums = (lines.hkl.astype(int) ** 2).sum(axis=1)
    assert len(set(sums.tolist())) == len(sums)
    np.testing.assert_allclose(lines.d, 12.8 / np.sqrt(sums))
    single = parse_cif(cifs.cif(["C1 C 0 0 0"]), "one")
    lines = reflections(single, 4.0)
    multiplicity = lines.intensity / scattering_factor(6, (0.25 / lines.d**2).astype(np.float32)) ** 2
    np.testing.assert_allclose(multiplicity, [6, 12, 8, 6, 24, 24], rtol=1e-5)


def test_cell_rounding_does_not_split_lines():
    exact, rounded = (parse_cif(cifs.cif(["C1 C 0.1 0.2 0.3"], (20, 20, c, 90, 90, 90)), "x") for c in (20, 20.0001))
    assert reflections(rounded, 3.0).d.size == reflections(exact, 3.0).d.size


def test_scattering_factors_start_at_the_charge():
    for number in (1, 6, 30, 92, 98):
        assert scattering_factor(number, np.zeros(1, dtype=np.float32))[0] == pytest.approx(number, rel=0.01)
    assert scattering_factor(100, np.zeros(1, dtype=np.float32))[0] == pytest.approx(100, rel=0.01)


def test_nothing_to_reflect_and_too_much():
    small = parse_cif(cifs.cif(["C1 C 0 0 0"], (1.2, 1.2, 1.2, 90, 90, 90)), "small")
    lines = reflections(small)
    assert (lines.d.size, lines.hkl.shape, lines.intensity.size) == (0, (0, 3), 0)
    assert simulate_pattern(small).intensity.max() == 0
    huge = parse_cif(cifs.cif(["C1 C 0 0 0"], (900, 900, 900, 90, 90, 90)), "huge")
    with pytest.raises(StructureError, match="huge: a cell of"):
        reflections(huge)


def test_wavelengths_and_lorentz_polarisation():
    lines = reflections(cifs.cubic_frame())
    for wavelength in (0.7107, CU_K_ALPHA, 2.29):
        angles, heights = lines.lines(wavelength)
        np.testing.assert_allclose(d_spacing(angles, wavelength), lines.d[: angles.size])
        assert heights.max() == pytest.approx(100)
    angles, _ = lines.lines(6.0)  # beyond 2 d of most lines
    assert 0 < angles.size < lines.d.size
    empty = Reflections(np.empty((0, 3), np.int16), np.empty(0), np.empty(0))
    assert empty.lines()[0].size == 0


def test_pattern_of_a_structure():
    pattern = simulate_pattern(cifs.cubic_frame("MOF", "Zn"), GRID, fwhm=0.15)
    assert (pattern.name, pattern.wavelength, pattern.intensity.max()) == ("MOF", GRID.wavelength, 100)
    assert pattern.meta["formula"] == "C12 O6 Zn"
    assert pattern.intensity.min() >= 0
    assert pattern.two_theta[pattern.intensity.argmax()] in np.round(GRID.two_theta, 6)
    wide = simulate_pattern(cifs.cubic_frame(), Grid(5, 90, 0.02, 1.54))
    assert (wide.two_theta[wide.intensity > 0.05] > 60).any()
