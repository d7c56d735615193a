"""Steps of a search that several test modules take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.candidates import Candidates, Evidence
from xrdmatch.search.cell_refinement import RefinementOptions, refine_and_draw
from xrdmatch.search.comparison import candidate_signals, compare
from xrdmatch.search.line_evidence import line_evidence

ROWS = np.arange(5)


def signal_of(pattern):
    """A scan on the comparison's grid, not filtered."""
    return prepare_scan(pattern, filter_mode="off").comparison


def untouched(rows, scan):
    """Candidates as they stand in the library."""
    return Candidates.of(np.asarray(rows), np.zeros(len(rows)), scan.fwhm)


def signals(library, rows, scan):
    """What entries would look like in a scan, (k, m)."""
    return candidate_signals(library, untouched(rows, scan), scan)


def compared(library, rows, scan):
    """Entries compared with a scan, best first."""
    found = compare(untouched(rows, scan), signals(library, rows, scan), scan)
    return found.take(np.argsort(-found.similarity, kind="stable"))


def refine_cells(library, candidates, scan, options=None):
    """Candidates refined, best first, without their signals."""
    return refine_and_draw(library, candidates, scan, options or RefinementOptions())[0]


def refined(library, pattern, rows=ROWS, options=None):
    """Entries compared with a scan and refined, and the scan."""
    scan = signal_of(pattern)
    return refine_cells(library, compared(library, rows, scan), scan, options), scan


def evidence_of(library, candidates, scan, i=0):
    """What speaks for and against one of the candidates."""
    one = candidates.take([i])
    return line_evidence(library, one, scan, candidate_signals(library, one, scan)).evidence[0]


def made_up(similarity, network_score=0.5, explained=0.8, missing=0, extra=0, **fields):
    """Candidates of which only these findings are known, one for each `similarity`; numbers stand for all of them."""
    similarity = np.atleast_1d(np.asarray(similarity, dtype=float))
    k = len(similarity)
    line = (1, 0, 0, 10.0, 50.0)
    columns = [np.broadcast_to(values, k) for values in (explained, missing, extra)]
    evidence = np.empty(k, dtype=object)
    evidence[:] = [Evidence(float(share), [line] * 5, [line] * int(gone), [12.0] * int(new), 4.0) for share, gone, new in zip(*columns, strict=True)]
    state = {"plain_similarity": 0.5, "strain_penalty": 0.3, "position_similarity": 0.6, "shift": 0.1, "family_size": 3.0, **fields}
    state = {name: np.array(np.broadcast_to(values, k)) for name, values in state.items()}
    return replace(Candidates.of(np.arange(k), np.broadcast_to(network_score, k), 0.1), similarity=similarity, evidence=evidence, **state)
