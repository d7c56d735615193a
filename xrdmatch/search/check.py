"""Is a scan of what was expected, and is it pure? Each expected framework is refined, weighed, and what is left over is looked at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Grid, Pattern
from xrdmatch.diffraction.radiation import cell_volume
from xrdmatch.library.entry_names import entry_name
from xrdmatch.library.entry_pattern import entry_pattern
from xrdmatch.library.expected_entries import ExpectedLookup
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import ComparisonSignal, PreparedScan, prepare_scan
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.check_result import CheckResult, Expected, FurtherLine
from xrdmatch.search.check_verdict import Findings, decided
from xrdmatch.search.comparison import candidate_signals
from xrdmatch.search.detection_limit import SecondPhases, detection_limit
from xrdmatch.search.expected_phase import ExpectedPhase, Fitted
from xrdmatch.search.further_lines import FurtherLines, Tolerance, further_lines, local_noise, tolerance_terms
from xrdmatch.search.further_phases import Assigned, Suspects, assigned
from xrdmatch.search.identify import Identifier
from xrdmatch.search.indexed_lines import in_scan
from xrdmatch.search.line_evidence import expected_signal, residual
from xrdmatch.search.matches import Ranking, listed_matches
from xrdmatch.search.missing_lines import missing_reason
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.pipeline import rank
from xrdmatch.search.presence import own_features, presence, rival_features, side_by_side
from xrdmatch.search.result import NAMED
from xrdmatch.search.sample import sample_figures
from xrdmatch.search.scan_quality import clear_lines, cut_off, quality_notes, unusable
from xrdmatch.search.second_phase import lines_left

#: Probability from which an expected framework that leaves nothing unexplained needs no look at the rest of the library.
SURE = 0.995
#: Similarity from which an entry of the library has the pattern of a structure file.
SAME_PATTERN = 0.9
#: What a framework explains at a place, as a factor of what is expected of it there: guests and texture make single lines stronger.
EXPLAINS = 3.0
#: Angles over which patterns of structure files are drawn to find what has the same.
_DRAWN = Grid(2.0, 50.0, 0.02)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is expected of a scan: phases, the families of the library that have their patterns, what further lines may be of, and what a second phase
    may be like."""

    phases: tuple[ExpectedPhase, ...]
    families: NDArray[np.int32]
    suspects: Suspects
    second: SecondPhases


@dataclass(frozen=True, eq=False)
class _Found:
    """phase, one: an expected framework and its best form in the scan. features: what speaks for it by itself. scan: what it was compared with."""

    phase: ExpectedPhase
    one: Candidates
    features: dict[str, float]
    scan: ComparisonSignal

    def beside(self, features: dict[str, float]) -> _Found:
        """With further features."""
        return replace(self, features=self.features | features)

    @property
    def pair(self) -> tuple[Library, Candidates]:
        return self.phase.library, self.one


class Checker:
    """One loaded model for many scans and expectations. structure_files: whether the path of a structure file may be expected."""

    def __init__(self, identifier: Identifier, structure_files: bool = True) -> None:
        self.identifier, self.model = identifier, identifier.model
        self._lookup = ExpectedLookup(identifier.model.library, structure_files)
        self._asked: dict[tuple[str, ...], _Asked] = {}

    def asked(self, expected: Sequence[str]) -> _Asked:
        """What names, refcodes and structure files stand for. Raises LibraryError or StructureError where one stands for nothing."""
        key = tuple(expected)
        if key not in self._asked:
            phases = tuple(self._phase(text) for text in key)
            families = np.unique(np.concatenate([self._families(phase) for phase in phases]))
            suspects = Suspects.of(self.model.library, families, self.identifier.relatives)
            self._asked[key] = _Asked(phases, families, suspects, suspects.second_phases(self.model))
        return self._asked[key]

    def _phase(self, text: str) -> ExpectedPhase:
        entries = self._lookup.entries(text)
        return ExpectedPhase(entries, None if entries.from_file else self.model.index.line_index)

    def _families(self, phase: ExpectedPhase) -> NDArray[np.int32]:
        """Families of the library that have the pattern of what is expected."""
        library = self.model.library
        if not phase.entries.from_file:
            return np.unique(library.family[phase.entries.rows])
        ideal = prepare_scan(entry_pattern(phase.library, 0, _DRAWN), filter_mode="off")
        found = rank(ideal, self.model)
        return np.unique(library.family[found.rows[found.similarity >= SAME_PATTERN]])

    def check(self, pattern: Pattern, expected: Sequence[str], options: SearchOptions | None = None, file: str | None = None) -> CheckResult:
        """Whether all of `expected` is in a scan, and nothing else. Raises LibraryError or StructureError where something expected is not known."""
        clock, options = time.perf_counter(), options or SearchOptions()
        asked = self.asked(expected)
        scan = prepare_scan(pattern, options.wavelength, options.filter_mode)
        answer = _described(scan, file or pattern.name, expected, self.model.name, options.detail)
        clear = clear_lines(scan.comparison)
        if why := unusable(scan.comparison, clear=clear):
            return replace(answer, reasons=(why,), seconds=_since(clock))
        found = _in_turn(asked.phases, scan.comparison)
        fitted = Fitted(scan.comparison, [one.pair for one in found])
        misfit = 1.0 - max(float(one.one.similarity[0]) for one in found)
        tolerated = Tolerance.of(tolerance_terms(fitted, local_noise(scan), misfit))
        lines = further_lines(fitted, tolerated)
        chances, like = self._chances(found, scan, asked, lines)
        certain = lines.listed()
        told = self._told(found, chances, scan)
        limit = detection_limit(scan.comparison, tolerated, asked.second)
        findings = Findings(told, lines, limit, explained(fitted), like)
        decision = decided(findings)
        named = Assigned(names=("",) * certain.height.size)
        if decision.good and certain.height.size:
            named = assigned(scan, fitted, certain, self.model, asked.suspects, self.identifier.second_phase_calibration)
        first = told[0].match
        return replace(
            answer,
            verdict=decision.verdict,
            probability=decision.probability,
            reasons=decision.reasons,
            expected=tuple(told if options.detail else [replace(one, match=replace(one.match, lines=None)) for one in told]),
            explained=round(findings.explained, 4),
            further_lines=_listed(certain, named, scan) if decision.verdict != "absent" else (),
            further_phases=named.phases,
            detection_limit=None if limit is None else round(limit, 1),
            looks_like=like if decision.verdict in ("absent", "unclear") else None,
            sample=sample_figures(scan, first.lines if decision.good else None, options.instrument_width),
            notes=(*answer.notes, *cut_off(found[0].phase.library, found[0].one, scan)),
            seconds=_since(clock),
        )

    def _chances(
        self, found: Sequence[_Found], scan: PreparedScan, asked: _Asked, lines: FurtherLines
    ) -> tuple[list[float], tuple[str, float] | None]:
        """Probability of each expected framework, and what else the scan looks like where the library was asked."""
        if len(found) == 1:  # a re-ranker knows whole scans, not what other phases leave
            found = [found[0].beside(side_by_side(self.model, found[0].phase, found[0].one, scan.comparison))]
        alone = [presence(one.features) for one in found]
        if min(alone) >= SURE and not lines.counts.any():
            return alone, None
        candidates = rank(scan, self.model)
        others = candidates.take(np.flatnonzero(~np.isin(self.model.library.family[candidates.rows], asked.families, kind="table")))
        if len(others) == 0:
            return alone, None
        chances, _ = self.identifier.calibration.probabilities(others)
        best = int(chances.argmax())
        rival, library = others.take([best]), self.model.library
        beside = [presence(rival_features(one.features, Fitted(one.scan, [one.pair]), library, rival)) for one in found]
        like = (entry_name(library, int(rival.rows[0])), round(float(chances[best]), 4)) if chances[best] >= NAMED else None
        return beside, like

    def _told(self, found: Sequence[_Found], chances: Sequence[float], scan: PreparedScan) -> list[Expected]:
        told = []
        for one, chance in zip(found, chances, strict=True):
            library, entries = one.phase.library, one.phase.entries
            ranking = Ranking.of(one.one, np.array([chance]), scan)
            match = listed_matches(library, ranking, [0], True, None)[0]
            evidence = match.evidence
            why = missing_reason(evidence.matched, evidence.missing, scan.wavelength, match.fwhm) if evidence else None
            change = cell_volume(np.array(match.cell)) / cell_volume(np.array(match.library_cell)) - 1.0
            other = bool(library.family[entries.called] != library.family[one.one.rows[0]])
            told.append(Expected(entries.text, entries.name, round(chance, 4), match, round(float(change), 4), other, why))
        return told


def explained(fitted: Fitted) -> float:
    """Share of the scan's line intensity where the expected frameworks have lines, 0 to 1."""
    lines = fitted.scan.lines
    return float(np.minimum(lines, EXPLAINS * fitted.near).sum() / max(float(lines.sum()), 1e-30))


def _in_turn(phases: Sequence[ExpectedPhase], whole: ComparisonSignal) -> list[_Found]:
    """Each expected framework in a scan, in the order given: the one that fits best in the whole scan, the others in what those before leave; then
    each again in what all others leave, where it fits better there."""
    found = {}
    left, rest = list(enumerate(phases)), whole
    while left:
        tried = [(place, phase, phase.compared(rest).take([0])) for place, phase in left]
        place, phase, one = max(tried, key=lambda item: float(item[2].similarity[0]))
        found[place] = _Found(phase, one, own_features(one, rest), rest)
        left = [item for item in left if item[0] != place]
        if left:
            rest = lines_left(rest, one, phase.library)
    first = [found[place] for place in range(len(phases))]
    return [_again(one, [other for other in first if other is not one], whole) for one in first] if len(first) > 1 else first


def _again(found: _Found, others: Sequence[_Found], whole: ComparisonSignal) -> _Found:
    """An expected framework without the lines of the other ones, which speak against it."""
    rest = whole
    for other in others:
        signal = candidate_signals(other.phase.library, other.one, whole)[0]
        rest = residual(rest, expected_signal(signal, float(other.one.shift[0]), whole))
    one = found.phase.compared(rest).take([0])
    better = one.similarity[0] > found.one.similarity[0]
    return _Found(found.phase, one, own_features(one, rest), rest) if better else found


def _listed(lines: FurtherLines, named: Assigned, scan: PreparedScan) -> tuple[FurtherLine, ...]:
    angles = in_scan(lines.two_theta, scan.wavelength)
    rows = zip(angles.tolist(), lines.height.tolist(), lines.foreign.tolist(), named.names, strict=True)
    return tuple(FurtherLine(round(angle, 3), round(height, 1), round(chance, 3), name) for angle, height, chance, name in rows)


def _described(scan: PreparedScan, file: str, expected: Sequence[str], model: str, detail: bool) -> CheckResult:
    """What is known of a scan before anything is looked for in it."""
    return CheckResult(
        file=file,
        verdict="unusable",
        asked=tuple(expected),
        wavelength=round(scan.wavelength, 6),
        wavelength_source=scan.wavelength_source,
        filtered=scan.filtered.filtered,
        noise=round(scan.filtered.noise, 4),
        model=model,
        notes=tuple(quality_notes(scan)),
        measured=scan.measured if detail else None,
    )


def _since(clock: float) -> float:
    return round(time.perf_counter() - clock, 4)
