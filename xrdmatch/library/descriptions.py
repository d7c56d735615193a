"""What a library says of its entries beside their reflections: names, papers, groups of what powder diffraction cannot tell apart, nets, levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from xrdmatch.library.breathing import with_breathing
from xrdmatch.library.common_names import with_names
from xrdmatch.library.families import Progress, assign_families
from xrdmatch.library.framework_names import of_one_compound
from xrdmatch.library.levels import with_levels
from xrdmatch.library.name_table import Names, with_own_names
from xrdmatch.library.nets import with_nets
from xrdmatch.library.reference_library import Library
from xrdmatch.library.source_table import SourceTable
from xrdmatch.library.text_column import TextColumn


@dataclass(frozen=True)
class Descriptions:
    """Where a new library's descriptions come from.

    sources: what a table says of structure files. own: names of one's own, which go first. common: whether to add the names people say.
    dois, nets: by id. families: whether to group what powder diffraction cannot tell apart, and to add interpolated forms of breathing frameworks.
    """

    sources: SourceTable = field(default_factory=lambda: SourceTable({}))
    own: Names = field(default_factory=dict)
    common: bool = True
    dois: Mapping[str, str] = field(default_factory=dict)
    nets: Mapping[str, str] = field(default_factory=dict)
    families: bool = True

    def applied(self, library: Library, progress: Progress) -> Library:
        """The library with all of them. progress: gets the share of the grouping that is done, 0 to 1."""
        library = with_own_names(self.sources.applied(of_one_compound(library)), self.own)
        library = with_names(library, self.dois) if self.common else self._with_dois(library)
        if self.families:
            library = with_breathing(assign_families(library, progress))
        return with_levels(with_nets(library, self.nets))

    def _with_dois(self, library: Library) -> Library:
        if not self.dois:
            return library
        told = (said or self.dois.get(name, "") for name, said in zip(library.id.tolist(), library.doi.tolist(), strict=True))
        return replace(library, doi=TextColumn.of(told))
