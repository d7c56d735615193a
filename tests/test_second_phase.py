"""A second phase: what is looked for in what the first leaves, what shares its metal and linker, and the first without it."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest
from searching import compared, made_up

from xrdmatch.errors import ModelError
from xrdmatch.library.composition import SameMetalAndLinker
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.comparison import candidate_signals
from xrdmatch.search.line_evidence import expected_signal, residual
from xrdmatch.search.probability import FIRST_PHASE_FEATURES, SECOND_PHASE_FEATURES, SECOND_PHASE_GATE, Calibration, fit
from xrdmatch.search.retrieval import RankOptions
from xrdmatch.search.second_phase import MIN_UNEXPLAINED, find_second_phase, subtract_phase
from xrdmatch.training.effects_numpy import EASY
from xrdmatch.training.fit_probability import RATIO, TrialPlan, second_phase_trial, second_phase_trials

FORMULAS = {  # a family each but for the first two, with what shares metal and linker with the first family
    "C24 H12 Cr3 F O13": None,
    "C24 Fe3 H12 O16": None,
    "C24 Cr3 H14 O16": True,  # water
    "C8 Cr H5 O5": True,  # the same linker, another composition of the node
    "C8 Fe H4 Cl O4": True,  # a halide for the charge
    "C8 Al H5 O5": False,  # another metal
    "C8 Cr Fe H5 O5": False,  # another amount of linker a metal atom
    "C8 Cr H5 N O5": False,  # another linker
    "C8 H6 O4": False,  # no metal
}


@pytest.fixture(scope="module")
def model(tiny_model):
    return Model.load(tiny_model, "cpu")


@pytest.fixture(scope="module")
def relatives(library):
    return SameMetalAndLinker(library)


def prepared(pattern):
    return prepare_scan(pattern, filter_mode="off")


def mixture(library, first=0, second=4, share=0.4):
    return prepared(made.mixed(made.scan(library, first, 1), made.scan(library, second, 2), share))


def first_of(library, scan, row):
    return compared(library, np.array([row]), scan.comparison)


def test_same_metal_and_linker(library):
    number = len(FORMULAS)
    some = library.subset(np.resize(np.arange(len(library)), number))
    some = replace(
        some,
        id=np.array([f"S{i}" for i in range(number)]),
        formula=np.array(list(FORMULAS)),
        family=np.array([0, *range(number - 1)], dtype=np.int32),
        family_name=np.array([f"family {i}" for i in range(number - 1)]),
    )
    kin = SameMetalAndLinker(some)
    assert kin.rows(0).tolist() == [row for row, related in enumerate(FORMULAS.values()) if related]
    assert 0 in kin.rows(1)  # the other way round as well
    assert kin.rows(number - 2).size == 0


def test_the_other_phase_comes_first_in_the_rest(model, relatives, library):
    for first, second in ((0, 4), (4, 0), (1, 2)):
        scan = mixture(library, first, second)
        found = find_second_phase(scan, first_of(library, scan, first), model, relatives)
        assert found is not None
        assert MIN_UNEXPLAINED <= found.unexplained < 1.0
        assert first not in found.candidates.rows
        assert found.candidates.rows[np.argmax(found.candidates.similarity)] == second


def test_nothing_is_looked_for_where_little_is_left(model, relatives, library):
    scan = prepared(made.scan(library, 0, 1))
    assert find_second_phase(scan, first_of(library, scan, 0), model, relatives) is None


def test_nothing_is_looked_for_where_the_first_phase_may_have_made_it_all(model, relatives, library):
    """Texture makes some lines of the one phase there much higher than calculated: much is left, and none of it is elsewhere."""
    plain = made.scan(library, 0, 1)
    higher = 60_000.0 * made.profile(library, 0, plain.two_theta) * (np.abs(plain.two_theta - 15.0) < 4.0)
    scan = prepared(plain.with_intensity(plain.intensity + higher))
    first = first_of(library, scan, 0)
    signal = candidate_signals(library, first, scan.comparison)[0]
    rest = residual(scan.comparison, expected_signal(signal, float(first.shift[0]), scan.comparison))
    assert rest.lines.sum() > MIN_UNEXPLAINED * scan.comparison.lines.sum()
    assert find_second_phase(scan, first, model, relatives) is None


def test_only_what_is_allowed(model, relatives, library):
    scan = mixture(library)
    first = first_of(library, scan, 0)
    allowed = np.ones(len(library), dtype=bool)
    allowed[4] = False
    found = find_second_phase(scan, first, model, relatives, RankOptions(allowed=allowed))
    assert found is not None
    assert 4 not in found.candidates.rows
    only_the_first = RankOptions(allowed=np.arange(len(library)) == 0)
    assert find_second_phase(scan, first, model, relatives, only_the_first) is None


@pytest.mark.parametrize(("first", "second", "share"), [(0, 4, 0.13), (4, 0, 0.03), (1, 2, 0.06), (2, 1, 0.04)])
def test_a_twenty_fifth_of_the_lines_is_enough_for_a_second_phase(model, relatives, library, first, second, share):
    scan = mixture(library, first, second, share)
    found = find_second_phase(scan, first_of(library, scan, first), model, relatives)
    assert found is not None
    assert 0.03 < found.unexplained < 0.045
    assert second in found.candidates.rows


def test_related_entries_are_looked_at_though_nothing_recalls_them(model, library):
    """Where only one family is compared, the related one is looked at beside it, and marked; one entry is recalled, which is another."""

    class FourIsRelated:
        def rows(self, family):
            return np.array([4])

    scan = mixture(library, 0, 1)
    options = RankOptions(n_by_network=1, n_by_lines=1, min_families=1, max_refined=1)
    found = find_second_phase(scan, first_of(library, scan, 0), model, FourIsRelated(), options)
    assert found is not None
    assert found.candidates.rows.tolist() == [1, 4]
    assert found.candidates.same_metal_and_linker.tolist() == [False, True]


@pytest.mark.parametrize("share", [0.25, 0.4])
def test_without_the_second_the_scan_is_that_of_the_first(model, relatives, library, share):
    pure = prepared(made.scan(library, 0, 1))
    scan = mixture(library, share=share)
    found = find_second_phase(scan, first_of(library, scan, 0), model, relatives)
    assert found is not None
    second = found.candidates.take([int(np.argmax(found.candidates.similarity))])
    alone = subtract_phase(scan, second, found.remainder, library)
    like = [first_of(library, one, 0).similarity[0] for one in (scan, alone, pure)]
    assert like[0] < like[1]
    assert like[1] > 0.97 * like[2]
    assert not (alone.comparison.mask & ~scan.comparison.mask).any()
    assert (alone.comparison.lines <= scan.comparison.lines).all()


class TestCalibration:
    def candidates(self, similarity, related=False):
        fields = {"plain_similarity": similarity, "strain_penalty": 0.1, "position_similarity": 0.0, "shift": 0.0, "family_size": 1.0}
        return made_up(similarity, explained=0.6, same_metal_and_linker=related, **fields)

    def test_weights_of_a_second_phase(self):
        """That metal and linker are the same, and what fits, are learned; a large rest makes any of them likelier."""
        rng = np.random.default_rng(0)
        features, right, unexplained = [], [], []
        for _ in range(800):
            some = self.candidates(rng.uniform(0.3, 0.9, 5), rng.random(5) < 0.3)
            share = float(rng.uniform(0.05, 0.5))
            scores = 12.0 * some.similarity + 2.0 * some.same_metal_and_linker
            chances = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum() / (1.0 + np.exp(-4.0 - 3.0 * np.log(share)))
            features.append(some.features())
            right.append(rng.choice(6, p=[*chances, 1.0 - chances.sum()]))
            unexplained.append(share)
        weights = fit(features, np.array(right), unexplained)
        assert set(weights.candidate) == set(SECOND_PHASE_FEATURES)
        assert set(weights.gate) == set(SECOND_PHASE_GATE)
        assert weights.candidate["same_metal_and_linker"] == pytest.approx(2.0, abs=0.7)
        two = self.candidates([0.7, 0.6])
        small, large = (weights.probabilities(two, share)[0].sum() for share in (0.06, 0.5))
        assert small + 0.3 < large
        related = weights.probabilities(self.candidates([0.65, 0.65], [False, True]), 0.2)[0]
        assert related[1] > 3.0 * related[0]

    def test_without_weights_similarity_decides(self):
        probabilities, none = Calibration.from_json(None, second_phase=True).probabilities(self.candidates([0.9, 0.5]), 0.2)
        assert probabilities[0] > 0.9 > 0.1 > none

    def test_weights_of_a_first_phase_are_none_of_a_second(self):
        with pytest.raises(ModelError, match="same_metal_and_linker"):
            Calibration.from_json(Calibration.from_json(None).to_json(), second_phase=True)
        with pytest.raises(ModelError, match=f"{len(FIRST_PHASE_FEATURES)} weights, expected {len(SECOND_PHASE_FEATURES)}"):
            Calibration.from_json({"candidate": [0.0] * len(FIRST_PHASE_FEATURES), "gate": [0.0] * 7}, second_phase=True)

    def test_what_lies_beside_a_known_first(self, model, relatives, library):
        weights = Calibration.from_json(None)
        mixed = made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)
        found = second_phase_trial(model, relatives, weights, mixed, [0, 4])
        assert found is not None
        assert found.right == found.candidates.similarity.argmax()
        unknown = second_phase_trial(model, relatives, weights, mixed, [0])  # the second is not one that is known to be there
        assert unknown is not None
        assert unknown.right == len(unknown.candidates)
        assert second_phase_trial(model, relatives, weights, mixed, [2, 3]) is None  # the first is neither
        assert second_phase_trial(model, relatives, weights, made.scan(library, 0, 1), [0]) is None  # nothing is left

    def test_simulated_mixtures(self, model):
        plan = TrialPlan(24, 1, conditions=(EASY,))
        results, again = (second_phase_trials(model, Calibration.from_json(None), np.arange(5), plan) for _ in range(2))
        assert 4 <= len(results) <= 24
        assert all(MIN_UNEXPLAINED <= result.unexplained < 1.0 for result in results)
        assert any(result.right < len(result.candidates) for result in results)
        assert [result.candidates.similarity.tolist() for result in results] == [result.candidates.similarity.tolist() for result in again]
        assert 0.0 < RATIO[0] < RATIO[1] <= 1.0
