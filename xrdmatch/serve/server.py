"""The server on the loopback address, in a thread of its own, until it is told to end."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator

from xrdmatch.errors import XrdMatchError, how_to_install
from xrdmatch.serve.app import application
from xrdmatch.serve.workspace import Workspace

LOOPBACK = "127.0.0.1"
#: Requests that are answered at the same time; seconds that those at hand may take when all ends.
AT_ONCE, LAST = 200, 1
#: Bytes of the token before they become letters.
TOKEN = 24


def need_libraries() -> None:
    """Raises XrdMatchError with what to do where the extra is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise XrdMatchError(f"xrdmatch serve needs two more packages: {how_to_install('starlette uvicorn', 'serve')}") from error


def listening(port: int) -> socket.socket:
    """A socket on the loopback address alone; port 0: a free one. Raises XrdMatchError where the port is taken."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.bind((LOOPBACK, port))
    except OSError as error:
        made.close()
        raise XrdMatchError(f"port {port} cannot be used ({error.strerror}); give another one with --port, or leave it out") from error
    return made


@contextlib.contextmanager
def serving(workspace: Workspace, place: socket.socket) -> Iterator[str]:
    """The address of the page, which is there until the block ends. Raises XrdMatchError where the server does not start."""
    import uvicorn

    token, port = secrets.token_urlsafe(TOKEN), place.getsockname()[1]
    app = application(workspace, token, (f"{LOOPBACK}:{port}", f"localhost:{port}"))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,  # it would hold the token
            server_header=False,
            proxy_headers=False,
            limit_concurrency=AT_ONCE,
            timeout_graceful_shutdown=LAST,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise XrdMatchError("the server did not start")
            time.sleep(0.01)
        yield f"http://{LOOPBACK}:{port}/{token}/"
    finally:
        server.should_exit = True
        thread.join()
        place.close()
