"""Columns of texts: as an array of texts would be, without decoding all of it."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrdmatch.errors import LibraryError
from xrdmatch.library.text_column import TextColumn

#: What a library may hold; zero bytes end a stored text.
TEXTS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=6), max_size=8)


@given(TEXTS, st.data())
def test_it_is_as_an_array_of_texts(texts, data):
    column, array = TextColumn.of(texts), np.array(texts, dtype=str)
    assert len(column) == len(texts)
    assert column.tolist() == list(column) == texts
    np.testing.assert_array_equal(np.asarray(column), array)
    some = st.lists(st.integers(0, len(texts) - 1), max_size=5) if texts else st.just([])
    rows = np.array(data.draw(some), dtype=int)
    assert column[rows].tolist() == column.take(rows).tolist() == array[rows].tolist()
    assert column[1:3].tolist() == array[1:3].tolist()
    for row, text in enumerate(texts):
        assert column[row] == text
        assert type(column[row]) is str
        np.testing.assert_array_equal(column == text, array == text)
        np.testing.assert_array_equal(column != text, array != text)
    both = column.joined(TextColumn.of(["another one", "é"]))
    assert both.tolist() == [*texts, "another one", "é"]
    assert pickle.loads(pickle.dumps(both)).tolist() == both.tolist()


def test_nobody_can_change_it():
    stored = np.array([b"one", b"two"])
    column = TextColumn(stored)
    with pytest.raises(ValueError, match="read-only"):
        column.stored[0] = b"three"
    with pytest.raises(AttributeError):
        column.stored = stored
    assert stored.flags.writeable  # the array it was made of stays its owner's


@pytest.mark.parametrize("stored", [[b"plain", b"\xff\xfe"], [b"cut short \xc3", b"\xa9 goes on"], [[b"a"], [b"b"]]])
def test_what_is_no_column_of_texts(stored):
    with pytest.raises(ValueError, match=r"decode|column of texts"):
        TextColumn(np.array(stored))


def test_a_text_that_cannot_be_stored_is_one_clear_error():
    with pytest.raises(LibraryError, match="rename the file"):
        TextColumn.of(["fine", "\udcff of an unknown encoding"])
