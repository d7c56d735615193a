"""Examples, a re-ranker trained on them for a few steps, and a model that uses it."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import made
import numpy as np
import pytest

from xrdmatch.errors import LibraryError, ModelError
from xrdmatch.model.add import add
from xrdmatch.model.folder import RERANKER, Model
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.search.candidate_view import CHANNELS, NUMBERS, POINTS
from xrdmatch.search.candidates import RERANKED_FEATURES
from xrdmatch.search.identify import Identifier
from xrdmatch.search.pipeline import rank
from xrdmatch.search.probability import RERANKED_PHASE_FEATURES, RERANKED_PHASE_GATE, Calibration, fit
from xrdmatch.search.reranking import NOT_LOOKED_AT
from xrdmatch.search.retrieval import RankOptions

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from xrdmatch.training import reranker_data  # noqa: E402
from xrdmatch.training.networks import check_parity, export_onnx  # noqa: E402
from xrdmatch.training.reranker import Settings, logits_of, train_reranker  # noqa: E402
from xrdmatch.training.reranker_calibration import cases  # noqa: E402
from xrdmatch.training.reranker_data import Effects, Examples, batch  # noqa: E402
from xrdmatch.training.reranker_examples import KEPT, ExampleMaker, files, may_be_one, write  # noqa: E402
from xrdmatch.training.reranker_network import SHOWN, Averaged, Reranker  # noqa: E402
from xrdmatch.training.run import RunOptions  # noqa: E402

NOTHING = Effects(heights=0.0, moved=0.0, cut=0.0, mixed=0.0, numbers=0.0)
CPU = RunOptions(device="cpu", threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model, library):
    """Two files of examples of the made-up structures, of each part some; every fifth scan is of nothing."""
    place = tmp_path_factory.mktemp("examples")
    maker, rng = ExampleMaker(Model.load(tiny_model, "cpu")), np.random.default_rng(0)
    for number in range(2):
        examples, origin = [], []
        for i in range(20):
            row = i % 5
            pattern = made.scan(library, row, seed=10 * number + i, strain=(0.002, 0.002, 0.002))
            if i >= 15:  # of nothing: lines where no structure has them
                pattern = replace(pattern, two_theta=pattern.two_theta**1.07 / 1.1)
            example = maker.example(pattern, None if i >= 15 else row, rng)
            assert example is not None
            examples.append(example)
            origin.append((-1 if i >= 15 else row, "fine", ("train", "train", "calibrate", "measure")[i % 4]))
        write(place / f"examples-0-{number:05d}.npz", examples, origin)
    return place


@pytest.fixture(scope="module")
def examples(folder):
    """All of them; an untrained encoder finds all entries alike, so that it is not asked which are."""
    found = Examples.load(files(folder))
    return replace(found, related=np.zeros_like(found.related))


@pytest.fixture
def model_folder(tmp_path, tiny_model):
    return shutil.copytree(tiny_model, tmp_path / "model")


class TestExamples:
    def test_own_family_is_marked_and_comes_first(self, examples):
        known = examples.row >= 0
        assert len(examples) == 40
        assert ((examples.label == 1).sum(axis=1) == known).all()
        first = examples.label[known, 0]
        assert first.mean() > 0.9
        assert (examples.rows[known][examples.label[known] == 1] == examples.row[known]).all()

    def test_inputs_are_those_of_the_view(self, library, tiny_model, tmp_path):
        maker = ExampleMaker(Model.load(tiny_model, "cpu"))
        example = maker.example(made.scan(library, 1), 1, np.random.default_rng(3))
        write(tmp_path / "examples-0-00000.npz", [example], [(1, "fine", "train")])
        read = Examples.load(files(tmp_path))
        k = len(example.rows)
        wanted, got = example.view.inputs(), read.inputs(np.zeros(k, np.int64), np.arange(k))
        assert got.shape == (k, CHANNELS, POINTS)
        assert np.abs(wanted - got).max() < 0.01  # signals are stored as bytes
        assert (read.label[0, k:] == -1).all()

    def test_parts(self, folder):
        numbers = [len(Examples.load(files(folder), part)) for part in ("train", "calibrate", "measure")]
        assert numbers == [20, 10, 10]
        with pytest.raises(LibraryError, match="no examples"):
            Examples.load(files(folder), "nothing")
        with pytest.raises(LibraryError, match="no examples"):
            Examples.load([])

    def test_a_batch_has_the_own_family_and_others(self, examples):
        rng = np.random.default_rng(1)
        scans = np.flatnonzero(examples.row >= 0)
        inputs, labels = batch(examples, scans, rng, np.ones(len(NUMBERS)), NOTHING)
        assert inputs.shape == (len(labels), CHANNELS, POINTS)
        assert labels.sum() == len(scans)
        assert len(labels) <= (1 + reranker_data.NEGATIVES) * len(scans)
        assert torch.isfinite(inputs).all()

    def test_twins_teach_nothing(self, examples):
        assert examples.usable.sum() == (examples.label >= 0).sum()
        related = replace(examples, related=np.ones_like(examples.related))
        assert (related.usable == (related.label == 1)).all()

    def test_what_may_be_one_framework(self, library):
        """Another determination; one whose vector is very like; and one whose vector is somewhat like where the cell is nearly the same, unless the
        lattice is met by chance."""
        rows = np.arange(5)
        for row, needed in ((0, 0.6), (2, 0.45), (3, 0.3)):
            cells = library.cell.copy()
            cells[4] = cells[row] * [1.02, 1.02, 1.02, 1, 1, 1]
            twins, other = replace(library, cell=cells), next(i for i in range(4) if i != row)
            one = may_be_one(twins, rows, row, np.full(5, needed - 0.02))
            assert one.tolist() == [i == row for i in range(5)]
            assert may_be_one(twins, rows, row, np.full(5, needed + 0.02))[4]
            assert may_be_one(twins, rows, row, np.full(5, 0.65))[other]

    def test_effects_change_what_they_should(self, examples):
        scans, spread = np.arange(40), np.ones(len(NUMBERS))

        def drawn(effects):
            return batch(examples, scans, np.random.default_rng(2), spread, effects)[0].numpy()

        plain = drawn(NOTHING)
        heights = drawn(replace(NOTHING, heights=1.0))
        np.testing.assert_array_equal(heights[:, 0], plain[:, 0])
        assert np.abs(heights[:, 1] - plain[:, 1]).max() > 0.02
        cut = drawn(replace(NOTHING, cut=1.0))
        assert (cut[:, 2].sum(axis=1) <= plain[:, 2].sum(axis=1)).all()
        assert cut[:, 2].sum() < plain[:, 2].sum()
        assert not cut[:, 0][cut[:, 2] == 0].any()
        mixed = drawn(replace(NOTHING, mixed=1.0))
        np.testing.assert_allclose(mixed[:, 0].max(axis=1), 1.0, atol=1e-5)
        numbers = drawn(replace(NOTHING, numbers=0.5))
        np.testing.assert_array_equal(numbers[:, :3], plain[:, :3])
        assert np.abs(numbers[:, 3, : len(NUMBERS)] - plain[:, 3, : len(NUMBERS)]).mean() == pytest.approx(0.4, abs=0.1)


class TestNetwork:
    def test_exported_is_the_same(self, tmp_path, examples):
        torch.manual_seed(1)
        network = Reranker()
        network.fit_scaling(examples.numbers[examples.label >= 0])
        export_onnx(network.eval(), tmp_path / "reranker.onnx")
        some = np.arange(12)
        assert check_parity(network, tmp_path / "reranker.onnx", examples.inputs(some, np.zeros_like(some))) < 1e-4
        assert (tmp_path / "reranker.onnx").stat().st_size < 4e6

    def test_only_shown_numbers_count(self, examples):
        network = Reranker().eval()
        network.fit_scaling(examples.numbers[examples.label >= 0])
        inputs = torch.from_numpy(examples.inputs(np.arange(4), np.zeros(4, np.int64)))
        with torch.no_grad():
            for name in NUMBERS:
                changed = inputs.clone()
                changed[:, 3, NUMBERS.index(name)] += 0.3 * network.spread[NUMBERS.index(name)]
                assert torch.equal(network(inputs), network(changed)) == (name not in SHOWN), name


class TestTraining:
    def test_a_model_with_a_re_ranker(self, folder, model_folder, library):
        """Training puts the network into the folder and fits the probabilities; identify then uses both."""
        told = []
        made_of = train_reranker(folder, model_folder, Settings(steps=40, batch=16, members=1, learning_rate=3e-3), CPU, told.append)
        assert (model_folder / RERANKER).is_file()
        assert not list(model_folder.glob("*.pt"))
        assert [row["step"] for row in told] == [20, 40]
        assert told[-1]["loss"] < told[0]["loss"]
        config = json.loads((model_folder / "config.json").read_text())
        assert set(config["calibration"]["candidate"]) == set(RERANKED_PHASE_FEATURES)
        assert set(config["calibration"]["gate"]) == set(RERANKED_PHASE_GATE)
        assert config["metrics"]["simulated_scans"] == made_of["simulated_scans"] == 10.0
        identifier = Identifier(model_folder, "cpu")
        assert identifier.calibration.needs_reranker
        candidates = rank(prepare_scan(made.scan(library, 1)), identifier.model)
        assert len(set(candidates.reranked.tolist())) > 1
        assert candidates.log_field[0] == pytest.approx(np.log(5.0))
        answer = identifier.identify(made.scan(library, 1))
        assert answer.matches[0].id == library.id[1]
        with pytest.raises(ModelError, match="already has a re-ranker"):
            train_reranker(folder, model_folder, Settings(steps=1), CPU)

    def test_stopped_and_gone_on_with(self, folder, model_folder, monkeypatch):
        from xrdmatch.training import reranker as module

        def stop(now):
            raise KeyboardInterrupt

        monkeypatch.setattr(module, "RECORD", 4)
        settings = Settings(steps=24, batch=8, members=2)
        with pytest.raises(KeyboardInterrupt):
            train_reranker(folder, model_folder, settings, CPU, stop)
        assert [place.name for place in model_folder.glob("*.pt")] == ["reranker-0.pt"]
        assert not (model_folder / RERANKER).exists()
        with pytest.raises(ModelError, match="other settings"):
            train_reranker(folder, model_folder, replace(settings, seed=3), replace(CPU, resume=True))
        train_reranker(folder, model_folder, settings, replace(CPU, resume=True))
        assert (model_folder / RERANKER).is_file()

    def test_members_are_averaged(self, examples):
        members = [Reranker().eval(), Reranker().eval()]
        inputs = torch.from_numpy(examples.inputs(np.arange(4), np.zeros(4, np.int64)))
        with torch.no_grad():
            torch.testing.assert_close(Averaged(members).eval()(inputs), 0.5 * (members[0](inputs) + members[1](inputs)))

    def test_what_cannot_be_trained(self, folder, classifier, tmp_path):
        with pytest.raises(ModelError, match="this is a classifier"):
            train_reranker(folder, classifier, Settings(steps=1), CPU)
        with pytest.raises(ValueError, match="steps, batch, members >= 1"):
            Settings(steps=0)


class TestCalibration:
    def test_each_scan_is_two_trials(self, examples):
        logits = np.where(examples.label >= 0, 1.0, np.nan)
        found = list(cases(examples, logits))
        known = int((examples.row >= 0).sum())
        others = ((examples.label == 0) & ~examples.decoy).any(axis=1)  # where the elements are given, there may be none
        assert len(found) == known + int(others.sum())
        present = [right < len(features["similarity"]) for features, right, _ in found]
        assert sum(present) == known
        assert all(np.isfinite(np.stack(list(features.values()))).all() for features, _, _ in found)

    def test_weights_of_a_re_ranker_are_kept_by_name(self, examples):
        rng = np.random.default_rng(0)
        logits = np.where(examples.label == 1, 4.0, -4.0) + rng.normal(0.0, 1.0, examples.label.shape)
        features, right, _ = zip(*cases(examples, logits), strict=True)
        weights = fit(list(features), np.array(right), reranked=True)
        assert weights.needs_reranker
        assert weights.gate["reranked"] > 0
        again = Calibration.from_json(json.loads(json.dumps(weights.to_json())))
        for one in features:
            np.testing.assert_allclose(again.of_features(one)[0], weights.of_features(one)[0], atol=1e-3)

    def test_a_folder_without_its_re_ranker_is_refused(self, model_folder, examples):
        weights = Calibration(dict.fromkeys(RERANKED_PHASE_FEATURES, 0.0), dict.fromkeys(RERANKED_PHASE_GATE, 0.0))
        config = json.loads((model_folder / "config.json").read_text())
        (model_folder / "config.json").write_text(json.dumps({**config, "calibration": weights.to_json()}))
        with pytest.raises(ModelError, match=r"reranker\.onnx is missing"):
            Identifier(model_folder, "cpu")


class TestSearch:
    @pytest.fixture
    def with_reranker(self, model_folder):
        torch.manual_seed(2)
        export_onnx(Reranker().eval(), model_folder / RERANKER)
        return Model.load(model_folder, "cpu")

    def test_only_whole_scans_are_looked_at(self, with_reranker, library):
        scan = prepare_scan(made.scan(library, 0))
        looked_at = rank(scan, with_reranker)
        assert (looked_at.reranked != 0).all()
        plain = rank(scan, with_reranker, RankOptions(reranked=False))
        for name in RERANKED_FEATURES:
            assert not getattr(plain, name).any()
        np.testing.assert_array_equal(plain.rows, looked_at.rows)

    def test_the_likeliest_ones_alone(self, with_reranker, library, monkeypatch):
        from xrdmatch.search import reranking

        monkeypatch.setattr(reranking, "LOOKED_AT", 2)
        found = rank(prepare_scan(made.scan(library, 0)), with_reranker)
        assert (found.reranked == NOT_LOOKED_AT).sum() == len(found) - 2
        assert found.reranked[found.rows == 0] > NOT_LOOKED_AT

    def test_same_logits_as_in_training(self, with_reranker, library):
        """What the search shows the network is what training did."""
        maker = ExampleMaker(with_reranker)
        example = maker.example(made.scan(library, 2), 2, np.random.default_rng(5))
        found = rank(prepare_scan(made.scan(library, 2)), with_reranker)
        logits = dict(zip(example.rows.tolist(), with_reranker.reranker.run(example.view.inputs())[:, 0].tolist(), strict=True))
        own = int(np.flatnonzero(found.rows == 2)[0])
        assert found.reranked[own] == pytest.approx(logits[2], abs=1e-3)

    def test_own_structures_keep_it(self, with_reranker, tmp_path):
        sample = Path(__file__).parents[1] / "docs" / "samples" / "idealised-mof-5.cif"
        add([sample], tmp_path / "own", str(with_reranker.path), "cpu")
        assert (tmp_path / "own" / RERANKER).read_bytes() == (with_reranker.path / RERANKER).read_bytes()


def test_every_field_of_the_examples_is_stored(folder):
    with np.load(next(files(folder))) as data:
        assert {field.name for field in fields(Examples)} == set(data.files)
        assert data["candidates"].shape[1:] == (KEPT, POINTS)


def test_logits_of_nothing_are_no_numbers(examples):
    found = logits_of(Reranker().eval(), examples)
    assert (np.isnan(found) == (examples.label < 0)).all()


class TestCommand:
    def test_train(self, run, folder, model_folder):
        code, _, err = run("train", folder, "-o", model_folder, "--network", "reranker", "--steps", 2, "--batch", 4, "--device", "cpu", "--jobs", 1)
        assert code == 0
        assert "calibration_error" in err
        assert (model_folder / RERANKER).is_file()
        code, _, err = run("train", folder, "-o", model_folder, "--steps", 2, "--device", "cpu", "--jobs", 1)
        assert code == 1
        assert "already has a re-ranker; give --overwrite" in err

    def test_what_it_cannot_train_on(self, run, tiny_model, tmp_path):
        code, _, err = run("train", tmp_path, "-o", tiny_model, "--network", "reranker")
        assert code == 1
        assert "expected a folder of examples" in err
        code, _, err = run("train", tiny_model / "library.h5", "-o", tmp_path / "m", "--network", "reranker")
        assert code == 1
        assert "--network reranker trains on a folder of examples" in err
