"""One network session for many processes: workers send their patterns to the parent, which runs what waits as one batch.

A GPU is opened once, whatever the number of workers: each session of its own would take some hundred megabytes of its memory and seconds to start.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdmatch.errors import ModelError
from xrdmatch.model.session import Network

#: Most patterns run at once.
MOST = 256


@dataclass(frozen=True)
class Ticket:
    """What a worker needs to reach the parent's session."""

    address: Any
    key: bytes
    path: Path
    provider: str


class Remote:
    """Stands in for the parent's session in a worker."""

    def __init__(self, ticket: Ticket) -> None:
        self.path, self.provider, self.fallback = ticket.path, ticket.provider, ""
        self._connection = Client(ticket.address, authkey=ticket.key)

    def run(self, patterns: ArrayLike, output: str | None = None) -> NDArray[np.float32]:
        """As `Session.run`. Raises ModelError as it does."""
        self._connection.send((np.ascontiguousarray(patterns, dtype=np.float32), output))
        answer = self._connection.recv()
        if isinstance(answer, ModelError):
            raise answer
        result: NDArray[np.float32] = answer
        return result


#: Where the answer goes, the patterns, the output asked for.
Request = tuple[queue.SimpleQueue[Any], NDArray[np.float32], str | None]


@contextlib.contextmanager
def serving(session: Network) -> Iterator[Ticket]:
    """Answers `Remote` sessions with this one, in threads of this process, until the block ends."""
    key = os.urandom(32)
    waiting: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
    with Listener(authkey=key) as listener:
        ended = threading.Event()
        accepting = threading.Thread(target=_accept, args=(listener, waiting, ended), daemon=True)
        running = threading.Thread(target=_run, args=(session, waiting), daemon=True)
        accepting.start()
        running.start()
        try:
            yield Ticket(listener.address, key, session.path, session.provider)
        finally:
            ended.set()
            waiting.put(None)
            with contextlib.suppress(OSError, EOFError):
                Client(listener.address).close()  # wakes the thread that accepts; no handshake, which nobody may be left to answer
            running.join()
            accepting.join()


def _accept(listener: Listener, waiting: queue.SimpleQueue[Request | None], ended: threading.Event) -> None:
    from multiprocessing import AuthenticationError

    while not ended.is_set():
        with contextlib.suppress(OSError, EOFError, AuthenticationError):  # of a worker that was killed meanwhile, or of a stranger
            threading.Thread(target=_listen, args=(listener.accept(), waiting), daemon=True).start()


def _listen(connection: Connection, waiting: queue.SimpleQueue[Request | None]) -> None:
    """One worker's requests; each waits for its answer before the next, so one is in flight.

    No other thread touches the connection: one that sent while this one closes it could write to the next worker's, which gets the same number.
    """
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with contextlib.suppress(OSError, EOFError), connection:
        while True:
            waiting.put((answer, *connection.recv()))
            connection.send(answer.get())


def _run(session: Network, waiting: queue.SimpleQueue[Request | None]) -> None:
    """Run what has come in while the last batch ran."""
    while (request := waiting.get()) is not None:
        batch = [request]
        with contextlib.suppress(queue.Empty):
            while sum(len(patterns) for _, patterns, _ in batch) < MOST:
                following = waiting.get_nowait()
                if following is None:
                    waiting.put(None)  # ends the outer loop, after this batch
                    break
                batch.append(following)
        # Requests of one run are of one model, so of one shape; the output asked for may differ.
        for output in dict.fromkeys(output for _, _, output in batch):
            _answer(session, [one for one in batch if one[2] == output], output)


def _answer(session: Network, requests: list[Request], output: str | None) -> None:
    ends = np.cumsum([len(patterns) for _, patterns, _ in requests])[:-1]
    results: list[Any]
    try:
        results = np.split(session.run(np.concatenate([patterns for _, patterns, _ in requests]), output), ends)
    except ModelError as error:
        results = [error] * len(requests)
    for (answer, _, _), result in zip(requests, results, strict=True):
        answer.put(result)
