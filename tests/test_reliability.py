"""Bins and the expected calibration error of scripts/reliability.py, and what counts as a right answer there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(scope="module")
def reliability():
    for name in ("measured_sets", "measured_cases", "reliability"):
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def test_bins_and_error(reliability):
    """Four at 0.05 of which one is right, two at 1.0 that both are: 4/6 of 0.2."""
    bins = reliability.binned((np.array([0.05, 0.05, 0.05, 0.05, 1.0, 1.0]), np.array([1, 0, 0, 0, 1, 1], dtype=bool)))
    assert [(one.right, one.total) for one in bins] == [(1, 4), (2, 2)]
    assert [one.stated for one in bins] == pytest.approx([0.05, 1.0])
    assert reliability.calibration_error(bins) == pytest.approx(4 / 6 * 0.2)


def test_probabilities_that_come_true_have_no_error(reliability):
    rng = np.random.default_rng(3)
    stated = rng.random(200_000)
    assert reliability.calibration_error(reliability.binned((stated, rng.random(stated.size) < stated))) < 0.01
    assert reliability.calibration_error(reliability.binned((stated, rng.random(stated.size) < stated**2))) > 0.1


def test_what_is_right_among_the_measured(reliability):
    """The label first; an unusable scan does not count; a name of the table counts, also where it is merely the closest."""
    make = sys.modules["measured_sets"].Answer
    found = [
        make("more", "a.xy", "MOF-5", "mof", (1,), "unknown", "MOF-5", 0.4, (), "nothing_fits"),
        make("more", "b.xy", "MOF-5", "mof", (2,), "match", "UiO-66", 0.6, (("UiO-66", -1),), "fits"),
        make("lab", "c.xy", "blank", "blank", (), "unusable", "", 0.0, (), "too_few_lines"),
        make("alone", "ZnO_186.xy", "ZnO", "mineral", (0,), "match", "zincite, ZnO", 0.9, (("zincite, ZnO", -1),), "fits"),
        make("alone", "ThO2_225.xy", "ThO2", "mineral", (0,), "unknown", "thorianite, ThO2", 0.3, (), "nothing_fits"),
    ]
    stated, correct = reliability.measured(found)
    assert stated.tolist() == [0.4, 0.6, 0.9, 0.3]
    assert correct.tolist() == [True, False, True, True]
