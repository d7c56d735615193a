"""Why strong lines of a framework may be missing from a scan: texture, guests, range, width. A reason is a likelihood, never a proof."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xrdmatch.notes import Note, note
from xrdmatch.search.candidates import HklLine

#: Missing lines that a common reason needs, and the share of the lines of its kind that have to be missing, and of the others that may be.
FEWEST, MOST, FEW = 2, 0.6, 0.2
#: d-spacing in angstrom above which guests change lines most.
LOW_ANGLE = 5.0
#: Line width in degrees from which neighbouring lines run together.
WIDE = 0.4
_ZONES = ("0kl", "h0l", "hk0")
_AXES = ("h00", "0k0", "00l")


def missing_reason(matched: Sequence[HklLine], missing: Sequence[HklLine], wavelength: float, fwhm: float) -> Note | None:
    """The likeliest common reason why these lines are missing while those are there; None without one. Angles in degrees, wavelength in angstrom."""
    if not missing:
        return None
    zone = _zone(matched, missing)
    if zone:
        return note("missing_texture", zone=zone, lines=len(missing))
    shown, gone = (np.array([line[3] for line in lines], dtype=float) for lines in (matched, missing))
    low = 2.0 * np.degrees(np.arcsin(min(0.5 * wavelength / LOW_ANGLE, 1.0)))
    if (gone < low).all() and (shown.size == 0 or np.median(shown) > gone.max()):
        return note("missing_guests", below=round(float(np.ceil(10.0 * gone.max() + 0.5)) / 10.0, 1), lines=len(missing))
    if fwhm > WIDE and shown.size and all(np.abs(shown - angle).min() < 1.5 * fwhm for angle in gone):
        return note("missing_width", fwhm=round(fwhm, 2), lines=len(missing))
    return None


def _zone(matched: Sequence[HklLine], missing: Sequence[HklLine]) -> str:
    """The zone or row of reflections to which nearly all missing lines belong and hardly any that shows; empty without one."""
    if len(missing) < FEWEST or len(matched) < FEWEST:
        return ""
    for kinds, zeros in ((_AXES, 2), (_ZONES, 1)):
        for axis, kind in enumerate(kinds):
            inside, gone = (np.array([_belongs(line, axis, zeros) for line in lines]) for lines in (matched, missing))
            number = int(inside.sum() + gone.sum())
            if gone.sum() >= FEWEST and gone.mean() > 1.0 - FEW and gone.sum() >= MOST * number and inside.mean() < FEW:
                return kind
    return ""


def _belongs(line: HklLine, axis: int, zeros: int) -> bool:
    """Whether a line is of the row along an axis (zeros 2) or of the zone across it (zeros 1)."""
    indices = line[:3]
    others = [index for place, index in enumerate(indices) if place != axis]
    return not any(others) if zeros == 2 else indices[axis] == 0
