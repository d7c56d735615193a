"""Training an encoder, a few steps of it."""

from __future__ import annotations

import csv
import json
import signal
from dataclasses import replace

import conftest
import made
import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.errors import LibraryError, ModelError
from xrdmatch.formats.own_results import own_result
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.training.effects_numpy import Hardness

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from xrdmatch.model.folder import Model  # noqa: E402
from xrdmatch.search.identify import Identifier  # noqa: E402
from xrdmatch.training import encoder as module  # noqa: E402
from xrdmatch.training.encoder import Settings, Stream, held_out, like_patterns, train_encoder, train_model  # noqa: E402
from xrdmatch.training.run import RunOptions  # noqa: E402

RECIPE = Recipe(grid=Grid(4.0, 36.0, 0.08))
SETTINGS = Settings(steps=6, batch=8, warmup=2, dim=16)


@pytest.fixture(scope="module")
def six():
    """The made-up structures and a twin of the first under another name."""
    library = conftest.made_up_library()
    twin = replace(library.entry(0), id="FFFFFF_clean", name="twin")
    return library.joined(Library.from_entries([twin]))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The log's recall is asked with fewer patterns than it should be."""
    full = module.recall
    monkeypatch.setattr(module, "recall", lambda *given, number=24: full(*given, number=number))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def states_equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


class TestStream:
    def stream(self, library, **changes):
        settings = replace(SETTINGS, **changes)
        return Stream(library, like_patterns(library, RECIPE), RECIPE, settings)

    def test_a_step_is_always_the_same(self, six):
        first, again = self.stream(six)[3], self.stream(six)[3]
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])
        for other in (self.stream(six)[4], self.stream(six, seed=1)[3]):
            assert not torch.equal(first[0], other[0])

    def test_shapes_labels_and_length(self, six):
        stream = self.stream(six, batch=32)
        assert len(stream) == 6
        inputs, target = stream[0]
        assert inputs.shape == (32, RECIPE.channels, RECIPE.grid.size)
        assert inputs.dtype == torch.float32
        assert torch.isfinite(inputs).all()
        assert set(target.tolist()) <= set(range(5))

    def test_rows_come_evenly_and_only_from_those_given(self, six):
        labels = like_patterns(six, RECIPE)
        stream = Stream(six, np.where(np.isin(np.arange(6), [1, 3]), labels, -1), RECIPE, replace(SETTINGS, batch=64))
        seen = np.concatenate([stream[step][1].numpy() for step in range(6)])
        assert set(seen.tolist()) == {labels[1], labels[3]}
        assert np.mean(seen == labels[1]) == pytest.approx(0.5, abs=0.1)

    def test_share_of_clean_patterns(self, six):
        """Clean patterns cover the whole range; a scan that is cut does not."""
        for clean in (0.0, 0.5, 1.0):
            stream = Stream(six, like_patterns(six, RECIPE), RECIPE, replace(SETTINGS, batch=40, clean=clean), [Hardness(cut=1.0)])
            whole = np.mean([(stream[step][0][:, 1] == 1).all(dim=1).float().mean().item() for step in range(3)])
            assert whole == pytest.approx(clean, abs=0.05)

    def test_each_level_makes_an_equal_part(self, six):
        """Two levels that differ in the measured range alone: the first measures all of it, the second never does."""
        levels = (Hardness(cut=0.0), Hardness(cut=1.0))
        for batch, clean, whole in ((40, 0.0, 20), (41, 0.0, 21), (40, 0.25, 25), (1, 0.0, 1)):
            settings = replace(SETTINGS, batch=batch, clean=clean)
            inputs, target = Stream(six, like_patterns(six, RECIPE), RECIPE, settings, levels)[0]
            assert len(inputs) == len(target) == batch
            assert (inputs[:, 1] == 1).all(dim=1).sum() == whole


class TestGroups:
    def test_duplicates_are_one(self, six):
        group = like_patterns(six, RECIPE)
        assert group.tolist() == [0, 1, 2, 3, 4, 0]

    def test_threshold(self, six):
        assert len(set(like_patterns(six, RECIPE, threshold=-1.0).tolist())) == 1
        rng = np.random.default_rng(0)
        entry = six.entry(1)
        for scatter, same in ((0.02, True), (2.5, False)):
            other = replace(entry, id="other", intensity=entry.intensity * np.exp(rng.normal(0.0, scatter, entry.intensity.size)))
            group = like_patterns(six.joined(Library.from_entries([other])), RECIPE)
            assert (group[-1] == group[1]) == same

    def test_numbers_have_no_gaps(self, six):
        for threshold in (0.2, 0.5, 0.8, 0.95):
            group = like_patterns(six, RECIPE, threshold)
            assert sorted(set(group.tolist())) == list(range(group.max() + 1))


class TestHeldOut:
    def test_no_group_is_on_both_sides(self, six, monkeypatch):
        monkeypatch.setattr(module, "HELD_OUT", 0.4)
        labels = like_patterns(six, RECIPE)
        split = 0
        for seed in range(10):
            trained, checked = module._split(labels, seed)
            if len(trained) == len(six):
                continue
            split += 1
            assert sorted([*trained, *checked]) == list(range(6))
            assert not set(labels[trained]) & set(labels[checked])
            np.testing.assert_array_equal(held_out(six, RECIPE, replace(SETTINGS, seed=seed)), checked)
        assert split > 5

    def test_share(self):
        shares = [len(module._split(np.arange(5000), seed)[1]) / 5000 for seed in range(5)]
        assert np.mean(shares) == pytest.approx(module.HELD_OUT, abs=0.005)

    @pytest.mark.parametrize("share", [0.0, 1.0])
    def test_all_rows_where_none_or_every_group_would_be(self, six, monkeypatch, share):
        monkeypatch.setattr(module, "HELD_OUT", share)
        trained, checked = module._split(like_patterns(six, RECIPE), 0)
        assert trained.tolist() == checked.tolist() == list(range(6))


class TestTraining:
    def train(self, library, out, settings=SETTINGS, progress=None, **options):
        return train_encoder(library, out, settings, RunOptions(**{"device": "cpu", "threads": 1, **options}), RECIPE, progress)

    def test_writes_checkpoint_and_log(self, six, tmp_path):
        seen = []
        self.train(six, tmp_path / "out", progress=seen.append)
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checkpoint.pt", "training.csv"]
        with (tmp_path / "out" / "training.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["step"] for row in rows] == ["6"]
        assert {"seconds", "loss", "recall@1", "recall@200"} <= set(rows[0])
        assert rows[0]["recall@200"] == "1.0"
        assert own_result((tmp_path / "out" / "training.csv").read_bytes())
        assert seen[-1]["step"] == 6

    def test_a_new_run_starts_a_new_log(self, six, tmp_path):
        for _ in range(2):
            self.train(six, tmp_path)
        assert len((tmp_path / "training.csv").read_text().splitlines()) == 2

    def test_two_runs_agree(self, six, tmp_path):
        assert states_equal(self.train(six, tmp_path / "a"), self.train(six, tmp_path / "b"))

    def test_learns(self, six, tmp_path):
        """The running mean of the loss, over several seeds."""
        for seed in range(3):
            losses = []
            settings = replace(SETTINGS, steps=60, batch=16, seed=seed)
            self.train(six, tmp_path / str(seed), settings, progress=lambda now, losses=losses: losses.append(now["loss"]))
            assert losses[-1] < 0.75 * losses[0]

    def test_compiled_by_torch(self, six, tmp_path, monkeypatch):
        """That the compiled module is the one that is trained, and weights keep their names; torch's compiler itself is not called."""
        calls = []
        monkeypatch.setattr(torch, "compile", lambda module: lambda *given: calls.append(1) or module(*given))
        assert states_equal(self.train(six, tmp_path / "a", compiled=True), self.train(six, tmp_path / "b"))
        assert len(calls) == 6

    def test_scaled_gradients_train_as_plain_ones(self, six, tmp_path, monkeypatch):
        """The path of a GPU without bfloat16, on the CPU: float16 in its range, with scaled gradients."""
        whole = torch.amp.GradScaler
        made = []
        monkeypatch.setattr(module, "fast_precision", lambda device: torch.float16)
        monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: made.append(enabled) or whole(device, init_scale=256.0, enabled=enabled))
        losses = []
        self.train(six, tmp_path, replace(SETTINGS, steps=60, batch=16), progress=lambda now: losses.append(now["loss"]))
        assert made == [True]
        assert losses[-1] < 0.75 * losses[0]

    @pytest.mark.gpu
    def test_on_cuda(self, six, tmp_path):
        if not torch.cuda.is_available():
            pytest.skip(f"torch {torch.__version__} finds no GPU")
        losses = []
        settings = replace(SETTINGS, steps=60, batch=16)
        encoder = self.train(six, tmp_path, settings, device="cuda", progress=lambda now: losses.append(now["loss"]))
        assert losses[-1] < 0.75 * losses[0]
        assert next(encoder.parameters()).device.type == "cuda"

    def test_resumed_ends_like_a_straight_run(self, six, tmp_path, monkeypatch):
        """Weights, batch normalisation's averages and AdamW's moments are in the checkpoint, and batches depend on their step alone."""
        straight = self.train(six, tmp_path / "straight")
        self.interrupted(six, tmp_path / "parts", monkeypatch, at=2)
        assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 3
        resumed = self.train(six, tmp_path / "parts", resume=True)
        assert states_equal(straight, resumed)
        assert states_equal(resumed, self.train(six, tmp_path / "parts", resume=True))  # nothing is left to do

    def interrupted(self, library, out, monkeypatch, at):
        whole = Stream.__getitem__

        def stop(self, step):
            if step == at:
                signal.raise_signal(signal.SIGINT)  # the step is finished all the same
            return whole(self, step)

        with monkeypatch.context() as patch:
            patch.setattr(Stream, "__getitem__", stop)
            with pytest.raises(KeyboardInterrupt):
                self.train(library, out)

    def test_interrupt_saves_after_the_first_step(self, six, tmp_path, monkeypatch):
        self.interrupted(six, tmp_path, monkeypatch, at=0)
        assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 1
        assert not list(tmp_path.glob("*.part"))
        self.train(six, tmp_path, resume=True)
        assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 6

    def test_a_checkpoint_of_something_else(self, six, tmp_path):
        self.train(six, tmp_path)
        with pytest.raises(ModelError, match="another library"):
            self.train(six.subset([0, 1, 2]), tmp_path, resume=True)
        with pytest.raises(ModelError, match=r"begun with batch \d+, not \d+; .* --overwrite"):
            self.train(six, tmp_path, replace(SETTINGS, batch=SETTINGS.batch + 1), resume=True)
        torch.save({"fingerprint": "a", "epoch": 1}, tmp_path / "checkpoint.pt")
        with pytest.raises(ModelError, match="another library or other settings"):
            self.train(six, tmp_path, resume=True)
        (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
        with pytest.raises(ModelError, match="damaged"):
            self.train(six, tmp_path, resume=True)

    def test_resume_without_a_checkpoint_starts(self, six, tmp_path):
        assert states_equal(self.train(six, tmp_path / "a", resume=True), self.train(six, tmp_path / "b"))

    def test_recall_counts_ranks_of_the_own_entry(self, six, tmp_path):
        encoder = self.train(six, tmp_path)
        shares = module.recall(encoder, six, np.arange(6), RECIPE, Hardness())
        values = [shares[f"recall@{k}"] for k in (1, 5, 20, 200)]
        assert values == sorted(values)
        assert values[0] >= 0.0
        assert values[2:] == [1.0, 1.0]

    def test_learning_rate_warms_up_and_falls(self):
        settings = Settings(steps=100, warmup=10)
        rates = [module._schedule(step, settings) for step in range(100)]
        assert rates[0] == pytest.approx(0.1)
        assert max(rates) == pytest.approx(1.0)
        assert (np.diff(rates[:10]) > 0).all()
        assert (np.diff(rates[10:]) < 0).all()
        assert rates[-1] == pytest.approx(0.02, abs=0.01)
        assert module._schedule(0, Settings(steps=1, warmup=1)) == 1.0


class TestModelFolder:
    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, tmp_path_factory, six):
        folder = tmp_path_factory.mktemp("train")
        six.save(folder / "six.h5")
        metrics = train_model(folder / "six.h5", folder / "model", Settings(steps=6, batch=8, seed=1), RunOptions("cpu", threads=1), scans=12)
        return folder / "model", metrics

    def test_metrics(self, trained):
        folder, metrics = trained
        stored = json.loads((folder / "config.json").read_text())
        assert metrics["held_out_entries"] == 0  # too small a library to spare any, and it says so
        assert metrics["onnx_parity"] < 1e-3
        assert metrics["recall@200"] == 1.0
        assert {key: value for key, value in metrics.items() if key != "seconds"} == stored["metrics"]
        json.dumps(stored, allow_nan=False)
        assert stored["provenance"]["settings"]["steps"] == 6
        assert stored["provenance"]["data"]["entries"] == 6
        assert len(stored["provenance"]["data"]["sha256"]) == 64

    def test_identify_runs_with_it(self, trained, six):
        folder, _ = trained
        model = Model.load(folder, "cpu")
        model.ready()
        assert model.vectors.shape == (6, Settings().dim)
        np.testing.assert_allclose(np.linalg.norm(model.vectors, axis=1), 1.0, atol=2e-3)
        identifier = Identifier(model)
        for row in range(1, 5):
            answer = identifier.identify(made.scan(six, row))
            assert max(answer.matches, key=lambda match: match.similarity).id == six.id[row]
            assert all(0.0 <= match.probability <= 1.0 for match in answer.matches)

    def test_an_unfit_library(self, tmp_path):
        with pytest.raises(LibraryError, match="no such file"):
            train_model(tmp_path / "none.h5", tmp_path / "out")
        Library.from_entries([]).save(tmp_path / "empty.h5")
        with pytest.raises(LibraryError, match="empty"):
            train_model(tmp_path / "empty.h5", tmp_path / "out")
        assert not (tmp_path / "out").exists()
