"""What is on the page: scans with their answers, structures of one's own, and the folder where they lie until all ends."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from xrdmatch.diffraction.structure_files import STRUCTURE_SUFFIXES
from xrdmatch.errors import XrdMatchError
from xrdmatch.model.add import Added
from xrdmatch.report.page_frame import names_found
from xrdmatch.serve.answering import Answer, ScanTask, SettingsTask, StructureTask, failed
from xrdmatch.serve.settings import Limits, Settings
from xrdmatch.serve.work import Outcome, WorkQueue

#: Characters of a file's name, of which the end is kept; scans whose answers one look brings; passed-over files that are named.
NAME_LENGTH, AT_A_LOOK, PASSED = 200, 20, 8

WAITING, WORKING, DONE = "waiting", "working", "done"


class LimitError(XrdMatchError):
    """More was sent than there is room for."""


@dataclass(eq=False)
class Scan:
    """One scan. path: its file, in a folder of its own. run: counts the searches, so that the answer of an older one is dropped. revision: when it
    changed last."""

    number: int
    name: str
    path: Path
    size: int
    settings: Settings
    from_folder: bool
    state: str = WAITING
    run: int = 0
    revision: int = 0
    answer: Answer | None = None


@dataclass(frozen=True)
class Own:
    """A structure of one's own: what the page calls it, its file, what became of it."""

    name: str
    path: Path
    added: Added


@dataclass(eq=False)
class Upload:
    """A file that the browser sends. path: where it is put, in a folder of its own; taken: whether it is kept when it is all there."""

    name: str
    path: Path
    taken: bool = False


class Workspace:
    """All that a running page holds; many threads may use it at once. A context manager: its folder and the work end with the block."""

    def __init__(self, work: WorkQueue, limits: Limits | None = None) -> None:
        self.limits, self._work = limits or Limits(), work
        self.folder = Path(tempfile.mkdtemp(prefix="xrdmatch-serve-"))
        self._lock = threading.RLock()
        self._scans: dict[int, Scan] = {}
        self._own: dict[str, Own] = {}
        self._adding = threading.Lock()
        self._numbers, self._revision, self._uploading = 0, 0, 0
        self._removed: dict[int, int] = {}
        self._passed: list[str] = []

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *error: object) -> None:
        self._work.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- Files that come

    @contextlib.contextmanager
    def upload(self, name: str) -> Iterator[Upload]:
        """A place for a file of this name; what is not taken from it is removed. Raises LimitError where there is no more room."""
        with self._lock:
            if len(self._scans) + self._uploading >= self.limits.scans:
                raise LimitError(f"{self.limits.scans} scans are on the page, no more fit; remove some, or start xrdmatch serve with --max-scans")
            self._uploading += 1
            self._numbers += 1
            folder = self.folder / str(self._numbers)
        upload = Upload(shown := safe_name(name), folder / _on_disk(shown))
        try:
            folder.mkdir()
            yield upload
        finally:
            with self._lock:
                self._uploading -= 1
            if not upload.taken:
                shutil.rmtree(folder, ignore_errors=True)

    def room(self, size: int) -> None:
        """Raises LimitError where a file of so many bytes is too large, or all files together would be."""
        most = self.limits.file_bytes
        if size > most:
            raise LimitError(f"larger than {_megabytes(most)}; export the scan alone, or start xrdmatch serve with --max-size")
        with self._lock:
            if sum(scan.size for scan in self._scans.values()) + size > self.limits.all_bytes:
                raise LimitError(f"all files together are larger than {_megabytes(self.limits.all_bytes)}; remove some scans")

    def add_scan(self, upload: Upload, settings: Settings, from_folder: bool = False) -> int:
        """Take a scan that is all there, and have it searched; its number."""
        with self._lock:
            scan = Scan(int(upload.path.parent.name), upload.name, upload.path, upload.path.stat().st_size, settings, from_folder)
            self._scans[scan.number], upload.taken = scan, True
            self._search(scan)
            return scan.number

    def add_structure(self, upload: Upload) -> Added:
        """Add structures of one's own to the library that is searched. Raises XrdMatchError where they cannot be added; then all is as it was."""
        if not upload.path.name.lower().endswith(STRUCTURE_SUFFIXES) and not upload.path.name.upper().startswith(("POSCAR", "CONTCAR")):
            raise XrdMatchError(f"{upload.name}: expected a structure file ({', '.join(STRUCTURE_SUFFIXES)})")
        with self._adding:  # one after the other, so that each is tried beside all before it
            if len(self._own) >= self.limits.structures:
                raise LimitError(f"{self.limits.structures} structure files were added, no more fit")
            if upload.name in self._own:
                raise XrdMatchError(f"{upload.name}: a structure file of this name was added already; rename this one")
            added = self._work.ask(StructureTask((*self._structures(), upload.path)))
            with self._lock:
                self._own[upload.name], upload.taken = Own(upload.name, upload.path, added), True
                self._revision += 1
            return added  # type: ignore[no-any-return]

    def remove_structure(self, name: str) -> None:
        """Take out what one file added; scans keep their answers until they are searched again."""
        with self._lock:
            own = self._own.pop(name, None)
            self._revision += 1
        if own is not None:
            shutil.rmtree(own.path.parent, ignore_errors=True)

    # --- Searches

    def known(self, settings: Settings) -> None:
        """Raises XrdMatchError where the library does not know what settings name."""
        if settings.expected or settings.accepted or settings.elements or settings.exclude:
            self._work.ask(SettingsTask(settings, self._structures()))

    def search_again(self, settings: Settings, numbers: Iterable[int] | None = None) -> int:
        """Search these scans, or all, anew with other settings; how many."""
        with self._lock:
            chosen = list(self._scans.values()) if numbers is None else [self._scans[number] for number in numbers if number in self._scans]
            for scan in chosen:
                scan.settings = settings
                self._search(scan)
            return len(chosen)

    def accept(self, number: int, accepted: tuple[str, ...]) -> None:
        """Take entries as phases that are there and search the rest of a scan. Raises XrdMatchError where the scan is gone or an entry unknown."""
        with self._lock:
            scan = self._scans.get(number)
            if scan is None:
                raise XrdMatchError("this scan is no longer on the page")
            settings = replace(scan.settings, accepted=accepted)
        self.known(settings)
        self.search_again(settings, [number])

    def remove(self, numbers: Iterable[int]) -> None:
        """Take scans off the page and delete their files."""
        with self._lock:
            gone = [scan for number in numbers if (scan := self._scans.pop(number, None)) is not None]
            self._revision += 1
            self._removed |= dict.fromkeys((scan.number for scan in gone), self._revision)
        for scan in gone:
            shutil.rmtree(scan.path.parent, ignore_errors=True)

    def _structures(self) -> tuple[Path, ...]:
        with self._lock:
            return tuple(own.path for own in self._own.values())

    def _search(self, scan: Scan) -> None:
        """Put a scan into the queue: within the lock."""
        scan.run += 1
        scan.state, run = WAITING, scan.run
        self._changed(scan)
        task = ScanTask(scan.path, scan.name, scan.number, scan.settings, self._structures(), scan.from_folder)

        def wanted() -> bool:
            with self._lock:
                if scan.run != run or scan.number not in self._scans:
                    return False
                scan.state = WORKING
                self._changed(scan)
                return True

        self._work.submit(task, lambda outcome: self._answered(scan, run, outcome), wanted)

    def _answered(self, scan: Scan, run: int, outcome: Outcome) -> None:
        with self._lock:
            if scan.run != run or scan.number not in self._scans:
                return
            if isinstance(outcome, Answer) and outcome.identification is None:
                self._passed.append(scan.name)
                self.remove([scan.number])
                return
            scan.answer = outcome if isinstance(outcome, Answer) else failed(scan.name, scan.number, outcome)
            scan.state = DONE
            self._changed(scan)

    def _changed(self, scan: Scan) -> None:
        self._revision += 1
        scan.revision = self._revision

    # --- What the page shows

    def changes(self, since: int) -> dict[str, Any]:
        """What changed after this revision, of at most `AT_A_LOOK` scans; `more` where that was not all."""
        with self._lock:
            changed = sorted((scan for scan in self._scans.values() if scan.revision > since), key=lambda scan: scan.revision)
            shown, more = changed[:AT_A_LOOK], len(changed) > AT_A_LOOK
            states = Counter(scan.state for scan in self._scans.values())
            answers = [scan.answer for scan in self._scans.values() if scan.answer is not None]
            return {
                "revision": shown[-1].revision if more else self._revision,
                "more": more,
                "scans": [_shown(scan) for scan in shown],
                "removed": [number for number, revision in self._removed.items() if revision > since],
                "counts": {"all": len(self._scans), **{state: states[state] for state in (WAITING, WORKING, DONE)}},
                "names": names_found(Counter(answer.name for answer in answers if answer.name)),
                "passed": {"number": len(self._passed), "names": self._passed[:PASSED]},
                "structures": [_own(own) for own in self._own.values()],
            }

    def results(self, number: int | None = None) -> list[Answer]:
        """The answers that are there, in the order of the scans; of one scan alone where its number is given."""
        with self._lock:
            return [scan.answer for scan in self._scans.values() if scan.answer is not None and number in (None, scan.number)]


def _shown(scan: Scan) -> dict[str, Any]:
    data: dict[str, Any] = {"number": scan.number, "name": scan.name, "state": scan.state}
    if scan.state == DONE and scan.answer is not None:
        data |= {"row": scan.answer.row, "view": scan.answer.view}
    return data


def _own(own: Own) -> dict[str, Any]:
    return {"name": own.name, "ids": own.added.ids, "alike": own.added.alike, "failed": [reason for _, reason in own.added.failed]}


def safe_name(name: str) -> str:
    """What the browser calls a file, with folders above it, without what could lead elsewhere or confuse: `run 1/a.xy`."""
    parts = ["".join(sign for sign in part if sign.isprintable()).strip() for part in name.replace("\\", "/").split("/")]
    return "/".join(part for part in parts if part.strip("."))[-NAME_LENGTH:].strip("/") or "scan"


def _on_disk(name: str) -> str:
    """The name of the file itself, as every system can have it; its ending stays."""
    plain = re.sub(r'[<>:"|?*]', "_", PurePosixPath(name).name)
    return plain.encode(errors="replace")[-NAME_LENGTH:].decode(errors="ignore")


def _megabytes(number: int) -> str:
    return f"{number / 1e6:.3g} MB"
