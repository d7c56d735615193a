"""Which elements a measured scan is asked with."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("MIL-101", ("Fe", "C", "O", "H")),
        ("MIL-101(Cr), pristine", ("Cr", "C", "O", "H", "F")),
        ("MIL-88B + MIL-101", None),
        ("zeolite natrolite", None),
    ],
)
def test_the_longest_beginning_of_a_label_decides(label, expected, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("elements_given", SCRIPTS / "elements_given.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "elements_given", module)
    spec.loader.exec_module(module)
    assert module.elements(label) == expected
