"""Scans that are still being written: `read` refuses them or says so, and `identify` passes it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import scanfiles as make

from xrdmatch import formats
from xrdmatch.errors import UnfinishedError
from xrdmatch.formats.scan import UNFINISHED
from xrdmatch.notes import Note, note
from xrdmatch.report.phrases import sentence

BROKEN = note("broken_record")


def notes(data: bytes) -> tuple[Note, ...]:
    return formats.parse(data, "f").meta.get("notes", ())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (make.text() + b"6.2", BROKEN),
        (make.text(separator=";", decimal=",") + b"6,2", BROKEN),
        (make.text(encoding="utf-16-le") + "6.2".encode("utf-16-le"), BROKEN),
        (make.uxd() + b"6.2", BROKEN),
        (make.cif(angle_column=True).partition(b"\nloop_\n_atom")[0] + b"\n6.2", BROKEN),
        (make.xrdml().replace(b'scanAxis="Gonio"', b'scanAxis="Gonio" status="Not finished"'), note("scan_status", status="Not finished")),
    ],
    ids=["text", "comma", "utf-16", "uxd", "cif", "xrdml"],
)
def test_what_shows_that_a_file_is_unfinished(data: bytes, wanted: Note) -> None:
    assert notes(data) == (wanted,)
    assert wanted.code in UNFINISHED
    assert "still be" in sentence(wanted)  # being written, or running


@pytest.mark.parametrize("kind", make.ALL)
def test_a_whole_file_gets_no_note(kind: str, tmp_path: Path) -> None:
    data = make.ALL[kind][0]()
    assert notes(data) == ()
    place = tmp_path / "scan"
    place.write_bytes(data)
    os.utime(place, (time.time() - 60, time.time() - 60))
    assert "notes" not in formats.read(place).meta


def test_a_last_line_without_an_end_is_no_fault() -> None:
    assert notes(make.text().rstrip(b"\n")) == ()
    assert notes(make.uxd().rstrip(b"\n")) == ()


def test_a_ras_file_without_its_end_is_refused() -> None:
    data = make.ras()
    head, _, rows = data.partition(b"*RAS_INT_START")
    head = b"\n".join(line for line in head.splitlines() if b"MEAS_DATA_COUNT" not in line)
    with pytest.raises(UnfinishedError, match=r"ends after \d+ points.*still being written"):
        formats.parse(head + b"\n*RAS_INT_START" + rows[: len(rows) // 2], "f")


def test_a_fresh_text_file_gets_a_note_and_an_old_one_none(tmp_path: Path) -> None:
    place = tmp_path / "scan.xy"
    place.write_bytes(make.text())
    (found,) = formats.read(place).meta["notes"]
    assert (found.code, found.code in UNFINISHED) == ("just_changed", True)
    place.write_bytes(make.raw4())
    assert "notes" not in formats.read(place).meta, "a header that states the number of points shows that the file is whole"


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    place = tmp_path / "scan.xy"
    place.write_bytes(make.text())
    fstat, calls = os.fstat, []

    def changing(handle: int) -> os.stat_result:
        calls.append(handle)
        if len(calls) == 2 and change == "size":
            with place.open("ab") as stream:
                stream.write(b"6.20 12\n")
        elif len(calls) == 2:
            os.utime(place, (0, 0))
        return fstat(handle)

    monkeypatch.setattr(formats.os, "fstat", changing)
    with pytest.raises(UnfinishedError, match=r"changed while it was read.*still being written"):
        formats.read(place)


_SLOW_WRITER = """
import sys, time
with open(sys.argv[1], "w") as stream:
    for at in range(4000):
        stream.write(f"{5 + at * 0.01:.2f} {100 + at % 37}\\n")
        stream.flush()
        if at == 1500:
            print("begun", flush=True)
        if at > 1500:
            time.sleep(0.02)
"""


def test_identify_says_that_a_scan_is_still_being_written(tmp_path: Path, tiny_model: Path) -> None:
    place = tmp_path / "live.xy"
    with subprocess.Popen([sys.executable, "-c", _SLOW_WRITER, str(place)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        command = [sys.executable, "-m", "xrdmatch", "identify", str(place), "--model", str(tiny_model), "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        still = writer.poll() is None
        writer.terminate()
    assert still, "the writer ended too early for this test to tell anything"
    answer = json.loads(done.stdout)
    told = [found["text"] for found in answer["notes"] if found["code"] in UNFINISHED]
    told += [answer["reason"]] if "still being written" in answer["reason"] else []
    assert told, answer
    assert all(text in done.stderr for text in told)
