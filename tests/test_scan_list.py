"""Many answers as a list: a line each, and what they come to."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from test_records import ANSWER, Screen, mixture

from xrdmatch.formats.own_results import own_result
from xrdmatch.notes import note
from xrdmatch.report import records, scan_list
from xrdmatch.report.scan_list import ScanList
from xrdmatch.search.result import error_result

UNKNOWN = replace(
    ANSWER, file="scans/b.xy", verdict="unknown", headline=(("HKUST-1", 0.23),), reasons=(note("nothing_fits", closest="HKUST-1"),), phases=[]
)
EITHER = replace(ANSWER, file="scans/c.xy", verdict="ambiguous", headline=(("HKUST-1", 0.55), ("UiO-66", 0.3)))
BROKEN = error_result(
    "scans/d_with_quite_a_long_name_of_its_own_and_then_some.xy", "scans/d_with_quite_a_long_name_of_its_own_and_then_some.xy: is empty"
)
RESULTS = (replace(ANSWER, file="scans/a.xy"), UNKNOWN, EITHER, BROKEN, replace(mixture(), file="scans/e.xy"))


def listed(stream, width=80, results=RESULTS):
    told = ScanList(records.console_for(stream, width), [result.file for result in results])
    for result in results:
        told.add(result)
    told.close()
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())


def test_a_pipe_gets_a_whole_line_for_each_scan_and_a_summary():
    lines = [line.rstrip() for line in listed(io.StringIO()).splitlines()]
    width = max(len(result.file) for result in RESULTS)
    assert lines[0].split() == ["Scan", "Prob.", "Framework"]
    assert [line[:width].rstrip() for line in lines[1:6]] == [result.file for result in RESULTS]
    assert [line[width:].split(maxsplit=1) for line in lines[1:6]] == [
        ["✓", "93 %  HKUST-1"],
        ["?", "unknown; closest: HKUST-1 (23 %)"],
        ["~", "55 %  HKUST-1 or UiO-66"],
        ["!", "error: is empty"],
        ["✓", "93 %  HKUST-1 + MIL-101 (21 % of the signal)"],
    ]
    assert [line.split() for line in lines[6:] if line] == [
        ["5", "scans"],
        ["✓", "2", "match", "HKUST-1", "(2)"],
        ["~", "1", "ambiguous", "HKUST-1", "or", "UiO-66"],
        ["?", "1", "unknown"],
        ["!", "1", "error"],
        ["1", "second", "phase", "MIL-101"],
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_a_terminal_gets_lines_of_its_width_without_the_shared_folder(width, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    lines = listed(Screen(), width).splitlines()
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines[1:4]] == ["a.xy", "b.xy", "c.xy"]
    assert "5 scans in scans/" in lines
    assert ("…" in lines[4]) == (width < 160)


def test_a_terminal_without_unicode_gets_ascii(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    screen.encoding = "ascii"
    assert listed(screen, 60).isascii()


def test_files_of_several_folders_keep_them():
    results = (replace(ANSWER, file="a/x.xy"), replace(ANSWER, file="b/x.xy"))
    screen = Screen()
    lines = listed(screen, 80, results).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["a/x.xy", "b/x.xy"]
    assert "2 scans" in lines


def test_no_answers_no_summary():
    assert listed(io.StringIO(), results=()) == ""


def test_a_list_that_grows_has_no_heading_and_is_told_as_a_result():
    for result in RESULTS:
        stream = io.StringIO()
        ScanList(records.console_for(stream, 80)).add(result)
        assert stream.getvalue().startswith(result.file)
        assert "identify" in own_result(stream.getvalue().encode())
    assert "identify" in own_result(listed(io.StringIO()).encode())


def test_without_names_the_reason_is_said():
    far = replace(UNKNOWN, headline=(("HKUST-1", 0.002),))
    assert [scan_list.said(far, short) for short in (False, True)] == ["unknown; nothing like it in the library", "nothing like it in the library"]
    assert scan_list.said(replace(UNKNOWN, headline=())) == "unknown: No framework of the library fits; the closest is HKUST-1"
