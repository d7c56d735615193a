"""What results look like."""

from __future__ import annotations

import ast
import csv
import io
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import made
import numpy as np
import pytest

from xrdmatch.notes import note
from xrdmatch.report import card, phrases, records, terminal_table
from xrdmatch.report.terminal_plot import sketch
from xrdmatch.search.candidates import Evidence
from xrdmatch.search.identify import Identifier
from xrdmatch.search.result import Identification, Linker, Match, Phase, error_result
from xrdmatch.search.sample import Sample

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
        "doi": "10.1039/c1cc16045a",
        "refcode": "FIQCEN",
        "metals": ("Cu",),
        "linkers": (Linker("C9H3O6", "trimesate"),),
        "framework": "HKUST-1",
        "cell": (26.39, 26.39, 26.39, 90.0, 90.0, 90.0),
        "library_cell": (26.34, 26.34, 26.34, 90.0, 90.0, 90.0),
        "evidence": Evidence(0.9, [(2, 2, 0, 9.5, 40.0), (2, 2, 2, 11.6, 100.0)], [(4, 0, 0, 13.4, 20.0)], [26.5]),
    }
    return Match(rank=rank, name=name, **{**given, **changes})


ANSWER = Identification(
    "scan.raw",
    "match",
    (note("fits", name="HKUST-1"),),
    (("HKUST-1", 0.93),),
    wavelength=1.5418,
    wavelength_source="default",
    filter_reason=note("filter_off"),
    noise=0.0123,
    phases=[Phase(1, "HKUST-1", 0.93, 0.9, None, "mof", match())],
    matches=[
        match(),
        match(2, "ABCDEF", framework="ABCDEF", id="ABCDEF_clean", refcode="ABCDEF", family="ABCDEF", probability=0.0001, members=["ABCDEF_clean"]),
    ],
    sample=Sample(60.0, None, None),
)


def shown(answer=ANSWER, width=80, verbose=False, screen=None):
    stream = io.StringIO() if screen is None else screen
    records.print_identification(answer, records.console_for(stream, width), verbose)
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits(width):
    assert max(map(len, shown(width=width, verbose=True).splitlines())) <= width


def test_the_narrowest_table_keeps_name_formula_and_probability():
    several = replace(ANSWER, matches=[match(), match(2, "UiO-66", framework="UiO-66", probability=0.04)])
    lines = shown(several, width=40).splitlines()
    assert any("Probability" in line for line in lines)
    row = next(at for at, line in enumerate(lines) if line.lstrip().startswith("2  UiO-66"))
    assert lines[row].rstrip().endswith("%")
    assert "Cu" in lines[row + 1]


@pytest.mark.parametrize("width", [80, 120])
def test_the_card_says_it_all(width):
    text = " ".join(shown(width=width).split())
    for said in (
        "HKUST-1 93 % scan.raw",
        "C₁₈H₆Cu₃O₁₂, Cu trimesate",
        "CSD FIQCEN and 29 more with the same pattern",
        "doi 10.1039/c1cc16045a",
        "a = 26.39 Å (library +0.2 %)",
        "2 of 3 strong lines found, missing 13.40°, extra 26.50°",
        "crystallites about 60 nm",
        "also there: nothing found; 90 % of the signal is explained",
        "next: nothing above 1 %",
        f"Cu K{A} 1.5418 Å (assumed: not in the file) not filtered (noise 1.2 %)",
    ):
        assert said in text
    assert "ABCDEF" not in text  # below 1 %
    assert "ABCDEF" in shown(width=width, verbose=True)


def test_what_is_empty_is_left_out():
    bare = match(doi="", refcode="", linkers=(), evidence=None, members=["salt"], id="salt", cell=(0.0,) * 6, library_cell=(0.0,) * 6)
    plain = replace(ANSWER, matches=[bare], phases=[Phase(1, "HKUST-1", 0.93, 0.9, None, "mof", bare)], noise=None, sample=Sample())
    assert shown(plain).splitlines() == [
        "HKUST-1  93 %   scan.raw",
        "  C₁₈H₆Cu₃O₁₂   entry salt",
        "  also there: nothing found; 90 % of the signal is explained",
        "  next: nothing above 1 %",
        f"  Cu K{A} 1.5418 Å (assumed: not in the file)   not filtered",
        "",
    ]


def test_candidates_worth_weighing_are_a_table():
    text = shown(replace(ANSWER, matches=[match(), match(2, "UiO-66", framework="UiO-66", id="RUBTAK_clean", probability=0.04)]))
    order = [text.index(said) for said in ("HKUST-1", "scan.raw", "CSD FIQCEN", "Similarity", "  1  HKUST-1", "  2  UiO-66", "1.5418")]
    assert order == sorted(order)
    assert "next" not in text


def test_forms_of_one_framework_are_one_row():
    forms = [
        match(1, "MIL-53(Fe)", framework="MIL-53(Fe)", probability=0.5),
        match(2, "MIL-88B", framework="MIL-88B", probability=0.2),
        match(3, "MIL-53(Fe)", framework="MIL-53(Fe)", id="GUXYAB_clean", probability=0.1),
    ]
    rows = card.rows(replace(ANSWER, headline=(("MIL-53(Fe)", 0.7),)), forms)
    assert [(row.name, row.probability, len(row.forms)) for row in rows] == [("MIL-53(Fe)", 0.7, 2), ("MIL-88B", 0.2, 1)]  # 0.1 of forms not listed
    text = shown(replace(ANSWER, headline=(("MIL-53(Fe)", 0.7),), matches=forms))
    assert "forms: FIQCEN 50 %, GUXYAB 10 %" in " ".join(text.split())
    assert re.findall(r"(?m)^ *(\d)  (\S+) ", text) == [("1", "MIL-53(Fe)"), ("2", "MIL-88B")]


def test_an_unknown_says_what_is_known():
    closest = match(evidence=Evidence(0.4, [(1, 1, 1, 8.0, 90.0)], [(2, 0, 0, 9.3, 50.0)] * 3, [12.0, 13.0]), probability=0.002)
    reasons = (note("nothing_fits", closest="HKUST-1", lines=14),)
    text = shown(replace(ANSWER, verdict="unknown", reasons=reasons, headline=(("HKUST-1", 0.002),), phases=[], matches=[closest]), 160)
    assert text.startswith("UNKNOWN   scan.raw\n")
    assert (
        "No framework of the library fits its 14 lines; the closest is HKUST-1, which lacks 3 strong lines and does not explain 2 lines of the scan"
        in text
    )
    assert "Candidate" not in text


def test_a_second_phase_stands_apart_with_its_shares():
    text = " ".join(shown(mixture(), width=120).split())
    assert "also there: MIL-101 80 % CSD OCUNAC" in text
    assert "share of the signal: HKUST-1 70 %; MIL-101 21 %" in text
    assert "share by weight: roughly HKUST-1 80 %; MIL-101 20 % (from intensities; texture and guests make this rough)" in text


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "CSD FIQCEN and 29 more with the same pattern"),
        ({"members": ["FIQCEN_clean"]}, "CSD FIQCEN"),
        ({"id": "MIL-53~b11.44", "refcode": "", "members": ["x"]}, "calculated form with b = 11.44 Å"),
        ({"id": "cm1008587_si_003_clean", "refcode": "", "members": ["x", "y"]}, "2 entries with this pattern"),
        ({"id": "cm1008587_si_003_clean", "refcode": "", "members": ["x"]}, ""),
        ({"id": "cm1008587_si_003_clean", "refcode": "", "doi": "", "members": ["x"]}, "entry cm1008587_si_003"),
    ],
)
def test_entries_are_told_without_the_endings_of_files(changes, wanted):
    assert card.entry_text(match(**changes)) == wanted


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_parts_flow_into_lines(width):
    parts = ["a" * 30, "b" * 20, "c" * 60, "d"]
    lines = terminal_table.flowed(parts, width)
    assert "   ".join(lines).split() == parts
    assert all(len(line) <= width or line in parts for line in lines)
    assert all(len(one) + 3 + len(after.split("   ")[0]) > width for one, after in itertools.pairwise(lines))


def test_colours_and_bars_only_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    several = replace(ANSWER, matches=[match(), match(2, "UiO-66", framework="UiO-66", probability=0.04)])
    assert "\x1b[" in shown(several, screen=Screen())
    assert "█" in shown(several, screen=Screen())
    assert not set("\x1b█─") & set(shown(several))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in shown(screen=Screen())


def test_square_brackets_in_names_are_no_markup():
    name = "[Cu(bdc)] [bold]x[/bold]"
    odd = Identification("odd[1].xy", "unknown", (note("nothing_fits", closest=name),), ((name, 0.1),), matches=[match(name=name)])
    assert shown(odd, width=120).count(name) == 2  # in the reason and in the table
    assert "odd[1].xy" in shown(error_result("odd[1].xy", "x"))


def test_verbose_lists_the_evidence_and_abbreviates():
    text = shown(verbose=True, width=100)
    for said in ("(2 2 2) 11.60°, (2 2 0) 9.50°", "missing   (4 0 0) 13.40°", "extra     26.50°", "M7 and 22 more", "90 % of the signal"):
        assert said in text


def test_an_error_has_no_table():
    text = shown(error_result("bad.xy", "bad.xy: is empty"))
    assert text.split() == ["ERROR", "bad.xy", "is", "empty"]


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [("C18 H6 Cu3 O12", "C₁₈H₆Cu₃O₁₂"), ("Zn", "Zn"), ("C2.5 H10", "C₂.₅H₁₀"), ("", ""), ("C180 H180 Co3 N18 O116 Ru24", "C₁₈₀H₁₈₀Co₃N₁₈O₁₁₆\nRu₂₄")],
)
def test_formulas_have_subscripts(formula, wanted):
    assert phrases.formula_text(formula) == wanted
    assert phrases.formula_text(formula, subscripts=False).replace("\n", "") == formula.replace(" ", "")


#: An example of every code with its sentence.
SENTENCES = [
    (note("error", message="a.xy: is {empty}"), "a.xy: is {empty}"),
    (
        note("range_too_short", span=5.04, start=2.0, stop=50.0, needed=8.0),
        "The scan covers 5.0° between 2° and 50° (Cu scale); at least 8° are needed",
    ),
    (note("too_few_lines", lines=0, needed=2), "No peak above the noise; at least 2 are needed. Amorphous, empty, or counted too briefly"),
    (note("too_few_lines", lines=1, needed=2), "Only 1 peak above the noise; at least 2 are needed. Amorphous, empty, or counted too briefly"),
    (
        note("too_few_lines_to_name", lines=2, closest="ZIF-8"),
        "Only 2 peaks above the noise, too few to name a framework; the closest is ZIF-8",
    ),
    (note("nothing_fits", closest="ZIF-8", lines=14), "No framework of the library fits its 14 lines; the closest is ZIF-8"),
    (note("fits", name="ZIF-8"), "ZIF-8 fits, and no other framework comes close"),
    (note("classifier"), "This model always picks one of its labels; it cannot say unknown"),
    (
        note("ambiguous", options=("ZIF-8", "ZIF-67")),
        "ZIF-8 or ZIF-67: this scan cannot tell them apart; a longer or sharper scan, or the composition (EDX, ICP), may",
    ),
    (note("second_phase", name="ZIF-8", share=0.214), "ZIF-8 explains a further 21 % of the signal: a mixture"),
    (note("undecided_metal", options=("A", "B", "C", "D"), same_pattern=True), "A or B or C or D: same pattern; EDX or ICP decides"),
    (note("undecided_metal", options=tuple("ABCDE"), same_pattern=False), "A or B or C or 2 more: too alike for this scan; EDX or ICP decides"),
    (
        note("undecided_metal_and_linker", options=("A", "B"), same_pattern=True),
        "A or B: same pattern; EDX or ICP decides on the metal, NMR or IR on the linker",
    ),
    (
        note("undecided_linker", options=("A", "B"), same_pattern=True, elements=("N", "S")),
        "A or B: same pattern and metal; elemental analysis (N, S), NMR or IR decides",
    ),
    (
        note("undecided_linker", options=("A", "B"), same_pattern=True, elements=()),
        "A or B: same pattern and metal; NMR of the digested solid, IR or TGA decides",
    ),
    (note("wavelength_assumed", wavelength=1.5418), f"Cu K{A} assumed: not in the file. Change with --wavelength"),
    (note("few_counts", weakest=0.21), "Few counts: peaks below 21 % of the strongest are lost in noise. A longer scan would show more"),
    (note("halo", two_theta=22.4), "Broad halo near 22° (Cu scale): solvent, a capillary or amorphous material. It hides weak peaks"),
    (note("high_background"), "High, flat background: fluorescence (Co, Fe or Mn under Cu radiation?) or the holder. It hides weak peaks"),
    (
        note("strongest_line_cut_off", start=10.0, name="MOF-5", two_theta=6.84),
        "The scan starts at 10.0°; the strongest peak of MOF-5 is at 6.8°. Start lower",
    ),
    (note("broken_record"), "The last record is incomplete: the scan may still be running. Everything before it was read"),
    (note("stopped_early", points=3, planned=5), "Only 3 of 5 planned points: the scan was stopped early, or is still running"),
    (note("scan_status", status="Not finished"), "The file calls this scan 'Not finished': it may still be running"),
    (
        note("just_changed", seconds=10.0),
        "The file changed less than 10 s ago. If the scan is still running, identify it again when it is done",
    ),
    (
        note("counting_time_varies", shortest=10.0, longest=69.0),
        "The counting time varies from 10 to 69 s per step; intensities are counts as recorded",
    ),
    (
        note("attenuator", factor=10.0, weakened=29, points=60),
        "An attenuator (factor 10) weakened 29 of 60 points; their intensities are as recorded",
    ),
    (
        note("range_chosen", taken=2, why="they overlap", ranges="1: 5 to 9 deg; 2: 5 to 50 deg"),
        "The ranges cannot be joined (they overlap): the longest, number 2, was taken; --range-index chooses another, or all. "
        "1: 5 to 9 deg; 2: 5 to 50 deg",
    ),
    (
        note("first_column", column="A", others=tuple("BCDEFGHIJ")),
        "The table holds 10 samples; A was taken. --column chooses another: B, C, D, E, F, G, H, I, ...",
    ),
    (note("converted", what="theta", called="Theta (deg)", wavelength=None), "'Theta (deg)' was read as theta and converted to 2θ"),
    (note("converted", what="d-spacings", called="d", wavelength=1.5406), "'d' was read as d-spacings and converted to 2θ with 1.5406 Å"),
    (note("rows_left_out", rows=3, first="5.2 ****"), "3 rows could not be read and were left out; the first is '5.2 ****'"),
    (note("rows_left_out", rows=1, first=""), "1 row could not be read and was left out"),
    (note("uneven_steps"), "The steps of the first column change steadily, like those of d-spacings: is it really 2θ? It was taken as 2θ"),
    (
        note("odd_unit", called="1/CM"),
        "The file calls itself a diffraction pattern over 1/CM, which no diffractometer scans: taken as 2θ",
    ),
    (note("unnamed_columns", columns=6), "The table has 6 columns without names: the first two were taken as 2θ and intensity"),
    (
        note("wavelength_read_as_nm", stated=0.15406, wavelength=1.5406),
        "The file gives the wavelength 0.15406 without a unit: taken as nm, 1.5406 Å. Change with --wavelength",
    ),
    (note("drawn_from_peaks", peaks=12, fwhm=0.12), "Drawn from a list of 12 peaks, 0.12° wide: heights and widths are not those of a scan"),
    (
        note("wavelength_in_name", told="CoKa1"),
        "The file's name says CoKa1; the file itself gives no wavelength. If the name is right, add --wavelength CoKa1",
    ),
    (
        note("other_anode_fits", anode="Mo", name="MOF-5", probability=0.97),
        "Nothing fits with copper radiation, but MOF-5 would with Mo. If it was Mo, add --wavelength Mo",
    ),
    (
        note("doubtful_structure", name="SIFSIX-3-Zn", reason="the anions carry at most 0 charges per cell, but the metals need 2"),
        "The library's structure SIFSIX-3-Zn is doubtful: the anions carry at most 0 charges per cell, but the metals need 2",
    ),
    (
        note("metal_exchanged", name="MIL-101(Cr)", held=("Cr",), wanted=("Fe", "V")),
        "framework of MIL-101(Cr); the library has no Fe or V form, so line heights are those of Cr",
    ),
    (
        note("isotypes", name="magnesite, MgCO3", type="calcite", compounds=("ZnCO3", "CoCO3", "NiCO3")),
        "magnesite, MgCO3 is of the calcite type; ZnCO3, CoCO3 and NiCO3 have nearly the same cell: EDX or ICP decides",
    ),
    (
        note("isotypes", name="halite, NaCl", type="rock salt", compounds=("AgCl",)),
        "halite, NaCl is of the rock salt type; AgCl has nearly the same cell: EDX or ICP decides",
    ),
    (
        note(
            "isotypes",
            name="magnetite, Fe3O4",
            type="spinel",
            compounds=("CoFe2O4", "FeCr2O4", "MgFe2O4", "CuFe2O4", "Co3O4", "NiFe2O4", "MgCr2O4"),
        ),
        "magnetite, Fe3O4 is of the spinel type; CoFe2O4, FeCr2O4, MgFe2O4, CuFe2O4, Co3O4 and 2 more have nearly the same cell: EDX or ICP decides",
    ),
    (
        note("one_spacing", lines=4, closest="ZIF-8"),
        "Its 4 peaks are orders of one spacing, too little to name a framework; the closest is ZIF-8",
    ),
    (note("form_open", name="MIL-53(Al)"), "MIL-53(Al) fits; which of its forms is not decided"),
    (note("undecided_form", name="MIL-53(Al)", options=("A", "B")), "MIL-53(Al): the scan does not tell which form"),
    (
        note("composition", name="Fe terephthalate", options=("MIL-53(Fe)", "MIL-88B")),
        "Fe terephthalate: MIL-53(Fe) or MIL-88B; this scan does not tell which",
    ),
    (note("composition", name="Fe terephthalate", options=("MIL-53(Fe)",)), "Fe terephthalate; the framework is not decided"),
    (note("accepted", names=("HKUST-1",), left=0.31), "HKUST-1 accepted as there; 31 % of the signal is left to explain"),
    # What check says
    (note("expected_there", names=("UiO-66",), explained=0.98), "UiO-66 explains 98 % of the signal"),
    (note("expected_there", names=("UiO-66", "ZIF-8"), explained=0.98), "UiO-66 and ZIF-8 explain 98 % of the signal"),
    (
        note("nothing_else", limit=4.2),
        "nothing else is seen; a second phase whose strongest peak is below 4.2 % of this scan's would not be",
    ),
    (note("nothing_else_visible"), "nothing else is seen, but the peaks lie so close that even a large second phase could hide"),
    (note("further_lines", lines=2, height=12.0), "2 further peaks, up to 12 % of the strongest"),
    (note("expected_absent", name="UiO-66", like="ZIF-8"), "UiO-66 is not there; the scan looks like ZIF-8"),
    (note("expected_unclear", name="UiO-66", probability=0.55, like=""), "UiO-66 may be there (55 %), but the scan does not decide"),
    (note("lines_missing", lines=3, angles=(7.4, 8.5, 12.0)), "3 strong peaks are missing (7.40°, 8.50°, 12.00°)"),
    (
        note("missing_texture", zone="(h k 0)", lines=3),
        "All missing peaks are (h k 0): the crystals lie flat (texture). Rotate the sample or fill it from the back",
    ),
    (
        note("missing_guests", below=9.0, lines=3),
        "All missing peaks are below 9°, where the pores' contents count most: solvent or other guests",
    ),
    (note("missing_width", fwhm=0.5, lines=3), "Peaks are 0.5° wide, and neighbours run together"),
    (note("cell_differs", name="MIL-53(Fe)", change=0.031), "The cell volume of MIL-53(Fe) is 3.1 % larger than the reference"),
    (note("another_form", name="MIL-53(Fe)", form="closed"), "The pattern is that of another form of MIL-53(Fe), closed"),
    (note("filter_off"), "not filtered: the filter is switched off"),
    (note("filter_flat"), "not filtered: the scan is flat"),
    (note("filter_no_noise"), "not filtered: the scan has no noise"),
    (note("filter_not_needed", noise=0.005, limit=0.01), "not filtered: noise is 0.5 % of the strongest peak, below 1 %"),
    (note("filter_applied", noise=0.04, fwhm=0.151), "filtered: noise is 4 % of the strongest peak; peaks of 0.15° keep their shape"),
    (note("paper_filter_not_needed", criterion=0.5, limit=1.0), "not filtered: the paper's criterion is 0.50, not above 1"),
    (note("paper_filter_applied", criterion=1.5, limit=1.0, bins=200), "filtered: the paper's criterion is 1.50, above 1; 200 Fourier bins kept"),
]


@pytest.mark.parametrize(("given", "said"), SENTENCES)
def test_codes_have_sentences(given, said):
    assert phrases.sentence(given) == said


def codes_in_use():
    """(code, names of its values) of every note that the package makes."""
    for path in Path(phrases.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("note", "noted"):
                names = frozenset(keyword.arg for keyword in node.keywords)
                code = node.args[node.func.id == "noted"]
                yield from ((part.value, names) for part in ast.walk(code) if isinstance(part, ast.Constant) and isinstance(part.value, str))


def test_no_code_is_without_a_sentence_or_without_use():
    assert {(given.code, frozenset(dict(given.values))) for given, _ in SENTENCES} == set(codes_in_use())
    with pytest.raises(KeyError):
        phrases.sentence(note("no_such_code"))


@pytest.mark.parametrize(("value", "said"), [(0.0, "<1 %"), (0.004, "<1 %"), (0.01, "1 %"), (0.5, "50 %"), (0.994, "99 %"), (1.0, ">99 %")])
def test_probabilities_claim_no_certainty(value, said):
    assert phrases.percent(value) == said


def test_bars_grow_with_the_share():
    assert terminal_table.bar_text(0.0) == ""
    assert terminal_table.bar_text(1.0) == "█" * terminal_table.BAR
    assert terminal_table.bar_text(2.0) == "█" * terminal_table.BAR
    assert [len(terminal_table.bar_text(share)) for share in np.linspace(0, 1, 33)] == sorted(
        len(terminal_table.bar_text(share)) for share in np.linspace(0, 1, 33)
    )


@pytest.mark.parametrize(
    ("wavelength", "name"),
    [(1.540593, f"Cu K{A}1"), (1.540598, f"Cu K{A}1"), (1.54184, f"Cu K{A}"), (1.5418, f"Cu K{A}"), (0.7107, f"Mo K{A}"), (0.4, ""), (1.6, "")],
)
def test_wavelengths_have_names(wavelength, name):
    assert phrases.line_name(wavelength) == name


def test_json_is_one_line_of_plain_values():
    odd = Identification("ä\n.xy", "unknown", noise=float("nan"), matches=[match(similarity=float("inf"))])
    line = records.json_line(odd)
    assert "\n" not in line
    assert line.isascii()
    data = json.loads(line)
    assert data["file"] == "ä\n.xy"
    assert data["noise"] is None
    assert data["matches"][0]["similarity"] is None
    assert "evidence" not in data["matches"][0]


def test_json_gives_codes_beside_the_words():
    either = note("undecided_metal", options=("A", "B"), same_pattern=False)
    second = note("second_phase", name="MIL-101", share=0.2)
    given = replace(
        ANSWER, reasons=(either, second), notes=[note("high_background"), note("just_changed", seconds=60.0)], matches=[match(undecided=either)]
    )
    data = json.loads(records.json_line(given, evidence=True))
    assert (data["name"], data["probability"]) == ("HKUST-1", 0.93)
    assert data["reason_code"] == "undecided_metal"
    assert data["reason"] == "A or B: too alike for this scan; EDX or ICP decides; MIL-101 explains a further 20 % of the signal: a mixture"
    assert [one["code"] for one in data["notes"]] == ["high_background", "just_changed"]
    assert all(set(one) == {"code", "text"} for one in data["notes"])
    assert data["notes"][1]["text"].startswith("The file changed less than 60 s ago")
    assert data["filter_reason"] == "not filtered: the filter is switched off"
    assert data["matches"][0]["note"] == "A or B: too alike for this scan; EDX or ICP decides"
    assert data["matches"][0]["evidence"]["extra"] == [26.5]
    assert not {"reasons", "headline", "pattern", "measured", "open_questions"} & set(data)
    assert not {"undecided", "lines"} & set(data["matches"][0])


def mixture():
    given = {"id": "OCUNAC_clean", "refcode": "OCUNAC", "framework": "MIL-101", "members": ["OCUNAC_clean"]}
    second = match(1, "MIL-101", phase=2, share=0.21, probability=0.8, **given)
    phases = [Phase(1, "HKUST-1", 0.93, 0.7, 0.8, "mof", match()), Phase(2, "MIL-101", 0.8, 0.21, 0.2, "mof", second)]
    return replace(ANSWER, phases=phases, second_matches=[second])


def test_csv_has_a_row_a_phase_and_the_closest_match_where_nothing_is_named():
    stream = io.StringIO()
    write = records.writer("csv", stream)
    write(mixture())
    write(replace(ANSWER, verdict="unknown", phases=[]))
    write(replace(ANSWER, phases=[], matches=[]))
    one, two, closest, none = csv.DictReader(stream.getvalue().splitlines())
    told = [(row["name"], row["phase"], row["phase_name"], row["share"], row["weight_share"], row["id"]) for row in (one, two)]
    assert told == [("HKUST-1", "1", "HKUST-1", "0.7", "0.8", "FIQCEN_clean"), ("HKUST-1", "2", "MIL-101", "0.21", "0.2", "OCUNAC_clean")]
    assert (closest["phase"], closest["id"]) == ("", "FIQCEN_clean")
    assert (none["file"], none["phase"], none["share"], none["id"]) == (one["file"], "", "", "")


def test_what_may_be_a_second_phase_is_said_with_its_odds():
    perhaps = [match(1, "MIL-101", phase=2, probability=0.3), match(2, "ZIF-8", phase=2, probability=0.02)]
    assert "  perhaps also there: MIL-101 30 %\n" in shown(replace(ANSWER, second_matches=perhaps), 80)
    assert "perhaps" not in shown(replace(ANSWER, phases=[], second_matches=perhaps), 80)
    assert "perhaps" not in shown(replace(ANSWER, second_matches=perhaps[1:]), 80)


def test_json_has_phases_and_what_is_not_decided():
    metal = note("undecided_metal", options=("HKUST-1 (Cu)", "HKUST-1(Zn)"), same_pattern=True)
    linker = note("undecided_linker", options=("A", "B"), same_pattern=True, elements=("S",))
    both = note("undecided_metal_and_linker", options=("A", "B"), same_pattern=True)
    form = note("undecided_form", name="MIL-53", options=("ABCDEF", "GHIJKL"))
    types = note("isotypes", name="magnesite", type="calcite", compounds=("ZnCO3",))
    data = json.loads(records.json_line(replace(mixture(), level="form", open_questions=(metal, linker, both, form, types))))
    assert data["level"] == "form"
    assert [(phase["phase"], phase["name"], phase["match"]["id"]) for phase in data["phases"]] == [
        (1, "HKUST-1", "FIQCEN_clean"),
        (2, "MIL-101", "OCUNAC_clean"),
    ]
    assert [match["name"] for match in data["second_matches"]] == ["MIL-101"]
    assert data["not_decided"] == [
        {"what": "metal", "options": ["HKUST-1 (Cu)", "HKUST-1(Zn)"], "decided_by": "EDX or ICP"},
        {"what": "linker", "options": ["A", "B"], "decided_by": "elemental analysis (S), NMR or IR"},
        {"what": "metal and linker", "options": ["A", "B"], "decided_by": "EDX or ICP on the metal, NMR or IR on the linker"},
        {"what": "form", "options": ["ABCDEF", "GHIJKL"], "decided_by": "a longer or sharper scan of the dry sample"},
        {"what": "metal", "options": ["magnesite", "ZnCO3"], "decided_by": "EDX or ICP"},
    ]
    unknown = json.loads(records.json_line(replace(ANSWER, verdict="unknown", phases=[])))
    assert (unknown["level"], unknown["phases"], unknown["not_decided"]) == (None, [], [])


def test_summary_counts_verdicts():
    assert records.summary(["match", "error", "match"]) == "3 files: 2 match, 1 error"
    assert records.summary(["unknown"]) == "1 file: 1 unknown"


def test_what_cannot_be_decided_is_said():
    either = note("undecided_metal", options=("HKUST-1 (Cu)", "HKUST-1(Zn)"), same_pattern=True)
    undecided = replace(ANSWER, reasons=(either,), open_questions=(either,))
    text = " ".join(shown(undecided, width=120).split())
    assert text.count("not decided: HKUST-1 (Cu) or HKUST-1(Zn): same pattern; EDX or ICP decides") == 1
    assert "decided" not in shown()


def test_the_title_names_what_the_answer_names():
    alone, either = (("HKUST-1", 0.55),), (("HKUST-1", 0.55), ("UiO-66", 0.3))
    assert shown(replace(ANSWER, headline=alone)).startswith("HKUST-1  55 %   scan.raw\n")
    assert shown(replace(ANSWER, verdict="ambiguous", headline=either)).startswith("HKUST-1 55 % or UiO-66 30 %   scan.raw\n")
    assert shown(replace(ANSWER, verdict="unknown", headline=alone)).startswith("UNKNOWN   scan.raw\n")


def test_a_long_file_name_gets_its_own_line_and_stays_whole():
    name = "a/very/long/folder/" * 5 + "scan.raw"
    lines = shown(replace(ANSWER, file=name)).splitlines()
    assert lines[0] == "HKUST-1  93 %"
    assert lines[1].strip() == name


@pytest.fixture(scope="module")
def answer(tiny_model, library):
    return Identifier(tiny_model, "cpu").identify(made.scan(library, 1), file="scan.xy")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_gets_a_plot_with_the_lines_marked(answer, width, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    records.print_identification(answer, records.console_for(screen, width), plot=4)
    text = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert max(map(len, text.splitlines())) <= width
    assert "▁" in text
    assert "10°" in text
    assert "| found" in text
    dumb, small = Screen(), Screen()
    monkeypatch.setenv("TERM", "dumb")
    records.print_identification(answer, records.console_for(dumb, width), plot=4)
    monkeypatch.setenv("TERM", "xterm-256color")
    records.print_identification(answer, records.console_for(small, 40), plot=4)
    assert "10°" not in dumb.getvalue() + small.getvalue() + shown(answer)


def test_a_file_or_pipe_gets_no_plot(answer):
    stream = io.StringIO()
    records.writer("table", stream, plot=4)(answer)
    assert not set("\x1b▁▂▃▄▅▆▇█|") & set(stream.getvalue())


def test_the_plot_stands_where_the_lines_are(answer):
    drawn = sketch(answer, 76, 4)
    scan, best = answer.measured, answer.matches[0]
    assert [len(row) for row in drawn.rows] == [76] * 4
    assert len(drawn.axis) == 76
    strongest = float(best.lines.observed[best.lines.intensity.argmax()])
    column = int((strongest - scan.two_theta[0]) / (scan.two_theta[-1] - scan.two_theta[0]) * 76)
    assert drawn.rows[0][column] != " "
    assert drawn.marks[column] == "found"
    assert drawn.under[column] == "|"
    assert drawn.marks.count("found") <= len(best.evidence.matched)
    assert sketch(error_result("x", "y"), 76, 4) is None


def test_missing_and_extra_lines_win_their_column(answer):
    best = answer.matches[0]
    odd = Evidence(0.5, best.evidence.matched, [(1, 1, 1, 20.0, 50.0)], [30.0])
    drawn = sketch(replace(answer, phases=[replace(answer.phases[0], match=replace(best, evidence=odd))]), 76, 1)
    assert len(drawn.rows) == 1
    assert drawn.under.count("x") == 1
    assert drawn.under.count("?") == 1
    assert drawn.under.index("x") < drawn.under.index("?")
