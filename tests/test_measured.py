"""Measured scans through the shipped model: measured_cases.csv has a row for each, what is right stays right, and what is wrong has its reason.

scripts/measured_cases.py brings the table up to date with another model.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

import pytest

import xrdmatch
from xrdmatch import formats
from xrdmatch.errors import ModelError
from xrdmatch.evaluation.labelled_scans import judge, read_labels
from xrdmatch.model.folder import DEFAULT, find_model
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.result import NAMED

MEASURED = Path(__file__).resolve().parents[2] / "shared" / "measured"

#: How far another processor may move a probability: nearer than this to even odds either verdict may come.
EDGE = 0.02

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def script(name):
    """A module of scripts/, which its own imports find as well."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


measured_sets, measured_cases = script("measured_sets"), script("measured_cases")
CASES = measured_cases.read_cases()


def marked(case, right):
    """A row of the table as a parameter; one that is still wrong has to be taken up as right when it becomes so, by scripts/measured_cases.py."""
    marks = () if right else pytest.mark.xfail(raises=AssertionError, reason=case.reason, strict=True)
    return pytest.param(case, id=f"{case.set}-{case.file}", marks=marks)


def _here() -> str:
    """Why these tests cannot run, or an empty string."""
    if not (MEASURED / "labels.csv").is_file():
        return "the measured scans are not beside this checkout (../shared/measured)"
    try:
        find_model(DEFAULT)
    except ModelError:
        return f"the shipped model {DEFAULT} is not in models/"
    return ""


pytestmark = pytest.mark.skipif(bool(_here()), reason=_here() or "all there")


@cache
def identifier() -> Identifier:
    return Identifier(str(find_model(DEFAULT)), "cpu")


@cache
def rows() -> tuple[dict[str, str], ...]:
    return tuple(read_labels(MEASURED / "labels.csv"))


@cache
def answer(file):
    stated = next(row.get("wavelength") for row in rows() if row["file"] == file)
    return identifier().identify(formats.read(MEASURED / file), SearchOptions(float(stated) if stated else None), file)


def of_kind(kind):
    return [row for row in rows() if row["kind"] == kind]


@pytest.mark.parametrize("kind", ["mof", "mixture", "unknown", "blank"])
def test_every_file_goes_through(kind):
    assert of_kind(kind)
    for row in of_kind(kind):
        one = answer(row["file"])
        assert one.verdict in ("match", "ambiguous", "unknown", "unusable")
        assert one.reason
        assert bool(one.matches) == (one.verdict != "unusable")
        assert all(0.0 <= match.probability <= 1.0 and 0.0 <= match.similarity <= 1.0 for match in one.matches)
        assert sum(match.probability for match in one.matches if match.phase == 1) <= 1.001
        json.dumps(one.to_json(evidence=True), allow_nan=False)


@cache
def answers():
    """What the shipped model says of each scan of the table; all at once, since the minerals' structures are read for it."""
    found = measured_sets.answers(DEFAULT, MEASURED, [case.key for case in CASES])
    return {(one.set, one.file): one for one in found}


def answer_to(case):
    if case.key not in answers():
        pytest.skip(f"no scan {case.file} in the labels of {case.set}")
    return answers()[case.key]


@pytest.mark.parametrize("case", [marked(case, case.answer == "right") for case in CASES])
def test_the_answer_is_right(case):
    found = answer_to(case)
    if abs(found.probability - NAMED) < EDGE:
        pytest.skip(f"{found.probability:.3f} is too near to even odds to say what another processor makes of it")
    assert measured_cases.right(found, case.expected), (found.verdict, found.name, found.stated, f"expected {case.expected}")


@pytest.mark.parametrize("case", [marked(case, case.first == "yes") for case in CASES if case.first])
def test_the_labelled_one_comes_first(case):
    found = answer_to(case)
    assert found.first, (found.ranks, found.name)


def test_every_small_set_is_in_the_table_whole():
    listed = {case.key for case in CASES}
    assert {("measured", row["file"]) for row in rows()} <= listed
    assert {("more", row["file"]) for row in read_labels(MEASURED / "more" / "labels.csv")} <= listed


def test_both_phases_of_most_mixtures_are_found():
    whole = [all(judge(answer(row["file"]), row).ranks) for row in of_kind("mixture")]
    assert sum(whole) > len(whole) / 2


def test_six_orders_of_one_spacing_name_nothing():
    """A layered substance, which version 0.1 named with 89 %."""
    answer = xrdmatch.identify(MEASURED / "more" / "Test_data_op_001_XRD.jdx")
    assert (answer.verdict, answer.reason_code, answer.phases) == ("unknown", "one_spacing", [])


def test_the_answer_does_not_hang_on_the_filter_being_off():
    """Where the filter does nothing by itself, asking for none gives the same."""
    row = next(row for row in rows() if row["file"] == "mof/ZIF-67_XRED.csv")
    plain = answer(row["file"])
    if not plain.filtered:
        again = identifier().identify(formats.read(MEASURED / row["file"]), SearchOptions(float(row["wavelength"]), "off"))
        assert [match.id for match in again.matches] == [match.id for match in plain.matches]
