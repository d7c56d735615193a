"""The networks: shapes, the paper's numbers, export and parity."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
onnx = pytest.importorskip("onnx", reason="needs the train extra")

from xrdmatch.errors import ModelError  # noqa: E402
from xrdmatch.model.session import open_session  # noqa: E402
from xrdmatch.training import networks as nw  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def networks():
    return [nw.Wang2020(12, 300), nw.Encoder(300, dim=24)]


def patterns(network, number=5, seed=0):
    return np.random.default_rng(seed).random((number, network.channels, network.points), dtype=np.float32)


def stir(network):
    """Give batch normalisation statistics other than 0 and 1, so that folding is tested."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    return network


def test_reference_network_has_the_papers_layers():
    """Parameters counted by hand from the paper: convolutions k * in * out + out, flatten 64 * 133, dense 120, 84, C."""
    net = nw.Wang2020(1012)
    pairs = [(1, 6), (6, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
    wanted = sum(5 * a * b + b for a, b in pairs) + sum(a * b + b for a, b in [(64 * 133, 120), (120, 84), (84, 1012)])
    assert sum(p.numel() for p in net.parameters()) == wanted
    assert [round(layer.limit / 256, 2) for layer in net.modules() if isinstance(layer, nw.Dropout)] == [0.2] * 4
    assert sum(isinstance(layer, torch.nn.MaxPool2d) for layer in net.modules()) == 4
    assert net.features(torch.zeros(2, 1, 2251)).shape == (2, 64, 266)
    assert net(torch.zeros(2, 1, 2251)).shape == (2, 1012)


def test_dropout_drops_its_share_anywhere_and_keeps_the_mean():
    layer = nw.Dropout(0.2).train()
    values = torch.ones(8, 16, 1, 500).to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    first = layer(values)
    dropped = (first == 0).float()
    assert float(dropped.mean()) == pytest.approx(0.2, abs=0.01)
    assert dropped.mean(dim=(0, 2, 3)).std() < 0.02
    assert dropped.mean(dim=(1, 2, 3)).std() < 0.02
    assert float(first.mean()) == pytest.approx(1.0, abs=0.01)
    assert not torch.equal(first, layer(values))
    torch.manual_seed(0)
    assert torch.equal(first, layer(values))
    assert torch.equal(layer.eval()(values), values)


def test_reference_loss_is_cross_entropy_and_a_tenth_of_the_squared_probabilities():
    net = nw.Wang2020(4, 300)
    logits = torch.log(torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]]))
    wanted = (-np.log(0.7) - np.log(0.25)) / 2 + 0.1 * (0.49 + 0.03 + 0.25) / 2
    assert float(net.loss(logits, torch.tensor([0, 3]))) == pytest.approx(wanted, rel=1e-5)


def test_scaling_belongs_to_the_network():
    """A network with fitted scaling answers as one without does for scaled patterns; a constant column does not divide by 0."""
    raw, scaled = nw.Wang2020(5, 300).eval(), nw.Wang2020(5, 300).eval()
    scaled.load_state_dict(raw.state_dict())
    x = 3 * patterns(raw, 20) + 1
    x[:, :, 7] = 2.5
    low, high = x.min(axis=0), x.max(axis=0)
    scaled.fit_scaling(low, high)
    by_hand = (x - low) / np.where(high > low, high - low, 1)
    np.testing.assert_allclose(scaled(torch.tensor(x)).detach(), raw(torch.tensor(by_hand)).detach(), atol=1e-5)


def test_encoder_gives_unit_vectors_for_any_length():
    for points in (128, 1126, 2251):
        net = nw.Encoder(points).eval()
        vectors = net(torch.tensor(patterns(net, 3)))
        assert vectors.shape == (3, 192)
        np.testing.assert_allclose(vectors.norm(dim=1).detach(), 1.0, atol=1e-5)
    assert torch.isfinite(net(torch.zeros(1, 2, 2251))).all()


@pytest.mark.parametrize("net", networks(), ids=lambda net: type(net).__name__)
def test_export_is_one_file_that_answers_as_torch_does(net, tmp_path):
    path = tmp_path / "model.onnx"
    stir(net).train()
    nw.export_onnx(net, path)
    assert net.training
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    onnx.checker.check_model(str(path), full_check=True)
    assert not any(node.op_type == "BatchNormalization" for node in onnx.load(path).graph.node)
    assert nw.check_parity(net, path, patterns(net)) < 1e-5
    session = open_session(path, "cpu")
    assert session.inputs == ("pattern",)
    assert session.outputs == (net.output, "activation")
    for batch in (1, 3, 17):
        x = patterns(net, batch)
        assert session.run(x).shape[0] == batch
        assert session.run(x, "activation").shape == net.features(torch.tensor(x)).shape
    if net.output == "probability":
        np.testing.assert_allclose(session.run(x).sum(axis=1), 1.0, atol=1e-5)
    else:
        np.testing.assert_allclose(np.linalg.norm(session.run(x), axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("net", networks(), ids=lambda net: type(net).__name__)
def test_parity_notices_another_network(net, tmp_path):
    path = tmp_path / "model.onnx"
    nw.export_onnx(net, path)
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.05
    with pytest.raises(ModelError, match="differs"):
        nw.check_parity(net, path, patterns(net))


def test_too_short_a_pattern_is_refused():
    with pytest.raises(ValueError, match="too short"):
        nw.Wang2020(3, 60)
