"""Opening and running ONNX networks."""

import time

import numpy as np
import pytest

from xrdmatch.errors import ModelError
from xrdmatch.model.folder import NETWORK, find_model
from xrdmatch.model.session import CPU, CUDA, Session, cuda_obstacle, open_session

onnx = pytest.importorskip("onnx", reason="needs the train extra")


@pytest.fixture(scope="module")
def doubling(tmp_path_factory):
    """A network that doubles patterns of shape (batch, 1, 6), and sums them."""
    from onnx import TensorProto, helper

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [helper.make_node("Add", ["pattern", "pattern"], ["double"]), helper.make_node("ReduceSum", ["double"], ["sum"], keepdims=0)]
    graph = helper.make_graph(nodes, "doubling", [value("pattern", ["batch", 1, 6])], [value("double", ["batch", 1, 6]), value("sum", [])])
    path = tmp_path_factory.mktemp("onnx") / "doubling.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_runs_on_the_cpu(doubling):
    session = open_session(doubling, "cpu", threads=1)
    assert session.provider == "CPUExecutionProvider"
    assert session.inputs == ("pattern",)
    assert session.outputs == ("double", "sum")
    given = np.arange(12.0).reshape(2, 1, 6)
    np.testing.assert_array_equal(session.run(given), 2 * given)
    assert session.run(given.tolist(), "sum") == 2 * given.sum()


def test_the_threads_of_a_session_rest_between_scans():
    session, spent = open_session(find_model() / NETWORK, "cpu", threads=2), 0.0
    for _ in range(5):
        session.probe()
        before = time.process_time()
        time.sleep(0.1)
        spent += time.process_time() - before
    assert spent < 0.05  # seconds of the processor; threads that wait in a loop took 0.2


def test_auto_runs_anywhere_and_prints_nothing(doubling, capfd):
    session = open_session(doubling)
    assert session.provider in ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert capfd.readouterr() == ("", "")


def test_cuda_is_an_error_with_a_reason_where_it_cannot_run(doubling, monkeypatch, capfd):
    monkeypatch.setattr("xrdmatch.model.session.cuda_obstacle", lambda: "there is no GPU")
    with pytest.raises(ModelError, match="there is no GPU"):
        open_session(doubling, "cuda")
    assert open_session(doubling, "auto").provider == "CPUExecutionProvider"
    assert capfd.readouterr() == ("", "")


def test_a_driver_without_a_working_provider_falls_back_quietly(doubling, monkeypatch, capfd):
    if cuda_obstacle() is None:
        pytest.skip("CUDA runs here")
    monkeypatch.setattr("xrdmatch.model.session.cuda_obstacle", lambda: None)
    assert open_session(doubling, "auto").provider == "CPUExecutionProvider"
    with pytest.raises(ModelError, match="CUDA provider"):
        open_session(doubling, "cuda")
    assert capfd.readouterr() == ("", "")


class OnCuda:
    """An onnxruntime session that says it runs on CUDA, and fails or answers zeros when it runs; what is bound is kept in `bound`."""

    def __init__(self, real, failing=None):
        self.real, self.failing, self.bound = real, failing, []

    def __getattr__(self, name):
        return getattr(self.real, name)

    def get_providers(self):
        return [CUDA, CPU]

    def io_binding(self):
        return self

    def bind_cpu_input(self, name, values):
        pass

    def bind_output(self, name, device):
        self.bound.append((name, device))

    def run_with_iobinding(self, binding):
        if self.failing:
            raise RuntimeError(self.failing)

    def copy_outputs_to_cpu(self):
        return [np.zeros((1, 1, 6), dtype=np.float32)]


def test_a_gpu_that_fails_when_it_runs_is_found_out_before_the_first_scan(doubling, monkeypatch):
    import onnxruntime

    start = onnxruntime.InferenceSession

    def started(data, options, providers):
        real = start(data, options, providers=[CPU])
        return real if providers == [CPU] else OnCuda(real, "CUDA failure 2: out of memory\nand more")

    monkeypatch.setattr("xrdmatch.model.session.cuda_obstacle", lambda: None)
    monkeypatch.setattr("xrdmatch.model.session.nvidia_driver", lambda: object())
    monkeypatch.setattr(onnxruntime, "InferenceSession", started)
    session = open_session(doubling, "auto")
    assert session.provider == CPU
    assert "CUDA failure 2: out of memory" in session.fallback
    assert "\n" not in session.fallback
    with pytest.raises(ModelError, match=r"cannot run on CUDA: .*out of memory.*Use --device cpu"):
        open_session(doubling, "cuda")


def test_why_it_falls_back_is_kept_where_there_is_a_driver(doubling, monkeypatch):
    monkeypatch.setattr("xrdmatch.model.session.cuda_obstacle", lambda: "the NVIDIA driver finds no GPU")
    monkeypatch.setattr("xrdmatch.model.session.nvidia_driver", lambda: object())
    assert open_session(doubling, "auto").fallback == "the NVIDIA driver finds no GPU"
    assert open_session(doubling, "cpu").fallback == ""
    monkeypatch.setattr("xrdmatch.model.session.nvidia_driver", lambda: None)
    assert open_session(doubling, "auto").fallback == ""  # nobody expects a GPU there


class OneBinding:
    """An onnxruntime session whose runs all share one binding."""

    def __init__(self, real):
        self.real, self.binding = real, real.io_binding()

    def __getattr__(self, name):
        return getattr(self.real, name)

    def io_binding(self):
        return self.binding


def test_an_answer_is_the_callers_own(doubling):
    """The next run leaves it alone."""
    import onnxruntime

    session = Session(OneBinding(onnxruntime.InferenceSession(doubling.read_bytes(), providers=[CPU])), doubling)
    given = np.random.default_rng(1).random((3, 1, 6), dtype=np.float32)
    first = session.run(given)
    session.run(2 * given)
    np.testing.assert_array_equal(first, 2 * given)


def test_outputs_are_bound_to_the_device_that_computes_them(doubling):
    import onnxruntime

    cuda = OnCuda(onnxruntime.InferenceSession(doubling.read_bytes(), providers=[CPU]))
    Session(cuda, doubling).run(np.ones((1, 1, 6)))
    assert cuda.bound == [("double", "cuda")]


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives(doubling):
    if (why := cuda_obstacle()) is not None:
        pytest.skip(why)
    given = np.random.default_rng(0).random((3, 1, 6), dtype=np.float32)
    session = open_session(doubling, "cuda")
    assert session.provider == "CUDAExecutionProvider"
    np.testing.assert_allclose(session.run(given), open_session(doubling, "cpu").run(given), atol=1e-5)


def test_wrong_shape_and_wrong_output_say_what_was_expected(doubling):
    session = open_session(doubling, "cpu")
    with pytest.raises(ModelError, match=r"\(batch, 1, 6\), got \(2, 1, 7\)"):
        session.run(np.zeros((2, 1, 7)))
    with pytest.raises(ModelError, match=r"got \(6,\)"):
        session.run(np.zeros(6))
    with pytest.raises(ModelError, match="'vector', only double, sum"):
        session.run(np.zeros((2, 1, 6)), "vector")


def test_missing_and_damaged_files_are_named(tmp_path, doubling):
    with pytest.raises(ModelError, match=r"absent\.onnx: no such network"):
        open_session(tmp_path / "absent.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(doubling.read_bytes()[:40])
    with pytest.raises(ModelError, match=r"damaged\.onnx"):
        open_session(damaged)
    with pytest.raises(ValueError, match="tpu"):
        open_session(doubling, "tpu")


# ---- weights that point to other files ----


def pointing(name="../secret.bin"):
    """A tensor of three numbers whose data are said to lie in another file."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[3], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=name)
    return tensor


def network_of(nodes, initializer=(), **more):
    from onnx import helper

    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, [3])], [info("y", 1, [3])], initializer=list(initializer))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **more)


def hostile_networks():
    from onnx import helper

    add = helper.make_node("Add", ["x", "w"], ["y"])
    constant = helper.make_node("Constant", [], ["w"], value=pointing())
    inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("w", 1, [3])])
    branch = helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner)
    bare = pointing()
    del bare.external_data[:]
    function = helper.make_function("d", "f", ["x"], ["y"], [constant, add], [helper.make_opsetid("", 17)])
    yield "weight", network_of([add], [pointing()])
    yield "absolute path", network_of([add], [pointing("/etc/passwd")])
    yield "without a name", network_of([add], [bare])
    yield "constant", network_of([constant, add])
    yield "branch", network_of([branch, add])
    yield "function", network_of([add], functions=[function])


@pytest.mark.parametrize(("where", "network"), list(hostile_networks()), ids=lambda value: value if isinstance(value, str) else "")
def test_weights_in_other_files_are_refused(tmp_path, where, network):
    """The file pointed to exists and would be read."""
    (tmp_path / "secret.bin").write_bytes(np.arange(3, dtype=np.float32).tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(network.SerializeToString())
    with pytest.raises(ModelError, match=r"model\.onnx: its weights are in another file .*refused for safety"):
        open_session(folder / "model.onnx", "cpu")


def test_damaged_networks_end_in_one_error(tmp_path, doubling):
    data, place = doubling.read_bytes(), tmp_path / "model.onnx"
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(data[: int(rng.integers(1, len(data) + 1))])
        for at in rng.integers(0, len(damaged), int(rng.integers(0, 4))):
            damaged[at] = int(rng.integers(0, 256))
        place.write_bytes(bytes(damaged))
        try:
            open_session(place, "cpu")
        except ModelError as error:
            assert "\n" not in str(error)  # noqa: PT017
