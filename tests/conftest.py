"""Fixtures that several test modules share."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line has it; before NumPy reads it

import numpy as np
import pytest

from xrdmatch.diffraction.pattern import Grid
from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric
from xrdmatch.diffraction.structure_factors import D_MAX, D_MIN
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.model.library_vectors import ideal_inputs
from xrdmatch.preprocessing.recipe import Recipe
from xrdmatch.training.effects_numpy import measured_like

# In the background of a shell Ctrl-C is ignored, and would be by the processes that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: id, name, formula and cell of the made-up structures.
STRUCTURES = (
    ("AAAAAA_clean", "HKUST-1", "C18 H6 Cu3 O12", (26.3, 26.3, 26.3, 90.0, 90.0, 90.0)),
    ("BBBBBB_clean", "ZIF-8", "C8 H10 N4 Zn", (17.0, 17.0, 17.0, 90.0, 90.0, 90.0)),
    ("CCCCCC_clean", "", "C24 H12 O13 Zn4", (25.9, 25.9, 12.9, 90.0, 90.0, 120.0)),
    ("DDDDDD_clean", "MIL-53(Cr)", "C8 H5 Cr O5", (16.7, 13.0, 6.8, 90.0, 90.0, 90.0)),
    ("EEEEEE_clean", "UiO-66", "C48 H28 O32 Zr6", (20.7, 20.7, 20.7, 90.0, 90.0, 90.0)),
)


def made_up_library() -> Library:
    """Five structures whose reflections have random intensities, always the same."""
    rng = np.random.default_rng(5)
    entries = []
    for name_id, name, formula, cell in STRUCTURES:
        limit = int(max(cell[:3]) / 2.5)
        axis = np.arange(limit + 1)
        hkl = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)[1:]
        d = 1.0 / np.sqrt(inverse_d_squared(hkl, reciprocal_metric(np.array(cell))))
        hkl = hkl[np.argsort(-d)][(np.sort(-d) < -max(D_MIN, 2.5)) & (np.sort(-d) > -D_MAX)][:80]
        d = 1.0 / np.sqrt(inverse_d_squared(hkl, reciprocal_metric(np.array(cell))))
        entries.append(Entry(name_id, formula, np.array(cell), hkl.astype(np.int16), rng.random(len(hkl)) * (d / d.max()) ** 2, name=name))
    return Library.from_entries(entries)


@pytest.fixture(scope="session")
def library() -> Library:
    return made_up_library()


def untrained(folder: Path, seed: int, make: Callable[[Any], Any]) -> Path:
    """A folder with a network that `make` makes out of the module of networks."""
    torch = pytest.importorskip("torch", reason="a test model needs the train extra")
    pytest.importorskip("onnx", reason="a test model needs the train extra")
    from xrdmatch.training import networks

    folder.mkdir()
    torch.manual_seed(seed)
    networks.export_onnx(make(networks).eval(), folder / "model.onnx")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, library):
    """The folder of an untrained encoder over the made-up structures; the comparison of lines makes its answers right all the same."""
    from xrdmatch.model.folder import write_encoder
    from xrdmatch.model.reference_index import ReferenceIndex
    from xrdmatch.model.session import open_session

    recipe = Recipe()
    folder = untrained(tmp_path_factory.mktemp("models") / "tiny", 0, lambda made: made.Encoder(recipe.grid.size, recipe.channels, 16))
    vectors = open_session(folder / "model.onnx", "cpu").run(ideal_inputs(library, np.arange(len(library)), recipe))
    write_encoder(folder, {"kind": "encoder", "recipe": recipe.to_json(), "provenance": {"date": "2026-01-01"}}, ReferenceIndex.of(library, vectors))
    return folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory, library):
    """An untrained reference network over the made-up structures."""
    recipe = Recipe(kind="minmax", grid=Grid(5.0, 50.0, 0.1))
    folder = untrained(tmp_path_factory.mktemp("models") / "wang", 1, lambda made: made.Wang2020(len(library), recipe.grid.size))
    library.save(folder / "library.h5")
    order = library.id.tolist()[::-1]
    (folder / "config.json").write_text(json.dumps({"kind": "classifier", "recipe": recipe.to_json(), "labels": order}))
    return folder


def write_scan(path, library: Library, row: int, seed: int = 0, wavelength: bool = False) -> None:
    """A scan of one library entry as a laboratory would record it, as columns of text; `wavelength` puts Cu K-alpha into the header."""
    grid = Recipe().grid
    from xrdmatch.training.effects_numpy import Hardness

    quiet = Hardness(strain=0.0, breathing=0.0, impurity=0.0, halo=0.0, texture=0.0, guest=0.0, scatter=0.0, counts=(4.2, 4.2), cut=0.0)
    counts, _ = measured_like(library, np.array([row]), grid, np.random.default_rng(seed), quiet)
    header = f"# wavelength {grid.wavelength:.6f} A\n" if wavelength else ""
    path.write_text(header + "".join(f"{angle:.2f} {count:.0f}\n" for angle, count in zip(grid.two_theta, counts[0], strict=True)))
    os.utime(path, (time.time() - 60,) * 2)  # a fresh file gets a note


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line in this process and returns exit code, standard output and standard error."""

    from xrdmatch.cli.app import main

    def call(*args, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["xrdmatch", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def scans(tmp_path, library):
    """A folder with a scan of the first two structures, the second with its wavelength, beside a file that is none."""
    folder = tmp_path / "scans"
    folder.mkdir()
    write_scan(folder / "a.xy", library, 0, 1)
    write_scan(folder / "b.xy", library, 1, 2, wavelength=True)
    (folder / "notes.doc").write_text("no scan")
    return folder


@pytest.fixture
def labels(tmp_path, library):
    """Two scans, one without a wavelength in its file, a file that is none and one that is missing."""
    (tmp_path / "mof").mkdir()
    write_scan(tmp_path / "mof" / "a.xy", library, 0, 1)
    write_scan(tmp_path / "mof" / "b.xy", library, 1, 2, wavelength=True)
    (tmp_path / "mof" / "broken.raw").write_bytes(b"RAW1.01 but no more")
    path = tmp_path / "labels.csv"
    rows = ["mof/a.xy,HKUST-1,HKUST-1,1.541871,mof", "mof/b.xy,ZIF-8,UiO-66,,mof", "mof/broken.raw,ZIF-8,ZIF-8,,mof", "mof/gone.xy,ZIF-8,ZIF-8,,mof"]
    path.write_text("\n".join(["file,label,accepted,wavelength,kind", *rows, ""]))
    return path


#: A training set of four classes: points of a pattern, rows, and the grid.
SET_POINTS, SET_ROWS = 451, 240
SET_GRID = {"start": 5.0, "stop": 14.0, "step": 0.02, "wavelength": 1.5418}


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """Four classes, each a line at its own place on noise."""
    from xrdmatch.training.training_set import write_set

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, SET_ROWS).astype(np.int32)
    x = 0.3 * rng.random((SET_ROWS, SET_POINTS), dtype=np.float32)
    place = 50 + 100 * labels[:, None] + rng.integers(-3, 4, (SET_ROWS, 1))
    x += np.exp(-(((np.arange(SET_POINTS) - place) / 4) ** 2)).astype(np.float32)
    path = tmp_path_factory.mktemp("train") / "set.h5"
    write_set(
        path, [(x[i : i + 50], labels[i : i + 50]) for i in range(0, SET_ROWS, 50)], list("abcd"), SET_POINTS, {"method": "test", "grid": SET_GRID}
    )
    return path


@pytest.fixture(scope="session")
def identifier(tiny_model):
    from xrdmatch.search.identify import Identifier

    return Identifier(tiny_model, "cpu")


@pytest.fixture(scope="session")
def answers(identifier, library):
    """Five scans that match, one of nothing, and a file that cannot be read."""
    import made

    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.search.result import error_result

    flat = Pattern(np.arange(5.0, 40.0, 0.02), np.random.default_rng(0).poisson(300.0, 1750).astype(float), 1.5418)
    found = [identifier.identify(made.scan(library, row, row), file=f"runs/{name}.xy") for row, name in enumerate("abcde")]
    return [*found, identifier.identify(flat, file="blank.xy"), error_result("bad.xy", "bad.xy: is empty")]


@pytest.fixture(scope="session")
def checked(identifier, library):
    """Answers of check in wells A1 to A6: pure, with a second phase, with one more line, absent, of nothing, and a file that cannot be read."""
    import made

    from xrdmatch.diffraction.pattern import Pattern
    from xrdmatch.search.check import Checker
    from xrdmatch.search.check_result import error_result

    checker, scan = Checker(identifier), made.scan(library, 1, 1)
    flat = Pattern(np.arange(5.0, 40.0, 0.02), np.random.default_rng(0).poisson(300.0, 1750).astype(float), 1.5418)
    free = next(angle for angle in np.arange(8.0, 40.0, 0.1) if np.nanmin(np.abs(made.angles_of(library, 1)[0] - angle)) > 0.6)
    one_more = scan.with_intensity(scan.intensity + 0.3 * scan.intensity.max() * np.exp(-(((scan.two_theta - free) / 0.09) ** 2)))
    mixture = made.mixed(scan, made.scan(library, 4, 2), 0.25)
    found = [checker.check(one, ["ZIF-8"], file=f"A{place}.xy") for place, one in enumerate((scan, mixture, one_more), 1)]
    absent = checker.check(made.scan(library, 4, 4), ["ZIF-8"], file="A4.xy")
    return [*found, absent, checker.check(flat, ["ZIF-8"], file="A5.xy"), error_result("A6.xy", "A6.xy: is empty", ["ZIF-8"])]
