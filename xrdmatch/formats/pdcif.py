"""Powder patterns in CIF (the pdCIF dictionary of the IUCr): a loop with intensities, and angles in the loop or as a range.

Only what a pattern needs is parsed; structures are for `xrdmatch simulate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import ANODES
from xrdmatch.errors import ReadError
from xrdmatch.formats.abscissa import Abscissa, abscissa
from xrdmatch.formats.scan import MAX_POINTS, Scan, decode, details, first_number, grid, lines, noted, radiation

#: In the order of preference.
_ANGLES = ("_pd_proc_2theta_corrected", "_pd_meas_2theta_corrected", "_pd_meas_2theta_scan", "_pd_meas_angle_2theta")
#: What a pattern may have instead, and what it is, as `abscissa` takes it. Units are those of the dictionary.
_OTHERS = {
    "_pd_proc_d_spacing": "d [A]",
    "_pd_proc_recip_len_q": "q [1/A]",
    "_pd_proc_energy_incident": "energy [eV]",
    "_pd_proc_energy_detection": "energy [eV]",
    "_pd_meas_time_of_flight": "time of flight [us]",
    "_pd_proc_wavelength": "wavelength [A]",
}
_PEAKS = (("_pd_peak_2theta_centroid", "2theta"), ("_pd_peak_2theta_maximum", "2theta"), ("_pd_peak_d_spacing", "d [A]"))
_PEAK_HEIGHTS = ("_pd_peak_intensity", "_pd_peak_pk_height")
#: In the order of preference: raw, processed, and calculated for lack of anything else.
_INTENSITIES = (
    "_pd_meas_counts_total",
    "_pd_meas_intensity_total",
    "_pd_proc_intensity_total",
    "_pd_meas_counts_net",
    "_pd_meas_intensity_net",
    "_pd_proc_intensity_net",
    "_pd_calc_intensity_total",
    "_pd_calc_intensity_net",
)
_MAX_VALUES, _MAX_BLOCKS = 5_000_000, 2000
_Numbers = NDArray[np.float64]


@dataclass
class _Block:
    """A data block: values by tag, and loops of tags and flat values. Dots of tags, which the newer dictionaries have, are underscores here."""

    items: dict[str, str] = field(default_factory=dict)
    loops: list[tuple[list[str], list[str]]] = field(default_factory=list)


def read(data: bytes) -> list[Scan]:
    """The measured patterns of a CIF, one for each data block that has one. Raises ReadError where there is none, or a structure."""
    blocks = _parse(decode(data))
    whole = _Block({}, [loop for block in blocks for loop in block.loops])
    for block in blocks:
        whole.items = {**block.items, **whole.items}
    for find in (_pattern, _peaks):
        scans = [scan for block in blocks if (scan := find(block, whole)) is not None]
        if scans:
            return scans
    if "_cell_length_a" in whole.items or any("_atom_site_fract_x" in tags for tags, _ in whole.loops):
        raise ReadError("is a crystal structure, not a measured pattern: use `xrdmatch simulate` to turn it into one")
    raise ReadError("is a CIF without a powder pattern (no loop with _pd_meas_ or _pd_proc_ intensities)")


def _pattern(block: _Block, whole: _Block) -> Scan | None:
    """The pattern of a block; None where it has no loop of intensities."""
    for tags, values in block.loops:
        intensity = next((tag for tag in _INTENSITIES if tag in tags), None)
        if intensity is None or len(values) < len(tags):
            continue
        table = {tag: values[at :: len(tags)] for at, tag in enumerate(tags)}
        counts = _values(table[intensity])
        positions, meant = _positions(block, table, counts.size)
        scan = _scan(block, whole, positions, counts)
        scan.abscissa = meant
        if len(values) % len(tags):
            noted(scan.meta, "broken_record")
        return scan
    return None


def _peaks(block: _Block, whole: _Block) -> Scan | None:
    """The peaks that a block lists; None where it lists none."""
    for tags, values in block.loops:
        place = next(((tag, name) for tag, name in _PEAKS if tag in tags), None)
        height = next((tag for tag in _PEAK_HEIGHTS if tag in tags), None)
        if place is not None and height is not None and len(values) >= len(tags):
            scan = _scan(block, whole, *(_values(values[tags.index(tag) :: len(tags)]) for tag in (place[0], height)))
            scan.abscissa, scan.is_peaks = abscissa(place[1]), True
            return scan
    return None


def _scan(block: _Block, whole: _Block, positions: _Numbers, counts: _Numbers) -> Scan:
    count = min(positions.size, counts.size)
    there = np.isfinite(positions[:count]) & np.isfinite(counts[:count])
    wavelength, meta = _radiation(block.items, block.loops)
    if wavelength is None:
        # Programs that write the structure and its pattern keep the radiation in a block of its own.
        wavelength, meta = _radiation(whole.items, whole.loops)
    told = [block.items.get(tag) or whole.items.get(tag) for tag in ("_pd_meas_datetime_initiated", "_pd_spec_description")]
    meta |= details(format="powder CIF", date=told[0], sample=told[1])
    return Scan(positions[:count][there], counts[:count][there], wavelength, "", meta)


def _positions(block: _Block, table: dict[str, list[str]], count: int) -> tuple[_Numbers, Abscissa | None]:
    """2theta as a column or a range; else what the pattern has instead, the first of it that leads to 2theta."""
    angles = next((tag for tag in _ANGLES if tag in table), None)
    if angles is not None:
        return _values(table[angles]), None
    others = [(tag, abscissa(name)) for tag, name in _OTHERS.items() if tag in table]
    if not others or any(tag.startswith(("_pd_proc_2theta_range_", "_pd_meas_2theta_range_")) for tag in block.items):
        return _range(block.items, count), None
    tag, meant = next(((tag, meant) for tag, meant in others if meant is not None and meant.angles is not None), others[0])
    return _values(table[tag]), meant


def _parse(text: str) -> list[_Block]:
    """The data blocks of a CIF; of a tag that a block repeats, the first value counts."""
    blocks = [_Block()]
    tags: list[str] | None = None
    values: list[str] = []
    tag = ""
    total = 0
    for token in _tokens(text):
        folded = token.lower()
        if folded == "loop_" or folded.startswith(("data_", "save_")):
            tags, tag = ([], "") if folded == "loop_" else (None, "")
            values = []
            if folded.startswith("data_"):
                blocks.append(_Block())
        elif token.startswith("_"):
            if tags is not None and values:
                tags = None
            if tags is not None:
                if not tags:
                    blocks[-1].loops.append((tags, values))
                tags.append(_tag(folded))
            else:
                tag = _tag(folded)
        elif tags:
            values.append(token)
            total += 1
            if total > _MAX_VALUES:
                raise ReadError(f"holds more than {_MAX_VALUES} values: export the pattern alone")
        elif tag:
            blocks[-1].items.setdefault(tag, token)
            tag = ""
        if len(blocks) > _MAX_BLOCKS:
            raise ReadError(f"holds more than {_MAX_BLOCKS} data blocks: export the pattern alone")
    return blocks


def _tag(name: str) -> str:
    """A tag as the older dictionaries spell it: `_pd_meas.2theta_scan` and `_diffrn_radiation_wavelength.value` have a dot in the newer ones."""
    category, _, item = name.partition(".")
    if not item:
        return name
    return category if category == "_diffrn_radiation_wavelength" and item in ("value", "wavelength") else f"{category}_{item}"


def _tokens(text: str) -> Iterator[str]:
    """Words of a CIF without quotes and comments; a text between lines that begin with a semicolon is one word."""
    block: list[str] | None = None
    for line in lines(text):
        if line.startswith(";"):
            if block is None:
                block = [line[1:]]
                continue
            yield "\n".join(block)[:2000]
            block, line = None, line[1:]
        if block is not None:
            if len(block) < 200:
                block.append(line)
            continue
        if len(line) > 100_000:
            raise ReadError("holds a line of more than 100,000 characters, which no CIF has: the file is damaged")
        yield from _words(line)


def _words(line: str) -> Iterator[str]:
    """Words of one line: quoted ones without their quotes, nothing after a `#`. A quote ends where a blank follows it."""
    at, size = 0, len(line)
    unclosed: set[str] = set()
    while at < size:
        if line[at].isspace():
            at += 1
            continue
        mark = line[at]
        if mark == "#":
            return
        end = -1
        if mark in "'\"" and mark not in unclosed:
            end = line.find(mark, at + 1)
            while 0 <= end < size - 1 and not line[end + 1].isspace():
                end = line.find(mark, end + 1)
            if end < 0:
                # Remembered, so that a line of many open quotes is searched once and not once for each.
                unclosed.add(mark)
        if end >= 0:
            yield line[at + 1 : end]
            at = end + 1
            continue
        word = line[at:].split(None, 1)[0] if size - at < 4000 else line[at : at + 4000].split(None, 1)[0]
        yield word
        at += len(word)


def _values(words: list[str]) -> _Numbers:
    """Numbers without their standard uncertainties: `5540(160)` -> 5540; NaN for `.` and `?`."""
    if len(words) > MAX_POINTS:
        raise ReadError(f"holds {len(words)} points, a scan has at most {MAX_POINTS}")
    return np.array([float("nan") if word in {".", "?"} else float(word.partition("(")[0]) for word in words])


def _range(items: dict[str, str], count: int) -> _Numbers:
    """Angles from the first, the last and the step; processed (zero-corrected) ones where given."""
    for kind in ("_pd_proc_2theta_range_", "_pd_meas_2theta_range_"):
        low, high, step = (first_number(items.get(kind + end)) for end in ("min", "max", "inc"))
        if low is not None and step:
            return grid(low, step, count)
        if low is not None and high is not None and count > 1:
            return grid(low, (high - low) / (count - 1), count)
    raise ReadError("is a powder CIF without 2theta: neither a column of angles nor a range")


def _radiation(items: dict[str, str], loops: list[tuple[list[str], list[str]]]) -> tuple[float | None, dict[str, object]]:
    tag = "_diffrn_radiation_wavelength"
    stated = [items[tag]] if tag in items else []
    for tags, values in loops:
        if tag in tags:
            stated += values[tags.index(tag) :: len(tags)]
    numbers = [number for number in map(first_number, stated[:4]) if number is not None]
    kind = items.get("_diffrn_radiation_type", "")
    anode = next((symbol for symbol in ANODES if kind.lower().startswith(symbol.lower())), "")
    if len(numbers) == 1:
        wavelength, meta = radiation(numbers[0])
        return wavelength, radiation(anode=anode)[1] | ({"wavelength_kind": "stated"} if meta else {})
    if not numbers and re.search(r"k.{0,4}(a|alpha).{0,3}1", kind.lower()):
        return radiation(anode=anode, kind="Ka1")
    return radiation(*sorted(numbers[:2]), anode=anode)
