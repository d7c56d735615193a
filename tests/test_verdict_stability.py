"""Two scans of one sample, or one scan at two step widths, counting times or zero shifts, get one verdict, with the shipped model.

benchmarks/verdict_stability.py measures the same on many samples made from atoms, poor ones as well; here they are good ones made of library entries,
so that it takes seconds.
"""

from __future__ import annotations

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import CU_K_ALPHA
from xrdmatch.model.folder import DEFAULT, Model, find_model, shipped_models
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions

SAMPLES, SEED, SHARE = 30, 0, 0.97
POINTS = np.arange(4.0, 45.0, 0.02)
OPTIONS = SearchOptions(detail=False, hint=False)


@pytest.fixture(scope="module")
def model():
    if DEFAULT not in shipped_models():
        pytest.skip(f"the shipped model {DEFAULT} is not in models/")
    return Model.load(find_model(DEFAULT), "cpu")


def scans(library, row, rng):
    """One scan of a sample of this entry, and four further ones: counted again, at every second point, four times as long, the zero shifted."""
    strain = tuple(rng.normal(0.0, 0.001) + rng.normal(0.0, 0.0005, 3)) if len(set(library.cell[row, :3])) == 3 else (rng.normal(0.0, 0.001),) * 3
    line = made.profile(library, row, POINTS, strain=strain, fwhm=rng.uniform(0.1, 0.2))
    mean = 10 ** rng.uniform(3.0, 4.5) * (line + 0.02 + rng.exponential(0.1) * np.exp(-0.5 * ((POINTS - 22.0) / 6.0) ** 2))
    ways = ((POINTS, mean), (POINTS, mean), (POINTS[::2], mean[::2]), (POINTS, 4.0 * mean), (POINTS + 0.02, mean))
    return [Pattern(points, rng.poisson(counts).astype(float), CU_K_ALPHA) for points, counts in ways]


def test_two_scans_of_one_sample_get_one_verdict(model):
    """For every second sample the family is taken out of the library."""
    rng = np.random.default_rng(SEED)
    library = model.library
    rows = rng.choice(len(library), SAMPLES, replace=False)
    kept = np.flatnonzero(~np.isin(library.family, library.family[rows[1::2]]))
    identifiers = Identifier(model), Identifier(model.with_index(model.index.subset(kept)))
    differ, pairs, verdicts = [], 0, set()
    for place, row in enumerate(rows.tolist()):
        first, *others = (identifiers[place % 2].identify(scan, OPTIONS).verdict for scan in scans(library, row, rng))
        verdicts.add(first)
        pairs += len(others)
        differ += [(str(library.id[row]), first, other) for other in others if other != first]
    assert {"match", "unknown"} <= verdicts
    assert len(differ) <= (1.0 - SHARE) * pairs, differ
