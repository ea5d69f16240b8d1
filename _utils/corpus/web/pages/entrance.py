"""The door: logging in and out with a browser."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy import delete

from corpus.controller.registry.models import AccessToken
from corpus.errors import CorpusError
from corpus.web import login, problems
from corpus.web.pages import frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import session
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)


@router.get("/login")
def ask(request: Request, next: str = "/") -> Response:  # noqa: A002 - the field's name in the address
    """Ask who it is."""
    return frame.render(request, "login.html", next=frame.within(next), name="", problem="")


@router.post("/login")
def enter(
    request: Request,
    service: Serving,
    username: Annotated[str, Form(max_length=100)],
    password: Annotated[str, Form(max_length=1000)],
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002 - the field's name
) -> Response:
    """Let in, or say why not."""
    login.own_origin(request, service)
    where = frame.within(next)
    try:
        token, expires = session.enter(request, service, username, password, "browser")
    except CorpusError as err:
        status = problems.status_of(err)
        return frame.render(request, "login.html", status, next=where, name=username, problem=str(err))
    response = frame.away(where)
    response.set_cookie(
        login.cookie(service.settings.secure),
        token,
        expires=expires,
        path="/",
        secure=service.settings.secure,
        httponly=True,
        samesite="strict",
    )
    return response


@router.post("/logout")
def leave(request: Request, caller: Looking, service: Serving) -> Response:
    """End the session."""
    service.audited(request, "logout", f"owner:{caller.person.name}")
    with service.registry.session() as writing:
        writing.execute(delete(AccessToken).where(AccessToken.uuid == caller.token))
    response = frame.away("/login")
    response.delete_cookie(login.cookie(service.settings.secure), secure=service.settings.secure, httponly=True)
    return response
