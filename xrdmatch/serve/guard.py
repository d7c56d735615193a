"""Who may ask: the browser that was given the address, and no page of another origin."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Sent with every answer: nothing is loaded from elsewhere, run inline, framed, kept or told to others.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
READS = ("GET", "HEAD")


class Guard:
    """Lets through what names this machine as host, has the token as the first part of its path, and comes from no other page.

    hosts: what the Host header may be, with the port: a name of another site that leads here is not among them. Where something is sent, the browser
    has to say that it comes from this very page. The app behind it sees the path without the token.
    """

    def __init__(self, app: App, token: str, hosts: tuple[str, ...]) -> None:
        self._app, self._token, self._hosts = app, token.encode(), hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # neither lifespan nor websockets are spoken
        refused = self._refused(scope)
        if refused is not None:
            await _refuse(send, *refused)
            return
        path = scope["path"].partition("/")[2].partition("/")[2]
        await self._app({**scope, "path": f"/{path}", "raw_path": f"/{path}".encode()}, receive, _with_headers(send))

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """Status and words for what may not ask; None for what may."""
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        given = dict(headers)
        if sum(name == "host" for name, _ in headers) != 1 or given["host"] not in self._hosts:
            return 421, "xrdmatch serve answers on this machine alone; open the address that it printed"
        first, slash, _ = scope["path"].removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(first.encode(), self._token):
            return 404, "Nothing here. Open the whole address that xrdmatch serve printed"
        if given.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "Asked for by another page"
        if scope["method"] not in READS and given.get("origin") != f"http://{given['host']}":
            return 403, "Sent by another page, or by none"
        return None


async def _refuse(send: Send, status: int, words: str) -> None:
    body = f"{words}.\n".encode()
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain; charset=utf-8")]})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = [(name, value) for name, value in message.get("headers", []) if name.decode("latin-1").lower() not in HEADERS]
            message = {**message, "headers": [*given, *((name.encode(), value.encode()) for name, value in HEADERS.items())]}
        await send(message)

    return sending
