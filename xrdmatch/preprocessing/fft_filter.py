"""The FFT filter for noisy scans, and the measures that decide whether a scan needs it.

Two rules stand side by side. `paper` is that of Wang et al., J. Chem. Inf. Model. 2020, 60, 2004 (doi 10.1021/acs.jcim.0c00020), number by
number: it judges the mean log magnitude beyond a fixed bin, where sharp lines put power as noise does, and cuts at that bin, which limits the
resolution to about 0.2 degrees. `auto` measures the noise itself, and cuts where the scan's own lines have no power left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.quantiles import median, percentile
from xrdmatch.notes import Note, note
from xrdmatch.preprocessing.smoothing import opening, running_mean

FloatArray = NDArray[np.float64]
Mode = Literal["auto", "paper", "on", "off"]

# --- The paper's rule
PAPER_GRID = Grid(5.0, 50.0, 0.02, 1.5406)  # 2251 points
PAPER_BUFFER = 2304  # points of the zero-filled buffer
PAPER_OFFSET = 20  # where the pattern begins in it
PAPER_KEEP = 200  # Fourier bins below this are the pattern, those beyond are taken for noise
PAPER_LIMIT = 1.0  # mean natural-log magnitude beyond PAPER_KEEP from which a scan counts as noisy

# --- The measured rule
NOISY = 0.01  # noise, relative to the strongest line, from which `auto` filters; lines below 3 % then drown
DIFFERENCE = (1.0, -4.0, 6.0, -4.0, 1.0)  # fourth difference: blind to slopes and to lines of 4 points or more, full gain for noise
QUIET_HALF = 0.5  # share of the smallest differences that is averaged, so that line flanks in up to half of the points do not count
QUIET_MEAN = 0.3247  # mean of the smaller half of |N(0, 1)|: 4 (phi(0) - phi(0.6745))
LINE_SIGMA = 8.0  # a maximum this many sigma above the background is a line whose width can be trusted
CLEAR_SIGMA = 25.0  # and from here on noise does not break its flanks
CLEARER = 1.15  # a wider running mean has to make the strongest line clearer by this factor to be preferred
LINES = 30  # strongest lines looked at for the width
NARROW = 25.0  # percentile of their widths taken as the scan's width: narrower than most, not a spike
BACKGROUND_SPAN = 3.0  # degrees; an opening this wide keeps the background and removes lines
OPENING_BIAS = 3.0  # sigma; how far at most an opening of pure noise lies below its mean
SMOOTH_SPAN = 0.25  # degrees; widest running mean with which lines are looked for
DEFAULT_FWHM = 0.15  # degrees; a laboratory line, where noise hides all lines
CUT = 1.0  # full gain up to CUT / FWHM (cycles per point): holds 99.1 % of a Gaussian line's height, 95.7 % of a Lorentzian's
TAPER = 1.5  # from there the gain falls as a cosine to 0 at TAPER times that frequency, so that lines do not ring


@dataclass(frozen=True)
class Filtered:
    """A scan after the filter's decision.

    pattern: filtered or as it came. noise: standard deviation of one point divided by the height of the strongest line above its background,
    without unit. sigma: the same in the scan's own counts. Both are measured before the filter; afterwards they cannot be.
    noise_gain: share of sigma that is left in `pattern` (1 where nothing was filtered). criterion: the paper's figure (> 1: noisy), NaN in other
    modes and where the scan does not reach into 5-50 degrees. fwhm: line width in degrees the cut was set for, None where nothing was filtered.
    reason: why it was filtered or was not.
    """

    pattern: Pattern
    filtered: bool
    noise: float
    sigma: float
    criterion: float
    reason: Note
    noise_gain: float = 1.0
    fwhm: float | None = None


def denoise(pattern: Pattern, mode: Mode = "auto") -> Filtered:
    """Filter a scan where `mode` says so.

    auto: where `noise` exceeds `NOISY`, on the scan's own points, with a cut that follows its line width. on: the same, always.
    paper: the paper's criterion and filter; a filtered scan then lies on the paper's grid, background-free, in the scan's own counts.
    off: never. Raises ValueError for another mode.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    counts = pattern.intensity
    points = max(3, round(BACKGROUND_SPAN / pattern.step))
    sigma = noise_sigma(counts)
    height = line_height(counts, sigma, points)
    noise = sigma / height if height > 0 else 0.0
    untouched = Filtered(pattern, False, noise, sigma, float("nan"), note("filter_off"))
    if mode == "off":
        return untouched
    if mode == "paper":
        return _by_paper(untouched)
    if height <= 0 or sigma <= 0:
        return replace(untouched, reason=note("filter_no_noise" if height > 0 else "filter_flat"))
    if mode == "auto" and noise < NOISY:
        return replace(untouched, reason=note("filter_not_needed", noise=noise, limit=NOISY))
    width = line_width(counts, sigma, pattern.step)
    smooth, gain = low_pass(counts, width)
    fwhm = width * pattern.step
    reason = note("filter_applied", noise=noise, fwhm=fwhm)
    return replace(untouched, pattern=pattern.with_intensity(smooth), filtered=True, reason=reason, noise_gain=gain, fwhm=fwhm)


def _by_paper(untouched: Filtered) -> Filtered:
    """The paper's decision on a scan."""
    scan = untouched.pattern
    values, mask = PAPER_GRID.resample(scan)
    criterion = paper_criterion(values) if np.ptp(values) > 0 else float("nan")
    if not criterion > PAPER_LIMIT:
        return replace(untouched, criterion=criterion, reason=note("paper_filter_not_needed", criterion=criterion, limit=PAPER_LIMIT))
    top = values.max() - median(values)
    smooth = paper_filter(values) * top
    result = Pattern(PAPER_GRID.two_theta[mask], smooth[mask], PAPER_GRID.wavelength, scan.name, scan.meta)
    reason = note("paper_filter_applied", criterion=criterion, limit=PAPER_LIMIT, bins=PAPER_KEEP)
    gain = float(np.sqrt((2 * PAPER_KEEP - 1) / PAPER_BUFFER))
    return replace(untouched, pattern=result, filtered=True, criterion=criterion, reason=reason, noise_gain=gain)


def noise_sigma(intensity: ArrayLike) -> float:
    """Standard deviation of one point's noise, in the unit of `intensity` (n,), from fourth differences of neighbours.

    Lines of 4 points' width or more and any background cancel in the difference; the smaller half of the differences leaves out what sharp lines
    remain. Counts so low that most points are 0 have no differences to measure: there sigma is the root of the mean count that makes so many points 0
    (Poisson), in units of the smallest count.
    Noise that a detector or an interpolation has smeared over neighbours is underestimated. Returns 0 for fewer than 5 points.
    """
    counts = np.asarray(intensity, dtype=float)
    if counts.size < len(DIFFERENCE):
        return 0.0
    empty = float(np.mean(counts == 0))
    if 0.5 < empty < 1 and counts.min() >= 0:
        return float(counts[counts > 0].min() * np.sqrt(-np.log(empty)))
    kernel = np.array(DIFFERENCE) / np.linalg.norm(DIFFERENCE)
    size = np.sort(np.abs(np.convolve(counts, kernel, "valid")))
    quiet = size[: max(1, int(QUIET_HALF * size.size))]
    return float(quiet.mean() / QUIET_MEAN)


def _above_background(values: FloatArray, sigma: float, points: int) -> FloatArray:
    """`values` (n,) less their opening, which in noise lies some `sigma` below the background's mean; that much is put back."""
    lines = values - opening(values, points | 1)
    return lines - min(float(median(lines)), OPENING_BIAS * sigma)


def line_height(intensity: ArrayLike, sigma: float, points: int) -> float:
    """Height of the strongest line above its background. `sigma`: noise of one point. `points`: span of the background's opening.

    A lone spike of one point does not count.
    """
    counts = np.asarray(intensity, dtype=float)
    if counts.size < 3:
        return 0.0
    left, here, right = counts[:-2], counts[1:-1], counts[2:]
    middle = np.maximum(np.minimum(left, here), np.minimum(np.maximum(left, here), right))  # the median of three
    return float(_above_background(middle, sigma, points).max())


def line_width(intensity: ArrayLike, sigma: float, step: float) -> float:
    """Full width at half maximum, in points, of the narrow ones among a scan's strong lines.

    `sigma`: noise of one point. `step`: degrees. Noise breaks a weak line into narrow pieces, so ever wider running means (up to `SMOOTH_SPAN`) are
    tried until the strongest line is `CLEAR_SIGMA` above the background, or none makes it clearer; their own width is taken out again.
    `DEFAULT_FWHM` where no line is found.
    """
    counts = np.asarray(intensity, dtype=float)
    sigma = max(sigma, 1e-12 * float(np.abs(counts).max(initial=0.0)), 1e-300)  # a calculated scan has none
    points = max(3, round(BACKGROUND_SPAN / step))
    best, width, window = 0.0, max(2.0, DEFAULT_FWHM / step), 1
    while window == 1 or (window * step <= SMOOTH_SPAN and window < counts.size // 4):
        smooth = running_mean(counts, window, reflect=True)
        lines = _above_background(smooth, sigma / np.sqrt(window), points)
        # Counting noise grows with the root of the count: a line that doubles the background has 1.4 times its noise.
        level = float(median(smooth))
        growth = np.maximum(1.0, smooth / level) if level > 0 else 1.0
        clear = lines / (sigma * np.sqrt(growth / window))
        top = float(clear.max())
        if top > max(LINE_SIGMA, CLEARER * best):
            widths = _widths(lines, clear > max(LINE_SIGMA, min(CLEAR_SIGMA, 0.5 * top)))
            if widths.size:
                # A running mean of w points has the variance (w^2 - 1) / 12; a Gaussian of the same variance has 8 ln 2 times that as FWHM squared.
                own = 8.0 * np.log(2.0) * (window**2 - 1) / 12.0
                found = percentile(widths, NARROW)
                best, width = top, float(np.sqrt(max(found**2 - own, 0.25 * found**2)))
        if best > CLEAR_SIGMA:
            break
        window = 2 * window + 1
    return width


def _widths(lines: FloatArray, clear: NDArray[np.bool_]) -> FloatArray:
    """Widths at half maximum, in points, of the strongest lines whose top is `clear` (n,); an overlapped line counts with its cluster."""
    order = np.argsort(lines)[::-1]
    taken = np.zeros(lines.size, dtype=bool)
    found: list[float] = []
    for top in order[clear[order]]:
        if taken[top]:
            continue
        left, right = around(lines < 0.5 * lines[top], int(top))
        taken[max(0, 2 * left - top) : 2 * right - top + 1] = True
        if left < 0 or right == lines.size:
            continue  # cut by the end of the scan
        half = 0.5 * lines[top]
        start = left + (half - lines[left]) / (lines[left + 1] - lines[left])
        stop = right - (half - lines[right]) / (lines[right - 1] - lines[right])
        found.append(float(stop - start))
        if len(found) == LINES:
            break
    return np.array(found)


def around(flags: NDArray[np.bool_], at: int) -> tuple[int, int]:
    """The nearest True before and after a point of `flags` (n,); -1 and n where there is none."""
    before, after = flags[:at][::-1], flags[at + 1 :]
    left = int(before.argmax()) if before.size else 0  # the first True: the rest is not looked at
    right = int(after.argmax()) if after.size else 0
    return at - 1 - left if before.size and before[left] else -1, at + 1 + right if after.size and after[right] else flags.size


def low_pass(intensity: ArrayLike, fwhm: float) -> tuple[FloatArray, float]:
    """Smooth `intensity` (n,) without broadening lines of `fwhm` points; returns it (n,) and the share of white noise's sigma that is left.

    The scan is mirrored at its end, so that the periodic transform sees no jump. Values do not fall below the scan's lowest.
    """
    counts = np.asarray(intensity, dtype=float)
    spectrum = np.fft.rfft(np.concatenate([counts, counts[::-1]]))
    frequency = np.arange(spectrum.size) / (2.0 * counts.size)
    edge = CUT / fwhm
    fall = np.clip((frequency / edge - 1.0) / (TAPER - 1.0), 0.0, 1.0)
    gain = 0.5 + 0.5 * np.cos(np.pi * fall)
    smooth = np.fft.irfft(spectrum * gain, 2 * counts.size)[: counts.size]
    return np.maximum(smooth, counts.min()), float(np.sqrt(np.mean(gain**2)))


def paper_criterion(intensity: ArrayLike) -> float:
    """The paper's noise criterion for a pattern on its grid (2251,): mean natural-log magnitude of the Fourier bins beyond `PAPER_KEEP`.

    Above `PAPER_LIMIT` the paper calls the scan noisy. Raises ValueError for a pattern longer than the buffer or without any change.
    """
    buffer = _paper_buffer(intensity)
    buffer -= median(buffer)
    spread = np.abs(buffer).std()
    if not spread > 0:
        raise ValueError("the pattern is constant, so its noise cannot be judged")
    magnitude = np.abs(np.fft.rfft(buffer / spread))[1:]
    return float(np.log(np.maximum(magnitude[PAPER_KEEP:], np.finfo(float).tiny)).mean())


def paper_filter(intensity: ArrayLike, keep: int = PAPER_KEEP) -> FloatArray:
    """The paper's filter for a pattern on its grid (n,), n <= 2284: median off, clipped at 0, scaled to maximum 1, first `keep` Fourier bins.

    Returns (n,). A pattern without anything above its median comes back as zeros. Raises ValueError as `paper_criterion` does for the length.
    """
    buffer = _paper_buffer(intensity)
    size = np.size(intensity)
    buffer = np.maximum(buffer - median(buffer), 0.0)
    top = buffer.max()
    if top > 0:
        spectrum = np.fft.rfft(buffer / top)
        spectrum[keep:] = 0.0
        buffer = np.fft.irfft(spectrum, PAPER_BUFFER)
    return buffer[PAPER_OFFSET : PAPER_OFFSET + size]


def _paper_buffer(intensity: ArrayLike) -> FloatArray:
    counts = np.asarray(intensity, dtype=float)
    room = PAPER_BUFFER - PAPER_OFFSET
    if counts.ndim != 1 or not 0 < counts.size <= room:
        raise ValueError(f"a pattern of 1 to {room} points is expected (the paper's grid has {PAPER_GRID.size}), got shape {counts.shape}")
    buffer = np.zeros(PAPER_BUFFER)
    buffer[PAPER_OFFSET : PAPER_OFFSET + counts.size] = counts
    return buffer
