"""One session for many processes: the same answers, in batches, with errors passed on and a clean end."""

from __future__ import annotations

import json
import multiprocessing
import threading
from dataclasses import replace
from multiprocessing.connection import Client

import numpy as np
import pytest

from xrdmatch.cli import inputs, pool, serving
from xrdmatch.errors import ModelError
from xrdmatch.model.folder import Model
from xrdmatch.search.options import SearchOptions
from xrdmatch.system.parallel import Workers


class Doubling:
    """Stands for a session: doubles what it gets, and notes how many came at once."""

    path, provider, fallback = "doubling.onnx", "CUDAExecutionProvider", ""

    def __init__(self):
        self.sizes, self.go = [], threading.Event()

    def run(self, patterns, output=None):
        self.go.wait(30)
        self.sizes.append(len(patterns))
        if output == "none":
            raise ModelError("doubling.onnx: the network has no output 'none'")
        return 2 * patterns


def ask_in_threads(ticket, requests):
    """The answers of one `Remote` each, all asked at once."""
    answers = [None] * len(requests)

    def ask(i, patterns, output):
        try:
            answers[i] = serving.Remote(ticket).run(patterns, output)
        except ModelError as error:
            answers[i] = error

    threads = [threading.Thread(target=ask, args=(i, *request)) for i, request in enumerate(requests)]
    for thread in threads:
        thread.start()
    return answers, threads


def test_what_waits_runs_as_one_batch():
    session = Doubling()
    rng = np.random.default_rng(0)
    requests = [(rng.random((1 + i % 3, 2, 5), dtype=np.float32), "none" if i == 3 else None) for i in range(9)]
    with serving.serving(session) as ticket:
        assert ticket.provider == session.provider
        answers, threads = ask_in_threads(ticket, requests)
        threads[0].join(0.5)  # the first is being run, the others wait
        session.go.set()
        for thread in threads:
            thread.join(30)
    for i, (answer, (patterns, _)) in enumerate(zip(answers, requests, strict=True)):
        if i == 3:
            assert "no output 'none'" in str(answer)
        else:
            np.testing.assert_array_equal(answer, 2 * patterns)
    assert sum(session.sizes) == sum(len(patterns) for patterns, _ in requests)
    assert len(session.sizes) <= 4  # the one that ran, the rest, those of another output
    assert max(session.sizes) > 8


def test_batches_are_bounded(monkeypatch):
    monkeypatch.setattr(serving, "MOST", 4)
    session = Doubling()
    with serving.serving(session) as ticket:
        answers, threads = ask_in_threads(ticket, [(np.ones((1, 1, 3), dtype=np.float32), None)] * 12)
        threads[0].join(0.3)
        session.go.set()
        for thread in threads:
            thread.join(30)
    assert all(answer is not None for answer in answers)
    assert max(session.sizes) <= 4


def test_strangers_and_workers_that_vanish_are_survived():
    session = Doubling()
    session.go.set()
    with serving.serving(session) as ticket:
        with pytest.raises(multiprocessing.AuthenticationError):
            Client(ticket.address, authkey=b"wrong")
        gone = serving.Remote(ticket)
        gone._connection.send((np.ones((1, 1, 3), dtype=np.float32), None))
        gone._connection.close()
        np.testing.assert_array_equal(serving.Remote(ticket).run(np.ones((2, 1, 3))), 2 * np.ones((2, 1, 3)))
    with pytest.raises((OSError, EOFError)):
        serving.Remote(ticket)  # nobody serves any more


def test_the_answer_of_a_worker_that_vanished_reaches_no_other():
    """Its connection's number is the next one's while its request is being run."""
    session = Doubling()
    session.go.set()
    with serving.serving(session) as ticket:
        for _ in range(1000):
            gone = serving.Remote(ticket)
            gone._connection.send((np.zeros((1, 1, 3), dtype=np.float32), None))
            gone._connection.close()
            np.testing.assert_array_equal(serving.Remote(ticket).run(np.ones((2, 1, 3))), 2 * np.ones((2, 1, 3)))


def test_workers_that_share_a_session_answer_as_one_process_does(tiny_model, scans):
    """The path of a GPU, with a session on the CPU."""
    from xrdmatch.search.identify import Identifier

    (scans / "broken.xy").write_text("no numbers\n")
    files = [(str(path), "") for path in sorted(scans.iterdir()) if path.suffix == ".xy"] * 4
    identifier, options = Identifier(tiny_model, "cpu"), SearchOptions()
    expected = [pool.answer(identifier, path, inputs.load(path), options) for path, _ in files]
    session = Model.load(tiny_model, "cpu").session
    session.provider = "CUDAExecutionProvider"
    got = list(pool.answers(files, Workers(2), pool.Job(str(tiny_model), options), session))
    assert {answer.provider for answer in got} == {"CUDAExecutionProvider", ""}  # a file that cannot be read has none

    def plain(answer):
        return json.dumps(replace(answer, seconds=0.0, provider="").to_json(evidence=True))

    assert list(map(plain, got)) == list(map(plain, expected))
    assert "error" in {answer.verdict for answer in got}
