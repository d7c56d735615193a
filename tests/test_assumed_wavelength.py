"""What speaks for another wavelength than the assumed one."""

from pathlib import Path

import numpy as np
import pytest

import xrdmatch
from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.radiation import ANODES, CU_K_ALPHA, convert_two_theta
from xrdmatch.library.reference_library import Library
from xrdmatch.model.library_vectors import ideal
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.assumed_wavelength import better_anode, name_note, named_in, worth_trying

NAMES = {
    "sample_CoKa1.xy": "CoKa1", "sample-Co-Ka1.xy": "CoKa1", "UiO-66 Mo Kalpha.xy": "MoKa", "x_Mo.xy": "Mo", "Mo_x.xy": "Mo", "MOF-74_Ag.dat": "Ag",
    "scan_co-tube.raw": "Co", "Co radiation 3.xy": "Co", "11bm_0.4137A.xye": "0.4137", "CuKb.xy": "CuKb", "run Fe_K_alpha2.txt": "FeKa2",
}  # fmt: skip
NOTHING = [
    "Co-MOF-74.xy",
    "Cu-BTC.xy",
    "Fe-MIL-88.xy",
    "Ag-salt.raw",
    "cobalt.xy",
    "Mocha.xy",
    "sample 1.54.xy",
    "Co.xy",
    "decka.xy",
    "1.5A4.xy",
    "nano.xy",
]


def measured_with(anode: str, library: Library) -> Pattern:
    """A scan of the library's first entry over the angles that a diffractometer with this anode gives it, without its wavelength."""
    grid = Grid(3.0, 50.0, 0.02)
    angles = convert_two_theta(grid.two_theta, CU_K_ALPHA, ANODES[anode].k_alpha)
    counts = 20.0 + 5000.0 * ideal(library, np.array([0]), grid)[0] / ideal(library, np.array([0]), grid).max()
    return Pattern(angles, np.random.default_rng(1).poisson(counts).astype(float), None, "scan.xy")


@pytest.mark.parametrize("name", NAMES)
def test_names_that_tell(name: str) -> None:
    assert named_in(f"/data/Mo_old/{name}") == NAMES[name]


@pytest.mark.parametrize("name", NOTHING)
def test_names_that_do_not(name: str) -> None:
    assert named_in(name) == ("Ag" if name == "Ag-salt.raw" else "")


def test_a_note_only_where_the_name_says_another_wavelength() -> None:
    assert [told["told"] for told in name_note("x_CoKa1.xy", CU_K_ALPHA)] == ["CoKa1"]
    assert name_note("x_CuKa.xy", CU_K_ALPHA) == []
    assert name_note("x_CuKa1.xy", CU_K_ALPHA) == []
    assert [told["told"] for told in name_note("x_0.4137A.xy", CU_K_ALPHA)] == ["0.4137"]


def test_the_best_of_the_other_anodes_is_told_where_it_is_clear(identifier, library) -> None:
    lines = identifier.model.index.line_index
    scan = prepare_scan(measured_with("Mo", library))
    assert worth_trying(scan, lines)[0] == "Mo"
    (told,) = better_anode(scan, lines, lambda wavelength: (0.97, "HKUST-1") if wavelength == ANODES["Mo"].k_alpha else (0.91, "ZIF-8"))
    assert (told["anode"], told["name"], told["probability"]) == ("Mo", "HKUST-1", 0.97)
    assert better_anode(scan, lines, lambda wavelength: (0.5, "MOF-5")) == []
    assert better_anode(scan, lines, lambda wavelength: None) == []


def test_no_other_anode_is_tried_where_copper_fits_best(identifier, library) -> None:
    assert worth_trying(prepare_scan(measured_with("Cu", library)), identifier.model.index.line_index) == []


def test_a_scan_of_another_anode_is_told_in_the_answer() -> None:
    sample = xrdmatch.read(Path(__file__).parents[1] / "docs" / "samples" / "hkust-1.xy")
    angles = convert_two_theta(sample.two_theta, sample.wavelength or CU_K_ALPHA, ANODES["Mo"].k_alpha)
    seen = np.isfinite(angles)
    answer = xrdmatch.identify(Pattern(angles[seen], sample.intensity[seen], None, "sample_Mo.xy"))
    codes = {told.code: told for told in answer.notes}
    assert answer.verdict == "unknown"
    assert codes["wavelength_in_name"]["told"] == "Mo"
    assert (codes["other_anode_fits"]["anode"], codes["other_anode_fits"]["name"]) == ("Mo", "HKUST-1")
    stated = xrdmatch.identify(Pattern(angles[seen], sample.intensity[seen], ANODES["Mo"].k_alpha, "sample_Mo.xy"))
    assert (stated.verdict, stated.name) == ("match", "HKUST-1")
    assert not {"wavelength_in_name", "other_anode_fits"} & {told.code for told in stated.notes}
