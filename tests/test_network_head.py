"""The head of a network out of its ONNX file, against torch, onnxruntime and the onnx package."""

from __future__ import annotations

import numpy as np
import pytest

from xrdmatch.errors import ModelError
from xrdmatch.model.network_head import Head, read_graph, read_head
from xrdmatch.model.session import open_session

torch = pytest.importorskip("torch", reason="a network needs the train extra")
onnx = pytest.importorskip("onnx", reason="a network needs the train extra")

from xrdmatch.training.networks import Encoder, Wang2020, export_onnx  # noqa: E402

NETWORKS = {"encoder": lambda: Encoder(401, 2, 12), "classifier": lambda: Wang2020(7, 401), "odd": lambda: Wang2020(5, 411)}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, tmp_path_factory):
    """A network, its file, and patterns for it."""
    torch.manual_seed(3)
    made = NETWORKS[request.param]()
    if isinstance(made, Encoder):  # batch normalisation that has seen something
        made.train()
        made(torch.rand(8, 2, 401))
    path = tmp_path_factory.mktemp("networks") / f"{request.param}.onnx"
    export_onnx(made.eval(), path)
    return made, path, np.random.default_rng(1).random((1, made.channels, made.points)).astype(np.float32)


def test_answers_are_those_of_onnxruntime(network):
    made, path, patterns = network
    session = open_session(path, "cpu")
    answer = read_head(path).answer(session.run(patterns, "activation")[0].astype(float))
    said = session.run(patterns)[0]
    wanted = answer / np.linalg.norm(answer) if isinstance(made, Encoder) else np.exp(answer) / np.exp(answer).sum()
    np.testing.assert_allclose(wanted, said, atol=1e-5)


def test_gradients_are_those_of_torch(network):
    made, path, patterns = network
    activation = made.features(torch.from_numpy(patterns)).detach().requires_grad_()
    value = made.top(activation.unsqueeze(2) if isinstance(made, Wang2020) else activation)[0]
    direction = np.random.default_rng(2).normal(size=value.shape[0])
    (value * torch.from_numpy(direction).float()).sum().backward()
    got = read_head(path).gradient(activation.detach().numpy()[0].astype(float), direction)
    wanted = activation.grad.numpy()[0]
    assert np.abs(wanted).max() > 0
    np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_small_step_changes_the_answer_as_the_gradient_says():
    rng = np.random.default_rng(4)
    head = Head(True, [(rng.normal(size=(6, 12)), rng.normal(size=6)), (rng.normal(size=(3, 6)), rng.normal(size=3))], 2.0, 0.5)
    activation, direction = rng.random((3, 9)), np.array([1.0, -2.0, 0.5])
    slope = head.gradient(activation, direction)
    assert (slope[:, 8] == 0).all()  # the ninth position has no partner to be pooled with
    for place in np.ndindex(activation.shape):
        moved = activation.copy()
        moved[place] += 1e-6
        change = (head.answer(moved) - head.answer(activation)) @ direction / 1e-6
        assert change == pytest.approx(slope[place], abs=1e-3)


def test_positions_are_where_the_network_sees(network):
    """A spike in the input moves the activation most at the position whose centre is nearest."""
    made, path, _ = network
    head = read_head(path)
    flat = np.zeros((1, made.channels, made.points), np.float32)
    session = open_session(path, "cpu")
    before = session.run(flat, "activation")[0]
    off = []
    for point in range(100, 300, 10):
        spiked = flat.copy()
        spiked[0, 0, point - 1 : point + 2] = 5.0
        changed = np.abs(session.run(spiked, "activation")[0] - before).sum(axis=0)
        centre = (changed * np.arange(changed.size)).sum() / changed.sum()
        off.append(head.start + head.jump * centre - point)
    assert abs(np.mean(off)) < 0.5 * head.jump
    last = head.start + head.jump * (before.shape[1] - 1)
    assert abs(head.start - (made.points - 1 - last)) < head.jump  # as far from one end as from the other


def test_the_file_is_read_as_the_onnx_package_reads_it(network):
    _, path, _ = network
    nodes, weights = read_graph(memoryview(path.read_bytes()))
    graph = onnx.load(path).graph
    assert [(node.kind, node.inputs, node.outputs) for node in nodes] == [(one.op_type, list(one.input), list(one.output)) for one in graph.node]
    for node, one in zip(nodes, graph.node, strict=True):
        for attribute in one.attribute:
            if attribute.type == onnx.AttributeProto.INTS:
                assert node.numbers[attribute.name] == list(attribute.ints)
            elif attribute.type == onnx.AttributeProto.INT:
                assert node.numbers.get(attribute.name, [0]) in ([attribute.i], [0])
    wanted = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
    assert set(weights) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(weights[name], array)


def test_half_precision_and_packed_floats():
    from onnx import TensorProto, helper

    half = helper.make_tensor("half", TensorProto.FLOAT16, (2, 2), np.array([1.5, -2.0, 0.25, 3.0], np.float16).tobytes(), raw=True)
    packed = helper.make_tensor("packed", TensorProto.FLOAT, (3,), [1.0, 2.0, -4.0])
    counts = helper.make_tensor("counts", TensorProto.INT64, (2,), [5, -1])
    node = helper.make_node("Pad", ["x"], ["y"], pads=[-1, 2])
    model = helper.make_model(helper.make_graph([node], "g", [], [], [half, packed, counts]))
    nodes, weights = read_graph(memoryview(model.SerializeToString()))
    assert nodes[0].numbers == {"pads": [-1, 2]}
    assert {name: array.tolist() for name, array in weights.items()} == {"half": [[1.5, -2.0], [0.25, 3.0]], "packed": [1.0, 2.0, -4.0]}


def test_what_is_no_network_is_an_error(network, tmp_path):
    _, path, _ = network
    content = path.read_bytes()
    cases = {"cut.onnx": content[: len(content) // 2], "text.onnx": b"not a network, but a text", "empty.onnx": b"", "zeros.onnx": bytes(100)}
    for name, damaged in cases.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ModelError, match=f"{name}: expected a network"):
            read_head(tmp_path / name)
    with pytest.raises(ModelError, match=r"gone.onnx: expected"):
        read_head(tmp_path / "gone.onnx")
