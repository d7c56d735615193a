"""Readers: synthetic files of every layout, text dialects, and the real files of ../shared where they are."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scanfiles as make

from xrdmatch import formats
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import ReadError, XrdMatchError
from xrdmatch.notes import note
from xrdmatch.report.phrases import sentence

SHARED = Path(__file__).resolve().parents[2] / "shared"
needs_shared = pytest.mark.skipif(not (SHARED / "formats").is_dir(), reason="real instrument files are not part of the project (../shared)")


def parse(data: bytes, **options: object) -> Pattern:
    return formats.parse(data, "scan.file", formats.ReadOptions(**options))  # type: ignore[arg-type]


# ---- every layout, from synthetic files ----


@pytest.mark.parametrize("kind", make.ALL)
def test_reads_each_format(kind: str) -> None:
    encode, name = make.ALL[kind]
    pattern = parse(encode())
    assert pattern.meta["format"].startswith(name)
    np.testing.assert_allclose(pattern.two_theta, make.angles(), atol=2e-5)
    np.testing.assert_allclose(pattern.intensity, make.counts(), rtol=0.02 if kind == "rd" else 1e-6)
    if kind != "text":
        assert pattern.wavelength is not None
        assert pattern.meta["wavelength_kind"] in {"Ka1", "Ka mean"}
        assert pattern.meta["anode"] == ("Co" if kind == "rasx" else "Cu")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("raw4", {"sample": "MOF-5 as made", "date": "05/19/2025 14:24:14", "counting_time": 96.0, "scan_axis": "Locked Coupled"}),
        ("raw3", {"sample": "MOF 5", "date": "03/04/10 20:59:14", "counting_time": 0.5, "scan_axis": "locked coupled", "intensity_unit": "counts"}),
        ("raw2", {"sample": "SAMPLE", "date": "19-12-1997 21:57", "counting_time": 3.0}),
        ("raw1", {"sample": "POWDER1", "counting_time": 4.0}),
        ("brml", {"sample": "HKUST-1", "counting_time": 76.8, "scan_axis": "LockedCoupled"}),
        ("xrdml", {"sample": "UiO-66", "counting_time": 13.77, "scan_axis": "Gonio", "date": "2024-04-12T11:05:06"}),
        ("ras", {"sample": "ZIF-8", "counting_time": 0.4, "scan_axis": "TwoThetaTheta", "intensity_unit": "counts"}),
        ("rasx", {"sample": "ZIF-8", "counting_time": 0.4}),
        ("stoe", {"sample": "KE2-2", "counting_time": 94.95, "date": "01-Dec-21 15:08", "wavelength_kind": "Ka1"}),
        ("uxd", {"sample": "MIL-53", "counting_time": 0.5}),
        ("eva", {"sample": "ZIF-71", "date": "09/12/2023 13:27:21"}),
        ("udf", {"sample": "7059", "counting_time": 43.605}),
    ],
)
def test_reads_what_the_file_tells(kind: str, expected: dict[str, object]) -> None:
    meta = parse(make.ALL[kind][0]()).meta
    assert {key: meta.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("data", "wavelength", "kind"),
    [
        (make.raw4(), (2 * make.KA1 + make.KA2) / 3, "Ka mean"),
        (make.raw4(ka2=0.0), make.KA1, "Ka1"),
        (make.raw3(ratio=0.0), make.KA1, "Ka1"),
        (make.xrdml(), (2 * 1.540598 + 1.544426) / 3, "Ka mean"),
        (make.xrdml(monochromator="Ge"), 1.540598, "Ka1"),
        (make.xrdml(monochromator="Graphite"), (2 * 1.540598 + 1.544426) / 3, "Ka mean"),
        (make.xrdml(ratio=0.0), 1.540598, "Ka1"),
        (make.xrdml(intended="K-Beta"), 1.39225, "Kb"),
        (make.ras(wave="Ka1"), 1.540593, "Ka1"),
        (make.ras(wave="Kb"), 1.39225, "Kb"),
        (make.rasx(), (2 * 1.788965 + 1.79285) / 3, "Ka mean"),
        (make.stoe(ka=(1.788965, 1.79285)), 1.788965, "Ka1"),
        (make.cif(), 1.541871, "Ka mean"),
        (make.text(header="# wavelength = 0.413909 A\n"), 0.413909, "stated"),
        (make.text(header="# lambda: 0.15406 nm\n"), 1.5406, "stated"),
        (make.text(header="# Wavelength: 4.13e-11 m\n"), 0.413, "stated"),
        (make.text(header='\'Id: "" Comment: "" Anode: "Co" Scantype: "Coupled TwoTheta/Theta"\n'), 1.790276, "Ka mean"),
        (make.text(), None, None),
    ],
)
def test_wavelength_fits_the_instrument(data: bytes, wavelength: float | None, kind: str | None) -> None:
    pattern = parse(data)
    assert pattern.wavelength == (None if wavelength is None else pytest.approx(wavelength, abs=2e-6))
    assert pattern.meta.get("wavelength_kind") == kind


@pytest.mark.parametrize("record", [8, 12, 40])
def test_raw4_reads_the_first_number_of_longer_records(record: int) -> None:
    np.testing.assert_allclose(parse(make.raw4(record=record)).intensity, make.counts())


def test_raw1_following_ranges_with_and_without_magic() -> None:
    ranges = [(5.0, make.counts(30)), (5.6, make.counts(30, seed=2))]
    for repeat in (True, False):
        np.testing.assert_allclose(parse(make.raw1(ranges, repeat)).two_theta, make.angles(), atol=1e-5)


def test_brml_finds_the_counter_among_later_columns() -> None:
    np.testing.assert_allclose(parse(make.brml(extra_columns=True)).intensity, make.counts())


def test_attenuated_counts_are_scaled_back() -> None:
    factors = np.where(np.arange(make.COUNT) > 30, 10.0, 1.0)
    words = " ".join(f"{factor:g}" for factor in factors)
    np.testing.assert_allclose(parse(make.xrdml("2.1", factors=words)).intensity, make.counts() * factors)
    # Below schema 2.0 the file holds corrected intensities.
    np.testing.assert_allclose(parse(make.xrdml("1.5", factors=words)).intensity, make.counts())


def test_rigaku_intensities_stay_as_recorded_and_a_moving_attenuator_is_told() -> None:
    factors = np.where(np.arange(make.COUNT) > 30, 10.0, 1.0)
    pattern = parse(make.ras(attenuator=factors))
    np.testing.assert_allclose(pattern.intensity, make.counts() / factors, rtol=1e-3)
    assert pattern.meta["attenuator"] == 10.0
    assert pattern.meta["notes"] == (note("attenuator", factor=10.0, weakened=29, points=60),)
    assert sentence(*pattern.meta["notes"]) == "An attenuator (factor 10) weakened 29 of 60 points; their intensities are as recorded"
    still = parse(make.ras(attenuator=np.full(make.COUNT, 10.0)))
    assert still.meta["attenuator"] == 10.0
    assert "notes" not in still.meta
    assert not {"attenuator", "notes"} & set(parse(make.ras()).meta)


def test_a_counting_time_that_varies_is_told() -> None:
    times = " ".join(f"{10 + at}" for at in range(make.COUNT))
    data = make.xrdml().replace(b"<commonCountingTime", b"<x").replace(b"</commonCountingTime>", b"</x>")
    data = data.replace(b"</dataPoints>", f"<countingTimes>{times}</countingTimes></dataPoints>".encode())
    pattern = parse(data)
    np.testing.assert_allclose(pattern.intensity, make.counts())
    assert pattern.meta["notes"][0].code == "counting_time_varies"
    assert "varies from 10 to 69 s" in sentence(pattern.meta["notes"][0])


def test_stoe_takes_the_finished_block() -> None:
    assert parse(make.stoe(twice=True)).two_theta.size == make.COUNT
    assert parse(make.stoe(twice=False)).two_theta.size == make.COUNT


def test_uxd_without_angles_and_cif_without_angle_column() -> None:
    for data in (make.uxd(data="_COUNTS"), make.cif(angle_column=False)):
        pattern = parse(data)
        np.testing.assert_allclose(pattern.two_theta, make.angles(), atol=1e-6)
        np.testing.assert_allclose(pattern.intensity, make.counts())
    assert parse(make.uxd(data="_2THETACPS")).meta["intensity_unit"] == "cps"


# ---- ranges ----

JOINED = [(5.0, make.counts(30)), (5.6, make.counts(30, seed=2))]


@pytest.mark.parametrize("data", [make.raw4(JOINED), make.raw3(JOINED), make.raw3(JOINED[::-1])])
def test_contiguous_ranges_are_joined(data: bytes) -> None:
    np.testing.assert_allclose(parse(data).two_theta, make.angles(), atol=1e-9)
    np.testing.assert_allclose(parse(data).intensity, np.concatenate([JOINED[0][1], JOINED[1][1]]))
    assert parse(make.uxd(ranges=3)).two_theta.size == parse(make.xrdml(scans=3)).two_theta.size == 3 * make.COUNT


@pytest.mark.parametrize(("second", "reason"), [(5.3, "overlap"), (5.0, "overlap"), (7.0, "gap")])
def test_the_longest_of_several_ranges_is_taken_and_the_others_are_listed(second: float, reason: str) -> None:
    data = make.raw4([(5.0, make.counts(30)), (second, make.counts(40, seed=2))])
    longest = parse(data)
    np.testing.assert_allclose(longest.intensity, make.counts(40, seed=2))
    (told,) = longest.meta["notes"]
    assert (told.code, told["taken"]) == ("range_chosen", 2)
    assert reason in told["why"]
    assert told["ranges"].startswith("1: 5 to 5.58 deg, 30 points; 2: ")
    data = make.raw4([(5.0, make.counts(30)), (second, make.counts(30, seed=2))])
    chosen = parse(data, range_index=2)
    assert chosen.two_theta[0] == pytest.approx(second)
    np.testing.assert_allclose(chosen.intensity, make.counts(30, seed=2))
    for wrong in (0, 3, -1):
        with pytest.raises(ReadError, match="has no range"):
            parse(data, range_index=wrong)


# ---- scans that are no 2theta scans ----


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (make.raw3(scan_type=3), "rocking curve"),
        (make.raw3(scan_type=5), "phi scan"),
        (make.raw4(scan=b"Rocking Curve"), "rocking curve"),
        (make.raw4(scan=b"Phi Scan"), "phi scan"),
        (make.brml(axis="Phi", scan="PhiScan"), "Phi"),
        (make.uxd(drive="THETA"), r"theta \(rocking\) scan"),
        (make.uxd(drive="KHI"), "chi scan"),
        (make.xrdml(axis="Omega"), r"omega \(rocking\) scan"),
        (make.ras(axis="Omega"), r"omega \(rocking\) scan"),
        (make.ras(axis="OmegaTwoTheta"), "against omega"),
        (make.rasx(axis="Phi"), "phi scan"),
        (make.asc(axis="beta"), "pole figure"),
        (make.asc(kind="Polefig"), "pole figure"),
        (make.eva(scan="RockingCurve"), "rocking curve"),
        (make.text(header="ScanningMode\tBeta\n"), "pole figure"),
        (make.text(header="d-spacing (A), Intensity\n", separator=","), "d-spacings"),
        (make.text(header="q(A^-1) I\n"), "scattering vectors"),
    ],
)
def test_refuses_other_scans_by_name(data: bytes, named: str) -> None:
    with pytest.raises(ReadError, match=named):
        parse(data)


@pytest.mark.parametrize("axis", ["2Theta", "2Theta-Omega", "Omega-2Theta", "Gonio"])
def test_every_way_to_scan_2theta_passes(axis: str) -> None:
    assert parse(make.xrdml(axis=axis)).two_theta.size == make.COUNT


def test_rigaku_axis_in_japanese() -> None:
    data = make.ras(axis="@@").replace(b"@@", "2θ/θ".encode("shift_jis"))
    assert parse(data).meta["scan_axis"] == "2θ/θ"
    with pytest.raises(ReadError, match=r"omega \(rocking\) scan"):
        parse(make.ras(axis="@@").replace(b"@@", "ω".encode("shift_jis")))


# ---- text dialects ----

DIALECTS = {
    "blank": {},
    "blanks": {"separator": "      "},
    "tab": {"separator": "\t"},
    "comma": {"separator": ","},
    "comma blank": {"separator": ", "},
    "semicolon": {"separator": ";"},
    "bar": {"separator": " | "},
    "decimal comma, blank": {"decimal": ","},
    "decimal comma, tab": {"decimal": ",", "separator": "\t"},
    "decimal comma, semicolon": {"decimal": ",", "separator": ";"},
    "decimal comma, semicolon and blank": {"decimal": ",", "separator": " ; "},
    "decimal comma, comma": {"decimal": ",", "separator": ","},
    "CR LF": {"newline": "\r\n"},
    "CR": {"newline": "\r"},
    "UTF-16": {"encoding": "utf-16"},
    "UTF-16 without mark": {"encoding": "utf-16-le", "separator": "\t"},
    "UTF-16 big-endian": {"encoding": "utf-16-be"},
    "byte-order mark": {"encoding": "utf-8-sig"},
    "code page": {"encoding": "cp1252", "header": "Probe: Größe, 25 °C\n"},
    "names": {"header": "2theta intensity\n"},
    "comment": {"header": "# 2Theta  Intensity\n#\n"},
    "quoted header": {"header": '"2-Theta Angle (Degrees)","Intensity"\n', "separator": ","},
    "count line": {"header": "title\n60\n"},
    "title of numbers": {"header": "12 3 2024 run\n"},
    "stars": {"header": "* a comment\n*****\n"},
    "chi": {"header": "image.tif\n2-Theta Angle (Degrees)\nIntensity\n       60\n"},
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_text_dialect(dialect: str) -> None:
    pattern = parse(make.text(**DIALECTS[dialect]))  # type: ignore[arg-type]
    np.testing.assert_allclose(pattern.two_theta, make.angles(), atol=1e-6)
    np.testing.assert_allclose(pattern.intensity, make.counts())


def columns(*parts: object, separator: str = ",", header: str = "") -> bytes:
    return (header + "\n".join(separator.join(map(str, row)) for row in zip(*parts, strict=True))).encode()


@pytest.mark.parametrize(
    "data",
    [
        columns(range(60), make.angles().round(4), make.counts(), header=",2theta,intensity\n"),
        columns(range(60), make.angles().round(4), make.counts()),
        columns(make.counts(), make.angles().round(4), header="Intensity,Two-Theta\n"),
        columns(make.angles().round(4), [9.0] * 60, make.counts(), header="2theta,ycalc,yobs\n"),
        columns(make.angles().round(4), make.counts(), make.counts() ** 0.5, separator=" "),
        columns(make.angles().round(4), make.counts(), [""] * 60),
        columns([f'"{a:.4f}"' for a in make.angles()], [f'"{v}"' for v in make.counts()]),
        columns(make.angles()[::-1].round(4), make.counts()[::-1], separator="\t"),
        columns([f"{a:.4f}" for a in make.angles()], [f"{v:,.1f}" for v in make.counts()], separator="\t"),
        columns(range(1, 61), [f"{a:.2f}".replace(".", ",") for a in make.angles()], make.counts().astype(int), separator=";"),
        columns([f"{a:.4f}" for a in make.angles()], [f"{v:,.0f}".replace(",", " ") for v in make.counts()], separator="\t"),
        columns([f"{a:.4f}" for a in make.angles()], [f"{v:,.0f}".replace(",", "\u202f") for v in make.counts()], separator="\t"),
        columns([f"{a:.6E}".replace("E", "D") for a in make.angles()], [f"{v:.6E}".replace("E", "D") for v in make.counts()], separator="  "),
        columns([f"{a:.4f}°" for a in make.angles()], make.counts(), separator=" "),
        columns(make.angles().round(4), make.counts(), separator="\t", header="Pos. [°2Th.]\tIobs [cts]\n"),
        columns(make.angles().round(4), make.counts(), make.counts() ** 0.5, separator=" ", header="XYDATA\nINTER 1.0 1.0 0\nTEMP 300.0\n!\n!\n!\n"),
        b"BANK 1 60 60 CONS 500.00 2.00 0 0 FXYE\n" + columns(make.angles() * 100, make.counts(), make.counts() ** 0.5, separator=" "),
        b"title\nBANK 1 60 6 CONS 500.00 2.00 0 0 STD\n" + b"".join(b" 1%6.0f" % v + b"\n" * (i % 10 == 9) for i, v in enumerate(make.counts())),
        b"title\nlambda=  1.49400\n 5.000 0.020 6.180 18000.\n" + b"\n".join(b"%.1f" % v for v in make.counts()),
        b"title\r60 0.02 5 1.5405981 1\r" + b"\r".join(b"%.1f\t" % v for v in make.counts()),
    ],
)
def test_text_columns(data: bytes) -> None:
    pattern = parse(data)
    np.testing.assert_allclose(pattern.two_theta, make.angles(), atol=1e-4)
    np.testing.assert_allclose(pattern.intensity, make.counts(), rtol=1e-6)


def test_negative_counts_and_repeated_angles(tmp_path: Path) -> None:
    pattern = parse(b"5.00 -1.5\n5.02 3\n5.02 5\n5.04 2\n5.06 1\n")
    np.testing.assert_allclose(pattern.two_theta, [5.0, 5.02, 5.02, 5.04, 5.06], atol=1e-5)
    np.testing.assert_allclose(pattern.intensity, [-1.5, 3.0, 5.0, 2.0, 1.0])
    formats.write(pattern, tmp_path / "back.xy")
    np.testing.assert_allclose(formats.read(tmp_path / "back.xy").intensity, pattern.intensity)


def test_ranges_in_one_table_that_share_a_seam_keep_every_point() -> None:
    first, second = np.arange(5.0, 6.0, 0.02), np.arange(5.98, 7.0, 0.02)
    rows = b"".join(b"%.2f %d\n" % (angle, at) for at, angle in enumerate(np.concatenate([first, second])))
    pattern = parse(rows)
    assert pattern.two_theta.size == first.size + second.size
    assert pattern.intensity.sum() == sum(range(first.size + second.size))


def test_repeated_sweeps_are_averaged_and_disordered_angles_refused() -> None:
    sweep = columns(make.angles().round(4), make.counts(), separator=" ")
    np.testing.assert_allclose(parse(sweep + b"\n" + sweep).intensity, make.counts())
    with pytest.raises(ReadError, match="does not rise or fall steadily"):
        parse(b"3 1\n-3 2\n4 3\n-4 4\n5 1\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "blanks"),
        (b"\0" * 5000, "blanks"),
        (b"hello world\nno numbers here\n", "no two columns of numbers"),
        (b"1\n2\n3\n4\n", "no two columns of numbers"),
        (b"10,02\n10,04\n10,06\n10,08\n10,10\n10,12\n", "decimal points or commas"),
        (b"5.0 10\n", "1 point"),
        (b"%PDF-1.7\n1 0 obj", "PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0", "an image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "an image"),
        (b"<!DOCTYPE html><html></html>", "XML, but not XRDML"),
        (b"<svg></svg>", "XML, but not XRDML"),
        (bytes(range(256)) * 20, "binary"),
        (b"5.0 1\n5.1 inf\n5.2 3\n", "not finite"),
        (b"100 1\n200 2\n300 3\n", "180 degrees"),
        (b"data_x\n_cell_length_a 5.4\nloop_\n_atom_site_fract_x\n0.5\n", "crystal structure.*xrdmatch simulate"),
        (b"data_x\n_chemical_name 'x'\n", "CIF without a powder pattern"),
        (make.zipped({"a.xy": b"1 2", "b.xy": b"1 2"}), "archive of 2 files"),
        (make.zipped({"xl/workbook.xml": b"<x/>", "[Content_Types].xml": b"<x/>"}), "Office document"),
    ],
)
def test_refuses_with_one_clear_line(data: bytes, message: str) -> None:
    with pytest.raises(ReadError, match=message) as caught:
        parse(data)
    assert str(caught.value).startswith("scan.file: ")
    assert "\n" not in str(caught.value)


# ---- containers, files, writing ----


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda data: make.zipped({"folder/scan.dat": data})])
@pytest.mark.parametrize("kind", ["raw4", "xrdml", "brml", "text"])
def test_compressed_files(kind: str, pack: object) -> None:
    data = make.ALL[kind][0]()
    packed = pack(data)  # type: ignore[operator]
    np.testing.assert_allclose(parse(packed).intensity, make.counts())


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    for suffix in (".raw", ".txt", ".csv", ""):
        place = tmp_path / f"scan{suffix}"
        place.write_bytes(make.xrdml())
        assert formats.read(place).meta["format"] == "PANalytical XRDML 1.5"
        assert formats.read(str(place)).name == place.name


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be opened"):
        formats.read(tmp_path / "absent.xy")
    with pytest.raises(ReadError, match="folder"):
        formats.read(tmp_path)


@pytest.mark.parametrize("suffix", [".xy", ".xye", ".csv", ".CSV"])
@pytest.mark.parametrize("wavelength", [None, 1.7890])
def test_write_then_read(tmp_path: Path, suffix: str, wavelength: float | None) -> None:
    pattern = Pattern(make.angles(), make.counts() * 1.00001 - 200.0, wavelength)
    place = tmp_path / f"out{suffix}"
    formats.write(pattern, place)
    back = formats.read(place)
    np.testing.assert_allclose(back.two_theta, pattern.two_theta, atol=1e-6)
    np.testing.assert_allclose(back.intensity, pattern.intensity, rtol=1e-7)
    assert back.wavelength == wavelength
    assert [entry.name for entry in tmp_path.iterdir()] == [place.name]


def test_write_refuses_other_suffixes_and_places(tmp_path: Path) -> None:
    pattern = Pattern(make.angles(), make.counts())
    with pytest.raises(XrdMatchError, match=r"\.xy"):
        formats.write(pattern, tmp_path / "out.raw")
    with pytest.raises(XrdMatchError, match="cannot be written"):
        formats.write(pattern, tmp_path / "absent" / "out.xy")


def test_import_is_light() -> None:
    code = "import sys, xrdmatch.formats as f; f.parse(b'5 1\\n6 2\\n7 3', 'x'); print(' '.join(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"scipy", "pandas", "gemmi", "pymatgen", "zipfile", "xml.etree.ElementTree", "defusedxml", "lzma", "bz2", "matplotlib"}


# ---- the real files ----

#: Where the table of expectations holds what another program misread: what is read instead, or the refusal, and why.
DEVIATIONS: dict[str, tuple[dict[str, float] | str, str]] = {
    "text/[18c6K]Cl-H2O.xy": ("180 degrees", "not a pattern: the first column is a count from 1.54056 in steps of 2.85944"),
    "text/data.dat": (
        {"points": 2600, "start": 3.0, "end": 54.98, "ymax": 1753.85, "ysum": 2125075.05},
        "the first column is the number of the image; columns named 2theta and intensity are read, the two sweeps averaged",
    ),
    "text/test2.csv": ("does not rise or fall steadily", "a test of CSV syntax, not a scan: the first column goes 3, -3, 4, -4"),
    "text/Rigaku_txt.TXT": (r"beta scan \(pole figure\)", "pole figure"),
    "text/Rigaku.DAT": ("does not rise or fall steadily", "pole figure"),
    "text/bbm48bis.dat": ({"points": 1800, "start": 25.0, "end": 114.95}, "no library read it: MAUD's `count step start wavelength` and a column"),
    "rigaku/2Theta.asc": (
        {"points": 7601, "start": 4.0, "end": 80.0, "ymax": 717569.0, "ysum": 12340651.0},
        "the rows hold four intensities, which were taken for columns",
    ),
    "rigaku/Rigaku_xrd_111.asc": ("pole figure", "pole figure"),
    "rigaku/example.ras": (r"omega \(rocking\) scan", "omega scan"),
    "bruker/Reflect2.UXD": ("theta .rocking. scan", "theta scan"),
    "bruker/Rocking1_2.UXD": ("theta .rocking. scan", "theta scan"),
    "bruker/Rocking3.UXD": ("theta .rocking. scan", "theta scan"),
    "bruker/Zscan1.UXD": ("z scan", "z scan"),
    "bruker/Zscan3.UXD": ("z scan", "z scan"),
    "bruker/fss.UXD": ("phi scan", "pole figure by phi scans"),
}


def expectations() -> list[dict[str, str]]:
    table = SHARED / "formats" / "EXPECTED.tsv"
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


#: What `meta["format"]` begins with for the names of the table; text columns for the others.
FORMAT_NAMES = {
    "Bruker BRML": "Bruker BRML", "Bruker RAW v1 (RAW)": "Bruker RAW v1", "Bruker RAW v2 (RAW2)": "Bruker RAW2",
    "Bruker RAW v3 (RAW1.01)": "Bruker RAW1.01", "Bruker RAW v4 (RAW4.00)": "Bruker RAW4.00", "Bruker UXD": "Bruker UXD",
    "GSAS FXYE": "GSAS FXYE", "Philips RD V3": "Philips V3RD", "Philips UDF": "Philips UDF", "Rigaku ASC": "Rigaku ASC", "Rigaku RAS": "Rigaku RAS",
    "Rigaku RASX": "Rigaku RASX", "STOE WinXPOW raw (RAW_1.06Powdat)": "STOE WinXPOW RAW", "powder CIF": "powder CIF",
}  # fmt: skip
#: Largest difference from the table, which rounds angles to five decimals and intensities to seven digits or more.
TOLERANCE = {"points": 0.0, "start": 6e-6, "end": 6e-6, "step": 6e-7}


@needs_shared
@pytest.mark.parametrize("row", expectations(), ids=lambda row: row["path"])
def test_expected_values(row: dict[str, str]) -> None:
    place = SHARED / "formats" / row["path"]
    instead, _reason = DEVIATIONS.get(row["path"], ({}, ""))
    if isinstance(instead, str):
        with pytest.raises(ReadError, match=instead):
            formats.read(place)
        return
    columns = ("points", "start", "end", "step", "ymax", "ysum")
    expected = {key: float(row[key]) for key in columns if row[key] not in {"", "nan"} and not instead} | instead
    pattern = formats.read(place)
    found = {
        "points": pattern.two_theta.size,
        "start": pattern.two_theta[0],
        "end": pattern.two_theta[-1],
        "step": pattern.step,
        "ymax": pattern.intensity.max(),
        "ysum": pattern.intensity.sum(),
    }
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=TOLERANCE.get(key, 1e-6 * abs(value))), key
    name = FORMAT_NAMES.get(row["format"]) or (row["format"] if row["format"].startswith("PANalytical") else "")
    assert pattern.meta["format"].startswith(name)
    _check_wavelength(pattern, row["wavelength"])


def _check_wavelength(pattern: Pattern, said: str) -> None:
    """Every number of the table is one the file's lines have, and a file that states one line only was measured with it."""
    known = [pattern.wavelength, *(pattern.meta.get(key) for key in ("k_alpha1", "k_alpha2"))]
    stated = [float(number) for number in re.findall(r"\d\.\d{4,}", said)]
    for number in filter(None, stated):
        assert any(value is not None and abs(value - number) < 1e-4 for value in known), f"wavelength {number} against {known}"
    if "Ka2 0.00000" in said or "(Ka1)" in said:
        assert pattern.wavelength == pytest.approx(stated[0], abs=2e-5)
        assert pattern.meta["wavelength_kind"] == "Ka1"
    if "avg" in said:
        assert pattern.wavelength == pytest.approx(stated[-1], abs=2e-4)


@needs_shared
def test_stoe_ranges_are_those_of_the_table() -> None:
    for row in expectations():
        found = re.findall(r"(\d+)pt ([\d.]+)-([\d.]+)", row["notes"])
        if found:
            count, start, end = found[-1]
            pattern = formats.read(SHARED / "formats" / row["path"])
            assert (pattern.two_theta.size, round(pattern.two_theta[0], 3), round(pattern.two_theta[-1], 3)) == (int(count), float(start), float(end))


TWINS = [
    # first, second, factor between their intensities, tolerance of angle, of intensity
    ("panalytical/7061.xrdml", "text/7061.xy", 1.0, 1e-6, 1e-9),
    ("philips/7059.udf", "text/7059.csv", 1.0, 1e-5, 1e-9),
    ("philips/7059.rd", "text/7059.csv", 1.0, 1e-5, 0.01),
    ("philips/La2O3junio3.rd", "text/La2O3junio3.csv", 1.0, 1e-5, 0.01),
    ("text/La2O3junio3.csv", "text/La2O3junio3_xy.XY", 1.0, 1e-4, 1e-9),
    ("bruker/SbI3.raw", "bruker/SbI3.brml", 1.0, 1e-4, 1e-9),
    ("bruker/SbI3.raw", "text/SbI3.xye", 1.0, 1e-4, 1e-9),
    ("bruker/SbI3.raw", "text/SbI3.xy", 76.8, 1e-4, 1e-3),  # counts per second
    ("bruker/BT86.raw", "bruker/BT86_.UXD", 1.0, 0.006, 1e-9),  # the UXD rounds its angles to 0.001
    ("bruker/TwoTheta_scan_scrambled.raw", "bruker/bruker4_diffrac_eva.raw", 1.0, 1e-9, 1e-9),
    ("stoe/PXRD_KE-048-2_Cu-Ka1_Lotsch_capillary-1mm_5s-deg.raw", "stoe/PXRD_KE-048-2_Cu-Ka1_capillary-1mm_5s-deg.xyd", 94.95, 1e-6, 1e-4),
]


@needs_shared
@pytest.mark.parametrize(("first", "second", "factor", "angle", "intensity"), TWINS)
def test_twins_agree(first: str, second: str, factor: float, angle: float, intensity: float) -> None:
    one, other = formats.read(SHARED / "formats" / first), formats.read(SHARED / "formats" / second)
    np.testing.assert_allclose(one.two_theta, other.two_theta, rtol=0, atol=angle)
    np.testing.assert_allclose(one.intensity, factor * other.intensity, rtol=intensity, atol=0.02 * (factor != 1.0) + 1e-9)
    if one.wavelength and other.wavelength:
        assert one.wavelength == pytest.approx(other.wavelength, abs=2e-5)


@needs_shared
@pytest.mark.parametrize("folder", ["measured", "measured/minerals"])
def test_measured_patterns_read(folder: str) -> None:
    with (SHARED / folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    for row in rows:
        pattern = formats.read(SHARED / folder / row["file"])
        assert pattern.two_theta.size > 100, row["file"]
        if pattern.wavelength is not None:
            assert pattern.wavelength == pytest.approx(float(row["wavelength"]), abs=1e-4), row["file"]


#: Files geddes 1.0.1 misreads: it stops after the first line where lines end in CR alone. What it refuses (22 files) is passed over.
GEDDES_WRONG = {"text/CPD-Y2O3.PRN", "text/pesa.txt"}


@needs_shared
def test_geddes_agrees() -> None:
    geddes = pytest.importorskip("geddes", reason="geddes, a second opinion, is not installed")
    agreed = 0
    for row in expectations():
        place = SHARED / "formats" / row["path"]
        if row["path"] in GEDDES_WRONG or isinstance(DEVIATIONS.get(row["path"], ({}, ""))[0], str):
            continue
        try:
            other = geddes.read(str(place))
        except Exception:  # what it cannot read is no opinion
            continue
        pattern = formats.read(place)
        np.testing.assert_allclose(pattern.two_theta, np.asarray(other.x), atol=2e-3, err_msg=row["path"])
        np.testing.assert_allclose(pattern.intensity, np.asarray(other.y), rtol=1e-4, atol=1e-2, err_msg=row["path"])
        agreed += 1
    assert agreed >= 60


@needs_shared
def test_rietx_agrees() -> None:
    readers = pytest.importorskip("rietx.io.readers", reason="rietx, a second opinion of 393 MB, is not installed")
    agreed = wavelengths = 0
    for row in expectations():
        place = SHARED / "formats" / row["path"]
        if isinstance(DEVIATIONS.get(row["path"], ({}, ""))[0], str):
            continue
        try:
            other = readers.read_pattern(place)
        except ValueError:  # what it cannot read is no opinion
            continue
        pattern = formats.read(place)
        np.testing.assert_allclose(pattern.two_theta, np.asarray(other.two_theta), atol=1e-4, err_msg=row["path"])
        np.testing.assert_allclose(pattern.intensity, np.asarray(other.intensity), rtol=1e-6, err_msg=row["path"])
        agreed += 1
        first, second, anode = (other.metadata.get(key) for key in ("wavelength", "wavelength_alpha2", "anode"))
        if anode:
            assert pattern.meta["anode"] == anode.capitalize(), row["path"]
        if first and second:
            known = (pattern.meta.get("k_alpha1"), pattern.meta.get("k_alpha2"), pattern.wavelength)
            assert all(any(value and abs(value - line) < 1e-4 for value in known) for line in (float(first), float(second)) if line), row["path"]
            wavelengths += 1
    assert agreed >= 70
    assert wavelengths >= 20
