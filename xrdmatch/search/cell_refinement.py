"""Cell, line width and fall-off of candidates, refined against a scan by damped least squares.

Each round draws a candidate and its slopes along every change its lattice allows, and solves for the step that brings its signal closest to the
measured one. Early rounds see both blurred, so that lines a few widths apart still pull on each other. Straining a cell costs similarity, slowly
growing: small strains are the rule (temperature, guests), large ones the breathing exception.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import lattice_directions
from xrdmatch.diffraction.least_squares import damped_steps
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal
from xrdmatch.search.candidates import FIT_FIELDS, START_B, Candidates, States
from xrdmatch.search.comparison import blurred, candidate_signals, compare, draw_signals, similarity
from xrdmatch.system.arrays import Float64Array

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

#: What a step needs the scalar products of: slopes along the six modes that a cell may have, of width, of B and of a zero shift, the candidate's
#: own signal and the scan's. In a candidate's rows of a table, what it lacks is left out, and the last three are counted from the end.
_WIDTH, _B, _SHIFT, _OWN, _SCAN = 6, 7, 8, 9, 10
_END = 3

_USUAL = np.array([USUAL_STRAIN] * 3 + [USUAL_ANGLE] * 3)
_LIMITS = np.array([MAX_STRAIN] * 3 + [MAX_ANGLE] * 3)


@dataclass(frozen=True, eq=False)
class StrainModes:
    """The changes of k cells that keep their lattices' symmetry. counts: (k,) how many each cell has, at least 1. changes: (k, 6, 6) rows of 0 and 1
    over a, b, c, alpha, beta, gamma that go together, filled up with zeros.
    """

    counts: NDArray[np.int64]
    changes: Float64Array

    def take(self, order: NDArray[np.int64]) -> StrainModes:
        return StrainModes(self.counts[order], self.changes[order])


def strain_modes(library: Library, rows: NDArray[np.int64]) -> StrainModes:
    """Of each row of the library the changes of its cell that keep its lattice's symmetry."""
    changes = np.zeros((len(rows), 6, 6))
    modes = [lattice_directions(cell) for cell in library.cell[rows]]
    for own, mode in zip(changes, modes, strict=True):
        own[: len(mode)] = mode
    return StrainModes(np.array([len(mode) for mode in modes], dtype=np.int64), changes)


def strain_penalty(strain: Float64Array, modes: StrainModes) -> Float64Array:
    """How far each cell (k, 6) is strained: sum of ln(1 + x^2) over its lattice's own changes, x in usual strains; 0 at rest."""
    return np.asarray(np.log1p(_amounts(strain, modes) ** 2).sum(axis=1))


def _amounts(strain: Float64Array, modes: StrainModes) -> Float64Array:
    """Size (k, 6) of the changes that make up each strain (k, 6), in usual changes."""
    return np.asarray((modes.changes @ (strain / _USUAL)[:, :, None])[:, :, 0] / np.maximum(modes.changes.sum(axis=2), 1.0))


@dataclass(frozen=True)
class RefinementOptions:
    """strain_cost: see `STRAIN_COST`. max_blurred_gap: how far behind the best after the blurred rounds, in similarity less the cost of strain, a
    candidate may be to get the sharp ones.
    """

    strain_cost: float = STRAIN_COST
    max_blurred_gap: float = 0.12


_DEFAULTS = RefinementOptions()


def _worth(candidates: Candidates, modes: StrainModes, cost: float) -> Float64Array:
    """Similarity (k,) less what the strain costs."""
    return np.asarray(candidates.similarity - cost * strain_penalty(candidates.strain, modes))


def refine_and_draw(
    library: Library, candidates: Candidates, scan: ComparisonSignal, options: RefinementOptions = _DEFAULTS
) -> tuple[Candidates, NDArray[np.float32]]:
    """Candidates with cell, width and B brought closest to the scan, within the symmetry of their lattices; best first; and their
    signals (k, m), which have been drawn for it anyway."""
    if len(candidates) == 0:
        return candidates, np.empty((0, scan.grid.size), np.float32)
    modes, cost = strain_modes(library, candidates.rows), options.strain_cost
    moved = candidates
    for blur in BLURS:
        moved = _step(library, moved, _Target(blurred(scan, blur), blur, cost), modes)
    both = _drawn(library, candidates.joined(moved), scan)
    now = both.take(np.arange(len(candidates), 2 * len(candidates)))
    best = _better(both.take(np.arange(len(candidates))), now, modes, cost)
    worth = _worth(best.candidates, modes, cost)
    order = np.argsort(-worth, kind="stable")
    kept = int((worth >= worth.max() - options.max_blurred_gap).sum())
    ahead, behind = order[:kept], best.take(order[kept:])
    best, now, near = best.take(ahead), now.take(ahead), modes.take(ahead)
    for _ in range(SHARP_ROUNDS):
        now = _drawn(library, _step(library, now.candidates, _Target(scan, cost=cost), near, now.signals), scan)
        best = _better(best, now, near, cost)
    best, modes = best.joined(behind), modes.take(order)
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


def _better(old: _Drawn, new: _Drawn, modes: StrainModes, cost: float) -> _Drawn:
    """Of each candidate the state that is worth more."""
    better = _worth(new.candidates, modes, cost) > _worth(old.candidates, modes, cost)
    return _Drawn(old.candidates.where(better, new.candidates, FIT_FIELDS), np.where(better[:, None], new.signals, old.signals))


@dataclass(frozen=True, eq=False)
class _Target:
    """What a round aims at: a scan, the width in degrees by which it is blurred (0: line width and B are refined too), and what strain costs."""

    scan: ComparisonSignal
    blur: float = 0.0
    cost: float = STRAIN_COST


def _step(library: Library, candidates: Candidates, target: _Target, modes: StrainModes, base: NDArray[np.float32] | None = None) -> Candidates:
    """One least-squares step of every candidate. base: their signals in the target, where they have been drawn and their shift was found by them."""
    scan, sharp = target.scan, target.blur == 0.0
    layout = _layout(modes.counts.tobytes(), sharp, base is None)
    end = layout.first[1:]
    table = np.empty((end[-1], scan.grid.size), dtype=np.float32)
    draw_signals(library, _states(candidates, np.hypot(candidates.fwhm, target.blur), modes, layout), scan, table, layout.place)
    shift = candidates.shift
    if base is None:  # drawn together with its slopes: one call costs less than two
        _, shift = similarity(table[end - 2], scan)
    else:
        table[end - 2] = base
    table[end - 1] = scan.shifted_to(shift)
    products = layout.spread(step_products(table, layout.first))
    size, cost = np.zeros((len(candidates), _SHIFT)), np.array([target.cost] * 6 + [WIDTH_COST] * 2)
    size[:, :_WIDTH] = _amounts(candidates.strain, modes)
    if sharp:
        size[:, _WIDTH], size[:, _B] = np.log(candidates.fwhm / scan.fwhm) / USUAL_WIDENING, (candidates.debye_waller - START_B) / USUAL_B
    step = _solved(products, size, cost, layout.there)
    strain = candidates.strain + (step[:, :_WIDTH, None] * modes.changes).sum(axis=1) * _USUAL
    moved = {"strain": np.clip(strain, -_LIMITS, _LIMITS)}
    if sharp:
        moved["fwhm"] = np.clip(candidates.fwhm * np.exp(USUAL_WIDENING * step[:, _WIDTH]), *REFINED_FWHM)
        moved["debye_waller"] = np.clip(candidates.debye_waller + USUAL_B * step[:, _B], *REFINED_B)
    return replace(candidates, **moved)


@dataclass(frozen=True, eq=False)
class _Layout:
    """What is drawn for a step of k candidates, s states, and where it goes in a table.

    first: (k + 1,) the row where each candidate begins, and the end. there: (k, 11) what each candidate has of all that there are products of.
    place, owner: (s,) the row of each state, and whose it is. strained, widened, b_changed: (s,) which states are nudged so.
    """

    first: NDArray[np.int64]
    there: NDArray[np.bool_]
    place: NDArray[np.int64]
    owner: NDArray[np.int64]
    strained: NDArray[np.bool_]
    widened: NDArray[np.bool_]
    b_changed: NDArray[np.bool_]

    def spread(self, products: Float64Array) -> Float64Array:
        """Products (k, q, q) of each candidate's rows, where they belong among all that there are (k, 11, 11); zero where it has none."""
        both = self.there[:, :, None] & self.there[:, None, :]
        at = np.where(self.there, self.there.cumsum(axis=1) - 1, 0)
        return np.where(both, products[np.arange(len(at))[:, None, None], at[:, :, None], at[:, None, :]], 0.0)


@lru_cache(maxsize=16)  # a scan's rounds have the same in turn
def _layout(counts: bytes, sharp: bool, base: bool) -> _Layout:
    """Each candidate is nudged along each of its modes, whose number is in `counts`, in width and in B where the round is `sharp`; and it is drawn as
    it is where `base` says so.
    """
    modes = np.frombuffer(counts, dtype=np.int64)
    slopes = modes + 2 * sharp
    first = np.concatenate([[0], np.cumsum(slopes + _END)])
    owner = np.repeat(np.arange(modes.size), slopes + base)
    number = np.arange(owner.size) - np.repeat(np.cumsum(slopes + base) - slopes - base, slopes + base)
    own = number == slopes[owner]
    place = first[owner] + number + own  # its own row is behind that of a zero shift
    beyond = np.where(own, -1, number - modes[owner])  # 0: width, 1: B
    there = np.arange(_SCAN + 1) < modes[:, None]
    there[:, _WIDTH : _B + 1], there[:, _SHIFT:] = sharp, True
    return _Layout(first, there, place, owner, number < modes[owner], beyond == 0, beyond == 1)


def _states(candidates: Candidates, fwhm: Float64Array, modes: StrainModes, layout: _Layout) -> States:
    """The states of a step of candidates as wide as `fwhm` (k,)."""
    owner = layout.owner
    strain, width, b = candidates.strain[owner], fwhm[owner], candidates.debye_waller[owner]
    strain[layout.strained] += _SLOPE * modes.changes[np.arange(6) < modes.counts[:, None]] * _USUAL
    width[layout.widened] *= np.exp(USUAL_WIDENING * _SLOPE)
    b[layout.b_changed] += USUAL_B * _SLOPE
    return States(candidates.rows[owner], strain, width, b)


def step_products(table: NDArray[np.float32], first: NDArray[np.int64]) -> Float64Array:
    """Of each candidate all scalar products (k, q, q) of its slopes, that of a zero shift, its own signal at unit length and the scan's.

    table: (rows, m), of one candidate after the other its nudged states, a row to fill in, its own signal and the scan's, which all are spent here.
    first: (k + 1,) the row where each candidate begins, and the end. Beyond a candidate's own rows all is zero.
    """
    rows = np.diff(first)
    products = np.zeros((rows.size, int(rows.max()), int(rows.max())))
    for own, begin, end in zip(products, first[:-1].tolist(), first[1:].tolist(), strict=True):
        slopes, shift, signal = table[begin : end - 3], table[end - 3], table[end - 2]
        length = max(np.sqrt(np.vecdot(signal, signal)), np.float32(1e-9))
        slopes -= signal
        slopes /= np.float32(_SLOPE) * length
        signal /= length
        shift[0], shift[-1] = signal[1] - signal[0], signal[-1] - signal[-2]
        np.subtract(signal[2:], signal[:-2], out=shift[1:-1])
        shift[1:-1] /= np.float32(2.0)
        part = table[begin:end]
        own[: end - begin, : end - begin] = part @ part.T
    return products


def _solved(products: Float64Array, size: Float64Array, cost: Float64Array, there: NDArray[np.bool_]) -> Float64Array:
    """Step (k, p) in usual changes; the zero shift is solved for as well, and left to the next search.

    products: (k, p + 3, p + 3), of the slopes along all changes and a zero shift, the candidate and the scan. size: (k, p) of the candidates' changes
    so far. cost: (p,) of each. there: (k, p + 3) which of them a candidate has.
    """
    p = cost.size
    own, cosine = products[:, : p + 1, _OWN], products[:, _OWN, _SCAN, None]  # a signal's length does not count: what of a slope lies along it is out
    normal = (products[:, : p + 1, : p + 1] - own[:, :, None] * own[:, None, :]) * np.maximum(cosine, 0.1)[:, :, None]
    slope = products[:, : p + 1, _SCAN] - cosine * own
    weight = cost * (2.0 / (1.0 + size**2))
    slope[:, :p] -= weight * size
    np.einsum("kii->ki", normal)[:, :p] += np.where(there[:, :p], weight, 0.0)  # the diagonal, a view
    return damped_steps(normal, slope, _DAMPING, _LONGEST_STEP)[:, :p]
