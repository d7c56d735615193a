"""The scripts that fit and measure check: weights with and without what a re-ranker says, and the figures of verdicts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = str(Path(__file__).parents[1] / "scripts")


@pytest.fixture(scope="module")
def scripts():
    """The modules check_figures and fit_check."""
    sys.path.insert(0, SCRIPTS)
    import check_figures
    import fit_check

    yield check_figures, fit_check
    sys.path.remove(SCRIPTS)


def trials(fit_check, reranked):
    """Cases that one feature tells apart, and lines of which those above the noise are foreign."""
    rng, names = np.random.default_rng(0), fit_check.BESIDE
    for number in range(300):
        own = number % 2 == 0
        features = dict(zip(names, rng.normal(0.0, 0.1, len(names)).tolist(), strict=True))
        features["position_similarity"] += 0.5 * own
        if reranked:
            features |= {"reranked": 6.0 * own - 3.0 + rng.normal(), "ahead_reranked": 0.0}
        lines = [
            [height, 0.01, 0.0, 0.0, 0.0, 0.0, 1.0, 0.05, float(height > 0.05)]
            for height in rng.uniform(0.02, 0.045, 5).tolist() + [0.2] * (number % 3)
        ]
        yield {"kind": "own" if own else "net", "share": 0.1 * (number % 3), "features": features} | ({"lines": lines} if own else {})


@pytest.mark.parametrize("reranked", [False, True])
def test_weights_with_what_a_re_ranker_says_where_it_says_something(scripts, reranked):
    _, fit_check = scripts
    weights = fit_check.fit(trials(fit_check, reranked))
    assert ("presence_reranked" in weights) == ("presence_alone_reranked" in weights) == reranked
    assert weights["presence"]["position_similarity"] > 1.0
    assert "reranked" not in weights["presence"]
    if reranked:
        assert weights["presence_reranked"]["reranked"] > 0.3
    assert weights["line"]["margin"] >= 1.0


def verdict(kind, share, told, limit=5.0, chance=0.95, file="1"):
    return {"kind": kind, "share": share, "verdict": told, "probability": chance, "limit": limit, "file": file}


def test_the_figures_of_verdicts(scripts):
    check_figures, _ = scripts
    rows = [verdict("own", 0.0, "pure", file=str(i)) for i in range(9)] + [verdict("own", 0.0, "present", None, file="9")]
    rows += [
        verdict("own", 0.1, "present"),
        verdict("own", 0.1, "pure", file="2"),
        verdict("own", 0.02, "pure"),
        verdict("own", 0.1, "unusable", file="3"),
    ]
    rows += [verdict("net", 0.0, "absent"), verdict("sister", 0.0, "pure")]
    told = check_figures.figures(rows)
    assert told["what was expected, alone: pure or present"].startswith("10 of 10, 100.0 %")
    assert told["something else expected: pure or present"].startswith("1 of 2, 50.0 %")
    assert told["clean scans with further peaks"].startswith("1 of 10")
    assert told["second phase of 10 % found"].startswith("1 of 2")
    assert told["second phases above the stated limit found"].startswith("1 of 2")
    assert told["stated limit, quartiles of clean scans"] == "5 %, 5 %, 5 %; none in 1 of 10"
    assert check_figures.is_right(verdict("own", 0.02, "pure"))
    assert not check_figures.is_right(verdict("own", 0.1, "pure"))
    assert not check_figures.is_right(verdict("net", 0.0, "pure"))
