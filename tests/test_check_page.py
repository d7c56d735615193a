"""The page of check: what it holds, that a plate is one, and that nothing breaks out of it. tests/test_check_browser.py drives it."""

from __future__ import annotations

import re
from dataclasses import replace

import made
import pytest
from commands import EVIL
from test_html_page import Seen, data_of

from xrdmatch.notes import note
from xrdmatch.report.check_page import CheckPage
from xrdmatch.search.check_result import error_result


def page_of(results):
    page = CheckPage(len(results), "plate")
    for result in results:
        page.add(result)
    return page.text()


def test_the_overview_says_it_all_without_script(checked):
    seen = Seen(page_of(checked))
    for said in ("6 scans: 1 pure, 2 present, 1 absent, 1 unusable, 1 error", "A1.xy", "ZIF-8", "UiO-66", "is empty", "All scans as a list"):
        assert said in seen.text
    wells = [about for tag, about in seen.elements if tag == "a" and about.get("class", "").startswith("well")]
    assert [about["class"].split()[1] for about in wells] == [answer.verdict for answer in checked]
    assert wells[0]["title"].startswith("A1: ZIF-8, pure ")
    assert [about["data-place"] for about in wells] == [str(place) for place in range(6)]
    assert sum(about.get("class", "").startswith("well") for _, about in seen.elements) == 24


def test_other_names_are_a_list(checked):
    seen = Seen(page_of([replace(answer, file=f"scan-{place}x.xy") for place, answer in enumerate(checked)]))
    assert not any(about.get("id") == "plate" for _, about in seen.elements)
    assert "details" not in [tag for tag, _ in seen.elements]


def test_the_data_are_those_of_the_answers(checked):
    pure, mixed, _, absent, blank, bad = data_of(page_of(checked))
    assert pure["further"] == []
    assert [line["angle"] for line in mixed["further"]] == [line.two_theta for line in checked[1].further_lines]
    assert {line["phase"] for line in mixed["further"]} >= {"UiO-66"}
    lines = mixed["matches"][0]["lines"]
    assert {tuple(line[:3]) for line in lines if line[7] == "found"} <= {tuple(line[:3]) for line in checked[1].expected[0].match.evidence.matched}
    assert mixed["row"]["verdict"] == "present"
    assert mixed["row"]["further_phases"] == "UiO-66"
    labels = {fact["label"] for fact in mixed["facts"]}
    assert {"also there", "detection limit", "sample", "ZIF-8"} <= labels
    assert "detection limit" not in {fact["label"] for fact in absent["facts"]}
    assert absent["matches"][0]["lines"]
    assert (pure["title"].split()[0], " not there, " in absent["title"], " not there" in pure["title"]) == ("ZIF-8", True, False)
    assert blank["matches"] == []
    assert "scan" not in bad
    assert bad["facts"][0]["parts"] == ["is empty"]


def test_what_to_look_at_stands_first(checked, library, identifier):
    from xrdmatch.search.check import Checker

    swollen = Checker(identifier).check(made.scan(library, 4, 4, strain=(0.012, 0.012, 0.012)), ["UiO-66"])
    first = data_of(page_of([swollen]))[0]["facts"][0]
    assert first["label"] == "look at"
    assert "larger than the reference" in first["parts"][0]


@pytest.mark.parametrize("where", ["file", "name", "text", "phase", "reasons", "notes"])
def test_hostile_text_stays_text(checked, where):
    mixed = checked[1]
    expected, line = mixed.expected[0], mixed.further_lines[0]
    changed = {
        "file": {"file": EVIL},
        "name": {"expected": (replace(expected, name=EVIL, match=replace(expected.match, name=EVIL, id=EVIL)),)},
        "text": {"expected": (), "asked": (EVIL,)},
        "phase": {"further_lines": (replace(line, phase=EVIL),), "further_phases": (replace(mixed.further_phases[0], name=EVIL),)},
        "reasons": {"reasons": (note("error", message=EVIL),)},
        "notes": {"notes": (note("strongest_line_cut_off", start=10.0, name=EVIL, two_theta=5.0),)},
    }
    text, plain = page_of([replace(mixed, **changed[where]), checked[3]]), page_of([mixed, checked[3]])
    if where not in ("file", "text"):  # which take the well away, and what is drawn
        assert [tag for tag, _ in Seen(text).elements] == [tag for tag, _ in Seen(plain).elements]
    assert not any(name.startswith("on") for _, about in Seen(text).elements for name in about)
    assert "<img" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_check_writes_a_page(run, tiny_model, scans, tmp_path):
    (scans / "bad.xy").write_text("no scan")
    code, out, err = run("check", scans, "--expect", "HKUST-1", "--model", tiny_model, "--format", "csv", "--html", tmp_path / "r.html")
    assert code == 1
    assert len(out.splitlines()) == 1 + 3
    assert "r.html: 3 scans" in err
    data = data_of((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert [one["verdict"] for one in data] == ["pure", "absent", "error"]
    assert len(data[0]["matches"][0]["lines"]) > 5


def test_the_page_is_checked_before_the_work(run, tiny_model, scans, tmp_path):
    for name, wanted in (("r.txt", 2), ("absent/r.html", 1)):
        code, out, _ = run("check", scans / "a.xy", "--expect", "HKUST-1", "--model", tiny_model, "--html", tmp_path / name)
        assert (code, out) == (wanted, "")


def test_an_error_needs_no_scan():
    assert data_of(page_of([error_result("a.xy", "a.xy: is empty", ["UiO-66"])]))[0]["name"] == "UiO-66"
