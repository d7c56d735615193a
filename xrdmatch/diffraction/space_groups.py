"""Space groups by symbol or number, in the setting that fits the cell.

Symbols come in many spellings (`P4(2)/mnm`, `Fd-3m:2`, `F d -3 m Z`, `P 63/m 2/m 2/c`, `Cmce`), and a short one or a bare number leaves open the
unique axis, the origin, or hexagonal axes. What is left open is returned as several settings, the usual one first, of those that the cell allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import read_only
from xrdmatch.system.arrays import Float64Array

#: Largest relative change of a^2, ab cos(gamma) and so on under the operations for a cell to have their symmetry (0.5 % of a length, 0.5 degrees).
CELL_FITS = 0.01
#: Groups 3 to 15 are monoclinic, 16 to 74 orthorhombic.
_MONOCLINIC, _ORTHORHOMBIC = range(3, 16), range(16, 75)
#: Symbols since 1992 with the double glide plane e, and what they were before.
_DOUBLE_GLIDE = {"aem2": "abm2", "aea2": "aba2", "cmce": "cmca", "cmme": "cmma", "ccce": "ccca"}
#: What follows a symbol: `:1`, `:H`, `(origin 2)`, ` Z` and ` S` as the ICSD has it, ` HR`.
_ENDING = re.compile(
    r"(?P<symbol>.*?)(\s*:\s*(?P<ext>[12hr])|\s*[:(]?\s*origin(\s+(choice|at))?\s*(?P<origin>[12])\s*\)?|\s+o(?P<o>[12])"
    r"|\s+(?P<icsd>[zs])|\s*\(?\s*(?P<axes>hex\w*|rhomb\w*)(\s+(axes|setting))?\s*\)?|\s+(?P<hr>hr?|r))?\s*$",
    re.IGNORECASE,
)


#: A number under a bar, in HTML, TeX and Unicode.
_BARRED = re.compile(r"<overline>(\d)</overline>|\\?(?:bar|overline)\s*\{?(\d)\}?|(\d)[\u0304\u0305\u00af]")


@dataclass(frozen=True, eq=False)
class Setting:
    """Symmetry operations x -> rotations @ x + translations, the identity first.

    name: what users know it by. number: of the space group, 0 where it is not known. rotations: (m, 3, 3). translations: (m, 3).
    """

    name: str
    number: int
    rotations: Float64Array
    translations: Float64Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotations", read_only(self.rotations))
        object.__setattr__(self, "translations", read_only(self.translations))

    def __len__(self) -> int:
        return len(self.rotations)

    def misfit(self, cell: Float64Array) -> float:
        """Largest relative change of the cell's metric under the rotations."""
        metric = metric_tensor(cell)
        turned = np.einsum("mji,jk,mkl->mil", self.rotations, metric, self.rotations)
        lengths = np.sqrt(np.diag(metric))
        return float(np.abs((turned - metric) / np.outer(lengths, lengths)).max())

    def shifted(self, by: Float64Array) -> Setting:
        """The same operations about another origin: that of this setting lies at `by` (3,) in the coordinates of the new one."""
        moves = self.translations + by - self.rotations @ by
        return Setting(self.name, self.number, self.rotations, moves % 1.0)


def operation_codes(turns: Float64Array, moves: Float64Array) -> NDArray[np.int64]:
    """(m,) one whole number for each operation; lattice translations change nothing."""
    powers = 5 ** np.arange(9)
    places = np.rint(moves % 1.0 * 120.0).astype(np.int64) % 120
    return np.asarray((((turns.reshape(-1, 9) + 2) @ powers).astype(np.int64) * 120 + places[:, 0]) * 14_400 + places[:, 1] * 120 + places[:, 2])


def metric_tensor(cell: Float64Array) -> Float64Array:
    """(3, 3) scalar products of the axes, in square angstrom."""
    a, b, c = cell[:3]
    alpha, beta, gamma = np.cos(np.radians(cell[3:]))
    return np.array([[a * a, a * b * gamma, a * c * beta], [a * b * gamma, b * b, b * c * alpha], [a * c * beta, b * c * alpha, c * c]])


def by_symbol(text: str) -> list[Setting]:
    """Settings that a Hermann-Mauguin symbol may mean, the usual one first; none where it is not known."""
    return [_setting(name) for name in _named(text)]


def by_number(number: int) -> list[Setting]:
    """All settings of a space group, the standard one first."""
    groups = sorted((group for group in gemmi.spacegroup_table() if group.number == number), key=lambda group: not group.is_reference_setting())
    return [_setting(group.xhm()) for group in groups]


def in_setting(settings: list[Setting], code: str) -> list[Setting]:
    """Those of the settings that a code such as `1`, `h` or `b1` names; all where it names none."""
    kept = [one for one in settings if code and code.upper() in (one.name.rpartition(":")[2], _qualifiers().get(one.name))]
    return kept or settings


@lru_cache(maxsize=1)
def _qualifiers() -> dict[str, str]:
    return {group.xhm(): group.qualifier.upper() for group in gemmi.spacegroup_table()}


def by_hall(text: str) -> Setting | None:
    """The setting of a Hall symbol; None where it is none."""
    try:
        operations = gemmi.symops_from_hall(text)
    except (ValueError, RuntimeError):
        return None
    group = gemmi.find_spacegroup_by_ops(operations)
    return _from_operations(group.xhm() if group else text, group.number if group else 0, operations)


@lru_cache(maxsize=64)
def _setting(name: str) -> Setting:
    group = next(group for group in gemmi.spacegroup_table() if group.xhm() == name)
    return _from_operations(name, group.number, group.operations())


def _from_operations(name: str, number: int, operations: gemmi.GroupOps) -> Setting:
    every = list(operations)
    turns = np.array([operation.rot for operation in every]) / gemmi.Op.DEN
    return Setting(name, number, turns, np.array([operation.tran for operation in every]) / gemmi.Op.DEN % 1.0)


@lru_cache(maxsize=256)
def _named(text: str) -> tuple[str, ...]:
    """Extended symbols that `text` may mean, as gemmi's table has them."""
    ending = _ENDING.match(_unmarked(text))
    if ending is None:
        return ()
    symbol = re.sub(r"\s+", " ", ending["symbol"].replace("(", "").replace(")", "")).strip()
    wanted = _wanted_setting(ending)
    for spelled in _spellings(symbol):
        if found := _table().get(spelled):
            kept = [name for name in found if ":" not in name or not wanted or name.rpartition(":")[2] in wanted]
            return tuple(kept or found)
    return ()


def _wanted_setting(ending: re.Match[str]) -> str:
    """The setting that the ending of a symbol names: 1, 2, H or R; HR is hexagonal."""
    if said := ending["ext"] or ending["origin"] or ending["o"]:
        return said.upper()
    if ending["icsd"]:  # the origin at a centre of symmetry, or not
        return {"Z": "2", "S": "1"}[ending["icsd"].upper()]
    return (ending["axes"] or ending["hr"] or "")[:1].upper()


def _unmarked(text: str) -> str:
    """A symbol without markup of subscripts and bars."""
    bare = re.sub(r"</?(sub|i|b|sup)>", "", text.strip().strip("'\""), flags=re.IGNORECASE)
    bare = re.sub(_BARRED, lambda found: f"-{''.join(filter(None, found.groups()))}", bare)
    bare = bare.replace("\u2212", "-").replace("\u2013", "-")
    bare = bare.translate(str.maketrans("₀₁₂₃₄₅₆", "0123456"))
    bare = re.sub(r"\(([1-6])\)", r"\1", bare)
    return re.sub(r"[~_${}\\^]", "", bare).strip(" ,;")


def _spellings(symbol: str) -> list[str]:
    """What to look for in the table: the symbol without blanks, its older form, and the short form of a full symbol."""
    plain = symbol.replace(" ", "").lower()
    found = [plain, _DOUBLE_GLIDE.get(plain, plain)]
    tokens = symbol.lower().split() or [""]
    if len(tokens) == 1:  # P63/m2/m2/c
        tokens = [plain[:1], *re.findall(r"-?\d+/[a-z]|-?\d+|[a-z]", plain[1:])]
    if sum("/" in token for token in tokens) >= 2:
        short = [tokens[0]]
        for place, token in enumerate(tokens[1:]):
            uniaxial = place == 0 and token[0] in "46" and tokens[2:3] != ["-3"]
            short.append(token if uniaxial else token.rpartition("/")[2])
        found.append("".join(short))
    return list(dict.fromkeys(found))


@lru_cache(maxsize=1)
def _table() -> dict[str, list[str]]:
    """Extended symbols by every spelling without blanks, the usual setting first."""
    table: dict[str, list[str]] = {}
    for group in sorted(gemmi.spacegroup_table(), key=lambda group: not group.is_reference_setting()):
        tokens = group.hm.lower().split()
        spellings = {"".join(tokens)}
        if group.number in _MONOCLINIC:
            spellings.add("".join(token for token in tokens if token != "1"))
        if "-3" in tokens[2:3]:  # before 1935 the bar of m-3m was not written
            spellings.add("".join(token.replace("-3", "3") for token in tokens))
        if group.hm.startswith("R"):
            spellings.add("".join(tokens).replace("r", "h", 1))
        for spelling in spellings:
            table.setdefault(spelling, []).append(group.xhm())
    return table
