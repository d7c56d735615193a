"""Anodes, wavelengths, Bragg geometry."""

import numpy as np
import pytest

from xrdmatch.diffraction import radiation
from xrdmatch.errors import XrdMatchError

CU, CO = radiation.ANODES["Cu"].k_alpha, radiation.ANODES["Co"].k_alpha


@pytest.mark.parametrize(
    ("text", "wavelength"),
    [
        ("Cu", 1.541871), ("cu", 1.541871), ("CuKa", 1.541871), ("Cu K-alpha1", None), ("CuKa1", 1.540593), ("cu_ka2", 1.544427),
        ("CuKalpha1", 1.540593),
        ("CuKb", 1.392235), ("CoKa1", 1.788996), ("Mo", 0.710747), (" 1.5406 ", 1.5406), ("0.4", 0.4),
    ],
)  # fmt: skip
def test_parse_wavelength(text, wavelength):
    if wavelength is None:
        with pytest.raises(XrdMatchError, match="not understood"):
            radiation.parse_wavelength(text)
    else:
        assert radiation.parse_wavelength(text) == pytest.approx(wavelength, abs=2e-6)


@pytest.mark.parametrize("text", ["", "Xx", "CuKx", "12", "0.001", "nan", "inf", "-1.5", "1,54"])
def test_what_is_no_wavelength(text):
    with pytest.raises(XrdMatchError, match="Cr, Fe, Co, Cu, Mo, Ag"):
        radiation.parse_wavelength(text)


def test_lines_of_each_anode_are_in_order():
    for anode in radiation.ANODES.values():
        assert anode.k_beta < anode.k_alpha1 < anode.k_alpha < anode.k_alpha2


def test_bragg_round_trip():
    angles = np.linspace(0.5, 170, 500)
    np.testing.assert_allclose(radiation.two_theta(radiation.d_spacing(angles, CU), CU), angles)
    assert radiation.two_theta([CU / np.sqrt(2)], CU)[0] == pytest.approx(90)
    assert np.isnan(radiation.two_theta([0.5, 0.7], CU)).all()


def test_angles_go_from_cobalt_to_copper_and_back():
    angles = np.linspace(3, 100, 400)
    copper = radiation.convert_two_theta(angles, CO, CU)
    assert (copper < angles).all()
    np.testing.assert_allclose(radiation.convert_two_theta(copper, CU, CO), angles)
    np.testing.assert_allclose(radiation.d_spacing(copper, CU), radiation.d_spacing(angles, CO))
    assert np.isnan(radiation.convert_two_theta([150.0], CU, CO)).all()
    assert radiation.convert_two_theta([20.0, 30.0], CU, CU).tolist() == pytest.approx([20.0, 30.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powder_lines_are_bragg_debye_waller_and_lorentz_polarisation(dtype):
    d, strength = np.array([22.0, 9.3, 3.1, 1.7]), np.array([5.0, 100.0, 40.0, 7.0], np.float16)
    angles, areas = radiation.powder_lines(strength, (1.0 / d**2).astype(dtype), 3.0, CU)
    assert angles.dtype == areas.dtype == dtype
    np.testing.assert_allclose(angles, radiation.two_theta(d, CU), rtol=1e-5)
    np.testing.assert_allclose(areas, strength * np.exp(-3.0 / (2.0 * d**2)) * radiation.lorentz_polarisation(angles), rtol=1e-5)
    beyond, each = radiation.powder_lines(strength[:2], np.array([4.0, 4.0]), np.array([0.0, 1.0]), CU)  # d = 0.5 angstrom
    assert beyond == pytest.approx(168.5, abs=0.05)
    assert each[1] / each[0] == pytest.approx(20.0 * np.exp(-2.0))


def test_lorentz_polarisation():
    assert radiation.lorentz_polarisation([90.0])[0] == pytest.approx(1 / (0.5 * np.sqrt(0.5)))
    low = radiation.lorentz_polarisation(np.linspace(1, 60, 100))
    assert (np.diff(low) < 0).all()


@pytest.mark.parametrize("cell", [(10, 11, 12, 90, 90, 90), (9, 9, 14, 90, 90, 120), (7.1, 8.3, 9.7, 81, 96, 112)])
def test_reciprocal_metric_is_that_of_the_lattice(cell):
    import naive

    metric = radiation.reciprocal_metric(cell)
    basis = naive.lattice(np.array(cell, dtype=float))
    np.testing.assert_allclose(np.linalg.inv(metric), basis @ basis.T, atol=1e-9)
    np.testing.assert_allclose(radiation.reciprocal_metric([cell, cell]), [metric, metric])
    hkl = np.array([[1, 0, 0], [0, 2, 0], [1, -1, 3]])
    vectors = hkl @ np.linalg.inv(basis).T
    np.testing.assert_allclose(radiation.inverse_d_squared(hkl, metric), (vectors**2).sum(axis=1))
    assert radiation.inverse_d_squared([[1, 0, 0]], metric).shape == (1,)
    np.testing.assert_allclose(radiation.inverse_d_squared(hkl, np.stack([metric, 2 * metric, metric])), (vectors**2).sum(axis=1) * [1, 2, 1])
    np.testing.assert_array_equal(radiation.reciprocal_components(cell), metric[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])
