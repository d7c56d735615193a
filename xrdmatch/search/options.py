"""What a user may ask of one search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from xrdmatch.preprocessing.fft_filter import Mode
from xrdmatch.search.retrieval import RankOptions
from xrdmatch.search.sample import INSTRUMENT_WIDTH

#: Most candidates that can be listed: so many families are compared at least.
MAX_TOP = RankOptions().min_families


@dataclass(frozen=True)
class SearchOptions:
    """How one scan is identified.

    wavelength: angstrom, overrides the file's; without either Cu K-alpha is assumed and said. filter_mode: the FFT filter, see `fft_filter.denoise`.
    top: candidates listed at most; a second phase that is said to be there is listed whatever it is. elements: the only ones a structure may hold,
    beside hydrogen; exclude: those it may not. accepted: ids, refcodes or names of entries that are there, in this order; the rest of the scan is
    searched for a further phase. detail: whether answers carry their scan, and matches their lines and evidence, which pictures and
    pages need; without it they come sooner. hint: whether an unknown gets a hint, see `isoreticular`. instrument_width: degrees, the full width of
    lines of a perfect sample, for crystallite sizes. Raises ValueError for a `top` outside 1 to `MAX_TOP` and a negative width.
    """

    wavelength: float | None = None
    filter_mode: Mode = "auto"
    top: int = 5
    elements: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    detail: bool = True
    instrument_width: float = INSTRUMENT_WIDTH
    hint: bool = True
    accepted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.filter_mode not in get_args(Mode):
            raise ValueError(f"filter_mode must be one of {', '.join(get_args(Mode))}, got {self.filter_mode!r}")
        if not 1 <= self.top <= MAX_TOP:
            raise ValueError(f"top must be between 1 and {MAX_TOP}, got {self.top}")
        if not 0.0 <= self.instrument_width < math.inf:
            raise ValueError(f"instrument_width must be 0 or more degrees, got {self.instrument_width}")
