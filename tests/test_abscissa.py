"""What the numbers along a scan are, by every spelling that headers, titles, keys and datasets have for it."""

import numpy as np
import pytest

from xrdmatch.diffraction.radiation import d_spacing
from xrdmatch.errors import ReadError
from xrdmatch.formats.abscissa import abscissa

WAVELENGTH = 0.7
ANGLES = np.linspace(3.0, 40.0, 20)
D = d_spacing(ANGLES, WAVELENGTH)

#: What each name holds, made from the angles.
NAMES = {
    "2theta": (
        ANGLES,
        ["2Theta", "2-Theta", "Two Theta", "two_theta", "TTH", "tth", "2th", "2th_deg", "2θ (°)", "2θ/°", "°2Th.", "Pos. [°2Th.]",
         "Position [°2Theta]",
         "2-Theta Angle (Degrees)", "2Theta, deg", "2*theta", "2Theta (Cu Ka)", "2Theta_corr", "Angle", "Angle (deg)", "Angle (2theta)",
         "angle in degrees",
         "X", "x", "xaxis", "degrees", "deg.", "Scattering Angle 2θ [deg]", "Diffraction angle", "Winkel", "Theta-2Theta", "theta/2theta",
         "Gonio",
         "two_theta (wavelength 1.789000 A)"],
    ),
    "2theta in radians": (np.radians(ANGLES), ["2th_rad", "2 theta (rad)", "2Theta [radians]", "2θ / rad", "radians"]),
    "2theta in milliradians": (1000 * np.radians(ANGLES), ["2theta_mrad", "2theta (mrad)"]),
    "theta": (ANGLES / 2, ["Theta", "theta (deg)", "Theta [°]", "th", "θ (°)", "theta_deg"]),
    "theta in radians": (np.radians(ANGLES) / 2, ["theta (rad)", "θ [rad]"]),
    "d-spacings": (D, ["d", "d [A]", "d(Å)", "d-spacing", "d-spacing [Å]", "d value", "D spacing (Angstrom)", "dspacing_A", "d_hkl",
         "d in Å"]),
    "d-spacings in nm": (D / 10, ["d (nm)", "d_nm", "d-spacing [nm]"]),
    "scattering vectors q": (
        2 * np.pi / D,
        ["q_A^-1", "Q (1/A)", "Q [Å⁻¹]", "Q (Å-1)", "q(A^-1)", "Q(Ang^-1)", "q (inv. Å)", "momentum transfer Q, A^-1",
         "Q (Inverse Angstroms)", "|q| (1/A)"],
    ),
    "scattering vectors q in 1/nm": (
        20 * np.pi / D,
        ["q_nm^-1", "Q (Inverse Nanometres)", "Q (inverse nanometers)", "q / nm-1", "q in 1/nm", "Q_inv_nm", "scattering vector (1/nm)",
         "q [nm^{-1}]"],
    ),
    "scattering vectors s = 1/d": (1 / D, ["s (1/A)", "s [Å^-1]"]),
    "scattering vectors s = 1/d in 1/nm": (10 / D, ["s (1/nm)", "S (nm-1)"]),
    "1/d": (1 / D, ["1/d", "1/d (1/A)", "d* (Å-1)", "inverse d"]),
    "sin(theta)/lambda": (1 / (2 * D), ["sin(theta)/lambda", "sin(θ)/λ [Å⁻¹]", "sinθ/λ", "sin theta / lambda", "Sin(Theta)/Lambda (1/A)",
         "stol"]),
}  # fmt: skip
REFUSED = {
    "detector channels": ["Channel", "channel number", "Pixel", "Pixel number", "bin", "Column (pixels)"],
    "times of flight": ["TOF", "Time-of-flight (us)", "time of flight"],
    "times": ["Time", "time (s)", "t (s)", "Time/s", "elapsed time"],
    "energies": ["Energy (keV)", "Energy", "E/keV", "E [keV]"],
    "distances r": ["r (A)", "r", "Radial Distance (mm)", "r_mm", "Radius"],
    "temperatures": ["Temperature", "Temp. (K)"],
    "wavelengths": ["Wavelength", "lambda (A)"],
    "angles of a rotation (phi, chi, psi)": ["Phi", "chi_deg", "Azimuth (Degrees)", "psi"],
    "omega (a rocking scan)": ["Omega", "ω", "omega (deg)"],
    "squares or sines, not angles": ["sin^2(theta)", "sin2theta", "q^2_nm^-2", "d*2_A^-2"],
    "scattering vectors q without a unit": ["q", "Q", "scattering vector"],
    "scattering vectors s = 1/d, or seconds": ["s"],
    "2theta in an unknown unit": ["2Theta (mm)"],
    "numbers in mm": ["Position (mm)"],
}


@pytest.mark.parametrize(("what", "name"), [(what, name) for what, (_, names) in NAMES.items() for name in names])
def test_what_is_converted(what: str, name: str) -> None:
    found = abscissa(name)
    assert found is not None
    assert found.what == what
    np.testing.assert_allclose(found.to_two_theta(NAMES[what][0], WAVELENGTH), ANGLES, atol=1e-9)


@pytest.mark.parametrize(("what", "name"), [(what, name) for what, names in REFUSED.items() for name in names])
def test_what_is_refused(what: str, name: str) -> None:
    found = abscissa(name)
    assert found is not None
    assert found.what == what
    with pytest.raises(ReadError, match="not 2theta"):
        found.to_two_theta(ANGLES, WAVELENGTH)


@pytest.mark.parametrize("name", ["Intensity", "counts", "I", "Yobs", "HKUST-1", "sample", "no", "a", "k", "", "5.00", "-----", "two samples"])
def test_what_says_nothing(name: str) -> None:
    assert abscissa(name) is None


def test_without_a_wavelength_only_angles_are_converted() -> None:
    for name, right in (("2th_rad", True), ("theta", True), ("d (A)", False), ("q_A^-1", False)):
        found = abscissa(name)
        assert found is not None
        if right:
            assert np.isfinite(found.to_two_theta(ANGLES / 100, None)).all()
        else:
            with pytest.raises(ReadError, match="no wavelength"):
                found.to_two_theta(ANGLES / 100, None)


def test_beyond_the_reach_of_the_wavelength() -> None:
    found = abscissa("d (A)")
    assert found is not None
    with pytest.raises(ReadError, match=r"1 of 3 values are impossible with a wavelength of 0\.7 angstrom"):
        found.to_two_theta(np.array([0.3, 1.0, 2.0]), WAVELENGTH)
