"""Networks that run: ONNX files on the CPU or on CUDA. The only module that imports onnxruntime."""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
import warnings
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.errors import ModelError, how_to_install
from xrdmatch.model.onnx_fields import external_data
from xrdmatch.system import atomic_files
from xrdmatch.system.parallel import usable_cores

Device = Literal["auto", "cuda", "cpu"]

#: Most threads one session uses; these networks are too small for more to help.
MAX_THREADS = 4
FATAL = 4  # onnxruntime's log level above which nothing is printed


class Network(Protocol):
    """What runs a model's network: a `Session`, or a link to one of another process."""

    path: Path
    provider: str
    fallback: str

    def run(self, patterns: ArrayLike, output: str | None = None) -> NDArray[np.float32]: ...


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


def open_session(path: str | Path, device: Device = "auto", threads: int | None = None, optimised: bool = True) -> Session:
    """Load an ONNX network.

    `device`: auto takes CUDA where it runs and the CPU elsewhere; cuda and cpu insist. `threads`: CPU threads of one run, by default what the
    process may use, at most `MAX_THREADS`. `optimised`: whether onnxruntime looks for a faster form of the network before it runs on the CPU, which
    takes half as long as loading it. Raises ModelError where the file is missing or damaged, or where CUDA was asked for and cannot run.
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
    return _start(path, data, [CPU], threads, why_not if nvidia_driver() else "", optimised)


def _on_cuda(path: Path, data: bytes, threads: int | None) -> tuple[Session | None, str]:
    """A session that has been seen to run on CUDA, or why there is none."""
    why_not = cuda_obstacle()
    if why_not is not None:
        return None, why_not
    try:
        session = _start(path, data, [(CUDA, _CUDA_OPTIONS), CPU], threads)
        if session.provider != CUDA:
            why_not = "onnxruntime could not start its CUDA provider, which needs CUDA and cuDNN: "
            return None, why_not + how_to_install('"onnxruntime-gpu[cuda,cudnn]"', "cuda")
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
        raise ModelError(f"{path}: its weights are in another file ({outside!r}), where xrdmatch never puts them; refused for safety")
    return data


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _start(path: Path, data: bytes, providers: list[Any], threads: int | None, fallback: str = "", optimised: bool = True) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads or min(MAX_THREADS, usable_cores())
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
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
