"""Interpolated forms of breathing frameworks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xrdmatch.diffraction.lattice import cell_on_axes
from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric
from xrdmatch.library.breathing import STEP, series, source_of, with_breathing
from xrdmatch.library.reference_library import Entry, Library


def made_up(*anchors: tuple[str, tuple[float, ...]]) -> Library:
    hkl = np.array([[1, 0, 0], [1, 0, 1]], dtype=np.int16)
    return Library.from_entries([Entry(name, "C", np.array(cell), hkl, np.array([2.0, 1.0])) for name, cell in anchors])


def test_forms_fill_the_gap_in_small_steps() -> None:
    library = made_up(
        ("MIL-88B-dry", (9.6, 9.6, 19.1, 90, 90, 120)), ("OTHER", (8, 8, 8, 90, 90, 90)), ("MIL-88B-open", (15.63, 15.63, 15.96, 90, 90, 120))
    )
    larger = with_breathing(library)
    rows = larger.members(int(larger.family[0]))
    cells = larger.cell[rows]
    cells = cells[np.argsort(cells[:, 0])]
    assert len(rows) == len(larger) - 1  # all but OTHER
    assert (np.diff(cells[:, 0]) / cells[:-1, 0] < STEP + 1e-9).all()
    assert (np.diff(cells[:, 2]) < 0).all()  # c closes while a opens
    assert larger.family_name[larger.family[0]] == "MIL-88B"
    assert len(set(larger.id.tolist())) == len(larger)


def test_a_library_without_two_anchors_stays_as_it_is() -> None:
    library = made_up(("MIL-88B-dry", (9.6, 9.6, 19.1, 90, 90, 120)), ("OTHER", (8, 8, 8, 90, 90, 90)))
    assert with_breathing(library) is library


def test_twice_is_as_once() -> None:
    library = made_up(("MIL-53(Cr)lt", (19.68, 7.85, 6.78, 90, 104.9, 90)), ("MIL-53(Cr)ht", (16.73, 13.04, 6.81, 90, 90, 90)))
    once = with_breathing(library)
    assert with_breathing(once).id.tolist() == once.id.tolist()
    assert with_breathing(once).family.tolist() == once.family.tolist()


def test_forms_say_that_they_are_interpolated_and_carry_the_name() -> None:
    library = made_up(("MIL-53(Cr)lt", (19.68, 7.85, 6.78, 90, 104.9, 90)), ("MIL-53(Cr)ht", (16.73, 13.04, 6.81, 90, 90, 90)))
    larger = with_breathing(library)
    forms = [larger.entry(row) for row in range(len(library), len(larger))]
    assert {form.name for form in forms} == {"MIL-53(Cr)"}
    assert {form.note for form in forms} == {"interpolated between MIL-53(Cr)lt and MIL-53(Cr)ht"}
    assert {source_of(form.id, form.note) for form in forms} == {"MIL-53(Cr)lt"}
    assert source_of("MIL-53(Cr)lt", "") == "MIL-53(Cr)lt"


def test_settings_are_brought_together() -> None:
    """The closed form of MIL-53 is published C-centred, the open one body-centred: its forms have the indices of one lattice."""
    lines = {"MIL-53(Cr)lt": [[2, 0, 0], [1, 1, 0], [1, 1, -1]], "MIL-53(Cr)ht": [[2, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1]]}
    cells = {"MIL-53(Cr)lt": (19.68, 7.85, 6.78, 90, 104.9, 90), "MIL-53(Cr)ht": (16.73, 13.04, 6.81, 90, 90, 90)}
    entries = [Entry(name, "C8 H5 Cr O5", np.array(cells[name]), np.array(hkl, dtype=np.int16), np.ones(len(hkl))) for name, hkl in lines.items()]
    library = Library.from_entries(entries)
    larger = with_breathing(library)
    for row in range(len(library), len(larger)):
        form = larger.entry(row)
        assert (form.hkl.astype(int).sum(axis=1) % 2 == 0).all()
        assert 84.5 < form.cell[4] < 90.0  # sheared towards the next lattice point, not past it
        d, _ = larger.lines(row)
        assert (np.diff(d) <= 0).all()
    nearly_open = larger.entry(len(larger) - 1)
    assert [-1, 0, 1] in nearly_open.hkl.tolist()
    assert [1, 0, 1] in nearly_open.hkl.tolist()  # one line with the other where the angle is right
    assert sorted(nearly_open.intensity.tolist()) == [500.0, 500.0, 1000.0, 1000.0, 1000.0]


def test_a_line_that_comes_apart_keeps_its_absolute_intensity() -> None:
    cells = {"MIL-53(Cr)lt": (19.68, 7.85, 6.78, 90, 104.9, 90), "MIL-53(Cr)ht": (16.73, 13.04, 6.81, 90, 90, 90)}
    hkl, heights = np.array([[1, 0, 1], [1, 1, 0]], dtype=np.int16), np.array([1000.0, 400.0])
    entries = [Entry(name, "C", np.array(cell), hkl, heights, scale=5.0e4, cell_mass=900.0) for name, cell in cells.items()]
    larger = with_breathing(Library.from_entries(entries))
    last = larger.entry(len(larger) - 1)  # nearly open: (1 0 1), the strongest, is two lines
    absolute = {tuple(map(abs, line)): height * last.scale / 1000.0 for line, height in zip(last.hkl.tolist(), last.intensity.tolist(), strict=True)}
    assert absolute[1, 0, 1] == pytest.approx(2.5e4, rel=1e-3)
    assert absolute[1, 1, 0] == pytest.approx(2.0e4, rel=1e-3)
    assert last.cell_mass == 900.0


def test_lines_keep_their_d_on_other_axes() -> None:
    cell, hkl = np.array([19.68, 7.85, 6.78, 90, 104.9, 90]), np.array([[1, 1, 0], [3, 1, -2], [0, 2, 1]])
    for anchor in (anchor for anchors in series().values() for anchor in anchors):
        moved = cell_on_axes(cell, anchor.axes)
        before, after = (inverse_d_squared(lines, reciprocal_metric(values)) for lines, values in ((hkl, cell), (hkl @ anchor.axes.T, moved)))
        assert np.allclose(before, after, rtol=1e-5)


def test_a_published_cell_is_a_form_of_its_own() -> None:
    library = made_up(("SADMIV_clean", (19.74, 7.64, 6.83, 90, 103.93, 90)), ("SADMUH_clean", (6.94, 14.39, 15.96, 90, 90, 90)))
    larger = with_breathing(library)
    closed = larger.entry(len(library))
    assert closed.doi == "10.1039/b809419e"
    assert closed.cell[1] == 6.759
    assert closed.name == "MIL-53(Fe)"


def test_families_with_other_metals_stay_apart() -> None:
    library = made_up(("MIL-53(Cr)lt", (19.68, 7.85, 6.78, 90, 104.9, 90)), ("MIL-53(Cr)ht", (16.73, 13.04, 6.81, 90, 90, 90)))
    formulas = ["C8 H5 Cr O5", "C8 H5 Cr O5", "C8 H4 O5 V"]
    entries = [replace(library.entry(row), formula=formula) for row, formula in zip((0, 1), formulas, strict=False)]
    entries.append(replace(entries[1], id="MIL-47", formula=formulas[2]))
    shared = replace(Library.from_entries(entries), family=np.array([0, 1, 1], dtype=np.int32), family_name=["lt", "ht"])
    larger = with_breathing(shared)
    assert larger.family[1] == larger.family[2]
    assert larger.family[0] == larger.family[3] != larger.family[1]


def test_every_series_has_two_ends() -> None:
    assert all(len(anchors) > 1 for anchors in series().values())
