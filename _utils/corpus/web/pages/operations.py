"""Operations: the last ones, and each with its steps as they are taken."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corpus.controller.journal import UNFINISHED
from corpus.web.pages import frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import operations as resource
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)


@router.get("/operations")
def several(request: Request, caller: Looking, service: Serving, after: str | None = None) -> Response:
    """The last ones."""
    page = resource.list_operations(caller, service, limit=50, after=after)
    return frame.render(request, "operations.html", page=page)


@router.get("/operations/{operation}")
def one(request: Request, operation: str, caller: Looking, service: Serving) -> Response:
    """One, with its steps."""
    found = resource.detail(service, caller, operation)
    return frame.render(request, "operation.html", operation=found, live=found.state in UNFINISHED)
