"""Simulated scans with known answers, to fit and to check how sure the answers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.library.composition import Kinship
from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.fft_filter import denoise
from xrdmatch.search import second_phase
from xrdmatch.search.comparison import prepare
from xrdmatch.search.probability import Calibration, Candidate, fit, stacked
from xrdmatch.search.retrieval import SHORTEST, recall, unusable, verify
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
class Trial:
    """One simulated scan: its verified candidates, and which of them is right (their number where none is)."""

    candidates: list[Candidate]
    right: int
    left: float | None = None  # of a second phase, the share of the scan's lines it was looked for in


def trial(model: Model, row: int, hidden: bool, rng: np.random.Generator, level: Hardness) -> Trial | None:
    """A scan of entry `row` as `physics` makes it, taken through the pipeline; see `taken_through`."""
    counts, mask = measured_like(model.library, np.array([row]), SCAN_GRID, rng, level)
    seen = mask[0]
    pattern = Pattern(SCAN_GRID.two_theta[seen], counts[0][seen], SCAN_GRID.wavelength, str(model.library.id[row]))
    return taken_through(model, pattern, row, hidden)


def taken_through(model: Model, pattern: Pattern, row: int, hidden: bool) -> Trial | None:
    """What the pipeline finds in a scan of entry `row`; `hidden` takes its family and its twins out of the library. None where the scan is
    unusable or the library has nothing else.
    """
    library = model.library
    filtered = denoise(pattern)
    measured = prepare(filtered.pattern, sigma=filtered.sigma, passed=filtered.passed)
    if unusable(measured):
        return None
    family = library.family[row]
    rows, near = recall(model, model.recipe.apply(filtered.pattern, sigma=filtered.sigma, passed=filtered.passed), measured)
    if hidden:
        keep = (library.family[rows] != family) & (model.vectors[rows] @ model.vectors[row] < TWIN)
        rows, near = rows[keep], near[keep]
    if rows.size == 0:
        return None
    fits, candidates = verify(library, rows, near, measured)
    found = np.flatnonzero(library.family[fits.rows] == family)
    return Trial(candidates, int(found[0]) if found.size else len(candidates))


def taken_on(model: Model, kinship: Kinship, weights: Calibration, pattern: Pattern, rows: Sequence[int]) -> Trial | None:
    """What is found beside the first phase in a scan of one or two entries, whose `rows` are known; None where the first is neither of them, where it
    leaves too little, or where the scan is unusable.
    """
    library = model.library
    filtered = denoise(pattern)
    measured = prepare(filtered.pattern, sigma=filtered.sigma, passed=filtered.passed)
    if unusable(measured):
        return None
    found, near = recall(model, model.recipe.apply(filtered.pattern, sigma=filtered.sigma, passed=filtered.passed), measured)
    fits, candidates = verify(library, found, near, measured)
    first = fits.take(np.array([weights.probabilities(candidates)[0].argmax()]))
    families = {int(library.family[row]) for row in rows}
    own = int(library.family[first.rows[0]])
    rest = second_phase.beside(model, kinship, first, measured) if own in families else None
    if rest is None:
        return None
    right = np.flatnonzero(np.isin(library.family[rest.fits.rows], list(families - {own})))
    return Trial(rest.candidates, int(right[0]) if right.size else len(rest.candidates), rest.left)


def trials_beside(model: Model, weights: Calibration, rows: NDArray[np.int64], number: int, seed: int) -> list[Trial]:
    """`number` scans of random `rows`: a third alone, a third mixed with any other entry, a third with one of the same metal and linker."""
    rng, library, kinship = np.random.default_rng([seed, 21]), model.library, Kinship(model.library)
    done = []
    for i in range(number):
        row, level = int(rng.choice(rows)), CONDITIONS[(i // 3) % len(CONDITIONS)]
        sisters = kinship.sisters(int(library.family[row])) if i % 3 == 2 else np.arange(len(library))
        pair = [row] if i % 3 == 0 or sisters.size == 0 else [row, int(rng.choice(sisters))]
        heights = [1.0, float(rng.uniform(*RATIO))][: len(pair)]
        parts = [measured_like(library, np.array([one]), SCAN_GRID, rng, level) for one in pair]
        seen = np.logical_and.reduce([mask[0] for _, mask in parts])
        if seen.sum() * SCAN_GRID.step < SHORTEST:
            continue
        scale = float(parts[0][0][0][seen].max())
        counts = sum(
            height * values[0][seen] * (scale / max(float(values[0][seen].max()), 1e-9)) for height, (values, _) in zip(heights, parts, strict=True)
        )
        result = taken_on(model, kinship, weights, Pattern(SCAN_GRID.two_theta[seen], np.asarray(counts), SCAN_GRID.wavelength), pair)
        done += [result] if result is not None else []
    return done


def trials(model: Model, rows: NDArray[np.int64], number: int, seed: int, progress: Callable[[int], None] | None = None) -> list[Trial]:
    """`number` scans of random `rows`, a quarter under each of the conditions, every third with its family taken out of the library."""
    rng = np.random.default_rng([seed, 20])
    done = []
    size = np.argsort(np.diff(model.library.offsets)[rows], kind="stable")
    weight = np.empty(len(rows))
    weight[size] = np.where(np.arange(len(rows)) < SMALLEST * len(rows), SMALL / SMALLEST, (1.0 - SMALL) / (1.0 - SMALLEST))
    for i, row in enumerate(rng.choice(rows, number, p=weight / weight.sum())):
        result = trial(model, int(row), i % 3 == 0, rng, CONDITIONS[(i // 3) % len(CONDITIONS)])
        if result is not None:
            done.append(result)
        if progress:
            progress(1)
    return done


def calibrate(
    model: Model, rows: NDArray[np.int64], number: int, seed: int = 0, progress: Callable[[int], None] | None = None
) -> tuple[dict[str, Calibration], dict[str, float]]:
    """Weights of a first phase and of one `beside` it, fitted on two thirds of the simulated scans, and how they do on the last third: expected
    calibration error, accuracy, rejection. The keys are those of the configuration.
    """
    weights, figures = fitted(trials(model, rows, number, seed, progress))
    beside, further = fitted(trials_beside(model, weights, rows, number // 3, seed), beside=True)
    return {"calibration": weights, "calibration_beside": beside}, figures | {f"beside_{name}": value for name, value in further.items()}


def fitted(results: list[Trial], beside: bool = False) -> tuple[Calibration, dict[str, float]]:
    """Weights fitted on the first two thirds of `results`, those of second phases where `beside`, and their quality on the rest."""
    cut = 2 * len(results) // 3
    weights = weights_of(results[:cut]) if cut else Calibration.from_json(None, beside)
    return weights, quality(weights, results[cut:])


def weights_of(results: list[Trial]) -> Calibration:
    """Weights fitted on all of `results`, one or more, which are either all of first phases or all of second ones."""
    lefts = [result.left for result in results]
    features = [stacked(result.candidates, result.left) for result in results]
    return fit(features, np.array([result.right for result in results]), None if lefts[0] is None else lefts)


def quality(weights: Calibration, results: list[Trial]) -> dict[str, float]:
    """Figures of simulated scans: calibration error over ten bins of the first answer's probability, shares right first and rejected.

    A share of nothing (no scans, none of absent families) is left out.
    """
    top, right, absent, rejected = [], [], [], []
    for result in results:
        probabilities, none = weights.probabilities(result.candidates, result.left)
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
