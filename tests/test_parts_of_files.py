"""Files that hold several scans, tables of several samples, lists of peaks, and folders of all kinds of files, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import scanfiles as make

import xrdmatch
from xrdmatch.cli import inputs
from xrdmatch.formats.scan_files import is_measured


def answers(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def two_ranges(tmp_path, scans):
    """A UXD file whose two ranges overlap, each the scan of another framework."""
    text = "_FILEVERSION=2\n_WL1=1.5406\n_WL2=1.54439\n"
    for name in ("a", "b"):
        pattern = xrdmatch.read(scans / f"{name}.xy")
        text += f"_DRIVE='COUPLED'\n_STEPSIZE={pattern.step}\n_START={pattern.two_theta[0]}\n_COUNTS\n"
        text += "".join(f"{value:.1f}\n" for value in pattern.intensity)
    place = tmp_path / "both.uxd"
    place.write_text(text)
    return place


@pytest.fixture
def two_samples(tmp_path, scans):
    """A table of the same two scans."""
    patterns = [xrdmatch.read(scans / f"{name}.xy") for name in ("a", "b")]
    rows = zip(patterns[0].two_theta, *(pattern.intensity for pattern in patterns), strict=True)
    place = tmp_path / "table.csv"
    place.write_text("2theta,first one,second one\n" + "".join(",".join(f"{value:.4f}" for value in row) + "\n" for row in rows))
    return place


def test_ranges_are_identified_one_by_one(run, tiny_model, two_ranges):
    code, out, err = run("identify", two_ranges, "--model", tiny_model, "-f", "json")
    (only,) = answers(out)
    assert (code, only["matches"][0]["name"]) == (0, "HKUST-1")
    assert [note["code"] for note in only["notes"] if note["code"] == "range_chosen"]
    assert "the longest, number 1, was taken" in err
    code, out, _ = run("identify", two_ranges, "--model", tiny_model, "-f", "json", "--range-index", "all")
    assert [(Path(one["file"]).name, one["matches"][0]["name"]) for one in answers(out)] == [("both.uxd#1", "HKUST-1"), ("both.uxd#2", "ZIF-8")]
    for chosen in ([two_ranges, "--range-index", 2], [f"{two_ranges}#2"]):
        code, out, _ = run("identify", *chosen, "--model", tiny_model, "-f", "json")
        assert (code, answers(out)[0]["matches"][0]["name"]) == (0, "ZIF-8")
    code, out, _ = run("identify", f"{two_ranges}#3", "--model", tiny_model, "-f", "json")
    assert code == 1
    assert "has no range 3" in answers(out)[0]["reason"]


def test_samples_of_a_table_are_identified_one_by_one(run, tiny_model, two_samples):
    code, out, err = run("identify", two_samples, "--model", tiny_model, "-f", "json")
    assert (code, answers(out)[0]["matches"][0]["name"]) == (0, "HKUST-1")
    assert "The table holds 2 samples; first one was taken. --column chooses another: second one" in err
    code, out, _ = run("identify", two_samples, "--model", tiny_model, "-f", "json", "--column", "all")
    assert [(one["file"].split("#")[1], one["matches"][0]["name"]) for one in answers(out)] == [("first one", "HKUST-1"), ("second one", "ZIF-8")]
    for column in ("second one", "2"):
        code, out, _ = run("identify", two_samples, "--model", tiny_model, "-f", "json", "--column", column)
        assert answers(out)[0]["matches"][0]["name"] == "ZIF-8"


def test_a_file_with_a_hash_in_its_name_is_whole(run, tiny_model, scans):
    place = scans / "run#2"
    place.write_bytes((scans / "b.xy").read_bytes())
    code, out, _ = run("identify", place, "--model", tiny_model, "-f", "json")
    assert (code, answers(out)[0]["matches"][0]["name"]) == (0, "ZIF-8")


def test_filtered_parts_have_names_of_their_own(run, tmp_path, two_ranges):
    code, _, _ = run("denoise", two_ranges, "-o", tmp_path / "out", "--range-index", "all")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["both-1.xy", "both-2.xy"]


@pytest.mark.parametrize("wrong", ["0", "two", "-1", "1.5"])
def test_ranges_that_are_none_are_usage_errors(run, tiny_model, two_ranges, wrong):
    code, _, err = run("identify", two_ranges, "--model", tiny_model, f"--range-index={wrong}")
    assert code == 2
    assert "--range-index" in err
    assert f"expected a number from 1, or all, got '{wrong}'" in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize("option", ["--range-index", "--column"])
def test_all_needs_files_that_are_there(run, scans, option):
    for args in (["-"], ["--watch", scans]):
        code, _, err = run("identify", *args, option, "all")
        assert code == 2
        assert "all" in err


def test_a_list_of_peaks_is_drawn_where_that_is_asked_for(run, tiny_model, scans, tmp_path):
    pattern = xrdmatch.read(scans / "b.xy")
    above = pattern.intensity > 0.05 * pattern.intensity.max() + np.median(pattern.intensity)
    tops = [
        at for at in range(2, pattern.two_theta.size - 2) if above[at] and pattern.intensity[at] == pattern.intensity[max(0, at - 15) : at + 16].max()
    ]
    place = tmp_path / "peaks.txt"
    place.write_text("Peak list\n2theta Height\n" + "".join(f"{pattern.two_theta[at]:.3f} {pattern.intensity[at]:.1f}\n" for at in tops))
    code, out, _ = run("identify", place, "--model", tiny_model, "-f", "json")
    assert code == 1
    assert f"is a list of {len(tops)} peaks" in answers(out)[0]["reason"]
    code, out, err = run("identify", place, "--model", tiny_model, "-f", "json", "--peaks")
    assert (code, answers(out)[0]["matches"][0]["name"]) == (0, "ZIF-8")
    assert "Drawn from a list of" in err


def test_q_is_converted_with_the_wavelength_that_is_given(run, tiny_model, scans, tmp_path):
    pattern = xrdmatch.read(scans / "b.xy")
    q = 4 * np.pi * np.sin(np.radians(pattern.two_theta / 2)) / 1.541871
    place = tmp_path / "q.dat"
    place.write_text("# q (1/A) Intensity\n" + "".join(f"{a:.6f} {b:.2f}\n" for a, b in zip(q, pattern.intensity, strict=True)))
    code, _, err = run("identify", place, "--model", tiny_model)
    assert code == 1
    assert "--wavelength" in err
    code, out, _ = run("identify", place, "--model", tiny_model, "-f", "json", "--wavelength", "Cu")
    assert (code, answers(out)[0]["matches"][0]["name"]) == (0, "ZIF-8")


def test_a_folder_takes_scans_by_content_and_lists_what_it_passed_over(run, tiny_model, scans):
    scans.joinpath("c.measured").write_bytes((scans / "b.xy").read_bytes())
    scans.joinpath("d.frompeter").write_bytes(make.raw4())
    scans.joinpath("readme.md").write_text("# notes\nmade on Monday, 24 h at 120 C\n")
    scans.joinpath("photo.bin").write_bytes(bytes(range(256)) * 10)
    scans.joinpath("small.tab").write_text("1 2\n3 4\n5 6\n")
    scans.joinpath("copying.xy.part").write_bytes((scans / "b.xy").read_bytes())
    code, out, err = run("identify", scans, "--model", tiny_model, "-f", "json")
    assert {Path(one["file"]).name for one in answers(out)} >= {"a.xy", "b.xy", "c.measured", "d.frompeter"}
    assert "skipped 5 files that are not scans: copying.xy.part, notes.doc, photo.bin, readme.md, small.tab" in err
    assert code in (0, 1)
    _, _, err = run("identify", scans, "--model", tiny_model, "-f", "json", "--quiet")
    assert "skipped" not in err


def test_all_known_formats_are_taken_without_a_known_ending(tmp_path):
    for name, (encode, _) in make.ALL.items():
        if name != "text":  # too short a table to be taken without its ending
            tmp_path.joinpath(f"{name}.unknown").write_bytes(encode())
    assert [path.name for path in sorted(tmp_path.iterdir()) if not is_measured(path)] == []


def test_our_own_hdf5_files_are_no_scans(tmp_path, library):
    with h5py.File(tmp_path / "old.h5", "w") as file:  # a library of version 0.1 begins with HDF5's own signature
        file.attrs["format"] = "xrdmatch-library"
    library.save(tmp_path / "new.h5")
    assert not is_measured(tmp_path / "old.h5")
    assert not is_measured(tmp_path / "new.h5")


def test_a_damaged_file_does_not_stop_those_of_which_all_parts_are_asked_for(run, tiny_model, scans):
    scans.joinpath("damaged.xrdml").write_bytes(
        make.xrdml().replace(b"</intensities>", b" many</intensities>").replace(b"</counts>", b" many</counts>")
    )
    for option in ("--range-index", "--column"):
        code, out, _ = run("identify", scans / "damaged.xrdml", scans / "b.xy", "--model", tiny_model, "-f", "json", option, "all")
        assert code == 1
        assert [one["verdict"] for one in answers(out)] == ["error", "match"]


def test_a_sample_whose_name_holds_the_mark(run, tiny_model, two_samples):
    two_samples.write_text(two_samples.read_text().replace("second one", "batch #2b"))
    code, out, _ = run("identify", two_samples, "--model", tiny_model, "-f", "json", "--column", "all")
    assert code == 0
    assert [one["file"].partition("#")[2] for one in answers(out)] == ["first one", "batch #2b"]


def test_parts_of_a_path():
    assert inputs.located("folder/scan.raw#2") == ("folder/scan.raw", "2")
    assert inputs.located("scan.raw") == ("scan.raw", "")
    assert inputs.located("scan.raw#") == ("scan.raw#", "")
