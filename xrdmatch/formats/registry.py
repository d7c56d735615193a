"""Every format that is read: its name, the endings its files have, how its content is told, and its reader. The one place that lists them.

The order counts: the first format whose content fits is taken. The ending never decides how a file is read; it only says which files of a folder
are taken for scans before they are opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from xrdmatch.errors import ReadError
from xrdmatch.formats.containers import is_brml, is_rasx, is_rasx_image

if TYPE_CHECKING:
    from xrdmatch.formats.scan import Scan

#: Bytes that every format is told from.
HEAD = 20_000


class Head:
    """How a file begins. data: its bytes, whole; members: the names in it where it is a zip archive, else ()."""

    def __init__(self, data: bytes, members: list[str] | None = None) -> None:
        self.data, self.members = data, members or ()

    @cached_property
    def text(self) -> str:
        """Its first characters without blanks before them, lines ending in LF; empty where the file is binary."""
        from xrdmatch.formats.scan import decode

        if self.members:
            return ""
        try:
            return decode(self.data[:HEAD]).lstrip("\ufeff \t\r\n").replace("\r\n", "\n").replace("\r", "\n")
        except ReadError:
            return ""

    @cached_property
    def folded(self) -> str:
        """The same in lower case."""
        return self.text.lower()


@dataclass(frozen=True)
class Format:
    """name: as docs/formats.md has it. suffixes: endings of its files. told: whether a head is of this format. module, function: its reader."""

    name: str
    suffixes: tuple[str, ...]
    told: Callable[[Head], bool]
    module: str
    function: str = "read"

    def read(self, data: bytes) -> list[Scan]:
        """The scans of a file of this format. Its reader is imported only now: those of XML and zip take time that most files do not need."""
        reader: Callable[[bytes], list[Scan]] = getattr(import_module(f"xrdmatch.formats.{self.module}"), self.function)
        return reader(data)


def _begins(*marks: bytes) -> Callable[[Head], bool]:
    return lambda head: head.data.startswith(marks)


def _text_begins(*marks: str) -> Callable[[Head], bool]:
    return lambda head: head.folded.startswith(marks)


def _is_xrdml(head: Head) -> bool:
    return head.folded.startswith("<") and "xrdmeasurement" in head.folded[:2000]


def _is_udf(head: Head) -> bool:
    return head.folded.startswith("sampleident") or "\nrawscan" in head.folded


def _is_uxd(head: Head) -> bool:
    return any(key in head.folded for key in ("_fileversion=", "_drive=", "_stepsize=", "_2thetacounts", "_2thetacps", "_2theta-i", "\n_d-i"))


def _is_asc(head: Head) -> bool:
    return head.folded.startswith("*") and ("*begin" in head.folded or head.folded.startswith("*type"))


def _is_ras(head: Head) -> bool:
    return head.folded.startswith("*") and ("*ras_" in head.folded or re.match(r'\*[a-z0-9_\-]+[ \t]*"', head.folded) is not None)


def _is_cif(head: Head) -> bool:
    return head.folded.startswith(("data_", "loop_", "_pd_", "_cell_", "global_", "#\\#cif")) or any(
        f"\n{tag}" in head.folded for tag in ("data_", "_pd_")
    )


def _is_spec(head: Head) -> bool:
    if "#s " not in head.folded and not head.folded.startswith("#f "):
        return False
    scan = re.search(r"(^|\n)#s +\d", head.folded)
    return (scan is not None and re.search(r"\n#[ln] ", head.folded) is not None) or re.match(r"#f .*\n#e \d", head.folded) is not None


#: `start step time anode wavelength end count` on the second line of a Jade MDI file.
_MDI = re.compile(r"[ \t]*[-+.\d]+[ \t]+[.\d]+[ \t]*[.\d]+[ \t]+[a-z]{1,2}[ \t]+[.\d]+[ \t]+[.\d]+[ \t]+\d+[ \t]*")


def _is_mdi(head: Head) -> bool:
    # Its title is the first line, and may be missing.
    return any(len(line) < 200 and _MDI.fullmatch(line) for line in head.folded[:2000].split("\n")[:3])


def _is_val(head: Head) -> bool:
    return "berpar" in head.folded and re.search(r"(^|\n).{0,20}berpar ?\d", head.folded) is not None


#: Where one number stands on each of several lines.
_ONE_COLUMN = re.compile(r"\n(?:[ \t]*\"?[-+]?\d[\d.,]*\"?[ \t]*\n){3}")


def _is_keyed(head: Head) -> bool:
    """Whether one column of numbers stands below lines that name the start, the end and the step of a scan."""
    if not any(word in head.folded for word in ("step", "inc", "schritt")):
        return False
    counts = _ONE_COLUMN.search(head.folded)
    above = head.folded[: counts.start()] if counts else ""
    names = ("begin|start|from|first|initial|anfang", "end|stop|to|last|final", "step|inc|schritt")
    # Each with its number on the same line: the words alone stand in many a title.
    return all(
        re.search(rf"\b({words})[^\n\d]{{0,40}}[\d.]", above) or re.search(rf"theta[ _]?({words})\b[^\n\d]{{0,9}}[\d.]", above) for words in names
    )


FORMATS = (
    Format("Bruker BRML", (".brml",), lambda head: is_brml(head.members), "brml"),
    Format("Rigaku RASX", (".rasx",), lambda head: is_rasx(head.members) or is_rasx_image(head.members), "rigaku", "read_rasx"),
    Format("NeXus", (".nxs",), _begins(b"\x89HDF\r\n\x1a\n"), "nexus"),
    Format("Bruker RAW", (".raw",), _begins(b"RAW4.00\0", b"RAW1.01\0", b"RAW2", b"RAW "), "bruker"),
    Format("Rigaku RAW", (".raw",), lambda head: head.data[:2] == b"FI" and b"\0" in head.data[2:8], "rigaku_raw"),
    Format("STOE RAW", (".raw",), _begins(b"RAW_1.0"), "stoe"),
    Format("Philips RD", (".rd", ".sd"), _begins(b"V3RD", b"V5RD"), "philips", "read_rd"),
    Format("PANalytical XRDML", (".xrdml", ".xrdmlz"), _is_xrdml, "panalytical"),
    Format("Philips UDF", (".udf",), _is_udf, "philips", "read_udf"),
    Format("Bruker EVA text", (".dql", ".txt"), _text_begins(";raw4", "[rawheader]"), "bruker_text", "read_eva"),
    Format("Bruker UXD", (".uxd",), _is_uxd, "bruker_text", "read_uxd"),
    Format("Rigaku ASC", (".asc",), _is_asc, "rigaku", "read_asc"),
    Format("Rigaku RAS", (".ras",), _is_ras, "rigaku", "read_ras"),
    Format("JCAMP-DX", (".jdx", ".dx", ".jcamp"), _text_begins("##title", "##jcamp"), "jcamp"),
    Format("SPEC", (".spec", ".spc"), _is_spec, "spec"),
    Format("Jade MDI", (".mdi",), _is_mdi, "stepped", "read_mdi"),
    Format("Sietronics CPI", (".cpi",), _text_begins("sietronics xrd scan"), "stepped", "read_cpi"),
    Format("Seifert VAL", (".val",), _is_val, "stepped", "read_val"),
    Format("start, end, step and counts", (".val",), _is_keyed, "stepped", "read_keyed"),
    Format("powder CIF", (), _is_cif, "pdcif"),  # a folder's CIFs are mostly structures: they are looked into
)
#: What `meta["format"]` says of columns of text.
TEXT_COLUMNS = "text columns"
#: What is tried where nothing else fits.
COLUMNS = Format(
    "columns of text",
    (".xy", ".xye", ".xyd", ".xdd", ".dat", ".txt", ".csv", ".tsv", ".prn", ".chi", ".asc", ".fxye", ".fxy", ".esd", ".std", ".gsa", ".gss", ".gda"),
    lambda head: bool(head.text),
    "text",
)
#: Endings that a folder's files are taken by; a file that is named is read whatever it ends in.
SUFFIXES = tuple(dict.fromkeys(suffix for known in (COLUMNS, *FORMATS) for suffix in known.suffixes))

#: How files begin that are no scans, and what they are.
_NOT_SCANS = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"###CBF", "an image of an area detector (CBF)"),
    (b"{\nHEADER_BYTES", "an image of an area detector"),
    (b"{\nHeaderID", "an image of an area detector (EDF)"),
    (b"{\r\nHeaderID", "an image of an area detector (EDF)"),
    (b"\n{\r\nHeaderID", "an image of an area detector (EDF)"),
    (b"FORMAT :", "a frame of an area detector (Bruker)"),
    (b"R-AXIS", "an image of an area detector (R-AXIS)"),
    (b"RAXIS", "an image of an area detector (R-AXIS)"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"BM", "an image"),
    (b"II*\0", "an image"),
    (b"MM\0*", "an image"),
    (b"\x89HDF", "a damaged HDF5 file"),
    (b"xrdmatch table 1 ", "a library of xrdmatch"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"{\\rtf", "a formatted document"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
)
#: How files begin that are known and not read, and what they are.
_NOT_READ = (
    (b"Shimadzu XRD", "a Shimadzu RAW file, a layout that is not known well enough"),
    (b"V3DI", "a Philips list of peaks"),
    (b"V5DI", "a Philips list of peaks"),
    (b"V3BK", "a Philips background file"),
    (b"V5BK", "a Philips background file"),
)


def recognised(head: Head) -> Format | None:
    """The format that these bytes are of; None where nothing in them tells and they may still be columns of text.

    Raises ReadError for what is surely no scan.
    """
    found = next((known for known in FORMATS if known.told(head)), None)
    if found is not None or head.members:
        return found
    for magic, what in _NOT_SCANS:
        if head.data.startswith(magic) and (len(magic) > 2 or b"\0" in head.data[:512]):
            raise ReadError(f"is {what}, not a powder scan: give the file the instrument wrote, or export columns of angle and intensity")
    for magic, what in _NOT_READ:
        if head.data.startswith(magic):
            raise ReadError(f"is {what}: export the scan from the instrument's software as columns of angle and intensity")
    if head.text.startswith("<"):
        raise ReadError("is XML, but not XRDML (no xrdMeasurements element): export the scan as XRDML or as columns of angle and intensity")
    return None
