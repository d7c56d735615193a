"""Weights of `xrdmatch check`: how likely it is that a framework is there, and that a line is foreign.

scripts/fit_check.py fits them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

CONSTANT = "constant"
_FILE = "check_weights.json"


@dataclass(frozen=True)
class Logistic:
    """weights: by the feature's name; `constant` stands for itself."""

    weights: Mapping[str, float]

    def probability(self, features: Mapping[str, float]) -> float:
        """Of a case with these features. Raises KeyError where one is missing."""
        total = sum(weight * (1.0 if name == CONSTANT else features[name]) for name, weight in self.weights.items())
        return 1.0 / (1.0 + math.exp(-min(max(total, -50.0), 50.0)))


@cache
def stored(name: str) -> Mapping[str, float]:
    """The weights of that name in the file beside this module."""
    text = (resources.files("xrdmatch.search") / _FILE).read_text(encoding="utf-8")
    return MappingProxyType(json.loads(text)[name])
