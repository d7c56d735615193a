"""A scan and one candidate side by side, as the re-ranking network sees them: two aligned signals, and numbers that no drawing shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import ANGLE, strained
from xrdmatch.diffraction.radiation import d_spacing, two_theta
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import COMPARISON, ComparisonSignal
from xrdmatch.preprocessing.smoothing import continued
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.line_evidence import strong_lines
from xrdmatch.search.scan_quality import clear_lines
from xrdmatch.system.arrays import Float64Array

#: Relative difference of cell lengths, and degrees of free angles, within which another cell of one lattice could have been fitted as well.
NEAR_CELL, NEAR_ANGLE = 0.012, 1.2
#: Tallest a candidate's signal may be drawn, in units of the scan's strongest line.
TALLEST = 4.0
#: Orders of one spacing that are looked for, and which order a line may be.
MOST_ORDERS, FIRST_ORDERS = 12, 4
#: Lines, the strongest first, whose spacings are compared.
N_COMPARED = 24

#: What no drawing shows: names of the numbers beside a candidate's signal.
NUMBERS = (
    "log_width_ratio",
    "log_fwhm",
    "log_detection_limit",
    "strain_penalty",
    "largest_strain",
    "largest_angle",
    "shift",
    "debye_waller",
    "free_parameters",
    "log_near_families",
    "log_lines",
    "log_independent_lines",
    "log_field",
    "log_scale",
    "line_density",
    "span",
    "similarity",
    "plain_similarity",
    "position_similarity",
    "position_weight",
    "explained",
    "missing_share",
    "extra_share",
)


#: Points of a signal, every second one of the comparison's grid; and channels of the network's input: scan, candidate, mask, and the numbers in the
#: first places of a row of zeros.
POINTS, CHANNELS = COMPARISON.grid.size // 2 + 1, 4


@dataclass(frozen=True, eq=False)
class Lattices:
    """The lattices of a library's entries, to count those that are nearly alike.

    kind: (n,) equal numbers where the same changes are free. free: (n,) how many. cell: (n, 6). family: (n,).
    """

    kind: NDArray[np.int64]
    free: NDArray[np.int64]
    cell: NDArray[np.float64]
    family: NDArray[np.int32]

    @classmethod
    def of(cls, library: Library) -> Lattices:
        """As `lattice.tied_axes` reads them off the cells, for all entries at once."""
        a, b, c = library.cell[:, :3].T
        angles = library.cell[:, 3:]
        ab, ac, bc = (np.abs(two - one) < 1e-3 * one for one, two in ((a, b), (a, c), (b, c)))
        special = np.abs(angles[:, :, None] - np.array([60.0, 90.0, 109.471, 120.0])) < ANGLE
        fixed = special.any(axis=2)
        which = np.where(fixed, special.argmax(axis=2) + 1, 0)
        kind = ab + 2 * ac + 4 * bc + 8 * (which @ np.array([1, 5, 25]))
        lengths = 3 - (ab.astype(int) + (ac | bc).astype(int))
        return cls(kind.astype(np.int64), lengths + (~fixed).sum(axis=1), library.cell, library.family)

    @cached_property
    def _by_length(self) -> dict[int, tuple[NDArray[np.int64], Float64Array]]:
        """Rows of each kind of lattice by rising a, and their a."""
        order = np.lexsort((self.cell[:, 0], self.kind))
        starts = np.flatnonzero(np.diff(self.kind[order], prepend=-1))
        parts = np.split(order, starts[1:])
        return {int(self.kind[rows[0]]): (rows, self.cell[rows, 0]) for rows in parts if rows.size}

    def beside(self, others: Lattices) -> Lattices:
        """These, then the others, whose families are none of these."""
        family = np.concatenate([self.family, others.family + self.family.max(initial=-1) + 1])
        kind, free, cell = (np.concatenate([getattr(self, name), getattr(others, name)]) for name in ("kind", "free", "cell"))
        return Lattices(kind, free, cell, family.astype(np.int32))

    def near(self, row: int, cell: NDArray[np.float64], allowed: NDArray[np.bool_] | None = None) -> int:
        """How many other families have an entry of row's kind of lattice whose cell is near `cell` (6,)."""
        rows, lengths = self._by_length[int(self.kind[row])]
        first, last = np.searchsorted(lengths, cell[0] * np.array([1.0 - NEAR_CELL, 1.0 + NEAR_CELL]))
        near = rows[first:last]
        if allowed is not None:
            near = near[allowed[near]]
        near = near[(np.abs(self.cell[near, 1:3] / cell[1:3] - 1.0) < NEAR_CELL).all(axis=1)]
        near = near[(np.abs(self.cell[near, 3:] - cell[3:]) < NEAR_ANGLE).all(axis=1)]
        return len(set(self.family[near].tolist()) - {int(self.family[row])})


@lru_cache(maxsize=2)  # a library is asked for each of its scans
def lattices_of(library: Library) -> Lattices:
    """The same, found out once."""
    return Lattices.of(library)


@dataclass(frozen=True, eq=False)
class View:
    """What the network sees of k candidates.

    scan: (m,) root of the scan's lines, highest 1, every second point of the comparison's grid. mask: (m,) measured range. candidates: (k, m) root of
    each candidate's profile at its place in the scan, on the scan's scale by least squares. numbers: (k, len(NUMBERS)).
    """

    scan: NDArray[np.float32]
    mask: NDArray[np.bool_]
    candidates: NDArray[np.float32]
    numbers: NDArray[np.float32]

    def inputs(self) -> NDArray[np.float32]:
        """The network's input (k, CHANNELS, POINTS)."""
        k, points = self.candidates.shape
        inputs = np.zeros((k, CHANNELS, points), dtype=np.float32)
        inputs[:, 0], inputs[:, 1], inputs[:, 2] = self.scan, self.candidates, self.mask
        inputs[:, 3, : len(NUMBERS)] = self.numbers
        return inputs


@dataclass(frozen=True, eq=False)
class Field:
    """What candidates are chosen from. allowed: (n,) entries that may be named, None for all."""

    lattices: Lattices
    allowed: NDArray[np.bool_] | None = None

    @cached_property
    def families(self) -> int:
        family = self.lattices.family if self.allowed is None else self.lattices.family[self.allowed]
        return int(np.count_nonzero(np.bincount(family)))  # unique would import NumPy's masked arrays, which takes long


def view(library: Library, candidates: Candidates, scan: ComparisonSignal, signals: NDArray[np.float32], field: Field) -> View:
    """What the network sees of candidates with these signals (k, m), drawn as they were refined."""
    plain = scan.coarse
    root = np.sqrt(plain.lines / max(float(plain.lines.max(initial=0.0)), 1e-30)).astype(np.float32)
    drawn = _in_place(signals, candidates.shift, scan)
    square = np.maximum(np.vecdot(drawn, drawn), 1e-12)
    scale = np.minimum(drawn @ root / square, TALLEST / np.maximum(drawn.max(axis=1), 1e-9))
    return View(root, plain.mask, drawn * scale[:, None], _numbers(library, candidates, scan, drawn, scale, field))


def _in_place(signals: NDArray[np.float32], shift: Float64Array, scan: ComparisonSignal) -> NDArray[np.float32]:
    """Signals (k, m) moved by each candidate's shift, on every second point, as the scan's lines are brought there."""
    moved = np.zeros_like(signals)
    for row, signal, points in zip(moved, signals, np.rint(shift / scan.grid.step).astype(int).tolist(), strict=True):
        if points >= 0:
            row[points:] = signal[: signal.size - points]
        else:
            row[:points] = signal[-points:]
    lines = moved ** np.float32(1.0 / scan.recipe.power) * scan.mask
    ends = np.stack([continued(line, 1) for line in lines]) if len(lines) else np.empty((0, signals.shape[1] + 2), np.float32)
    return np.asarray(np.sqrt((0.25 * ends[:, :-2] + 0.5 * lines + 0.25 * ends[:, 2:])[:, ::2]), dtype=np.float32)


def _numbers(
    library: Library, candidates: Candidates, scan: ComparisonSignal, drawn: NDArray[np.float32], scale: NDArray[np.float32], field: Field
) -> NDArray[np.float32]:
    """The numbers (k, len(NUMBERS)) beside candidates drawn as `drawn` (k, m), to be scaled by `scale` (k,)."""
    k, seen = len(candidates), candidates.features()
    lines = clear_lines(scan)
    cells = strained(library.cell[candidates.rows], candidates.strain)
    near = [field.lattices.near(row, cell, field.allowed) for row, cell in zip(candidates.rows.tolist(), cells, strict=True)]
    of_scan = {
        "log_fwhm": np.log(scan.fwhm),
        "log_detection_limit": np.log(max(scan.detection_limit, 1e-5)),
        "log_lines": np.log(1.0 + len(lines)),
        "log_independent_lines": np.log(1.0 + independent_lines(scan, lines)),
        "log_field": np.log(max(field.families, 1)),
        "span": float(scan.mask.sum()) * scan.grid.step / 48.0,
    }
    own = {
        "log_width_ratio": np.log(candidates.fwhm / scan.fwhm),
        "strain_penalty": candidates.strain_penalty,
        "largest_strain": 100.0 * np.abs(candidates.strain[:, :3]).max(axis=1),
        "largest_angle": np.abs(candidates.strain[:, 3:]).max(axis=1),
        "shift": 10.0 * candidates.shift,
        "debye_waller": candidates.debye_waller / 5.0,
        "free_parameters": field.lattices.free[candidates.rows].astype(float),
        "log_near_families": np.log1p(near),
        "log_scale": np.log(np.maximum(scale * drawn.max(axis=1), 1e-3)),
        "line_density": (drawn > 0.1 * drawn.max(axis=1, keepdims=True)).mean(axis=1),
    }
    known = {name: seen[name] for name in NUMBERS if name in seen}
    whole = known | own | {name: np.full(k, value) for name, value in of_scan.items()}
    return np.stack([whole[name] for name in NUMBERS], axis=1).astype(np.float32)


def independent_lines(scan: ComparisonSignal, lines: Sequence[float]) -> int:
    """How many of the clear lines at these angles are no orders of one spacing; all orders of one count as one."""
    heights = dict(strong_lines(scan, 0.0))
    angles = np.array(sorted(lines, key=lambda angle: -heights.get(angle, 0.0))[:N_COMPARED])
    if angles.size < 2:
        return len(lines)
    spacing, best = d_spacing(angles, scan.grid.wavelength), 1
    for d in spacing[:6]:
        for order in range(1, FIRST_ORDERS + 1):
            places = two_theta(d * order / np.arange(1, MOST_ORDERS + 1), scan.grid.wavelength)
            places = places[np.isfinite(places)]
            away = np.abs(angles[:, None] - places[None]).min(axis=1)
            best = max(best, int((away < max(0.08, 0.5 * scan.fwhm)).sum()))
    return len(lines) - best + 1
