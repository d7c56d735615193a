"""How often the isoreticular hint is right, on simulated scans of frameworks that were taken out while a sister stayed in; and its weights.

    python benchmarks/isoreticular_hints.py --nets LIBRARY.h5 [--scans 700] [--others 350] [--seed 43] [--model mof-encoder] [--csv FILE]

LIBRARY.h5 says the nets and linkers of the model's entries, by id, where the model's own library does not. A sister has the same net and metals and
another linker. With a framework goes all that is of its family, and all that has its net and linkers, whatever the metals. For the others, structures
of any cell, all entries of their net go as well: any hint for them is wrong. Only scans that are unknown then get a hint.

Weights are fitted to the first half, where the limit is chosen; the second half is for measuring. A framework is in one half only.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.library.composition import metals_of
from xrdmatch.library.metal_exchange import LetIn
from xrdmatch.library.reference_library import Library
from xrdmatch.library.text_column import TextColumn
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.candidate_view import independent_lines
from xrdmatch.search.identify import Identifier
from xrdmatch.search.isoreticular import CONSTANT, LIKELY_NET, WEIGHTS, WeighedSisters, hint_of, weighed_sisters
from xrdmatch.search.ladder import headline
from xrdmatch.search.scaled_cells import ScalableEntries
from xrdmatch.search.scan_quality import LINES_NAMED, clear_lines, unusable
from xrdmatch.search.verdict import decide
from xrdmatch.training.effects_numpy import EASY, MIDDLE, measured_like

GRID = Grid(3.0, 50.0, 0.02)
LIMITS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
#: Weight of the squares of the weights in the fit, for features of unit variance.
RIDGE = 0.5


@dataclass(frozen=True, eq=False)
class Told:
    """One unknown: row of its structure, whether a sister stayed in, its half, its sisters and which have its net."""

    row: int
    sister: bool
    half: int
    found: WeighedSisters
    right: NDArray[np.bool_]
    seconds: float


class Trial:
    """A model whose library says nets, and what scans of it come to."""

    def __init__(self, model: str | None, nets: Path | None, seed: int) -> None:
        self.identifier = Identifier(model, "cpu")
        library = self.identifier.model.library
        self.library = with_nets(library, Library.load(nets)) if nets is not None else library
        self.net, self.linkers = (np.array(column.tolist(), dtype=str) for column in (self.library.net, self.library.linkers))
        self.metals = [metals_of(formula) for formula in self.library.formula.tolist()]
        self.entries = ScalableEntries(self.library)
        self.rng = np.random.default_rng(seed)

    def with_sisters(self, number: int) -> list[tuple[int, int]]:
        """(row, half) of frameworks that have a sister, each as often as the next."""
        known = np.isin(self.library.family, self.library.family[self.entries.rows]) & (self.net != "") & (self.linkers != "")
        groups: dict[tuple[str, tuple[str, ...]], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row in np.flatnonzero(known).tolist():
            groups[self.net[row], self.metals[row]][self.linkers[row]].append(row)
        frameworks = [rows for group in groups.values() if len(group) > 1 for rows in group.values()]
        order = np.concatenate([self.rng.permutation(len(frameworks)) for _ in range(-(-number // len(frameworks)))])[:number]
        return [(int(self.rng.choice(frameworks[place])), int(place) % 2) for place in order.tolist()]

    def others(self, number: int) -> list[tuple[int, int]]:
        """(row, half) of structures with a net."""
        rows = self.rng.choice(np.flatnonzero(self.net != ""), number, replace=False)
        return [(row, place % 2) for place, row in enumerate(rows.tolist())]

    def left(self, row: int, sister: bool) -> NDArray[np.bool_]:
        """(n,) which entries are still there."""
        gone = (self.library.family == self.library.family[row]) | ((self.net == self.net[row]) & (self.linkers == self.linkers[row]))
        return np.asarray(~gone if sister else ~gone & (self.net != self.net[row]))

    def told(self, row: int, half: int, sister: bool) -> Told | None:
        """None where the scan is not unknown."""
        counts, mask = measured_like(self.library, np.array([row]), GRID, self.rng, EASY if self.rng.random() < 0.5 else MIDDLE)
        scan = prepare_scan(Pattern(GRID.two_theta, counts[0], GRID.wavelength).within(mask[0]))
        if unusable(scan.comparison):
            return None
        allowed, clear = self.left(row, sister), clear_lines(scan.comparison)
        best = headline(self.library, self.identifier.rankings(scan, LetIn(allowed))[0])
        lines = len(clear), independent_lines(scan.comparison, clear)
        if decide(best, lines, True, None).verdict != "unknown" or len(clear) < LINES_NAMED:
            return None
        clock = time.perf_counter()
        found = weighed_sisters(scan.comparison, self.entries, allowed)
        seconds = time.perf_counter() - clock
        return Told(row, sister, half, found, found.nets == self.net[row], seconds) if found is not None else None


def with_nets(library: Library, named: Library) -> Library:
    """The library with the nets, linkers and titles of another one."""
    row_of = named.index()
    rows = [row_of.get(name) for name in library.id.tolist()]
    columns = {key: TextColumn.of("" if row is None else getattr(named, key)[row] for row in rows) for key in ("net", "linkers", "title")}
    return replace(library, **columns)


def fitted(told: Sequence[Told]) -> tuple[dict[str, float], float]:
    """Weights and constant of the conditional logit that best tells which sisters have the right net, one choice being that none has."""
    from scipy.optimize import minimize

    tables = [np.stack([one.found.features[name] for name in WEIGHTS], axis=1) for one in told]
    rows = np.concatenate(tables)
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    right = [np.append(one.right, not one.right.any()) for one in told]

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, slope = RIDGE * float((values[:-1] ** 2).sum()), np.append(2.0 * RIDGE * values[:-1], 0.0)
        for table, good in zip(tables, right, strict=True):
            scaled = (table - mean) / spread
            score = np.append(scaled @ values[:-1], values[-1])
            share = np.exp(score - np.logaddexp.reduce(score))
            known = max(float(share[good].sum()), 1e-12)
            total -= np.log(known)
            change = share - np.where(good, share / known, 0.0)
            slope[:-1] += change[:-1] @ scaled
            slope[-1] += change[-1]
        return total, slope

    best = minimize(loss, np.zeros(len(WEIGHTS) + 1), jac=True, method="L-BFGS-B").x
    weights = best[:-1] / spread
    return dict(zip(WEIGHTS, weights.tolist(), strict=True)), float(-(weights @ mean) - best[-1])


def scores(one: Told, weights: dict[str, float], constant: float) -> NDArray[np.float64]:
    """What the sisters of one scan are worth with these weights (k,)."""
    return np.asarray(constant + sum(weight * one.found.features[name] for name, weight in weights.items()))


def print_half(title: str, told: Sequence[Told], weights: dict[str, float], constant: float) -> None:
    """What each limit gives: hints, how many name the right net, and how many go to scans that have no sister."""
    kin = sum(one.sister for one in told)
    print(f"\n{title}: {kin} unknowns with a sister, {len(told) - kin} without\n| probability from | hints | right | of these | without a sister |")
    print("|---|---|---|---|---|")
    judged = []
    for one in told:
        net, chance = one.found.likeliest_net(scores(one, weights, constant))
        judged.append((chance, bool(one.right[one.found.nets == net].any()), one.sister))
    for limit in LIMITS:
        given = [(right, sister) for chance, right, sister in judged if chance >= limit]
        share = f"{100 * sum(right for right, _ in given) / len(given):.0f} %" if given else "-"
        counts = (len(given), sum(right for right, _ in given), share, sum(not sister for _, sister in given))
        print(f"| {limit:g}{' *' if limit == LIKELY_NET else ''} | {' | '.join(map(str, counts))} |")


def write(path: Path, told: Sequence[Told], trial: Trial) -> None:
    """Each unknown with the likeliest net, whatever it is worth, with the weights in force."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("id", "net", "sister", "half", "of", "of_net", "axes", "scale", "similarity", "probability"))
        for one in told:
            hint = hint_of(one.found, trial.entries, *one.found.likeliest_net(one.found.scores()))
            said = (hint.of, hint.net, hint.axes, hint.scale, hint.similarity, hint.probability)
            table.writerow((trial.library.id[one.row], trial.net[one.row], one.sister, one.half, *said))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=Path)
    parser.add_argument("--scans", type=int, default=700)
    parser.add_argument("--others", type=int, default=350)
    parser.add_argument("--seed", type=int, default=43)
    parser.add_argument("--model")
    parser.add_argument("--csv", type=Path)
    asked = parser.parse_args()
    trial = Trial(asked.model, asked.nets, asked.seed)
    rows = [(*one, True) for one in trial.with_sisters(asked.scans)] + [(*one, False) for one in trial.others(asked.others)]
    told = [found for row, half, sister in rows if (found := trial.told(row, half, sister)) is not None]
    seconds = np.median([one.seconds for one in told])
    print(f"{len(trial.entries)} entries may be hinted at; {seconds:.2f} s a scan; {len(told)} of {len(rows)} scans are unknown")
    first, second = ([one for one in told if one.half == half] for half in (0, 1))
    weights, constant = fitted(first)
    print("fitted to the first half:", {name: round(value, 3) for name, value in weights.items()}, round(constant, 3))
    print_half("First half, weights as fitted", first, weights, constant)
    print_half("Second half, weights as fitted", second, weights, constant)
    print_half("Second half, weights in force", second, WEIGHTS, CONSTANT)
    if asked.csv is not None:
        write(asked.csv, told, trial)


if __name__ == "__main__":
    main()
