"""Families: entries that powder XRD cannot tell apart share one, and an answer says what would decide between its members.

Two entries are alike when their noise-free patterns, as a laboratory shows them, have a cosine of SAME or more after the best zero shift and the best
small strain that the lattice allows. Of kin (one compound by name, refcode or composition), KIN is enough: there solvent and disorder make the
difference, not the framework. Each family has a leader, and every member is alike to the leader itself, so that no chain of small differences joins
what is far apart. docs/library-families.md gives the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import lattice_directions, strained
from xrdmatch.diffraction.least_squares import damped_steps
from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.peak_shapes import draw
from xrdmatch.diffraction.radiation import powder_lines, reciprocal_metric
from xrdmatch.library.common_names import stem
from xrdmatch.library.composition import composition_without_h_o, compound, metals_of
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.library.text_column import TextColumn
from xrdmatch.preprocessing.smoothing import opening
from xrdmatch.system.arrays import Float32Array

#: Cosine from which two patterns count as one: of any two entries, and of two that are chemically one.
SAME, KIN = 0.975, 0.93
#: Grid of the comparison, Cu K-alpha.
GRID = Grid(2.0, 50.0, 0.05)
#: Line width in degrees, overall Debye-Waller B in angstrom^2, detection limit relative to the strongest line, and the power that lifts weak lines.
FWHM, B, FLOOR, POWER = 0.2, 3.0, 0.003, 0.5
#: Window of the background's opening, degrees.
WINDOW = 3.0
#: Largest strain of a cell length, change of a cell angle (degrees) and zero shift (degrees).
MAX_STRAIN, MAX_ANGLE, MAX_SHIFT = 0.01, 0.6, 0.06
#: Damping of the steps that adjust a cell, see `damped_steps`.
DAMPING = 1e-2
#: Which of a strain's components are lengths.
_LENGTHS = np.array([1.0] * 3 + [0.0] * 3)
#: Isotropic strains that are tried before the rest of the cell is adjusted.
_ISOTROPIC = np.linspace(-MAX_STRAIN, MAX_STRAIN, 9)
#: Pairs are looked at when patterns blurred by about MAX_STRAIN have this cosine, and adjusted when the best isotropic strain gives that one.
_BLURRED, _WORTH = 0.90, 0.70
#: Line widths of the two rounds of adjustment, degrees.
_SCALES = (0.4, FWHM)
_BLOCK, _BATCH = 512, 4096

Rows = NDArray[np.int64]
Progress = Callable[[float], None]


def signals(library: Library, rows: Rows, cells: NDArray[np.float64] | None = None, fwhm: float = FWHM, spread: float = 0.0) -> Float32Array:
    """Unit vectors (k, GRID.size) of entries: noise-free profile above background and detection limit, to POWER.

    cells: (k, 6) in place of the library's. fwhm: degrees; `spread` (relative strain) widens it to the shift that strain gives each line.
    """
    hkl, intensity, real = library.padded_lines(rows)
    metrics = reciprocal_metric(library.cell[rows] if cells is None else cells)
    squared = np.where(real, ((hkl @ metrics) * hkl).sum(axis=2), 1.0)
    angles, areas = powder_lines(intensity, squared, B, GRID.wavelength)
    areas[angles < GRID.start - 0.5] = 0.0
    widths = np.full_like(angles, fwhm)
    if spread:
        widths = widths + np.degrees(2.0 * spread) * np.tan(np.radians(0.5 * angles))
    profiles = draw(angles, areas, widths, GRID, 0.5, classes=3 if spread else 1)
    profiles -= opening(profiles, round(WINDOW / GRID.step) | 1)
    profiles /= np.maximum(profiles.max(axis=1, keepdims=True), 1e-12)
    profiles = (profiles - np.float32(FLOOR)).clip(min=0.0) ** np.float32(POWER)
    return np.asarray(profiles / np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def similarity(library: Library, leader: int, rows: Rows) -> NDArray[np.float64]:
    """How alike each of `rows` (k,) is to `leader`, 0 to 1: the best cosine after a shift and a small strain of the row's cell."""
    best, strains = _isotropic(library, signals(library, np.array([leader])), rows)
    worth = np.flatnonzero((best >= _WORTH) & (best < SAME))
    if worth.size:
        best[worth] = np.maximum(best[worth], _adjusted(library, leader, rows[worth], strains[worth]))
    return best


def _isotropic(library: Library, target: Float32Array, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Best cosine (k,) of the rows with the target over isotropic strains, and that strain (k,)."""
    scores = np.empty((len(_ISOTROPIC), len(rows)))
    for i, strain in enumerate(_ISOTROPIC):
        scores[i] = signals(library, rows, strained(library.cell[rows], strain * _LENGTHS)) @ target[0]
    best = scores.argmax(axis=0)
    return scores[best, np.arange(len(rows))], _ISOTROPIC[best]


def _directions(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ways (p, 6) a cell may change within its lattice: relative for lengths, degrees for angles; each of a size that moves lines alike."""
    return np.asarray(lattice_directions(cell) * np.array([1.0] * 3 + [100.0 * MAX_ANGLE] * 3))


def _adjusted(library: Library, leader: int, rows: Rows, strains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Best cosine (k,) after Gauss-Newton steps on each row's free cell parameters and the zero shift, on blurred patterns, then on sharp ones."""
    best = np.zeros(len(rows))
    ways = [_directions(library.cell[row]) for row in rows]
    change = [np.where(way[:, :3].any(axis=1), strain, 0.0) for way, strain in zip(ways, strains, strict=True)]
    shift = np.zeros(len(rows))
    for fwhm in (*_SCALES, FWHM):
        target = signals(library, np.array([leader]), fwhm=fwhm)[0]
        values, slopes = _with_slopes(library, rows, ways, change, fwhm)
        for i in range(len(rows)):
            moved = _shifted(values[i], shift[i])
            if fwhm == FWHM:
                best[i] = max(best[i], float(moved @ target))
            if fwhm == FWHM and best[i] >= SAME:
                continue
            basis = np.stack([*(_shifted(slope, shift[i]) for slope in slopes[i]), np.gradient(moved) / GRID.step * MAX_SHIFT])
            residual = target - moved * float(moved @ target)
            step = damped_steps((basis @ basis.T).astype(float), (basis @ residual).astype(float), DAMPING / len(basis), 1.0)
            change[i] = np.clip(change[i] + MAX_STRAIN * step[:-1], -MAX_STRAIN, MAX_STRAIN)
            shift[i] = float(np.clip(shift[i] - MAX_SHIFT * step[-1], -MAX_SHIFT, MAX_SHIFT))
    last = signals(library, rows, _changed(library, rows, ways, change))
    target = signals(library, np.array([leader]))[0]
    return np.array([max(best[i], float(_shifted(last[i], shift[i]) @ target)) for i in range(len(rows))])


def _shifted(values: Float32Array, shift: float) -> Float32Array:
    """A pattern (m,) moved by `shift` degrees."""
    if shift == 0.0:
        return values
    places = np.arange(values.size) - shift / GRID.step
    return np.asarray(np.interp(places, np.arange(values.size), values), dtype=np.float32)


def _changed(library: Library, rows: Rows, ways: list[NDArray[np.float64]], change: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Cells (k, 6) of the rows, changed along their ways."""
    return strained(library.cell[rows], np.stack([amount @ way for way, amount in zip(ways, change, strict=True)]))


def _with_slopes(
    library: Library, rows: Rows, ways: list[NDArray[np.float64]], change: list[NDArray[np.float64]], fwhm: float
) -> tuple[Float32Array, list[Float32Array]]:
    """Patterns (k, m) at the present change of cell, and for each their slopes (p, m) a MAX_STRAIN along each way, by central differences."""
    owner = np.repeat(np.arange(len(rows)), [len(way) for way in ways])
    way = np.concatenate(ways)
    base = _changed(library, rows, ways, change)
    half = 0.125 * MAX_STRAIN
    cells = [strained(base[owner], sign * half * way) for sign in (1.0, -1.0)]
    drawn = signals(library, np.concatenate([rows, rows[owner], rows[owner]]), np.concatenate([base, *cells]), fwhm)
    n, p = len(rows), len(owner)
    slopes = (drawn[n : n + p] - drawn[n + p :]) * np.float32(0.5 * MAX_STRAIN / half)
    return drawn[:n], [slopes[owner == i] for i in range(n)]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Candidate pairs in both directions, sorted by `first`: rows first, second (p,), cosine (p,) after the best isotropic strain; start (n + 1,)."""

    first: Rows
    second: Rows
    cosine: Float32Array
    start: Rows

    def of(self, row: int) -> slice:
        return slice(int(self.start[row]), int(self.start[row + 1]))


def _all_signals(library: Library, fwhm: float, spread: float, strain: float = 0.0) -> Float32Array:
    parts = np.array_split(np.arange(len(library)), max(1, len(library) // 128))
    return np.concatenate([signals(library, part, strained(library.cell[part], strain * _LENGTHS), fwhm, spread) for part in parts])


def _pairs(library: Library, progress: Progress) -> _Pairs:
    """Pairs whose blurred patterns agree, with their cosine at the best isotropic strain of either."""
    n = len(library)
    blurred = _all_signals(library, 1.5 * FWHM, MAX_STRAIN)[:, ::2].copy()
    blurred /= np.maximum(np.linalg.norm(blurred, axis=1, keepdims=True), 1e-9)
    found = []
    for start in range(0, n, _BLOCK):
        close = np.argwhere(blurred[start : start + _BLOCK] @ blurred[start:].T >= _BLURRED)
        found.append(close[close[:, 0] < close[:, 1]] + start)
    progress(0.2)
    low, high = np.concatenate(found).T
    cosine = np.zeros(low.size, dtype=np.float32)
    plain = _all_signals(library, FWHM, 0.0)
    for i, strain in enumerate(_ISOTROPIC):
        moved = plain if strain == 0.0 else _all_signals(library, FWHM, 0.0, float(strain))
        for begin in range(0, low.size, _BATCH):
            part = slice(begin, begin + _BATCH)
            cosine[part] = np.maximum(cosine[part], np.einsum("pm,pm->p", moved[low[part]], plain[high[part]]))
        progress(0.2 + 0.39 * (i + 1) / len(_ISOTROPIC))
    keep = cosine >= _WORTH
    first, second = np.concatenate([low[keep], high[keep]]), np.concatenate([high[keep], low[keep]])
    both = np.concatenate([cosine[keep], cosine[keep]])
    order = np.lexsort((second, first))
    return _Pairs(first[order], second[order], both[order], np.searchsorted(first[order], np.arange(n + 1)))


def assign_families(library: Library, progress: Progress | None = None) -> Library:
    """The library with its entries grouped into families and the families named. `progress` gets the share done, 0 to 1."""
    report = progress or (lambda share: None)
    if len(library) == 0:
        return replace(library, family=np.empty(0, np.int32), family_name=TextColumn.of([]))
    leader_of = _leaders(library, _pairs(library, report), report)
    leaders, family = np.unique(leader_of, return_inverse=True)
    names = _family_names(library, leaders, family)
    report(1.0)
    return replace(library, family=family.astype(np.int32), family_name=TextColumn.of(names))


def _kinship(library: Library) -> Callable[[Rows, Rows], NDArray[np.bool_]]:
    """Whether rows (p,) are kin: one compound by refcode, one name, or one composition where no two names speak against it."""
    ids, formulas, names = library.id.tolist(), library.formula.tolist(), library.name.tolist()
    texts = ([compound(name) for name in ids], [composition_without_h_o(formula) for formula in formulas], names)
    code, make, name = (np.unique(np.array(text, dtype=str), return_inverse=True)[1] for text in texts)
    named = library.name != ""

    def kin(one: Rows, other: Rows) -> NDArray[np.bool_]:
        both = named[one] & named[other]
        return np.asarray((code[one] == code[other]) | np.where(both, name[one] == name[other], make[one] == make[other]))

    return kin


def _leaders(library: Library, pairs: _Pairs, progress: Progress) -> Rows:
    """The leader's row of each entry (n,): who has most alikes leads first and takes those closer to it than to an earlier leader."""
    n = len(library)
    need = np.where(_kinship(library)(pairs.first, pairs.second), KIN, SAME)
    alike = np.bincount(pairs.first[pairs.cosine >= need], minlength=n)
    named = np.array([bool(name) for name in library.name.tolist()])
    leader_of, closeness = np.full(n, -1, dtype=np.int64), np.zeros(n)
    for done, row in enumerate(np.lexsort((np.arange(n), ~named, -alike)).tolist()):
        if leader_of[row] >= 0:
            continue
        leader_of[row], closeness[row] = row, 2.0
        near = pairs.of(row)
        others, cosine, enough = pairs.second[near], pairs.cosine[near].astype(float), need[near]
        unclear = np.flatnonzero((cosine < enough) & (leader_of[others] < 0))
        if unclear.size:
            _, start = _isotropic(library, signals(library, np.array([row])), others[unclear])
            cosine[unclear] = np.maximum(cosine[unclear], _adjusted(library, row, others[unclear], start))
        better = (cosine >= enough) & (cosine > closeness[others])
        leader_of[others[better]], closeness[others[better]] = row, cosine[better]
        if done % 500 == 0:
            progress(0.6 + 0.39 * done / n)
    return leader_of


def _family_names(library: Library, leaders: Rows, family: NDArray[np.int64]) -> list[str]:
    """Unique names (f,): the common names of the members, three at most; else the leader's refcode."""
    order = np.argsort(family, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(family, minlength=len(leaders)))[:-1])
    names: list[str] = []
    seen: set[str] = set()
    for leader, rows in zip(leaders.tolist(), members, strict=True):
        names.append(_free_name(library, leader, rows, seen))
        seen.add(names[-1])
    return names


def _free_name(library: Library, leader: int, rows: Rows, taken: set[str]) -> str:
    """The name of a family, with its leader's refcode or id where another family is called so."""
    base = stem(str(library.id[leader]))
    name = _joined(library, rows) or base
    candidates = (name, f"{name} [{base}]", f"{name} [{library.id[leader]}]")
    return next((candidate for candidate in candidates if candidate not in taken), candidates[-1])


def with_family_names(library: Library, families: Rows) -> Library:
    """The library with these families named anew, after what their members are called now; the first member counts as the leader."""
    names, renamed = library.family_name.tolist(), set(families.tolist())
    taken = {name for family, name in enumerate(names) if family not in renamed}
    for family in sorted(renamed):
        rows = library.members(family)
        names[family] = _free_name(library, int(rows[0]), rows, taken)
        taken.add(names[family])
    return replace(library, family_name=TextColumn.of(names))


def _joined(library: Library, rows: Rows) -> str:
    """The most frequent name, then those of other metals (ZIF-8 / ZIF-67), then the rest; empty where no member has one."""
    metals: dict[str, set[tuple[str, ...]]] = {}
    number: dict[str, int] = {}
    for row in rows.tolist():
        name = str(library.name[row])
        if name:
            metals.setdefault(name, set()).add(metals_of(str(library.formula[row])))
            number[name] = number.get(name, 0) + 1
    if not number:
        return ""
    first = min(number, key=lambda name: (-number[name], len(name), name))
    rest = sorted(set(number) - {first}, key=lambda name: (bool(metals[name] & metals[first]), -number[name], len(name), name))
    return " / ".join([first, *rest[:2]]) + (f" +{len(rest) - 2}" if len(rest) > 2 else "")


def leaders_of(library: Library) -> Rows:
    """First member's row (f,) of each family: enough to ask which families a pattern may belong to."""
    return np.unique(library.family, return_index=True)[1].astype(np.int64)


@lru_cache(maxsize=1)
def _blurred_firsts(library: Library) -> tuple[Rows, Float32Array]:
    firsts = leaders_of(library)
    parts = np.array_split(firsts, max(1, firsts.size // 128))
    return firsts, np.concatenate([signals(library, part, None, 1.5 * FWHM, MAX_STRAIN) for part in parts])


def place_new(library: Library, entry: Entry, rows: Rows | None = None) -> int | None:
    """The family of `library` whose closest member `entry` cannot be told from, or None where its pattern is new.

    rows: entries to compare with, for example an encoder's nearest hundreds; without them, one of each family is looked at first (some seconds for
    ten thousand families, once a library).
    """
    if len(library) == 0:
        return None
    new = Library.from_entries([entry])
    if rows is None:
        firsts, blurred = _blurred_firsts(library)
        close = blurred @ signals(new, np.array([0]), None, 1.5 * FWHM, MAX_STRAIN)[0] >= _BLURRED - 0.03
        rows = np.flatnonzero(np.isin(library.family, library.family[firsts[close]]))
    if rows.size == 0:
        return None
    old = library.subset(rows)
    both = new.joined(replace(old, id=TextColumn.of(f"{name} {i}" for i, name in enumerate(old.id))))
    score = similarity(both, 0, np.arange(1, rows.size + 1))
    kin = _kinship(replace(both, id=TextColumn.of([entry.id, *old.id])))(np.zeros(rows.size, dtype=int), np.arange(1, rows.size + 1))
    score[score < np.where(kin, KIN, SAME)] = 0.0
    return int(library.family[rows[score.argmax()]]) if score.max() > 0 else None


def relatives(library: Library, rows: Sequence[int], among: Sequence[int], at_least: float = 0.90) -> list[int | None]:
    """For each of `rows` the most alike row of `among`, where it is alike enough; None elsewhere."""
    found: list[int | None] = []
    pool = np.asarray(among, dtype=np.int64)
    for row in rows:
        score = similarity(library, int(row), pool)
        found.append(int(pool[score.argmax()]) if score.max() >= at_least else None)
    return found
