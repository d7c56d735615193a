"""What a name, a refcode or a structure file stands for where it is expected in a scan: the whole framework, in every form, cell and metal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.elements import element_symbol
from xrdmatch.diffraction.structure import load
from xrdmatch.errors import LibraryError
from xrdmatch.library.build import entry_of
from xrdmatch.library.composition import metals_of
from xrdmatch.library.entry_names import entry_name
from xrdmatch.library.find_entries import entry_called
from xrdmatch.library.reference_library import Library
from xrdmatch.library.spelling import aliases, words

#: Endings of what is read as a structure, and beginnings of such files' names.
STRUCTURE_SUFFIXES, STRUCTURE_NAMES = (".cif", ".vasp", ".poscar"), ("POSCAR", "CONTCAR")


@dataclass(frozen=True, eq=False)
class ExpectedEntries:
    """What is expected in a scan.

    text: as it was given. name: what to call it. library, rows: where the entries lie that it stands for; a structure file is a library of its own.
    called: the row that the text itself names.
    """

    text: str
    name: str
    library: Library
    rows: NDArray[np.int64]
    called: int
    from_file: bool = False


class ExpectedLookup:
    """Looks up what is expected in one library; a plan asks it many times. structure_files: whether a text may be the path of one."""

    def __init__(self, library: Library, structure_files: bool = True) -> None:
        self.library, self.structure_files = library, structure_files
        self._known: dict[str, ExpectedEntries] = {}

    def entries(self, text: str) -> ExpectedEntries:
        """Raises LibraryError where no entry is called so, StructureError where a file holds no usable structure."""
        if text not in self._known:
            self._known[text] = self._from_file(text) if self.structure_files and _is_structure(text) else self._from_library(text.strip())
        return self._known[text]

    def _from_file(self, text: str) -> ExpectedEntries:
        if not Path(text).is_file():
            raise LibraryError(f"{text}: there is no such structure file; check its path, or give a name or refcode of the library")
        own = Library.from_entries([entry_of(load(text))])
        return ExpectedEntries(text, Path(text).stem, own, np.zeros(1, dtype=np.int64), 0, True)

    def _from_library(self, text: str) -> ExpectedEntries:
        library = self.library
        rows, called = self._called(text)
        framework = library.level("framework")[0]
        together = np.isin(framework, np.unique(framework[rows]), kind="table")
        together |= np.isin(library.family, np.unique(library.family[rows]), kind="table")
        name = entry_name(library, called)
        return ExpectedEntries(text, name if library.name[called] else text, library, np.flatnonzero(together), called)

    def _called(self, text: str) -> tuple[NDArray[np.int64], int]:
        """Rows of the entries of this name, whatever the metal, and the one that stands for them."""
        library = self.library
        same = np.flatnonzero(library.id.stored == text.encode())
        try:
            called = int(same[0]) if same.size else entry_called(library, text).row
        except LibraryError:
            rows = self._of_same_name(frozenset([without_metal(text)]))
            if rows.size == 0:
                raise
            families, number = np.unique(library.family[rows], return_counts=True)
            return rows, int(rows[library.family[rows] == families[number.argmax()]][0])
        keys, of = self._keys
        return np.union1d(self._of_same_name(keys[of[called]]), [called]), called

    def _of_same_name(self, wanted: frozenset[tuple[str, ...]]) -> NDArray[np.int64]:
        keys, of = self._keys
        return np.flatnonzero(np.array([bool(key & wanted - {()}) for key in keys], dtype=bool)[of])

    @cached_property
    def _keys(self) -> tuple[list[frozenset[tuple[str, ...]]], NDArray[np.intp]]:
        """Of each name the library has what is left without its metals, for all names in it; and which of them each entry has (n,)."""
        names, of = np.unique(self.library.name.stored, return_inverse=True)
        return [frozenset(without_metal(alias) for alias in aliases(name.decode())) for name in names.tolist()], of


def _is_structure(text: str) -> bool:
    return Path(text).suffix.lower() in STRUCTURE_SUFFIXES or Path(text).name.startswith(STRUCTURE_NAMES)


def _is_metal(word: str) -> bool:
    symbol = element_symbol(word.capitalize()) if len(word) < 3 else None
    return symbol is not None and bool(metals_of(symbol))


def without_metal(name: str) -> tuple[str, ...]:
    """The words of a name but for its metals, sorted: `mil 53` of MIL-53(Fe), `mof 74` of Mg-MOF-74. Only where a number is left, which tells it."""
    left = sorted(word for word in words(name) if not _is_metal(word))
    return tuple(left) if any(word.isdigit() for word in left) and any(word.isalpha() for word in left) else ()
