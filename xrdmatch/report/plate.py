"""Scans of a well plate at their places: which files lie in which well, and the plate as markup."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Rows and columns of plates, the smallest first: of 24, 48 and 96 wells.
PLATES = ((4, 6), (6, 8), (8, 12))
#: Least share of the scans that lie in wells, and least number, from which they are drawn as a plate.
SHARE, FEWEST = 0.5, 2
#: `A1`, `A01`, `h12`, alone or between other parts of a name.
_WELL = re.compile(r"(?<![A-Za-z0-9])([A-Ha-h])(0?[1-9]|1[0-2])(?![A-Za-z0-9])")

#: Row and column of a well, from 0.
Well = tuple[int, int]


@dataclass(frozen=True)
class Filled:
    """What a well shows. place: the scan's number on the page. said: in words."""

    place: int
    verdict: str
    said: str


def well_of(file: str) -> Well | None:
    """Row and column that a file is named after: `A1.xy`, `run 3_B07.raw`; None where it is named after none, or after several."""
    found = _WELL.findall(Path(file).stem)
    return (ord(found[0][0].upper()) - ord("A"), int(found[0][1]) - 1) if len(found) == 1 else None


def well_name(well: Well) -> str:
    """`A1`."""
    return f"{chr(ord('A') + well[0])}{well[1] + 1}"


def wells_of(files: Sequence[str]) -> dict[int, Well]:
    """The well of each file, by its number; empty where too few files have one, or two files the same."""
    found = {place: well for place, file in enumerate(files) if (well := well_of(file)) is not None}
    twice = max(Counter(found.values()).values(), default=0) > 1
    return {} if twice or len(found) < max(FEWEST, SHARE * len(files)) else found


def plate_size(wells: Sequence[Well]) -> tuple[int, int]:
    """Rows and columns of the smallest plate that has these wells."""
    rows, columns = (max(well[axis] for well in wells) + 1 for axis in (0, 1))
    return next(size for size in PLATES if rows <= size[0] and columns <= size[1])


def plate_markup(filled: dict[Well, Filled]) -> str:
    """The plate as a grid: numbers above, letters at the left, and each scan as a link that carries its verdict."""
    rows, columns = plate_size(list(filled))
    cells = ["<span></span>", *(f'<span class="edge">{column + 1}</span>' for column in range(columns))]
    for row in range(rows):
        cells.append(f'<span class="edge">{chr(ord("A") + row)}</span>')
        cells += [_well((row, column), filled.get((row, column))) for column in range(columns)]
    about = f'id="plate" role="group" aria-label="Plate of {rows * columns} wells" style="--columns:{columns}"'
    return f"<div {about}>\n{chr(10).join(cells)}\n</div>"


def _well(well: Well, one: Filled | None) -> str:
    if one is None:
        return f'<span class="well" title="{well_name(well)}: no scan"></span>'
    said = html.escape(f"{well_name(well)}: {one.said}")
    return f'<a class="well {html.escape(one.verdict)}" href="#{one.place}" data-place="{one.place}" title="{said}" aria-label="{said}"></a>'
