"""How well crystallite sizes and crystallinities are told: simulated scans of known size and of a known halo, the answer known to be right.

    python scripts/sample_figures.py [--scans 100] [--seed 31] [--model mof-encoder]

Prints the tables of docs/method.md. Structures are drawn at random from the families of the model's library.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.errors import LibraryError
from xrdmatch.library.entry_pattern import entry_pattern
from xrdmatch.library.families import leaders_of
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import LIBRARY, find_model
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.cell_refinement import polish_cells
from xrdmatch.search.indexed_lines import indexed_lines
from xrdmatch.search.pipeline import compare_and_refine
from xrdmatch.search.sample import INSTRUMENT_WIDTH, Sample, sample_figures
from xrdmatch.search.scan_quality import unusable
from xrdmatch.training.effects_numpy import EASY, MIDDLE, Hardness, measured_like

SIZES = (15.0, 30.0, 60.0, 100.0, 300.0)
SHARES = (1.0, 0.7, 0.4)
GRID = Grid(3.0, 50.0, 0.02)


def told(library: Library, row: int, pattern: Pattern, named: bool) -> Sample | None:
    """The figures of a scan of entry `row`, whose lines are known where it was `named`; None where it is unusable."""
    scan = prepare_scan(pattern)
    if unusable(scan.comparison):
        return None
    if not named:
        return sample_figures(scan)
    found = compare_and_refine(Candidates.of(np.array([row]), np.zeros(1), scan.comparison.fwhm), library, scan.comparison)
    return sample_figures(scan, indexed_lines(library, polish_cells(library, found, scan.comparison), 0, scan.measured))


def counted(library: Library, row: int, level: Hardness, rng: np.random.Generator) -> Pattern:
    """A scan of an entry as a laboratory records it."""
    counts, mask = measured_like(library, np.array([row]), GRID, rng, level)
    return Pattern(GRID.two_theta, counts[0], GRID.wavelength).within(mask[0])


def with_halo(library: Library, row: int, share: float, rng: np.random.Generator) -> Pattern:
    """A scan of which `share` of what lines and a halo scatter is of the lines, on the flat and falling background of a diffractometer."""
    lines = entry_pattern(library, row, GRID, fwhm=rng.uniform(0.1, 0.3))
    area = 100.0 * lines.intensity
    hump = np.exp(-0.5 * ((GRID.two_theta - rng.uniform(15.0, 28.0)) / rng.uniform(2.5, 5.0)) ** 2)
    falling = rng.uniform(100.0, 500.0) + rng.uniform(0.0, 5000.0) * np.exp(-(GRID.two_theta - GRID.start) / rng.uniform(1.0, 6.0))
    return lines.with_intensity(rng.poisson(area + hump * (area.sum() * (1.0 / share - 1.0) / hump.sum()) + falling).astype(float))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=100)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--model")
    asked = parser.parse_args()
    library, rng = Library.load(find_model(asked.model) / LIBRARY), np.random.default_rng(asked.seed)
    rows = rng.choice(leaders_of(library), asked.scans, replace=False).tolist()
    print("| size / nm | level | named | told | median of told / true | within 25 % |\n|---|---|---|---|---|---|")
    for size in SIZES:
        for name, level in (("easy", EASY), ("middle", MIDDLE)):
            known = replace(level, size=(size, size), instrument=(INSTRUMENT_WIDTH, INSTRUMENT_WIDTH), doublet=0.8)
            scans = [(row, counted(library, row, known, rng)) for row in rows]
            for named in (True, False):
                found = [figures for row, scan in scans if (figures := told(library, row, scan, named)) is not None]
                sizes = np.array([one.crystallite_size_nm for one in found if one.crystallite_size_nm is not None]) / size
                near = f"{np.median(sizes):.2f} | {int((np.abs(np.log(sizes)) < np.log(1.25)).sum())}" if sizes.size else "- | -"
                print(f"| {size:g} | {name} | {'yes' if named else 'no'} | {sizes.size} of {len(found)} | {near} |", flush=True)
    print("\n| crystallinity | told: tenth, median, nine tenths |\n|---|---|")
    for share in SHARES:
        values = []
        for row in rows:
            try:
                figures = told(library, row, with_halo(library, row, share, rng), True)
            except LibraryError:
                continue
            values += [figures.crystallinity] if figures is not None and figures.crystallinity is not None else []
        print(f"| {share:g} | {', '.join(f'{value:.2f}' for value in np.percentile(values, [10, 50, 90]))} |")


if __name__ == "__main__":
    main()
