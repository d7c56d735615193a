"""identify --watch: a file counts once it is complete, however it comes into being."""

from __future__ import annotations

import csv
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import write_scan

from xrdmatch.cli import inputs
from xrdmatch.cli.watch import LOOK, PATIENCE, Watch
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import ReadError, XrdMatchError

pytest.importorskip("watchfiles", reason="needs the watch extra")

RAS = '*RAS_DATA_START\n*RAS_HEADER_START\n*MEAS_SCAN_AXIS_X "2Theta"\n*MEAS_DATA_COUNT "400"\n*RAS_HEADER_END\n*RAS_INT_START\n'


class Clock:
    """Time that passes when the test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(tmp_path, clock):
    """A watched folder that held one scan before."""
    folder = tmp_path / "in"
    folder.mkdir()
    columns(folder / "old.xy")
    return Watch(folder, quiet=2.0, clock=clock)


def columns(path, points=200):
    path.write_text("".join(f"{5 + 0.1 * i:.1f} {100 + i % 7}\n" for i in range(points)))
    os.utime(path, (1.5e9 + points, 1.5e9 + points))  # long ago by the clock of the machine; the watch has one of its own here


def complete_after(watch, clock, seconds):
    """What is complete so many seconds after a look."""
    watch.look()
    clock.now += seconds
    return list(watch.complete())


def seen(watch, clock, seconds=0.0):
    """The same as names, and whether they could be read."""
    return [(Path(path).name, isinstance(pattern, Pattern)) for path, pattern in complete_after(watch, clock, seconds)]


def test_a_new_file_counts_once_it_was_quiet(watch, clock):
    columns(watch.folder / "new.xy")
    assert seen(watch, clock) == []
    assert seen(watch, clock, 1.9) == []
    assert seen(watch, clock, 0.2) == [("new.xy", True)]
    assert seen(watch, clock, 100.0) == []


def test_a_file_that_grows_is_waited_for(watch, clock):
    for points in (50, 100, 150, 200):
        columns(watch.folder / "slow.xy", points)
        assert seen(watch, clock, 1.5) == []
    assert [pattern.two_theta.size for _, pattern in complete_after(watch, clock, 1.0)] == [200]


def test_a_file_that_changes_later_counts_again(watch, clock):
    columns(watch.folder / "new.xy")
    assert seen(watch, clock, 3.0) == [("new.xy", True)]
    columns(watch.folder / "new.xy", 300)
    columns(watch.folder / "old.xy", 300)
    assert seen(watch, clock, 3.0) == [("new.xy", True), ("old.xy", True)]


def test_a_file_renamed_into_place_keeps_its_old_time_and_counts(watch, clock):
    columns(watch.folder / "scan.xy.tmp")
    os.utime(watch.folder / "scan.xy.tmp", (1e9, 1e9))
    assert seen(watch, clock, 3.0) == []
    os.replace(watch.folder / "scan.xy.tmp", watch.folder / "scan.xy")
    assert seen(watch, clock, 3.0) == [("scan.xy", True)]
    columns(watch.folder / ".hidden.xy", 150)
    os.replace(watch.folder / ".hidden.xy", watch.folder / "old.xy")
    assert seen(watch, clock, 3.0) == [("old.xy", True)]


def test_a_file_that_breaks_off_waits_for_its_rest(watch, clock):
    path = watch.folder / "scan.ras"
    path.write_text(RAS + "".join(f"{5 + 0.1 * i:.1f} 100 1\n" for i in range(200)))
    for _ in range(5):
        assert seen(watch, clock, 100.0) == []
    path.write_text(RAS + "".join(f"{5 + 0.1 * i:.1f} 100 1\n" for i in range(400)) + "*RAS_INT_END\n")
    assert seen(watch, clock, 3.0) == [("scan.ras", True)]


def test_a_file_whose_last_record_breaks_off_is_taken_as_it_is_after_some_patience(watch, clock):
    path = watch.folder / "scan.xy"
    columns(path)
    path.write_text(path.read_text() + "25.")
    assert seen(watch, clock, 3.0) == []
    assert seen(watch, clock, 2.0 * PATIENCE) == [("scan.xy", True)]
    columns(path, 210)
    os.utime(path, (1e9, 1e9))
    assert seen(watch, clock, 3.0) == [("scan.xy", True)]


def test_an_empty_file_waits_and_rubbish_is_an_error_after_some_patience(watch, clock):
    (watch.folder / "empty.xy").touch()
    (watch.folder / "bad.xy").write_text("no scan at all, whatever its name says\n")
    (watch.folder / "notes.doc").write_text("no scan")
    assert seen(watch, clock, 2.1) == []
    ((path, error),) = complete_after(watch, clock, 2.0 * PATIENCE)
    assert Path(path).name == "bad.xy"
    assert isinstance(error, ReadError)
    assert seen(watch, clock, 1000.0) == []
    left = list(watch.unfinished())
    assert [Path(path).name for path, _ in left] == ["empty.xy"]
    assert "0 bytes so far" in str(left[0][1])


def test_a_change_while_it_is_read_is_noticed(watch, clock, monkeypatch):
    path = watch.folder / "new.xy"
    columns(path)
    honest = inputs.load

    def meanwhile(name, range_index=None):
        pattern = honest(name, range_index)
        columns(path, 300)
        monkeypatch.setattr(inputs, "load", honest)
        return pattern

    monkeypatch.setattr(inputs, "load", meanwhile)
    assert seen(watch, clock, 3.0) == []
    assert [pattern.two_theta.size for _, pattern in complete_after(watch, clock, 3.0)] == [300]


def test_a_file_that_goes_away_is_forgotten(watch, clock):
    columns(watch.folder / "new.xy")
    assert seen(watch, clock, 1.0) == []
    (watch.folder / "new.xy").unlink()
    assert seen(watch, clock, 3.0) == []
    assert list(watch.unfinished()) == []


def test_subfolders_only_where_asked_and_results_never(tmp_path, clock):
    (tmp_path / "deep").mkdir()
    results = tmp_path / "results.csv"
    results.touch()
    watches = [Watch(tmp_path, recursive, 2.0, inputs.results_in(results), clock=clock) for recursive in (False, True)]
    columns(tmp_path / "deep" / "scan.xy")
    columns(tmp_path / "top.xy")
    columns(results)
    flat, deep = ([complete[0] for complete in seen(watch, clock, 3.0)] for watch in watches)
    assert flat == ["top.xy"]
    assert sorted(deep) == ["scan.xy", "top.xy"]


def test_first_come_first_served(watch, clock):
    for name in ("z.xy", "b.xy", "a.xy"):
        columns(watch.folder / name)
        watch.look()
        clock.now += 0.0 if name == "b.xy" else 0.1
    assert [name for name, _ in seen(watch, clock, 3.0)] == ["z.xy", "a.xy", "b.xy"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(XrdMatchError, match="expected a folder to watch"):
        Watch(tmp_path / "absent")


@pytest.mark.parametrize("gone", [False, True], ids=["missed", "gone for a while"])
def test_notices_are_only_a_wake_up(tmp_path, monkeypatch, gone):
    """As on a network share: no notice ever comes, or the folder is away for a while. The folder itself is looked at in any case."""
    import watchfiles

    from xrdmatch.cli import watch as module

    monkeypatch.setattr(module, "LOOK", 0.05)
    monkeypatch.setattr(watchfiles, "watch", lambda *_, stop_event, **__: iter(lambda: stop_event.wait(0.02) or set(), True))
    folder = tmp_path / "in"
    folder.mkdir()
    watch, stop, got = Watch(folder, quiet=0.1), threading.Event(), queue.Queue()
    thread = threading.Thread(target=lambda: [got.put(read) for read in watch.patterns(stop)])
    thread.start()
    try:
        if gone:
            folder.rename(tmp_path / "away")
            time.sleep(0.2)
            (tmp_path / "away").rename(folder)
        time.sleep(0.2)
        columns(folder / "scan.xy")
        path, pattern = got.get(timeout=20)
    finally:
        stop.set()
        thread.join(20)
    assert (Path(path).name, isinstance(pattern, Pattern)) == ("scan.xy", True)
    assert LOOK <= 10.0


# --- Whole processes


class Watching:
    """`xrdmatch identify --watch` as a process whose lines can be waited for."""

    def __init__(self, folder, *args, environment=None):
        command = [sys.executable, "-m", "xrdmatch", "identify", "--watch", str(folder), "--settle", "0.6", *map(str, args)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, **(environment or {})}
        )
        self.lines = queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout], daemon=True).start()
        assert "watching" in self.process.stderr.readline()

    def line(self):
        return json.loads(self.lines.get(timeout=300))

    def end(self, number=signal.SIGINT):
        os.killpg(self.process.pid, number)
        self.process.wait(timeout=300)
        return self.process.returncode, self.process.stderr.read()


@pytest.fixture
def start(tmp_path, tiny_model):
    (tmp_path / "in").mkdir()
    started = []

    def call(*args, **options):
        started.append(Watching(tmp_path / "in", "--model", tiny_model, *args, **options))
        return started[-1]

    yield call
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")
@pytest.mark.parametrize("environment", [{}, {"WATCHFILES_FORCE_POLLING": "1"}], ids=["notices", "polling"])
def test_scans_are_identified_as_they_are_written(tmp_path, library, start, environment):
    folder = tmp_path / "in"
    write_scan(folder / "before.xy", library, 0)
    watching = start("--format", "json", environment=environment)
    write_scan(tmp_path / "a", library, 0, 1)
    write_scan(tmp_path / "b", library, 1, 2)
    os.replace(tmp_path / "b", folder / "renamed.xy")
    text = (tmp_path / "a").read_text()
    with (folder / "slow.xy").open("w") as stream:  # as a diffractometer that writes now and then
        for begin in range(0, len(text), len(text) // 8):
            stream.write(text[begin : begin + len(text) // 8])
            stream.flush()
            time.sleep(0.2)
    first, second = watching.line(), watching.line()
    assert [Path(line["file"]).name for line in (first, second)] == ["renamed.xy", "slow.xy"]
    assert [line["matches"][0]["name"] for line in (first, second)] == ["ZIF-8", "HKUST-1"]
    assert watching.process.poll() is None
    code, err = watching.end()
    assert code == 0
    assert "2 files: 2 match" in err
    assert "Traceback" not in err
    assert watching.lines.empty()


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")
def test_given_files_come_first_and_the_exit_code_tells_of_failures(tmp_path, library, start):
    folder = tmp_path / "in"
    write_scan(folder / "before.xy", library, 0)
    watching = start(folder, "--format", "json")
    assert Path(watching.line()["file"]).name == "before.xy"
    (folder / "begun.xy").touch()
    write_scan(folder / "new.xy", library, 1)
    assert Path(watching.line()["file"]).name == "new.xy"
    code, err = watching.end(signal.SIGTERM)
    assert code == 1
    last = watching.line()
    assert (Path(last["file"]).name, last["verdict"]) == ("begun.xy", "error")
    assert "before this file was complete" in err
    assert "3 files: 2 match, 1 error" in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")
def test_results_are_added_to_a_file_in_the_folder_itself(tmp_path, library, start):
    folder, results = tmp_path / "in", tmp_path / "in" / "results.csv"
    for name in ("one.xy", "two.xy"):
        watching = start("--format", "csv", "--output", results, "--top", 1)
        write_scan(folder / name, library, 0)
        until = time.monotonic() + 60
        while name not in results.read_text() and time.monotonic() < until:
            time.sleep(0.1)  # there while the watch goes on, not at its end
        assert watching.end()[0] == 0
    rows = list(csv.DictReader(results.open()))
    assert [(Path(row["file"]).name, row["name"]) for row in rows] == [("one.xy", "HKUST-1"), ("two.xy", "HKUST-1")]


def test_a_file_with_another_header_is_left_as_it_was(tmp_path, tiny_model):
    results = tmp_path / "mine.csv"
    results.write_text("my,own,table\n1,2,3\n")
    command = ["identify", "--watch", tmp_path, "--format", "csv", "--output", results, "--model", tiny_model]
    done = subprocess.run([sys.executable, "-m", "xrdmatch", *map(str, command)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "header" in done.stderr
    assert results.read_text() == "my,own,table\n1,2,3\n"
