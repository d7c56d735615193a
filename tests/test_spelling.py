"""Names as people type them."""

import pytest

from xrdmatch.library.spelling import aliases, compact, compact_all, nearest, one_letter_off, place, words


@pytest.mark.parametrize("typed", ["UiO-66", "uio66", "UIO 66", "uio_66", "UiO\u201166", "UiO₆₆"])
def test_one_name_in_many_spellings(typed):
    assert compact(typed) == "uio66"


def test_many_at_once_are_as_one_by_one():
    for texts in (["MIL-53(Al)", "", "a_b"], ["β-MnO₂", "UiO\u201166"], ["two\nlines", "x"], []):
        assert compact_all(texts) == [compact(text) for text in texts]


def test_words_and_names_in_a_name():
    assert words("Mg-MOF-74 (CPO-27-Mg)") == ["mg", "mof", "74", "cpo", "27", "mg"]
    assert aliases("Mg-MOF-74 (CPO-27-Mg)") == ["Mg-MOF-74", "CPO-27-Mg"]
    assert aliases("MFM-300(In) (NOTT-300)") == ["MFM-300(In)", "NOTT-300"]
    assert aliases("ZIF-8 / ZIF-67") == ["ZIF-8", "ZIF-67"]
    assert aliases("MIL-53(Al)") == ["MIL-53(Al)"]


@pytest.mark.parametrize(
    ("part", "text", "where"),
    [
        ("mof5", "mof5", 0),
        ("mof5", "mof505", -1),
        ("mof5", "irmof5", 2),
        ("mof5", "mof505mof5", 6),
        ("5", "mof505", -1),
        ("66nh2", "uio66nh2", 3),
        ("6", "uio66", -1),
        ("", "x", -1),
    ],
)
def test_no_number_is_cut_in_two(part, text, where):
    assert place(part, text) == where


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("hkst1", "hkust1", True),
        ("hkusst1", "hkust1", True),
        ("uoi66", "uio66", True),
        ("uia66", "uio66", True),
        ("uio66", "uio66", False),
        ("uio65", "uio66", False),
        ("uio6", "uio66", False),
        ("mof5", "mof74", False),
        ("hkts1", "hkust1", False),
        ("zif", "zi", False),
    ],
)
def test_one_letter_may_be_wrong_and_no_number(one, other, near):
    assert one_letter_off(one, other) is near
    assert one_letter_off(other, one) is near


def test_the_nearest_names():
    names = ["UiO-66", "UiO-67", "HKUST-1", "ZIF-8", "uio66"]
    assert nearest("UiO-65", names) == ["UiO-66", "UiO-67"]
    assert nearest("HKST1", names)[0] == "HKUST-1"
    assert nearest("xyzzy", names) == []
