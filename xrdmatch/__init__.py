"""Names the metal-organic framework in a raw powder X-ray diffraction scan.

    import xrdmatch

    answer = xrdmatch.identify("scan.raw")
    answer.verdict, answer.matches[0].name, answer.matches[0].probability
    xrdmatch.check("scan.raw", "UiO-66").verdict   # is it what I made, and pure?
    pattern = xrdmatch.read("scan.raw")            # two_theta in degrees, intensity, wavelength in angstrom
    ideal = xrdmatch.simulate("HKUST-1.cif")       # a Pattern as well
    xrdmatch.find("uio-66")[0].refcode             # what the library holds
    xrdmatch.stack(["scan.raw"], ["HKUST-1"])      # a figure: scans over simulated patterns

`Library`, `Model`, `Structure`, `Pattern`, `Grid`, `Identification`, `Match`, `CheckResult` and `Found` are the types; errors derive from
`XrdMatchError`. Importing the package is light: each name loads what it needs when it is used.
"""

from __future__ import annotations

import importlib
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from xrdmatch.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from xrdmatch.diffraction.pattern import Grid, Pattern
    from xrdmatch.diffraction.structure import Structure
    from xrdmatch.errors import LibraryError, ModelError, ReadError, StructureError, XrdMatchError
    from xrdmatch.library.find_entries import Found
    from xrdmatch.library.reference_library import Library
    from xrdmatch.model.folder import Model
    from xrdmatch.report.stack_figure import StackOptions
    from xrdmatch.search.check import Checker
    from xrdmatch.search.check_result import CheckResult
    from xrdmatch.search.identify import Identifier
    from xrdmatch.search.result import Identification, Match

__all__ = [
    "CheckResult",
    "Found",
    "Grid",
    "Identification",
    "Library",
    "LibraryError",
    "Match",
    "Model",
    "ModelError",
    "Pattern",
    "ReadError",
    "StackOptions",
    "Structure",
    "StructureError",
    "XrdMatchError",
    "__version__",
    "check",
    "find",
    "identify",
    "read",
    "simulate",
    "stack",
]

_HOMES = {
    "CheckResult": "search.check_result",
    "Found": "library.find_entries",
    "Grid": "diffraction.pattern",
    "Identification": "search.result",
    "Library": "library.reference_library",
    "LibraryError": "errors",
    "Match": "search.result",
    "Model": "model.folder",
    "ModelError": "errors",
    "Pattern": "diffraction.pattern",
    "ReadError": "errors",
    "StackOptions": "report.stack_figure",
    "Structure": "diffraction.structure",
    "StructureError": "errors",
    "XrdMatchError": "errors",
}


def identify(
    source: str | os.PathLike[str] | Pattern,
    *,
    model: str | os.PathLike[str] | Model | None = None,
    wavelength: float | str | None = None,
    top: int = 5,
    filter_mode: Literal["auto", "paper", "on", "off"] = "auto",
    range_index: int | None = None,
    device: Literal["auto", "cuda", "cpu"] = "auto",
    instrument_width: float = 0.08,
) -> Identification:
    """Ranked frameworks and a verdict for a measured file or a `Pattern`.

    model: name or folder, by default the shipped one; it stays loaded for the next call. wavelength: angstrom, or a name such as "Cu" or "CoKa1";
    overrides the file's. top: candidates at most, 1 to 12. filter_mode: the FFT filter, see `xrdmatch denoise`. range_index: of a file with several
    ranges, from 1. instrument_width: line width of a perfect sample in degrees, for the crystallite size. Raises XrdMatchError: ReadError where the
    file cannot be read, ModelError or LibraryError where the model cannot run, or where the wavelength is not understood. Raises ValueError for
    another `top` or `filter_mode`, or a negative width.
    """
    from xrdmatch.diffraction.radiation import parse_wavelength
    from xrdmatch.search.options import SearchOptions

    angstrom = parse_wavelength(str(wavelength)) if wavelength is not None else None
    options = SearchOptions(angstrom, filter_mode, top, instrument_width=instrument_width)
    pattern, file = _pattern(source, range_index, angstrom)
    return _identifier(model, device).identify(pattern, options, file)


def check(
    source: str | os.PathLike[str] | Pattern,
    expect: str | Sequence[str],
    *,
    model: str | os.PathLike[str] | Model | None = None,
    wavelength: float | str | None = None,
    filter_mode: Literal["auto", "paper", "on", "off"] = "auto",
    range_index: int | None = None,
    device: Literal["auto", "cuda", "cpu"] = "auto",
    instrument_width: float = 0.08,
) -> CheckResult:
    """Whether a measured file or a `Pattern` shows what was expected, and nothing else.

    expect: a name, a refcode or a structure file; several are expected together. Others: as of `identify`. Raises XrdMatchError: ReadError where the
    scan cannot be read, LibraryError or StructureError where what is expected is not known, ModelError where the model cannot run.
    """
    from xrdmatch.diffraction.radiation import parse_wavelength
    from xrdmatch.search.options import SearchOptions

    angstrom = parse_wavelength(str(wavelength)) if wavelength is not None else None
    options = SearchOptions(angstrom, filter_mode, instrument_width=instrument_width)
    pattern, file = _pattern(source, range_index, angstrom)
    expected = (expect,) if isinstance(expect, str) else tuple(expect)
    return _checker(_identifier(model, device)).check(pattern, expected, options, file)


def read(path: str | os.PathLike[str], *, range_index: int | None = None, column: str | None = None, peaks: bool = False) -> Pattern:
    """The powder pattern in a measured file of any known format: two_theta (n,) in degrees, intensity (n,), wavelength in angstrom or None.

    range_index: of a file with several ranges, from 1; the longest by default. column: of a table with several samples, by name or number; the first
    by default. peaks: draw a list of peaks as a scan. Raises ReadError where the file is no 2theta scan.
    """
    from xrdmatch.formats import ReadOptions
    from xrdmatch.formats import read as read_file

    return read_file(path, ReadOptions(range_index, column, peaks))


def simulate(structure: str | os.PathLike[str] | Structure, grid: Grid | None = None, *, fwhm: float = 0.1, eta: float = 0.5) -> Pattern:
    """The ideal pattern, highest point 100, of a structure file (CIF, POSCAR) or a `Structure`.

    grid: 2theta range, step and wavelength, by default 5 to 50 degrees by 0.02 with Cu K-alpha. fwhm: line width in degrees. eta: Lorentz share of
    the line shape. Raises StructureError where the file holds no usable structure.
    """
    from xrdmatch.diffraction.structure import Structure, load
    from xrdmatch.diffraction.structure_factors import simulate_pattern

    return simulate_pattern(structure if isinstance(structure, Structure) else load(os.fspath(structure)), grid, fwhm, eta)


def find(
    text: str = "",
    *,
    metal: str | Sequence[str] = (),
    linker: str = "",
    category: str = "",
    model: str | os.PathLike[str] | Model | Library | None = None,
    top: int | None = 20,
) -> list[Found]:
    """The families of a library that fit, best first; empty where none does.

    text: a name, refcode, id, formula or DOI, or a part of a name, however it is spelled. metal: a symbol, or several that an entry holds together.
    linker, category: as the library says them; where it says no linkers, names and compositions are searched. model: a name, a folder, a `Model` or a
    `Library`, by default the shipped model's. top: families at most; None: all. Raises ModelError or LibraryError where there is no such model or
    category.
    """
    from xrdmatch.library.find_entries import Search, Wanted
    from xrdmatch.library.reference_library import Library
    from xrdmatch.model.folder import LIBRARY, Model, find_model

    if isinstance(model, Model):
        library = model.library
    else:
        library = model if isinstance(model, Library) else Library.load(find_model(os.fspath(model) if model is not None else None) / LIBRARY)
    return Search(library, Wanted(text, (metal,) if isinstance(metal, str) else tuple(metal), linker, category)).found(top)


def stack(
    scans: Mapping[str, str | os.PathLike[str] | Pattern] | Sequence[str | os.PathLike[str] | Pattern],
    references: Sequence[str] = (),
    *,
    model: str | os.PathLike[str] | None = None,
    options: StackOptions | None = None,
) -> Figure:
    """A matplotlib figure of scans over the simulated patterns of what they should be; `figure.savefig("stack.pdf")` writes it.

    scans: files or patterns, by label where this is a mapping. references: structure files, or names or refcodes of the model's library. options:
    how it is drawn, see `StackOptions`. Raises XrdMatchError: ReadError, StructureError or LibraryError for what cannot be had.
    """
    from pathlib import Path

    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.library.named_reference import named_reference
    from xrdmatch.library.reference_library import Library
    from xrdmatch.model.folder import LIBRARY, find_model
    from xrdmatch.report.stack_figure import StackOptions, stack_figure

    @lru_cache(maxsize=1)
    def library() -> Library:
        return Library.load(find_model(os.fspath(model) if model is not None else None) / LIBRARY)

    named = scans.items() if hasattr(scans, "items") else ((one.name if isinstance(one, Pattern) else Path(one).stem, one) for one in scans)
    patterns = [(label, one if isinstance(one, Pattern) else read(one)) for label, one in named]
    return stack_figure(patterns, [named_reference(text, library) for text in references], options or StackOptions())


def _pattern(source: str | os.PathLike[str] | Pattern, range_index: int | None, angstrom: float | None) -> tuple[Pattern, str]:
    """A scan and what it is called."""
    from xrdmatch.diffraction.pattern import Pattern

    if isinstance(source, Pattern):
        return source, source.name
    from xrdmatch.formats import ReadOptions
    from xrdmatch.formats import read as read_file

    return read_file(source, ReadOptions(range_index, wavelength=angstrom)), os.fspath(source)


@lru_cache(maxsize=2)
def _checker(identifier: Identifier) -> Checker:
    from xrdmatch.search.check import Checker

    return Checker(identifier)


def _identifier(model: str | os.PathLike[str] | Model | None, device: Literal["auto", "cuda", "cpu"]) -> Identifier:
    from xrdmatch.model.folder import CONFIG, LIBRARY, Model, find_model
    from xrdmatch.search.identify import Identifier

    if isinstance(model, Model):
        return Identifier(model, device)
    folder = find_model(os.fspath(model) if model is not None else None).resolve()
    changed = tuple(path.stat().st_mtime_ns for path in (folder / CONFIG, folder / LIBRARY) if path.is_file())
    return _loaded(folder, changed, device)


@lru_cache(maxsize=2)
def _loaded(folder: Path, changed: tuple[int, ...], device: Literal["auto", "cuda", "cpu"]) -> Identifier:
    """`changed` is the age of the folder's configuration and library: a model that was trained anew, or added to, is loaded anew."""
    from xrdmatch.search.identify import Identifier

    return Identifier(folder, device)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"xrdmatch.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'xrdmatch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
