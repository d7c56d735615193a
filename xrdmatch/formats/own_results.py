"""What xrdmatch itself writes beside scans, so that a folder's results are not taken for scans: told by how a file begins, whatever it is called.

Denoised scans and simulated patterns are scans.
"""

from __future__ import annotations

import re

#: Bytes that are enough to tell.
HEAD = 1000

_BEGINNINGS = re.compile(
    rb"""(?xi)\A(?:\xef\xbb\xbf)?(?:
    file,verdict,reason                             # identify, CSV
    | \{"file":\ "                                  # identify, JSON
    | (?:MATCH|AMBIGUOUS|UNKNOWN|UNUSABLE|ERROR)\ \ # identify, table
    | \{\s*"scores":                                # evaluate, JSON
    | "?file"?[,;\t]"?label                         # the labels that evaluate reads
    | phase,id,name,h,k,l,                          # identify --export, lines
    | two_theta_deg,d_angstrom,                     # identify --export, peaks
    | (?:epoch|step),                               # the log of a training
    | what,name,reason                              # simulate --report
    )"""
)


def is_own_result(head: bytes) -> bool:
    """Whether a file that begins with `head` is one of xrdmatch's results or tables."""
    return _BEGINNINGS.match(head[:HEAD]) is not None
