"""What requests bring along: not too much, and not too slowly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request

from corpus.web.problems import answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from corpus.web.settings import WebSettings


class Bodies:
    """Reads a request's body before anybody works for it.

    :param app: that is behind it
    :param settings: say how much, and how long
    """

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._most, self._seconds = settings.body_bytes, settings.body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        told = request.headers.get("Content-Length", "0")
        if told.isdecimal() and int(told) > self._most:
            await self._refuse(request, 413, send)
            return
        if told == "0" and "Transfer-Encoding" not in request.headers:
            await self._app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._read(receive), self._seconds)
        except asyncio.TimeoutError:
            await self._refuse(request, 408, send)
            return
        if body is None:
            return
        if len(body) > self._most:
            await self._refuse(request, 413, send)
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body, or its first part when it is too much; None: who sent it went away."""
        body, more = b"", True
        while more and len(body) <= self._most:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

    async def _refuse(self, request: Request, status: int, send: Send) -> None:
        words = {
            413: f"The request brings more than {self._most} bytes along.",
            408: f"The request's body did not come within {self._seconds:g} s.",
        }
        response = answer(request, status, words[status], headers={"Connection": "close"})
        await response(request.scope, _nothing, send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
