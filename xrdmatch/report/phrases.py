"""How results are put into words, whatever they are shown in: the one place that makes sentences of codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from xrdmatch.notes import Note

if TYPE_CHECKING:
    from xrdmatch.search.check_result import CheckResult
    from xrdmatch.search.result import Identification, Match

#: Characters from which a formula goes on in a second line.
FORMULA_WIDTH = 18

#: Percent from which a cell's edge is called longer or shorter.
SAME_SIZE = 1.5

_ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def sentence(of: Note) -> str:
    """The sentence for a reason or a note, without a full stop. Raises KeyError for a code that has none."""
    values = dict(of.values)
    phrase = _SENTENCES[of.code]
    return phrase(**values) if callable(phrase) else phrase.format(**values)


def _too_few_lines(lines: int, needed: int) -> str:
    return f"{_peaks_above_noise(lines)}; at least {needed} are needed. Amorphous, empty, or counted too briefly"


def _too_few_lines_to_name(lines: int, closest: str) -> str:
    return f"{_peaks_above_noise(lines)}, too few to name a framework; the closest is {closest}"


def _nothing_fits(closest: str, lines: int | None = None) -> str:
    return f"No framework of the library fits{'' if lines is None else f' its {lines} lines'}; the closest is {closest}"


def _peaks_above_noise(lines: int) -> str:
    return "No peak above the noise" if lines == 0 else f"Only {lines} peak{'s' if lines > 1 else ''} above the noise"


def _ambiguous(options: Sequence[str]) -> str:
    return f"{' or '.join(options)}: this scan cannot tell them apart; a longer or sharper scan, or the composition (EDX, ICP), may"


def _composition(name: str, options: Sequence[str]) -> str:
    return f"{name}: {_listed(options)}; this scan does not tell which" if len(options) > 1 else f"{name}; the framework is not decided"


def _undecided_metal(options: Sequence[str], same_pattern: bool) -> str:
    return f"{_listed(options)}: {_same(same_pattern)}; EDX or ICP decides"


def _undecided_metal_and_linker(options: Sequence[str], same_pattern: bool) -> str:
    return f"{_undecided_metal(options, same_pattern)} on the metal, NMR or IR on the linker"


def _undecided_linker(options: Sequence[str], same_pattern: bool, elements: Sequence[str]) -> str:
    return f"{_listed(options)}: {_same(same_pattern)} and metal; {_decides_linker(elements)} decides"


def _decides_linker(elements: Sequence[str]) -> str:
    return f"elemental analysis ({', '.join(elements)}), NMR or IR" if elements else "NMR of the digested solid, IR or TGA"


def _metal_exchanged(name: str, held: Sequence[str], wanted: Sequence[str]) -> str:
    return f"framework of {name}; the library has no {' or '.join(wanted)} form, so line heights are those of {' and '.join(held)}"


def _isotypes(compounds: Sequence[str]) -> str:
    shown = [*compounds[:5], f"{len(compounds) - 5} more"] if len(compounds) > 6 else compounds
    return f"{', '.join(shown[:-1])} and {shown[-1]} have" if len(shown) > 1 else f"{shown[0]} has"


def _first_column(column: str, others: Sequence[str]) -> str:
    listed = ", ".join([*others[:8], "..."] if len(others) > 8 else others)
    return f"The table holds {len(others) + 1} samples; {column} was taken. --column chooses another: {listed}"


def _converted(what: str, called: str, wavelength: float | None) -> str:
    return f"{called!r} was read as {what} and converted to 2θ" + (f" with {wavelength:.5g} Å" if wavelength else "")


def _rows_left_out(rows: int, first: str) -> str:
    told = f"{rows} row{'s' if rows > 1 else ''} could not be read and {'were' if rows > 1 else 'was'} left out"
    return f"{told}; the first is {first!r}" if first else told


def _same(same_pattern: bool) -> str:
    return "same pattern" if same_pattern else "too alike for this scan"


def _listed(labels: Sequence[str]) -> str:
    return " or ".join([*labels[:3], f"{len(labels) - 3} more"] if len(labels) > 4 else labels)


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _unclear(name: str, probability: float, like: str) -> str:
    other = f"; {like} would fit as well" if like else ""
    return f"{name} may be there ({percent(probability)}), but the scan does not decide{other}"


def _lines_missing(lines: int, angles: Sequence[float]) -> str:
    places = ", ".join(f"{angle:.2f}°" for angle in angles)
    return f"{lines} strong peak{'s are' if lines > 1 else ' is'} missing ({places}{', ...' if lines > len(angles) else ''})"


#: What people read for each code of a reason or a note.
_SENTENCES: dict[str, str | Callable[..., str]] = {
    # Reasons of a verdict
    "error": "{message}",
    "range_too_short": "The scan covers {span:.1f}° between {start:g}° and {stop:g}° (Cu scale); at least {needed:g}° are needed",
    "too_few_lines": _too_few_lines,
    "too_few_lines_to_name": _too_few_lines_to_name,
    "one_spacing": "Its {lines} peaks are orders of one spacing, too little to name a framework; the closest is {closest}",
    "nothing_fits": _nothing_fits,
    "fits": "{name} fits, and no other framework comes close",
    "form_open": "{name} fits; which of its forms is not decided",
    "composition": _composition,
    "classifier": "This model always picks one of its labels; it cannot say unknown",
    "ambiguous": _ambiguous,
    "accepted": lambda names, left: f"{_and(names)} accepted as there; {percent(left)} of the signal is left to explain",
    "second_phase": lambda name, share: f"{name} explains a further {100 * share:.0f} % of the signal: a mixture",
    "undecided_metal": _undecided_metal,
    "undecided_metal_and_linker": _undecided_metal_and_linker,
    "undecided_linker": _undecided_linker,
    "undecided_form": "{name}: the scan does not tell which form",
    # What check says of what was expected
    "expected_there": lambda names, explained: f"{_and(names)} explain{'s' if len(names) == 1 else ''} {100 * explained:.0f} % of the signal",
    "nothing_else": "nothing else is seen; a second phase whose strongest peak is below {limit:.2g} % of this scan's would not be",
    "nothing_else_visible": "nothing else is seen, but the peaks lie so close that even a large second phase could hide",
    "further_lines": lambda lines, height: f"{lines} further peak{'s' if lines > 1 else ''}, up to {height:.3g} % of the strongest",
    "expected_absent": lambda name, like: f"{name} is not there" + (f"; the scan looks like {like}" if like else ""),
    "expected_unclear": _unclear,
    "lines_missing": _lines_missing,
    "missing_texture": "All missing peaks are {zone}: the crystals lie flat (texture). Rotate the sample or fill it from the back",
    "missing_guests": "All missing peaks are below {below:g}°, where the pores' contents count most: solvent or other guests",
    "missing_width": "Peaks are {fwhm:g}° wide, and neighbours run together",
    "cell_differs": lambda name, change: (
        f"The cell volume of {name} is {100 * abs(change):.1f} % {'larger' if change > 0 else 'smaller'} than the reference"
    ),
    "another_form": "The pattern is that of another form of {name}, {form}",
    # Notes on a scan
    "wavelength_assumed": f"Cu K{_ALPHA} assumed: not in the file. Change with --wavelength",
    "wavelength_in_name": "The file's name says {told}; the file itself gives no wavelength. If the name is right, add --wavelength {told}",
    "other_anode_fits": "Nothing fits with copper radiation, but {name} would with {anode}. If it was {anode}, add --wavelength {anode}",
    "few_counts": lambda weakest: f"Few counts: peaks below {100 * weakest:.0f} % of the strongest are lost in noise. A longer scan would show more",
    "halo": "Broad halo near {two_theta:.0f}° (Cu scale): solvent, a capillary or amorphous material. It hides weak peaks",
    "high_background": "High, flat background: fluorescence (Co, Fe or Mn under Cu radiation?) or the holder. It hides weak peaks",
    "strongest_line_cut_off": "The scan starts at {start:.1f}°; the strongest peak of {name} is at {two_theta:.1f}°. Start lower",
    "metal_exchanged": _metal_exchanged,
    "isotypes": lambda name, type, compounds: f"{name} is of the {type} type; {_isotypes(compounds)} nearly the same cell: EDX or ICP decides",
    "doubtful_structure": "The library's structure {name} is doubtful: {reason}",
    # Notes of the readers
    "broken_record": "The last record is incomplete: the scan may still be running. Everything before it was read",
    "stopped_early": "Only {points} of {planned} planned points: the scan was stopped early, or is still running",
    "scan_status": "The file calls this scan {status!r}: it may still be running",
    "just_changed": "The file changed less than {seconds:.0f} s ago. If the scan is still running, identify it again when it is done",
    "counting_time_varies": "The counting time varies from {shortest:.4g} to {longest:.4g} s per step; intensities are counts as recorded",
    "attenuator": "An attenuator (factor {factor:.4g}) weakened {weakened} of {points} points; their intensities are as recorded",
    "range_chosen": "The ranges cannot be joined ({why}): the longest, number {taken}, was taken; --range-index chooses another, or all. {ranges}",
    "first_column": _first_column,
    "converted": _converted,
    "rows_left_out": _rows_left_out,
    "uneven_steps": "The steps of the first column change steadily, like those of d-spacings: is it really 2θ? It was taken as 2θ",
    "odd_unit": "The file calls itself a diffraction pattern over {called}, which no diffractometer scans: taken as 2θ",
    "unnamed_columns": "The table has {columns} columns without names: the first two were taken as 2θ and intensity",
    "wavelength_read_as_nm": "The file gives the wavelength {stated:g} without a unit: taken as nm, {wavelength:.5g} Å. Change with --wavelength",
    "drawn_from_peaks": "Drawn from a list of {peaks} peaks, {fwhm:g}° wide: heights and widths are not those of a scan",
    # Why a scan was filtered or was not
    "filter_off": "not filtered: the filter is switched off",
    "filter_flat": "not filtered: the scan is flat",
    "filter_no_noise": "not filtered: the scan has no noise",
    "filter_not_needed": lambda noise, limit: f"not filtered: {noise_text(noise)}, below {100 * limit:g} %",
    "filter_applied": lambda noise, fwhm: f"filtered: {noise_text(noise)}; peaks of {fwhm:.2f}° keep their shape",
    "paper_filter_not_needed": "not filtered: the paper's criterion is {criterion:.2f}, not above {limit:g}",
    "paper_filter_applied": "filtered: the paper's criterion is {criterion:.2f}, above {limit:g}; {bins} Fourier bins kept",
}
#: What each open question is about.
_OPEN = {
    "undecided_metal": "metal",
    "undecided_metal_and_linker": "metal and linker",
    "undecided_linker": "linker",
    "undecided_form": "form",
    "isotypes": "metal",
}


def open_question(of: Note) -> dict[str, Any]:
    """What an answer leaves open: what it is about, what it may be, and what decides."""
    values = dict(of.values)
    if of.code == "isotypes":
        return {"what": "metal", "options": [values["name"], *values["compounds"]], "decided_by": "EDX or ICP"}
    if of.code == "undecided_form":
        decided = "a longer or sharper scan of the dry sample"
    elif of.code == "undecided_linker":
        decided = _decides_linker(values["elements"])
    else:
        decided = "EDX or ICP" if of.code == "undecided_metal" else "EDX or ICP on the metal, NMR or IR on the linker"
    return {"what": _OPEN[of.code], "options": list(values["options"]), "decided_by": decided}


#: All codes there are.
CODES = frozenset(_SENTENCES)
#: Codes whose sentence tells the noise.
_TELL_NOISE = ("filter_not_needed", "filter_applied")


def noise_text(noise: float) -> str:
    """`noise is 0.5 % of the strongest peak`. noise: relative to that peak."""
    return f"noise is {100 * noise:.2g} % of the strongest peak"


def filter_text(result: Identification) -> str:
    """Whether the scan was filtered and why, with its noise."""
    if result.filter_reason is None:
        return ""
    said = sentence(result.filter_reason)
    return said if result.noise is None or result.filter_reason.code in _TELL_NOISE else f"{said}; {noise_text(result.noise)}"


def wavelength_text(result: Identification | CheckResult) -> str:
    """Line, angstrom, and where the wavelength is from."""
    if not result.wavelength:
        return ""
    source = {"file": "from the file", "option": "as given", "default": "assumed: not in the file"}
    name = line_name(result.wavelength)
    return f"{name + ' ' if name else ''}{result.wavelength:.4f} Å ({source.get(result.wavelength_source, result.wavelength_source)})"


def sample_text(result: Identification | CheckResult) -> str:
    """What the scan says of the sample: crystallite size, line width, crystallinity; what cannot be told is left out."""
    told, parts = result.sample, []
    if told.crystallite_size_nm is not None:
        parts.append(f"crystallites about {told.crystallite_size_nm:.2g} nm")
    if told.fwhm is not None:
        parts.append(f"lines {told.fwhm:.2f}° wide")
    if told.crystallinity is not None:
        parts.append(f"crystallinity {100 * told.crystallinity:.0f} %")
    return ", ".join(parts)


def hint_text(result: Identification) -> str:
    """What an unknown may be isoreticular with, in a sentence; empty where there is no hint."""
    hint = result.hint
    if hint is None:
        return ""
    a, _, c, *_ = hint.cell
    cubic = abs(c - a) < 1e-3 * a
    cell = f"a = {a:.2f} Å" if cubic else f"a = {a:.2f} Å, c = {c:.2f} Å"
    change = 100.0 * (hint.scale - 1.0)
    if abs(change) < SAME_SIZE:
        said = f"its lines are much like those of {hint.of}, in a cell of about the same size ({cell})"
        return f"{said}: perhaps the same net ({hint.net}) with another linker"
    what = "the cell edge" if cubic else {"abc": "the cell edges", "ab": "a and b", "c": "c"}[hint.axes]
    way = "longer" if change > 0 else "shorter"
    said = f"its lines are like those of {hint.of} with {what} {abs(change):.0f} % {way} ({cell})"
    return f"{said}: perhaps the same net ({hint.net}) with a {way} linker"


def cell_text(match: Match) -> str:
    """`a = 26.39 Å (library +0.2 %)`: the refined lengths that differ, each beside the library's; empty where no cell is known."""
    shown: list[str] = []
    for place, axis in enumerate("abc"):
        own, published = match.cell[place], match.library_cell[place]
        if published and not any(abs(published - other) < 1e-3 * published for other in match.library_cell[:place]):
            shown.append(f"{axis} = {own:.2f} Å (library {100 * (own / published - 1.0):+z.1f} %)")
    return ", ".join(shown)


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
