"""The queue behind the page: the urgent first, and a task that hangs or kills its process costs itself alone."""

from __future__ import annotations

import os
import queue
import time
from pathlib import Path

import pytest

from xrdmatch.errors import LibraryError, ModelError, XrdMatchError
from xrdmatch.serve.work import WorkQueue


def begins():
    return does


def never_begins():
    raise ModelError("/some/where/model: cannot run")


def does(task):
    what, value = task
    if what == "sleep":
        Path(value).touch()
        time.sleep(600)
    if what == "hold":
        Path(value, "held").touch()
        waits(Path(value, "go"))
    if what == "die":
        os._exit(9)
    if what == "refuse":
        raise LibraryError(value)
    return value


@pytest.fixture
def made():
    """Makes queues that end with the test."""
    queues = []

    def make(begin=begins, jobs=1, **options):
        queues.append(WorkQueue(begin, jobs, **options))
        return queues[-1]

    yield make
    for one in queues:
        one.close()


def outcomes(work, *tasks):
    kept = queue.SimpleQueue()
    for task in tasks:
        work.submit(task, kept.put)
    return [kept.get(timeout=120) for _ in tasks]


def waits(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_tasks_are_done_in_their_order_and_an_error_is_an_outcome(made):
    found = outcomes(made(), ("say", 1), ("refuse", "no"), ("say", 2))
    assert (found[0], str(found[1]), type(found[1]), found[2]) == (1, "no", LibraryError, 2)


def test_a_process_that_dies_or_hangs_costs_its_task_alone(made, tmp_path):
    work = made(patience=15.0)
    died, said, hung, later = outcomes(work, ("die", 0), ("say", 1), ("sleep", tmp_path / "asleep"), ("say", 2))
    assert "process was killed" in str(died)
    assert "took longer than 15 seconds" in str(hung)
    assert (said, later) == (1, 2)


def test_while_one_hangs_another_process_goes_on(made, tmp_path):
    work = made(jobs=2)
    work.submit(("sleep", tmp_path / "asleep"), lambda outcome: None)
    waits(tmp_path / "asleep")
    assert outcomes(work, ("say", 1), ("say", 2)) == [1, 2]


def test_the_urgent_goes_first(made, tmp_path):
    work, kept = made(), queue.SimpleQueue()
    work.submit(("hold", tmp_path), kept.put)
    waits(tmp_path / "held")
    for number in range(3):
        work.submit(("say", number), kept.put)
    work.submit(("say", "urgent"), kept.put, urgent=True)
    (tmp_path / "go").touch()
    assert [kept.get(timeout=120) for _ in range(5)] == [tmp_path, "urgent", 0, 1, 2]


def test_asking_gives_the_result_or_raises_the_error(made):
    work = made()
    assert work.ask(("say", 1)) == 1
    with pytest.raises(LibraryError, match="not this"):
        work.ask(("refuse", "not this"))


def test_what_nobody_wants_any_more_is_not_done(made):
    work, kept = made(), queue.SimpleQueue()
    work.submit(("say", 1), kept.put, wanted=lambda: False)
    assert outcomes(work, ("say", 2)) == [2]
    assert kept.empty()


def test_a_worker_that_cannot_begin_says_why_each_time(made):
    for outcome in outcomes(made(never_begins), ("say", 1), ("say", 2)):
        assert isinstance(outcome, ModelError)


def test_closing_ends_what_hangs_and_what_waits(made, tmp_path):
    work = made()
    kept = queue.SimpleQueue()
    for task in (("sleep", tmp_path / "asleep"), ("say", 1)):
        work.submit(task, kept.put)
    waits(tmp_path / "asleep")
    work.close()
    assert kept.empty()
    with pytest.raises(XrdMatchError, match="has ended"):
        work.ask(("say", 2))
