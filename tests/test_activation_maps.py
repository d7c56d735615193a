"""Class activation maps: what they weigh, where they lie, and the picture."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET

import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Pattern
from xrdmatch.errors import ModelError, XrdMatchError
from xrdmatch.evaluation import activation_maps as module
from xrdmatch.model.network_head import Head
from xrdmatch.report import figure_style
from xrdmatch.report.activation_figure import explanation_figure
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions

pytest.importorskip("matplotlib", reason="figures need the plot extra")

explain = module.explain


@pytest.fixture(scope="module")
def identifier(tiny_model):
    return Identifier(tiny_model, "cpu")


class TestMaps:
    def head(self, weight):
        return Head(False, [(weight, np.zeros(len(weight)))], 4.0, 1.5)

    def test_plain_is_the_mean_over_channels(self):
        activation = np.random.default_rng(0).random((5, 8))
        plain, _ = module.maps(self.head(np.ones((2, 40))), activation, np.array([1.0, 0.0]))
        np.testing.assert_allclose(plain, activation.mean(axis=0) / activation.mean(axis=0).max())

    def test_grad_weighs_channels_by_their_mean_gradient(self):
        activation = np.zeros((3, 6))
        activation[0, 1], activation[1, 4], activation[2, 3] = 1.0, 1.0, 5.0
        weight = np.zeros((2, 18))
        weight[0, :6], weight[0, 6:12] = 2.0, 1.0  # the first answer likes channel 0 twice as much as channel 1, and dislikes channel 2
        weight[0, 12:] = -1.0
        weight[1, 12:] = 3.0
        head = self.head(weight)
        _, first = module.maps(head, activation, np.array([1.0, 0.0]))
        np.testing.assert_allclose(first, [0, 1, 0, 0, 0.5, 0])
        _, second = module.maps(head, activation, np.array([0.0, 1.0]))
        np.testing.assert_allclose(second, [0, 0, 0, 1, 0, 0])
        _, against = module.maps(head, activation, np.array([0.0, -1.0]))
        assert against.max() == 0

    def test_positions_lie_at_the_centre_of_what_they_see(self):
        spread = module.stretched(np.array([0.0, 1.0, 0.0]), self.head(np.ones((1, 3))), 12)
        assert spread.argmax() == 5 or spread.argmax() == 6
        assert spread[5] == spread[6] == pytest.approx(1 - 0.5 / 4)
        assert spread[0] == spread[11] == 0


def test_an_encoder_is_explained(identifier, library):
    scan = made.scan(library, 0)
    found = explain(identifier, scan)
    assert found.match.id == library.id[0]
    assert found.match.rank == 1
    for values in (found.plain, found.grad):
        assert values.shape == found.two_theta.shape
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-9
    assert found.plain.max() > 0.9
    inputs = identifier.model.recipe.apply(scan)[None]
    wanted = float(identifier.model.encode(inputs)[0] @ identifier.model.vectors[0])
    assert found.score == pytest.approx(wanted, abs=5e-3)
    assert found.resolution == pytest.approx(32 * 0.04)


def test_grad_cam_follows_the_score(identifier, library):
    """Along the map's own direction the cosine rises: the gradient is that of the cosine, not of the vector's length."""
    model = identifier.model
    inputs = model.recipe.apply(made.scan(library, 1))[None]
    activation = model.session.run(inputs, "activation")[0].astype(float)
    head = module.read_head(model.path / "model.onnx")
    answer, direction, score = identifier.retriever.explained_score(head.answer(activation), 1)
    np.testing.assert_allclose(answer, model.encode(inputs)[0], atol=1e-4)
    slope = head.gradient(activation, direction)
    target = model.vectors[1].astype(float)

    def cosine(values):
        answer = head.answer(values)
        return answer @ target / np.linalg.norm(answer)

    assert cosine(activation) == pytest.approx(score)
    step = 1e-4 * slope / np.linalg.norm(slope)
    assert (cosine(activation + step) - score) / 1e-4 == pytest.approx(np.linalg.norm(slope), rel=1e-2)


def test_a_filtered_scan_is_explained_as_it_was_scored(identifier, library, monkeypatch):
    """The network sees the very input that it gave its score for, however the scan was filtered."""
    noisy = made.scan(library, 1, peak=1000.0, base=60.0)
    seen, run = [], identifier.model.session.run
    monkeypatch.setattr(identifier.model.session, "run", lambda inputs, output=None: seen.append(inputs) or run(inputs, output))
    for mode in ("on", "paper"):
        seen.clear()
        found = explain(identifier, noisy, SearchOptions(filter_mode=mode))
        assert found.result.filtered
        scored, *explained = [inputs for inputs in seen if inputs.shape == seen[0].shape and inputs[0, 1].sum() == seen[0][0, 1].sum()]
        assert explained
        for inputs in explained:
            np.testing.assert_array_equal(inputs, scored)


def test_another_match_has_another_map(identifier, library):
    first, second = (explain(identifier, made.scan(library, 0), rank=rank) for rank in (1, 2))
    assert first.match.id != second.match.id
    np.testing.assert_array_equal(first.plain, second.plain)
    assert np.abs(first.grad - second.grad).max() > 0.05


def test_a_classifier_is_explained(classifier, library):
    own = Identifier(classifier, "cpu")
    scan = made.scan(library, 2)
    found = explain(own, scan)
    output = own.model.encode(own.model.recipe.apply(scan)[None])[0]
    assert found.match.id == own.model.config["labels"][int(output.argmax())]
    assert found.plain.max() > 0.9


def test_angles_are_those_of_the_scan(identifier, library):
    cobalt = 1.790307
    found = explain(identifier, made.scan(library, 0, wavelength=cobalt, stop=55.0))
    grid = identifier.model.recipe.grid
    ratio = np.sin(np.radians(found.two_theta / 2)) / np.sin(np.radians(grid.two_theta[: found.two_theta.size] / 2))
    np.testing.assert_allclose(ratio, cobalt / grid.wavelength, rtol=1e-5)
    plain, grad = found.at(np.array([-5.0, found.two_theta[3], 170.0]))
    assert plain[0] == plain[2] == grad[0] == 0
    assert plain[1] == found.plain[3]


def test_there_has_to_be_a_match(identifier, library):
    points = np.arange(4.0, 45.0, 0.02)
    noise = Pattern(points, np.random.default_rng(0).poisson(9.0, points.size), 1.5406, "noise")
    with pytest.raises(XrdMatchError, match=r"noise: there is no match 1 to explain, it is unusable: "):
        explain(identifier, noise)
    with pytest.raises(XrdMatchError, match=r"no match 12 to explain, it has \d matches"):
        explain(identifier, made.scan(library, 0), rank=12)


def test_a_network_of_another_build_is_refused(tiny_model, library, tmp_path):
    """A head that does not give the network's own answers must not explain them."""
    onnx = pytest.importorskip("onnx", reason="needs the train extra")
    folder = shutil.copytree(tiny_model, tmp_path / "other")
    graph = onnx.load(folder / "model.onnx")
    bias = next(one for one in graph.graph.initializer if one.dims == [16])
    node = next(one for one in graph.graph.node if one.op_type == "Gemm")
    extra = onnx.helper.make_node("Add", [node.output[0], bias.name], ["moved"])
    bias.raw_data = np.full(16, 3.0, np.float32).tobytes()
    for one in graph.graph.node:
        for place, name in enumerate(one.input):
            if name == node.output[0]:
                one.input[place] = "moved"
    graph.graph.node.insert(list(graph.graph.node).index(node) + 1, extra)
    onnx.save(graph, folder / "model.onnx")
    with pytest.raises(ModelError, match="is not understood"):
        explain(Identifier(folder, "cpu"), made.scan(library, 0))


def test_one_explanation_draws_the_same_bytes(identifier, library, tmp_path):
    found = explain(identifier, made.scan(library, 0))
    for name in ("a.svg", "b.svg"):
        figure_style.save(explanation_figure(found), tmp_path / name)
    # matplotlib names clip paths by where they lie in memory.
    first, second = (re.sub(r"\bp[0-9a-f]{10}\b", "p", (tmp_path / name).read_text(encoding="utf-8")) for name in ("a.svg", "b.svg"))
    assert first == second


def test_the_figure_shows_both_maps_and_indexed_lines(identifier, library):
    figure = explanation_figure(explain(identifier, made.scan(library, 0), file="odd $name_1.xy"))
    upper, lower, ticks = figure.axes[:3]
    assert [axes.texts[-1].get_text() for axes in (lower,)] == ["activation"]
    labels = [text.get_text() for text in upper.texts]
    assert "Grad-CAM" in labels
    assert sum(any(sign.isdigit() for sign in text) for text in labels) >= 4
    assert len(ticks.collections) == 2
    assert "odd $name_1.xy: match 1, HKUST-1" in figure.get_suptitle()


class TestCommand:
    @pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
    def test_picture(self, run, scans, tiny_model, tmp_path, suffix):
        out = tmp_path / f"map.{suffix}"
        code, printed, err = run("explain", scans / "b.xy", "-o", out, "--model", tiny_model)
        assert (code, printed) == (0, "")
        assert "match 1, ZIF-8" in err
        content = out.read_bytes()
        assert content[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
        if suffix == "svg":
            assert ET.fromstring(content) is not None
            assert b"<image" not in content

    def test_wrong_use(self, run, scans, tiny_model, tmp_path):
        asked = ("explain", scans / "a.xy", "--model", tiny_model)
        assert run(*asked, "-o", tmp_path / "a.jpg")[0] == 2
        assert run("explain", scans, "--model", tiny_model, "-o", tmp_path / "a.png")[0] == 2
        code, _, err = run("explain", scans / "gone.xy", "--model", tiny_model, "-o", tmp_path / "a.png")
        assert (code, "gone.xy" in err) == (1, True)
        code, _, err = run(*asked, "-o", tmp_path / "no" / "a.png")
        assert (code, "cannot be written" in err) == (1, True)
        assert not (tmp_path / "a.png").exists()

    def test_without_torch(self, scans, tiny_model, tmp_path):
        """Nothing of training is loaded: an install without extras but plot is enough."""
        import subprocess
        import sys

        out = tmp_path / "a.png"
        block = "import sys; sys.modules['torch'] = sys.modules['onnx'] = sys.modules['sklearn'] = None; sys.argv = ['xrdmatch', *sys.argv[1:]]; "
        code = block + "from xrdmatch.cli.app import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "explain", scans / "a.xy", "-o", out, "--model", tiny_model], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert out.is_file()
