"""Make the pictures of the documentation, docs/pictures, from the project's own samples.

    python scripts/make_pictures.py [--out docs/pictures]

Terminal pictures show what `xrdmatch` prints on a terminal of 80 columns; the figures are those of --plot. Run it again when either changes its look.
Needs the plot extra, and a system with pseudo-terminals for the terminal pictures (Linux, macOS).
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import xrdmatch
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.report import figure_style, figures

ROOT = Path(__file__).parents[1]
SAMPLE, FRAMEWORK = "docs/samples/hkust-1.xy", "docs/samples/idealised-mof-5.cif"
COLUMNS, LINES = 80, 60
DOTS = 150  # per inch, of figures 170 mm wide
COLOURS = 64  # enough for lines and text, and a third of the size
#: Share of the sample's counts that the noisy scan keeps, as if it had been counted for so much less time.
THINNED, SEED = 0.02, 1


def noisy() -> Pattern:
    """The sample as a scan of a fiftieth of the counting time: of every count a fair share is kept by chance."""
    scan = xrdmatch.read(ROOT / SAMPLE)
    counts = np.random.default_rng(SEED).binomial(scan.intensity.astype(np.int64), THINNED)
    return Pattern(scan.two_theta, counts.astype(float), scan.wavelength, "noisy")


def identified() -> bytes:
    return picture(figures.identification_figure(xrdmatch.identify(ROOT / SAMPLE)))


def filtered() -> bytes:
    from xrdmatch.preprocessing.fft_filter import denoise

    scan = noisy()
    return picture(figures.patterns_figure([("measured", scan), ("filtered", denoise(scan, "auto").pattern)]))


def simulated() -> bytes:
    from xrdmatch.diffraction.structure import load

    structure = load(str(ROOT / FRAMEWORK))
    return picture(figures.structure_figure(structure, xrdmatch.simulate(structure), scale="sqrt"))


def stacked() -> bytes:
    """The sample over two references, one of which it is not."""
    scans = {"HKUST-1, as measured": xrdmatch.read(ROOT / SAMPLE), "counted for a fiftieth of the time": noisy()}
    return picture(xrdmatch.stack(scans, ["HKUST-1", str(ROOT / FRAMEWORK)], options=xrdmatch.StackOptions(stop=40.0)))


def picture(figure: object) -> bytes:
    """A figure as a small .png."""
    from PIL import Image

    stream = io.BytesIO()
    image = Image.open(io.BytesIO(figure_style.png(figure, DOTS)))  # type: ignore[arg-type]
    image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(stream, "png", optimize=True)
    return stream.getvalue()


def terminal(command: str) -> bytes:
    """What a command prints on a terminal, as .svg, without the fonts that rich would have it fetch."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.terminal_theme import DIMMED_MONOKAI
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    console.print(Text.from_ansi(printed(command).rstrip()))
    template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    svg = console.export_svg(title=f"$ {command}", theme=DIMMED_MONOKAI, code_format=template, unique_id="terminal")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE).encode()


def printed(command: str) -> str:
    """Standard output of a command on a pseudo-terminal."""
    import fcntl
    import pty
    import struct
    import termios

    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR", "XRDMATCH_MODEL")}
    environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    words = [sys.executable, "-m", *shlex.split(command)]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=inner, stderr=subprocess.DEVNULL, env=environment)
    os.close(inner)
    parts = []
    try:
        while part := os.read(outer, 65536):
            parts.append(part)
    except OSError:
        pass  # Linux says so when the other end is closed
    os.close(outer)
    if process.wait():
        raise SystemExit(f"{command}: exit code {process.returncode}")
    return b"".join(parts).decode().replace("\r\n", "\n")


PICTURES: dict[str, Callable[[], bytes]] = {
    "identify.svg": lambda: terminal(f"xrdmatch identify {SAMPLE}"),
    "hkust-1.png": identified,
    "filtered.png": filtered,
    "mof-5.png": simulated,
    "stack.png": stacked,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures", help="the folder they are written to")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, make in PICTURES.items():
        data, part = make(), out / f".{name}.part"
        part.write_bytes(data)
        part.replace(out / name)
        print(f"{out / name}: {len(data) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
