"""Guests."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from corpus.controller import permissions
from corpus.controller.registry.models import ComputeNode, Guest, Placement
from corpus.web.changes import CHANGES, Change
from corpus.web.login import Asking
from corpus.web.schemas import After, Given, Limit, Page
from corpus.web.service import Serving

router = APIRouter(tags=["guests"])


class GuestInfo(BaseModel):
    """A guest."""

    name: str = Field(examples=["shop"])
    uuid: str
    node: str
    state: str = Field(examples=["running"])
    address: str | None
    ssh_host: str | None = Field(description="Where its ssh is reached …")
    ssh_port: int | None = Field(description="… at this port")
    names: list[str]
    projects: list[str]


class NewGuest(Given):
    """A guest that shall be made."""

    platform: str = Field(max_length=300, description="A platform's uuid")
    name: str = Field(max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", examples=["shop"])
    size: str | None = Field(default=None, max_length=20, examples=["5G"])
    project: str | None = Field(default=None, max_length=31, description="A project that shall be pushed there")


@router.get("/guests")
def list_guests(
    caller: Asking, service: Serving, limit: Limit = 50, after: After = None, node: str | None = None
) -> Page[GuestInfo]:
    """The guests that one may see, by name."""
    with service.registry.reading() as session:
        wanted = select(Guest).where(permissions.guests(caller.person)).order_by(Guest.name)
        if after is not None:
            wanted = wanted.where(Guest.name > after)
        if node is not None:
            wanted = wanted.join(ComputeNode, Guest.node_id == ComputeNode.id).where(ComputeNode.name == node)
        options = (
            selectinload(Guest.node),
            selectinload(Guest.names),
            selectinload(Guest.placements).selectinload(Placement.project),
        )
        rows = session.scalars(wanted.options(*options).limit(limit + 1)).all()
        items = [_info(row) for row in rows[:limit]]
    return Page(items=items, next=items[-1].name if len(rows) > limit else None)


@router.get("/guests/{name}")
def get_guest(name: str, caller: Asking, service: Serving) -> GuestInfo:
    """One guest."""
    service.allowed(caller, "guest.view", {"name": name})
    with service.registry.reading() as session:
        return _info(session.scalars(select(Guest).where(Guest.name == name)).one())


def _info(row: Guest) -> GuestInfo:
    return GuestInfo(
        name=row.name,
        uuid=row.uuid,
        node=row.node.name,
        state=row.state,
        address=row.address,
        ssh_host=row.node.address or row.node.host,
        ssh_port=row.ssh_port,
        names=sorted(one.fqdn for one in row.names),
        projects=sorted(one.project.name for one in row.placements),
    )


@router.post("/guests", **CHANGES)
def create_guest(given: NewGuest, change: Change) -> Response:
    """Make a guest."""
    return change("guest.create", given.model_dump())


@router.post("/guests/{name}/{verb}", **CHANGES)
def change_guest(name: str, verb: str, change: Change) -> Response:
    """Start, stop or restart a guest."""
    return change(f"guest.{verb}", {"name": name})
