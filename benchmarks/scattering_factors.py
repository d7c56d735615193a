"""How far tables of scattering factors lie from those of Waasmaier and Kirfel (Acta Cryst. 1995, A51, 416), element by element.

    pip install xraydb
    python benchmarks/scattering_factors.py

Compared up to sin(theta) / wavelength = 0.28 per angstrom, which is 50 degrees with copper: the table of International Tables C, which the simulation
takes, and pymatgen's. The largest relative difference of each element is printed, the worst elements of pymatgen's first. Hydrogen is left out: gemmi
holds the bonded atom (Stewart, Davidson and Simpson), which is what a MOF has, the other two the free one.
"""

from __future__ import annotations

import gemmi
import numpy as np
import xraydb
from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
from pymatgen.core import Element

S = np.linspace(0.0, 0.28, 15)


def pymatgen_factor(symbol: str) -> np.ndarray:
    a, b = np.array(ATOMIC_SCATTERING_PARAMS[symbol]).T
    return Element(symbol).Z - 41.78214 * S**2 * (np.exp(-np.outer(S**2, b)) @ a)


def international_tables(symbol: str) -> np.ndarray:
    table = gemmi.Element(symbol).it92
    return np.array([table.calculate_sf(s * s) for s in S])


def main() -> None:
    rows = []
    for element in Element:
        if not 1 < element.Z <= 92 or element.symbol not in ATOMIC_SCATTERING_PARAMS:
            continue
        reference = xraydb.f0(element.symbol, S)
        away = [np.abs(factor(element.symbol) / reference - 1).max() for factor in (pymatgen_factor, international_tables)]
        rows.append((*away, element.symbol))
    rows.sort(reverse=True)
    for theirs, ours, symbol in rows[:10]:
        print(f"{symbol:2}  pymatgen {theirs:7.2%}  International Tables {ours:7.2%}")
    theirs, ours = np.array([row[:2] for row in rows]).T
    print(f"{len(rows)} elements: pymatgen median {np.median(theirs):.2%}, largest {theirs.max():.2%}; ", end="")
    print(f"International Tables median {np.median(ours):.2%}, largest {ours.max():.2%}")


if __name__ == "__main__":
    main()
