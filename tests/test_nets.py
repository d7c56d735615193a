"""Nets out of a table: whom they hold for, and the titles that name them."""

from dataclasses import replace

import numpy as np
import pytest

from xrdmatch.errors import LibraryError
from xrdmatch.library.nets import read_nets, with_nets
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.library.text_column import TextColumn


def library(*rows):
    """Of (id, family, linkers, kind); every title is Zn with the linkers."""
    cell = np.array([9.0, 9, 9, 90, 90, 90])
    texts = [{"linkers": linkers, "title": f"Zn {linkers}", "title_kind": kind} for _, _, linkers, kind in rows]
    entries = [Entry(row[0], "C Zn", cell, np.array([[1, 0, 0]]), np.array([1.0]), **text) for row, text in zip(rows, texts, strict=True)]
    made = Library.from_entries(entries)
    names = TextColumn.of(f"family {family}" for family in range(9))
    return replace(made, family=np.array([row[1] for row in rows], dtype=np.int32), family_name=names)


def test_a_net_holds_for_the_family_those_of_one_linker_first():
    made = library(
        ("one", 0, "imidazolate", "linkers"),
        ("like", 0, "imidazolate", "linkers"),
        ("other", 0, "terephthalate", "linkers"),
        ("apart", 1, "imidazolate", "linkers"),
    )
    told = with_nets(made, {"one": "cag"})
    assert told.net.tolist() == ["cag", "cag", "cag", ""]
    assert told.title.tolist() == ["Zn imidazolate, cag", "Zn imidazolate, cag", "Zn terephthalate, cag", "Zn imidazolate"]
    told = with_nets(made, {"one": "cag", "other": "pcu"})
    assert told.net.tolist() == ["cag", "cag", "pcu", ""]


def test_where_members_have_different_nets_none_is_told_of_the_others():
    made = library(*((name, 0, "imidazolate", "linkers") for name in ("one", "two", "three")))
    assert with_nets(made, {"one": "cag", "two": "dia"}).net.tolist() == ["cag", "dia", ""]


def test_an_interpolated_form_has_the_net_of_the_form_it_comes_from():
    made = library(("MIL", 0, "terephthalate", "linkers"), ("MIL-53~a9.10", 1, "terephthalate", "linkers"))
    made = replace(made, note=TextColumn.of(["", "interpolated between MIL and LIM"]))
    assert with_nets(made, {"MIL": "bpq"}).net.tolist() == ["bpq", "bpq"]


def test_a_formula_carries_no_net_and_no_title_names_it_twice():
    made = library(("formula", 0, "", "formula"), ("given", 1, "", "given"), ("one", 2, "imidazolate", "linkers"))
    told = with_nets(with_nets(made, {"formula": "pcu", "given": "dia", "one": "cag"}), {"one": "cag"})
    assert told.net.tolist() == ["pcu", "dia", "cag"]
    assert told.title.tolist() == ["Zn ", "Zn ", "Zn imidazolate, cag"]


def test_a_table_is_read_and_what_contradicts_itself_is_not(tmp_path):
    table = tmp_path / "nets.csv"
    table.write_text("id;net\nABCDEF_clean;pcu\nGHIJKL_clean;\n")
    assert read_nets(table) == {"ABCDEF_clean": "pcu", "GHIJKL_clean": ""}
    table.write_text("id,net\nABCDEF_clean,pcu\nABCDEF_clean,dia\n")
    with pytest.raises(LibraryError, match="line 3: ABCDEF_clean has the net dia, but pcu above"):
        read_nets(table)
    table.write_text("id\nABCDEF_clean\n")
    with pytest.raises(LibraryError, match="net"):
        read_nets(table)
