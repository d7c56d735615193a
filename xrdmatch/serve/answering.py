"""What a worker process does: reads, names and checks one scan at a time, with the structures that were added on the page."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from xrdmatch import formats
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import ModelError, XrdMatchError
from xrdmatch.formats.scan_files import is_measured
from xrdmatch.model.add import Added, with_structures
from xrdmatch.model.folder import Model
from xrdmatch.model.session import Device
from xrdmatch.report.calculated_pattern import overlay
from xrdmatch.report.checked import card
from xrdmatch.report.html_page import answer_name, scan_data, summary_row
from xrdmatch.report.page_frame import embedded
from xrdmatch.search import check_result
from xrdmatch.search.check import Checker
from xrdmatch.search.check_result import CheckResult
from xrdmatch.search.identify import Identifier
from xrdmatch.search.result import Identification, error_result
from xrdmatch.serve.settings import Settings
from xrdmatch.system.startup import no_garbage

#: Points of a scan that the page gets: a screen shows some two thousand, and zooming in wants more.
POINTS = 8000


@dataclass(frozen=True)
class ScanTask:
    """One scan. path: where it lies; name: what the browser calls it; number: its row on the page. structures: files that the library has beside its
    own. from_folder: files of a dropped folder that are no scans are passed over."""

    path: Path
    name: str
    number: int
    settings: Settings
    structures: tuple[Path, ...] = ()
    from_folder: bool = False


@dataclass(frozen=True)
class StructureTask:
    """Whether structure files can be added, the last of them being new."""

    structures: tuple[Path, ...]


@dataclass(frozen=True)
class SettingsTask:
    """Whether the library knows what settings name."""

    settings: Settings
    structures: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Answer:
    """identification: None where the file is no scan and is passed over. check: where something is expected. name: what is found. row, view: of the
    page."""

    identification: Identification | None
    check: CheckResult | None = None
    name: str = ""
    row: str = ""
    view: str = ""


Task = ScanTask | StructureTask | SettingsTask


def beginning(model: str | None, device: Device) -> Callable[[], Callable[[Task], Any]]:
    """What a worker process begins with, as one thing that can be sent to it."""
    return partial(_begin, model, device)


def _begin(model: str | None, device: Device) -> Callable[[Task], Any]:
    with no_garbage():
        return Answering(Identifier(Model.load(model, device, threads=1)))


class Answering:
    """Does tasks, one at a time. What a file or a user can cause is part of the answer."""

    def __init__(self, identifier: Identifier) -> None:
        self.base = identifier
        self._extended: tuple[tuple[Path, ...], Checker, Added] = ((), Checker(identifier, structure_files=False), Added())

    def __call__(self, task: Task) -> Answer | Added | str:
        if isinstance(task, StructureTask):
            return self._with(task.structures)[1]
        if isinstance(task, SettingsTask):
            checker, _ = self._with(task.structures)
            checker.identifier.check(task.settings.search)
            if task.settings.expected:
                checker.asked(task.settings.expected)
            return ""
        if task.from_folder and not is_measured(task.path):
            return Answer(None)
        return answer_of(*self._found(task), task.number, task.settings)

    def _with(self, structures: tuple[Path, ...]) -> tuple[Checker, Added]:
        """What searches the library with these structures. Raises LibraryError where they cannot be added."""
        if structures != self._extended[0]:
            model, added = with_structures(self.base.model, structures) if structures else (self.base.model, Added())
            self._extended = (structures, Checker(Identifier(model) if structures else self.base, structure_files=False), added)
        return self._extended[1:]

    def _found(self, task: ScanTask) -> tuple[Identification, CheckResult | None]:
        expected = task.settings.expected
        try:
            pattern = formats.parse(task.path.read_bytes(), task.name, task.settings.reading)
            checker, _ = self._with(task.structures)
            found = checker.identifier.identify(pattern, task.settings.search, task.name)
        except Exception as error:
            message = _message(task.name, error)
            failed = check_result.error_result(task.name, message, expected, self.base.model.name) if expected else None
            return error_result(task.name, message, self.base.model.name), failed
        return found, self._checked(checker, pattern, task) if expected else None

    def _checked(self, checker: Checker, pattern: Pattern, task: ScanTask) -> CheckResult:
        try:
            return checker.check(pattern, task.settings.expected, replace(task.settings.search, detail=False), task.name)
        except Exception as error:
            return check_result.error_result(task.name, _message(task.name, error), task.settings.expected, self.base.model.name)


def answer_of(identification: Identification, check: CheckResult | None, number: int, settings: Settings) -> Answer:
    """An answer as the page gets it, as the scan of this number."""
    view = overlay(identification)
    data = scan_data(identification, view, POINTS)
    data |= {"number": number, "check": None if check is None else _told(check), "searched": _searched(settings)}
    return Answer(identification, check, answer_name(identification), summary_row(identification, number, view), embedded(data))


def failed(name: str, number: int, error: Exception) -> Answer:
    """The answer of a scan whose process came to nothing."""
    said = f"{name}: {error}" if type(error) is XrdMatchError else _message(name, error)
    return answer_of(error_result(name, said), None, number, Settings())


def _message(name: str, error: Exception) -> str:
    """What the page says of an error. Those that may hold paths of this machine, and bugs, which must not stop the others, go to the terminal."""
    if isinstance(error, XrdMatchError) and not isinstance(error, ModelError):
        return str(error)
    traceback.print_exception(error, file=sys.stderr)
    what = "the model cannot run" if isinstance(error, ModelError) else f"a bug in xrdmatch ({type(error).__name__}); please report it with the file"
    return f"{name}: {what}. The terminal says more"


def _told(check: CheckResult) -> dict[str, Any]:
    """The card of a check, as the page shows it."""
    head, lines = card(check)
    return {"verdict": check.verdict, "title": head.plain.removeprefix(check.verdict.upper()).strip(), "lines": [line.plain for line in lines]}


def _searched(settings: Settings) -> list[str]:
    """With what a scan was searched, in words."""
    told = [f"{settings.wavelength:.5g} Å"] if settings.wavelength else []
    told += [f"only {', '.join(settings.elements)}"] if settings.elements else []
    return told + ([f"without {', '.join(settings.exclude)}"] if settings.exclude else [])
