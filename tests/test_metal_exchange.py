"""Frameworks with a metal that the library does not hold them with: who is let in for a list of elements, and what the answer says."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.structure import load
from xrdmatch.library.build import entry_of
from xrdmatch.library.composition import holding, metals_of
from xrdmatch.library.metal_exchange import ROLES, exchange_of, framework_stem, let_in
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.model.folder import shipped_models
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.report.card import Row
from xrdmatch.report.phrases import sentence
from xrdmatch.report.records import writer
from xrdmatch.report.terminal_table import under_name
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.identify import Identifier
from xrdmatch.search.matches import Ranking
from xrdmatch.search.options import SearchOptions


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return Identifier(shipped_models()[0], "cpu")


def row_named(library: Library, name: str) -> int:
    return library.name.tolist().index(name)


def held(*entries: tuple[str, str, str], families: list[int] | None = None) -> Library:
    """A library of (id, name, formula), each a family of its own or as told."""
    made_up = [
        Entry(identifier, formula, np.array([8.0 + place, 9, 10, 90, 90, 90]), np.array([[1, 0, 0]], dtype=np.int16), np.ones(1), name=name)
        for place, (identifier, name, formula) in enumerate(entries)
    ]
    library = Library.from_entries(made_up)
    if families is None:
        return library
    return replace(library, family=np.array(families, dtype=np.int32), family_name=[f"F{number}" for number in range(max(families) + 1)])


def let_in_ids(library: Library, elements: str, exclude: str = "") -> dict[str, tuple[str, ...]]:
    """Ids that are let in, with the metals they stand in for."""
    found = let_in(library, elements.split(","), exclude.split(",") if exclude else ())
    return {str(library.id[row]): found.exchanges[row].wanted if row in found.exchanges else () for row in np.flatnonzero(found.rows).tolist()}


def test_a_framework_is_let_in_with_a_metal_of_the_same_role():
    library = held(("A", "MIL-101(Cr)", "C24 H12 Cr3 O13"), ("B", "", "C8 H4 Fe O4"), ("C", "UiO-67", "C14 H8 O5 Zr"))
    assert let_in_ids(library, "Fe,C,O,H") == {"A": ("Fe",), "B": ()}
    assert let_in_ids(library, "Al,Fe,C,O") == {"A": ("Al", "Fe"), "B": ()}
    assert let_in_ids(library, "Hf,C,O") == {"C": ("Hf",)}
    assert let_in_ids(library, "Cr,C,O") == {"A": ()}


@pytest.mark.parametrize("elements", ["Na,C,O", "K,C,O,N", "Zn,C,O", "Al,C,O", "Ag,C,O", "C,O", "Hf,C,N", "Hf,O"])
def test_zirconium_gives_way_to_no_other_role(elements):
    library = held(("A", "UiO-66", "C8 H4 O5 Zr"))
    assert let_in_ids(library, elements) == {}


def test_a_form_with_a_listed_metal_counts_itself():
    both = held(("A", "MIL-100(Cr)", "C18 H6 Cr3 O13"), ("B", "MIL-100(Fe)", "C18 H6 Fe3 O13"))
    assert let_in_ids(both, "Fe,C,O") == {"B": ()}
    assert let_in_ids(both, "Al,C,O") == {"A": ("Al",), "B": ("Al",)}
    one_pattern = held(("A", "MIL-101(Cr)", "C24 H12 Cr3 O13"), ("B", "", "C24 H12 Fe3 O13"), families=[0, 0])
    assert let_in_ids(one_pattern, "Fe,C,O") == {"B": ()}
    one_net = held(("A", "MIL-101(Cr)", "C24 H12 Cr3 O13"), ("B", "", "C24 H12 Fe3 O13"))
    assert set(let_in_ids(one_net, "Fe,C,O")) == {"A", "B"}
    one_net = replace(one_net, linkers=["terephthalate"] * 2, net=["mtn"] * 2)
    assert let_in_ids(one_net, "Fe,C,O") == {"B": ()}


def test_only_named_frameworks_of_carbon_are_let_in():
    library = held(("A", "", "C8 H5 Cr O5"), ("B", "chromium oxide", "Cr2 O3"), ("C", "an oxalate", "C2 Cr O4"))
    assert let_in_ids(library, "Fe,C,O") == {"C": ("Fe",)}
    salts = replace(library, category=["mof", "byproduct", "byproduct"])
    assert let_in_ids(salts, "Fe,C,O") == {}


def test_what_is_excluded_stays_out():
    library = held(("A", "MIL-101(Cr)", "C24 H12 Cr3 O13"), ("B", "MIL-68(V)", "C8 H4 O5 V"))
    assert let_in_ids(library, "Fe,C,O", "Cr") == {"B": ("Fe",)}
    assert let_in_ids(library, "Fe,Al,C,O", "Fe") == {"A": ("Al",), "B": ("Al",)}
    excluded = let_in(library, None, ("Cr",))
    assert excluded.rows.tolist() == [False, True]
    assert not excluded.exchanges


def test_the_role_is_told_by_the_metals_a_framework_is_known_with():
    everything = frozenset(metal for role in ROLES for metal in role)
    iron_alone = exchange_of(["Fe"], frozenset(("Fe",)), everything)
    assert iron_alone is not None
    assert iron_alone.wanted == ("Al", "Cr", "Ga", "In", "Sc", "V")
    beside_zinc = exchange_of(["Fe"], frozenset(("Fe", "Zn", "Mg")), everything)
    assert beside_zinc is not None
    assert beside_zinc.wanted == ("Cd", "Co", "Cu", "Mg", "Mn", "Ni", "Zn")
    assert exchange_of(["Ce"], frozenset(("Ce",)), everything) is None  # 3+ or 4+: nothing replaces both
    assert exchange_of(["Zn"], frozenset(("Zn",)), everything) is None  # tetrahedral or octahedral: known with zinc alone
    assert exchange_of(["Cd", "In"], frozenset(("Cd", "In", "Zn")), everything) is None
    assert exchange_of(["Na"], frozenset(("Na",)), everything) is None


@pytest.mark.parametrize(
    ("name", "formula", "stem"),
    [
        ("MIL-101(Cr)", "C24 H12 Cr3 O13", "MIL-101"),
        ("Ni-MOF-74 (CPO-27-Ni)", "C4 H Ni O3", "MOF-74 (CPO-27)"),
        ("NH2-MIL-53(Al)", "C8 H6 Al N O5", "NH2-MIL-53"),
        ("UiO-66(Zr,Ce)", "C8 H4 Ce O5 Zr", "UiO-66"),
        ("CPO-27-Co", "C4 H Co O3", "CPO-27"),
        ("MOF-5", "C24 H12 O13 Zn4", "MOF-5"),
        ("COF-5", "C9 H4 B O2", "COF-5"),
        ("Co formate", "C2 H2 Co O4", "formate"),
    ],
)
def test_names_without_their_metals(name, formula, stem):
    assert framework_stem(name, metals_of(formula)) == stem


def test_mil_101_is_found_where_iron_is_listed(identifier):
    library = identifier.model.library
    row = row_named(library, "MIL-101(Cr)")
    scan = made.scan(library, row, start=2.0)
    answer = identifier.identify(scan, SearchOptions(elements=("Fe", "C", "O", "H"), detail=False))
    assert (answer.verdict, answer.name) == ("match", "MIL-101(Cr)")
    best = answer.matches[0]
    assert best.to_json()["metal_exchanged"] == {"from": ["Cr"], "to": ["Fe"]}
    assert best.note.startswith("framework of MIL-101(Cr); the library has no Fe form")
    assert [sentence(one) for one in answer.notes if one.code == "metal_exchanged"] == [best.note]
    assert any("with Fe for Cr" in line for line in under_name(Row(best.name, best.probability, (best,))))
    for kind, told in (("table", "with Fe for Cr"), ("csv", ",Cr to Fe\n"), ("json", '"metal_exchanged": {"from": ["Cr"], "to": ["Fe"]}')):
        text = io.StringIO()
        writer(kind, text)(answer)
        assert told in text.getvalue()
    others = [match for match in answer.matches if match.metal_exchanged is None]
    assert all(set(metals_of(match.formula)) <= {"Fe"} for match in others)
    excluded = identifier.identify(scan, SearchOptions(elements=("Fe", "C", "O"), exclude=("Cr",), detail=False))
    assert all("Cr" not in match.formula for match in excluded.matches)


def test_without_elements_nothing_is_exchanged(identifier):
    library = identifier.model.library
    answer = identifier.identify(made.scan(library, row_named(library, "UiO-67")), SearchOptions(detail=False))
    assert (answer.verdict, answer.name) == ("match", "UiO-67")
    assert all(match.metal_exchanged is None and match.to_json()["metal_exchanged"] is None for match in answer.matches)
    assert not [one for one in answer.notes if one.code == "metal_exchanged"]
    assert identifier.allowed(SearchOptions()) is None
    rows = identifier.allowed(SearchOptions(exclude=("Zr",)))
    assert rows is not None
    assert (rows == holding(library, None, ("Zr",))).all()


def test_uio_67_with_hafnium_and_uio_66_with_its_own(identifier):
    """The library holds UiO-66 with hafnium, and UiO-67 with zirconium alone."""
    library = identifier.model.library
    options = SearchOptions(elements=("Hf", "C", "O"), detail=False)
    answer = identifier.identify(made.scan(library, row_named(library, "UiO-67")), options)
    assert (answer.verdict, answer.name) == ("match", "UiO-67")
    assert answer.matches[0].to_json()["metal_exchanged"] == {"from": ["Zr"], "to": ["Hf"]}
    own = identifier.identify(made.scan(library, row_named(library, "UiO-66")), options)
    assert own.name == "UiO-66(Hf)"
    assert all(match.name != "UiO-66" for match in own.matches)
    for nonsense in ("Na", "Zn", "Fe"):
        found = identifier.let_in(SearchOptions(elements=(nonsense, "C", "O")))
        assert found is not None
        assert not any("Zr" in exchange.held for exchange in found.exchanges.values())


def test_a_scan_of_the_other_metal_is_named(identifier):
    """MOF-5 with cobalt in place of zinc, drawn from atoms: line heights are not those of the library's entry."""
    structure = load(Path(__file__).parents[1] / "docs" / "samples" / "idealised-mof-5.cif")
    cobalt = replace(structure, numbers=np.where(structure.numbers == 30, 27, structure.numbers))
    library = Library.from_entries([entry_of(cobalt)])
    scan = made.scan(library, 0)
    answer = identifier.identify(Pattern(scan.two_theta, scan.intensity, scan.wavelength, "co.xy"), SearchOptions(elements=("Co", "C", "O")))
    assert answer.verdict == "match"
    assert answer.name.startswith("MOF-5")
    assert answer.matches[0].to_json()["metal_exchanged"]["to"] == ["Co"]


def test_of_equal_candidates_those_with_a_listed_metal_come_first(library):
    scan = prepare_scan(made.scan(library, 0))
    candidates = Candidates.of(np.array([4, 2, 3]), np.zeros(3), 0.1)
    ranking = Ranking.of(candidates, np.array([0.41236, 0.41238, 0.1]), scan)
    assert ranking.candidates.rows.tolist() == [2, 4, 3]
    assert ranking.with_last(np.array([True, False, False])).candidates.rows.tolist() == [4, 2, 3]
    assert ranking.with_last(np.array([False, False, True])).candidates.rows.tolist() == [2, 4, 3]
