"""Many structures to one library, on all cores or a cluster, with a resumable part file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xrdmatch.diffraction.charge_balance import missing_anions
from xrdmatch.diffraction.doubts import charge_doubt
from xrdmatch.diffraction.elements import mass_of
from xrdmatch.diffraction.elements import metals as metals
from xrdmatch.diffraction.radiation import CU_K_ALPHA, cell_volume
from xrdmatch.diffraction.structure import Structure, iter_sources, parse
from xrdmatch.diffraction.structure_factors import D_MAX, D_MIN, Reflections, conventional_lines, reflections
from xrdmatch.errors import LibraryError, StructureError
from xrdmatch.library.framework_names import name_of_structure
from xrdmatch.library.library_file import check_writable
from xrdmatch.library.reference_library import LINKER_SEPARATOR, Entry, Library
from xrdmatch.system.parallel import Workers, ordered
from xrdmatch.version import __version__

#: Lines weaker than this share of the entry's strongest (with Lorentz-polarisation at Cu) are not kept.
KEEP_ABOVE = 5e-4
#: Structures a worker takes at a time.
_BATCH = 16
#: Finished structures after which the part file is renewed.
_CHECKPOINT = 4000

Item = tuple[str, bytes, str]


@dataclass
class BuildReport:
    """What became of each source: counts, and (name, reason) lists. repaired: what was repaired, assumed or is doubtful. left_out: by a table."""

    done: int = 0
    resumed: int = 0
    repaired: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def put(self, result: Entry | tuple[str, str], entries: dict[str, Entry]) -> None:
        """One more result: an entry, which goes to `entries`, or (name, reason)."""
        if not isinstance(result, Entry):
            self.failed.append(result)
            return
        entries[result.id] = result
        self.done += 1
        if result.note:
            self.repaired.append((result.id, result.note))

    def sort(self) -> None:
        self.failed.sort()
        self.repaired.sort()


@dataclass(frozen=True)
class Told:
    """What a build calls. progress: with 1 after each structure. finish: with the whole library before it is written, for the one that is.

    choose: with the structure files as they come and a list for what is left out as (name, reason); for those to take, under the names to take.
    """

    progress: Callable[[int], None] = lambda number: None
    finish: Callable[[Library], Library] | None = None
    choose: Callable[[Iterator[Item], list[tuple[str, str]]], Iterator[Item]] = lambda items, left_out: items


def notes_on(structure: Structure) -> str:
    """What was repaired or assumed when the structure was read, and what makes it doubtful as a framework; empty where nothing was."""
    charges = missing_anions(structure.cell, structure.numbers, structure.fractional, structure.occupancy)
    return "; ".join([*structure.notes, *([charge_doubt(*charges)] if charges else [])])


def entry_of(structure: Structure, keep_above: float = KEEP_ABOVE) -> Entry:
    """The library entry of a structure: its lines above `keep_above` of the strongest, in the conventional cell of a centred lattice.

    Raises StructureError where none diffracts.
    """
    cell, lines = conventional_lines(structure.cell, reflections(structure, D_MIN, D_MAX))
    lines = strong_lines(lines, keep_above)
    cells = cell_volume(cell) / cell_volume(structure.cell)
    if lines.intensity.size == 0 or not lines.intensity.max() > 0:
        raise StructureError(f"{structure.id}: no reflection between {D_MIN} and {D_MAX} angstrom")
    made_of = name_of_structure(structure)
    return Entry(
        structure.id,
        structure.formula,
        cell,
        lines.hkl,
        lines.intensity * cells**2,
        source=structure.source,
        note=notes_on(structure),
        linkers=LINKER_SEPARATOR.join(linker.name for linker in made_of.linkers),
        linker_formulas=LINKER_SEPARATOR.join(linker.formula for linker in made_of.linkers),
        title=made_of.text,
        title_kind=made_of.kind,
        cell_mass=cells * mass_of(structure.numbers, structure.occupancy),
    )


def strong_lines(lines: Reflections, keep_above: float) -> Reflections:
    _, heights = lines.lines(CU_K_ALPHA)
    keep = heights >= 100.0 * keep_above
    return Reflections(lines.hkl[keep], lines.d[keep], lines.intensity[keep])


def _entry(job: None, item: Item) -> Entry | tuple[str, str]:
    """The entry of a structure file, or (name, reason) where it cannot be loaded. Runs in a worker."""
    name, data, source = item
    try:
        return entry_of(parse(data, name, source))
    except StructureError as error:
        return name, str(error)
    except MemoryError:
        return name, f"{name}: the cell is too large for this machine's memory"


def build(
    sources: Iterable[str | Path],
    target: Path,
    workers: Workers | None = None,
    resume: bool = False,
    attrs: dict[str, Any] | None = None,
    told: Told | None = None,
) -> tuple[Library, BuildReport]:
    """Simulate every structure of `sources` and write the library `target` (.h5), by `workers`, by default one process.

    An id that comes twice keeps its first structure; the rest are reported. While it works, the finished part is kept in `target`.partial
    (also after Ctrl-C); `resume` starts from it. attrs: further provenance. Raises LibraryError where no structure could be loaded.
    """
    told, report = told or Told(), BuildReport()
    partial = target.with_name(target.name + ".partial")
    check_writable(target)
    entries = _finished(partial) if resume else {}
    report.resumed = len(entries)
    seen: dict[str, str] = {}
    try:
        chosen = told.choose(iter_sources(sources, lambda *refusal: report.failed.append(refusal)), report.left_out)
        wanted = _wanted(chosen, entries, seen, report)
        for number, result in enumerate(ordered(_entry, wanted, workers or Workers(1), batch=_BATCH), start=1):
            report.put(result, entries)
            told.progress(1)
            if number % _CHECKPOINT == 0:
                _assemble(entries, seen, attrs).save(partial)
    except BaseException:
        if entries:
            _assemble(entries, seen, attrs).save(partial)
        raise
    if not entries:
        reasons = "; ".join(reason for _, reason in report.failed[:3]) or "no structure files (.cif, POSCAR) found"
        raise LibraryError(f"no structure could be loaded: {reasons}")
    report.sort()
    library = _assemble({name: entry for name, entry in entries.items() if name in seen}, seen, attrs)
    if told.finish is not None:
        library.save(partial)  # grouping may take longer than simulating
        library = told.finish(library)
    library.save(target)
    partial.unlink(missing_ok=True)
    return library, report


def _finished(partial: Path) -> dict[str, Entry]:
    """The entries that an interrupted run left."""
    if not partial.exists():
        return {}
    kept = Library.load(partial)
    return {name: kept.entry(row) for name, row in kept.index().items()}


def _assemble(entries: dict[str, Entry], seen: dict[str, str], attrs: dict[str, Any] | None) -> Library:
    """The library in the order of the sources, whatever the order in which workers finished."""
    order = [entries[name] for name in seen if name in entries]
    order += [entry for name, entry in entries.items() if name not in seen]
    provenance = {"xrdmatch": __version__, "d_min": D_MIN, "d_max": D_MAX, "keep_above": KEEP_ABOVE, **(attrs or {})}
    return Library.from_entries(order, provenance)


def _wanted(items: Iterator[Item], done: dict[str, Entry], seen: dict[str, str], report: BuildReport) -> Iterator[Item]:
    for item in items:
        name, _, source = item
        stem = Path(name).stem
        if stem in seen:
            report.duplicates.append((stem, f"in {source}; kept the one from {seen[stem]}"))
            continue
        seen[stem] = source
        if stem not in done:
            yield item
