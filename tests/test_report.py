"""What results look like."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from xrdmatch import report, wording
from xrdmatch.identify import Identification, Match
from xrdmatch.match import Evidence

A = "\N{GREEK SMALL LETTER ALPHA}"


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def match(rank=1, name="HKUST-1", **changes):
    given = {
        "id": "FIQCEN_clean",
        "formula": "C18 H6 Cu3 O12",
        "family": "HKUST-1",
        "members": [f"M{i}" for i in range(30)],
        "similarity": 0.97,
        "probability": 0.93,
        "shift": 0.03,
        "evidence": Evidence(0.9, [(2, 2, 0, 9.5, 40.0), (2, 2, 2, 11.6, 100.0)], [(4, 0, 0, 13.4, 20.0)], [26.5]),
    }
    return Match(rank=rank, name=name, **{**given, **changes})


ANSWER = Identification(
    "scan.raw",
    "match",
    "HKUST-1 fits and no other family comes near",
    wavelength=1.5418,
    wavelength_source="default",
    filter_reason="not filtered: the filter is switched off",
    noise=0.0123,
    matches=[match(), match(2, "", id="ABCDEF_clean", family="ABCDEF", probability=0.0001, members=["ABCDEF_clean"])],
)


def shown(answer=ANSWER, width=80, verbose=False, screen=None):
    stream = io.StringIO() if screen is None else screen
    report.print_identification(answer, report.console_for(stream, width), verbose)
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits(width):
    assert max(map(len, shown(width=width, verbose=True).splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_says_it_all(width):
    text = shown(width=width)
    for said in (
        "scan.raw",
        "MATCH",
        "HKUST-1",
        "FIQCEN_clean",
        "C₁₈H₆Cu₃O₁₂",
        "ABCDEF_clean",
        "0.970",
        "93 %",
        "<1 %",
        "assumed",
        "noise is 1.2 %",
        "(30)",
    ):
        assert said in text


def test_verdict_comes_first_and_the_name_before_the_refcode():
    text = shown()
    order = [text.index(said) for said in ("scan.raw", "MATCH", "1.5418", "Similarity", "  1  HKUST-1", "FIQCEN_clean", "ABCDEF_clean")]
    assert order == sorted(order)


def test_colours_and_bars_only_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in shown(screen=Screen())
    assert "█" in shown(screen=Screen())
    assert not set("\x1b█─") & set(shown())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in shown(screen=Screen())


def test_square_brackets_in_names_are_no_markup():
    name = "[Cu(bdc)] [bold]x[/bold]"
    assert name in shown(Identification("odd[1].xy", "unknown", f"{name} is far", matches=[match(name=name)]), width=120)
    assert "odd[1].xy" in shown(Identification("odd[1].xy", "error", "x"))


def test_verbose_lists_the_evidence_and_abbreviates():
    text = shown(verbose=True, width=100)
    for said in ("(2 2 2) 11.60°, (2 2 0) 9.50°", "missing   (4 0 0) 13.40°", "extra     26.50°", "M7 and 22 more", "90 % of the signal"):
        assert said in text


def test_an_error_has_no_table():
    text = shown(Identification("bad.xy", "error", "bad.xy: is empty"))
    assert text.split() == ["bad.xy", "ERROR", "is", "empty"]


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [("C18 H6 Cu3 O12", "C₁₈H₆Cu₃O₁₂"), ("Zn", "Zn"), ("C2.5 H10", "C₂.₅H₁₀"), ("", ""), ("C180 H180 Co3 N18 O116 Ru24", "C₁₈₀H₁₈₀Co₃N₁₈O₁₁₆\nRu₂₄")],
)
def test_formulas_have_subscripts(formula, wanted):
    assert report.formula_text(formula) == wanted
    assert report.formula_text(formula, subscripts=False).replace("\n", "") == formula.replace(" ", "")


@pytest.mark.parametrize(("value", "said"), [(0.0, "<1 %"), (0.004, "<1 %"), (0.01, "1 %"), (0.5, "50 %"), (0.994, "99 %"), (1.0, ">99 %")])
def test_probabilities_claim_no_certainty(value, said):
    assert report.percent(value) == said


def test_bars_grow_with_the_share():
    assert report.bar_text(0.0) == ""
    assert report.bar_text(1.0) == "█" * report.BAR
    assert report.bar_text(2.0) == "█" * report.BAR
    assert [len(report.bar_text(share)) for share in np.linspace(0, 1, 33)] == sorted(len(report.bar_text(share)) for share in np.linspace(0, 1, 33))


@pytest.mark.parametrize(
    ("wavelength", "name"),
    [(1.540593, f"Cu K{A}1"), (1.540598, f"Cu K{A}1"), (1.54184, f"Cu K{A}"), (1.5418, f"Cu K{A}"), (0.7107, f"Mo K{A}"), (0.4, ""), (1.6, "")],
)
def test_wavelengths_have_names(wavelength, name):
    assert wording.line_name(wavelength) == name


def test_json_is_one_line_of_plain_values():
    odd = Identification("ä\n.xy", "unknown", "x", noise=float("nan"), matches=[match(similarity=float("inf"))])
    line = report.json_line(odd)
    assert "\n" not in line
    assert line.isascii()
    data = json.loads(line)
    assert data["file"] == "ä\n.xy"
    assert data["noise"] is None
    assert data["matches"][0]["similarity"] is None
    assert "evidence" not in data["matches"][0]


def test_summary_counts_verdicts():
    assert report.summary(["match", "error", "match"]) == "3 files: 2 match, 1 error"
    assert report.summary(["unknown"]) == "1 file: 1 unknown"
