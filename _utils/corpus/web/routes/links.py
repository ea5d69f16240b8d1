"""One-time links: a secret is shown once to whoever has its token."""

from __future__ import annotations

import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, SecretStr
from sqlalchemy import select

from corpus.controller import links
from corpus.controller.registry.models import ComputeNode, Guest, now
from corpus.errors import NotThere
from corpus.web import login
from corpus.web.login import Asking
from corpus.web.routes.guests import called
from corpus.web.schemas import Given, Named
from corpus.web.service import Service, Serving

router = APIRouter(tags=["links"])


class LinkToken(Given):
    """A link's token: what stands behind the ``#`` of its address."""

    token: SecretStr = Field(min_length=20, max_length=100)


class LinkShown(BaseModel):
    """What a link showed; it does not do so again."""

    subject: str = Field(description="What the secret opens", examples=["guest:shop"])
    name: str = Field(description="Which of its secrets", examples=["root"])
    value: str


class MadeLink(BaseModel):
    """A link that was made."""

    url: str = Field(description="Give it to whom the secret is for: a browser there asks before it shows it")
    token: str = Field(description="The same, for `POST /links`")
    expires: datetime.datetime


@router.post("/links")
def redeem_link(request: Request, given: LinkToken, service: Serving) -> LinkShown:
    """Show what a link shows, once. Nobody needs to log in: the token is what lets in."""
    return shown(request, service, given.token.get_secret_value())


def shown(request: Request, service: Service, token: str) -> LinkShown:
    """Return what a link shows; the audit tells of what, and not of the token.

    :raises NotThere: it shows nothing
    :raises Refused: too many that showed nothing came from there
    """
    service.audited(request, "link.redeem", None)
    login.known(request, service)  # for the audit
    throttle: login.Throttle = request.app.state.throttle
    where = login.address(request)
    throttle.check(f"link {where}", where)
    try:
        with service.registry.session() as session:
            subject, name, value = links.redeem(session, token.strip())
    except NotThere:
        throttle.failed(f"link {where}", where)
        raise
    subject = _called(service, subject)
    service.audited(request, "link.redeem", subject, name)
    return LinkShown(subject=subject, name=name, value=value)


def _called(service: Service, subject: str) -> str:
    """A subject with the name of what it is, where that is there."""
    noun, _, uuid = subject.partition(":")
    tables: dict[str, type[Guest | ComputeNode]] = {"guest": Guest, "node": ComputeNode}
    if noun not in tables:
        return subject
    with service.registry.reading() as session:
        name = session.scalar(select(tables[noun].name).where(tables[noun].uuid == uuid))
    return f"{noun}:{name or uuid}"


@router.post("/guests/{name}/credentials", status_code=201)
def link_guest_credentials(request: Request, name: Named, caller: Asking, service: Serving) -> MadeLink:
    """Make a link that shows a guest's root password once, within a week."""
    name = called(service, caller, name)
    service.audited(request, "guest.credentials", f"guest:{name}")
    token = links.new_token()
    service.allowed(caller, "guest.credentials", {"name": name})
    key = service.sealed(links.key(token), f"guest.credentials:{name}")
    service.ask(caller, "guest.credentials", {"name": name, "digest": links.digest(token), "key": key})
    return MadeLink(url=links.address(service.settings.url, token), token=token, expires=now() + links.LIFETIME)
