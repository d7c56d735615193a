"""What is asked for wrongly: every usage error names its option as people type it, and exits with 2."""

from __future__ import annotations

import ast
from pathlib import Path

import cifs
import pytest

CLI = Path(__file__).parents[1] / "xrdmatch" / "cli"

WRONG = {
    "--elements": ["identify", "SCAN", "--elements", "Xx"],
    "--exclude": ["identify", "SCAN", "--exclude", ""],
    "--wavelength": ["identify", "SCAN", "--wavelength", "foo"],
    "--top": ["identify", "SCAN", "--top", "0"],
    "--range-index": ["identify", "SCAN", "--range-index", "0"],
    "--scheduler": ["identify", "SCAN", "--scheduler", "nonsense"],
    "--plot": ["identify", "SCAN", "--plot", "a.txt"],
    "--html": ["identify", "SCAN", "--html", "a.txt"],
    "--export": ["identify", "SCAN", "--export", "SCAN"],
    "--export-shifted": ["identify", "SCAN", "--export-shifted"],
    "--format": ["identify", "SCAN", "--format", "xml"],
    "PATH": ["identify", "-", "-"],
    "--output": ["simulate", "SCAN", "-o", "a.foo"],
    "--start": ["simulate", "SCAN", "-o", "a.xy", "--start", "90", "--stop", "10"],
    "--training": ["evaluate", "labels.csv", "--training", "set.h5"],
    "--baselines": ["evaluate", "labels.csv", "--baselines", "magic"],
    "--lr": ["train", "a.h5", "-o", "b", "--lr", "-1"],
    "--validation": ["train", "a.h5", "-o", "b", "--validation", "2"],
    "--watch": ["identify", "SCAN", "--watch", "gone"],
    "-o of explain": ["explain", "SCAN", "-o", "a.txt"],
    "-o of map": ["map", "SCAN", "-o", "a.txt"],
    "-o of train": ["train", "SCAN", "-o", "SCAN"],
    "--model": ["add", "SCAN", "--model", "SCAN"],
    "--model of identify": ["identify", "SCAN", "--model", "nosuch"],
    "--from": ["add", "SCAN", "--model", "new", "--from", "nosuch"],
    "-o of augment": ["augment", "a.h5", "-o", "b.txt", "--noise", "SCAN"],
    "-o of evaluate": ["evaluate", "labels.csv", "-o", "x.csv"],
    "--noise": ["augment", "a.h5", "-o", "b.h5", "--method", "shuffle"],
}


@pytest.mark.parametrize("option", WRONG)
def test_the_option_is_named(run, scans, option):
    name = option.split(" of ")[0]
    name = "--output" if name == "-o" else name
    code, out, err = run(*(scans / "a.xy" if word == "SCAN" else word for word in WRONG[option]))
    assert (code, out) == (2, "")
    said = " ".join(err.replace("│", " ").split())
    assert f"Invalid value for {name}" in said.replace("'", "").replace(f"{name} / ", f"{name} ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["identify", "SCAN", "--top", "0"], "--top: expected a whole number from 1 to 12, got 0"),
        (["identify", "SCAN", "-n", "13"], "--top: expected a whole number from 1 to 12, got 13"),
        (["identify", "SCAN", "--top", "many"], "--top: expected a whole number from 1 to 12, got many"),
        (["identify", "SCAN", "--jobs", "1.5"], "--jobs: expected a whole number, 1 or more, got 1.5"),
        (["identify", "SCAN", "--settle", "0.01"], "--settle: expected a number, 0.1 or more, got 0.01"),
        (["simulate", "SCAN", "-o", "a.xy", "--fwhm", "nan"], "--fwhm: expected a number, 0.001 or more, got nan"),
        (["simulate", "SCAN", "-o", "a.xy", "--start", "low"], "--start: expected a number, got low"),
        (["identify", "SCAN", "--filter", "always"], "--filter: expected auto, paper, on or off, got always"),
        (
            ["identify", "SCAN", "--model", "nosuch"],
            "--model: nosuch: expected a model's name or a folder with config.json",
        ),
    ],
)
def test_what_was_expected_and_what_came_is_said(run, scans, words, said):
    code, out, err = run(*(scans / "a.xy" if word == "SCAN" else word for word in words))
    assert (code, out) == (2, "")
    assert f"Invalid value for {said}" in " ".join(err.replace("│", " ").split())


def test_a_wrong_model_of_the_environment_is_named_so(run, scans, monkeypatch):
    monkeypatch.setenv("XRDMATCH_MODEL", "nosuch")
    code, _, err = run("identify", scans / "a.xy")
    assert code == 2
    assert "Invalid value for XRDMATCH_MODEL: nosuch" in " ".join(err.replace("│", " ").split())


def test_a_model_to_copy_for_a_folder_that_is_a_model(run, tiny_model, tmp_path):
    (tmp_path / "A.cif").write_text(cifs.cif(["Zn1 Zn 0 0 0"]))
    code, _, err = run("add", tmp_path / "A.cif", "--model", tiny_model, "--from", tiny_model)
    assert code == 2
    assert "already holds a model" in " ".join(err.replace("│", " ").split())


def test_all_of_them_are_made_by_the_function_that_names_the_option():
    raised = {
        path.name
        for path in CLI.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.BadParameter", "BadParameter")
    }
    assert raised == {"options.py"}


def test_a_file_where_a_command_is_expected(run, scans):
    code, _, err = run(scans / "a.xy")
    said = " ".join(err.replace("│", " ").split())
    assert code == 2
    assert "is not a command. To identify it: xrdmatch identify" in said


@pytest.mark.parametrize(("word", "advice"), [("identfy", "Did you mean 'identify'?"), ("absent.raw", "All commands: xrdmatch --help")])
def test_a_word_that_is_no_command(run, word, advice):
    code, _, err = run(word)
    assert code == 2
    assert f"'{word}' is not a command. {advice}" in " ".join(err.replace("│", " ").split())


MISSING = (
    ["identify", "GONE", "--model", "MODEL"],
    ["identify", "GONE", "--model", "MODEL", "--verbose", "--quiet"],
    ["denoise", "GONE", "-o", "out.xy"],
    ["explain", "GONE", "-o", "out.png", "--model", "MODEL"],
    ["map", "GONE", "-o", "out.png"],
    ["evaluate", "GONE", "--model", "MODEL"],
    ["evaluate", "LABELS", "--model", "MODEL", "--join", "GONE"],
    ["augment", "GONE", "-o", "out.h5", "--method", "physics"],
    ["augment", "LIBRARY", "-o", "out.h5", "--method", "physics", "--ids", "GONE"],
    ["augment", "LIBRARY", "-o", "out.h5", "--noise", "GONE"],
    ["train", "GONE", "-o", "out"],
    ["simulate", "GONE", "-o", "out.h5"],
    ["simulate", "LABELS", "-o", "out.h5", "--doi", "GONE"],
    ["add", "GONE", "--model", "out"],
)


@pytest.mark.parametrize("words", MISSING, ids=lambda words: " ".join(word for word in words if word.islower()))
def test_a_missing_file_is_told_once(run, tiny_model, scans, tmp_path, words):
    (tmp_path / "labels.csv").write_text(f"file,label\n{scans / 'a.xy'},HKUST-1\n")
    gone, place = tmp_path / "gone.file", {"MODEL": tiny_model, "LIBRARY": tiny_model / "library.h5", "LABELS": tmp_path / "labels.csv"}
    code, out, err = run(*(gone if word == "GONE" else tmp_path / word if word.startswith("out") else place.get(word, word) for word in words))
    assert code == 1
    assert (out + err).count("gone.file") == 1
    assert "Errno" not in err
    assert not list(tmp_path.glob("out*"))


def test_results_hold_a_missing_file_once_and_standard_error_once_more(run, tiny_model):
    code, out, err = run("identify", "gone.xy", "--model", tiny_model, "--format", "csv")
    assert code == 1
    assert (len(out.splitlines()), err.count("gone.xy")) == (2, 1)


def test_a_report_that_cannot_be_written_is_told_before_the_work(run, tmp_path):
    (tmp_path / "salt.cif").write_text(cifs.cif(["Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5"]))
    code, _, err = run("simulate", tmp_path / "salt.cif", "-o", tmp_path / "x.h5", "--report", tmp_path / "gone" / "r.csv", "--jobs", 1)
    assert (code, "cannot be written" in err, (tmp_path / "x.h5").exists()) == (1, True, False)


@pytest.mark.parametrize(("name", "first"), [("out.csv", "file,verdict,"), ("out.json", "{"), ("out.jsonl", "{"), ("out.txt", "ZIF-8  ")])
def test_the_ending_of_the_output_is_its_form(run, scans, tiny_model, tmp_path, name, first):
    code, _, _ = run("identify", scans / "b.xy", "--model", tiny_model, "-o", tmp_path / name)
    assert code == 0
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(first)


def test_the_ending_says_the_form_of_an_evaluation_too(run, scans, tiny_model, tmp_path):
    (scans / "labels.csv").write_text("file,label\na.xy,HKUST-1\n")
    for name, first in (("out.json", "{"), ("out.txt", "Kind")):
        assert run("evaluate", scans / "labels.csv", "--model", tiny_model, "-o", tmp_path / name)[0] == 0
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(first)


def test_what_is_asked_for_goes_before_the_ending(run, scans, tiny_model, tmp_path):
    run("identify", scans / "b.xy", "--model", tiny_model, "-o", tmp_path / "out.csv", "--format", "json")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("{")
