"""What the numbers along a scan are: 2theta in degrees, or something that is converted to it, or refused. Never guessed from the numbers.

Every reader that finds a name for its abscissa - of a column, a key, an axis, a dataset - asks `abscissa` what it means.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import two_theta
from xrdmatch.errors import ReadError
from xrdmatch.formats.scan import TWO_THETA_AXES, plain

_Values = NDArray[np.float64]


@dataclass(frozen=True)
class Abscissa:
    """what: in words, in the plural. angles: values (n,) and the wavelength in angstrom -> 2theta in degrees (n,); None where nothing leads there.

    needs_wavelength: whether the wavelength takes part in that. called: how the file names them; has_unit: whether with their unit.
    """

    what: str
    angles: Callable[[_Values, float], _Values] | None = None
    needs_wavelength: bool = False
    called: str = ""
    has_unit: bool = False

    @property
    def is_two_theta(self) -> bool:
        """Whether the numbers are 2theta in degrees as they stand."""
        return self.what == TWO_THETA.what

    def to_two_theta(self, values: _Values, wavelength: float | None) -> _Values:
        """2theta in degrees (n,). Raises ReadError where nothing leads there, or where it lies out of the wavelength's reach."""
        told = f"{self.what} ({self.called.strip()[:60]!r})" if self.called else self.what
        if self.angles is None:
            raise ReadError(f"its x axis holds {told}, not 2theta: export the scan against 2theta")
        if self.needs_wavelength and wavelength is None:
            raise ReadError(
                f"its x axis holds {told}, not 2theta, and the file gives no wavelength to convert them with: "
                "export the scan against 2theta, or give the wavelength with --wavelength"
            )
        with np.errstate(all="ignore"):
            angles = self.angles(values, wavelength or 0.0)
        beyond = np.count_nonzero(~np.isfinite(angles)) - np.count_nonzero(~np.isfinite(values))
        if beyond > 0:
            raise ReadError(
                f"its x axis holds {told}; {beyond} of {values.size} values are impossible with a wavelength of {wavelength or 0.0:.5g} angstrom"
            )
        return angles


def _from_d(scale: float) -> Callable[[_Values, float], _Values]:
    """d = value times scale."""
    return lambda values, wavelength: two_theta(values * scale, wavelength)


def _from_inverse(scale: float) -> Callable[[_Values, float], _Values]:
    """1/d = value times scale."""
    return lambda values, wavelength: np.degrees(2.0 * np.arcsin(0.5 * wavelength * scale * values))


TWO_THETA = Abscissa("2theta", lambda values, _: values)
RADIANS = Abscissa("2theta in radians", lambda values, _: np.degrees(values))
MILLIRADIANS = Abscissa("2theta in milliradians", lambda values, _: np.degrees(1e-3 * values))
THETA = Abscissa("theta", lambda values, _: 2.0 * values)
THETA_RADIANS = Abscissa("theta in radians", lambda values, _: np.degrees(2.0 * values))


def _inverse(what: str, scale: float, customary: bool = False) -> dict[str, Abscissa]:
    """Of what is 1/d divided by `scale`, in 1/angstrom and in 1/nm; where that is customary, in 1/angstrom without a unit."""
    plainly = Abscissa(what, _from_inverse(scale), True)
    return ({"": plainly} if customary else {}) | {"1/a": plainly, "1/nm": Abscissa(f"{what} in 1/nm", _from_inverse(0.1 * scale), True)}


_D = Abscissa("d-spacings", _from_d(1.0), True)
#: What is converted, by the unit that the file states ("": none). Without a unit only what has a customary one: nobody gives d in nm without a word.
_BY_UNIT: dict[str, dict[str, Abscissa]] = {
    "2theta": {"": TWO_THETA, "deg": TWO_THETA, "rad": RADIANS, "mrad": MILLIRADIANS},
    "theta": {"": THETA, "deg": THETA, "rad": THETA_RADIANS},
    "d": {"": _D, "a": _D, "nm": Abscissa("d-spacings in nm", _from_d(10.0), True)},
    "q": _inverse("scattering vectors q", 0.5 / np.pi),
    "s": _inverse("scattering vectors s = 1/d", 1.0),
    "1/d": _inverse("1/d", 1.0, customary=True),
    "sine": _inverse("sin(theta)/lambda", 2.0, customary=True),
}
#: What they are where the unit is missing or is another one.
_UNCLEAR = {
    "2theta": "2theta in an unknown unit",
    "theta": "theta in an unknown unit",
    "d": "d-spacings in an unknown unit",
    "q": "scattering vectors q without a unit",
    "s": "scattering vectors s = 1/d, or seconds",
    "1/d": "1/d in an unknown unit",
    "sine": "sin(theta)/lambda in an unknown unit",
}
#: Names as `plain` spells them, without their unit.
_NAMES = (
    (re.compile(r"sin.*(lambda|lam|wavelength|wl|wave)|stol|s?inthl|sthl|sintl"), "sine"),
    (re.compile(r"2theta|2th|tth|ttheta|twoth|2t|2thetad?"), "2theta"),
    (re.compile(r"theta|th|thetaangle|angletheta"), "theta"),
    (re.compile(r"d|d(hkl)?(spacings?|values?)?|(interplanar|lattice|plane)(spacings?|distances?)|dspace"), "d"),
    (
        re.compile(
            r"q|q(values?|vectors?|space|scale|mod|axis|norm)|mod(ulus)?q|(scattering|wave)vectors?(transfer)?(q|magnitude)?|momentumtransfer(q)?"
        ),
        "q",
    ),
    (re.compile(r"1d|(inv|inverse|reciprocal)d(spacing)?|reciprocalspacing|dstar"), "1/d"),
    (re.compile(r"s|svalues?|(scattering)?vectors"), "s"),
)
#: Names that mean an angle of some kind, and 2theta unless their unit is another one.
_ANGLES = re.compile(
    r"pos(ition)?s?|angles?|ang|winkel|(beugungs|streu)winkel|(diffraction|scattering|detector)angles?|x(axis|values?|data|col(umn)?)?|gonio(meter)?|"
)
_REFUSED = (
    (re.compile(r"tof(us)?|timeofflight.*|flighttimes?"), "times of flight"),
    (re.compile(r"(photon)?energ(y|ies)(transfer|loss)?|e|kev|ev"), "energies"),
    (re.compile(r"(detector)?(channel|chan|ch|pixel|px|bin|column|col|mca|strip)s?(number|no|nr|index|centre|center)?"), "detector channels"),
    (re.compile(r"r|radi(us|al)(distance|position)?|distances?"), "distances r"),
    (re.compile(r"(elapsed)?times?(stamp)?|t|epoch|seconds?|duration|exposure"), "times"),
    (re.compile(r"temp(erature)?s?"), "temperatures"),
    (re.compile(r"wavelengths?|lambda|wl"), "wavelengths"),
    (re.compile(r"wavenumbers?|ramanshifts?|frequenc(y|ies)"), "wavenumbers or frequencies"),
    (re.compile(r"azimuth(al)?(angle)?s?|chi|phi|psi|eta|khi|kappa|rotation"), "angles of a rotation (phi, chi, psi)"),
    (re.compile(r"omega|om|rocking(angle|curve)?"), "omega (a rocking scan)"),
    (re.compile(r"(braggs?|half)angles?"), "Bragg angles, which may be theta or 2theta"),
    (
        re.compile(r"sin(2|sq|squared)?(theta|th)|[qds](2|sq|squared)((nm|a)2)?|1d2|(dstar|q|d)2((nm|a)2)?|cos(2)?(theta|th)"),
        "squares or sines, not angles",
    ),
)
_SPELLED = (
    (re.compile(r"[\s^{}()\[\]*$\\<>'\"_]|\.$"), ""),
    (re.compile(r"\u00e5ngstr\u00f6ms?|angstroe?ms?|angstr|angs?|\u00e5|\u212b"), "a"),
    (re.compile(r"nanomet(er|re)s?"), "nm"),
    (re.compile(r"milliradi?ans?"), "mrad"),
    (re.compile(r"radi?ans?"), "rad"),
    (re.compile(r"(angular)?degrees?|degs|grad|\u00b0|\u00ba"), "deg"),
    (re.compile(r"^(inverse|inv\.?|per|reciprocal|rec\.?)"), "1/"),
    (re.compile(r"^(.*?)[-\u2212\u2013\u207b]+[1\u00b9]$"), r"1/\1"),
    (re.compile(r"^/"), "1/"),
    (re.compile(r"deg\.?,?[2\u00b2]?(theta|th|\u03b8|t)?\.?"), "deg"),
    (re.compile(r"^2-?(theta|th|\u03b8)\.?(deg)?$"), "deg"),
)
_UNITS = frozenset((
    "deg", "rad", "mrad", "a", "nm", "1/a", "1/nm", "kev", "ev", "mev", "s", "sec", "secs", "seconds", "ms", "us", "min", "h", "mm", "cm", "m", "um",
    "pm", "k", "c", "pixel", "pixels", "px", "channel", "channels", "ch",
))  # fmt: skip
#: Those that tell what a column holds when they stand alone.
_TELLING = frozenset(("deg", "rad", "mrad", "1/a", "1/nm", "kev", "mev"))
#: Signs of units that `plain` drops: angstrom, degree, a raised minus one.
_SYMBOLS = re.compile("[\u00c5\u00e5\u212b\u00b0\u00ba\u207b\u00b9]")
#: A unit in brackets at the end, or after a slash, a comma, an underscore or a blank.
_BRACKETED = re.compile(r"^(.*?)\s*[\[({]([^\[\](){}]*(?:\([^()]*\))?[^\[\](){}]*)[\])}]\s*\.?\s*$")
_TRAILING = re.compile(r"^(.*?\S)(?:\s*[,_]\s*|\s+in\s+|\s+|\s*/\s*)(\S+)$")


def _unit(text: str) -> str:
    """A unit as `_UNITS` spells it; "" where the text is none."""
    unit = text.strip().lower()
    for pattern, plainly in _SPELLED:
        unit = pattern.sub(plainly, unit)
    return unit if unit in _UNITS else ""


def _parts(text: str) -> tuple[str, str]:
    """The name as `plain` spells it, and the unit."""
    name, unit = re.sub(r"^d\*", "dstar", re.sub("[{}]", "", text).strip().strip("\"'#:; "), flags=re.IGNORECASE), ""
    whole = plain(name)
    meant = whole in TWO_THETA_AXES or any(pattern.fullmatch(whole) for pattern, _ in (*_NAMES, *_REFUSED))
    if meant and not _SYMBOLS.search(name):  # nothing was lost that could be a unit
        return whole, ""
    if (told := _unit(name)) in _TELLING:
        return "", told
    for pattern in (_BRACKETED, _TRAILING):
        found = pattern.match(name)
        if found and found.group(2).count("(") == found.group(2).count(")") and (told := _unit(found.group(2))):
            name, unit = found.group(1), told
            break
    name = plain(name.replace("\u00b2", "2").replace("\u00b0", " "))
    for inverse in ("inverse", "inv"):
        if unit in ("a", "nm") and len(name) > len(inverse) and name.endswith(inverse):
            name, unit = name.removesuffix(inverse), f"1/{unit}"
    return name.removesuffix("in") if unit else name, unit


def abscissa(text: str) -> Abscissa | None:
    """What a column, an axis or a key of that name holds; None where the name says nothing of the kind.

    `2Theta`, `2th_rad`, `Q (Inverse Nanometres)`, `d [A]`, `Theta (deg)`, `sin(theta)/lambda`, `x`, `degrees`, ...
    """
    if len(text) > 80 or not re.search(r"[^\W_]|\u00b0", text):
        return None
    name, unit = _parts(text)
    found = next((key for pattern, key in _NAMES if pattern.fullmatch(name)), "")
    if not found and (name in TWO_THETA_AXES or re.search(r"2theta|2th(?!e)", name)) and not name.startswith(("sin", "cos", "1")):
        found = "2theta"
    refused = next((what for pattern, what in _REFUSED if pattern.fullmatch(name)), "")
    if found:
        meant = _BY_UNIT[found].get(unit) or Abscissa(_UNCLEAR[found])
    elif _ANGLES.fullmatch(name):
        meant = _BY_UNIT["2theta"].get(unit) or Abscissa(f"numbers in {unit}")
    elif refused:
        meant = Abscissa(refused)
    else:
        return None
    return replace(meant, called=text.strip(), has_unit=bool(unit))
