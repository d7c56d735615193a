"""Many files on several processes: the same answers in the same order, errors among them, and a quiet end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from xrdmatch.cli import pool


def lines(model, files, jobs):
    command = [sys.executable, "-m", "xrdmatch", "identify", *map(str, files), "--model", str(model), "-f", "json", "--jobs", str(jobs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return done, [{name: value for name, value in answer.items() if name != "seconds"} for answer in answers]


def test_processes_give_what_one_gives(tiny_model, scans):
    broken = scans / "broken.xy"
    broken.write_text("no numbers\n")
    files = sorted(path for path in scans.iterdir() if path.suffix == ".xy")
    files = (files * pool.PLENTY)[: 2 * pool.PLENTY + 1]  # which two workers take in pairs, the last one alone
    assert len(files) == 2 * pool.PLENTY + 1 >= pool.FEWEST
    alone, single = lines(tiny_model, files, 1)
    together, several = lines(tiny_model, files, 2)
    assert several == single
    assert alone.returncode == together.returncode == 1
    assert "error" in {answer["verdict"] for answer in several}
    assert "Traceback" not in together.stderr
    assert "ignored" not in together.stderr


@pytest.mark.parametrize("name", ["library.h5", "model.onnx"])
def test_a_broken_model_is_one_error(tiny_model, scans, tmp_path, name):
    """With many files it is the workers that load it."""
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    (broken / name).write_bytes(b"broken")
    file = next(path for path in sorted(scans.iterdir()) if path.suffix == ".xy")
    told = []
    for number in (1, pool.FEWEST + 3):
        done, answers = lines(broken, [file] * number, 2)
        assert done.returncode == 1
        assert answers == []
        told.append([line for line in done.stderr.splitlines() if "error" in line])
    assert told[0] == told[1]
    assert len(told[0]) == 1
    assert name in told[0][0]
