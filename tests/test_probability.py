"""How sure: weights from made-up data, what they promise, and simulated scans taken through a model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xrdmatch.errors import ModelError
from xrdmatch.library.line_index import Lookup
from xrdmatch.model.folder import Model
from xrdmatch.search.line_evidence import Evidence
from xrdmatch.search.probability import FEATURES, GATE, GATE_BESIDE, Calibration, Candidate, fit
from xrdmatch.training import fit_probability as module
from xrdmatch.training.effects_numpy import EASY
from xrdmatch.training.fit_probability import Trial, calibrate, quality, trial, trials


def candidate(similarity, recalled=0.5, explained=0.8, missing=0, extra=0, shift=0.1):
    line = (1, 0, 0, 10.0, 50.0)
    found = Evidence(explained, [line] * 5, [line] * missing, [12.0] * extra, 4.0)
    return Candidate(similarity, recalled, found, plain=0.5, bend=0.3, presence=0.6, shift=shift, members=3)


def made_up(number, seed, weights=(30.0, 0.0, 0.0, 6.0, -8.0, *[0.0] * 7), gate=(-18.0, 30.0, -8.0, 0.0, 0.0, 0.0, 0.0)):
    """Trials whose right answer is drawn from the very model that is fitted."""
    rng = np.random.default_rng(seed)
    true = Calibration(np.array(weights), np.array(gate))
    results = []
    for _ in range(number):
        some = [
            candidate(rng.uniform(0.4, 1.0), rng.uniform(0.0, 1.0), rng.uniform(0.2, 1.0), rng.integers(0, 6), rng.integers(0, 6))
            for _ in range(rng.integers(1, 13))
        ]
        probabilities, none = true.probabilities(some)
        results.append(Trial(some, int(rng.choice(len(some) + 1, p=[*probabilities, none]))))
    return true, results


def fitted(results):
    features = [np.stack([one.features() for one in result.candidates]) for result in results]
    return fit(features, np.array([result.right for result in results]))


class TestFeatures:
    def test_candidate(self):
        expected = [0.9, -np.log(0.1), 0.7, 0.6, 0.5, 0.75, 0.5, 0.3, 10.0 * np.tanh(0.2), 0.6, 0.1, np.log(3.0)]
        for shift in (0.1, -0.1):
            np.testing.assert_allclose(candidate(0.9, 0.7, 0.6, missing=5, extra=15, shift=shift).features(), expected)

    def test_are_finite_at_the_edges(self):
        for similarity in (0.0, 1.0, 1.0001):
            assert np.isfinite(Candidate(similarity, 0.0, Evidence(0.0)).features()).all()


class TestProbabilities:
    def test_sum_to_one_with_none(self):
        for seed in range(5):
            true, results = made_up(20, seed)
            for one in (true, Calibration.from_json(None)):
                for result in results:
                    probabilities, none = one.probabilities(result.candidates)
                    assert probabilities.shape == (len(result.candidates),)
                    assert probabilities.min() >= 0
                    assert 0.0 <= none <= 1.0
                    assert probabilities.sum() + none == pytest.approx(1.0)

    def test_a_better_candidate_gets_more(self):
        default = Calibration.from_json(None)
        sure = [default.probabilities([candidate(similarity), candidate(0.5)])[0][0] for similarity in (0.6, 0.7, 0.8, 0.9, 0.99)]
        assert sure == sorted(sure)
        assert sure[0] < 0.01
        assert sure[2] == pytest.approx(0.5, abs=0.01)
        assert sure[-1] > 0.99

    def test_equals_share(self):
        probabilities, _ = Calibration.from_json(None).probabilities([candidate(0.95), candidate(0.95), candidate(0.3)])
        assert probabilities[0] == pytest.approx(probabilities[1])
        assert probabilities[0] < 0.5
        assert probabilities[2] < 1e-6

    def test_extreme_weights_stay_finite(self):
        huge = Calibration(np.full(FEATURES, 1e4), np.full(GATE, 1e4))
        with np.errstate(over="ignore"):
            for one in (huge, Calibration(-huge.candidate, -huge.gate)):
                probabilities, none = one.probabilities([candidate(0.9), candidate(0.1)])
                assert np.isfinite([*probabilities, none]).all()


class TestJson:
    def test_round_trip(self):
        one, results = made_up(30, 1)
        again = Calibration.from_json(json.loads(json.dumps(one.to_json())))
        for result in results:
            np.testing.assert_allclose(again.probabilities(result.candidates)[0], one.probabilities(result.candidates)[0])

    @pytest.mark.parametrize(
        "stored", [{}, {"candidate": [1.0] * FEATURES}, {"candidate": [1.0] * 6, "gate": [0.0] * 11}, {"candidate": "a", "gate": "b"}, [1]]
    )
    def test_what_is_not_understood(self, stored):
        with pytest.raises(ModelError, match="calibration"):
            Calibration.from_json(stored)


class TestFit:
    def test_finds_what_counts(self):
        """Signs of the weights that matter, over several data sets; the features overlap, so sizes are judged by what they predict."""
        for seed in range(3):
            _, results = made_up(600, seed)
            weights = fitted(results)
            scale = np.stack([one.features() for result in results for one in result.candidates]).std(axis=0)
            choice = weights.candidate * scale
            assert choice[:2].sum() > 0.5  # similarity and its distance from 1 go together
            assert choice[3] > 0.2
            assert choice[4] < -0.3
            assert np.abs(choice[[2, 5]]).max() < 0.5 * choice[:2].sum()
            assert np.abs(choice).argmax() in (0, 1)

    def test_predicts_as_well_as_the_truth(self):
        for seed in range(3):
            true, results = made_up(900, 10 + seed)
            weights = fitted(results[:600])

            def loss(one, test=results[600:]):
                chances = [[*found, none] for found, none in (one.probabilities(result.candidates) for result in test)]
                return np.mean([-np.log(max(chance[result.right], 1e-9)) for chance, result in zip(chances, test, strict=True)])

            assert loss(weights) < loss(true) + 0.08
            assert loss(weights) < loss(Calibration.from_json(None))

    def test_two_runs_agree_and_order_does_not_matter(self):
        _, results = made_up(300, 2)
        first, second, turned = fitted(results), fitted(results), fitted(results[::-1])
        np.testing.assert_array_equal(first.candidate, second.candidate)
        np.testing.assert_array_equal(first.gate, second.gate)
        for result in results[:50]:
            a, b = (one.probabilities(result.candidates)[0] for one in (first, turned))
            np.testing.assert_allclose(a, b, atol=2e-3)

    def test_separable_data_stay_finite(self):
        results = [Trial([candidate(0.99), candidate(0.5)], 0)] * 20 + [Trial([candidate(0.55), candidate(0.5)], 2)] * 20
        weights = fitted(results)
        assert np.isfinite(weights.candidate).all()
        assert weights.probabilities(results[0].candidates)[0][0] > 0.9
        assert weights.probabilities(results[-1].candidates)[1] > 0.9

    @pytest.mark.parametrize("right", [0, 2])
    def test_data_of_one_kind_only(self, right):
        rng = np.random.default_rng(3)
        results = [Trial([candidate(rng.uniform(0.8, 1)), candidate(rng.uniform(0.3, 0.7))], right) for _ in range(20)]
        weights = fitted(results)
        assert np.isfinite([*weights.candidate, *weights.gate]).all()
        probabilities, none = weights.probabilities(results[0].candidates)
        assert ([*probabilities, none]).index(max([*probabilities, none])) == right


class TestQuality:
    def test_is_small_for_a_perfect_calibration(self):
        for seed in range(3):
            true, results = made_up(2000, 20 + seed)
            figures = quality(true, results)
            assert figures["calibration_error"] < 0.04
            assert figures["simulated_scans"] == 2000.0

    def test_is_large_for_a_boastful_one(self):
        true, results = made_up(1000, 4)
        boast = Calibration(4 * true.candidate, 4 * true.gate)
        assert quality(boast, results)["calibration_error"] > quality(true, results)["calibration_error"] + 0.03

    def test_counts_what_it_says(self):
        good, bad = [candidate(0.99), candidate(0.4)], [candidate(0.4), candidate(0.35)]
        results = [Trial(good, 0)] * 6 + [Trial(good, 1)] * 2 + [Trial(bad, 2)] * 3 + [Trial(good, 2)]
        figures = quality(Calibration.from_json(None), results)
        assert figures["simulated_top1"] == 0.75
        assert figures["simulated_absent_rejected"] == 0.75
        assert figures["simulated_present_rejected"] == 0.0

    def test_leaves_out_what_there_is_none_of(self):
        good = Trial([candidate(0.99)], 0)
        assert set(quality(Calibration.from_json(None), [good])) == {
            "calibration_error",
            "simulated_top1",
            "simulated_present_rejected",
            "simulated_scans",
        }
        assert quality(Calibration.from_json(None), []) == {"simulated_scans": 0.0}


@pytest.fixture(scope="module")
def model(tiny_model):
    return Model.load(tiny_model, "cpu")


class TestSimulatedScans:
    @pytest.fixture(autouse=True)
    def _no_twins(self, monkeypatch):
        """To a network that has learned next to nothing all entries are alike."""
        monkeypatch.setattr(module, "TWIN", 2.0)

    def test_right_is_the_entry_or_none(self, model):
        kinds = set()
        for seed in range(6):
            for hidden in (False, True):
                rng = np.random.default_rng(seed)
                result = trial(model, seed % 5, hidden, rng, EASY)
                if result is None:
                    continue
                kinds.add(hidden)
                assert len(result.candidates) == 5 - hidden
                assert (result.right == len(result.candidates)) == hidden
                assert hidden or result.candidates[result.right].similarity == max(one.similarity for one in result.candidates)
        assert kinds == {False, True}

    def test_hiding_the_only_family_gives_nothing(self, model):
        alone = Model(model.path, model.config, "cpu")
        alone.__dict__ |= {"library": model.library.subset([0]), "vectors": model.vectors[:1], "session": model.session}
        alone.__dict__["lookup"] = Lookup.of(alone.library)
        results = [trial(alone, 0, hidden, np.random.default_rng(seed), EASY) for seed in range(3) for hidden in (True, False)]
        assert results[::2] == [None] * 3
        assert any(results)
        weights, figures = calibrate(alone, np.array([0]), 9)
        assert all(np.isfinite([*one.candidate, *one.gate]).all() for one in weights.values())
        json.dumps(figures, allow_nan=False)

    def test_the_same_seed_gives_the_same_scans(self, model):
        first, again, other = (trials(model, np.arange(5), 9, seed) for seed in (1, 1, 2))
        assert [one.right for one in first] == [one.right for one in again]
        assert [one.candidates for one in first] == [one.candidates for one in again]
        assert [one.candidates for one in first] != [one.candidates for one in other]

    def test_end_to_end(self, model):
        seen = []
        weights, figures = calibrate(model, np.arange(5), 60, 3, progress=seen.append)
        assert sum(seen) == 60
        assert 0 < figures["simulated_scans"] <= 20
        assert all(0.0 <= value <= 1.0 for name, value in figures.items() if not name.endswith("_scans"))
        assert figures["simulated_top1"] > 0.7
        assert set(weights) == {"calibration", "calibration_beside"}
        assert Calibration.from_json(weights["calibration_beside"].to_json(), beside=True).gate.shape == (GATE_BESIDE,)
        again = Calibration.from_json(weights["calibration"].to_json())
        sure = again.probabilities([candidate(0.99, 0.9, 0.95)])[0][0]
        assert sure > again.probabilities([candidate(0.5, 0.9, 0.4, missing=5, extra=5)])[0][0]

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_next_to_no_scans(self, model, number):
        weights, figures = calibrate(model, np.arange(5), number)
        assert all(np.isfinite([*one.candidate, *one.gate]).all() for one in weights.values())
        json.dumps(figures, allow_nan=False)
