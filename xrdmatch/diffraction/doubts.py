"""How a note on a structure says that it may be wrong."""

from __future__ import annotations

#: Begins a note on a structure that was read, but may be wrong.
DOUBTFUL = "doubtful: "


def charge_doubt(anions: float, metals: float) -> str:
    """The note on a framework whose anions carry at most `anions` charges a cell where its metals need `metals`."""
    return f"{DOUBTFUL}the anions carry at most {anions:g} charges per cell, but the metals need {metals:g}: counter-ions or pillars may be missing"
