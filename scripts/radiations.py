"""The same framework measured with Cu, K-alpha1 of Cu, Co and Mo: is the answer the same?

    python scripts/radiations.py --number 100

Takes random entries of a model's library, draws each as a scan with every radiation (both K-alpha lines 2:1, or K-alpha1 alone; Poisson counts on a
background), writes the scans as files that state their lines, and lets the model identify them. Reports how often the verdict and the first family
are those of the Cu scan, and how often the first family is the entry's own.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xrdmatch import formats
from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.peak_shapes import draw
from xrdmatch.diffraction.radiation import ANODES, CU_K_ALPHA, convert_two_theta, lorentz_polarisation
from xrdmatch.library.reference_library import Library
from xrdmatch.search.identify import Identification, Identifier

#: The d-spacings every scan covers are those of Cu from 4 to 50 degrees.
LIMITS = (4.0, 50.0)
FWHM = 0.10  # degrees with Cu; scaled to the other radiations' angles
B = 4.0  # angstrom^2
PEAK, BACKGROUND = 8000.0, 150.0  # counts


@dataclass(frozen=True)
class Radiation:
    """Lines of a tube with their shares of the intensity, in angstrom."""

    name: str
    lines: tuple[tuple[float, float], ...]

    @property
    def wavelength(self) -> float:
        return sum(wavelength * share for wavelength, share in self.lines)

    @property
    def header(self) -> str:
        """How a file states them."""
        return "".join(f"# K-Alpha{number}: {wavelength:.6f}\n" for number, (wavelength, _) in enumerate(self.lines, 1))


def doublet(symbol: str) -> Radiation:
    anode = ANODES[symbol]
    return Radiation(symbol, ((anode.k_alpha1, 2.0 / 3.0), (anode.k_alpha2, 1.0 / 3.0)))


RADIATIONS = (doublet("Cu"), Radiation("CuKa1", ((ANODES["Cu"].k_alpha1, 1.0),)), doublet("Co"), doublet("Mo"))


def scan(library: Library, row: int, radiation: Radiation, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """2theta in degrees and counts of a library entry measured with this radiation."""
    d, intensity = library.lines(row)
    start, stop = convert_two_theta(LIMITS, CU_K_ALPHA, radiation.wavelength)
    scale = (stop - start) / (LIMITS[1] - LIMITS[0])
    grid = Grid(round(float(start), 2), round(float(stop), 2), 0.01 if scale < 0.7 else 0.02, radiation.wavelength)
    angles = np.concatenate([np.degrees(2.0 * np.arcsin(np.clip(wavelength / (2.0 * d), 0.0, 0.999))) for wavelength, _ in radiation.lines])
    areas = np.concatenate([share * intensity * np.exp(-B / (2.0 * d**2)) for _, share in radiation.lines]) * lorentz_polarisation(angles)
    areas = np.where((angles > grid.start - 1.0) & (angles < grid.stop + 1.0), areas, 0.0)
    profile = draw(angles[None], areas[None], np.full((1, angles.size), FWHM * scale), grid)[0].astype(float)
    return grid.two_theta, rng.poisson(BACKGROUND + PEAK * profile / max(profile.max(), 1e-9)).astype(float)


def answers(identifier: Identifier, row: int, folder: Path, seed: int = 0) -> dict[str, Identification]:
    """What the model says to a library entry's scan with each radiation."""
    found = {}
    for radiation in RADIATIONS:
        angles, counts = scan(identifier.model.library, row, radiation, np.random.default_rng([seed, row]))
        place = folder / f"{row}-{radiation.name}.xy"
        rows = "".join(f"{angle:.4f} {count:.0f}\n" for angle, count in zip(angles, counts, strict=True))
        place.write_text(radiation.header + rows, encoding="utf-8")
        found[radiation.name] = identifier.identify(formats.read(place))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default=None, help="name or folder; the shipped one by default")
    parser.add_argument("--number", type=int, default=100, help="entries that are drawn")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    identifier = Identifier(options.model)
    library = identifier.model.library
    rows = np.random.default_rng(options.seed).choice(len(library), options.number, replace=False)
    own, family, verdict = ({radiation.name: 0 for radiation in RADIATIONS} for _ in range(3))
    with tempfile.TemporaryDirectory() as folder:
        for row in rows.tolist():
            said = answers(identifier, row, Path(folder), options.seed)
            first = {name: answer.matches[0].family if answer.matches else "" for name, answer in said.items()}
            for name, answer in said.items():
                own[name] += first[name] == str(library.family_name[library.family[row]])
                family[name] += first[name] == first["Cu"]
                verdict[name] += answer.verdict == said["Cu"].verdict
                if first[name] != first["Cu"]:
                    print(f"{library.id[row]}: {name} {first[name] or '-'} ({answer.verdict}), Cu {first['Cu'] or '-'} ({said['Cu'].verdict})")
    print(f"{'':8}{'own family first':>18}{'family as with Cu':>20}{'verdict as with Cu':>20}   of {options.number}")
    for radiation in RADIATIONS:
        print(f"{radiation.name:8}{own[radiation.name]:>18}{family[radiation.name]:>20}{verdict[radiation.name]:>20}")


if __name__ == "__main__":
    main()
