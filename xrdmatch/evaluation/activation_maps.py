"""What of a scan the network looked at: class activation maps over the pattern, with the matched reflections indexed.

Two maps. `plain` is that of Wang et al., J. Chem. Inf. Model. 2020, 60, 2004: the last convolution's activation, averaged over its channels. It says
where the network is active, whatever the answer. `grad` is Grad-CAM (Selvaraju et al., Int. J. Comput. Vis. 2020, 128, 336): channels weighted by
the mean gradient of the answer's score, so it says what speaks for this answer. Both are cut at 0 and divided by their maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.diffraction.radiation import convert_two_theta
from xrdmatch.errors import ModelError, XrdMatchError
from xrdmatch.model.folder import NETWORK
from xrdmatch.model.network_head import Head, read_head
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.result import Identification, Match
from xrdmatch.system.arrays import Float64Array

#: The network's output beside its answer.
ACTIVATION = "activation"
#: Largest difference allowed between the answer of onnxruntime and that of the head that the gradient is taken from.
PARITY = 1e-3


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why the network gave `match` for a scan.

    two_theta: (m,) degrees of the scan, the points of the network's input. plain, grad: (m,) the maps, 0..1; grad is all 0 where nothing speaks for
    the match. score: the cosine with the match's library vector, or a classifier's logit, that grad explains. resolution: degrees between two
    positions of the last convolution; the maps are interpolated between them.
    """

    result: Identification
    match: Match
    two_theta: Float64Array
    plain: Float64Array
    grad: Float64Array
    score: float
    resolution: float

    def at(self, angles: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Both maps at `angles` (n,) degrees of the scan; 0 outside the network's range."""
        plain, grad = (np.interp(angles, self.two_theta, values, 0.0, 0.0) for values in (self.plain, self.grad))
        return plain, grad


def explain(identifier: Identifier, pattern: Pattern, options: SearchOptions | None = None, file: str | None = None, rank: int = 1) -> Explanation:
    """Identify a scan and map what the network looked at for the match of `rank`: it sees what it saw then, a filtered scan as it was filtered.

    Raises XrdMatchError where the answer has no such match, ModelError where the network's layers are not understood.
    """
    options = options or SearchOptions()
    result = identifier.identify(pattern, options, file)
    match = next((one for one in result.matches if one.rank == rank), None)
    if match is None:
        there = f"it has {len(result.matches)} matches" if result.matches else f"it is {result.verdict}: {result.reason}"
        raise XrdMatchError(f"{result.file}: there is no match {rank} to explain, {there}")
    model = identifier.model
    inputs = prepare_scan(pattern, options.wavelength, options.filter_mode).network_input(model.recipe)[None]
    head = read_head(model.path / NETWORK)
    activation = model.session.run(inputs, ACTIVATION)[0].astype(float)
    answer, direction, score = identifier.retriever.explained_score(head.answer(activation), model.library.index()[match.id])
    said = model.encode(inputs)[0].astype(float)
    if answer.shape != said.shape or not float(np.abs(answer - said).max()) < PARITY:
        raise ModelError(f"{model.path / NETWORK}: what follows its last convolution is not understood, so its answers cannot be explained")
    grid = model.recipe.grid
    plain, grad = (stretched(values, head, grid.size) for values in maps(head, activation, direction))
    angles = convert_two_theta(grid.two_theta, grid.wavelength, result.wavelength or grid.wavelength)
    reach = np.isfinite(angles)
    return Explanation(result, match, angles[reach], plain[reach], grad[reach], score, head.jump * grid.step)


def maps(head: Head, activation: Float64Array, direction: Float64Array) -> tuple[Float64Array, Float64Array]:
    """The plain map and Grad-CAM (positions,) of an activation (filters, positions), 0..1. direction: (k,), see `Head.gradient`."""
    weights = head.gradient(activation, direction).mean(axis=1)
    return _unit(activation.mean(axis=0)), _unit(weights @ activation)


def _unit(values: Float64Array) -> Float64Array:
    cut = np.maximum(values, 0.0)
    top = float(cut.max(initial=0.0))
    return np.asarray(cut / top if top > 0 else cut)


def stretched(values: Float64Array, head: Head, points: int) -> Float64Array:
    """A map (positions,) on the points (m,) of the network's input, each position at the centre of what it sees."""
    return np.asarray(np.interp(np.arange(points), head.start + head.jump * np.arange(values.size), values))
