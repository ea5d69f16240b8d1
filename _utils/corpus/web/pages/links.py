"""Where a one-time link leads: what it shows is shown when somebody asks for it, and not to what reads ahead."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from corpus.errors import CorpusError
from corpus.web import problems
from corpus.web.pages import frame
from corpus.web.routes import links
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)


@router.get("/links")
def ask(request: Request) -> Response:
    """Ask for the token; where scripts run, it is taken from the address."""
    return frame.render(request, "link.html", shown=None, problem="")


@router.post("/links")
def show(request: Request, service: Serving, token: Annotated[str, Form(max_length=200)]) -> Response:
    """Show what the link shows."""
    try:
        found = links.shown(request, service, token)
    except CorpusError as err:
        return frame.render(request, "link.html", problems.status_of(err), shown=None, problem=str(err))
    return frame.render(request, "link.html", shown=found, problem="")
