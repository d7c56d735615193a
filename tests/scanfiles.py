"""Small files of every instrument format, encoded here from the layout facts. No third-party data."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np

KA1, KA2, KB = 1.5406, 1.54439, 1.39222
COUNT = 60
START, STEP = 5.0, 0.02


def angles(count: int = COUNT, start: float = START, step: float = STEP) -> np.ndarray:
    return start + step * np.arange(count)


def counts(count: int = COUNT, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(200 + 3000 * np.exp(-((np.arange(count) - count / 3) ** 2) / 8)).astype(float)


def _put(buffer: bytearray, offset: int, code: str, value: object) -> None:
    struct.pack_into("<" + code, buffer, offset, value)


def raw1(ranges: list[tuple[float, np.ndarray]] | None = None, repeat_magic: bool = True) -> bytes:
    ranges = ranges or [(START, counts())]
    out = b""
    for number, (start, values) in enumerate(ranges):
        head = bytearray(156)
        head[:4] = b"RAW "
        for at, code, value in ((4, "I", len(values)), (8, "f", 4.0), (12, "f", STEP), (24, "f", start), (72, "f", KA1), (76, "f", KA2)):
            _put(head, at, code, value)
        head[40:47] = b"POWDER1"
        _put(head, 152, "I", int(number + 1 < len(ranges)))
        body = values.astype("<f4").tobytes()
        out += (bytes(head) if repeat_magic or number == 0 else bytes(head[4:])) + body
    return out


def raw2(values: np.ndarray | None = None) -> bytes:
    values = counts() if values is None else values
    head = bytearray(256)
    head[:4] = b"RAW2"
    _put(head, 4, "H", 1)
    head[8:14] = b"SAMPLE"
    head[168:183] = b"19-12-199721:57"
    head[188:190] = b"Cu"
    for at, value in ((190, KA1), (194, KA2), (198, 0.5)):
        _put(head, at, "f", value)
    block = bytearray(60)
    for at, code, value in ((0, "H", 60), (2, "H", len(values)), (8, "f", 3.0), (12, "f", STEP), (16, "f", START)):
        _put(block, at, code, value)
    return bytes(head) + bytes(block) + values.astype("<f4").tobytes()


def raw3(
    ranges: list[tuple[float, np.ndarray]] | None = None, scan_type: int = 0, supplement: int = 40, ratio: float = 0.5, ka2: float = KA2
) -> bytes:
    ranges = ranges or [(START, counts())]
    head = bytearray(712)
    head[:8] = b"RAW1.01\0"
    _put(head, 12, "I", len(ranges))
    head[16:24], head[26:34], head[326:331], head[608:610] = b"03/04/10", b"20:59:14", b"MOF 5", b"Cu"
    for at, value in ((616, 1.54184), (624, KA1), (632, ka2), (640, KB), (648, ratio)):
        _put(head, at, "d", value)
    out = bytes(head)
    for start, values in ranges:
        block = bytearray(304)
        for at, code, value in (
            (0, "I", 304), (4, "I", len(values)), (8, "d", start / 2), (16, "d", start), (176, "d", STEP), (192, "f", 0.5), (196, "I", scan_type),
            (240, "d", KA1), (252, "I", 4), (256, "I", supplement),
        ):  # fmt: skip
            _put(block, at, code, value)
        out += bytes(block) + bytes(supplement) + values.astype("<f4").tobytes()
    return out


def raw4(
    ranges: list[tuple[float, np.ndarray]] | None = None, record: int = 4, scan: bytes = b"Locked Coupled", ka2: float = KA2, time: float = 96.0
) -> bytes:
    ranges = ranges or [(START, counts())]
    head = bytearray(61)
    head[:8], head[12:22], head[24:32] = b"RAW4.00\0", b"05/19/2025", b"14:24:14"
    _put(head, 40, "I", len(ranges))
    text = b"MOF-5 as made"
    sample = bytearray(36) + text
    _put(sample, 0, "I", 10)
    _put(sample, 4, "I", 36 + len(text))
    sample[12:20] = b"SAMPLEID"
    tube = bytearray(136)
    _put(tube, 0, "I", 30)
    _put(tube, 4, "I", 136)
    for at, value in ((72, 1.5418), (80, KA1), (88, ka2), (96, KB), (104, 0.5 if ka2 else 0.0)):
        _put(tube, at, "d", value)
    tube[116:118] = b"Cu"
    out = bytes(head) + bytes(sample) + bytes(tube)
    for start, values in ranges:
        block = bytearray(160)
        block[32 : 32 + len(scan)] = scan
        for at, code, value in (
            (72, "d", start), (80, "d", STEP), (88, "I", len(values)), (92, "f", time), (112, "d", 1.5418), (136, "I", record), (140, "I", 92),
        ):  # fmt: skip
            _put(block, at, code, value)
        records = np.zeros((len(values), record // 4), "<f4")
        records[:, 0] = values
        records[:, 1:] = 7.0
        out += bytes(block) + bytes(92) + records.tobytes()
    return out


def brml(axis: str = "TwoTheta", scan: str = "LockedCoupled", extra_columns: bool = False, member: str = "Experiment0/RawData0.xml") -> bytes:
    fields = "".join(f'<FieldDefinitions FieldName="{name}" AxisId="{name}"/>' for name in (axis, "Theta"))
    rows = zip(angles(), counts(), strict=True)
    if extra_columns:
        datum = "".join(f"<Datum>76.8,1,{two_theta:.4f},{two_theta / 2:.4f},{value:.0f},11,22,33</Datum>" for two_theta, value in rows)
    else:
        datum = "".join(f"<Datum>76.8,1,{two_theta:.4f},{two_theta / 2:.4f},{value:.0f}</Datum>" for two_theta, value in rows)
    text = f"""<?xml version="1.0"?><RawData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<TimeStampStarted>2025-05-19T14:24:14</TimeStampStarted><DataRoutes><DataRoute RouteFlag="Measured">
<ScanInformation ScanName="{scan}" VisibleName="scan"><MeasurementPoints>{COUNT}</MeasurementPoints><TimePerStepEffective>76.8</TimePerStepEffective>
<ScanAxes><ScanAxisInfo AxisId="{axis}"/><ScanAxisInfo AxisId="Theta"/></ScanAxes></ScanInformation>{datum}
<DataViews><RawDataView xsi:type="FixedRawDataView" Start="0" Length="1"/><RawDataView xsi:type="VaryingRawDataView" Start="2" Length="2">
<Varying>{fields}</Varying></RawDataView><RawDataView xsi:type="RecordedRawDataView" Start="4" Length="1"><Recording LogicName="ScanCounter"/>
</RawDataView></DataViews></DataRoute></DataRoutes><FixedInformation><InfoItem Name="SampleName" Value="HKUST-1"/><PrimaryTracks><Tube>
<WaveLengthAlpha1 Value="{KA1}"/><WaveLengthAlpha2 Value="{KA2}"/><WaveLengthBeta Value="{KB}"/><WaveLengthRatio Value="0.5"/>
<TubeMaterial>Cu</TubeMaterial></Tube></PrimaryTracks></FixedInformation></RawData>"""
    return zipped({member: text.encode(), "Experiment0/DataContainer.xml": b"<x/>"})


def xrdml(
    version: str = "1.5",
    axis: str = "Gonio",
    scans: int = 1,
    factors: str = "",
    monochromator: str = "",
    intended: str = "K-Alpha 1",
    ratio: float = 0.5,
) -> bytes:
    tag = "counts" if version >= "2.0" else "intensities"
    body = "".join(
        f"""<scan scanAxis="{axis}"><header><startTimeStamp>2024-04-12T11:05:06</startTimeStamp></header><dataPoints>
<positions axis="2Theta" unit="deg"><startPosition>{START + i * COUNT * STEP:.4f}</startPosition>
<endPosition>{START + (i * COUNT + COUNT - 1) * STEP:.4f}</endPosition></positions>
<positions axis="Omega" unit="deg"><startPosition>2.5</startPosition><endPosition>3.1</endPosition></positions>
{f"<beamAttenuationFactors>{factors}</beamAttenuationFactors>" if factors else ""}<commonCountingTime unit="seconds">13.77</commonCountingTime>
<{tag} unit="counts">{" ".join(f"{value:.0f}" for value in counts(seed=i + 1))}</{tag}></dataPoints></scan>"""
        for i in range(scans)
    )
    mono = f"<monochromator><crystal>{monochromator}</crystal></monochromator>" if monochromator else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?><xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/{version}"><sample><id>UiO-66</id></sample>
<xrdMeasurement><usedWavelength intended="{intended}"><kAlpha1 unit="Angstrom">1.540598</kAlpha1><kAlpha2 unit="Angstrom">1.544426</kAlpha2>
<kBeta unit="Angstrom">1.39225</kBeta><ratioKAlpha2KAlpha1>{ratio}</ratioKAlpha2KAlpha1></usedWavelength>
<incidentBeamPath><xRayTube><anodeMaterial>Cu</anodeMaterial></xRayTube>{mono}</incidentBeamPath>{body}</xrdMeasurement></xrdMeasurements>""".encode()


def ras(axis: str = "TwoThetaTheta", wave: str = "Ka", attenuator: np.ndarray | None = None, count: int = COUNT) -> bytes:
    factor = np.ones(COUNT) if attenuator is None else attenuator
    rows = "\r\n".join(f"{a:.4f} {v:.4f} {f:.4f}" for a, v, f in zip(angles(), counts() / factor, factor, strict=True))
    head = (
        '*RAS_DATA_START\r\n*RAS_HEADER_START\r\n*FILE_SAMPLE "ZIF-8"\r\n*HW_XG_TARGET_NAME "Cu"\r\n*HW_XG_WAVE_LENGTH_ALPHA1 "1.540593"\r\n'
        '*HW_XG_WAVE_LENGTH_ALPHA2 "1.544414"\r\n*HW_XG_WAVE_LENGTH_BETA "1.392250"\r\n*HW_COUNTER_NAME-3 "'
    )
    tail = (
        f'"\r\n*MEAS_COND_XG_WAVE_TYPE "{wave}"\r\n*MEAS_DATA_COUNT "{count}"\r\n*MEAS_SCAN_AXIS_X_INTERNAL "{axis}"\r\n*MEAS_SCAN_SPEED "3.0"\r\n'
        '*MEAS_SCAN_SPEED_UNIT "deg/min"\r\n*MEAS_SCAN_STEP "0.02"\r\n*MEAS_SCAN_UNIT_Y "counts"\r\n*RAS_HEADER_END\r\n*RAS_INT_START\r\n'
    )
    return head.encode() + "検出器".encode("shift_jis") + tail.encode() + rows.encode() + b"\r\n*RAS_INT_END\r\n*RAS_DATA_END\r\n"


def rasx(axis: str = "TwoThetaTheta", profile: str = "Data0/Profile0.txt") -> bytes:
    conditions = f"""<MeasurementConditions><GeneralInformation><SampleName>ZIF-8</SampleName></GeneralInformation><HWConfigurations><XrayGenerator>
<TargetName>Co</TargetName><WaveType>Ka</WaveType><WavelengthKbeta>1.62079</WavelengthKbeta><WavelengthKalpha1>1.788965</WavelengthKalpha1>
<WavelengthKalpha2>1.79285</WavelengthKalpha2></XrayGenerator></HWConfigurations><ScanInformation><AxisName>{axis}</AxisName><Step>0.02</Step>
<Speed>3</Speed><SpeedUnit>deg/min</SpeedUnit><IntensityUnit>counts</IntensityUnit><DataCount>{COUNT}</DataCount></ScanInformation></MeasurementConditions>"""
    rows = "\r\n".join(f"{a:.4f}\t{v:.0f}\t1" for a, v in zip(angles(), counts(), strict=True))
    return zipped({profile: ("\ufeff" + rows).encode(), "Data0/MesurementConditions0.xml": conditions.encode(), "root.xml": b"<r/>"})


def asc(axis: str = "2theta/theta", kind: str = "ASCII CLASS") -> bytes:
    values = [f"{value:.0f}" for value in counts()]
    rows = "\n".join(", ".join(values[at : at + 4]) for at in range(0, COUNT, 4))
    return (
        f"*TYPE\t\t=  Raw\n*CLASS\t\t=  {kind}\n*SAMPLE\t\t=  CuPc\n*DATE\t\t=  12-Jul-17 17:31\n*SCAN_AXIS\t=  {axis}\n*TARGET\t\t=  29\n"
        "*XRAY_CHAR\t=  K-ALPHA\n"
        f"*WAVE_LENGTH1\t=  1.54059\n*WAVE_LENGTH2\t=  1.54441\n*SPEED_DIM\t=  sec./step\n*YUNIT\t\t=  counts\n*BEGIN\n"
        f"*START\t\t=  {START}\n*STOP\t\t=  6.18\n"
        f"*STEP\t\t=  {STEP}\n*SPEED\t\t=  0.6\n*COUNT\t\t=  {COUNT}\n{rows}\n*END\n*EOF\n"
    ).encode()


def stoe(twice: bool = True, ka: tuple[float, float] = (KA1, KA2)) -> bytes:
    head = bytearray(2048)
    head[:14], head[16:31], head[32:37] = b"RAW_1.06Powdat", b"01-Dec-21 15:08", b"KE2-2"
    _put(head, 0x142, "f", ka[0])
    _put(head, 0x146, "f", ka[1])
    out = bytes(head)
    for count in (COUNT - 6, COUNT) if twice else (COUNT,):
        block = bytearray(512)
        block[:15], block[16:31] = b"01-Dec-21 15:08", b"01-Dec-21 15:13"
        end = START + STEP * (count - 1)
        for at, code, value in ((0x22, "H", count), (0x2C, "f", START), (0x34, "f", end), (0x3C, "f", STEP), (0x44, "f", 94.95)):
            _put(block, at, code, value)
        body = counts()[:count].astype("<i4").tobytes()
        # The writer reserves more room than the range needs.
        out += bytes(block) + body + bytes(-len(body) % 512 + 512)
    return out


def rd(version: bytes = b"V3RD") -> bytes:
    begin = 250 if version == b"V3RD" else 810
    head = bytearray(begin)
    head[:4] = version
    for at, value in ((94, KA1), (102, KA2), (110, 0.5), (214, STEP), (222, START - STEP / 2), (230, START + STEP * (COUNT - 0.5))):
        _put(head, at, "d", value)
    head[146:150] = b"7059"
    return bytes(head) + np.ceil(np.sqrt(100 * counts())).astype("<u2").tobytes()


def udf() -> bytes:
    values = [f"{value:8.0f}" for value in counts()]
    rows = "\n".join(",".join(values[at : at + 8]) for at in range(0, COUNT, 8))
    end = START + STEP * (COUNT - 1)
    return (
        f"SampleIdent,7059,/\nAnode,Cu,/\nLabdaAlpha1, 1.540598,/\nLabdaAlpha2, 1.544426,/\nRatioAlpha21, 0.5,/\nFileDateTime,11-mar-2025 12:20,/\n"
        f"DataAngleRange, {START:.5f}, {end:.5f},/\nScanStepSize, {STEP},/\nScanType,CONTINUOUS,/\nScanStepTime, 43.605,/\nRawScan\n{rows}/\n"
    ).encode()


def uxd(drive: str = "COUPLED", data: str = "_2THETACOUNTS", ranges: int = 1) -> bytes:
    out = (
        "; converted by XCH V1.0\n_FILEVERSION=2\n_SAMPLE='MIL-53'\n_DATEMEASURED='04-Mar-2010 20:59:14'\n_WL1=1.540600\n_WL2=1.544390\n"
        "_WL3=1.392220\n_WLRATIO=0.500000\n_ANODE='Cu'\n"
    )
    for number in range(ranges):
        start = START + number * COUNT * STEP
        rows = zip(angles(start=start), counts(seed=number + 1), strict=True)
        body = "\n".join(f"{a:.4f}\t{v:.0f}" for a, v in rows) if data.startswith("_2") else " ".join(f"{v:.0f}" for v in counts())
        out += f"; (Data for Range number {number + 1})\n_DRIVE='{drive}'\n_STEPTIME=0.5\n_STEPSIZE={STEP}\n_START={start:.4f}\n{data}\n{body}\n"
    return out.encode()


def eva(scan: str = "LockedCoupledHiScan") -> bytes:
    rows = "\n".join(f"{a:10.5f}, {v:9.0f}," for a, v in zip(angles(), counts(), strict=True))
    return (
        ";RAW4.00\n[RawHeader]\nDate=09/12/2023\nTime=13:27:21\n\n[VarInfo]\nType=SAMPLEID\nFlags=0\nValue=ZIF-71\n\n[HardwareConfiguration]\n"
        f"Alpha1=1.5406\nAlpha2=1.54439\nAlphaRatio=0.5\nAnode=Cu\n\n[RangeHeader]\nScanType={scan}\nSteps={COUNT}\n"
        f"Time=1\n\n[Data]\n     Angle,       PSD,\n{rows}\n"
    ).encode()


def cif(angle_column: bool = True) -> bytes:
    if angle_column:
        loop = "loop_\n_pd_proc_2theta_corrected\n_pd_proc_intensity_total\n_pd_proc_ls_weight\n"
        rows = "\n".join(f"{a:.4f} {v:.0f}({v**0.5:.0f}) ." for a, v in zip(angles(), counts(), strict=True))
        head = ""
    else:
        loop = "loop_\n_pd_meas_intensity_total\n_pd_calc_intensity_total\n"
        rows = "\n".join(f"{v:.0f}(12) ." for v in counts())
        head = f"_pd_meas_2theta_range_min {START}\n_pd_meas_2theta_range_max 6.18\n_pd_meas_2theta_range_inc {STEP}\n"
    text = "data_mof\n_diffrn_radiation_type 'Cu K\\a'\n_pd_spec_description 'it''s a; test # no comment'\n_publ_text\n;\nloop_ in a text\n;\n"
    return (text + head + loop + rows + "\nloop_\n_atom_site_fract_x\n0.1\n").encode()


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def text(separator: str = " ", decimal: str = ".", newline: str = "\n", header: str = "", encoding: str = "utf-8") -> bytes:
    rows = newline.join(f"{a:.4f}{separator}{v:.1f}" for a, v in zip(angles(), counts(), strict=True))
    return (header + rows.replace(".", decimal) + newline).encode(encoding)


#: One file of each format: name, bytes, what `meta["format"]` begins with.
ALL = {
    "raw1": (raw1, "Bruker RAW v1"),
    "raw2": (raw2, "Bruker RAW2"),
    "raw3": (raw3, "Bruker RAW1.01"),
    "raw4": (raw4, "Bruker RAW4.00"),
    "brml": (brml, "Bruker BRML"),
    "uxd": (uxd, "Bruker UXD"),
    "eva": (eva, "Bruker EVA text"),
    "xrdml": (xrdml, "PANalytical XRDML 1.5"),
    "ras": (ras, "Rigaku RAS"),
    "rasx": (rasx, "Rigaku RASX"),
    "asc": (asc, "Rigaku ASC"),
    "stoe": (stoe, "STOE WinXPOW RAW"),
    "rd": (rd, "Philips V3RD"),
    "udf": (udf, "Philips UDF"),
    "cif": (cif, "powder CIF"),
    "text": (text, "text columns"),
}
