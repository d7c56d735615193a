"""What speaks for another wavelength than the assumed one: the file's name, and the library."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from xrdmatch.diffraction.radiation import ANODES, WAVELENGTH_RANGE, parse_wavelength
from xrdmatch.errors import XrdMatchError
from xrdmatch.library.line_index import LineIndex
from xrdmatch.notes import Note, note
from xrdmatch.preprocessing.prepared_scan import PreparedScan, comparison_signal

#: Probability from which a match under another anode is told, where nothing fits under copper's, and anodes that are tried at most.
#: Chosen on simulated scans, see docs/method.md.
CLEAR, TRIED = 0.9, 2
#: How much better an entry's strongest lines must show under an anode that is looked at than under copper.
BETTER = 1.0
#: Probability among the likeliest few alone from which an anode gets a whole search.
LIKELY_AT_A_GLANCE = 0.8
#: Anodes that are tried beside copper's.
OTHERS = tuple(symbol for symbol in ANODES if symbol != "Cu")

_SEPARATED = r"(?<![A-Za-z0-9])"
#: A line or a tube in a file's name: CoKa1, Co-Ka, Mo_Kalpha, Cu-tube; the bare symbols of two that are seldom a framework's metal; a number.
_LINE = re.compile(_SEPARATED + r"(Cr|Fe|Co|Cu|Mo|Ag)[ _-]?K[ _-]?(alpha|a|\u03b1|beta|b|\u03b2)[ _-]?([12]?)(?![A-Za-z0-9])", re.IGNORECASE)
_TUBE = re.compile(_SEPARATED + r"(Cr|Fe|Co|Cu|Mo|Ag)[ _-]?(radiation|anode|tube|source|target|xrd)(?![A-Za-z])", re.IGNORECASE)
_SYMBOL = re.compile(_SEPARATED + r"(Mo|Ag)(?![A-Za-z0-9])")
_NUMBER = re.compile(_SEPARATED + r"(\d\.\d{2,6}) ?(A|\u00c5|ang|angstrom)(?![A-Za-z])", re.IGNORECASE)


def named_in(file: str) -> str:
    """The wavelength that a file's name tells, as --wavelength takes it (`CoKa1`, `Mo`, `0.4137`); "" where it tells none."""
    name = Path(file).name
    if found := _LINE.search(name):
        symbol, line, number = found.groups()
        letter = "b" if line.lower() in ("beta", "b", "\u03b2") else "a"
        return f"{symbol.capitalize()}K{letter}{number}"
    if found := _TUBE.search(name) or _SYMBOL.search(name):
        return found.group(1).capitalize()
    if (found := _NUMBER.search(name)) and WAVELENGTH_RANGE[0] <= float(found.group(1)) <= WAVELENGTH_RANGE[1]:
        return found.group(1)
    return ""


def name_note(file: str, wavelength: float) -> list[Note]:
    """A note where the name of a file that does not state its wavelength tells another one than was assumed (angstrom)."""
    told = named_in(file)
    try:
        meant = parse_wavelength(told) if told else wavelength
    except XrdMatchError:
        return []
    return [note("wavelength_in_name", told=told)] if abs(meant - wavelength) > 2e-3 * wavelength else []


def better_anode(scan: PreparedScan, lines: LineIndex, matched: Callable[[float], tuple[float, str] | None]) -> list[Note]:
    """A note of the anode under which one framework fits a scan clearly, of which copper's were assumed.

    lines: of the library. matched: wavelength in angstrom -> (probability, name) of a match, None where nothing fits.
    """
    found = [(answer, symbol) for symbol in worth_trying(scan, lines) if (answer := matched(ANODES[symbol].k_alpha)) is not None]
    if not found:
        return []
    (probability, name), anode = max(found)
    return [note("other_anode_fits", anode=anode, name=name, probability=round(probability, 2))] if probability >= CLEAR else []


def worth_trying(scan: PreparedScan, lines: LineIndex) -> list[str]:
    """The anodes, best first and `TRIED` at most, with which some entry's strongest lines show clearly better than with copper.

    lines: of the library.
    """
    best = {}
    for symbol, anode in ANODES.items():
        signal = comparison_signal(replace(scan.filtered.pattern, wavelength=anode.k_alpha), scan.sigma, scan.noise_gain).coarse
        best[symbol] = float(lines.scores(signal.signal, signal.mask).max(initial=0.0))
    better = [symbol for symbol in OTHERS if best[symbol] > BETTER * best["Cu"]]
    return sorted(better, key=lambda symbol: -best[symbol])[:TRIED]
