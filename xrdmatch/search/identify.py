"""A pattern and a model to ranked matches and a verdict.

Filter, encode, recall a few hundred entries, verify them against their reflections, calibrate, decide.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import CU_K_ALPHA
from xrdmatch.errors import LibraryError
from xrdmatch.library.composition import Kinship, holding
from xrdmatch.library.families import undecided
from xrdmatch.model.folder import Device, Model
from xrdmatch.preprocessing.fft_filter import Mode, denoise
from xrdmatch.search import scan_quality, second_phase
from xrdmatch.search.cell_refinement import polished
from xrdmatch.search.comparison import Fits, Measured, prepare
from xrdmatch.search.indexed_lines import Indexed, evidence_in_scan, index
from xrdmatch.search.line_evidence import Evidence
from xrdmatch.search.probability import Calibration, Candidate
from xrdmatch.search.retrieval import LINES_NAMED, VERIFY, clear_lines, recall, unusable, verify
from xrdmatch.version import __version__

#: Probability from which one framework is named, and that several have to reach together, each at least LIKELY, to be offered as alternatives.
NAMED, OFFERED, LIKELY = 0.5, 0.5, 0.1
#: Probability of the best family from which a second phase is looked for beside it.
FIRST = 0.002


@dataclass(frozen=True)
class Match:
    """One ranked family, through its best entry. shift in degrees; strain of a, b, c; fwhm in degrees.

    phase 2: found in the lines that the best match leaves, with the probability that it is there beside it; share: of the scan's line intensity
    that it explains.
    evidence, lines: at the scan's wavelength and angles.
    """

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
    phase: int = 1
    share: float = 0.0
    evidence: Evidence | None = field(default=None, repr=False)
    lines: Indexed | None = field(default=None, repr=False, compare=False)

    @property
    def is_second(self) -> bool:
        """Whether this is a second phase that is more likely there than not."""
        return self.phase == 2 and self.probability >= NAMED

    def to_json(self, evidence: bool = False) -> dict[str, Any]:
        """Plain values, with the lines of the `evidence` where these are asked for."""
        data = {name: value for name, value in vars(self).items() if name not in ("lines", "evidence")}
        data["members"] = list(self.members)
        return {**data, "evidence": asdict(self.evidence) if self.evidence else None} if evidence else data


@dataclass(frozen=True)
class Identification:
    """The answer for one file. docs/commands.md lists the fields; `matches` is ranked.

    pattern: the scan as it was compared, filtered where that was called for; measured: as it came, with the wavelength that was taken.
    """

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
    version: str = __version__
    seconds: float = 0.0
    matches: list[Match] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pattern: Pattern | None = field(default=None, repr=False)
    measured: Pattern | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, the scan with what was found in it, and the ranked matches."""
        from xrdmatch.report.notebook import identification_html

        return identification_html(self)

    def _repr_png_(self) -> bytes | None:
        """The same as a picture; None where matplotlib is absent."""
        from xrdmatch.report.notebook import identification_png

        return identification_png(self)

    def to_json(self, evidence: bool = False) -> dict[str, Any]:
        """Plain values, as the command line prints them; `evidence` adds each match's lines."""
        data = {name: value for name, value in vars(self).items() if name not in ("pattern", "measured")}
        data["notes"] = list(self.notes)
        data["matches"] = [match.to_json(evidence) for match in self.matches]
        return data


def error_result(file: str, message: str, model: str = "") -> Identification:
    """What a file that cannot be read gets instead of an answer."""
    return Identification(file, "error", message, model=model)


@dataclass(frozen=True, eq=False)
class _Ranking:
    """All verified families ranked, with the fits and the findings behind them, in the same order, and the lines they were compared with."""

    matches: list[Match]
    fits: Fits
    candidates: list[Candidate]
    measured: Measured


class Identifier:
    """One loaded model for many scans. Raises ModelError or LibraryError where the model folder is not whole."""

    def __init__(
        self,
        model: str | Path | Model | None = None,
        device: Device = "auto",
        top: int = 5,
        elements: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        detail: bool = True,
    ) -> None:
        """top: matches an answer lists at most. elements: the only ones a structure may hold, beside hydrogen; exclude: those it may not.
        detail: whether answers carry their scan, and matches their lines and evidence, which pictures and pages need; without it they come sooner.
        """
        self.model = model if isinstance(model, Model) else Model.load(model, device)
        self.model.ready()
        self.top, self.detail = top, detail
        self.calibration = Calibration.from_json(self.model.config.get("calibration"))
        self.calibration_beside = Calibration.from_json(self.model.config.get("calibration_beside"), beside=True)
        self.allowed = holding(self.model.library, elements, exclude) if elements is not None or exclude else None
        known = self.allowed if self.allowed is None or self.model.kind == "encoder" else self.allowed[self.model.label_rows]
        if known is not None and not known.any():
            raise LibraryError("no structure of the library holds only such elements; allow more")

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
            wavelength=round(scan.wavelength or 0.0, 6),
            wavelength_source="option" if wavelength else "file" if pattern.wavelength else "default",
            filtered=filtered.filtered,
            filter_reason=filtered.reason,
            noise=round(filtered.noise, 4),
            provider=self.model.session.provider,
            model=self.model.name,
            notes=[
                *([] if known else [f"the file does not tell its wavelength: Cu K-alpha ({CU_K_ALPHA:.4f} A) was assumed; set --wavelength"]),
                *pattern.meta.get("notes", ()),
            ],
            pattern=filtered.pattern if self.detail else None,
            measured=scan if self.detail else None,
        )
        measured = prepare(filtered.pattern, sigma=filtered.sigma, passed=filtered.passed)
        clear = clear_lines(measured)
        why = unusable(measured, clear=clear)
        result.notes.extend(scan_quality.notes(filtered, measured, scan))
        if why:
            return replace(result, reason=why, seconds=round(time.perf_counter() - clock, 4))
        inputs = self.model.recipe.apply(filtered.pattern, sigma=filtered.sigma, passed=filtered.passed)
        ranking = self._ranked(inputs, measured)
        beside = self._beside(ranking, measured)
        if beside is not None and beside.matches[0].probability >= NAMED:
            ranking = self._again(ranking, beside, measured)
        result.notes.extend(filter(None, [scan_quality.cut_off(self.model.library, ranking.fits, 0, measured, scan)]))
        verdict, reason = self._decide(ranking.matches, len(clear))  # of all families: how many are shown must not change it
        matches = self._listed(ranking, beside, measured, scan)
        reason += "".join(
            f"; {match.name or match.family} explains a further {100 * match.share:.0f} % of the line intensity: a mixture"
            for match in (_with_second(ranking.matches, beside.matches) if beside else [])
            if match.is_second
        )
        return replace(result, verdict=verdict, reason=reason, matches=matches, seconds=round(time.perf_counter() - clock, 4))

    def _ranked(self, inputs: NDArray[np.float32], measured: Measured) -> _Ranking:
        classifier = self.model.kind == "classifier"
        rows, recalled = recall(self.model, inputs, measured, self.allowed)
        if classifier:  # the comparison of lines must not choose which labels are looked at: take the likeliest families
            rows, recalled = self._likeliest(rows, recalled)
        fits, candidates = verify(self.model.library, rows, recalled, measured)
        if classifier:
            probabilities = np.array([candidate.recalled for candidate in candidates])
        else:
            probabilities, _ = self.calibration.probabilities(candidates)
        return self._in_order(fits, candidates, probabilities, measured)

    def _in_order(
        self, fits: Fits, candidates: list[Candidate], probabilities: NDArray[np.float64], measured: Measured, left: float = 0.0
    ) -> _Ranking:
        order = np.argsort(-probabilities, kind="stable")
        fits, candidates = fits.take(order), [candidates[place] for place in order]
        matches = [self._match(i, fits, float(probabilities[place]), candidates[i], left) for i, place in enumerate(order)]
        return _Ranking(matches, fits, candidates, measured)

    def _beside(self, ranking: _Ranking, measured: Measured) -> _Ranking | None:
        """What the lines that the best family leaves unexplained look like, where they are enough to tell."""
        if self.model.kind == "classifier" or ranking.matches[0].probability < FIRST:
            return None
        rest = second_phase.beside(self.model, self.kinship, ranking.fits.take(np.array([0])), measured, self.allowed)
        if rest is None:
            return None
        probabilities, _ = self.calibration_beside.probabilities(rest.candidates, rest.left)
        return self._in_order(rest.fits, rest.candidates, probabilities, rest.measured, rest.left)

    def _again(self, ranking: _Ranking, beside: _Ranking, measured: Measured) -> _Ranking:
        """The ranking without the lines of the second phase, which spoke against the first; as it was where that does not make it surer."""
        alone = second_phase.without(self.model, beside.fits.take(np.array([0])), beside.measured, measured)
        if unusable(alone):
            return ranking
        near = np.array([candidate.recalled for candidate in ranking.candidates], dtype=np.float32)
        fits, candidates = verify(self.model.library, ranking.fits.rows, near, alone)
        again = self._in_order(fits, candidates, self.calibration.probabilities(candidates)[0], alone)
        best, before = again.matches[0], ranking.matches[0]
        return again if best.family == before.family and best.probability > before.probability else ranking

    @cached_property
    def kinship(self) -> Kinship:
        return Kinship(self.model.library)

    def _listed(self, ranking: _Ranking, beside: _Ranking | None, measured: Measured, scan: Pattern) -> list[Match]:
        """The first matches, and those of a second phase that rank among them."""
        matches = self._shown(ranking, measured, self.top, scan)
        if beside is None:
            return matches
        some = beside.matches[: self.top]
        families = {match.family for match in _with_second(ranking.matches[: self.top], some) if match.phase == 2}
        number = max((place for place, match in enumerate(some, 1) if match.family in families), default=0)
        return _with_second(matches, self._shown(beside, beside.measured, number, scan)) if number else matches

    def _shown(self, ranking: _Ranking, measured: Measured, number: int, scan: Pattern) -> list[Match]:
        """The first matches with their lines and evidence as they lie in the scan."""
        library, wavelength = self.model.library, scan.wavelength or CU_K_ALPHA
        first = ranking.fits.take(np.array([0]))
        if ranking.matches[0].phase == 1 or ranking.matches[0].is_second:  # it will be drawn, looked at closely, refined
            first = polished(library, first, measured)
        shown = []
        for i, match in enumerate(ranking.matches[:number]):
            if not self.detail:
                shown.append(replace(match, evidence=None))
                continue
            found = evidence_in_scan(match.evidence, wavelength, library, int(ranking.fits.rows[i])) if match.evidence else None
            shown.append(replace(match, evidence=found, lines=index(library, ranking.fits if i else first, i, scan)))
        a, b, c = (round(float(value), 4) for value in first.strain[0, :3])
        shown[0] = replace(shown[0], shift=round(float(first.shift[0]), 3), strain=(a, b, c), fwhm=round(float(first.fwhm[0]), 3))
        return shown

    def _likeliest(self, rows: NDArray[np.int64], recalled: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Of a classifier's labels, best first: the best of each of the `VERIFY` likeliest families, with the sum of the family's probabilities."""
        _, first, group = np.unique(self.model.library.family[rows], return_index=True, return_inverse=True)
        total = np.bincount(group, recalled).astype(np.float32)
        order = np.argsort(-total, kind="stable")[:VERIFY]
        return rows[first[order]], total[order]

    def _match(self, i: int, fits: Fits, probability: float, candidate: Candidate, left: float = 0.0) -> Match:
        """left: of a second phase, the share of the scan's line intensity that it was compared with. Members that may be named, and the note on them,
        are of those matches that are shown.
        """
        library, row = self.model.library, int(fits.rows[i])
        family = int(library.family[row])
        alike = library.members(family) if i < self.top else np.empty(0, np.int64)
        alike = alike if self.allowed is None else alike[self.allowed[alike]]
        return Match(
            rank=i + 1,
            id=str(library.id[row]),
            name=str(library.name[row]),
            formula=str(library.formula[row]),
            family=str(library.family_name[family]),
            members=library.id[alike].tolist(),
            similarity=round(float(fits.similarity[i]), 4),
            probability=round(probability, 4),
            shift=round(float(fits.shift[i]), 3),
            doi=str(library.doi[row]),
            strain=(round(float(fits.strain[i, 0]), 4), round(float(fits.strain[i, 1]), 4), round(float(fits.strain[i, 2]), 4)),
            fwhm=round(float(fits.fwhm[i]), 3),
            note=undecided(library, alike) if alike.size > 1 else "",
            phase=2 if left else 1,
            share=round(left * candidate.evidence.explained, 4),
            evidence=candidate.evidence,
        )

    def _decide(self, matches: Sequence[Match], lines: int = LINES_NAMED) -> tuple[str, str]:
        """Verdict and its reason, from probabilities and the number of clear lines."""
        if self.model.kind == "classifier":
            return "match", "the classifier always names one of its labels; it cannot say unknown"
        best = matches[0]
        said = best.name or best.family
        if lines < LINES_NAMED:
            return "unknown", f"{lines} lines are too few to name a framework by; the closest is {said}"
        same = sum(match.probability for match in matches if match is best or (match.name and match.name == best.name))
        if same >= NAMED:
            return "match", best.note or f"{said} fits and no other framework comes near"
        likely = [match for match in matches if match.probability >= LIKELY]
        if len(likely) > 1 and sum(match.probability for match in likely) >= OFFERED:
            names = " or ".join(dict.fromkeys(match.name or match.family for match in likely))
            return "ambiguous", f"{names}: the scan does not tell them apart; a longer or sharper scan, or the composition (EDX, ICP), may decide"
        return "unknown", f"nothing in the library fits well; the closest is {said}"


def _with_second(matches: list[Match], beside: list[Match]) -> list[Match]:
    """As many matches as there were: the best, then by probability the others and what may be there together with it; each family once."""
    first = matches[0]
    ranked, families, number = [first], {first.family}, len(matches)
    chances = [(match.probability, match) for match in matches[1:]]
    chances += [(first.probability * match.probability, match) for match in beside]
    for _, match in sorted(chances, key=lambda chance: -chance[0]):
        if match.family not in families and len(ranked) < number:
            families.add(match.family)
            ranked.append(match)
    return [replace(match, rank=rank) for rank, match in enumerate(ranked, 1)]
