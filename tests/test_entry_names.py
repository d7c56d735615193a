"""Every entry is called something."""

import numpy as np
import pytest

from xrdmatch.library.entry_names import entry_name, refcode
from xrdmatch.library.reference_library import Entry, Library


@pytest.mark.parametrize(("identifier", "name", "title", "called"), [
    ("FIQCEN_clean", "HKUST-1", "Cu trimesate, tbo", "HKUST-1"),
    ("GIZJOP_clean", "", "Zn imidazolate, cag", "Zn imidazolate, cag, GIZJOP"),
    ("GIZJOP02_freeONLY", "", "", "GIZJOP02"),
    ("ja4050828_si_002_auto", "", "Zr terephthalate, fcu", "Zr terephthalate, fcu"),
    ("NaCl", "", "", "NaCl"),
])  # fmt: skip
def test_names(identifier, name, title, called):
    cell = np.array([9.0, 9, 9, 90, 90, 90])
    library = Library.from_entries([Entry(identifier, "C Zn", cell, np.array([[1, 0, 0]]), np.array([1.0]), name=name, title=title)])
    assert entry_name(library, 0) == called


def test_what_is_no_refcode():
    assert [refcode(one) for one in ("FIQCEN_clean", "FIQCEN03", "halite", "ZIF8AB_x", "ja4050828_auto")] == ["FIQCEN", "FIQCEN03", "", "", ""]
