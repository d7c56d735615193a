"""The report page: what it holds, that nothing leaves it or breaks out of it, and its size. tests/test_page_browser.py drives it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import made
import numpy as np
import pytest
from commands import EVIL
from made import page_of

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import XrdMatchError
from xrdmatch.notes import note
from xrdmatch.report import html_page
from xrdmatch.report.calculated_pattern import overlay


class Seen(HTMLParser):
    """Elements with their attributes, and the text outside style and script."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open = tag

    def handle_data(self, data):
        if self.open not in ("style", "script"):
            self.text += data

    def handle_endtag(self, tag):
        self.open = ""


def data_of(text):
    return [json.loads(found) for found in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)]


def unpacked(text, low, high):
    return low + (high - low) * np.frombuffer(base64.b64decode(text), "<u2") / 65535


def test_the_summary_says_it_all_without_script(answers):
    seen = Seen(page_of(answers, "Tuesday"))
    for said in ("Tuesday", "7 scans: 5 match, 1 unusable, 1 error", "a.xy", "HKUST-1", "AAAAAA", "C₁₈H₆Cu₃O₁₂", "is empty", "Amorphous"):
        assert said in seen.text
    rows = [attributes for tag, attributes in seen.elements if tag == "tr" and "data-verdict" in attributes]
    assert [row["data-verdict"] for row in rows] == [answer.verdict for answer in answers]
    assert [row["data-place"] for row in rows] == [str(place) for place in range(7)]


def test_the_data_are_those_of_the_answers(answers):
    first, *_, blank, bad = data_of(page_of(answers))
    scan, best = first["scan"], answers[0].matches[0]
    measured = answers[0].measured
    counts = unpacked(scan["y"], scan["low"], scan["high"])
    assert counts == pytest.approx(measured.intensity, abs=(scan["high"] - scan["low"]) / 60_000)
    assert np.linspace(scan["from"], scan["to"], counts.size) == pytest.approx(measured.two_theta, abs=1e-6)
    assert first["matches"][0]["id"] == best.id
    assert first["matches"][0]["cell"] == pytest.approx(best.lines.cell, abs=1e-4)
    lines = first["matches"][0]["lines"]
    assert [line[4] for line in lines] == sorted(line[4] for line in lines)
    strongest = max(lines, key=lambda line: line[5])
    assert strongest[:3] == best.lines.hkl[best.lines.intensity.argmax()].tolist()
    assert {line[7] for line in lines} <= {"found", "missing", ""}
    assert sum(line[7] == "found" for line in lines) > 2
    assert first["matches"][0]["scale"] == pytest.approx(overlay(answers[0]).scales[0])
    assert "scan" in blank
    assert blank["matches"] == []
    assert "scan" not in bad
    assert bad["reason"] == "is empty"


def test_nothing_is_fetched_and_the_policy_forbids_it(answers):
    text = page_of(answers)
    seen = Seen(text)
    policy = next(about["content"] for tag, about in seen.elements if tag == "meta" and about.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    for tag, about in seen.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert "src" not in about
        assert about.get("href", "#").startswith("#")
    outside = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    assert not re.findall(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|import\(", outside)


@pytest.mark.parametrize("where", ["file", "reasons", "notes", "name", "id", "refcode", "undecided", "doi", "family"])
def test_hostile_text_stays_text(answers, where):
    best = answers[0].matches[0]
    hostile = {
        "reasons": (note("nothing_fits", closest=EVIL),),
        "notes": [note("strongest_line_cut_off", start=10.0, name=EVIL, two_theta=5.0)],
        "undecided": note("undecided_metal", options=(EVIL, "HKUST-1"), same_pattern=True),
    }
    changed = {where: hostile.get(where, EVIL)}
    if where in ("file", "reasons", "notes"):
        result = replace(answers[0], **changed)
    else:
        odd = replace(best, **changed)
        phase = replace(answers[0].phases[0], match=odd, **{name: value for name, value in changed.items() if name == "name"})
        result = replace(answers[0], phases=[phase], matches=[odd, *answers[0].matches[1:]])
    plain, text = page_of([answers[0]]), page_of([result])
    seen = Seen(text)
    assert [tag for tag, _ in seen.elements] == [tag for tag, _ in Seen(plain).elements]
    assert not any(name.startswith("on") for _, about in seen.elements for name in about)
    data = data_of(text)[0]
    if where == "doi":
        assert data["matches"][0]["doi"] == ""
    else:
        assert EVIL in json.dumps(data, ensure_ascii=False).replace('\\"', '"')


def test_hostile_titles_stay_text(answers):
    assert [tag for tag, _ in Seen(page_of(answers, EVIL)).elements] == [tag for tag, _ in Seen(page_of(answers, "x")).elements]
    assert "{{rows}}" in page_of(answers, "{{rows}}")  # what comes from outside is not filled in a second time


@pytest.mark.parametrize(
    ("doi", "link"),
    [
        ("10.1107/S0021889812050935", "https://doi.org/10.1107/S0021889812050935"),
        ("10.1002/(SICI)1<1::AID>3.0.CO;2-X", "https://doi.org/10.1002/(SICI)1%3C1::AID%3E3.0.CO;2-X"),
        ("javascript:alert(1)", ""),
        ("", ""),
    ],
)
def test_only_dois_are_linked(doi, link):
    assert html_page.doi_link(doi) == link


def test_thinning_loses_no_peak():
    rng = np.random.default_rng(1)
    angles = np.linspace(5.0, 80.0, 50_000)
    counts = rng.poisson(100.0, angles.size).astype(float)
    spikes = np.arange(500, angles.size, 1000) + rng.integers(0, 400, 50)
    counts[spikes] += 10_000.0
    kept_angles, kept = html_page.thinned(angles, counts, 4000)
    assert kept.size <= 4002
    assert set(angles[spikes]) <= set(kept_angles)
    assert kept.max() == counts.max()
    assert (kept_angles[0], kept_angles[-1]) == (angles[0], angles[-1])
    assert (np.diff(kept_angles) > 0).all()
    np.testing.assert_array_equal(html_page.thinned(angles, counts, 50_000)[1], counts)


def test_uneven_angles_are_kept(identifier, library):
    scan = made.scan(library, 0)
    kept = np.sort(np.random.default_rng(2).choice(scan.two_theta.size, 1500, replace=False))
    answer = identifier.identify(Pattern(scan.two_theta[kept], scan.intensity[kept], scan.wavelength))
    stored = data_of(page_of([answer]))[0]["scan"]
    assert unpacked(stored["x"], stored["from"], stored["to"]) == pytest.approx(scan.two_theta[kept], abs=1e-3)


def test_a_report_of_300_scans_keeps_its_size(answers):
    made_page = html_page.Page(300)
    wide = replace(
        answers[0], measured=Pattern(np.linspace(5.0, 90.0, 20_000), np.random.default_rng(0).poisson(200.0, 20_000).astype(float), 1.5418)
    )
    for _ in range(300):
        made_page.add(wide)
    assert len(made_page.text()) < 15_000_000


def test_a_page_is_written_whole_or_not_at_all(answers, tmp_path):
    made_page = html_page.Page(1)
    made_page.add(answers[0])
    made_page.write(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == made_page.text()
    with pytest.raises(XrdMatchError, match="cannot be written"):
        made_page.write(tmp_path / "absent" / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    assert "no scans" in html_page.Page(0).text()


def test_identify_writes_a_page(run, tiny_model, scans, tmp_path):
    (scans / "bad.xy").write_text("no scan")
    code, out, err = run("identify", scans, "--model", tiny_model, "--format", "csv", "--html", tmp_path / "r.html")
    assert code == 1
    assert len(out.splitlines()) == 1 + 3
    assert "r.html: 3 scans" in err
    rows = data_of((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert [row["verdict"] for row in rows] == ["match", "match", "error"]


def test_identify_checks_the_page_before_the_work(run, tiny_model, scans, tmp_path):
    for name, wanted in (("r.txt", 2), ("absent/r.html", 1)):
        code, out, _ = run("identify", scans, "--model", tiny_model, "--format", "csv", "--html", tmp_path / name)
        assert (code, out) == (wanted, "")
    assert run("identify", "-", "--model", tiny_model, "--html", tmp_path / "r.html", stdin=(scans / "a.xy").read_bytes())[0] == 0
    assert data_of((tmp_path / "r.html").read_text(encoding="utf-8"))[0]["file"] == "-"
