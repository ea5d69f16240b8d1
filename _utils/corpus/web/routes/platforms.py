"""Platforms: tenants' environments on compute nodes."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, selectinload

from corpus.controller import adjustments, permissions
from corpus.controller.registry.models import ComputeNode, Guest, Owner, Platform
from corpus.errors import NotThere
from corpus.identifiers import shown
from corpus.web.changes import CHANGES, Change
from corpus.web.editing import EDITS, TAGGED, IfMatch, expected, tag
from corpus.web.login import Asking, Caller
from corpus.web.routes.nodes import Mode, PlatformType
from corpus.web.schemas import (
    LINE,
    LOGIN,
    MAIL,
    NAME,
    After,
    Confirmed,
    Given,
    Limit,
    Login,
    Page,
    Uuid,
    Wanted,
    confirmed,
)
from corpus.web.service import Serving

router = APIRouter(tags=["platforms"])

PlatformRole = Literal["owner", "deployer", "viewer"]


class PlatformInfo(BaseModel):
    """A platform."""

    uuid: str
    node: str = Field(examples=["node1.corpus.test"])
    type: str = Field(examples=["prod"])
    operation_mode: str = Field(examples=["final"])
    owner: str | None = Field(examples=["ada"])
    guests: int = Field(description="How many it has")
    created: datetime.datetime


class PlatformSettings(BaseModel):
    """What people set of a platform."""

    owner: str | None
    settings: dict[str, Any] = Field(description="What the pillar of its guests says beside what the registry computes")


class PlatformDetail(PlatformInfo):
    """Everything about a platform."""

    roles: dict[str, list[str]] = Field(
        description="Names of people, and what they are in it", examples=[{"ada": ["owner"]}]
    )
    names_of_guests: list[str] = Field(description="The first 500")


class NewPlatform(Given):
    """A tenant's environment that shall be on a node."""

    node: str = Field(min_length=1, max_length=253, pattern=NAME, examples=["node1.corpus.test"])
    type: PlatformType = "prod"
    mode: Mode | None = Field(default=None, description="None: the one of its type")
    owner: str | None = Field(default=None, max_length=100, pattern=LINE)
    settings: dict[str, Any] = Field(default={})


class NewPlatformSettings(Given):
    """What a platform's settings shall be, all of them."""

    owner: str | None = Field(default=None, max_length=100, pattern=LINE, description="None: nobody's")
    settings: dict[str, Any] = Field(default={})


class NewMode(Given):
    """How its projects shall be operated."""

    mode: Mode


class NewRole(Given):
    """What somebody shall be on a platform."""

    owner: str = Field(min_length=1, max_length=100, pattern=LOGIN, description="Their login name", examples=["bob"])
    role: PlatformRole = Field(default="deployer", examples=["deployer"])
    email: str | None = Field(default=None, max_length=254, pattern=MAIL, description="Of who is not known yet")


@router.get("/platforms")
def list_platforms(
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    node: Wanted = None,
    type: Wanted = None,  # noqa: A002 - the field's word
    owner: Wanted = None,
) -> Page[PlatformInfo]:
    """The platforms that one may see, the oldest first."""
    service.reads(caller, "platform")
    wanted = select(Platform).where(permissions.platforms(caller.person)).order_by(Platform.id)
    if after is not None:
        last = select(Platform.id).where(Platform.uuid == after).scalar_subquery()
        wanted = wanted.where(Platform.id > func.coalesce(last, 0))
    if node is not None:
        same = or_(ComputeNode.name == node, ComputeNode.uuid == node)
        wanted = wanted.where(Platform.node_id.in_(select(ComputeNode.id).where(same)))
    if type is not None:
        wanted = wanted.where(Platform.type == type)
    if owner is not None:
        wanted = wanted.where(Platform.owner_id.in_(select(Owner.id).where(Owner.name == owner)))
    loaded = (selectinload(Platform.node), selectinload(Platform.owner))
    with service.registry.reading() as session:
        rows = session.scalars(wanted.options(*loaded).limit(limit + 1)).all()
        those = [row.id for row in rows]
        counted = select(Guest.platform_id, func.count()).where(Guest.platform_id.in_(those))
        guests = {row[0]: row[1] for row in session.execute(counted.group_by(Guest.platform_id))}
        items = [PlatformInfo(**_info(row, guests.get(row.id, 0))) for row in rows[:limit]]
    return Page(items=items, next=items[-1].uuid if len(rows) > limit else None)


def _info(row: Platform, guests: int) -> dict[str, Any]:
    return {
        "uuid": row.uuid,
        "node": row.node.name,
        "type": row.type,
        "operation_mode": row.operation_mode,
        "owner": row.owner.name if row.owner else None,
        "guests": guests,
        "created": row.created,
    }


def found(session: Session, caller: Caller, uuid: str) -> Platform:
    """Return a platform by its uuid.

    :raises NotThere: there is none that they may see
    """
    row = session.scalar(select(Platform).where(Platform.uuid == uuid, permissions.platforms(caller.person)))
    if row is None:
        raise NotThere(f"There is no platform {shown(uuid)}, or it is not yours to see.")
    return row


@router.get("/platforms/{uuid}")
def get_platform(uuid: Uuid, caller: Asking, service: Serving) -> PlatformDetail:
    """Everything about a platform."""
    service.allowed(caller, "platform.view", {"platform": uuid})
    with service.registry.reading() as session:
        row = found(session, caller, uuid)
        count = session.scalar(select(func.count()).where(Guest.platform_id == row.id)) or 0
        named = select(Guest.name).where(Guest.platform_id == row.id, permissions.guests(caller.person))
        roles: dict[str, list[str]] = {}
        for one in row.roles:
            roles.setdefault(one.owner.name, []).append(one.name)
        return PlatformDetail(
            **_info(row, count),
            roles=roles,
            names_of_guests=list(session.scalars(named.order_by(Guest.name).limit(500))),
        )


@router.post("/platforms", **CHANGES)
def create_platform(given: NewPlatform, change: Change) -> Response:
    """Make a tenant's environment on a node."""
    return change("platform.create", given.model_dump())


@router.delete("/platforms/{uuid}", **CHANGES)
def delete_platform(uuid: Uuid, change: Change, confirm: Confirmed = None) -> Response:
    """Remove a platform that has no guests."""
    change.service.allowed(change.caller, "platform.delete", {"platform": uuid})
    _seen(change, uuid)
    confirmed(uuid, confirm, change.plan)
    return change("platform.delete", {"platform": uuid})


@router.get("/platforms/{uuid}/settings", responses=TAGGED)
def get_platform_settings(uuid: Uuid, response: Response, caller: Asking, service: Serving) -> PlatformSettings:
    """What people set of a platform; its `ETag` is what a change asks for."""
    service.allowed(caller, "platform.configure", {"platform": uuid})
    with service.registry.reading() as session:
        content = adjustments.of_platform(found(session, caller, uuid))
    tag(response, content)
    return PlatformSettings(**content)


@router.put("/platforms/{uuid}/settings", **EDITS)
def change_platform_settings(
    uuid: Uuid, given: NewPlatformSettings, change: Change, if_match: IfMatch = None
) -> Response:
    """Set whose it is, and what the pillar of its guests says beside what the registry computes."""
    change.service.allowed(change.caller, "platform.configure", {"platform": uuid})
    with change.service.registry.reading() as session:
        was = expected(if_match, adjustments.of_platform(found(session, change.caller, uuid)))
    return change("platform.configure", {"platform": uuid, **given.model_dump(), "was": was})


@router.post("/platforms/{uuid}/mode", **CHANGES)
def switch_mode(uuid: Uuid, given: NewMode, change: Change) -> Response:
    """Change the operation mode of a platform, and of the projects on its guests."""
    change.service.allowed(change.caller, "compute_node.switchmode", {"platform": uuid})
    _seen(change, uuid)
    return change("compute_node.switchmode", {"platform": uuid, "mode": given.mode})


@router.post("/platforms/{uuid}/roles", **CHANGES)
def grant_on_platform(uuid: Uuid, given: NewRole, change: Change) -> Response:
    """Let somebody be something on a platform; whoever deploys is let in by ssh on its guests."""
    change.service.allowed(change.caller, "platform.grant", {"platform": uuid})
    _seen(change, uuid)
    return change("platform.grant", {"platform": uuid, **given.model_dump()})


@router.delete("/platforms/{uuid}/roles/{owner}", **CHANGES)
def revoke_on_platform(
    uuid: Uuid,
    owner: Login,
    change: Change,
    role: Annotated[PlatformRole | None, Query(description="None: all that they are there")] = None,
) -> Response:
    """Take from somebody what they are on a platform."""
    change.service.allowed(change.caller, "platform.revoke", {"platform": uuid})
    _seen(change, uuid)
    return change("platform.revoke", {"platform": uuid, "owner": owner, "role": role})


def _seen(change: Change, uuid: str) -> None:
    with change.service.registry.reading() as session:
        found(session, change.caller, uuid)
