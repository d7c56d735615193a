"""Files and folders that are closed to us: one line that says so, and the rest of the batch goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xrdmatch.errors import LibraryError
from xrdmatch.library.library_file import format_of
from xrdmatch.training.training_set import AugmentedSet

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def close() -> Iterator[Callable[[Path], Path]]:
    """Closes what it is given until the test ends; skips where permissions do not bind, as with root."""
    shut: list[tuple[Path, int]] = []

    def closing(path: Path) -> Path:
        shut.append((path, path.stat().st_mode))
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("needs a user whom permissions bind")
        return path

    yield closing
    for path, mode in shut:
        path.chmod(mode)


@pytest.fixture
def run(tiny_model: Path) -> Run:
    def running(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "xrdmatch", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return running


def test_a_closed_folder_among_others(close, run, tiny_model, scans, tmp_path):
    shutil.copytree(scans, tmp_path / "all" / "open")
    closed = close(shutil.copytree(scans, tmp_path / "all" / "closed"))
    result = run("identify", tmp_path / "all", "--recursive", "--model", tiny_model, "-f", "json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 1
    assert lines[-1]["file"] == str(closed)
    assert lines[-1]["reason"] == f"{closed}: this folder cannot be opened (Permission denied); check its permissions"
    assert {line["verdict"] for line in lines[:-1]} == {"match"}
    alone = run("identify", closed, "--model", tiny_model, "-f", "json")
    assert alone.returncode == 1
    assert json.loads(alone.stdout)["reason"] == lines[-1]["reason"]


@pytest.mark.parametrize("name", ["library.h5", "config.json", "model.onnx"])
def test_a_closed_file_of_a_model(close, run, tiny_model, scans, tmp_path, name):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    close(model / name)
    result = run("identify", scans / "a.xy", "--model", model, "-q")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"{name}: cannot be opened (Permission denied)" in result.stderr


def test_a_closed_augmented_set(close, tmp_path):
    (tmp_path / "set.h5").write_bytes(b"HDF")
    close(tmp_path / "set.h5")
    for opened in (AugmentedSet, format_of):
        with pytest.raises(LibraryError, match=r"set\.h5: cannot be opened \(Permission denied\); check its permissions"):
            opened(tmp_path / "set.h5")
