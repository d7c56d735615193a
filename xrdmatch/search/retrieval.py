"""Recalled entries against the scan: the best of each family, adjusted, with the evidence; and whether a scan can be judged at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import lattice_directions
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.fft_filter import around
from xrdmatch.search.cell_refinement import adjust, bend
from xrdmatch.search.comparison import Fits, Floats, Measured, candidate_profiles, compare, presence
from xrdmatch.search.line_evidence import evidence, strong_lines
from xrdmatch.search.probability import Candidate

#: Six letters, two digits where a structure was determined again.
REFCODE = re.compile(r"[A-Z]{6}(\d\d)?(_|$)")
#: Entries recalled by the network, and by their strongest lines.
RECALL, LOOKED_UP = 100, 160
#: Of these, those this near the best in what the two say together are compared, and so many of the best by lines, of whatever the network thinks.
PROMISING, BY_LINES = 0.4, 24
#: Families that are verified at least, and what a network's cosine and the similarity count beside the presence of lines when they are chosen.
VERIFY, NETWORK, SIMILAR = 12, 0.7, 0.3
#: How far behind the best a family may be in that worth for its best entry to be adjusted, and how many at most are.
BEHIND, ADJUSTED = 0.25, 36
#: Entries that are compared and families that are adjusted beside these, of rows that were asked for.
BESIDE, ALSO = 24, 5
#: Angular span (degrees at Cu) below which a scan is not enough to tell frameworks apart.
SHORTEST = 8.0
#: A scan needs this many lines, each this many noise levels high, to be called crystalline, and this many for a framework to be named.
LINES_NEEDED, LINES_NAMED, LINE_LEVEL = 2, 3, 6.0
#: Polyimide and like films, which samples are held by, scatter in humps at these angles (Cu; within the tolerance), wider than this (all in degrees).
FILM, FILM_NEAR, FILM_WIDTH = (5.55, 14.4), 0.3, 0.4


def recall(
    model: Model,
    inputs: NDArray[np.float32],
    measured: Measured,
    allowed: NDArray[np.bool_] | None = None,
    also: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Library rows (k,) that may be in the scan, each once, and what the network says of each: cosine of an encoder, probability of a classifier.

    inputs: (channels, m), the scan as the model's recipe makes it. allowed: (n,) rows of the library that may be named, by default all. also: rows
    of which an encoder's `BESIDE` likeliest come last, wherever they stand.
    """
    scores = model.scores(inputs[None])[0]
    if model.kind == "classifier":
        top = np.argsort(-scores, kind="stable")
        if allowed is not None:
            top = top[allowed[model.label_rows[top]]]
        return model.label_rows[top], scores[top]
    plain = measured.coarse
    lines = model.lookup.scores(plain.signal, plain.mask)
    if allowed is not None:
        scores, lines = (np.where(allowed, values, np.float32(-np.inf)) for values in (scores, lines))
    rows = _joined(_largest(scores, RECALL), _largest(lines, LOOKED_UP))
    worth = NETWORK * scores + SIMILAR * lines
    rows = promising(model.library, rows[np.isfinite(worth[rows])], worth, lines)
    if also is not None:
        rows = _joined(rows, also[_largest(worth[also], BESIDE)])
    return rows, scores[rows]


def promising(library: Library, rows: NDArray[np.int64], worth: NDArray[np.float32], lines: NDArray[np.float32]) -> NDArray[np.int64]:
    """Of recalled rows (k,) those that deserve a look at their reflections, `VERIFY` families at least: drawing them is most of the work.

    worth, lines: (n,) what network and lines together, and the lines alone, say of each entry of the library.
    """
    near = worth[rows] >= worth[rows].max(initial=-np.inf) - PROMISING
    near[_largest(lines[rows], BY_LINES)] = True
    order = np.argsort(-worth[rows], kind="stable")
    _, first = np.unique(library.family[rows[order]], return_index=True)
    near[order[np.sort(first)[:VERIFY]]] = True
    return np.asarray(rows[near])


def _joined(rows: NDArray[np.int64], more: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each of the rows once."""
    return np.concatenate([rows, more[~np.isin(more, rows)]])


def _largest(values: NDArray[np.float32], number: int) -> NDArray[np.int64]:
    """Places of the largest `number` values (n,), largest first."""
    top = np.argpartition(-values, number - 1)[:number] if values.size > number else np.arange(values.size)
    return np.asarray(top[np.argsort(-values[top], kind="stable")])


def verify(
    library: Library,
    rows: NDArray[np.int64],
    recalled: NDArray[np.float32],
    measured: Measured,
    most: int = ADJUSTED,
    also: NDArray[np.int64] | None = None,
) -> tuple[Fits, list[Candidate]]:
    """Compare recalled rows with the scan, keep the best of each family, and adjust those that come near the first, `most` of them at most, and the
    best few of the rows `also`; with each one's evidence. Where fewer come near, further ones make up `VERIFY`, as they stand in the library.
    """
    near = dict(zip(rows.tolist(), recalled.tolist(), strict=True))
    fits, worth = _likely(library, rows, near, measured.coarse)
    close = min(most, int((worth >= worth.max(initial=0.0) - BEHIND).sum()))
    extra = close + np.flatnonzero(np.isin(fits.rows[close:], also))[:ALSO] if also is not None else np.empty(0, np.int64)
    adjusted = np.concatenate([np.arange(close), extra])
    further = np.setdiff1d(np.arange(min(fits.rows.size, VERIFY)), adjusted)
    plain = dict(zip(fits.rows.tolist(), fits.similarity.tolist(), strict=True))
    fits = adjust(library, fits.take(adjusted), measured).joined(fits.take(further))
    bends = np.zeros(fits.rows.size)  # the further ones lie at rest
    bends[: adjusted.size] = bend(fits.strain[: adjusted.size], [lattice_directions(cell) for cell in library.cell[fits.rows[: adjusted.size]]])
    profiles = candidate_profiles(library, fits.rows, measured, fits.strain, fits.fwhm, fits.b)
    shows = presence(profiles, measured)
    candidates = []
    for i, (row, found) in enumerate(zip(fits.rows.tolist(), evidence(library, fits, measured, profiles), strict=True)):
        members = int(library.members(int(library.family[row])).size)
        state = float(fits.similarity[i]), near[row], found, plain[row], float(bends[i])
        candidates.append(Candidate(*state, float(shows[i]), float(fits.shift[i]), members))
    return fits, candidates


def _likely(library: Library, rows: NDArray[np.int64], near: dict[int, float], measured: Measured) -> tuple[Fits, Floats]:
    """The best entry of each family, unadjusted, and what it is worth (k,), most first. near: what the network says of each row."""
    profiles = candidate_profiles(library, rows, measured)
    fits = compare(library, rows, measured, profiles)
    shows = dict(zip(rows.tolist(), presence(profiles, measured).tolist(), strict=True))
    fits = _familiar_first(library, fits)
    _, first = np.unique(library.family[fits.rows], return_index=True)
    fits = fits.take(np.sort(first))
    worth = [shows[row] + NETWORK * near[row] for row in fits.rows.tolist()] + SIMILAR * fits.similarity
    order = np.argsort(-worth, kind="stable")
    return fits.take(order), worth[order]


def _familiar_first(library: Library, fits: Fits) -> Fits:
    """Among candidates that fit equally well, to a hundredth, first those that carry their family's first name, then those with a CSD refcode."""
    first = [name.split(" / ")[0] for name in library.family_name[library.family[fits.rows]].tolist()]
    named = np.array([name == title for name, title in zip(library.name[fits.rows].tolist(), first, strict=True)], dtype=bool)
    coded = np.array([REFCODE.match(name) is not None for name in library.id[fits.rows].tolist()], dtype=bool)
    return fits.take(np.lexsort((-fits.similarity, ~coded, ~named, -fits.similarity.round(2))))


def unusable(measured: Measured, needed: int = LINES_NEEDED, clear: Sequence[float] | None = None) -> str:
    """Why no framework can be named from this scan, or an empty string. needed: lines that have to stand out; clear: those that do, where known."""
    grid = measured.recipe.grid
    span = float(measured.mask.sum()) * grid.step
    if span < SHORTEST:
        return f"the scan covers {span:.1f} deg of {grid.start:g}-{grid.stop:g} deg (Cu); at least {SHORTEST:g} deg are needed"
    clear = clear_lines(measured) if clear is None else clear
    if len(clear) < needed:
        return f"{len(clear)} diffraction lines stand out of the noise, at least {needed} are needed: amorphous, empty, or counted too short"
    return ""


def clear_lines(measured: Measured) -> list[float]:
    """2theta in degrees of the lines that stand out of the noise; without flanks at the ends of the range and the humps of a sample holder's film."""
    grid, lines, top = measured.recipe.grid, measured.lines, float(measured.lines.max(initial=0.0))
    level = LINE_LEVEL * (measured.loud if measured.loud > 0 else 1e-3 * top)
    clear = []
    for angle, height in strong_lines(measured, 2.0):
        at = grid.nearest(angle)
        before, after = around((lines < 0.5 * lines[at]) & measured.mask, at)
        if 0.01 * height * top <= level or before < 0 or after == lines.size:
            continue
        width = (after - before) * grid.step
        if width < FILM_WIDTH or min(abs(angle - hump) for hump in FILM) > FILM_NEAR:
            clear.append(angle)
    return clear
