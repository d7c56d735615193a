"""Tables of text as people really write them: every row told or read, the right column, and no scan where there is none."""

import csv
from pathlib import Path

import numpy as np
import pytest
import scanfiles as make

from xrdmatch import formats
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import d_spacing
from xrdmatch.errors import ReadError

CASES = Path(__file__).parents[2] / "shared" / "cases"
ANGLES, COUNTS = make.angles(200, 5.0, 0.05), make.counts(200)


def read(text: str, **options: object) -> Pattern:
    return formats.parse(text.encode(), "scan.file", formats.ReadOptions(**options))  # type: ignore[arg-type]


def table(*columns: np.ndarray, header: str = "", separator: str = " ", decimals: int = 5) -> str:
    return header + "".join(separator.join(f"{value:.{decimals}f}" for value in row) + "\n" for row in zip(*columns, strict=True))


def codes(pattern: Pattern) -> list[str]:
    return [told.code for told in pattern.meta.get("notes", ())]


def is_right(pattern: Pattern) -> None:
    np.testing.assert_allclose(pattern.two_theta, ANGLES, atol=2e-4)
    np.testing.assert_allclose(pattern.intensity, COUNTS, atol=1e-4)


# ---- what the numbers along the scan are ----

#: Headers that say nothing against 2theta in degrees, however they look.
HEADERS = [
    "# Axis: 2theta\n",
    "# x-axis: 2theta\n# y-axis: counts\n",
    "Operator lab\nAnode Cu\nXunit deg.\nYunit counts\n",
    "Operator: lab\nScanAxis: 2Theta\nFrom: 5\nXunit: deg.\nYunit: counts\n",
    "Instrument\tX1\nScanAxis\t2Theta\nXunit\tdeg.\nYunit\tcounts\n",
    "# theta scan of the sample\n",
    "# time series 3\n",
    "# Energy scan\n",
    "Time per step: 10 s\nTemperature: 300 K\n",
    "# r value 0.05\n",
    "Divergence slit, unit: mm\n",
    "Unit: mm\n",
    "X: 12.5\nY: 3.0\nZ: 0.1\n",
    "title\n2-Theta Angle (Degrees)\nIntensity\n 200\n",
    "2Theta Counts\ndeg cps\n-----------\n",
    "2theta;I;\n",
    "2Theta range: 5 - 15 Step: 0.05\n",
    "sample one\n\n2Theta  Intensity\n",
]


@pytest.mark.parametrize("header", HEADERS)
def test_headers_that_leave_degrees(header: str) -> None:
    pattern = read(table(ANGLES, COUNTS, header=header))
    is_right(pattern)
    assert codes(pattern) == []


#: The same statement in every place that a file has for it.
PLACES = [
    "{name} Intensity\n", "# {name}  I\n", "{name},Intensity\n", "{name}\tCounts\n", "# x-axis: {name}\n# y-axis: intensity\n", "xlabel = {name}\n",
    "title\n{name}\nIntensity\n 200\n", "title\n {name}\n Counts\n", "X-axis\t{name}\nY-axis\tcounts\n", '"{name}";"Intensity"\n',
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_an_abscissa_is_converted_or_refused_wherever_it_is_named(place: str) -> None:
    separator = next((mark for mark in ",;\t" if mark in place and "{name}" + mark in place.replace('"', "")), " ")
    d = d_spacing(ANGLES, 1.5406)
    wavelength = "# Wavelength: 1.5406 A\n"
    pattern = read(table(np.radians(ANGLES), COUNTS, header=place.format(name="2th_rad"), separator=separator, decimals=7))
    is_right(pattern)
    assert codes(pattern) == ["converted"]
    pattern = read(table(20 * np.pi / d, COUNTS, header=wavelength + place.format(name="q_nm^-1"), separator=separator, decimals=7))
    is_right(pattern)
    assert codes(pattern) == ["converted"]
    text = table(20 * np.pi / d, COUNTS, header=place.format(name="q_nm^-1"), separator=separator, decimals=7)
    with pytest.raises(ReadError, match=r"scattering vectors q in 1/nm .*no wavelength"):
        read(text)
    is_right(read(text, wavelength=1.5406))
    with pytest.raises(ReadError, match="channels"):
        read(table(ANGLES, COUNTS, header=place.format(name="Channel"), separator=separator))


@pytest.mark.parametrize("header", [
    "#L Q(A^{-1})  S(Q)\n", "#L r(A) G(r)\n", "# columns: Q I\n", "# Column 1: q [1/A]\n# Column 2: I\n", "# first column is Q (A-1), second I(Q)\n",
    '# {"x": "q (A^-1)", "y": "I"}\n', "# units: A^-1\n", "# q in 1/A\n# made by x\n# y\n# z\n# w\n",
    "image.tif\nAzimuth (Degrees)\nIntensity\n 200\n",
    "image.tif\nRadial Distance (mm)\nIntensity\n 200\n", "E(keV) counts\n", "tof y\n",
])  # fmt: skip
def test_other_statements_of_the_abscissa(header: str) -> None:
    with pytest.raises(ReadError, match="its x axis holds"):
        read(table(ANGLES / 3, COUNTS, header=header))


def test_commas_that_separate_and_group_are_refused() -> None:
    rows = [f"{angle:.2f},{1200 - 5 * at:,}" for at, angle in enumerate(ANGLES)]
    with pytest.raises(ReadError, match="separate both columns and thousands"):
        read("\n".join(rows))


def test_a_column_of_an_unknown_name_is_refused() -> None:
    with pytest.raises(ReadError, match=r"first column is called 'Wert'.*rename it 2theta"):
        read(table(ANGLES, COUNTS, header="Wert,Intensity\n", separator=","))
    with pytest.raises(ReadError, match="x axis is called 'stuff'"):
        read(table(ANGLES, COUNTS, header="# x-axis: stuff\n"))


def test_2theta_is_taken_where_several_columns_would_do() -> None:
    d = d_spacing(ANGLES, 1.5406)
    for names, columns in (
        ("d,2Theta,Intensity", (d, ANGLES, COUNTS)),
        ("time,2theta,counts", (np.arange(200.0), ANGLES, COUNTS)),
        ("Theta,2Theta,I,sigma", (ANGLES / 2, ANGLES, COUNTS, np.sqrt(COUNTS))),
        ("no,2theta,Yobs,Ycalc,Diff", (np.arange(200.0), ANGLES, COUNTS, COUNTS + 1, COUNTS)),
    ):
        pattern = read(table(*columns, header=names + "\n", separator=","))
        is_right(pattern)
        assert codes(pattern) == []


def test_unnamed_d_spacings_are_told() -> None:
    assert codes(read(table(d_spacing(ANGLES, 1.5406), COUNTS))) == ["uneven_steps"]


def test_rows_that_begin_with_the_separator() -> None:
    text = table(ANGLES, COUNTS, COUNTS - 1, header="2Theta\tYobs\tYcalc\n", separator="\t")
    is_right(read("".join("\t" + line + "\n" for line in text.splitlines())))


# ---- rows ----


@pytest.mark.parametrize("bad", [
    "{angle:.2f} ********", "******** {count:.1f}", "{angle:.2f} #NUM!", "{angle:.2f}", "{angle:.2f}********", "{angle:.2f} nan", "***** *****",
])  # fmt: skip
@pytest.mark.parametrize("at", [2, 100, 190])
@pytest.mark.parametrize("run", [1, 5, 8])
def test_unreadable_rows_are_counted_and_told(bad: str, at: int, run: int) -> None:
    lines = table(ANGLES, COUNTS, decimals=2).splitlines()
    for row in range(at, at + run):
        lines[row] = bad.format(angle=ANGLES[row], count=COUNTS[row])
    pattern = read("\n".join(lines) + "\n")
    kept = np.delete(np.arange(200), np.arange(at, at + run))
    np.testing.assert_allclose(pattern.two_theta, ANGLES[kept], atol=1e-9)
    np.testing.assert_allclose(pattern.intensity, COUNTS[kept])
    (told,) = pattern.meta["notes"]
    assert (told.code, told["rows"]) == ("rows_left_out", run)


def test_a_table_of_mostly_unreadable_rows_is_refused() -> None:
    rows = [f"{angle:.2f} {'12' if at % 3 == 0 else '********'}" for at, angle in enumerate(ANGLES)]
    with pytest.raises(ReadError, match=r"only 67 of its 200 rows can be read; the first other is '5.05 \*+'"):
        read("\n".join(rows) + "\n")


def test_a_table_that_words_interrupt_is_one_scan_or_told() -> None:
    lines = table(ANGLES, COUNTS).splitlines()
    words = ["detector restarted", "shutter opened", "scan goes on", "after a pause"]
    pattern = read("\n".join([*lines[:9], *words, *lines[9:]]))
    is_right(pattern)
    assert codes(pattern) == []


@pytest.mark.parametrize(("word", "value"), [
    ("\u221212", -12.0), ("\u201312", -12.0), ("(12)", -12.0), ("12(3)", 12.0), ('"1,234"', 1234.0), ('"1,234,567.5"', 1234567.5), ("1'234", 1234.0),
    ("1\u2019234", 1234.0), ("1\u00a0234", 1234.0), ("1.2E+03", 1200.0), ("1.2D+03", 1200.0),
])  # fmt: skip
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_numbers_in_every_dress(word: str, value: float, separator: str) -> None:
    lines = table(ANGLES, COUNTS, separator=separator).splitlines()
    lines[50] = f"{ANGLES[50]:.5f}{separator}{word}"
    pattern = read("\n".join(lines) + "\n")
    assert pattern.two_theta.size == 200
    assert pattern.intensity[50] == value
    assert codes(pattern) == []


@pytest.mark.parametrize(
    ("word", "value"), [("1.234", 1234.0), ("1.234,5", 1234.5), ("12.345.678,5", 12345678.5), ('"1.234,5"', 1234.5), ("0.5", 0.5)]
)
def test_thousands_in_a_file_of_decimal_commas(word: str, value: float) -> None:
    lines = table(ANGLES, COUNTS, separator=";").replace(".", ",").splitlines()
    lines[50] = f"{ANGLES[50]:.5f}".replace(".", ",") + ";" + word
    pattern = read("\n".join(lines) + "\n")
    assert pattern.intensity[50] == value
    assert codes(pattern) == []


def test_all_in_quotes_with_decimal_commas() -> None:
    is_right(read("".join(f'"{a:.2f}","{c:.1f}"\n'.replace(".", ",") for a, c in zip(ANGLES, COUNTS, strict=True))))


# ---- the wavelength ----


@pytest.mark.parametrize("line", [
    "# Wavelength: 0.7107", "Wavelength (nm): 0.07107", "wavelength [nm] = 0.07107", "Wavelength = 0.07107 nm", "Wavelength in nm: 0.07107",
    "lambda/nm 0.07107", "Wavelength: 71.07 pm", "Wavelength: 0.7107e-10 m", "Wavelength (Angstrom) 0.7107", "# Wavelength,0.7107,A", "λ = 0.7107 Å",
    "K-Alpha1 wavelength (nm): 0.07107", "0.71070",
])  # fmt: skip
def test_wavelengths(line: str) -> None:
    pattern = read(table(ANGLES, COUNTS, np.sqrt(COUNTS), header=line + "\n"))
    assert pattern.wavelength == pytest.approx(0.7107, abs=1e-6)
    is_right(pattern)


def test_a_tube_line_in_nm_without_a_unit_is_told() -> None:
    pattern = read(table(ANGLES, COUNTS, header="Wavelength: 0.154056\n"))
    assert pattern.wavelength == pytest.approx(1.54056)
    assert codes(pattern) == ["wavelength_read_as_nm"]
    assert read(table(ANGLES, COUNTS, header="Wavelength: 0.1665\n")).wavelength == 0.1665
    assert read(table(ANGLES, COUNTS, header="Wavelength: 0.154056 A\n")).wavelength == 0.154056


# ---- several samples, wide tables ----


def test_samples_beside_one_another() -> None:
    text = table(ANGLES, COUNTS, 2 * COUNTS, 3 * COUNTS, header="2theta,MOF-5,HKUST-1,blank\n", separator=",")
    first = read(text)
    is_right(first)
    (told,) = first.meta["notes"]
    assert (told.code, told["column"], told["others"]) == ("first_column", "MOF-5", ("HKUST-1", "blank"))
    for column in ("HKUST-1", "hkust1", "2"):
        chosen = read(text, column=column)
        np.testing.assert_allclose(chosen.intensity, 2 * COUNTS)
        assert chosen.meta["column"] == "HKUST-1"
        assert codes(chosen) == []
    with pytest.raises(ReadError, match="no column 'UiO-66': it has MOF-5, HKUST-1, blank"):
        read(text, column="UiO-66")


def test_pairs_of_columns() -> None:
    columns = (ANGLES, COUNTS, ANGLES + 0.3, 2 * COUNTS)
    named = table(*columns, header="MOF-5,,HKUST-1,\n2theta,I,2theta,I\n", separator=",")
    plainly = table(*columns, separator=",")
    for text, names in ((named, ("MOF-5", "HKUST-1")), (plainly, ("sample 1", "sample 2"))):
        is_right(read(text))
        second = read(text, column=names[1])
        np.testing.assert_allclose(second.two_theta, ANGLES + 0.3, atol=1e-5)
        np.testing.assert_allclose(second.intensity, 2 * COUNTS)


@pytest.mark.parametrize("per_row", [4, 5, 8, 10])
@pytest.mark.parametrize("separator", [" ", ",", "\t"])
def test_an_angle_and_then_many_intensities(per_row: int, separator: str) -> None:
    angles, counts = make.angles(403, 5.0, 0.02), make.counts(403) + 20 * np.sin(np.arange(403) / 40)
    rows = [separator.join([f"{angles[at]:.3f}", *(f"{value:.0f}" for value in counts[at : at + per_row])]) for at in range(0, 403, per_row)]
    pattern = read("\n".join(rows) + "\n")
    np.testing.assert_allclose(pattern.two_theta, angles, atol=1e-6)
    np.testing.assert_allclose(pattern.intensity, np.round(counts))


def test_a_table_of_many_columns_without_names_is_told() -> None:
    rng = np.random.default_rng(0)
    pattern = read(table(ANGLES, COUNTS, *(rng.uniform(0, 1, 200) for _ in range(5))))
    is_right(pattern)
    assert codes(pattern) == ["unnamed_columns"]


# ---- lists of peaks ----

PLACES_OF_PEAKS = np.array([5.3, 6.7, 9.5, 11.62, 13.4, 14.65, 17.45, 19.02, 20.2, 26.0, 29.3, 35.2])
HEIGHTS = np.array([10.0, 60.0, 55.0, 100.0, 22.0, 8.0, 14.0, 19.0, 9.0, 17.0, 12.0, 6.0])


@pytest.mark.parametrize("header", [
    "", "2theta I\n", "Peak list of sample 3\n2theta I\n", "Peak Search Report (12 Peaks, Max P/N = 50.0)\nPEAK: 21-pts\n\n2-Theta Height\n",
    "Pos. [°2Th.]\tHeight [cts]\n",
])  # fmt: skip
def test_a_list_of_peaks_is_told_and_drawn_on_demand(header: str) -> None:
    text = table(PLACES_OF_PEAKS, HEIGHTS, header=header, separator="\t" if "\t" in header else " ")
    with pytest.raises(ReadError, match=r"is a list of 12 peaks, not a scan.*--peaks"):
        read(text)
    drawn = read(text, peaks=True)
    assert codes(drawn) == ["drawn_from_peaks"]
    heights = np.interp(PLACES_OF_PEAKS, drawn.two_theta, drawn.intensity)
    np.testing.assert_allclose(heights / heights.max(), HEIGHTS / 100, atol=0.02)


def test_a_list_of_d_spacings() -> None:
    d = d_spacing(PLACES_OF_PEAKS, 1.5406)
    for header in ("# Wavelength 1.5406\nd(A) I/I0 FWHM\n", "# Wavelength 1.5406\n d [Å]  Rel. Int. [%]  FWHM\n"):
        drawn = read(table(d, HEIGHTS, np.full(12, 0.1), header=header), peaks=True)
        assert sorted(codes(drawn)) == ["converted", "drawn_from_peaks"]
        assert drawn.two_theta[drawn.intensity.argmax()] == pytest.approx(11.62, abs=0.02)
    with pytest.raises(ReadError, match="list of 12 peaks"):
        read(table(d, HEIGHTS))
    with pytest.raises(ReadError, match="may be d-spacings"):
        read(table(d, HEIGHTS), peaks=True)


def test_lists_whose_place_is_not_the_first_column() -> None:
    d, number = d_spacing(PLACES_OF_PEAKS, 1.5406), np.arange(1.0, 13.0)
    mercury = table(number, number, number, d, HEIGHTS, number, header="  h   k   l   d-spacing   F^2   multiplicity\n")
    jade = table(number, PLACES_OF_PEAKS, d, HEIGHTS, np.full(12, 0.2), header="#\t2-Theta\td(A)\tHeight\tFWHM\n", separator="\t")
    for text, fwhm in ((mercury, 0.12), (jade, 0.2)):
        with pytest.raises(ReadError, match="list of 12 peaks"):
            read(text)
        drawn = read(text, peaks=True, wavelength=1.5406)
        assert drawn.two_theta[drawn.intensity.argmax()] == pytest.approx(11.62, abs=0.02)
        assert next(told for told in drawn.meta["notes"] if told.code == "drawn_from_peaks")["fwhm"] == fwhm


def test_a_short_scan_is_no_list_of_peaks() -> None:
    assert read(table(ANGLES[:20], COUNTS[:20])).two_theta.size == 20


# ---- the cases of the shared collection ----

#: What is right, by the words of CASES.tsv: points, first and last angle, largest intensity, wavelength, codes; or what a refusal says.
RIGHT: dict[str, tuple[int, float, float, float, float | None, list[str]] | str] = {
    "03-rigaku-11col.txt": (2250, 5.0, 49.98, 3077, None, []),
    "06-fit2d-q-nm.chi": "scattering vectors",
    "29-theta-only.csv": (2251, 5.0, 50.0, 3077, None, ["converted"]),
    "09-pyfai-2th-rad.dat": (2251, 5.0, 50.0, 3077, 1.54187, ["converted"]),
    "88-dash-mo.xye": (2251, 2.3041, 22.466, 3077, 0.7107, []),
    "141-stars-long-run.xy": (2237, 5.0, 50.0, 2574, None, ["rows_left_out"]),
    "146-neg-unicode.xy": (2251, 5.0, 50.0, 2947, None, []),
    "99-thousands-quoted.csv": (2251, 5.0, 50.0, 3077, None, []),
    "93-wavelength-nm.xy": (2251, 2.3041, 22.466, 3077, 0.7107, []),
    "51-axis-key.txt": (2251, 5.0, 50.0, 3077, None, []),
    "62-refined-topas-txt.txt": (2251, 5.0, 50.0, 3077, None, []),
    "23-three-samples.csv": (2251, 5.0, 50.0, 5, None, ["first_column"]),
    "110-jade-peaks.txt": "a list of 40 peaks",
    "160-xaxis-q.txt": "scattering vectors",
    "166-sin-theta-lambda.csv": r"sin\(theta\)/lambda",
    "keys-and-values.csv": (1751, 5.0, 40.0, 2125, 1.541871, []),
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not part of the project (../shared)")
@pytest.mark.parametrize("name", RIGHT)
def test_cases(name: str) -> None:
    with (CASES / "CASES.tsv").open(encoding="utf-8", newline="") as stream:
        assert f"scans/{name}" in {row["file"] for row in csv.DictReader(stream, delimiter="\t")}
    right = RIGHT[name]
    if isinstance(right, str):
        with pytest.raises(ReadError, match=right):
            formats.read(CASES / "scans" / name)
        return
    pattern = formats.read(CASES / "scans" / name)
    points, first, last, most, wavelength, notes = right
    assert pattern.two_theta.size == points
    assert (pattern.two_theta[0], pattern.two_theta[-1], pattern.intensity.max()) == pytest.approx((first, last, most), abs=1e-3)
    assert pattern.wavelength == (None if wavelength is None else pytest.approx(wavelength, abs=1e-6))
    assert [code for code in codes(pattern) if code != "just_changed"] == notes


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not part of the project (../shared)")
@pytest.mark.parametrize("name", [
    "141-stars-long-run.xy", "51-axis-key.txt", "62-refined-topas-txt.txt", "84-eva-stopped.dql", "88-dash-mo.xye", "93-wavelength-nm.xy",
    "keys-and-values.csv",
])  # fmt: skip
def test_geddes_agrees_where_it_reads_right(name: str) -> None:
    geddes = pytest.importorskip("geddes")
    other, pattern = geddes.read(str(CASES / "scans" / name)), formats.read(CASES / "scans" / name)
    np.testing.assert_allclose(pattern.two_theta, other.x, atol=1e-6)
    np.testing.assert_allclose(pattern.intensity, other.y, rtol=1e-9)
