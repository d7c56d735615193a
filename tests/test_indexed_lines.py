"""A candidate's lines as they lie in a scan."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import CU_K_ALPHA, two_theta
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.identify import Identifier
from xrdmatch.search.indexed_lines import indexed_lines

CO, MO = 1.79026, 0.71073


def fit(row=0, shift=0.0, strain=(0.0, 0.0, 0.0), fwhm=0.15):
    one = Candidates.of(np.array([row]), np.ones(1), fwhm)
    return replace(one, shift=np.array([shift]), strain=np.array([[*strain, 0.0, 0.0, 0.0]]))


def blank(wavelength, start=4.0, stop=45.0):
    points = np.arange(start, stop, 0.02)
    return Pattern(points, np.ones(points.size), wavelength)


@pytest.mark.parametrize("wavelength", [CU_K_ALPHA, CO, MO])
def test_lines_lie_where_an_independent_calculation_puts_them(library, wavelength):
    strain = (0.01, 0.01, 0.01)
    found = indexed_lines(library, fit(strain=strain), 0, blank(wavelength))
    wanted, _ = made.angles_of(library, 0, wavelength, strain)
    wanted = np.sort(wanted[(wanted > 4.0) & (wanted < 44.98)])
    assert len(found) > 10
    assert np.abs(found.two_theta[:, None] - wanted).min(axis=1).max() < 1e-6
    assert found.observed == pytest.approx(found.two_theta)
    assert two_theta(found.d, wavelength) == pytest.approx(found.two_theta)
    assert found.cell[:3] == pytest.approx(1.01 * library.cell[0, :3])
    assert found.intensity.max() == 100.0
    assert (np.diff(found.observed) >= 0).all()


def test_a_shift_moves_what_is_observed_and_not_what_bragg_says(library):
    plain, moved = indexed_lines(library, fit(), 0, blank(CU_K_ALPHA)), indexed_lines(library, fit(shift=0.1), 0, blank(CU_K_ALPHA))
    ideal = dict(zip(map(tuple, plain.hkl.tolist()), plain.two_theta, strict=True))
    for hkl, angle, seen in zip(map(tuple, moved.hkl.tolist()), moved.two_theta, moved.observed, strict=True):
        assert seen - angle == pytest.approx(0.1)
        assert angle == pytest.approx(ideal.get(hkl, angle))


def test_widths_follow_the_wavelength(library):
    """The same spread of d is narrower in angle where the wavelength is shorter, in the small-angle limit by the ratio of the two."""
    cu, mo = (indexed_lines(library, fit(), 0, blank(wavelength, 2.0)) for wavelength in (CU_K_ALPHA, MO))
    assert cu.width == pytest.approx(0.15)
    assert mo.width[0] == pytest.approx(0.15 * MO / CU_K_ALPHA, rel=0.02)


def test_a_wavelength_is_needed(library):
    with pytest.raises(ValueError, match="wavelength"):
        indexed_lines(library, fit(), 0, blank(None))


@pytest.mark.parametrize("wavelength", [CU_K_ALPHA, CO, MO])
def test_an_answer_speaks_of_the_scans_own_angles(tiny_model, library, wavelength):
    """Whatever the wavelength: the lines it says it found stand where the scan has counts."""
    scan = made.scan(library, 1, wavelength=wavelength, start=3.0, stop=44.0, zero=0.04)
    answer = Identifier(tiny_model, "cpu").identify(scan)
    first = answer.matches[0]
    assert first.id == library.id[1]
    assert first.lines is not None
    level = np.median(scan.intensity)
    for *hkl, angle, _ in first.evidence.matched:
        near = np.abs(scan.two_theta - angle) < 0.08
        assert scan.intensity[near].max() > 3 * level
        row = (first.lines.hkl == hkl).all(axis=1)
        assert first.lines.observed[row] == pytest.approx(angle, abs=0.01)
    assert answer.measured is not None
    np.testing.assert_array_equal(answer.measured.intensity, scan.intensity)
