"""Ctrl-C twice, to the whole process group as a terminal sends it: the second ends everything at once, with exit code 130 and without a traceback.

pytest has to run in the foreground of its shell, or started as by tests/conftest.py: where Ctrl-C is ignored, it is ignored here as well.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import conftest
import pytest

from xrdmatch.cli import pool

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the signals and process groups of POSIX")
#: Seconds in which a program that was told to end has to have ended; before, it waited until somebody killed it.
PATIENCE = 30.0


def start(*command):
    """In a process group of its own, as a terminal does."""
    return subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def interrupt(process):
    os.killpg(process.pid, signal.SIGINT)


def end_of(process):
    """Exit code and standard error; kills the group where it does not end."""
    try:
        _, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        return "did not end", err
    return process.returncode, err


def group_is_gone(process):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_batch_that_waits_for_a_file_ends(tmp_path, tiny_model, library, jobs, times):
    """Its last file is a pipe that nobody writes to: a worker, or a reading thread, waits for it for ever."""
    scan, pipe = tmp_path / "scan.xy", tmp_path / "pipe.xy"
    conftest.write_scan(scan, library, 0)
    os.mkfifo(pipe)
    files = [scan] * (pool.FEWEST + 1) + [pipe]
    process = start("-m", "xrdmatch", "identify", *files, "--model", tiny_model, "-f", "json", "-q", "--device", "cpu", "--jobs", jobs)
    for _ in files[:-1]:
        assert process.stdout.readline().startswith("{")
    for _ in range(times):
        interrupt(process)
        time.sleep(0.02)
    assert end_of(process) == (130, "interrupted\n")
    assert group_is_gone(process)


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.4])
def test_a_batch_on_workers_ends_at_any_moment(tmp_path, tiny_model, library, wait):
    conftest.write_scan(tmp_path / "scan.xy", library, 0)
    files = [tmp_path / "scan.xy"] * 2000
    process = start("-m", "xrdmatch", "identify", *files, "--model", tiny_model, "-q", "--device", "cpu", "--jobs", 2)
    process.stdout.readline()
    interrupt(process)
    time.sleep(wait)
    if process.poll() is None:
        interrupt(process)
    code, err = end_of(process)
    assert (code, err) in ((130, "interrupted\n"), (130, ""))  # the second may come before the message
    assert group_is_gone(process)


PROGRAM = """
import multiprocessing, os, signal, sys, time
from xrdmatch.system import interrupts

if __name__ == "__main__":
    interrupts.watch_for_the_second()
    {handler}
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as workers do
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)).start()
    signal.signal(signal.SIGINT, ours)
    try:
        print("ready", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        {after}
        print("first", flush=True)
        try:
            time.sleep(600)
        finally:
            print("did not end at once", flush=True)
"""
OTHER = "before = signal.signal(signal.SIGINT, signal.default_int_handler)"
BACK = "signal.signal(signal.SIGINT, before); interrupts.next_one_ends()"


@pytest.mark.parametrize(("handler", "after"), [("", ""), (OTHER, BACK)], ids=["first seen here", "first seen by another handler"])
def test_the_second_ends_what_the_first_does_not(handler, after):
    process = start("-c", PROGRAM.format(handler=handler, after=after))
    for word in ("ready", "first"):
        assert process.stdout.readline() == f"{word}\n"
        interrupt(process)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "")
    assert group_is_gone(process)


SLOW = """
import sys
import time
end = time.monotonic() + 1.0
print("importing", flush=True)
while time.monotonic() < end:
    pass
sys.stdout.write("imported\\n")  # at once, which print does not
"""
IMPORTS = """
import time
from xrdmatch.system import interrupts
interrupts.watch_for_the_second()
try:
    import slow
    time.sleep(600)
except KeyboardInterrupt:
    print("first", flush=True)
"""


def test_an_import_is_finished_first(tmp_path):
    """Modules written in C++ abort the process where theirs is interrupted."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "program.py").write_text(IMPORTS)
    process = start(tmp_path / "program.py")
    assert process.stdout.readline() == "importing\n"
    interrupt(process)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out.split(), err) == (0, ["imported", "first"], "")


def test_a_second_one_ends_an_import(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW.replace("1.0", "600.0"))
    (tmp_path / "program.py").write_text(IMPORTS)
    process = start(tmp_path / "program.py")
    process.stdout.readline()
    interrupt(process)
    time.sleep(0.5)
    interrupt(process)
    assert end_of(process) == (130, "")


def test_a_program_that_ignores_it_goes_on_doing_so():
    code = "import signal; from xrdmatch.system import interrupts; signal.signal(signal.SIGINT, signal.SIG_IGN); interrupts.watch_for_the_second()\n"
    code += "interrupts.next_one_ends(); signal.raise_signal(signal.SIGINT); signal.raise_signal(signal.SIGINT); print('there')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "there\n")
