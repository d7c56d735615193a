"""Cell, line width and fall-off of candidates, refined against a scan by damped least squares.

Each round draws a candidate and its slopes along every change its lattice allows, and solves for the step that brings its signal closest to the
measured one. Early rounds see both blurred, so that lines a few widths apart still pull on each other. Straining a cell costs similarity, slowly
growing: small strains are the rule (temperature, guests), large ones the breathing exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import lattice_directions
from xrdmatch.diffraction.least_squares import damped_steps
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.candidates import FIT_FIELDS, START_B, Candidates, Floats
from xrdmatch.search.comparison import blurred, candidate_signals, compare

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
#: For what nothing depends on, see `damped_steps`.
_DAMPING = 1e-9

#: Rows of a candidate among those whose scalar products a step needs: the scan's signal, its own, the slope of a zero shift, then its own slopes.
_SCAN, _OWN, _SHIFT, _SLOPES = 0, 1, 2, 3

_USUAL = np.array([USUAL_STRAIN] * 3 + [USUAL_ANGLE] * 3)
_LIMITS = np.array([MAX_STRAIN] * 3 + [MAX_ANGLE] * 3)


def strain_modes(library: Library, rows: NDArray[np.int64]) -> list[Floats]:
    """Of each row the changes (p, 6) of its cell that keep its lattice's symmetry."""
    return [lattice_directions(cell) for cell in library.cell[rows]]


def strain_penalty(strain: Floats, modes: Sequence[Floats]) -> Floats:
    """How far each cell (k, 6) is strained: sum of ln(1 + x^2) over its lattice's own changes, x in usual strains; 0 at rest."""
    return np.asarray(np.log1p(_amounts(strain, _padded(modes)) ** 2).sum(axis=1))


def _padded(modes: Sequence[Floats]) -> Floats:
    """The changes that each lattice allows (k, 6, 6), filled up with zeros, so that all candidates are worked on at once."""
    changes = np.zeros((len(modes), 6, 6))
    for own, mode in zip(changes, modes, strict=True):
        own[: len(mode)] = mode
    return changes


def _amounts(strain: Floats, changes: Floats) -> Floats:
    """Size (k, 6) of the `changes` (k, 6, 6) that make up each strain (k, 6), in usual changes."""
    return np.asarray((changes @ (strain / _USUAL)[:, :, None])[:, :, 0] / np.maximum(changes.sum(axis=2), 1.0))


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
    return refine_and_draw(library, candidates, scan, options)[0]


def refine_and_draw(
    library: Library, candidates: Candidates, scan: ComparisonSignal, options: RefinementOptions = _DEFAULTS
) -> tuple[Candidates, NDArray[np.float32]]:
    """The same, and the refined candidates' signals (k, m), which have been drawn for it anyway."""
    if len(candidates) == 0:
        return candidates, np.empty((0, scan.grid.size), np.float32)
    modes, cost = strain_modes(library, candidates.rows), options.strain_cost
    moved = candidates
    for blur in BLURS:
        moved = _step(library, moved, _Target(blurred(scan, blur), blur, cost), modes)
    both = _drawn(library, candidates.joined(moved), scan)
    now = both.take(np.arange(len(modes), 2 * len(modes)))
    best = _better(both.take(np.arange(len(modes))), now, modes, cost)
    worth = _worth(best.candidates, modes, cost)
    order = np.argsort(-worth, kind="stable")
    kept = int((worth >= worth.max() - options.max_blurred_gap).sum())
    ahead, behind = order[:kept], best.take(order[kept:])
    best, now, near = best.take(ahead), now.take(ahead), [modes[i] for i in ahead]
    for _ in range(SHARP_ROUNDS):
        now = _drawn(library, _step(library, now.candidates, _Target(scan, cost=cost), near, now.signals), scan)
        best = _better(best, now, near, cost)
    best, modes = best.joined(behind), [modes[i] for i in order]
    penalty = strain_penalty(best.candidates.strain, modes)
    final = np.argsort(cost * penalty - best.candidates.similarity, kind="stable")
    return replace(best.candidates, strain_penalty=penalty).take(final), best.signals[final]


def polish_cells(library: Library, candidates: Candidates, scan: ComparisonSignal) -> Candidates:
    """The same candidates in their order, with the cell that fits best where straining it costs next to nothing: to draw and refine, not to rank."""
    modes = strain_modes(library, candidates.rows)
    now = candidates
    for _ in range(POLISHING_ROUNDS):
        now = _step(library, now, _Target(scan, cost=WIDTH_COST), modes)
    now = _drawn(library, now, scan).candidates
    return candidates.where(now.similarity >= candidates.similarity, now, [name for name in FIT_FIELDS if name != "similarity"])


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Candidates with their similarity and shift as they stand, and the signals (k, m) these were found with."""

    candidates: Candidates
    signals: NDArray[np.float32]

    def take(self, order: NDArray[np.int64]) -> _Drawn:
        return _Drawn(self.candidates.take(order), self.signals[order])

    def joined(self, other: _Drawn) -> _Drawn:
        return _Drawn(self.candidates.joined(other.candidates), np.concatenate([self.signals, other.signals]))


def _drawn(library: Library, candidates: Candidates, scan: ComparisonSignal) -> _Drawn:
    signals = candidate_signals(library, candidates, scan)
    return _Drawn(compare(candidates, signals, scan), signals)


def _better(old: _Drawn, new: _Drawn, modes: Sequence[Floats], cost: float) -> _Drawn:
    """Of each candidate the state that is worth more."""
    better = _worth(new.candidates, modes, cost) > _worth(old.candidates, modes, cost)
    return _Drawn(old.candidates.where(better, new.candidates, FIT_FIELDS), np.where(better[:, None], new.signals, old.signals))


@dataclass(frozen=True, eq=False)
class _Target:
    """What a round aims at: a scan, the width in degrees by which it is blurred (0: line width and B are refined too), and what strain costs."""

    scan: ComparisonSignal
    blur: float = 0.0
    cost: float = STRAIN_COST


def _step(library: Library, candidates: Candidates, target: _Target, modes: Sequence[Floats], base: NDArray[np.float32] | None = None) -> Candidates:
    """One least-squares step of every candidate. base: their signals in the target, where they have been drawn and their shift was found by them."""
    scan, sharp, changes = target.scan, target.blur == 0.0, _padded(modes)
    start = replace(candidates, fwhm=np.hypot(candidates.fwhm, target.blur))
    states, owner, place = _states(start, modes, sharp, base is None)
    drawn = candidate_signals(library, states, scan)
    if base is None:  # drawn together with its slopes: one call costs less than two
        base = drawn[place == _OWN]
        start = compare(start, base, scan)
    products = _products(base, drawn, owner, place, scan.shifted_to(start.shift))
    # In the order of the slopes: width and B, which only sharp rounds change, then the cell.
    soft = [np.log(candidates.fwhm / scan.fwhm) / USUAL_WIDENING, (candidates.debye_waller - START_B) / USUAL_B] if sharp else []
    size = np.concatenate([*(one[:, None] for one in soft), _amounts(candidates.strain, changes)], axis=1)
    step = _solved(products, size, np.array([WIDTH_COST] * len(soft) + [target.cost] * 6))
    strain = candidates.strain + (step[:, -6:, None] * changes).sum(axis=1) * _USUAL
    candidates = replace(candidates, strain=np.clip(strain, -_LIMITS, _LIMITS))
    if not sharp:
        return candidates
    fwhm = np.clip(candidates.fwhm * np.exp(USUAL_WIDENING * step[:, 0]), *REFINED_FWHM)
    return replace(candidates, fwhm=fwhm, debye_waller=np.clip(candidates.debye_waller + USUAL_B * step[:, 1], *REFINED_B))


def _states(start: Candidates, modes: Sequence[Floats], sharp: bool, base: bool) -> tuple[Candidates, NDArray[np.int64], NDArray[np.int64]]:
    """What is drawn for a step: each candidate itself where `base` says so, nudged in width and in B where the round is `sharp`, and along each mode.

    Returns the states, whose each is (s,), and its row among its candidate's rows (s,).
    """
    counts = np.array([base + 2 * sharp + len(mode) for mode in modes])
    first = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(len(modes)), counts)
    place = np.arange(owner.size) - first[owner] + _SLOPES - base
    strain, fwhm, b = start.strain[owner], start.fwhm[owner], start.debye_waller[owner]
    strain[place >= _SLOPES + 2 * sharp] += _SLOPE * np.concatenate(modes) * _USUAL
    if base:
        place[first] = _OWN
    if sharp:
        fwhm[first + base] *= np.exp(USUAL_WIDENING * _SLOPE)
        b[first + base + 1] += USUAL_B * _SLOPE
    return replace(start.take(owner), strain=strain, fwhm=fwhm, debye_waller=b), owner, place


def _products(
    base: NDArray[np.float32], drawn: NDArray[np.float32], owner: NDArray[np.int64], place: NDArray[np.int64], signals: NDArray[np.float32]
) -> Floats:
    """Of each candidate all scalar products (k, q, q) of the scan's signal, its own at unit length, the slope of a zero shift and its slopes.

    base, signals: (k, m). drawn: (s, m), the states of the candidates `owner` (s,) that belong in the rows `place` (s,); they are spent here.
    Beyond a candidate's own rows all is zero.
    """
    length = np.maximum(np.sqrt(np.vecdot(base, base)), np.float32(1e-9))
    unit, nudged = base / length[:, None], place >= _SLOPES
    rows = np.full(len(base), _SLOPES)
    np.maximum.at(rows, owner, place + 1)
    first = np.cumsum(rows) - rows
    table = np.empty((int(rows.sum()), base.shape[1]), dtype=np.float32)
    table[first[owner] + place] = drawn
    table[first], table[first + _OWN], table[first + _SHIFT] = signals, unit, np.gradient(unit, axis=1)
    slopes = (first[owner] + place)[nudged]
    table[slopes] -= base[owner[nudged]]
    table[slopes] /= (np.float32(_SLOPE) * length)[owner[nudged], None]
    products = np.zeros((len(base), int(rows.max()), int(rows.max())))
    for own, start, size in zip(products, first.tolist(), rows.tolist(), strict=True):
        part = table[start : start + size]
        own[:size, :size] = part @ part.T
    return products


def _solved(products: Floats, size: Floats, cost: Floats) -> Floats:
    """Step (k, p) in usual changes; the zero shift is solved for as well, and left to the next search. products: of `_products`; size (k, p): of the
    candidates' changes so far; cost (p,): of each.
    """
    own, cosine = products[:, _OWN, _SHIFT:], products[:, _SCAN, _OWN, None]  # a signal's length does not count: what of a slope lies along it is out
    k, n = own.shape
    slope = np.zeros((k, 1 + size.shape[1]))
    normal = np.zeros((k, slope.shape[1], slope.shape[1]))
    slope[:, :n] = products[:, _SCAN, _SHIFT:] - cosine * own
    normal[:, :n, :n] = (products[:, _SHIFT:, _SHIFT:] - own[:, :, None] * own[:, None, :]) * np.maximum(cosine, 0.1)[:, :, None]
    weight = cost * (2.0 / (1.0 + size**2))
    slope[:, 1:] -= weight * size
    np.einsum("kii->ki", normal)[:, 1:] += weight  # the diagonal, a view
    return damped_steps(normal, slope, _DAMPING, _LONGEST_STEP)[:, 1:]
