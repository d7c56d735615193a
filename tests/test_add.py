"""Own structures into a model, without training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cifs
import made
import numpy as np
import pytest

from xrdmatch.errors import LibraryError, ModelError
from xrdmatch.library.reference_library import Library
from xrdmatch.model import add as module
from xrdmatch.model.add import add, extended, load_entries
from xrdmatch.model.folder import Model
from xrdmatch.search.identify import Identifier
from xrdmatch.system import atomic_files

FRAME = ["Zn1 Zn 0 0 0", "O1 O 0.2 0 0", "C1 C 0.3 0.1 0", "C2 C 0.5 0.5 0.1"]
OTHER = ["Cu1 Cu 0.1 0.2 0.3", "O1 O 0.7 0.2 0", "N1 N 0.4 0.1 0.8", "C2 C 0.5 0.45 0.1"]


@pytest.fixture
def sources(tmp_path):
    """A folder with two structures that no library here holds."""
    folder = tmp_path / "cifs"
    folder.mkdir()
    (folder / "NEWONE.cif").write_text(cifs.cif(FRAME, (14.1, 14.1, 14.1, 90, 90, 90)))
    (folder / "NEWTWO.cif").write_text(cifs.cif(OTHER, (9.3, 11.2, 15.8, 90, 97, 90)))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_new_structures_are_found_and_the_base_is_left_alone(tiny_model, sources, tmp_path, library):
    before = contents(tiny_model)
    mine = tmp_path / "deep" / "mine"
    report = add([sources], mine, base=str(tiny_model), device="cpu")
    assert sorted(report.ids) == ["NEWONE", "NEWTWO"]
    assert report.alike == []
    assert report.failed == []
    assert contents(tiny_model) == before
    assert not list(mine.glob("*.part")) + list(mine.glob("*.new"))
    model = Model.load(mine, "cpu")
    model.ready()
    assert model.library.id.tolist() == [*library.id.tolist(), *report.ids]
    assert model.config == Model.load(tiny_model).config
    np.testing.assert_array_equal(model.vectors[: len(library)], Model.load(tiny_model, "cpu").vectors)
    np.testing.assert_allclose(np.linalg.norm(model.vectors, axis=1), 1.0, atol=1e-2)
    identifier = Identifier(model)
    for row in range(len(model.library)):
        for seed in range(2):
            answer = identifier.identify(made.scan(model.library, row, seed))
            assert answer.matches[0].id == model.library.id[row]
            assert answer.matches[0].similarity > 0.95


def test_a_second_call_goes_on_with_the_folder(tiny_model, sources, tmp_path):
    mine = tmp_path / "mine"
    add([sources / "NEWONE.cif"], mine, base=str(tiny_model), device="cpu")
    network = (mine / "model.onnx").read_bytes()
    add([sources / "NEWTWO.cif"], mine, base="no-such-model", device="cpu")  # the base is not asked for again
    assert Model.load(mine, "cpu").library.id.tolist()[-2:] == ["NEWONE", "NEWTWO"]
    assert (mine / "model.onnx").read_bytes() == network
    Model.load(mine, "cpu").ready()


def test_an_id_that_the_library_holds_keeps_its_structure(tiny_model, sources, tmp_path):
    mine = tmp_path / "mine"
    add([sources / "NEWONE.cif"], mine, base=str(tiny_model), device="cpu")
    before = Model.load(mine, "cpu").library
    (sources / "NEWONE.cif").write_text((sources / "NEWTWO.cif").read_text())
    (sources / "AAAAAA_clean.cif").write_text((sources / "NEWTWO.cif").read_text())
    report = add([sources], mine, device="cpu")
    assert report.ids == ["NEWTWO"]
    assert report.duplicates == [(name, "in cifs; kept the one that the library holds") for name in ("AAAAAA_clean", "NEWONE")]
    after = Model.load(mine, "cpu").library
    assert after.id.tolist() == [*before.id.tolist(), "NEWTWO"]
    np.testing.assert_array_equal(after.cell[:-1], before.cell)


def test_nothing_changes_where_every_id_is_taken(tiny_model, sources, tmp_path):
    mine = tmp_path / "mine"
    add([sources / "NEWONE.cif"], mine, base=str(tiny_model), device="cpu")
    before = contents(mine)
    with pytest.raises(LibraryError, match="NEWONE: this id is already in the library; rename the file"):
        add([sources / "NEWONE.cif"], mine, device="cpu")
    assert contents(mine) == before
    (sources / "AAAAAA_clean.cif").write_text((sources / "NEWTWO.cif").read_text())
    with pytest.raises(LibraryError, match="AAAAAA_clean"):
        add([sources / "AAAAAA_clean.cif"], tmp_path / "other", base=str(tiny_model), device="cpu")
    assert not (tmp_path / "other").exists()


def test_of_an_id_that_comes_twice_the_first_is_kept(tiny_model, sources, tmp_path):
    (sources / "sub").mkdir()
    (sources / "sub" / "NEWONE.cif").write_text((sources / "NEWTWO.cif").read_text())
    report = add([sources / "sub", sources], tmp_path / "mine", base=str(tiny_model), device="cpu")
    assert report.ids == ["NEWONE", "NEWTWO"]
    assert report.duplicates == [("NEWONE", "in cifs; kept the one from sub")] * 2
    library = Model.load(tmp_path / "mine", "cpu").library
    row = library.index()["NEWONE"]
    np.testing.assert_array_equal(library.cell[row], library.cell[row + 1])


def test_a_file_that_cannot_be_loaded_leaves_its_id_to_the_next(tiny_model, sources, tmp_path):
    (sources / "bad").mkdir()
    (sources / "bad" / "NEWONE.cif").write_text("data_bad")
    report = add([sources / "bad", sources / "NEWONE.cif"], tmp_path / "mine", base=str(tiny_model), device="cpu")
    assert (report.ids, report.duplicates, len(report.failed)) == (["NEWONE"], [], 1)


# ---- names of one's own


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("Refcode;Name;DOI\nNEWONE;Lab-7;https://doi.org/10.1000/seven\naaaaaa;HKUST-1 (ours);\nNOTHING;nobody;\n")
    return path


def test_a_table_names_new_entries_and_the_models_own(tiny_model, sources, tmp_path, table):
    mine = tmp_path / "mine"
    report = add([sources], mine, base=str(tiny_model), device="cpu", name_table=table)
    assert report.unnamed == ["NOTHING"]
    library = Model.load(mine, "cpu").library
    row = library.index()
    assert (library.name[row["NEWONE"]], library.doi[row["NEWONE"]]) == ("Lab-7", "10.1000/seven")
    assert library.name[row["AAAAAA_clean"]] == "HKUST-1 (ours)"
    assert (library.name[row["BBBBBB_clean"]], library.name[row["NEWTWO"]]) == ("ZIF-8", "")
    assert library.family_name[library.family[[row["NEWONE"], row["AAAAAA_clean"]]]].tolist() == ["Lab-7", "HKUST-1 (ours)"]
    answer = Identifier(mine, "cpu").identify(made.scan(library, row["NEWONE"]))
    assert (answer.matches[0].name, answer.matches[0].family, answer.matches[0].doi) == ("Lab-7", "Lab-7", "10.1000/seven")


def test_a_table_alone_changes_names_and_nothing_else(tiny_model, sources, tmp_path, table):
    mine = tmp_path / "mine"
    add([sources], mine, base=str(tiny_model), device="cpu")
    before = Model.load(mine, "cpu")
    report = add([], mine, device="cpu", name_table=table)
    assert report.ids == []
    after = Model.load(mine, "cpu")
    assert after.library.name.tolist() == ["HKUST-1 (ours)", *before.library.name.tolist()[1:5], "Lab-7", ""]
    for key in ("id", "formula", "cell", "hkl", "intensity", "family"):
        np.testing.assert_array_equal(getattr(after.library, key), getattr(before.library, key))
    np.testing.assert_array_equal(after.vectors, before.vectors)


def test_two_families_of_one_name_are_told_apart(tiny_model, sources, tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("refcode,name\nNEWONE,ZIF-8\nNEWTWO,ZIF-8\n")
    add([sources], tmp_path / "mine", base=str(tiny_model), device="cpu", name_table=path)
    library = Model.load(tmp_path / "mine", "cpu").library
    assert [name for name in library.family_name.tolist() if "ZIF-8" in name] == ["ZIF-8", "ZIF-8 [NEWONE]", "ZIF-8 [NEWTWO]"]


def test_a_table_that_names_nothing_here(tiny_model, tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("refcode,name\nNOBODY,x\n")
    with pytest.raises(LibraryError, match="NOBODY: the library has no entry with this refcode"):
        add([], tmp_path / "mine", base=str(tiny_model), device="cpu", name_table=path)
    assert not (tmp_path / "mine").exists()


def test_names_on_the_command_line(run, tiny_model, sources, tmp_path, table):
    mine = tmp_path / "mine"
    code, out, err = run("add", sources, sources / "NEWONE.cif", "--model", mine, "--from", tiny_model, "--name-table", table, "--device", "cpu")
    assert (code, out) == (0, "")
    assert "2 structures added" in err
    assert "1 duplicates left out:\n  NEWONE: in NEWONE.cif; kept the one from cifs\n" in err
    assert "that no entry has:\n  NOTHING\n" in err
    assert run("find", "lab 7", "--model", mine, "-f", "json")[0] == 0
    assert run("add", "--model", mine, "--name-table", table, "--device", "cpu")[0] == 0
    assert run("add", "--model", mine)[0] == 2
    (tmp_path / "bad.csv").write_text("code,name\n")
    code, _, err = run("add", sources, "--model", mine, "--name-table", tmp_path / "bad.csv")
    assert code == 1
    assert "bad.csv: expected the columns refcode and name; refcode not found" in err


def test_a_duplicate_joins_its_family(tiny_model, sources, tmp_path):
    """Powder diffraction does not see 0.2 % of the cell."""
    mine = tmp_path / "mine"
    add([sources], mine, base=str(tiny_model), device="cpu")
    (tmp_path / "COPYOF.cif").write_text(cifs.cif(FRAME, (14.13, 14.13, 14.13, 90, 90, 90)))
    report = add([tmp_path / "COPYOF.cif"], mine, device="cpu")
    assert report.ids == ["COPYOF"]
    assert report.alike == [("COPYOF", "NEWONE")]
    library = Model.load(mine, "cpu").library
    index = library.index()
    assert library.family[index["COPYOF"]] == library.family[index["NEWONE"]]
    assert len(library.family_name) == len(library) - 1
    answer = Identifier(mine, "cpu").identify(made.scan(library, index["COPYOF"]))
    assert sorted(answer.matches[0].members) == ["COPYOF", "NEWONE"]


def test_what_cannot_be_loaded_is_reported(tiny_model, sources, tmp_path):
    (sources / "bad.cif").write_text("data_bad\n_cell_length_a 3\n")
    report = add([sources], tmp_path / "mine", base=str(tiny_model), device="cpu")
    assert sorted(report.ids) == ["NEWONE", "NEWTWO"]
    assert [name for name, _ in report.failed] == ["bad.cif"]
    with pytest.raises(LibraryError, match=r"bad\.cif"):
        add([sources / "bad.cif"], tmp_path / "other", base=str(tiny_model), device="cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LibraryError):
        add([tmp_path / "empty"], tmp_path / "other", base=str(tiny_model), device="cpu")
    assert not (tmp_path / "other").exists()


def test_a_classifier_is_refused(tiny_model, sources, tmp_path):
    base = tmp_path / "classifier"
    shutil.copytree(tiny_model, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "kind": "classifier", "labels": []}))
    with pytest.raises(ModelError, match="use an encoder"):
        add([sources], tmp_path / "mine", base=str(base), device="cpu")
    assert not (tmp_path / "mine").exists()


def test_nothing_to_extend_with(tiny_model):
    with pytest.raises(LibraryError, match="nothing to add"):
        extended(Model.load(tiny_model, "cpu"), Library.from_entries([]))


def test_extended_leaves_the_model_alone(tiny_model, sources):
    failed = []
    entries = load_entries([sources], failed, [])
    model = Model.load(tiny_model, "cpu")
    both = extended(model, Library.from_entries(entries))
    assert failed == []
    assert len(both.library) == len(both.vectors) == len(model.library) + 2
    assert len(Model.load(tiny_model, "cpu").library) == len(model.library)


@pytest.mark.parametrize("fails", ["library", "rename", "flush"])
def test_an_interrupted_write_leaves_the_old_model(tiny_model, sources, tmp_path, monkeypatch, fails):
    mine = tmp_path / "mine"
    add([sources / "NEWONE.cif"], mine, base=str(tiny_model), device="cpu")
    before = contents(mine)

    def stop(*args, **options):
        raise KeyboardInterrupt

    target = {"library": (Library, "save"), "rename": (atomic_files.os, "replace"), "flush": (atomic_files.os, "fsync")}[fails]
    with monkeypatch.context() as patch:
        patch.setattr(*target, stop)
        with pytest.raises(KeyboardInterrupt):
            add([sources / "NEWTWO.cif"], mine, device="cpu")
    assert contents(mine) == before
    Model.load(mine, "cpu").ready()
    assert add([sources / "NEWTWO.cif"], mine, device="cpu").ids == ["NEWTWO"]


def test_an_interrupted_copy_is_made_again(tiny_model, sources, tmp_path, monkeypatch):
    mine = tmp_path / "mine"

    def half(source, target):
        target.write_bytes(source.read_bytes()[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "copy", half)
        with pytest.raises(KeyboardInterrupt):
            add([sources], mine, base=str(tiny_model), device="cpu")
    assert not (mine / "config.json").exists()
    add([sources], mine, base=str(tiny_model), device="cpu")
    Model.load(mine, "cpu").ready()
    assert (mine / "model.onnx").read_bytes() == (tiny_model / "model.onnx").read_bytes()


def test_a_folder_of_an_earlier_version(tiny_model, sources, tmp_path):
    """Vectors beside the library: they are read, and adding moves them into it."""
    old = tmp_path / "old"
    shutil.copytree(tiny_model, old)
    model = Model.load(tiny_model, "cpu")
    model.library.save(old / "library.h5")
    np.save(old / "vectors.npy", model.vectors.astype(np.float16))
    np.testing.assert_array_equal(Model.load(old, "cpu").vectors, model.vectors)
    add([sources / "NEWONE.cif"], old, device="cpu")
    assert not (old / "vectors.npy").exists()
    added = Model.load(old, "cpu")
    added.ready()
    np.testing.assert_array_equal(added.vectors[:-1], model.vectors)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


@pytest.mark.parametrize("damage", ["absent", "short", "promises too much", "pickle"])
def test_vectors_that_do_not_fit(tiny_model, tmp_path, damage):
    old = tmp_path / "old"
    shutil.copytree(tiny_model, old)
    model = Model.load(tiny_model, "cpu")
    model.library.save(old / "library.h5")
    place = old / "vectors.npy"
    if damage == "short":
        np.save(place, model.vectors[:-1])
    elif damage == "promises too much":
        np.save(place, model.vectors)
        place.write_bytes(place.read_bytes().replace(b"(5, 16), }            ", b"(99999999999, 16), }  "))
    elif damage == "pickle":
        np.save(place, np.array([Trap(tmp_path / "sprung")], dtype=object), allow_pickle=True)
    with pytest.raises(ModelError, match=r"vectors\.npy"):
        Model.load(old, "cpu").ready()
    assert not (tmp_path / "sprung").exists()
