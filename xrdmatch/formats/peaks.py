"""Lists of peaks drawn as a scan, so that what was read off a scan long ago, or out of a paper, can be identified as well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xrdmatch.errors import ReadError
from xrdmatch.formats.scan import Scan, grid, noted

#: Width of the drawn peaks (degrees) where the list gives none: that of a laboratory diffractometer's lines.
FWHM = 0.12
#: The widths that are believed of a list.
_WIDTHS = (0.02, 1.0)
#: Points of the drawn scan: their distance, and how far it goes beyond the outermost peaks; degrees.
_STEP, _MARGIN = 0.02, 1.0
#: The strongest peak's counts over a background: a quiet scan, on which the filter has nothing to do.
_COUNTS, _BACKGROUND = 10_000.0, 50.0


def drawn(scan: Scan) -> Scan:
    """A scan with a pseudo-Voigt peak, half Gaussian and half Lorentzian, for each of a list, over a flat background.

    scan: 2theta in degrees (n,) and heights (n,). Raises ReadError where no height is above zero.
    """
    there = np.isfinite(scan.two_theta) & (scan.intensity > 0) & (scan.two_theta > 0) & (scan.two_theta < 180)
    if not there.any():
        raise ReadError("is a list of peaks, but none has a height above zero")
    places, heights = scan.two_theta[there], scan.intensity[there] / scan.intensity[there].max()
    stated = scan.meta.get("fwhm")
    fwhm = float(stated) if stated is not None and _WIDTHS[0] <= stated <= _WIDTHS[1] else FWHM
    low, high = max(_STEP, float(places.min()) - _MARGIN), min(179.9, float(places.max()) + _MARGIN)
    angles = grid(low, _STEP, round((high - low) / _STEP) + 1)
    profile = np.zeros(angles.size)
    for place, height in zip(places, heights, strict=True):
        away = ((angles - place) / (0.5 * fwhm)) ** 2
        profile += height * (0.5 / (1.0 + away) + 0.5 * np.exp(-np.log(2.0) * away))
    meta = {key: value for key, value in scan.meta.items() if key != "fwhm"}
    noted(meta, "drawn_from_peaks", peaks=int(places.size), fwhm=fwhm)
    return replace(scan, two_theta=angles, intensity=_BACKGROUND + _COUNTS * profile, meta=meta, is_peaks=False)
