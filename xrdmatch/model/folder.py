"""A model folder: load, check, run and write it. The only module that imports onnxruntime.

A folder holds model.onnx, config.json (kind, recipe, calibration, provenance), library.h5 and README.md (the card). An encoder's library.h5 holds the
entries' vectors as well, so that one rename changes both; folders of earlier versions have them in vectors.npy, in the library's order.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.errors import ModelError
from xrdmatch.library.line_index import Lookup
from xrdmatch.library.reference_library import Library
from xrdmatch.model.onnx_fields import external_data
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.system import atomic_files

Device = Literal["auto", "cuda", "cpu"]

NETWORK, CONFIG, LIBRARY, VECTORS, CARD = "model.onnx", "config.json", "library.h5", "vectors.npy", "README.md"
#: The shipped model that is used where none is named.
DEFAULT = "mof-encoder"
#: Environment variable that names another default.
VARIABLE = "XRDMATCH_MODEL"

#: Most threads one session uses; these networks are too small for more to help.
MAX_THREADS = 4
FATAL = 4  # onnxruntime's log level above which nothing is printed

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
#: TF32 would round inputs to 10 bits, which moves similarities; an exhaustive search of algorithms would be repeated for every new size of a batch.
_CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


class Session:
    """An ONNX network that is ready to run. Made by `open_session`.

    path: the file. provider: the onnxruntime execution provider that runs it. inputs, outputs: names. fallback: why it runs on the CPU although
    the machine has an NVIDIA driver and nobody asked for the CPU; else empty.
    """

    def __init__(self, session: Any, path: Path, fallback: str = "") -> None:
        self._session = session
        self.path = path
        self.fallback = fallback
        self.provider: str = session.get_providers()[0]
        self.inputs = tuple(item.name for item in session.get_inputs())
        self.outputs = tuple(item.name for item in session.get_outputs())
        self._shape = session.get_inputs()[0].shape

    def run(self, patterns: ArrayLike, output: str | None = None) -> NDArray[np.float32]:
        """The named output (default: the first) for `patterns` (batch, channels, points), bound to the memory of the device that runs it.

        Raises ModelError where the network has no such output, takes another shape, or the device fails (out of memory).
        """
        batch = np.ascontiguousarray(patterns, dtype=np.float32)
        wanted = tuple(self._shape[1:])
        if batch.ndim != len(self._shape) or any(isinstance(size, int) and size != got for size, got in zip(wanted, batch.shape[1:], strict=True)):
            raise ModelError(f"{self.path}: the network takes patterns of shape (batch, {', '.join(map(str, wanted))}), got {batch.shape}")
        name = output or self.outputs[0]
        if name not in self.outputs:
            raise ModelError(f"{self.path}: the network has no output {name!r}, only {', '.join(self.outputs)}")
        binding = self._session.io_binding()
        binding.bind_cpu_input(self.inputs[0], batch)
        binding.bind_output(name, "cuda" if self.provider == CUDA else "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ModelError(f"{self.path}: the network fails on {self.provider} ({_first_line(error)}); try --device cpu") from error
        result: NDArray[np.float32] = binding.copy_outputs_to_cpu()[0]
        return result

    def probe(self) -> None:
        """Run one empty pattern: a GPU too old for the libraries, or one whose memory is taken, shows only then. Raises ModelError."""
        self.run(np.zeros([1, *(size if isinstance(size, int) else 1 for size in self._shape[1:])], dtype=np.float32))


def open_session(path: str | Path, device: Device = "auto", threads: int | None = None) -> Session:
    """Load an ONNX network.

    `device`: auto takes CUDA where it runs and the CPU elsewhere; cuda and cpu insist. `threads`: CPU threads of one run, by default what the
    process may use, at most `MAX_THREADS`. Raises ModelError where the file is missing or damaged, or where CUDA was asked for and cannot run.
    """
    path = Path(path)
    if device not in get_args(Device):
        raise ValueError(f"device must be one of {', '.join(get_args(Device))}, got {device!r}")
    data = _network(path)
    why_not = ""
    if device != "cpu":
        session, why_not = _on_cuda(path, data, threads)
        if session is not None:
            return session
        if device == "cuda":
            raise ModelError(f"{path}: cannot run on CUDA: {why_not}. Use --device cpu or auto")
    return _start(path, data, [CPU], threads, why_not if nvidia_driver() else "")


def _on_cuda(path: Path, data: bytes, threads: int | None) -> tuple[Session | None, str]:
    """A session that has been seen to run on CUDA, or why there is none."""
    why_not = cuda_obstacle()
    if why_not is not None:
        return None, why_not
    try:
        session = _start(path, data, [(CUDA, _CUDA_OPTIONS), CPU], threads)
        if session.provider != CUDA:
            return None, "onnxruntime could not start its CUDA provider; install xrdmatch[cuda], which brings CUDA and cuDNN"
        session.probe()
    except ModelError as error:
        return None, str(error).removeprefix(f"{path}: ")
    return session, ""


def nvidia_driver() -> Any:
    """The library of the NVIDIA driver; None where there is none."""
    with contextlib.suppress(OSError):
        return ctypes.CDLL(_DRIVER)
    return None


def cuda_obstacle() -> str | None:
    """Why onnxruntime cannot run on CUDA here, in words; None where nothing is known to stand in the way.

    Asks the driver first, which takes a millisecond: starting the CUDA provider only to see it fail takes much longer.
    """
    driver = nvidia_driver()
    if driver is None:
        return f"no NVIDIA driver was found ({_DRIVER} cannot be loaded)"
    if driver.cuInit(0) != 0:
        return "the NVIDIA driver does not start"
    count = ctypes.c_int(0)
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver finds no GPU"
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        return f"the installed onnxruntime {onnxruntime.__version__} has no CUDA provider; install onnxruntime-gpu instead of onnxruntime"
    return None


def _network(path: Path) -> bytes:
    """The bytes of an ONNX file. Raises ModelError where it is missing, or takes its weights out of other files."""
    if not path.is_file():
        raise ModelError(f"{path}: no such network; expected an ONNX file")
    try:
        data = path.read_bytes()
        outside = external_data(data)
    except OSError as error:
        raise ModelError(atomic_files.closed(path, error)) from error
    except ValueError as error:
        raise ModelError(f"{path}: not a network that onnxruntime can load (its ONNX {error}); train or download it again") from error
    if outside:
        raise ModelError(f"{path}: its weights point to another file ({outside!r}), which no network of xrdmatch does: it is refused for safety")
    return data


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _start(path: Path, data: bytes, providers: list[Any], threads: int | None, fallback: str = "") -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads or min(MAX_THREADS, usable_cores())
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # between two scans its threads would keep the cores busy
    onnxruntime.set_default_logger_severity(FATAL)
    # onnxruntime reports a provider that fails by print and by warning; standard output is for results, and the caller says it better.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if providers[0] != CPU and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        try:
            session = onnxruntime.InferenceSession(data, options, providers=providers)
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ModelError(f"{path}: not a network that onnxruntime can load ({_first_line(error)}); train or download it again") from error
    return Session(session, path, fallback)


def usable_cores() -> int:
    """CPU cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


@dataclass
class Model:
    """A model folder that is ready to run.

    kind: "encoder" (patterns and library entries become vectors; the nearest are recalled) or "classifier" (one output a library entry).
    config: config.json as written by training. The network and the library are loaded when first used.
    """

    path: Path
    config: Mapping[str, Any]
    device: Device = "auto"
    recipe: Recipe = field(init=False)
    threads: int | None = field(default=None, init=False)  # of the CPU in one run of the network; None as in open_session

    def __post_init__(self) -> None:
        self.recipe = Recipe.from_json(self.config["recipe"])

    @classmethod
    def load(cls, name: str | Path | None = None, device: Device = "auto") -> Model:
        """Raises ModelError where the folder is no model or was written by a newer version."""
        path = find_model(name)
        try:
            config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
            if config["kind"] not in ("encoder", "classifier"):
                raise ModelError(f"{path / CONFIG}: kind {config['kind']!r} is not known; update xrdmatch")
            return cls(path, config, device)
        except PermissionError as error:
            raise ModelError(atomic_files.closed(path / CONFIG, error)) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path / CONFIG}: expected a model's configuration, but it is damaged: {error!r}") from error

    @cached_property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def kind(self) -> str:
        return str(self.config["kind"])

    def ready(self) -> None:
        """Load everything now, so that what is wrong with the folder or the device shows before the first scan. Raises ModelError or LibraryError."""
        with ThreadPoolExecutor(1) as beside:  # the library is unpacked without Python's lock: the network is opened meanwhile
            opened = beside.submit(lambda: self.session)
            if len(self.library) == 0:
                raise ModelError(f"{self.path}: the model's library is empty")
            opened.result()
        _ = self.vectors if self.kind == "encoder" else self.label_rows

    @property
    def only_cpu(self) -> bool:
        """Whether there is nothing but the CPU for its network: nothing else was asked for, and no NVIDIA driver is there."""
        return self.device == "cpu" or (self.device == "auto" and nvidia_driver() is None)

    @cached_property
    def session(self) -> Session:
        return open_session(self.path / NETWORK, self.device, self.threads)

    @cached_property
    def _stored(self) -> tuple[Library, NDArray[np.float32] | None, NDArray[np.uint16] | None]:
        return Library.load_whole(self.path / LIBRARY)

    @cached_property
    def library(self) -> Library:
        return self._stored[0]

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """(n, dim) unit vectors of the library entries."""
        path, vectors = self.path / LIBRARY, self._stored[1]
        if vectors is None:
            path = self.path / VECTORS
            try:
                # Mapped first: a header that promises more than the file holds is refused before any memory is taken.
                vectors = np.load(path, mmap_mode="r", allow_pickle=False).astype(np.float32)
            except (OSError, ValueError) as error:
                raise ModelError(f"{path}: expected the library's vectors, but they cannot be read: {error}") from error
        if vectors.ndim != 2 or len(vectors) != len(self.library):
            raise ModelError(f"{path}: vectors of shape {vectors.shape} for {len(self.library)} library entries; train or add again")
        return vectors

    @cached_property
    def lookup(self) -> Lookup:
        """The strongest lines of the library's entries; computed where the folder was written before it held them."""
        stored = self._stored[2]
        if stored is None:
            return Lookup.of(self.library)
        if stored.ndim != 3 or stored.shape[:2] != (2, len(self.library)):
            raise ModelError(f"{self.path / LIBRARY}: lines of shape {stored.shape} for {len(self.library)} library entries; train or add again")
        return Lookup.unpacked(stored)

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
        return output @ self.vectors.T if self.kind == "encoder" else output


def write_encoder(folder: Path, config: Mapping[str, Any], library: Library, vectors: NDArray[np.float32]) -> None:
    """Write an encoder's library with its vectors, then config.json, so that a folder that has one is whole.

    Each is renamed into its place when it is complete: whatever ends the process, the folder can be loaded. Raises LibraryError or ModelError where
    it cannot be written; the folder is as it was then.
    """
    library.save(folder / LIBRARY, vectors, Lookup.of(library).packed())
    write_config(folder, config)
    (folder / VECTORS).unlink(missing_ok=True)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json, whole or not at all; nothing where it says the same already. Raises ModelError where that is impossible."""
    place, text = folder / CONFIG, json.dumps(config, indent=1) + "\n"
    try:
        if not place.is_file() or place.read_text(encoding="utf-8") != text:
            with atomic_files.whole(place) as part:
                part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{place}: cannot be written ({atomic_files.reason(error)}); choose another place") from error


@contextlib.contextmanager
def new_model(folder: Path) -> Iterator[Path]:
    """An empty folder to make a model in; when the block ends well its files take their places in `folder`, the configuration last.

    The model that `folder` may hold stays as it was until then. Raises ModelError where the folder cannot be written.
    """
    made = folder / ".new"
    try:
        shutil.rmtree(made, ignore_errors=True)  # of a process that was killed
        made.mkdir(parents=True)
        yield made
        with atomic_files.alone(folder):
            # A folder without a configuration is no model: it is never a mixture of two.
            (folder / CONFIG).unlink(missing_ok=True)
            for name in (NETWORK, LIBRARY, CONFIG):
                if (made / name).is_file():
                    (made / name).replace(folder / name)
            (folder / VECTORS).unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{folder}: the model cannot be written ({atomic_files.reason(error)}); choose another place") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def files_of(folder: Path) -> Sequence[Path]:
    """The files a model folder is made of, those that are there."""
    return [folder / name for name in (NETWORK, CONFIG, LIBRARY, VECTORS, CARD) if (folder / name).is_file()]
