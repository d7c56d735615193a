"""Scans over simulated patterns: whose each line is, what the figure shows, and the command."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need the plot extra")

from cifs import SALT

import xrdmatch
from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.radiation import CU_K_ALPHA, convert_two_theta, inverse_d_squared, reciprocal_metric, two_theta
from xrdmatch.errors import LibraryError, StructureError, XrdMatchError
from xrdmatch.library.named_reference import named_reference
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.report.figure_style import PURPLE
from xrdmatch.report.stack_figure import MOST, REFERENCES, StackOptions, stack_figure
from xrdmatch.search.claimed_lines import EXTRA, claimed_lines

CU = CU_K_ALPHA


def with_line(pattern, angle, height):
    """The scan with one more line."""
    return pattern.with_intensity(pattern.intensity + height * np.exp(-4.0 * np.log(2.0) * ((pattern.two_theta - angle) / 0.15) ** 2))


@pytest.fixture(scope="module")
def few(library):
    """The made-up structures with fourteen lines each, of about one height: as clear as those of a real cubic framework."""
    rng, entries = np.random.default_rng(8), []
    for entry in map(library.entry, range(len(library))):
        kept = np.sort(rng.choice(len(entry.hkl), 14, replace=False))
        squared = inverse_d_squared(entry.hkl[kept], reciprocal_metric(entry.cell))
        entries.append(replace(entry, hkl=entry.hkl[kept], intensity=squared * rng.uniform(0.3, 1.0, 14)))
    return Library.from_entries(entries)


@pytest.fixture
def references(few):
    return [named_reference(text, lambda: few) for text in ("HKUST-1", "UiO-66")]


@pytest.fixture
def cif(tmp_path):
    path = tmp_path / "salt.cif"
    path.write_text(SALT.format(name="salt"))
    return path


def curves(figure):
    """Label and angles, heights of each pattern, from the bottom to the top."""
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    return [(text.get_text(), line) for text, line in zip(axes.texts, lines, strict=True)]


def marks(figure, marker):
    return [(float(line.get_xdata()[0]), line.get_color()) for line in figure.axes[0].lines if line.get_marker() == marker and len(line.get_xdata())]


class TestClaims:
    def test_lines_belong_to_the_reference_that_has_them(self, few):
        first, both = few.subset([0]), few.subset([0, 4])
        scan = prepare_scan(made.scan(few, 4, zero=0.05, strain=(0.004,) * 3))
        found = claimed_lines(scan, both)
        assert len(found.reference) > 3
        assert set(found.reference.tolist()) == {1}
        assert set(claimed_lines(scan, first).reference.tolist()) == {EXTRA}

    def test_a_foreign_line_is_extra(self, few):
        pattern = made.scan(few, 4)
        free = max(np.arange(6.0, 20.0, 0.01), key=lambda angle: np.abs(made.angles_of(few, 4)[0] - angle).min())
        found = claimed_lines(prepare_scan(with_line(pattern, free, 9000.0)), few.subset([4]))
        extra = found.two_theta[found.reference == EXTRA]
        assert extra == pytest.approx([free], abs=0.05)
        assert (found.reference == 0).sum() > 3

    def test_angles_are_those_of_the_scan(self, few):
        molybdenum = 0.71073
        found = claimed_lines(prepare_scan(made.scan(few, 4, wavelength=molybdenum, start=2.0, stop=25.0)), few.subset([4]))
        strongest = made.angles_of(few, 4, molybdenum)[0]
        assert np.abs(found.two_theta[:, None] - strongest).min(axis=1) == pytest.approx(np.zeros(len(found.two_theta)), abs=0.1)

    def test_no_reference_claims_nothing(self, few):
        assert set(claimed_lines(prepare_scan(made.scan(few, 4)), few.subset([])).reference.tolist()) == {EXTRA}


class TestReferences:
    def test_a_name_and_a_refcode_are_the_library_s_entry(self, few):
        for text in ("hkust 1", "AAAAAA", str(few.id[0])):
            found = named_reference(text, lambda: few)
            assert (found.source, found.label) == (few.id[0], "HKUST-1")
            assert found.pattern(Grid(5.0, 40.0, 0.02)).intensity.max() == pytest.approx(100.0)

    def test_a_file_goes_without_the_library(self, cif):
        def none():
            raise AssertionError("no library is needed")

        found = named_reference(str(cif), none)
        assert found.label == "salt"
        assert found.pattern(Grid(5.0, 120.0, 0.05)).two_theta[-1] == pytest.approx(120.0)

    def test_a_library_s_lines_end_where_it_holds_no_more(self, few):
        limited = replace(few, attrs={"d_min": 2.5})
        pattern = named_reference("HKUST-1", lambda: limited).pattern(Grid(5.0, 80.0, 0.05))
        assert pattern.two_theta[-1] <= two_theta(2.5, CU)

    def test_what_cannot_be_had_is_told(self, few, tmp_path):
        with pytest.raises(LibraryError, match=r"HKUST-1\?.*no file of this name"):
            named_reference("HKUST-11", lambda: few)
        with pytest.raises(StructureError, match=r"missing\.cif"):
            named_reference(str(tmp_path / "missing.cif"), lambda: few)
        for name in ("a", "b"):
            (tmp_path / f"{name}.cif").write_text(SALT.format(name=name))
        with pytest.raises(StructureError, match="one structure, but this holds 2"):
            named_reference(str(tmp_path), lambda: few)


class TestFigure:
    def test_references_are_at_the_bottom_and_scans_above_in_order(self, few, references):
        figure = stack_figure([("first", made.scan(few, 0)), ("second", made.scan(few, 4))], references)
        assert [label for label, _ in curves(figure)] == ["HKUST-1, simulated", "UiO-66, simulated", "first", "second"]
        feet = [line.get_ydata().min() for _, line in curves(figure)]
        tops = [line.get_ydata().max() for _, line in curves(figure)]
        assert all(foot > top for foot, top in zip(feet[1:], tops, strict=False)), "no pattern runs into another"

    def test_marks_stand_over_lines_in_the_colour_of_their_reference(self, few, references):
        scan = with_line(made.scan(few, 4), 6.9, 9000.0)
        figure = stack_figure([("a", scan)], references)
        strong = made.angles_of(few, 4)[0]
        dots = marks(figure, "o")
        assert len(dots) > 3
        assert {colour for _, colour in dots} == {REFERENCES[1]}
        assert all(np.abs(strong - angle).min() < 0.15 for angle, _ in dots)
        assert marks(figure, "D") == [(pytest.approx(6.9, abs=0.05), PURPLE)]
        said = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert said == ["line of UiO-66", "line of no reference"]
        assert not marks(stack_figure([("a", scan)], references, StackOptions(marks=False)), "D")

    def test_scans_of_other_wavelengths_lie_on_the_first_one_s_axis(self, few):
        cobalt = 1.7903
        figure = stack_figure([("Cu", made.scan(few, 4)), ("Co", made.scan(few, 4, wavelength=cobalt))])
        (_, copper), (_, other) = curves(figure)
        assert copper.get_xdata()[copper.get_ydata().argmax()] == pytest.approx(other.get_xdata()[other.get_ydata().argmax()], abs=0.05)
        assert "1.5419" in figure.axes[0].get_xlabel()
        assert other.get_xdata()[-1] == pytest.approx(float(convert_two_theta(45.0, cobalt, CU)), abs=0.05)

    def test_limits_sizes_scale_and_background(self, few, references):
        scan = made.scan(few, 4, base=5000.0)
        plain = stack_figure([("a", scan)], references, StackOptions(start=6.0, stop=20.0, size="single"))
        assert plain.axes[0].get_xlim() == (6.0, 20.0)
        assert plain.get_figwidth() == pytest.approx(82.5 / 25.4)
        seen = curves(plain)[-1][1]
        root = curves(stack_figure([("a", scan)], references, StackOptions(start=6.0, stop=20.0, scale="sqrt")))[-1][1]
        foot = 1.25 * len(references)
        assert root.get_ydata() - foot == pytest.approx(np.sqrt(seen.get_ydata() - foot))
        falling = scan.with_intensity(scan.intensity + 40000.0 * np.exp(-(scan.two_theta - 4.0) / 3.0))
        flat = curves(stack_figure([("a", falling)], (), StackOptions(flat=True)))[0][1]
        steep = curves(stack_figure([("a", falling)]))[0][1]
        assert np.median(flat.get_ydata()[:80]) < 0.2 < 0.5 < np.median(steep.get_ydata()[:80])

    def test_what_cannot_be_drawn_is_told(self, few):
        scan = made.scan(few, 4)
        with pytest.raises(XrdMatchError, match="at least one scan"):
            stack_figure([])
        with pytest.raises(XrdMatchError, match=f"too many for one figure; {MOST}"):
            stack_figure([("a", scan)] * (MOST + 1))
        with pytest.raises(XrdMatchError, match="no scan has points between 100 and 120"):
            stack_figure([("a", scan)], (), StackOptions(start=100.0, stop=120.0))

    def test_a_flat_scan_and_odd_labels_are_drawn(self, references, tmp_path):
        flat = Pattern(np.arange(5.0, 40.0, 0.05), np.full(700, 3.0), CU)
        stack_figure([("a $x_1 {" * 30, flat)], references).savefig(tmp_path / "a.png")


class TestPython:
    def test_files_patterns_and_labels(self, tiny_model, library, scans):
        path = sorted(scans.glob("*.xy"))[0]
        figure = xrdmatch.stack(
            {"mine": path, "other": made.scan(library, 1)}, ["HKUST-1"], model=tiny_model, options=xrdmatch.StackOptions(start=5.0)
        )
        assert [label for label, _ in curves(figure)] == ["HKUST-1, simulated", "mine", "other"]
        assert [label for label, _ in curves(xrdmatch.stack([path, made.scan(library, 1)]))] == [path.stem, str(library.id[1])]


class TestCommand:
    def test_a_figure_is_written_and_its_references_are_told(self, run, tiny_model, scans, cif, tmp_path):
        target = tmp_path / "stack.svg"
        code, out, err = run("stack", scans, "-r", "HKUST-1", "--reference", cif, "-o", target, "--model", tiny_model, "--label", "my scan")
        assert (code, out) == (0, "")
        assert "HKUST-1: drawn from AAAAAA_clean" in err
        assert f"{target}: 2 scans over 2 references" in err
        assert target.read_bytes().startswith(b"<?xml")

    def test_the_same_call_writes_the_same_bytes(self, run, tiny_model, scans, tmp_path):
        for name in ("a.pdf", "b.pdf"):
            assert run("stack", scans, "-r", "HKUST-1", "-o", tmp_path / name, "--model", tiny_model)[0] == 0
        assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()

    def test_a_scan_that_cannot_be_read_costs_nothing_but_itself(self, run, scans, tmp_path):
        (tmp_path / "bad.xy").write_text("no scan")
        target = tmp_path / "stack.png"
        code, _, err = run("stack", scans, tmp_path / "bad.xy", "-o", target)
        assert code == 1
        assert "bad.xy" in err
        assert target.exists()
        code, _, err = run("stack", tmp_path / "bad.xy", "-o", tmp_path / "none.png")
        assert code == 1
        assert "none could be read" in err
        assert not (tmp_path / "none.png").exists()

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (["-o", "x.doc"], "expected a picture"),
            (["-o", "x.png", "--label", "a", "--label", "b", "--label", "c"], "3 labels were given for 2 scans"),
            (["-o", "x.png", "--start", "30", "--stop", "20"], "expected the last angle above the first"),
            (["-o", "x.png", "--model", "no-such-model"], "no-such-model"),
        ],
    )
    def test_wrong_options_are_told(self, run, scans, monkeypatch, tmp_path, given, said):
        monkeypatch.chdir(tmp_path)
        code, _, err = run("stack", scans, *given)
        assert code == 2
        assert said in " ".join(err.replace("│", " ").split())
        assert not (tmp_path / "x.png").exists()

    def test_an_unknown_reference_is_told_with_the_nearest(self, run, scans, tiny_model, tmp_path):
        code, _, err = run("stack", scans, "-r", "HKUST-11", "-o", tmp_path / "x.png", "--model", tiny_model)
        assert code == 1
        assert "HKUST-1" in err
