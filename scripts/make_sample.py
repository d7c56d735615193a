"""Make the files in docs/samples: a simulated scan of HKUST-1, and two idealised frameworks as CIF.

    python scripts/make_sample.py [--library LIBRARY.h5]

The scan is computed from the reflections of one library entry, by default of the shipped model's library. Nothing in it was measured. The CIFs
are put together from round bond lengths; they are no published structures.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from xrdmatch import __version__
from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.peak_shapes import draw
from xrdmatch.diffraction.radiation import ANODES, lorentz_polarisation, two_theta
from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import DEFAULT, LIBRARY, shipped_folder
from xrdmatch.training.effects_numpy import Hardness, counting_statistics, line_widths

SAMPLES = Path(__file__).parents[1] / "docs" / "samples"
ENTRY = "FIQCEN_clean"  # HKUST-1 in CoRE MOF
SEED = 2020

ANODE = ANODES["Cu"]
GRID = Grid(5.0, 50.0, 0.02, ANODE.k_alpha)
STRAIN = 0.001  # relative, of all cell lengths: the sample's cell is a little larger than the library's
ZERO_SHIFT = 0.015  # degrees
DISPLACEMENT = -0.06  # degrees at 2theta = 0, times cos(theta): the sample lies too low in its holder
B = 3.0  # angstrom^2, overall Debye-Waller factor
SIZE, MICROSTRAIN, INSTRUMENT = 90.0, 0.0005, 0.07  # nm, relative, degrees: crystallite size, largest microstrain, instrument's width
ETA = 0.6  # Lorentz share of the lines
PEAK = 2500.0  # counts of the strongest line
AIR, AIR_FALL, FLAT = 0.35, 3.0, 0.03  # background in units of the strongest line; AIR falls by 1/e every AIR_FALL degrees
HALO, HALO_AT, HALO_WIDTH = 0.04, 21.0, 4.5  # glass holder: a hump at HALO_AT, of standard deviation HALO_WIDTH, degrees

# Idealised frameworks: bond lengths in angstrom and one angle in degrees, from a zinc cluster's centre along one linker to its middle.
ZN_O, O_TO_CARBOXYLATE, C_O, O_CARBON_O = 1.94, 3.57, 1.26, 125.0
C_C_SINGLE, C_C_AROMATIC, C_H = 1.50, 1.39, 0.95
FRAMEWORKS = {"idealised-mof-5": 1, "idealised-irmof-10": 2}  # rings of each linker: benzenedicarboxylate, biphenyldicarboxylate


def scan(library: Library, entry: str = ENTRY, seed: int = SEED) -> Pattern:
    """Counts of one library entry as a routine laboratory scan would show them."""
    rng = np.random.default_rng(seed)
    d, strength = library.lines(library.index()[entry], strain=[STRAIN, STRAIN, STRAIN, 0, 0, 0])
    fixed = Hardness(size=(SIZE, SIZE), microstrain=MICROSTRAIN, instrument=(INSTRUMENT, INSTRUMENT), counts=(np.log10(PEAK), np.log10(PEAK)))
    profile = np.zeros(GRID.size)
    for wavelength, share in ((ANODE.k_alpha1, 2.0 / 3.0), (ANODE.k_alpha2, 1.0 / 3.0)):
        angles = two_theta(d, wavelength)
        areas = share * strength * np.exp(-B / (2.0 * d**2)) * lorentz_polarisation(angles)
        widths = line_widths(angles[None], GRID, np.random.default_rng(seed), fixed)  # the same draw for both wavelengths
        places = angles + ZERO_SHIFT + DISPLACEMENT * np.cos(np.radians(angles / 2.0))
        profile += draw(places[None], areas[None], widths, GRID, ETA)[0]
    x = GRID.two_theta
    background = FLAT + AIR * np.exp(-(x - GRID.start) / AIR_FALL) + HALO * np.exp(-0.5 * ((x - HALO_AT) / HALO_WIDTH) ** 2)
    counts = counting_statistics((profile / profile.max() + background)[None], rng, fixed)[0]
    return Pattern(x, counts, ANODE.k_alpha, "hkust-1")


def header(entry: str) -> str:
    """What the scan's file says of itself."""
    lines = (
        f"A SIMULATED scan, not a measured one: HKUST-1, library entry {entry}, made by scripts/make_sample.py of xrdmatch {__version__}",
        f"In it: cell lengths {100 * STRAIN:+.1f} %, zero shift {ZERO_SHIFT:+.3f} deg, displacement {DISPLACEMENT:+.3f} deg x cos(theta), "
        f"crystallites of {SIZE:.0f} nm, microstrain, B = {B:g} A^2,",
        f"both K-alpha lines 2:1, air scatter, flat background and a glass halo, Poisson counts with {PEAK:.0f} at the strongest line, seed {SEED}",
        f"Anode: {ANODE.symbol}",
        f"K-Alpha1: {ANODE.k_alpha1:.6f}",
        f"K-Alpha2: {ANODE.k_alpha2:.6f}",
        "2theta(deg) counts",
    )
    return "".join(f"# {line}\n" for line in lines)


def idealised(name: str, rings: int) -> str:
    """CIF text of a cubic framework (Fm-3m) of Zn4O clusters and flat linkers of one or two benzene rings, from the bond lengths above."""
    turn, bend = np.radians(60.0), np.radians(O_CARBON_O / 2.0)
    centre = 0.0 if rings == 1 else 0.5 * C_C_SINGLE + C_C_AROMATIC  # of the upper ring, above the linker's middle
    carboxylate = centre + C_C_AROMATIC + C_C_SINGLE
    edge = 4.0 * (carboxylate + O_TO_CARBOXYLATE)

    def site(label: str, sideways: float, height: float) -> str:
        """`height`: angstrom above the linker's middle. `sideways`: angstrom from the linker's axis, in the plane x = y."""
        xy = 0.25 + sideways / np.sqrt(2.0) / edge
        return f"{label} {label[0]} {xy:.5f} {xy:.5f} {height / edge:.5f}"

    zinc = 0.25 - ZN_O / np.sqrt(3.0) / edge
    atoms = [
        f"Zn1 Zn {zinc:.5f} {zinc:.5f} {zinc:.5f}",
        site("O1", 0.0, edge / 4.0),
        site("O2", C_O * np.sin(bend), carboxylate + C_O * np.cos(bend)),
        site("C1", 0.0, carboxylate),
        site("C2", 0.0, centre + C_C_AROMATIC),
        site("C3", C_C_AROMATIC * np.sin(turn), centre + C_C_AROMATIC * np.cos(turn)),
        site("H3", (C_C_AROMATIC + C_H) * np.sin(turn), centre + (C_C_AROMATIC + C_H) * np.cos(turn)),
    ]
    if rings == 2:
        atoms += [
            site("C4", 0.0, centre - C_C_AROMATIC),
            site("C5", C_C_AROMATIC * np.sin(turn), centre - C_C_AROMATIC * np.cos(turn)),
            site("H5", (C_C_AROMATIC + C_H) * np.sin(turn), centre - (C_C_AROMATIC + C_H) * np.cos(turn)),
        ]
    lines = [
        f"# {name}: put together from round bond lengths by scripts/make_sample.py of xrdmatch, no published structure",
        f"data_{name}",
        *(f"_cell_length_{axis} {edge:.3f}" for axis in "abc"),
        *(f"_cell_angle_{name} 90" for name in ("alpha", "beta", "gamma")),
        "_symmetry_space_group_name_H-M 'F m -3 m'",
        "_symmetry_Int_Tables_number 225",
        "loop_",
        *(f"_atom_site_{name}" for name in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")),
        *atoms,
    ]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Beside the target, then renamed."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--library", type=Path, default=shipped_folder() / DEFAULT / LIBRARY, help="where the entry is taken from")
    parser.add_argument("--out", type=Path, default=SAMPLES, help="folder to write to")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pattern = scan(Library.load(options.library))
    rows = "".join(f"{angle:.2f} {count:.0f}\n" for angle, count in zip(pattern.two_theta, pattern.intensity, strict=True))
    write(options.out / "hkust-1.xy", header(ENTRY) + rows)
    for name, rings in FRAMEWORKS.items():
        write(options.out / f"{name}.cif", idealised(name, rings))


if __name__ == "__main__":
    main()
