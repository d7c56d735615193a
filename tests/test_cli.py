"""The command line: what it prints where, its exit codes, and what it does with bad input."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import conftest
import numpy as np
import pytest
from cifs import SALT
from commands import in_subprocess

from xrdmatch import __version__
from xrdmatch.cli import inputs
from xrdmatch.library.reference_library import Library


@pytest.fixture
def cifs(tmp_path):
    """Two structures and a file that is none."""
    folder = tmp_path / "cifs"
    folder.mkdir()
    (folder / "salt.cif").write_text(SALT.format(name="salt"))
    (folder / "wide.cif").write_text(SALT.format(name="wide").replace("5.6402", "6.2"))
    (folder / "rubbish.cif").write_text("no structure")
    return folder


# --- identify


def test_json_has_one_line_a_file_in_order_and_bad_files_too(run, tiny_model, scans):
    (scans / "bad.csv").write_text("hello,world\n")
    missing = scans / "missing.xy"
    code, out, err = run("identify", scans / "b.xy", missing, scans / "bad.csv", scans / "a.xy", "--model", tiny_model, "--format", "json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [Path(line["file"]).name for line in lines] == ["b.xy", "missing.xy", "bad.csv", "a.xy"]
    assert [line["verdict"] for line in lines] == ["match", "error", "error", "match"]
    assert [line["matches"][0]["name"] for line in lines if line["matches"]] == ["ZIF-8", "HKUST-1"]
    assert lines[1]["matches"] == []
    assert "missing.xy" in lines[1]["reason"]
    assert [line["reason_code"] for line in lines] == ["fits", "error", "error", "fits"]
    assert err.count("error: ") == 2


def test_json_has_the_fields_of_the_contract(run, tiny_model, scans):
    code, out, _ = run("identify", scans / "b.xy", "--model", tiny_model, "--format", "json", "--top", 3, "--wavelength", "Cu")
    answer = json.loads(out)
    wanted = "file verdict reason reason_code name probability wavelength wavelength_source filtered noise provider model seconds matches notes"
    assert code == 0
    assert set(wanted.split()) <= set(answer)
    assert answer["wavelength_source"] == "option"
    assert answer["model"] == tiny_model.name
    assert (answer["verdict"], answer["reason_code"], answer["name"]) == ("match", "fits", "ZIF-8")
    assert answer["probability"] == pytest.approx(sum(match["probability"] for match in answer["matches"] if match["name"] == "ZIF-8"))
    assert len(answer["matches"]) == 3
    assert {"rank", "id", "name", "formula", "family", "members", "similarity", "probability", "shift"} <= set(answer["matches"][0])
    assert "evidence" not in answer["matches"][0]
    assert out.isascii()


def test_verbose_json_carries_the_evidence(run, tiny_model, scans):
    _, out, _ = run("identify", scans / "a.xy", "--model", tiny_model, "--format", "json", "--verbose")
    evidence = json.loads(out)["matches"][0]["evidence"]
    assert set(evidence) == {"explained", "matched", "missing", "extra", "positions"}
    assert evidence["matched"]


def test_an_assumed_wavelength_is_a_warning_and_a_note_unless_quiet(run, tiny_model, scans):
    _, out, err = run("identify", scans / "a.xy", scans / "b.xy", "--model", tiny_model, "--format", "json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert (first["wavelength_source"], second["wavelength_source"]) == ("default", "file")
    assert [note["code"] for note in first["notes"]] == ["wavelength_assumed"]
    assert second["notes"] == []
    assert err.count("warning: ") == 1
    assert "a.xy" in err
    assert run("identify", scans / "a.xy", "--model", tiny_model, "--format", "json", "--quiet")[2] == ""


def test_many_equal_warnings_are_counted(run, tiny_model, scans):
    _, _, err = run("identify", *[scans / "a.xy"] * 6, "--model", tiny_model, "--format", "csv")
    assert err.count("a.xy: Cu K\N{GREEK SMALL LETTER ALPHA} assumed") == 3
    assert "the same for 3 more" in err


def test_csv_has_one_header_and_one_row_a_phase(run, tiny_model, scans):
    code, out, _ = run("identify", scans / "a.xy", scans / "none.xy", "--model", tiny_model, "-f", "csv", "--top", 2)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert (rows[0]["verdict"], rows[0]["phase"], rows[0]["name"]) == ("match", "1", "HKUST-1")
    assert (rows[-1]["verdict"], rows[-1]["phase"]) == ("error", "")
    assert len(rows) == 2


def test_table_in_a_pipe_is_plain(run, tiny_model, scans, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, _ = run("identify", scans / "a.xy", "--model", tiny_model)
    assert code == 0
    assert out.startswith("HKUST-1  ")
    assert "C₁₈H₆Cu₃O₁₂" in out
    assert "assumed" in out
    assert not any(mark in out for mark in "\x1b─│█")
    assert max(len(line) for line in out.splitlines() if str(scans) not in line) <= 80
    assert all(line == line.rstrip() for line in out.splitlines())


def test_standard_input(run, tiny_model, scans):
    code, out, _ = run("identify", "-", "--model", tiny_model, "-f", "json", stdin=(scans / "b.xy").read_bytes())
    answer = json.loads(out)
    assert (code, answer["file"], answer["matches"][0]["name"]) == (0, "-", "ZIF-8")
    code, _, err = run("identify", "-", "--model", tiny_model, stdin=b"")
    assert code == 1
    assert "standard input" in err
    assert run("identify", "-", "-", "--model", tiny_model)[0] == 2


def test_folders_patterns_and_recursion(run, tiny_model, scans):
    (scans / "deep").mkdir()
    (scans / "deep" / "c.xy").write_bytes((scans / "a.xy").read_bytes())
    (scans / "._a.xy").write_text("what a Mac leaves behind")

    def files(*args):
        code, out, _ = run("identify", *args, "--model", tiny_model, "-f", "json", "-q")
        return code, [Path(json.loads(line)["file"]).name for line in out.splitlines()]

    assert files(scans) == (0, ["a.xy", "b.xy"])
    assert files(scans, "--recursive") == (0, ["a.xy", "b.xy", "c.xy"])
    assert files(scans / "[ab].xy") == (0, ["a.xy", "b.xy"])
    assert files(scans / "**" / "c.xy") == (0, ["c.xy"])
    assert files(scans / "*.zzz") == (1, ["*.zzz"])
    empty = scans / "empty"
    empty.mkdir()
    code, _, err = run("identify", empty, "--model", tiny_model)
    assert code == 1
    assert "no scans in this folder" in err


def test_a_file_whose_name_holds_brackets_is_that_file(tmp_path):
    name = tmp_path / "scan[1].xy"
    name.write_text("")
    assert list(inputs.expand([str(name)])) == [(str(name), "")]


def test_a_folder_takes_powder_cif_but_no_crystal_structure(tmp_path):
    (tmp_path / "powder.cif").write_text("data_x\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n")
    (tmp_path / "crystal.cif").write_text(SALT)
    (tmp_path / "scan.XY.gz").write_bytes(b"")
    assert [Path(name).name for name, _ in inputs.expand([str(tmp_path)])] == ["powder.cif", "scan.XY.gz"]


def test_output_is_whole_or_not_there_and_has_no_colour(run, tiny_model, scans, tmp_path, monkeypatch):
    target = tmp_path / "answers.jsonl"
    code, out, _ = run("identify", scans / "a.xy", "--model", tiny_model, "-f", "json", "--output", target)
    assert (code, out) == (0, "")
    assert json.loads(target.read_text())["verdict"] == "match"
    table = tmp_path / "answers.txt"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run("identify", scans / "a.xy", "--model", tiny_model, "--output", table)[:2] == (0, "")
    assert "HKUST-1" in table.read_text()
    assert "\x1b" not in table.read_text()
    code, _, err = run("identify", scans / "a.xy", "--model", tiny_model, "-o", tmp_path / "absent" / "x")
    assert code == 1
    assert "cannot be written" in err
    assert not list(tmp_path.glob("**/*.part"))


def test_order_does_not_depend_on_the_number_of_workers(run, tiny_model, scans):
    for number in range(8):
        (scans / f"c{number}.xy").write_bytes((scans / "a.xy").read_bytes())
    for path in scans.glob("*.xy"):
        os.utime(path, (1e9, 1e9))  # a file that has just changed gets a note for a while
    answers = [run("identify", scans, "--model", tiny_model, "--format", "json", "-q", "--jobs", jobs)[1] for jobs in (1, 8)]
    first, second = ([{**json.loads(line), "seconds": 0} for line in answer.splitlines()] for answer in answers)
    assert first == second
    assert [Path(line["file"]).name for line in first] == sorted(path.name for path in scans.glob("*.xy"))


def test_a_defect_in_one_file_does_not_stop_the_batch(run, tiny_model, scans, monkeypatch):
    from xrdmatch.search.identify import Identifier

    honest = Identifier.identify

    def sometimes(self, pattern, *args):
        if "a.xy" in args[-1]:
            raise IndexError("out of range")
        return honest(self, pattern, *args)

    monkeypatch.setattr(Identifier, "identify", sometimes)
    code, out, err = run("identify", scans, "--model", tiny_model, "-f", "json")
    assert code == 1
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["error", "match"]
    assert "please report" in err
    assert "Traceback" not in err


def test_wrong_usage_is_2_and_names_what_is_near(run, tiny_model, scans):
    assert run("identify")[0] == 2
    code, _, err = run("idenify", "x.xy")
    assert code == 2
    assert "identify" in err
    code, _, err = run("identify", "x.xy", "--wavelenth", "Cu")
    assert code == 2
    assert "--wavelength" in err
    code, _, err = run("identify", scans / "a.xy", "--wavelength", "Cx", "--model", tiny_model)
    assert code == 2
    assert "CuKa1" in err


@pytest.mark.parametrize(
    ("given", "meant"), [("idenify", "identify"), ("simulat", "simulate"), ("evalute", "evaluate"), ("inof", "info"), ("trian", "train")]
)
def test_a_mistyped_command_gets_a_suggestion(run, given, meant):
    code, out, err = run(given)
    assert (code, out) == (2, "")
    assert f"Did you mean '{meant}'" in " ".join(err.split())


def test_a_scan_without_a_command_gets_the_command(run, scans):
    code, out, err = run(scans / "a.xy", "--format", "json")
    said = "".join(err.replace("│", " ").split())
    assert (code, out) == (2, "")
    assert f"xrdmatchidentify{scans / 'a.xy'}--formatjson" in said


@pytest.mark.parametrize(
    ("command", "given", "meant"),
    [
        ("identify", "--recursiv", "--recursive"),
        ("simulate", "--out", "--output"),
        ("train", "--epoch", "--epochs"),
        ("info", "--devise", "--device"),
    ],
)
def test_a_mistyped_option_gets_a_suggestion(run, command, given, meant):
    code, _, err = run(command, given, "x")
    assert code == 2
    assert meant in err


def test_a_mistyped_choice_lists_the_choices(run, scans):
    code, _, err = run("identify", scans / "a.xy", "--format", "jsno")
    assert code == 2
    assert all(name in err for name in ("table", "json", "csv"))


def test_a_mistyped_model_or_file_gets_a_suggestion(run, tiny_model, scans, monkeypatch):
    from xrdmatch.model import folder

    monkeypatch.setattr(folder, "shipped_models", lambda: ["mof-encoder"])
    code, _, err = run("identify", scans / "a.xy", "--model", "mof-encodre")
    assert code == 2
    assert "did you mean mof-encoder?" in " ".join(err.replace("│", " ").split())
    code, _, err = run("identify", scans / "a.xyz", "--model", tiny_model, "--format", "json")
    assert code == 1
    assert f"did you mean {scans / 'a.xy'}" in err
    _, _, err = run("identify", scans / "something-else", "--model", tiny_model, "--format", "json")
    assert "did you mean" not in err
    assert "cannot be opened" in err


def test_first_time_help_shows_three_commands_in_80_columns(run, monkeypatch):
    code, out, err = run()
    assert (code, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines() if line.startswith("  xrdmatch")] == ["identify", "simulate", "train"]
    assert max(map(len, out.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "80")
    for args in (["--help"], ["identify", "--help"], ["train", "-h"]):
        code, out, _ = run(*args)
        assert code == 0
        assert max(map(len, out.splitlines())) <= 80
        assert "<bool>" not in out
        assert "list[" not in out


def test_version(run):
    for args in (["--version"], ["-V"]):
        assert run(*args) == (0, f"xrdmatch {__version__}\n", "")


def test_an_unknown_model_is_an_error_that_says_what_exists(run, scans):
    code, out, err = run("identify", scans / "a.xy", "--model", "no-such-model")
    assert (code, out) == (2, "")
    assert "no-such-model" in err
    assert "mof-encoder" in err


def test_cuda_is_an_error_where_it_cannot_run(run, tiny_model, scans):
    from xrdmatch.model.session import cuda_obstacle

    if cuda_obstacle() is None:
        pytest.skip("CUDA may run here")
    code, out, err = run("identify", scans / "a.xy", scans / "b.xy", "--model", tiny_model, "--device", "cuda")
    assert (code, out) == (1, "")
    assert err.count("cannot run on CUDA") == 1


def test_the_model_may_come_from_the_environment(run, tiny_model, scans, monkeypatch):
    monkeypatch.setenv("XRDMATCH_MODEL", str(tiny_model))
    assert run("identify", scans / "a.xy")[0] == 0


# --- Processes


def test_interrupt_is_130_with_one_line(tiny_model, scans):
    command = [sys.executable, "-m", "xrdmatch", "identify", *[str(scans)] * 500, "--model", str(tiny_model), "-f", "json", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("{")  # printed as it is done, not at the end
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.strip() == "interrupted"


def test_interrupt_while_it_starts_is_130_too():
    code = """import builtins
def interrupted(name, *rest, usual=builtins.__import__):
    if name == "typer":
        raise KeyboardInterrupt
    return usual(name, *rest)
builtins.__import__ = interrupted
from xrdmatch.__main__ import main
main()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (result.returncode, result.stderr) == (130, "interrupted\n")


def test_a_closed_pipe_is_quiet(tiny_model, scans):
    command = [sys.executable, "-m", "xrdmatch", "identify", *[str(scans)] * 50, "--model", str(tiny_model), "-f", "json", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.wait(timeout=120)


@pytest.mark.parametrize(
    ("args", "banned"),
    [
        (["--help"], {"numpy", "onnxruntime", "h5py", "rich", "pydantic", "xrdmatch.cli.identify"}),
        (["--version"], {"numpy", "onnxruntime", "h5py", "rich", "pydantic", "xrdmatch.cli.identify"}),
        (["identify", "--help"], {"numpy", "onnxruntime", "h5py", "pydantic", "xrdmatch.cli.simulate"}),
        (["identify", "SCAN", "--model", "MODEL", "-q"], {"scipy", "h5py", "pymatgen", "torch", "matplotlib", "gemmi", "pydantic"}),
        (["identify", "SCAN", "--model", "MODEL", "-f", "json", "-q"], {"h5py", "pydantic", "numpy.ma", "xrdmatch.cli.simulate"}),
    ],
)
def test_start_up_imports_only_what_it_needs(args, banned, tiny_model, scans):
    args = [{"SCAN": str(scans / "a.xy"), "MODEL": str(tiny_model)}.get(arg, arg) for arg in args]
    code = f"""import sys
sys.argv = ["xrdmatch", *{args!r}]
from xrdmatch.cli.app import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(sorted({banned!r} & set(sys.modules)), file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert result.stderr.strip() == "[]"


def test_old_code_pages_do_not_end_the_run(tiny_model, scans):
    result = in_subprocess("identify", scans / "a.xy", "--model", tiny_model, "-q", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0
    assert b"C18H6Cu3O12" in result.stdout


# --- The other commands


def test_no_arguments_show_the_three_commands_that_matter(run):
    code, out, _ = run()
    assert code == 0
    assert all(f"xrdmatch {command}" in out for command in ("identify", "simulate", "train"))
    code, out, _ = run("--version")
    assert (code, out) == (0, f"xrdmatch {__version__}\n")


def test_every_command_of_the_contract_has_help(run):
    _, out, _ = run("--help")
    for command in ("simulate", "augment", "denoise", "train", "identify", "evaluate", "add", "info"):
        assert f" {command} " in out
        code, text, _ = run(command, "--help")
        assert code == 0
        assert "Usage: xrdmatch" in text


def test_simulate_library_lists_failures_and_still_writes_it(run, cifs, tmp_path):
    target, report = tmp_path / "library.h5", tmp_path / "report.csv"
    code, out, err = run("simulate", cifs, "-o", target, "--jobs", 1, "--report", report)
    assert (code, out) == (1, "")
    assert sorted(Library.load(target).id.tolist()) == ["salt", "wide"]
    assert "1 could not be loaded" in err
    assert "rubbish.cif" in err
    assert [row[:2] for row in csv.reader(report.open())] == [["what", "name"], ["failed", "rubbish.cif"]]


def test_simulate_one_pattern(run, cifs, tmp_path):
    from xrdmatch.formats import read

    target = tmp_path / "salt.xy"
    assert run("simulate", cifs / "salt.cif", "-o", target, "--start", 20, "--stop", 40, "--wavelength", "CuKa1")[0] == 0
    pattern = read(target)
    assert (pattern.two_theta[0], pattern.two_theta[-1]) == (20.0, 40.0)
    assert pattern.wavelength == pytest.approx(1.540593)
    assert pattern.two_theta[np.argmax(pattern.intensity)] == pytest.approx(31.70, abs=0.03)
    code, _, err = run("simulate", cifs / "salt.cif", cifs / "wide.cif", "-o", target)
    assert code == 1
    assert "one structure" in err
    assert run("simulate", cifs, "-o", tmp_path / "x.pdf")[0] == 2
    assert run("simulate", cifs, "-o", target, "--start", 50, "--stop", 40)[0] == 2


def test_repairs_and_doubts_are_told_alike_everywhere(run, tiny_model, tmp_path):
    """A library build, a pattern and an addition print the same line of one file."""
    path = tmp_path / "ODDONE.cif"
    path.write_text(SALT.format(name="x").replace("0.5 0.5 0.5", "1/2 . 0") + "_chemical_formula_sum 'Cl2 Na'\n")
    lines = set()
    added = ("add", path, "-m", tmp_path / "m", "--from", tiny_model)
    for given in (("simulate", path, "-o", tmp_path / "x.xy"), ("simulate", path, "-o", tmp_path / "x.h5"), added):
        code, _, err = run(*given)
        assert code == 0
        assert "1 repaired, read leniently, or doubtful:" in err
        lines |= {line for line in err.splitlines() if "ODDONE: " in line and "family" not in line}
        if given[0] == "simulate":
            assert "ODDONE" not in run(*given, "--quiet")[2]
    assert lines == {"  ODDONE: read '.' as 0 in 1 coordinates; doubtful: the atoms read are Cl Na, but the file's sum formula is Cl2 Na"}


def test_denoise_writes_a_file_or_a_folder(run, scans, tmp_path):
    from xrdmatch.formats import read

    code, out, err = run("denoise", scans / "b.xy", "-o", tmp_path / "b.xye", "--filter", "on")
    assert (code, out) == (0, "")
    assert "filtered" in err
    assert read(tmp_path / "b.xye").two_theta.size == read(scans / "b.xy").two_theta.size
    (scans / "b.csv").write_bytes((scans / "b.xy").read_bytes())
    (scans / "bad.csv").write_text("rubbish")
    code, _, err = run("denoise", scans, "-o", tmp_path / "clean")
    assert code == 1
    assert "bad.csv" in err
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == ["a.xy", "b.xy", "b.xy.xy"]
    assert run("denoise", scans, "-o", tmp_path / "one.xy")[0] == 2
    assert run("denoise", scans, "-o", tmp_path / "one.pdf")[0] == 2


def test_augment_and_train_a_classifier(run, tiny_model, scans, tmp_path):
    pytest.importorskip("torch", reason="needs the train extra")
    library, made, folder = tiny_model / "library.h5", tmp_path / "set.h5", tmp_path / "wang"
    (scans / "bad.csv").write_text("rubbish")
    code, _, err = run("augment", library, "-o", made, "--noise", scans, "--copies", 6, "--limit", 4)
    assert code == 0
    assert "24 patterns of 4 structures, noise from 2 scans" in err
    assert "not used as a noise source" in err
    code, out, err = run("train", made, "-o", folder, "--epochs", 1, "--batch", 8, "--library", library, "--jobs", 1)
    assert (code, out) == (0, ""), err
    assert len(Library.load(folder / "library.h5")) == 4
    code, out, _ = run("identify", scans / "a.xy", "--model", folder, "-f", "json", "-q")
    assert code == 0
    assert json.loads(out)["matches"]


def test_training_says_when_nothing_was_learned(run, tiny_model, scans, tmp_path):
    pytest.importorskip("torch", reason="needs the train extra")
    library, made = tiny_model / "library.h5", tmp_path / "set.h5"
    run("augment", library, "-o", made, "--noise", scans, "--copies", 6, "--limit", 4)
    code, _, err = run("train", made, "-o", tmp_path / "still", "--epochs", 1, "--lr", 0.0, "--library", library, "--jobs", 1)
    assert code == 0
    assert "learned nothing" in err


@pytest.mark.parametrize(
    ("command", "target", "option"),
    [
        ("simulate", "x.h5", ("--wavelength", "Mo")),
        ("simulate", "x.h5", ("--start", "5.0")),  # also where it is the default
        ("simulate", "x.xy", ("--no-names",)),
        ("simulate", "x.xy", ("--resume",)),
        ("train", "m", ("--lr", "0.01")),
        ("train", "m", ("--precision", "float32")),
    ],
)
def test_options_that_would_do_nothing_are_refused(run, tiny_model, tmp_path, command, target, option):
    (tmp_path / "salt.cif").write_text(SALT)
    source = tmp_path / "salt.cif" if command == "simulate" else tiny_model / "library.h5"
    code, out, err = run(command, source, "-o", tmp_path / target, *option)
    assert (code, out) == (2, "")
    assert "belongs to" in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / target).exists()


def test_training_says_when_bfloat16_is_slow(run, tiny_model, scans, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="needs the train extra")
    library, made = tiny_model / "library.h5", tmp_path / "set.h5"
    run("augment", library, "-o", made, "--noise", scans, "--copies", 2, "--limit", 4)
    for units, precision, said in ((False, "bfloat16", True), (True, "bfloat16", False), (False, "float32", False)):
        monkeypatch.setattr("xrdmatch.training.networks.has_half_precision", lambda device, units=units: units)
        folder = tmp_path / f"{units}-{precision}"
        code, _, err = run("train", made, "-o", folder, "--epochs", 1, "--precision", precision, "--library", library, "--device", "cpu", "--jobs", 1)
        assert code == 0
        assert ("has no hardware for it" in err) is said


def test_a_noise_source_has_to_cover_half_of_the_grid(run, tiny_model, scans, tmp_path):
    lines = (scans / "a.xy").read_text().splitlines(keepends=True)
    (scans / "short.xy").write_text("".join(lines[:300]))
    (scans / "part.xy").write_text("".join(lines[:900]))
    code, _, err = run("augment", tiny_model / "library.h5", "-o", tmp_path / "set.h5", "--noise", scans / "short.xy", "--noise", scans / "part.xy")
    assert code == 0
    assert "short.xy: covers" in err
    assert "noise from 1 scan\n" in err
    code, _, err = run("augment", tiny_model / "library.h5", "-o", tmp_path / "set.h5", "--noise", scans / "short.xy")
    assert code == 1
    assert "none of the noise sources" in err


def test_augment_takes_the_ids_of_a_file(run, tiny_model, scans, tmp_path):
    from xrdmatch.training.training_set import AugmentedSet

    ids, made = tmp_path / "ids.txt", tmp_path / "set.h5"
    ids.write_text("EEEEEE_clean\nAAAAAA_clean\n")
    assert run("augment", tiny_model / "library.h5", "-o", made, "--noise", scans, "--copies", 2, "--ids", ids)[0] == 0
    with AugmentedSet(made) as data:
        assert data.ids == ["AAAAAA_clean", "EEEEEE_clean"]
    ids.write_text("NOBODY\n")
    code, _, err = run("augment", tiny_model / "library.h5", "-o", made, "--noise", scans, "--ids", ids)
    assert code == 1
    assert "NOBODY" in err


@pytest.mark.parametrize(("option", "value"), [("--validation", "1.5"), ("--validation", "nan"), ("--lr", "-1"), ("--lr", "inf")])
def test_train_takes_no_numbers_that_mean_nothing(run, tiny_model, tmp_path, option, value):
    code, _, err = run("train", tiny_model / "library.h5", "-o", tmp_path / "m", option, value)
    assert (code, option in err) == (2, True)


def test_train_refuses_a_folder_that_holds_a_model(run, tiny_model, tmp_path):
    """Before the work, and as it was."""
    pytest.importorskip("torch", reason="needs the train extra")
    folder = tmp_path / "mine"
    shutil.copytree(tiny_model, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for words in ((), ("--resume",)):
        code, out, err = run("train", tiny_model / "library.h5", "-o", folder, *words)
        assert (code, out, err) == (1, "", f"error: {folder}: already holds a model; give --overwrite to replace it, or another folder\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("lock")} == before
    assert run("train", tiny_model / "library.h5", "-o", folder, "--resume", "--overwrite")[0] == 2


def test_train_says_what_fits_a_file(run, tiny_model, scans, tmp_path):
    code, _, err = run("train", tiny_model / "library.h5", "-o", tmp_path / "m", "--network", "wang2020")
    assert code == 1
    assert "xrdmatch augment" in err
    code, _, err = run("train", scans / "a.xy", "-o", tmp_path / "m")
    assert code == 1
    assert "a.xy" in err


def test_evaluate_prints_intervals(run, tiny_model, scans):
    labels = scans / "labels.csv"
    labels.write_text("file,label,accepted,wavelength,kind\na.xy,HKUST-1,HKUST-1,,mof\nb.xy,UiO-66,UiO-66,1.5418,mof\nno.xy,x,x,,mof\n")
    code, out, err = run("evaluate", labels, "--model", tiny_model)
    assert code == 1
    assert "top-1" in out
    assert "33 %" in out
    assert "no.xy" in err
    code, out, _ = run("evaluate", labels, "--model", tiny_model, "--format", "json")
    scores = json.loads(out)["scores"]
    assert (scores[0]["right"], scores[0]["total"]) == (1, 3)


def test_add_puts_a_structure_into_a_copy(run, tiny_model, cifs, tmp_path):
    mine = tmp_path / "mine"
    code, _, err = run("add", cifs / "salt.cif", "--model", mine, "--from", tiny_model)
    assert code == 0, err
    assert Library.load(mine / "library.h5").id.tolist()[-1] == "salt"
    assert len(Library.load(tiny_model / "library.h5")) == len(conftest.STRUCTURES)


def test_info_says_what_would_run(run, tiny_model):
    code, out, _ = run("info", "--model", tiny_model, "--format", "json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["xrdmatch"], facts["entries"], facts["kind"]) == (__version__, 5, "encoder")
    assert facts["provider"] in ("CPUExecutionProvider", "CUDAExecutionProvider")
    assert f"numpy {np.__version__}" in facts["packages"]
    code, out, _ = run("info", "--model", "no-such-model")
    assert code == 1
    assert f"numpy {np.__version__}" in out
    assert "no-such-model" in out


def test_augment_warns_of_noise_that_drowns_the_patterns(run, library, tmp_path):
    library.save(tmp_path / "library.h5")
    counts = np.random.default_rng(0).poisson(100.0, 2251)
    (tmp_path / "blank.xy").write_text("".join(f"{5 + 0.02 * i:.2f} {count}\n" for i, count in enumerate(counts)))
    call = ("augment", tmp_path / "library.h5", "-o", tmp_path / "set.h5", "--noise", tmp_path / "blank.xy", "--copies", 2)
    assert "--strength" in run(*call)[2]
    assert "--strength" not in run(*call, "--strength", 0.1)[2]


def test_augment_by_physics_and_mixed(run, tiny_model, scans, tmp_path):
    from xrdmatch.training.training_set import AugmentedSet

    library, out = tiny_model / "library.h5", tmp_path / "set.h5"
    code, _, err = run("augment", library, "-o", out, "--method", "physics", "--copies", 4, "--level", "hard", "--blank", scans / "a.xy")
    assert (code, "20 patterns of 5 structures, blanks from 1 scan\n" in err) == (0, True), err
    with AugmentedSet(out) as data:
        assert data.provenance["level"]["counts"] == [1.3, 3.7]
        assert data.provenance["blanks"] == ["a.xy"]
    code, _, err = run("augment", library, "-o", out, "--method", "mix", "--copies", 4, "--noise", scans / "a.xy")
    assert (code, "20 patterns of 5 structures, noise from 1 scan\n" in err) == (0, True), err
    for wrong in (
        ("--method", "physics", "--noise", scans),
        ("--method", "shuffle"),
        ("--method", "mix"),
        ("--method", "mix", "--noise", scans, "--copies", 1),
        ("--noise", scans, "--blank", scans),
    ):
        assert run("augment", library, "-o", tmp_path / "no.h5", *wrong)[0] == 2
        assert not (tmp_path / "no.h5").exists()
