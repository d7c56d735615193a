"""Trained networks: load and run them.

The only module that imports onnxruntime.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.errors import ModelError

Device = Literal["auto", "cuda", "cpu"]

#: Most threads one session uses; these networks are too small for more to help.
MAX_THREADS = 4
FATAL = 4  # onnxruntime's log level above which nothing is printed


class Session:
    """An ONNX network that is ready to run. Made by `open_session`.

    path: the file. provider: the onnxruntime execution provider that runs it. inputs, outputs: names.
    """

    def __init__(self, session: Any, path: Path) -> None:
        self._session = session
        self.path = path
        self.provider: str = session.get_providers()[0]
        self.inputs = tuple(item.name for item in session.get_inputs())
        self.outputs = tuple(item.name for item in session.get_outputs())
        self._shape = session.get_inputs()[0].shape

    def run(self, patterns: ArrayLike, output: str | None = None) -> NDArray[np.float32]:
        """The named output (default: the first) for `patterns` (batch, channels, points).

        Raises ModelError where the network has no such output or takes another shape.
        """
        batch = np.ascontiguousarray(patterns, dtype=np.float32)
        wanted = tuple(self._shape[1:])
        if batch.ndim != len(self._shape) or any(isinstance(size, int) and size != got for size, got in zip(wanted, batch.shape[1:], strict=True)):
            raise ModelError(f"{self.path}: the network takes patterns of shape (batch, {', '.join(map(str, wanted))}), got {batch.shape}")
        name = output or self.outputs[0]
        if name not in self.outputs:
            raise ModelError(f"{self.path}: the network has no output {name!r}, only {', '.join(self.outputs)}")
        result: NDArray[np.float32] = self._session.run([name], {self.inputs[0]: batch})[0]
        return result


def open_session(path: str | Path, device: Device = "auto", threads: int | None = None) -> Session:
    """Load an ONNX network.

    `device`: auto takes CUDA where it runs and the CPU elsewhere; cuda and cpu insist. `threads`: CPU threads of one run, by default what the
    process may use, at most `MAX_THREADS`. Raises ModelError where the file is missing or damaged, or where CUDA was asked for and cannot run.
    """
    path = Path(path)
    if device not in get_args(Device):
        raise ValueError(f"device must be one of {', '.join(get_args(Device))}, got {device!r}")
    if not path.is_file():
        raise ModelError(f"{path}: no such network; expected an ONNX file")
    if device != "cpu":
        why_not = cuda_obstacle()
        if why_not is None:
            session = _start(path, ["CUDAExecutionProvider", "CPUExecutionProvider"], threads)
            if session.provider == "CUDAExecutionProvider":
                return session
            why_not = "onnxruntime could not start its CUDA provider; install xrdmatch[cuda], which brings CUDA and cuDNN"
        if device == "cuda":
            raise ModelError(f"{path}: cannot run on CUDA: {why_not}. Use --device cpu or auto")
    return _start(path, ["CPUExecutionProvider"], threads)


def cuda_obstacle() -> str | None:
    """Why onnxruntime cannot run on CUDA here, in words; None where nothing is known to stand in the way.

    Asks the driver first, which takes a millisecond: starting the CUDA provider only to see it fail takes much longer.
    """
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return f"no NVIDIA driver was found ({library} cannot be loaded)"
    if driver.cuInit(0) != 0:
        return "the NVIDIA driver does not start"
    count = ctypes.c_int(0)
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver finds no GPU"
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return f"the installed onnxruntime {onnxruntime.__version__} has no CUDA provider; install onnxruntime-gpu instead of onnxruntime"
    return None


def _start(path: Path, providers: list[str], threads: int | None) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads or min(MAX_THREADS, usable_cores())
    onnxruntime.set_default_logger_severity(FATAL)
    # onnxruntime reports a provider that fails by print and by warning; standard output is for results, and the caller says it better.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "CUDAExecutionProvider" in providers and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        try:
            session = onnxruntime.InferenceSession(os.fspath(path), options, providers=providers)
        except Exception as error:  # onnxruntime's errors share no public base class
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{path}: not a network that onnxruntime can load ({reason}); train or download it again") from error
    return Session(session, path)


def usable_cores() -> int:
    """CPU cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
