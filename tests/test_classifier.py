"""Training: that it learns, resumes exactly, and leaves a model folder that answers as the network did."""

import csv
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from conftest import SET_GRID as GRID  # noqa: E402
from conftest import SET_POINTS as POINTS  # noqa: E402
from conftest import SET_ROWS as ROWS  # noqa: E402

from xrdmatch.errors import LibraryError, ModelError  # noqa: E402
from xrdmatch.model.folder import Model  # noqa: E402
from xrdmatch.model.session import open_session  # noqa: E402
from xrdmatch.training import augmentation, classifier, networks, training_set  # noqa: E402
from xrdmatch.training.distributed import Ranks  # noqa: E402
from xrdmatch.training.run import CHECKPOINT, RunOptions, load_checkpoint, sha256  # noqa: E402
from xrdmatch.training.training_set import AugmentedSet, Rows, write_set  # noqa: E402

CLASSES = 4


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(source, folder, progress=None, **options):
    """options: of the settings and of the run."""
    settings, asked = {"epochs": 2, "batch": 32}, {"threads": 1, "device": "cpu"}
    for name, value in options.items():
        (settings if name in classifier.Settings.__dataclass_fields__ else asked)[name] = value
    return classifier.train_classifier(source, folder, classifier.Settings(**settings), RunOptions(**asked), progress=progress)


def weights(folder):
    return load_checkpoint(folder / CHECKPOINT)["weights"]


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def stop_after(batches):
    """A progress callback that presses Ctrl-C when so many batches are done."""
    count = 0

    def callback(state):
        nonlocal count
        count += state.metrics is None
        if count == batches and state.metrics is None:
            signal.raise_signal(signal.SIGINT)

    return callback


@pytest.fixture(scope="module")
def straight(source, tmp_path_factory):
    """Three epochs without a break."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, run(source, folder, epochs=3)


def test_a_loss_asked_for_now_and_then_is_the_same(source, tmp_path, monkeypatch, straight):
    """The path of a GPU, where the loss stays on the device for some batches."""
    monkeypatch.setattr(classifier, "ask_after", lambda device, ranks: 2)
    told = []
    result = run(source, tmp_path, epochs=3, progress=told.append)
    assert result.metrics["val_loss"] == straight[1].metrics["val_loss"]
    assert result.metrics["loss"] == pytest.approx(straight[1].metrics["loss"], rel=1e-6)
    assert same(weights(tmp_path), weights(straight[0]))
    batches = [state.batch for state in told if state.metrics is None and state.epoch == 0]
    assert batches == sorted({*range(2, told[0].batches + 1, 2), told[0].batches})


def test_compiled_by_torch(source, tmp_path, monkeypatch):
    """That the compiled network is the one that is trained; torch's compiler itself is not called."""
    calls = []

    def compiled(network):
        return lambda *given: calls.append(len(given[0])) or network(*given)

    monkeypatch.setattr(torch, "compile", compiled)
    run(source, tmp_path, epochs=1, compiled=True)
    assert sum(calls) == round(0.8 * ROWS)


def test_which_precision(monkeypatch):
    cpu = torch.device("cpu")
    assert networks.half_precision(cpu) is torch.bfloat16
    units = {"avx2": True, "avx512_bf16": False, "amx_bf16": False}
    for more, expected in (({}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda more=more: units | more, raising=False)
        assert networks.fast_precision(cpu) is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as before torch had it
    assert networks.fast_precision(cpu) is torch.float32
    for has, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert networks.half_precision(torch.device("cuda")) is expected
    assert classifier.ask_after(torch.device("cpu"), Ranks()) == 1
    assert classifier.ask_after(torch.device("cuda"), Ranks()) == classifier.ASK
    assert classifier.ask_after(torch.device("cuda"), Ranks(0, 2, 0, 2)) == 1


@pytest.mark.gpu
def test_it_learns_on_cuda(source, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} finds no GPU")
    assert run(source, tmp_path, epochs=12, lr=2e-3, device="cuda").metrics["val_top1"] > 0.9


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns(source, tmp_path, precision):
    result = run(source, tmp_path, epochs=12, lr=2e-3, precision=precision)
    assert result.metrics["val_top1"] > 0.8
    assert result.parity < 1e-5


def test_folder_holds_model_config_log_and_checkpoint(source, straight):
    folder, result = straight
    assert sorted(p.name for p in folder.iterdir() if not p.name.endswith("lock")) == ["checkpoint.pt", "config.json", "model.onnx", "training.csv"]
    config = json.loads((folder / "config.json").read_text())
    assert config["kind"] == "classifier"
    assert config["network"] == "wang2020"
    assert config["labels"] == list("abcd")
    assert config["recipe"]["kind"] == "minmax"
    assert config["recipe"]["grid"] == GRID
    assert config["provenance"]["data"]["sha256"] == sha256(source)
    assert config["provenance"]["settings"]["seed"] == 0
    assert config["metrics"]["onnx_parity"] == result.parity < 1e-5
    rows = list(csv.DictReader((folder / "training.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert result.metrics["epoch"] == float(best["epoch"])
    assert all(float(row["patterns_per_second"]) > 0 for row in rows)


def test_exported_network_gives_the_logged_accuracy(source, straight):
    """model.onnx, fed with the validation rows as they lie in the file, is right as often as the log of its epoch says: scaling is inside."""
    folder, result = straight
    session = open_session(folder / "model.onnx", "cpu", 1)
    with AugmentedSet(source) as data:
        x, y = next(Rows(data, 0.2, 0).validation(1000))
    assert np.mean(session.run(x).argmax(axis=1) == y) == pytest.approx(result.metrics["val_top1"])


@pytest.mark.parametrize("batches", [1, 4, 6, 9])
def test_an_interrupted_run_resumes_exactly(source, straight, tmp_path, batches):
    """Wherever Ctrl-C comes (6 batches are one epoch), the resumed run ends with the weights and the log of one that ran through."""
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        run(source, tmp_path, epochs=3, progress=stop_after(batches))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not (tmp_path / "model.onnx").exists()
    result = run(source, tmp_path, epochs=3, resume=True)
    assert same(weights(tmp_path), weights(straight[0]))
    for name in ("epoch", "loss", "val_loss", "val_top1"):
        assert result.metrics[name] == pytest.approx(straight[1].metrics[name], rel=1e-12)


def test_a_finished_run_can_go_on(source, straight, tmp_path):
    run(source, tmp_path, epochs=1)
    run(source, tmp_path, epochs=3, resume=True)
    assert same(weights(tmp_path), weights(straight[0]))


def test_resume_without_a_checkpoint_starts(source, straight, tmp_path):
    run(source, tmp_path, epochs=3, resume=True)
    assert same(weights(tmp_path), weights(straight[0]))


def test_same_seed_same_weights_other_seed_other_split(source, straight, tmp_path):
    run(source, tmp_path / "a", epochs=3)
    assert same(weights(tmp_path / "a"), weights(straight[0]))
    with AugmentedSet(source) as data:
        one, again, other = (Rows(data, 0.25, seed).held for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert one.sum() == other.sum() == 60
    assert (one != other).any()


def test_checkpoints_are_guarded(source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path, progress=stop_after(2))
    with pytest.raises(ModelError, match=r"already holds an unfinished training; give --resume .* --overwrite .* another folder"):
        run(source, tmp_path)
    with pytest.raises(ModelError, match="batch 32, now it is 16"):
        run(source, tmp_path, batch=16, resume=True)
    other = tmp_path / "other.h5"
    write_set(other, [(np.zeros((40, POINTS), np.float32), np.zeros(40, np.int32))], list("abcd"), POINTS, {"grid": GRID})
    with pytest.raises(ModelError, match="another augmented set"):
        run(other, tmp_path, resume=True)
    torch.save({"encoder": {}, "step": 3}, tmp_path / CHECKPOINT)
    with pytest.raises(ModelError, match="no training of wang2020"):
        run(source, tmp_path, resume=True)
    (tmp_path / CHECKPOINT).write_bytes(b"broken")
    with pytest.raises(ModelError, match="damaged"):
        run(source, tmp_path, resume=True)
    assert run(source, tmp_path, overwrite=True).epochs == 2


def test_a_model_is_replaced_only_where_that_is_asked_for(source, straight, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(straight[0], folder)
    (folder / "README.md").write_text("the card of the model that was there")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("lock")}
    with pytest.raises(ModelError, match=r"already holds a model; give --resume .* --overwrite .* another folder"):
        run(source, folder, seed=1)
    (folder / CHECKPOINT).rename(tmp_path / "elsewhere")
    for resume in (False, True):  # nothing to go on with: resuming would replace it as well
        with pytest.raises(ModelError, match=r"already holds a model; give --overwrite"):
            run(source, folder, seed=1, resume=resume)
    (tmp_path / "elsewhere").rename(folder / CHECKPOINT)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("lock")} == before
    run(source, folder, seed=1, overwrite=True)
    assert Model.load(folder, "cpu").config["provenance"]["settings"]["seed"] == 1
    assert not (folder / "README.md").exists()


def test_a_failing_parity_fails_the_training(source, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "PARITY", -1.0)
    with pytest.raises(ModelError, match="differs"):
        run(source, tmp_path, epochs=1)
    assert not (tmp_path / "config.json").exists()


def test_bad_arguments_are_named(source, tmp_path):
    with pytest.raises(ValueError, match="wang2020"):
        run(source, tmp_path, network="resnet")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no usable GPU"):
            run(source, tmp_path, device="cuda")
    tiny = tmp_path / "tiny.h5"
    write_set(tiny, [(np.zeros((1, POINTS), np.float32), np.zeros(1, np.int32))], ["a"], POINTS, {"grid": GRID})
    with pytest.raises(LibraryError, match="too few"):
        run(tiny, tmp_path)
    write_set(tiny, [(np.zeros((20, 300), np.float32), np.zeros(20, np.int32))], ["a"], 300, {"grid": GRID})
    with pytest.raises(LibraryError, match="300 points"):
        run(tiny, tmp_path)


@pytest.mark.parametrize("limit", [0, 2 << 30])
def test_every_training_row_comes_once_an_epoch_in_a_new_order(source, monkeypatch, limit):
    """Read in blocks or held in memory."""
    monkeypatch.setattr(training_set, "MEMORY_LIMIT", limit)
    monkeypatch.setattr(training_set, "BLOCK_ROWS", 64)
    monkeypatch.setattr(training_set, "READ_ROWS", 7)
    with AugmentedSet(source) as data:
        rows, everything = Rows(data, 0.2, 3), data.read(0, ROWS)
        assert (rows.memory is None) == (limit == 0)
        orders = []
        for epoch in (0, 0, 1):
            parts = list(rows.training(epoch, 32))
            assert [len(y) for _, y in parts] == [32] * 6
            assert len(parts) == rows.batches(32)
            orders.append(np.concatenate([x[:, 0] for x, _ in parts]))
        np.testing.assert_array_equal(orders[0], orders[1])
        assert (orders[0] != orders[2]).any()
        for order in orders:
            wanted = everything[~rows.held]
            np.testing.assert_array_equal(order[np.lexsort(order.T)], wanted[np.lexsort(wanted.T)])
        x, y = next(rows.validation(1000))
        np.testing.assert_array_equal(x[:, 0], everything[rows.held][: len(y)])
        np.testing.assert_array_equal(y, data.labels[rows.held][: len(y)])
        low, high = rows.limits()
        np.testing.assert_array_equal(low[0], wanted.min(axis=0))
        np.testing.assert_array_equal(high[0], wanted.max(axis=0))


def test_large_sets_are_mixed_well(source, monkeypatch):
    """Read in blocks, a batch still holds rows from all over the file."""
    monkeypatch.setattr(training_set, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(training_set, "BLOCK_ROWS", 96)
    monkeypatch.setattr(training_set, "READ_ROWS", 6)
    with AugmentedSet(source) as data:
        everything = {row.tobytes(): i for i, row in enumerate(data.read(0, ROWS))}
        rows = Rows(data, 0.2, 0)
        spreads = [np.std([everything[row.tobytes()] for row in x[:, 0]]) for epoch in range(5) for x, _ in rows.training(epoch, 32)]
    assert np.mean(spreads) > 0.85 * ROWS / np.sqrt(12)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


def test_a_checkpoint_that_holds_code_is_refused_and_nothing_is_run(source, tmp_path):
    folder, sprung = tmp_path / "model", tmp_path / "sprung"
    folder.mkdir()
    torch.save({"epoch": Trap(sprung)}, folder / "checkpoint.pt")
    torch.load(folder / "checkpoint.pt", weights_only=False)
    assert sprung.exists(), "the trap itself has to work"
    sprung.unlink()
    with pytest.raises(ModelError, match="checkpoint is damaged"):
        run(source, folder, epochs=1, resume=True)
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: RunOptions(resume=True, overwrite=True), "give one of them"),
        (lambda: RunOptions(threads=0), "threads >= 1"),
        (lambda: classifier.Settings(epochs=0), "epochs"),
        (lambda: classifier.Settings(validation=1.0), "validation"),
        (lambda: augmentation.ShuffleOptions(copies=0), "one copy"),
        (lambda: augmentation.PhysicsOptions(copies=0), "one copy"),
    ],
)
def test_options_are_checked_when_they_are_made(made, said):
    with pytest.raises(ValueError, match=said):
        made()
