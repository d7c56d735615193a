"""What a scan says of the sample itself: line width, crystallite size, crystallinity. Each is None where the scan cannot tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.quantiles import median, percentile
from xrdmatch.preprocessing.fft_filter import noise_sigma
from xrdmatch.preprocessing.prepared_scan import PreparedScan
from xrdmatch.preprocessing.scan_background import background, lower_edge, lower_hull
from xrdmatch.preprocessing.smoothing import running_mean
from xrdmatch.search.calculated_profile import fit_scales, profile
from xrdmatch.search.indexed_lines import Indexed, in_scan
from xrdmatch.search.line_evidence import strong_lines
from xrdmatch.search.line_widths import LineWidths, line_widths
from xrdmatch.system.arrays import Float64Array

#: Full width in degrees that a usual laboratory diffractometer gives the lines of a perfect sample.
INSTRUMENT_WIDTH = 0.08
#: K of Scherrer's equation, for full widths at half maximum of about spherical crystallites.
SCHERRER = 0.9
#: Lines whose widths have to be known: of a scan that was named, whose lines are known to be single ones, and of others; their least height, percent;
#: and how many at most, the strongest, are fitted: a median gains little by more.
FEWEST_INDEXED, FEWEST_LINES, LEAST_HEIGHT, MOST_LINES = 2, 3, 5.0, 16
#: A size is told where the sample widens the lines by no less than this share of the instrument's width.
LEAST_BROADENING = 1.0
#: Of reflections that make up one measured line: the largest standard deviation of their angles, in line widths, and the least that count, percent.
LARGEST_SPREAD, COUNTS = 0.15, 1.0
#: Share of a scan that no halo covers, percent.
FREE_OF_HALO = 20.0
#: Points of a hull, and the mean taken before it, degrees.
HULL_POINTS, HULL_SMOOTH = 200, 0.3


@dataclass(frozen=True)
class Sample:
    """crystallite_size_nm: by Scherrer's equation. crystallinity: 0 to 1, share of the lines in what lines and haloes scatter together. fwhm: full
    width at half maximum of the lines in degrees, as measured. Each is None where it cannot be told."""

    crystallite_size_nm: float | None = None
    crystallinity: float | None = None
    fwhm: float | None = None


def sample_figures(scan: PreparedScan, lines: Indexed | None = None, instrument_width: float = INSTRUMENT_WIDTH) -> Sample:
    """The figures of a scan that can be judged. lines: of what it was found to be, which tell where measured lines are several reflections."""
    widths = single_lines(scan, lines)
    enough = len(widths) >= (FEWEST_LINES if lines is None else FEWEST_INDEXED)
    size = crystallite_size(widths, scan.wavelength, instrument_width) if enough else None
    crystalline = crystallinity(scan.measured, lines)
    return Sample(
        round(size, 1) if size is not None else None,
        round(crystalline, 3) if crystalline is not None else None,
        round(float(median(widths.fwhm)), 3) if enough else None,
    )


def single_lines(scan: PreparedScan, lines: Indexed | None = None) -> LineWidths:
    """Widths of a scan's strongest lines, of those that stand alone."""
    strong = sorted(strong_lines(scan.comparison, LEAST_HEIGHT), key=lambda line: -line[1])[:MOST_LINES]
    angles = in_scan(np.array([angle for angle, _ in strong]), scan.wavelength)
    found = line_widths(scan.measured, angles[np.isfinite(angles)].tolist(), scan.comparison.fwhm, noise_sigma(scan.measured.intensity))
    if lines is None or not len(found):
        return found
    single = np.array([_spread(lines, angle, width) < LARGEST_SPREAD for angle, width in zip(found.two_theta, found.fwhm, strict=True)])
    return LineWidths(found.two_theta[single], found.fwhm[single])


def _spread(lines: Indexed, angle: float, width: float) -> float:
    """Standard deviation, in widths, of the reflections that make up the line at `angle` degrees; infinite where there is none."""
    near = np.abs(lines.observed - angle) < 1.5 * width
    near &= lines.intensity > COUNTS
    weight = lines.intensity[near]
    if weight.size == 0:
        return np.inf
    centre = np.average(lines.observed[near], weights=weight)
    return float(np.sqrt(np.average((lines.observed[near] - centre) ** 2, weights=weight)) / width)


def crystallite_size(widths: LineWidths, wavelength: float, instrument_width: float = INSTRUMENT_WIDTH) -> float | None:
    """Size in nanometres, K lambda / (beta cos theta), K = 0.9; beta is the median width that the sample adds, the instrument's taken out in squares.

    wavelength: angstrom. instrument_width: degrees. None where the sample widens the lines by less than the instrument does. All of beta counts as
    size: strain in the crystallites, and an instrument wider than stated, make it too small. Scherrer, Nachr. Ges. Wiss. Goettingen 1918, 98;
    Patterson, Phys. Rev. 1939, 56, 978; widths as in Langford and Wilson, J. Appl. Cryst. 1978, 11, 102.
    """
    added = widths.fwhm**2 - instrument_width**2
    scaled = np.sign(added) * np.sqrt(np.abs(added)) * np.cos(np.radians(widths.two_theta / 2.0))
    beta = float(median(scaled))
    if beta < max(LEAST_BROADENING * instrument_width, 1e-6):
        return None
    return float(0.1 * SCHERRER * wavelength / np.radians(beta))


def crystallinity(scan: Pattern, lines: Indexed | None = None) -> float | None:
    """Share of the lines' area in that of lines and haloes, 0 to 1; None where there is neither.

    The scan's lower convex hull is taken for scattered light and fluorescence, which are flat or fall ever less steeply. Of what lies above it,
    haloes are what is too wide for a line and higher than the noise of a point. lines: of what the scan was found to be; where these are crowded,
    their feet are wide as well, and count with the lines. After Hermans and Weidinger, J. Appl. Phys. 1948, 19, 491.
    """
    smooth = running_mean(scan.intensity, max(1, round(HULL_SMOOTH / scan.step)) | 1)
    above = scan.with_intensity(scan.intensity - _hull(scan.two_theta, smooth))
    base = background(above)
    if lines is not None:
        drawn = profile(lines, scan)
        drawn -= _hull(scan.two_theta, drawn)
        feet = lower_edge(drawn, scan.step)
        base = base - fit_scales([drawn - feet], above.intensity - base)[0] * feet
    crystalline = max(_area(scan, above.intensity - base), 0.0)
    rest = base - percentile(base, FREE_OF_HALO)  # the hull lies along the noise's lower edge
    halo = _area(scan, np.where(rest > noise_sigma(scan.intensity), rest, 0.0))
    return crystalline / (crystalline + halo) if crystalline + halo > 0 else None


def _hull(x: Float64Array, y: Float64Array) -> Float64Array:
    """The lower convex hull (n,) of a smooth curve."""
    place = np.linspace(0, x.size - 1, HULL_POINTS).round().astype(int)
    place = place[np.diff(place, prepend=-1) > 0]
    return np.asarray(np.interp(x, x[place], lower_hull(x[place], y[place])))


def _area(scan: Pattern, values: Float64Array) -> float:
    """Integral of values (n,) over the scan's angles."""
    return float((0.5 * (values[1:] + values[:-1]) * np.diff(scan.two_theta)).sum())
