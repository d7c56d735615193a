"""How a classifier answers clean simulated patterns of its own structures with one thing changed: line width, shift, or a flat background.

python scripts/one_change.py MODEL_DIR --every 5
"""

from __future__ import annotations

import argparse

import numpy as np

from xrdmatch.model.folder import Model
from xrdmatch.preprocessing.fft_filter import PAPER_GRID
from xrdmatch.training.augmentation import library_profiles


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--every", type=int, default=5, help="take every so many-th structure")
    options = parser.parse_args()
    model = Model.load(options.model)
    if model.kind != "classifier":
        parser.error(f"{options.model}: expected a classifier (xrdmatch train --network wang2020), found an {model.kind}")
    rows = np.arange(0, len(model.library), options.every)

    def profiles(fwhm: float) -> np.ndarray:
        return np.concatenate(list(library_profiles(model.library, rows, PAPER_GRID, fwhm)))

    def told(change: str, patterns: np.ndarray) -> None:
        first = model.label_rows[model.encode(patterns[:, None].astype(np.float32)).argmax(axis=1)]
        print(f"{change:24}{100 * (first == rows).mean():6.1f} % of {len(rows)}")

    clean = profiles(0.1)
    told("none", clean)
    for fwhm in (0.06, 0.15, 0.2, 0.3):
        told(f"lines of {fwhm:g} deg", profiles(fwhm))
    for points in (2, 5, 8):
        told(f"shift of {points * PAPER_GRID.step:.2f} deg", np.roll(clean, points, axis=1))
    for height in (0.02, 0.05, 0.1, 0.2):
        raised = (clean + height) / (1.0 + height)
        raised[:, 0] = 0.0  # the lowest point is 0 after min-max scaling, whatever the background
        told(f"background of {100 * height:g} %", raised)


if __name__ == "__main__":
    main()
