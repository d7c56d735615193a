"""What xrdmatch itself writes beside scans, so that a folder's results are not taken for scans: told by how a file begins, whatever it is called.

Denoised scans and simulated patterns are scans.
"""

from __future__ import annotations

import re

from xrdmatch.errors import ReadError
from xrdmatch.formats.scan import decode

#: Bytes that are enough to tell.
HEAD = 8000

_SCAN = "not a scan: give the measured file"
#: Columns of tables, whose first line may have others beside them and any order, and what they are.
_TABLES = (
    ({"file", "verdict", "reason"}, f"is a result of xrdmatch identify, {_SCAN}"),
    ({"two_theta_deg", "d_angstrom", "height_percent"}, f"lists peaks that xrdmatch identify exported, {_SCAN}"),
    ({"two_theta_deg", "d_angstrom", "two_theta_scan_deg"}, f"lists lines that xrdmatch identify exported, {_SCAN}"),
    ({"file", "label"}, "is a table of labels, not a scan: xrdmatch evaluate takes it"),
    ({"what", "name", "reason"}, f"is a report of xrdmatch simulate, {_SCAN}"),
    ({"loss", "seconds"}, f"is a log of xrdmatch train, {_SCAN}"),
)
#: How JSON, alone or in a list, and tables for people begin.
_BEGINNINGS = (
    (re.compile(r'\[?\s*\{\s*"file":.*"verdict":', re.DOTALL), f"is a result of xrdmatch identify, {_SCAN}"),
    (re.compile(r"(MATCH|AMBIGUOUS|UNKNOWN|UNUSABLE|ERROR)(  .*)?\r?\n  \S"), f"is a result of xrdmatch identify, {_SCAN}"),
    (re.compile(r"\S.* (<1|>?\d\d?) %(   .*)?\r?\n  \S(?s:.*)also there: "), f"is a result of xrdmatch identify, {_SCAN}"),
    (
        re.compile(r"Scan +Prob\. +Framework|\S.* [✓~+]  (<1| ?>?\d?\d) %  \S|\S.* [?!-] {8}(unknown|unusable|error)"),
        f"is a result of xrdmatch identify, {_SCAN}",
    ),
    (re.compile(r'\{\s*"scores":|Kind +What +Right +Of +Share'), f"is a result of xrdmatch evaluate, {_SCAN}"),
    (re.compile(r'\{\s*"xrdmatch":'), f"is output of xrdmatch info, {_SCAN}"),
)


def own_result(head: bytes) -> str:
    """What a file that begins with `head` is, as words to follow its name; empty where it is none of xrdmatch's results or tables."""
    try:
        text = decode(head[:HEAD]).lstrip("\ufeff \t\r\n")
    except ReadError:  # binary
        return ""
    columns = {cell.strip(' "\r').lower() for cell in re.split("[,;\t]", text.partition("\n")[0])}
    told = [words for names, words in _TABLES if names <= columns] + [words for beginning, words in _BEGINNINGS if beginning.match(text)]
    return told[0] if told else ""
