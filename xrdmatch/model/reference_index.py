"""What a scan is searched in: the library with what recalls its entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ModelError
from xrdmatch.library.line_index import LineIndex
from xrdmatch.library.reference_library import Library


@dataclass(frozen=True, eq=False)
class ReferenceIndex:
    """n entries that can be named. Nothing of it is ever changed: `joined` and `subset` make new ones.

    vectors: (n, dim) unit vectors by an encoder, None for a classifier. line_index: the strongest lines of each entry.
    Raises ModelError where they do not belong together.
    """

    library: Library
    vectors: NDArray[np.float32] | None
    line_index: LineIndex

    def __post_init__(self) -> None:
        n = len(self.library)
        if self.vectors is not None and (self.vectors.ndim != 2 or len(self.vectors) != n):
            raise ModelError(f"vectors of shape {self.vectors.shape} for {n} library entries; train or add again")
        if len(self.line_index) != n:
            raise ModelError(f"lines of {len(self.line_index)} entries for {n} library entries; train or add again")

    @classmethod
    def of(cls, library: Library, vectors: NDArray[np.float32] | None = None) -> ReferenceIndex:
        """The index of a library whose strongest lines are looked up now."""
        return cls(library, vectors, LineIndex.of(library))

    def __len__(self) -> int:
        return len(self.library)

    def joined(self, other: ReferenceIndex) -> ReferenceIndex:
        """These entries followed by those of `other`. Raises LibraryError where both hold an id."""
        both = None if self.vectors is None or other.vectors is None else np.concatenate([self.vectors, other.vectors])
        return ReferenceIndex(self.library.joined(other.library), both, self.line_index.joined(other.line_index))

    def subset(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> ReferenceIndex:
        """The entries `rows`, in that order."""
        places = np.asarray(rows, dtype=int)
        vectors = None if self.vectors is None else self.vectors[places]
        return ReferenceIndex(self.library.subset(places), vectors, self.line_index.subset(places))
