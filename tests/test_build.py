"""Structures to a library: order, duplicates, failures, interruption, resume."""

import os

import cifs
import numpy as np
import pytest

from xrdmatch.diffraction.radiation import lorentz_polarisation, two_theta
from xrdmatch.diffraction.structure import parse_cif
from xrdmatch.diffraction.structure_factors import reflections
from xrdmatch.errors import LibraryError, StructureError
from xrdmatch.library.build import KEEP_ABOVE, BuildReport, Told, build, entry_of, metals
from xrdmatch.library.reference_library import Library
from xrdmatch.system.parallel import Workers


def text(seed, atoms=12):
    rng = np.random.default_rng(seed)
    rows = [f"X{i} {rng.choice(['Zn', 'C', 'O', 'H'])} {x:.5f} {y:.5f} {z:.5f}" for i, (x, y, z) in enumerate(rng.random((atoms, 3)))]
    return cifs.cif(rows, (*rng.uniform(6, 14, 3).round(3), 90, round(rng.uniform(90, 110), 2), 90))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "cifs"
    path.mkdir()
    for i in range(40):
        (path / f"MOF{i:02d}.cif").write_text(text(i))
    (path / "MOF07.cif").write_text(text(7).replace("data_made\n", "data_made\n_chemical_name_common 'open\n"))
    return path


def same(one, other):
    for key in ("id", "formula", "source", "note", "cell", "offsets", "hkl", "intensity", "family", "family_name"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
    assert one.attrs == other.attrs


def test_three_structures(tmp_path):
    paths = []
    for i in (2, 0, 1):
        paths.append(tmp_path / f"mof{i}.cif")
        paths[-1].write_text(text(i))
    library, report = build(paths, tmp_path / "out" / "library.h5", attrs={"licence": "CC0"})
    assert library.id.tolist() == ["mof2", "mof0", "mof1"]
    assert library.source.tolist() == ["mof2.cif", "mof0.cif", "mof1.cif"]
    assert (report.done, report.failed, report.duplicates, report.resumed) == (3, [], [], 0)
    assert (library.attrs["licence"], library.attrs["keep_above"]) == ("CC0", KEEP_ABOVE)
    same(library, Library.load(tmp_path / "out" / "library.h5"))
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["library.h5"]


def test_the_library_does_not_depend_on_the_number_of_jobs(folder, tmp_path):
    one, report = build([folder], tmp_path / "one.h5")
    two, parallel = build([folder], tmp_path / "two.h5", Workers(2))
    same(one, two)
    assert one.id.tolist() == sorted(one.id.tolist())
    assert report == parallel
    assert "salvaged" in dict(report.repaired)["MOF07"]


def test_failures_are_listed_and_the_library_is_written(folder, tmp_path):
    (folder / "bad.cif").write_text("<html></html>")
    (folder / "empty.cif").write_text("")
    (folder / "tiny.cif").write_text(cifs.cif(["C1 C 0 0 0"], (1.1, 1.1, 1.1, 90, 90, 90)))
    seen = []
    library, report = build([folder], tmp_path / "library.h5", told=Told(seen.append))
    assert len(library) == report.done == 40
    assert sum(seen) == 43
    reasons = dict(report.failed)
    assert set(reasons) == {"bad.cif", "empty.cif", "tiny.cif"}
    assert "web page" in reasons["bad.cif"]
    assert "no reflection between" in reasons["tiny.cif"]


def test_duplicates_keep_the_first_and_are_reported(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "MOF03.cif").write_text(text(99))
    library, report = build([other, folder], tmp_path / "library.h5")
    assert library.id.tolist()[0] == "MOF03"
    assert report.duplicates == [("MOF03", "in cifs; kept the one from other")]
    assert library.source[0] == "other"
    assert len(library) == 40


class Stop(Exception):
    pass


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_resume_after_an_interruption(folder, tmp_path, jobs, error):
    target = tmp_path / "library.h5"
    count = 0

    def progress(step):
        nonlocal count
        count += step
        if count == 20:
            raise error

    with pytest.raises(error):
        build([folder], target, Workers(jobs), told=Told(progress))
    assert not target.exists()
    partial = Library.load(tmp_path / "library.h5.partial")
    assert len(partial) >= 16
    library, report = build([folder], target, Workers(jobs), resume=True)
    assert report.resumed == len(partial)
    assert report.resumed + report.done == 40
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cifs", "library.h5"]
    whole, _ = build([folder], tmp_path / "whole.h5")
    same(library, whole)


def test_without_resume_it_starts_again_and_with_it_other_sources_are_left_out(folder, tmp_path):
    target = tmp_path / "library.h5"
    old, _ = build([folder / "MOF01.cif"], tmp_path / "old.h5")
    old.save(tmp_path / "library.h5.partial")
    _, report = build([folder / "MOF02.cif"], target)
    assert report.resumed == 0
    old.save(tmp_path / "library.h5.partial")
    library, _ = build([folder / "MOF02.cif"], target, resume=True)
    assert library.id.tolist() == ["MOF02"]


def test_an_interruption_keeps_the_old_library(folder, tmp_path):
    target = tmp_path / "library.h5"
    build([folder / "MOF01.cif"], target)
    before = target.read_bytes()

    def progress(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build([folder], target, told=Told(progress))
    assert target.read_bytes() == before


def test_checkpoints_are_written_on_the_way(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("xrdmatch.library.build._CHECKPOINT", 10)
    sizes = []

    def progress(_):
        path = tmp_path / "library.h5.partial"
        sizes.append(len(Library.load(path)) if path.exists() else 0)

    build([folder], tmp_path / "library.h5", told=Told(progress))
    assert set(sizes) == {0, 10, 20, 30}


def test_nothing_to_build_from(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LibraryError, match="no structure files"):
        build([tmp_path / "empty"], tmp_path / "library.h5")
    (tmp_path / "empty" / "a.cif").write_text("nothing")
    with pytest.raises(LibraryError, match=r"no structure could be loaded: a\.cif: not a readable"):
        build([tmp_path / "empty"], tmp_path / "library.h5")
    with pytest.raises(StructureError, match="no such file"):
        build([tmp_path / "missing"], tmp_path / "library.h5")
    assert not (tmp_path / "library.h5").exists()


def test_an_unwritable_target_is_found_before_the_work(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LibraryError, match="cannot be written"):
        build([folder], tmp_path / "file" / "library.h5", told=Told(lambda _: pytest.fail("work was done")))


def test_a_damaged_archive_keeps_the_finished_part(folder, tmp_path):
    archive = cifs.pack(tmp_path / "set.tar", [("a.cif", text(1).encode()), ("b.cif", text(2).encode())])
    archive.write_bytes(archive.read_bytes()[:2500])
    with pytest.raises(StructureError, match=r"set\.tar"):
        build([folder, archive], tmp_path / "library.h5")
    assert len(Library.load(tmp_path / "library.h5.partial")) >= 40


def test_an_unreadable_file_is_listed(folder, tmp_path):
    (folder / "MOF05.cif").chmod(0)
    if os.access(folder / "MOF05.cif", os.R_OK):
        pytest.skip("needs a user whom permissions bind")
    _, report = build([folder], tmp_path / "library.h5")
    assert [name for name, _ in report.failed] == ["MOF05.cif"]


def test_an_entry_keeps_every_line_that_shows():
    structure = parse_cif(text(3), "one")
    made, all_lines = entry_of(structure), reflections(structure)
    angles = two_theta(all_lines.d, 1.541871)
    heights = all_lines.intensity * lorentz_polarisation(angles)
    assert len(made.intensity) == (heights >= KEEP_ABOVE * heights.max()).sum()
    assert (made.id, made.formula, made.note) == ("one", structure.formula, "")


def test_metals_and_the_empty_report():
    assert metals("C48 H28 O32 Zr6") == ["Zr"]
    assert BuildReport().failed == []
