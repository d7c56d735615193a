"""Figures: what is in them, and the files they become."""

from __future__ import annotations

import contextlib
import re
import xml.etree.ElementTree as ET

import made
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need the plot extra")

from xrdmatch.diffraction.structure import load
from xrdmatch.errors import XrdMatchError
from xrdmatch.report import figure_style, figures
from xrdmatch.search.identify import Identifier
from xrdmatch.search.result import Phase, error_result


@pytest.fixture(scope="module")
def answer(tiny_model, library):
    return Identifier(tiny_model, "cpu").identify(made.scan(library, 1), file="folder/run $1_a.xy")


@pytest.fixture(scope="module")
def salt(tmp_path_factory):
    from cifs import SALT

    path = tmp_path_factory.mktemp("cif") / "salt.cif"
    path.write_text(SALT.format(name="salt"))
    return load(path)


def texts(figure):
    return [text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text"))]


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_an_identified_scan_shows_what_was_measured_and_what_was_calculated(answer):
    top, ticks, rest = figures.identification_figure(answer).axes
    np.testing.assert_array_equal(line(top, "measured").get_ydata(), answer.measured.intensity)
    difference = answer.measured.intensity - line(top, "calculated").get_ydata()
    assert rest.lines[0].get_ydata() == pytest.approx(difference)
    drawn = np.sort([segment[0][0] for segment in ticks.collections[0].get_segments()])
    assert drawn == pytest.approx(np.sort(answer.matches[0].lines.observed))


def test_lines_have_their_indices_and_candidates_their_names(answer, library):
    said = texts(figures.identification_figure(answer))
    best = answer.matches[0]
    strong = best.lines.hkl[best.lines.intensity.argmax()].tolist()
    assert figures.hkl_text(strong) in said
    assert any(best.name in text for text in said)
    assert any("run $1_a.xy" in text for text in said)
    assert any("1.5419" in text for text in said)
    assert not any("run $1_a.xy" in text for text in texts(figures.identification_figure(answer, heading=False)))


def test_indices_stand_apart_inside_the_frame_and_the_highest_line_of_all_phases_has_its_own(answer, library, tiny_model):
    from dataclasses import replace

    mixed = made.mixed(made.scan(library, 1), made.scan(library, 3), 0.6)
    lines = [Identifier(tiny_model, "cpu").identify(made.scan(library, row)).matches[0] for row in (1, 3)]
    phases = [Phase(number, match.name, 0.9, 0.5, None, "", replace(match, evidence=None)) for number, match in enumerate(lines, 1)]
    figure = figures.identification_figure(replace(answer, measured=mixed, phases=phases))
    top = figure.axes[0]
    labels = {text.xy[0]: text.get_color() for text in top.texts}
    assert set(labels.values()) == set(figures.PHASE_LABELS)
    span = np.ptp(top.get_xlim())
    assert np.diff(sorted(labels)).min() > span / 45
    assert top.get_xlim()[0] + span / 200 < min(labels)
    assert max(labels) < top.get_xlim()[1] - span / 200
    highest = mixed.two_theta[mixed.intensity.argmax()]
    assert labels[min(labels, key=lambda angle: abs(angle - highest))] == figures.PHASE_LABELS[1]
    assert abs(min(labels, key=lambda angle: abs(angle - highest)) - highest) < 0.1
    assert f" + {phases[1].name}" in figure.get_suptitle()


def test_missing_and_extra_lines_are_marked(tiny_model, library):
    """A scan without the entry's second strongest line and with one that is not its own."""
    import dataclasses

    scan = made.scan(library, 4, start=4.0, stop=40.0)
    lines = Identifier(tiny_model, "cpu").identify(scan).matches[0].lines
    gone = lines.observed[np.argsort(-lines.intensity)[1]]
    counts = scan.intensity.copy()
    counts[np.abs(scan.two_theta - gone) < 0.6] = np.median(counts)
    lone = 2.0 + max(range(4, 36), key=lambda place: np.abs(lines.observed - place - 2.0).min())
    counts += 0.6 * counts.max() * np.exp(-(((scan.two_theta - lone) / 0.08) ** 2))
    answer = Identifier(tiny_model, "cpu").identify(scan.with_intensity(counts))
    first = next(match for match in answer.matches if match.id == library.id[4])
    named = dataclasses.replace(answer, phases=[Phase(1, first.name, 0.9, 0.9, None, "", dataclasses.replace(first, rank=1))])
    view = figures.overlay(named)
    assert min(abs(line[3] - gone) for line in view.missing) < 0.1
    assert min(abs(angle - lone) for angle in view.extra) < 0.1
    figure = figures.identification_figure(named)
    marks = {text.get_text(): text.xy[0] for text in figure.axes[0].texts if text.get_text() in "▼◆"}
    assert set(marks) == {"▼", "◆"}
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["measured", "calculated", "background", "missing line", "extra line"]


def test_what_was_not_identified_is_drawn_as_well(tiny_model, library):
    scan = made.scan(library, 0)
    flat = scan.with_intensity(np.random.default_rng(0).poisson(300.0, scan.two_theta.size))
    unusable = Identifier(tiny_model, "cpu").identify(flat, file="blank.xy")
    assert unusable.verdict == "unusable"
    figure = figures.identification_figure(unusable)
    assert len(figure.axes) == 1
    assert any("unusable" in text for text in texts(figure))
    with pytest.raises(XrdMatchError, match="no scan to draw"):
        figures.identification_figure(error_result("x.xy", "is empty"))


def test_a_square_root_axis_copes_with_negative_counts(answer):
    from dataclasses import replace

    shifted = replace(answer, measured=answer.measured.with_intensity(answer.measured.intensity - 150.0))
    figure = figures.identification_figure(shifted, scale="sqrt")
    assert figure_style.png(figure).startswith(b"\x89PNG")
    axes = figure.axes[0]
    assert axes.get_ylim()[0] == 0.0
    counts = axes.lines[0].get_ydata()
    np.testing.assert_allclose(counts, shifted.measured.intensity)
    heights = axes.transAxes.inverted().transform(axes.transData.transform(axes.lines[0].get_xydata()))[:, 1]
    assert (counts < 0).any()
    np.testing.assert_allclose(heights[counts < 0], 0.0, atol=1e-9)  # on the axis, not lost
    np.testing.assert_allclose(heights[counts >= 0], np.sqrt(counts[counts >= 0] / axes.get_ylim()[1]), atol=1e-9)


@pytest.mark.parametrize("size", ["single", "double"])
def test_figures_have_the_width_of_a_column(answer, size, tmp_path):
    figure = figures.identification_figure(answer, size)
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(figure_style.WIDTHS[size])
    figure_style.save(figure, tmp_path / "a.svg")
    width = ET.parse(tmp_path / "a.svg").getroot().get("width")
    assert float(width.removesuffix("pt")) / 72 * 25.4 == pytest.approx(figure_style.WIDTHS[size], abs=0.1)
    with pytest.raises(ValueError, match="single, double"):
        figures.identification_figure(answer, "triple")


def test_pdf_fonts_are_embedded_and_no_file_refers_to_others(answer, tmp_path):
    figure_style.save(figures.identification_figure(answer), tmp_path / "a.pdf")
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    figure_style.save(figures.identification_figure(answer), tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert "<text" not in svg
    assert "<image" not in svg
    links = set(re.findall(r'href="([^"]*)"', svg))
    assert all(link.startswith("#") for link in links)


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_the_same_call_writes_the_same_bytes(answer, tmp_path, suffix):
    for name in ("a", "b"):
        figure_style.save(figures.identification_figure(answer), tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_several_figures_become_pages(answer, tmp_path):
    with figure_style.Book(tmp_path / "all.pdf") as book:
        for _ in range(3):
            book.add(figures.identification_figure(answer))
    assert len(re.findall(rb"/Type /Page\b", (tmp_path / "all.pdf").read_bytes())) == 3
    book = figure_style.Book(tmp_path / "all.svg")
    book.add(figures.identification_figure(answer))
    with pytest.raises(XrdMatchError, match=r"holds one picture; write a \.pdf"):
        book.add(figures.identification_figure(answer))
    book.close(keep=False)
    assert [path.name for path in tmp_path.iterdir()] == ["all.pdf"]


def test_files_appear_whole_or_not_at_all(answer, tmp_path):
    with contextlib.suppress(RuntimeError), figure_style.Book(tmp_path / "a.pdf") as book:
        book.add(figures.identification_figure(answer))
        raise RuntimeError
    with figure_style.Book(tmp_path / "b.pdf"):
        pass  # nothing came
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(XrdMatchError, match="cannot be written"):
        figure_style.Book(tmp_path / "absent" / "a.pdf")
    (tmp_path / "folder.pdf").mkdir()
    with pytest.raises(XrdMatchError, match="cannot be written"):
        figure_style.Book(tmp_path / "folder.pdf")
    with pytest.raises(XrdMatchError, match=r"can draw \.pdf \.svg \.png, got the suffix '\.tif'"):
        figure_style.Book(tmp_path / "a.tif")


def test_the_users_own_settings_stay_as_they_are(answer):
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.identification_figure(answer)
    assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch, answer):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(XrdMatchError, match=r'pip install matplotlib, .*: pip install "\.\[plot\]"'):
        figures.identification_figure(answer)


def test_indices_are_written_as_crystallographers_do():
    assert figures.hkl_text((2, 2, 0)) == "220"
    assert figures.hkl_text((1, -2, 0)) == r"1$\overline{2}$0"
    assert figures.hkl_text((12, 0, 4)) == "12 0 4"


def test_long_names_lose_their_middle():
    assert figures.shortened("a" * 40 + "end.xy", 20) == "a" * 9 + "…" + "aaaaend.xy"
    assert figures.shortened("short.xy", 20) == "short.xy"
    assert "\n" not in figures.shortened("two\nlines", 20)


def test_a_simulated_pattern_has_its_lines(salt):
    from xrdmatch.diffraction.pattern import Grid
    from xrdmatch.diffraction.structure_factors import simulate_pattern

    pattern = simulate_pattern(salt, Grid(20.0, 60.0, 0.02, 1.540593))
    lines = figures.simulated_lines(salt, pattern)
    assert lines.hkl.tolist() == [[1, 1, 1], [2, 0, 0], [2, 2, 0], [3, 1, 1], [2, 2, 2]]
    assert lines.observed == pytest.approx([27.37, 31.70, 45.45, 53.87, 56.48], abs=0.02)
    assert lines.intensity.max() == 100.0
    said = texts(figures.structure_figure(salt, pattern))
    assert "200" in said
    assert any("salt" in text for text in said)


def test_learning_curves(tmp_path):
    log = tmp_path / "training.csv"
    log.write_text("epoch,loss,val_loss,val_top1,val_top5,seconds\n1,3.0,2.5,0.1,0.4,9\n2,2.0,1.5,0.5,0.9,9\n")
    left, right = figures.curves_figure(figures.read_log(log)).axes
    assert [line.get_label() for line in left.lines] == ["training", "validation"]
    assert left.lines[1].get_ydata().tolist() == [2.5, 1.5]
    assert [line.get_label() for line in right.lines] == ["top-1", "top-5"]
    steps = [{"step": 250.0, "seconds": 3.0, "loss": 4.0, "recall@1": 0.2, "recall@5": 0.3}]
    left, right = figures.curves_figure(steps).axes
    assert left.get_xlabel() == "step"
    assert [line.get_label() for line in right.lines] == ["recall@1", "recall@5"]
    with pytest.raises(ValueError, match="no rows"):
        figures.curves_figure([])
    log.write_text("epoch,loss\n1,many\n")
    with pytest.raises(XrdMatchError, match="training log"):
        figures.read_log(log)
