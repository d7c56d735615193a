"""Files that appear whole or not at all; locks between real processes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time

import cifs
import conftest
import pytest

from xrdmatch.model.folder import Model
from xrdmatch.system import atomic_files


def parts(folder):
    return [item.name for item in folder.iterdir() if item.name.endswith(".part")]


# ---- whole ----


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "out.txt"
    with atomic_files.atomic_write(target) as part:
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert parts(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "out.txt"
    target.write_text("old")

    def fail():
        with atomic_files.atomic_write(target) as part:
            part.write_text("ne")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert parts(tmp_path) == []


def test_a_link_is_followed_and_a_device_stays_one(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    link.symlink_to(real)
    with atomic_files.atomic_write(link) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    if os.name == "posix":
        with atomic_files.atomic_write(os.devnull) as part:
            part.write_text("gone")
        assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_folder_or_a_missing_one_is_an_error(tmp_path):
    for place in (tmp_path, tmp_path / "absent" / "out.txt"):
        with pytest.raises(OSError, match=r"folder|No such"), atomic_files.atomic_write(place) as part:
            part.write_text("")


def test_the_longest_names_work(tmp_path):
    """250 characters leave no room for the usual name of a part file."""
    with atomic_files.atomic_write(tmp_path / ("a" * 250)) as part:
        part.write_text("x")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("a" * 250, "x")]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere it cannot be told whether a process runs")
def test_parts_of_killed_processes_go(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    old = time.time() - 2 * atomic_files.LEFT_BEHIND
    for name, when in ((f".a.h5.{gone.pid}.1f.part", old), (f".a.h5.{gone.pid}.2f.part", time.time()), (f".a.h5.{os.getpid()}.3f.part", old)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (when, when))
    (tmp_path / f".a.h5.copy.{gone.pid}.1f.part").write_text("of another file")
    with atomic_files.atomic_write(tmp_path / "a.h5") as part:
        part.write_text("x")
    left = sorted(parts(tmp_path))
    assert left == sorted([f".a.h5.{gone.pid}.2f.part", f".a.h5.{os.getpid()}.3f.part", f".a.h5.copy.{gone.pid}.1f.part"])


def test_reason_finds_the_words_of_the_system():
    assert atomic_files.reason(OSError(28, "No space left on device", "x")) == "No space left on device"
    assert atomic_files.reason(OSError("Can't write (errno = 28, error message = 'No space left on device', buf = 0)")) == "No space left on device"
    assert atomic_files.reason(OSError("odd")) == "odd"


# ---- locks, with processes ----

_COUNT = """
import sys, time
from pathlib import Path
from xrdmatch.system import atomic_files
folder = Path(sys.argv[1])
for _ in range(20):
    with atomic_files.folder_lock(folder):
        value = int((folder / "count").read_text())
        time.sleep(0.001)
        (folder / "count").write_text(str(value + 1))
"""


_HOLD = """
import sys, time
from pathlib import Path
from xrdmatch.system import atomic_files
with atomic_files.folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time(tmp_path):
    (tmp_path / "count").write_text("0")
    for process in [subprocess.Popen([sys.executable, "-c", _COUNT, str(tmp_path)]) for _ in range(4)]:
        assert process.wait() == 0
    assert (tmp_path / "count").read_text() == "80"


def test_busy_and_freed_when_the_holder_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(atomic_files.Busy), atomic_files.folder_lock(tmp_path, wait=False):
            pass
        holder.kill()
        holder.wait()
    with atomic_files.folder_lock(tmp_path, wait=False):
        pass


def test_a_new_folder_that_nothing_came_of_goes(tmp_path):
    with pytest.raises(ValueError, match="x"), atomic_files.folder_lock(tmp_path / "new"):
        raise ValueError("x")
    assert not (tmp_path / "new").exists()
    with atomic_files.folder_lock(tmp_path / "new"):
        (tmp_path / "new" / "a").write_text("")
    assert (tmp_path / "new" / "a").exists()


def command(*words):
    return subprocess.Popen([sys.executable, "-m", "xrdmatch", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_adding_in_parallel_while_others_identify(tmp_path, tiny_model, library):
    """Three processes add to one new folder, and others identify with it: every structure arrives, and every answer is one."""
    mine = tmp_path / "mine"
    for number in range(4):
        frame = ["Zn1 Zn 0 0 0", f"O1 O 0.{2 + number} 0 0", "C1 C 0.3 0.1 0"]
        (tmp_path / f"NEW{number}.cif").write_text(cifs.cif(frame, (14.0 + number, 14.0, 14.0, 90, 90, 90)))
    conftest.write_scan(tmp_path / "a.xy", library, 0)
    first = command("add", tmp_path / "NEW0.cif", "--model", mine, "--from", tiny_model, "--device", "cpu")
    assert first.wait() == 0, first.stderr.read()
    running = [command("add", tmp_path / f"NEW{number}.cif", "--model", mine, "--device", "cpu") for number in range(1, 4)]
    asked = [command("identify", tmp_path / "a.xy", "--model", mine, "--device", "cpu", "--format", "json") for _ in range(2)]
    for process in running:
        assert process.wait() == 0, process.stderr.read()
    for process in asked:
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert json.loads(out)["matches"][0]["id"] == "AAAAAA_clean"
    model = Model.load(mine, "cpu")
    model.ready()
    assert sorted(model.library.id.tolist())[-4:] == [f"NEW{number}" for number in range(4)]
    assert parts(mine) == []
