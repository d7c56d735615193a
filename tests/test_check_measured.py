"""Measured scans against their own label and a wrong one, with the shipped model. Skipped where the scans are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

import xrdmatch
from xrdmatch.model.folder import DEFAULT, shipped_models

MEASURED = Path(__file__).parents[2] / "shared" / "measured"
CASES = [
    ("mof/ZIF-67_XRED.csv", "ZIF-67", 1.54184, "HKUST-1"),
    ("mof/RF-1-19.3.txt", "ZIF-71", 1.54184, "UiO-66"),
    ("mof/PXRD_MIL-101-DMF_Cu-Ka1_capillary-0.7mm.xyd", "MIL-101", 1.540598, "MIL-53"),
    ("more/PCN777-asreceived.xrdml", "PCN-777", 1.54184, "MOF-5"),
]


@pytest.mark.parametrize(("file", "right", "wavelength", "wrong"), CASES)
def test_the_right_label_is_there_and_a_wrong_one_is_not(file, right, wavelength, wrong):
    if not (MEASURED / file).is_file() or DEFAULT not in shipped_models():
        pytest.skip("needs the measured scans beside the repository, and the shipped model")
    assert xrdmatch.check(MEASURED / file, right, wavelength=wavelength).good
    assert xrdmatch.check(MEASURED / file, wrong, wavelength=wavelength).verdict == "absent"
