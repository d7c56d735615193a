"""The documentation does what it says: commands run as they stand there, links lead somewhere, constants and fields are those of the code.

A ```console block holds commands ("$ ...") and is run from top to bottom of its page, in one folder that has docs/samples. Comments above a block:
<!-- needs: model, jq --> (model, a package, or a program: skipped where missing), <!-- exits: 1 --> of the last command, <!-- watches: DIR -->
(the last command watches DIR: a scan is put there, and Ctrl-C ends it), <!-- not run: why -->. ```bash blocks set up an installation and are not run
here; .ci/run runs the README's.
"""

import dataclasses
import importlib
import importlib.util
import inspect
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "models").rglob("*.md")),
]
SAMPLES = Path("docs/samples")

BLOCK = re.compile(r"((?:^<!--[^\n]*-->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (needs|exits|watches|not run): (.*?) -->")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block: its language, its lines, and what the comments above it say."""

    kind: str
    text: str
    marks: dict[str, str]

    @property
    def commands(self):
        """What stands behind "$ ", with lines ending in \\ joined."""
        joined = self.text.replace("\\\n", " ")
        return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


def blocks(page):
    return [Block(kind, text, dict(MARK.findall(head))) for head, kind, text in BLOCK.findall(page.read_text(encoding="utf-8"))]


def prose(page):
    """A page without its fenced blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))


#: What a block may need, and the packages or the program that this means.
NEEDS = {
    "distributed": ("distributed",),
    "torch": ("torch", "onnx"),
    "watchfiles": ("watchfiles",),
    "matplotlib": ("matplotlib",),
    "sklearn": ("sklearn",),
}
PROGRAMS = {"jq"}


def missing(needs):
    """Why a block cannot run here, or nothing."""
    for need in (needs or "").split(", "):
        if need == "model":
            from xrdmatch.model.folder import DEFAULT, shipped_models

            if DEFAULT not in shipped_models():
                return f"the model {DEFAULT} is not in this tree"
        elif need in NEEDS:
            for name in NEEDS[need]:
                if importlib.util.find_spec(name) is None:
                    return f"{name} is not installed"
        elif need in PROGRAMS:
            if shutil.which(need) is None:
                return f"{need} is not here"
        else:
            assert not need, f"unknown need {need!r}"
    return ""


@pytest.fixture(scope="module")
def command_path(tmp_path_factory):
    """A PATH whose xrdmatch is this interpreter's: the installed script, or one that runs the package these tests import."""
    installed = Path(sys.executable).parent / "xrdmatch"
    if installed.exists():
        return f"{installed.parent}{os.pathsep}{os.environ['PATH']}"
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "xrdmatch"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m xrdmatch "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def environment_with(command_path):
    return {key: value for key, value in os.environ.items() if key != "XRDMATCH_MODEL"} | {"PATH": command_path, "OMP_NUM_THREADS": "1"}


def run_watch(command, folder, command_path, watched):
    """Start a command that watches a folder, put a scan there, and end it with Ctrl-C when it has answered."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec env {command}"],
        cwd=folder,
        env=environment_with(command_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    late = threading.Timer(120.0, process.kill)
    late.start()
    try:
        first = process.stderr.readline()
        assert "watching" in first, first
        shutil.copy(ROOT / SAMPLES / "hkust-1.xy", folder / watched / "scan.xy")
        assert "scan.xy" in process.stdout.readline(), command
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    finally:
        late.cancel()
        process.kill()
    assert process.returncode == 0, f"{command}\n{said}"
    assert "1 file: 1 match" in said, f"{command}\n{said}"


def run(command, folder, command_path):
    environment = environment_with(command_path)
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )


RUN = [page for page in PAGES if any(block.kind == "console" and "not run" not in block.marks for block in blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_run_as_documented(page, tmp_path, command_path):
    if shutil.which("bash") is None:
        pytest.skip("the documented commands are written for bash, which is not here")
    shutil.copytree(ROOT / SAMPLES, tmp_path / SAMPLES)
    left_out = []
    for block in blocks(page):
        if block.kind != "console" or "not run" in block.marks:
            continue
        assert block.commands, f"a console block without commands: {block.text}"
        why = missing(block.marks.get("needs"))
        if why:
            left_out.append(f"{why}: {'; '.join(block.commands)}")
            continue
        for number, command in enumerate(block.commands, 1):
            if "watches" in block.marks and number == len(block.commands):
                run_watch(command, tmp_path, command_path, block.marks["watches"])
                continue
            wanted = int(block.marks.get("exits", 0)) if number == len(block.commands) else 0
            done = run(command, tmp_path, command_path)
            assert done.returncode == wanted, f"{command}\nexit code {done.returncode}, expected {wanted}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, f"{command}\n{done.stderr}"
    if left_out:
        pytest.skip("run in part; left out: " + " | ".join(left_out))


def test_python_examples_run(tmp_path):
    shutil.copytree(ROOT / SAMPLES, tmp_path / SAMPLES)
    for page in PAGES:
        for block in blocks(page):
            if block.kind != "python" or "not run" in block.marks:
                continue
            why = missing(block.marks.get("needs"))
            if why:
                pytest.skip(f"{page.name}: {why}")
            done = subprocess.run(
                [sys.executable, "-c", block.text], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{page.name}\n{block.text}\n{done.stderr}"


def test_python_examples_have_the_types_that_mypy_knows(tmp_path):
    """As somebody has it who writes such code with `mypy --strict`; what other libraries say of their types is not ours."""
    pytest.importorskip("mypy", reason="needs the lint extra")
    for page in PAGES:
        for number, block in enumerate(blocks(page)):
            if block.kind == "python":
                (tmp_path / f"{page.stem.replace('-', '_')}_{number}.py").write_text(block.text)
    files = sorted(str(path) for path in tmp_path.glob("*.py"))
    assert len(files) >= 3
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports",
        "silent",
        "--disable-error-code",
        "import-untyped",
        "--config-file",
        os.devnull,
        *files,
    ]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_block_is_of_a_known_kind():
    for page in PAGES:
        for block in blocks(page):
            assert block.kind in ("console", "bash", "python", "text", ""), f"{page.name}: ```{block.kind}"
            assert block.kind == "console" or "$ xrdmatch" not in block.text, f"{page.name}: commands belong into a console block"


def test_what_is_to_be_installed_can_be():
    """No index of packages has xrdmatch: its extras can be named in a copy of the repository alone, and what they consist of anywhere."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    told = re.compile(r"""pip install (?:-e )?["']\.\[([\w,-]+)\]""")
    named = [name for page in PAGES for found in told.findall(page.read_text(encoding="utf-8")) for name in found.split(",")]
    assert set(named) <= set(extras)
    assert len(named) >= 5
    sources = [*PAGES, *(ROOT / "xrdmatch").rglob("*.py")]
    assert [path.name for path in sources if re.search(r"xrdmatch\[[a-z]", path.read_text(encoding="utf-8"))] == []
    hints = [re.findall(r"""how_to_install\(['"](.+?)['"], ["'](\w+)["']\)""", path.read_text(encoding="utf-8")) for path in sources]
    for packages, extra in [hint for hints_of_one in hints for hint in hints_of_one]:
        parts = {re.split("[>=<~]", requirement)[0] for requirement in extras[extra]}
        assert set(packages.replace('"', "").split()) == parts, f"the extra {extra} consists of {parts}"
    assert {extra for found in hints for _, extra in found} == {"train", "cuda", "baselines", "plot", "watch", "serve", "cluster"}


def test_readme_begins_with_the_two_set_up_commands():
    first, second = [block.text.strip() for block in blocks(ROOT / "README.md")][:2]
    assert first == "pip install . && xrdmatch identify docs/samples/hkust-1.xy"
    assert second == 'pip install ".[test]" && python -m pytest'


def test_ci_runs_the_second_command():
    """.ci/run takes the command out of the README; its awk must find the same as this test does."""
    script = (ROOT / ".ci" / "run").read_text()
    found = re.search(r"^tests=\$\((awk '.*' README\.md)\)$", script, re.MULTILINE)
    assert found
    if shutil.which("awk") is None:
        pytest.skip("awk is not here")
    done = subprocess.run(["sh", "-c", found.group(1)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == [block.text.strip() for block in blocks(ROOT / "README.md") if block.kind == "bash"][1]
    assert 'bash -euo pipefail -c "$tests"' in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in LINK.findall(prose(page)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name}: {target} does not exist"
        if anchor and place.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page.name}: {target}, but {place.name} has no such heading"


def test_index_lists_every_page():
    linked = set(LINK.findall((ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked


def script_module(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_page_is_what_the_command_line_says():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == script_module("make_commands").page(), "run python scripts/make_commands.py"


def test_every_command_is_in_the_readme_and_the_tutorial_shows_it():
    readme, tutorial = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/tutorial.md"))
    for name in script_module("make_commands").commands():
        assert f"`xrdmatch {name}`" in readme
        assert f"$ xrdmatch {name} " in tutorial or f"$ xrdmatch {name}\n" in tutorial or f"| xrdmatch {name} " in tutorial


def test_json_fields_are_those_of_the_results():
    from xrdmatch.search.result import Identification, Match, Phase

    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.split("### The JSON of `identify`")[1].split("\n#")[0]
    answer, phase, match = (
        {name for row in re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
        for part in re.split("Each phase:|Each match:", section)
    )
    assert answer == set(Identification("scan.raw", "match").to_json())
    of = Match(1, "a", "", "", "", [], 0.0, 0.0, 0.0)
    assert phase == set(Phase(1, "a", 0.9, 0.9, None, "", of).to_json())
    assert match == set(Match(1, "a", "", "", "", [], 0.0, 0.0, 0.0).to_json())


def test_json_fields_of_find_are_those_of_the_dataclass():
    from xrdmatch.library.find_entries import Found

    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.split("### The JSON of `find`")[1].split("\n#")[0]
    stated = {name for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert stated == {field.name for field in dataclasses.fields(Found)}


def test_every_code_is_documented_with_its_sentence():
    """What a program may find as reason_code or as the code of a note, and what people read beside it."""
    from xrdmatch.report import phrases

    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.split("### Codes of reasons and notes")[1].split("\n## ")[0]
    stated = {name for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert stated == set(phrases.CODES)


CONSTANT = re.compile(r"`((?:[a-z_]+\.)*[A-Za-z_]+(?:\.[A-Za-z_]+)*)`")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def numbers(cell):
    return [float(value) for value in NUMBER.findall(cell)]


def flat(value):
    if dataclasses.is_dataclass(value):
        value = tuple(getattr(value, field.name) for field in dataclasses.fields(value) if getattr(value, field.name) != field.default)
    return [float(item) for item in value] if isinstance(value, tuple) else [float(value)]


def resolve(name):
    """The value of `module.NAME.attribute`, whatever package the module is in; None where there is no such module, or a library for it is absent."""
    module, *path = name.split(".")
    places = list((ROOT / "xrdmatch").rglob(f"{module}.py"))
    if len(places) != 1:
        return None
    try:
        value = importlib.import_module(".".join(places[0].relative_to(ROOT).with_suffix("").parts))
    except ModuleNotFoundError:
        return None
    for part in path:
        value = getattr(value, part)
    return value


def rows(page):
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]


def test_constants_in_the_method_are_those_of_the_code():
    checked = 0
    for row in rows(ROOT / "docs" / "method.md"):
        found = CONSTANT.fullmatch(row[0])
        value = resolve(found.group(1)) if found else None
        if value is not None:
            assert numbers(row[1]) == pytest.approx(flat(value)), f"docs/method.md: {row[0]} is {value}, not {row[1]}"
            checked += 1
    assert checked > 20


def test_levels_in_the_method_are_those_of_the_code():
    from xrdmatch.training.effects_numpy import LEVELS, Hardness

    stated = {row[1]: row[2:5] for row in rows(ROOT / "docs" / "method.md") if row[1].startswith("`Hardness.")}
    assert set(stated) == {f"`Hardness.{field.name}`" for field in dataclasses.fields(Hardness)}
    for name, cells in stated.items():
        field = name.strip("`").removeprefix("Hardness.")
        for (level, hardness), cell in zip(LEVELS.items(), cells, strict=True):
            assert numbers(cell) == pytest.approx(flat(getattr(hardness, field))), f"docs/method.md: {field} of {level}"


def tree_of_modules():
    """(package, module) of each line of the tree in docs/development.md; the package is "" for modules right in the top."""
    text = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    tree = text.split("```text\nxrdmatch/\n")[1].split("```")[0]
    package = ""
    for line in tree.splitlines():
        if found := re.match(r"  (\w+)/(?:\s|$)", line):
            package = found[1]
        elif found := re.match(r"(  |    )(\w+\.py)\s", line):
            yield ("" if len(found[1]) == 2 else package), found[2]


def test_every_module_is_in_the_layout():
    listed = set(tree_of_modules())
    assert len(listed) > 60
    shown_one_by_one = {package for package, _ in listed}
    there = {
        (path.parent.name if path.parent != ROOT / "xrdmatch" else "", path.name)
        for path in (ROOT / "xrdmatch").rglob("*.py")
        if not path.name.startswith("__") and (path.parent == ROOT / "xrdmatch" or path.parent.name in shown_one_by_one)
    }
    assert listed == there
    packages = {path.parent.name for path in (ROOT / "xrdmatch").glob("*/__init__.py")}
    assert packages - shown_one_by_one == {"cli", "formats"}


def test_layers_are_those_that_are_tested():
    from test_layers import ORDER

    text = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    stated = re.search(r"^((?:    errors)(?:.*\n)+?)\n", text, re.MULTILINE).group(1).split()
    there = [name for name in ORDER if (ROOT / "xrdmatch" / f"{name}.py").exists() or (ROOT / "xrdmatch" / name).is_dir()]
    assert stated == [name for name in there if name != "__main__"]


def test_documented_verdicts_are_those_of_the_code():
    source = "".join((ROOT / "xrdmatch" / "search" / f"{name}.py").read_text(encoding="utf-8") for name in ("verdict", "identify", "result"))
    for page in ("README.md", "docs/method.md"):
        stated = {row[0] for row in rows(ROOT / page)} & {"match", "ambiguous", "unknown", "unusable", "error"}
        assert stated == {"match", "ambiguous", "unknown", "unusable", "error"}
        assert all(f'"{verdict}"' in source for verdict in stated)


def test_public_names_have_documentation():
    import xrdmatch

    for name in xrdmatch.__all__:
        assert name.startswith("__") or inspect.getdoc(getattr(xrdmatch, name)), name


def test_changelog_has_this_version():
    import xrdmatch

    assert re.search(rf"^## \[?{re.escape(xrdmatch.__version__)}\]?", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"version: {xrdmatch.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    citing = (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")
    assert f"version = {{{xrdmatch.__version__}}}" in citing
    assert f"xrdmatch {xrdmatch.__version__} with" in citing


def test_cards_are_filled_in():
    """A model that is shipped has a card without gaps."""
    for card in (ROOT / "models").glob("*/README.md"):
        if (card.parent / "config.json").exists():
            assert "FILL" not in card.read_text(encoding="utf-8"), f"{card.relative_to(ROOT)} has gaps marked FILL"


def test_the_sample_says_that_it_is_simulated():
    head = (ROOT / SAMPLES / "hkust-1.xy").read_text(encoding="utf-8").splitlines()[0]
    assert head.startswith("#")
    assert "SIMULATED" in head


def test_the_sample_is_what_its_script_makes():
    """Not bit for bit: other versions of numpy may draw other counts."""
    np = pytest.importorskip("numpy")
    why = missing("model")
    if why:
        pytest.skip(why)
    import xrdmatch
    from xrdmatch.model.folder import Model

    made = script_module("make_sample").scan(Model.load().library)
    shipped = xrdmatch.read(ROOT / SAMPLES / "hkust-1.xy")
    assert np.allclose(made.two_theta, shipped.two_theta)
    assert made.wavelength == pytest.approx(shipped.wavelength, abs=1e-6)
    difference = (made.intensity - shipped.intensity) / np.sqrt(np.maximum(made.intensity + shipped.intensity, 1.0))
    assert np.abs(difference).mean() < 1.0  # two Poisson draws of one mean differ by 0.8 of this on average


@pytest.mark.parametrize(
    ("name", "formula", "edge"), [("idealised-mof-5", "C24 H12 O13 Zn4", 25.84), ("idealised-irmof-10", "C42 H24 O13 Zn4", 34.40)]
)
def test_the_idealised_frameworks_are_sound(name, formula, edge):
    """The composition is right, and no two atoms come closer than a C-H bond: symmetry and bond lengths fit together."""
    import numpy as np

    from xrdmatch.diffraction.structure import load

    structure = load(ROOT / SAMPLES / f"{name}.cif")
    assert structure.formula == formula
    assert structure.cell[:3] == pytest.approx([edge] * 3)
    assert not structure.notes
    apart = structure.fractional[:, None] - structure.fractional[None]
    distance = np.linalg.norm((apart - np.rint(apart)) * edge, axis=2) + 10.0 * np.eye(len(structure.numbers))
    assert distance.min() == pytest.approx(0.95, abs=0.01)
    assert (ROOT / SAMPLES / f"{name}.cif").read_text() == script_module("make_sample").idealised(name, script_module("make_sample").FRAMEWORKS[name])
