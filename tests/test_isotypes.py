"""Compounds of one structure type with nearly one cell: what an answer cannot decide, and says so."""

from dataclasses import replace

import made
import pytest

from xrdmatch.library.isotypes import isotypes, structure_type
from xrdmatch.library.text_column import TextColumn
from xrdmatch.model.folder import Model
from xrdmatch.model.reference_index import ReferenceIndex
from xrdmatch.report.phrases import sentence
from xrdmatch.search.identify import Identifier


def as_if(library, formula, title):
    """The library with its first entry called so."""
    formulas, titles = [formula, *library.formula.tolist()[1:]], [title, *[""] * (len(library) - 1)]
    return replace(library, formula=TextColumn.of(formulas), title=TextColumn.of(titles))


@pytest.mark.parametrize(
    ("title", "named"),
    [
        ("magnesium carbonate; calcite type", "calcite"),
        ("rock salt type", "rock salt"),
        ("idealised SiO2 framework of the type", ""),
        ("zinc oxide", ""),
        ("", ""),
    ],
)
def test_the_type_in_a_title(title, named):
    assert structure_type(title) == named


@pytest.mark.parametrize(
    ("formula", "title", "found"),
    [
        ("C Mg O3", "magnesium carbonate; calcite type", {"ZnCO3", "CoCO3", "NiCO3", "FeCO3"}),
        ("C Fe O3", "iron(II) carbonate; calcite type", {"ZnCO3", "CoCO3", "MgCO3", "MnCO3"}),
        ("C Ca O3", "calcium carbonate; calcite type", set()),
        ("Cl Na", "sodium chloride; rock salt type", {"AgCl"}),
        ("Cu", "copper type", {"Co"}),
        ("H2 Mg O2", "magnesium hydroxide; brucite type", {"Ni(OH)2", "Co(OH)2", "Fe(OH)2"}),
        ("Ni O2", "nickel hydroxide; brucite type", {"Mg(OH)2", "Co(OH)2"}),
        ("Fe O2", "goethite type", set()),
        ("C Mg O3", "magnesium carbonate", set()),
        ("C Be O3", "calcite type", set()),
    ],
)
def test_what_has_nearly_the_same_cell(library, formula, title, found):
    assert set(isotypes(as_if(library, formula, title), 0)) == found


def test_the_most_alike_comes_first(library):
    assert isotypes(as_if(library, "C Mg O3", "calcite type"), 0)[0] in ("ZnCO3", "CoCO3")


def test_an_answer_that_names_one_says_so_and_stays_the_same(tiny_model, library):
    model = Model.load(tiny_model, "cpu")
    typed = Identifier(model.with_index(ReferenceIndex.of(as_if(library, str(library.formula[0]), "fluorite type"), model.vectors)))
    named = Identifier(model.with_index(ReferenceIndex.of(replace(library, title=TextColumn.of(["calcite type"] * len(library))), model.vectors)))
    scan = made.scan(library, 0)
    before = Identifier(model).identify(scan)
    for identifier in (typed, named):  # of a type, but no compound that the table knows
        after = identifier.identify(scan)
        assert (after.verdict, after.probability, after.notes) == (before.verdict, before.probability, before.notes)
    salt = Identifier(model.with_index(ReferenceIndex.of(as_if(library, "C Mg O3", "calcite type"), model.vectors)))
    after = salt.identify(scan)
    assert after.verdict in ("match", "ambiguous")
    assert (after.verdict, after.probability) == (before.verdict, before.probability)
    told = [one for one in after.reasons if one.code == "isotypes"]
    assert len(told) == 1
    assert "is of the calcite type; " in sentence(told[0])
    assert "ZnCO3" in sentence(told[0])
    assert sentence(told[0]).endswith("have nearly the same cell: EDX or ICP decides")
