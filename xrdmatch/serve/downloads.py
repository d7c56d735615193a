"""What the page offers to save: results as the command line writes them, the report page, figures, files for refinement."""

from __future__ import annotations

import io
import re
import tempfile
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xrdmatch.errors import XrdMatchError
from xrdmatch.report import checked, records
from xrdmatch.report.figure_style import save
from xrdmatch.report.figures import identification_figure
from xrdmatch.report.html_page import Page
from xrdmatch.report.refinement_files import export
from xrdmatch.search.result import Identification
from xrdmatch.serve.answering import Answer

#: One figure is drawn at a time: matplotlib's settings are one set for the whole process.
_DRAWING = threading.Lock()


@dataclass(frozen=True)
class Download:
    """A file to save."""

    name: str
    kind: str
    content: bytes


def _identifications(answers: Sequence[Answer]) -> list[Identification]:
    return [answer.identification for answer in answers if answer.identification is not None]


def report(answers: Sequence[Answer]) -> Download:
    """The page of `identify --html`."""
    found = _identifications(answers)
    page = Page(len(found), "report")
    for identification in found:
        page.add(identification)
    return Download("report.html", "text/html; charset=utf-8", page.text().encode())


def results(answers: Sequence[Answer], kind: str) -> Download:
    """What `identify --format json` or `csv` prints."""
    stream = io.StringIO()
    write = records.writer(kind, stream)
    for identification in _identifications(answers):
        write(identification)
    return _text("results", kind, stream)


def checks(answers: Sequence[Answer], kind: str) -> Download:
    """What `check --format json` or `csv` prints, of the scans in which something was expected."""
    stream = io.StringIO()
    write = checked.writer(kind, stream)
    for answer in answers:
        if answer.check is not None:
            write(answer.check)
    return _text("checks", kind, stream)


def _text(name: str, kind: str, stream: io.StringIO) -> Download:
    ending, media = {"json": ("jsonl", "application/x-ndjson"), "csv": ("csv", "text/csv")}[kind]
    return Download(f"{name}.{ending}", f"{media}; charset=utf-8", stream.getvalue().encode())


def figure(answers: Sequence[Answer], kind: str) -> Download:
    """The figure of `identify --plot` of the first scan, as pdf, svg or png. Raises XrdMatchError where matplotlib is absent or there is no scan."""
    found = [one for one in _identifications(answers) if one.verdict != "error"]
    if not found:
        raise XrdMatchError("there is no scan to draw")
    with _DRAWING, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"figure.{kind}"
        save(identification_figure(found[0]), path)
        media = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png"}[kind]
        return Download(f"{_stem(found[0].file)}.{kind}", media, path.read_bytes())


def refinement(answers: Sequence[Answer]) -> Download:
    """The files of `identify --export` in one archive. Raises XrdMatchError where there is no scan to export."""
    found = [one for one in _identifications(answers) if one.verdict != "error"]
    if not found:
        raise XrdMatchError("there is no scan to export")
    taken: set[str] = set()
    stream = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for identification in found:
            stem = _free(_stem(identification.file), taken)
            for path in export(identification, Path(folder), stem):
                archive.write(path, path.name)
    return Download("refinement.zip", "application/zip", stream.getvalue())


def _stem(file: str) -> str:
    """A file's name without its ending, of letters that every system takes."""
    return re.sub(r"[^\w.+-]+", "_", PurePosixPath(file).stem).strip("._")[:80] or "scan"


def _free(stem: str, taken: set[str]) -> str:
    number, name = 1, stem
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name


#: Each download by its name on the page.
DOWNLOADS: dict[str, Callable[[Sequence[Answer]], Download]] = {
    "report.html": report,
    "results.jsonl": lambda answers: results(answers, "json"),
    "results.csv": lambda answers: results(answers, "csv"),
    "checks.jsonl": lambda answers: checks(answers, "json"),
    "checks.csv": lambda answers: checks(answers, "csv"),
    "refinement.zip": refinement,
    "figure.pdf": lambda answers: figure(answers, "pdf"),
    "figure.svg": lambda answers: figure(answers, "svg"),
    "figure.png": lambda answers: figure(answers, "png"),
}
