"""Two processes of torchrun train what one does: same losses, one writer, a checkpoint that either can go on from."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time

import conftest
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from xrdmatch.training.distributed import BatchNorm, Interrupt, Ranks  # noqa: E402
from xrdmatch.training.run import load_checkpoint  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.distributed.is_available() or sys.platform == "win32", reason="needs torch.distributed with gloo")

#: Dropout draws anew in each process: without it, and in float32, the losses are comparable to more than two digits. Weights are not: Adam divides
#: tiny gradients by themselves.
SCRIPT = """
import sys, torch
from xrdmatch.training import classifier, encoder, networks
from xrdmatch.training.run import RunOptions
networks.Wang2020.DROPOUT = 0.0
what, source, folder, length, resume = sys.argv[1:]
run = RunOptions("cpu", threads=1, resume=resume == "resume")
if what == "classifier":
    classifier.train_classifier(source, folder, classifier.Settings(epochs=int(length), batch=33), run)
else:
    torch.autocast = lambda *given, **more: torch.enable_grad()
    encoder.train_model(source, folder, encoder.Settings(steps=int(length), batch=20), run, scans=12)
"""


def start(tmp_path, number, *words):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)] if number > 1 else [sys.executable]
    return subprocess.Popen([*launcher, str(script), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def train(tmp_path, number, *words):
    process = start(tmp_path, number, *words)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err


def log(folder, name):
    with (folder / "training.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def test_classifier(tmp_path, source):
    """192 patterns in batches of 33, so that the shares of the processes differ and the last batch is small."""
    train(tmp_path, 1, "classifier", source, tmp_path / "one", 3, "new")
    train(tmp_path, 2, "classifier", source, tmp_path / "two", 2, "new")
    train(tmp_path, 2, "classifier", source, tmp_path / "two", 3, "resume")
    for name in ("loss", "val_loss", "val_top1"):
        assert log(tmp_path / "two", name) == pytest.approx(log(tmp_path / "one", name), rel=1e-4)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(path.name for path in (tmp_path / "one").iterdir())
    assert (tmp_path / "two" / "model.onnx").is_file()


def test_encoder(tmp_path):
    """Batch normalisation's statistics included. What two processes saved, one goes on from."""
    conftest.made_up_library().save(tmp_path / "library.h5")
    train(tmp_path, 1, "encoder", tmp_path / "library.h5", tmp_path / "one", 12, "new")
    train(tmp_path, 2, "encoder", tmp_path / "library.h5", tmp_path / "two", 12, "new")
    assert log(tmp_path / "two", "loss") == pytest.approx(log(tmp_path / "one", "loss"), rel=1e-3)
    train(tmp_path, 1, "encoder", tmp_path / "library.h5", tmp_path / "two", 13, "resume")
    assert load_checkpoint(tmp_path / "two" / "checkpoint.pt")["step"] == 13


def test_ctrl_c_stops_both_after_the_same_step(tmp_path, source):
    process = start(tmp_path, 2, "classifier", source, tmp_path / "out", 10_000, "new")
    end = time.monotonic() + 120
    while not (tmp_path / "out" / "training.csv").is_file() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode != 0
    left = load_checkpoint(tmp_path / "out" / "checkpoint.pt")
    assert left["epoch"] >= 1
    train(tmp_path, 2, "classifier", source, tmp_path / "out", left["epoch"] + 1, "resume")
    assert len(log(tmp_path / "out", "loss")) == left["epoch"] + 1


@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_shares_cover_a_batch_once(size):
    values = np.arange(size)
    parts = [Ranks(rank, 3).share(values, 10 * values) for rank in range(3)]
    taken = [value for weight, (own, _) in parts if weight for value in own]
    assert sorted(taken) == list(range(size))
    assert sum(weight * own.mean() for weight, (own, _) in parts) / 3 == pytest.approx(values.mean())
    assert all(len(own) for _, (own, _) in parts)


def test_batch_normalisation_of_one_process_is_torchs():
    torch.manual_seed(0)
    values = torch.randn(6, 4, 9)
    ours, theirs = BatchNorm(4), torch.nn.BatchNorm1d(4)
    assert torch.equal(ours(values), theirs(values))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_a_wish_of_another_process_counts():
    class Two(Ranks):
        def sum(self, *values):
            return [value + 1 for value in values]

    interrupt = Interrupt(Two(0, 2))
    assert not interrupt.asked
    assert interrupt.total(3.0) == [4.0]
    assert interrupt.asked
