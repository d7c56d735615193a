"""From a scan to ranked matches and a verdict."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import LibraryError, ModelError
from xrdmatch.library.entry_names import entry_name
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model, write_encoder
from xrdmatch.model.reference_index import ReferenceIndex
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import MAX_TOP, SearchOptions
from xrdmatch.search.pipeline import rank
from xrdmatch.search.result import Identification, Match, error_result
from xrdmatch.search.retrieval import RankOptions

ROWS = range(5)
CU, CO, MO = 1.541871, 1.79026, 0.71073

#: What scripts rely on, from the command line's contract.
KEYS = {"file", "verdict", "reason", "wavelength", "wavelength_source", "filtered", "noise", "provider", "model", "seconds", "matches"}
MATCH_KEYS = {"rank", "id", "name", "formula", "family", "members", "similarity", "probability", "shift"}


@pytest.fixture(scope="module")
def identifier(tiny_model):
    return Identifier(tiny_model, "cpu")


def codes(answer):
    """Codes of the reasons of an answer."""
    return [reason.code for reason in answer.reasons]


class Told:
    """Stands in for the calibration: the candidates get these probabilities, in the order of their similarity."""

    def __init__(self, *values):
        self.values = values

    def probabilities(self, candidates, unexplained=None):
        padded = np.zeros(len(candidates))
        values = self.values[: len(candidates)]
        padded[: len(values)] = values
        return padded, 1.0 - padded.sum()


@pytest.fixture
def told(tiny_model):
    """Makes an identifier that is told its probabilities; `library` may change the model's library."""

    def make(*values, library=None):
        model = Model.load(tiny_model, "cpu")
        if library is not None:
            changed = library(model.library)
            vectors = np.resize(model.vectors, (len(changed), model.vectors.shape[1]))
            model = model.with_index(ReferenceIndex.of(changed, vectors))
        made_up = Identifier(model)
        made_up.calibration, made_up.second_phase_calibration = Told(*values), Told(0.0)
        return made_up

    return make


class TestAnswer:
    @pytest.mark.parametrize("row", ROWS)
    def test_own_entry_is_named(self, identifier, library, row):
        for seed in range(3):
            answer = identifier.identify(made.scan(library, row, seed))
            first = answer.matches[0]
            assert answer.verdict == "match"
            assert first.id == library.id[row]
            assert first.name == entry_name(library, row)
            assert first.members == [library.id[row]]
            assert first.similarity > 0.95
            assert first.probability > 0.9
            assert [match.rank for match in answer.matches] == list(range(1, len(answer.matches) + 1))
            assert sum(match.probability for match in answer.matches) <= 1.001
            assert entry_name(library, row) in answer.reason

    def test_fields_of_the_scan(self, identifier, library, tiny_model):
        answer = identifier.identify(made.scan(library, 1, zero=0.08), file="some/where.xy")
        assert answer.file == "some/where.xy"
        assert answer.model == tiny_model.name
        assert answer.provider == "CPUExecutionProvider"
        assert answer.noise is not None
        assert 0 < answer.noise < 0.05
        assert 0 < answer.seconds < 60
        assert answer.matches[0].shift == pytest.approx(0.08, abs=0.021)
        assert identifier.identify(made.scan(library, 1)).file == "BBBBBB_clean"

    def test_the_pattern_is_left_as_it_was(self, identifier, library):
        pattern = made.scan(library, 2, known=False)
        before = pattern.two_theta.copy(), pattern.intensity.copy()
        answers = [identifier.identify(pattern), identifier.identify(pattern)]
        np.testing.assert_array_equal(pattern.two_theta, before[0])
        np.testing.assert_array_equal(pattern.intensity, before[1])
        assert pattern.wavelength is None
        first, second = (replace(answer, seconds=0.0, pattern=None) for answer in answers)
        assert first == second

    def test_scale_does_not_matter(self, identifier, library):
        pattern = made.scan(library, 3)
        plain = identifier.identify(pattern)
        for factor in (1e-4, 1e5):
            other = identifier.identify(pattern.with_intensity(factor * pattern.intensity))
            assert [match.id for match in other.matches] == [match.id for match in plain.matches]
            assert other.matches[0].probability == pytest.approx(plain.matches[0].probability, abs=1e-3)

    def test_all_members_of_a_large_family_are_listed(self, told, library):
        def alike(library):
            many = library.subset(np.array([0] * 70 + [1, 2, 3, 4]))
            family = np.array([0] * 70 + [1, 2, 3, 4], dtype=np.int32)
            return replace(many, id=np.array([f"A{i}" for i in range(74)]), family=family, family_name=np.array(["one", "b", "c", "d", "e"]))

        answer = told(0.9, library=alike).identify(made.scan(library, 0))
        assert answer.matches[0].members == [f"A{i}" for i in range(70)]

    def test_without_detail_the_answer_is_the_same(self, identifier, library):
        short = SearchOptions(detail=False)
        for scan in (made.scan(library, 0), made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)):
            full, plain = ({**identifier.identify(scan, how, "scan.xy").to_json(), "seconds": 0.0} for how in (None, short))
            assert full == plain
            brief = identifier.identify(scan, short)
            assert brief.pattern is brief.measured is None
            assert all(match.lines is match.evidence is None for match in brief.matches)

    def test_top_limits_the_matches_and_nothing_else(self, identifier, library):
        whole = identifier.identify(made.scan(library, 0), SearchOptions(top=MAX_TOP))
        for top in (1, 2, 5, MAX_TOP):
            answer = identifier.identify(made.scan(library, 0), SearchOptions(top=top))
            assert answer.matches == whole.matches[:top]
            assert len(answer.matches) == min(top, 5)
            assert (answer.verdict, answer.reasons, answer.headline) == (whole.verdict, whole.reasons, whole.headline)

    @pytest.mark.parametrize("top", [0, -1, MAX_TOP + 1])
    def test_more_matches_than_are_compared_cannot_be_asked_for(self, top):
        with pytest.raises(ValueError, match=f"top must be between 1 and {MAX_TOP}, got {top}"):
            SearchOptions(top=top)

    def test_a_filtered_scan_says_so(self, identifier, library):
        noisy = made.scan(library, 1, peak=1000.0, base=60.0)
        on, off = (identifier.identify(noisy, SearchOptions(filter_mode=mode)) for mode in ("on", "off"))
        assert on.filtered
        assert on.filter_reason.code == "filter_applied"
        assert not off.filtered
        assert on.matches[0].id == off.matches[0].id == "BBBBBB_clean"

    def test_a_stranger_is_not_named(self, tiny_model, library, tmp_path):
        """Without calibration: as sure as similarity alone can be."""
        sure = []
        for row in ROWS:
            folder = tmp_path / str(row)
            shutil.copytree(tiny_model, folder)
            whole = Model.load(folder, "cpu")
            kept = [other for other in ROWS if other != row]
            write_encoder(folder, whole.config, whole.index.subset(kept))
            small = Identifier(folder, "cpu")
            for seed in range(3):
                answer = small.identify(made.scan(library, row, seed))
                assert answer.matches[0].similarity < 0.9
                sure.append(answer.matches[0].probability)
        assert np.median(sure) < 0.1
        assert max(sure) < 0.7

    def test_needs_a_whole_model(self, tiny_model, tmp_path):
        with pytest.raises(ModelError):
            Identifier(tmp_path / "nothing")
        for missing, error in (("library.h5", LibraryError), ("model.onnx", ModelError)):
            folder = tmp_path / missing
            shutil.copytree(tiny_model, folder)
            (folder / missing).unlink()
            with pytest.raises(error, match=missing):
                Identifier(folder, "cpu")

    @pytest.mark.parametrize("stored", [{"weights": [1.0]}, {"candidate": "x", "gate": []}, {"candidate": [1.0], "gate": [1.0]}, 3])
    def test_a_calibration_that_is_not_understood(self, tiny_model, stored):
        model = Model.load(tiny_model, "cpu")
        with pytest.raises(ModelError, match="calibration"):
            Identifier(replace(model, config={**model.config, "calibration": stored}))


class TestUnusable:
    @pytest.mark.parametrize("seed", range(5))
    def test_noise(self, identifier, seed):
        rng = np.random.default_rng(seed)
        points = np.arange(4.0, 45.0, 0.02)
        smear = np.convolve(rng.normal(0.0, 10.0, points.size + 8), np.ones(9) / 9, "valid") + 300.0
        for counts in (rng.poisson(100.0, points.size), smear):
            answer = identifier.identify(Pattern(points, counts, CU))
            assert answer.verdict == "unusable"
            assert answer.matches == []
            assert answer.reason_code == "too_few_lines"

    @pytest.mark.parametrize("counts", [0.0, 55.0])
    @pytest.mark.parametrize("filter_mode", ["auto", "on", "off", "paper"])
    def test_nothing_in_it(self, identifier, counts, filter_mode):
        answer = identifier.identify(Pattern(np.arange(4.0, 45.0, 0.02), np.full(2050, counts), CU), SearchOptions(filter_mode=filter_mode))
        assert answer.verdict == "unusable"
        json.dumps(answer.to_json(), allow_nan=False)

    @pytest.mark.parametrize(("start", "stop"), [(4.0, 8.0), (60.0, 90.0), (4.0, 4.02), (120.0, 140.0)])
    def test_short(self, identifier, library, start, stop):
        points = np.arange(start, stop + 0.01, 0.02)
        answer = identifier.identify(Pattern(points, np.random.default_rng(0).poisson(100.0, points.size), CU))
        assert answer.verdict == "unusable"
        assert answer.reason_code == "range_too_short"

    def test_a_smooth_halo_is_never_named(self, identifier):
        points = np.arange(4.0, 45.0, 0.02)
        halo = 200.0 + 1000.0 * np.exp(-0.5 * ((points - 20.0) / 4.0) ** 2)
        verdicts = {identifier.identify(Pattern(points, np.random.default_rng(seed).poisson(halo), CU)).verdict for seed in range(20)}
        assert verdicts <= {"unusable", "unknown"}


class TestWavelength:
    @pytest.mark.parametrize("row", ROWS)
    def test_any_anode_finds_the_same(self, identifier, library, row):
        answers = [
            identifier.identify(made.scan(library, row, 1, wavelength=wavelength, start=start, step=step))
            for wavelength, start, step in ((CU, 4.0, 0.02), (CO, 4.6, 0.02), (MO, 2.0, 0.01))
        ]
        assert [answer.matches[0].id for answer in answers] == [library.id[row]] * 3
        assert all(answer.verdict == "match" for answer in answers)
        assert [answer.wavelength for answer in answers] == [CU, CO, MO]

    def test_source(self, identifier, library):
        known, silent = made.scan(library, 0, wavelength=CO), made.scan(library, 0, wavelength=CO, known=False)
        from_file = identifier.identify(known)
        assert (from_file.wavelength_source, from_file.wavelength, from_file.notes) == ("file", CO, [])
        option = identifier.identify(silent, SearchOptions(wavelength=CO))
        assert (option.wavelength_source, option.wavelength, option.notes) == ("option", CO, [])
        assert option.matches[0].id == from_file.matches[0].id == "AAAAAA_clean"
        assumed = identifier.identify(silent)
        assert assumed.wavelength_source == "default"
        assert assumed.wavelength == pytest.approx(CU, abs=1e-3)
        assert [note.code for note in assumed.notes] == ["wavelength_assumed", "other_anode_fits"]
        assert assumed.notes[1]["anode"] == "Co"

    def test_the_option_wins_over_the_file(self, identifier, library):
        wrong = replace(made.scan(library, 0, wavelength=CO), wavelength=MO)
        answer = identifier.identify(wrong, SearchOptions(wavelength=CO))
        assert answer.wavelength_source == "option"
        assert answer.matches[0].id == "AAAAAA_clean"

    def test_the_wrong_wavelength_fits_worse(self, identifier, library):
        for row in ROWS:
            silent = made.scan(library, row, wavelength=CO, known=False)
            right, wrong = identifier.identify(silent, SearchOptions(wavelength=CO)), identifier.identify(silent)
            assert not wrong.matches or wrong.matches[0].similarity < right.matches[0].similarity - 0.1


class TestSecondPhase:
    def test_of_a_mixture(self, identifier, library):
        """Wherever a second phase is stated it is the one that is there, and it is stated for most pairs."""
        stated = []
        for first in ROWS:
            for second in ROWS:
                if first == second:
                    continue
                answer = identifier.identify(made.mixed(made.scan(library, first, 1), made.scan(library, second, 2), 0.35))
                extra = [phase.match for phase in answer.phases[1:]]
                stated.append(bool(extra))
                assert [match.rank for match in answer.matches] == list(range(1, len(answer.matches) + 1))
                assert len({match.family for match in answer.matches}) == len(answer.matches)
                assert all(match.phase == 1 and match.share == 0.0 for match in answer.matches)
                assert all(match.phase == 2 and match.share > 0.0 for match in answer.second_matches)
                assert answer.matches[0].family not in {match.family for match in answer.second_matches}
                assert ("second_phase" in codes(answer)) == bool(extra)
                if extra:
                    assert len(extra) == 1
                    assert extra[0] == answer.second_matches[0]
                    assert {answer.matches[0].id, extra[0].id} == {library.id[first], library.id[second]}
                    assert 0.03 < extra[0].share < 0.6
        assert np.mean(stated) > 0.4

    def test_an_unlikely_one_is_listed_by_its_probability(self, identifier, library, monkeypatch):
        pattern = made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)
        monkeypatch.setattr(identifier, "second_phase_calibration", Told(0.3, 0.1, 0.001))
        answer = identifier.identify(pattern)
        beside = answer.second_matches
        assert len(beside) > 1
        assert [match.probability for match in beside] == [0.3, 0.1, 0.001, 0.0, 0.0][: len(beside)]
        assert len(answer.phases) == 1
        assert "second_phase" not in codes(answer)

    def test_it_is_listed_and_told_however_few_are_asked_for(self, identifier, library):
        pattern = made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)
        whole, one = identifier.identify(pattern), identifier.identify(pattern, SearchOptions(top=1))
        assert len(whole.phases) == 2
        assert one.phases == whole.phases
        assert (one.matches, one.second_matches) == (whole.matches[:1], whole.second_matches[:1])
        assert one.reasons == whole.reasons
        assert one.headline == whole.headline
        assert "second_phase" in codes(one)
        assert whole.phases[1].name in one.reason

    def test_it_is_looked_for_beside_a_first_that_is_hardly_likely(self, told, library):
        pattern = made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)
        for chance, looked in ((0.0015, False), (0.0025, True)):
            identifier = told(chance)
            identifier.second_phase_calibration = Told(0.4)
            assert bool(identifier.identify(pattern).second_matches) is looked

    @pytest.mark.parametrize(("chance", "refined"), [(0.4, 1), (0.6, 2)])
    def test_only_a_phase_that_is_there_is_polished(self, identifier, library, monkeypatch, chance, refined):
        pattern = made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)
        monkeypatch.setattr(identifier, "second_phase_calibration", Told(chance))
        asked = []
        monkeypatch.setattr("xrdmatch.search.matches.polish_cells", lambda library, one, scan: asked.append(one.rows.tolist()) or one)
        answer = identifier.identify(pattern)
        assert answer.second_matches
        assert len(asked) == refined

    def test_the_first_is_surer_without_the_lines_of_the_second(self, identifier, library, monkeypatch):
        """The second phase's lines count against the first only until the second is found."""
        pattern = made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)
        with_second = identifier.identify(pattern).matches[0]
        monkeypatch.setattr(identifier, "second_phase_calibration", Told(0.0))
        without = identifier.identify(pattern).matches[0]
        assert with_second.id == without.id
        assert with_second.probability > without.probability
        assert len(with_second.evidence.extra) < len(without.evidence.extra)

    def test_the_first_gains_by_it_as_far_as_the_second_is_likely(self, identifier, library, monkeypatch):
        """Two phases that are wrong together explain much of a scan; one that is likely lends what it has."""
        pattern = made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)
        sure = {}
        for chance in (0.0, 0.6, 1.0):
            monkeypatch.setattr(identifier, "second_phase_calibration", Told(chance))
            sure[chance] = identifier.identify(pattern).matches[0].probability
        assert sure[0.0] < sure[0.6] < sure[1.0]
        assert sure[0.6] == pytest.approx(0.6 * sure[1.0] + 0.4 * sure[0.0], abs=2e-4)

    def test_share_grows_with_the_second_phase(self, identifier, library):
        shares = []
        for share in (0.15, 0.3, 0.45):
            answer = identifier.identify(made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), share))
            shares.append(answer.phases[1].share if len(answer.phases) > 1 else 0.0)
        assert shares == sorted(shares)
        assert shares[-1] > 0.1

    def test_none_in_a_pure_scan(self, identifier, library):
        for row in ROWS:
            for seed in range(3):
                answer = identifier.identify(made.scan(library, row, seed, fwhm=0.2))
                assert len(answer.phases) == 1
                assert "second_phase" not in codes(answer)


class TestVerdict:
    """From probabilities alone."""

    def verdict(self, identifier, library, row=0, options=None):
        answer = identifier.identify(made.scan(library, row), options)
        return answer.verdict, answer.reason, answer.matches

    def test_one_stands_out(self, told, library):
        for probability in (0.5, 0.7, 1.0):
            verdict, reason, matches = self.verdict(told(probability, 0.0), library)
            assert verdict == "match"
            assert "HKUST-1" in reason
            assert matches[0].probability == pytest.approx(probability)

    def test_several_together(self, told, library):
        verdict, reason, matches = self.verdict(told(0.4, 0.35, 0.05), library)
        assert verdict == "ambiguous"
        named = [match.name or match.family for match in matches]
        assert f"{named[0]} or {named[1]}:" in reason
        assert named[2] not in reason

    @pytest.mark.parametrize("values", [(0.49, 0.0), (0.3, 0.15), (0.09, 0.09, 0.09, 0.09, 0.09), (0.0,), (0.42, 0.09, 0.09)])
    def test_too_little(self, told, library, values):
        verdict, reason, _ = self.verdict(told(*values), library)
        assert verdict == "unknown"
        assert reason == "No framework of the library fits its 15 lines; the closest is HKUST-1"

    def test_does_not_depend_on_how_many_matches_are_shown(self, told, library):
        for top in (1, 2, 5):
            verdict, _, matches = self.verdict(told(0.4, 0.35), library, options=SearchOptions(top=top))
            assert verdict == "ambiguous"
            assert len(matches) == top

    def test_families_of_one_name_count_together(self, told, library):
        def same_name(old: Library) -> Library:
            return replace(old, name=np.array(["MIL-53"] * 5))

        verdict, reason, _ = self.verdict(told(0.3, 0.25, library=same_name), library)
        assert verdict == "match"
        assert "MIL-53 fits" in reason
        verdict, _, _ = self.verdict(told(0.3, 0.25, library=lambda old: replace(old, name=np.array([""] * 5))), library)
        assert verdict == "ambiguous"  # nameless families are not one framework

    def test_a_family_of_several_metals_says_what_decides(self, told, library):
        def twins(old: Library) -> Library:
            other = replace(old.entry(1), id="ZZZZZZ_clean", formula="C8 H10 Co N4", name="ZIF-67")
            both = old.joined(Library.from_entries([other]))
            return replace(both, family=np.array([0, 1, 2, 3, 4, 1], dtype=np.int32), family_name=np.array(["a", "ZIF-8 / ZIF-67", "c", "d", "e"]))

        verdict, reason, matches = self.verdict(told(0.9, library=twins), library, 1)
        assert verdict == "match"
        assert reason == matches[0].note
        assert "EDX or ICP" in reason
        assert sorted(matches[0].members) == ["BBBBBB_clean", "ZZZZZZ_clean"]

    def test_ranked_by_probability_not_similarity(self, told, library):
        _, _, matches = self.verdict(told(0.1, 0.2, 0.6), library)
        assert [match.probability for match in matches][:3] == [0.6, 0.2, 0.1]
        assert matches[0].similarity < matches[2].similarity


class TestJson:
    def test_contract(self, identifier, library):
        data = identifier.identify(made.scan(library, 0)).to_json()
        assert set(data) >= KEYS
        assert "pattern" not in data
        assert all(set(match) >= MATCH_KEYS and "evidence" not in match for match in data["matches"])
        assert json.loads(json.dumps(data, allow_nan=False))["matches"][0]["id"] == "AAAAAA_clean"

    def test_evidence_on_request(self, identifier, library):
        answer = identifier.identify(made.scan(library, 0))
        data = json.loads(json.dumps(answer.to_json(evidence=True), allow_nan=False))
        for match in data["matches"]:
            assert set(match["evidence"]) == {"explained", "matched", "missing", "extra", "positions"}
        assert answer.pattern is not None  # the answer itself is left alone

    def test_error(self):
        answer = error_result("bad.raw", "bad.raw: no", "some-model")
        data = answer.to_json()
        assert set(data) >= KEYS
        assert (data["verdict"], data["reason"], data["matches"], data["model"]) == ("error", "bad.raw: no", [], "some-model")

    def test_is_frozen(self):
        with pytest.raises(AttributeError):
            Identification("a", "match").verdict = "unknown"
        with pytest.raises(AttributeError):
            Match(1, "a", "", "", "", [], 0.0, 0.0, 0.0).rank = 2


class TestClassifier:
    def test_answers_with_the_networks_own_probabilities(self, classifier, library):
        identifier = Identifier(classifier, "cpu")
        pattern = made.scan(library, 2)
        answer = identifier.identify(pattern)
        assert answer.verdict == "match"
        assert answer.reason_code == "classifier"
        output = identifier.model.encode(identifier.model.recipe.apply(pattern)[None])[0]
        wanted = dict(zip(identifier.model.config["labels"], output.tolist(), strict=True))
        for match in answer.matches:
            assert match.probability == pytest.approx(wanted[match.id], abs=2e-3)
        assert [match.probability for match in answer.matches] == sorted((match.probability for match in answer.matches), reverse=True)
        assert answer.second_matches == []

    def test_the_network_alone_chooses_the_labels(self, classifier, library):
        """However badly its lines fit, the likeliest label stays an answer."""
        model = Model.load(classifier, "cpu")
        for row in range(len(library)):
            scan = prepare_scan(made.scan(library, row))
            output = model.encode(scan.network_input(model.recipe)[None])[0]
            wanted = [model.config["labels"][i] for i in np.argsort(-output)[:2]]
            assert set(library.id[rank(scan, model, RankOptions(min_families=2)).rows]) == set(wanted)

    def test_a_family_has_the_probability_of_its_members(self, classifier, library):
        family = np.array([0, 1, 1, 0, 2], np.int32)
        model = Model.load(classifier, "cpu")
        model = model.with_index(ReferenceIndex.of(replace(library, family=family, family_name=np.array(["A", "B", "C"]))))
        pattern = made.scan(library, 1)
        output = model.encode(model.recipe.apply(pattern)[None])[0]
        rows = [library.index()[label] for label in model.config["labels"]]
        wanted = np.bincount(family[rows], output)
        answer = Identifier(model, "cpu").identify(pattern)
        assert [match.family for match in answer.matches] == ["ABC"[i] for i in np.argsort(-wanted)]
        assert [match.probability for match in answer.matches] == pytest.approx(np.sort(wanted)[::-1], abs=1e-3)

    def test_unusable_scans_are_refused_all_the_same(self, classifier):
        points = np.arange(4.0, 45.0, 0.02)
        assert Identifier(classifier, "cpu").identify(Pattern(points, np.random.default_rng(0).poisson(9.0, points.size), CU)).verdict == "unusable"
