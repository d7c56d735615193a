"""What a look at a scan says before, and beside, any answer: too few counts, a halo, fluorescence, a range that leaves out what matters."""

from __future__ import annotations

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import inverse_d_squared, powder_lines, reciprocal_metric
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.fft_filter import Filtered
from xrdmatch.preprocessing.recipe import opening, running_mean
from xrdmatch.search.comparison import Fits, Measured, strained

#: Noise of one point, relative to the strongest line, from which counts are few: lines of a fifth of the strongest are lost.
FEW_COUNTS = 0.07
#: Height of a hump, relative to the strongest line, from which a halo is told, and its least width in degrees.
HALO, HALO_WIDTH = 0.5, 6.0
#: Height of the lowest background, relative to the strongest line, from which fluorescence is suspected.
FLAT = 2.0


def notes(filtered: Filtered, measured: Measured, scan: Pattern) -> list[str]:
    """What is worth knowing of the scan itself, a sentence each. measured: `filtered` made ready for comparison."""
    said = []
    if filtered.noise > FEW_COUNTS:
        weakest = 300.0 * filtered.noise
        said.append(f"few counts: lines below {weakest:.0f} % of the strongest drown in noise; a longer scan would show more")
    step = measured.recipe.grid.step
    values, mask = measured.recipe.grid.resample(scan)
    top = float(measured.lines.max(initial=0.0))
    if top > 0 and mask.sum() * step > HALO_WIDTH:
        base = opening(running_mean(values[mask].astype(np.float32), round(0.5 / step) | 1), round(measured.recipe.background / step) | 1)
        floor = opening(base, round(HALO_WIDTH / step) | 1)
        straight = np.interp(np.arange(base.size), [0, base.size - 1], [floor[0], floor[-1]])
        angles = measured.recipe.grid.two_theta[mask]
        hump = np.where(angles > 8.0, base - np.minimum(straight, base), 0.0)  # below lies the primary beam
        if hump.max() > HALO * top:
            said.append(f"a broad halo around {angles[hump.argmax()]:.0f} deg (Cu): solvent, a capillary or amorphous matter; it hides weak lines")
        if float(base.min()) > FLAT * top:
            said.append("a high flat background: fluorescence (Co, Fe or Mn in Cu radiation?) or a holder; it hides weak lines")
    return said


def cut_off(library: Library, fits: Fits, i: int, measured: Measured, scan: Pattern) -> str:
    """Where the strongest line of candidate `i` of `fits` lies below the scan's first angle: a sentence that says so, or an empty one."""
    row = int(fits.rows[i])
    part = slice(int(library.offsets[row]), int(library.offsets[row + 1]))
    squared = inverse_d_squared(library.hkl[part], reciprocal_metric(strained(library.cell[row], fits.strain[i])))
    wavelength = scan.wavelength or measured.recipe.grid.wavelength
    angles, heights = powder_lines(library.intensity[part], squared, float(fits.b[i]), wavelength)
    if heights.size == 0:
        return ""
    strongest = float(angles[heights.argmax()])
    if strongest >= scan.two_theta[0] - 0.1:
        return ""
    name = str(library.name[row] or library.id[row])
    return f"the scan starts at {scan.two_theta[0]:.1f} deg; {name} has its strongest line at {strongest:.1f} deg: measure from lower angles"
