"""Entries by what people type: from Python and on the command line."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import xrdmatch
from xrdmatch.errors import LibraryError, ModelError
from xrdmatch.library.find_entries import Search, Wanted, entry_called
from xrdmatch.library.reference_library import Entry, Library

#: id, name, formula, DOI and family.
ENTRIES = (
    ("FIQCEN_clean", "HKUST-1", "C18 H6 Cu3 O12", "10.1126/science.283", "HKUST-1 / Zn-HKUST"),
    ("DIHVIB01_clean", "HKUST-1", "C18 H6 Cu3 O12", "", "HKUST-1 / Zn-HKUST"),
    ("DIHVIB02_clean", "", "C18 H6 O12 Zn3", "", "HKUST-1 / Zn-HKUST"),
    ("BODPAN_clean", "HKUST-1", "C18 Cu3 O12", "", "HKUST-1 [BODPAN]"),
    ("RUBTAK01_SL", "UiO-66", "C24 H14 O16 Zr3", "10.1021/ja8057953", "UiO-66"),
    ("RUBTAK02_clean", "UiO-66-NH2", "C24 H17 N3 O16 Zr3", "", "UiO-66"),
    ("EDUSIF_clean", "MOF-5", "C24 H12 O13 Zn4", "", "MOF-5"),
    ("XUNGUJ_clean", "MOF-505", "C8 H3 Cu O5", "", "MOF-505"),
    ("SABVUN_clean", "MIL-53(Cr)", "C8 H5 Cr O5", "", "MIL-53(Cr)"),
    ("COKPEZ_clean", "Mg-MOF-74 (CPO-27-Mg)", "C4 H Mg O3", "", "Mg-MOF-74"),
    ("ABCDEF_clean", "", "C6 H4 Zr", "", "ABCDEF"),
    ("ja507947d_si_001_clean", "", "C6 H4 Ce O4 Zr", "", "ja507947d_si_001"),
)


@pytest.fixture(scope="module")
def shelf():
    """Made-up lines, real names."""
    rng = np.random.default_rng(0)
    hkl = np.array([[1, 0, 0], [2, 0, 0]])
    cells = [np.array([10.0 + i, 10.0 + i, 12.0, 90.0, 90.0, 90.0]) for i in range(len(ENTRIES))]
    rows = [
        Entry(name_id, formula, cell, hkl, rng.random(2), name=name, doi=doi)
        for (name_id, name, formula, doi, _), cell in zip(ENTRIES, cells, strict=True)
    ]
    names, family = np.unique([one[4] for one in ENTRIES], return_inverse=True)
    return replace(Library.from_entries(rows), family=family.astype(np.int32), family_name=names)


@pytest.fixture(scope="module")
def said(shelf):
    """The same library, which says linkers, nets, categories and titles."""
    linkers = ["trimesate"] * 4 + ["terephthalate", "2-aminoterephthalate", "terephthalate"] + ["", "terephthalate; water", "", "", ""]
    nets = ["tbo"] * 4 + ["fcu"] * 2 + [""] * 6
    return replace(shelf, linkers=linkers, net=nets, category=["mof"] * 10 + ["zeolite", ""], title=[""] * 11 + ["cerium zirconium quinonate"])


@pytest.fixture(scope="module")
def model(tmp_path_factory, said):
    """A folder that is as much of a model as `find` needs."""
    folder = tmp_path_factory.mktemp("models") / "shelf"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    said.save(folder / "library.h5")
    return folder


def ids(library, text="", **more):
    return [one.id for one in Search(library, Wanted(text, **more)).found()]


@pytest.mark.parametrize(
    ("typed", "found", "matched"),
    [
        ("HKUST-1", ["FIQCEN_clean", "BODPAN_clean"], "name"),
        ("hkust1", ["FIQCEN_clean", "BODPAN_clean"], "name"),
        ("HKUST", ["FIQCEN_clean", "BODPAN_clean"], "start of the name"),
        ("hkst-1", ["FIQCEN_clean", "BODPAN_clean"], "spelling"),
        ("uio66", ["RUBTAK01_SL"], "name"),
        ("UIO 66", ["RUBTAK01_SL"], "name"),
        ("UoI-66", ["RUBTAK01_SL"], "spelling"),
        ("uio-66-nh2", ["RUBTAK02_clean"], "name"),
        ("mil 53", ["SABVUN_clean"], "start of the name"),
        ("cr mil-53", ["SABVUN_clean"], "name"),
        ("mof5", ["EDUSIF_clean"], "name"),
        ("MOF-74-Mg", ["COKPEZ_clean"], "name"),
        ("cpo-27-mg", ["COKPEZ_clean"], "name"),
        ("74", ["COKPEZ_clean"], "part of the name"),
        ("FIQCEN", ["FIQCEN_clean"], "refcode"),
        ("fiqcen_clean", ["FIQCEN_clean"], "refcode"),
        ("FIQCEN_charged", ["FIQCEN_clean"], "refcode"),
        ("dihvib", ["DIHVIB01_clean"], "refcode"),
        ("DIHVIB02", ["DIHVIB02_clean"], "refcode"),
        ("ja507947d_si_001", ["ja507947d_si_001_clean"], "refcode"),
        ("https://doi.org/10.1021/JA8057953", ["RUBTAK01_SL"], "doi"),
        ("Cu3(C9H3O6)2", ["FIQCEN_clean", "BODPAN_clean"], "formula"),
        ("zr uio", ["RUBTAK01_SL"], "words"),
        ("zn hkust", ["DIHVIB02_clean"], "words"),
    ],
)
def test_what_people_type(shelf, typed, found, matched):
    first = Search(shelf, Wanted(typed)).found()
    assert [one.id for one in first if one.matched == matched] == found
    assert first[0].matched == matched


@pytest.mark.parametrize("typed", ["UiO-65", "MOF-50", "FIQCEM", "GIZJOP", "xyzzy", "DIHVIB03", "10.1021/nothing", "-", "Cu3(C9H3O6", "\n"])
def test_what_is_not_there(shelf, typed):
    search = Search(shelf, Wanted(typed, metals=("Cu", "Zr", "Zn")))
    assert len(search) == 0
    if typed.strip():
        assert ids(shelf, typed) == []


def test_the_nearest_names_and_refcodes(shelf):
    assert Search(shelf, Wanted("UiO-65")).nearest()[0] == "UiO-66"
    assert Search(shelf, Wanted("FIQCEM")).nearest() == ["FIQCEN"]
    assert Search(shelf, Wanted("xyzzy")).nearest() == []
    assert Search(shelf, Wanted(metals=("Fe",))).nearest() == []


def test_one_row_a_family_with_all_its_members(shelf):
    one = Search(shelf, Wanted("HKUST-1")).found()[0]
    assert one.members == ("FIQCEN_clean", "DIHVIB01_clean", "DIHVIB02_clean")
    assert (one.name, one.refcode, one.family, one.metals) == ("HKUST-1", "FIQCEN", "HKUST-1 / Zn-HKUST", ("Cu",))
    assert one.cell == (10.0, 10.0, 12.0, 90.0, 90.0, 90.0)
    assert len(Search(shelf, Wanted("HKUST-1"))) == 2
    assert len(Search(shelf, Wanted("HKUST-1")).found(1)) == 1


def test_an_entry_without_a_name_is_called_by_its_refcode_or_file(shelf):
    assert [(one.name, one.refcode) for one in Search(shelf, Wanted("ABCDEF")).found()] == [("ABCDEF", "ABCDEF")]
    assert [(one.name, one.refcode) for one in Search(shelf, Wanted("ja507947d_si_001")).found()] == [("ja507947d_si_001", "")]


def test_metals_all_have_to_be_there(shelf):
    assert ids(shelf, metals=("Zr",)) == ["RUBTAK01_SL", "ABCDEF_clean", "ja507947d_si_001_clean"]
    assert ids(shelf, metals=("Ce", "Zr")) == ["ja507947d_si_001_clean"]
    assert ids(shelf, "uio", metals=("Zr",)) == ["RUBTAK01_SL"]
    assert ids(shelf, "uio", metals=("Hf",)) == []


def test_linkers_and_categories_that_the_library_says(said):
    assert ids(said, linker="Terephthalate") == ["RUBTAK01_SL", "EDUSIF_clean", "SABVUN_clean"]
    assert ids(said, linker="aminoterephthalate") == ["RUBTAK02_clean"]
    assert ids(said, linker="terephth", metals=("Cr",)) == ["SABVUN_clean"]
    assert ids(said, linker="fumarate") == []
    assert ids(said, category="Zeolite") == ["ABCDEF_clean"]
    assert ids(said, "zr terephthalate") == ["RUBTAK01_SL"]
    assert ids(said, "fcu terephthalate") == ["RUBTAK01_SL"]
    assert ids(said, "quinonate") == ["ja507947d_si_001_clean"]
    one = Search(said, Wanted("MIL-53")).found()[0]
    assert (one.linkers, one.category) == (("terephthalate", "water"), "mof")
    with pytest.raises(LibraryError, match=r"category cof: the library has none of this name; it has mof, zeolite"):
        Search(said, Wanted(category="cof"))


def test_a_library_that_says_no_linkers_and_categories(shelf):
    assert ids(shelf, linker="NH2") == ["RUBTAK02_clean"]
    assert ids(shelf, linker="C9H3O6")[:2] == ["FIQCEN_clean", "BODPAN_clean"]
    assert "EDUSIF_clean" in ids(shelf, linker="C8H4O4")
    assert ids(shelf, linker="C8H4N2O4") == []
    with pytest.raises(LibraryError, match="does not say the categories"):
        Search(shelf, Wanted(category="mof"))


def test_the_entry_that_a_name_stands_for(shelf):
    chosen = entry_called(shelf, "hkust 1")
    assert (shelf.id[chosen.row], chosen.entries, chosen.families) == ("FIQCEN_clean", 3, 2)
    assert shelf.id[entry_called(shelf, "DIHVIB02_clean").row] == "DIHVIB02_clean"
    assert shelf.id[entry_called(shelf, "rubtak02").row] == "RUBTAK02_clean"
    assert entry_called(shelf, "RUBTAK").entries == 2
    for mistyped, near in (("HKST-1", "HKUST-1"), ("UiO-65", "UiO-66"), ("HKUST", "HKUST-1"), ("FIQCEM", "FIQCEN")):
        with pytest.raises(LibraryError, match=f"{mistyped}: no entry .* did you mean {near}"):
            entry_called(shelf, mistyped)
    with pytest.raises(LibraryError, match="xrdmatch find looks for parts"):
        entry_called(shelf, "xyzzy")


def test_an_empty_library():
    assert ids(Library.from_entries([]), "UiO-66") == []
    with pytest.raises(LibraryError):
        entry_called(Library.from_entries([]), "UiO-66")


# ---- from Python


def test_from_python(shelf, model):
    assert [one.id for one in xrdmatch.find("hkust-1", model=model)] == ["FIQCEN_clean", "BODPAN_clean"]
    assert [one.id for one in xrdmatch.find("hkust-1", model=shelf, top=1)] == ["FIQCEN_clean"]
    assert [one.id for one in xrdmatch.find(metal="Cr", model=shelf)] == ["SABVUN_clean"]
    assert [one.id for one in xrdmatch.find(metal=["Ce", "Zr"], model=shelf)] == ["ja507947d_si_001_clean"]
    assert xrdmatch.find("xyzzy", model=shelf) == []
    assert len(xrdmatch.find(model=shelf, top=None)) == 9
    with pytest.raises(ModelError):
        xrdmatch.find("x", model="no-such-model")


# ---- the command


def test_json_has_the_fields_of_the_dataclass(run, model):
    code, out, err = run("find", "uio-66", "--model", model, "--format", "json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, err, len(lines)) == (0, "", 1)
    assert lines[0] == xrdmatch.find("uio-66", model=model)[0].to_json()
    assert lines[0] == {
        "id": "RUBTAK01_SL",
        "name": "UiO-66",
        "refcode": "RUBTAK01",
        "formula": "C24 H14 O16 Zr3",
        "metals": ["Zr"],
        "linkers": ["terephthalate"],
        "net": "fcu",
        "category": "mof",
        "title": "",
        "cell": {"a": 14.0, "b": 14.0, "c": 12.0, "alpha": 90.0, "beta": 90.0, "gamma": 90.0},
        "doi": "10.1021/ja8057953",
        "family": "UiO-66",
        "members": ["RUBTAK01_SL", "RUBTAK02_clean"],
        "matched": "name",
    }


def test_words_need_no_quotes(run, model):
    assert run("find", "mil", "53", "--model", model, "-f", "json") == run("find", "mil 53", "--model", model, "-f", "json")


def test_the_table_and_the_csv(run, model, tmp_path):
    code, out, _ = run("find", "hkust-1", "--model", model)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1::2]] == [["HKUST-1", "FIQCEN"], ["HKUST-1", "BODPAN"]]
    assert "trimesate, tbo; mof" in out
    code, out, _ = run("find", "hkust-1", "--model", model, "-o", tmp_path / "found.csv")
    assert (code, out) == (0, "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "found.csv").read_text())))
    assert [row["id"] for row in rows] == ["FIQCEN_clean", "BODPAN_clean"]
    assert (rows[0]["members"], rows[0]["c"]) == ("FIQCEN_clean; DIHVIB01_clean; DIHVIB02_clean", "12.0")


def test_nothing_found(run, model, tmp_path):
    for form in ("table", "json", "csv"):
        code, out, err = run("find", "UiO-65", "--model", model, "--format", form, "--quiet")
        assert (code, out) == (1, "")
        assert "UiO-65: nothing like this in the library; the nearest names are UiO-66" in err
    code, out, err = run("find", "--metal", "Hf", "--linker", "terephthalate", "--model", model, "-o", tmp_path / "x.csv")
    assert (code, out, (tmp_path / "x.csv").exists()) == (1, "", False)
    assert "metal Hf, linker terephthalate: nothing like this in the library\n" in err


def test_top_says_how_many_there_are(run, model):
    code, out, err = run("find", "--metal", "zr", "--top", 1, "--model", model, "-f", "json")
    assert (code, len(out.splitlines())) == (0, 1)
    assert err == "the first 1 of 3 families; --top 3 lists all\n"


def test_a_library_without_linkers_says_so(run, model, shelf, tmp_path):
    shutil.copytree(model, tmp_path / "plain")
    shelf.save(tmp_path / "plain" / "library.h5")
    code, out, err = run("find", "--linker", "nh2", "--model", tmp_path / "plain", "-f", "json")
    assert (code, json.loads(out)["id"]) == (0, "RUBTAK02_clean")
    assert "does not say the linkers" in err
    code, out, err = run("find", "--category", "mof", "--model", tmp_path / "plain")
    assert (code, out) == (1, "")
    assert "does not say the categories" in err


@pytest.mark.parametrize("wrong", [[], [" "], ["--metal", "Xx"], ["--metal", "Si"], ["x", "--top", "0"], ["x", "--model", "no-such-model"]])
def test_wrong_usage(run, wrong):
    code, out, _ = run("find", *wrong)
    assert (code, out) == (2, "")


def test_a_damaged_library_is_told(run, model, tmp_path):
    shutil.copytree(model, tmp_path / "broken")
    (tmp_path / "broken" / "library.h5").write_bytes(b"no library")
    code, out, err = run("find", "x", "--model", tmp_path / "broken")
    assert (code, out) == (1, "")
    assert "library.h5" in err
