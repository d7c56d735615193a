"""The one path of every scan: what is kept of recalled entries, what is refined, and that all who search take it."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest
from searching import ROWS, compared, signal_of, untouched

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.pipeline import compare_and_refine, rank
from xrdmatch.search.retrieval import RankOptions


def recalled(scan, rows=ROWS, scores=None):
    scores = np.ones(len(rows)) if scores is None else scores
    return replace(untouched(rows, scan), network_score=scores)


def test_the_best_of_each_family_is_kept(library):
    both = replace(library, family=np.array([0, 1, 0, 1, 2], dtype=np.int32), family_name=np.array(["one", "two", "three"]))
    scores = np.linspace(0.9, 0.5, 5)
    for row in ROWS:
        scan = signal_of(made.scan(library, row))
        found = compare_and_refine(recalled(scan, ROWS[::-1].copy(), scores), both, scan)
        assert len(found) == 3
        assert sorted(both.family[found.rows].tolist()) == [0, 1, 2]
        assert found.rows[0] == row
        leaders = {both.family[other]: other for other in compared(both, ROWS, scan).rows[::-1].tolist()}
        assert set(found.rows.tolist()) == set(leaders.values())
        assert found.network_score.tolist() == [scores[4 - other] for other in found.rows]
        assert found.family_size.tolist() == [np.sum(both.family == both.family[other]) for other in found.rows]


class TestWhatIsRefined:
    def found(self, library, **options):
        scan = signal_of(made.scan(library, 4))
        return compare_and_refine(recalled(scan), library, scan, RankOptions(**options))

    def refined(self, found):
        """How many candidates, from the first on, are not as they stand in the library."""
        moved = (found.strain != 0.0).any(axis=1) | (found.debye_waller != found.debye_waller[-1]) | (found.fwhm != found.fwhm[-1])
        return int(moved.sum())

    def test_what_comes_near_the_first(self, library):
        found = self.found(library, max_score_gap=0.0)
        assert self.refined(found) == 1
        assert found.rows[0] == 4
        assert sorted(found.rows.tolist()) == ROWS.tolist()
        assert (found.strain[1:] == 0.0).all()
        assert (found.strain_penalty[1:] == 0.0).all()
        assert found.similarity[1:].tolist() == found.plain_similarity[1:].tolist()

    def test_all_where_all_come_near(self, library):
        found = self.found(library, max_score_gap=9.0)
        assert (found.similarity >= found.plain_similarity - 0.05).all()
        assert (found.similarity[1:] != found.plain_similarity[1:]).all()
        assert (np.diff(found.similarity) <= 0).all()

    def test_no_more_than_told(self, library):
        found = self.found(library, max_score_gap=9.0, max_refined=2)
        assert (found.similarity[2:] == found.plain_similarity[2:]).all()
        assert sorted(found.rows.tolist()) == ROWS.tolist()

    def test_related_ones_as_well(self, library):
        found = self.found(library, max_score_gap=0.0, n_related_refined=1, related=np.array([0, 2, 4]))
        assert found.rows[0] == 4
        assert found.rows[1] in (0, 2)
        assert found.similarity[1] != found.plain_similarity[1]
        assert (found.similarity[2:] == found.plain_similarity[2:]).all()
        assert sorted(found.rows.tolist()) == ROWS.tolist()

    def test_related_ones_beyond_those_that_are_compared(self, library):
        assert self.found(library, max_score_gap=0.0, min_families=1).rows.tolist() == [4]
        assert self.found(library, max_score_gap=0.0, min_families=1, related=np.array([1])).rows.tolist() == [4, 1]

    def test_of_none_none(self, library):
        scan = signal_of(made.scan(library, 4))
        assert len(compare_and_refine(recalled(scan, np.empty(0, np.int64)), library, scan)) == 0


@pytest.fixture(scope="module")
def model(tiny_model):
    return Model.load(tiny_model, "cpu")


class TestRank:
    def test_only_what_is_allowed(self, model, library):
        scan = prepare_scan(made.scan(library, 4))
        assert rank(scan, model).rows[0] == 4
        allowed = np.arange(5) != 4
        assert sorted(rank(scan, model, RankOptions(allowed=allowed)).rows.tolist()) == [0, 1, 2, 3]
        assert len(rank(scan, model, RankOptions(allowed=np.zeros(5, dtype=bool)))) == 0

    def test_features_are_named_and_finite(self, model, library):
        from xrdmatch.search.candidates import FEATURES, RERANKED_FEATURES

        for row in ROWS:
            features = rank(prepare_scan(made.scan(library, row)), model).features()
            assert tuple(features) == FEATURES + RERANKED_FEATURES
            assert all(values.shape == (5,) and np.isfinite(values).all() for values in features.values())

    def test_a_scan_beyond_the_grid(self, model):
        scan = prepare_scan(Pattern(np.linspace(60.0, 90.0, 500), np.random.default_rng(0).poisson(50.0, 500), 1.5418))
        assert (rank(scan, model).similarity == 0.0).all()
