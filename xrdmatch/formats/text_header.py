"""What the lines above a table of numbers say: keys with values, axis titles, column names, a wavelength."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from xrdmatch.diffraction.radiation import WAVELENGTH_RANGE
from xrdmatch.errors import ReadError
from xrdmatch.formats.abscissa import Abscissa, abscissa
from xrdmatch.formats.scan import details, first_number, noted, other_axis, plain, radiation, stated_wavelength

#: Lines of a header that are looked at, and those next to the numbers that may name columns.
LONGEST, _NEAR = 300, 4
#: Words from which a line with one for each column is surely their names.
MANY = 4
#: What marks a line as a comment, taken off its beginning.
_MARKS = "#!%*/;'\"& "
#: What may stand before the names of columns on their line: SPEC's `#L`, `columns:`.
_LABELLED = re.compile(r"^((?-i:L)\s+|(columns?( names)?|fields|labels|data columns)\s*[:=]\s*)(?=\D)", re.IGNORECASE)
#: How keys end that are no names of columns.
_KEY_ENDS = ("unit", "units", "axis", "label", "title")
_NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?", re.IGNORECASE)

_INTENSITY = re.compile(r"inten|count|cps|obs|signal|cnts|impuls|height|^ii0$|^ii?max$|^relint|^y(data|values?|axis|col)?$|^i(nt)?(au)?$|^imp$")
#: Columns beside the intensities that are no samples.
_BESIDE = re.compile(
    r"[yi]?(err|error|sig|sigma|esd|su|sd|std|stddev|unc|uncertainty|weights?|w)s?[yi]?|.*(error|sigma|esd)|"
    r"[yif]?(calc|calculated|back|background|bkg|bgr?|diff|difference|residuals?|obscalc|smooth(ed)?|deriv(ative)?)s?|(calculated|difference|background).*|"
    r"(elapsed|count(ing)?)?times?(sec|s)?|mon(itor)?\d*|epoch|sec|seconds?|temp(erature)?[kc]?|[hkl]|hkl|no|nr|num(ber)?|index|row|point|pt|date|"
    r"(frame|image|row|point|scan)(no|num|number)?|percent|rel.*|ratio|fwhm.*|integralbreadth|area.*|mult(iplicity)?|attenuat.*|"
    r"pos(ition)?|left.*|izero|chi2?|phi|omega|wavelength|transmission"
)


@dataclass(frozen=True)
class Columns:
    """The columns of a table by the names above it: cells as written, and which of them hold what.

    angles: (position, what it holds) of every abscissa; intensities: positions of what may be a sample's intensity.
    """

    cells: tuple[str, ...]
    angles: tuple[tuple[int, Abscissa], ...]
    intensities: tuple[int, ...]


@dataclass(frozen=True)
class Facts:
    """What a header states. wavelength: angstrom; axis: the scan's axis, "" where not stated; abscissa: what an axis title or a key says it is."""

    wavelength: float | None
    meta: dict[str, Any]
    axis: str
    abscissa: Abscissa | None


# ---- names of columns ----


def cells_of(line: str, separator: str | None) -> Iterator[list[str]]:
    """The ways in which a line may be divided into cells, the table's own first."""
    line = line.rstrip("\r\n ")
    bare = _LABELLED.sub("", line.lstrip(_MARKS))
    if separator is not None and separator in line:
        yield [cell.strip(" \"'") for cell in (line if line[:1] == separator else bare).split(separator)]
    yield [cell.strip(" \"'") for cell in re.split(r"\s*[;\t|,]\s*", bare.rstrip())]
    yield re.split(r"\s{2,}|\t", bare.strip())
    yield re.findall(r"[^\s(\[]+(?:\s?[(\[][^)\]]*[)\]]\S*)?", bare)
    yield bare.split()


def column_names(header: list[str], width: int, separator: str | None) -> Columns | None:
    """The names of a table's columns; None where no line of the header is their names.

    Raises ReadError where that line surely names the columns and the first of several is not known to be an angle.
    """
    near = [line for line in header[-_NEAR:] if line.strip(_MARKS + "-=_+|\t\r")]
    for back, line in enumerate(reversed(near)):
        tried: set[tuple[str, ...]] = set()
        for at, cells in enumerate(cells_of(line, separator)):
            apart = _LABELLED.match(line.lstrip(_MARKS)) is not None or (at == 0 and separator is not None and separator in line)
            if tuple(cells) not in tried and (found := _named(cells, width, back == 0, apart)):
                return found
            tried.add(tuple(cells))
        if back == 0 and separator is not None:
            others = sum(1 for above in header[-2 * _NEAR :] if len(next(cells_of(above, separator))) == width) - 1
            if others < 2:  # more of them are keys with values
                _refuse_unknown(next(cells_of(line, separator)), width)
    return None


def _named(cells: list[str], width: int, next_to_numbers: bool, apart: bool) -> Columns | None:
    """The columns, where these cells are their names and not, say, a key with its value or the words of a sentence.

    next_to_numbers: no other line stands between. apart: the table's own separator stands between the cells.
    """
    names = [plain(cell) for cell in cells]
    if sum(map(bool, names)) < 2 or any(_NUMBER.fullmatch(cell) or cell.endswith((":", "=")) for cell in cells):
        return None
    angles = tuple((at, known) for at, cell in enumerate(cells) if (known := abscissa(cell)) is not None)
    if not angles or len(angles) == len(cells):
        return None
    at_angle = {at for at, _ in angles}
    counted = [at for at, name in enumerate(names) if at not in at_angle and _INTENSITY.search(name) and not _BESIDE.fullmatch(name)]
    if len(cells) == 2 and not counted and _FIELD.get(names[0]) in ("x_name", "x_unit"):
        return None
    whole, leads = len(cells) == width, angles[0][0] == min(at for at, name in enumerate(names) if name)
    if whole and width >= MANY and any(known.angles for _, known in angles):
        sure = True  # so many words, one for each column, are no sentence
    elif any(known.is_two_theta for _, known in angles):
        sure = bool(counted) or (whole and leads and (next_to_numbers or apart))
    else:  # words that have other meanings need more beside them
        sure = leads and ((whole and apart) or (bool(counted) and (next_to_numbers or any(known.angles for _, known in angles))))
    if not sure:
        return None
    others = [at for at, name in enumerate(names) if at not in at_angle and name and not _BESIDE.fullmatch(name)]
    return Columns(tuple(cells), angles, tuple(counted or others))


def _refuse_unknown(cells: list[str], width: int) -> None:
    """Refuses an abscissa of a name that means nothing to us, under names that fit the table cell by cell."""
    names = [plain(cell) for cell in cells]
    if len(cells) != width or not names[0] or names[0].isdigit() or names[0].endswith(_KEY_ENDS) or any(_NUMBER.fullmatch(cell) for cell in cells):
        return
    if _BESIDE.fullmatch(names[0]) or _INTENSITY.search(names[0]) or not any(_INTENSITY.search(name) for name in names[1:]):
        return
    raise ReadError(
        f"its first column is called {cells[0][:60]!r}, which is not known to be an angle: if it is, rename it 2theta and read the file again"
    )


# ---- keys, titles and the wavelength ----

_KEYS = {
    "k_alpha1": ("alpha1", "kalpha1", "kalpha1wavelength", "wavelength1", "wavelengthalpha1", "ka1", "wl1", "lambda1"),
    "k_alpha2": ("alpha2", "kalpha2", "kalpha2wavelength", "wavelength2", "wavelengthalpha2", "ka2", "wl2", "lambda2"),
    "ratio": ("alpharatio", "ratiokalpha2kalpha1", "ratioka2ka1", "wlratio"),
    "anode": ("anode", "anodematerial", "target", "targetname", "tubeanode", "targetmaterial", "xraytarget"),
    "counting_time": ("timeperstep", "steptime", "timeperstepsec", "countingtime"),
    "sample": ("sample", "samplename", "sampleid", "sampleidentification", "usersamplename"),
    "date": ("date", "filedateandtime", "measurementdate", "scantime", "datemeasured"),
    "axis": ("scanaxis", "scantype", "scanmode", "scanningmode", "drive"),
    "x_name": ("xaxis", "xlabel", "xtitle", "xaxislabel", "xaxistitle", "xaxisname", "abscissa", "xquantity", "xvariable"),
    "x_unit": ("xunit", "xunits", "xaxisunit", "xaxisunits", "angleunit", "angularunit"),
    "perhaps_x": ("axis", "x", "column1", "col1", "firstcolumn", "unit", "units", "axisunit"),
}
#: What else such keys mean: a length, a time.
_UNSURE = re.compile(r"numbers in (?!1/)|times|distances|temperatures|or seconds|energies")
_FIELD = {key: field for field, keys in _KEYS.items() for key in keys}
_QUOTED = re.compile(r'"?(\w{1,40})"?: "([^"]{0,200})"')
_FIRST_COLUMN = re.compile(r"\b(?:first|1st) column\s*(?:is|holds|contains|=|:)?\s*(?:the\s+)?(.+?)\s*(?:[,;.]|$)", re.IGNORECASE)
_PAIR = re.compile(r"\s*[=:,;\t]\s*")
_WAVELENGTH = re.compile(
    r"(?:wave ?length|lambda|\bwave\b|\bwl\b|λ)([^\d\n]{0,40}?)((?:\d+[.,]|\.)\d+(?:e[-+]?\d{1,2})?|\d+e-\d{1,2})(.{0,14})", re.IGNORECASE
)  # fmt: skip


def header_facts(header: list[str]) -> Facts:
    """What the lines above the numbers tell, the lines nearest to them last."""
    known: dict[str, str] = {}
    units: dict[str, str] = {}
    stated: float | None = None
    meta: dict[str, Any] = {}
    for line in header:
        line = line.strip().lstrip(_MARKS)
        for pair in _QUOTED.findall(line) or [_PAIR.split(line, maxsplit=1)]:
            if len(pair) == 2 and (place := _FIELD.get(plain(re.sub(r"[(\[].*?[)\]]", "", pair[0])))):
                known.setdefault(place, pair[1].strip().strip("\"'").strip(" ,;"))
                units.setdefault(place, pair[0])
        if first := _FIRST_COLUMN.search(line):
            known.setdefault("perhaps_x", first.group(1))
        found = _WAVELENGTH.search(line)
        if found and stated is None and not re.search(r"alpha|beta", line, re.IGNORECASE):
            stated = _angstrom(found, meta)
    stated = stated if stated is not None else _wavelength_alone(header, meta)
    lines = [_line(known.get(key), units.get(key, "")) for key in ("k_alpha1", "k_alpha2")]
    anode = known.get("anode", "")
    wavelength, told = radiation(*lines, ratio=first_number(known.get("ratio")), anode=anode)
    if stated is not None and lines[0] is None:
        wavelength, told = stated, radiation(anode=anode)[1] | {"wavelength_kind": "stated"}
    meta |= told
    meta |= details(format="text columns", counting_time=first_number(known.get("counting_time")), sample=known.get("sample"), date=known.get("date"))
    axis = known.get("axis", "")
    axis = axis if other_axis(axis, known_only=True) or not other_axis(axis) else ""
    return Facts(wavelength, meta, axis, _stated_abscissa(known, header))


def _line(text: str | None, key: str) -> float | None:
    """The wavelength of a line (angstrom) as a key states it, with the unit in the key or behind the number."""
    number = first_number(text)
    return None if number is None or text is None else stated_wavelength(number, f"{key} {text}") or number


def _angstrom(found: re.Match[str], meta: dict[str, Any]) -> float | None:
    """The wavelength of a line that names it: unit before the number or behind it."""
    between, number, after = found.groups()
    value = float(number.replace(",", "."))
    angstrom = stated_wavelength(value, f"{between} {after}")
    if angstrom is not None and angstrom > 5.0 * value > 1e-6 and not re.search(r"nm|nano", between + after, re.IGNORECASE):
        noted(meta, "wavelength_read_as_nm", stated=value, wavelength=angstrom)
    return angstrom


def _wavelength_alone(header: list[str], meta: dict[str, Any]) -> float | None:
    """DASH, and others after it: the first line is nothing but the wavelength."""
    first = next((line.strip() for line in header if line.strip()), "")
    low, high = WAVELENGTH_RANGE
    return float(first) if re.fullmatch(r"\d\.\d{1,9}", first) and float(first) % 1 and low <= float(first) <= high else None


def _stated_abscissa(known: dict[str, str], header: list[str]) -> Abscissa | None:
    """What a key or an axis title says the numbers are. Raises ReadError for the name of an x axis that means nothing to us."""
    name, unit = known.get("x_name", ""), known.get("x_unit", "")
    told = (abscissa(f"{name} ({unit})") if unit else None) or abscissa(name or unit)
    if told is None and re.search(r"[a-z]", name, re.IGNORECASE):
        raise ReadError(f"its x axis is called {name[:60]!r}, which is not known to be an angle: if it is, rename it 2theta and read the file again")
    if told is not None:
        return told
    titles = [line.strip().strip(_MARKS) for line in header[-2 * _NEAR :]]
    for title, below in pairwise(titles):
        # An axis title stands alone on its line, above that of the other axis; Fit2D's .chi writes them so.
        if _INTENSITY.search(plain(below)) and len(below) < 40 and (told := abscissa(title)) is not None:
            return told
    count = titles[-1] if titles else ""
    if len(header) == 4 and count.isdigit() and (told := abscissa(titles[-3])) is not None:
        return told
    for line in header:  # a line that is nothing but such a name with its unit
        alone = abscissa(line.strip().strip(_MARKS))
        if alone is not None and alone.angles is not None and not alone.is_two_theta and alone.has_unit:
            return alone
    # These keys have other uses: they count where they name what can be converted.
    perhaps = abscissa(known.get("perhaps_x", ""))
    return perhaps if perhaps is not None and not _UNSURE.search(perhaps.what) else None
