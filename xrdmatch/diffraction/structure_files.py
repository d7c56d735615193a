"""Structure files out of folders and archives, as bytes: nothing is unpacked to disk. A CIF file of several structures becomes several."""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Self

from xrdmatch.errors import StructureError

#: File name endings that hold structures, and archives of them.
STRUCTURE_SUFFIXES = (".cif", ".mcif", ".vasp", ".poscar")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")

#: Types of tar headers that extend the next one, and the bytes one may have.
_EXTRA = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
MAX_EXTRA = 2**20
#: A structure file larger than this is not one (bytes).
MAX_BYTES = 64 * 2**20
TOO_LARGE = f"larger than {MAX_BYTES >> 20} MB, too large for a structure file"

#: What a data block of a CIF file has that holds a structure.
_ATOMS, _CELL = re.compile(rb"_atom_site[_.](fract|cartn)_x\b", re.IGNORECASE), re.compile(rb"_cell[_.]length_a\b", re.IGNORECASE)
_BLOCK = re.compile(rb"\s*data_(\S*)", re.IGNORECASE)

#: Told the name of a file that cannot be opened, and why.
Refused = Callable[[str, str], None]
#: (name, size in bytes, reader) of a member of an archive.
_Member = tuple[str, int, Callable[[], bytes]]
#: What zipfile and tarfile raise on archives that are cut short, corrupted, encrypted or packed by an unknown method.
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


def content(path: Path) -> bytes:
    """Bytes of a file, at most one more than `MAX_BYTES`. Raises StructureError where it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StructureError(f"{path}: cannot be opened: {error.strerror}") from error


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def _is_structure_name(name: str) -> bool:
    path = PurePosixPath(name)
    if path.name.startswith("."):  # hidden, and what macOS adds to archives
        return False
    return path.suffix.lower() in STRUCTURE_SUFFIXES or path.name.upper() in ("POSCAR", "CONTCAR")


def iter_sources(paths: Iterable[str | Path], refused: Refused | None = None) -> Iterator[tuple[str, bytes, str]]:
    """(file name, content, source) of each structure file in files, folders (recursively) and archives, in a stable order.

    A file that cannot be opened and an archive member that is too large are told to `refused` and skipped, or raise StructureError without it.
    Raises StructureError where a path does not exist or an archive is damaged.
    """
    for given in paths:
        path = Path(given)
        if path.is_dir():
            for item in sorted(path.rglob("*")):
                if item.is_file() and _is_structure_name(item.name):
                    yield from _one_file(item, path.name, refused)
        elif not path.exists():
            raise StructureError(f"{path}: no such file or folder")
        elif is_archive(path):
            yield from _iter_archive(path, refused)
        else:
            yield from _one_file(path, path.name, refused)


def _one_file(path: Path, source: str, refused: Refused | None) -> Iterator[tuple[str, bytes, str]]:
    try:
        data = content(path)
    except StructureError as error:
        if refused is None:
            raise
        refused(path.name, str(error))
        return
    for name, part in structures_in(path.name, data):
        yield name, part, source


def structures_in(name: str, data: bytes) -> list[tuple[str, bytes]]:
    """(file name, content) of each structure of a file: the file itself, or for a CIF file with several each data block with its name."""
    if len(data) > MAX_BYTES or data.lower().count(b"data_") < 2:
        return [(name, data)]
    blocks: list[tuple[str, list[bytes]]] = []
    in_text = False
    for line in data.splitlines(keepends=True):
        in_text ^= line.startswith(b";")
        if not in_text and (found := _BLOCK.match(line)):
            blocks.append((re.sub(r"[^\w.+-]", "-", found.group(1).decode("ascii", "replace")), []))
        if blocks:
            blocks[-1][1].append(line)
    parts = [(called, b"".join(lines)) for called, lines in blocks]
    parts = [(called, text) for called, text in parts if _ATOMS.search(text) and _CELL.search(text)]
    if len(parts) < 2:
        return [(name, data)]
    path, names = PurePosixPath(name), [called for called, _ in parts]
    unique = [called if called and names.count(called) == 1 else f"{called}{place}" for place, called in enumerate(names, 1)]
    return [(f"{path.stem}_{called}{path.suffix}", text) for called, (_, text) in zip(unique, parts, strict=True)]


def _iter_archive(path: Path, refused: Refused | None) -> Iterator[tuple[str, bytes, str]]:
    """Members are read into memory one by one and never written, so that no member name can leave a folder."""
    try:
        for member, size, read in _zip_members(path) if zipfile.is_zipfile(path) else _tar_members(path):
            name = PurePosixPath(member).name
            if not _is_structure_name(member):
                continue
            if size <= MAX_BYTES:
                for one, part in structures_in(name, read()):
                    yield one, part, path.name
            elif refused is None:
                raise StructureError(f"{path}: {member} is {TOO_LARGE}")
            else:
                refused(name, f"{name}: {TOO_LARGE}")
    except _DAMAGED as error:
        raise StructureError(f"{path}: expected a .zip or .tar archive of structure files, but it is damaged or locked: {error}") from error


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in sorted(archive.infolist(), key=lambda item: item.filename):
            if not info.is_dir():
                yield info.filename, info.file_size, partial(archive.read, info)


class _Entry(tarfile.TarInfo):
    """A header whose extra records (long names, attributes) cannot be a bomb: tarfile reads them whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        entry = super().frombuf(buf, encoding, errors)
        if entry.type in _EXTRA and entry.size > MAX_EXTRA:
            raise tarfile.ReadError(f"a header of {entry.size} bytes")
        return entry


def _tar_members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path, "r|*", tarinfo=_Entry) as archive:
        for member in archive:
            handle = archive.extractfile(member) if member.isfile() else None
            if handle is not None:
                yield member.name, member.size, handle.read
