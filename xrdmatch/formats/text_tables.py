"""A table of numbers to scans: which column is the angle, which the intensity, and whether its rows are points of a scan at all."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.quantiles import median, percentile
from xrdmatch.errors import ReadError
from xrdmatch.formats.abscissa import Abscissa
from xrdmatch.formats.columns import Block
from xrdmatch.formats.scan import Scan, noted, plain
from xrdmatch.formats.text_header import Columns, cells_of, column_names, header_facts

_Table = NDArray[np.float64]
#: Positions of the angle and the intensity, the sample's name, and what the angle is, where a name says so.
_Pair = tuple[int, int, str, Abscissa | None]

#: Rows between which a table may be a list of peaks, and how uneven its steps then are, if nothing says so: the 90th over the 10th percentile.
_FEWEST_PEAKS, _MOST_PEAKS, _UNEVEN = 6, 300, 4.0
_PEAK_WORDS = re.compile(
    r"peak ?(search|list|table|report|data)|list of (peaks|reflections|lines)|reflection list|stick pattern|d-i list", re.IGNORECASE
)
_PEAK_COLUMN = re.compile(r"fwhm|^hkl|^h$|^area|^rel|^i100$|^ii0$|^irel|^h?kl$|^mult|^height|integralbreadth|^iimax")
_HEIGHT = re.compile(r"^height|^inten|^i$|^i(ntensity)?(rel|100|cps|counts|abs|norm)?$|^rel|^ii0$|^ii?max$|^f2$|^area")


def scans_of(block: Block, header: list[str], separator: str | None) -> list[Scan]:
    """The scans of a block: one, or one for each sample that has a column of its own. header: the lines above it, the nearest last."""
    if len(block.unread) > len(block.widths):
        raise ReadError(
            f"only {len(block.widths)} of its {len(block.widths) + len(block.unread)} rows can be read; the first other is {block.unread[0]!r}"
        )
    _refuse_grouped_commas(block, separator)
    table = block.table()
    named = column_names(header, table.shape[1], separator)
    filled = np.array(~np.isnan(table).all(axis=0), dtype=np.bool_)  # a tab before each row makes an empty column
    if not filled.all():
        named = _without(named, filled) if named is not None else column_names(header, int(filled.sum()), separator)
        table = table[:, filled]
    if table.shape[1] < 2:
        raise ReadError("holds one column of numbers, expected angle and intensity")
    facts = header_facts(header)
    rows = _wide(table) if named is None else None
    if rows is not None:
        table = rows
    pairs = _pairs(table, named, header, separator)
    is_peaks = rows is None and _is_peak_list(table, named, header, pairs[0])
    if is_peaks:
        pairs = [(_peak_columns(named, pairs[0][0], pairs[0][1]))]
    scans = []
    for angle, intensity, column, known in pairs:
        known = known if known is not None else facts.abscissa
        meta = dict(facts.meta) | (_width(table, named) if is_peaks else {})
        two_theta, counts = table[:, angle], table[:, intensity]
        there = ~(np.isnan(two_theta) | np.isnan(counts))
        if np.count_nonzero(there) < 2:
            raise ReadError("holds one column of numbers, expected angle and intensity")
        _tell_unread(meta, block.unread, _gaps(there) if len(pairs) == 1 else 0)
        if known is None and not is_peaks and _grows_like_d(two_theta[there]):
            noted(meta, "uneven_steps")
        if named is None and table.shape[1] > 3 and len(pairs) == 1 and rows is None and not is_peaks:
            noted(meta, "unnamed_columns", columns=int(table.shape[1]))
        if is_peaks and known is None and not bool((np.diff(two_theta[there]) > 0).all()):
            known = Abscissa("unnamed peak positions, which may be d-spacings")
        scans.append(Scan(two_theta[there], counts[there], facts.wavelength, facts.axis, meta, known, column if len(pairs) > 1 else "", is_peaks))
    return scans


def _refuse_grouped_commas(block: Block, separator: str | None) -> None:
    """Refuses `5.00,1,234` beside `5.02,981`: the comma that separates the columns groups thousands as well."""
    widths = np.array(block.widths)
    longer = np.flatnonzero(widths == 3)
    if separator != "," or not 0 < longer.size < widths.size or set(widths.tolist()) != {2, 3}:
        return
    thirds = np.array(block.values)[np.cumsum(widths)[longer] - 1]
    if bool(((thirds % 1 == 0) & (thirds >= 0) & (thirds < 1000)).all()):
        raise ReadError("its commas separate both columns and thousands (5.00,1,234): export it without thousands separators")


def _without(named: Columns, filled: NDArray[np.bool_]) -> Columns:
    """The names of the filled columns alone, where each column has its cell."""
    if len(named.cells) != filled.size:
        return named
    place = np.cumsum(filled) - 1
    return Columns(
        tuple(cell for cell, kept in zip(named.cells, filled, strict=True) if kept),
        tuple((int(place[at]), known) for at, known in named.angles if filled[at]),
        tuple(int(place[at]) for at in named.intensities if filled[at]),
    )


def _gaps(there: NDArray[np.bool_]) -> int:
    """Rows without a number where there are numbers before and after."""
    inside = np.flatnonzero(there)
    return int(np.count_nonzero(~there[inside[0] : inside[-1]]))


def _tell_unread(meta: dict[str, object], unread: list[str], empty: int) -> None:
    """A note of how many rows were left out."""
    if unread or empty:
        noted(meta, "rows_left_out", rows=len(unread) + empty, first=unread[0] if unread else "")


# ---- which columns ----


def _pairs(table: _Table, named: Columns | None, header: list[str], separator: str | None) -> list[_Pair]:
    """(angle, intensity, the sample's name, what the angle is) of every sample."""
    width = table.shape[1]
    if named is None:
        places = _alternating(table) or [_first_two(table)]
        return [(angle, intensity, f"sample {number}", None) for number, (angle, intensity) in enumerate(places, start=1)]
    angles = [(at, known) for at, known in named.angles if at < width]
    best = next((known for _, known in angles if known.is_two_theta), None) or next((known for _, known in angles if known.angles), angles[0][1])
    same = [at for at, known in angles if known.what == best.what]
    counted = [at for at in named.intensities if at < width]
    if len(same) > 1 and len(counted) >= len(same):
        ends = [*same[1:], width]
        found = [(at, next((c for c in counted if at < c < end), None)) for at, end in zip(same, ends, strict=True)]
        titles = _titles(named, [column for _, column in found if column is not None], same, header, separator)
        return [(at, column, titles.get(column, ""), best) for at, column in found if column is not None]
    angle = same[0]
    if not counted:
        counted = [next((at for at in range(angle + 1, width)), angle - 1)]
    titles = _titles(named, counted, counted, header, separator)
    return [(angle, column, titles[column], best) for column in counted]


def _titles(named: Columns, columns: list[int], starts: list[int], header: list[str], separator: str | None) -> dict[int, str]:
    """A name for every sample: its column's, or, where these repeat, what stands above it in the line before; each once."""
    titles = {at: named.cells[at] if at < len(named.cells) else "" for at in columns}
    if len({plain(title) for title in titles.values()}) < len(titles):
        above = next((cells for line in header[-2:-1] for cells in cells_of(line, separator) if len(cells) == len(named.cells)), [])
        for at, start in zip(columns, starts, strict=True):
            titles[at] = next((above[place] for place in (at, start) if above and above[place]), titles[at])
    seen: dict[str, int] = {}
    for at, title in titles.items():
        seen[title] = seen.get(title, 0) + 1
        titles[at] = title if seen[title] == 1 else f"{title} {seen[title]}"
    return titles


def _first_two(table: _Table) -> tuple[int, int]:
    """Angle and intensity of a table without names: the first two columns, or those after one that counts the rows."""
    if table.shape[1] >= 3:
        first, second = table[:, 0], table[:, 1]
        counted = np.isnan(first).all() or (first[0] in (0, 1) and bool(np.all(np.diff(first) == 1)))
        if counted and bool(np.all(np.diff(second) > 0)) and bool(np.any(second % 1)):
            return 1, 2
    return 0, 1


def _alternating(table: _Table) -> list[tuple[int, int]]:
    """Columns x1, y1, x2, y2, ... without names: each second one rises throughout, and the others do not."""
    if table.shape[1] < 4 or table.shape[1] % 2 or table.shape[0] < 10:
        return []
    rises = [bool((np.diff(column[~np.isnan(column)]) > 0).all()) and np.count_nonzero(~np.isnan(column)) > 2 for column in table.T]
    if not all(rises[::2]) or any(rises[1::2]):
        return []
    starts, spans = table[0, ::2], np.nanmax(table[:, ::2], axis=0) - table[0, ::2]
    alike = bool((np.abs(starts - starts[0]) < 0.5 * spans[0]).all() and (spans < 3.0 * spans[0]).all() and (3.0 * spans > spans[0]).all())
    return [(at, at + 1) for at in range(0, table.shape[1], 2)] if alike else []


def _wide(table: _Table) -> _Table | None:
    """(points, 2) of rows that hold an angle and then n intensities, as Rigaku's text export writes them; None for other tables.

    Such a row goes on where the one before it ended, so neighbours within a row differ less than neighbours in a column, which lie n steps apart.
    """
    rows, width = table.shape
    steps = np.diff(table[:, 0])
    if width < 5 or rows < 10 or np.isnan(table[:-1]).any() or not (np.abs(steps - steps[0]) < 0.01 * abs(steps[0])).all() or steps[0] <= 0:
        return None
    values = table[:, 1:]
    along, down = np.abs(np.diff(values[:-1].ravel())), np.abs(np.diff(values[:-1], axis=0))
    apart = np.abs(np.diff(values[:-1], axis=1))
    if not along.mean() < 0.7 * down.mean() or apart.max() == 0:
        return None
    step = steps[0] / (width - 1)
    angles = (table[:, :1] + step * np.arange(width - 1)).ravel()
    there = ~np.isnan(values.ravel())
    return np.column_stack([angles[there], values.ravel()[there]])


# ---- lists of peaks ----


def _is_peak_list(table: _Table, named: Columns | None, header: list[str], pair: _Pair) -> bool:
    """Whether the rows are peaks: the header says so, or a few dozen angles lie at steps of all sizes."""
    places = table[:, pair[0]]
    places = places[~np.isnan(places)]
    if not 1 < places.size <= _MOST_PEAKS:
        return False
    steps = np.abs(np.diff(places))
    if _mostly_even(steps):
        return False
    if any(map(_PEAK_WORDS.search, header)) or (named is not None and any(_PEAK_COLUMN.search(plain(cell)) for cell in named.cells)):
        return True
    low, middle, high = (float(percentile(steps, share)) for share in (10, 50, 90))
    return bool(places.size >= _FEWEST_PEAKS and middle > 0.05 and high > _UNEVEN * low)


def _mostly_even(steps: NDArray[np.float64]) -> bool:
    """Whether most steps are of one size, as in a scan with gaps or of several ranges."""
    middle = float(median(steps))
    return bool(np.count_nonzero(np.abs(steps - middle) <= 0.1 * middle + 1e-4) > 0.6 * steps.size)


def _peak_columns(named: Columns | None, angle: int, intensity: int) -> _Pair:
    """Place and height of the peaks of a list by its columns' names."""
    if named is None:
        return angle, intensity, "", None
    height = next((at for at, cell in enumerate(named.cells) if at != angle and _HEIGHT.search(plain(cell))), intensity)
    return angle, height, "", next(known for at, known in named.angles if at == angle)


def _width(table: _Table, named: Columns | None) -> dict[str, float]:
    """The peaks' width in degrees, as `meta` has it, where a column gives it."""
    at = next((at for at, cell in enumerate(named.cells) if plain(cell).startswith("fwhm")), None) if named is not None else None
    widths = table[:, at] if at is not None and at < table.shape[1] else np.empty(0)
    widths = widths[~np.isnan(widths)]
    return {"fwhm": float(median(widths))} if widths.size else {}


def _grows_like_d(places: NDArray[np.float64]) -> bool:
    """Whether the first column's steps change steadily with it, as those of d-spacings do and those of 2theta do not."""
    steps = np.abs(np.diff(places))
    if places.size < 50 or steps.min() <= 0:
        return False
    if not 0.4 < steps[: steps.size // 8].mean() / steps[-(steps.size // 8) :].mean() < 2.5:
        parts = np.array([float(median(part)) for part in np.array_split(steps, 8)])
    else:  # as nearly all scans do
        return False
    changes = [right < left for left, right in pairwise(parts)]
    return bool(max(parts[0], parts[-1]) > 3.0 * min(parts[0], parts[-1]) and (all(changes) or not any(changes)))
