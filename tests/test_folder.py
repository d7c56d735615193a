"""Opening and running ONNX networks."""

import time

import numpy as np
import pytest

from xrdmatch.errors import ModelError
from xrdmatch.model import folder

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
    session = folder.open_session(doubling, "cpu", threads=1)
    assert session.provider == "CPUExecutionProvider"
    assert session.inputs == ("pattern",)
    assert session.outputs == ("double", "sum")
    given = np.arange(12.0).reshape(2, 1, 6)
    np.testing.assert_array_equal(session.run(given), 2 * given)
    assert session.run(given.tolist(), "sum") == 2 * given.sum()


def test_the_threads_of_a_session_rest_between_scans():
    session, spent = folder.open_session(folder.find_model() / folder.NETWORK, "cpu", threads=2), 0.0
    for _ in range(5):
        session.probe()
        before = time.process_time()
        time.sleep(0.1)
        spent += time.process_time() - before
    assert spent < 0.05  # seconds of the processor; threads that wait in a loop took 0.2


def test_auto_runs_anywhere_and_prints_nothing(doubling, capfd):
    session = folder.open_session(doubling)
    assert session.provider in ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert capfd.readouterr() == ("", "")


def test_cuda_is_an_error_with_a_reason_where_it_cannot_run(doubling, monkeypatch, capfd):
    monkeypatch.setattr(folder, "cuda_obstacle", lambda: "there is no GPU")
    with pytest.raises(ModelError, match="there is no GPU"):
        folder.open_session(doubling, "cuda")
    assert folder.open_session(doubling, "auto").provider == "CPUExecutionProvider"
    assert capfd.readouterr() == ("", "")


def test_a_driver_without_a_working_provider_falls_back_quietly(doubling, monkeypatch, capfd):
    if folder.cuda_obstacle() is None:
        pytest.skip("CUDA runs here")
    monkeypatch.setattr(folder, "cuda_obstacle", lambda: None)
    assert folder.open_session(doubling, "auto").provider == "CPUExecutionProvider"
    with pytest.raises(ModelError, match="CUDA provider"):
        folder.open_session(doubling, "cuda")
    assert capfd.readouterr() == ("", "")


def pretending(monkeypatch, **session):
    """onnxruntime whose CUDA provider starts, and then does as `session` says."""
    start = folder._start

    def started(path, data, providers, threads, fallback=""):
        made = start(path, data, [folder.CPU], threads, fallback)
        if providers[0] != folder.CPU:
            made.provider = session.get("provider", folder.CUDA)
            made._session = session.get("session", made._session)
        return made

    monkeypatch.setattr(folder, "cuda_obstacle", lambda: None)
    monkeypatch.setattr(folder, "nvidia_driver", lambda: object())
    monkeypatch.setattr(folder, "_start", started)


class Broken:
    """A session whose device fails when it runs."""

    def io_binding(self):
        return self

    def bind_cpu_input(self, *given):
        pass

    bind_output = bind_cpu_input

    def run_with_iobinding(self, binding):
        raise RuntimeError("CUDA failure 2: out of memory\nand more")


def test_a_gpu_that_fails_when_it_runs_is_found_out_before_the_first_scan(doubling, monkeypatch):
    pretending(monkeypatch, session=Broken())
    session = folder.open_session(doubling, "auto")
    assert session.provider == folder.CPU
    assert "CUDA failure 2: out of memory" in session.fallback
    assert "\n" not in session.fallback
    with pytest.raises(ModelError, match=r"cannot run on CUDA: .*out of memory.*Use --device cpu"):
        folder.open_session(doubling, "cuda")


def test_why_it_falls_back_is_kept_where_there_is_a_driver(doubling, monkeypatch):
    monkeypatch.setattr(folder, "cuda_obstacle", lambda: "the NVIDIA driver finds no GPU")
    monkeypatch.setattr(folder, "nvidia_driver", lambda: object())
    assert folder.open_session(doubling, "auto").fallback == "the NVIDIA driver finds no GPU"
    assert folder.open_session(doubling, "cpu").fallback == ""
    monkeypatch.setattr(folder, "nvidia_driver", lambda: None)
    assert folder.open_session(doubling, "auto").fallback == ""  # nobody expects a GPU there


def test_outputs_are_bound_to_the_device_that_computes_them(doubling, monkeypatch):
    """On the CPU a real run; on CUDA what is asked of onnxruntime."""
    asked = []

    class Recording(Broken):
        def bind_output(self, name, device):
            asked.append((name, device))

        def run_with_iobinding(self, binding):
            pass

        def copy_outputs_to_cpu(self):
            return [np.zeros((1, 1, 6), dtype=np.float32)]

    session = folder.open_session(doubling, "cpu")
    binding = session._session.io_binding()
    monkeypatch.setattr(session._session, "io_binding", lambda: binding)
    given = np.random.default_rng(1).random((3, 1, 6), dtype=np.float32)
    first = session.run(given)
    session.run(2 * given)
    np.testing.assert_array_equal(first, 2 * given)  # an answer is the caller's own: the next run leaves it alone
    session._session, session.provider = Recording(), folder.CUDA
    session.run(given[:1])
    assert asked == [("double", "cuda")]


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives(doubling):
    if (why := folder.cuda_obstacle()) is not None:
        pytest.skip(why)
    given = np.random.default_rng(0).random((3, 1, 6), dtype=np.float32)
    session = folder.open_session(doubling, "cuda")
    assert session.provider == "CUDAExecutionProvider"
    np.testing.assert_allclose(session.run(given), folder.open_session(doubling, "cpu").run(given), atol=1e-5)


def test_wrong_shape_and_wrong_output_say_what_was_expected(doubling):
    session = folder.open_session(doubling, "cpu")
    with pytest.raises(ModelError, match=r"\(batch, 1, 6\), got \(2, 1, 7\)"):
        session.run(np.zeros((2, 1, 7)))
    with pytest.raises(ModelError, match=r"got \(6,\)"):
        session.run(np.zeros(6))
    with pytest.raises(ModelError, match="'vector', only double, sum"):
        session.run(np.zeros((2, 1, 6)), "vector")


def test_missing_and_damaged_files_are_named(tmp_path, doubling):
    with pytest.raises(ModelError, match=r"absent\.onnx: no such network"):
        folder.open_session(tmp_path / "absent.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(doubling.read_bytes()[:40])
    with pytest.raises(ModelError, match=r"damaged\.onnx"):
        folder.open_session(damaged)
    with pytest.raises(ValueError, match="tpu"):
        folder.open_session(doubling, "tpu")


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
    with pytest.raises(ModelError, match=r"model\.onnx: its weights point to another file .*refused for safety"):
        folder.open_session(folder / "model.onnx", "cpu")


def test_damaged_networks_end_in_one_error(tmp_path, doubling):
    data, place = doubling.read_bytes(), tmp_path / "model.onnx"
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(data[: int(rng.integers(1, len(data) + 1))])
        for at in rng.integers(0, len(damaged), int(rng.integers(0, 4))):
            damaged[at] = int(rng.integers(0, 256))
        place.write_bytes(bytes(damaged))
        try:
            folder.open_session(place, "cpu")
        except ModelError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("device", "driver", "only"), [("cpu", object(), True), ("auto", None, True), ("auto", object(), False), ("cuda", None, False)]
)
def test_only_the_cpu_is_there(tiny_model, monkeypatch, device, driver, only):
    monkeypatch.setattr(folder, "nvidia_driver", lambda: driver)
    assert folder.Model.load(tiny_model, device).only_cpu is only
