"""A batch with broken files in it (scripts/batch_trial.py runs the long one): every file gets its answer, the good ones that of their own run."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import pytest

from xrdmatch.search.identify import Identifier

SCRIPT = Path(__file__).parents[1] / "scripts" / "batch_trial.py"


@pytest.fixture(scope="module")
def batch():
    spec = importlib.util.spec_from_file_location("batch_trial", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_broken_files_in_a_batch(batch, tmp_path, tiny_model):
    folder = tmp_path / "scans"
    folder.mkdir()
    identifier = Identifier(tiny_model, "cpu")
    faults = batch.make(folder, identifier, 24, len(batch.FAULTS))
    for place in folder.iterdir():
        os.utime(place, (time.time() - 60,) * 2)
    done = batch.command(str(tiny_model), folder, "--device", "cpu")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [answer["file"] for answer in answers] == sorted(map(str, folder.iterdir()))
    errors = {answer["file"]: answer["reason"] for answer in answers if answer["verdict"] == "error"}
    assert set(errors) == set(faults)
    assert set(faults.values()) == set(batch.FAULTS)
    assert done.stderr.count("error: ") == len(faults)
    assert all(path in reason for path, reason in errors.items())
    for answer in answers:
        assert batch.same(answer, {**answer, **batch.alone(identifier, answer["file"])}), answer["file"]
