"""A framework gets the same answer whatever the tube: scans that scripts/radiations.py draws, through the shipped model."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from xrdmatch import formats
from xrdmatch.diffraction.radiation import ANODES
from xrdmatch.errors import ModelError
from xrdmatch.model.folder import DEFAULT, find_model
from xrdmatch.search.identify import Identifier

SCRIPT = Path(__file__).parents[1] / "scripts" / "radiations.py"


@pytest.fixture(scope="module")
def radiations():
    spec = importlib.util.spec_from_file_location("radiations", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def identifier():
    try:
        find_model(DEFAULT)
    except ModelError:
        pytest.skip(f"the shipped model {DEFAULT} is not in models/")
    return Identifier(str(find_model(DEFAULT)), "cpu")


@pytest.mark.parametrize("name", ["HKUST-1", "UiO-66", "ZIF-8"])
def test_cu_co_and_mo_scans_of_a_framework_get_one_answer(radiations, identifier, tmp_path, name):
    library = identifier.model.library
    row = next(i for i, known in enumerate(library.name.tolist()) if known == name)
    said = radiations.answers(identifier, row, tmp_path)
    assert all(name in answer.matches[0].family for answer in said.values())
    assert {answer.verdict for answer in said.values()} == {"match"}
    assert {answer.wavelength_source for answer in said.values()} == {"file"}
    # The lines fit where they belong, with one line as with both: a mean taken for K-alpha1 would move them by 0.02 degrees at 30.
    assert all(abs(answer.matches[0].shift) <= 0.02 for answer in said.values())
    expected = {"Cu": ANODES["Cu"].k_alpha, "CuKa1": ANODES["Cu"].k_alpha1, "Co": ANODES["Co"].k_alpha, "Mo": ANODES["Mo"].k_alpha}
    assert {name: answer.wavelength for name, answer in said.items()} == pytest.approx(expected, abs=1e-6)


def test_one_line_is_told_from_both_by_the_file(radiations, library, tmp_path):
    for radiation, kind in zip(radiations.RADIATIONS, ("Ka mean", "Ka1", "Ka mean", "Ka mean"), strict=True):
        angles, counts = radiations.scan(library, 0, radiation, np.random.default_rng(0))
        place = tmp_path / f"{radiation.name}.xy"
        place.write_text(radiation.header + "".join(f"{angle:.4f} {count:.0f}\n" for angle, count in zip(angles, counts, strict=True)))
        pattern = formats.read(place)
        assert pattern.meta["wavelength_kind"] == kind
        assert pattern.wavelength == pytest.approx(radiation.wavelength, abs=1e-6)
