"""Scans simulated from the atoms of structures, with what laboratories do to them: what the re-ranker learns from.

Nearer to measured scans than `effects_numpy`, and slower: guests change |F|^2 by their atoms; lines have feet by axial divergence, widths that differ
with direction, a K-beta of its own; films, holders, layered by-products and other crystals show; backgrounds are of any anode. Every random draw
comes from the generator that is passed in. Angles are degrees, lengths angstrom where not said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.lattice import strained, tied_axes
from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.peak_shapes import draw
from xrdmatch.diffraction.radiation import ANODES, inverse_d_squared, lorentz_polarisation, reciprocal_metric
from xrdmatch.diffraction.structure_factors import Reflections
from xrdmatch.system.arrays import Float64Array
from xrdmatch.training.sample_backgrounds import background, film_humps, holder_lines, layered_lines, random_lines

Rng = np.random.Generator


@dataclass(frozen=True)
class Sample:
    """What a powder is like; upper limits or (low, high), uniform where not said otherwise.

    strain: relative, standard deviation of all cell lengths together; a third of it of each axis. breathing: share of scans whose free axes
    change by up to 4 %, one against the others. texture: standard deviation of ln r (March-Dollase). grains: crystallites that give a line,
    log-uniform, or None for many. size: nm, log-uniform; oblong: how much smaller along one axis at most, log-uniform. microstrain: relative.
    b: overall Debye-Waller B. foreign: height of foreign lines, the strongest line being 1. halo: mean height of a halo. counts: log10 of the
    strongest line's.
    """

    strain: float = 0.002
    breathing: float = 0.05
    texture: float = 0.2
    grains: tuple[float, float] | None = None
    size: tuple[float, float] = (25.0, 200.0)
    oblong: float = 3.0
    microstrain: float = 0.002
    b: tuple[float, float] = (1.0, 8.0)
    foreign: float = 0.15
    halo: float = 0.2
    counts: tuple[float, float] = (2.3, 4.7)


#: Kinds of samples, each an equal part: well made, routine, poor, of few large crystallites, and of crystallites of a few nanometres.
SAMPLES = {
    "fine": Sample(0.0008, 0.0, 0.1, None, (60.0, 300.0), 1.5, 0.0006, (1.0, 6.0), 0.04, 0.03, (3.3, 5.2)),
    "routine": Sample(),
    "poor": Sample(0.004, 0.15, 0.4, None, (10.0, 100.0), 4.0, 0.004, (1.0, 10.0), 0.35, 0.6, (1.8, 3.7)),
    "coarse": Sample(0.002, 0.0, 0.4, (1.0, 12.0), (60.0, 300.0)),
    "small": Sample(0.005, 0.1, 0.25, None, (5.0, 25.0), 3.0, 0.006, (2.0, 12.0), 0.3, 0.5, (2.0, 4.2)),
}


@dataclass(frozen=True, eq=False)
class Instrument:
    """One measurement: x (n,) angles; wavelengths (angstrom) with their weights; stated: the wavelength that the file states; width: full width at
    20 degrees; eta: Lorentz share; divergence: axial divergence (S + H) / R; zero and displacement (degrees at 0); overspill: angle below which the
    beam is wider than the sample, 0 for never; opening: whether slits open with the angle.
    """

    x: Float64Array
    wavelengths: tuple[tuple[float, float], ...]
    stated: float
    width: float
    eta: float
    divergence: float
    zero: float
    displacement: float
    overspill: float
    opening: bool


#: Anodes and how often they are met.
_ANODES, _OFTEN = ("Cu", "Co", "Mo", "Fe", "Cr", "Ag"), (0.76, 0.1, 0.08, 0.02, 0.02, 0.02)
#: Steps of scans in degrees.
_STEPS = (0.01, 0.0131, 0.015, 0.02, 0.02, 0.026, 0.03, 0.05)
#: Lines that one of low angle is split into, to draw its foot by axial divergence.
_FOOT = 8
#: Lines weaker than this share of the strongest are left out.
_LEAST = 3e-4


def instrument(rng: Rng) -> Instrument:
    """A random diffractometer and range."""
    anode = ANODES[rng.choice(_ANODES, p=_OFTEN)]
    pure = rng.random() < 0.3  # a monochromator that leaves K-alpha1
    wavelengths: tuple[tuple[float, float], ...] = ((anode.k_alpha1, 1.0),) if pure else ((anode.k_alpha1, 2 / 3), (anode.k_alpha2, 1 / 3))
    if not pure and rng.random() < 0.2:
        wavelengths += ((anode.k_beta, float(rng.uniform(0.003, 0.02))),)
    stated = anode.k_alpha1 if pure or rng.random() < 0.2 else anode.k_alpha
    factor = anode.k_alpha / ANODES["Cu"].k_alpha
    start = rng.choice([rng.uniform(1.5, 3.5), rng.uniform(3.0, 6.0), rng.uniform(5.0, 10.0)], p=(0.4, 0.4, 0.2))
    stop = rng.choice([rng.uniform(25.0, 36.0), rng.uniform(36.0, 55.0)], p=(0.35, 0.65))
    step = float(rng.choice(_STEPS)) * min(1.0, 2.0 * factor)
    x = np.arange(start * factor, stop * factor, step)
    return Instrument(
        x,
        wavelengths,
        stated,
        float(np.exp(rng.uniform(np.log(0.03), np.log(0.2)))) * min(1.0, 1.5 * factor),
        rng.uniform(0.1, 0.9),
        float(rng.uniform(0.0, 0.08) if rng.random() < 0.7 else 0.0),
        rng.normal(0.0, 0.04),
        rng.normal(0.0, 0.06) if rng.random() < 0.8 else rng.normal(0.0, 0.15),
        float(rng.uniform(2.0, 12.0)) * factor if rng.random() < 0.3 else 0.0,
        bool(rng.random() < 0.1),
    )


def strained_cell(cell: NDArray[np.float64], sample: Sample, rng: Rng) -> NDArray[np.float64]:
    """A cell (6,) as a sample has it: temperature, guests, breathing; its lattice keeps its symmetry."""
    group, free = tied_axes(cell)
    change = rng.normal(0.0, sample.strain) + rng.normal(0.0, sample.strain / 3.0, 3)[group]
    if rng.random() < sample.breathing and len(set(group.tolist())) > 1:
        change = change + np.where(group == rng.choice(group), 1.0, -0.5) * rng.uniform(-0.04, 0.04)
    angles = free * rng.normal(0.0, 60.0 * sample.strain, 3).clip(-2.0, 2.0)
    return strained(cell, np.concatenate([change, angles]))


def scan(
    cell: NDArray[np.float64], lines: Reflections | None, others: Sequence[tuple[NDArray[np.float64], Reflections]], kind: str, rng: Rng
) -> Pattern:
    """One scan of a sample of a `kind` of `SAMPLES`: of a crystal with these lines in this cell, or, without any, of foreign lines alone.

    others: cells and lines of crystals that it may be impure with.
    """
    sample, device = SAMPLES[kind], instrument(rng)
    sample = replace(sample, foreign=sample.foreign * rng.random(), halo=rng.exponential(sample.halo))
    profile = np.zeros(device.x.size)
    if lines is not None:
        profile += _profile(*_sticks(lines, strained_cell(cell, sample, rng), sample, rng), sample, device, rng)
    top = max(float(profile.max(initial=0.0)), 0.0)
    foreign = _foreign(others, sample, device, rng, alone=top <= 0.0)
    profile = profile / top + sample.foreign * foreign if top > 0 else foreign
    if device.overspill:
        profile *= np.minimum(1.0, device.x / device.overspill)
    if device.opening:
        profile *= np.sin(np.radians(device.x / 2.0))
    profile /= max(float(profile.max(initial=0.0)), 1e-9)
    counts = _counted(profile + background(device.x, device.stated, sample.halo, rng), sample, device.x, rng)
    return Pattern(device.x, counts, device.stated)


def _sticks(lines: Reflections, cell: NDArray[np.float64], sample: Sample, rng: Rng) -> tuple[Float64Array, Float64Array, Float64Array]:
    """1/d, |F|^2 and share of the crystallite size (n,) of each line, with texture, grains and shape."""
    metric = reciprocal_metric(cell)
    s = np.sqrt(inverse_d_squared(lines.hkl, metric))
    cosine2 = _towards(lines.hkl, metric, s, rng)
    r = np.exp(rng.normal(0.0, sample.texture))
    weight = lines.intensity * np.exp(-rng.uniform(*sample.b) * s**2 / 2.0) * (r * r * cosine2 + (1.0 - cosine2) / r) ** -1.5
    if sample.grains is not None:
        number = np.exp(rng.uniform(*np.log(sample.grains)))
        weight = weight * rng.gamma(number, 1.0 / number, weight.size)
    if rng.random() < 0.5:  # what else changes single lines: extinction, absorption, disorder that no structure file tells
        weight = weight * np.exp(rng.normal(0.0, 0.2 * rng.random(), weight.size))
    if rng.random() < 0.3:
        cosine2 = _towards(lines.hkl, metric, s, rng)
    thin = np.exp(rng.uniform(0.0, np.log(sample.oblong))) if rng.random() < 0.5 else 1.0
    return s, weight, cosine2 / thin + (1.0 - cosine2)


def _towards(hkl: NDArray[np.int16], metric: NDArray[np.float64], s: Float64Array, rng: Rng) -> Float64Array:
    """cos^2 (n,) of the angle between each line and a random axis of low index."""
    axis = np.eye(3)[rng.integers(3)] if rng.random() < 0.7 else rng.integers(-1, 2, 3).astype(float)
    axis = axis if axis.any() else np.array([0.0, 0.0, 1.0])
    product = hkl.astype(float) @ metric @ axis
    return np.asarray((product**2 / np.maximum(s**2 * float(axis @ metric @ axis), 1e-12)).clip(0.0, 1.0))


def _profile(s: Float64Array, weight: Float64Array, share: Float64Array, sample: Sample, device: Instrument, rng: Rng) -> Float64Array:
    """Profile on the instrument's angles of lines at 1/d `s` (n,)."""
    size, strain = 10.0 * np.exp(rng.uniform(*np.log(sample.size))), sample.microstrain * rng.random() ** 2
    parts = []
    for wavelength, part in device.wavelengths:
        sine = s * wavelength / 2.0
        keep = (sine < 0.9) & (weight > 0)
        theta = np.arcsin(sine[keep])
        angles = np.degrees(2.0 * theta)
        areas = part * weight[keep] * lorentz_polarisation(angles)
        centre = angles + device.zero + device.displacement * np.cos(theta)
        instrumental = device.width * np.sqrt(1.0 - 0.6 * np.tan(theta) + 1.2 * np.tan(theta) ** 2)
        own = np.degrees(0.9 * wavelength / (size * share[keep] * np.cos(theta)) + 4.0 * strain * np.tan(theta))
        parts.append(np.stack([centre, areas, np.hypot(instrumental, own)]))
    centre, areas, widths = np.concatenate(parts, axis=1)
    seen = (centre > device.x[0] - 1.0) & (centre < device.x[-1] + 1.0)
    seen &= areas > _LEAST * areas[seen].max(initial=0.0)
    return drawn(*with_feet(centre[seen], areas[seen], widths[seen], device.divergence), device)


def with_feet(centre: Float64Array, areas: Float64Array, widths: Float64Array, divergence: float) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Lines as axial divergence leaves them: those whose foot is wider than a third of their width become several, towards low angles.

    A ray at the height h misses the plane of the circle, of radius R, and its line lies (h / R)^2 / 2 cot(2theta) radians lower; heights that add up
    from two uniform ones leave (1 - sqrt(1 - p))^2 of the largest shift at the quantile p (after van Laar and Yelon, J. Appl. Cryst. 1984, 17, 47).
    """
    foot = np.degrees(divergence**2 / 2.0 / np.tan(np.radians(np.maximum(centre, 0.5))))
    wide = foot > widths / 3.0
    quantiles = (1.0 - np.sqrt(1.0 - (np.arange(_FOOT) + 0.5) / _FOOT)) ** 2
    split = centre[wide, None] - foot[wide, None] * quantiles
    return (
        np.concatenate([centre[~wide], split.ravel()]),
        np.concatenate([areas[~wide], np.repeat(areas[wide] / _FOOT, _FOOT)]),
        np.concatenate([widths[~wide], np.repeat(widths[wide], _FOOT)]),
    )


def drawn(centre: Float64Array, areas: Float64Array, widths: Float64Array, device: Instrument) -> Float64Array:
    """Profile on the instrument's angles; zero without lines."""
    if not centre.size:
        return np.zeros(device.x.size)
    step = float(device.x[1] - device.x[0])
    grid = Grid(float(device.x[0]), float(device.x[0]) + step * (device.x.size - 1), step)
    return np.asarray(draw(centre[None], areas[None], widths[None], grid, device.eta, classes=8)[0], dtype=float)


def _foreign(others: Sequence[tuple[NDArray[np.float64], Reflections]], sample: Sample, device: Instrument, rng: Rng, alone: bool) -> Float64Array:
    """Profile of what else is in the beam, highest point 1, or nothing: another crystal, a layered by-product, single lines, film and holder.

    alone: nothing else is there, and something has to be.
    """
    profile, chance = np.zeros(device.x.size), rng.random(5)
    lines: list[tuple[Float64Array, Float64Array, Float64Array]] = []
    if others and not alone and chance[0] < 0.35:
        cell, found = others[int(rng.integers(len(others)))]
        profile += _scaled(_profile(*_sticks(found, strained_cell(cell, sample, rng), sample, rng), sample, device, rng))
    if chance[1] < (0.5 if alone else 0.12):
        lines.append(layered_lines(device.stated, rng))
    if chance[2] < (0.5 if alone else 0.2) or (alone and not lines):
        lines.append(random_lines(device.x, rng))
    if chance[3] < 0.1:
        lines.append(holder_lines(device.stated, rng))
    for angles, heights, widths in lines:
        whole = np.hypot(widths, device.width)
        profile += rng.uniform(0.2, 1.0) * _scaled(drawn(*with_feet(angles, heights * whole, whole, device.divergence), device))
    if chance[4] < 0.25:
        profile += rng.uniform(0.1, 1.0) * film_humps(device.x, device.stated, rng)
    return _scaled(profile)


def _scaled(profile: Float64Array) -> Float64Array:
    return np.asarray(profile / max(float(profile.max(initial=0.0)), 1e-12))


def _counted(profile: Float64Array, sample: Sample, x: Float64Array, rng: Rng) -> Float64Array:
    """Counts of a profile whose strongest line is 1; smeared or smoothed noise and a subtracted background in some."""
    peak = 10.0 ** rng.uniform(*sample.counts)
    counts = rng.poisson(np.minimum(profile * peak, 1e9)).astype(float)
    if rng.random() < 0.2:
        points = int(rng.integers(1, 5)) * 2 + 1
        noise = np.convolve(rng.normal(0.0, 1.0, x.size), np.ones(points) / np.sqrt(points), mode="same")
        counts = np.rint(counts + noise * np.sqrt(counts.clip(min=1.0)))
    if rng.random() < 0.12:
        points = int(rng.integers(1, 4)) * 2 + 1
        counts = np.convolve(np.pad(counts, points // 2, mode="edge"), np.ones(points) / points, mode="valid")
    if rng.random() < 0.06:
        counts = counts - np.interp(x, [x[0], x[-1]], [counts[:20].min(), counts[-20:].min()])
    return np.asarray(counts)
