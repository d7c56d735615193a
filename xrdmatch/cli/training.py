"""train: a library, an augmented set or a folder of examples to a model."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrdmatch.cli import options, outputs
from xrdmatch.cli.option_groups import grouped
from xrdmatch.errors import LibraryError, ModelError, how_to_install

if TYPE_CHECKING:
    from xrdmatch.library.reference_library import Library

#: Share of the loss of guessing from which a classifier has learned nothing.
CHANCE = 0.98

CLASSIFIER, ENCODER = "Classifier (wang2020)", "Encoder, reranker"


class Network(StrEnum):
    """What is trained."""

    wang2020 = "wang2020"
    encoder = "encoder"
    reranker = "reranker"


_TRAINS_ON = {
    Network.wang2020: "an augmented set (xrdmatch augment)",
    Network.encoder: "a library (xrdmatch simulate)",
    Network.reranker: "a folder of examples (scripts/make_reranker_examples.py)",
}


class Precision(StrEnum):
    """What a training step computes in; weights and validation stay float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


@dataclass(frozen=True)
class TrainingOptions:
    """What is trained, of what, and where to. Raises BadParameter where that cannot be."""

    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="A library for the encoder, an augmented set for wang2020 (.h5 each); a folder of examples for the reranker."
        ),
    ]
    out: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL_DIR", help="The model folder; it holds checkpoints and the log as well.")]
    network: Annotated[Network | None, typer.Option("--network", help="By default, whichever fits SOURCE.", show_default=False)] = None
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the folder's checkpoint, if there is one.")] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model, or the unfinished training, that the folder holds.")] = False
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, help="Patterns per step. By default 128 for wang2020, 256 for the encoder; scans, 96, for the reranker."),
    ] = None

    def __post_init__(self) -> None:
        if self.out.is_file():
            raise options.wrong("--output", f"{self.out} is a file; give a folder")
        if self.resume and self.overwrite:
            raise options.wrong("--overwrite", "cannot be combined with --resume: one starts again, the other goes on")


@dataclass(frozen=True)
class ClassifierOptions:
    """How a classifier is trained. Raises BadParameter where a number is out of its range."""

    epochs: Annotated[int, typer.Option("--epochs", min=1, rich_help_panel=CLASSIFIER, help="Passes over the set.")] = 50
    lr: Annotated[float, typer.Option("--lr", rich_help_panel=CLASSIFIER, help="Learning rate of Adam.")] = 1e-3
    validation: Annotated[float, typer.Option("--validation", rich_help_panel=CLASSIFIER, help="Share of patterns held back for validation.")] = 0.2
    precision: Annotated[
        Precision | None,
        typer.Option(
            "--precision",
            rich_help_panel=CLASSIFIER,
            help="bfloat16, the default on a GPU, is faster where the hardware supports it.",
            show_default=False,
        ),
    ] = None
    library: Annotated[
        Path | None,
        typer.Option("--library", metavar="LIB.h5", rich_help_panel=CLASSIFIER, help="The structures behind the labels; identify needs them."),
    ] = None

    def __post_init__(self) -> None:
        if not 0.0 < self.validation < 1.0:
            raise options.wrong("--validation", f"expected a share between 0 and 1, got {self.validation:g}")
        if not 0.0 <= self.lr < math.inf:
            raise options.wrong("--lr", f"expected a number, 0 or more, got {self.lr:g}")


@dataclass(frozen=True)
class RunOptions:
    """Where a training runs, and how much is said of it."""

    seed: options.SeedOption = 0
    device: options.DeviceOption = options.Device.auto
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network first (torch.compile): takes about a minute, and pays on GPUs.")
    ] = False
    jobs: options.ThreadsOption = None
    quiet: options.QuietOption = False


@grouped()
def train(
    context: typer.Context,
    training: TrainingOptions,
    classifier: ClassifierOptions,
    run: RunOptions,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, rich_help_panel=ENCODER, help="Training steps. By default 9000, 6000 for the reranker.", show_default=False),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            "--members", min=1, rich_help_panel=ENCODER, help="Networks of a reranker, whose answers are averaged. By default 2.", show_default=False
        ),
    ] = None,
) -> None:
    """Train a model: a library becomes an encoder, an augmented set the classifier of Wang et al. 2020, examples a re-ranker.

    A re-ranker goes into the folder of a model with an encoder, whose probabilities are fitted anew.

    Ctrl-C saves a checkpoint; --resume continues from it. A folder that holds a model, or another training, is left alone unless you give
    --overwrite. Needs the train extra. Under torchrun several processes or GPUs share the work.
    """
    source, out = training.source, training.out
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started; the others train and say nothing
    messages = options.Messages(run.quiet or not first)
    kind = _network_for(source, training.network)
    options.refuse(context, ENCODER if kind is Network.wang2020 else CLASSIFIER, f"{source} trains {kind.value}")
    try:
        if kind is Network.wang2020:
            _classifier(training, classifier, run, messages)
        elif kind is Network.reranker:
            _reranker(training, (steps, members), run, messages)
        else:
            _encoder(training, steps, run, messages)
        if first and kind is not Network.reranker:
            outputs.draw_learning(out, messages)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnx"):
            raise
        raise ModelError(f"training needs {error.name}, which is not installed: {how_to_install('torch onnx', 'train')}") from error


def _network_for(source: Path, asked: Network | None) -> Network:
    """The network that this file or folder trains. Raises LibraryError where it is neither a library nor an augmented set nor examples."""
    from xrdmatch.library import library_file
    from xrdmatch.training import training_set

    if source.is_dir() and asked in (None, Network.reranker):
        if not any(source.glob("examples-*.npz")):
            raise LibraryError(f"{source}: expected a folder of examples (scripts/make_reranker_examples.py), found none")
        return Network.reranker
    formats = {training_set.FORMAT: Network.wang2020, library_file.FORMAT: Network.encoder}
    fits = formats.get(library_file.format_of(source))
    if fits is None:
        raise LibraryError(f"{source}: expected a library (xrdmatch simulate) or an augmented set (xrdmatch augment)")
    if asked is not None and asked is not fits:
        raise LibraryError(f"{source}: --network {asked.value} trains on {_TRAINS_ON[asked]}, but this file is for {fits.value}")
    return fits


def _run(training: TrainingOptions, run: RunOptions) -> Any:
    """What both trainings are told of where and how they run."""
    from xrdmatch.training.run import RunOptions

    return RunOptions(run.device.value, run.jobs, run.compiled, training.resume, training.overwrite)


def _classifier(training: TrainingOptions, asked: ClassifierOptions, run: RunOptions, messages: options.Messages) -> None:
    from xrdmatch.training.classifier import Settings, train_classifier
    from xrdmatch.training.networks import has_half_precision, pick_device
    from xrdmatch.training.training_set import AugmentedSet

    source, out, precision = training.source, training.out, asked.precision
    if precision is Precision.bfloat16 and not has_half_precision(pick_device(run.device.value)):
        messages.warn("--precision bfloat16: this processor has no hardware for it; --precision float32 would be several times faster")
    labels = _label_entries(source, asked.library) if asked.library is not None else None
    if labels is None:
        messages.warn("no --library given: the model will hold no structures, and identify cannot use it")
    settings = Settings(
        batch=training.batch or Settings.batch,
        lr=asked.lr,
        seed=run.seed,
        validation=asked.validation,
        precision=precision.value if precision is not None else None,
        epochs=asked.epochs,
    )
    with options.progress(messages, "training", None) as bar:
        trained = train_classifier(source, out, settings, _run(training, run), labels, _epochs_shown(bar, messages))
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in trained.metrics.items() if name.startswith("val_"))
    messages.note(f"{out}: {trained.epochs} epochs; {metrics}; torch and ONNX differ by {trained.parity:.1g}")
    with AugmentedSet(source) as data:
        chance = math.log(len(data.ids))
    if chance > 0 and trained.metrics["val_loss"] > CHANCE * chance:
        messages.warn(
            f"the network learned nothing: its loss is no better than chance ({chance:.2f}); try --lr 0.0003, another --seed, or less noise"
        )


def _label_entries(source: Path, library: Path) -> Library:
    """The entries behind an augmented set's labels, in their order. Raises LibraryError where the library lacks one."""
    from xrdmatch.library.reference_library import Library
    from xrdmatch.training.training_set import AugmentedSet

    entries = Library.load(library)
    index = entries.index()
    with AugmentedSet(source) as data:
        missing = [name for name in data.ids if name not in index]
        if missing:
            raise LibraryError(f"{library}: {len(missing)} labels of {source} are not in it, for example {missing[0]}")
        return entries.subset([index[name] for name in data.ids])


def _epochs_shown(bar: Any, messages: options.Messages) -> Callable[[Any], None]:
    accuracy = ""

    def show(now: Any) -> None:
        nonlocal accuracy
        if now.metrics:
            accuracy = f"  top-1 {100 * now.metrics['val_top1']:.1f} %"
        bar.update(
            total=now.epochs * now.batches,
            completed=now.epoch * now.batches + now.batch,
            description=f"epoch {now.epoch + 1}/{now.epochs}  loss {now.loss:.3f}{accuracy}",
            rate=f"{now.rate:.0f} patterns/s",
        )
        if now.metrics and messages.live:
            said = now.metrics
            messages.note(
                f"epoch {now.epoch + 1}: loss {said['loss']:.4f}, validation {said['val_loss']:.4f}, "
                f"top-1 {100 * said['val_top1']:.1f} %, top-5 {100 * said['val_top5']:.1f} %, {now.rate:.0f} patterns/s"
            )

    return show


def _reranker(training: TrainingOptions, size: tuple[int | None, int | None], run: RunOptions, messages: options.Messages) -> None:
    """size: steps and members, as they were asked for."""
    from xrdmatch.training.reranker import Settings, train_reranker

    out = training.out
    settings = Settings(size[0] or Settings.steps, training.batch or Settings.batch, size[1] or Settings.members, seed=run.seed)
    with options.progress(messages, "training", settings.steps * settings.members, "steps") as bar:
        made = train_reranker(
            training.source,
            out,
            settings,
            _run(training, run),
            lambda now: bar.update(completed=now["step"], description=f"loss {now['loss']:.3f}"),
        )
    messages.note(f"{out}: " + ", ".join(f"{name} {value:.4g}" for name, value in made.items() if isinstance(value, float)))


def _encoder(training: TrainingOptions, steps: int | None, run: RunOptions, messages: options.Messages) -> None:
    from xrdmatch.training.encoder import Settings, train_model

    out, settings = training.out, Settings(steps=steps or Settings.steps, batch=training.batch or Settings.batch, seed=run.seed)
    with options.progress(messages, "training", settings.steps, "steps") as bar:
        recall = ""

        def show(now: Mapping[str, float]) -> None:
            nonlocal recall
            recall = f"  recall@5 {now['recall@5']:.3f}" if "recall@5" in now else recall
            last = "  now exporting and calibrating" if now["step"] == settings.steps else ""
            bar.update(completed=now["step"], description=f"loss {now['loss']:.3f}{recall}{last}")

        try:
            made = train_model(training.source, out, settings, _run(training, run), progress=show)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"training stopped; {out / 'checkpoint.pt'} is saved, go on with --resume") from error
    messages.note(f"{out}: " + ", ".join(f"{name} {value:.4g}" for name, value in made.items() if isinstance(value, float)))
