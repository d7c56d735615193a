"""What lies under a scan's lines: background, lower edge, hull."""

from __future__ import annotations

import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.preprocessing.scan_background import background, lower_edge, lower_hull


def test_the_background_follows_scatter_and_haloes_under_the_lines():
    points = np.arange(3.0, 60.0, 0.02)
    wide = 4000.0 / points**1.5 + 200.0 + 300.0 * np.exp(-(((points - 22.0) / 6.0) ** 2))
    lines = sum(3000.0 * np.exp(-(((points - place) / 0.08) ** 2)) for place in (6.0, 9.5, 17.0, 26.0, 33.0))
    found = background(Pattern(points, np.random.default_rng(1).poisson(wide + lines).astype(float), 1.5418))
    assert np.abs(found - wide).max() < 0.15 * wide.max()
    assert np.abs(found - wide)[(points > 12.0)].max() < 60.0


def test_the_lower_edge_scales_with_the_values():
    values = np.random.default_rng(2).random(500)
    assert lower_edge(7.0 * values, 0.02) == pytest.approx(7.0 * lower_edge(values, 0.02))
    assert lower_edge(np.ones(3), 0.02) == pytest.approx(np.ones(3))


def test_the_hull_follows_what_falls_and_bridges_humps():
    x = np.arange(3.0, 50.0, 0.1)
    falling = 20.0 + 300.0 * np.exp(-(x - 3.0) / 4.0)
    assert lower_hull(x, falling) == pytest.approx(falling)
    hump = 50.0 * np.exp(-0.5 * ((x - 25.0) / 3.0) ** 2)
    bridged = lower_hull(x, falling + hump)
    assert (bridged <= falling + hump + 1e-9).all()
    assert bridged == pytest.approx(falling, abs=6.0)
    assert (np.diff(bridged, 2) > -1e-9).all(), "convex"
