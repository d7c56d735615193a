"""A disk that fills up, played by the system's limit on the size of files: one clear line, the old file stays, nothing is left beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cifs
import conftest
import numpy as np
import pytest

from xrdmatch import formats
from xrdmatch.cli.options import output_stream
from xrdmatch.errors import LibraryError, ModelError, XrdMatchError
from xrdmatch.library.build import build
from xrdmatch.model.add import add
from xrdmatch.model.folder import Model
from xrdmatch.training.augmentation import ShuffleOptions, write_shuffled

resource = pytest.importorskip("resource", reason="the system sets no limits on files")
FULL = "File too large"


@contextlib.contextmanager
def room(size: int):
    """Files can have `size` bytes at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def listing(folder: Path) -> dict[str, bytes]:
    return {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file() and "lock" not in item.name}


def test_simulate(tmp_path):
    (tmp_path / "a.cif").write_text(cifs.cif([f"C{i} C 0.{i:02} 0.{i * 7 % 90:02} 0.1" for i in range(10, 60)], (20, 21, 22, 90, 90, 90)))
    with room(4000), pytest.raises(LibraryError, match=rf"out\.h5: the library cannot be written \({FULL}\)"):
        build([tmp_path / "a.cif"], tmp_path / "out.h5")
    assert sorted(listing(tmp_path)) == ["a.cif"]


def test_augment(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "set.h5").write_text("of before")
    with room(100_000), pytest.raises(LibraryError, match=rf"set\.h5: the augmented set cannot be written \({FULL}\)"):
        write_shuffled([rng.random((3, 2251))], ["a", "b", "c"], {"made up": rng.random(2251)}, tmp_path / "set.h5", ShuffleOptions(copies=100))
    assert listing(tmp_path) == {"set.h5": b"of before"}


def test_add(tmp_path, tiny_model):
    mine = tmp_path / "mine"
    shutil.copytree(tiny_model, mine)
    before = listing(mine)
    (tmp_path / "NEW.cif").write_text(cifs.cif(["Zn1 Zn 0 0 0", "O1 O 0.2 0 0"]))
    with room(3000), pytest.raises(LibraryError, match=rf"library\.h5: the library cannot be written \({FULL}\)"):
        add([tmp_path / "NEW.cif"], mine, device="cpu")
    assert listing(mine) == before
    Model.load(mine, "cpu").ready()
    with room(3000), pytest.raises(ModelError, match=rf"other: cannot be written \({FULL}\)"):
        add([tmp_path / "NEW.cif"], tmp_path / "other", base=str(tiny_model), device="cpu")
    assert not (tmp_path / "other").exists()


def test_train(tmp_path):
    pytest.importorskip("torch", reason="needs the train extra")
    from xrdmatch.training.classifier import Settings, train_classifier
    from xrdmatch.training.run import RunOptions

    rng = np.random.default_rng(0)
    write_shuffled([rng.random((3, 2251))], ["a", "b", "c"], {"made up": rng.random(2251)}, tmp_path / "set.h5", ShuffleOptions(copies=4))
    with room(20_000), pytest.raises(ModelError, match=rf"checkpoint\.pt: cannot be written \({FULL}\)"):
        train_classifier(tmp_path / "set.h5", tmp_path / "model", Settings(epochs=1, batch=8, validation=0.3), RunOptions(device="cpu"))
    assert not (tmp_path / "model").exists()


def test_patterns_and_results(tmp_path, library):
    conftest.write_scan(tmp_path / "a.xy", library, 0)
    pattern = formats.read(tmp_path / "a.xy")
    (tmp_path / "out.xy").write_text("of before")
    with room(5000):
        with pytest.raises(XrdMatchError, match=rf"out\.xy: cannot be written \({FULL}\)"):
            formats.write(pattern, tmp_path / "out.xy")
        with pytest.raises(XrdMatchError, match=rf"out\.csv: cannot be written \({FULL}\)"), output_stream(tmp_path / "out.csv") as stream:
            stream.write("x" * 100_000)
    assert sorted(listing(tmp_path)) == ["a.xy", "out.xy"]
    assert (tmp_path / "out.xy").read_text() == "of before"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_standard_output(tmp_path, tiny_model, library):
    conftest.write_scan(tmp_path / "a.xy", library, 0)
    command = [sys.executable, "-m", "xrdmatch", "identify", tmp_path / "a.xy", "--model", tiny_model, "--device", "cpu", "--quiet"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 1
    assert done.stderr == "error: standard output: cannot be written (No space left on device); choose another place\n"
