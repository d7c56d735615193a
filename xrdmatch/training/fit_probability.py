"""Simulated scans with known answers, to fit and to check how sure the answers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.library.composition import SameMetalAndLinker
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.pipeline import rank
from xrdmatch.search.probability import Calibration, fit
from xrdmatch.search.retrieval import RankOptions
from xrdmatch.search.scan_quality import SHORTEST, unusable
from xrdmatch.search.second_phase import find_second_phase
from xrdmatch.training.effects_numpy import LEVELS, MIDDLE, Hardness, measured_like

#: What the scans went through: the three levels, and pores so full of guests that intensities say little, which training does not cover.
CONDITIONS = (*LEVELS.values(), replace(MIDDLE, guest=1.2, scatter=0.4, breathing=0.3, texture=0.6, smear=0.5))
#: Cosine of library vectors from which an entry of another family is mostly isostructural with the one taken out: naming it would not be wrong.
TWIN = 0.6
#: Share of scans that are of the entries with fewest lines, and what share of the entries those are: other crystals are like them.
SMALL, SMALLEST = 0.4, 0.2
#: Heights of a second phase's strongest line, the first one's being 1.
RATIO = (0.15, 1.0)
#: Simulated scans are as fine as a laboratory's.
SCAN_GRID = Grid(2.0, 50.0, 0.02)


@dataclass(frozen=True)
class TrialPlan:
    """Simulated scans to calibrate on: how many, their seed, what they went through by turns, and the cosine from which an entry is a twin."""

    number: int
    seed: int = 0
    conditions: Sequence[Hardness] = CONDITIONS
    twin: float = TWIN


@dataclass(frozen=True, eq=False)
class Trial:
    """One simulated scan: its ranked candidates, and which of them is right (their number where none is)."""

    candidates: Candidates
    right: int
    unexplained: float | None = None  # of a second phase, the share of the scan's lines it was looked for in


def trial(model: Model, row: int, hidden: bool, rng: np.random.Generator, level: Hardness, twin: float = TWIN) -> Trial | None:
    """A scan of entry `row` as `effects_numpy` makes it, taken through the pipeline; see `taken_through`."""
    counts, mask = measured_like(model.library, np.array([row]), SCAN_GRID, rng, level)
    seen = mask[0]
    pattern = Pattern(SCAN_GRID.two_theta[seen], counts[0][seen], SCAN_GRID.wavelength, str(model.library.id[row]))
    return taken_through(model, pattern, row, hidden, twin)


def taken_through(model: Model, pattern: Pattern, row: int, hidden: bool, twin: float = TWIN) -> Trial | None:
    """What the pipeline finds in a scan of entry `row`; `hidden` takes its family and its twins out of the library. None where the scan is
    unusable or the library has nothing else.
    """
    library = model.library
    scan = prepare_scan(pattern)
    if unusable(scan.comparison):
        return None
    family = library.family[row]
    allowed = (library.family != family) & (model.vectors @ model.vectors[row] < twin) if hidden else None
    candidates = rank(scan, model, RankOptions(allowed=allowed))
    if len(candidates) == 0:
        return None
    found = np.flatnonzero(library.family[candidates.rows] == family)
    return Trial(candidates, int(found[0]) if found.size else len(candidates))


def second_phase_trial(model: Model, relatives: SameMetalAndLinker, weights: Calibration, pattern: Pattern, rows: Sequence[int]) -> Trial | None:
    """What is found beside the first phase in a scan of one or two entries, whose `rows` are known; None where the first is neither of them, where it
    leaves too little, or where the scan is unusable.
    """
    library = model.library
    scan = prepare_scan(pattern)
    if unusable(scan.comparison):
        return None
    candidates = rank(scan, model)
    first = candidates.take([int(weights.probabilities(candidates)[0].argmax())])
    families = {int(library.family[row]) for row in rows}
    own = int(library.family[first.rows[0]])
    found = find_second_phase(scan, first, model, relatives) if own in families else None
    if found is None:
        return None
    right = np.flatnonzero(np.isin(library.family[found.candidates.rows], list(families - {own})))
    return Trial(found.candidates, int(right[0]) if right.size else len(found.candidates), found.unexplained)


def second_phase_trials(model: Model, weights: Calibration, rows: NDArray[np.int64], plan: TrialPlan) -> list[Trial]:
    """Scans of random `rows`: a third alone, a third mixed with any other entry, a third with one of the same metal and linker.

    weights: of the first phase. Those of which nothing can be learned are left out.
    """
    rng, library, relatives = np.random.default_rng([plan.seed, 21]), model.library, SameMetalAndLinker(model.library)
    done = []
    for i in range(plan.number):
        row, level = int(rng.choice(rows)), plan.conditions[(i // 3) % len(plan.conditions)]
        partners = relatives.rows(int(library.family[row])) if i % 3 == 2 else np.arange(len(library))
        pair = [row] if i % 3 == 0 or partners.size == 0 else [row, int(rng.choice(partners))]
        pattern = _mixture(library, pair, rng, level)
        result = second_phase_trial(model, relatives, weights, pattern, pair) if pattern is not None else None
        done += [result] if result is not None else []
    return done


def _mixture(library: Library, rows: Sequence[int], rng: np.random.Generator, level: Hardness) -> Pattern | None:
    """One scan of one or two entries; None where their ranges have too little in common."""
    heights = [1.0, float(rng.uniform(*RATIO))][: len(rows)]
    parts = [measured_like(library, np.array([row]), SCAN_GRID, rng, level) for row in rows]
    seen = np.logical_and.reduce([mask[0] for _, mask in parts])
    if seen.sum() * SCAN_GRID.step < SHORTEST:
        return None
    scale = float(parts[0][0][0][seen].max())
    counts = sum(
        height * values[0][seen] * (scale / max(float(values[0][seen].max()), 1e-9)) for height, (values, _) in zip(heights, parts, strict=True)
    )
    return Pattern(SCAN_GRID.two_theta[seen], np.asarray(counts), SCAN_GRID.wavelength)


def trials(model: Model, rows: NDArray[np.int64], plan: TrialPlan, progress: Callable[[int], None] | None = None) -> list[Trial]:
    """Scans of random `rows`, as many under each of the conditions, every third with its family taken out of the library."""
    rng = np.random.default_rng([plan.seed, 20])
    done = []
    size = np.argsort(np.diff(model.library.offsets)[rows], kind="stable")
    weight = np.empty(len(rows))
    weight[size] = np.where(np.arange(len(rows)) < SMALLEST * len(rows), SMALL / SMALLEST, (1.0 - SMALL) / (1.0 - SMALLEST))
    for i, row in enumerate(rng.choice(rows, plan.number, p=weight / weight.sum())):
        level = plan.conditions[(i // 3) % len(plan.conditions)]
        result = trial(model, int(row), i % 3 == 0, rng, level, plan.twin)
        if result is not None:
            done.append(result)
        if progress:
            progress(1)
    return done


def calibrate(
    model: Model, rows: NDArray[np.int64], plan: TrialPlan, progress: Callable[[int], None] | None = None
) -> tuple[dict[str, Calibration], dict[str, float]]:
    """Weights of a first phase and of a second one, fitted on two thirds of the simulated scans, and how they do on the last third: expected
    calibration error, accuracy, rejection. The keys are those of the configuration. For second phases a third as many scans are made.
    """
    weights, figures = fitted(trials(model, rows, plan, progress))
    second, further = fitted(second_phase_trials(model, weights, rows, replace(plan, number=plan.number // 3)), second_phase=True)
    return {"calibration": weights, "calibration_second_phase": second}, figures | {f"second_phase_{name}": value for name, value in further.items()}


def fitted(results: list[Trial], second_phase: bool = False) -> tuple[Calibration, dict[str, float]]:
    """Weights fitted on the first two thirds of `results`, and their quality on the rest."""
    cut = 2 * len(results) // 3
    weights = weights_of(results[:cut]) if cut else Calibration.default(second_phase)
    return weights, quality(weights, results[cut:])


def weights_of(results: list[Trial]) -> Calibration:
    """Weights fitted on all of `results`, one or more, which are either all of first phases or all of second ones. Where a re-ranker has looked at
    first phases, what it says counts.
    """
    unexplained = [result.unexplained for result in results]
    right = np.array([result.right for result in results])
    looked_at = unexplained[0] is None and any(result.candidates.reranked.any() for result in results)
    cases = [result.candidates.features() for result in results]
    return fit(cases, right, None if unexplained[0] is None else unexplained, looked_at)


def quality(weights: Calibration, results: list[Trial]) -> dict[str, float]:
    """Figures of simulated scans: calibration error over ten bins of the first answer's probability, shares right first and rejected.

    A share of nothing (no scans, none of absent families) is left out.
    """
    top, right, absent, rejected = [], [], [], []
    for result in results:
        probabilities, none = weights.probabilities(result.candidates, result.unexplained)
        best = int(probabilities.argmax())
        top.append(probabilities[best])
        right.append(best == result.right)
        absent.append(result.right == len(result.candidates))
        rejected.append(none > probabilities[best])
    confidence, correct, gone, refused = np.array(top), np.array(right, dtype=bool), np.array(absent, dtype=bool), np.array(rejected, dtype=bool)
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(confidence[bins == k].mean() - correct[bins == k].mean()) * (bins == k).mean() for k in range(10) if (bins == k).any()]
    figures = {"calibration_error": float(sum(gaps))} if gaps else {}
    shares = {
        "simulated_top1": correct[~gone],
        "simulated_absent_rejected": refused[gone],
        "simulated_present_rejected": refused[~gone],
    }
    figures |= {name: float(cases.mean()) for name, cases in shares.items() if cases.size}
    return {**{name: round(value, 4) for name, value in figures.items()}, "simulated_scans": float(len(results))}
