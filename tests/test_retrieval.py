"""Which of the recalled entries are drawn at all."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from xrdmatch.search.retrieval import RankOptions, promising

OPTIONS = RankOptions()
MAX_GAP, BY_LINES, FAMILIES = OPTIONS.max_recall_gap, OPTIONS.n_best_by_lines, OPTIONS.min_families


class TestPromising:
    """Which of the recalled entries are drawn at all."""

    def kept(self, worth, lines, family=None):
        rows = np.arange(len(worth))[::-1]
        library = SimpleNamespace(family=np.arange(len(worth)) if family is None else family)
        return set(promising(library, rows, np.asarray(worth, np.float32), np.asarray(lines, np.float32), OPTIONS).tolist())

    def test_those_near_the_best_by_both(self):
        rng = np.random.default_rng(1)
        worth = rng.uniform(0.0, 1.0, 300)
        near = set(np.flatnonzero(worth >= worth.max() - MAX_GAP + 1e-6).tolist())
        assert near <= self.kept(worth, np.zeros(300))
        assert len(self.kept(worth, np.zeros(300))) <= len(near) + BY_LINES + FAMILIES

    def test_the_best_by_lines_whatever_the_network_says(self):
        worth, lines = np.r_[np.full(200, 0.9), np.full(60, -0.2)], np.r_[np.zeros(200), np.linspace(0.1, 0.5, 60)]
        assert set(range(260 - BY_LINES, 260)) <= self.kept(worth, lines)

    def test_as_many_families_as_are_verified(self):
        """A family of many members must not be all that is looked at."""
        worth = np.r_[np.full(100, 1.0), np.linspace(0.1, 0.0, 50)]
        family = np.r_[np.zeros(100, int), np.arange(1, 51)]
        kept = self.kept(worth, np.r_[np.full(100, 1.0), np.zeros(50)], family)
        assert set(range(100)) <= kept
        assert len({int(family[row]) for row in kept}) == FAMILIES
        assert set(range(100, 99 + FAMILIES)) <= kept

    def test_of_none_none(self):
        assert self.kept([], []) == set()
