"""train, add and evaluate: models made, extended and judged."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrdmatch.cli import options, outputs
from xrdmatch.errors import LibraryError, ModelError, how_to_install

if TYPE_CHECKING:
    from xrdmatch.evaluation.baselines import Compared
    from xrdmatch.model.folder import Model

#: Share of the loss of guessing from which a classifier has learned nothing.
CHANCE = 0.98

CLASSIFIER, ENCODER = "Classifier (wang2020)", "Encoder"


class Network(StrEnum):
    """What is trained."""

    wang2020 = "wang2020"
    encoder = "encoder"


class Precision(StrEnum):
    """What a training step computes in; weights and validation stay float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def train(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A library for the encoder, an augmented set for wang2020 (.h5 each).")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL_DIR", help="The model folder; it holds checkpoints and the log as well.")],
    network: Annotated[Network | None, typer.Option("--network", help="By default what fits the source.", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the folder's checkpoint, if there is one.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model, or the unfinished training, that the folder holds.")] = False,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Patterns per step. By default 128 for wang2020, 256 for the encoder.")] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, rich_help_panel=CLASSIFIER, help="Passes over the set.")] = 50,
    lr: Annotated[float, typer.Option("--lr", rich_help_panel=CLASSIFIER, help="Learning rate of Adam.")] = 1e-3,
    validation: Annotated[float, typer.Option("--validation", rich_help_panel=CLASSIFIER, help="Share of patterns held back for validation.")] = 0.2,
    precision: Annotated[
        Precision | None,
        typer.Option(
            "--precision",
            rich_help_panel=CLASSIFIER,
            help="bfloat16, the default on a GPU, is faster where the hardware supports it.",
            show_default=False,
        ),
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option("--library", metavar="LIB.h5", rich_help_panel=CLASSIFIER, help="The structures behind the labels; identify needs them."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, rich_help_panel=ENCODER, help="Training steps.")] = 9000,
    seed: options.SeedOption = 0,
    device: options.DeviceOption = options.Device.auto,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the network first (torch.compile): a minute or so; for GPUs.")] = False,
    jobs: options.ThreadsOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Train a model: a library becomes an encoder, an augmented set the classifier of Wang et al. 2020.

    Ctrl-C saves a checkpoint; --resume continues from it. A folder that holds a model, or another training, is left alone unless you give
    --overwrite. Needs the train extra. Under torchrun several processes or GPUs share the work.
    """
    if not 0.0 < validation < 1.0:
        raise options.wrong("--validation", f"expected a share between 0 and 1, got {validation:g}")
    if not 0.0 <= lr < math.inf:
        raise options.wrong("--lr", f"expected a number from 0, got {lr:g}")
    if out.is_file():
        raise options.wrong("--output", f"{out} is a file; give a folder")
    if resume and overwrite:
        raise options.wrong("--overwrite", "starts anew, --resume goes on: give one of them")
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started; the others train and say nothing
    messages = options.Messages(quiet or not first)
    kind = _network_for(source, network)
    options.refuse(context, ENCODER if kind is Network.wang2020 else CLASSIFIER, f"{source} trains {kind.value}")
    common: dict[str, Any] = {"seed": seed, "resume": resume, "overwrite": overwrite, "device": device.value, "threads": jobs, "compiled": compiled}
    try:
        if kind is Network.wang2020:
            own = {"epochs": epochs, "batch": batch or 128, "lr": lr, "validation": validation, "precision": precision and precision.value}
            _classifier(source, out, library, messages, **own, **common)
        else:
            _encoder(source, out, messages, steps=steps, batch=batch or 256, **common)
        if first:
            outputs.draw_learning(out, messages)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnx"):
            raise
        raise ModelError(f"training needs {error.name}, which is not installed: {how_to_install('torch onnx', 'train')}") from error


def _network_for(source: Path, asked: Network | None) -> Network:
    """The network that this file trains. Raises LibraryError where it is neither a library nor an augmented set."""
    from xrdmatch.library import library_file
    from xrdmatch.training import training_set

    formats = {training_set.FORMAT: Network.wang2020, library_file.FORMAT: Network.encoder}
    fits = formats.get(library_file.format_of(source))
    if fits is None:
        raise LibraryError(f"{source}: expected a library (xrdmatch simulate) or an augmented set (xrdmatch augment)")
    if asked is not None and asked is not fits:
        wanted = "an augmented set (xrdmatch augment)" if asked is Network.wang2020 else "a library (xrdmatch simulate)"
        raise LibraryError(f"{source}: --network {asked.value} trains on {wanted}, this file is for {fits.value}")
    return fits


def _classifier(source: Path, out: Path, library: Path | None, messages: options.Messages, **settings: Any) -> None:
    from xrdmatch.library.reference_library import Library
    from xrdmatch.training.classifier import train_classifier
    from xrdmatch.training.networks import has_half_precision, pick_device
    from xrdmatch.training.training_set import AugmentedSet

    if settings["precision"] == Precision.bfloat16.value and not has_half_precision(pick_device(settings["device"])):
        messages.warn("--precision bfloat16: this processor has no units for it; float32 would be several times as fast")
    labels = None
    if library is not None:
        entries = Library.load(library)
        index = entries.index()
        with AugmentedSet(source) as data:
            missing = [name for name in data.ids if name not in index]
            if missing:
                raise LibraryError(f"{library}: {len(missing)} labels of {source} are not in it, for example {missing[0]}")
            labels = entries.subset([index[name] for name in data.ids])
    else:
        messages.warn("without --library the model folder has no structures, and identify cannot use it")
    with options.progress(messages, "training", None) as bar:
        trained = train_classifier(source, out, library=labels, progress=_epochs_shown(bar, messages), **settings)
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in trained.metrics.items() if name.startswith("val_"))
    messages.note(f"{out}: {trained.epochs} epochs; {metrics}; torch and ONNX differ by {trained.parity:.1g}")
    with AugmentedSet(source) as data:
        chance = math.log(len(data.ids))
    if chance > 0 and trained.metrics["val_loss"] > CHANCE * chance:
        messages.warn(f"the network learned nothing: its loss is that of chance, {chance:.2f}; try --lr 0.0003, another --seed, or less noise")


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


def _encoder(source: Path, out: Path, messages: options.Messages, *, steps: int, threads: int | None, **settings: Any) -> None:
    from xrdmatch.training.encoder import train_model

    with options.progress(messages, "training", steps, "steps") as bar:
        recall = ""

        def show(now: Mapping[str, float]) -> None:
            nonlocal recall
            recall = f"  recall@5 {now['recall@5']:.3f}" if "recall@5" in now else recall
            last = "  now exporting and calibrating" if now["step"] == steps else ""
            bar.update(completed=now["step"], description=f"loss {now['loss']:.3f}{recall}{last}")

        try:
            made = train_model(source, out, steps=steps, threads=threads, progress=show, **settings)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"training stopped; {out / 'checkpoint.pt'} is saved, go on with --resume") from error
    messages.note(f"{out}: " + ", ".join(f"{name} {value:.4g}" for name, value in made.items() if isinstance(value, float)))


def add(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE", help="CIF and POSCAR files, folders, archives.")],
    model: Annotated[Path, typer.Option("--model", "-m", metavar="DIR", help="Your model folder; created if it does not exist.")],
    base: Annotated[
        str | None, typer.Option("--from", metavar="NAME|DIR", help="Model to copy into a new folder; the shipped one by default.")
    ] = None,
    device: options.DeviceOption = options.Device.auto,
    quiet: options.QuietOption = False,
) -> None:
    """Add your own structures to a model, in seconds and without training."""
    from xrdmatch.model.add import add as add_structures

    messages = options.Messages(quiet)
    if model.is_file():
        raise options.wrong("--model", f"{model} is a file; give a folder")
    done = add_structures(sources, model, base, device.value)
    messages.note(f"{model}: {len(done.ids)} structures added; use it with --model {model}")
    messages.listed("join a family that powder diffraction cannot tell them from", [(name, f"{name}: {family}") for name, family in done.alike])
    messages.listed("could not be loaded", done.failed)
    if done.failed:
        raise typer.Exit(1)


class EvaluationFormat(StrEnum):
    """How the accuracy is written."""

    table = "table"
    json = "json"


def evaluate(
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="Columns file and label; accepted (regular expression), wavelength, kind.")],
    model: options.ModelOption = None,
    join: Annotated[list[Path] | None, typer.Option("--join", metavar="SOURCE", help="Structures added to the library for this run only.")] = None,
    filter_mode: options.FilterOption = options.Filter.auto,
    baselines: Annotated[
        str | None,
        typer.Option("--baselines", metavar="all|NAME,...", help="Compare with other methods: bayes knn logistic forest svm cosine recipe."),
    ] = None,
    training: Annotated[
        Path | None, typer.Option("--training", metavar="SET.h5", help="Training patterns for the classical baselines, made by augment.")
    ] = None,
    seed: options.SeedOption = 0,
    format: Annotated[
        EvaluationFormat | None,
        typer.Option("--format", "-f", help="json: one object with scores and files. By default the ending of --output decides, otherwise table."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write results to this file, complete or not at all.")] = None,
    device: options.DeviceOption = options.Device.auto,
    quiet: options.QuietOption = False,
) -> None:
    """Measure accuracy on scans you have labelled, with Wilson 95 % intervals.

    The columns file and label are enough: an answer is right where it names the label, however that is spelled (ZIF-8, zif 8). Where accepted has an
    expression, that counts instead; several, separated by ;, are the phases of a mixture. Of the kinds unknown and blank nothing may be named.

    --baselines adds the classical models of Wang et al. 2020 (they need the baselines extra) and plain search-match. They learn from --training;
    without it from patterns made of 1,012 structures of the model's library.
    """
    from xrdmatch.evaluation.labelled_scans import evaluate as judge
    from xrdmatch.evaluation.labelled_scans import read_labels
    from xrdmatch.report import records
    from xrdmatch.search.identify import Identifier

    messages = options.Messages(quiet)
    names = _baselines(baselines)
    if training is not None and not names:
        raise options.wrong("--training", "goes with --baselines: name some")
    total = len(read_labels(labels))
    identifier = Identifier(_joined(model, device, join, messages) if join else model, device.value)
    messages.fallback(identifier.model)
    others: list[Compared] = []
    with options.output_stream(output) as stream:  # before the work: a place that cannot be written costs no half hour
        with options.progress(messages, "evaluating", total, "files") as bar:
            result = judge(labels, identifier, filter_mode.value, bar.advance)
        if names:
            from xrdmatch.evaluation.baselines import compare_all

            others = compare_all(names, labels, identifier.model.library, training, filter_mode.value, seed, messages.note)
        if (format or options.by_ending(output, EvaluationFormat, EvaluationFormat.table)) is EvaluationFormat.json:
            more = {"baselines": [one.to_json() for one in others]} if names else {}
            stream.write(records.to_json({**result.to_json(), **more}) + "\n")
        else:
            console = records.console_for(stream)
            records.print_evaluation(result, console)
            if others:
                records.print_comparison(identifier.model.name, len(identifier.model.library), result, others, console)
    for row in result.rows:
        if row.verdict == "error":
            messages.error(row.reason)
    if any(row.verdict == "error" for row in result.rows):
        raise typer.Exit(1)


def _baselines(asked: str | None) -> list[str]:
    """The baselines asked for."""
    if asked is None:
        return []
    from xrdmatch.evaluation.baselines import chosen

    try:
        return chosen(asked)
    except ValueError as error:
        raise options.wrong("--baselines", str(error)) from error


def _joined(model: str | None, device: options.Device, sources: list[Path], messages: options.Messages) -> Model:
    """The model with the structures of `sources` in its library, in memory."""
    from xrdmatch.library.reference_library import Library
    from xrdmatch.model.add import extended, load_entries
    from xrdmatch.model.folder import Model

    failed: list[tuple[str, str]] = []
    entries = load_entries(sources, failed)
    for _, reason in failed:
        messages.warn(reason)
    return extended(Model.load(model, device.value), Library.from_entries(entries))
