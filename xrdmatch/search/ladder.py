"""Probabilities up the ladder of what an answer may name: form, framework, composition. They add over the forms of one framework, and over the
frameworks of one composition; the answer names the finest level that is more likely right than not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xrdmatch.library.entry_names import entry_name
from xrdmatch.library.reference_library import Library
from xrdmatch.search.matches import Ranking
from xrdmatch.search.result import NAMED

FORM, FRAMEWORK, COMPOSITION = "form", "framework", "composition"


@dataclass(frozen=True)
class Group:
    """Candidates of one framework. places: theirs in the ranking, likeliest first; probability: of all together, to four digits."""

    name: str
    probability: float
    places: tuple[int, ...]


@dataclass(frozen=True)
class Headline:
    """The finest level that is likely enough, and what it is called there; level is empty where none is, and then the likeliest framework is meant.

    groups: the frameworks that it stands for, likeliest first.
    """

    level: str
    name: str
    probability: float
    groups: tuple[Group, ...]

    @property
    def leads(self) -> int:
        """Place in the ranking of the candidate that stands for it."""
        return self.groups[0].places[0]


def frameworks(library: Library, ranking: Ranking) -> list[Group]:
    """Candidates by framework, the likeliest framework first. A library that knows no frameworks has those of one name together."""
    rows, chances = ranking.candidates.rows.tolist(), ranking.probabilities.tolist()
    groups = library.level(FRAMEWORK)[0]
    places: dict[int | str, list[int]] = {}
    for place, row in enumerate(rows):
        key = int(groups[row]) if library.knows_levels else entry_name(library, row)
        places.setdefault(key, []).append(place)
    found = [_group(library, rows, own, sum(chances[place] for place in own)) for own in places.values()]
    return sorted(found, key=lambda group: -group.probability)  # stable: equal ones stay in the order of their best candidates


def _group(library: Library, rows: list[int], places: list[int], chance: float) -> Group:
    """Called as people call any of its candidates, the likeliest of those first; else as the likeliest is called."""
    said = next((place for place in places if library.name[rows[place]]), places[0])
    return Group(entry_name(library, rows[said]), float(np.round(chance, 4)), tuple(places))


def headline(library: Library, ranking: Ranking) -> Headline:
    """What the answer names of a first phase."""
    found = frameworks(library, ranking)
    best = found[0]
    if best.probability >= NAMED:
        alone = float(ranking.probabilities[best.places[0]])
        return Headline(FORM if alone >= NAMED or len(best.places) == 1 else FRAMEWORK, best.name, best.probability, (best,))
    numbers, names = library.level(COMPOSITION)
    of = [int(numbers[ranking.candidates.rows[group.places[0]]]) for group in found]
    same = tuple(group for group, number in zip(found, of, strict=True) if number == of[0])
    together = float(np.round(sum(group.probability for group in same), 4))
    if library.knows_levels and together >= NAMED:
        return Headline(COMPOSITION, str(names[of[0]]), together, same)
    return Headline("", best.name, best.probability, tuple(found))
