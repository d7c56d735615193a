"""xrdmatch check: verdicts on the command line, plans, exit codes."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from conftest import write_scan
from test_records import Screen

from xrdmatch.cli import check_pool
from xrdmatch.report import checked as report


@pytest.fixture
def check(run, tiny_model):
    return lambda *args: run("check", *args, "--model", tiny_model)


def test_pure_is_0_and_absent_is_3(check, scans):
    code, out, _ = check(scans / "a.xy", "--expect", "HKUST-1")
    assert code == 0
    assert out.startswith("PURE  HKUST-1")
    code, out, _ = check(scans, "--expect", "HKUST-1", "--format", "json")
    assert code == 3
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["pure", "absent"]


def test_an_unreadable_scan_is_1_and_costs_no_other(check, scans):
    (scans / "c.raw").write_bytes(b"RAW1.01 but no more")
    code, out, err = check(scans, "--expect", "ZIF-8", "--format", "json")
    assert code == 1
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["absent", "pure", "error"]
    assert "c.raw" in err


def test_a_plan_says_what_each_scan_should_show(check, scans, library):
    write_scan(scans / "m.xy", library, 4, 3)
    plan = scans / "plan.csv"
    plan.write_text("file;expect;who\na.xy;HKUST-1;me\nb.xy;AAAAAA;me\nm.xy;UiO-66 + HKUST-1;\nnone.xy;ZIF-8;\nb.xy;;\nb.xy;UiO-68;\n")
    code, out, err = check(plan, "--format", "csv")
    assert code == 1
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["verdict"] for row in rows] == ["pure", "absent", "absent", "error", "error", "error"]
    assert rows[2]["asked"] == "UiO-66; HKUST-1"
    assert "line 6: nothing is expected" in err
    assert "UiO-68: no entry of the library" in err
    plan.write_text("file,expect\na.xy,HKUST-1\n")
    assert check(plan, "--quiet")[0] == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("a.xy",), "say what the scans should show"),
        (("a.xy", "--expect", " "), "is empty"),
        (("a.xy", "--expect", "UiO-68"), "no entry of the library"),
        ((), "give scans"),
        (("--watch", "gone", "--expect", "UiO-66"), "is not a folder"),
    ],
)
def test_usage_errors_are_2(check, scans, monkeypatch, args, said):
    monkeypatch.chdir(scans)
    code, out, err = check(*args)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_many_scans_are_shared_by_processes(check, scans):
    """With the same results, in their order; what is not known is told once, before the first."""
    one = (scans / "a.xy").read_bytes()
    for number in range(check_pool.FEWEST):
        (scans / f"n{number:02d}.xy").write_bytes(one)
    code, out, _ = check(scans, "--expect", "HKUST-1", "--format", "json", "--jobs", 2)
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, len(told)) == (3, check_pool.FEWEST + 2)
    assert [row["verdict"] for row in told] == ["pure", "absent"] + ["pure"] * check_pool.FEWEST
    code, out, err = check(scans, "--expect", "UiO-68", "--jobs", 2)
    assert (code, out) == (2, "")
    assert err.count("no entry of the library") == 1


def test_a_table_that_is_no_plan_is_told(check, scans):
    (scans / "x.csv").write_text("angle,counts\n1,2\n")
    code, _, err = check(scans / "x.csv")
    assert code == 1
    assert "columns file and expect" in err


def test_results_go_to_a_file(check, scans, tmp_path):
    out = tmp_path / "checked.jsonl"
    assert check(scans / "a.xy", "-e", "HKUST-1", "-o", out, "--quiet") == (0, "", "")
    assert json.loads(out.read_text())["expected"][0]["form"] == "HKUST-1"


def test_a_card_goes_on_further_in_where_the_terminal_is_narrow(checked, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    screen, plain = Screen(), io.StringIO()
    for answer in checked:
        report.writer("table", screen)(answer)
        report.writer("table", plain)(answer)
    shown = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()]
    assert max(map(len, shown)) <= 40
    heads = [line for line in shown if line and not line.startswith(" ")]
    assert [head.split()[0] for head in heads] == [answer.verdict.upper() for answer in checked]
    assert any(line.startswith("    ") for line in shown)
    # A pipe gets each sentence whole.
    assert re.sub(r"\s+", " ", " ".join(shown)).strip() == re.sub(r"\s+", " ", plain.getvalue()).strip()
