"""Guests."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import or_, select
from sqlalchemy.orm import Session, selectinload

from corpus.controller import permissions
from corpus.controller.registry.models import GUEST_STATES, ComputeNode, Guest, Owner, Placement, Platform, Project
from corpus.errors import NotThere
from corpus.identifiers import shown
from corpus.web.changes import CHANGES, Change
from corpus.web.login import Asking, Caller
from corpus.web.schemas import (
    CHANGED_SIZE,
    DOMAIN,
    LINE,
    NAME,
    SIZE,
    After,
    Confirmed,
    Domain,
    Given,
    Limit,
    Named,
    Page,
    Wanted,
    confirmed,
)
from corpus.web.service import Serving

router = APIRouter(tags=["guests"])

_LABEL = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
#: Beside what the program may take, seconds for the way.
_WAY = 20


class GuestInfo(BaseModel):
    """A guest."""

    name: str = Field(examples=["shop"])
    uuid: str
    node: str = Field(examples=["node1.corpus.test"])
    state: str = Field(description=", ".join(GUEST_STATES), examples=["running"])
    address: str | None = Field(description="In its node's network", examples=["10.64.1.2"])
    ssh_host: str | None = Field(description="Where its ssh is reached …")
    ssh_port: int | None = Field(description="… at this port", examples=[40001])
    names: list[str] = Field(description="In DNS", examples=[["shop.corpus.test"]])
    projects: list[str] = Field(description="That are pushed there")


class GuestDetail(GuestInfo):
    """Everything about a guest."""

    minion_id: str
    type: str = Field(examples=["lxc"])
    platform: str | None = Field(description="Its platform's uuid")
    owner: str | None = Field(description="Whose it is; none: its platform's owner's")
    address6: str | None
    image: str | None = Field(description="That it was cloned from")
    size_bytes: int | None = Field(description="What it may store")
    memory: int | None = Field(description="Bytes that it may use; none: all of its node's")
    cpus: float | None
    keys: dict[str, str] = Field(description="Who is let in by ssh: names by fingerprint")
    created: datetime.datetime
    started: datetime.datetime | None = Field(description="When its minion last said that it started")
    live: dict[str, Any] | None = Field(default=None, description="What its node says now, with `live=true`")


class NewGuest(Given):
    """A guest that shall be made."""

    platform: str = Field(max_length=300, pattern=NAME, description="A platform's uuid, or a compute node")
    name: str = Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", examples=["shop"])
    guest_type: str = Field(default="lxc", max_length=20, pattern=r"^[a-z]+$")
    size: str | None = Field(default=None, max_length=20, pattern=SIZE, examples=["5G"])
    memory: str | None = Field(default=None, max_length=20, pattern=SIZE, examples=["512M"])
    cpus: float | None = Field(default=None, gt=0, le=1024, examples=[1.5])
    image: str | None = Field(default=None, max_length=201, pattern=NAME, examples=["debian"])
    owner: str | None = Field(default=None, max_length=100, pattern=LINE, description="Whose it is")
    keys: list[str] | None = Field(default=None, max_length=100, description="Public ssh keys that are let in, too")
    project: str | None = Field(
        default=None, max_length=31, pattern=r"^[a-z][a-z0-9_-]*$", description="A project that shall be pushed there"
    )
    settings: dict[str, Any] | None = Field(default=None, description="Of that project")


class NewSize(Given):
    """Another limit of what a guest may store."""

    size: str = Field(
        min_length=1,
        max_length=20,
        pattern=CHANGED_SIZE,
        description="All of it, or how much more or less",
        examples=["+5G"],
    )


class Snapshot(BaseModel):
    """A guest as it was."""

    label: str = Field(examples=["before-upgrade"])
    taken: str | None = Field(description="When (UTC)")


class NewSnapshot(Given):
    """A guest shall be kept as it is."""

    label: str = Field(min_length=1, max_length=60, pattern=_LABEL, examples=["before-upgrade"])


class Destination(Given):
    """Where a guest shall go."""

    node: str = Field(min_length=1, max_length=253, pattern=NAME, description="A node, or a platform on it")


class NewName(Given):
    """A name that shall stand for it."""

    fqdn: str = Field(min_length=1, max_length=253, pattern=DOMAIN, examples=["www.example.org"])


class Program(Given):
    """A program that shall run in a guest, as root; no shell sees it."""

    argv: list[Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]] = Field(
        min_length=1, max_length=1000, examples=[["uptime", "-p"]]
    )
    timeout: float = Field(default=60, gt=0, le=300, description="Seconds")


class Ran(BaseModel):
    """What a program said."""

    retcode: int
    stdout: str
    stderr: str


Label = Annotated[str, Path(max_length=60, pattern=_LABEL, description="The snapshot's", examples=["before-upgrade"])]
Live = Annotated[bool, Query(description="Ask now, too, instead of telling what was said last; takes a second")]


@router.get("/guests")
def list_guests(
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    node: Wanted = None,
    platform: Wanted = None,
    project: Wanted = None,
    owner: Wanted = None,
    state: Wanted = None,
) -> Page[GuestInfo]:
    """The guests that one may see, by name."""
    service.reads(caller, "guest")
    wanted = select(Guest).where(permissions.guests(caller.person))
    if after is not None:
        wanted = wanted.where(Guest.name > after)
    if node is not None:
        same = or_(ComputeNode.name == node, ComputeNode.uuid == node)
        wanted = wanted.where(Guest.node_id.in_(select(ComputeNode.id).where(same)))
    if platform is not None:
        wanted = wanted.where(Guest.platform_id.in_(select(Platform.id).where(Platform.uuid == platform)))
    if project is not None:
        placed = select(Placement.guest_id).join(Project).where(Project.name == project)
        wanted = wanted.where(Guest.id.in_(placed))
    if owner is not None:
        wanted = wanted.where(Guest.owner_id.in_(select(Owner.id).where(Owner.name == owner)))
    if state is not None:
        wanted = wanted.where(Guest.state == state)
    with service.registry.reading() as session:
        wanted = permissions.first(caller.person, wanted, limit + 1, Guest.name)
        rows = session.scalars(wanted.options(*_LOADED)).all()
        items = [GuestInfo(**_info(row)) for row in rows[:limit]]
    return Page(items=items, next=items[-1].name if len(rows) > limit else None)


_LOADED = (
    selectinload(Guest.node),
    selectinload(Guest.names),
    selectinload(Guest.placements).selectinload(Placement.project),
)


def _info(row: Guest) -> dict[str, Any]:
    return {
        "name": row.name,
        "uuid": row.uuid,
        "node": row.node.name,
        "state": row.state,
        "address": row.address,
        "ssh_host": row.node.address or row.node.host,
        "ssh_port": row.ssh_port,
        "names": sorted(one.fqdn for one in row.names),
        "projects": sorted(one.project.name for one in row.placements),
    }


def found(session: Session, caller: Caller, name: str) -> Guest:
    """Return a guest by its name, its uuid or its minion's id.

    :raises NotThere: there is none that they may see
    """
    same = or_(Guest.name == name, Guest.uuid == name, Guest.minion_id == name)
    row = session.scalar(select(Guest).where(same))
    if row is None or not permissions.sees(session, caller.person, row):
        raise NotThere(f"There is no guest {shown(name)}, or it is not yours to see.")
    return row


def called(service: Serving, caller: Caller, name: str) -> str:
    """Return the guest's own name for what it was called.

    :raises NotThere: there is none that they may see
    """
    with service.registry.reading() as session:
        return found(session, caller, name).name


@router.post("/guests", **CHANGES)
def create_guest(given: NewGuest, change: Change) -> Response:
    """Make a guest: cloned from an image, with an address, a name, a minion, and a way in."""
    told = given.model_dump()
    return change("guest.create", {**told, "type": told.pop("guest_type")})


@router.get("/guests/{name}")
def get_guest(name: Named, caller: Asking, service: Serving, live: Live = False) -> GuestDetail:
    """Everything about a guest but its secrets."""
    with service.registry.reading() as session:
        row = found(session, caller, name)
        name = row.name
        info = GuestDetail(
            **_info(row),
            minion_id=row.minion_id,
            type=row.type,
            platform=row.platform.uuid if row.platform else None,
            owner=row.owner.name if row.owner else None,
            address6=row.address6,
            image=f"{row.image.name}-{row.image.version}" if row.image else None,
            size_bytes=row.size_bytes,
            memory=row.memory,
            cpus=row.cpus,
            keys={key.fingerprint: key.name for key in row.keys},
            created=row.created,
            started=row.started,
        )
    service.allowed(caller, "guest.view", {"name": name})
    if live:
        info.live = service.ask(caller, "guest.look", {"name": name})
    return info


@router.delete("/guests/{name}", **CHANGES)
def delete_guest(name: Named, change: Change, confirm: Confirmed = None) -> Response:
    """Remove a guest with its data: container, address, port, names, keys, credentials."""
    name = called(change.service, change.caller, name)
    confirmed(name, confirm, change.plan)
    return change("guest.delete", {"name": name})


@router.post("/guests/{name}/start", **CHANGES)
def start_guest(name: Named, change: Change) -> Response:
    """Start a guest; it starts with its node from now on."""
    return change("guest.start", {"name": called(change.service, change.caller, name)})


@router.post("/guests/{name}/stop", **CHANGES)
def stop_guest(name: Named, change: Change) -> Response:
    """Stop a guest; it stays stopped when its node starts again."""
    return change("guest.stop", {"name": called(change.service, change.caller, name)})


@router.post("/guests/{name}/restart", **CHANGES)
def restart_guest(name: Named, change: Change) -> Response:
    """Stop a guest and start it again."""
    return change("guest.restart", {"name": called(change.service, change.caller, name)})


@router.post("/guests/{name}/enlarge", **CHANGES)
def enlarge_guest(name: Named, given: NewSize, change: Change) -> Response:
    """Let a guest store more."""
    return change("guest.enlarge", {"name": called(change.service, change.caller, name), "size": given.size})


@router.post("/guests/{name}/trim", **CHANGES)
def trim_guest(name: Named, given: NewSize, change: Change) -> Response:
    """Let a guest store less; never less than it holds."""
    return change("guest.trim", {"name": called(change.service, change.caller, name), "size": given.size})


@router.post("/guests/{name}/move", **CHANGES)
def move_guest(name: Named, given: Destination, change: Change) -> Response:
    """Take a guest to another compute node; a move that fails leaves it where it was."""
    return change("guest.move", {"name": called(change.service, change.caller, name), "node": given.node})


@router.get("/guests/{name}/snapshots")
def list_snapshots(name: Named, caller: Asking, service: Serving) -> list[Snapshot]:
    """The snapshots of a guest, as its node tells them, the oldest first."""
    known = service.ask(caller, "guest.snapshots", {"name": called(service, caller, name)})
    return [Snapshot(label=label, taken=facts.get("taken")) for label, facts in known.items()]


@router.post("/guests/{name}/snapshots", **CHANGES)
def create_snapshot(name: Named, given: NewSnapshot, change: Change) -> Response:
    """Keep a guest as it is now."""
    return change("guest.snapshot", {"name": called(change.service, change.caller, name), "label": given.label})


@router.post("/guests/{name}/snapshots/{label}/restore", **CHANGES)
def restore_snapshot(name: Named, label: Label, change: Change) -> Response:
    """Make a guest what it was when a snapshot was taken; what was since is gone."""
    return change("guest.restore", {"name": called(change.service, change.caller, name), "label": label})


@router.delete("/guests/{name}/snapshots/{label}", **CHANGES)
def delete_snapshot(name: Named, label: Label, change: Change) -> Response:
    """Forget a snapshot."""
    return change("guest.delete_snapshot", {"name": called(change.service, change.caller, name), "label": label})


@router.post("/guests/{name}/names", **CHANGES)
def link_guest_name(name: Named, given: NewName, change: Change) -> Response:
    """Give a guest one more name, which its node's proxy serves."""
    return change("guest.link_dns", {"name": called(change.service, change.caller, name), "fqdn": given.fqdn})


@router.delete("/guests/{name}/names/{fqdn}", **CHANGES)
def unlink_guest_name(name: Named, fqdn: Domain, change: Change) -> Response:
    """Take a name from a guest."""
    return change("guest.unlink_dns", {"name": called(change.service, change.caller, name), "fqdn": fqdn})


@router.post("/guests/{name}/exec")
def execute_in_guest(request: Request, name: Named, given: Program, caller: Asking, service: Serving) -> Ran:
    """Run a program in a guest, as root, and wait for it."""
    name = called(service, caller, name)
    service.audited(request, "guest.exec", f"guest:{name}", given.argv[0][:200])
    told = service.ask(caller, "guest.exec", {"name": name, **given.model_dump()}, given.timeout + _WAY)
    return Ran(**{key: told[key] for key in ("retcode", "stdout", "stderr")})
