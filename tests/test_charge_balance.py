"""Frameworks that lost anions: told when a library is built, and in an answer that names one."""

from __future__ import annotations

from dataclasses import replace

import cifs
import made
import numpy as np
import pytest

from xrdmatch.diffraction.charge_balance import missing_anions
from xrdmatch.diffraction.structure import parse_cif
from xrdmatch.library.build import build, entry_of
from xrdmatch.library.doubtful_entries import doubts_of
from xrdmatch.library.reference_library import Library
from xrdmatch.library.text_column import TextColumn
from xrdmatch.model.folder import Model
from xrdmatch.model.reference_index import ReferenceIndex
from xrdmatch.search.identify import Identifier

#: Flat molecules: element, x and y in angstrom.
PYRAZINE = [
    ("N", -1.4, 0),
    ("N", 1.4, 0),
    *[(s, sx * x, sy * y) for s, x, y in (("C", 0.69, 1.13), ("H", 1.24, 2.07)) for sx in (-1, 1) for sy in (-1, 1)],
]
IMIDAZOLATE = [
    ("N", -1.07, 0),
    ("N", 1.07, 0),
    ("C", 0, 0.85),
    ("C", -0.68, -1.28),
    ("C", 0.68, -1.28),
    ("H", 0, 1.9),
    ("H", -1.4, -2.1),
    ("H", 1.4, -2.1),
]
METHYLIMIDAZOLE = [*IMIDAZOLATE, ("C", 2.3, 0.75), ("H", 3.1, 0.1), ("H", 2.6, 1.75)]
FORMATE = [("C", 0, 0), ("O", -1.1, 0.65), ("O", 1.1, 0.65), ("H", 0, -1.1)]
NITROMETHANE = [("N", 0, 0), ("O", -1.1, 0.65), ("O", 1.1, 0.65), ("C", 0, -1.5), ("H", 0.9, -2.0), ("H", -0.9, -2.0)]
NITRATE = [("N", 0, 0), ("O", -1.1, 0.65), ("O", 1.1, 0.65), ("O", 0, -1.28)]
CYANIDE = [("C", 0, 0), ("N", 1.15, 0)]


def box(metals, *molecules):
    """A CIF file of metals and flat molecules, well apart from each other."""
    rows = [f"M{i} {metal} {4 * i + 1} 1 1" for i, metal in enumerate(metals)]
    for place, molecule in enumerate(molecules):
        rows += [f"L{place} {symbol} {x + 10} {y + 10} {4 * place + 5}" for symbol, x, y in molecule]
    return cifs.cif(rows, (20, 20, 4 * len(molecules) + 8, 90, 90, 90), columns=("label", "type_symbol", "Cartn_x", "Cartn_y", "Cartn_z"))


def pillared(pillars=True):
    """SIFSIX-3-Zn, idealised: layers of zinc and pyrazine on pillars of SiF6; without these, as some files have it."""
    a, c = 7.12, 7.6
    rows = ["Zn1 Zn 0 0 0"]
    for along in ((1, 0), (0, 1)):
        for symbol, x, z in PYRAZINE:
            place = np.array([*along, 0]) * (0.5 + x / a) + np.array([0, 0, z / c])
            rows.append(f"{symbol}{len(rows)} {symbol} {place[0]:.4f} {place[1]:.4f} {place[2]:.4f}")
    if pillars:
        rows += ["Si1 Si 0 0 0.5", "F1 F 0 0 0.278", "F2 F 0 0 0.722", "F3 F 0.168 0.168 0.5", "F4 F 0.832 0.168 0.5", "F5 F 0.168 0.832 0.5"]
        rows.append("F6 F 0.832 0.832 0.5")
    return cifs.cif(rows, (a, a, c, 90, 90, 90))


def judge(text):
    structure = parse_cif(text, "made")
    return missing_anions(structure.cell, structure.numbers, structure.fractional, structure.occupancy)


@pytest.mark.parametrize(
    ("metals", "molecules", "found"),
    [
        (["Zn"], [IMIDAZOLATE, IMIDAZOLATE], None),
        (["Zn"], [PYRAZINE, PYRAZINE], (0, 2)),
        (["Zn"], [METHYLIMIDAZOLE, METHYLIMIDAZOLE], (0, 2)),
        (["Zn"], [METHYLIMIDAZOLE, NITRATE, NITRATE], None),
        (["Zn"], [PYRAZINE, FORMATE, FORMATE], None),
        (["Zr"], [FORMATE, FORMATE, PYRAZINE], (2, 4)),
        (["Cu"], [PYRAZINE, CYANIDE], None),
        (["Gd"], [NITRATE, NITRATE, NITRATE, PYRAZINE], None),
        (["Zn"], [NITROMETHANE, PYRAZINE], (0, 2)),
        (["Zn"], [NITROMETHANE, NITROMETHANE, PYRAZINE], None),  # two oxygens for each charge: not looked at closely
        (["Zn", "Zn"], [NITROMETHANE, PYRAZINE], (0, 4)),
        (["W"], [PYRAZINE], None),  # of carbonyls
        ([], [PYRAZINE], None),
    ],
)
def test_charges_of_ligands(metals, molecules, found):
    assert judge(box(metals, *molecules)) == found


def test_pillars_that_are_missing_are_told():
    assert judge(pillared()) is None
    assert judge(pillared(pillars=False)) == (0, 2)


def test_disorder_is_not_judged():
    crowded = [*PYRAZINE, ("C", 1.0, 1.2), ("C", 0.8, 1.6), ("C", 0.3, 1.5)]
    assert judge(box(["Zn"], crowded)) is None
    half = box(["Zn"], PYRAZINE).replace("_Cartn_z\n", "_Cartn_z\n_atom_site_occupancy\n").replace(" 5\n", " 5 0.5\n").replace(" 1 1\n", " 1 1 1\n")
    assert judge(half) is None


def test_a_library_notes_them(tmp_path):
    (tmp_path / "whole.cif").write_text(pillared())
    (tmp_path / "bare.cif").write_text(pillared(pillars=False))
    library, report = build([tmp_path], tmp_path / "library.h5")
    text = "doubtful: the anions carry at most 0 charges per cell, but the metals need 2: counter-ions or pillars may be missing"
    assert report.repaired == [("bare", text)]
    assert dict(zip(library.id.tolist(), library.note.tolist(), strict=True)) == {"bare": text, "whole": ""}
    assert [bool(doubts_of(library, row)) for row in range(2)] == [True, False]


def test_an_answer_that_names_one_says_so(tiny_model, library):
    noted = replace(library, note=TextColumn.of(["salvaged; doubtful: it looks odd" if row == 0 else "" for row in range(len(library))]))
    model = Model.load(tiny_model, "cpu")
    plain = Identifier(model)
    doubting = Identifier(model.with_index(ReferenceIndex.of(noted, model.vectors)))
    for row in range(3):
        scan = made.scan(library, row)
        before, after = plain.identify(scan), doubting.identify(scan)
        assert (after.verdict, after.matches[0].id, after.probability) == (before.verdict, before.matches[0].id, before.probability)
        found = [one for one in after.notes if one.code == "doubtful_structure"]
        assert bool(found) == (row == 0 and after.verdict in ("match", "ambiguous"))
        assert [one for one in after.notes if one.code != "doubtful_structure"] == before.notes
    first = doubting.identify(made.scan(library, 0))
    assert first.verdict in ("match", "ambiguous")
    assert "is doubtful: it looks odd" in first.to_json()["notes"][-1]["text"]


def test_an_entry_keeps_every_note():
    bare = parse_cif(pillared(pillars=False).replace("_symmetry_space_group_name_H-M 'P 1'\n", ""), "bare")
    note = entry_of(bare).note
    assert note.startswith("took P 1, since the file gives no symmetry; doubtful: the anions")
    assert isinstance(Library.from_entries([entry_of(bare)]), Library)
