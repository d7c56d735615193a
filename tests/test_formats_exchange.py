"""Readers of exchange formats, other programs and beamlines: right values in every variant, and refusals by name."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import scanfiles as make
import scanfiles_exchange as more

import xrdmatch
from xrdmatch import formats
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import ReadError

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases" / "scans"
MEAN = (2 * make.KA1 + make.KA2) / 3


def parse(data: bytes, **options: object) -> Pattern:
    return formats.parse(data, "scan.file", formats.ReadOptions(**options))  # type: ignore[arg-type]


def same(data: bytes, **options: object) -> Pattern:
    """The pattern, which must be the scan that every file here is made of."""
    pattern = parse(data, **options)
    np.testing.assert_allclose(pattern.two_theta, make.angles(), atol=2e-5)
    np.testing.assert_allclose(pattern.intensity, make.counts(), rtol=1e-6)
    return pattern


def refused(data: bytes, words: str, **options: object) -> None:
    with pytest.raises(ReadError, match=words) as caught:
        parse(data, **options)
    assert "\n" not in str(caught.value)


def codes(pattern: Pattern) -> list[str]:
    return [told.code for told in pattern.meta.get("notes", ())]


# ---- every format ----


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("kind", more.ALL)
def test_reads_each_format(kind: str, newline: bytes) -> None:
    encode, name = more.ALL[kind]
    data = encode()
    if b"\0" not in data:
        data = data.replace(b"\n", newline)
    pattern = same(data)
    assert pattern.meta["format"].startswith(name)
    assert codes(pattern) == []


@pytest.mark.parametrize(
    ("kind", "wavelength", "expected"),
    [
        ("mdi", 1.540598, {"sample": "MOF-5 as made", "date": "01/02/20", "counting_time": 1.0, "anode": "Cu", "wavelength_kind": "stated"}),
        ("cpi", 1.5406, {"sample": "MOF-5", "date": "29-4-2002", "anode": "Cu", "wavelength_kind": "stated"}),
        ("val", None, {"sample": "MOF-5 as made", "counting_time": 3.0}),
        ("keyed", None, {"counting_time": 1.0}),
        ("rigaku raw", MEAN, {"anode": "Cu", "wavelength_kind": "Ka mean"}),
        ("spec", 1.5406, {"date": "Wed Jan 01 10:00:00 2020", "counting_time": 1.0, "wavelength_kind": "stated"}),
        ("jcamp", 1.5406, {"sample": "MOF-5", "intensity_unit": "counts", "wavelength_kind": "stated"}),
        ("nexus", make.KA1, {"sample": "MOF-5", "date": "2020-01-01T10:00:00", "wavelength_kind": "stated"}),
        ("dotted cif", 1.5406, {"wavelength_kind": "stated"}),
    ],
)
def test_reads_what_the_file_tells(kind: str, wavelength: float | None, expected: dict[str, object]) -> None:
    pattern = parse(more.ALL[kind][0]())
    assert pattern.wavelength == (None if wavelength is None else pytest.approx(wavelength, abs=1e-6))
    assert {key: pattern.meta.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("data", "there"),
    [
        (more.mdi(values=make.counts()[:50], count=60, closing=""), "50 of 60"),
        (more.cpi([f"{value:.0f}" for value in make.counts()[:40]]), "40 of 60"),
        (more.val()[:-60], "of 60"),
        (more.keyed(count=30), "30 of 60"),
        (more.rigaku_raw()[:-40], "50 of 60"),
        (more.jcamp()[:-60], "of 60"),
        (more.nexus()[:-100], "is an HDF5 file that ends after"),
        (b"SIETRONICS XRD SCAN\n5.0\n", "still being written"),
        (more.SPEC_HEAD.encode(), "still being written"),
        (more.rigaku_raw()[:2000], "still being written"),
        (make.eva()[:-40], "still being written"),
    ],
)
def test_an_unfinished_file_is_told(data: bytes, there: str) -> None:
    refused(data, f"{there}.*still being written" if "written" not in there else there)


# ---- start, end, step and counts ----


def test_mdi_counts_that_touch_and_a_scan_that_was_stopped() -> None:
    large = parse(more.mdi(values=make.counts() * 1e4))
    np.testing.assert_allclose(large.intensity, make.counts() * 1e4)
    stopped = parse(more.mdi(values=make.counts()[:50], count=60))
    assert stopped.two_theta.size == 50
    assert codes(stopped) == ["stopped_early"]
    same(more.mdi(closing=""))
    same(more.mdi(time="100.0"))
    same(more.mdi(step="0.0 "))  # too few decimals: end and count tell the step
    refused(more.mdi(count=50), "do not agree")
    following = parse(more.mdi() + more.mdi().replace(b"5.000 0", b"6.200 0").replace(b"6.180 ", b"7.380 "))
    assert following.two_theta.size == 120
    assert following.two_theta[-1] == pytest.approx(7.38)


def test_cpi_decimal_commas_and_thousands() -> None:
    same(more.cpi([f"{value:.1f}".replace(".", ",") for value in make.counts()], "5,000", "6,180"))
    same(more.cpi([f"{value:,.0f}" for value in make.counts()]))
    same(more.cpi().lower())
    refused(more.cpi(["1,234"] * 60), "may mark decimals or thousands")
    refused(more.cpi([*["12"] * 59, "1x"]), "among its counts")
    refused(more.cpi(["12"] * 70), "holds 70 counts")
    refused(more.cpi(start="sample"), "expected start, end and step")


def test_val_ranges() -> None:
    assert parse(more.val(ranges=2)).two_theta.size == 120
    same(more.val(mark="Intensitaeten"))
    same(more.val(mark="1"))  # counts begin thirteen lines below, whatever stands above them
    refused(more.val().replace(b"5.00\n6.18", b"\nx"), "not followed by start, end, step and count")


@pytest.mark.parametrize(
    "header",
    [
        "start=5\nstop=6.18\nstep=0.02\n",
        "START ANGLE: 5.0 deg\nEND ANGLE: 6.18 deg\nSTEP SIZE: 0.02 deg\n",
        "Begin,5\nEnd,6.18\nStep,0.02\n",
        "Start time: 12\nEnd time: 14\nStep time 3\nbegin; 5,0\nend; 6,18\nstep; 0,02\n",
        "2theta begin 5\n2theta end 6.18\n2theta step 0.02\n",
        "Theta begin 2.5\nTheta end 3.09\nTheta step 0.01\n",
        "Startwinkel 5\nEndwinkel 6.18\nSchrittweite 0.02\n",
        "Start_Angle\t5.0\nStop_Angle\t6.18\nStep\t0.02\n",
        "# from 5\n# to 6.18\n# Increment 0.02\n",
    ],
)
def test_keys_above_one_column(header: str) -> None:
    same(more.keyed(header))


def test_words_of_a_title_are_no_keys() -> None:
    data = b"zinc from end to step\nlambda=  1.49400\n 5.000 0.020 6.180 18000.\n" + b"\n".join(b"%.0f" % value for value in make.counts()) + b"\n"
    assert same(data).meta["format"] == "start, step, end and intensities"


def test_what_the_keys_say_of_axis_and_radiation() -> None:
    span = "Begin 5\nEnd 6.18\nStep 0.02\n"
    assert parse(more.keyed("Wavelength (nm): 0.07107\n" + span)).wavelength == pytest.approx(0.7107)
    assert parse(more.keyed("Anode: Mo\n" + span)).meta["anode"] == "Mo"
    assert parse(more.keyed("ka1 = 1.5406\nka2 = 1.54439\n" + span)).wavelength == pytest.approx(MEAN)
    refused(more.keyed("Drive: omega\n" + span), "omega")
    refused(more.keyed("Begin energy 5 keV\nEnd energy 6.18 keV\nStep energy 0.02 keV\n"), "energies")
    assert codes(parse(more.keyed("q begin 0.5 1/nm\nq end 1.68 1/nm\nq step 0.02 1/nm\nlambda 1.54\n"))) == ["converted"]
    refused(more.keyed("Begin 5\nEnd 4\nStep 0.02\n"), "the file is damaged")
    refused(more.keyed("Start time 10:30\nEnd time 11:00\nStep time 1\n"), "do not name start, end and step")


# ---- Rigaku RAW ----


def test_rigaku_raw_of_both_kinds() -> None:
    for data in (more.rigaku_raw(older=True), more.rigaku_raw(stated=False), more.rigaku_raw(mark=False), more.rigaku_raw(True, mark=False)):
        assert same(data).wavelength == pytest.approx(MEAN)
    assert parse(more.rigaku_raw(ranges=2)).two_theta.size == 120
    damaged = bytearray(more.rigaku_raw())
    damaged[3154] = 7
    refused(bytes(damaged), "do not agree")


# ---- SPEC ----


@pytest.mark.parametrize(
    "labels",
    [
        "tth  Epoch  Seconds  Monitor  Detector",
        "2theta  Epoch  Seconds  Monitor  det",
        "TwoTheta  a  b  c  counts",
        "two_theta  th  chi  Monitor  apd",
        "tth a b c det",
    ],
)
def test_spec_columns(labels: str) -> None:
    same(more.spec(more.spec_scan(labels)))


def test_spec_scans() -> None:
    same(more.spec(more.spec_scan(spectra=True)))
    phi = more.spec_scan("Phi  Epoch  Seconds  Monitor  Detector", "ascan phi 5 6.18 59 1")
    same(more.spec(phi, more.spec_scan(number=2)))
    assert parse(more.spec(more.spec_scan(), more.spec_scan(first=make.angles() + 1.2, number=2))).two_theta.size == 120
    stopped = parse(more.spec(more.spec_scan(count=40) + "#C Scan aborted after 40 points.\n"))
    assert stopped.two_theta.size == 40
    assert codes(stopped) == ["stopped_early"]
    assert codes(parse(more.spec()[:-8])) == ["broken_record"]
    both = more.spec_scan("Theta  Two Theta  Seconds  Monitor  Detector", "a2scan th 2 3 tth 0 59 59 1")
    np.testing.assert_allclose(parse(more.spec(both)).two_theta, np.arange(60))  # the second column, which counts here


@pytest.mark.parametrize(
    ("labels", "command", "named"),
    [
        ("Theta  Epoch  Seconds  Monitor  Detector", "ascan th 5 6 59 1", r"theta \(rocking\) scan"),
        ("H  K  L  Monitor  Detector", "hklscan 1 1 0 0 0 4 59 1", "hkl scan"),
        ("Energy  Epoch  Seconds  Monitor  Detector", "Escan 8 9 59 1", "energy"),
        ("Delta  Epoch  Seconds  Monitor  Detector", "ascan del 5 6 59 1", "columns Delta, Epoch, Seconds, Monitor, Detector"),
        ("Time  Epoch  Seconds  Monitor  Detector", "timescan 1 0", "Time"),
    ],
)
def test_spec_scans_that_are_none_of_2theta(labels: str, command: str, named: str) -> None:
    refused(more.spec(more.spec_scan(labels, command)), f"SPEC.*{named}")


def test_spec_with_a_damaged_row() -> None:
    data = more.spec().replace(b" 10 1 10000", b" 10 x 10000")
    refused(data, "columns in a row")


# ---- JCAMP-DX ----


@pytest.mark.parametrize("form", ["AFFN", "PAC", "SQZ", "DIF"])
def test_jcamp_forms(form: str) -> None:
    assert same(more.jcamp(more.jcamp_table(form))).wavelength == 1.5406


def test_jcamp_duplicates_pairs_and_factors() -> None:
    # 10, twice (T); difference 1 (J), three more times (V): 11, 12, 13, 14.
    table = "5.00A0TJV\n5.10A4\n"
    pattern = parse(more.jcamp(table, points=6).replace(b"LASTX= 6.18", b"LASTX= 5.1"))
    np.testing.assert_allclose(pattern.intensity, [10, 10, 11, 12, 13, 14])
    pairs = "".join(
        f"{angle:.2f}, {value:.0f}; " + "\n" * (at % 3 == 2) for at, (angle, value) in enumerate(zip(make.angles(), make.counts(), strict=True))
    )
    same(more.jcamp(pairs, "XYPOINTS= (XY..XY)"))
    np.testing.assert_allclose(parse(more.jcamp(factor=0.5)).intensity, 0.5 * make.counts())
    assert parse(more.jcamp() + more.jcamp()).two_theta.size == 60


@pytest.mark.parametrize("units", ["DEGREES 2-THETA", "2THETA (DEG)", "DEGREES", "2 Theta", ""])
def test_jcamp_calls_2theta_so(units: str) -> None:
    same(more.jcamp(units=units))


@pytest.mark.parametrize("units", ["1/CM", "cm-1", "1/cm"])
def test_jcamp_of_a_converter_for_infrared_spectra(units: str) -> None:
    pattern = parse(more.jcamp(units=units))
    np.testing.assert_allclose(pattern.two_theta, make.angles(), atol=1e-9)
    assert [(told.code, told["called"]) for told in pattern.meta["notes"]] == [("odd_unit", units)]
    with pytest.raises(ReadError, match="infrared spectrum"):
        parse(more.jcamp(units=units, kind="INFRARED SPECTRUM"))


def test_jcamp_refusals() -> None:
    refused(more.jcamp(units="1/CM", kind="INFRARED SPECTRUM"), "infrared spectrum")
    refused(more.jcamp(units="MICROMETERS"), "expected 2theta")
    refused(more.jcamp(points=61), "NPOINTS gives 61")
    refused(more.jcamp("", "NTUPLES= X"), "NTUPLES")
    refused(more.jcamp(more.jcamp_table("DIF").replace("J", "K", 1)), "is inconsistent")
    refused(more.jcamp().replace(b"LASTX= 6.18", b"LASTX= 9.0"), "should begin at")
    refused(more.jcamp().replace(b"##XYDATA", b"##FIRSTY= 77\n##XYDATA"), "FIRSTY")
    peaks = more.jcamp("5.10,100 6.00,20\n", "PEAK TABLE= (XY..XY)", points=2)
    refused(peaks, "list of 2 peaks")
    assert codes(parse(peaks, peaks=True)) == ["drawn_from_peaks"]
    assert codes(parse(more.jcamp(units="D-SPACING"))) == ["converted"]


# ---- NeXus and other HDF5 ----


@pytest.mark.parametrize(
    "options",
    [
        {"group_attrs": {}, "signal_attrs": {"signal": 1}, "axis_attrs": {"axis": 1, "units": "degrees"}},
        {"group_attrs": {}, "signal_attrs": {"signal": "1", "axes": "polar_angle"}},
        {"axis": "two_theta"},
        {"axis": "radial", "axis_attrs": {"units": "2th_deg"}},
        {"axis": "radial", "axis_attrs": {"name": "2th", "unit": "deg", "long_name": "Diffraction radial direction"}},
        {"axis_attrs": {}},
        {"classes": False},
        {"values": make.counts().reshape(1, -1)},
        {"positions": np.radians(make.angles()), "axis_attrs": {"units": "rad"}},
        {"positions": np.append(make.angles(), make.angles()[-1] + 0.02) - 0.01},
    ],
)
def test_nexus_variants(options: dict[str, object]) -> None:
    assert same(more.nexus(**options)).wavelength == pytest.approx(make.KA1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stated", "wavelength"),
    [
        (("wavelength", 0.15406, "nm"), 1.5406),
        (("wavelength", 1.5406e-10, "m"), 1.5406),
        (("wavelength", 1.5406e-10, ""), 1.5406),
        (("energy", 8.0478, "keV"), 1.5406),
        (("energy", 8047.8, "eV"), 1.5406),
        (("energy", 8047.8, ""), None),
        (None, None),
    ],
)
def test_nexus_wavelength(stated: tuple[str, float, str] | None, wavelength: float | None) -> None:
    assert parse(more.nexus(wavelength=stated)).wavelength == (None if wavelength is None else pytest.approx(wavelength, abs=1e-4))


@pytest.mark.parametrize("attributes", [{"units": "q_nm^-1"}, {"name": "q", "unit": "nm^-1"}])
def test_scattering_vectors_of_pyfai(attributes: dict[str, object]) -> None:
    vectors = 40 * np.pi * np.sin(np.radians(make.angles() / 2)) / make.KA1
    assert codes(same(more.nexus("radial", attributes, positions=vectors))) == ["converted"]


def test_nexus_refusals() -> None:
    import h5py

    refused(more.nexus(values=np.zeros((60, 50))), "2-dimensional, 60 x 50")
    refused(more.nexus("energy", {"units": "keV"}), "energies")
    refused(more.nexus("omega"), "omega")
    refused(more.nexus("foo"), "gives no 2theta")
    refused(more.nexus()[:8], "is an HDF5 file that ends after")
    own = io.BytesIO()
    with h5py.File(own, "w") as file:
        file.attrs["format"] = "xrdmatch-library"
    refused(own.getvalue(), "a library or an augmented set")
    refused(b"xrdmatch table 1 00000989 f7582f2e\n" + b"{}" + bytes(20_000_000), "a library of xrdmatch")


def test_hdf5_leads_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    # Neither a module that lies beside the scan nor another file is opened.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "h5py.py").write_text("raise SystemExit(3)")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = make.counts()
    stream = io.BytesIO()
    layout = h5py.VirtualLayout((60,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (60,))
    with h5py.File(stream, "w") as file:
        for name in ("external", "virtual", "soft", "good"):
            group = file.create_group(f"entry/{name}")
            group.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": "two_theta"})
            group["two_theta"] = make.angles()
        file["entry/inside"] = make.counts()
        file["entry/external/data"] = h5py.ExternalLink("other.h5", "/secret")
        file["entry/virtual"].create_virtual_dataset("data", layout)
        file["entry/soft/data"] = h5py.SoftLink("/entry/external/data")
        file["entry/good/data"] = h5py.SoftLink("/entry/inside")
        file["entry/itself"], file["entry/round"] = file["entry"], h5py.SoftLink("/entry/round")
        file.create_dataset("entry/huge", shape=(10**12,), dtype="f8", chunks=(1000,), compression="gzip")
    pattern = parse(stream.getvalue())
    np.testing.assert_allclose(pattern.intensity, make.counts())
    assert pattern.meta["range_name"] == "/entry/good"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["h5py.py", "other.h5"]
    assert "h5py" in sys.modules  # this test's own, from before


# ---- Bruker, powder CIF, archives ----


def test_uxd_lists_of_peaks_and_unknown_keywords() -> None:
    refused(more.uxd_peaks(), "list of 3 peaks")
    drawn = parse(more.uxd_peaks(), peaks=True)
    assert codes(drawn) == ["converted", "drawn_from_peaks"]
    assert drawn.two_theta[np.argmax(drawn.intensity)] == pytest.approx(2 * np.degrees(np.arcsin(drawn.wavelength / 2 / 13.27)), abs=0.02)
    drawn = parse(more.uxd_peaks("_2THETA-I"), peaks=True)
    assert drawn.two_theta[np.argmax(drawn.intensity)] == pytest.approx(6.66, abs=0.02)
    same(make.uxd() + b"_2THETA-I\n5.4 100\n5.6 30\n")
    for keyword in ("_THETACOUNTS", "_XCOUNTS", "_SOMETHING"):
        refused(more.uxd_peaks(keyword), f"data keyword {keyword}")
    refused(more.uxd_peaks("_STEPTIME=1"), "without a data keyword")


def test_a_list_of_peaks_from_a_file(tmp_path: Path) -> None:
    place = tmp_path / "peaks.uxd"
    place.write_bytes(more.uxd_peaks())
    with pytest.raises(ReadError, match="list of 3 peaks"):
        xrdmatch.read(place)
    assert xrdmatch.read(place, peaks=True).two_theta.size > 100


def test_uxd_counting_times_beside_the_counts() -> None:
    rows = "\n".join(f"{angle:.4f} {value:.0f} {1 + at % 2}" for at, (angle, value) in enumerate(zip(make.angles(), make.counts(), strict=True)))
    head = make.uxd().split(b"_2THETACOUNTS")[0].decode()
    assert codes(same(f"{head}_2THETACOUNTSTIME\n{rows}\n".encode())) == ["counting_time_varies"]


def test_each_range_has_its_own_wavelength() -> None:
    data = make.uxd(ranges=2).replace(b"_DRIVE", b"_WL1=0.7093\n_WL2=0.71359\n_DRIVE", 1)
    second = data.rfind(b"; (Data for")
    data = data[:second] + data[second:].replace(b"_DRIVE", b"_WL1=1.5406\n_WL2=1.54439\n_DRIVE")
    assert parse(data, range_index=1).wavelength == pytest.approx(0.710730, abs=1e-5)
    assert parse(data, range_index=2).wavelength == pytest.approx(MEAN)
    assert "wavelengths differ" in parse(data).meta["notes"][0]["why"]
    raw = bytearray(make.raw3([(5.0, make.counts(30)), (5.6, make.counts(30))]))
    np.frombuffer(raw, "<f8", 1, 712 + 240)[0] = 0.7093
    assert parse(bytes(raw), range_index=1).wavelength == pytest.approx(0.7093)
    assert parse(bytes(raw), range_index=2).wavelength == pytest.approx(MEAN)


def test_eva_of_a_stopped_scan() -> None:
    data = make.eva().replace(b"Steps=60", b"Steps=100")
    pattern = same(data)
    (told,) = pattern.meta["notes"]
    assert (told.code, told["points"], told["planned"]) == ("stopped_early", 60, 100)
    refused(data.replace(b"Steps=100", b"Steps=100\nNumberOfMeasuredData=80"), "60 of 80")
    refused(data[:-3], "still being written")


def dotted(data: bytes) -> bytes:
    return data.replace(b"_pd_meas_", b"_pd_meas.").replace(b"_pd_proc_", b"_pd_proc.").replace(b"_diffrn_radiation_type", b"_diffrn_radiation.type")


def test_cif_with_dotted_names_and_a_range() -> None:
    for column in (True, False):
        assert same(dotted(make.cif(column))).meta["anode"] == "Cu"


def test_cif_blocks_are_ranges() -> None:
    longer = "data_b\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n" + "\n".join(f"{5 + 0.05 * at:.2f} {at}" for at in range(100)) + "\n"
    data = more.cif_dotted() + longer.encode()
    pattern = parse(data)
    assert pattern.two_theta.size == 100
    assert codes(pattern) == ["range_chosen"]
    assert pattern.wavelength == 1.5406  # of the other block, for lack of its own
    same(data, range_index=1)


@pytest.mark.parametrize(
    ("tag", "values", "said"),
    [
        ("_pd_proc_d_spacing", 1.5406 / 2 / np.sin(np.radians(make.angles() / 2)), None),
        ("_pd_proc.recip_len_Q", 4 * np.pi * np.sin(np.radians(make.angles() / 2)) / 1.5406, None),
        ("_pd_meas_time_of_flight", np.arange(60) * 10.0 + 1000, "times of flight"),
        ("_pd_proc_energy_detection", np.arange(60) * 10.0 + 5000, "energies"),
    ],
)
def test_cif_with_another_abscissa(tag: str, values: np.ndarray, said: str | None) -> None:
    rows = "\n".join(f"{value:.7f} {count:.0f}" for value, count in zip(values, make.counts(), strict=True))
    data = f"data_x\n_diffrn_radiation_wavelength 1.5406\nloop_\n{tag}\n_pd_meas_counts_total\n{rows}\n".encode()
    if said:
        refused(data, said)
    else:
        assert codes(same(data)) == ["converted"]


def test_cif_lists_of_peaks() -> None:
    data = b"data_x\n_diffrn_radiation_wavelength 1.5406\nloop_\n_pd_peak_d_spacing\n_pd_peak_intensity\n13.0 100\n9.0 20\n"
    refused(data, "list of 2 peaks")
    assert codes(parse(data, peaks=True)) == ["converted", "drawn_from_peaks"]


def test_xrdml_in_archives() -> None:
    for packed in (gzip.compress(make.xrdml()), make.zipped({"scan.xrdml": make.xrdml()}), gzip.compress(make.zipped({"scan.xrdml": make.xrdml()}))):
        assert same(packed).meta["format"] == "PANalytical XRDML 1.5"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (make.zipped({"Data0/Image0.bin": bytes(1000), "Data0/MesurementConditions0.xml": b"<x/>", "root.xml": b"<r/>"}), "two-dimensional image"),
        (make.zipped({"frame.tif": b"II*\0" + bytes(100)}), "an image"),
        (make.zipped({"frame.cbf": b"###CBF: VERSION 1.5" + bytes(100)}), "area detector"),
        (b"{\nHeaderID = EH:000001;\n" + bytes(100), "area detector"),
        (b"Shimadzu XRD\0\0\0\0Ver 4.0\0" + bytes(2000), "Shimadzu RAW file"),
        (b"V3DI" + bytes(2000), "Philips list of peaks"),
        (b"SampleIdent,x,/\nAnode,Cu,/\nPeakAngle,5.0,/\n", "list of peaks"),
    ],
)
def test_refused_by_name(data: bytes, named: str) -> None:
    refused(data, named)


# ---- the cases ----


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not part of the project (../shared/cases)")
@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        ("01-jade.mdi", "Jade MDI"),
        ("02-sietronics.cpi", "Sietronics CPI"),
        ("80-rigaku-fi.raw", "Rigaku RAW"),
        ("82-nxmonopd.nxs", "NeXus NXmonopd"),
        ("84-eva-stopped.dql", "Bruker EVA text"),
        ("85-one-scan.spec", "SPEC"),
        ("132-seifert-val.val", "start, end, step and counts"),
        ("153-pdcif-ddlm.cif", "powder CIF"),
    ],
)
def test_cases_that_are_read(name: str, format_name: str) -> None:
    pattern = formats.read(CASES / name)
    assert pattern.meta["format"] == format_name
    assert (pattern.two_theta.size, pattern.two_theta[0], pattern.intensity.max()) == (2251, pytest.approx(5.0), 3077.0)
    assert pattern.two_theta[-1] == pytest.approx(50.0)


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not part of the project (../shared/cases)")
@pytest.mark.parametrize(("name", "named"), [("115-uxd-d-I.uxd", "list of 40 peaks"), ("119-image.rasx", "two-dimensional image")])
def test_cases_that_are_refused(name: str, named: str) -> None:
    with pytest.raises(ReadError, match=named):
        formats.read(CASES / name)
