"""Probabilities up the ladder, the verdict they give, and what phases weigh: from made-up rankings."""

from dataclasses import replace
from types import SimpleNamespace

import made
import numpy as np
import pytest

from xrdmatch.library.reference_library import Library
from xrdmatch.library.text_column import TextColumn
from xrdmatch.notes import note
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.candidates import Candidates, Evidence
from xrdmatch.search.ladder import headline
from xrdmatch.search.matches import Ranking
from xrdmatch.search.phases import phases_of
from xrdmatch.search.result import Match
from xrdmatch.search.second_phase import SecondPhase
from xrdmatch.search.verdict import Decision, decide


def entries(library, *rows):
    """Of (name, framework, composition), each a family of its own."""
    made_up = library.subset(list(range(len(rows))))
    return replace(
        made_up,
        name=TextColumn.of(row[0] for row in rows),
        framework=np.array([row[1] for row in rows], dtype=np.int32),
        framework_name=TextColumn.of(f"framework {at}" for at in range(9)),
        composition=np.array([row[2] for row in rows], dtype=np.int32),
        composition_name=TextColumn.of(f"composition {at}" for at in range(9)),
    )


def ranking(*chances):
    candidates = Candidates.of(np.arange(len(chances)), np.ones(len(chances)), 0.1)
    return Ranking.of(candidates, np.array(chances), SimpleNamespace())


MIL = (("MIL-53", 0, 0), ("MIL-53", 0, 0), ("MIL-88B", 1, 0), ("HKUST-1", 2, 1))


@pytest.mark.parametrize(("chances", "level", "name", "probability"), [
    ((0.8, 0.1, 0.05, 0.0), "form", "MIL-53", 0.9),
    ((0.4, 0.3, 0.1, 0.0), "framework", "MIL-53", 0.7),
    ((0.2, 0.2, 0.3, 0.0), "composition", "composition 0", 0.7),
    ((0.1, 0.1, 0.1, 0.35), "", "HKUST-1", 0.35),
    ((0.3, 0.0, 0.0, 0.4), "", "HKUST-1", 0.4),
])  # fmt: skip
def test_the_finest_level_that_is_likely_enough(library, chances, level, name, probability):
    best = headline(entries(library, *MIL), ranking(*chances))
    assert (best.level, best.name, best.probability) == (level, name, pytest.approx(probability))


def test_forms_together_may_go_before_a_likelier_single_one(library):
    ranked = ranking(0.25, 0.26, 0.0, 0.4)
    best = headline(entries(library, *MIL), ranked)
    assert (best.level, best.name, best.probability) == ("framework", "MIL-53", pytest.approx(0.51))
    assert int(ranked.candidates.rows[best.leads]) == 1


def test_a_library_without_levels_sums_by_name(library):
    old = replace(library.subset(range(4)), name=TextColumn.of(row[0] for row in MIL))
    best = headline(old, ranking(0.3, 0.3, 0.1, 0.0))
    assert (best.level, best.name, best.probability) == ("framework", "MIL-53", pytest.approx(0.6))
    best = headline(old, ranking(0.2, 0.2, 0.3, 0.0))
    assert best.level == ""


@pytest.mark.parametrize(("chances", "verdict", "code", "names"), [
    ((0.8, 0.1, 0.05, 0.0), "match", "fits", ["MIL-53"]),
    ((0.4, 0.3, 0.1, 0.0), "match", "form_open", ["MIL-53"]),
    ((0.2, 0.2, 0.3, 0.0), "ambiguous", "composition", ["composition 0"]),
    ((0.1, 0.1, 0.1, 0.35), "ambiguous", "ambiguous", ["HKUST-1", "MIL-53", "MIL-88B"]),
    ((0.1, 0.0, 0.05, 0.3), "unknown", "nothing_fits", ["HKUST-1"]),
])  # fmt: skip
def test_verdicts(library, chances, verdict, code, names):
    given = decide(headline(entries(library, *MIL), ranking(*chances)), (10, 10), True, None)
    assert (given.verdict, given.reasons[0].code, [name for name, _ in given.headline]) == (verdict, code, names)
    if chances[0] == 0.2:
        assert dict(given.reasons[0].values)["options"] == ("MIL-53", "MIL-88B")


def test_what_is_undecided_is_the_reason_and_few_lines_name_nothing(library):
    best = headline(entries(library, *MIL), ranking(0.8, 0.1, 0.05, 0.0))
    either = note("undecided_metal", options=("A", "B"), same_pattern=True)
    assert decide(best, (10, 10), True, either).reasons == (either,)
    few = decide(best, (1, 1), True, either)
    assert (few.verdict, few.level, few.reasons[0].code) == ("unknown", "", "too_few_lines_to_name")
    assert decide(headline(entries(library, *MIL), ranking(0.3, 0.1, 0.05, 0.0)), (1, 1), False, None).reasons[0].code == "classifier"


def test_orders_of_one_spacing_are_one_observation(library):
    given = decide(headline(entries(library, *MIL), ranking(0.8, 0.1, 0.05, 0.0)), (6, 1), True, None)
    assert (given.verdict, given.reasons[0].code, given.level) == ("unknown", "one_spacing", "")


def told(library, masses, shares):
    """Phases of a mixture whose cells hold these masses, both of one entry, with shares of the signal."""
    both = Library.joined(library.subset([0]), replace(library.subset([0]), id=TextColumn.of(["other"])))
    both = replace(both, scale=np.full(2, 1e5, np.float32), cell_mass=np.array(masses, np.float32))
    scan = prepare_scan(made.scan(library, 0))
    first = Ranking.of(Candidates.of(np.array([0]), np.ones(1), 0.1), np.array([0.9]), scan)
    other = Candidates.of(np.array([1]), np.ones(1), 0.1)
    other.evidence[0] = Evidence(1.0)
    second = Ranking.of_second(SecondPhase(scan, shares[1], other, np.array([2])), np.array([0.8]))
    matches = [Match(1, "a", "A", "", "A", [], 0.9, 0.9, 0.0), Match(1, "b", "B", "", "B", [], 0.9, 0.8, 0.0, phase=2)]
    return phases_of(both, Decision("match", (), "form", (("A", 0.9),)), 0, (first, second), matches)


def test_a_heavier_cell_of_the_same_lines_weighs_more(library):
    one, other = told(library, (1000.0, 1000.0), (0.7, 0.3))
    assert (one.share, other.share) == (0.7, 0.3)
    assert (one.weight_share, other.weight_share) == (0.7, 0.3)
    one, other = told(library, (1000.0, 3000.0), (0.75, 0.25))
    assert one.weight_share == pytest.approx(0.5, abs=0.01)


def test_without_the_absolute_scale_no_weight_is_told(library):
    one, other = told(library, (np.nan, 1000.0), (0.7, 0.3))
    assert (one.weight_share, other.weight_share) == (None, None)


def test_an_answer_that_names_nothing_has_no_phases(library):
    ranked = ranking(0.3, 0.1)
    assert phases_of(library, Decision("unknown", (), "", (("A", 0.3),)), 0, (ranked, None), []) == []
