"""docs/check.md names the fields that check gives."""

from __future__ import annotations

import re
from pathlib import Path

import made
import pytest

from xrdmatch.search.check import Checker
from xrdmatch.search.check_result import VERDICTS

PAGE = (Path(__file__).parents[1] / "docs" / "check.md").read_text(encoding="utf-8")


def tables():
    """The names in the first column of each table."""
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        yield [name for row in block.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]


@pytest.fixture(scope="module")
def told(identifier, library):
    return Checker(identifier).check(made.mixed(made.scan(library, 1, 1), made.scan(library, 4, 2), 0.25), ["ZIF-8"]).to_json()


def test_fields_are_those_of_the_json(told):
    verdicts, fields, expected, *_ = tables()
    assert tuple(verdicts) == VERDICTS
    assert sorted(fields) == sorted(told)
    assert sorted(expected) == sorted(told["expected"][0])


def test_fields_of_lines_and_phases(told):
    row = {name: line for line in PAGE.splitlines() for name in ("further_lines", "further_phases") if line.startswith(f"| `{name}`")}
    assert told["further_lines"]
    assert told["further_phases"]
    for name, line in row.items():
        assert set(re.findall(r"`(\w+)`", line.split("|")[3])) == set(told[name][0])
