"""What the page may ask of a search, as it comes from the browser, and how much it may send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from xrdmatch.diffraction.elements import element_symbols
from xrdmatch.diffraction.radiation import parse_wavelength
from xrdmatch.errors import XrdMatchError
from xrdmatch.formats import ReadOptions
from xrdmatch.preprocessing.fft_filter import Mode
from xrdmatch.search.options import SearchOptions

#: What stands between phases that are expected together, as in a plan of `check`.
AND = "+"
#: Characters of one field, and phases that are accepted or expected at most.
LONGEST, MOST_PHASES = 500, 8


@dataclass(frozen=True)
class Limits:
    """How much a browser may send: bytes of one file; scans at a time; bytes of all files together; structures of one's own."""

    file_bytes: int = 100_000_000
    scans: int = 500
    all_bytes: int = 4_000_000_000
    structures: int = 100


@dataclass(frozen=True)
class Settings:
    """How a scan is searched. Fields as those of `SearchOptions`; expected: names or refcodes, which `check` looks for."""

    wavelength: float | None = None
    filter_mode: Mode = "auto"
    elements: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()

    @property
    def search(self) -> SearchOptions:
        """As `identify` takes them."""
        return SearchOptions(self.wavelength, self.filter_mode, elements=self.elements, exclude=self.exclude, accepted=self.accepted)

    @property
    def reading(self) -> ReadOptions:
        return ReadOptions(wavelength=self.wavelength)

    @classmethod
    def of(cls, data: Any) -> Settings:
        """Out of the page's fields, all of them texts. Raises XrdMatchError that names the field which is wrong."""
        if not isinstance(data, Mapping) or not all(isinstance(value, str) and len(value) <= LONGEST for value in data.values()):
            raise XrdMatchError(f"settings: expected fields of text, each of at most {LONGEST} characters")
        unknown = sorted(set(data) - {"wavelength", "filter", "elements", "exclude", "expected", "accepted"})
        if unknown:
            raise XrdMatchError(f"settings: there is no field {unknown[0][:40]}")
        given = {name: value.strip() for name, value in data.items()}
        mode = given.get("filter") or "auto"
        if mode not in get_args(Mode):
            raise XrdMatchError(f"filter: expected one of {', '.join(get_args(Mode))}")
        return cls(
            wavelength=_field("wavelength", parse_wavelength, given, None),
            filter_mode=mode,  # type: ignore[arg-type]
            elements=_field("elements", element_symbols, given, None),
            exclude=_field("without", element_symbols, {"without": given.get("exclude", "")}, ()),
            accepted=_phases("accepted", given.get("accepted", "")),
            expected=_phases("expected phase", given.get("expected", "")),
        )

    @classmethod
    def of_text(cls, text: str) -> Settings:
        """Out of JSON; an empty text stands for no settings."""
        try:
            return cls.of(json.loads(text or "{}"))
        except ValueError:
            raise XrdMatchError("settings: expected JSON") from None


def _field(name: str, read: Any, given: Mapping[str, str], otherwise: Any) -> Any:
    try:
        return read(given[name]) if given.get(name) else otherwise
    except XrdMatchError as error:
        raise XrdMatchError(f"{name}: {error}") from error


def _phases(name: str, text: str) -> tuple[str, ...]:
    """Names with " + " between."""
    phases = tuple(part.strip() for part in text.split(AND) if part.strip())
    if len(phases) > MOST_PHASES:
        raise XrdMatchError(f"{name}: at most {MOST_PHASES} phases")
    return phases
