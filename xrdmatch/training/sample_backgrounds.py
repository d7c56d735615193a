"""What shows in a scan beside the sample's own crystal: background of any anode, films, holders, layered by-products, stray lines.

Lines are (angles, heights, full widths) in degrees, highest 1; profiles are (n,) on the scan's angles, in units of the strongest line.
"""

from __future__ import annotations

import numpy as np

from xrdmatch.diffraction.radiation import two_theta
from xrdmatch.system.arrays import Float64Array

Rng = np.random.Generator
Sticks = tuple[Float64Array, Float64Array, Float64Array]

#: Spacings in angstrom at which films scatter in humps: polyimide (twice, for its third hump is weak), polyester, polyethylene and paraffin.
FILMS = ((15.9, 6.15, 4.3), (15.9, 6.15), (3.45, 5.0), (4.1, 3.7))
#: Spacings of the strongest lines of holders and standards: aluminium, steel (austenite), ferrite, silicon, corundum, copper.
HOLDERS = (
    (2.338, 2.024),
    (2.075, 1.797),
    (2.027,),
    (3.1355, 1.9201),
    (3.4797, 2.5508, 2.3795, 2.0853, 1.7398),
    (2.088, 1.808),
)
#: Largest d-spacing in angstrom of a layered substance, and the smallest.
LAYERS = (6.0, 45.0)


def background(x: Float64Array, wavelength: float, halo: float, rng: Rng) -> Float64Array:
    """Smooth background: flat (fluorescence), air and primary beam at low angles, haloes of solvent, glass and amorphous matter."""
    q = 4.0 * np.pi * np.sin(np.radians(x / 2.0)) / wavelength
    level = rng.exponential(0.04) if rng.random() < 0.8 else rng.exponential(1.5)
    beam = rng.exponential(0.08) * (q[0] / q) ** rng.uniform(0.5, 3.0)
    if rng.random() < 0.15:
        beam = beam * rng.uniform(3.0, 20.0)
    total = level + beam
    for _ in range(rng.integers(1, 3)):
        centre, width = rng.uniform(0.9, 2.2), rng.uniform(0.15, 0.5)
        total = total + halo * rng.random() * np.exp(-0.5 * ((q - centre) / width) ** 2)
    return np.asarray(total)


def film_humps(x: Float64Array, wavelength: float, rng: Rng) -> Float64Array:
    """Humps of a film that holds the sample, at its d-spacings whatever the anode."""
    total = np.zeros(x.size)
    for d in FILMS[rng.integers(len(FILMS))]:
        centre, factor = float(two_theta(d, wavelength)), wavelength / 1.5418
        if np.isfinite(centre):
            width = rng.uniform(0.25, 0.8) * factor * (1.0 + centre / 20.0)
            total += np.exp(rng.normal(0.0, 0.5)) * np.exp(-0.5 * ((x - centre * rng.normal(1.0, 0.01)) / width) ** 2)
    return np.asarray(total / max(float(total.max(initial=0.0)), 1e-12))


def holder_lines(wavelength: float, rng: Rng) -> Sticks:
    """Lines of the metal of a holder or of a standard that was mixed in."""
    angles = two_theta(np.array(HOLDERS[rng.integers(len(HOLDERS))]), wavelength)
    angles = angles[np.isfinite(angles)]
    return angles, np.exp(rng.normal(0.0, 0.5, angles.size)), np.full(angles.size, rng.uniform(0.02, 0.2))


def layered_lines(wavelength: float, rng: Rng) -> Sticks:
    """Orders of one spacing: a layered substance or an oriented film, whose lines fall off, now with the even ones weak and now not."""
    d = np.exp(rng.uniform(*np.log(LAYERS)))
    orders = np.arange(1, rng.integers(2, 9))
    angles = two_theta(d / orders, wavelength)
    orders, angles = orders[np.isfinite(angles)], angles[np.isfinite(angles)]
    heights = np.exp(-rng.uniform(0.1, 0.9) * (orders - 1)) * np.exp(rng.normal(0.0, 0.5, orders.size))
    heights = heights * np.where(orders % 2 == 0, rng.uniform(0.05, 1.0), 1.0)
    return angles, heights, np.full(orders.size, np.exp(rng.uniform(np.log(0.03), np.log(0.6))))


def random_lines(x: Float64Array, rng: Rng) -> Sticks:
    """A few lines anywhere, of one width: what no structure is known of."""
    number = rng.integers(1, 12)
    heights = rng.random(number) ** 2
    widths = np.full(number, np.exp(rng.uniform(np.log(0.03), np.log(1.2))))
    return rng.uniform(x[0], x[-1], number), heights, widths
