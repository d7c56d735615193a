"""Files to go on with in a refinement program."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import gemmi
import made
import numpy as np
import pytest

import xrdmatch
from xrdmatch.diffraction.radiation import CU_K_ALPHA, inverse_d_squared, reciprocal_metric
from xrdmatch.errors import XrdMatchError
from xrdmatch.report import refinement_files
from xrdmatch.report.calculated_pattern import overlay
from xrdmatch.search.identify import Identifier
from xrdmatch.search.result import error_result

MO = 0.71073


@pytest.fixture(scope="module")
def identifier(tiny_model):
    return Identifier(tiny_model, "cpu")


@pytest.fixture(scope="module")
def answer(identifier, library):
    return identifier.identify(made.scan(library, 1, zero=0.06, strain=(0.004, 0.004, 0.004)), file="folder/run.raw")


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_lines_are_indexed_on_the_cell_that_is_given(answer, tmp_path):
    refinement_files.export(answer, tmp_path, "run")
    cell = gemmi.cif.read(str(tmp_path / "run.cell.cif")).sole_block()
    edges = [float(cell.find_value(f"_cell_length_{axis}")) for axis in "abc"]
    angles = [float(cell.find_value(f"_cell_angle_{angle}")) for angle in ("alpha", "beta", "gamma")]
    assert edges == pytest.approx([17.0 * 1.004] * 3, rel=2e-3)
    assert float(cell.find_value("_diffrn_radiation_wavelength")) == pytest.approx(CU_K_ALPHA, abs=1e-6)
    assert cell.find_value("_chemical_formula_sum") == "'C8 H10 N4 Zn'"
    group = gemmi.find_spacegroup_by_name(gemmi.cif.as_string(cell.find_value("_space_group_name_H-M_alt")))
    assert group.xhm() == answer.matches[0].lines.space_group
    assert group.crystal_system() == gemmi.CrystalSystem.Cubic
    lines = rows(tmp_path / "run.lines.csv")
    assert list(lines[0]) == list(refinement_files.LINE_FIELDS)
    hkl = np.array([[int(line[name]) for name in "hkl"] for line in lines])
    d = 1.0 / np.sqrt(inverse_d_squared(hkl, reciprocal_metric([*edges, *angles])))
    assert [float(line["d_angstrom"]) for line in lines] == pytest.approx(d, rel=1e-5)
    bragg = np.degrees(2.0 * np.arcsin(CU_K_ALPHA / (2.0 * d)))
    assert [float(line["two_theta_deg"]) for line in lines] == pytest.approx(bragg, abs=1e-3)
    moved = [float(line["two_theta_scan_deg"]) - float(line["two_theta_deg"]) for line in lines]
    assert moved == pytest.approx([answer.matches[0].shift] * len(lines), abs=1e-3)
    assert max(float(line["intensity_percent"]) for line in lines) == 100.0
    assert {line["id"] for line in lines} == {answer.matches[0].id}
    assert {line["state"] for line in lines} <= {"found", "missing", ""}


@pytest.mark.parametrize("wavelength", [CU_K_ALPHA, MO])
def test_peaks_lie_where_the_scan_has_its_lines(identifier, library, wavelength, tmp_path):
    scan = made.scan(library, 4, wavelength=wavelength, start=3.0, stop=40.0)
    result = identifier.identify(scan)
    peaks = refinement_files.find_peaks(scan, overlay(result), overlay(result).phases)
    true = np.sort(made.angles_of(library, 4, wavelength)[0])
    for peak in peaks:
        if np.sum(np.abs(true - peak.angle) < 0.25) == 1:  # apart from the others
            assert np.abs(true - peak.angle).min() < 0.02
    assert len(peaks) > 4
    assert max(peak.height for peak in peaks) == pytest.approx(scan.intensity.max() - np.median(scan.intensity), rel=0.1)
    owned = [peak for peak in peaks if peak.line is not None]
    assert len(owned) > 0.8 * len(peaks)
    assert all(abs(peak.line[3] - peak.angle) < 0.2 for peak in owned)


def test_a_stranger_among_the_peaks_has_no_index(identifier, library, tmp_path):
    scan = made.scan(library, 1)
    lines = identifier.identify(scan).matches[0].lines
    lone = max(range(6, 40), key=lambda place: np.abs(lines.observed - place).min())
    counts = scan.intensity + 0.5 * scan.intensity.max() * np.exp(-(((scan.two_theta - lone) / 0.08) ** 2))
    result = identifier.identify(scan.with_intensity(counts))
    refinement_files.export(result, tmp_path, "x")
    near = [row for row in rows(tmp_path / "x.peaks.csv") if abs(float(row["two_theta_deg"]) - lone) < 0.05]
    assert [(row["phase"], row["h"]) for row in near] == [("", "")]


def test_the_scan_is_written_as_it_was_measured(answer, tmp_path):
    refinement_files.export(answer, tmp_path, "run")
    values = np.loadtxt(tmp_path / "run.xye")
    assert values[:, 0] == pytest.approx(answer.measured.two_theta, abs=1e-5)
    assert values[:, 1] == pytest.approx(answer.measured.intensity)
    assert values[:, 2] == pytest.approx(np.sqrt(np.maximum(answer.measured.intensity, 1.0)), rel=1e-5)
    again = xrdmatch.read(tmp_path / "run.xye")
    np.testing.assert_allclose(again.intensity, answer.measured.intensity)


def test_counts_a_second_get_their_counting_time(answer):
    scan = replace(answer.measured, intensity=answer.measured.intensity / 4.0, meta={"intensity_unit": "cps", "counting_time": 4.0})
    values = np.loadtxt(io.StringIO(refinement_files.columns(scan.two_theta, scan)))
    assert values[:, 2] == pytest.approx(np.sqrt(np.maximum(answer.measured.intensity, 1.0)) / 4.0, rel=1e-5)


@pytest.mark.parametrize("wavelength", [CU_K_ALPHA, MO])
def test_the_shift_is_taken_off_where_asked(identifier, library, wavelength, tmp_path):
    result = identifier.identify(made.scan(library, 1, wavelength=wavelength, zero=0.08, start=3.0, stop=40.0))
    refinement_files.export(result, tmp_path, "as-is")
    refinement_files.export(result, tmp_path, "off", shifted=True)
    lines = result.matches[0].lines
    moved = np.loadtxt(tmp_path / "as-is.xye")[:, 0] - np.loadtxt(tmp_path / "off.xye")[:, 0]
    assert np.interp(lines.observed, result.measured.two_theta, moved) == pytest.approx(lines.observed - lines.two_theta, abs=2e-3)
    assert (np.diff(np.loadtxt(tmp_path / "off.xye")[:, 0]) > 0).all()
    apart = [
        np.mean([abs(float(row["two_theta_deg"]) - float(row["two_theta_line_deg"])) for row in rows(tmp_path / f"{name}.peaks.csv") if row["h"]])
        for name in ("as-is", "off")
    ]
    assert apart[1] < 0.5 * apart[0]


def test_a_second_phase_has_its_own_cell_and_lines(identifier, library, tmp_path):
    result = identifier.identify(made.mixed(made.scan(library, 0, 1), made.scan(library, 4, 2), 0.4))
    assert [phase.phase for phase in result.phases] == [1, 2]
    written = refinement_files.export(result, tmp_path, "mix")
    assert [path.name for path in written] == ["mix.xye", "mix.peaks.csv", "mix.lines.csv", "mix.cell.cif", "mix.cell-2.cif"]
    assert {row["phase"] for row in rows(tmp_path / "mix.lines.csv")} == {"1", "2"}
    assert {"1", "2"} <= {row["phase"] for row in rows(tmp_path / "mix.peaks.csv")}


@pytest.mark.parametrize("verdict", ["unknown", "unusable"])
def test_what_is_not_named_gets_no_cell(answer, tmp_path, verdict):
    written = refinement_files.export(replace(answer, verdict=verdict), tmp_path, "x", shifted=True)
    assert [path.name for path in written] == ["x.xye", "x.peaks.csv"]
    assert all(row["h"] == "" for row in rows(tmp_path / "x.peaks.csv"))
    assert np.loadtxt(tmp_path / "x.xye")[:, 0] == pytest.approx(answer.measured.two_theta, abs=1e-5)


def test_what_cannot_be_exported_is_said(answer, tmp_path):
    with pytest.raises(XrdMatchError, match="no scan to export"):
        refinement_files.export(error_result("x.xy", "is empty"), tmp_path, "x")
    with pytest.raises(XrdMatchError, match="cannot be written"):
        refinement_files.export(answer, tmp_path / "absent", "x")


@pytest.mark.parametrize("name", ["it's", "two\nlines", "both \" and '", "ZIF-8 \N{GREEK SMALL LETTER BETA}", "; data_x"])
def test_odd_names_stay_values(answer, tmp_path, name):
    match = replace(answer.matches[0], name=name, id=name, doi=name)
    odd = replace(answer, file=f"{name}.xy", phases=[replace(answer.phases[0], match=match)])
    refinement_files.export(odd, tmp_path, "x")
    block = gemmi.cif.read(str(tmp_path / "x.cell.cif")).sole_block()
    assert float(block.find_value("_cell_length_a")) > 0
    assert len(gemmi.cif.as_string(block.find_value("_chemical_name_common"))) == len(name)


def test_identify_exports_and_names_do_not_collide(run, tiny_model, scans, tmp_path):
    (scans / "sub").mkdir()
    (scans / "sub" / "a.xy").write_bytes((scans / "a.xy").read_bytes())
    (scans / "bad.xy").write_text("no scan")
    code, out, err = run("identify", scans, "-r", "--model", tiny_model, "--format", "csv", "--export", tmp_path / "out")
    assert code == 1
    assert "files for refinement of 3 scans" in err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(f"{stem}.{kind}" for stem in ("a", "a.xy", "b") for kind in ("xye", "peaks.csv", "lines.csv", "cell.cif"))
    assert len(out.splitlines()) == 1 + 4


def test_identify_checks_the_place_first(run, tiny_model, scans, tmp_path):
    (tmp_path / "file").write_text("x")
    for place, wanted in ((tmp_path / "file", 2), (tmp_path / "file" / "out", 1)):
        code, out, _ = run("identify", scans / "a.xy", "--model", tiny_model, "--export", place)
        assert (code, out) == (wanted, "")
    assert run("identify", scans / "a.xy", "--model", tiny_model, "--export-shifted")[0] == 2
    assert run("identify", "-", "--model", tiny_model, "--export", tmp_path / "out", stdin=(scans / "a.xy").read_bytes())[0] == 0
    assert (tmp_path / "out" / "standard-input.xye").exists()


def test_exported_files_are_never_taken_for_scans(run, tiny_model, scans, tmp_path):
    inside = scans / "refine"
    for more in (
        [scans, "--export", scans],
        [scans, "-r", "--export", inside],
        ["--watch", scans, "-r", "--export", inside],
        ["--watch", scans, "--export", scans],
    ):
        code, out, err = run("identify", *more, "--model", tiny_model)
        assert (code, out) == (2, "")
        assert "taken for scans" in " ".join(err.replace("│", " ").split())
    assert not inside.exists()
    assert run("identify", scans, "--model", tiny_model, "--export", inside)[0] == 0
    assert run("identify", scans, "--model", tiny_model, "--format", "csv")[1].count("a.xy") == 1
