"""What a synthesis leaves beside its framework, with the shipped library: modulators, linkers, oxides, salts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xrdmatch
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import ModelError
from xrdmatch.library.entry_pattern import entry_pattern
from xrdmatch.model.folder import DEFAULT, Model, find_model

STRUCTURES = Path(__file__).resolve().parents[1] / "scripts" / "structures"


@pytest.fixture(scope="module")
def model():
    try:
        return Model.load(find_model(DEFAULT), "cpu")
    except ModelError:
        pytest.skip(f"the shipped model {DEFAULT} is not in models/")


def counted(*parts):
    """A scan of patterns on one grid, each with the height of its strongest line."""
    first = parts[0][0]
    profile = sum(height * pattern.intensity / pattern.intensity.max() for pattern, height in parts)
    return Pattern(first.two_theta, np.random.default_rng(1).poisson(3000 * (profile + 0.03)), first.wavelength)


@pytest.mark.parametrize(
    ("refcode", "framework", "left"),
    [("RUBTAK01_SL", "UiO-66", "benzoic_acid"), ("EHALOP_manual", "MIL-53(Al)", "boehmite"), ("EMAPAK_clean", "ZIF-8", "smithsonite")],
)
def test_a_left_over_is_named_beside_the_framework(model, refcode, framework, left):
    pattern = entry_pattern(model.library, model.library.index()[refcode])
    scan = counted((pattern, 1.0), (xrdmatch.simulate(STRUCTURES / f"{left}.cif"), 0.25))
    found = xrdmatch.check(scan, framework, model=model)
    name = str(model.library.name[model.library.index()[left]])
    assert found.verdict == "present"
    assert [phase.name for phase in found.further_phases] == [name]


@pytest.mark.parametrize("path", sorted(STRUCTURES.glob("*.cif")), ids=lambda path: path.stem)
def test_each_structure_of_the_project_is_first_in_its_own_pattern(model, path):
    found = xrdmatch.identify(counted((xrdmatch.simulate(path), 1.0)), model=model)
    assert path.stem in (found.matches[0].id, *found.matches[0].members)
