"""Give an encoder another library: vectors and strongest lines of all entries, in a folder of its own. Calibrate it afterwards.

    python scripts/replace_library.py models/mof-encoder full.h5 new-model
    python scripts/calibrate_model.py new-model full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz --jobs 2

The network stays as it is: it also tells apart structures that it was not trained on.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from xrdmatch.library.reference_library import Library
from xrdmatch.model.folder import NETWORK, Model, write_encoder
from xrdmatch.model.library_vectors import ideal_inputs
from xrdmatch.model.reference_index import ReferenceIndex


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("out", type=Path, help="folder of the new model; may be that of the old one")
    given = parser.parse_args()
    model, library = Model.load(given.model, "cpu"), Library.load(given.library)
    parts = np.array_split(np.arange(len(library)), max(1, len(library) // 2000))
    vectors = np.concatenate([model.encode(ideal_inputs(library, part, model.recipe)) for part in parts])
    given.out.mkdir(parents=True, exist_ok=True)
    if not (given.out / NETWORK).is_file():
        shutil.copy(given.model / NETWORK, given.out / NETWORK)
    write_encoder(given.out, model.config, ReferenceIndex.of(library, vectors))


if __name__ == "__main__":
    main()
