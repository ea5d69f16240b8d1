"""Logging in and out."""

from __future__ import annotations

import contextlib
import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import delete

from corpus.controller import identities
from corpus.controller.registry.models import AccessToken, now
from corpus.errors import NotThere
from corpus.web import login
from corpus.web.login import Asking
from corpus.web.problems import Refused
from corpus.web.schemas import Given
from corpus.web.service import Service, Serving

router = APIRouter(tags=["session"])


class Credentials(Given):
    """Who logs in."""

    model_config = ConfigDict(str_strip_whitespace=False)  # a password may have blanks at its ends

    username: str = Field(min_length=1, max_length=100, examples=["ada"])
    password: SecretStr = Field(min_length=1, max_length=1000)
    label: str = Field(default="session", max_length=100, description="What the session is called in a list of them")


class Session(BaseModel):
    """A session."""

    token: str = Field(description="Send it as `Authorization: Bearer …`")
    expires: datetime.datetime


class Me(BaseModel):
    """Who asks."""

    name: str
    sysadmin: bool
    scopes: list[str] = Field(description="Of the token; none: everything that its owner may")
    kind: str = Field(description="Of the token: session or personal")


@router.post("/login", status_code=201)
def log_in(request: Request, given: Credentials, service: Serving) -> Session:
    """Trade a name and a password for a token."""
    token, expires = enter(request, service, given.username, given.password.get_secret_value(), given.label)
    return Session(token=token, expires=expires)


def enter(
    request: Request, service: Serving, username: str, password: str, label: str
) -> tuple[str, datetime.datetime]:
    """Check a password, and make a session; return its token, and when it ends.

    :raises Refused: the password is wrong, or too many were
    """
    name, where = username.strip().lower(), login.address(request)
    service.audited(request, "login", f"owner:{name}")
    request.state.claimed = name
    throttle: login.Throttle = request.app.state.throttle
    throttle.check(name, where)
    groups = _let_in(service, name, password)
    if groups is None:
        throttle.failed(name, where)
        raise Refused(401, "Name or password is wrong.", {"WWW-Authenticate": "Bearer"})
    throttle.right(name)
    expires = now() + datetime.timedelta(hours=service.settings.session_hours)
    token, _ = login.make(service, name, "session", label, groups, expires, where)
    return token, expires


def _let_in(service: Service, name: str, password: str) -> list[str] | None:
    """Return the groups of a person, or None when name or password is wrong.

    :raises CorpusError: nobody can tell
    """
    if not identities.NAME.fullmatch(name) or name == service.settings.identity:
        return None
    groups = service.master.login(name, password)
    if groups is None:  # the master says the same when whoever knows passwords does not answer it
        with contextlib.suppress(NotThere):
            service.question("people.groups", {"name": name}, name)
    return groups


@router.post("/logout", status_code=204)
def log_out(request: Request, caller: Asking, service: Serving) -> Response:
    """End the session: its token is good for nothing any more."""
    service.audited(request, "logout", f"owner:{caller.person.name}")
    with service.registry.session() as session:
        session.execute(delete(AccessToken).where(AccessToken.uuid == caller.token))
    response = Response(status_code=204)
    response.delete_cookie(login.cookie(service.settings.secure), secure=service.settings.secure, httponly=True)
    return response


@router.get("/me")
def me(caller: Asking) -> Me:
    """Who asks, and what they are."""
    person = caller.person
    return Me(name=person.name, sysadmin=person.sysadmin, scopes=list(person.scopes), kind=caller.kind)
