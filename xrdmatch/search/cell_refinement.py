"""Cell, line width and fall-off of candidates, adjusted to a scan by damped least squares.

Each round draws a candidate and its slopes along every change its lattice allows, and solves for the step that brings its signal closest to the
measured one. Early rounds see both blurred, so that lines a few widths apart still pull on each other. What a cell has to be bent costs
similarity, slowly growing: small strains are the rule (temperature, guests), large ones the breathing exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import lattice_directions
from xrdmatch.library.reference_library import Library
from xrdmatch.search.comparison import START_B, Fits, Floats, Measured, blurred, candidate_profiles, shifted, similarity

#: Widths in degrees by which the first rounds are blurred; then sharp rounds, which also adjust line width and B, and how many candidates are left.
BLURS, ROUNDS, MARGIN = (0.4, 0.15), 2, 0.2
#: A usual strain of a cell length (relative) and a usual change of a cell angle (degrees).
STRAIN, ANGLE = 0.004, 0.4
#: Similarity that a bend of size x costs: COST ln(1 + x^2), x in usual strains.
COST = 0.01
#: Usual changes of ln(width) and of B (angstrom^2), and what they cost, as above.
WIDTH, FALL, EASY = 0.25, 2.0, 0.0005
#: Largest strain, change of an angle (degrees), line width and B that adjustment may reach. A negative B stands for slits that open with the angle,
#: and for a small sample that the beam misses at low angles: both grow as sin(theta), fivefold from 10 to 50 degrees.
MAX_STRAIN, MAX_ANGLE, WIDTHS, MAX_B = 0.04, 2.5, (0.04, 1.5), (-10.0, 14.0)
#: Steps a cell is polished by.
POLISH = 3
#: Size of the step slopes are taken with, in usual changes; and the longest step of a round.
_SLOPE, _STRIDE = 0.15, 3.0

_UNITS = np.array([STRAIN] * 3 + [ANGLE] * 3)
_LIMITS = np.array([MAX_STRAIN] * 3 + [MAX_ANGLE] * 3)


def bend(strain: Floats, ways: list[Floats]) -> Floats:
    """How far each cell (k, 6) is bent: sum of ln(1 + x^2) over its lattice's own changes, x in usual strains; 0 at rest."""
    return np.array([np.log1p((_amounts(one, way)) ** 2).sum() for one, way in zip(strain, ways, strict=True)])


def _amounts(strain: NDArray[np.float64], way: NDArray[np.float64]) -> NDArray[np.float64]:
    """Size (p,) of the changes `way` (p, 6) that make up `strain` (6,), in usual changes."""
    return np.asarray((strain / _UNITS) @ way.T / np.maximum(way.sum(axis=1), 1.0))


def adjust(library: Library, fits: Fits, measured: Measured) -> Fits:
    """Candidates with cell, width and B brought closest to the scan, within the symmetry of their lattices; best first.

    The sharp rounds are spent on those that come within `MARGIN` of the best after the blurred ones.
    """
    if fits.rows.size == 0:
        return fits
    ways = [lattice_directions(library.cell[row]) for row in fits.rows]
    now = fits
    for blur in BLURS:
        now = _step(library, now, blurred(measured, blur), ways, blur)
    both, drawn = _scored(library, fits.joined(now), measured)
    best, now = both.take(np.arange(len(ways))), both.take(np.arange(len(ways), 2 * len(ways)))
    drawn = drawn[len(ways) :]
    best = _better(best, now, ways)
    worth = best.similarity - COST * bend(best.strain, ways)
    order = np.argsort(-worth, kind="stable")
    kept = int((worth >= worth.max() - MARGIN).sum())
    ahead, behind = order[:kept], best.take(order[kept:])
    best, now, drawn, near = best.take(ahead), now.take(ahead), drawn[ahead], [ways[i] for i in ahead]
    for _ in range(ROUNDS):
        now, drawn = _scored(library, _step(library, now, measured, near, 0.0, base=drawn), measured)
        best = _better(best, now, near)
    best, ways = best.joined(behind), [ways[i] for i in order]
    return best.take(np.argsort(COST * bend(best.strain, ways) - best.similarity, kind="stable"))


def polished(library: Library, fits: Fits, measured: Measured) -> Fits:
    """The same candidates in their order, with the cell that fits best where bending it costs next to nothing: for refinement, not for ranking."""
    ways = [lattice_directions(library.cell[row]) for row in fits.rows]
    now = fits
    for _ in range(POLISH):
        now = _step(library, now, measured, ways, 0.0, EASY)
    now, _ = _scored(library, now, measured)
    better = now.similarity >= fits.similarity
    kept = {}
    for name in ("shift", "strain", "fwhm", "b"):
        old, new = getattr(fits, name), getattr(now, name)
        kept[name] = np.where(better if old.ndim == 1 else better[:, None], new, old)
    return replace(fits, **kept)


def _scored(library: Library, fits: Fits, measured: Measured) -> tuple[Fits, NDArray[np.float32]]:
    """The candidates with their similarity and shift as they stand, and their signals (k, m)."""
    drawn = candidate_profiles(library, fits.rows, measured, fits.strain, fits.fwhm, fits.b)
    score, shift = similarity(drawn, measured)
    return replace(fits, similarity=score, shift=shift), drawn


def _better(old: Fits, new: Fits, ways: list[Floats]) -> Fits:
    """Of each candidate the state that is worth more."""
    wins = new.similarity - COST * bend(new.strain, ways) > old.similarity - COST * bend(old.strain, ways)
    names = ("similarity", "shift", "strain", "fwhm", "b")
    mixed = {name: np.where(wins if getattr(old, name).ndim == 1 else wins[:, None], getattr(new, name), getattr(old, name)) for name in names}
    return replace(old, **mixed)


def _step(
    library: Library,
    fits: Fits,
    target: Measured,
    ways: list[Floats],
    blur: float,
    cost: float | None = None,
    base: NDArray[np.float32] | None = None,
) -> Fits:
    """One least-squares step of every candidate. base: their signals in `target`, where they have been drawn."""
    fwhm = np.hypot(fits.fwhm, blur)
    owner, strain, width, b = _nudged(fits, fwhm, ways, sharp=blur == 0.0)
    if base is None:  # drawn together with its slopes: one call costs less than two
        rows = np.concatenate([fits.rows, fits.rows[owner]])
        states = np.concatenate([fits.strain, strain]), np.concatenate([fwhm, width]), np.concatenate([fits.b, b])
        drawn = candidate_profiles(library, rows, target, *states)
        base, slopes = drawn[: len(ways)], drawn[len(ways) :]
    else:
        slopes = candidate_profiles(library, fits.rows[owner], target, strain, width, b)
    _, shift = similarity(base, target)
    points = np.rint(shift / target.recipe.grid.step).astype(int)
    signals = np.stack([shifted(target.signal, -point) for point in points])
    moved = replace(fits, strain=fits.strain.copy(), fwhm=fits.fwhm.copy(), b=fits.b.copy())
    for i, (way, products) in enumerate(zip(ways, _products(base, slopes, owner, signals), strict=True)):
        soft = [] if blur else [np.log(fits.fwhm[i] / target.fwhm) / WIDTH, (fits.b[i] - START_B) / FALL]
        bent = np.concatenate([_amounts(fits.strain[i], way), soft])
        step = _solved(products, bent, len(way), COST if cost is None else cost)
        change = fits.strain[i] + (step[: len(way), None] * way * _UNITS).sum(axis=0)
        moved.strain[i] = np.clip(change, -_LIMITS, _LIMITS)
        if blur == 0.0:
            moved.fwhm[i] = np.clip(fits.fwhm[i] * np.exp(WIDTH * step[len(way)]), *WIDTHS)
            moved.b[i] = np.clip(fits.b[i] + FALL * step[len(way) + 1], *MAX_B)
    return moved


def _nudged(fits: Fits, fwhm: Floats, ways: list[Floats], sharp: bool) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """The states whose drawings, less the base's, are the slopes: owner (s,), strain (s, 6), width (s,) and B (s,)."""
    more = 2 if sharp else 0
    owner = np.repeat(np.arange(len(ways)), [len(way) + more for way in ways])
    strain, width, b = fits.strain[owner].copy(), fwhm[owner].copy(), fits.b[owner].copy()
    at = 0
    for way in ways:
        strain[at : at + len(way)] += _SLOPE * way * _UNITS
        at += len(way)
        if sharp:
            width[at] *= np.exp(WIDTH * _SLOPE)
            b[at + 1] += FALL * _SLOPE
            at += 2
    return owner, strain, width, b


def _products(
    base: NDArray[np.float32], drawn: NDArray[np.float32], owner: NDArray[np.int64], signals: NDArray[np.float32]
) -> Iterator[NDArray[np.float64]]:
    """Of each candidate (k), all scalar products (p + 3, p + 3) of its slopes, that of a zero shift, its own signal at unit length and the scan's.

    base, signals: (k, m). drawn: (s, m), the nudged states of the candidates `owner` (s,), which are spent here.
    """
    length = np.maximum(np.sqrt(np.vecdot(base, base)), np.float32(1e-9))
    unit = base / length[:, None]
    drawn -= base[owner]
    drawn /= (np.float32(_SLOPE) * length)[owner, None]
    ends = np.cumsum(np.bincount(owner, minlength=len(base)) + 3)
    table = np.empty((ends[-1], base.shape[1]), dtype=np.float32)
    table[np.arange(len(owner)) + 3 * owner] = drawn
    table[ends - 3] = np.gradient(unit, axis=1)
    table[ends - 2] = unit
    table[ends - 1] = signals
    for first, last in pairwise([0, *ends.tolist()]):
        yield (table[first:last] @ table[first:last].T).astype(float)


def _solved(products: NDArray[np.float64], bent: Floats, hard: int, cost: float) -> Floats:
    """Step (p,) in usual changes; the zero shift is solved for as well, and left to the next search. products: of `_products`; bent: (p,) where the
    candidate is; `hard`: how many of its changes bend the cell.
    """
    own, cosine = products[:-2, -2], float(products[-2, -1])  # a signal's length does not count: what of a slope lies along it is taken out
    normal = (products[:-2, :-2] - np.outer(own, own)) * max(cosine, 0.1)
    slope = products[:-2, -1] - cosine * own
    weight = 2.0 / (1.0 + bent**2)
    weight[:hard] *= cost
    weight[hard:] *= EASY
    slope[:-1] -= weight * bent
    diagonal = normal.reshape(-1)[:: len(normal) + 1]  # a view
    diagonal[:-1] += weight
    diagonal += 1e-9 * max(float(diagonal.sum()), 1e-12)
    return np.asarray(np.clip(np.linalg.solve(normal, slope)[:-1], -_STRIDE, _STRIDE))
