"""An expected framework in a scan: which of its forms is found, and its pattern laid over the scan."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest
from searching import signal_of

from xrdmatch.library.expected_entries import ExpectedLookup
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.allowed_lines import allowed_hkl, guest_lines
from xrdmatch.search.expected_phase import ExpectedPhase, Fitted, cell_groups
from xrdmatch.search.further_lines import Tolerance, further_lines, lines_of, local_noise, tolerance_terms


@pytest.fixture(scope="module")
def breathing(library):
    """One framework in three cells, all of one family."""
    closed = library.entry(3)
    cells = [closed.cell * np.array([1 + change, 1 - change, 1, 1, 1, 1]) for change in (0.0, 0.08, 0.16)]
    made_up = Library.from_entries([replace(closed, id=f"DDDDDD0{i}_clean", cell=cell) for i, cell in enumerate(cells)])
    return replace(made_up, family=np.zeros(3, dtype=np.int32), family_name=made_up.name.take([0]))


@pytest.mark.parametrize("row", range(3))
def test_each_cell_of_a_breathing_framework_is_found(breathing, row):
    phase = ExpectedPhase(ExpectedLookup(breathing).entries("MIL-53(Cr)"))
    found = phase.compared(signal_of(made.scan(breathing, row, row)))
    assert found.rows[0] == row
    assert found.similarity[0] > 0.95
    assert found.position_similarity[0] == found.position_similarity.max()


def test_cells_that_differ_by_little_are_one():
    cell = np.array([10.0, 10.0, 20.0, 90.0, 90.0, 120.0])
    cells = np.array([cell, 1.5 * cell, cell * [1.005, 1.005, 1, 1, 1, 1], cell + np.array([0, 0, 0, 0, 2, 0])])
    assert cell_groups(cells).tolist() == [0, 1, 0, 3]


def test_the_pattern_is_laid_over_the_scan(library):
    scan = signal_of(made.scan(library, 1, 1))
    one = ExpectedPhase(ExpectedLookup(library).entries("ZIF-8")).compared(scan).take([0])
    fitted = Fitted(scan, [(library, one)])
    assert fitted.profile.max() == pytest.approx(scan.lines.max(), rel=0.2)
    assert (fitted.near >= fitted.profile).all()
    assert (fitted.lines > 0.5 * fitted.profile.max()).mean() < 0.05


def test_a_lattice_allows_lines_that_the_entry_does_not_have():
    cubic = (10.0, 10.0, 10.0, 90.0, 90.0, 90.0)
    plain, centred = allowed_hkl(cubic, "P"), allowed_hkl(cubic, "F")
    assert plain.shape[1] > 3.5 * centred.shape[1]
    parity = centred % 2
    assert (parity == parity[0]).all()
    assert ((plain**2).sum(axis=0) <= 25.0).all()  # d of 2 angstrom


def test_guests_may_add_at_low_angles_most(library):
    scan = signal_of(made.scan(library, 4, 4))
    one = ExpectedPhase(ExpectedLookup(library).entries("UiO-66")).compared(scan).take([0])
    share = guest_lines(library, one, scan)
    angles = scan.grid.two_theta
    assert 0.0 <= share.min() <= share.max() <= 1.0
    assert share[angles < 10.0].max() > 2.5 * share[angles > 35.0].max()


def test_only_lines_that_rise_above_the_noise_of_their_place_count(library):
    pattern = made.scan(library, 1, 1, peak=2000.0, base=400.0)
    scan = prepare_scan(pattern, filter_mode="off")
    one = ExpectedPhase(ExpectedLookup(library).entries("ZIF-8")).compared(scan.comparison).take([0])
    fitted, noise = Fitted(scan.comparison, [(library, one)]), local_noise(scan)
    tolerated = Tolerance.of(tolerance_terms(fitted, noise, 0.02))
    assert (tolerated.listed * scan.comparison.lines.max() >= 2.9 * noise).all()
    found = further_lines(fitted, tolerated)
    assert len(found.height) == len(lines_of(scan.comparison))
    assert not found.counts.any()
