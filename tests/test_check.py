"""Is a scan of what was expected, and pure? On scans drawn line by line from the made-up library."""

from __future__ import annotations

import json

import made
import numpy as np
import pytest

import xrdmatch
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import LibraryError
from xrdmatch.library.entry_pattern import entry_pattern
from xrdmatch.search.check import Checker
from xrdmatch.search.check_result import VERDICTS
from xrdmatch.search.missing_lines import missing_reason


@pytest.fixture(scope="module")
def checker(identifier):
    return Checker(identifier)


def line_at(scan, angle, height, fwhm=0.15):
    """The scan with one more line, `height` of its strongest."""
    added = height * scan.intensity.max() * np.exp(-4.0 * np.log(2.0) * ((scan.two_theta - angle) / fwhm) ** 2)
    return scan.with_intensity(scan.intensity + np.random.default_rng(3).poisson(added))


@pytest.mark.parametrize("row", range(5))
def test_what_was_expected_is_pure(checker, library, row):
    answer = checker.check(made.scan(library, row, row), [str(library.id[row])])
    assert answer.verdict == "pure"
    assert answer.probability > 0.8
    assert answer.explained > 0.9
    assert not answer.further_lines
    assert answer.expected[0].match.id == library.id[row]


@pytest.mark.parametrize("row", range(5))
def test_another_framework_is_absent(checker, library, row):
    for other in set(range(5)) - {row}:
        answer = checker.check(made.scan(library, row, row), [str(library.id[other])])
        assert answer.verdict == "absent", library.id[other]
        assert answer.reason_code == "expected_absent"


def test_a_foreign_line_is_listed_with_its_place_and_height(checker, library):
    scan = made.scan(library, 1, 1)
    free = next(angle for angle in np.arange(8.0, 40.0, 0.1) if np.nanmin(np.abs(made.angles_of(library, 1)[0] - angle)) > 0.6)
    answer = checker.check(line_at(scan, free, 0.3), ["ZIF-8"])
    assert answer.verdict == "present"
    assert [line.two_theta for line in answer.further_lines] == pytest.approx([free], abs=0.05)
    assert answer.further_lines[0].height == pytest.approx(30.0, abs=4.0)
    assert answer.further_lines[0].phase == ""


def test_a_second_phase_is_named_and_its_lines_with_it(checker, library):
    mixture = made.mixed(made.scan(library, 1, 1), made.scan(library, 4, 2), 0.25)
    answer = checker.check(mixture, ["ZIF-8"])
    assert answer.verdict == "present"
    assert [phase.name for phase in answer.further_phases] == ["UiO-66"]
    named = [line for line in answer.further_lines if line.phase == "UiO-66"]
    assert sum(line.height for line in named) > 0.9 * sum(line.height for line in answer.further_lines)


def test_a_mixture_that_was_expected_is_pure(checker, library):
    mixture = made.mixed(made.scan(library, 1, 1), made.scan(library, 4, 2), 0.4)
    answer = checker.check(mixture, ["UiO-66", "ZIF-8"])
    assert [one.name for one in answer.expected] == ["UiO-66", "ZIF-8"]
    assert answer.verdict == "pure"
    assert checker.check(mixture, ["ZIF-8", "HKUST-1"]).verdict in ("absent", "unclear")


def test_the_limit_falls_with_the_noise_and_holds(checker, library):
    limits = []
    for peak in (1000.0, 30000.0):
        answer = checker.check(made.scan(library, 1, 1, peak=peak), ["ZIF-8"])
        assert answer.verdict == "pure"
        limits.append(answer.detection_limit or 100.0)
    assert limits[1] < limits[0]
    assert limits[1] < 20.0


@pytest.mark.parametrize("other", [0, 2, 4])
def test_a_second_phase_well_above_the_limit_is_seen(checker, library, other):
    first, second = made.scan(library, 1, 1, peak=30000.0), made.scan(library, other, 7, peak=30000.0)
    limit = checker.check(first, ["ZIF-8"]).detection_limit
    assert checker.check(made.mixed(first, second, 0.025 * limit), ["ZIF-8"]).verdict == "present"


def test_swelling_is_told_first(checker, library):
    answer = checker.check(made.scan(library, 4, 4, strain=(0.012, 0.012, 0.012)), ["UiO-66"])
    assert answer.good
    assert answer.expected[0].volume_change == pytest.approx(0.0364, abs=0.004)
    assert answer.reasons[0].code == "cell_differs"


def test_a_blank_is_unusable(checker):
    flat = Pattern(np.arange(5.0, 40.0, 0.02), np.random.default_rng(0).poisson(300.0, 1750).astype(float), 1.5418)
    answer = checker.check(flat, ["UiO-66"])
    assert answer.verdict == "unusable"
    assert answer.reason_code == "too_few_lines"


def test_an_unknown_name_is_an_error(checker, library):
    with pytest.raises(LibraryError, match="UiO-68"):
        checker.check(made.scan(library, 1), ["UiO-68"])


def test_the_result_as_json_and_from_python(checker, library, tiny_model):
    scan = made.scan(library, 1, 1)
    told = json.loads(json.dumps(checker.check(scan, ["ZIF-8"]).to_json()))
    assert told["verdict"] in VERDICTS
    assert told["expected"][0]["name"] == "ZIF-8"
    assert told["expected"][0]["cell"]["a"] == pytest.approx(17.0, abs=0.05)
    assert told["expected"][0]["matched"][0]["height"] <= 100.0
    assert told["reason"].endswith("would not be")
    assert xrdmatch.check(scan, "ZIF-8", model=tiny_model).verdict == told["verdict"]


def lines(*hkl):
    return [(*one, 5.0 + 2.0 * sum(one), 50.0) for one in hkl]


def test_missing_lines_of_one_zone_are_texture():
    shown = lines((1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 1, 0))
    found = missing_reason(shown, lines((0, 0, 2), (0, 0, 4)), 1.5418, 0.1)
    assert (found.code, found["zone"]) == ("missing_texture", "00l")
    assert missing_reason(shown, lines((0, 0, 2), (1, 1, 2)), 1.5418, 0.1) is None
    assert missing_reason(shown, [], 1.5418, 0.1) is None


def test_missing_lines_at_low_angles_are_guests():
    shown = [(h, 1, 0, 20.0 + h, 50.0) for h in range(4)]
    wet = [missing_reason(shown, [(1, 1, 1, angle, 80.0)], 1.5418, 0.1) for angle in (7.0, 7.02, 7.08)]
    assert {one.code for one in wet} == {"missing_guests"}
    assert [one["below"] for one in wet] == [7.1, 7.1, 7.2]  # an angle that all missing lines lie below


def test_a_structure_file_needs_no_place_in_the_library(checker, tmp_path):
    from test_expected_entries import CIF

    path = tmp_path / "salt.cif"
    path.write_text(CIF)
    phase = checker.asked([str(path)]).phases[0]
    ideal = entry_pattern(phase.library, 0, xrdmatch.Grid(10.0, 53.0, 0.02, 1.5418))
    counts = np.random.default_rng(1).poisson(100.0 + 100.0 * ideal.intensity).astype(float)
    assert checker.check(ideal.with_intensity(counts), [str(path)]).good
    assert checker.check(ideal.with_intensity(counts), ["UiO-66"]).verdict == "absent"


def test_a_re_ranker_is_asked_about_the_expected_one(checker, library, tmp_path):
    from dataclasses import replace

    from test_expected_entries import CIF

    from xrdmatch.preprocessing.prepared_scan import prepare_scan
    from xrdmatch.search.candidate_view import CHANNELS, POINTS
    from xrdmatch.search.presence import RERANKED, own_features, presence, side_by_side

    class Says:
        """A network that keeps what it was shown, and always says the same."""

        def run(self, inputs):
            self.shown = inputs
            return np.full((len(inputs), 1), 40.0, dtype=np.float32)

    scan, network = prepare_scan(made.scan(library, 1, 1)).comparison, Says()
    phase = checker.asked(["ZIF-8"]).phases[0]
    one = phase.compared(scan).take([0])
    assert side_by_side(checker.model, phase, one, scan) == {}
    model = replace(checker.model)
    model.__dict__["reranker"] = network
    told = side_by_side(model, phase, one, scan)
    assert told == {RERANKED: 12.0}
    assert network.shown.shape == (1, CHANNELS, POINTS)
    (tmp_path / "salt.cif").write_text(CIF)
    salt = checker.asked([str(tmp_path / "salt.cif")]).phases[0]
    assert side_by_side(model, salt, salt.compared(scan).take([0]), scan) == told
    own = own_features(one, scan)
    assert presence(own | {RERANKED: -12.0}) < presence(own | told)


def test_lattices_of_a_file_are_none_of_the_library(library):
    from xrdmatch.search.candidate_view import Lattices

    own, all_of_them = Lattices.of(library.subset([2])), Lattices.of(library)
    joined = own.beside(all_of_them)
    assert joined.near(0, joined.cell[0]) == 1 + all_of_them.near(2, joined.cell[0])
    assert len(np.unique(joined.family)) == 1 + len(np.unique(all_of_them.family))
