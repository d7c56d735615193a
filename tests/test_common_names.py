"""The table of names: readable, normal, tied to the ids of the library, with sources."""

import csv
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from xrdmatch.errors import LibraryError
from xrdmatch.library.common_names import core_dois, name_of, stem, ways_to_say, with_names

ROWS = list(csv.DictReader((resources.files("xrdmatch.library") / "names.csv").read_text(encoding="utf-8").splitlines()))


def test_table_is_sorted_and_its_keys_are_unique():
    keys = [row["key"] for row in ROWS]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys) > 500
    assert len({row["name"] for row in ROWS}) > 200


def test_every_row_says_where_it_comes_from():
    assert {row["source"] for row in ROWS} == {"checked", "pattern"}
    assert sum(bool(row["doi"]) for row in ROWS) > 0.6 * len(ROWS)
    assert all(re.fullmatch(r"10\.\d{4,}/\S+", row["doi"]) for row in ROWS if row["doi"])


def test_names_are_names():
    names = {row["name"] for row in ROWS}
    assert [name for name in names if name != name.strip() or not 3 <= len(name) <= 32 or not re.search(r"[A-Z]", name)] == []
    assert [name for name in names if re.search(r"compound|complex|<\|>|[\[\]·]", name, re.IGNORECASE)] == []


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("FIQCEN_clean", "HKUST-1"),
        ("Cu-BTC", "HKUST-1"),
        ("EDUSIF_freeONLY", "MOF-5"),
        ("IRMOF-1", "MOF-5"),
        ("VELVOY_clean", "ZIF-8"),
        ("GITTOT_manual", "ZIF-67"),
        ("GITVIP_clean", "ZIF-71"),
        ("RUBTAK03_auto", "UiO-66"),
        ("UIO-66", "UiO-66"),
        ("ja4050828_auto", "NU-1000"),
        ("OCUNAC_manual", "MIL-101(Cr)"),
        ("Mg-DOBDC", "Mg-MOF-74 (CPO-27-Mg)"),
        ("SABVOH_manual", "MIL-53(Al)"),
        ("MIL-88B-open", "MIL-88B(Cr)"),
        ("EMAPAK_clean", "ZIF-8"),  # the paper's name is of its triazole twin; the composition decides
        ("WAYMAM_clean", "MIL-47(V)"),  # written as MIL-53(Al) beside its twin WAYMOA, which is
        ("WAYMOA_manual", "MIL-53(Al)"),
        ("HIFTOG_clean", "MOF-5 (interpenetrated)"),
        ("QOWRAV01_clean", "DUT-34"),  # twice the volume a metal atom of MOF-14, whose refcode it shares
        ("JUWBIO_clean", "CALF-20"),
        ("OTIBUQ_freeONLY", "Al-PMOF"),
        ("RAVVIU01_clean", "Co formate"),
        ("EMEHUB_freeONLY", "SIFSIX-2-Cu"),
        ("PCN-68", "NU-100 (PCN-610)"),  # raspa2's file has NU-100's linker and cell
    ],
)
def test_famous_ones(identifier, name):
    assert name_of(identifier)[0] == name


def test_unknown_ids_have_no_name():
    assert name_of("my own MOF") is None
    assert name_of("EMEHUB_clean") is None  # solvent removal took its pillars
    assert name_of("FIQCEN_clean")[1] == "10.1126/science.283.5405.1148"


@pytest.mark.parametrize(
    ("identifier", "base"),
    [
        ("FIQCEN_clean", "FIQCEN"),
        ("OFERUN06_freeONLY", "OFERUN06"),
        ("ja403810k_si_003_clean", "ja403810k_si_003"),
        ("ic2017598_si_001_clean_h", "ic2017598_si_001"),
        ("ic050064gsi20050115_040515_clean", "ic050064gsi20050115_040515"),
        ("UIO-66", "UIO-66"),
    ],
)
def test_stem(identifier, base):
    assert stem(identifier) == base


@pytest.mark.parametrize(
    ("name", "metals", "ways"),
    [
        ("NU-1200 (BUT-12)", ("Zr",), {"NU-1200", "BUT-12"}),
        ("MFM-300(Al) (NOTT-300)", ("Al",), {"MFM-300", "NOTT-300"}),
        ("MIL-88B(Cr)", ("Cr",), {"MIL-88B"}),
        ("UiO-66(Zr,Ce)", ("Ce", "Zr"), {"UiO-66"}),
        ("MIL-88B(Cr)", ("Fe",), {"MIL-88B(Cr)"}),
        ("DUT-49, contracted", ("Cu",), {"DUT-49"}),
        ("MOF-5 (interpenetrated)", ("Zn",), {"MOF-5 (interpenetrated)"}),
        ("Al(OH)(1,4-NDC)", ("Al",), {"Al(OH)(1,4-NDC)"}),
        ("", ("Zn",), set()),
    ],
)
def test_ways_to_say_a_name(name, metals, ways):
    assert ways_to_say(name, metals) == ways


def test_no_framework_is_spelled_in_two_ways():
    names = {row["name"] for row in ROWS}
    assert len({re.sub(r"[\s-]", "", name).lower() for name in names}) == len(names)
    doubled = [name for name in names if " (" in name and ways_to_say(name, ()) & (names - {name})]
    assert doubled == []


def test_what_is_known_to_be_another_compound_takes_no_name():
    checks = Path(__file__).parent.parent / "scripts" / "names_checked.csv"
    others = {key for row in csv.DictReader(checks.read_text(encoding="utf-8").splitlines()) if not row["name"] for key in row["keys"].split()}
    assert others
    assert others & {row["key"] for row in ROWS} == set()


def test_library_gets_names_and_dois_but_keeps_its_own(library):
    ids = np.array(["FIQCEN_clean", "VELVOY_clean", "own", "RUBTAK03_auto", "EDUSIF_clean"])
    bare = replace(library, id=ids, name=np.array(["", "", "mine", "", "theirs"]), doi=np.array(["", "10.1/x", "", "", ""]))
    named = with_names(bare, {"own": "10.2/y", "FIQCEN_clean": "10.3/z"})
    assert named.name.tolist() == ["HKUST-1", "ZIF-8", "mine", "UiO-66", "theirs"]
    assert named.doi.tolist()[:3] == ["10.3/z", "10.1/x", "10.2/y"]
    assert bare.name.tolist()[0] == ""


def test_dois_from_core_mof_tables(tmp_path):
    table = tmp_path / "2019-ASR.csv"
    table.write_text("filename,DOI_public,x\nABAVIJ_clean, 10.1021/abc ,1\nABAVOP_clean,,1\n", encoding="utf-8-sig")
    other = tmp_path / "2014.csv"
    other.write_text("filename\nABAVIJ_clean\n")
    assert core_dois([table, other]) == {"ABAVIJ_clean": "10.1021/abc"}
    with pytest.raises(LibraryError, match="missing"):
        core_dois([tmp_path / "missing.csv"])
