"""Files to go on with in a refinement program: the cell, the indexed lines, the peaks, and the scan as columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import d_spacing
from xrdmatch.errors import XrdMatchError
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.preprocessing.smoothing import running_mean
from xrdmatch.report.calculated_pattern import COUNTS, Overlay, overlay
from xrdmatch.search.indexed_lines import in_scan
from xrdmatch.search.line_evidence import strong_lines
from xrdmatch.search.result import Identification, Match
from xrdmatch.system.atomic_files import atomic_write, writing

#: Peaks above this percentage of the strongest are listed, and lines above that one.
PEAKS, LINES = 2.0, 0.1
#: A peak belongs to a line that lies within its width, and within this many degrees in any case.
REACH = 0.06

LINE_FIELDS = ("phase", "id", "name", "h", "k", "l", "d_angstrom", "two_theta_deg", "two_theta_scan_deg", "intensity_percent", "fwhm_deg", "state")
PEAK_FIELDS = ("two_theta_deg", "d_angstrom", "height", "height_percent", "phase", "h", "k", "l", "two_theta_line_deg")


@dataclass(frozen=True)
class Peak:
    """A measured line: 2theta in degrees in the scan, height above the background, and the phase's line (h, k, l, 2theta) it belongs to, if any."""

    angle: float
    height: float
    phase: int | None = None
    line: tuple[int, int, int, float] | None = None


def export(result: Identification, folder: Path, stem: str, shifted: bool = False) -> list[Path]:
    """Write what a refinement starts from into `folder` as files that begin with `stem`; returns them.

    STEM.xye and STEM.peaks.csv always; for a match or an ambiguous answer also STEM.lines.csv and, for each phase, STEM.cell.cif (of a second phase
    STEM.cell-2.cif). shifted: the zero shift of the best match is taken off the scan's and the peaks' angles. docs/figures.md says what they hold.
    Raises XrdMatchError where the answer has no scan or the place cannot be written.
    """
    scan, view = result.measured, overlay(result)
    if scan is None or view is None:
        raise XrdMatchError(f"{result.file}: there is no scan to export: {result.reason}")
    named = result.verdict in ("match", "ambiguous")
    phases = view.phases if named else ()
    offset = _offset(phases[0], scan) if shifted and phases else np.zeros(scan.two_theta.size)
    angles = scan.two_theta - offset
    peaks = find_peaks(scan, view, phases)
    files = {f"{stem}.xye": columns(angles, scan), f"{stem}.peaks.csv": comma_separated(PEAK_FIELDS, peak_rows(peaks, scan, offset))}
    if phases:
        files[f"{stem}.lines.csv"] = comma_separated(LINE_FIELDS, line_rows(phases))
    for match in phases:
        files[f"{stem}.cell{'' if match.phase == 1 else f'-{match.phase}'}.cif"] = cell_block(match, result)
    written = []
    for name, text in files.items():
        written.append(folder / name)
        with writing(written[-1]), atomic_write(written[-1]) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
    return written


def _offset(match: Match, scan: Pattern) -> NDArray[np.float64]:
    """(n,) degrees by which the match's shift moves each of the scan's points."""
    lines = match.lines
    if lines is None or len(lines) == 0:
        return np.zeros(scan.two_theta.size)
    order = np.argsort(lines.observed)
    return np.asarray(np.interp(scan.two_theta, lines.observed[order], (lines.observed - lines.two_theta)[order]))


def columns(angles: NDArray[np.float64], scan: Pattern) -> str:
    """2theta, intensity and its standard uncertainty, without a heading: what GSAS-II, TOPAS and FullProf all read."""
    time = float(scan.meta.get("counting_time", 1.0) or 1.0) if scan.meta.get("intensity_unit") == "cps" else 1.0
    sigma = np.sqrt(np.maximum(scan.intensity, 1.0 / time) / time)
    return "".join(f"{angle:.5f} {count:.8g} {error:.6g}\n" for angle, count, error in zip(angles, scan.intensity, sigma, strict=True))


def line_rows(phases: Sequence[Match]) -> Iterable[Sequence[Any]]:
    for match in phases:
        lines, found = match.lines, match.evidence
        if lines is None:
            continue
        listed = (("found", found.matched), ("missing", found.missing)) if found else ()
        states = {line[:3]: state for state, those in listed for line in those}
        for place in np.flatnonzero(lines.intensity >= LINES):
            h, k, m = (int(value) for value in lines.hkl[place])
            angles = (f"{lines.d[place]:.5f}", f"{lines.two_theta[place]:.4f}", f"{lines.observed[place]:.4f}")
            size = (f"{lines.intensity[place]:.2f}", f"{lines.width[place]:.3f}")
            yield (match.phase, match.id, match.name, h, k, m, *angles, *size, states.get((h, k, m), ""))


def find_peaks(scan: Pattern, view: Overlay, phases: Sequence[Match] = ()) -> list[Peak]:
    """The scan's lines above `PEAKS` percent, by angle, each with the line of a phase that it belongs to.

    Positions are the tops of parabolas through the three highest points of the scan, smoothed over a quarter of a line width.
    """
    ready = prepare_scan(scan, filter_mode="off").comparison
    near = in_scan(np.array([angle for angle, _ in strong_lines(ready, PEAKS)], dtype=float), scan.wavelength or ready.grid.wavelength)
    points = max(1, round(0.25 * ready.fwhm / scan.step)) | 1
    smooth = running_mean(scan.intensity, points)
    peaks = []
    for angle in near:
        inside = np.flatnonzero(np.abs(scan.two_theta - angle) <= max(0.5 * ready.fwhm, 2 * scan.step))
        if inside.size == 0:
            continue
        top = int(inside[smooth[inside].argmax()])
        place = _parabola(scan.two_theta, smooth, top)
        phase, line = _owner(place, phases)
        peaks.append(Peak(place, float(smooth[top] - view.background[top]), phase, line))
    return peaks


def _parabola(angles: NDArray[np.float64], counts: NDArray[np.float64], top: int) -> float:
    """The top of the parabola through three points; the point itself where they have none between them."""
    if not 0 < top < counts.size - 1:
        return float(angles[top])
    left, middle, right = counts[top - 1 : top + 2]
    bend = left - 2.0 * middle + right
    step = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(angles[top] + np.clip(step, -0.5, 0.5) * (angles[top + 1] - angles[top - 1]) / 2.0)


def _owner(angle: float, phases: Sequence[Match]) -> tuple[int | None, tuple[int, int, int, float] | None]:
    """The strongest line, of any phase, that a peak at `angle` may be."""
    best: tuple[float, int, tuple[int, int, int, float]] | None = None
    for match in phases:
        if match.lines is None:
            continue
        lines = match.lines
        for place in np.flatnonzero((np.abs(lines.observed - angle) < np.maximum(lines.width, REACH)) & (lines.intensity > COUNTS)):
            h, k, m = (int(value) for value in lines.hkl[place])
            if best is None or lines.intensity[place] > best[0]:
                best = (float(lines.intensity[place]), match.phase, (h, k, m, float(lines.two_theta[place])))
    return (best[1], best[2]) if best else (None, None)


def peak_rows(peaks: Sequence[Peak], scan: Pattern, offset: NDArray[np.float64]) -> Iterable[Sequence[Any]]:
    top = max((peak.height for peak in peaks), default=1.0)
    for peak in peaks:
        angle = peak.angle - float(np.interp(peak.angle, scan.two_theta, offset))
        d = f"{float(d_spacing(angle, scan.wavelength)):.5f}" if scan.wavelength else ""
        line = ("", "", "", "") if peak.line is None else (*peak.line[:3], f"{peak.line[3]:.4f}")
        yield (f"{angle:.4f}", d, f"{peak.height:.6g}", f"{100.0 * peak.height / top:.1f}", peak.phase or "", *line)


def comma_separated(fields: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Comma-separated text with a row of names."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(rows)
    return stream.getvalue()


def cell_block(match: Match, result: Identification) -> str:
    """A CIF with the adjusted cell of a phase and no atoms: for a Pawley or Le Bail fit, and to start a Rietveld refinement's cell from."""
    cell, group = (match.lines.cell, match.lines.space_group) if match.lines is not None else (np.full(6, np.nan), "P 1")
    a, b, c = (f"{100 * value:+z.2f}" for value in match.strain)
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    rows = [
        f"data_{re.sub(r'[^A-Za-z0-9_.-]', '_', match.id) or 'phase'}",
        f"# Cell of {one_line(match.id)} from the library, a b c changed by {a} {b} {c} % to fit {one_line(Path(result.file).name)}.",
        "# Found by comparison, not refined. No atoms: take them, and the structure's space group, from its paper. This group is the highest one",
        "# that the lattice allows: it leaves out no line.",
        *([f"_chemical_name_common {quoted(match.name)}"] if match.name else []),
        f"_chemical_formula_sum {quoted(match.formula)}",
        *(f"_cell_{name} {value:.{4 if place < 3 else 3}f}" for place, (name, value) in enumerate(zip(names, cell, strict=True))),
        f"_space_group_name_H-M_alt {quoted(group)}",
        *([f"_diffrn_radiation_wavelength {result.wavelength:.6f}"] if result.wavelength else []),
        *([f"_citation_doi {quoted(match.doi)}"] if match.doi else []),
    ]
    return "\n".join(rows) + "\n"


def one_line(text: str) -> str:
    """Text for a comment: ASCII, without line breaks."""
    return re.sub(r"[^ -~]", "?", text)


def quoted(text: str) -> str:
    """A CIF value in quotes that it does not hold itself."""
    plain = one_line(text)
    return f"'{plain}'" if "'" not in plain else '"' + plain.replace('"', "?") + '"'
