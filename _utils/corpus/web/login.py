"""Who asks: passwords are the master's to check; after that, tokens of which the registry has the digests alone."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import logging
import math
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import delete, select, update

from corpus.controller import permissions
from corpus.controller.permissions import Person
from corpus.controller.registry.models import AccessToken, Owner, now
from corpus.errors import CorpusError, NotThere
from corpus.web.problems import Refused
from corpus.web.service import Service, service

log = logging.getLogger(__name__)

PREFIX = "corpus_"
#: Seconds for which a lookup that failed is not tried again.
_FAILED = 5
#: Seconds for which people are believed to be there, without groups, when nobody can tell.
_BELIEVED = 3600
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
            for key, most in ((f"name:{name}", TRIES), (f"address:{network(address)}", TRIES_OF_ADDRESS)):
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
            for key in (f"name:{name}", f"address:{network(address)}"):
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
    if scheme.lower() != "bearer":  # a browser sends the cookie by itself, whatever else it sends
        own_origin(request, service)
    with service.registry.reading() as session:
        row = session.scalar(
            select(AccessToken).where(AccessToken.digest == digest(token), AccessToken.expires > now())
        )
        if row is None:
            return None
        owner, was = row.owner.name, list(row.groups)
        person = permissions.person(session, owner, was, service.settings.admins, row.scopes)
    memberships: Memberships = request.app.state.memberships
    groups = memberships.of(row.id, (now() - row.checked).total_seconds(), was)
    if groups is None:
        return None
    if groups != was:
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


def network(address: str) -> str:
    """What counts as one address: of IPv6 the network, all of which one machine may have (RFC 4291, section 2.5.4)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Memberships:
    """People's groups, looked up again when they are old: by one request alone, for which others of theirs wait.

    When half of their time is over, they are looked up beside the request, so that hardly anybody waits at all.

    :param service: whose master knows
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._turns: dict[int, threading.Lock] = {}
        self._failed: dict[int, float] = {}
        self._beside = ThreadPoolExecutor(4, "groups")

    def of(self, token: int, age: float, groups: list[str]) -> list[str] | None:
        """Return the groups of a token's owner, or None when there is no such person any more.

        There are none when they cannot be looked up.

        :param token: its id in the registry
        :param age: seconds since they were looked up last
        :param groups: that they were then
        :raises CorpusError: they could not be looked up for long
        """
        most = self._service.settings.groups_seconds
        if age > most:
            known = self._looked_up(token, most)
            return None if known is None else known[1]
        if age > most / 2 and not self._turn(token).locked():
            self._beside.submit(self._quietly, token, most / 2)
        return groups

    def _known(self, token: int) -> tuple[float, list[str]] | None:
        """How old the groups that we know are, in seconds, and which they are."""
        with self._service.registry.reading() as session:
            row = session.get(AccessToken, token)
            return None if row is None else ((now() - row.checked).total_seconds(), list(row.groups))

    def _turn(self, token: int) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(token, threading.Lock())

    def _looked_up(self, token: int, most: float) -> tuple[float, list[str]] | None:
        with self._turn(token):
            known = self._known(token)
            if known is None or known[0] <= most:
                return known
            if time.monotonic() - self._failed.get(token, -math.inf) < _FAILED:
                return 0, []
            try:
                groups = self._ask(token)
            except CorpusError as err:
                if known[0] > _BELIEVED:
                    raise CorpusError("Nobody can tell whether you are still there: the master does not.") from err
                self._failed[token] = time.monotonic()
                return 0, []
            self._failed.pop(token, None)
            return None if groups is None else (0, groups)

    def _quietly(self, token: int, most: float) -> None:
        try:
            self._looked_up(token, most)
        except Exception:
            log.exception("Groups could not be looked up")

    def _ask(self, token: int) -> list[str] | None:
        """Ask the master, and keep what it says. Who is gone keeps no token: the next of that name is another person."""
        with self._service.registry.reading() as session:
            row = session.get(AccessToken, token)
            if row is None:
                return None
            name, owner = row.owner.name, row.owner_id
        try:
            groups = [str(one) for one in self._service.question("people.groups", {"name": name}, name)]
        except NotThere:
            log.warning("%s is not known any more: their tokens are revoked", name)
            with self._service.registry.session() as session:
                session.execute(delete(AccessToken).where(AccessToken.owner_id == owner))
            return None
        with self._service.registry.session() as session:
            session.execute(
                update(AccessToken).where(AccessToken.id == token).values(groups=groups, checked=now(), used=now())
            )
        return groups


#: A parameter of an endpoint that is for people who are logged in.
Asking = Annotated[Caller, Depends(caller)]
