"""The patterns in an HDF5 file: NeXus (NXmonopd, and any NXdata of intensity against an angle, q or d) and what pyFAI writes.

`python -m xrdmatch.formats.hdf5_patterns` takes the bytes of a file and answers with a line of JSON and the numbers; `nexus` asks, and says why.

Layout: the NeXus manual (NXdata with `signal` and `axes`, and the older `signal=1`, `axis=1` at the datasets; NXmonopd, whose polar_angle is 2theta),
and pyFAI's HDF5 writer, which keeps the unit of the abscissa in an attribute. Nothing outside the file is followed; the shape is looked at first.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import WAVELENGTH_RANGE
from xrdmatch.errors import ReadError, UnfinishedError
from xrdmatch.formats.abscissa import abscissa
from xrdmatch.formats.scan import MAX_POINTS

#: Groups and datasets that are looked at, how deep they lie, and links that lead from one to the next.
_MAX_OBJECTS, _MAX_DEPTH, _MAX_LINKS = 5000, 12, 8
_MAX_PATTERNS = 500
#: Seconds of work, and bytes of memory.
_CPU, _MEMORY = 5, 2_000_000_000
#: Bytes of one chunk of a dataset and of one text, and values of an attribute.
_MAX_CHUNK, _MAX_TEXT, _MAX_VALUES = 64_000_000, 10_000, 64
#: Names of intensities and abscissas where a group does not say which they are; NeXus's polar_angle is 2theta.
_SIGNALS = ("data", "intensity", "counts", "I", "signal", "result")
_AXES = ("polar_angle", "two_theta", "2theta", "twotheta", "tth", "ttheta", "2th", "q", "d_spacing", "radial", "x")
#: Names of axes that leave it to the unit what they are.
_UNNAMED = ("radial", "radial_axis", "axis", "x")
_ANGSTROM = {"": 1.0, "a": 1.0, "angstrom": 1.0, "angstroms": 1.0, "ang": 1.0, "\u00e5": 1.0, "nm": 10.0, "m": 1e10, "pm": 0.01}
_HC = 12.398419843  # keV angstrom


def main() -> None:
    """Answers for the file on standard input."""
    _limit()
    data = sys.stdin.buffer.read()
    numbers = b""
    try:
        found = _found(data)
        answer: dict[str, Any] = {"patterns": [pattern.told() for pattern in found]}
        numbers = b"".join(np.concatenate([pattern.positions, pattern.counts]).astype("<f8").tobytes() for pattern in found)
    except ReadError as error:
        answer = {"error": str(error), "unfinished": isinstance(error, UnfinishedError)}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + numbers)


def _limit() -> None:
    """Limits of time (s) and memory (bytes), where the system has them."""
    try:
        import resource
    except ImportError:  # Windows, where the caller's time limit is what there is
        return
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU, _CPU))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux"):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _found(data: bytes) -> list[_Pattern]:
    """The patterns of an HDF5 file. Raises ReadError where it holds none, and says what it holds instead."""
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            if _text(_attribute(file, "format")).startswith("xrdmatch"):
                raise ReadError("is an HDF5 file of xrdmatch (a library or an augmented set), not a powder scan")
            return _patterns(file)
    except (OSError, RuntimeError, TypeError, ValueError, KeyError, MemoryError, SystemError) as error:
        raise UnfinishedError(f"is a damaged or incomplete HDF5 file ({str(error)[:100]}): is it still being written?") from None


@dataclass(frozen=True)
class _Pattern:
    """positions, counts: (n,). axis: what names the abscissa, as `abscissa` takes it. called: its name in the file. wavelengths: angstrom."""

    positions: NDArray[np.float64]
    counts: NDArray[np.float64]
    axis: str
    called: str
    wavelengths: list[float]
    words: dict[str, str]

    def told(self) -> dict[str, Any]:
        return {"size": self.counts.size, "axis": self.axis, "called": self.called, "wavelengths": self.wavelengths, "words": self.words}


@dataclass(frozen=True)
class _Found:
    """A group and its path. entry: the path of the NXentry that it lies in, "" where there is none."""

    group: Any
    path: str
    entry: str


# ---- through the file ----


def _child(group: Any, name: str, left: int = _MAX_LINKS) -> Any:
    """A member of a group, through links within the file; None where it is missing or lies in another file."""
    import h5py

    link = group.get(name, getlink=True)
    if isinstance(link, h5py.HardLink):
        return group[name]
    if not isinstance(link, h5py.SoftLink) or left <= 0:
        return None
    at = group.file if link.path.startswith("/") else group
    for part in [part for part in link.path.split("/")[:_MAX_DEPTH] if part not in ("", ".")]:
        at = _child(at, part, left - 1) if isinstance(at, h5py.Group) else None
    return at


def _walk(file: Any) -> Iterator[_Found]:
    """Every group, each once, the entries' paths with them."""
    import h5py

    waiting = [_Found(file, "", "")]
    seen: set[Any] = set()
    objects = 0
    while waiting:
        found = waiting.pop()
        place = h5py.h5o.get_info(found.group.id).addr
        if place in seen:
            continue
        seen.add(place)
        yield found
        names = list(found.group)[:_MAX_OBJECTS]
        objects += len(names)
        if objects > _MAX_OBJECTS:
            raise ReadError(f"is an HDF5 file of more than {_MAX_OBJECTS} groups and datasets: export the pattern alone")
        for name in reversed(names):
            link = found.group.get(name, getlink=True)
            if isinstance(link, h5py.HardLink) and found.path.count("/") < _MAX_DEPTH and found.group.get(name, getclass=True) is h5py.Group:
                group = found.group[name]
                path = f"{found.path}/{name}"
                waiting.append(_Found(group, path, path if not found.entry and _class(group) in ("NXentry", "NXsubentry") else found.entry))


def _attribute(item: Any, *names: str) -> Any:
    """The first attribute of these names that is small; None where there is none."""
    for name in names:
        if name in item.attrs:
            held = item.attrs.get_id(name)
            if math.prod(held.shape or ()) <= _MAX_VALUES and held.dtype.itemsize <= _MAX_TEXT:
                return item.attrs[name]
    return None


def _text(value: Any) -> str:
    """An attribute or a value as one text; a list's entries with colons between them, as NeXus has had them."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, np.ndarray):
        return ":".join(_text(one) for one in value.ravel()[:_MAX_VALUES])
    return "" if value is None else str(value).strip()


def _class(item: Any) -> str:
    return _text(_attribute(item, "NX_class"))


def _datasets(group: Any) -> dict[str, Any]:
    import h5py

    members = {name: _child(group, name) for name in list(group)[:200]}
    return {name: item for name, item in members.items() if isinstance(item, h5py.Dataset)}


def _values(dataset: Any, most: int = MAX_POINTS) -> NDArray[np.float64] | None:
    """The numbers of a dataset, flat; None where it holds none, too many, or leads to other files."""
    shape = dataset.shape
    if shape is None or dataset.dtype.kind not in "iuf" or dataset.is_virtual or dataset.external or not 0 < math.prod(shape) <= most:
        return None
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > _MAX_CHUNK:
        return None
    return np.asarray(dataset[()], dtype=np.float64).ravel()


def _word(dataset: Any) -> str:
    """The text of a dataset that holds one, else ""."""
    if dataset is None or not hasattr(dataset, "shape") or dataset.shape not in ((), (1,)) or dataset.is_virtual or dataset.external:
        return ""
    if dataset.dtype.kind not in "SO" or dataset.dtype.itemsize > _MAX_TEXT:
        return ""
    return _text(np.asarray(dataset[()]).ravel()[0])[:200]


# ---- patterns ----


def _patterns(file: Any) -> list[_Pattern]:
    groups = list(_walk(file))
    problems: list[str] = []
    # Data that NeXus calls so come first; a detector's own stand in where there are none.
    for classes in (("NXdata",), ("NXdetector",), ("", "NXcollection", "NXprocess")):
        found: dict[bytes, _Pattern] = {}
        for place in [place for place in groups if _class(place.group) in classes][:_MAX_PATTERNS]:
            pattern = _pattern(place, groups, problems)
            if pattern is not None:
                # Links show the same data in several groups.
                found.setdefault(pattern.positions.tobytes() + pattern.counts.tobytes(), pattern)
        if found:
            return list(found.values())
    what = problems[0] if problems else "no group holds an intensity with its 2theta"
    raise ReadError(f"is an HDF5 file without a powder pattern ({what}): integrate or export the scan as columns of 2theta and intensity")


def _pattern(place: _Found, groups: list[_Found], problems: list[str]) -> _Pattern | None:
    """The pattern of one group; None where it has none, with the reason added to `problems`."""
    datasets = _datasets(place.group)
    signal = _signal(place.group, datasets)
    if signal is None:
        return None
    where = f"{place.path}/{signal}"
    sizes = [size for size in datasets[signal].shape or () if size != 1]
    if len(sizes) != 1:
        if len(sizes) > 1:
            problems.append(f"{where} is {len(sizes)}-dimensional, {' x '.join(map(str, sizes[:6]))}: images or a map")
        return None
    axis = _axis(place.group, datasets, signal, sizes[0])
    if axis is None:
        problems.append(f"{where} gives no 2theta, q or d for its {sizes[0]} values")
        return None
    counts, positions = _values(datasets[signal]), _values(datasets[axis[0]])
    if counts is None or positions is None:
        problems.append(f"{where} does not hold numbers in this file, or holds more than {MAX_POINTS}")
        return None
    if positions.size == counts.size + 1:
        # A histogram keeps the edges of its bins.
        positions = 0.5 * (positions[:-1] + positions[1:])
    inside = [other for other in groups if other.entry == place.entry]
    return _Pattern(positions, counts, axis[1], axis[2], _wavelengths(inside), _words(place, inside))


def _words(place: _Found, inside: list[_Found]) -> dict[str, str]:
    """What an entry says of itself in words."""
    entry = next((other.group for other in inside if other.path == place.entry), place.group)
    sample = next((_word(_child(other.group, "name")) for other in inside if _class(other.group) == "NXsample"), "")
    title, definition, date = (_word(_child(entry, key)) for key in ("title", "definition", "start_time"))
    return {"definition": definition, "date": date, "sample": sample or title, "range_name": place.path}


def _signal(group: Any, datasets: dict[str, Any]) -> str | None:
    """The name of a group's intensities."""
    named = _text(_attribute(group, "signal"))
    if named in datasets:
        return named
    marked = next((name for name, dataset in datasets.items() if _text(_attribute(dataset, "signal")) == "1"), None)
    return marked or next((name for name in _SIGNALS if name in datasets), None)


def _axis(group: Any, datasets: dict[str, Any], signal: str, size: int) -> tuple[str, str, str] | None:
    """The abscissa of `size` intensities: its dataset, what names it as `abscissa` takes it, and as the file does."""
    stated = [_text(_attribute(item, "axes")) for item in (group, datasets[signal])]
    names = [name for text in stated for name in re.split(r"[:,\s\[\]\"']+", text)]
    names += [name for name, dataset in datasets.items() if _text(_attribute(dataset, "axis")) in ("1", "2")]
    names += [name for wanted in _AXES for name in datasets if name.lower() == wanted]
    for name in dict.fromkeys(names):
        if name not in datasets or name == signal or math.prod(datasets[name].shape or (0,)) not in (size, size + 1):
            continue
        unit = _text(_attribute(datasets[name], "units", "unit"))
        if text := _naming(name, unit, datasets[name]):
            return name, text, f"{name} [{unit}]" if unit else name
    return None


def _naming(name: str, unit: str, dataset: Any) -> str:
    """What names an axis so that `abscissa` knows it; "" where nothing does. pyFAI gives name and unit in one: `q_nm^-1`."""
    calls = [unit] if "_" in unit else []
    for call in (_text(_attribute(dataset, "name")), _text(_attribute(dataset, "long_name")), "2theta" if name.lower() == "polar_angle" else name):
        if call and call.lower() not in _UNNAMED:
            calls.append(f"{call} [{unit}]" if unit and not re.search(r"[\[(]", call) else call)
    calls += [unit] if unit and name.lower() in _UNNAMED else []
    return next((call for call in calls if abscissa(call) is not None), "")


# ---- radiation ----

_RANKS = ("NXmonochromator", "NXcrystal", "NXbeam", "NXinstrument", "NXsource", "NXdetector")


def _wavelengths(inside: list[_Found]) -> list[float]:
    """The wavelengths that an entry states, its monochromator's first; else that of its energy; [] where it states neither."""
    low, high = WAVELENGTH_RANGE
    order = {kind: at for at, kind in enumerate(_RANKS)}
    ranked = sorted(inside, key=lambda place: order.get(_class(place.group), len(order)))
    for names, convert in ((("wavelength", "incident_wavelength", "lambda"), _in_angstrom), (("energy", "incident_energy"), _from_energy)):
        for group, name in ((place.group, name) for place in ranked for name in names):
            dataset = _child(group, name)
            values = _values(dataset, 4) if hasattr(dataset, "dtype") else None
            if values is None:
                continue
            unit = _text(_attribute(dataset, "units", "unit"))
            lines = [line for value in values if (line := convert(float(value), unit)) is not None and low <= line <= high]
            if lines:
                return lines
    return []


def _in_angstrom(value: float, unit: str) -> float | None:
    if not unit and value < 1e-8:
        unit = "m"
    scale = _ANGSTROM.get(unit.lower())
    return float(f"{value * scale:.8g}") if scale else None


def _from_energy(value: float, unit: str) -> float | None:
    scale = {"kev": 1.0, "ev": 1e-3}.get(unit.lower())
    return _HC / (value * scale) if scale and value > 0 else None


if __name__ == "__main__":
    main()
