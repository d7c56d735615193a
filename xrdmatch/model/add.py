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
from xrdmatch.library.families import place_new
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.model.folder import CARD, CONFIG, NETWORK, Model, files_of, find_model, write_encoder
from xrdmatch.model.library_vectors import ideal_inputs
from xrdmatch.model.reference_index import ReferenceIndex
from xrdmatch.model.session import Device
from xrdmatch.system import atomic_files


@dataclass
class Added:
    """What became of the structures: ids that went in, (id, family name) of those that fell into a known family, (name, reason) of failures.

    repaired: (id, what was repaired, assumed or is doubtful).
    """

    ids: list[str] = field(default_factory=list)
    alike: list[tuple[str, str]] = field(default_factory=list)
    repaired: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def load_entries(sources: Iterable[str | Path], failed: list[tuple[str, str]]) -> list[Entry]:
    """Library entries of structure files, folders or archives; what cannot be loaded is appended to `failed` with its reason."""
    entries = []
    for name, data, source in iter_sources(sources):
        try:
            entries.append(entry_of(parse(data, name, source)))
        except StructureError as error:
            failed.append((name, str(error)))
    return entries


def extended(model: Model, extra: Library) -> Model:
    """A model in memory whose library ends with the entries of `extra`, each a family of its own. Raises ModelError for a classifier,
    LibraryError where `extra` is empty.
    """
    if model.index.vectors is None:
        raise ModelError(f"{model.path}: a classifier knows only the structures it was trained on; use an encoder")
    if len(extra) == 0:
        raise LibraryError("none of the structures could be loaded, so there is nothing to add")
    vectors = model.encode(ideal_inputs(extra, np.arange(len(extra)), model.recipe))
    return model.with_index(model.index.joined(ReferenceIndex.of(extra, vectors)))


def add(sources: Iterable[str | Path], folder: Path, base: str | None = None, device: Device = "auto") -> Added:
    """Put structures into the model in `folder`, which starts as a copy of `base` (default: the shipped model) where it does not exist.

    A new entry that powder XRD cannot tell from a family joins that family and is reported. Of several processes one adds at a time; the others wait.
    Raises LibraryError where nothing can be added or an id is taken; the folder stays as it was then.
    """
    report = Added()
    entries = load_entries(sources, report.failed)
    if not entries:
        raise LibraryError("; ".join(reason for _, reason in report.failed[:3]) or "no structure files (.cif, POSCAR) found")
    with atomic_files.writing(folder, ModelError), atomic_files.folder_lock(folder):
        _add(entries, folder, base, device, report)
    return report


def _add(entries: list[Entry], folder: Path, base: str | None, device: Device, report: Added) -> None:
    model = Model.load(folder if (folder / CONFIG).is_file() else base, device)
    taken = set(model.library.id.tolist()) & {entry.id for entry in entries}
    if taken:
        raise LibraryError(f"{sorted(taken)[0]}: this id is in the library already ({len(taken)} are); rename the file, since its stem is the id")
    both = extended(model, Library.from_entries(entries))
    family = both.library.family.copy()
    for i, entry in enumerate(entries, len(model.library)):
        known = place_new(model.library, entry)
        if known is not None:
            family[i] = known
            report.alike.append((entry.id, str(model.library.family_name[known])))
        report.ids.append(entry.id)
        if entry.note:
            report.repaired.append((entry.id, entry.note))
    _copy(find_model(model.path), folder)
    write_encoder(folder, model.config, replace(both.index, library=_with_families(both.library, family)))


def _with_families(library: Library, family: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Library:
    """The library with other family numbers; families without a member go."""
    kept, numbers = np.unique(family, return_inverse=True)
    return replace(library, family=numbers.astype(np.int32), family_name=library.family_name.take(kept))


def _copy(source: Path, folder: Path) -> None:
    """Network and card of `source`; the library and the configuration are written anew."""
    if folder.samefile(source):
        return
    for path in files_of(source):
        if path.name in (NETWORK, CARD):
            with atomic_files.atomic_write(folder / path.name) as part:
                shutil.copy(path, part)
