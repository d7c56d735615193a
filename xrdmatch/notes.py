"""What is worth knowing of a scan, a structure or an answer, as a code with its values.

Programs test the code; `xrdmatch.report.phrases` makes the sentence that people read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Note:
    """code: such as "few_counts", listed in docs/commands.md. values: (name, value) pairs that its sentence is filled with."""

    code: str
    values: tuple[tuple[str, Any], ...] = ()

    def __getitem__(self, name: str) -> Any:
        """The value of that name. Raises KeyError where there is none."""
        return dict(self.values)[name]


def note(code: str, **values: Any) -> Note:
    """A note with named values."""
    return Note(code, tuple(values.items()))
