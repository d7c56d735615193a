"""A model folder: find, load, check and write it.

A folder holds model.onnx, config.json (kind, recipe, calibration, provenance), library.h5 and README.md (the card); and, where likely candidates are
looked at side by side with their scan, reranker.onnx. An encoder's library.h5 holds the
entries' vectors as well, so that one rename changes both; folders of earlier versions have them in vectors.npy, in the library's order.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdmatch.errors import ModelError
from xrdmatch.library.line_index import LineIndex
from xrdmatch.library.reference_library import Library
from xrdmatch.model.reference_index import ReferenceIndex
from xrdmatch.model.session import Device, Network, nvidia_driver, open_session
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.system import atomic_files

NETWORK, CONFIG, LIBRARY, VECTORS, CARD = "model.onnx", "config.json", "library.h5", "vectors.npy", "README.md"
#: Where a model has one: the network that looks at a scan and its likeliest candidates side by side.
RERANKER = "reranker.onnx"
#: The shipped model that is used where none is named.
DEFAULT = "mof-encoder"
#: Environment variable that names another default.
VARIABLE = "XRDMATCH_MODEL"


def shipped_folder() -> Path:
    """Where the shipped models lie: inside the installed package, or beside it in a source tree."""
    package = Path(__file__).parents[1]
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def shipped_models() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.parent.name for path in shipped_folder().glob(f"*/{CONFIG}"))


def find_model(name: str | Path | None = None) -> Path:
    """The folder of a model given by name or path; None: `XRDMATCH_MODEL`, else the default. Raises ModelError with the names that exist."""
    wanted = str(name or os.environ.get(VARIABLE) or DEFAULT)
    for folder in (Path(wanted), shipped_folder() / wanted):
        if (folder / CONFIG).is_file():
            return folder
    import difflib

    names = shipped_models()
    near = difflib.get_close_matches(wanted, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"shipped models: {', '.join(names) or 'none'}"
    raise ModelError(f"{wanted}: expected a model's name or a folder with {CONFIG}; {hint}")


@dataclass(frozen=True, eq=False)
class Model:
    """A model folder that is ready to run.

    kind: "encoder" (patterns and library entries become vectors; the nearest are recalled) or "classifier" (one output a library entry).
    config: config.json as written by training. threads: of the CPU in one run of the network; None as in `open_session`.
    Network and index are loaded from the folder when first used, unless they are given. Nothing of a model is changed: `with_index` and
    `with_network` make another one.
    """

    path: Path
    config: Mapping[str, Any]
    device: Device = "auto"
    threads: int | None = None
    given_network: Network | None = None
    given_index: ReferenceIndex | None = None

    def __post_init__(self) -> None:
        _ = self.recipe  # what is wrong with it shows now

    @classmethod
    def load(cls, name: str | Path | None = None, device: Device = "auto", threads: int | None = None) -> Model:
        """Raises ModelError where the folder is no model or was written by a newer version."""
        path = find_model(name)
        try:
            config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
            if config["kind"] not in ("encoder", "classifier"):
                raise ModelError(f"{path / CONFIG}: kind {config['kind']!r} is not known to this version; update xrdmatch")
            return cls(path, config, device, threads)
        except PermissionError as error:
            raise ModelError(atomic_files.closed(path / CONFIG, error)) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path / CONFIG}: expected a model's configuration, but it is damaged: {error!r}") from error

    def with_index(self, index: ReferenceIndex) -> Model:
        """The same network over other entries."""
        return replace(self, given_network=self.session, given_index=index)

    def with_network(self, network: Network) -> Model:
        """The same model, whose network runs elsewhere."""
        return replace(self, given_network=network)

    @cached_property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def kind(self) -> str:
        return str(self.config["kind"])

    @cached_property
    def recipe(self) -> Recipe:
        return Recipe.from_json(self.config["recipe"])

    def ready(self) -> None:
        """Load everything now, so that what is wrong with the folder or the device shows before the first scan. Raises ModelError or LibraryError."""
        if len(self.library) == 0:
            raise ModelError(f"{self.path}: the model's library is empty")
        _ = self.session
        _ = self.label_rows if self.kind == "classifier" else self.vectors
        _ = self.reranker

    @property
    def only_cpu(self) -> bool:
        """Whether there is nothing but the CPU for its network: nothing else was asked for, and no NVIDIA driver is there."""
        return self.device == "cpu" or (self.device == "auto" and nvidia_driver() is None)

    @cached_property
    def session(self) -> Network:
        # The exporter has folded all of an encoder that can be: optimised, it answers no faster.
        return self.given_network or open_session(self.path / NETWORK, self.device, self.threads, optimised=self.kind != "encoder")

    @cached_property
    def reranker(self) -> Network | None:
        """The network that looks at a scan and its likeliest candidates side by side; None where the folder has none.

        It runs on the CPU where the model's network runs elsewhere: a GPU is opened once, and a few candidates take as long to send there.
        """
        place = self.path / RERANKER
        return open_session(place, "cpu" if self.given_network else self.device, self.threads) if place.is_file() else None

    @cached_property
    def index(self) -> ReferenceIndex:
        """The library with what recalls its entries."""
        return self.given_index or read_index(self.path, with_vectors=self.kind == "encoder")

    @property
    def library(self) -> Library:
        return self.index.library

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(n, dim) unit vectors of the library entries. Raises ModelError where the model is no encoder."""
        if self.index.vectors is None:
            raise ModelError(f"{self.path}: a classifier has no library vectors; use an encoder")
        return self.index.vectors

    @cached_property
    def label_rows(self) -> NDArray[np.int64]:
        """Library row of each label of a classifier. Raises ModelError where one is not in the library."""
        index = self.library.index()
        missing = [label for label in self.config["labels"] if label not in index]
        if missing:
            raise ModelError(f"{self.path}: {len(missing)} labels are not in the library, for example {missing[0]}")
        return np.array([index[label] for label in self.config["labels"]], dtype=np.int64)

    def encode(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """First output (k, dim) of the network for inputs (k, channels, m), in batches."""
        return np.concatenate([self.session.run(inputs[start : start + 256]) for start in range(0, len(inputs), 256)])

    def scores(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network says of each input (k, channels, m): cosines (k, n) with the library's entries, or probabilities (k, labels)."""
        output = self.encode(inputs)
        return output if self.index.vectors is None else output @ self.index.vectors.T


def read_index(folder: Path, with_vectors: bool = True) -> ReferenceIndex:
    """The index in a model folder. Raises LibraryError or ModelError where it is missing or damaged.

    Vectors of folders of earlier versions lie in a file of their own; strongest lines that are not stored are looked up.
    """
    library, vectors, lines = Library.load_whole(folder / LIBRARY)
    place = folder / LIBRARY
    if vectors is None and with_vectors:
        place = folder / VECTORS
        try:
            # Mapped first: a header that promises more than the file holds is refused before any memory is taken.
            vectors = np.load(place, mmap_mode="r", allow_pickle=False).astype(np.float32)
        except (OSError, ValueError) as error:
            raise ModelError(f"{place}: expected the library's vectors, but they cannot be read ({atomic_files.reason(error)})") from error
    try:
        if lines is not None and (lines.ndim != 3 or len(lines) != 2):
            raise ModelError(f"lines of shape {lines.shape}; train or add again")
        line_index = LineIndex.of(library) if lines is None else LineIndex.unpacked(lines)
        kept = vectors.astype(np.float32, copy=False) if with_vectors and vectors is not None else None
        return ReferenceIndex(library, kept, line_index)
    except ModelError as error:
        raise ModelError(f"{place}: {error}") from error


def write_encoder(folder: Path, config: Mapping[str, Any], index: ReferenceIndex) -> None:
    """Write an encoder's library with its vectors, then config.json, so that a folder that has one is whole.

    Each is renamed into its place when it is complete: whatever ends the process, the folder can be loaded. Raises LibraryError or ModelError where
    it cannot be written; the folder is as it was then.
    """
    index.library.save(folder / LIBRARY, index.vectors, index.line_index.packed())
    write_config(folder, config)
    (folder / VECTORS).unlink(missing_ok=True)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json, whole or not at all; nothing where it says the same already. Raises ModelError where that is impossible."""
    place, text = folder / CONFIG, json.dumps(config, indent=1) + "\n"
    with atomic_files.writing(place, ModelError):
        if not place.is_file() or place.read_text(encoding="utf-8") != text:
            with atomic_files.atomic_write(place) as part:
                part.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def new_model(folder: Path) -> Iterator[Path]:
    """An empty folder to make a model in; when the block ends well its files take their places in `folder`, the configuration last.

    The model that `folder` may hold stays as it was until then. Raises ModelError where the folder cannot be written.
    """
    made = folder / ".new"
    try:
        with atomic_files.writing(folder, ModelError, "the model"):
            shutil.rmtree(made, ignore_errors=True)  # of a process that was killed
            made.mkdir(parents=True)
            yield made
            with atomic_files.folder_lock(folder):
                # A folder without a configuration is no model, and nothing of the old model stays: it is never a mixture of two.
                (folder / CONFIG).unlink(missing_ok=True)
                for name in (VECTORS, CARD, NETWORK, RERANKER, LIBRARY, CONFIG):
                    if (made / name).is_file():
                        (made / name).replace(folder / name)
                    else:
                        (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def files_of(folder: Path) -> Sequence[Path]:
    """The files a model folder is made of, those that are there."""
    return [folder / name for name in (NETWORK, RERANKER, CONFIG, LIBRARY, VECTORS, CARD) if (folder / name).is_file()]
