"""A pattern and a model to ranked matches and a verdict: prepare, rank, weigh, look for a second phase, decide."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import LibraryError, ModelError
from xrdmatch.library.composition import SameMetalAndLinker
from xrdmatch.library.metal_exchange import LetIn, let_in
from xrdmatch.model.folder import RERANKER, Model
from xrdmatch.model.session import Device
from xrdmatch.preprocessing.prepared_scan import PreparedScan, prepare_scan
from xrdmatch.search.accepted_phases import accepted_phases, accepted_rows, tell_accepted
from xrdmatch.search.answer import Telling, Told, tell
from xrdmatch.search.assumed_wavelength import LIKELY_AT_A_GLANCE, better_anode, name_note
from xrdmatch.search.candidate_view import independent_lines
from xrdmatch.search.candidates import Candidates
from xrdmatch.search.matches import Ranking
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.pipeline import compare_and_refine, rank
from xrdmatch.search.probability import Calibration
from xrdmatch.search.result import Hint, Identification
from xrdmatch.search.retrieval import RankOptions, retriever
from xrdmatch.search.sample import sample_figures
from xrdmatch.search.scan_quality import LINES_NAMED, clear_lines, cut_off, quality_notes, unusable
from xrdmatch.search.second_phase import REMAINDER, find_second_phase, subtract_phase

if TYPE_CHECKING:
    from xrdmatch.search.scaled_cells import ScalableEntries

#: Probability of the best family from which a second phase is looked for beside it.
MIN_FIRST_PHASE = 0.002

Mask = NDArray[np.bool_]


class Identifier:
    """One loaded model for many scans. Raises ModelError or LibraryError where the model folder is not whole."""

    def __init__(self, model: str | Path | Model | None = None, device: Device = "auto") -> None:
        self.model = model if isinstance(model, Model) else Model.load(model, device)
        self.model.ready()
        self.retriever = retriever(self.model)
        self.calibration = Calibration.from_json(self.model.config.get("calibration"))
        if self.calibration.needs_reranker and self.model.reranker is None:
            raise ModelError(
                f"{self.model.path}: its calibration was fitted with a re-ranker, but {RERANKER} is missing; copy the whole folder again"
            )
        # Version 0.1 called the second phase the one beside the first.
        stored = self.model.config.get("calibration_second_phase", self.model.config.get("calibration_beside"))
        self.second_phase_calibration = Calibration.from_json(stored, second_phase=True)
        self._let_in = lru_cache(maxsize=8)(self._rows_let_in)

    def allowed(self, options: SearchOptions) -> Mask | None:
        """(n,) which entries `elements` and `exclude` let in; None where all are. Raises LibraryError where none is."""
        found = self.let_in(options)
        return None if found is None else found.rows

    def check(self, options: SearchOptions) -> None:
        """Raises LibraryError where a search with these options can find nothing: no entry is let in, or an accepted one is not known."""
        self.allowed(options)
        accepted_rows(self.model.library, options.accepted)

    def let_in(self, options: SearchOptions) -> LetIn | None:
        """The same, with those entries that are let in with another metal only."""
        return None if options.elements is None and not options.exclude else self._let_in(options.elements, options.exclude)

    def _rows_let_in(self, elements: tuple[str, ...] | None, exclude: tuple[str, ...]) -> LetIn:
        found = let_in(self.model.library, elements, exclude)
        if not found.rows[self.retriever.known()].any():
            raise LibraryError("no structure of the library holds only such elements; allow more")
        return found

    @cached_property
    def relatives(self) -> SameMetalAndLinker:
        return SameMetalAndLinker(self.model.library)

    @cached_property
    def scalable(self) -> ScalableEntries:
        """What hints for unknowns are made of; some tenths of a second, once."""
        from xrdmatch.search.scaled_cells import ScalableEntries

        return ScalableEntries(self.model.library)

    def identify(self, pattern: Pattern, options: SearchOptions | None = None, file: str | None = None) -> Identification:
        """Ranked matches and a verdict for one scan, called `file`. Raises LibraryError where no structure of the library is let in."""
        clock, options = time.perf_counter(), options or SearchOptions()
        chosen, library = self.let_in(options), self.model.library
        scan = prepare_scan(pattern, options.wavelength, options.filter_mode)
        answer = self._described(scan, options, file or pattern.name)
        clear = clear_lines(scan.comparison)
        if why := unusable(scan.comparison, clear=clear):
            return replace(answer, reasons=(why,), seconds=_since(clock))
        telling = Telling(len(clear), independent_lines(scan.comparison, clear), self.retriever.says_unknown, options, chosen)
        leads, told = self._told(scan, telling)
        notes = [*answer.notes, *cut_off(library, leads, scan), *told.notes]
        if told.decision.verdict == "unknown" and scan.wavelength_source == "default":
            notes += better_anode(scan, self.model.index.line_index, partial(self._matched, pattern, options))
        unknown = told.decision.verdict == "unknown" and options.hint and len(clear) >= LINES_NAMED
        hint = self._hint(scan, chosen) if unknown else None
        sample = sample_figures(scan, told.matches[0].lines if told.decision.verdict == "match" else None, options.instrument_width)
        told = told if options.detail else told.without_lines()
        return replace(
            answer,
            verdict=told.decision.verdict,
            reasons=told.decision.reasons,
            level=told.decision.level,
            headline=told.decision.headline,
            phases=told.phases,
            matches=told.matches,
            second_matches=told.second_matches,
            open_questions=told.open_questions,
            notes=notes,
            sample=sample,
            hint=hint,
            accepted=tuple(str(library.id[row]) for row in accepted_rows(library, options.accepted)),
            seconds=_since(clock),
        )

    def _told(self, scan: PreparedScan, telling: Telling) -> tuple[Candidates, Told]:
        """The candidate that the first phase is judged by, and what an answer tells."""
        library, chosen = self.model.library, telling.let_in
        if not telling.options.accepted:
            first, second = self.rankings(scan, chosen)
            return first.best, tell(library, (first, second), telling)
        accepted = accepted_phases(scan, library, accepted_rows(library, telling.options.accepted))
        further = self._second_phase(scan, accepted.candidates, None if chosen is None else chosen.rows)
        return accepted.rankings[0].best, tell_accepted(library, accepted, further, telling)

    def _hint(self, scan: PreparedScan, chosen: LetIn | None) -> Hint | None:
        from xrdmatch.search.isoreticular import isoreticular_hint  # unknowns alone need it

        return isoreticular_hint(scan.comparison, self.scalable, None if chosen is None else chosen.rows)

    def _matched(self, pattern: Pattern, options: SearchOptions, wavelength: float) -> tuple[float, str] | None:
        """Probability and name of the match where the scan was measured with this wavelength (angstrom); None where nothing fits then.

        A look at the likeliest few alone, which costs little, tells mostly that nothing does.
        """
        scan = prepare_scan(pattern, wavelength, options.filter_mode)
        glimpse = rank(scan, self.model, RankOptions(allowed=self.allowed(options), max_refined=1, min_families=2))
        if self.calibration.probabilities(glimpse)[0].max(initial=0.0) < LIKELY_AT_A_GLANCE:
            return None
        answer = self.identify(pattern, replace(options, wavelength=wavelength, detail=False, hint=False))
        return (answer.probability, answer.name) if answer.verdict == "match" else None

    def rankings(self, scan: PreparedScan, chosen: LetIn | None = None) -> tuple[Ranking, Ranking | None]:
        """All candidates of the first phase, and of a second one where it was looked for. chosen: entries that may be named."""
        allowed = None if chosen is None else chosen.rows
        candidates = rank(scan, self.model, RankOptions(allowed=allowed))
        if not self.retriever.says_unknown:
            return _exact_first(Ranking.of(candidates, candidates.network_score, scan), chosen), None
        first = _exact_first(self._weighed(candidates, scan), chosen)
        second = self._second_phase(scan, first.best, allowed) if first.probabilities[0] >= MIN_FIRST_PHASE else None
        if second is not None:
            second = _exact_first(second, chosen)
            if second.states(0):
                first = _exact_first(self._rescored_without(second, first, scan, allowed), chosen)
        return first, second

    def _weighed(self, candidates: Candidates, scan: PreparedScan) -> Ranking:
        return Ranking.of(candidates, self.calibration.probabilities(candidates)[0], scan)

    def _second_phase(self, scan: PreparedScan, first: Candidates, allowed: Mask | None) -> Ranking | None:
        """What the lines look like that a first phase, or several, leave unexplained, where they are enough to tell."""
        found = find_second_phase(scan, first, self.model, self.relatives, replace(REMAINDER, allowed=allowed))
        if found is None:
            return None
        probabilities, _ = self.second_phase_calibration.probabilities(found.candidates, found.unexplained)
        return Ranking.of_second(found, probabilities)

    def _rescored_without(self, second: Ranking, first: Ranking, scan: PreparedScan, allowed: Mask | None) -> Ranking:
        """The ranking without the lines of the second phase, which spoke against the first; as it was where that does not make it surer.

        It counts as far as the second phase is likely: two phases that are wrong together explain more lines than either.
        """
        library = self.model.library
        alone = subtract_phase(scan, second.best, second.scan, library)
        if unusable(alone.comparison):
            return first
        recalled = Candidates.of(first.candidates.rows, first.candidates.network_score, alone.comparison.fwhm)
        refined = compare_and_refine(recalled, library, alone.comparison, RankOptions(allowed=allowed), self.model.reranker)
        again = self._weighed(refined, alone).if_likely(float(second.probabilities[0]), first)
        same = library.family[again.candidates.rows[0]] == library.family[first.candidates.rows[0]]
        return again if same and again.probabilities[0] > first.probabilities[0] else first

    def _described(self, scan: PreparedScan, options: SearchOptions, file: str) -> Identification:
        """What is known of a scan before it is searched for; the verdict is the one it has where it cannot be."""
        return Identification(
            file=file,
            verdict="unusable",
            wavelength=round(scan.wavelength, 6),
            wavelength_source=scan.wavelength_source,
            filtered=scan.filtered.filtered,
            filter_reason=scan.filtered.reason,
            noise=round(scan.filtered.noise, 4),
            provider=self.model.session.provider,
            model=self.model.name,
            notes=[*quality_notes(scan), *(name_note(file, scan.wavelength) if scan.wavelength_source == "default" else [])],
            pattern=scan.pattern if options.detail else None,
            measured=scan.measured if options.detail else None,
        )


def _exact_first(ranking: Ranking, chosen: LetIn | None) -> Ranking:
    """The ranking, in which of equally likely candidates those come first that need no other metal."""
    return ranking if chosen is None or not chosen.exchanges else ranking.with_last(chosen.exchanged(ranking.candidates.rows))


def _since(clock: float) -> float:
    """Seconds since `clock`."""
    return round(time.perf_counter() - clock, 4)
