"""The order of the modules, and the one door of each heavy library."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "xrdmatch"

#: A module imports only from modules before it. A folder is one module.
_TABLE = """
    errors  files  workers
    xray  pattern  profile  formats  sources  structure  lattice  library  denoise  recipe  onnxfile  lookup  model  head  match  adjust
    evidence  indexed  preflight
    ranks  network  simulate  breathing  physics  physics_torch  augment  build  names  chemistry  families  calibration  verify  phases  calibrate
    train  train_encoder  add
    identify  overlay  canvas  figures  wording  page  exchange  sketch  table  notebook  evaluate  baselines  maps  explain  report  cli  __main__
"""
ORDER = _TABLE.split()

#: What trains.
TRAINING = {"ranks", "network", "physics_torch", "train", "train_encoder"}
#: The modules that may import a heavy library, and those that may do so outside a function.
DOORS = {
    "torch": (TRAINING, TRAINING),
    "onnxruntime": ({"model", "cli"}, set()),
    "h5py": ({"library", "augment"}, set()),
    "distributed": ({"workers"}, set()),
    "dask": ({"workers"}, set()),
    "gemmi": ({"structure", "simulate"}, {"structure", "simulate"}),
    "spglib": ({"lattice"}, set()),
    "pymatgen": ({"structure", "simulate"}, set()),
    "typer": ({"cli"}, {"cli"}),
    "rich": ({"table", "report", "cli"}, set()),
    "watchfiles": ({"cli"}, set()),
    "matplotlib": ({"canvas", "figures", "maps", "explain"}, set()),
    "sklearn": ({"baselines", "maps"}, set()),
    "scipy": (set(ORDER), set()),
}

#: The only imports of a later module: what a notebook shows of a value, and only when it asks.
SHOWN = {("identify", "notebook"), ("pattern", "notebook")}

#: What the readers of the formats share; they never import one another.
SHARED_BY_FORMATS = {"scan", "columns", "ranges", "containers", "export", "__init__"}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def layer(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_to_earlier_modules(path):
    here = layer(path)
    assert here in ORDER, f"{here} has no place in the order of the modules"
    for name, outside in imports(path):
        parts = name.split(".")
        if (here, parts[1] if len(parts) > 1 else "") in SHOWN:
            assert not outside
        elif parts[0] == "xrdmatch" and parts[1] in ORDER and parts[1] != here:
            assert ORDER.index(parts[1]) < ORDER.index(here), f"{here} imports {parts[1]}, which comes after it"
        if here == "formats" and parts[:2] == ["xrdmatch", "formats"] and path.stem not in SHARED_BY_FORMATS:
            assert parts[2] in SHARED_BY_FORMATS, f"the reader {path.stem} imports the reader {parts[2]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_have_one_door(path):
    for name, outside in imports(path):
        anywhere, outermost = DOORS.get(name.split(".")[0], (set(ORDER), set(ORDER)))
        assert layer(path) in anywhere, f"{path.name} imports {name}; its door is {sorted(anywhere)}"
        assert not outside or layer(path) in outermost, f"{path.name} imports {name} outside a function"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("xrdmatch", "numpy onnxruntime scipy h5py gemmi spglib pymatgen torch matplotlib rich typer"),
        ("xrdmatch.cli.app", "numpy onnxruntime scipy h5py gemmi spglib pymatgen torch matplotlib"),
        ("xrdmatch.cli.pool", "numpy onnxruntime scipy h5py gemmi spglib pymatgen torch matplotlib typer rich"),  # which workers begin with
        ("xrdmatch.identify", "scipy gemmi spglib pymatgen torch matplotlib typer"),
    ],
)
def test_what_an_import_does_not_load(module, absent):
    code = f"import sys, {module}; print(*(name for name in {absent.split()} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
