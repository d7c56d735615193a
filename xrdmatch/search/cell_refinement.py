"""Cell, line width and fall-off of candidates, refined against a scan by damped least squares.

Each round draws a candidate and its slopes along every change its lattice allows, and solves for the step that brings its signal closest to the
measured one. Early rounds see both blurred, so that lines a few widths apart still pull on each other. Straining a cell costs similarity, slowly
growing: small strains are the rule (temperature, guests), large ones the breathing exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import lattice_directions
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.candidates import FIT_FIELDS, START_B, Candidates, Floats
from xrdmatch.search.comparison import blurred, candidate_signals, compare, shifted, similarity

#: Widths in degrees by which the first rounds are blurred; then sharp rounds, which also refine line width and B.
BLURS, SHARP_ROUNDS = (0.4, 0.15), 2
#: A usual strain of a cell length (relative) and a usual change of a cell angle (degrees).
USUAL_STRAIN, USUAL_ANGLE = 0.004, 0.4
#: Similarity that a strain of size x costs: STRAIN_COST ln(1 + x^2), x in usual strains.
STRAIN_COST = 0.01
#: Usual changes of ln(width) and of B (angstrom^2), and what they cost, as above.
USUAL_WIDENING, USUAL_B, WIDTH_COST = 0.25, 2.0, 0.0005
#: Largest strain, change of an angle (degrees), line width (degrees) and B that refinement may reach. A negative B stands for slits that open with
#: the angle, and for a small sample that the beam misses at low angles: both grow as sin(theta), fivefold from 10 to 50 degrees.
MAX_STRAIN, MAX_ANGLE, REFINED_FWHM, REFINED_B = 0.04, 2.5, (0.04, 1.5), (-10.0, 14.0)
#: Rounds a cell is polished by.
POLISHING_ROUNDS = 3
#: Size of the step that slopes are taken with, in usual changes; and the longest step of a round.
_SLOPE, _LONGEST_STEP = 0.15, 3.0

_USUAL = np.array([USUAL_STRAIN] * 3 + [USUAL_ANGLE] * 3)
_LIMITS = np.array([MAX_STRAIN] * 3 + [MAX_ANGLE] * 3)


def strain_modes(library: Library, rows: NDArray[np.int64]) -> list[Floats]:
    """Of each row the changes (p, 6) of its cell that keep its lattice's symmetry."""
    return [lattice_directions(cell) for cell in library.cell[rows]]


def strain_penalty(strain: Floats, modes: Sequence[Floats]) -> Floats:
    """How far each cell (k, 6) is strained: sum of ln(1 + x^2) over its lattice's own changes, x in usual strains; 0 at rest."""
    return np.array([np.log1p(_amounts(one, mode) ** 2).sum() for one, mode in zip(strain, modes, strict=True)])


def _amounts(strain: NDArray[np.float64], mode: NDArray[np.float64]) -> NDArray[np.float64]:
    """Size (p,) of the changes `mode` (p, 6) that make up `strain` (6,), in usual changes."""
    return np.asarray((strain / _USUAL) @ mode.T / np.maximum(mode.sum(axis=1), 1.0))


@dataclass(frozen=True)
class RefinementOptions:
    """strain_cost: see `STRAIN_COST`. max_blurred_gap: how far behind the best after the blurred rounds, in similarity less the cost of strain, a
    candidate may be to get the sharp ones.
    """

    strain_cost: float = STRAIN_COST
    max_blurred_gap: float = 0.2


_DEFAULTS = RefinementOptions()


def _worth(candidates: Candidates, modes: Sequence[Floats], cost: float) -> Floats:
    """Similarity (k,) less what the strain costs."""
    return np.asarray(candidates.similarity - cost * strain_penalty(candidates.strain, modes))


def refine_cells(library: Library, candidates: Candidates, scan: ComparisonSignal, options: RefinementOptions = _DEFAULTS) -> Candidates:
    """Candidates with cell, width and B brought closest to the scan, within the symmetry of their lattices; best first."""
    if len(candidates) == 0:
        return candidates
    modes, cost = strain_modes(library, candidates.rows), options.strain_cost
    now = candidates
    for blur in BLURS:
        now = _step(library, now, _Target(blurred(scan, blur), blur, cost), modes)
    both, drawn = _scored(library, candidates.joined(now), scan)
    best, now = both.take(np.arange(len(modes))), both.take(np.arange(len(modes), 2 * len(modes)))
    drawn = drawn[len(modes) :]
    best = _better(best, now, modes, cost)
    worth = _worth(best, modes, cost)
    order = np.argsort(-worth, kind="stable")
    kept = int((worth >= worth.max() - options.max_blurred_gap).sum())
    ahead, behind = order[:kept], best.take(order[kept:])
    best, now, drawn, near = best.take(ahead), now.take(ahead), drawn[ahead], [modes[i] for i in ahead]
    for _ in range(SHARP_ROUNDS):
        now, drawn = _scored(library, _step(library, now, _Target(scan, cost=cost), near, drawn), scan)
        best = _better(best, now, near, cost)
    best, modes = best.joined(behind), [modes[i] for i in order]
    best = replace(best, strain_penalty=strain_penalty(best.strain, modes))
    return best.take(np.argsort(cost * best.strain_penalty - best.similarity, kind="stable"))


def polish_cells(library: Library, candidates: Candidates, scan: ComparisonSignal) -> Candidates:
    """The same candidates in their order, with the cell that fits best where straining it costs next to nothing: to draw and refine, not to rank."""
    modes = strain_modes(library, candidates.rows)
    now = candidates
    for _ in range(POLISHING_ROUNDS):
        now = _step(library, now, _Target(scan, cost=WIDTH_COST), modes)
    now, _ = _scored(library, now, scan)
    return candidates.where(now.similarity >= candidates.similarity, now, [name for name in FIT_FIELDS if name != "similarity"])


def _scored(library: Library, candidates: Candidates, scan: ComparisonSignal) -> tuple[Candidates, NDArray[np.float32]]:
    """The candidates with their similarity and shift as they stand, and their signals (k, m)."""
    drawn = candidate_signals(library, candidates, scan)
    return compare(candidates, drawn, scan), drawn


def _better(old: Candidates, new: Candidates, modes: Sequence[Floats], cost: float) -> Candidates:
    """Of each candidate the state that is worth more."""
    return old.where(_worth(new, modes, cost) > _worth(old, modes, cost), new, FIT_FIELDS)


@dataclass(frozen=True, eq=False)
class _Target:
    """What a round aims at: a scan, the width in degrees by which it is blurred (0: line width and B are refined too), and what strain costs."""

    scan: ComparisonSignal
    blur: float = 0.0
    cost: float = STRAIN_COST


def _step(library: Library, candidates: Candidates, target: _Target, modes: Sequence[Floats], base: NDArray[np.float32] | None = None) -> Candidates:
    """One least-squares step of every candidate. base: their signals in the target, where they have been drawn."""
    scan, sharp = target.scan, target.blur == 0.0
    start = replace(candidates, fwhm=np.hypot(candidates.fwhm, target.blur))
    owner, nudged = _nudged(start, modes, sharp)
    if base is None:  # drawn together with its slopes: one call costs less than two
        drawn = candidate_signals(library, start.joined(nudged), scan)
        base, slopes = drawn[: len(modes)], drawn[len(modes) :]
    else:
        slopes = candidate_signals(library, nudged, scan)
    _, shift = similarity(base, scan)
    points = np.rint(shift / scan.grid.step).astype(int)
    signals = np.stack([shifted(scan.signal, -point) for point in points])
    strain, fwhm, b = candidates.strain.copy(), candidates.fwhm.copy(), candidates.debye_waller.copy()
    for i, (mode, products) in enumerate(zip(modes, _products(base, slopes, owner, signals), strict=True)):
        soft = [np.log(fwhm[i] / scan.fwhm) / USUAL_WIDENING, (b[i] - START_B) / USUAL_B] if sharp else []
        size = np.concatenate([_amounts(strain[i], mode), soft])
        step = _solved(products, size, len(mode), target.cost)
        strain[i] = np.clip(strain[i] + (step[: len(mode), None] * mode * _USUAL).sum(axis=0), -_LIMITS, _LIMITS)
        if sharp:
            fwhm[i] = np.clip(fwhm[i] * np.exp(USUAL_WIDENING * step[len(mode)]), *REFINED_FWHM)
            b[i] = np.clip(b[i] + USUAL_B * step[len(mode) + 1], *REFINED_B)
    return replace(candidates, strain=strain, fwhm=fwhm, debye_waller=b)


def _nudged(start: Candidates, modes: Sequence[Floats], sharp: bool) -> tuple[NDArray[np.int64], Candidates]:
    """The states (s) whose drawings, less the base's, are the slopes; and whose each is (s,)."""
    more = 2 if sharp else 0
    owner = np.repeat(np.arange(len(modes)), [len(mode) + more for mode in modes])
    strain, fwhm, b = start.strain[owner].copy(), start.fwhm[owner].copy(), start.debye_waller[owner].copy()
    at = 0
    for mode in modes:
        strain[at : at + len(mode)] += _SLOPE * mode * _USUAL
        at += len(mode)
        if sharp:
            fwhm[at] *= np.exp(USUAL_WIDENING * _SLOPE)
            b[at + 1] += USUAL_B * _SLOPE
            at += 2
    return owner, replace(start.take(owner), strain=strain, fwhm=fwhm, debye_waller=b)


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


def _solved(products: NDArray[np.float64], size: Floats, strains: int, cost: float) -> Floats:
    """Step (p,) in usual changes; the zero shift is solved for as well, and left to the next search. products: of `_products`; size: (p,) of the
    candidate's changes so far; `strains`: how many of them strain the cell, at this `cost`.
    """
    own, cosine = products[:-2, -2], float(products[-2, -1])  # a signal's length does not count: what of a slope lies along it is taken out
    normal = (products[:-2, :-2] - np.outer(own, own)) * max(cosine, 0.1)
    slope = products[:-2, -1] - cosine * own
    weight = 2.0 / (1.0 + size**2)
    weight[:strains] *= cost
    weight[strains:] *= WIDTH_COST
    slope[:-1] -= weight * size
    diagonal = normal.reshape(-1)[:: len(normal) + 1]  # a view
    diagonal[:-1] += weight
    diagonal += 1e-9 * max(float(diagonal.sum()), 1e-12)
    return np.asarray(np.clip(np.linalg.solve(normal, slope)[:-1], -_LONGEST_STEP, _LONGEST_STEP))
