"""People: their keys and their roles."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from corpus.controller import owners
from corpus.controller.registry.models import Owner, Role, SshKey
from corpus.errors import NotThere
from corpus.identifiers import shown
from corpus.web.changes import CHANGES, Change
from corpus.web.editing import EDITS, TAGGED, IfMatch, expected, tag
from corpus.web.login import Asking
from corpus.web.routes.nodes import KeyName
from corpus.web.schemas import LINE, LOGIN, MAIL, After, Confirmed, Given, Limit, Login, Page, confirmed
from corpus.web.service import Serving

router = APIRouter(tags=["owners"])

RoleName = Literal["sysadmin", "owner", "deployer", "viewer"]


class OwnerInfo(BaseModel):
    """A person."""

    name: str = Field(examples=["ada"])
    email: str | None = Field(examples=["ada@example.org"])
    keys: int = Field(description="How many they have")
    roles: int = Field(description="How many they have")
    created: datetime.datetime


class OwnerDetail(BaseModel):
    """Everything about a person."""

    name: str = Field(examples=["ada"])
    email: str | None = Field(examples=["ada@example.org"])
    created: datetime.datetime
    roles: list[str] = Field(description="Everywhere", examples=[["sysadmin"]])
    keys: dict[str, str] = Field(description="Names by fingerprint")
    platforms: dict[str, list[str]] = Field(description="What they are on platforms, by uuid")
    guests: list[str] = Field(description="That let their keys in")
    projects: dict[str, list[str]] = Field(description="What they are in projects", examples=[{"shop": ["deployer"]}])


class KeyInfo(BaseModel):
    """A public ssh key of a person."""

    fingerprint: str = Field(examples=["SHA256:ZHkbZzbT0xOPeT8bLQeY1R6pNFzm0Fl5JxZpnNf0E9M"])
    name: str = Field(examples=["ada@laptop"])
    public: str = Field(description="One line, as in `authorized_keys`")
    created: datetime.datetime


class Email(BaseModel):
    """Where a person gets mails."""

    email: str | None = Field(examples=["ada@example.org"])


class NewEmail(Given):
    """Where a person shall get mails."""

    email: str | None = Field(max_length=254, pattern=MAIL, description="None: nowhere", examples=["ada@example.org"])


class NewOwner(Given):
    """A person who shall be known."""

    name: str = Field(min_length=1, max_length=100, pattern=LOGIN, examples=["ada"])
    email: str | None = Field(default=None, max_length=254, pattern=MAIL, examples=["ada@example.org"])
    keys: list[Annotated[str, Field(min_length=1, max_length=16_000, pattern=LINE)]] | None = Field(
        default=None, max_length=100, description="Public ones, each one line as in `authorized_keys`"
    )


class NewOwnKey(Given):
    """A public key that shall let a person in wherever they may be."""

    public: str = Field(
        min_length=1,
        max_length=16_000,
        pattern=LINE,
        description="One line, as in `authorized_keys`",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHf0 ada@laptop"],
    )
    label: str | None = Field(default=None, min_length=1, max_length=100, pattern=LINE, examples=["laptop"])


class NewEverywhere(Given):
    """What a person shall be everywhere."""

    role: RoleName


OneRole = Annotated[RoleName | None, Query(description="None: all of them")]


@router.get("/owners")
def list_owners(caller: Asking, service: Serving, limit: Limit = 50, after: After = None) -> Page[OwnerInfo]:
    """The people, by name; who is no sysadmin sees themselves."""
    service.reads(caller, "owner")
    wanted = select(Owner).order_by(Owner.name)
    if not caller.person.sysadmin:
        wanted = wanted.where(Owner.name == caller.person.name)
    if after is not None:
        wanted = wanted.where(Owner.name > after)
    with service.registry.reading() as session:
        rows = session.scalars(wanted.limit(limit + 1)).all()
        those = [row.id for row in rows]
        mine = (SshKey.owner_id.in_(those), SshKey.node_id.is_(None), SshKey.guest_id.is_(None))
        keys = _counted(session, select(SshKey.owner_id, func.count()).where(*mine).group_by(SshKey.owner_id))
        had = select(Role.owner_id, func.count()).where(Role.owner_id.in_(those)).group_by(Role.owner_id)
        roles = _counted(session, had)
        items = [
            OwnerInfo(
                name=row.name,
                email=row.email,
                keys=keys.get(row.id, 0),
                roles=roles.get(row.id, 0),
                created=row.created,
            )
            for row in rows[:limit]
        ]
    return Page(items=items, next=items[-1].name if len(rows) > limit else None)


def _counted(session: Session, wanted: Any) -> dict[int, int]:
    return {row[0]: row[1] for row in session.execute(wanted)}


def found(session: Session, name: str) -> Owner:
    """Return a person by login name.

    :raises NotThere: there is none
    """
    there = owners.find(session, name)
    if there is None:
        raise NotThere(f"There is no owner {shown(name)}, or it is not yours to see.")
    return there


@router.post("/owners", **CHANGES)
def create_owner(given: NewOwner, change: Change) -> Response:
    """Make a person known, before they log in for the first time."""
    return change("owner.create", given.model_dump())


@router.get("/owners/{name}")
def get_owner(name: Login, caller: Asking, service: Serving) -> OwnerDetail:
    """Everything about a person."""
    service.allowed(caller, "owner.view", {"name": name})
    with service.registry.reading() as session:
        found(session, name)
    return OwnerDetail(**owners.infos(service.cloud, name))


@router.delete("/owners/{name}", **CHANGES)
def delete_owner(name: Login, change: Change, confirm: Confirmed = None) -> Response:
    """Forget a person who owns nothing any more: keys, roles, tokens."""
    change.service.allowed(change.caller, "owner.delete", {"name": name})
    confirmed(name, confirm, change.plan)
    return _change(change, "owner.delete", name, confirm=name)


@router.get("/owners/{name}/email", responses=TAGGED)
def get_email(name: Login, response: Response, caller: Asking, service: Serving) -> Email:
    """Where a person gets mails; its `ETag` is what a change asks for."""
    service.allowed(caller, "owner.view", {"name": name})
    with service.registry.reading() as session:
        content = {"email": found(session, name).email}
    tag(response, content)
    return Email(**content)


@router.put("/owners/{name}/email", **EDITS)
def change_email(name: Login, given: NewEmail, change: Change, if_match: IfMatch = None) -> Response:
    """Let a person get mails elsewhere."""
    change.service.allowed(change.caller, "owner.set_email", {"name": name})
    with change.service.registry.reading() as session:
        was = expected(if_match, {"email": found(session, name).email})
    return change("owner.set_email", {"name": name, "email": given.email, "was": was})


@router.get("/owners/{name}/keys")
def list_keys(name: Login, caller: Asking, service: Serving) -> list[KeyInfo]:
    """A person's public ssh keys."""
    service.allowed(caller, "owner.view", {"name": name})
    with service.registry.reading() as session:
        mine = (SshKey.owner_id == found(session, name).id, SshKey.node_id.is_(None), SshKey.guest_id.is_(None))
        rows = session.scalars(select(SshKey).where(*mine).order_by(SshKey.name, SshKey.fingerprint)).all()
        return [
            KeyInfo(fingerprint=row.fingerprint, name=row.name, public=row.public.strip(), created=row.created)
            for row in rows
        ]


@router.post("/owners/{name}/keys", **CHANGES)
def add_key(name: Login, given: NewOwnKey, change: Change) -> Response:
    """Let one more key of a person in, wherever they are let in."""
    return _change(change, "owner.add_key", name, **given.model_dump())


@router.delete("/owners/{name}/keys", **CHANGES)
def remove_key(name: Login, key: KeyName, change: Change) -> Response:
    """Let a key of a person in no more."""
    return _change(change, "owner.remove_key", name, key=key)


@router.post("/owners/{name}/roles", **CHANGES)
def grant_everywhere(name: Login, given: NewEverywhere, change: Change) -> Response:
    """Let a person be something everywhere; in projects and on platforms see there."""
    return change("owner.grant", {"owner": name, "role": given.role})


@router.delete("/owners/{name}/roles", **CHANGES)
def revoke_everywhere(name: Login, change: Change, role: OneRole = None) -> Response:
    """Take from a person what they are everywhere."""
    return change("owner.revoke", {"owner": name, "role": role})


def _change(change: Change, kind: str, name: str, **arguments: Any) -> Response:
    """A change of a person: whoever may not do it is told that before the person is looked up."""
    change.service.allowed(change.caller, kind, {"name": name})
    with change.service.registry.reading() as session:
        found(session, name)
    return change(kind, {"name": name, **arguments})
