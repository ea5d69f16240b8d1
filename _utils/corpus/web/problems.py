"""Errors as RFC 9457 has them: ``application/problem+json``, with one sentence that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from corpus.errors import (
    Conflict,
    CorpusError,
    Forbidden,
    Locked,
    MinionFailed,
    MinionSilent,
    NotThere,
    RegistryError,
    UsageError,
)

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"

#: The first that an error is decides.
_STATUS: tuple[tuple[type[CorpusError], int], ...] = (
    (NotThere, 404),
    (Forbidden, 403),
    (Locked, 409),
    (Conflict, 409),
    (UsageError, 422),
    (RegistryError, 503),
    (MinionSilent, 504),
    (MinionFailed, 502),
    (CorpusError, 502),
)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(description="The status in words", examples=["Not Found"])
    status: int = Field(description="Of the answer", examples=[404])
    detail: str = Field(description="What was wrong, where, and what to do", examples=["There is no guest 'shop'."])
    instance: str | None = Field(default=None, description="The path that was asked for")
    errors: list[dict[str, Any]] | None = Field(
        default=None, description="What of the input was wrong, each with its place"
    )


#: What every endpoint may answer, for OpenAPI.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {}}}
    for status in (400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 422, 428, 429, 500, 502, 503, 504)
}


class Refused(CorpusError):
    """An answer of a status of its own.

    :param status: of HTTP
    :param detail: one sentence
    :param headers: beside it
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.headers = status, headers or {}


def status_of(err: CorpusError) -> int:
    """Return the status that an error is answered with."""
    if isinstance(err, Refused):
        return err.status
    return next(status for kind, status in _STATUS if isinstance(err, kind))


def answer(request: Request, status: int, detail: str, errors: Any = None, headers: Any = None) -> JSONResponse:
    """Return a problem."""
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, instance=request.url.path, errors=errors
    )
    return JSONResponse(problem.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)


def install(
    app: FastAPI, page: Callable[[Request, CorpusError], Response], allow: Callable[[str], Sequence[str]]
) -> None:
    """Let an application answer errors that way.

    :param page: returns the page that tells of an error, to who reads pages
    :param allow: returns the methods that an address takes
    """

    @app.exception_handler(CorpusError)
    async def ours(request: Request, err: CorpusError) -> Response:
        status = status_of(err)
        if status >= 500:
            log.warning("%s %s: %s", request.method, request.url.path, err)
        if not _is_api(request):
            return page(request, err)
        return answer(request, status, str(err), headers=getattr(err, "headers", None))

    @app.exception_handler(HTTPException)
    async def http(request: Request, err: HTTPException) -> Response:
        words = "There is nothing at this address." if err.status_code == 404 else str(err.detail)
        if not _is_api(request):
            return page(request, Refused(err.status_code, words))
        headers = dict(err.headers or {})
        if err.status_code == 405:  # a route knows its own methods alone
            headers["Allow"] = ", ".join(allow(request.url.path))
        return answer(request, err.status_code, words, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, err: RequestValidationError) -> Response:
        errors = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in err.errors()]
        words = "; ".join(f"{one['where']}: {one['what']}" for one in errors[:5])
        words = f"The request is not as it should be: {words}."
        return answer(request, 422, words, errors) if _is_api(request) else page(request, Refused(422, words))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, err: Exception) -> Response:
        log.exception("%s %s", request.method, request.url.path, exc_info=err)
        words = "Something went wrong here, not there: the service's log tells more."
        return answer(request, 500, words) if _is_api(request) else page(request, Refused(500, words))


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")
