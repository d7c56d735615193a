"""Powder patterns in CIF (the pdCIF dictionary of the IUCr): a loop with intensities, and angles in the loop or as a range.

Only what a pattern needs is parsed; structures are for `xrdmatch simulate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from xrdmatch.diffraction.radiation import ANODES
from xrdmatch.errors import ReadError
from xrdmatch.formats.scan import MAX_POINTS, Scan, decode, details, first_number, grid, lines, noted, radiation

_ANGLES = ("_pd_proc_2theta_corrected", "_pd_meas_2theta_corrected", "_pd_meas_2theta_scan", "_pd_meas_angle_2theta")
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
_MAX_VALUES = 5_000_000


def read(data: bytes) -> list[Scan]:
    """The first measured pattern of a CIF. Raises ReadError where there is none, and says so where the file holds a structure."""
    items: dict[str, str] = {}
    loops: list[tuple[list[str], list[str]]] = []
    _parse(decode(data), items, loops)
    for tags, values in loops:
        intensity = next((tag for tag in _INTENSITIES if tag in tags), None)
        if intensity is None or len(values) < len(tags):
            continue
        table = {tag: values[at :: len(tags)] for at, tag in enumerate(tags)}
        counts = _values(table[intensity])
        angles = next((_values(table[tag]) for tag in _ANGLES if tag in tags), None)
        if angles is None:
            angles = _range(items, counts.size)
        count = min(angles.size, counts.size)
        there = np.isfinite(angles[:count]) & np.isfinite(counts[:count])
        wavelength, meta = _radiation(items, loops)
        meta |= details(format="powder CIF", date=items.get("_pd_meas_datetime_initiated"), sample=items.get("_pd_spec_description"))
        if len(values) % len(tags):
            noted(meta, "broken_record")
        return [Scan(angles[:count][there], counts[:count][there], wavelength, "", meta)]
    if "_cell_length_a" in items or any("_atom_site_fract_x" in tags for tags, _ in loops):
        raise ReadError("is a crystal structure, not a measured pattern: use `xrdmatch simulate` to turn it into one")
    raise ReadError("is a CIF without a powder pattern (no loop with _pd_meas_ or _pd_proc_ intensities)")


def _parse(text: str, items: dict[str, str], loops: list[tuple[list[str], list[str]]]) -> None:
    """Fills items (tag to value, the first block's where repeated) and loops (tags, flat values)."""
    tags: list[str] | None = None
    values: list[str] = []
    tag = ""
    total = 0
    for token in _tokens(text):
        folded = token.lower()
        if folded == "loop_" or folded.startswith(("data_", "save_")):
            tags, tag = ([], "") if folded == "loop_" else (None, "")
            values = []
        elif token.startswith("_"):
            if tags is not None and values:
                tags = None
            if tags is not None:
                if not tags:
                    loops.append((tags, values))
                tags.append(folded)
            else:
                tag = folded
        elif tags:
            values.append(token)
            total += 1
            if total > _MAX_VALUES:
                raise ReadError(f"holds more than {_MAX_VALUES} values: export the pattern alone")
        elif tag:
            items.setdefault(tag, token)
            tag = ""


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


def _values(words: list[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Numbers without their standard uncertainties: `5540(160)` -> 5540; NaN for `.` and `?`."""
    if len(words) > MAX_POINTS:
        raise ReadError(f"holds {len(words)} points, a scan has up to {MAX_POINTS}")
    return np.array([float("nan") if word in {".", "?"} else float(word.partition("(")[0]) for word in words])


def _range(items: dict[str, str], count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
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
