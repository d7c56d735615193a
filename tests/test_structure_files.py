"""Structure files out of folders and archives."""

import io
import os
import tarfile
import zipfile

import cifs
import pytest

from xrdmatch.diffraction import structure_files
from xrdmatch.diffraction.structure_files import iter_sources
from xrdmatch.errors import StructureError

DATA = cifs.cif(["Zn1 Zn 0 0 0"]).encode()
ENDINGS = ("zip", "tar", "tar.gz", "tgz", "tar.xz", "txz", "tar.bz2")


def names(*paths, refused=None):
    return [name for name, _, _ in iter_sources(paths, refused)]


def pack(path, members):
    if path.suffix == ".txz":
        os.rename(cifs.pack(path.with_suffix(".xz"), members), path)
        return path
    return cifs.pack(path, members)


@pytest.mark.parametrize("ending", ENDINGS)
def test_archives(tmp_path, ending):
    members = [("set/B.cif", DATA), ("set/A.CIF", DATA + b"\n"), ("set/read.me", b"text"), ("__MACOSX/set/._B.cif", b"\0"), ("POSCAR", b"x")]
    path = pack(tmp_path / f"set.{ending}", members)
    found = {name: (data, source) for name, data, source in iter_sources([path])}
    assert set(found) == {"A.CIF", "B.cif", "POSCAR"}
    assert found["B.cif"] == (DATA, path.name)


def test_folders_files_and_their_order(tmp_path):
    (tmp_path / "inner").mkdir()
    for name in ("b.cif", "a.cif", "inner/c.vasp", "notes.txt", ".hidden.cif"):
        (tmp_path / name).write_bytes(DATA)
    assert names(tmp_path) == ["a.cif", "b.cif", "c.vasp"]
    assert names(tmp_path / "notes.txt", tmp_path / "b.cif") == ["notes.txt", "b.cif"]
    with pytest.raises(StructureError, match="no such file or folder"):
        names(tmp_path / "missing")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_truncated_archive_is_one_clear_error(tmp_path, ending):
    whole = pack(tmp_path / f"whole.{ending}", [(f"{i}.cif", os.urandom(20_000)) for i in range(5)]).read_bytes()
    path = tmp_path / f"cut.{ending}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StructureError, match=rf"cut\.{ending}: expected a .zip or .tar archive"):
        names(path)


@pytest.mark.parametrize("data", [b"", b"no archive at all" * 100, b"PK\x03\x04" + bytes(500)], ids=["empty", "text", "zip head"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_no_archive(tmp_path, ending, data):
    path = tmp_path / f"set.{ending}"
    path.write_bytes(data)
    with pytest.raises(StructureError, match=f"set.{ending}"):
        names(path)


@pytest.mark.parametrize("ending", ["zip", "tar.xz"])
def test_damage_inside_an_archive(tmp_path, ending):
    path = pack(tmp_path / f"set.{ending}", [(f"{i}.cif", os.urandom(5_000)) for i in range(5)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(StructureError, match="damaged"):
        names(path)


def test_a_locked_zip_is_said(tmp_path):
    path = cifs.pack(tmp_path / "set.zip", [("a.cif", DATA)])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the "encrypted" flag of the directory entry
    data[6] |= 1
    path.write_bytes(data)
    with pytest.raises(StructureError, match="locked"):
        names(path)


@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_members_never_leave_the_archive(tmp_path, ending):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = pack(inner / f"evil.{ending}", [("../../escaped.cif", DATA), ("/absolute.cif", DATA), ("C:\\windows.cif", DATA)])
    before = sorted(tmp_path.rglob("*"))
    assert {name.rsplit("\\")[-1] for name in names(path)} == {"escaped.cif", "absolute.cif", "windows.cif"}
    assert sorted(tmp_path.rglob("*")) == before


def test_links_in_an_archive_are_not_followed(tmp_path):
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("passwords.cif")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        info = tarfile.TarInfo("a.cif")
        info.size = len(DATA)
        archive.addfile(info, io.BytesIO(DATA))
    assert names(path) == ["a.cif"]


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_oversized_members_are_refused_and_the_rest_read(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(structure_files, "MAX_BYTES", 1000)
    path = pack(tmp_path / f"set.{ending}", [("a.cif", DATA), ("big.cif", bytes(5000)), ("z.cif", DATA)])
    told = []
    assert names(path, refused=lambda name, reason: told.append((name, reason))) == ["a.cif", "z.cif"]
    assert told[0][0] == "big.cif"
    assert "larger than" in told[0][1]
    with pytest.raises(StructureError, match="larger than"):
        names(path)


def test_an_oversized_file_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(structure_files, "MAX_BYTES", 1000)
    (tmp_path / "big.cif").write_bytes(bytes(5000))
    assert [len(data) for _, data, _ in iter_sources([tmp_path])] == [1001]


def test_an_unreadable_file_is_told_and_skipped(tmp_path):
    for name in ("a.cif", "b.cif"):
        (tmp_path / name).write_bytes(DATA)
    (tmp_path / "a.cif").chmod(0)
    if os.access(tmp_path / "a.cif", os.R_OK):
        pytest.skip("needs a user whom permissions bind")
    told = []
    assert names(tmp_path, refused=lambda *refusal: told.append(refusal)) == ["b.cif"]
    assert "cannot be opened" in told[0][1]


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.cif", bytes(structure_files.MAX_BYTES + 1))
    told = []
    assert names(path, refused=lambda *refusal: told.append(refusal)) == []
    assert len(told) == 1


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_header_that_is_a_bomb_is_not_read(tmp_path, kind):
    path = tmp_path / "bomb.tar.gz"
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, 50 * structure_files.MAX_EXTRA
    with tarfile.open(path, "w:gz") as archive:
        archive.fileobj.write(header.tobuf(tarfile.GNU_FORMAT))
        archive.fileobj.write(bytes(header.size))
    with pytest.raises(StructureError, match="a header of 52428800 bytes"):
        names(path)
