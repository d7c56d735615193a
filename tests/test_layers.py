"""The order of the packages, and the one door of each heavy library."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "xrdmatch"

#: A package imports only from itself and from packages before it; errors, notes, version and the commands' entry are modules of their own.
ORDER = [
    "errors",
    "notes",
    "version",
    "system",
    "diffraction",
    "formats",
    "preprocessing",
    "library",
    "model",
    "search",
    "training",
    "evaluation",
    "report",
    "serve",
    "cli",
    "__main__",
]

#: Where structures are read and turned into reflections.
STRUCTURES = {
    f"diffraction.{name}"
    for name in (
        "structure",
        "structure_factors",
        "charge_balance",
        "cif_block",
        "cif_structure",
        "elements",
        "plausibility",
        "space_groups",
        "symmetry",
    )
}

#: The packages or modules that may import a heavy library, and those that may do so outside a function.
DOORS = {
    "torch": ({"training"}, {"training"}),
    "onnx": ({"training"}, set()),
    "onnxruntime": ({"model.session", "cli"}, set()),
    "h5py": ({"library.library_file", "training.training_set", "formats.hdf5_patterns"}, set()),
    "distributed": ({"system.parallel"}, set()),
    "dask": ({"system.parallel"}, set()),
    "gemmi": (STRUCTURES | {"diffraction.bonds"}, STRUCTURES),
    "spglib": ({"diffraction.lattice"}, set()),
    "pymatgen": (set(), set()),  # of tests and benchmarks alone
    "typer": ({"cli"}, {"cli"}),
    "rich": ({"report", "cli"}, set()),
    "watchfiles": ({"cli"}, set()),
    "starlette": ({"serve"}, set()),
    "uvicorn": ({"serve"}, set()),
    "matplotlib": ({"report"}, set()),
    "sklearn": ({"evaluation"}, set()),
    "scipy": ({"search.probability", "diffraction.bonds", "training.disorder"}, set()),  # fits weights, finds neighbours; never at identify
}

#: The only imports of a later package, and only inside a function: an answer in words, and what a notebook shows of a value.
UPWARD = {
    "search.result": {"xrdmatch.report.phrases", "xrdmatch.report.notebook"},
    "search.check_result": {"xrdmatch.report.phrases"},
    "diffraction.pattern": {"xrdmatch.report.notebook"},
}

#: What the readers of the formats share; they never import one another.
SHARED_BY_FORMATS = {
    "scan", "columns", "ranges", "registry", "containers", "markup", "abscissa", "peaks", "text_header", "text_tables", "text_layouts",
    "export", "scan_files", "__init__",
}  # fmt: skip

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def package(path):
    """`search` of xrdmatch/search/pipeline.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module(path):
    """`search.pipeline` of xrdmatch/search/pipeline.py."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path):
    """(dotted name, whether it stands outside every function) of all imports that run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {node for part in ast.walk(tree) if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(part)}
    typing = {node for part in ast.walk(tree) if isinstance(part, ast.If) and "TYPE_CHECKING" in ast.dump(part.test) for node in ast.walk(part)}
    for node in set(ast.walk(tree)) - typing:
        if isinstance(node, ast.Import):
            yield from ((name.name, node not in inner) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{name.name}", node not in inner) for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_point_to_earlier_packages(path):
    here = package(path)
    assert here in ORDER, f"{here} has no place in the order of the packages"
    for name, outside in imports(path):
        parts = name.split(".")
        if ".".join(parts[:3]) in UPWARD.get(module(path), ()):
            assert not outside, f"{module(path)} imports {name} outside a function"
        elif parts[0] == "xrdmatch":
            assert [*parts, ""][1] in ORDER, f"{module(path)} imports {name}; the package itself is for users"
            assert ORDER.index(parts[1]) <= ORDER.index(here), f"{module(path)} imports {name}, of a package after its own"
        if here == "formats" and parts[:2] == ["xrdmatch", "formats"] and path.stem not in SHARED_BY_FORMATS:
            assert parts[2] in SHARED_BY_FORMATS, f"the reader {path.stem} imports the reader {parts[2]}"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_heavy_libraries_have_one_door(path):
    for name, outside in imports(path):
        if name.split(".")[0] not in DOORS:
            continue
        anywhere, outermost = DOORS[name.split(".")[0]]
        here = {package(path), module(path)}
        assert here & anywhere, f"{module(path)} imports {name}; its door is {sorted(anywhere)}"
        assert not outside or here & outermost, f"{module(path)} imports {name} outside a function"


@pytest.mark.parametrize(
    ("loaded", "absent"),
    [
        ("xrdmatch", "numpy onnxruntime scipy h5py gemmi spglib pymatgen torch matplotlib rich typer"),
        ("xrdmatch.cli.app", "numpy onnxruntime scipy h5py gemmi spglib pymatgen torch matplotlib"),
        ("xrdmatch.cli.pool", "numpy onnxruntime scipy h5py gemmi spglib pymatgen torch matplotlib typer rich"),  # which workers begin with
        ("xrdmatch.search.identify", "scipy gemmi spglib pymatgen torch matplotlib typer"),
    ],
)
def test_what_an_import_does_not_load(loaded, absent):
    code = f"import sys, {loaded}; print(*(name for name in {absent.split()} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
