"""Cells, widths and fall-off brought to a scan: what is found again, what holds it back."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest
from searching import ROWS, compared, refine_cells, refined, signal_of

from xrdmatch.diffraction.lattice import tied_axes
from xrdmatch.search.cell_refinement import (
    MAX_ANGLE,
    MAX_STRAIN,
    STRAIN_COST,
    USUAL_STRAIN,
    RefinementOptions,
    refine_and_draw,
    strain_modes,
    strain_penalty,
)
from xrdmatch.search.comparison import candidate_signals
from xrdmatch.search.line_evidence import refined_lines

SEEDS = range(4)
CUBIC, HEXAGONAL, ORTHORHOMBIC = 0, 2, 3
#: Nothing holds strain back.
FREE = RefinementOptions(strain_cost=0.0)


def misplaced(library, fits, measured, row, **truth):
    """Largest distance in degrees of the adjusted strong lines from where the scan has them."""
    lines = refined_lines(library, fits, measured)[0]
    zero = truth.pop("zero", 0.0)
    angles = made.angles_of(library, row, **truth)[0] + zero
    strong = lines.heights > 10.0
    place = {tuple(hkl): angle for hkl, angle in zip(library.hkl[library.offsets[row] : library.offsets[row + 1]].tolist(), angles, strict=True)}
    return max(abs(place[tuple(hkl)] - angle) for hkl, angle in zip(lines.hkl[strong].tolist(), lines.angles[strong], strict=True))


class TestAdjust:
    @pytest.mark.parametrize("row", ROWS)
    def test_zero_shift(self, library, row):
        rng = np.random.default_rng(row)
        wrong = []
        for seed in SEEDS:
            zero = rng.uniform(-0.2, 0.2)
            measured = signal_of(made.scan(library, row, seed, zero=zero))
            wrong.append(abs(compared(library, np.array([row]), measured).shift[0] - zero))
        assert max(wrong) <= 0.02

    @pytest.mark.parametrize("row", ROWS)
    def test_line_width(self, library, row):
        rng = np.random.default_rng(20 + row)
        widths = rng.uniform(0.08, 0.3, 6)
        ratio = [refined(library, made.scan(library, row, seed, fwhm=fwhm), np.array([row]))[0].fwhm[0] / fwhm for seed, fwhm in enumerate(widths)]
        assert np.median(ratio) == pytest.approx(1.0, abs=0.2)
        assert 0.6 < min(ratio) <= max(ratio) < 1.4

    def test_even_strain(self, library):
        rng = np.random.default_rng(3)
        for row in (0, 1, 4):
            for seed in SEEDS:
                strain = np.full(3, rng.uniform(-0.015, 0.015))
                fits, measured = refined(library, made.scan(library, row, seed, strain=strain), np.array([row]), FREE)
                np.testing.assert_allclose(fits.strain[0, :3], strain, atol=0.0025)
                assert misplaced(library, fits, measured, row, strain=strain) < 0.05

    def test_strain_of_each_axis(self, library):
        rng = np.random.default_rng(4)
        wrong = []
        for seed in range(8):
            strain = rng.uniform(-0.008, 0.008, 3)
            fits, _ = refined(library, made.scan(library, ORTHORHOMBIC, seed, strain=strain), np.array([ORTHORHOMBIC]), FREE)
            wrong.append(fits.strain[0, :3] - strain)
        assert np.median(np.abs(wrong)) < 0.0015
        assert np.abs(wrong).max() < 0.005

    def test_the_penalty_holds_strain_back_but_lines_still_meet(self, library):
        rng = np.random.default_rng(5)
        for row in (0, 1, 3, 4):
            for sign in (-1.0, 1.0):
                strain = np.full(3, sign * rng.uniform(0.006, 0.012))
                pattern = made.scan(library, row, strain=strain)
                plain = compared(library, np.array([row]), signal_of(pattern))
                fits, measured = refined(library, pattern, np.array([row]))
                assert (fits.strain[0, :3] / strain < 1.2).all()
                assert fits.similarity[0] > max(0.97, plain.similarity[0])
                assert misplaced(library, fits, measured, row, strain=strain) < 0.1  # two thirds of the line width

    @pytest.mark.parametrize("row", ROWS)
    def test_tied_axes_stay_tied_and_bounds_hold(self, library, row):
        rng = np.random.default_rng(6)
        group, _ = tied_axes(library.cell[row])
        for seed in SEEDS:
            fits, _ = refined(library, made.scan(library, row, seed, strain=rng.uniform(-0.04, 0.04, 3)))
            for other, strain in zip(fits.rows, fits.strain, strict=True):
                ties, _ = tied_axes(library.cell[other])
                np.testing.assert_allclose(strain[:3], strain[ties], atol=1e-12)
            assert np.abs(fits.strain[:, :3]).max() <= MAX_STRAIN + 1e-12
            assert np.abs(fits.strain[:, 3:]).max() <= MAX_ANGLE + 1e-12
        assert len(np.unique(group)) == {CUBIC: 1, HEXAGONAL: 2, ORTHORHOMBIC: 3}.get(row, 1)

    def test_never_worse_than_before(self, library):
        for row in ROWS:
            measured = signal_of(made.scan(library, row, strain=(0.004, -0.004, 0.002), zero=0.05))
            before = compared(library, ROWS, measured)
            after = refine_cells(library, before, measured)
            was = dict(zip(before.rows.tolist(), before.similarity, strict=True))
            assert all(similar >= was[other] - 1e-6 for other, similar in zip(after.rows.tolist(), after.similarity, strict=True))
            worth = after.similarity - STRAIN_COST * strain_penalty(after.strain, strain_modes(library, after.rows))
            assert (np.diff(worth) <= 1e-12).all()
            np.testing.assert_array_equal(before.strain, 0.0)  # the input is left alone

    def test_the_signals_are_those_of_the_refined_states(self, library):
        for row in ROWS:
            scan = signal_of(made.scan(library, row, strain=(0.004, -0.004, 0.002)))
            found, signals = refine_and_draw(library, compared(library, ROWS, scan), scan)
            np.testing.assert_allclose(signals**2, candidate_signals(library, found, scan) ** 2, atol=1e-4)

    def test_those_far_behind_are_left_as_the_blurred_rounds_had_them(self, library):
        """The best is the same as with sharp rounds for all, and nobody is lost."""
        for row in ROWS:
            measured = signal_of(made.scan(library, row, strain=(0.003, 0.003, 0.003)))
            before = compared(library, ROWS, measured)
            found = {}
            for margin in (0.0, 0.2, 9.0):
                found[margin] = refine_cells(library, before, measured, RefinementOptions(max_blurred_gap=margin))
                assert sorted(found[margin].rows.tolist()) == ROWS.tolist()
            one, some, every = (fits.similarity[fits.rows.tolist().index(row)] for fits in found.values())
            assert one == pytest.approx(some, abs=1e-6) == pytest.approx(every, abs=1e-6)
            assert found[0.2].debye_waller[-1] == before.debye_waller[0]  # which only sharp rounds change

    def test_a_free_angle_is_found(self, library):
        """An orthorhombic cell is made monoclinic, and its angle changes."""
        cells = library.cell.copy()
        cells[ORTHORHOMBIC, 4] = 101.0
        monoclinic = replace(library, cell=cells)
        for change in (-2.0, 2.0):
            cells = cells.copy()
            cells[ORTHORHOMBIC, 4] = 101.0 + change
            measured = signal_of(made.scan(replace(library, cell=cells), ORTHORHOMBIC))
            plain = compared(monoclinic, np.array([ORTHORHOMBIC]), measured)
            fits = refine_cells(monoclinic, plain, measured, FREE)
            assert fits.similarity[0] > plain.similarity[0] + 0.3 * (1.0 - plain.similarity[0])

    def test_the_penalty_is_nothing_at_rest_and_grows_ever_more_slowly(self, library):
        modes = strain_modes(library, np.array([ORTHORHOMBIC]))
        sizes = np.linspace(0.0, 0.03, 31)
        for way in ((1, 1, 1), (1, 0, 0), (1, -1, 0)):
            bends = np.array([strain_penalty(np.pad(size * np.array([way], dtype=float), [(0, 0), (0, 3)]), modes)[0] for size in sizes])
            assert bends[0] == 0.0
            assert (np.diff(bends) > 0).all()
            assert np.diff(bends)[-1] < np.diff(bends)[5]
        one = strain_penalty(np.array([[USUAL_STRAIN, 0, 0, 0, 0, 0]]), modes)[0]
        assert one == pytest.approx(np.log(2.0))
