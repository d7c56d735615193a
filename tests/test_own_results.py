"""Results of xrdmatch beside scans: left out of folders by what is in them, refused by name where they are named."""

from __future__ import annotations

import json

import pytest

import xrdmatch
from xrdmatch.formats.own_results import is_own_result
from xrdmatch.report import records, refinement_files


@pytest.fixture
def with_results(run, scans, tiny_model):
    """The folder of scans with one of each result in it, under names that scans have."""
    for name, form in (("results.csv", "csv"), ("results.txt", "json"), ("table.dat", "table")):
        run("identify", scans / "a.xy", "--model", tiny_model, "--format", form, "-o", scans / name)
    (scans / "labels.csv").write_text("file;label\na.xy;HKUST-1\n")
    run("evaluate", scans / "labels.csv", "--model", tiny_model, "-o", scans / "scores.txt", "--format", "json")
    run("identify", scans / "a.xy", "--model", tiny_model, "--export", scans / "sub", "-o", scans / "sub.txt")
    for path in (scans / "sub").glob("*.csv"):
        path.rename(scans / path.name)
    return scans


def test_a_folder_gives_its_scans_alone(run, with_results, tiny_model):
    code, out, _ = run("identify", with_results, "--model", tiny_model, "--format", "json")
    assert code == 0
    assert [json.loads(line)["file"] for line in out.splitlines()] == [str(with_results / name) for name in ("a.xy", "b.xy")]


@pytest.mark.parametrize("name", ["results.csv", "results.txt", "table.dat", "labels.csv", "scores.txt", "a.peaks.csv", "a.lines.csv"])
def test_one_that_is_named_is_refused(with_results, name):
    with pytest.raises(xrdmatch.ReadError, match=rf"{name}: is a result or a table of xrdmatch, not a scan"):
        xrdmatch.read(with_results / name)


def test_what_xrdmatch_denoises_and_simulates_is_a_scan(run, scans, tmp_path):
    for suffix in ("xy", "xye", "csv"):
        out = tmp_path / f"clean.{suffix}"
        assert run("denoise", scans / "a.xy", "-o", out)[0] == 0
        assert not is_own_result(out.read_bytes())
        assert xrdmatch.read(out).two_theta.size > 100


def test_the_tables_begin_as_they_are_told_by():
    for fields in (records.CSV_FIELDS, refinement_files.LINE_FIELDS, refinement_files.PEAK_FIELDS):
        assert is_own_result((",".join(fields) + "\n").encode())
