"""Interpolated forms of breathing frameworks."""

from __future__ import annotations

import numpy as np

from xrdmatch.library.breathing import STEP, series, with_breathing
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


def test_every_series_has_two_ends() -> None:
    assert all(len(anchors) > 1 for anchors in series().values())
