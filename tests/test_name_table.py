"""Tables of names of one's own."""

import pytest

from xrdmatch.errors import LibraryError
from xrdmatch.library.name_table import own_name, read_names, with_own_names, without_entry


def table(tmp_path, text, encoding="utf-8"):
    (tmp_path / "names.csv").write_bytes(text.encode(encoding))
    return tmp_path / "names.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_spreadsheets_save_them(tmp_path, separator, encoding):
    rows = [
        ["Refcode", "Name", "DOI", "remark"],
        ["FIQCEN", "Kupfertrimesat-\u03b1", "doi:10.1126/science.283", "ours"],
        ["", "", "", ""],
        ["x_1", "Lab-7", "", ""],
    ]
    names = read_names(table(tmp_path, "\r\n".join(separator.join(row) for row in rows) + "\r\n", encoding))
    assert [(one.key, one.name, one.doi) for one in names.values()] == [
        ("FIQCEN", "Kupfertrimesat-\u03b1", "10.1126/science.283"),
        ("x_1", "Lab-7", ""),
    ]


def test_without_dois_and_the_same_row_twice(tmp_path):
    assert [one.name for one in read_names(table(tmp_path, "name;refcode\nLab-7;AAAAAA\nLab-7;aaaaaa\n")).values()] == ["Lab-7"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("refcode,name\n,Lab-7\n", r"names\.csv, line 2: expected a refcode"),
        ("refcode,name\nFIQCEN,\n", "line 2: expected a name for FIQCEN"),
        ("refcode,name\nFIQCEN\n", "line 2: expected a name for FIQCEN"),
        ("refcode,name\nFIQCEN,a\nfiqcen,b\n", "line 3: fiqcen is named b, but a in line 2"),
        ("refcode,name,doi\nFIQCEN,a,www.example.org\n", "line 2: expected a DOI such as .* got www.example.org"),
        ("refcode,name\nFIQCEN,a,b\n", "line 2: has more columns than the first line"),
        ("refcode,name\nFIQCEN," + "x" * 121 + "\n", "line 2: expected a name of 120 printable characters"),
        ("refcode,name\nFIQCEN,a\x07\n", "line 2: expected a name of 120 printable characters"),
        ("refcode;title\nFIQCEN;a\n", "expected the columns refcode and name; name not found"),
        ("refcode,name\n", "expected a table of names, but it holds none"),
        ("", "expected the columns refcode and name; name, refcode not found"),
        ("refcode,name\n,a\n,b\n,c\n,d\n,e\n,f\n", "line 2: .*; line 6: .*; and 1 more$"),
    ],
)
def test_each_fault_is_told(tmp_path, text, told):
    with pytest.raises(LibraryError, match=told):
        read_names(table(tmp_path, text))


def test_what_is_no_table(tmp_path):
    for path in (tmp_path, tmp_path / "gone.csv"):
        with pytest.raises(LibraryError, match="expected a table of names, but it cannot be read"):
            read_names(path)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(LibraryError, match="it is not a text file"):
        read_names(tmp_path / "binary.csv")


def test_an_id_goes_before_its_refcode(tmp_path, library):
    names = read_names(table(tmp_path, "refcode,name,doi\nAAAAAA,first,\nAAAAAA_clean,second,10.1/x\nCCCCCC,third,\nZZZZZZ,none,\n"))
    assert own_name("AAAAAA_clean", names).name == "second"
    assert own_name("AAAAAA_charged", names).name == "first"
    assert own_name("BBBBBB_clean", names) is None
    named = with_own_names(library, names)
    assert named.name.tolist() == ["second", "ZIF-8", "third", "MIL-53(Cr)", "UiO-66"]
    assert named.family_name.tolist() == named.name.tolist()
    assert named.doi.tolist() == ["10.1/x", "", "", "", ""]
    assert without_entry(library.id, names) == ["ZZZZZZ"]
    assert with_own_names(library, {}) is library


def test_simulate_takes_a_table(run, tmp_path):
    import cifs

    from xrdmatch.library.reference_library import Library

    (tmp_path / "FIQCEN.cif").write_text(cifs.cif(["Cu1 Cu 0 0 0", "O1 O 0.2 0 0"], (14.1, 14.1, 14.1, 90, 90, 90)))
    path = table(tmp_path, "refcode,name,doi\nFIQCEN,Lab-1,10.1/x\nOTHERS,Lab-2,\n")
    for more, family in ((), "Lab-1"), (("--no-names",), "Lab-1"), (("--no-families",), "Lab-1"):
        code, _, err = run("simulate", tmp_path / "FIQCEN.cif", "-o", tmp_path / "x.h5", "--name-table", path, "--jobs", 1, *more)
        library = Library.load(tmp_path / "x.h5")
        assert code == 0
        assert (library.name[0], library.doi[0], library.family_name[0]) == ("Lab-1", "10.1/x", family)
        assert "refcodes of the table of names that no entry has:\n  OTHERS\n" in err
    assert run("simulate", tmp_path / "FIQCEN.cif", "-o", tmp_path / "y.h5", "--name-table", tmp_path / "gone.csv", "--jobs", 1)[0] == 1
    assert not (tmp_path / "y.h5").exists()
