"""How much faster structures become reflections here than with pymatgen, and how alike the patterns are.

    python benchmarks/simulate.py 2019-ASR.tar.xz --count 200

Both sides start from the text of the same CIF files in one process on one thread, and processor time is counted, so that a busy machine does not
blur the ratio: here `structure.parse` and `structure_factors.reflections`, there `CifParser` and `XRDCalculator`.
Files that one side cannot read are listed and left out of the ratio.

The two take different tables of scattering factors (International Tables C here), so the cosine is printed twice: of the patterns as they are, and
with pymatgen's table in place of ours, which leaves what the two compute differently.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS, XRDCalculator
from pymatgen.core import Element
from pymatgen.io.cif import CifParser

from xrdmatch.diffraction import structure_factors
from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.peak_shapes import render
from xrdmatch.diffraction.structure import iter_sources, parse

GRID = Grid(5.0, 50.0, 0.02)


def ours(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    return structure_factors.reflections(parse(data, name)).lines(GRID.wavelength)


def theirs(data: bytes, calculator: XRDCalculator) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = CifParser.from_str(data.decode("utf-8", "replace")).parse_structures(primitive=False)[0]
        pattern = calculator.get_pattern(structure, scaled=False, two_theta_range=(GRID.start - 0.5, GRID.stop + 0.5))
    return np.asarray(pattern.x), np.asarray(pattern.y)


@contextmanager
def pymatgen_factors() -> Iterator[None]:
    """Lets the simulation take pymatgen's scattering factors: f(s) = Z - 41.78214 s^2 sum a exp(-b s^2), s in 1/angstrom."""

    def factor(number: int, s_squared: np.ndarray) -> np.ndarray:
        a, b = np.array(ATOMIC_SCATTERING_PARAMS[Element.from_Z(number).symbol], dtype=np.float32).T
        return number - np.float32(41.78214) * s_squared * (np.exp(-s_squared[:, None] * b) @ a)

    own, structure_factors.scattering_factor = structure_factors.scattering_factor, factor
    try:
        yield
    finally:
        structure_factors.scattering_factor = own


def cosine(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    first, second = (render(angles, heights / heights.max(), GRID) for angles, heights in (one, other))
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def evenly(source: Path, count: int) -> list[tuple[str, bytes]]:
    files = [(name, data) for name, data, _ in iter_sources([source])]
    return [files[i] for i in np.unique(np.linspace(0, len(files) - 1, count).round().astype(int))]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("source", type=Path, help="folder or archive of CIF files")
    arguments.add_argument("--count", type=int, default=200, help="files, taken evenly over the source")
    given = arguments.parse_args()
    files = evenly(given.source, given.count)
    calculator = XRDCalculator(wavelength=GRID.wavelength)
    ours(files[0][1], files[0][0]), theirs(files[0][1], calculator)  # imports and tables are loaded outside the timing
    seconds, alike, same_table, refused = [], {}, {}, []
    for name, data in files:
        try:
            start = time.process_time()
            mine = ours(data, name)
            middle = time.process_time()
            reference = theirs(data, calculator)
            end = time.process_time()
        except Exception as error:  # whatever one of the two says about a file
            refused.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:120]}")
            continue
        seconds.append((middle - start, end - middle))
        alike[name] = cosine(mine, reference)
        with pymatgen_factors():
            same_table[name] = cosine(ours(data, name), reference)
    for line in refused:
        print("left out:", line)
    times = 1e3 * np.array(seconds)
    for label, column in (("xrdmatch", times[:, 0]), ("pymatgen", times[:, 1])):
        print(f"{label}: median {np.median(column):8.2f} ms  mean {column.mean():8.2f} ms  total {column.sum() / 1e3:7.2f} s")
    print(f"{len(seconds)} of {len(files)} files; ratio of the totals {times[:, 1].sum() / times[:, 0].sum():.1f}")
    for label, values in (("with its own table", alike), ("with pymatgen's table", same_table)):
        worst = min(values, key=lambda name: values[name])
        below = sum(value < 0.9999 for value in values.values())
        print(f"cosine {label}: median {np.median(list(values.values())):.8f}, lowest {values[worst]:.8f} ({worst}), below 0.9999: {below}")


if __name__ == "__main__":
    main()
