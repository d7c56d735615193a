"""Fifty frameworks of the shipped library, checked by hand: their forms are one framework, and what looks like them is another.

frameworks_fifty.csv: name; ids that are it (forms, redeterminations, models); ids that share metal, linker or pattern with it and are not it.
Another library is checked with XRDMATCH_LIBRARY=FILE.h5.
"""

import csv
import os
from pathlib import Path

import pytest

from xrdmatch.library.common_names import stem
from xrdmatch.library.composition import metals_of
from xrdmatch.library.levels import with_levels
from xrdmatch.library.reference_library import Library

HERE = Path(__file__).parent
FIFTY = list(csv.DictReader((HERE / "frameworks_fifty.csv").read_text(encoding="utf-8").splitlines()))


@pytest.fixture(scope="module")
def library():
    path = Path(os.environ.get("XRDMATCH_LIBRARY", HERE.parent / "models" / "mof-encoder" / "library.h5"))
    if not path.exists():
        pytest.skip(f"{path} is not here")
    library = Library.load(path)
    if not any(library.linkers.tolist()):
        pytest.skip(f"{path} has no linkers yet")
    return with_levels(library)


def test_fifty_of_them_each_named_once():
    names = [row["name"] for row in FIFTY]
    assert len(names) == len(set(names)) == 50
    assert not [row["name"] for row in FIFTY if set(row["forms"].split()) & set(row["others"].split())]
    assert {"HKUST-1", "MIL-53(Al)", "MIL-53(Fe)", "MIL-88A(Fe)", "ZIF-4 (ZIF-62)", "ZIF-8", "UiO-66", "MOF-5"} <= set(names)


def test_the_library_holds_them(library):
    held = set(library.id.tolist())
    assert sorted({one for row in FIFTY for one in row["forms"].split() + row["others"].split()} - held) == []


@pytest.mark.parametrize("row", FIFTY, ids=[row["name"] for row in FIFTY])
def test_forms_are_one_framework_and_others_are_not(row, library):
    framework = dict(zip(library.id.tolist(), library.framework.tolist(), strict=True))
    forms = {one: framework[one] for one in row["forms"].split() if one in framework}
    (number,) = set(forms.values())
    assert [one for one in row["others"].split() if framework.get(one) == number] == []
    assert library.framework_name[number] == row["name"]


def test_no_framework_holds_other_metals_or_another_net(library):
    columns = (library.id, library.framework, library.formula, library.net, library.category)
    rows = [row[:4] for row in zip(*(column.tolist() for column in columns), strict=True) if row[4] != "zeolite"]  # one type is one framework there
    of_crystal = {}
    for one, number, _, net in rows:
        of_crystal.setdefault((stem(one), number), set()).update([net] if net else [])
    nets, metals = {}, {}
    for one, number, formula, _ in rows:
        found = of_crystal[stem(one), number]
        nets.setdefault(number, set()).update(found if len(found) == 1 else [])  # files of one crystal that disagree say nothing
        metals.setdefault(number, set()).add(metals_of(formula))
    assert {library.framework_name[number] for number in nets if len(nets[number]) > 1 or len(metals[number]) > 1} == set()
