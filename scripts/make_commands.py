"""Write docs/commands.md from the command line itself: what --help says, as Markdown.

    python scripts/make_commands.py [--check]

With --check nothing is written, and the exit code is 1 where the page is not up to date. tests/test_docs.py compares it as well.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer
from typer.models import ArgumentInfo, OptionInfo

from xrdmatch.cli.commands import COMMANDS
from xrdmatch.library.find_entries import MATCHED
from xrdmatch.report.records import CSV_FIELDS, CSV_MATCH_FIELDS, CSV_PHASE_FIELDS

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"

HEAD = """\
# Commands

<!-- Written by scripts/make_commands.py from the command line itself. Do not edit. -->

Standard output carries results only; progress, notes, warnings and errors go to standard error, and progress
shows only on a terminal. `NO_COLOR` is honoured.
Every output file is written under a temporary name and renamed, so an interrupted run leaves no half-written file.

Exit codes: 0 all went well; 1 something failed (a batch goes on, reports each failure and ends with 1); 2 wrong usage; 130 interrupted. A
second Ctrl-C ends at once. `identify --watch` is meant to be ended with Ctrl-C: the exit code is then 0 or 1.

`xrdmatch --install-completion` sets up completion of commands, options, their choices and the names of models in your shell: bash, zsh and fish,
which are tested, and PowerShell, which is not. It writes a script into your home folder and, for bash and zsh, a line into `.bashrc` or `.zshrc`
that loads it; open a new terminal afterwards. `xrdmatch --show-completion` prints the script instead. `python -m xrdmatch` is the same as
`xrdmatch`.
"""

JSON = """\
## The JSON of `identify`

One object per file, each on its own line, in the order given and printed as soon as it is done. A file that cannot be read also has its line,
so lines and files correspond.

| field | type | meaning |
|---|---|---|
| `file` | text | as given; `-` for standard input |
| `verdict` | text | `match`, `ambiguous`, `unknown`, `unusable` or `error` |
| `reason`, `reason_code` | text | why, in words and as a code that stays the same: see below |
| `name`, `probability` | text, number | name of the best or closest framework, and the probability of all its forms; independent of `--top` |
| `level` | text | finest level that is likely enough: `form`, `framework` (form open) or `composition` (metal and linker); or null |
| `wavelength` | number | angstrom |
| `wavelength_source` | text | `file`, `option`, or `default` (Cu K-alpha, with a warning) |
| `filtered`, `filter_reason` | true or false, text | whether the FFT filter was applied, and why |
| `noise` | number | standard deviation of one point's noise, relative to the strongest line |
| `provider` | text | what ran the network, such as `CPUExecutionProvider` |
| `model`, `version` | text | the model's name; the version of xrdmatch |
| `seconds` | number | time for this file without reading it |
| `phases` | list | what the answer says is there, one or two; empty where nothing is named |
| `matches` | list | candidates for the first phase, ranked; empty for `error` and `unusable` |
| `second_matches` | list | candidates for a second phase in what the first leaves unexplained, ranked |
| `accepted` | list | ids of the phases given with `--accept`: the first is in `matches`, the others lead `second_matches` |
| `not_decided` | list | `what` is open (`metal`, `linker`, `metal and linker`, `form`), its `options`, and what it is `decided_by` |
| `sample` | object | `crystallite_size_nm`, `crystallinity` (0 to 1) and `fwhm` (degrees, as measured), each null where the scan cannot tell |
| `hint` | object | of an unknown, what it may be isoreticular with, else null; see below |
| `notes` | list | what else to know, each a `code` and a `text` |

Each phase:

| field | type | meaning |
|---|---|---|
| `phase` | number | 1 or 2 |
| `name`, `probability` | text, number | of the first phase those of the answer; of the second one, that it is there beside the first |
| `share` | number | of the scan's line intensity that it explains |
| `weight_share` | number | rough share by weight, from intensities; null for a single phase, or without the library's absolute scale |
| `category` | text | `mof`, `cof`, `zeolite`, `byproduct`, `linker`, `holder`, `standard`; empty where the library says none |
| `match` | object | the match that stands for it |

Each match:

| field | type | meaning |
|---|---|---|
| `rank` | number | from 1, among the candidates of its phase |
| `id` | text | the best entry of the family: the stem of its structure file |
| `name` | text | the name people say, else what the entry is made of and its refcode; never empty |
| `formula`, `refcode`, `doi` | text | of that entry; the last two empty where not known |
| `metals`, `linkers` | lists | of that entry; each linker has a `formula` and a `name` |
| `framework` | text | what all forms of it are called |
| `category` | text | as of a phase |
| `family`, `members` | text, list | entries that powder diffraction cannot tell apart; without those that `--elements` or `--exclude` leave out |
| `similarity` | number | 0 to 1, cosine with the adjusted candidate |
| `probability` | number | 0 to 1, calibrated |
| `shift` | number | degrees at Cu K-alpha, of the scan against the candidate |
| `strain` | three numbers | relative change of a, b, c against the library's cell |
| `fwhm` | number | line width, degrees at Cu K-alpha |
| `cell`, `library_cell` | object | as refined, and as the library has it: a, b, c in angstrom, alpha, beta, gamma in degrees |
| `note` | text | what cannot be decided, and which method could; that the metal is another one |
| `metal_exchanged` | object or null | `{"from": ["Cr"], "to": ["Fe"]}` where `--elements` does not list its metal, but one that may replace it |
| `phase` | number | 1, or 2 and more in `second_matches`, where the probability is that of being there beside those before |
| `share` | number | of phase 2: share of the scan's line intensity that it explains; 0 for others |

With `--verbose` each match has its `evidence` as well: `explained`, the share of the scan's line intensity where it has lines;
`matched` and `missing`, its strong lines that the scan shows or lacks, each as h, k, l, 2theta in degrees in the scan, percent; `extra`, the
2theta of strong lines of the scan that it does not have; `positions`, the log likelihood ratio of the positions of the scan's lines, this match
against chance.

A `hint` has its `kind`, "isoreticular"; the name it is `of`, and the `net` of that; the `cell` as the scan would have it; the `scale` of the lengths
`axes` (`abc`, `ab` or `c`) against that entry's; the `similarity` of the patterns on a logarithmic axis; and the `probability` that the net is right.

[Method](method.md) says how they are calculated, and what the figures of `sample` mean.

### Codes of reasons and notes

Codes stay the same from version to version; the sentences may change.

| code | of | when |
|---|---|---|
| `fits` | a match | one framework fits and no other comes close |
| `undecided_metal`, `undecided_metal_and_linker`, `undecided_linker` | a match | powder diffraction cannot tell members of its family apart |
| `form_open` | a match | the framework is named, but which of its forms is not decided |
| `undecided_form` | an open question | the same |
| `composition` | an ambiguous scan | metal and linker are likely, but which framework of these is not decided |
| `ambiguous` | an ambiguous scan | several frameworks fit |
| `nothing_fits` | an unknown | nothing in the library fits well |
| `too_few_lines_to_name` | an unknown | fewer than three clear peaks |
| `one_spacing` | an unknown | all peaks are orders of one spacing, as of a layered substance or an oriented film: one observation |
| `range_too_short`, `too_few_lines` | an unusable scan | |
| `classifier` | a classifier's answer | it always picks one of its labels |
| `accepted` | a match | phases were given with `--accept`; what share of the signal is left |
| `second_phase` | a mixture, after the first reason | a second phase is there |
| `error` | an error | the file could not be read, or what was expected is not known |
| `expected_there`, `nothing_else`, `nothing_else_visible`, `further_lines` | pure, present | what explains how much, and what else is seen |
| `expected_absent`, `expected_unclear` | absent, unclear | what is not there, or may not be |
| `lines_missing`, `missing_texture`, `missing_guests`, `missing_width` | `check` | strong peaks that do not show, and the likely reason |
| `cell_differs`, `another_form` | `check`, before all others | what a person should look at though the framework is there |
| `wavelength_assumed` | a note | the file does not state its wavelength |
| `wavelength_in_name`, `other_anode_fits` | notes | what suggests a wavelength other than the assumed one |
| `few_counts`, `halo`, `high_background` | notes | the quality of the scan |
| `strongest_line_cut_off` | a note | the scan starts above the best match's strongest peak |
| `metal_exchanged` | a note | the best match stands for its framework with a metal that `--elements` lists and the library does not hold it with |
| `isotypes` | a match, or a note on a second phase | compounds of its structure type with nearly its cell, which a scan does not exclude |
| `doubtful_structure` | a note | the best match's structure may be wrong or incomplete |
| `broken_record`, `stopped_early`, `scan_status`, `just_changed` | notes | the file may be incomplete |
| `range_chosen`, `first_column` | notes | the file holds more: other ranges, other samples |
| `converted`, `drawn_from_peaks` | notes | the file does not hold a scan over 2theta; it was converted to one |
| `rows_left_out` | a note | rows that could not be read |
| `uneven_steps`, `odd_unit`, `unnamed_columns`, `wavelength_read_as_nm` | notes | what was assumed where the file does not say |
| `counting_time_varies`, `attenuator` | notes | intensities are as recorded |
| `filter_off`, `filter_flat`, `filter_no_noise`, `filter_not_needed`, `filter_applied` | the filter | why it ran or did not |
| `paper_filter_not_needed`, `paper_filter_applied` | the filter | the same for `--filter paper` |

## The CSV of `identify`

One row per phase, each with the columns of its file as well; a file in which nothing is named has one row without a phase, with the closest match
where there is one. The columns are the fields above, those of a phase with `phase_` before `name` and `probability`: {columns}.
"""

FIND = """\
### How `find` compares

- Case, hyphens, blanks and brackets do not count: `uio66`, `UIO-66` and `UiO 66` are one. Numbers do: `mof 5` is not MOF-505.
- The words may come in any order, and a metal's symbol may be one of them: `MOF-74-Mg`, `zr uio`.
- A refcode may stand with or without what CoRE MOF appends to it (`FIQCEN`, `FIQCEN_clean`); six letters stand for all determinations.
- A formula may have brackets, any order and any number of formula units: `Zn4O(C8H4O4)3`. Entries without hydrogen atoms fit as well.
- A DOI finds the entries of that paper.
- Where nothing else fits, a name of which one letter differs is found: `hkst-1`.
- `--metal Zr,Ce` wants both. `--linker` takes the linker of that name, or where there is none all whose names hold the text. A library that says
  no linkers is searched by the frameworks' names, or by a formula (`C8H4O4`) that their composition allows; a warning says so.

One row is one family, whose best entry is shown; *Alike* counts the others, which powder diffraction cannot tell from it.

### The JSON of `find`

One object a line and a family. The CSV has the same columns, the cell's six in place of `cell`, several texts with `; ` between.

| field | type | meaning |
|---|---|---|
| `id`, `refcode` | text | the best entry of the family: the stem of its structure file; its CSD refcode, empty where the id holds none |
| `name` | text | the name people say, else the refcode or file name: never empty |
| `formula`, `metals`, `doi` | text, list, text | of that entry |
| `linkers`, `net`, `category`, `title` | list, texts | where the library says them, else empty |
| `cell` | object | `a`, `b`, `c` in angstrom, `alpha`, `beta`, `gamma` in degrees |
| `family`, `members` | text, list | the family's name, and the ids of all its entries |
| `matched` | text | {matched}; empty without a text |
"""


def cell(text: str) -> str:
    """Plain text for a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def described(parameter: inspect.Parameter) -> tuple[Any, type | None]:
    """What typer was told of a parameter (OptionInfo or ArgumentInfo), and its type without None and list."""
    kind, *told = get_args(parameter.annotation)
    info = next(item for item in told if isinstance(item, OptionInfo | ArgumentInfo))
    while inner := [item for item in get_args(kind) if item is not type(None)]:
        kind = inner[0]
    return info, kind


def flags_of(info: Any) -> list[str]:
    """An option's flags, short ones first. In Annotated, typer keeps the first of them where a default would stand."""
    first = [info.default] if isinstance(info.default, str) else []
    return sorted([*first, *(info.param_decls or ())], key=lambda flag: flag.startswith("--"))


def value_of(info: Any, kind: type | None) -> str:
    """What stands after an option: its metavar, its choices, or the kind of value; empty for a switch."""
    if info.metavar:
        return str(info.metavar)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(choice.value) for choice in kind)
    return {bool: "", int: "N", float: "NUMBER", Path: "PATH"}.get(kind, "TEXT") if kind else "TEXT"


def row(parameter: inspect.Parameter) -> str:
    """One row of a command's table."""
    info, kind = described(parameter)
    value = value_of(info, kind)
    flags = [] if isinstance(info, ArgumentInfo) else [", ".join(f"`{flag}`" for flag in flags_of(info))]
    name = " ".join([*flags, *([f"`{value}`"] if value else [])])
    default = getattr(parameter.default, "value", parameter.default)
    if default is inspect.Parameter.empty:
        shown = "required"
    elif default is None or default is False:
        shown = ""
    else:
        shown = "on" if default is True else f"`{default}`"
    variable = f" Environment: `{info.envvar}`." if info.envvar else ""
    bounds = f" {info.min} to {info.max}." if info.min is not None and info.max is not None else ""
    return f"| {cell(name)} | {shown} | {cell((info.help or '') + bounds + variable)} |"


def usage(name: str, parameters: Sequence[inspect.Parameter]) -> str:
    """The command with its arguments and required options."""
    words = ["xrdmatch", name]
    for parameter in parameters:
        info, kind = described(parameter)
        value = value_of(info, kind)
        if isinstance(info, ArgumentInfo):
            several = "list" in str(parameter.annotation.__origin__) and not value.endswith("...")
            words.append(f"{value}..." if several else value)
        elif parameter.default is inspect.Parameter.empty:
            words.append(f"{flags_of(info)[-1]} {value}")
    return " ".join([*words, "[OPTIONS]"])


def section(name: str, function: Callable[..., Any]) -> str:
    """One command: its description, usage and options."""
    parameters = [one for one in inspect.signature(function, eval_str=True).parameters.values() if one.annotation is not typer.Context]
    lines = [f"## {name}", "", inspect.cleandoc(function.__doc__ or ""), "", "```text", usage(name, parameters), "```"]
    panels: dict[str, list[str]] = {"": []}  # as --help groups them, those without a group first
    for parameter in parameters:
        panels.setdefault(described(parameter)[0].rich_help_panel or "", []).append(row(parameter))
    for panel, rows in panels.items():
        lines += ["", *([f"{panel}:", ""] if panel else []), "| argument or option | default | |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def commands() -> dict[str, Callable[..., Any]]:
    """The commands' functions by name, in the order of --help."""
    return {command.name: command.function for command in COMMANDS}


def fields(names: Sequence[str]) -> str:
    """Names in code type, in lines as long as the page's."""
    return textwrap.fill(", ".join(f"`{name}`" for name in names), 150, initial_indent=" " * len("above: ")).lstrip()


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, function in commands().items():
        parts.append(section(name, function))
        if name == "find":
            parts.append(FIND.replace("{matched}", ", ".join(f"`{way}`" for way in MATCHED)))
        if name == "identify":
            parts.append(JSON.replace("## ", "### ").replace("{columns}", fields((*CSV_FIELDS, *CSV_PHASE_FIELDS, *CSV_MATCH_FIELDS))))
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    text = page()
    if parser.parse_args().check:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
            print(f"{PAGE} is not up to date: run python scripts/make_commands.py", file=sys.stderr)
            raise SystemExit(1)
        return
    part = PAGE.with_name(f".{PAGE.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(PAGE)


if __name__ == "__main__":
    main()
