"""Worker processes: they end when they are told to, whatever they are doing, and what they say gets through, however long it is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from xrdmatch.errors import XrdMatchError
from xrdmatch.system.parallel import Workers, ordered

LARGE = 3_000_000  # bytes: more than any pipe holds


def says_who_and_sleeps(folder, seconds):
    Path(folder, str(os.getpid())).touch()
    time.sleep(seconds)
    return seconds


def echoes(job, item):
    return item


class Stubborn(Exception):
    """Cannot be made anew from what it was made of, as pickle does."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def raises(job, item):
    raise Stubborn("not", "portable")


def returns_what_cannot_travel(job, item):
    return lambda: item


def is_a_mistake(job):
    raise LookupError("in the preparation")


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name != "posix", reason="looks for processes by signal 0")
def test_workers_that_are_not_needed_any_more_are_gone_at_once(tmp_path):
    results = ordered(says_who_and_sleeps, [0.0, *[600.0] * 7], Workers(2), str(tmp_path))
    assert next(results) == 0.0
    until = time.monotonic() + 60.0
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert len(pids) == 2
    results.close()
    assert not any(runs(pid) for pid in pids)


def test_items_and_results_longer_than_a_pipe_holds():
    items = [bytes([number]) * LARGE for number in range(12)]
    assert list(ordered(echoes, items, Workers(2))) == items


def test_errors_that_pickle_cannot_make_anew_still_say_what_happened():
    with pytest.raises(RuntimeError, match=r"Stubborn: not portable"):
        list(ordered(raises, range(3), Workers(2)))


def test_the_traceback_of_a_worker_is_a_note_of_its_error():
    with pytest.raises(LookupError, match="in the preparation") as caught:
        list(ordered(echoes, range(3), Workers(2), None, is_a_mistake))
    assert "is_a_mistake" in "".join(caught.value.__notes__)


def test_results_that_cannot_travel_are_an_error():
    with pytest.raises(Exception, match="returns_what_cannot_travel"):
        list(ordered(returns_what_cannot_travel, range(3), Workers(2)))


def test_an_error_of_ours_stays_one_without_the_traceback_in_its_text():
    def texts(jobs):
        with pytest.raises(XrdMatchError) as caught:
            list(ordered(refuses, range(3), Workers(jobs)))
        return str(caught.value)

    assert texts(1) == texts(2) == "2theta.xy: no scan"


def refuses(job, item):
    raise XrdMatchError("2theta.xy: no scan")
