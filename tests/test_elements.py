"""Structures by their elements: who is let in, who is left out, and what a wrong symbol is answered with."""

from __future__ import annotations

import made
import numpy as np
import pytest
from typer.testing import CliRunner

from xrdmatch.chemistry import holding
from xrdmatch.cli.app import app
from xrdmatch.errors import LibraryError
from xrdmatch.identify import Identifier


def test_elements_and_hydrogen_are_let_in_and_others_left_out(library):
    kept = holding(library, ["Zn", "C", "N", "O"])
    for formula, fits in zip(library.formula.tolist(), kept, strict=True):
        symbols = {part.rstrip("0123456789.") for part in formula.split()}
        assert fits == (symbols <= {"Zn", "C", "N", "O", "H"})
    assert holding(library).all()
    assert not (holding(library, None, ["Zn"]) & kept & np.array(["Zn" in formula for formula in library.formula.tolist()])).any()


def test_identify_names_only_what_is_allowed(tiny_model, library):
    row = 0
    free = Identifier(str(tiny_model), "cpu").identify(made.scan(library, row))
    assert free.matches[0].id == library.id[row]
    metal = next(part for part in str(library.formula[row]).split() if part[:2].rstrip("0123456789") in ("Cu", "Zn", "Zr", "Cr", "Fe", "Co"))[:2]
    held = Identifier(str(tiny_model), "cpu", exclude=[metal]).identify(made.scan(library, row))
    assert all(metal not in match.formula for match in held.matches)
    with pytest.raises(LibraryError, match="allow more"):
        Identifier(str(tiny_model), "cpu", elements=["He"])


@pytest.mark.parametrize("given", ["Zz,C", "zinc", ","])
def test_what_is_no_element_is_a_usage_error(given):
    done = CliRunner().invoke(app, ["identify", "scan.xy", "--elements", given])
    assert done.exit_code == 2
    assert "element symbols" in done.output
