"""Logistic weights of `xrdmatch check`: how likely it is that a framework is there, and that a line is foreign. scripts/fit_check.py fits them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from xrdmatch.system.arrays import Float64Array

CONSTANT = "constant"
_FILE = "check_weights.json"


@dataclass(frozen=True)
class Logistic:
    """weights: by the feature's name; `constant` stands for itself."""

    weights: Mapping[str, float]

    def probability(self, features: Mapping[str, Any]) -> Float64Array:
        """Of each of k cases whose features are (k,) arrays or numbers. Raises KeyError where one is missing."""
        total = self.weights[CONSTANT] + sum((weight * np.asarray(features[name]) for name, weight in self.weights.items() if name != CONSTANT), 0.0)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(total, -50.0, 50.0))))


@cache
def stored(name: str) -> Logistic:
    """The weights of that name in the file beside this module."""
    text = (resources.files("xrdmatch.search") / _FILE).read_text(encoding="utf-8")
    return Logistic(json.loads(text)[name])
