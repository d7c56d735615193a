"""The classical models and search-match that the network is compared with."""

from __future__ import annotations

import importlib.util
import json

import conftest
import made
import numpy as np
import pytest

from xrdmatch.errors import LibraryError
from xrdmatch.evaluation import baselines as b
from xrdmatch.evaluation import classical_models as cm
from xrdmatch.evaluation.labelled_scans import read_labels
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.fft_filter import PAPER_GRID
from xrdmatch.training.augmentation import ShuffleOptions, library_profiles, write_shuffled
from xrdmatch.training.training_set import AugmentedSet, Rows

sklearn = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs the baselines extra")


@pytest.fixture(scope="module")
def augmented(tmp_path_factory, library):
    """Ten shuffled copies of each structure."""
    path = tmp_path_factory.mktemp("sets") / "set.h5"
    noise = {"made up": 0.05 * np.random.default_rng(3).gamma(2.0, 0.5, PAPER_GRID.size)}
    profiles = library_profiles(library, np.arange(len(library)), PAPER_GRID)
    write_shuffled(profiles, library.id.tolist(), noise, path, ShuffleOptions(copies=10, strength=0.05, grid=PAPER_GRID))
    return path


def training_of(library, copies=8, seed=0):
    rng = np.random.default_rng(seed)
    clean = np.concatenate(list(library_profiles(library, np.arange(len(library)), PAPER_GRID)))
    y = rng.permutation(np.repeat(np.arange(len(library), dtype=np.int32), copies))
    x = np.clip(clean[y] + 0.02 * rng.random((y.size, PAPER_GRID.size)), 0, 1).astype(np.float16)
    return b.Training(x, y, np.arange(len(library)))


def test_names():
    assert b.chosen("all") == list(b.TITLES)
    assert b.chosen("recipe, bayes,recipe") == ["recipe", "bayes"]
    for wrong in ("bayes,forests", "", ","):
        with pytest.raises(ValueError, match=r"bayes, knn, logistic, forest, svm, cosine, recipe"):
            b.chosen(wrong)


class TestTraining:
    def test_at_most_keeps_every_class_evenly(self, library):
        whole = training_of(library)
        part = whole.at_most(15)
        assert np.bincount(part.y).tolist() == [3] * len(library)
        assert {row.tobytes() for row in part.x} <= {row.tobytes() for row in whole.x}
        assert np.bincount(whole.at_most(1).y).tolist() == [2] * len(library)
        assert len(whole.at_most(10_000).y) == len(whole.y)

    def test_a_set_gives_the_rows_that_training_sees(self, augmented, library):
        known = b._from_set(augmented, library.subset([4, 3, 2, 1, 0]), 7)
        assert known.rows.tolist() == [4, 3, 2, 1, 0]
        with AugmentedSet(augmented) as data:
            held = Rows(data, 0.2, 7).held
            assert sorted(row.tobytes() for row in known.x) == sorted(row.tobytes() for row in data.read(0, len(data))[~held])

    def test_a_set_of_other_structures_is_refused(self, augmented, library):
        with pytest.raises(LibraryError, match=r"2 of its structures are not in the model's library, for example AAAAAA_clean"):
            b._from_set(augmented, library.subset([2, 3, 4]), 0)

    def test_made_patterns_cover_the_labels_evenly(self, library, monkeypatch):
        monkeypatch.setattr(b, "MADE_STRUCTURES", 3)
        known = b.made_training(library, [{"accepted": "UiO-66;ZIF-8"}], 5)
        assert {1, 4} < set(known.rows.tolist())
        assert np.bincount(known.y).tolist() == [b.MADE_COPIES] * 3
        assert known.x.min() == 0
        assert known.x.max() == 1
        again = b.made_training(library, [{"accepted": "UiO-66;ZIF-8"}], 5)
        np.testing.assert_array_equal(known.x, again.x)


@sklearn
class TestClassical:
    @pytest.mark.parametrize("name", b.LEARNING)
    def test_noisy_copies_of_what_was_learned_come_first(self, name, library, monkeypatch):
        monkeypatch.setattr(cm, "TREES", 30)
        monkeypatch.setattr(cm, "NEIGHBOURS", 8)
        known, new = training_of(library), training_of(library, 2, 1)
        scores = b.classify(name, known, new.x.astype(np.float32))
        assert scores.shape == (len(new.y), len(library))
        assert (scores.argmax(axis=1) == new.y).mean() == 1.0
        np.testing.assert_array_equal(scores, b.classify(name, known, new.x.astype(np.float32)))

    def test_columns_are_scaled_on_the_training_set(self, library):
        """A model sees no difference when every column of training and question is stretched by its own factor."""
        known, new = training_of(library), training_of(library, 1, 1)
        known = b.Training(known.x.astype(np.float32), known.y, known.rows)
        factor = np.random.default_rng(0).uniform(0.1, 1.0, PAPER_GRID.size).astype(np.float32)
        plain = b.classify("bayes", known, new.x.astype(np.float32))
        stretched = b.classify("bayes", b.Training(known.x * factor, known.y, known.rows), new.x * factor)
        np.testing.assert_allclose(plain, stretched, rtol=1e-3)

    def test_bayes_in_blocks_is_bayes(self, library, monkeypatch):
        from sklearn.naive_bayes import MultinomialNB

        known, new = training_of(library), training_of(library, 1, 1)
        low, high = known.x.min(axis=0).astype(float), known.x.max(axis=0).astype(float)
        whole = MultinomialNB(alpha=0.01).fit((known.x - low) / (high - low), known.y)
        monkeypatch.setattr(cm, "BLOCK", 7)
        got = b.classify("bayes", known, new.x.astype(np.float32))
        np.testing.assert_allclose(got, whole.predict_joint_log_proba((new.x - low) / (high - low)), rtol=1e-3)

    def test_neighbours_vote_as_in_scikit_learn(self, library, monkeypatch):
        from sklearn.neighbors import KNeighborsClassifier

        monkeypatch.setattr(cm, "NEIGHBOURS", 11)
        monkeypatch.setattr(cm, "BLOCK", 7)
        known, new = training_of(library), training_of(library, 2, 1)
        low, high = known.x.min(axis=0).astype(float), known.x.max(axis=0).astype(float)
        scaled = [(x - low) / (high - low) for x in (known.x, new.x)]
        wanted = KNeighborsClassifier(11).fit(scaled[0], known.y).predict_proba(scaled[1])
        got = b.classify("knn", known, new.x.astype(np.float32))
        np.testing.assert_allclose(np.where(np.isfinite(got), got, 0.0), wanted, atol=1e-6)

    def test_a_class_without_a_vote_is_no_answer(self, library, monkeypatch):
        monkeypatch.setattr(cm, "NEIGHBOURS", 4)
        known = training_of(library)
        scores = b.classify("knn", known, known.x[:1].astype(np.float32))[0]
        matches = b.ranked(scores, known.rows, library)
        assert [match.id for match in matches] == [str(library.id[known.y[0]])]


class TestSearch:
    @staticmethod
    def read(table):
        return b.read_queries(read_labels(table), table.parent, "auto")

    def questions(self, library, tmp_path, **how):
        rows = []
        for row in range(len(library)):
            scan = made.scan(library, row, start=5.0, stop=50.0, **how)
            (tmp_path / f"{row}.xy").write_text("".join(f"{x:.3f} {y:.0f}\n" for x, y in zip(scan.two_theta, scan.intensity, strict=True)))
            rows.append(f"{row}.xy,{library.id[row]},{library.id[row]},1.541871,made")
        (tmp_path / "labels.csv").write_text("\n".join(["file,label,accepted,wavelength,kind", *rows, ""]))
        return tmp_path / "labels.csv"

    @pytest.mark.parametrize("name", ["cosine", "recipe"])
    def test_the_pattern_itself_comes_first(self, name, library, tmp_path):
        queries = self.read(self.questions(library, tmp_path))
        scores = b.search(name, library, np.arange(len(library)), queries)
        assert scores.argmax(axis=1).tolist() == list(range(len(library)))
        assert np.diag(scores).min() > 0.9
        assert scores.max() <= 1.0 + 1e-5

    def test_our_recipe_bears_shift_and_background(self, library, tmp_path):
        queries = self.read(self.questions(library, tmp_path, zero=0.2, base=6000.0))
        plain, treated = (b.search(name, library, np.arange(len(library)), queries) for name in ("cosine", "recipe"))
        assert treated.argmax(axis=1).tolist() == list(range(len(library)))
        assert np.diag(treated).min() > 0.85
        assert np.diag(plain).max() < 0.6

    def test_only_the_measured_range_counts(self, library, tmp_path):
        path = self.questions(library, tmp_path)
        whole = self.read(path)
        half = whole.signal * (PAPER_GRID.two_theta > 7.0)
        mask = whole.mask & (PAPER_GRID.two_theta > 7.0)
        scores = b.search("recipe", library, np.arange(len(library)), b.Queries(whole.entries, {}, whole.x, half.astype(np.float32), mask))
        assert scores.argmax(axis=1).tolist() == list(range(len(library)))
        assert np.diag(scores).min() > 0.9

    def test_families_are_ranked_by_their_best_member(self, library):
        from dataclasses import replace

        joined = replace(library, family=np.array([0, 1, 2, 0, 3], np.int32), family_name=np.array(["A", "B", "C", "D"]))
        matches = b.ranked(np.array([0.1, 0.5, -np.inf, 0.9, 0.3]), np.arange(5), joined)
        assert [(match.rank, match.id, match.family) for match in matches] == [
            (1, "DDDDDD_clean", "A"),
            (2, "BBBBBB_clean", "B"),
            (3, "EEEEEE_clean", "D"),
        ]
        assert matches[0].members == ["AAAAAA_clean", "DDDDDD_clean"]


@sklearn
class TestCommand:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        monkeypatch.setattr(cm, "TREES", 5)
        monkeypatch.setattr(cm, "NEIGHBOURS", 5)

    def asked(self, labels, tiny_model, *more):
        return ("evaluate", labels, "--model", tiny_model, "--baselines", *more)

    def test_table(self, run, labels, tiny_model):
        code, out, err = run(*self.asked(labels, tiny_model, "all"))
        assert code == 1  # two of the files cannot be read
        assert "no --training given" in err
        table = out.split("mof: right of 4")[1]
        for title in ("tiny", *b.TITLES.values()):
            assert title in table
        assert max(map(len, out.splitlines())) <= 100

    def test_json_with_a_training_set(self, run, labels, tiny_model, augmented):
        code, out, _ = run(*self.asked(labels, tiny_model, "bayes,recipe", "--training", augmented, "-f", "json"))
        assert code == 1
        data = json.loads(out)
        assert [one["system"] for one in data["baselines"]] == ["bayes", "recipe"]
        for one in data["baselines"]:
            assert one["structures"] == 5
            assert [row["verdict"] for row in one["files"]] == ["match", "match", "error", "error"]
            top = one["scores"][0]
            assert (top["what"], top["total"]) == ("top-1", 4)
            assert top["interval"][0] < top["right"] / 4 < top["interval"][1]
        assert data["baselines"][1]["files"][0]["ranks"] == [1]

    @pytest.mark.parametrize(("more", "code", "said"), [(("trees",), 2, "not a baseline"), (("bayes", "--training", "gone.h5"), 1, "no such file")])
    def test_wrong_use(self, run, labels, tiny_model, more, code, said):
        got, _, err = run(*self.asked(labels, tiny_model, *more))
        assert (got, said in " ".join(err.split())) == (code, True)

    def test_training_without_baselines(self, run, labels, tiny_model, augmented):
        assert run("evaluate", labels, "--model", tiny_model, "--training", augmented)[0] == 2

    def test_the_slow_three_stop_at_their_limit(self, library, labels, augmented, monkeypatch):
        monkeypatch.setattr(b, "SLOW_CLASSES", 4)
        told = []
        done = b.compare_all(["bayes", "logistic", "forest", "svm"], labels, library, b.CompareOptions(augmented), told.append)
        assert [one.system for one in done] == ["bayes"]
        assert sum("left out" in text for text in told) == 3

    def test_fewer_patterns_are_said(self, library, labels, augmented, monkeypatch):
        monkeypatch.setattr(b, "SLOW", {"logistic": 20, "forest": 20, "svm": 20})
        monkeypatch.setattr(cm, "SLOW", {"logistic": 20, "forest": 20, "svm": 20})
        done = b.compare_all(["logistic", "forest"], labels, library, b.CompareOptions(augmented))
        assert [one.note for one in done] == ["learned from 20 of 40 patterns", "each tree learned from 20 of 40 patterns"]

    @pytest.mark.parametrize("name", b.LEARNING)
    @pytest.mark.parametrize("seen", [[0, 1], [1, 3, 4]])
    def test_two_classes_and_classes_without_a_pattern(self, library, name, seen):
        rows = np.arange(5)
        x = np.concatenate(list(library_profiles(library, rows, PAPER_GRID, 0.1)))
        y = np.repeat(np.array(seen, np.int32), 6)
        noisy = x[y] + np.random.default_rng(0).random((len(y), x.shape[1]), np.float32) * np.float32(0.01)
        scores = b.classify(name, b.Training(noisy, y, rows if len(seen) > 2 else rows[:2]), x[seen])
        assert scores.argmax(axis=1).tolist() == seen
        assert all(not np.isfinite(scores[:, missing]).any() for missing in range(scores.shape[1]) if missing not in seen)

    def test_one_class_is_too_few(self, library, labels, tmp_path):
        profiles = library_profiles(library, np.arange(1), PAPER_GRID, 0.1)
        noise = {"made up": np.random.default_rng(0).random(2251)}
        write_shuffled(profiles, library.id[:1].tolist(), noise, tmp_path / "one.h5", ShuffleOptions(copies=9, grid=PAPER_GRID))
        with pytest.raises(LibraryError, match=r"one\.h5: the classical models need patterns of at least two structures"):
            b.compare_all(["svm"], labels, library, b.CompareOptions(tmp_path / "one.h5"))

    def test_a_forest_does_not_depend_on_the_cores(self, library, labels, augmented, monkeypatch):
        known, asked = b._from_set(augmented, library, 0), np.random.default_rng(0).random((3, 2251), np.float32)
        grown = []
        for cores in (1, 3):
            monkeypatch.setattr(cm, "usable_cores", lambda cores=cores: cores)
            grown.append(b.classify("forest", known, asked, seed=4))
        assert np.array_equal(*grown)
        assert not np.array_equal(grown[0], b.classify("forest", known, asked, seed=5))
        assert np.where(np.isfinite(grown[0]), grown[0], 0).sum(axis=1) == pytest.approx(1.0)

    def test_without_scikit_learn(self, labels, tiny_model, monkeypatch, run):
        import sys

        monkeypatch.setitem(sys.modules, "sklearn", None)
        code, _, err = run(*self.asked(labels, tiny_model, "bayes"))
        assert code == 1
        assert 'pip install scikit-learn, or in your copy of xrdmatch: pip install ".[baselines]"' in err


def test_a_scan_outside_the_grid_is_an_error_of_its_file(library, tmp_path):
    conftest.write_scan(tmp_path / "a.xy", library, 0)
    (tmp_path / "far.xy").write_text("".join(f"{60 + 0.1 * i:.1f} {i % 7}\n" for i in range(100)))
    (tmp_path / "labels.csv").write_text("file,label,accepted\na.xy,A,AAAAAA\nfar.xy,A,AAAAAA\n")
    done = b.compare_all(["recipe"], tmp_path / "labels.csv", Library.from_entries([library.entry(i) for i in range(len(library))]))
    rows = done[0].evaluation.rows
    assert rows[0].ranks == (1,)
    assert (rows[1].verdict, rows[1].ranks) == ("error", (0,))
    assert "far.xy: the scan has no data within 5-50" in rows[1].reason
