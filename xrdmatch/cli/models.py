"""add and evaluate: models extended and judged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from xrdmatch.cli import options
from xrdmatch.cli.option_groups import grouped
from xrdmatch.cli.simulate import REPAIRED, UNNAMED

if TYPE_CHECKING:
    from xrdmatch.evaluation.baselines import Compared
    from xrdmatch.evaluation.labelled_scans import Evaluation
    from xrdmatch.model.folder import Model


def add(
    model: Annotated[Path, typer.Option("--model", "-m", metavar="DIR", help="Your model folder; created if it does not exist.")],
    sources: Annotated[list[Path] | None, typer.Argument(metavar="SOURCE", help="CIF and POSCAR files, folders, archives.")] = None,
    base: Annotated[
        str | None, typer.Option("--from", metavar="NAME|DIR", help="Model to copy into a new folder; the shipped one by default.")
    ] = None,
    name_table: options.NameTableOption = None,
    device: options.DeviceOption = options.Device.auto,
    quiet: options.QuietOption = False,
) -> None:
    """Add your own structures to a model, in seconds and without training.

    Of an id that comes twice the first structure is kept, the model's own before all, and the others are listed. With --name-table alone, entries
    that the model has already get names.
    """
    from xrdmatch.model.add import add as add_structures
    from xrdmatch.model.folder import CONFIG

    messages = options.Messages(quiet)
    if model.is_file():
        raise options.wrong("--model", f"{model} is a file; give a folder")
    if base is not None and (model / CONFIG).is_file():
        raise options.wrong(
            "--from", f"{model} already holds a model, and structures are added to that; leave out --from, or give --model a new folder"
        )
    if not sources and name_table is None:
        raise options.wrong("SOURCE", "give structure files, folders or archives, or --name-table FILE")
    options.check_model("--from", base)
    done = add_structures(sources or [], model, base, device.value, name_table)
    messages.note(f"{model}: {len(done.ids)} structures added; use it with --model {model}")
    messages.listed("join a family that powder diffraction cannot tell them from", [(name, f"{name}: {family}") for name, family in done.alike])
    messages.listed(REPAIRED, done.repaired)
    messages.listed("duplicates left out", done.duplicates)
    messages.listed(UNNAMED, [(code, "") for code in done.unnamed])
    messages.listed("could not be loaded", done.failed)
    if done.failed:
        raise typer.Exit(1)


class EvaluationFormat(StrEnum):
    """How the accuracy is written."""

    table = "table"
    json = "json"


@dataclass(frozen=True)
class EvaluatedOptions(options.ModelOptions):
    """The model that is judged."""

    join: Annotated[list[Path] | None, typer.Option("--join", metavar="SOURCE", help="Structures added to the library for this run only.")] = None


@dataclass(frozen=True)
class BaselineOptions:
    """The methods it is compared with. Raises BadParameter for names that are none, and where there is nothing to train."""

    baselines: Annotated[
        str | None,
        typer.Option("--baselines", metavar="all|NAME,...", help="Compare with other methods: bayes knn logistic forest svm cosine recipe."),
    ] = None
    training: Annotated[
        Path | None, typer.Option("--training", metavar="SET.h5", help="Training patterns for the classical baselines, made by augment.")
    ] = None
    seed: options.SeedOption = 0

    def __post_init__(self) -> None:
        if self.training is not None and not self.names:
            raise options.wrong("--training", "needs --baselines: name the methods to train")

    @cached_property
    def names(self) -> list[str]:
        """The baselines asked for."""
        if self.baselines is None:
            return []
        from xrdmatch.evaluation.baselines import chosen

        try:
            return chosen(self.baselines)
        except ValueError as error:
            raise options.wrong("--baselines", str(error)) from error


@dataclass(frozen=True)
class ReportOptions:
    """How the accuracy is written, and where. Raises BadParameter where the file's ending stands for a form that there is not."""

    format: Annotated[
        EvaluationFormat | None,
        typer.Option("--format", "-f", help="json: one object with scores and files. By default the ending of --output decides, otherwise table."),
    ] = None
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write results to this file, complete or not at all.")] = None

    def __post_init__(self) -> None:
        if self.format is None and self.output is not None and self.output.suffix.lower() == ".csv":
            raise options.wrong("--output", f"{self.output}: evaluate does not write CSV; give a name that ends in .json or .txt")

    @property
    def form(self) -> EvaluationFormat:
        return self.format or options.by_ending(self.output, EvaluationFormat, EvaluationFormat.table)


@grouped("labels model join filter_mode baselines training seed format output device quiet")
def evaluate(
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="Columns file and label; accepted (regular expression), wavelength, kind.")],
    model: EvaluatedOptions,
    compared: BaselineOptions,
    results: ReportOptions,
    filter_mode: options.FilterOption = options.Filter.auto,
    quiet: options.QuietOption = False,
) -> None:
    """Measure accuracy on scans you have labelled, with Wilson 95 % intervals.

    The columns file and label are enough: an answer is right if it names the label in any spelling (ZIF-8, zif 8). A regular expression in accepted
    counts instead; several, separated by ;, are the phases of a mixture. For the kinds unknown and blank, naming anything is wrong.

    --baselines adds the classical models of Wang et al. 2020 (they need the baselines extra) and plain search-match. They learn from --training;
    without it from patterns made of 1,012 structures of the model's library.
    """
    from xrdmatch.evaluation.labelled_scans import evaluate as judge
    from xrdmatch.evaluation.labelled_scans import read_labels
    from xrdmatch.search.identify import Identifier

    messages, names = options.Messages(quiet), compared.names
    total = len(read_labels(labels))
    identifier = Identifier(_joined(model, model.join, messages) if model.join else model.model, model.device.value)
    messages.fallback(identifier.model)
    others: list[Compared] = []
    with options.output_stream(results.output) as stream:  # before the work: a place that cannot be written costs no half hour
        with options.progress(messages, "evaluating", total, "files") as bar:
            result = judge(labels, identifier, filter_mode.value, bar.advance)
        if names:
            from xrdmatch.evaluation.baselines import CompareOptions, compare_all

            how = CompareOptions(compared.training, filter_mode.value, compared.seed)
            others = compare_all(names, labels, identifier.model.library, how, messages.note)
        _write(stream, results.form, identifier.model, result, others if names else None)
    failed = [row.reason for row in result.rows if row.verdict == "error"]
    for reason in failed:
        messages.error(reason)
    if failed:
        raise typer.Exit(1)


def _write(stream: TextIO, form: EvaluationFormat, model: Model, result: Evaluation, others: list[Compared] | None) -> None:
    """The accuracy, with that of other methods where they were asked for."""
    from xrdmatch.report import records

    if form is EvaluationFormat.json:
        more = {} if others is None else {"baselines": [one.to_json() for one in others]}
        stream.write(records.to_json({**result.to_json(), **more}) + "\n")
        return
    console = records.console_for(stream)
    records.print_evaluation(result, console)
    if others:
        records.print_comparison(model.name, len(model.library), result, others, console)


def _joined(asked: options.ModelOptions, sources: list[Path], messages: options.Messages) -> Model:
    """The model with the structures of `sources` in its library, in memory."""
    from xrdmatch.library.reference_library import Library
    from xrdmatch.model.add import extended, load_entries, without_known
    from xrdmatch.model.folder import Model

    failed: list[tuple[str, str]] = []
    twice: list[tuple[str, str]] = []
    model = Model.load(asked.model, asked.device.value)
    entries = without_known(load_entries(sources, failed, twice), model.library, twice)
    for _, reason in failed:
        messages.warn(reason)
    messages.listed("duplicates left out", twice)
    return extended(model, Library.from_entries(entries))
