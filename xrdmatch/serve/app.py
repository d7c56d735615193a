"""The page's addresses: each reads or changes the workspace, in a thread where that takes time, and answers with JSON or a file."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from xrdmatch.errors import XrdMatchError
from xrdmatch.serve.downloads import DOWNLOADS
from xrdmatch.serve.guard import App, Guard
from xrdmatch.serve.page import assets
from xrdmatch.serve.settings import Settings
from xrdmatch.serve.workspace import LimitError, Upload, Workspace

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

#: Bytes of a request that is no file.
MOST_JSON = 100_000

Handler = Callable[["Request"], Awaitable["Response"]]


def application(workspace: Workspace, token: str, hosts: tuple[str, ...]) -> App:
    """The whole app behind its guard. hosts: what the Host header may be."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    page = Handlers(workspace)
    routes = [Route(f"/{name}", page.asset) for name in ("", *assets(workspace.limits))]
    routes += [Route("/api/state", page.state), *(Route(f"/files/{name}", page.download) for name in DOWNLOADS)]
    posts: dict[str, Handler] = {"scans": page.scan, "structures": page.structure, "settings": page.settings, "search": page.search}
    posts |= {"accept": page.accept, "remove": page.remove, "remove-structure": page.remove_structure}
    routes += [Route(f"/api/{name}", _told(handler), methods=["POST"]) for name, handler in posts.items()]
    return Guard(Starlette(routes=routes), token, hosts)


class Handlers:
    """What is answered at each address."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._assets = assets(workspace.limits)

    async def asset(self, request: Request) -> Response:
        from starlette.responses import Response

        kind, content = self._assets[request.url.path.rpartition("/")[2]]
        return Response(content, media_type=kind)

    async def state(self, request: Request) -> Response:
        given = request.query_params.get("since", "0")
        return await _json(self.workspace.changes, int(given) if given.isdecimal() and len(given) < 16 else 0)

    async def download(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import Response

        name, number = request.url.path.rpartition("/")[2], request.query_params.get("number", "")
        answers = self.workspace.results(int(number) if number.isdecimal() and len(number) < 16 else None)
        try:
            made = await run_in_threadpool(DOWNLOADS[name], answers)
        except XrdMatchError as error:
            return Response(f"{error}\n", 409, media_type="text/plain")
        return Response(made.content, media_type=made.kind, headers={"content-disposition": f"attachment; filename*=UTF-8''{quote(made.name)}"})

    async def scan(self, request: Request) -> Response:
        settings = Settings.of_text(request.query_params.get("settings", ""))
        with self.workspace.upload(request.query_params.get("name", "")) as upload:
            await self._received(request, upload)
            return await _json(lambda: {"number": self.workspace.add_scan(upload, settings, request.query_params.get("folder") == "1")})

    async def structure(self, request: Request) -> Response:
        with self.workspace.upload(request.query_params.get("name", "")) as upload:
            await self._received(request, upload)
            return await _json(lambda: {"ids": self.workspace.add_structure(upload).ids})

    async def settings(self, request: Request) -> Response:
        settings = Settings.of(await _body(request))
        return await _json(self.workspace.known, settings)

    async def search(self, request: Request) -> Response:
        data = await _body(request)
        settings = Settings.of(data.get("settings", {}))
        numbers = data.get("numbers")
        return await _json(lambda: {"searched": self.workspace.search_again(settings, None if numbers is None else _numbers(numbers))})

    async def accept(self, request: Request) -> Response:
        data = await _body(request)
        accepted = Settings.of({"accepted": data.get("accepted", "")}).accepted
        (number,) = _numbers([data.get("number")])
        return await _json(self.workspace.accept, number, accepted)

    async def remove(self, request: Request) -> Response:
        numbers = _numbers((await _body(request)).get("numbers"))
        return await _json(self.workspace.remove, numbers)

    async def remove_structure(self, request: Request) -> Response:
        name = str((await _body(request)).get("name", ""))
        return await _json(self.workspace.remove_structure, name)

    async def _received(self, request: Request, upload: Upload) -> None:
        """Write what is sent to its place, as it comes. Raises LimitError as soon as it is too much."""
        length = request.headers.get("content-length", "")
        self.workspace.room(int(length) if length.isdecimal() and len(length) < 16 else 0)
        size = 0
        with upload.path.open("wb") as stream:
            async for part in request.stream():
                size += len(part)
                self.workspace.room(size)
                stream.write(part)


def _told(handler: Handler) -> Handler:
    """The handler, whose errors become JSON that the page shows."""

    async def told(request: Request) -> Response:
        from starlette.requests import ClientDisconnect
        from starlette.responses import JSONResponse

        try:
            return await handler(request)
        except LimitError as error:
            return JSONResponse({"error": str(error)}, 413)
        except XrdMatchError as error:
            return JSONResponse({"error": str(error)}, 422)
        except ClientDisconnect:  # nobody is there to be told
            return JSONResponse({"error": "broken off"}, 400)
        except OSError as error:
            return JSONResponse({"error": f"the file cannot be stored: {error.strerror or 'no reason was given'}"}, 507)

    return told


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that is sent. Raises XrdMatchError where it is none, or too large."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MOST_JSON:
            raise XrdMatchError("too much was sent")
    try:
        data = json.loads(content)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise XrdMatchError("expected a JSON object")
    return data


def _numbers(given: Any) -> list[int]:
    if not isinstance(given, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in given):
        raise XrdMatchError("expected numbers of scans")
    return given


async def _json(call: Callable[..., Any], *given: Any) -> Response:
    """What a call returns, or that it is done, made in a thread: the page stays alive meanwhile."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    returned = await run_in_threadpool(call, *given)
    return JSONResponse({"done": True} if returned is None else returned)
