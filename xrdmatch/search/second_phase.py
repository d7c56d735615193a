"""A second phase: what the lines look like that the best family leaves unexplained, and the scan without it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.library.composition import Kinship
from xrdmatch.model.folder import Model
from xrdmatch.search.comparison import Fits, Measured, candidate_profiles, shifted
from xrdmatch.search.line_evidence import expected_signal, residual
from xrdmatch.search.probability import Candidate
from xrdmatch.search.retrieval import recall, unusable, verify

#: Share of the line intensity left unexplained from which a second phase is looked for.
LEFT = 0.03
#: Clear lines it needs: fewer than a scan of its own, since the first phase covers some, and its probability knows how little is left.
LINES = 1
#: Families that are adjusted to what is left, beside the best few of the first phase's metal and linker.
ADJUSTED = 8


@dataclass(frozen=True, eq=False)
class Rest:
    """What a first phase leaves. measured: those lines; left: their share of the scan's line intensity; fits, candidates: what may explain them."""

    measured: Measured
    left: float
    fits: Fits
    candidates: list[Candidate]


def beside(model: Model, kinship: Kinship, first: Fits, measured: Measured, allowed: NDArray[np.bool_] | None = None) -> Rest | None:
    """What may be in a scan beside its `first` phase (one fit). None where too little is left. allowed: (n,) rows that may be named."""
    library = model.library
    profile = candidate_profiles(library, first.rows, measured, first.strain, first.fwhm, first.b)[0]
    measured_rest = residual(measured, expected_signal(profile, float(first.shift[0]), measured))
    left = float(measured_rest.lines.sum() / max(measured.lines.sum(), 1e-30))
    if left < LEFT or unusable(measured_rest, LINES):
        return None
    grid = measured.recipe.grid
    scan = Pattern(grid.two_theta, measured_rest.lines.astype(float), grid.wavelength).within(measured.mask)
    inputs = model.recipe.apply(scan, sigma=0.0)
    own = library.family == library.family[first.rows[0]]
    others = ~own if allowed is None else allowed & ~own
    sisters = kinship.sisters(int(library.family[first.rows[0]]))
    rows, near = recall(model, inputs, measured_rest, others, sisters[others[sisters]])
    if rows.size == 0:
        return None
    fits, candidates = verify(library, rows, near, measured_rest, ADJUSTED, sisters)
    candidates = [replace(candidate, sister=bool(row in sisters)) for row, candidate in zip(fits.rows, candidates, strict=True)]
    return Rest(measured_rest, left, fits, candidates)


def without(model: Model, second: Fits, rest: Measured, measured: Measured) -> Measured:
    """The scan less the lines of a `second` phase (one fit to its `rest`), also where the first phase has lines."""
    drawn = _moved(model, second, replace(rest, mask=measured.mask))
    seen = drawn * rest.mask
    # Its scale is that of what the first phase leaves; signals are of unit length there and in the whole scan.
    scale = float(seen @ rest.signal) / max(float(seen @ seen), 1e-30)
    power = measured.recipe.power
    whole, part = (float(np.sqrt((lines.astype(float) ** (2.0 * power)).sum())) for lines in (measured.lines, rest.lines))
    return residual(measured, drawn * np.float32(scale * part / max(whole, 1e-30)))


def _moved(model: Model, fit: Fits, measured: Measured) -> NDArray[np.float32]:
    """Signal (m,) of one fit as drawn, at its place in the scan."""
    profile = candidate_profiles(model.library, fit.rows, measured, fit.strain, fit.fwhm, fit.b)[0]
    return shifted(profile, round(float(fit.shift[0]) / measured.recipe.grid.step))
