"""What xrdmatch itself writes as text, told from scans by how it begins, whatever its name is.

Results lie beside the scans that they are of, and many hold numbers: a list of peaks would pass for a scan. Denoised scans and simulated patterns are
scans.
"""

from __future__ import annotations

import re

_SCAN = "not a scan: give the scan itself"
#: Columns of the tables and what they are; a table may have others, in any order.
_TABLES = (
    ({"file", "verdict", "reason"}, f"holds results of xrdmatch identify, {_SCAN}"),
    ({"two_theta_deg", "d_angstrom", "height_percent"}, f"lists peaks that xrdmatch identify has exported, {_SCAN}"),
    ({"two_theta_deg", "two_theta_scan_deg", "d_angstrom"}, f"lists lines that xrdmatch identify has exported, {_SCAN}"),
    ({"file", "label"}, "is a table of labels, not a scan: xrdmatch evaluate takes it"),
    ({"what", "name", "reason"}, f"is a report of xrdmatch simulate, {_SCAN}"),
    ({"seconds", "loss"}, f"is the log of xrdmatch train, {_SCAN}"),
)
#: How the others begin: JSON, alone or in a list, and tables for people.
_BEGINNINGS = (
    (re.compile(r'\[?\s*\{\s*"file":.*"verdict":', re.DOTALL), f"holds results of xrdmatch identify, {_SCAN}"),
    (re.compile(r"(MATCH|AMBIGUOUS|UNKNOWN|UNUSABLE|ERROR)(  .*)?\r?\n  \S"), f"holds results of xrdmatch identify, {_SCAN}"),
    (re.compile(r'\{\s*"scores":|Kind +What +Right +Of +Share'), f"holds results of xrdmatch evaluate, {_SCAN}"),
    (re.compile(r'\{\s*"xrdmatch":'), f"is what xrdmatch info says, {_SCAN}"),
)


def own_result(head: str) -> str:
    """What a text is that begins with `head`, in words that go on after a file's name; empty where xrdmatch has not written it."""
    head = head.lstrip("\ufeff \t\r\n")
    first = head.partition("\n")[0].lower()
    columns = {cell.strip(' "\r') for cell in re.split("[,;\t]", first)}
    for names, words in _TABLES:
        if names <= columns:
            return words
    return next((words for beginning, words in _BEGINNINGS if beginning.match(head)), "")
