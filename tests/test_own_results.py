"""What xrdmatch writes is no scan, unless it is one: recognised by what stands in it, whatever it is called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cifs
import pytest

from xrdmatch import formats
from xrdmatch.cli import inputs
from xrdmatch.errors import ReadError
from xrdmatch.formats.own_results import own_result
from xrdmatch.formats.registry import COLUMNS
from xrdmatch.report import records, refinement_files

ATOMS = ["Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5"]


def taken(folder, recursive=False):
    """Names of the files of a folder that are taken for scans."""
    return sorted(Path(name).name for name, absent in inputs.expand([str(folder)], recursive) if not absent)


@pytest.fixture
def results(run, tiny_model, scans, tmp_path, monkeypatch):
    """A folder with everything that is written about scans, none of it a scan."""
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / "results"
    folder.mkdir()
    (scans / "bad.xy").write_text("no scan")
    (scans / "labels.csv").write_text("file,label,accepted,wavelength,kind\na.xy,HKUST-1,HKUST-1,1.541871,mof\nb.xy,ZIF-8,ZIF-8,1.541871,mof\n")
    for form, words in (("table", []), ("table", ["--verbose"]), ("json", []), ("json", ["--verbose"]), ("csv", [])):
        target = folder / f"identify-{form}{len(words)}.txt"
        run("identify", scans, scans / "bad.xy", "--model", tiny_model, "-f", form, "-o", target, "-q", *words)
    run("identify", scans / "bad.xy", "--model", tiny_model, "-o", folder / "only-an-error.txt", "-q")
    run("identify", scans / "a.xy", scans / "b.xy", "--model", tiny_model, "--export", tmp_path / "export", "-q")
    for path in (tmp_path / "export").glob("*.csv"):
        shutil.copy(path, folder)
    for form in ("table", "json"):
        run("evaluate", scans / "labels.csv", "--model", tiny_model, "-f", form, "-o", folder / f"evaluate-{form}.txt", "-q")
    shutil.copy(scans / "labels.csv", folder)
    (tmp_path / "salt.cif").write_text(cifs.cif(ATOMS))
    (tmp_path / "rubbish.cif").write_text("no structure")
    run("simulate", tmp_path / "salt.cif", tmp_path / "rubbish.cif", "-o", tmp_path / "x.h5", "--report", folder / "report.csv", "--jobs", 1, "-q")
    _, info, _ = run("info", "--model", tiny_model, "--format", "json")
    (folder / "info.txt").write_text(info)
    answers = [json.loads(line) for line in (folder / "identify-json0.txt").read_text().splitlines()]
    (folder / "as-a-list.txt").write_text(json.dumps(answers, indent=2))
    (folder / "semicolons.csv").write_text((folder / "labels.csv").read_text().replace(",", ";"))
    (folder / "as-powershell-writes.txt").write_bytes((folder / "identify-csv0.txt").read_text().encode("utf-16"))
    assert all(path.suffix in COLUMNS.suffixes and path.stat().st_size for path in folder.iterdir())
    return folder


def test_in_a_folder_they_are_passed_over_whatever_their_names(results, scans):
    assert taken(results) == []
    for path in list(results.iterdir()):
        path.rename(path.with_suffix(".xy"))
    assert taken(results) == []
    shutil.copytree(results, scans / "results")
    assert taken(scans, recursive=True) == ["a.xy", "b.xy", "bad.xy"]


def test_named_they_are_told_as_what_they_are(results):
    for path in results.iterdir():
        with pytest.raises(ReadError) as caught:
            formats.read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "not a scan: " in str(caught.value)
        assert "xrdmatch " in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_a_named_one_costs_the_others_nothing(run, results, tiny_model, scans):
    code, out, err = run("identify", scans / "a.xy", results / "identify-csv0.txt", "--model", tiny_model, "-f", "json", "-q")
    assert code == 1
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["match", "error"]
    assert "is a result of xrdmatch identify, not a scan" in err


def test_scans_that_xrdmatch_writes_are_scans(run, scans, tmp_path):
    folder = tmp_path / "written"
    folder.mkdir()
    for suffix in ("xy", "xye", "csv"):
        assert run("denoise", scans / "b.xy", "-o", folder / f"denoised.{suffix}", "--filter", "on", "-q")[0] == 0
    (tmp_path / "salt.cif").write_text(cifs.cif(ATOMS))
    for suffix in ("xy", "csv"):
        assert run("simulate", tmp_path / "salt.cif", "-o", folder / f"simulated.{suffix}")[0] == 0
    assert taken(folder) == ["denoised.csv", "denoised.xy", "denoised.xye", "simulated.csv", "simulated.xy"]
    for path in folder.iterdir():
        assert formats.read(path).two_theta.size > 100


def test_the_tables_begin_as_they_are_told_by():
    for fields in (records.CSV_FIELDS, refinement_files.LINE_FIELDS, refinement_files.PEAK_FIELDS):
        assert own_result((",".join(fields) + "\n").encode())


def test_the_log_of_a_training_is_none(tmp_path):
    classifier = pytest.importorskip("xrdmatch.training.classifier", reason="needs the train extra")
    row = {"epoch": 1, "loss": 2.0, "val_loss": 2.1, "val_top1": 0.1, "val_top5": 0.3, "patterns_per_second": 500.0, "seconds": 3.0}
    classifier.write_log(tmp_path / "training.csv", [row])
    assert taken(tmp_path) == []


HEADERS = ("# file label\n", "Sample;Label\n", "step,2theta,counts\n", "Angle;Intensity\n", "File: a\nLabel: b\n", "MATCH\n", "ERROR  1\n")


@pytest.mark.parametrize("text", HEADERS)
def test_headers_of_scans_are_not_mistaken(tmp_path, text):
    path = tmp_path / "scan.csv"
    separator = "," if "," in text else ";"
    path.write_text(text + "".join(separator.join([*[str(i)] * ("step" in text), f"{5 + 0.1 * i:.1f}", f"{100 + i % 7}"]) + "\n" for i in range(200)))
    assert taken(tmp_path) == ["scan.csv"]
    assert formats.read(path).two_theta.size == 200
