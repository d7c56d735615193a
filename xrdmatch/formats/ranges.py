"""From the ranges of a file to one validated pattern: the rules that hold for every vendor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.quantiles import median
from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.peaks import drawn
from xrdmatch.formats.scan import MAX_POINTS, Scan, noted, other_axis, plain
from xrdmatch.notes import Note, note

#: Angles closer than this (degrees) are the same position; the finest goniometers step 1e-4.
SAME_ANGLE = 1e-6


@dataclass(frozen=True)
class ReadOptions:
    """What a user may choose of a file that leaves a choice.

    range_index: one of several ranges, from 1; without it they are joined where they follow each other, else the longest is taken. column: one of
    several samples, by its name or its number from 1; without it the first is taken. peaks: draw a list of peaks as a scan. wavelength: angstrom, to
    convert q or d with where the file states none.
    """

    range_index: int | None = None
    column: str | None = None
    peaks: bool = False
    wavelength: float | None = None


def to_pattern(scans: list[Scan], name: str, options: ReadOptions) -> Pattern:
    """One pattern from the scans of a file.

    Raises ReadError where there is none, where it is no 2theta scan, or where it is a list of peaks and these were not asked for.
    """
    if not scans:
        raise ReadError("holds no scan")
    scans, notes = _of_one_sample(scans, options.column)
    if options.range_index is not None:
        if not 1 <= options.range_index <= len(scans):
            raise ReadError(f"has no range {options.range_index}: {_list(scans)}; give --range-index 1 to {len(scans)}")
        chosen = [options.range_index - 1]
    else:
        # An alignment scan stored beside the measurement must not hide it.
        chosen = [at for at, scan in enumerate(scans) if not other_axis(scan.axis)] or [0]
    other = other_axis(scans[chosen[0]].axis)
    if other:
        raise ReadError(f"not a 2theta scan: it is {other}; measure or export a 2theta (theta-2theta) scan")
    whole = {at: _with_angles(scans[at], options) for at in chosen}
    parts = sorted(((at, *ordered(scan.two_theta, scan.intensity)) for at, scan in whole.items()), key=lambda part: float(part[1][0]))
    if len(parts) > 1 and (reason := _why_not_joined([(whole[at], angles) for at, angles, _ in parts])):
        parts = [max(parts, key=lambda part: float(part[1][-1] - part[1][0]))]
        notes = (*notes, note("range_chosen", taken=parts[0][0] + 1, why=reason, ranges=_list(scans)))
    joined, scan = [whole[at] for at, _, _ in parts], whole[parts[0][0]]
    angles, counts = parts[0][1:]
    if len(parts) > 1:
        angles, counts = np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])
    meta = dict(scan.meta)
    notes = tuple(dict.fromkeys((*(told for part in joined for told in part.meta.get("notes", ())), *notes)))
    meta |= {"notes": notes} if notes else {}
    if scan.axis:
        meta.setdefault("scan_axis", scan.axis)
    if scan.column:
        meta["column"] = scan.column
    return Pattern(angles, counts, scan.wavelength, name, meta)


def _of_one_sample(scans: list[Scan], column: str | None) -> tuple[list[Scan], tuple[Note, ...]]:
    """The scans of one sample of a table of several; with a note of the others where the user has not chosen."""
    columns = list(dict.fromkeys(scan.column for scan in scans if scan.column))
    if column is None:
        if len(columns) < 2:
            return scans, ()
        return [scan for scan in scans if scan.column == columns[0]], (note("first_column", column=columns[0], others=tuple(columns[1:])),)
    wanted = next((name for name in columns if name == column), None)
    wanted = wanted or next((name for name in columns if plain(name) == plain(column) and plain(name)), None)
    if wanted is None and column.isdecimal() and 1 <= int(column) <= len(columns):
        wanted = columns[int(column) - 1]
    if wanted is None:
        there = f"it has {', '.join(columns[:20])}" if columns else "it holds one sample"
        raise ReadError(f"has no column {column!r}: {there}; --column takes a name, or a number from 1")
    return [scan for scan in scans if scan.column == wanted], ()


def _with_angles(scan: Scan, options: ReadOptions) -> Scan:
    """The scan over 2theta in degrees, with a note where it was converted; a list of peaks drawn."""
    scan = replace(scan, meta=dict(scan.meta))
    if scan.is_peaks and not options.peaks:
        raise ReadError(f"is a list of {scan.two_theta.size} peaks, not a scan: give the scan itself, or draw the list with --peaks")
    known = scan.abscissa
    if known is not None and not known.is_two_theta:
        wavelength = options.wavelength or scan.wavelength
        scan.two_theta = known.to_two_theta(scan.two_theta, wavelength)
        noted(scan.meta, "converted", what=known.what, called=known.called, wavelength=wavelength if known.needs_wavelength else None)
        scan.wavelength = scan.wavelength or (wavelength if known.needs_wavelength else None)
    return drawn(scan) if scan.is_peaks else scan


def ordered(two_theta: NDArray[np.float64], intensity: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles strictly increasing: a descending scan is turned round, repeated sweeps are averaged.

    Where only some angles occur twice (two ranges that share their seam), every point stays, the later ones moved by some 1e-6 degrees.
    """
    if two_theta.shape != intensity.shape or two_theta.ndim != 1:
        raise UnfinishedError(f"holds {two_theta.size} angles but {intensity.size} intensities: is it still being written?")
    if not 2 <= two_theta.size <= MAX_POINTS:
        raise ReadError(f"holds {two_theta.size} point{'s' * (two_theta.size != 1)}, a scan has 2 to {MAX_POINTS}")
    if not (np.isfinite(two_theta).all() and np.isfinite(intensity).all()):
        raise ReadError("holds numbers that are not finite (inf or nan): export the scan again")
    if np.abs(two_theta).max() > 180.0:
        raise ReadError(
            f"its angles run from {two_theta.min():g} to {two_theta.max():g}, but 2theta is at most 180 degrees: are these really angles?"
        )
    if np.abs(intensity).max() > 1e30:
        raise ReadError(f"its largest intensity is {np.abs(intensity).max():.3g}, more than any detector counts: the file is damaged")
    _check_sweeps(two_theta)
    order = np.argsort(two_theta, kind="stable")
    angles, counts = two_theta[order], intensity[order]
    first = np.concatenate([[True], np.diff(angles) > SAME_ANGLE])
    if not first.all():
        group = np.cumsum(first) - 1
        visits = np.bincount(group)
        apart = angles[first][group] + 2 * SAME_ANGLE * (np.arange(angles.size) - np.flatnonzero(first)[group])
        if np.count_nonzero(visits > 1) < 0.5 * visits.size and (np.diff(apart) > 0).all():
            angles = apart
        else:
            counts, angles = np.bincount(group, counts) / visits, angles[first]
    if angles.size < 2:
        raise ReadError(f"all its points lie at {angles[0]:g} degrees, so it is not a 2theta scan")
    return angles, counts


def _check_sweeps(two_theta: NDArray[np.float64]) -> None:
    """Refuses angles that stand still or run forth and back, unless each sweep visits the same angles or the sweeps hardly overlap."""
    steps = np.diff(two_theta)
    still = np.count_nonzero(np.abs(steps) <= SAME_ANGLE)
    if two_theta.size > 4 and still > 0.6 * steps.size:
        raise ReadError("its first column mostly repeats the same numbers, unlike 2theta: are these really angles, with decimal points or commas?")
    falls, rises = np.flatnonzero(steps < -SAME_ANGLE), np.flatnonzero(steps > SAME_ANGLE)
    turns = falls if rises.size >= falls.size else rises
    if turns.size == 0:
        return
    sweeps = np.split(two_theta, turns + 1)
    first = sweeps[0]
    same = all(sweep.size == first.size and np.allclose(sweep, first, rtol=0, atol=SAME_ANGLE) for sweep in sweeps)
    ends = sorted((float(sweep.min()), float(sweep.max())) for sweep in sweeps)
    overlap = sum(max(0.0, left[1] - right[0]) for left, right in pairwise(ends))
    hardly = overlap <= 0.1 * (ends[-1][1] - ends[0][0])
    if min(sweep.size for sweep in sweeps) < 3 or not (same or hardly):
        raise ReadError(f"its first column does not rise or fall steadily ({len(sweeps)} sweeps), unlike 2theta: are these really angles?")


def _why_not_joined(parts: list[tuple[Scan, NDArray[np.float64]]]) -> str:
    """Why ranges, sorted by first angle, do not make one scan; "" where they do."""
    for (left, before), (right, after) in pairwise(parts):
        step, next_step = float(median(np.diff(before))), float(median(np.diff(after)))
        gap = float(after[0] - before[-1])
        if gap <= SAME_ANGLE:
            return "they overlap"
        if abs(step - next_step) > 0.01 * step:
            return f"their steps differ: {step:.4g} and {next_step:.4g} degrees"
        if gap > 1.5 * step:
            return f"a gap of {gap:.4g} degrees at {before[-1]:.4g}"
        times = left.meta.get("counting_time"), right.meta.get("counting_time")
        if times[0] and times[1] and abs(times[0] - times[1]) > 0.01 * times[0]:
            return f"their counting times differ: {times[0]:g} and {times[1]:g} s per step"
        if left.wavelength != right.wavelength:
            return "their wavelengths differ"
    return ""


def _list(scans: list[Scan]) -> str:
    """`1: 5 to 90 deg, 4251 points; 2: ...`, the first twenty ranges."""
    entries = []
    for number, scan in enumerate(scans[:20], start=1):
        low, high = (float(scan.two_theta.min()), float(scan.two_theta.max())) if scan.two_theta.size else (0.0, 0.0)
        label = other_axis(scan.axis) or scan.meta.get("range_name", "")
        entries.append(f"{number}: {low:.5g} to {high:.5g} deg, {scan.two_theta.size} points" + (f" ({label})" if label else ""))
    if len(scans) > 20:
        entries.append(f"and {len(scans) - 20} more")
    return "; ".join(entries)
