"""The scripts behind docs/reproduction.md: what they count, and that an interrupted sweep goes on."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import sys
from pathlib import Path

import made
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the scripts draw, which needs the plot extra")
pytest.importorskip("sklearn", reason="the scripts need the baselines extra")

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name):
    if not SCRIPTS.is_dir():
        pytest.skip("the scripts are not in this tree")
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def write(path, scan):
    path.write_text("".join(f"{x:.2f} {y:.0f}\n" for x, y in zip(scan.two_theta, scan.intensity, strict=True)))


class TestNoise:
    def test_distances_are_those_of_the_distribution(self):
        module, rng = script("noise_histogram"), np.random.default_rng(0)
        normal = np.sort(rng.normal(size=4000))
        assert module.distance(normal, module.normal(normal)) < 0.03
        assert module.distance(normal + 0.5, module.normal(normal + 0.5)) == pytest.approx(0.2, abs=0.03)  # 2 Phi(0.25) - 1
        counts = np.sort(rng.poisson(6.0, 4000)).astype(float)
        share = module.poisson(counts, 6.0)
        assert share[-1] == pytest.approx(1.0, abs=1e-3)
        assert np.interp(6.0, counts, share) == pytest.approx(0.606, abs=0.002)

    def test_counting_noise_has_the_variance_of_its_mean_on_any_background(self):
        module, points = script("noise_histogram"), np.arange(5.0, 50.0, 0.01)
        for mean in (np.full(points.size, 200.0), 50 + 900 * np.exp(-(points - 5) / 8)):
            scan = made.Pattern(points, np.random.default_rng(1).poisson(mean).astype(float))
            assert module.differences(scan).var() == pytest.approx(1.0, abs=0.08)
        smeared = scan.with_intensity(np.convolve(scan.intensity, np.ones(5) / 5, "same"))
        assert module.differences(smeared).var() < 0.5

    def test_picture_and_table(self, library, tmp_path, monkeypatch, capsys):
        module = script("noise_histogram")
        for row in (0, 1):
            write(tmp_path / f"{row}.xy", made.scan(library, row, stop=50.0))
        monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "0.xy"), str(tmp_path / "1.xy"), "-o", str(tmp_path / "noise.svg")])
        module.main()
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 4
        assert float(lines[2].split()[-1]) == pytest.approx(1.0, abs=0.3)
        assert (tmp_path / "noise.svg").stat().st_size > 1000


class TestFilter:
    def test_modes_follow_from_the_ways(self, library):
        module = script("filter_effect")
        form = dict.fromkeys(module.WAYS, (None, 0.0))
        scans = [module.Scan(0, 1.0, noise, criterion, form) for noise, criterion in ((0.2, 3.0), (0.001, 2.0), (0.2, -1.0), (0.001, -2.0))]
        right = {"off": np.array([0, 0, 0, 0], bool), "on": np.array([1, 1, 1, 1], bool), "paper filter": np.array([1, 1, 1, 1], bool)}
        assert module.applied(right, scans, "off").tolist() == [0, 0, 0, 0]
        assert module.applied(right, scans, "on").tolist() == [1, 1, 1, 1]
        assert module.applied(right, scans, "auto").tolist() == [1, 0, 1, 0]
        assert module.applied(right, scans, "paper").tolist() == [1, 1, 0, 0]
        assert module.applied(right, scans, "paper", 2.5).tolist() == [1, 0, 0, 0]
        assert module.applied(right, scans, "auto", 0.0).tolist() == [1, 1, 1, 1]

    def test_forms_are_those_of_the_command(self, library):
        """Our cut and the paper's filter, as --filter on and paper apply them."""
        from xrdmatch.diffraction.pattern import Pattern
        from xrdmatch.preprocessing.fft_filter import PAPER_GRID, denoise

        module = script("filter_effect")
        scan = module.make(library, 0, 1.5, np.random.default_rng(0))
        plain = scan.forms["off"][0]
        assert isinstance(plain, Pattern)
        assert 20 < plain.intensity.max() < 120
        for mode, way in (("on", "on"), ("paper", "paper filter")):
            done = denoise(plain, mode)
            assert done.filtered
            got, sigma, noise_gain = scan.forms[way]
            np.testing.assert_allclose(got.intensity, done.pattern.intensity, atol=1e-9)
            assert (sigma, noise_gain) == pytest.approx((done.sigma, done.noise_gain), rel=1e-3)
        assert plain.two_theta.size == PAPER_GRID.size

    def test_whole(self, library, tiny_model, tmp_path, monkeypatch, capsys):
        module = script("filter_effect")
        monkeypatch.setattr(module, "COUNTS", (2.0, 4.0))
        monkeypatch.setattr(sys, "argv", ["x", "--model", str(tiny_model), "--number", "3", "-o", str(tmp_path / "effect")])
        module.main()
        assert "cosine, our recipe: paper's criterion at 1 " in capsys.readouterr().out
        rows = list(csv.DictReader((tmp_path / "effect.csv").open()))
        assert {row["system"] for row in rows} == {"cosine", "cosine, our recipe", "tiny"}
        best = [row for row in rows if row["system"] == "tiny" and row["filter"] == "auto" and row["log10_counts"] == "4.0"]
        assert [(row["right"], row["of"]) for row in best] == [("3", "3")]
        each = list(csv.DictReader((tmp_path / "effect-scans.csv").open()))
        assert len(each) == 3 * 2 * 3
        assert (tmp_path / "effect.svg").exists()


def test_a_sweep_goes_on_where_it_stopped(library, tmp_path, monkeypatch, capsys):
    module = script("library_size")
    library.save(tmp_path / "library.h5")
    for row in range(3):
        write(tmp_path / f"{row}.xy", made.scan(library, row, start=5.0, stop=50.0))
    rows = [f"{row}.xy,x,{library.id[row]},1.541871,mof" for row in range(3)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,accepted,wavelength,kind", *rows, ""]))
    call = [
        "x",
        str(tmp_path / "library.h5"),
        str(tmp_path / "labels.csv"),
        "--noise",
        str(tmp_path / "0.xy"),
        "-o",
        str(tmp_path / "size"),
        "--sizes",
        "4",
        "all",
    ]
    monkeypatch.setattr(sys, "argv", [*call, "--systems", "recipe"])
    module.main()
    monkeypatch.setattr(sys, "argv", [*call, "--systems", "recipe", "bayes"])
    capsys.readouterr()
    module.main()
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [["4", "bayes"], ["5", "bayes"]]
    table = module.read(tmp_path / "size.csv")
    assert len(table) == 2 * 2 * 5
    recipe = [row for row in table if row["system"] == "recipe" and row["structures"] == "5"]
    assert [(row["rank"], row["right"], row["of"]) for row in recipe] == [(str(rank), "3", "3") for rank in range(1, 6)]
    assert (tmp_path / "size.svg").stat().st_size > 1000


def test_sizes_and_how_a_network_was_trained(tmp_path):
    module = script("library_size")
    (tmp_path / "config.json").write_text(json.dumps({"provenance": {"settings": {"epochs": 8}, "data": {"copies": 72}}}))
    assert module.trained(tmp_path) == "8 epochs of 72 copies"
    assert [module.size_of(text) for text in ("189", "all")] == ["189", "all"]
    with pytest.raises(argparse.ArgumentTypeError, match="or all, got '1e3'"):
        module.size_of("1e3")


def test_single_changes_are_asked_of_a_classifier(tiny_model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", str(tiny_model)])
    with pytest.raises(SystemExit):
        script("one_change").main()
    assert "expected a classifier" in capsys.readouterr().err


class TestStoeNoiseScans:
    def test_six_least_of_the_right_kind_one_of_each_sample(self, library, tmp_path, monkeypatch, capsys):
        """Eight samples with ever more background; other anodes and mountings, short scans and second scans of a sample are passed over."""
        module = script("stoe_noise_scans")

        def put(name, base, **how):
            write(tmp_path / f"PXRD_{name}.xy", made.scan(library, 0, base=base, **how))

        for number, base in enumerate((500, 4000, 100, 8000, 1000, 2000, 300, 6000)):
            put(f"KE-{number}_Cu-Ka1_capillary-1mm", base, start=4.0, stop=45.0)
        put("KE-2_Cu-Ka1_capillary-1mm_again", 10, start=4.0, stop=45.0)
        put("KE-20_Co-Ka1_capillary-1mm", 10, start=4.0, stop=45.0)
        put("KE-21_Cu-Ka1_film-3mm", 10, start=4.0, stop=45.0)
        put("KE-22_Cu-Ka1_capillary-1mm", 10, start=4.0, stop=30.0)
        monkeypatch.setattr(sys, "argv", ["x", str(tmp_path)])
        module.main()
        found = [Path(line).name.split("_")[1] for line in capsys.readouterr().out.split()]
        assert found == ["KE-2", "KE-6", "KE-0", "KE-4", "KE-5", "KE-1"]
        monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), "--up-to", "1"])
        module.main()
        assert [Path(line).name.split("_")[1] for line in capsys.readouterr().out.split()] == ["KE-2", "KE-6", "KE-4", "KE-5", "KE-7", "KE-3"]
        monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), "--up-to", "0.0001"])
        with pytest.raises(SystemExit, match="6 are needed"):
            module.main()
