"""Recalled entries against the scan: the best of each family, adjusted, with the evidence; and whether a scan can be judged at all."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from xrdmatch.calibration import Candidate, Query
from xrdmatch.library import Library
from xrdmatch.match import Fits, Measured, adjust, compare, evidence, strong_lines

#: Six letters, two digits where a structure was determined again.
REFCODE = re.compile(r"[A-Z]{6}(\d\d)?(_|$)")
#: Entries recalled by the network and compared with the scan.
RECALL = 200
#: Families whose best entry is adjusted.
VERIFY = 12
#: Angular span (degrees at Cu) below which a scan is not enough to tell frameworks apart.
SHORTEST = 8.0
#: A scan needs this many lines, each this many noise levels high, to be called crystalline.
LINES_NEEDED, LINE_LEVEL = 3, 6.0


def verify(library: Library, rows: NDArray[np.int64], recalled: NDArray[np.float32], measured: Measured) -> tuple[Fits, list[Candidate]]:
    """Compare recalled rows with the scan, keep the best of each family, adjust the best few; with each one's evidence."""
    near = dict(zip(rows.tolist(), recalled.tolist(), strict=True))
    fits = _familiar_first(library, compare(library, rows, measured))
    _, first = np.unique(library.family[fits.rows], return_index=True)
    fits = adjust(library, fits.take(np.sort(first)[:VERIFY]), measured)
    candidates = []
    for i, row in enumerate(fits.rows):
        lines = evidence(library, fits, i, measured)
        candidates.append(Candidate(float(fits.similarity[i]), near[int(row)], lines))
    return fits, candidates


def _familiar_first(library: Library, fits: Fits) -> Fits:
    """Among candidates that fit equally well, to a hundredth, first those that carry their family's first name, then those with a CSD refcode."""
    first = [name.split(" / ")[0] for name in library.family_name[library.family[fits.rows]].tolist()]
    named = np.array([name == title for name, title in zip(library.name[fits.rows].tolist(), first, strict=True)], dtype=bool)
    coded = np.array([REFCODE.match(name) is not None for name in library.id[fits.rows].tolist()], dtype=bool)
    return fits.take(np.lexsort((-fits.similarity, ~coded, ~named, -fits.similarity.round(2))))


def query_features(measured: Measured) -> Query:
    """What of the scan itself bears on how far its best match can be trusted."""
    span = float(measured.mask.sum()) * measured.recipe.grid.step
    return Query(measured.fwhm, measured.floor, len(strong_lines(measured, 5.0)), span)


def unusable(measured: Measured, needed: int = LINES_NEEDED) -> str:
    """Why no framework can be named from this scan, or an empty string. `needed`: lines that have to stand out of the noise."""
    grid = measured.recipe.grid
    span = float(measured.mask.sum()) * grid.step
    if span < SHORTEST:
        return f"the scan covers {span:.1f} deg of {grid.start:g}-{grid.stop:g} deg (Cu); at least {SHORTEST:g} deg are needed"
    level = measured.loud if measured.loud > 0 else 1e-3 * float(measured.lines.max(initial=0.0))
    clear = [angle for angle, height in strong_lines(measured, 2.0) if height * 0.01 * float(measured.lines.max()) > LINE_LEVEL * level]
    if len(clear) < needed:
        return f"{len(clear)} diffraction lines stand out of the noise, at least {needed} are needed: amorphous, empty, or counted too short"
    return ""
