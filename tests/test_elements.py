"""Structures by their elements: who is let in, who is left out, and what a wrong symbol is answered with."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest
from typer.testing import CliRunner

from xrdmatch.cli.app import app
from xrdmatch.errors import LibraryError
from xrdmatch.library.composition import holding
from xrdmatch.model.folder import Model
from xrdmatch.model.reference_index import ReferenceIndex
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions


def test_elements_and_hydrogen_are_let_in_and_others_left_out(library):
    kept = holding(library, ["Zn", "C", "N", "O"])
    for formula, fits in zip(library.formula.tolist(), kept, strict=True):
        symbols = {part.rstrip("0123456789.") for part in formula.split()}
        assert fits == (symbols <= {"Zn", "C", "N", "O", "H"})
    assert holding(library).all()
    assert not (holding(library, None, ["Zn"]) & kept & np.array(["Zn" in formula for formula in library.formula.tolist()])).any()


def test_identify_names_only_what_is_allowed(tiny_model, library):
    row = 0
    identifier = Identifier(str(tiny_model), "cpu")
    free = identifier.identify(made.scan(library, row))
    assert free.matches[0].id == library.id[row]
    metal = next(part for part in str(library.formula[row]).split() if part[:2].rstrip("0123456789") in ("Cu", "Zn", "Zr", "Cr", "Fe", "Co"))[:2]
    held = identifier.identify(made.scan(library, row), SearchOptions(exclude=(metal,)))
    assert held.matches
    assert all(metal not in match.formula for match in held.matches)
    with pytest.raises(LibraryError, match="allow more"):
        identifier.identify(made.scan(library, row), SearchOptions(elements=("He",)))
    with pytest.raises(LibraryError, match="allow more"):
        identifier.allowed(SearchOptions(elements=("He",)))


def test_what_is_left_open_is_between_structures_that_are_allowed(tiny_model, library):
    """The first three of one pattern: a family of copper, zinc and another structure of zinc under another name."""
    same = library.subset(np.array([0, 0, 0, 3]))
    formulas = np.array(["C6 H2 Cu O4", "C6 H2 O4 Zn", "C9 H2 O4 Zn", same.formula[3]])
    names, of = np.array(["A-1", "A-1(Zn)", "B-2", ""]), np.array([0, 0, 0, 1], np.int32)
    ids = np.array(["COPPER", "ZINC", "OTHER", "REST"])
    same = replace(same, id=ids, name=names, formula=formulas, family=of, family_name=np.array(["A-1", "REST"]))
    loaded = Model.load(tiny_model, "cpu")
    identifier = Identifier(loaded.with_index(ReferenceIndex.of(same, loaded.vectors[[0, 0, 0, 3]])))
    answers = {}
    for unwanted in ("Ag", "Cu", "Zn"):
        answers[unwanted] = identifier.identify(made.scan(library, 0), SearchOptions(exclude=(unwanted,))).matches[0]
    assert answers["Ag"].members == ["COPPER", "ZINC", "OTHER"]
    assert "A-1 (Cu)" in answers["Ag"].undecided["options"]
    assert answers["Cu"].members == ["ZINC", "OTHER"]
    assert answers["Cu"].note == "A-1(Zn) or B-2: same pattern and metal; NMR of the digested solid, IR or TGA decides"
    assert answers["Cu"].undecided.code == "undecided_linker"
    assert (answers["Zn"].members, answers["Zn"].undecided, answers["Zn"].note) == (["COPPER"], None, "")


@pytest.mark.parametrize("given", ["Zz,C", "zinc", ","])
def test_what_is_no_element_is_a_usage_error(given):
    done = CliRunner().invoke(app, ["identify", "scan.xy", "--elements", given])
    assert done.exit_code == 2
    assert "element symbols" in done.output
