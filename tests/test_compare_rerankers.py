"""The figures by which re-rankers are chosen between."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("compare_rerankers", SCRIPTS / "compare_rerankers.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compare_rerankers", module)
    spec.loader.exec_module(module)
    return module


def trials(script, present, absent, right=True):
    best = np.array([*present, *absent])
    gone = np.arange(len(best)) >= len(present)
    return script.Trials(best, 1.0 - best, gone, ~gone & right)


def test_area_counts_pairs(script):
    assert trials(script, [0.9, 0.4], [0.3, 0.6]).area() == pytest.approx(0.75)
    assert trials(script, [0.5], [0.5]).area() == pytest.approx(0.5)


def test_share_refused_where_97_percent_of_the_absent_are(script):
    absent = np.linspace(0.0, 1.0, 101)
    assert trials(script, [0.95, 0.96, 0.98, 0.99], absent).refused_at() == pytest.approx(0.5)


def test_calibration_error_weighs_the_bins(script):
    found = trials(script, [0.95] * 3, [0.95, 0.05])
    cells = found.row("examples", "model").split(" | ")
    assert cells[2:4] == ["2", "3"]
    assert cells[-1] == f"{0.8 * 0.2 + 0.2 * 0.05:.4f} |"


def test_a_folder_of_absent_ones_alone_has_no_area(script):
    assert trials(script, [], [0.1, 0.9]).row("minerals", "model").split("|")[3:9] == [" 2 ", " 0 ", "  ", " 50.0 % ", "  ", "  "]
