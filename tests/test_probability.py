"""How sure: weights from made-up data, what they promise, and simulated scans taken through a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from searching import made_up

from xrdmatch.errors import ModelError
from xrdmatch.model.folder import Model
from xrdmatch.search.candidates import FEATURES, RERANKED_FEATURES
from xrdmatch.search.probability import CONSTANT, FIRST_PHASE_FEATURES, FIRST_PHASE_GATE, SECOND_PHASE_GATE, Calibration, fit
from xrdmatch.training.effects_numpy import EASY
from xrdmatch.training.fit_probability import Trial, TrialPlan, calibrate, quality, trial, trials

#: Weights of a model that is to be found again.
WEIGHTS = {"similarity": 30.0, "explained": 6.0, "missing_share": -8.0}
GATE = {CONSTANT: -18.0, "log_distance": 30.0, "strain_penalty": -8.0}


def calibration(candidate, gate):
    """Weights by name; those that are not given are 0."""
    return Calibration({name: candidate.get(name, 0.0) for name in FIRST_PHASE_FEATURES}, {name: gate.get(name, 0.0) for name in FIRST_PHASE_GATE})


def drawn(number, seed):
    """Trials whose right answer is drawn from the very model that is fitted."""
    rng = np.random.default_rng(seed)
    true = calibration(WEIGHTS, GATE)
    results = []
    for _ in range(number):
        k = rng.integers(1, 13)
        counts = rng.integers(0, 6, (2, k))
        some = made_up(rng.uniform(0.4, 1.0, k), rng.uniform(0.0, 1.0, k), rng.uniform(0.2, 1.0, k), *counts)
        probabilities, none = true.probabilities(some)
        results.append(Trial(some, int(rng.choice(k + 1, p=[*probabilities, none]))))
    return true, results


def fitted(results):
    return fit([result.candidates.features() for result in results], np.array([result.right for result in results]))


def numbers(weights):
    return [*weights.candidate.values(), *weights.gate.values()]


class TestFeatures:
    def test_of_a_candidate(self):
        expected = [0.9, -np.log(0.1), 0.7, 0.6, 0.5, 0.75, 0.5, 0.3, 10.0 * np.tanh(0.2), 0.6, 0.1, np.log(3.0), 0.0, 2.5, 0.0]
        for shift in (0.1, -0.1):
            found = made_up(0.9, 0.7, 0.6, missing=5, extra=15, shift=shift, reranked=2.5).features()
            assert tuple(found) == FEATURES + RERANKED_FEATURES
            np.testing.assert_allclose([values[0] for values in found.values()], expected)

    def test_are_finite_at_the_edges(self):
        found = made_up([0.0, 1.0, 1.0001], 0.0, 0.0).features()
        assert all(np.isfinite(values).all() for values in found.values())


class TestProbabilities:
    def test_sum_to_one_with_none(self):
        for seed in range(5):
            true, results = drawn(20, seed)
            for one in (true, Calibration.from_json(None)):
                for result in results:
                    probabilities, none = one.probabilities(result.candidates)
                    assert probabilities.shape == (len(result.candidates),)
                    assert probabilities.min() >= 0
                    assert 0.0 <= none <= 1.0
                    assert probabilities.sum() + none == pytest.approx(1.0)

    def test_a_better_candidate_gets_more(self):
        default = Calibration.from_json(None)
        sure = [default.probabilities(made_up([similarity, 0.5]))[0][0] for similarity in (0.6, 0.7, 0.8, 0.9, 0.99)]
        assert sure == sorted(sure)
        assert sure[0] < 0.01
        assert sure[2] == pytest.approx(0.5, abs=0.01)
        assert sure[-1] > 0.99

    def test_equals_share(self):
        probabilities, _ = Calibration.from_json(None).probabilities(made_up([0.95, 0.95, 0.3]))
        assert probabilities[0] == pytest.approx(probabilities[1])
        assert probabilities[0] < 0.5
        assert probabilities[2] < 1e-6

    def test_extreme_weights_stay_finite(self):
        with np.errstate(over="ignore"):
            for size in (1e4, -1e4):
                one = calibration(dict.fromkeys(FIRST_PHASE_FEATURES, size), dict.fromkeys(FIRST_PHASE_GATE, size))
                probabilities, none = one.probabilities(made_up([0.9, 0.1]))
                assert np.isfinite([*probabilities, none]).all()


class TestJson:
    def test_round_trip(self):
        one, results = drawn(30, 1)
        assert set(one.to_json()["candidate"]) == set(FIRST_PHASE_FEATURES)
        again = Calibration.from_json(json.loads(json.dumps(one.to_json())))
        for result in results:
            np.testing.assert_allclose(again.probabilities(result.candidates)[0], one.probabilities(result.candidates)[0])

    @pytest.mark.parametrize(
        "stored",
        [
            {},
            {"candidate": [1.0] * len(FIRST_PHASE_FEATURES)},
            {"candidate": [1.0] * 6, "gate": [0.0] * 11},
            {"candidate": "a", "gate": "b"},
            {"candidate": {"similarity": 1.0}, "gate": {CONSTANT: 1.0}},
            [1],
        ],
    )
    def test_what_is_not_understood(self, stored):
        with pytest.raises(ModelError, match="calibration"):
            Calibration.from_json(stored)


def test_weights_of_version_0_1_are_read():
    """They have no names, and stand in the order of the names."""
    candidate, gate = np.arange(1.0, 13.0), np.arange(1.0, 8.0)
    old = Calibration.from_json({"candidate": candidate.tolist(), "gate": gate.tolist()})
    assert list(old.candidate.values()) == candidate.tolist()
    assert (old.candidate["similarity"], old.candidate["log_family_size"], old.gate[CONSTANT], old.gate["log_share"]) == (1.0, 12.0, 1.0, 7.0)


class TestFit:
    def test_finds_what_counts(self):
        """Signs of the weights that matter, over several data sets; the features overlap, so sizes are judged by what they predict."""
        for seed in range(3):
            _, results = drawn(600, seed)
            weights = fitted(results)
            together = {name: np.concatenate([result.candidates.features()[name] for result in results]) for name in FIRST_PHASE_FEATURES}
            choice = {name: weights.candidate[name] * values.std() for name, values in together.items()}
            similar = choice["similarity"] + choice["log_distance"]  # they go together
            assert similar > 0.5
            assert choice["explained"] > 0.2
            assert choice["missing_share"] < -0.3
            assert max(abs(choice["network_score"]), abs(choice["extra_share"])) < 0.5 * similar
            assert max(choice, key=lambda name: abs(choice[name])) in ("similarity", "log_distance")

    def test_predicts_as_well_as_the_truth(self):
        for seed in range(3):
            true, results = drawn(900, 10 + seed)
            weights = fitted(results[:600])

            def loss(one, test=results[600:]):
                chances = [[*found, none] for found, none in (one.probabilities(result.candidates) for result in test)]
                return np.mean([-np.log(max(chance[result.right], 1e-9)) for chance, result in zip(chances, test, strict=True)])

            assert loss(weights) < loss(true) + 0.08
            assert loss(weights) < loss(Calibration.from_json(None))

    def test_two_runs_agree_and_order_does_not_matter(self):
        _, results = drawn(300, 2)
        first, second, turned = fitted(results), fitted(results), fitted(results[::-1])
        assert (first.candidate, first.gate) == (second.candidate, second.gate)
        for result in results[:50]:
            a, b = (one.probabilities(result.candidates)[0] for one in (first, turned))
            np.testing.assert_allclose(a, b, atol=2e-3)

    def test_separable_data_stay_finite(self):
        results = [Trial(made_up([0.99, 0.5]), 0)] * 20 + [Trial(made_up([0.55, 0.5]), 2)] * 20
        weights = fitted(results)
        assert np.isfinite(numbers(weights)).all()
        assert weights.probabilities(results[0].candidates)[0][0] > 0.9
        assert weights.probabilities(results[-1].candidates)[1] > 0.9

    @pytest.mark.parametrize("right", [0, 2])
    def test_data_of_one_kind_only(self, right):
        rng = np.random.default_rng(3)
        results = [Trial(made_up([rng.uniform(0.8, 1), rng.uniform(0.3, 0.7)]), right) for _ in range(20)]
        weights = fitted(results)
        assert np.isfinite(numbers(weights)).all()
        probabilities, none = weights.probabilities(results[0].candidates)
        assert ([*probabilities, none]).index(max([*probabilities, none])) == right


class TestQuality:
    def test_is_small_for_a_perfect_calibration(self):
        for seed in range(3):
            true, results = drawn(2000, 20 + seed)
            figures = quality(true, results)
            assert figures["calibration_error"] < 0.04
            assert figures["simulated_scans"] == 2000.0

    def test_is_large_for_a_boastful_one(self):
        true, results = drawn(1000, 4)
        boast = calibration({name: 4 * weight for name, weight in WEIGHTS.items()}, {name: 4 * weight for name, weight in GATE.items()})
        assert quality(boast, results)["calibration_error"] > quality(true, results)["calibration_error"] + 0.03

    def test_counts_what_it_says(self):
        good, bad = made_up([0.99, 0.4]), made_up([0.4, 0.35])
        results = [Trial(good, 0)] * 6 + [Trial(good, 1)] * 2 + [Trial(bad, 2)] * 3 + [Trial(good, 2)]
        figures = quality(Calibration.from_json(None), results)
        assert figures["simulated_top1"] == 0.75
        assert figures["simulated_absent_rejected"] == 0.75
        assert figures["simulated_present_rejected"] == 0.0

    def test_leaves_out_what_there_is_none_of(self):
        good = Trial(made_up([0.99]), 0)
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
    #: To a network that has learned next to nothing all entries are alike: none is taken for a twin.
    NO_TWINS = 2.0

    def plan(self, number, seed=0):
        return TrialPlan(number, seed, twin=self.NO_TWINS)

    def test_right_is_the_entry_or_none(self, model):
        kinds = set()
        for seed in range(6):
            for hidden in (False, True):
                rng = np.random.default_rng(seed)
                result = trial(model, seed % 5, hidden, rng, EASY, self.NO_TWINS)
                if result is None:
                    continue
                kinds.add(hidden)
                assert len(result.candidates) == 5 - hidden
                assert (result.right == len(result.candidates)) == hidden
                assert hidden or result.candidates.similarity.argmax() == result.right
        assert kinds == {False, True}

    def test_hiding_the_only_family_gives_nothing(self, model):
        alone = model.with_index(model.index.subset([0]))
        results = [trial(alone, 0, hidden, np.random.default_rng(seed), EASY, self.NO_TWINS) for seed in range(3) for hidden in (True, False)]
        assert results[::2] == [None] * 3
        assert any(results)
        weights, figures = calibrate(alone, np.array([0]), self.plan(9))
        assert all(np.isfinite(numbers(one)).all() for one in weights.values())
        json.dumps(figures, allow_nan=False)

    def test_the_same_seed_gives_the_same_scans(self, model):
        first, again, other = (trials(model, np.arange(5), self.plan(9, seed)) for seed in (1, 1, 2))
        assert [one.right for one in first] == [one.right for one in again]
        found, same, others = ([one.candidates.similarity.tolist() for one in some] for some in (first, again, other))
        assert found == same != others

    def test_end_to_end(self, model):
        seen = []
        weights, figures = calibrate(model, np.arange(5), self.plan(60, 3), progress=seen.append)
        assert sum(seen) == 60
        assert 0 < figures["simulated_scans"] <= 20
        assert all(0.0 <= value <= 1.0 for name, value in figures.items() if not name.endswith("_scans"))
        assert figures["simulated_top1"] > 0.7
        assert set(weights) == {"calibration", "calibration_second_phase"}
        assert set(Calibration.from_json(weights["calibration_second_phase"].to_json(), second_phase=True).gate) == set(SECOND_PHASE_GATE)
        again = Calibration.from_json(weights["calibration"].to_json())
        sure = again.probabilities(made_up(0.99, 0.9, 0.95))[0][0]
        assert sure > again.probabilities(made_up(0.5, 0.9, 0.4, missing=5, extra=5))[0][0]

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_next_to_no_scans(self, model, number):
        weights, figures = calibrate(model, np.arange(5), self.plan(number))
        assert all(np.isfinite(numbers(one)).all() for one in weights.values())
        json.dumps(figures, allow_nan=False)
