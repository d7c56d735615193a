"""A model folder, loaded and written."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from xrdmatch.errors import ModelError
from xrdmatch.model.folder import CONFIG, LIBRARY, Model, files_of, new_model, read_index, write_encoder


def test_nothing_of_a_model_is_changed(tiny_model):
    """`with_index` and `with_network` make another one, and take what they are not given from it."""
    model = Model.load(tiny_model, "cpu", threads=1)
    with pytest.raises(FrozenInstanceError):
        model.device = "cuda"
    part = model.with_index(model.index.subset([3, 1]))
    assert part.library.id.tolist() == ["DDDDDD_clean", "BBBBBB_clean"]
    np.testing.assert_array_equal(part.vectors, model.vectors[[3, 1]])
    assert (part.path, part.device, part.threads, part.session) == (model.path, "cpu", 1, model.session)
    assert len(model.library) == 5

    class Elsewhere:
        path, provider, fallback = model.path, "elsewhere", ""

        def run(self, patterns, output=None):
            return np.ones((len(patterns), 16), np.float32)

    there = model.with_network(Elsewhere())
    assert (there.session.provider, model.session.provider) == ("elsewhere", "CPUExecutionProvider")
    np.testing.assert_array_equal(there.encode(np.zeros((2, 1, 4), np.float32)), np.ones((2, 16)))
    assert there.library.id.tolist() == model.library.id.tolist()


@pytest.mark.parametrize(
    ("device", "driver", "only"), [("cpu", object(), True), ("auto", None, True), ("auto", object(), False), ("cuda", None, False)]
)
def test_only_the_cpu_is_there(tiny_model, monkeypatch, device, driver, only):
    monkeypatch.setattr("xrdmatch.model.folder.nvidia_driver", lambda: driver)
    assert Model.load(tiny_model, device).only_cpu is only


def test_what_is_written_is_read_again(tiny_model, tmp_path):
    model = Model.load(tiny_model, "cpu")
    index = model.index.subset([4, 0])
    write_encoder(tmp_path, model.config, index)
    again = read_index(tmp_path)
    assert again.library.id.tolist() == ["EEEEEE_clean", "AAAAAA_clean"]
    np.testing.assert_array_equal(again.vectors, index.vectors)
    np.testing.assert_array_equal(again.line_index.place, index.line_index.place)
    assert Model.load(tmp_path, "cpu").config == model.config
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, LIBRARY]


def test_strongest_lines_that_are_not_stored_are_looked_up(tiny_model, tmp_path):
    index = Model.load(tiny_model, "cpu").index
    index.library.save(tmp_path / LIBRARY, index.vectors)
    again = read_index(tmp_path)
    np.testing.assert_array_equal(again.line_index.place, index.line_index.place)
    np.testing.assert_array_equal(again.line_index.weight, index.line_index.weight)


def test_lines_of_other_entries_are_refused(tiny_model, tmp_path):
    index = Model.load(tiny_model, "cpu").index
    index.library.save(tmp_path / LIBRARY, index.vectors, index.line_index.subset([0, 1]).packed())
    with pytest.raises(ModelError, match=r"library\.h5: lines of 2 entries for 5 library entries"):
        read_index(tmp_path)


def test_a_new_model_takes_the_place_of_the_old_one_whole_or_not_at_all(tiny_model, tmp_path):
    folder = tmp_path / "model"
    with new_model(folder) as made:
        for path in files_of(tiny_model):
            (made / path.name).write_bytes(path.read_bytes())
        assert files_of(folder) == []
    before = {path.name: path.read_bytes() for path in files_of(folder)}
    assert sorted(before) == sorted(path.name for path in files_of(tiny_model))

    def fail():
        with new_model(folder) as made:
            (made / CONFIG).write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert {path.name: path.read_bytes() for path in files_of(folder)} == before
    assert not any(path.is_dir() for path in folder.iterdir())
