"""Who asks: passwords are the master's to check; after that, tokens of which the registry has the digests alone."""

from __future__ import annotations

import datetime
import hashlib
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import select

from corpus.controller import permissions
from corpus.controller.permissions import Person
from corpus.controller.registry.models import AccessToken, Owner, now
from corpus.errors import CorpusError
from corpus.web.problems import Refused
from corpus.web.service import Service, service

PREFIX = "corpus_"
#: Seconds after which a person's groups are looked up again.
CHECKED = 60
#: Wrong passwords of a name, and of an address, that are let through in a quarter of an hour.
TRIES, TRIES_OF_ADDRESS, MINUTES = 5, 30, 15
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Caller:
    """Who asks, and from where.

    :param person: who it is
    :param token: uuid of what let them in
    :param kind: ``session`` or ``personal``
    :param address: that the request came from
    """

    person: Person
    token: str
    kind: str
    address: str


def cookie(secure: bool) -> str:
    """The name of the cookie; its prefix is a promise that the browser keeps: this host alone, https, every path."""
    return "__Host-corpus" if secure else "corpus"


def digest(token: str) -> str:
    """What the registry has of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def make(
    service: Service,
    name: str,
    kind: str,
    label: str,
    groups: Sequence[str],
    expires: datetime.datetime,
    address: str | None = None,
    scopes: Sequence[str] = (),
) -> tuple[str, AccessToken]:
    """Make a token for a person; return it, and what is kept of it.

    :param name: the person's login name
    :param kind: ``session`` or ``personal``
    :param label: what it is called
    """
    token = PREFIX + secrets.token_urlsafe(32)
    with service.registry.session() as session:
        owner = session.scalar(select(Owner).where(Owner.name == name))
        if owner is None:
            owner = Owner(name=name)
            session.add(owner)
            session.flush()
        row = AccessToken(
            owner_id=owner.id,
            kind=kind,
            name=label[:100],
            digest=digest(token),
            groups=list(groups),
            scopes=list(scopes),
            expires=expires,
            address=address,
        )
        session.add(row)
        session.flush()
    return token, row


class Throttle:
    """Counts wrong passwords, and says when there were too many."""

    def __init__(self) -> None:
        self._failed: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def check(self, name: str, address: str) -> None:
        """See that a login may be tried.

        :raises Refused: too many failed
        """
        with self._lock:
            for key, most in ((f"name:{name}", TRIES), (f"address:{address}", TRIES_OF_ADDRESS)):
                recent = self._recent(key)
                if len(recent) >= most:
                    seconds = max(1, int(recent[0] + MINUTES * 60 - time.monotonic()))
                    raise Refused(
                        429,
                        f"Too many wrong passwords: try again in {seconds // 60 + 1} minutes.",
                        {"Retry-After": str(seconds)},
                    )

    def failed(self, name: str, address: str) -> None:
        """Count a wrong password."""
        with self._lock:
            for key in (f"name:{name}", f"address:{address}"):
                self._failed[key] = [*self._recent(key), time.monotonic()]

    def right(self, name: str) -> None:
        """Forget what failed of a name."""
        with self._lock:
            self._failed.pop(f"name:{name}", None)

    def _recent(self, key: str) -> list[float]:
        since = time.monotonic() - MINUTES * 60
        recent = [moment for moment in self._failed.get(key, ()) if moment > since]
        if recent:
            self._failed[key] = recent
        else:
            self._failed.pop(key, None)
        return recent


def caller(request: Request, service: Annotated[Service, Depends(service)]) -> Caller:
    """Who asks.

    :raises Refused: nobody who is known, or another site's page asks in their name
    """
    found = known(request, service)
    if found is None:
        raise Refused(401, "Log in first.", {"WWW-Authenticate": "Bearer"})
    return found


def known(request: Request, service: Service) -> Caller | None:
    """Who asks, or None for a stranger."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    token = bearer.strip() if scheme.lower() == "bearer" else request.cookies.get(cookie(service.settings.secure))
    if not token:
        return None
    if not bearer:
        own_origin(request, service)
    with service.registry.reading() as session:
        row = session.scalar(
            select(AccessToken).where(AccessToken.digest == digest(token), AccessToken.expires > now())
        )
        if row is None:
            return None
        owner = row.owner.name
    groups = _groups(service, row, owner)
    with service.registry.reading() as session:
        person = permissions.person(session, owner, groups, service.settings.admins, row.scopes)
    found = Caller(person, row.uuid, row.kind, address(request))
    request.state.caller = found
    return found


def own_origin(request: Request, service: Service) -> None:
    """See that a page of another site does not ask in a person's name (beside the cookie's SameSite)."""
    if request.method in _SAFE:
        return
    origin = request.headers.get("Origin")
    if origin is None or origin.rstrip("/") != service.settings.url.rstrip("/"):
        raise Refused(403, "This request comes from another site's page: it is not done.")


def address(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else "unknown"


def _groups(service: Service, row: AccessToken, owner: str) -> list[str]:
    """The groups of a token's owner, looked up again after a minute; none when the master cannot be asked then."""
    if (now() - row.checked).total_seconds() < CHECKED:
        return list(row.groups)
    try:
        groups: list[str] = service.question("people.groups", {"name": owner}, service.settings.identity)
    except CorpusError:
        return []
    with service.registry.session() as session:
        kept: Any = session.get(AccessToken, row.id)
        if kept is not None:
            kept.groups, kept.checked, kept.used = groups, now(), now()
    return groups


#: A parameter of an endpoint that is for people who are logged in.
Asking = Annotated[Caller, Depends(caller)]
