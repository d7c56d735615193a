"""How results are put into words, whatever they are shown in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xrdmatch.search.identify import Identification

#: Characters from which a formula goes on in a second line.
FORMULA_WIDTH = 18

_ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def filter_text(result: Identification) -> str:
    """Whether the scan was filtered and why, with its noise."""
    if result.noise is None or "noise" in result.filter_reason:
        return result.filter_reason
    return f"{result.filter_reason}; noise is {100 * result.noise:.2g} % of the strongest line"


def wavelength_text(result: Identification) -> str:
    """Line, angstrom, and where the wavelength is from."""
    if not result.wavelength:
        return ""
    source = {"file": "from the file", "option": "as given", "default": "assumed, the file does not tell; --wavelength sets it"}
    name = line_name(result.wavelength)
    return f"{name + ' ' if name else ''}{result.wavelength:.4f} Å ({source.get(result.wavelength_source, result.wavelength_source)})"


def provider_text(result: Identification) -> str:
    """What the network ran on; nothing where it did not run."""
    return f"network on {result.provider.removesuffix('ExecutionProvider')}" if result.provider and result.matches else ""


def line_name(wavelength: float) -> str:
    """The characteristic line of this wavelength (angstrom), or nothing."""
    from xrdmatch.diffraction.radiation import ANODES

    lines = {f"K{_ALPHA}": "k_alpha", f"K{_ALPHA}1": "k_alpha1", "Kβ": "k_beta"}
    known = [(f"{anode.symbol} {line}", float(getattr(anode, field))) for anode in ANODES.values() for line, field in lines.items()]
    name, nearest = min(known, key=lambda item: abs(item[1] - wavelength))
    return name if abs(nearest - wavelength) < 2e-4 * wavelength else ""


def formula_text(formula: str, subscripts: bool = True) -> str:
    """`C18 H6 Cu3 O12` as `C₁₈H₆Cu₃O₁₂`, broken between elements where it is long; plain digits where the terminal has no subscripts."""
    lines = [""]
    for part in formula.split():
        if lines[-1] and len(lines[-1]) + len(part) > FORMULA_WIDTH:
            lines.append("")
        lines[-1] += part
    joined = "\n".join(lines)
    return re.sub(r"[\d.]+", lambda found: found.group().translate(_SUBSCRIPTS), joined) if subscripts else joined


def percent(probability: float) -> str:
    """Without claiming certainty: <1 % and >99 % at the ends."""
    return "<1 %" if probability < 0.005 else ">99 %" if probability >= 0.995 else f"{100 * probability:.0f} %"


#: Probability from which an alternative is named.
LIKELY = 0.1


def named_shares(result: Identification) -> list[tuple[str, float]]:
    """Names with their probability, all families together that carry a name: the best, and those of an ambiguous answer."""
    shares: dict[str, float] = {}
    for match in result.matches:
        if match.phase == 1:
            name = match.name or match.family
            shares[name] = shares.get(name, 0.0) + match.probability
    ranked = list(shares.items())
    return ranked[:1] if result.verdict != "ambiguous" else [item for place, item in enumerate(ranked) if place == 0 or item[1] >= LIKELY]


def share_of_name(result: Identification) -> float:
    """Probability of the best match, all families together that carry its name: what the verdict goes by."""
    return named_shares(result)[0][1] if result.matches else 0.0
