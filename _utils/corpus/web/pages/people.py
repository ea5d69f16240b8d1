"""People: oneself with keys, sessions and tokens; and everybody, for sysadmins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import ValidationError

from corpus.errors import CorpusError
from corpus.web import problems
from corpus.web.login import Caller
from corpus.web.pages import actions, frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import owners, tokens
from corpus.web.schemas import Login
from corpus.web.service import Service, Serving

router = APIRouter(include_in_schema=False)


@router.get("/me")
def me(request: Request, caller: Looking, service: Serving) -> Response:
    """Who looks, and what lets them in."""
    return _me(request, caller, service)


def _me(
    request: Request, caller: Caller, service: Service, status: int = 200, made: str = "", problem: str = ""
) -> Response:
    name = caller.person.name
    return frame.render(
        request,
        "me.html",
        status,
        person=owners.get_owner(name, caller, service),
        ssh_keys=owners.list_keys(name, caller, service),
        tokens=tokens.list_tokens(caller, service, limit=100, owner=None).items,
        buttons=actions.buttons(service, caller.person, ["owner.add_key", "owner.set_email"], {"name": name}),
        made=made,
        problem=problem,
    )


@router.post("/me/tokens")
def make_token(
    request: Request,
    caller: Looking,
    service: Serving,
    name: Annotated[str, Form(max_length=100)],
    scopes: Annotated[str, Form(max_length=1000)] = "",
    days: Annotated[str, Form(max_length=3)] = "90",
) -> Response:
    """Make a personal access token; this answer alone shows it."""
    try:
        given = tokens.NewToken(name=name, scopes=scopes.split(), days=int(days) if days.isdecimal() else 0)
        made = tokens.create_token(request, given, caller, service)
    except ValidationError as err:
        first = err.errors()[0]
        words = f"{first['loc'][0]}: {first['msg']}"
        return _me(request, caller, service, 422, problem=words)
    except CorpusError as err:
        return _me(request, caller, service, problems.status_of(err), problem=str(err))
    return _me(request, caller, service, 201, made=made.token)


@router.post("/me/tokens/revoke")
def revoke_token(
    request: Request, caller: Looking, service: Serving, uuid: Annotated[str, Form(max_length=36)]
) -> Response:
    """Let a token, or a session, be good for nothing any more."""
    tokens.revoke_token(request, uuid, caller, service)
    return frame.away("/me")


@router.get("/people")
def several(request: Request, caller: Looking, service: Serving, after: str | None = None) -> Response:
    """Everybody who is known."""
    if not caller.person.sysadmin:
        return frame.away("/me")
    page = owners.list_owners(caller, service, limit=50, after=after)
    buttons = actions.buttons(service, caller.person, ["owner.create", "owner.grant", "owner.revoke"], {})
    return frame.render(request, "people.html", page=page, buttons=buttons)


@router.get("/people/{name}")
def one(request: Request, name: Login, caller: Looking, service: Serving) -> Response:
    """A person, with keys and roles."""
    if name == caller.person.name:
        return frame.away("/me")
    person = owners.get_owner(name, caller, service)
    keys = owners.list_keys(name, caller, service)
    buttons = actions.buttons(
        service, caller.person, ["owner.add_key", "owner.remove_key", "owner.set_email", "owner.delete"], {"name": name}
    )
    return frame.render(request, "person.html", person=person, ssh_keys=keys, buttons=buttons)
