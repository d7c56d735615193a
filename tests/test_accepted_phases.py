"""Phases that a user accepts, and the search for a further one in what they leave."""

from __future__ import annotations

import json

import made
import numpy as np
import pytest
from conftest import write_scan

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import LibraryError
from xrdmatch.report import card
from xrdmatch.search.options import SearchOptions

IDS = ("AAAAAA_clean", "BBBBBB_clean", "CCCCCC_clean", "DDDDDD_clean", "EEEEEE_clean")


def mixture(library, *rows):
    """Scans of these entries, added."""
    scans = [made.scan(library, row, row + 1) for row in rows]
    return scans[0].with_intensity(np.sum([scan.intensity for scan in scans], axis=0))


def test_what_is_accepted_leads_and_the_rest_is_named(identifier, library):
    for first, second in ((0, 4), (4, 0), (1, 3)):
        answer = identifier.identify(mixture(library, first, second), SearchOptions(accepted=(IDS[first],)))
        assert (answer.verdict, answer.reason_code, answer.accepted) == ("match", "accepted", (IDS[first],))
        assert [match.id for match in answer.matches] == [IDS[first]]
        assert answer.second_matches[0].id == IDS[second]
        assert {match.phase for match in answer.second_matches} == {2}
        assert IDS[first] not in {match.id for match in answer.second_matches}


def test_what_is_accepted_is_refined_as_what_is_found(identifier, library):
    for row in range(3):
        scan = made.scan(library, row, row + 1)
        found = identifier.identify(scan).matches[0]
        accepted = identifier.identify(scan, SearchOptions(accepted=(IDS[row],))).matches[0]
        assert found.id == accepted.id == IDS[row]
        for name in ("cell", "shift", "fwhm", "similarity", "evidence"):
            assert getattr(accepted, name) == getattr(found, name)


def test_three_phases_one_after_the_other(identifier, library):
    scan = mixture(library, 0, 1, 4)
    answer = identifier.identify(scan, SearchOptions(accepted=(IDS[0], IDS[4])))
    assert [match.id for match in [*answer.matches, *answer.second_matches][:3]] == [IDS[0], IDS[4], IDS[1]]
    assert [match.phase for match in [*answer.matches, *answer.second_matches][:3]] == [1, 2, 3]
    assert [phase.phase for phase in answer.phases] == list(range(1, len(answer.phases) + 1))
    assert sum(phase.share for phase in answer.phases) <= 1.001
    assert all(phase.share > 0.05 for phase in answer.phases)


def test_where_nothing_is_left_nothing_further_is_named(identifier, library):
    answer = identifier.identify(made.scan(library, 0, 1), SearchOptions(accepted=(IDS[0],)))
    assert answer.second_matches == []
    assert [phase.match.id for phase in answer.phases] == [IDS[0]]
    assert answer.phases[0].share > 0.95


def test_names_and_refcodes_are_taken_and_one_twice_is_one(identifier, library):
    scan = mixture(library, 0, 4)
    answers = [identifier.identify(scan, SearchOptions(accepted=(text,))) for text in ("HKUST-1", "hkust 1", IDS[0])]
    answers.append(identifier.identify(scan, SearchOptions(accepted=("HKUST-1", IDS[0]))))
    assert {answer.accepted for answer in answers} == {(IDS[0],)}
    with pytest.raises(LibraryError, match="HKUST-99: no entry of the library"):
        identifier.check(SearchOptions(accepted=("HKUST-99",)))


def test_elements_bind_what_is_searched_and_not_what_is_accepted(identifier, library):
    options = SearchOptions(elements=("Zn", "C", "N", "O"), accepted=(IDS[0],))
    answer = identifier.identify(mixture(library, 0, 1), options)
    assert answer.matches[0].id == IDS[0]
    assert {match.id for match in answer.second_matches} <= {IDS[1], IDS[2]}


def test_an_unusable_scan_stays_unusable(identifier):
    blank = Pattern(np.arange(5.0, 40.0, 0.02), np.full(1750, 300.0), 1.5418)
    assert identifier.identify(blank, SearchOptions(accepted=(IDS[0],))).verdict == "unusable"


def test_the_card_and_the_json_say_what_was_accepted(identifier, library):
    answer = identifier.identify(mixture(library, 0, 1, 4), SearchOptions(accepted=(IDS[0], IDS[4])))
    assert card.title(answer) == "HKUST-1, accepted"
    told = [" ".join(fact.parts) for fact in card.facts(answer)]
    assert any(line.startswith("HKUST-1 and UiO-66 accepted as there; ") for line in told)
    assert any(line.startswith("UiO-66 accepted") for line in told)
    assert answer.to_json()["accepted"] == [IDS[0], IDS[4]]


def test_accept_on_the_command_line(run, tmp_path, library, tiny_model):
    write_scan(tmp_path / "a.xy", library, 0, 1)
    code, out, _ = run("identify", tmp_path / "a.xy", "--accept", "HKUST-1", "-m", tiny_model, "-f", "json")
    assert code == 0
    assert json.loads(out)["accepted"] == [IDS[0]]
    code, out, err = run("identify", tmp_path / "a.xy", "--accept", "HKUST-99", "-m", tiny_model)
    assert code != 0
    assert "HKUST-99: no entry of the library" in err
