"""A second phase: what is looked for in what the first leaves, what counts as a sister, and what is taken off for the second look at the first."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest

from xrdmatch.errors import ModelError
from xrdmatch.library.composition import Kinship
from xrdmatch.model.folder import Model
from xrdmatch.search import retrieval as verifying
from xrdmatch.search import second_phase
from xrdmatch.search.comparison import compare, prepare
from xrdmatch.search.line_evidence import Evidence
from xrdmatch.search.probability import FEATURES_BESIDE, GATE_BESIDE, Calibration, Candidate, fit
from xrdmatch.training.effects_numpy import EASY
from xrdmatch.training.fit_probability import RATIO, taken_on, trials_beside

FORMULAS = {  # a family each but for the first two, with what is a sister of the first family
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
def kinship(library):
    return Kinship(library)


def first_of(library, measured, row):
    return compare(library, np.array([row]), measured)


def test_sisters(library):
    number = len(FORMULAS)
    some = library.subset(np.resize(np.arange(len(library)), number))
    some = replace(
        some,
        id=np.array([f"S{i}" for i in range(number)]),
        formula=np.array(list(FORMULAS)),
        family=np.array([0, *range(number - 1)], dtype=np.int32),
        family_name=np.array([f"family {i}" for i in range(number - 1)]),
    )
    kin = Kinship(some)
    assert kin.sisters(0).tolist() == [row for row, sister in enumerate(FORMULAS.values()) if sister]
    assert 0 in kin.sisters(1)  # the other way round as well
    assert kin.sisters(number - 2).size == 0


def test_the_other_phase_comes_first_in_the_rest(model, kinship, library):
    for first, second in ((0, 4), (4, 0), (1, 2)):
        measured = prepare(made.mixed(made.scan(library, first, 1), made.scan(library, second, 2), 0.4))
        rest = second_phase.beside(model, kinship, first_of(library, measured, first), measured)
        assert rest is not None
        assert second_phase.LEFT <= rest.left < 1.0
        assert first not in rest.fits.rows
        assert rest.fits.rows[np.argmax(rest.fits.similarity)] == second
        assert len(rest.candidates) == len(rest.fits.rows)


def test_nothing_is_looked_for_where_little_is_left(model, kinship, library):
    measured = prepare(made.scan(library, 0, 1))
    assert second_phase.beside(model, kinship, first_of(library, measured, 0), measured) is None


def test_only_what_is_allowed(model, kinship, library):
    measured = prepare(made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4))
    first = first_of(library, measured, 0)
    allowed = np.ones(len(library), dtype=bool)
    allowed[4] = False
    rest = second_phase.beside(model, kinship, first, measured, allowed)
    assert rest is not None
    assert 4 not in rest.fits.rows
    assert second_phase.beside(model, kinship, first, measured, np.arange(len(library)) == 0) is None  # the first phase alone


@pytest.mark.parametrize(("first", "second", "share"), [(0, 4, 0.13), (4, 0, 0.03), (1, 2, 0.06), (2, 1, 0.04)])
def test_a_twenty_fifth_of_the_lines_is_enough_for_a_second_phase(model, kinship, library, first, second, share):
    measured = prepare(made.mixed(made.scan(library, first, 1), made.scan(library, second, 2), share))
    rest = second_phase.beside(model, kinship, first_of(library, measured, first), measured)
    assert rest is not None
    assert 0.03 < rest.left < 0.045
    assert second in rest.fits.rows


def test_sisters_are_looked_at_though_nothing_recalls_them(model, library, monkeypatch):
    """Where only one family is verified, the sister is looked at beside it, and marked; the network recalls one entry, which is another."""
    measured = prepare(made.mixed(made.scan(library, 0, 1), made.scan(library, 1, 2), 0.4))
    monkeypatch.setattr(second_phase, "ADJUSTED", 1)
    monkeypatch.setattr(verifying, "VERIFY", 1)
    monkeypatch.setattr(verifying, "RECALL", 1)
    monkeypatch.setattr(verifying, "LOOKED_UP", 1)
    kin = Kinship(library)
    monkeypatch.setattr(kin, "sisters", lambda family: np.array([4]))
    rest = second_phase.beside(model, kin, first_of(library, measured, 0), measured)
    assert rest is not None
    assert rest.fits.rows.tolist() == [1, 4]
    assert [candidate.sister for candidate in rest.candidates] == [False, True]


@pytest.mark.parametrize("share", [0.25, 0.4])
def test_without_the_second_the_scan_is_that_of_the_first(model, kinship, library, share):
    pure = made.scan(library, 0, 1)
    measured = prepare(made.mixed(pure, made.scan(library, 4, 2), share))
    rest = second_phase.beside(model, kinship, first_of(library, measured, 0), measured)
    assert rest is not None
    second = rest.fits.take(np.array([np.argmax(rest.fits.similarity)]))
    alone = second_phase.without(model, second, rest.measured, measured)
    like = [first_of(library, one, 0).similarity[0] for one in (measured, alone, prepare(pure))]
    assert like[0] < like[1]
    assert like[1] > 0.97 * like[2]
    assert not (alone.mask & ~measured.mask).any()
    assert (alone.lines <= measured.lines).all()


class TestCalibration:
    def candidate(self, similarity, sister=False):
        return Candidate(similarity, 0.5, Evidence(0.6, positions=5.0), similarity, 0.1, sister=sister)

    def test_weights_of_a_second_phase(self):
        """A sister and what fits are learned; a large rest makes any of them likelier."""
        rng = np.random.default_rng(0)
        features, right, left = [], [], []
        for _ in range(800):
            some = [self.candidate(rng.uniform(0.3, 0.9), bool(rng.random() < 0.3)) for _ in range(5)]
            share = float(rng.uniform(0.05, 0.5))
            scores = np.array([12.0 * one.similarity + 2.0 * one.sister for one in some])
            chances = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum() / (1.0 + np.exp(-4.0 - 3.0 * np.log(share)))
            features.append(np.stack([one.features_beside() for one in some]))
            right.append(rng.choice(6, p=[*chances, 1.0 - chances.sum()]))
            left.append(share)
        weights = fit(features, np.array(right), left)
        assert weights.candidate.shape == (FEATURES_BESIDE,)
        assert weights.gate.shape == (GATE_BESIDE,)
        assert weights.candidate[-1] == pytest.approx(2.0, abs=0.7)
        two = [self.candidate(0.7), self.candidate(0.6)]
        small, large = (weights.probabilities(two, share)[0].sum() for share in (0.06, 0.5))
        assert small + 0.3 < large
        sister = weights.probabilities([self.candidate(0.65), self.candidate(0.65, sister=True)], 0.2)[0]
        assert sister[1] > 3.0 * sister[0]

    def test_without_weights_similarity_decides(self):
        probabilities, none = Calibration.from_json(None, beside=True).probabilities([self.candidate(0.9), self.candidate(0.5)], 0.2)
        assert probabilities[0] > 0.9 > 0.1 > none

    def test_weights_of_a_first_phase_are_none_of_a_second(self):
        with pytest.raises(ModelError, match=f"{FEATURES_BESIDE} and {GATE_BESIDE}"):
            Calibration.from_json(Calibration.from_json(None).to_json(), beside=True)

    def test_what_lies_beside_a_known_first(self, model, kinship, library):
        weights = Calibration.from_json(None)
        mixed = made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4)
        found = taken_on(model, kinship, weights, mixed, [0, 4])
        assert found is not None
        assert found.right < len(found.candidates)
        assert found.candidates[found.right].similarity == max(candidate.similarity for candidate in found.candidates)
        unknown = taken_on(model, kinship, weights, mixed, [0])  # the second is not one that is known to be there
        assert unknown is not None
        assert unknown.right == len(unknown.candidates)
        assert taken_on(model, kinship, weights, mixed, [2, 3]) is None  # the first is neither
        assert taken_on(model, kinship, weights, made.scan(library, 0, 1), [0]) is None  # nothing is left

    def test_simulated_mixtures(self, model, monkeypatch):
        monkeypatch.setattr("xrdmatch.training.fit_probability.CONDITIONS", (EASY,))
        results, again = (trials_beside(model, Calibration.from_json(None), np.arange(5), 24, 1) for _ in range(2))
        assert 4 <= len(results) <= 24
        assert all(second_phase.LEFT <= result.left < 1.0 for result in results)
        assert any(result.right < len(result.candidates) for result in results)
        assert [result.candidates for result in results] == [result.candidates for result in again]
        assert 0.0 < RATIO[0] < RATIO[1] <= 1.0
