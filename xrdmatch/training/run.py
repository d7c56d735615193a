"""What trainings share: where they run, the folder they fill, and the checkpoint in it that they go on from."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xrdmatch.errors import ModelError
from xrdmatch.model.folder import CONFIG
from xrdmatch.model.session import Device
from xrdmatch.system import atomic_files
from xrdmatch.system.parallel import usable_cores
from xrdmatch.training.distributed import Ranks

CHECKPOINT, LOG = "checkpoint.pt", "training.csv"


@dataclass(frozen=True)
class RunOptions:
    """Where a training runs, and what becomes of what its folder holds. Raises ValueError where options exclude each other or a number is none.

    threads: of the CPU, all by default; on a machine that is busy with other work, 1 is much faster than several that wait for each other.
    compiled: by torch.compile, which takes a minute at the start. resume: go on from the folder's checkpoint if there is one. overwrite: replace
    the model, or the unfinished training, that the folder holds.
    """

    device: Device = "auto"
    threads: int | None = None
    compiled: bool = False
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            raise ValueError("resume goes on, overwrite starts anew: give one of them")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"expected threads >= 1, got {self.threads}")

    def set_threads(self, ranks: Ranks) -> None:
        """Tell torch how many threads this process may use of those of its machine."""
        torch.set_num_threads(self.threads or max(1, usable_cores() // ranks.beside))


def check_folder(folder: Path, run: RunOptions) -> None:
    """Raises ModelError where the folder holds a model, or a training that was not finished, that is neither gone on with nor replaced."""
    unfinished = (folder / CHECKPOINT).is_file()
    held = "a model" if (folder / CONFIG).is_file() else "an unfinished training" if unfinished else ""
    if held and not run.overwrite and not (run.resume and unfinished):
        ways = "--resume to go on with it, " if unfinished else ""
        raise ModelError(f"{folder}: already holds {held}; give {ways}--overwrite to replace it, or another folder")


@contextlib.contextmanager
def training_alone(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Raises ModelError where another training runs in the folder, or where it cannot be written. Of several processes the first one asks."""
    if not ranks.first:
        yield
        return
    try:
        with atomic_files.writing(folder, ModelError), atomic_files.folder_lock(folder, ".training.lock", wait=False):
            yield
    except atomic_files.Busy as error:
        raise ModelError(f"{folder}: another training is running in this folder; wait for it to end, or choose another folder") from error


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """torch.save, whole or not at all. Raises ModelError where it cannot be written."""
    # By way of memory: torch's own writer ends in a RuntimeError where the disk is full.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with written(path) as part:
        part.write_bytes(buffer.getbuffer())


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """`atomic_files.atomic_write` that raises ModelError where the place cannot be written."""
    with atomic_files.writing(path, ModelError), atomic_files.atomic_write(path) as part:
        yield part


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote; tensors and plain values only, never code. Raises ModelError where it is damaged."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises nearly anything, with torch's advice on how to load it all the same
        raise ModelError(f"{path}: the checkpoint is damaged, or not a checkpoint; start again with --overwrite") from error
    return content


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
