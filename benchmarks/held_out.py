"""Scans of structures the encoder never saw, made by other code than trained it: what recall, ranking and calibration are measured on.

    python benchmarks/held_out.py full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz --level middle --number 2000 -o held-out/middle
    xrdmatch evaluate held-out/middle/labels.csv

Nothing of `xrdmatch.training.effects_numpy`, `peak_shapes` or `recipe` is used. Each scan starts from the atoms of a structure file: guests are put
into its pores as disordered atoms and change |F|^2 as they do in a crystal; lines are drawn one by one as split pseudo-Voigt functions with their
K-alpha doublet, Caglioti widths, size and strain; a second crystal stands for impurities. The scans are written as xy files with a labels.csv.

`--second any` and `--second sister` make mixtures: a second crystal, guests, strain and all, whose strongest line has 0.15 to 1 times the height of
the first one's; any of the library, or one of the same metal and linker, which one synthesis may give side by side.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.spatial import cKDTree

from xrdmatch.diffraction.lattice import tied_axes
from xrdmatch.diffraction.structure import Structure, iter_sources, parse
from xrdmatch.diffraction.structure_factors import Reflections, conventional_lines, reflections
from xrdmatch.library.composition import SameMetalAndLinker
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.training.encoder import Settings, held_out

LINES = ((1.540593, 2 / 3), (1.544427, 1 / 3))  # angstrom and weight of Cu K-alpha 1 and 2
MEAN = 1.541871  # angstrom, stated in labels.csv
DENSITY = 0.045  # guest atoms (C and O) in a cubic angstrom of pore: liquid water to dimethylformamide, 0.33 electrons
ROOM = 2.7  # angstrom between a guest and the framework's atoms
CLOUD = 0.6  # angstrom, standard deviation of a guest atom's disorder
RATIO = (0.15, 1.0)  # height of a second phase's strongest line to that of the first
PARTNERS = 600  # structures of the whole library that any mixture may be with, and
SISTERS = 4  # of each first phase's metal and linker
Rng = np.random.Generator


@dataclass(frozen=True)
class Level:
    """Upper limits (uniform from 0 where not said otherwise); angles in degrees."""

    guests: float  # share of the pores' full load
    strain: float  # relative, standard deviation of all cell lengths together; a third of it for each axis
    breathing: float  # share of scans whose free axes change by up to 4 %, one against the others
    zero: float  # standard deviation
    displacement: float  # standard deviation, at theta = 0
    texture: float  # ln(r) of March-Dollase, standard deviation
    width: tuple[float, float]  # instrument at 20 deg, full width
    size: tuple[float, float]  # nm, log-uniform
    microstrain: float
    impurity: float  # height of the second crystal's strongest line; in half of the scans
    halo: float  # height in units of the strongest line; exponential with this mean
    counts: tuple[float, float]  # log10 of the strongest line
    start: tuple[float, float]
    stop: tuple[float, float]
    grains: tuple[float, float] | None = None  # crystallites that give a line, log-uniform: its height is Gamma distributed; None for many
    slits: float = 0.0  # share of scans with slits that open with the angle, so that the counts grow as sin(theta)


LEVELS = {
    "easy": Level(0.3, 0.0008, 0.0, 0.02, 0.03, 0.1, (0.03, 0.08), (60, 300), 0.0005, 0.03, 0.02, (3.3, 5.0), (2.0, 4.0), (40.0, 60.0)),
    "middle": Level(0.7, 0.002, 0.05, 0.03, 0.05, 0.2, (0.04, 0.12), (25, 200), 0.0015, 0.10, 0.15, (2.5, 4.5), (2.5, 6.0), (35.0, 60.0)),
    "hard": Level(1.0, 0.004, 0.2, 0.06, 0.10, 0.4, (0.06, 0.25), (8, 80), 0.004, 0.30, 0.6, (1.8, 3.5), (3.0, 8.0), (30.0, 50.0)),
}
#: A sample of few large crystallites, as natural minerals and recrystallised powders are: line heights say little, places all the more.
COARSE = replace(LEVELS["middle"], texture=0.4, grains=(1.0, 12.0), slits=0.3)


def with_guests(structure: Structure, load: float, rng: Rng) -> Structure:
    """The structure with disordered guest atoms in its pores, each spread over four places."""
    a, b, c, *angles = structure.cell
    cosines = np.cos(np.radians(angles))
    volume_factor = np.sqrt(1 - (cosines**2).sum() + 2 * cosines.prod())
    sine = np.sqrt(1 - cosines[2] ** 2)
    axes = np.array(
        [
            [a, 0, 0],
            [b * cosines[2], b * sine, 0],
            [c * cosines[1], c * (cosines[0] - cosines[1] * cosines[2]) / sine, c * volume_factor / sine],
        ]
    )
    images = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
    atoms = ((structure.fractional % 1.0)[None] + images[:, None]).reshape(-1, 3)
    atoms = atoms[((atoms > -0.35) & (atoms < 1.35)).all(axis=1)] @ axes
    tries = rng.random((min(20000, int(DENSITY * abs(np.linalg.det(axes))) + 1), 3))
    free = cKDTree(atoms).query(tries @ axes, distance_upper_bound=ROOM)[0] > ROOM
    guests = tries[free & (rng.random(len(tries)) < load)]
    if not len(guests):
        return structure
    spread = np.repeat(guests, 4, axis=0) + rng.normal(0.0, CLOUD, (4 * len(guests), 3)) @ np.linalg.inv(axes)
    numbers = np.repeat(rng.choice([6, 8], len(guests)), 4)
    return replace(
        structure,
        numbers=np.concatenate([structure.numbers, numbers]),
        fractional=np.concatenate([structure.fractional, spread]),
        occupancy=np.concatenate([structure.occupancy, np.full(numbers.size, 0.25)]),
    )


def lines_of(structure: Structure) -> tuple[np.ndarray, Reflections]:
    """Cell (6,) and lines, in the conventional cell of a centred lattice, so that a strain keeps its symmetry."""
    return conventional_lines(structure.cell, reflections(structure))


def strained(cell: np.ndarray, level: Level, rng: Rng) -> np.ndarray:
    group, _ = tied_axes(cell)
    change = rng.normal(0.0, level.strain) + rng.normal(0.0, level.strain / 3, 3)[group]
    if rng.random() < level.breathing and len(set(group.tolist())) > 1:
        open_axis = rng.choice(group)
        change = change + np.where(group == open_axis, 1.0, -0.5) * rng.uniform(-0.04, 0.04)
    return np.concatenate([cell[:3] * (1.0 + change), cell[3:]])


def inverse_d(hkl: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """1/d (n,) in 1/angstrom, by the reciprocal of the metric tensor."""
    lengths, cosines = cell[:3], np.cos(np.radians(cell[3:]))
    metric = np.outer(lengths, lengths) * np.array([[1, cosines[2], cosines[1]], [cosines[2], 1, cosines[0]], [cosines[1], cosines[0], 1]])
    return np.sqrt(np.einsum("ni,ij,nj->n", hkl, np.linalg.inv(metric), hkl))


def textured(hkl: np.ndarray, cell: np.ndarray, level: Level, rng: Rng) -> np.ndarray:
    axis = np.eye(3)[rng.integers(3)]
    r = np.exp(rng.normal(0.0, level.texture))
    dot = (inverse_d(hkl + axis, cell) ** 2 - inverse_d(hkl - axis, cell) ** 2) / 4  # polarisation identity
    cosine2 = np.clip(dot**2 / (inverse_d(hkl, cell) ** 2 * inverse_d(axis[None], cell) ** 2), 0.0, 1.0)
    return (r * r * cosine2 + (1 - cosine2) / r) ** -1.5


def drawn(lines: Reflections, cell: np.ndarray, x: np.ndarray, level: Level, rng: Rng) -> np.ndarray:
    """Profile on the angles `x`, strongest point 1: line by line, K-alpha doublet, Lorentz-polarisation, overall B."""
    s = inverse_d(lines.hkl, cell)
    weight = lines.intensity * np.exp(-rng.uniform(1.0, 8.0) * s**2 / 2) * textured(lines.hkl, cell, level, rng)
    if level.grains is not None:
        number = np.exp(rng.uniform(*np.log(level.grains)))
        weight *= rng.gamma(number, 1.0 / number, weight.size)
    width, size = rng.uniform(*level.width), 10 * np.exp(rng.uniform(*np.log(level.size)))
    strain, eta = level.microstrain * rng.random(), rng.uniform(0.2, 0.9)
    zero, shift, skew = rng.normal(0, level.zero), rng.normal(0, level.displacement), rng.uniform(0.0, 0.6)
    profile = np.zeros_like(x)
    for wavelength, share in LINES:
        sine = s * wavelength / 2
        keep = (sine < 0.9) & (weight > 0)
        theta = np.arcsin(sine[keep])
        area = share * weight[keep] * (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
        centre = np.degrees(2 * theta) + zero + shift * np.cos(theta)
        inside = (centre > x[0] - 1) & (centre < x[-1] + 1)
        inside &= area > 2e-4 * area[inside].max(initial=0.0)
        caglioti = width * np.sqrt(1.0 - 0.6 * np.tan(theta) + 1.2 * np.tan(theta) ** 2)
        broad = np.degrees(0.9 * wavelength / (size * np.cos(theta)) + 4 * strain * np.tan(theta))
        full = np.sqrt(caglioti**2 + broad**2)
        left = 1.0 + skew * np.clip((12.0 - centre) / 12.0, 0.0, 1.0)  # axial divergence draws low-angle lines out to the left
        for position, height, w, asymmetry in zip(centre[inside], (area / full)[inside], full[inside], left[inside], strict=True):
            near = slice(*np.searchsorted(x, [position - 12 * w, position + 12 * w]))
            u = 2 * (x[near] - position) / (w * np.where(x[near] < position, asymmetry, 1.0))
            profile[near] += height * (eta / (1 + u * u) + (1 - eta) * np.exp(-np.log(2) * u * u))
    return profile / max(profile.max(initial=0.0), 1e-30)


def scan(structure: Structure, other: Structure, level: Level, rng: Rng, mixed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Angles and counts of one scan; `other` is the crystal it may be impure with, or is `mixed` with."""
    x, mean = mean_counts(structure, other, level, rng, mixed)
    return x, rng.poisson(mean).astype(float)


def mean_counts(structure: Structure, other: Structure, level: Level, rng: Rng, mixed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Angles of one scan, and the counts that are to be expected there."""
    x = angles(level, rng)
    profile = sample(structure, x, level, rng)
    if mixed:
        profile = profile + rng.uniform(*RATIO) * sample(other, x, level, rng)
    elif rng.random() < 0.5:
        cell, lines = lines_of(other)
        profile += level.impurity * rng.random() * drawn(lines, cell, x, level, rng)
    if level.slits and rng.random() < level.slits:
        profile *= np.sin(np.radians(x / 2))
        profile /= profile.max()
    base = background(x, level, rng)
    return x, 10 ** rng.uniform(*level.counts) * (profile + base)


def angles(level: Level, rng: Rng) -> np.ndarray:
    """The angles of a scan, degrees."""
    return np.arange(rng.uniform(*level.start), rng.uniform(*level.stop), rng.choice([0.01, 0.015, 0.02, 0.03]))


def sample(structure: Structure, x: np.ndarray, level: Level, rng: Rng) -> np.ndarray:
    """Profile on the angles `x`, strongest point 1, of a sample of the structure: with guests in its pores and a cell that they strain."""
    cell, lines = lines_of(with_guests(structure, level.guests * rng.random(), rng))
    return drawn(lines, strained(cell, level, rng), x, level, rng)


def background(x: np.ndarray, level: Level, rng: Rng) -> np.ndarray:
    """What lies under the lines, in heights of the strongest: air, fluorescence, a halo."""
    q = 4 * np.pi * np.sin(np.radians(x / 2)) / MEAN
    air, flat = rng.exponential(0.05), rng.exponential(0.03)
    halo = rng.exponential(level.halo) * np.exp(-0.5 * ((q - rng.uniform(1.1, 2.0)) / rng.uniform(0.2, 0.5)) ** 2)
    return flat + air * x[0] / x + halo


def structures(library: Library, sources: list[Path], part: int) -> dict[str, bytes]:
    """Structure files of the entries that were held out of the encoder's training: one half (0) to calibrate on, the other (1) to measure on."""
    ids = set(sorted(library.id[held_out(library, Recipe(), Settings())].tolist())[part::2])
    return {Path(name).stem: data for name, data, _ in iter_sources(sources) if Path(name).stem in ids}


Partners = tuple[dict[str, list[str]], list[str], dict[str, bytes]]


def partners(library: Library, sources: list[Path], wanted: dict[str, bytes], seed: int) -> Partners:
    """Second phases: ids of some sisters of each `wanted` structure, ids of any others, and the structure files of both."""
    rng, index, relatives = np.random.default_rng([seed, 78]), library.index(), SameMetalAndLinker(library)
    sisters = {name: library.id[rng.permutation(relatives.rows(int(library.family[index[name]])))[:SISTERS]].tolist() for name in sorted(wanted)}
    others = library.id[rng.choice(len(library), min(PARTNERS, len(library)), replace=False)].tolist()
    ids = {*others, *(name for some in sisters.values() for name in some)}
    files = {Path(name).stem: data for name, data, _ in iter_sources(sources) if Path(name).stem in ids}
    kept = {name: [other for other in some if other in files] for name, some in sisters.items()}
    return {name: some for name, some in kept.items() if some}, [name for name in others if name in files], files


def scans(wanted: dict[str, bytes], level: Level, number: int, seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(id, angles, counts) of `number` scans of the structures `wanted`."""
    names = sorted(wanted)
    rng = np.random.default_rng([seed, 77])
    for _ in range(number):
        name, other = rng.choice(names, 2, replace=False)
        x, counts = scan(parse(wanted[name], name), parse(wanted[other], other), level, rng)
        yield str(name), x, counts


def mixtures(
    library: Library, beside: Partners, wanted: dict[str, bytes], kind: str, level: Level, number: int, seed: int
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """(id, id of the second, angles, counts) of `number` mixtures; beside: from `partners`; kind: any or sister."""
    sisters, others, files = beside
    names, family, index = sorted(sisters if kind == "sister" else wanted), library.family, library.index()
    rng = np.random.default_rng([seed, 79])
    made = 0
    while made < number:
        name = str(rng.choice(names))
        other = str(rng.choice(sisters[name] if kind == "sister" else others))
        if family[index[name]] == family[index[other]]:
            continue
        made += 1
        yield name, other, *scan(parse(wanted[name], name), parse(files[other], other), level, rng, mixed=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("library", type=Path, help="the library the encoder was trained on (.h5), with its families")
    arguments.add_argument("sources", type=Path, nargs="+", help="the structure files it was made of")
    arguments.add_argument("--level", choices=LEVELS, default="middle")
    arguments.add_argument("--second", choices=("none", "any", "sister"), default="none")
    arguments.add_argument("--number", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("-o", "--out", type=Path, required=True)
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    library, level = Library.load(given.library), LEVELS[given.level]
    wanted = structures(library, given.sources, 1)
    if given.second == "none":
        made = (((name,), x, counts) for name, x, counts in scans(wanted, level, given.number, given.seed))
    else:
        mixed = mixtures(library, partners(library, given.sources, wanted, given.seed), wanted, given.second, level, given.number, given.seed)
        made = (((name, other), x, counts) for name, other, x, counts in mixed)
    rows = []
    for i, (names, x, counts) in enumerate(made):
        file = f"{i:05d}.xy"
        np.savetxt(given.out / file, np.stack([x, counts], axis=1), fmt=("%.4f", "%.0f"))
        accepted = ";".join(f"^{name}$" for name in names)
        kind = given.level if given.second == "none" else f"{given.level}, two phases"
        rows.append({"file": file, "label": " + ".join(names), "accepted": accepted, "wavelength": MEAN, "kind": kind})
    with (given.out / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
