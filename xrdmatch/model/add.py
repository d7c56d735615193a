"""Own structures into a model's library, without training: reflections, a vector, a family."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xrdmatch.diffraction.structure import iter_sources, parse
from xrdmatch.errors import LibraryError, ModelError, StructureError
from xrdmatch.library.build import entry_of
from xrdmatch.library.families import place_new, with_family_names
from xrdmatch.library.levels import with_levels
from xrdmatch.library.name_table import Names, named_entry, read_names, with_own_names, without_entry
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.model.folder import CARD, CONFIG, NETWORK, RERANKER, Model, files_of, find_model, write_encoder
from xrdmatch.model.library_vectors import ideal_inputs
from xrdmatch.model.reference_index import ReferenceIndex
from xrdmatch.model.session import Device
from xrdmatch.system import atomic_files

#: Entries by whose vectors those are found that a new one may be alike to.
NEAREST = 100


@dataclass
class Added:
    """What became of the structures: ids that went in, (id, family name) of those that fell into a known family, (name, reason) of failures.

    repaired: (id, what was repaired, assumed or is doubtful). duplicates: (id, which one was kept) of ids that came twice. unnamed: refcodes of the
    table of names that no entry has.
    """

    ids: list[str] = field(default_factory=list)
    alike: list[tuple[str, str]] = field(default_factory=list)
    repaired: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)


def load_entries(sources: Iterable[str | Path], failed: list[tuple[str, str]], duplicates: list[tuple[str, str]]) -> list[Entry]:
    """Library entries of structure files, folders or archives; what cannot be loaded is appended to `failed` with its reason.

    Of an id that comes twice the first is kept, and the others are appended to `duplicates` with where that came from.
    """
    entries: dict[str, Entry] = {}
    for name, data, source in iter_sources(sources):
        if Path(name).stem in entries:
            duplicates.append((Path(name).stem, f"in {source}; kept the one from {entries[Path(name).stem].source}"))
            continue
        try:
            entries[Path(name).stem] = entry_of(parse(data, name, source))
        except StructureError as error:
            failed.append((name, str(error)))
    return list(entries.values())


def without_known(entries: Iterable[Entry], library: Library, duplicates: list[tuple[str, str]]) -> list[Entry]:
    """The entries whose ids the library does not hold; the others are appended to `duplicates`."""
    known = set(library.id.tolist())
    left = []
    for entry in entries:
        if entry.id in known:
            duplicates.append((entry.id, f"in {entry.source}; kept the one that the library holds"))
        else:
            left.append(entry)
    return left


def extended(model: Model, extra: Library) -> Model:
    """A model in memory whose library ends with the entries of `extra`, each in the family that powder XRD cannot tell it from, else in one of its
    own. Raises ModelError for a classifier, LibraryError where `extra` is empty.
    """
    old = model.index
    if old.vectors is None:
        raise ModelError(f"{model.path}: a classifier knows only the structures it was trained on; use an encoder")
    if len(extra) == 0:
        raise LibraryError("none of the structures could be loaded, so there is nothing to add")
    vectors = model.encode(ideal_inputs(extra, np.arange(len(extra)), model.recipe))
    both = old.joined(ReferenceIndex.of(extra, vectors))
    family = both.library.family.copy()
    for row, vector in enumerate(vectors):
        near = np.argsort(-(old.vectors @ vector), kind="stable")[:NEAREST]
        known = place_new(old.library, extra.entry(row), np.sort(near))
        family[len(old) + row] = family[len(old) + row] if known is None else known
    return model.with_index(replace(both, library=with_levels(_with_families(both.library, family))))


def with_structures(model: Model, sources: Iterable[str | Path]) -> tuple[Model, Added]:
    """A model in memory with the structures of files, folders or archives, as `add` writes it, and what became of them.

    Raises LibraryError where none can be loaded or all are known, ModelError for a classifier.
    """
    report = Added()
    entries = load_entries(sources, report.failed, report.duplicates)
    if not entries:
        raise LibraryError("; ".join(reason for _, reason in report.failed[:3]) or "no structure files (.cif, POSCAR) found")
    fresh = without_known(entries, model.library, report.duplicates)
    if not fresh:
        raise LibraryError(_nothing_new([entry.id for entry in entries], []))
    return model.with_index(_with_entries(fresh, model, report)), report


def add(sources: Iterable[str | Path], folder: Path, base: str | None = None, device: Device = "auto", name_table: str | Path | None = None) -> Added:
    """Put structures into the model in `folder`, which starts as a copy of `base` (default: the shipped model) where it does not exist.

    A new entry that powder XRD cannot tell from a family joins that family and is reported. Of an id that comes twice the first is kept, the
    library's own before all. name_table: a file of `read_names`, whose names go to the new entries and to the library's; then there may be no
    sources. Of several processes one adds at a time; the others wait. Raises LibraryError where nothing can be added or named; the folder stays as
    it was then.
    """
    report, given = Added(), list(sources)
    names = read_names(name_table) if name_table is not None else {}
    entries = load_entries(given, report.failed, report.duplicates)
    if not entries and (given or not names):
        raise LibraryError("; ".join(reason for _, reason in report.failed[:3]) or "no structure files (.cif, POSCAR) found")
    with atomic_files.writing(folder, ModelError), atomic_files.folder_lock(folder):
        _add(
            [named_entry(entry, names) for entry in entries],
            folder,
            Model.load(folder if (folder / CONFIG).is_file() else base, device),
            names,
            report,
        )
    return report


def _add(entries: list[Entry], folder: Path, model: Model, names: Names, report: Added) -> None:
    index = replace(model.index, library=with_own_names(model.library, names))
    fresh = without_known(entries, index.library, report.duplicates)
    report.unnamed = without_entry([*index.library.id.tolist(), *(entry.id for entry in fresh)], names)
    if not fresh and len(report.unnamed) == len(names):
        raise LibraryError(_nothing_new([entry.id for entry in entries], report.unnamed))
    if fresh:
        index = _with_entries(fresh, model.with_index(index), report)
    _copy(find_model(model.path), folder)
    write_encoder(folder, model.config, index)


def _nothing_new(ids: list[str], unnamed: list[str]) -> str:
    """What to say where the library holds all these ids, or none of the refcodes that were to be named."""
    if not ids:
        return f"{unnamed[0]}: the library has no entry with this refcode, or with any other in the table of names"
    count = f" ({len(ids)} such ids in all)" if ids[1:] else ""
    return f"{ids[0]}: this id is already in the library{count}; rename the file, whose name gives the id"


def _with_entries(entries: list[Entry], model: Model, report: Added) -> ReferenceIndex:
    """The model's index with these entries; the families that hold new names are called anew."""
    both = extended(model, Library.from_entries(entries)).index
    library, before = both.library, len(model.library.family_name)
    for i, entry in enumerate(entries, len(model.library)):
        if library.family[i] < before:
            report.alike.append((entry.id, str(model.library.family_name[library.family[i]])))
        report.ids.append(entry.id)
        if entry.note:
            report.repaired.append((entry.id, entry.note))
    rows = np.flatnonzero(library.name.stored[len(model.library) :] != b"") + len(model.library)
    return replace(both, library=with_family_names(library, np.unique(library.family[rows]).astype(np.int64)))


def _with_families(library: Library, family: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Library:
    """The library with other family numbers; families without a member go."""
    kept, numbers = np.unique(family, return_inverse=True)
    return replace(library, family=numbers.astype(np.int32), family_name=library.family_name.take(kept))


def _copy(source: Path, folder: Path) -> None:
    """Network and card of `source`; the library and the configuration are written anew."""
    if folder.samefile(source):
        return
    for path in files_of(source):
        if path.name in (NETWORK, RERANKER, CARD):
            with atomic_files.atomic_write(folder / path.name) as part:
                shutil.copy(path, part)
