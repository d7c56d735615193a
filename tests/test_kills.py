"""kill -9 in the middle of writing (scripts/kill_trials.py does it at random moments): the old file stays, and no process is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cifs
import conftest
import numpy as np
import pytest

from xrdmatch.model.folder import Model

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the signals and process groups of POSIX")
PATIENCE = 60.0


def start(*words):
    """In a process group of its own, as a terminal does."""
    command = [sys.executable, "-m", "xrdmatch", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_until(there, process=None):
    end = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < end, "it did not come to that"
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def group_is_gone(process):
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def kill(process):
    process.kill()
    process.communicate()
    wait_until(lambda: group_is_gone(process))


def parts(folder):
    return [item for item in folder.iterdir() if item.name.endswith(".part")]


def test_identify_output(tmp_path, tiny_model, library):
    scans, target = tmp_path / "scans", tmp_path / "results.jsonl"
    scans.mkdir()
    for row in range(5):
        conftest.write_scan(scans / f"{row}.xy", library, row)
        for copy in range(30):
            shutil.copy(scans / f"{row}.xy", scans / f"{row}-{copy}.xy")
    target.write_text("of before")
    process = start("identify", scans, "--model", tiny_model, "--device", "cpu", "--format", "json", "--output", target)
    wait_until(lambda: parts(tmp_path) and parts(tmp_path)[0].stat().st_size, process)
    kill(process)
    assert target.read_text() == "of before"
    assert len(parts(tmp_path)) == 1


def test_add(tmp_path, tiny_model):
    """Stopped while the new library lies beside the old one: the folder is the old model, and the next run adds."""
    mine = tmp_path / "mine"
    shutil.copytree(tiny_model, mine)
    (tmp_path / "NEW.cif").write_text(cifs.cif(["Zn1 Zn 0 0 0", "O1 O 0.2 0 0", "C1 C 0.3 0.1 0"], (14, 14, 14, 90, 90, 90)))
    before = Model.load(mine, "cpu").library.id.tolist()
    words = ("add", tmp_path / "NEW.cif", "--model", mine, "--device", "cpu")
    process = start(*words)
    wait_until(lambda: parts(mine) or process.poll() is not None)
    process.kill()
    process.communicate()
    model = Model.load(mine, "cpu")
    model.ready()
    found = model.library.id.tolist()
    assert found in (before, [*before, "NEW"])
    if found == before:
        again = start(*words)
        assert again.wait() == 0, again.stderr.read()
        assert Model.load(mine, "cpu").library.id.tolist() == [*before, "NEW"]


def children(process):
    """Of all threads: a pool starts its workers from more than one."""
    tasks = Path("/proc", str(process.pid), "task")
    return [child for task in tasks.glob("*/children") for child in task.read_text().split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the workers in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_simulate_in_parallel_leaves_no_process(tmp_path, how):
    rng = np.random.default_rng(0)
    (tmp_path / "cifs").mkdir()
    atoms = [f"C{i} C {x:.4f} {y:.4f} {z:.4f}" for i, (x, y, z) in enumerate(rng.random((2000, 3)))]
    for number in range(96):
        (tmp_path / "cifs" / f"S{number}.cif").write_text(cifs.cif(atoms, (45 + 0.1 * number, 46, 47, 90, 90, 90)))
    process = start("simulate", tmp_path / "cifs", "-o", tmp_path / "out.h5", "--jobs", 2)
    wait_until(lambda: len(children(process)) >= 3, process)  # two workers, and what keeps track of them
    time.sleep(0.2)
    if how == signal.SIGKILL:
        kill(process)
    else:
        os.killpg(process.pid, how)
        _, err = process.communicate()
        assert process.returncode == 130
        assert "Traceback" not in err
        assert "--resume" in err
        wait_until(lambda: group_is_gone(process))
    assert not (tmp_path / "out.h5").exists()
