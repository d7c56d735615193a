"""The map of labelled scans."""

from __future__ import annotations

import sys
from pathlib import Path

import made
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="maps need the baselines extra")
pytest.importorskip("matplotlib", reason="figures need the plot extra")

from xrdmatch.errors import LibraryError
from xrdmatch.evaluation import nca_map
from xrdmatch.report.map_figure import map_figure


def write(path, scan):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{x:.3f} {y:.0f}\n" for x, y in zip(scan.two_theta, scan.intensity, strict=True)))


@pytest.fixture
def folder(tmp_path, library):
    """Three scans of each of three structures, in subfolders, and their table."""
    rows = []
    for row, name in enumerate(["HKUST-1", "ZIF-8", "other"]):
        for number in range(3):
            write(tmp_path / "scans" / name / f"{number}.xy", made.scan(library, row, seed=number, start=5.0, stop=50.0, step=0.04, peak=3000.0))
            rows.append(f"scans/{name}/{number}.xy,{name},,1.541871,{'mof' if row < 2 else 'unknown'}")
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,accepted,wavelength,kind", *rows, ""]))
    return tmp_path


class TestLabels:
    def test_a_table(self, folder):
        rows, base = nca_map.labelled(folder / "labels.csv")
        assert (len(rows), base) == (9, folder)
        rows, _ = nca_map.labelled(folder / "labels.csv", kinds=["mof"])
        assert {row["label"] for row in rows} == {"HKUST-1", "ZIF-8"}
        with pytest.raises(LibraryError, match="of the kind blank, found none"):
            nca_map.labelled(folder / "labels.csv", kinds=["blank"])

    def test_a_folder_of_subfolders(self, folder):
        files = sorted((folder / "scans").rglob("*.xy"))
        rows, base = nca_map.labelled(folder / "scans", files)
        assert base == folder / "scans"
        assert [row["label"] for row in rows] == ["HKUST-1"] * 3 + ["ZIF-8"] * 3 + ["other"] * 3

    @pytest.mark.parametrize(
        ("name", "label"),
        [
            ("ZIF-8_1.xy", "ZIF-8"),
            ("ZIF-8 (2).raw", "ZIF-8"),
            ("ZIF-8.xy", "ZIF-8"),
            ("MIL-53_dry_03.xy", "MIL-53_dry"),
            ("12.xy", "12"),
            ("_1.xy", "_1"),
        ],
    )
    def test_names_without_their_number(self, tmp_path, name, label):
        rows, _ = nca_map.labelled(tmp_path, [tmp_path / name])
        assert rows[0]["label"] == label

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(LibraryError, match="expected scans, found none"):
            nca_map.labelled(tmp_path)


class TestMap:
    @pytest.mark.parametrize("given", ["recipe", "minmax"])
    def test_scans_of_a_label_lie_together(self, folder, given):
        done = nca_map.make_map(*nca_map.labelled(folder / "labels.csv"), given)
        assert done.points.shape == (9, 2)
        assert np.isfinite(done.points).all()
        assert done.alone == (9, 9)
        distance = np.linalg.norm(done.points[:, None] - done.points[None], axis=2)
        same = np.array(done.labels)[:, None] == np.array(done.labels)[None]
        assert distance[same].max() < 0.5 * distance[~same].min()
        again = nca_map.make_map(*nca_map.labelled(folder / "labels.csv"), given)
        np.testing.assert_array_equal(done.points, again.points)

    def test_what_the_map_shows_need_not_be_there(self):
        """Labels at random: the map may part them all the same, the neighbours do not."""
        rng = np.random.default_rng(0)
        unit = rng.normal(size=(60, 40))
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        right, total = nca_map.leave_one_out(unit, rng.integers(3, size=60))
        assert total == 60
        assert right < 35

    def test_lone_labels_do_not_count(self):
        unit = np.eye(4)[[0, 0, 1, 2]]
        assert nca_map.leave_one_out(unit, np.array([0, 0, 1, 2])) == (2, 2)

    def test_files_that_cannot_be_read_are_told(self, folder):
        (folder / "scans" / "ZIF-8" / "0.xy").write_text("rubbish")
        done = nca_map.make_map(*nca_map.labelled(folder / "labels.csv"))
        assert len(done.files) == 8
        assert [name for name, _ in done.failed] == ["scans/ZIF-8/0.xy"]

    def test_too_few(self, folder):
        rows, base = nca_map.labelled(folder / "labels.csv")
        for few in (rows[:3], [rows[0], rows[8]]):
            with pytest.raises(LibraryError, match="at least three scans with at least two labels"):
                nca_map.make_map(few, base)


def test_every_label_has_its_own_look_and_the_legend_names_it():
    names = [f"MOF-{number}" for number in range(30)] + ["$x_1"]
    done = nca_map.Map([f"{name}.xy" for name in names], names, np.random.default_rng(0).normal(size=(31, 2)), (0, 0), [])
    figure = map_figure(done)
    axes = figure.axes[0]
    looks = {(line.get_color(), line.get_marker()) for line in axes.lines}
    assert len(looks) == 31
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(said) == 31
    assert "$x_1 (1)" in said


class TestCommand:
    def test_table_and_folder(self, run, folder):
        for source in ("labels.csv", "scans"):
            out = folder / f"{source}.png"
            code, printed, err = run("map", folder / source, "-o", out)
            assert (code, printed) == (0, "")
            assert "9 scans of 3 labels; without the map, 9 of 9" in err
            assert out.read_bytes().startswith(b"\x89PNG")

    def test_labels_of_one_scan_each_are_warned_of(self, run, folder):
        table = folder / "labels.csv"
        files = [line.split(",")[0] for line in table.read_text().splitlines()[1:]]
        table.write_text("file,label\n" + "".join(f"{file},{i}\n" for i, file in enumerate(files)))
        code, _, err = run("map", table, "-o", folder / "a.png")
        assert (code, "no two scans share a label" in " ".join(err.split())) == (0, True)

    def test_a_bad_file_is_told_and_the_others_are_mapped(self, run, folder):
        Path(folder / "scans" / "ZIF-8" / "0.xy").write_text("rubbish")
        code, _, err = run("map", folder / "scans", "-o", folder / "a.svg")
        assert code == 1
        assert "0.xy" in err
        assert (folder / "a.svg").exists()

    def test_without_scikit_learn(self, monkeypatch, run, folder):
        for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "sklearn", None)
        code, _, err = run("map", folder / "labels.csv", "-o", folder / "a.png")
        assert (code, 'pip install scikit-learn, or in your copy of xrdmatch: pip install ".[baselines]"' in err) == (1, True)
