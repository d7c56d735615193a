"""Whether a scan can be judged, and what a look at it says beside any answer: counts, halo, fluorescence, a range that leaves out what matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xrdmatch.diffraction.lattice import strained
from xrdmatch.diffraction.radiation import CU_K_ALPHA, inverse_d_squared, powder_lines, reciprocal_metric
from xrdmatch.library.reference_library import Library
from xrdmatch.notes import Note, note
from xrdmatch.preprocessing.fft_filter import around
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal, PreparedScan
from xrdmatch.preprocessing.smoothing import opening, running_mean
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.line_evidence import strong_lines

#: Angular span (degrees at Cu) below which a scan is not enough to tell frameworks apart.
SHORTEST = 8.0
#: A scan needs this many lines, each this many noise levels high, to be called crystalline, and this many for a framework to be named.
LINES_NEEDED, LINES_NAMED, LINE_LEVEL = 2, 3, 6.0
#: Least height of a line that counts, percent of the strongest.
CLEAR_HEIGHT = 2.0
#: Polyimide and like films, which samples are held by, scatter in humps at these angles (Cu; within the tolerance), wider than this (all in degrees).
FILM, FILM_NEAR, FILM_WIDTH = (5.55, 14.4), 0.3, 0.4
#: Noise of one point, relative to the strongest line, from which counts are few: lines of a fifth of the strongest are lost.
FEW_COUNTS = 0.07
#: Height of a hump, relative to the strongest line, from which a halo is told, its least width, and the angle below which the primary beam lies,
#: degrees.
HALO, HALO_WIDTH, PRIMARY_BEAM = 0.5, 6.0, 8.0
#: Height of the lowest background, relative to the strongest line, from which fluorescence is suspected.
FLAT = 2.0


def unusable(scan: ComparisonSignal, needed: int = LINES_NEEDED, clear: Sequence[float] | None = None) -> Note | None:
    """Why no framework can be named from this scan, if so. needed: lines that have to stand out; clear: those that do, where known."""
    grid = scan.grid
    span = float(scan.mask.sum()) * grid.step
    if span < SHORTEST:
        return note("range_too_short", span=span, start=grid.start, stop=grid.stop, needed=SHORTEST)
    clear = clear_lines(scan) if clear is None else clear
    return note("too_few_lines", lines=len(clear), needed=needed) if len(clear) < needed else None


def clear_lines(scan: ComparisonSignal) -> list[float]:
    """2theta in degrees of the lines that stand out of the noise; without flanks at the ends of the range and the humps of a sample holder's film."""
    grid, lines, top = scan.grid, scan.lines, float(scan.lines.max(initial=0.0))
    level = LINE_LEVEL * (scan.noise_typical if scan.noise_typical > 0 else 1e-3 * top)
    clear = []
    for angle, height in strong_lines(scan, CLEAR_HEIGHT):
        at = grid.nearest(angle)
        before, after = around((lines < 0.5 * lines[at]) & scan.mask, at)
        if 0.01 * height * top <= level or before < 0 or after == lines.size:
            continue
        width = (after - before) * grid.step
        if width < FILM_WIDTH or min(abs(angle - hump) for hump in FILM) > FILM_NEAR:
            clear.append(angle)
    return clear


def quality_notes(scan: PreparedScan) -> list[Note]:
    """What is worth knowing of a scan itself: an assumed wavelength, what its reader said, counts, halo, background."""
    assumed = [note("wavelength_assumed", wavelength=CU_K_ALPHA)] if scan.wavelength_source == "default" else []
    found = [*assumed, *scan.measured.meta.get("notes", ())]
    if scan.filtered.noise > FEW_COUNTS:
        found.append(note("few_counts", weakest=3.0 * scan.filtered.noise))
    return [*found, *_background_notes(scan)]


def _background_notes(scan: PreparedScan) -> list[Note]:
    signal, found = scan.comparison, []
    step = signal.grid.step
    values, mask = signal.grid.resample(scan.measured)
    top = float(signal.lines.max(initial=0.0))
    if top > 0 and mask.sum() * step > HALO_WIDTH:
        base = opening(running_mean(values[mask].astype(np.float32), round(0.5 / step) | 1), round(signal.recipe.background / step) | 1)
        floor = opening(base, round(HALO_WIDTH / step) | 1)
        straight = np.interp(np.arange(base.size), [0, base.size - 1], [floor[0], floor[-1]])
        angles = signal.grid.two_theta[mask]
        hump = np.where(angles > PRIMARY_BEAM, base - np.minimum(straight, base), 0.0)
        if hump.max() > HALO * top:
            found.append(note("halo", two_theta=float(angles[hump.argmax()])))
        if float(base.min()) > FLAT * top:
            found.append(note("high_background"))
    return found


def cut_off(library: Library, best: Candidates, scan: PreparedScan) -> list[Note]:
    """A note where the strongest line of the first candidate lies below the scan's first angle."""
    row, start = int(best.rows[0]), float(scan.measured.two_theta[0])
    part = slice(int(library.offsets[row]), int(library.offsets[row + 1]))
    squared = inverse_d_squared(library.hkl[part], reciprocal_metric(strained(library.cell[row], best.strain[0])))
    angles, heights = powder_lines(library.intensity[part], squared, float(best.debye_waller[0]), scan.wavelength)
    if heights.size == 0:
        return []
    strongest = float(angles[heights.argmax()])
    name = str(library.name[row] or library.id[row])
    return [note("strongest_line_cut_off", start=start, name=name, two_theta=strongest)] if strongest < start - 0.1 else []
