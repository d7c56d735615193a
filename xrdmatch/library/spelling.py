"""Names as people type them: UiO-66, uio66 and UIO 66 are one, MOF-5 and MOF-505 are not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import takewhile

_NOT_COMPACT = re.compile(r"[\W_]+")
_NOT_IN_LINES = re.compile(r"(?:[^\w\n]|_)+")
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_DIGITS = re.compile(r"\d+")
#: What stands between the names of an entry that has several: `Mg-MOF-74 (CPO-27-Mg)`, `ZIF-8 / ZIF-67`.
_IN_BRACKETS, _BETWEEN = re.compile(r"(.+?) \((.+)\)"), re.compile(" / | = ")
#: Shortest names that one letter may differ in, and the least likeness (0 to 1) of a name that is offered.
_SHORTEST, _ALIKE = 4, 0.6
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s*)?(10\.\d+/\S+)", re.IGNORECASE)


def plain_doi(text: str) -> str:
    """`10.1021/ja8057953` of a DOI as people write it, with or without what stands before it; empty where it is none."""
    found = _DOI.fullmatch(text.strip())
    return found[1] if found else ""


def compact(text: str) -> str:
    """Letters and digits alone, in small letters, subscripts as digits: `mil53al` of `MIL-53(Al)`."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _NOT_COMPACT.sub("", plain.casefold())


def compact_all(texts: list[str]) -> list[str]:
    """`compact` of many texts at once."""
    joined = "\n".join(texts)
    short = _NOT_IN_LINES.sub("", joined.casefold()).split("\n")
    return short if joined.isascii() and len(short) == len(texts) else [compact(text) for text in texts]


def words(text: str) -> list[str]:
    """Words and numbers, in small letters: mil, 53 and al of `MIL-53(Al)`."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _WORDS.findall(plain.casefold())


def aliases(name: str) -> list[str]:
    """The names in a name."""
    both = _IN_BRACKETS.fullmatch(name)
    return [part for text in (both.groups() if both else (name,)) for part in _BETWEEN.split(text) if part]


def place(part: str, text: str) -> int:
    """Where a compact text holds another, no number of it cut in two; -1 where it does not."""
    start = text.find(part) if part else -1
    while start >= 0:
        end = start + len(part)
        cut_before = start > 0 and text[start - 1].isdigit() and text[start].isdigit()
        cut_behind = end < len(text) and text[end - 1].isdigit() and text[end].isdigit()
        if not cut_before and not cut_behind:
            return start
        start = text.find(part, start + 1)
    return -1


def one_letter_off(one: str, other: str) -> bool:
    """Whether two compact names differ by one letter: another one, one more or less, or two that changed places. Numbers have to be the same."""
    if one == other or min(len(one), len(other)) < _SHORTEST or _DIGITS.findall(one) != _DIGITS.findall(other):
        return False
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    one, other = one[same:], other[same:]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one[::-1], other[::-1], strict=False)))
    one, other = one[: len(one) - same], other[: len(other) - same]
    return max(len(one), len(other)) < 2 or (len(one) == 2 and one == other[::-1])


def nearest(text: str, names: Iterable[str], number: int = 5) -> list[str]:
    """The names most like what was typed, one for each compact form, the likest first; empty where none is like it."""
    from difflib import SequenceMatcher

    typed = compact(text)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(typed)
    likeness: dict[str, tuple[float, str]] = {}
    for name in names:
        short = compact(name)
        matcher.set_seq1(short)
        if short and short not in likeness and matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE:
            # Of two that are equally like, the one with the same numbers.
            likeness[short] = (matcher.ratio() + 0.1 * (_DIGITS.findall(short) == _DIGITS.findall(typed)), name)
    ranked: Sequence[tuple[float, str]] = sorted(likeness.values(), key=lambda item: (-item[0], item[1]))
    return [name for share, name in ranked if share >= _ALIKE][:number]
