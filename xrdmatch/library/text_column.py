"""A column of texts kept as the bytes they are stored as, and decoded where they are read: most of a library's texts are never looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import LibraryError


@dataclass(frozen=True, eq=False, repr=False)
class TextColumn:
    """Texts (n,). `column[3]` is a `str`, `column[rows]` an array of texts, and NumPy's functions take it as an array of texts.

    stored: (n,) UTF-8, padded with zero bytes to the longest; it may be mapped from a file. Raises ValueError where it is no column of UTF-8.
    """

    stored: NDArray[np.bytes_]

    def __post_init__(self) -> None:
        column = np.ascontiguousarray(self.stored, dtype=np.bytes_).view()
        if column.ndim != 1:
            raise ValueError(f"expected a column of texts, got shape {column.shape}")
        letters = column.view(np.uint8)
        if letters.max(initial=0) > 127:
            for row in np.flatnonzero((letters.reshape(len(column), -1) > 127).any(axis=1)):
                column[row].decode()
        column.flags.writeable = False
        object.__setattr__(self, "stored", column)

    @classmethod
    def of(cls, texts: Iterable[str]) -> TextColumn:
        """Raises LibraryError where a text cannot be stored as UTF-8 (the name of a file in an unknown encoding)."""
        try:
            stored = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            raise LibraryError(f"{error.object!r}: expected valid Unicode text; rename the file it comes from") from error
        return cls(np.array(stored, dtype=np.bytes_))

    @classmethod
    def none(cls, number: int = 0) -> TextColumn:
        """A column of so many empty texts."""
        return cls(np.zeros(number, dtype="S1"))

    def __len__(self) -> int:
        return len(self.stored)

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> str: ...
    @overload
    def __getitem__(self, rows: slice | list[int] | NDArray[Any]) -> NDArray[np.str_]: ...
    def __getitem__(self, rows: Any) -> str | NDArray[np.str_]:
        found = self.stored[rows]
        return found.decode() if isinstance(found, bytes) else _decoded(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("texts are decoded into a new array")
        texts = _decoded(self.stored)
        return texts if dtype is None else texts.astype(dtype)

    def __eq__(self, other: object) -> NDArray[np.bool_]:  # type: ignore[override]
        return np.asarray(np.asarray(self) == np.asarray(other))

    def __ne__(self, other: object) -> NDArray[np.bool_]:  # type: ignore[override]
        return ~(self == other)

    def __repr__(self) -> str:
        return f"<TextColumn: {len(self)} texts>"

    def tolist(self) -> list[str]:
        return [text.decode() for text in self.stored.tolist()]

    def take(self, rows: NDArray[Any]) -> TextColumn:
        """The column of some rows."""
        return TextColumn(self.stored[rows])

    def joined(self, other: TextColumn) -> TextColumn:
        """This column followed by another."""
        return TextColumn(np.concatenate([self.stored, other.stored]))


def _decoded(stored: NDArray[np.bytes_]) -> NDArray[np.str_]:
    """np.strings.decode takes ten times as long for what is mostly plain ASCII."""
    plain = np.ascontiguousarray(stored).view(np.uint8).max(initial=0) < 128
    return stored.astype(np.str_) if plain else np.strings.decode(stored, "utf-8")
