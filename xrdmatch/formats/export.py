"""Patterns to text: .xy, .xye and .csv, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import XrdMatchError
from xrdmatch.system import atomic_files


def write(pattern: Pattern, path: Path) -> None:
    """Writes .xy, .xye (with sqrt(N) errors) or .csv beside `path` and renames, so that no half file is ever there.

    The wavelength stands in the header, where `read` finds it. Raises XrdMatchError for another suffix or where the place cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in {".xy", ".xye", ".csv"}:
        raise XrdMatchError(f"{path}: can write .xy, .xye and .csv, got the suffix {path.suffix!r}")
    wavelength = f"wavelength {pattern.wavelength:.6f} A" if pattern.wavelength else ""
    separator = "," if suffix == ".csv" else " "
    columns = [pattern.two_theta, pattern.intensity]
    if suffix == ".csv":
        header = f"two_theta ({wavelength}),intensity" if wavelength else "two_theta,intensity"
    else:
        header = "# 2theta(deg) intensity" + (" sigma" if suffix == ".xye" else "") + (f"\n# {wavelength}" if wavelength else "")
    if suffix == ".xye":
        time = pattern.meta.get("counting_time", 1.0) if pattern.meta.get("intensity_unit") == "cps" else 1.0
        columns.append(np.sqrt(np.maximum(pattern.intensity, 1.0 / time) / time))
    rows = (separator.join((f"{row[0]:.6f}", *(f"{value:.8g}" for value in row[1:]))) for row in zip(*columns, strict=True))
    with atomic_files.writing(path), atomic_files.atomic_write(path) as part:
        part.write_text(header + "\n" + "\n".join(rows) + "\n", encoding="utf-8")
