"""What every figure shares (matplotlib): sizes, colours, style, and files that appear whole or not at all.

Vector by default, in the widths of journal columns, fonts embedded, in the colours of Okabe and Ito (2008), which colour-blind readers tell apart.
The same call writes the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xrdmatch.errors import XrdMatchError, how_to_install
from xrdmatch.system.atomic_files import atomic_write, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Size = Literal["single", "double"]
Scale = Literal["linear", "sqrt"]

#: Endings that can be written.
SUFFIXES = (".pdf", ".svg", ".png")
#: Width of one and of two columns, millimetres (ACS: 82.5 and 178 at most; RSC: 83 and 171; Elsevier: 90 and 190).
WIDTHS = {"single": 82.5, "double": 170.0}
#: Points of text, dots an inch of .png.
TEXT, DPI = 7.0, 300
#: Okabe and Ito's colours (https://jfly.uni-koeln.de/color).
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"

MISSING_LIBRARY = f"figures need matplotlib, which is not installed: {how_to_install('matplotlib', 'plot')}"
_MM = 1.0 / 25.4
_RC = {
    "font.size": TEXT,
    "font.family": "sans-serif",
    "axes.linewidth": 0.6,
    "axes.labelsize": TEXT,
    "xtick.labelsize": TEXT - 0.5,
    "ytick.labelsize": TEXT - 0.5,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.visible": True,
    "lines.linewidth": 0.7,
    "legend.fontsize": TEXT - 0.5,
    "legend.frameon": False,
    "mathtext.default": "regular",
    "pdf.fonttype": 42,  # TrueType, embedded and editable
    "svg.fonttype": "path",  # outlines: no font is needed to show it
    "svg.hashsalt": "xrdmatch",
    "savefig.dpi": DPI,
}


def need_matplotlib() -> None:
    """Raise XrdMatchError with what to do where matplotlib is not installed: before the work, not after it."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise XrdMatchError(MISSING_LIBRARY) from error


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The project's look for what is drawn and saved within. Raises XrdMatchError where matplotlib is absent."""
    need_matplotlib()
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a file's name may hold what the font does not
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(size: Size, height: float) -> Figure:
    """An empty figure, one column or two wide and `height` millimetres high; to be called within `style`."""
    from matplotlib.figure import Figure

    if size not in WIDTHS:
        raise ValueError(f"size must be one of {', '.join(WIDTHS)}, got {size!r}")
    return Figure(figsize=(WIDTHS[size] * _MM, height * _MM), layout="constrained")


def root_scale(axes: Axes) -> None:
    """Intensities by their square roots, which lifts weak lines and makes counting noise even."""
    axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0.0)), np.square))


def shortened(text: str, room: int) -> str:
    """The text in at most `room` characters, its middle left out."""
    text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return text if len(text) <= room else f"{text[: room // 2 - 1]}…{text[len(text) - (room - room // 2) :]}"


def two_theta_label(wavelength: float | None) -> str:
    """The name of an angular axis."""
    return "2θ / °" + (f"  (λ = {wavelength:.4f} Å)" if wavelength else "")


# --- Files


def check_suffix(path: Path) -> str:
    """The ending of a picture's name. Raises XrdMatchError where it is none that can be written."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise XrdMatchError(f"{path}: can draw {' '.join(SUFFIXES)}, got the suffix {path.suffix!r}")
    return suffix


class _Dropped(Exception):
    """Ends the writing of a file that is not to be kept."""


class Book:
    """A picture's file, written beside its target and renamed when it is closed: one figure, or any number as the pages of a .pdf.

    Raises XrdMatchError for another suffix, where matplotlib is absent, for a second figure in an .svg or .png, and where it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.pages = Path(path), 0
        self.suffix = check_suffix(self.path)
        need_matplotlib()
        self._pdf: Any = None
        self._open = contextlib.ExitStack()
        with writing(self.path):
            self._part = self._open.enter_context(atomic_write(self.path))
            self._part.touch()  # before the work, not after it

    def add(self, figure: Figure) -> None:
        # Without dates, so that the same call writes the same bytes.
        if self.pages and self.suffix != ".pdf":
            raise XrdMatchError(f"{self.path}: a {self.suffix} holds one picture; write a .pdf, which holds a page for each, or name a folder")
        self.pages += 1
        with writing(self.path), style():
            if self.suffix == ".pdf":
                from matplotlib.backends.backend_pdf import PdfPages

                self._pdf = self._pdf or PdfPages(self._part, metadata={"Creator": "xrdmatch", "CreationDate": None})
                self._pdf.savefig(figure)
            else:
                metadata = {"Creator": "xrdmatch", "Date": None} if self.suffix == ".svg" else {"Software": "xrdmatch"}
                figure.savefig(self._part, format=self.suffix[1:], metadata=metadata)

    def close(self, keep: bool = True) -> None:
        """Put the file in its place, where it has a page and is to be kept; else nothing is left. A second call does nothing."""
        with writing(self.path), contextlib.suppress(_Dropped), self._open:
            if self._pdf is not None:
                with style():  # fonts are written last, as the settings of that moment say
                    self._pdf.close()
                self._pdf = None
            if not (keep and self.pages):
                raise _Dropped

    def __enter__(self) -> Book:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.close(keep=kind is None)


def save(figure: Figure, path: str | Path) -> None:
    """Write one figure as .pdf, .svg or .png. Raises as `Book`."""
    with Book(path) as book:
        book.add(figure)


def png(figure: Figure, dpi: int = 120) -> bytes:
    """The figure as the bytes of a .png file, for notebooks."""
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": "xrdmatch"})
    return stream.getvalue()
