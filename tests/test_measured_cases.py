"""What is right in tests/measured_cases.csv, how scripts/measured_cases.py brings the table up to date, and the tables of the card."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(scope="module")
def scripts():
    """The modules measured_sets, measured_cases and card_tables."""
    found = []
    for name in ("measured_sets", "measured_cases", "card_tables"):
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module)
    return found


def told(scripts, verdict="match", stated=(("UiO-66", 0),), ranks=(1,), label="UiO-66(Zr)", which="more"):
    name, probability = (stated[0][0] if stated else "MOF-5"), 0.9
    return scripts[0].Answer(which, "a.xy", label, "mof", ranks, verdict, name, probability, stated, "fits")


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ({}, "UiO-66(Zr)", True),
        ({"stated": (("MOF-5", -1),), "ranks": (0,)}, "UiO-66(Zr)", False),
        ({"stated": (("UiO-66", 0), ("zincite, ZnO", -1))}, "UiO-66(Zr)", False),
        ({"stated": (("UiO-66", 0), ("zincite, ZnO", -1))}, "UiO-66(Zr)|UiO-66 + zincite", True),
        ({"verdict": "unknown", "stated": ()}, "UiO-66(Zr)", False),
        ({"stated": (("A", 0),), "ranks": (1, 2), "label": "A + B"}, "A + B", False),
        ({"stated": (("b", 1), ("a", 0)), "ranks": (1, 2), "label": "A + B"}, "A + B", True),
        ({"verdict": "unknown", "stated": ()}, "nothing", True),
        ({"verdict": "unusable", "stated": ()}, "nothing", True),
        ({}, "nothing", False),
        ({"verdict": "unknown", "stated": ()}, "unusable", False),
        ({"verdict": "unusable", "stated": ()}, "unusable", True),
        ({"stated": (("thenardite, Na2SO4", -1),), "ranks": ()}, "nothing|thenardite", True),
        ({"stated": (("goldmanite", -1),), "ranks": ()}, "gold", False),
    ],
)
def test_what_is_right(scripts, answer, expected, right):
    assert scripts[1].right(told(scripts, **answer), expected) is right


def test_the_table_is_brought_up_to_date(scripts, tmp_path):
    """A row changes state, a scan that is newly wrong gets a row, one that is right does not; reasons stay."""
    cases = scripts[1]
    before = [cases.Case("more", "a.xy", "UiO-66(Zr)", "yes", "wrong", "why it was")]
    other = scripts[0].Answer("lab", "b.xy", "notebook", "unknown", (), "match", "MOF-5", 0.6, (("MOF-5", -1),), "fits")
    third = scripts[0].Answer("lab", "c.xy", "notebook", "unknown", (), "unknown", "MOF-5", 0.1, (), "nothing_fits")
    found = [told(scripts), other, third]
    after = cases.updated(before, found)
    assert after == [
        cases.Case("more", "a.xy", "UiO-66(Zr)", "yes", "right", "why it was"),
        cases.Case("lab", "b.xy", "nothing", "", "wrong", cases.UNKNOWN),
    ]
    assert [line.split(" (")[0] for line in cases.changes(before, after, found)] == [
        "more a.xy: answer wrong, now right",
        "lab b.xy: wrong, and not in the table",
    ]
    cases.write_cases(after, tmp_path / "cases.csv")
    assert cases.read_cases(tmp_path / "cases.csv") == after


def test_every_wrong_row_of_the_table_has_a_reason(scripts):
    cases = scripts[1].read_cases()
    assert [case.key for case in cases if case.answer == "wrong" and case.reason in ("", scripts[1].UNKNOWN)] == []


def test_the_tables_of_the_card(scripts):
    """Three COFs: named, first without a name, and second; a notebook with one wrong name in two usable scans."""
    make = scripts[0].Answer
    cofs = [
        make("more", "a", "COF-5", "cof", (1,), "match", "COF-5", 0.9, (("COF-5", 0),), "fits"),
        make("more", "b", "COF-6", "cof", (1,), "unknown", "COF-6", 0.3, (), "nothing_fits"),
        make("more", "c", "COF-8", "cof", (2,), "match", "COF-5", 0.6, (("COF-5", -1),), "fits"),
    ]
    lab = [
        make("lab", "d", "notebook", "unknown", (), "match", "MOF-5", 0.6, (("MOF-5", -1),), "fits"),
        make("lab", "e", "notebook", "unknown", (), "unknown", "MOF-5", 0.1, (), "nothing_fits"),
        make("lab", "f", "notebook", "unknown", (), "unusable", "", 0.0, (), "too_few_lines"),
    ]
    known = [line for line in scripts[2].known_table(cofs) if line.startswith("| COFs")]
    assert known == ["| COFs | 3 | 2, 21-94 % | 3, 44-100 % | 1, 6-79 % | 1, 6-79 % |"]
    unknown = [line for line in scripts[2].unknown_table(lab) if "notebook" in line]
    assert unknown == ["| one notebook of a laboratory | 3 | 1 | 1 | 1, 9-91 % | 0 |"]
    assert "is 0.75; at a threshold" in scripts[2].separation(cofs + lab)
