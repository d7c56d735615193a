"""A pattern and a model to ranked matches and a verdict.

Filter, encode, recall a few hundred entries, verify them against their reflections, calibrate, decide.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.calibration import Calibration, Candidate
from xrdmatch.denoise import Filtered, Mode, denoise
from xrdmatch.families import undecided
from xrdmatch.match import Evidence, Fits, Measured, prepare
from xrdmatch.model import Device, Model
from xrdmatch.pattern import Pattern
from xrdmatch.verify import RECALL, query_features, unusable, verify
from xrdmatch.xray import CU_K_ALPHA

#: Probability from which one family is named, and that several families have to reach together to be offered as alternatives.
NAMED, OFFERED = 0.5, 0.5
#: Members listed for a family.
MEMBERS = 50


@dataclass(frozen=True)
class Match:
    """One ranked family, through its best entry. shift in degrees; strain of a, b, c; fwhm in degrees."""

    rank: int
    id: str
    name: str
    formula: str
    family: str
    members: list[str]
    similarity: float
    probability: float
    shift: float
    doi: str = ""
    strain: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fwhm: float = 0.0
    note: str = ""
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Identification:
    """The answer for one file. docs/commands.md lists the fields; `matches` is ranked."""

    file: str
    verdict: str
    reason: str
    wavelength: float | None = None
    wavelength_source: str = ""
    filtered: bool = False
    filter_reason: str = ""
    noise: float | None = None
    provider: str = ""
    model: str = ""
    seconds: float = 0.0
    matches: list[Match] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pattern: Pattern | None = None

    def to_json(self, evidence: bool = False) -> dict[str, Any]:
        """Plain values, as the command line prints them; `evidence` adds each match's lines."""
        data = {name: value for name, value in asdict(replace(self, pattern=None)).items() if name != "pattern"}
        for match in data["matches"]:
            if not evidence:
                del match["evidence"]
        return data


def error_result(file: str, message: str, model: str = "") -> Identification:
    """What a file that cannot be read gets instead of an answer."""
    return Identification(file, "error", message, model=model)


class Identifier:
    """One loaded model for many scans. Raises ModelError or LibraryError where the model folder is not whole."""

    def __init__(self, model: str | Path | Model | None = None, device: Device = "auto", top: int = 5) -> None:
        self.model = model if isinstance(model, Model) else Model.load(model, device)
        self.model.ready()
        self.top = top
        self.calibration = Calibration.from_json(self.model.config.get("calibration"))

    def identify(self, pattern: Pattern, wavelength: float | None = None, filter_mode: Mode = "auto", file: str | None = None) -> Identification:
        """Ranked matches and a verdict. `wavelength` (angstrom) overrides the file's; without either Cu K-alpha is assumed and said."""
        clock = time.perf_counter()
        known = wavelength or pattern.wavelength
        scan = replace(pattern, wavelength=known or CU_K_ALPHA)
        filtered = denoise(scan, filter_mode)
        result = Identification(
            file=file or pattern.name,
            verdict="unusable",
            reason="",
            wavelength=scan.wavelength,
            wavelength_source="option" if wavelength else "file" if pattern.wavelength else "default",
            filtered=filtered.filtered,
            filter_reason=filtered.reason,
            noise=round(filtered.noise, 4),
            provider=self.model.session.provider,
            model=self.model.name,
            notes=[] if known else [f"the file does not tell its wavelength: Cu K-alpha ({CU_K_ALPHA:.4f} A) was assumed; set --wavelength"],
            pattern=filtered.pattern,
        )
        measured = prepare(filtered.pattern, sigma=filtered.sigma * filtered.passed)
        why = unusable(measured)
        if why:
            return replace(result, reason=why, seconds=round(time.perf_counter() - clock, 4))
        matches, none = self._ranked(filtered, measured)
        verdict, reason = self._decide(matches, none)
        return replace(result, verdict=verdict, reason=reason, matches=matches, seconds=round(time.perf_counter() - clock, 4))

    def _ranked(self, filtered: Filtered, measured: Measured) -> tuple[list[Match], float]:
        inputs = self.model.recipe.apply(filtered.pattern, sigma=filtered.sigma * filtered.passed)[None]
        rows, recalled = self.model.recall(inputs, RECALL)[0]
        fits, candidates = verify(self.model.library, rows, recalled, measured)
        if self.model.kind == "classifier":
            probabilities, none = self._network_only(fits, rows, recalled), 0.0
        else:
            probabilities, none = self.calibration.probabilities(candidates, query_features(measured))
        order = np.argsort(-probabilities, kind="stable")[: self.top]
        return [self._match(rank, fits, int(i), float(probabilities[i]), candidates[i]) for rank, i in enumerate(order, 1)], none

    def _network_only(self, fits: Fits, rows: NDArray[np.int64], recalled: NDArray[np.float32]) -> NDArray[np.float64]:
        """A classifier's own probabilities, summed over each family."""
        family = self.model.library.family
        return np.array([float(recalled[family[rows] == family[row]].sum()) for row in fits.rows])

    def _match(self, rank: int, fits: Fits, i: int, probability: float, candidate: Candidate) -> Match:
        library, row = self.model.library, int(fits.rows[i])
        family = int(library.family[row])
        members = [str(library.id[j]) for j in library.members(family)]
        return Match(
            rank=rank,
            id=str(library.id[row]),
            name=str(library.name[row]),
            formula=str(library.formula[row]),
            family=str(library.family_name[family]),
            members=members[:MEMBERS],
            similarity=round(float(fits.similarity[i]), 4),
            probability=round(probability, 4),
            shift=round(float(fits.shift[i]), 3),
            doi=str(library.doi[row]),
            strain=(round(float(fits.strain[i, 0]), 4), round(float(fits.strain[i, 1]), 4), round(float(fits.strain[i, 2]), 4)),
            fwhm=round(float(fits.fwhm[i]), 3),
            note=undecided(library, family) if len(members) > 1 else "",
            evidence=candidate.evidence,
        )

    def _decide(self, matches: Sequence[Match], none: float) -> tuple[str, str]:
        """Verdict and its reason, from probabilities alone."""
        if self.model.kind == "classifier":
            return "match", "the classifier always names one of its labels; it cannot say unknown"
        best = matches[0]
        if best.probability >= NAMED:
            said = best.name or best.family
            return ("ambiguous" if best.note else "match"), best.note or f"{said} fits and no other family comes near"
        likely = [match for match in matches if match.probability >= 0.1]
        if len(likely) > 1 and sum(match.probability for match in likely) >= OFFERED:
            names = " or ".join(match.family for match in likely)
            return "ambiguous", f"{names}: the scan does not tell them apart; a longer or sharper scan, or the composition (EDX, ICP), may decide"
        return "unknown", f"nothing in the library fits well: the best, {best.family}, has a probability of {100 * best.probability:.0f} %"
