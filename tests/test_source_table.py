"""A table of structure files: what a library takes of them, and says of its entries."""

import csv
from pathlib import Path

import cifs
import pytest

from xrdmatch.errors import LibraryError
from xrdmatch.library.build import Told, build
from xrdmatch.library.reference_library import Library
from xrdmatch.library.source_table import ALL, CATEGORIES, COLUMNS, SourceTable

SHIPPED = Path(__file__).parents[1] / "scripts" / "sources.csv"


def written(path, *rows, columns=("archive", "file", *COLUMNS)):
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, columns)
        lines.writeheader()
        lines.writerows(rows)
    return path


@pytest.fixture
def archive(tmp_path):
    """Three oxides in a folder."""
    folder = tmp_path / "oxides"
    folder.mkdir()
    for metal in ("Zn", "Mg", "Ni"):
        (folder / f"{metal}O.cif").write_text(cifs.cif([f"{metal}1 {metal} 0 0 0", "O1 O 0.5 0.5 0.5"], (4.2, 4.2, 4.2, 90, 90, 90)))
    return folder


@pytest.fixture
def table(tmp_path):
    own = {
        "id": "zincite",
        "name": "zincite, ZnO",
        "category": "byproduct",
        "licence": "CC0",
        "source": "COD 1",
        "doi": "10.1/zinc",
        "reason": "old cell",
    }
    return written(
        tmp_path / "table.csv",
        {"archive": "oxides", "file": "ZnO.cif", **own},
        {"archive": "oxides", "file": "MgO.cif", "use": "no", "reason": "not what it is called"},
        {"archive": "oxides", "file": ALL, "category": "mof", "licence": "MIT", "source": "elsewhere"},
    )


def test_a_library_by_a_table(archive, table, tmp_path):
    known = SourceTable.load(table)
    library, report = build([archive], tmp_path / "library.h5", told=Told(choose=known.choose, finish=known.applied))
    assert library.id.tolist() == ["NiO", "zincite"]
    assert library.name.tolist() == ["", "zincite, ZnO"]
    assert library.category.tolist() == ["mof", "byproduct"]
    assert library.source.tolist() == ["oxides", "COD 1 (CC0)"]
    assert library.doi.tolist() == ["", "10.1/zinc"]
    assert library.note.tolist() == ["", "old cell"]
    assert library.attrs["licences"] == {"COD 1 (CC0)": "CC0", "oxides": "elsewhere (MIT)"}
    assert report.left_out == [("MgO", "not what it is called")]


def test_the_command_leaves_out_what_the_table_leaves_out(run, archive, table, tmp_path):
    target, report = tmp_path / "library.h5", tmp_path / "report.csv"
    code, _, err = run("simulate", archive, "-o", target, "--source-table", table, "--report", report, "--jobs", 1)
    assert code == 0
    assert "left out by the table" in err
    assert "MgO: not what it is called" in err
    assert "left_out,MgO,not what it is called" in report.read_text().splitlines()
    assert Library.load(target).category.tolist() == ["mof", "byproduct"]


def test_a_run_goes_on_under_the_ids_of_the_table(archive, table, tmp_path):
    known, seen = SourceTable.load(table), []
    target = tmp_path / "library.h5"
    build([archive], target, told=Told(choose=known.choose))
    target.rename(tmp_path / "library.h5.partial")
    library, report = build([archive], target, resume=True, told=Told(seen.append, known.applied, known.choose))
    assert report.resumed == 2
    assert seen == []
    assert library.name.tolist() == ["", "zincite, ZnO"]


def test_without_a_table_nothing_is_said(archive, tmp_path):
    library, _ = build([archive], tmp_path / "library.h5")
    said = SourceTable({}).applied(library)
    assert said.source.tolist() == ["oxides"] * 3
    assert said.attrs == library.attrs


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"archive": "a", "file": "b", "use": "perhaps"}], "line 2: expected yes or no in the column use, got 'perhaps'"),
        ([{"archive": "a", "file": "b", "category": "mineral"}], "expected a category out of mof, cof"),
        ([{"archive": "a", "file": "b"}, {"archive": "a", "file": "b"}], "line 3: b of a comes twice"),
        ([{"archive": "a", "file": "b", "id": "c"}, {"archive": "a", "file": "d", "id": "c"}], "line 3: the id c comes twice, first in line 2"),
    ],
)
def test_tables_that_cannot_be_right(tmp_path, rows, message):
    path = written(tmp_path / "table.csv", *rows)
    with pytest.raises(LibraryError, match=message):
        SourceTable.load(path)


def test_a_table_without_its_columns(tmp_path):
    path = written(tmp_path / "table.csv", {"archive": "a", "name": "b"}, columns=("archive", "name"))
    with pytest.raises(LibraryError, match="file not found"):
        SourceTable.load(path)
    with pytest.raises(LibraryError, match="cannot be read"):
        SourceTable.load(tmp_path / "none.csv")


def test_every_file_of_the_shipped_recipe_has_name_category_licence_and_source():
    rows = {place: row for place, row in SourceTable.load(SHIPPED).rows.items() if place[1] != ALL}
    assert {row.use for row in rows.values()} == {"yes", "no"}
    for (_, file), row in rows.items():
        assert row.id == Path(file).stem
        assert row.name == row.name.strip() != ""
        assert row.category in CATEGORIES
        assert row.licence in ("MIT", "CC0", "CC BY 4.0", "Apache-2.0", "public domain")
        assert row.source
        assert row.use == "yes" or row.reason, f"{file}: left out, but not why"


def test_one_record_of_each_by_product_holder_and_standard():
    used = [row.name for row in SourceTable.load(SHIPPED).rows.values() if row.use == "yes" and row.category in ("byproduct", "holder", "standard")]
    assert sorted(used) == sorted(set(used))
    assert {"zincite, ZnO", "calcite, CaCO3", "corundum, Al2O3", "silicon, Si", "quartz, SiO2", "lanthanum hexaboride, LaB6"} <= set(used)
