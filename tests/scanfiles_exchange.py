"""Small files of exchange formats, other programs and beamlines, encoded here from the layout facts. No third-party data."""

from __future__ import annotations

import io
import struct
from itertools import pairwise

import numpy as np
from scanfiles import COUNT, KA1, KA2, KB, START, STEP, angles, counts

END = START + STEP * (COUNT - 1)


def mdi(
    count: int | None = None, values: np.ndarray | None = None, closing: str = "      -1\n.\n", step: str = "0.0200", time: str = "  1.0"
) -> bytes:
    """Eight counts a line, in fields of eight characters."""
    values = counts() if values is None else values
    cells = [f"{value:8.0f}" for value in values]
    body = "\n".join("".join(cells[at : at + 8]) for at in range(0, len(cells), 8))
    head = f"       01/02/20 DIF MOF-5 as made\n  {START:.3f} {step}{time} CU  1.540598   {END:.3f}    {count or len(values)}\n"
    return f"{head}{body}\n{closing}".encode()


def cpi(values: list[str] | None = None, start: str = "5.000", end: str = "6.180") -> bytes:
    rows = "\n".join(values or [f"{value:.0f}" for value in counts()])
    return f"SIETRONICS XRD SCAN\n{start}\n{end}\n0.020\nCu\n1.54060\n29-4-2002\n0.080\nMOF-5\nSCANDATA\n{rows}\n".encode()


def val(ranges: int = 1, mark: str = "Intens") -> bytes:
    """Each range: BerPar, omega, start, end, step, -, time, -, count, three more lines, a mark, counts."""
    out = "FilePar\nMOF-5\nas made\n"
    for number in range(ranges):
        shift = number * COUNT * STEP
        rows = "\n".join(f"{value:.0f}" for value in counts(seed=number + 1))
        out += f"BerPar{number + 1:02d}\n2.5\n{START + shift:.2f}\n{END + shift:.2f}\n{STEP}\n0\n3.0\n0\n{COUNT}\n1\n1\n1\n{mark}\n{rows}\n"
    return out.encode()


def keyed(header: str = "X-Ray Data\nBegin 5.0000\nEnd 6.1800\nStepSize 0.0200\nTime 1.0\nCounts\n", count: int = COUNT) -> bytes:
    return (header + "\n".join(f"{value:.0f}" for value in counts()[:count]) + "\n").encode()


def rigaku_raw(older: bool = False, ranges: int = 1, stated: bool = True, mark: bool = True) -> bytes:
    """stated: whether the number of points stands in the header. mark: whether `BU` does."""
    at_mark, lines, span, at_count, data = (22, 984, 3004, 3054, 3058) if older else (24, 1212, 2962, 3154, 3158)
    out = bytearray()
    for number in range(ranges):
        head = bytearray(data)
        if number == 0:
            head[:2] = b"FI"
            head[4] = 0 if older else 216
            if mark:
                head[at_mark : at_mark + 2] = b"BU"
            struct.pack_into("<3d", head, lines, KA1, KA2, KB)
        if not older:
            head[2136:2138], head[3138:3140] = b"PI", b"DA"
        start = START + number * COUNT * STEP
        struct.pack_into("<3f", head, span, start, start + STEP * (COUNT - 1), STEP)
        struct.pack_into("<i", head, at_count, COUNT if stated else 0)
        out += (head if number == 0 else head[2136:]) + counts(seed=number + 1).astype("<f4").tobytes()
    return bytes(out)


SPEC_HEAD = "#F scans\n#E 1577872800\n#D Wed Jan 01 10:00:00 2020\n#C wavelength 1.54060\n#O0 tth  th  chi  phi\n\n"


def spec_scan(
    labels: str = "Two Theta  Epoch  Seconds  Monitor  Detector",
    command: str = f"ascan  tth {START} {END:.2f} {COUNT - 1} 1",
    first: np.ndarray | None = None,
    count: int = COUNT,
    number: int = 1,
    spectra: bool = False,
) -> str:
    """One #S. spectra: whether each row is followed by that of a multichannel analyser."""
    positions = angles() if first is None else first
    rows = "".join(
        f"{position:.4f} {at} 1 10000 {value:.0f}\n" + ("@A 1 2 3\\\n 4 5 6\n" if spectra else "")
        for at, (position, value) in enumerate(zip(positions[:count], counts()[:count], strict=True))
    )
    return f"#S {number} {command}\n#D Wed Jan 01 10:00:00 2020\n#T 1  (Seconds)\n#P0 5 2.5 0 0\n#N 5\n#L {labels}\n{rows}\n"


def spec(*scans: str) -> bytes:
    return (SPEC_HEAD + "".join(scans or (spec_scan(),))).encode()


def _digits(value: float, marks: tuple[str, str]) -> str:
    """A number whose first digit is a mark that tells its sign as well."""
    digits = f"{abs(value):.0f}"
    return marks[value < 0][int(digits[0])] + digits[1:]


def jcamp_table(form: str) -> str:
    """The counts as AFFN, or packed (PAC), squeezed (SQZ), as differences (DIF), or with duplicates (DUP)."""
    values = [float(value) for value in counts()]
    squeezed, difference = ("@ABCDEFGHI", " abcdefghi"), ("%JKLMNOPQR", " jklmnopqr")
    out, at = "", 0
    while at < COUNT:
        row = values[at : at + 6]
        head = f"{START + STEP * at:.4f}"
        if form == "AFFN":
            out += f"{head} {' '.join(f'{value:.0f}' for value in row)}\n"
        elif form == "PAC":
            out += head + "".join(f"{value:+.0f}" for value in row) + "\n"
        elif form == "SQZ":
            out += head + "".join(_digits(value, squeezed) for value in row) + "\n"
        else:
            # The last value of a line is repeated at the beginning of the next, as a check.
            row = values[at : at + 7]
            differences = [right - left for left, right in pairwise(row)]
            out += head + _digits(row[0], squeezed) + "".join(_digits(value, difference) for value in differences) + "\n"
            if at + 7 >= COUNT:
                return f"{out}{END:.4f}{_digits(values[-1], squeezed)}\n"
        at += 6
    return out


def jcamp(
    table: str | None = None,
    form: str = "XYDATA= (X++(Y..Y))",
    units: str = "2-THETA",
    points: int = COUNT,
    kind: str = "X-RAY DIFFRACTION",
    factor: float = 1.0,
    closing: str = "##END=\n",
) -> bytes:
    head = (
        f"##TITLE= MOF-5\n##JCAMP-DX= 4.24 $$ by hand\n##DATA TYPE= {kind}\n##XUNITS= {units}\n##YUNITS= COUNTS\n##XFACTOR= 1\n##YFACTOR= {factor}\n"
    )
    head += f"##FIRSTX= {START}\n##LASTX= {END:.2f}\n##NPOINTS= {points}\n##$WAVELENGTH= 1.5406\n"
    return f"{head}##{form}\n{jcamp_table('AFFN') if table is None else table}{closing}".encode()


def nexus(
    axis: str = "polar_angle",
    axis_attrs: dict[str, object] | None = None,
    group_attrs: dict[str, object] | None = None,
    signal_attrs: dict[str, object] | None = None,
    positions: np.ndarray | None = None,
    values: np.ndarray | None = None,
    wavelength: tuple[str, float, str] | None = ("wavelength", KA1, "angstrom"),
    classes: bool = True,
) -> bytes:
    """NXmonopd in the new way, unless the attributes of its group, its signal and its axis are others. wavelength: name, value and unit."""
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        entry = file.create_group("entry")
        entry["definition"], entry["title"], entry["start_time"] = "NXmonopd", "MOF-5", "2020-01-01T10:00:00"
        data, monochromator = entry.create_group("data"), entry.create_group("instrument/crystal")
        if classes:
            entry.attrs["NX_class"], data.attrs["NX_class"], monochromator.attrs["NX_class"] = "NXentry", "NXdata", "NXcrystal"
        data.attrs.update({"signal": "data", "axes": axis} if group_attrs is None else group_attrs)
        data["data"] = counts().astype("i8") if values is None else values
        data["data"].attrs.update(signal_attrs or {})
        data[axis] = angles() if positions is None else positions
        data[axis].attrs.update({"units": "deg"} if axis_attrs is None else axis_attrs)
        if wavelength is not None:
            monochromator[wavelength[0]] = wavelength[1]
            monochromator[wavelength[0]].attrs["units"] = wavelength[2]
    return stream.getvalue()


def uxd_peaks(data: str = "_D-I") -> bytes:
    places = {"_D-I": (16.43, 13.27, 7.64), "_2THETA-I": (5.38, 6.66, 11.58)}.get(data, (5.0, 6.0, 7.0))
    rows = "\n".join(f"{place} {height}" for place, height in zip(places, (29.2, 100.0, 83.7), strict=True))
    return f"; peaks\n_FILEVERSION=2\n_SAMPLE='MOF-5'\n_ANODE='Cu'\n_WL1=1.54056\n_WL2=1.54439\n{data}\n{rows}\n".encode()


def cif_dotted() -> bytes:
    rows = "\n".join(f"{angle:.4f} {value:.0f}" for angle, value in zip(angles(), counts(), strict=True))
    return f"data_mof\n_diffrn_radiation_wavelength.value 1.5406\nloop_\n_pd_meas.2theta_scan\n_pd_meas.intensity_total\n{rows}\n".encode()


#: One file of each format: name, bytes, what `meta["format"]` begins with.
ALL = {
    "mdi": (mdi, "Jade MDI"),
    "cpi": (cpi, "Sietronics CPI"),
    "val": (val, "Seifert VAL"),
    "keyed": (keyed, "start, end, step and counts"),
    "rigaku raw": (rigaku_raw, "Rigaku RAW"),
    "spec": (spec, "SPEC"),
    "jcamp": (jcamp, "JCAMP-DX"),
    "nexus": (nexus, "NeXus NXmonopd"),
    "dotted cif": (cif_dotted, "powder CIF"),
}
