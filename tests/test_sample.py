"""What a scan says of the sample: what simulated scans were made with is found again, and nothing is said without grounds."""

from __future__ import annotations

import math
from dataclasses import replace

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.radiation import ANODES, CU_K_ALPHA
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.report.phrases import cell_text, sample_text
from xrdmatch.search.identify import Identifier
from xrdmatch.search.line_widths import LineWidths, line_widths
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.result import Identification, Match
from xrdmatch.search.sample import INSTRUMENT_WIDTH, Sample, crystallinity, crystallite_size, sample_figures
from xrdmatch.training.effects_numpy import EASY, measured_like

GRID = Grid(4.0, 50.0, 0.02)
UIO_66 = 4


@pytest.fixture(scope="module")
def face_centred(library):
    """UiO-66 with the lines that a face-centred cell has, so that most stand alone."""
    entry = library.entry(UIO_66)
    kept = (entry.hkl % 2 == entry.hkl[:, :1] % 2).all(axis=1)
    return Library.from_entries([replace(entry, hkl=entry.hkl[kept], intensity=entry.intensity[kept])])


def of_size(library, size, seed, row=0, instrument=INSTRUMENT_WIDTH, doublet=1.0):
    """A scan of crystallites of one size (nm), by the simulator that trains the models."""
    level = replace(EASY, size=(size, size), instrument=(instrument, instrument), doublet=doublet, microstrain=0.0, halo=0.0, impurity=0.0, cut=0.0)
    counts, mask = measured_like(library, np.array([row]), GRID, np.random.default_rng(seed), level)
    return Pattern(GRID.two_theta, counts[0], GRID.wavelength).within(mask[0])


def figures(pattern, **options):
    return sample_figures(prepare_scan(pattern), **options)


@pytest.mark.parametrize("size", [20.0, 40.0, 70.0])
@pytest.mark.parametrize("doublet", [0.0, 1.0])
def test_the_size_that_a_scan_was_made_with_is_found(face_centred, size, doublet):
    found = [figures(of_size(face_centred, size, seed, doublet=doublet)).crystallite_size_nm for seed in range(6)]
    assert None not in found
    assert np.median(found) == pytest.approx(size, rel=0.12)
    assert found == pytest.approx([size] * 6, rel=0.3)


def test_lines_no_wider_than_the_instrument_s_tell_no_size(face_centred):
    found = [figures(of_size(face_centred, 2000.0, seed)) for seed in range(6)]
    assert {one.crystallite_size_nm for one in found} == {None}
    widths = [one.fwhm for one in found if one.fwhm is not None]
    assert widths == pytest.approx([INSTRUMENT_WIDTH] * len(widths), rel=0.15)
    assert len(widths) > 3


def test_the_instrument_s_width_counts(face_centred):
    scan = of_size(face_centred, 40.0, 1, instrument=0.15)
    assert figures(scan, instrument_width=0.15).crystallite_size_nm == pytest.approx(40.0, rel=0.15)
    assert figures(scan).crystallite_size_nm < 37.0
    assert figures(scan, instrument_width=0.0).crystallite_size_nm < figures(scan).crystallite_size_nm
    assert figures(scan, instrument_width=0.3).crystallite_size_nm is None


def test_the_size_does_not_depend_on_the_wavelength():
    """The same crystallites give narrower lines with a shorter wavelength: widths of 30 nm by Scherrer's equation, written out."""
    for wavelength in (CU_K_ALPHA, ANODES["Mo"].k_alpha, 0.4):
        angles = np.array([6.0, 9.0, 14.0, 20.0])
        own = np.degrees(0.9 * wavelength / (300.0 * np.cos(np.radians(angles / 2.0))))
        assert crystallite_size(LineWidths(angles, np.hypot(own, 0.02)), wavelength, 0.02) == pytest.approx(30.0)


def test_a_flat_scan_and_one_of_few_lines_tell_no_size():
    rng = np.random.default_rng(3)
    assert figures(Pattern(GRID.two_theta, rng.poisson(100.0, GRID.size).astype(float), CU_K_ALPHA)).crystallite_size_nm is None
    two = 100.0 + 5000.0 * sum(np.exp(-(((GRID.two_theta - place) / 0.2) ** 2)) for place in (10.0, 20.0))
    told = figures(Pattern(GRID.two_theta, rng.poisson(two).astype(float), CU_K_ALPHA))
    assert (told.crystallite_size_nm, told.fwhm) == (None, None)


def test_overlapped_lines_tell_nothing(library, tiny_model):
    """Of a scan that was named the lines are known: those that are several reflections are left out."""
    points = GRID.two_theta
    pairs = sum(np.exp(-4.0 * math.log(2.0) * ((points - place - off) / 0.15) ** 2) for place in (8.0, 13.0, 19.0, 26.0) for off in (0.0, 0.12))
    scan = Pattern(points, np.random.default_rng(0).poisson(100.0 + 5000.0 * pairs).astype(float), 1.2)
    prepared = prepare_scan(scan)
    lines = Identifier(tiny_model, "cpu").identify(made.scan(library, UIO_66)).matches[0].lines
    observed = np.sort(np.concatenate([[place, place + 0.12] for place in (8.0, 13.0, 19.0, 26.0)]))
    columns = {name: np.full(8, value) for name, value in (("d", 5.0), ("two_theta", 0.0), ("intensity", 100.0), ("width", 0.15))}
    known = replace(lines, observed=observed, hkl=np.ones((8, 3), dtype=np.int16), **columns)
    assert sample_figures(prepared, known).crystallite_size_nm is None
    assert sample_figures(prepared, replace(known, observed=observed + 3.0)).fwhm is None, "lines of something else"


def test_width_of_k_alpha_1_where_lines_are_doublets():
    anode, fwhm = ANODES["Cu"], 0.12
    points = np.arange(20.0, 80.0, 0.01)
    places = (30.0, 45.0, 60.0, 72.0)
    counts = np.full(points.size, 50.0)
    for place in places:
        d = anode.k_alpha1 / (2.0 * np.sin(np.radians(place / 2.0)))
        for wavelength, height in ((anode.k_alpha1, 4000.0), (anode.k_alpha2, 2000.0)):
            centre = np.degrees(2.0 * np.arcsin(wavelength / (2.0 * d)))
            counts += height * np.exp(-4.0 * np.log(2.0) * ((points - centre) / fwhm) ** 2)
    counts = np.random.default_rng(1).poisson(counts).astype(float)
    found = line_widths(Pattern(points, counts, anode.k_alpha), places, 0.2, np.sqrt(50.0))
    assert found.fwhm == pytest.approx([fwhm] * 4, rel=0.06)
    assert found.two_theta == pytest.approx(places, abs=0.01)
    single = line_widths(Pattern(points, counts, 1.2), places, 0.2, np.sqrt(50.0))
    assert len(single) < 4 or single.fwhm.max() > 1.3 * fwhm, "no anode's wavelength: the doublet is one wide line"


@pytest.mark.parametrize("share", [1.0, 0.7, 0.4])
def test_the_crystallinity_that_a_scan_was_made_with_is_found(face_centred, share):
    points, rng = GRID.two_theta, np.random.default_rng(7)
    lines = 5000.0 * made.profile(face_centred, 0, points, fwhm=0.15)
    hump = np.exp(-0.5 * ((points - 22.0) / 3.5) ** 2)
    halo = hump * lines.sum() * (1.0 / share - 1.0) / hump.sum()
    scattered = 300.0 + 4000.0 * np.exp(-(points - 4.0) / 2.0)
    found = crystallinity(Pattern(points, rng.poisson(lines + halo + scattered).astype(float), CU_K_ALPHA))
    assert found == pytest.approx(share, abs=0.08)


def test_the_feet_of_known_lines_are_no_halo(library, tiny_model):
    answer = Identifier(tiny_model, "cpu").identify(made.scan(library, 3, fwhm=0.4, peak=40000.0))
    assert answer.verdict == "match"
    assert answer.sample.crystallinity > crystallinity(answer.measured) + 0.02
    assert answer.sample.crystallinity == pytest.approx(1.0, abs=0.1)


def test_nothing_scattered_has_no_crystallinity():
    assert crystallinity(Pattern(GRID.two_theta, np.full(GRID.size, 7.0), CU_K_ALPHA)) is None


class TestAnswers:
    def test_an_answer_has_the_figures_and_the_json(self, identifier, library):
        answer = identifier.identify(of_size(library, 40.0, 2, UIO_66))
        assert answer.verdict == "match"
        data = answer.to_json()["sample"]
        assert set(data) == {"crystallite_size_nm", "crystallinity", "fwhm"}
        assert data["crystallite_size_nm"] == pytest.approx(40.0, rel=0.2)
        assert 0.8 < data["crystallinity"] <= 1.0

    def test_they_are_the_same_without_detail(self, identifier, library):
        scan = of_size(library, 40.0, 2, UIO_66)
        short = identifier.identify(scan, SearchOptions(detail=False))
        assert short.sample == identifier.identify(scan).sample
        assert {match.lines for match in short.matches} == {None}

    def test_an_unusable_scan_has_none(self, identifier):
        flat = Pattern(GRID.two_theta, np.random.default_rng(0).poisson(400.0, GRID.size).astype(float), CU_K_ALPHA)
        assert identifier.identify(flat).sample == Sample()

    def test_the_refined_cell_stands_beside_the_library_s(self, identifier, library):
        match = identifier.identify(made.scan(library, UIO_66, strain=(0.006,) * 3)).matches[0]
        data = match.to_json()
        assert data["library_cell"] == {"a": 20.7, "b": 20.7, "c": 20.7, "alpha": 90.0, "beta": 90.0, "gamma": 90.0}
        assert data["cell"]["a"] == pytest.approx(20.7 * 1.006, rel=5e-4)
        assert data["cell"]["a"] / 20.7 - 1.0 == pytest.approx(match.strain[0], abs=1e-4)

    def test_a_wrong_width_is_refused(self):
        for width in (-0.1, math.nan, math.inf):
            with pytest.raises(ValueError, match="instrument_width"):
                SearchOptions(instrument_width=width)

    def test_the_default_width_is_the_same_everywhere(self):
        import inspect

        import xrdmatch
        from xrdmatch.cli.identify import CandidateOptions

        assert inspect.signature(xrdmatch.identify).parameters["instrument_width"].default == INSTRUMENT_WIDTH
        assert CandidateOptions().instrument_width == SearchOptions().instrument_width == INSTRUMENT_WIDTH


class TestWords:
    def test_what_is_known_is_said(self):
        answer = Identification("a.xy", "match", sample=Sample(61.4, 0.834, 0.1213))
        assert sample_text(answer) == "crystallites about 61 nm, lines 0.12° wide, crystallinity 83 %"
        assert sample_text(replace(answer, sample=Sample(fwhm=0.1))) == "lines 0.10° wide"
        assert sample_text(replace(answer, sample=Sample())) == ""

    @pytest.mark.parametrize(
        ("library_cell", "said"),
        [
            ((20.0, 20.0, 20.0, 90.0, 90.0, 90.0), "a = 20.20 Å (library +1.0 %)"),
            ((20.0, 20.0, 10.0, 90.0, 90.0, 120.0), "a = 20.20 Å (library +1.0 %), c = 10.10 Å (library +1.0 %)"),
            ((0.0,) * 6, ""),
        ],
    )
    def test_the_cell_is_said_beside_the_library_s(self, library_cell, said):
        refined = tuple(1.01 * length for length in library_cell[:3]) + library_cell[3:]
        assert cell_text(Match(1, "a", "", "", "", [], 0.0, 0.0, 0.0, cell=refined, library_cell=library_cell)) == said
