"""Ctrl-C: the first one ends the work in good order, the second one ends the program."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import time
from _thread import get_ident, interrupt_main, start_new_thread
from collections.abc import Iterator
from types import FrameType

#: Exit code of a program that Ctrl-C ended.
INTERRUPTED = 130
#: Seconds after which it is looked again whether the first Ctrl-C may be obeyed.
_AGAIN = 0.05

#: Holds something where the Ctrl-C that comes is a postponed one, and not one that was pressed.
_postponed: list[bool] = []


def watch_for_the_second() -> None:
    """From now on the first Ctrl-C raises KeyboardInterrupt as usual, and the next one ends the process: for the entry of a program.

    Nothing changes where Ctrl-C is ignored, as in the background of a shell.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _first)
        # The last thing before Python gives up its handlers: Ctrl-C would kill it then, with another exit code.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def next_one_ends() -> None:
    """The next Ctrl-C ends the process, also where a handler other than ours took the first; nothing without `watch_for_the_second`."""
    if signal.getsignal(signal.SIGINT) is _first:
        signal.signal(signal.SIGINT, _second)


@contextlib.contextmanager
def interrupt_held() -> Iterator[None]:
    """Ctrl-C waits until the block ends. A process that is started within never sees it: it would complain while it still imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _first(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _second)
    if _at_a_bad_moment(frame):
        start_new_thread(_come_again, (get_ident(),))
    else:
        raise KeyboardInterrupt


def _at_a_bad_moment(frame: FrameType | None) -> bool:
    """Whether a module is being imported, or a text evaluated: what is written in C++ aborts the process where its import is interrupted, and Python
    ends with another exit code where `eval` is.
    """
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib") or ((code.co_filename, code.co_name) == ("<string>", "<module>") and frame.f_back):
            return True
        frame = frame.f_back
    return False


def _come_again(main_thread: int) -> None:
    time.sleep(_AGAIN)
    _postponed.append(True)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main_thread, signal.SIGINT)  # ends what the thread waits for, unlike the other way
    else:
        interrupt_main()


def _second(number: int, frame: FrameType | None) -> None:
    """End without what Python does at its end: it would wait for threads that still read, and say in a traceback that it was interrupted."""
    if _postponed:
        _postponed.clear()
        _first(number, frame)
        return
    try:
        if "multiprocessing" in sys.modules:
            from multiprocessing import active_children

            for child in active_children():
                child.kill()
        if sys.stderr is not None and sys.stderr.isatty():
            os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # a progress line hides the cursor
    finally:
        os._exit(INTERRUPTED)
