"""What the command line makes beside its results: figures."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from cifs import SALT
from commands import in_subprocess

pytest.importorskip("matplotlib", reason="figures need the plot extra")


def parts(folder):
    return sorted(path.name for path in folder.rglob("*.part"))


def test_one_scan_becomes_one_picture_and_the_results_stay_alone_on_standard_output(run, tiny_model, scans, tmp_path):
    plain = run("identify", scans / "b.xy", "--model", tiny_model, "--format", "csv")[1]
    for suffix in ("pdf", "svg", "png"):
        code, out, err = run("identify", scans / "b.xy", "--model", tiny_model, "--format", "csv", "--plot", tmp_path / f"a.{suffix}")
        assert code == 0
        assert out == plain
        assert (tmp_path / f"a.{suffix}").stat().st_size > 5000
        assert "1 figure" in err
    assert parts(tmp_path) == []


def test_a_folder_gets_a_picture_a_scan_and_names_do_not_collide(run, tiny_model, scans, tmp_path):
    (scans / "sub").mkdir()
    (scans / "sub" / "a.xy").write_bytes((scans / "a.xy").read_bytes())
    (scans / "bad.xy").write_text("no scan")
    code, _, err = run("identify", scans, "--recursive", "--model", tiny_model, "--plot", tmp_path / "new" / "plots", "--plot-format", "svg")
    assert code == 1  # for the file that could not be read
    assert sorted(path.name for path in (tmp_path / "new" / "plots").iterdir()) == ["a.svg", "a.xy.svg", "b.svg"]
    assert "3 figures" in err


def test_several_scans_share_a_pdf_but_no_other_picture(run, tiny_model, scans, tmp_path):
    assert run("identify", scans, "--model", tiny_model, "--plot", tmp_path / "all.pdf")[0] == 0
    assert len(re.findall(rb"/Type /Page\b", (tmp_path / "all.pdf").read_bytes())) == 2
    code, out, err = run("identify", scans, "--model", tiny_model, "--plot", tmp_path / "all.png")
    assert (code, out) == (2, "")
    assert "name a folder" in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize("name", ["a.tif", "a.jpeg", "-"])
def test_another_suffix_is_a_usage_error_before_any_work(run, tiny_model, scans, tmp_path, name):
    code, out, err = run("identify", scans / "a.xy", "--model", tiny_model, "--plot", tmp_path / name if name != "-" else "-")
    assert (code, out) == (2, "")
    assert ".pdf .svg .png" in " ".join(err.replace("│", " ").split())


def test_a_place_that_cannot_be_written_is_said_before_any_work(run, tiny_model, scans, tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "absent" / "a.pdf", tmp_path / "file" / "plots"):
        code, out, err = run("identify", scans / "a.xy", "--model", tiny_model, "--plot", place)
        assert (code, out) == (1, "")
        assert f"{place}: cannot be written" in err


def test_standard_input_is_drawn_as_well(run, tiny_model, scans, tmp_path):
    assert run("identify", "-", "--model", tiny_model, "--plot", tmp_path, stdin=(scans / "a.xy").read_bytes())[0] == 0
    assert (tmp_path / "standard-input.pdf").exists()


def test_a_scan_that_cannot_be_read_leaves_no_picture(run, tiny_model, scans, tmp_path):
    (scans / "bad.xy").write_text("no scan")
    code, _, err = run("identify", scans / "bad.xy", "--model", tiny_model, "--plot", tmp_path / "a.pdf")
    assert code == 1
    assert err.count("error: ") == 1
    assert not (tmp_path / "a.pdf").exists()
    assert parts(tmp_path) == []


def test_a_defect_of_the_drawing_costs_no_result(run, tiny_model, scans, tmp_path, monkeypatch):
    from xrdmatch.report import figures

    def fails(*_):
        raise ZeroDivisionError("made up")

    monkeypatch.setattr(figures, "identification_figure", fails)
    code, out, err = run("identify", scans, "--model", tiny_model, "--format", "csv", "--plot", tmp_path / "plots")
    assert code == 1
    assert "ZIF-8" in out
    assert "HKUST-1" in out
    assert err.count("a bug in xrdmatch") == 2


def test_without_matplotlib_the_message_says_what_to_install(run, tiny_model, scans, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run("identify", scans / "a.xy", "--model", tiny_model, "--plot", tmp_path / "a.pdf")
    assert (code, out) == (1, "")
    assert 'pip install matplotlib, or in your copy of xrdmatch: pip install ".[plot]"' in err


def test_matplotlib_is_imported_only_where_a_figure_is_asked_for(tiny_model, scans):
    code = (
        "import sys; from xrdmatch.cli.app import app\n"
        f"app(['identify', {str(scans / 'a.xy')!r}, '--model', {str(tiny_model)!r}, '--quiet'], standalone_mode=False)\n"
        "print('loaded', *(name for name in ('matplotlib', 'scipy', 'pymatgen', 'torch') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded"


def test_simulate_draws_one_pattern(run, tmp_path):
    (tmp_path / "salt.cif").write_text(SALT.format(name="salt"))
    assert run("simulate", tmp_path / "salt.cif", "-o", tmp_path / "s.xy", "--plot", tmp_path / "s.svg")[0] == 0
    assert (tmp_path / "s.svg").exists()
    for out, plot in (("s.h5", "s.pdf"), ("s.xy", "plots")):
        assert run("simulate", tmp_path / "salt.cif", "-o", tmp_path / out, "--plot", tmp_path / plot)[0] == 2


def test_denoise_draws_before_and_after(run, scans, tmp_path):
    code, _, err = run("denoise", scans, "-o", tmp_path / "smooth", "--filter", "on", "--plot", tmp_path / "plots", "--plot-format", "png")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["a.png", "b.png"]
    assert "2 figures" in err
    assert run("denoise", scans / "a.xy", "-o", tmp_path / "a.xy", "--plot", tmp_path / "a.pdf")[0] == 0
    (scans / "bad.xy").write_text("no scan")
    assert run("denoise", scans / "bad.xy", "-o", tmp_path / "c.xy", "--plot", tmp_path / "c.pdf")[0] == 1
    assert not (tmp_path / "c.pdf").exists()
    assert parts(tmp_path) == []


def test_a_whole_process_draws(tiny_model, scans, tmp_path):
    done = in_subprocess("identify", scans / "b.xy", "--model", tiny_model, "--plot", tmp_path / "a.pdf", env=None)
    assert done.returncode == 0
    assert (tmp_path / "a.pdf").exists()


def test_training_leaves_its_learning_curve_and_a_lack_of_matplotlib_costs_no_model(tmp_path, capsys, monkeypatch):
    from xrdmatch.cli.options import Messages
    from xrdmatch.cli.outputs import draw_learning

    draw_learning(tmp_path, Messages())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "training.csv").write_text("step,seconds,loss,recall@5\n250,3,4.5,0.2\n500,6,3.5,0.4\n")
    draw_learning(tmp_path, Messages())
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    assert "training.png: learning curve" in capsys.readouterr().err
    (tmp_path / "training.csv").write_text("step,loss\n1,many\n")
    draw_learning(tmp_path, Messages())
    assert "warning: " in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    draw_learning(tmp_path, Messages())
    assert 'pip install matplotlib, or in your copy of xrdmatch: pip install ".[plot]"' in capsys.readouterr().err


def test_train_draws_as_a_command(run, tmp_path, library):
    pytest.importorskip("torch", reason="needs the train extra")
    pytest.importorskip("onnx", reason="needs the train extra")
    import numpy as np

    from xrdmatch.preprocessing.fft_filter import PAPER_GRID
    from xrdmatch.training.augmentation import ShuffleOptions, library_profiles, write_shuffled

    rng = np.random.default_rng(0)
    write_shuffled(
        library_profiles(library, np.arange(3), PAPER_GRID, 0.1),
        library.id[:3].tolist(),
        {"made up": rng.random(PAPER_GRID.size)},
        tmp_path / "set.h5",
        ShuffleOptions(copies=8, strength=0.1, grid=PAPER_GRID),
    )
    library.save(tmp_path / "lib.h5")
    code, _, err = run("train", tmp_path / "set.h5", "-o", tmp_path / "m", "--library", tmp_path / "lib.h5", "--epochs", 2, "--batch", 8, "--jobs", 1)
    assert code == 0, err
    assert (tmp_path / "m" / "training.png").exists()
    assert "learning curve" in err
