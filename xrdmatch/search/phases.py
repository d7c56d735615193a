"""What an answer says is in the sample: its phases, with their shares of the signal and, roughly, by weight."""

from __future__ import annotations

import numpy as np

from xrdmatch.library.absolute_scale import strength_between
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.prepared_scan import PreparedScan
from xrdmatch.search.matches import Ranking
from xrdmatch.search.result import Match, Phase
from xrdmatch.search.verdict import Decision


def phases_of(library: Library, decision: Decision, leads: int, rankings: tuple[Ranking, Ranking | None], matches: list[Match]) -> list[Phase]:
    """The phases that a decision names; none where it names nothing.

    leads: place of the first phase's candidate in its ranking. rankings: of the first phase, and of a second one where it was looked for. matches:
    what stands for each.
    """
    first, second = rankings
    if not decision.names:
        return []
    there = second is not None and second.states(0)
    explained = first.candidates.evidence[leads].explained if second is None or not there else 1.0 - second.unexplained
    rows, shares = [int(first.candidates.rows[leads])], [round(float(explained), 4)]
    told = [decision.headline[0]]
    if second is not None and there:
        rows, shares = [*rows, int(second.candidates.rows[0])], [*shares, second.share(0)]
        told.append((matches[1].name, matches[1].probability))
    weights = weight_shares(library, first.scan, rows, shares)
    return [
        Phase(number, name, chance, share, weight, match.category, match)
        for number, ((name, chance), share, weight, match) in enumerate(zip(told, shares, weights, matches, strict=False), 1)
    ]


def weight_shares(library: Library, scan: PreparedScan, rows: list[int], shares: list[float]) -> list[float | None]:
    """Rough shares by weight of phases with these shares of the signal: each divided by what a given mass of it scatters in the scan's range."""
    if len(rows) < 2:
        return [None]
    angles = (float(scan.measured.two_theta[0]), float(scan.measured.two_theta[-1]))
    strengths = np.array([strength_between(library, row, scan.wavelength, angles) for row in rows])
    masses = np.array(shares) / np.where(strengths > 0, strengths, np.nan)
    if not np.isfinite(masses).all() or masses.sum() <= 0:
        return [None] * len(rows)
    return [round(float(mass / masses.sum()), 3) for mass in masses]
