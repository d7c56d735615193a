"""Measured scans through the shipped model: what is right stays right, and what is not is listed with its reason."""

from __future__ import annotations

import json
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

MEASURED = Path(__file__).resolve().parents[2] / "shared" / "measured"

#: Part of the file's name, and the framework that has to come first.
RIGHT = {
    "MIL-101-DMF": "MIL-101",
    "MIL-53-DMF": "MIL-53",
    "MIL-88B-Dry": "MIL-88B",
    "mof/PXRD_S-3": "MIL-88B",
    "mof/PXRD_S-4": "MIL-88B",
    "ZIF62-Co": "ZIF-62",
    "ZIF-67_XRED": "ZIF-67",
    "RF-1-19.3": "ZIF-71",
}
#: Scans whose framework does not come first, with the reason.
MISSED = {
    "mof/PXRD_S-1": "two clear lines over a halo far stronger than they are",
}
#: Scans of frameworks that the library does not hold which are named all the same, with the reason.
NAMED: dict[str, str] = {}
#: Mixtures of MIL-88B and MIL-101 of which one phase comes first.
ONE_PHASE_FIRST = ("PXRD_S-8", "PXRD_S-10", "PXRD_S-11", "PXRD_S-12")
#: Minerals whose own structure is in the joined library and once came behind another, and still do.
SECOND = ("Al2Fe3_SiO4_3_230", "BeAlSiO2_1", "MgB3H15O13_1", "Na3CaCuSi4_HO6_2_1", "NaMg3Al6Si6B3O31_160")
MENDED = ("CaCu2SiH2O5_1", "CaGeH6CSO6_1", "CaSiH10CSO9_1", "Fe2PO4F_15", "KFeS3_1", "PPb2ClO3_1")
#: Minerals whose labelled structure has its strong lines where the scan has none, and none where the scan has its strongest.
UNLIKE = ("FeS_160", "Zn_191")


def still_wrong(why: str) -> pytest.MarkDecorator:
    """A case that is wrong, and may become right; an error of any other kind is none of it."""
    return pytest.mark.xfail(raises=AssertionError, reason=why, strict=False)


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


def the_row(part):
    """The one labelled scan whose path contains `part`, whatever follows in its name."""
    found = [row for row in rows() if part in row["file"] and not row["file"].split(part)[1][:1].isdigit()]
    if not found:
        pytest.skip(f"no scan {part} in the labels")
    assert len(found) == 1
    return found[0]


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


@pytest.mark.parametrize("part", RIGHT)
def test_the_framework_comes_first(part):
    row = the_row(part)
    assert row["label"] == RIGHT[part]
    assert judge(answer(row["file"]), row).ranks == (1,)


@pytest.mark.parametrize("part", [pytest.param(part, marks=still_wrong(why)) for part, why in MISSED.items()])
def test_the_framework_should_come_first(part):
    row = the_row(part)
    assert judge(answer(row["file"]), row).ranks == (1,)


def test_every_mof_is_in_one_of_the_tables():
    listed = {the_row(part)["file"] for part in (*RIGHT, *MISSED)}
    assert {row["file"] for row in of_kind("mof")} == listed


@pytest.mark.parametrize("part", ONE_PHASE_FIRST)
def test_one_phase_of_a_mixture_comes_first(part):
    row = the_row(part)
    assert 1 in judge(answer(row["file"]), row).ranks


def test_both_phases_of_most_mixtures_are_found():
    whole = [all(judge(answer(row["file"]), row).ranks) for row in of_kind("mixture")]
    assert sum(whole) > len(whole) / 2


def test_what_the_library_does_not_hold_is_not_named():
    known = [the_row(part)["file"] for part in NAMED]
    for row in of_kind("unknown"):
        assert row["file"] in known or answer(row["file"]).verdict in ("unknown", "ambiguous", "unusable"), row["file"]


def test_six_orders_of_one_spacing_name_nothing():
    """A layered substance, which version 0.1 named with 89 %."""
    answer = xrdmatch.identify(MEASURED / "more" / "Test_data_op_001_XRD.jdx")
    assert (answer.verdict, answer.reason_code, answer.phases) == ("unknown", "one_spacing", [])


@pytest.mark.parametrize("part", [pytest.param(part, marks=still_wrong(why)) for part, why in NAMED.items()])
def test_what_should_not_be_named(part):
    assert answer(the_row(part)["file"]).verdict in ("unknown", "ambiguous", "unusable")


def test_blanks_are_unusable():
    for row in of_kind("blank"):
        assert answer(row["file"]).verdict == "unusable", row["file"]


@cache
def with_minerals():
    from xrdmatch.library.reference_library import Library
    from xrdmatch.model.add import extended, load_entries

    model = identifier().model
    return Identifier(extended(model, Library.from_entries(load_entries([MEASURED / "minerals"], [], []))))


@pytest.mark.parametrize(
    "name",
    [
        *MENDED,
        *(pytest.param(name, marks=still_wrong("a like structure fits as well")) for name in SECOND),
        *(pytest.param(name, marks=still_wrong("the labelled structure is not that of the scan")) for name in UNLIKE),
    ],
)
def test_a_mineral_that_was_misidentified(name):
    """Scans of unlike crystals, of which an earlier version named another."""
    folder = MEASURED / "minerals"
    row = next((row for row in read_labels(folder / "labels.csv") if row["file"] == f"{name}.xy"), None)
    if row is None:
        pytest.skip(f"no scan {name} in the labels")
    found = with_minerals().identify(formats.read(folder / row["file"]), SearchOptions(float(row["wavelength"]) if row.get("wavelength") else None))
    assert judge(found, row).ranks == (1,)


def test_the_answer_does_not_hang_on_the_filter_being_off():
    """Where the filter does nothing by itself, asking for none gives the same."""
    row = the_row("ZIF-67_XRED")
    plain = answer(row["file"])
    if not plain.filtered:
        again = identifier().identify(formats.read(MEASURED / row["file"]), SearchOptions(float(row["wavelength"]), "off"))
        assert [match.id for match in again.matches] == [match.id for match in plain.matches]
