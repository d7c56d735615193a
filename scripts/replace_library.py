"""Give an encoder another library: vectors and strongest lines of all entries, in a folder of its own. Calibrate it afterwards.

    python scripts/replace_library.py models/mof-encoder full.h5 new-model
    python scripts/calibrate_model.py new-model full.h5 2019-ASR.tar.xz 2019-FSR.tar.xz 2014.tar.xz --jobs 2
    python scripts/replace_library.py models/mof-encoder few.h5 new-model --beside

With --beside the entries are put at the end of the model's own library, as `xrdmatch add` puts structures, and the probabilities hold.

The network stays as it is: it also tells apart structures that it was not trained on.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from xrdmatch.library.reference_library import Library
from xrdmatch.model.add import extended
from xrdmatch.model.folder import NETWORK, RERANKER, Model, write_encoder
from xrdmatch.model.library_vectors import ideal_inputs
from xrdmatch.model.reference_index import ReferenceIndex


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("out", type=Path, help="folder of the new model; may be that of the old one")
    parser.add_argument("--beside", action="store_true", help="add the entries to those of the model")
    given = parser.parse_args()
    model, library = Model.load(given.model, "cpu"), Library.load(given.library)
    write(given, model, extended(model, library).index if given.beside else index_of(model, library))


def index_of(model: Model, library: Library) -> ReferenceIndex:
    """The library with the model's vectors of its entries."""
    parts = np.array_split(np.arange(len(library)), max(1, len(library) // 2000))
    vectors = np.concatenate([model.encode(ideal_inputs(library, part, model.recipe)) for part in parts])
    return ReferenceIndex.of(library, vectors)


def write(given: argparse.Namespace, model: Model, index: ReferenceIndex) -> None:
    """The model's networks and configuration with that index, in the folder `given.out`."""
    given.out.mkdir(parents=True, exist_ok=True)
    for name in (NETWORK, RERANKER):
        if (given.model / name).is_file() and not (given.out / name).is_file():
            shutil.copy(given.model / name, given.out / name)
    write_encoder(given.out, model.config, index)


if __name__ == "__main__":
    main()
