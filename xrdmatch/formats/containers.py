"""Compressed files and archives, opened with limits: nothing is ever written to the disk, and no more is unpacked than a scan can hold."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from xrdmatch.errors import ReadError, UnfinishedError

#: Bytes of one unpacked file or archive member.
MAX_UNPACKED = 64_000_000
_MAX_MEMBERS = 10_000


def unpack(data: bytes) -> tuple[bytes, list[str] | None]:
    """The bytes without gz, bz2 or xz around them, and the names of the members where they are a zip archive, else None."""
    for _ in range(2):
        if data.startswith(b"\x1f\x8b"):
            data = _gunzip(data)
        elif data.startswith(b"BZh"):
            data = _bunzip2(data)
        elif data.startswith(b"\xfd7zXZ\0"):
            data = _unxz(data)
        else:
            break
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return data, names(data)
    return data, None


def member(data: bytes, name: str) -> bytes:
    """One member of a zip archive. Raises ReadError where it is too large or damaged."""
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = archive.getinfo(name)
            if info.file_size > MAX_UNPACKED:
                raise ReadError(_too_large(f"its member {name!r}"))
            if info.flag_bits & 1:
                raise ReadError(f"its member {name!r} is locked with a password: unpack it first")
            # The size in the directory can lie, so the stream is bounded as well.
            with archive.open(info) as stream:
                content = stream.read(MAX_UNPACKED + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise UnfinishedError(f"its member {name!r} is damaged ({error}): is it still being written?") from None
    if len(content) > MAX_UNPACKED:
        raise ReadError(_too_large(f"its member {name!r}"))
    return content


def only_member(data: bytes) -> bytes:
    """The one file of a plain zip archive."""
    files = [name for name in names(data) if not name.endswith("/") and not name.rsplit("/", 1)[-1].startswith(".") and "__MACOSX" not in name]
    if len(files) != 1:
        kind = "an Office document" if any(name.startswith(("xl/", "word/", "ppt/")) for name in files) else f"an archive of {len(files)} files"
        raise ReadError(f"is {kind}, expected one scan: unpack it and give the files")
    return member(data, files[0])


def is_brml(members: Sequence[str]) -> bool:
    """Whether these are the members of a Bruker BRML file."""
    return any(name.rsplit("/", 1)[-1].startswith("RawData") and name.endswith(".xml") for name in members)


def is_rasx(members: Sequence[str]) -> bool:
    """Whether these are the members of a Rigaku RASX file."""
    return any(name.rsplit("/", 1)[-1].startswith("Profile") and name.endswith(".txt") for name in members)


def is_rasx_image(members: Sequence[str]) -> bool:
    """Whether these are the members of a Rigaku RASX file that holds an image and no scan."""
    files = [name.rsplit("/", 1)[-1].lower() for name in members]
    return any(name.startswith("image") for name in files) and any(re.match(r"mea?surementconditions", name) for name in files)


def names(data: bytes) -> list[str]:
    """Names of the members of a zip archive."""
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise UnfinishedError(f"is a damaged or unfinished zip archive ({error}): is it still being written?") from None
    if len(found) > _MAX_MEMBERS:
        raise ReadError(f"is an archive of {len(found)} files, expected one scan: unpack it and give the files")
    return found


def _too_large(what: str) -> str:
    return f"{what} unpacks to more than {MAX_UNPACKED // 1_000_000} MB, too large for a powder scan"


def _gunzip(data: bytes) -> bytes:
    import zlib

    parts, total = [], 0
    while data.startswith(b"\x1f\x8b"):
        stream = zlib.decompressobj(31)
        try:
            part = stream.decompress(data, MAX_UNPACKED + 1 - total)
        except zlib.error as error:
            raise ReadError(f"is a damaged gz file ({error})") from None
        total += len(part)
        if total > MAX_UNPACKED:
            raise ReadError(_too_large("it"))
        if not stream.eof:
            raise UnfinishedError("is an incomplete gz file: is it still being written?")
        parts.append(part)
        data = stream.unused_data
    return b"".join(parts)


def _bunzip2(data: bytes) -> bytes:
    import bz2

    stream = bz2.BZ2Decompressor()
    try:
        content = stream.decompress(data, MAX_UNPACKED + 1)
    except OSError as error:
        raise ReadError(f"is a damaged bz2 file ({error})") from None
    return _finished(content, stream.eof, "bz2")


def _unxz(data: bytes) -> bytes:
    import lzma

    # The dictionary size stands in the file: without a limit a few bytes could ask for gigabytes.
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=128_000_000)
    try:
        content = stream.decompress(data, MAX_UNPACKED + 1)
    except lzma.LZMAError as error:
        raise ReadError(f"is a damaged xz file ({error})") from None
    return _finished(content, stream.eof, "xz")


def _finished(content: bytes, whole: bool, kind: str) -> bytes:
    if len(content) > MAX_UNPACKED:
        raise ReadError(_too_large("it"))
    if not whole:
        raise UnfinishedError(f"is an incomplete {kind} file: is it still being written?")
    return content
