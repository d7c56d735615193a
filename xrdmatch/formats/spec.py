"""SPEC files of synchrotron beamlines and laboratories: `#S` begins a scan, `#L` names its columns, rows of numbers follow.

Layout: the manual of spec (Certified Scientific Software, "Standard data file format"). By its convention the last column is the detector. A scan is
2theta where a column of that name moves; theta alone is a rocking scan here, since spec moves 2theta by a motor of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.abscissa import Abscissa, abscissa
from xrdmatch.formats.scan import MAX_LINE, MAX_POINTS, Scan, decode, details, lines, noted, other_axis, plain, stated_wavelength

_MAX_SCANS = 2000
#: Columns that are no detector.
_NO_COUNTER = re.compile(r"epoch|sec(ond)?s?|time|(dwell|count|live|dead)time|mon(itor)?\d?|i0|ic0|temp(erature)?|h|k|l|points?|index")
#: What is scanned, by the command, whatever columns there are beside it; and motors by their mnemonics.
_COMMANDS = ((re.compile(r"[hkl]{1,3}scan|rscan|hklline"), "hkl"), (re.compile(r"e(nergy)?scan"), "energy"))
_MOTORS = {"th": "theta", "om": "omega", "kth": "theta", "en": "energy"}


@dataclass
class _Block:
    """One `#S`: its command, the labels of its columns, the lines of its data, and what its header says."""

    number: str
    command: str
    labels: list[str] = field(default_factory=list)
    width: int = 0
    rows: list[str] = field(default_factory=list)
    date: str = ""
    time: float | None = None
    comments: list[str] = field(default_factory=list)
    positions: list[float] = field(default_factory=list)
    motors: list[str] = field(default_factory=list)


def read(data: bytes) -> list[Scan]:
    """The scans of a SPEC file. Raises ReadError where none of them is a 2theta scan, and says what they are."""
    blocks = _blocks(decode(data))
    if not blocks:
        raise UnfinishedError("is a SPEC file without a scan: is it still being written?")
    scans = [scan for at, block in enumerate(blocks, start=1) if (scan := _scan(block, at == len(blocks))) is not None]
    if not scans:
        raise UnfinishedError("is a SPEC file whose scans have no points yet: is it still being written?")
    if all(other_axis(scan.axis) for scan in scans):
        last = max(blocks, key=lambda block: len(block.rows))
        what = other_axis(_axis(last)) or "a scan of something else"
        raise ReadError(
            f"is a SPEC file without a 2theta scan: scan {last.number} ({last.command[:60]}) is {what}, with the columns "
            f"{', '.join(last.labels[:20]) or 'without names'}; give the file of a 2theta scan, or export columns of 2theta and intensity"
        )
    return scans


def _blocks(text: str) -> list[_Block]:
    blocks: list[_Block] = []
    motors: dict[int, list[str]] = {}
    comments: list[str] = []
    skipping = False
    for line in lines(text):
        line = line.strip()
        # The spectrum of a multichannel analyser goes over several lines, each but the last with a backslash at its end.
        if skipping or line.startswith("@"):
            skipping = line.endswith("\\")
            continue
        mark, _, value = line.partition(" ")
        value = value.strip()
        if re.fullmatch(r"#[Oo]\d+", mark) and mark[1] == "O":
            if mark == "#O0" and not blocks:
                motors = {}
            motors[int(mark[2:6])] = re.split(r"\s{2,}|\t", value) if "  " in value or "\t" in value else value.split()
        elif mark.upper() == "#S":
            number, _, command = value.partition(" ")
            blocks.append(
                _Block(number, " ".join(command.split()), motors=[name for at in sorted(motors) for name in motors[at]], comments=comments[:])
            )
        elif blocks and mark.startswith("#"):
            _head(blocks[-1], mark.upper(), value)
        elif mark.upper() in ("#C", "#U") and len(comments) < 200:
            comments.append(value)
        elif blocks and line:
            blocks[-1].rows.append(line)
        if len(blocks) > _MAX_SCANS:
            raise ReadError(f"is a SPEC file of more than {_MAX_SCANS} scans: give one scan per file")
    return blocks


def _head(block: _Block, mark: str, value: str) -> None:
    if mark == "#L":
        block.labels = _labels(value, block.width)
    elif mark == "#N" and value.split() and value.split()[0].isdigit():
        block.width = int(value.split()[0][:6])
        block.labels = _labels("  ".join(block.labels), block.width)
    elif mark == "#D" and not block.date:
        block.date = value
    elif mark == "#T":
        block.time = _number(value.split()[0]) if value else None
    elif re.fullmatch(r"#P\d+", mark):
        block.positions += [_number(word) or 0.0 for word in value.split()]
    elif mark in ("#C", "#U") and len(block.comments) < 400:
        block.comments.append(value)


def _labels(value: str, width: int) -> list[str]:
    """Names of columns, between which stand two blanks; some programs write one where no name has any."""
    labels = [label for label in re.split(r"\s{2,}|\t", value.strip()) if label]
    words = value.split()
    return words if width and len(labels) != width and len(words) == width else labels


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _table(block: _Block, last: bool) -> tuple[NDArray[np.float64], bool]:
    """(points, columns), and whether the last record breaks off."""
    width = len(block.labels) or block.width
    rows: list[list[float]] = []
    for at, row in enumerate(block.rows):
        words = row[:MAX_LINE].split()
        numbers = [number for word in words if (number := _number(word)) is not None]
        width = width or len(words)
        if len(numbers) != len(words) or len(numbers) != width:
            if last and at == len(block.rows) - 1:
                return np.array(rows).reshape(-1, width), True
            raise ReadError(f"scan {block.number} of this SPEC file has {len(words)} columns in a row, but names {width}: the file is damaged")
        rows.append(numbers)
        if len(rows) > MAX_POINTS:
            raise ReadError(f"holds more than {MAX_POINTS} rows: give one scan per file")
    return np.array(rows).reshape(-1, max(width, 1)), False


def _scan(block: _Block, last: bool) -> Scan | None:
    """The scan of a block; None where it has no points. Its axis says what it is where it is no 2theta scan."""
    table, broken = _table(block, last)
    if len(table) < 2 or table.shape[1] < 2:
        return None
    wavelength = _wavelength(block)
    meta = details(format="SPEC", date=block.date, counting_time=block.time, wavelength_kind="stated" if wavelength else None)
    planned = _planned(block.command)
    if broken:
        noted(meta, "broken_record")
    elif planned and len(table) < planned:
        noted(meta, "stopped_early", points=len(table), planned=planned)
    chosen = _abscissa(block, table)
    if chosen is None:
        return Scan(table[:, 0], table[:, -1], wavelength, _axis(block), meta)
    column, meant = chosen
    return Scan(table[:, column], table[:, _counter(block, column)], wavelength, "", meta, meant)


def _abscissa(block: _Block, table: NDArray[np.float64]) -> tuple[int, Abscissa] | None:
    """The column of the scan's abscissa and what it is: 2theta where it moves, else q or d where a reduced scan has it first."""
    if any(pattern.fullmatch(block.command.lower().split(" ")[0]) for pattern, _ in _COMMANDS):
        return None
    meanings = [abscissa(label) for label in block.labels]
    for at, meant in enumerate(meanings):
        named = meant is not None and "2theta" in meant.what and re.search(r"2|tw?o?t", plain(block.labels[at])) is not None
        if named and meant is not None and np.ptp(table[:, at]) > 0:
            return at, meant
    first = meanings[0] if meanings else None
    if first is not None and first.needs_wavelength and np.ptp(table[:, 0]) > 0:
        return 0, first
    return None


def _counter(block: _Block, column: int) -> int:
    """The last column that is neither the abscissa nor a motor, a time or a monitor; the last but the abscissa where all are."""
    others = [at for at in range(len(block.labels)) if at != column]
    counters = [at for at in others if not _NO_COUNTER.fullmatch(plain(block.labels[at])) and block.labels[at] not in block.motors]
    return (counters or others)[-1]


def _axis(block: _Block) -> str:
    """What is scanned, for a scan without a column of 2theta: after its command, else its first column."""
    words = block.command.split()
    command = words[0].lower() if words else ""
    name = next((name for pattern, name in _COMMANDS if pattern.fullmatch(command)), "")
    if name:
        return name
    motor = words[1] if len(words) > 1 and _number(words[1]) is None else ""
    label = block.labels[0] if block.labels else ""
    meant = abscissa(label)
    known = next((name for name in (label, _MOTORS.get(plain(motor), motor)) if other_axis(name, known_only=True)), "")
    if known or (meant is not None and meant.is_two_theta):
        # A column called 2theta that stands still: what moves is the motor of the command.
        return known or _MOTORS.get(plain(motor), motor) or "something else"
    return label or motor or "something else"


def _planned(command: str) -> int | None:
    """Points that a scan command asks for: intervals stand before the time, `ascan tth 5 50 2250 1`. None for other commands."""
    words = command.split()
    if len(words) < 6 or not re.fullmatch(r"[ad]\d?scan|lup|th2th", words[0].lower()):
        return None
    intervals = _number(words[-2])
    return int(intervals) + 1 if intervals is not None and intervals == int(intervals) and 0 < intervals < MAX_POINTS else None


def _wavelength(block: _Block) -> float | None:
    """A wavelength in angstrom that a comment or a motor of that name states, or an energy in keV or eV as a motor."""
    for comment in block.comments:
        found = re.search(r"(?:wave ?length|lambda)\D{0,40}?(\d*\.\d+(?:e[-+]?\d{1,2})?)", comment, re.IGNORECASE)
        if found:
            return stated_wavelength(float(found[1]), comment[found.end() :])
    for name, position in zip(block.motors, block.positions, strict=False):
        if plain(name) in ("wavelength", "lambda"):
            return stated_wavelength(position, "")
    return None
