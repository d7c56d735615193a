"""How noise is distributed (figure S2 of Wang et al. 2020): the values under a scan's 401 strongest points, and its differences of neighbours.

    python scripts/noise_histogram.py SCAN... -o docs/noise.svg

Above, the values that the shuffle method permutes, beside the Gaussian of their mean and variance and the Poisson distribution of their mean. Below,
the noise proper of the same points: second differences of neighbours, in units of the root of the local mean. Counting noise alone makes them normal,
of width 1.
Prints the Kolmogorov-Smirnov distance to both and the ratio of the noise's variance to the mean.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xrdmatch import formats
from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.preprocessing.fft_filter import PAPER_GRID
from xrdmatch.report import figure_style
from xrdmatch.training.augmentation import noise_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def normal(x: np.ndarray) -> np.ndarray:
    """The normal distribution's share below x."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in x])


def poisson(counts: np.ndarray, mean: float) -> np.ndarray:
    """The Poisson distribution's share up to each count."""
    steps = np.arange(int(counts.max()) + 1)
    log = steps * math.log(max(mean, 1e-9)) - mean - np.array([math.lgamma(step + 1) for step in steps])
    return np.cumsum(np.exp(log))[np.floor(counts).astype(int).clip(min=0)]


def distance(values: np.ndarray, share: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of sorted values, whose distribution's share below each is `share`."""
    steps = np.arange(1, values.size + 1) / values.size
    return float(np.maximum(np.abs(steps - share), np.abs(steps - 1 / values.size - share)).max())


def differences(scan: Pattern) -> np.ndarray:
    """Neighbours' second differences over the root of their mean, so that counting noise has the standard deviation 1."""
    counts = scan.intensity
    bend = counts[1:-1] - 0.5 * (counts[2:] + counts[:-2])
    level = (counts[1:-1] + counts[2:] + counts[:-2]) / 3.0
    quiet = level <= np.sort(level)[max(0, level.size - 401)]
    return bend[quiet] / np.sqrt(1.5 * np.maximum(level[quiet], 1e-9))


@dataclass(frozen=True, eq=False)
class Noise:
    """One scan's: values (n,) as shares of the strongest point and as counts, both sorted; scaled differences; whether the file holds counts."""

    name: str
    values: np.ndarray
    counts: np.ndarray
    scaled: np.ndarray
    counted: bool

    @classmethod
    def of(cls, path: Path) -> Noise:
        scan = formats.read(path)
        intensity, mask = PAPER_GRID.resample(scan)
        low = float(intensity[mask].min())
        values = np.sort(noise_values(np.where(mask, intensity, low)).astype(float))
        values = values[values > 0]
        counted = bool(scan.intensity.min() >= 0 and np.allclose(scan.intensity, np.rint(scan.intensity)))
        return cls(path.stem, values, low + values * float(np.ptp(intensity[mask])), differences(scan), counted)

    def told(self) -> str:
        mean, spread = self.values.mean(), self.values.std()
        gauss = distance(self.values, normal((self.values - mean) / spread))
        counting = f"{distance(self.counts, poisson(self.counts, self.counts.mean())):.2f}" if self.counted else "-"
        ratio = f"{self.scaled.var():.2f}" if self.counted else "-"
        return f"{self.name[:24]:24}{self.values[0]:>9.4f} -{self.values[-1]:>7.4f}{gauss:>13.2f}{counting:>12}{ratio:>22}"


def draw(found: list[Noise]) -> Figure:
    """Two rows, one column a scan."""
    figure = figure_style.new_figure("double", 82.0)
    upper, lower = figure.subplots(2, len(found), squeeze=False)
    z = np.linspace(-4.0, 4.0, 200)
    bell = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    for top, bottom, noise in zip(upper, lower, found, strict=True):
        values, steps = noise.values, np.unique(noise.values)
        bins = np.append(steps, 2 * steps[-1] - steps[-2]) if steps.size < 80 else np.linspace(values[0], values[-1], 51)
        heights, _, _ = top.hist(values, bins, density=True, color="0.75")
        mean, spread = values.mean(), values.std()
        # A Poisson distribution of many counts is as good as a Gaussian whose variance is their mean.
        width = math.sqrt(noise.counts.mean()) * mean / noise.counts.mean()
        for sigma, colour, name in ((spread, figure_style.VERMILLION, "Gaussian"), (width, figure_style.BLUE, "Poisson")):
            x = np.linspace(max(values[0], mean - 4 * sigma), min(values[-1], mean + 4 * sigma), 200)
            top.plot(x, np.exp(-0.5 * ((x - mean) / sigma) ** 2) / sigma / math.sqrt(2.0 * math.pi), color=colour, lw=0.9, label=name)
        top.set_title(figure_style.shortened(noise.name, 18), fontsize=figure_style.TEXT - 1)
        top.set_ylim(0.0, 1.5 * heights.max())
        bottom.hist(noise.scaled.clip(-4.0, 4.0), 50, density=True, color="0.75")
        bottom.plot(z, bell, color=figure_style.BLUE)
        top.set_yticks([])
        bottom.set_yticks([])
        top.locator_params(axis="x", nbins=2)
    middle = len(found) // 2
    for row, text in ((upper, "values, as a share of the strongest point"), (lower, "differences, divided by the root of the local count")):
        row[middle].set_xlabel(text)
        if len(found) % 2 == 0:  # the middle lies between two columns
            row[middle].xaxis.set_label_coords(-0.09, -0.16)
    figure.legend(*upper[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scans", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    found = [Noise.of(path) for path in options.scans]
    print(f"{'scan':24}{'values':>18}{'to Gaussian':>13}{'to Poisson':>12}{'variance/mean of':>22}")
    print(f"{'':24}{'share of strongest':>18}{'distance':>13}{'distance':>12}{'differences':>22}")
    for noise in found:
        print(noise.told())
    with figure_style.style():
        figure_style.save(draw(found), options.output)


if __name__ == "__main__":
    main()
