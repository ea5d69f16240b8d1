"""Compute nodes."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, selectinload

from corpus.controller import adjustments, permissions
from corpus.controller.registry.models import NODE_STATES, ComputeNode, DnsName, Guest, Platform
from corpus.errors import NotThere
from corpus.identifiers import shown
from corpus.web.changes import CHANGES, Change
from corpus.web.editing import EDITS, TAGGED, IfMatch, expected, tag
from corpus.web.login import Asking, Caller
from corpus.web.routes.guests import Live, NewName
from corpus.web.schemas import (
    LINE,
    NAME,
    After,
    Confirmed,
    Given,
    Limit,
    Named,
    Page,
    Wanted,
    confirmed,
)
from corpus.web.service import Serving

router = APIRouter(tags=["nodes"])

PlatformType = Literal["dev", "staging", "prod"]
Mode = Literal["editable", "cooking", "final"]


class Storage(BaseModel):
    """Bytes of a node's pool, when it was last looked at."""

    size: int | None
    free: int | None


class NodeInfo(BaseModel):
    """A compute node."""

    name: str = Field(examples=["node1.corpus.test"])
    uuid: str
    state: str = Field(description=", ".join(NODE_STATES), examples=["ready"])
    ip: list[str] = Field(description="That names of its guests resolve to", examples=[["192.0.2.10"]])
    dns: list[str] = Field(description="Its names", examples=[["node1.corpus.test", "*.node1.corpus.test"]])
    guest_types: list[str] = Field(examples=[["lxc"]])
    guests: int = Field(description="How many it has")
    slots: int | None = Field(description="How many it may have; none: as many as there is room for")
    free_slots: int | None
    load: float | None = Field(description="One minute's average, when it was last looked at")
    memory: int | None = Field(description="Bytes")
    cpus: int | None
    storage: Storage
    inventoried: datetime.datetime | None = Field(description="When it was last looked at")


class PlatformOfNode(BaseModel):
    """A tenant's environment on the node."""

    uuid: str
    type: str = Field(examples=["prod"])
    operation_mode: str = Field(examples=["final"])
    owner: str | None


class NodeDetail(NodeInfo):
    """Everything about a compute node; the last five are for sysadmins."""

    network: str | None = Field(description="Of its guests", examples=["10.64.1.0/24"])
    network6: str | None
    images: list[str] = Field(description="In its pool")
    platforms: list[PlatformOfNode] = Field(description="That one may see")
    minion_id: str | None = None
    host: str | None = Field(default=None, description="Where the controller reaches it by ssh")
    ssh_port: int | None = None
    keys: dict[str, str] | None = Field(default=None, description="Who is let in as root: names by fingerprint")
    inventory: dict[str, Any] | None = Field(default=None, description="What it said of itself last")


class NewNode(Given):
    """A machine that shall be a compute node."""

    host: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z0-9._:-]+$",
        description="Its name or address",
        examples=["node1.example.org"],
    )
    platform_type: PlatformType = Field(default="prod", description="What its guests are for")
    guest_types: list[Annotated[str, Field(max_length=20, pattern=r"^[a-z]+$")]] = Field(
        default=["lxc"], min_length=1, max_length=10
    )
    name: str | None = Field(default=None, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    port: int = Field(default=22, ge=1, le=65535, description="Of its ssh server")
    user: str = Field(default="root", min_length=1, max_length=32, pattern=r"^[a-z_][a-z0-9_-]*$")
    identity: str | None = Field(
        default=None,
        max_length=1000,
        pattern=r"^/[^\x00-\x1f\x7f]*$",
        description="Absolute path, on the controller, of a private key that is let in now",
    )
    owner: str | None = Field(default=None, max_length=100, pattern=LINE, description="Whose platform it is")
    mode: Mode | None = Field(default=None, description="None: the one of the platform's type")
    slots: int | None = Field(default=None, ge=1, le=100_000)
    settings: dict[str, Any] | None = Field(default=None, description="For its pillar")


class FreshNode(NewNode):
    """A bare machine that shall be a compute node."""

    address: str | None = Field(default=None, max_length=15, pattern=r"^[0-9.]+$")
    address6: str | None = Field(default=None, max_length=39, pattern=r"^[0-9a-fA-F:.]+$")


class NodeSettings(BaseModel):
    """What people set of a node."""

    slots: int | None
    settings: dict[str, Any] = Field(description="What its pillar says beside what the registry computes")


class NewNodeSettings(Given):
    """What a node's settings shall be, all of them."""

    slots: int | None = Field(default=None, ge=1, le=100_000, description="How many guests it may have; none: no limit")
    settings: dict[str, Any] = Field(default={}, examples=[{"firewall": []}])


class NewKey(Given):
    """A public key that shall be let in."""

    key: str = Field(
        min_length=1,
        max_length=16_000,
        pattern=LINE,
        description="One line, as in `authorized_keys`",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHf0 ada@laptop"],
    )


class Elsewhere(Given):
    """Where the guests shall go."""

    to: str | None = Field(default=None, max_length=253, pattern=NAME, description="Another node; none: they stay")


class WantedImage(Given):
    """Which image shall be brought."""

    image: str | None = Field(default=None, max_length=201, pattern=NAME, description="None: the newest of each")


KeyName = Annotated[
    str, Query(min_length=1, max_length=1000, pattern=LINE, description="Its fingerprint, its name, or itself")
]


@router.get("/nodes")
def list_nodes(
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    state: Wanted = None,
    platform_type: Wanted = None,
) -> Page[NodeInfo]:
    """The compute nodes that one may see, by name."""
    service.reads(caller, "compute_node")
    wanted = select(ComputeNode).where(permissions.nodes(caller.person))
    if after is not None:
        wanted = wanted.where(ComputeNode.name > after)
    if state is not None:
        wanted = wanted.where(ComputeNode.state == state)
    if platform_type is not None:
        wanted = wanted.where(ComputeNode.id.in_(select(Platform.node_id).where(Platform.type == platform_type)))
    with service.registry.reading() as session:
        rows = session.scalars(permissions.first(caller.person, wanted, limit + 1, ComputeNode.name)).all()
        items = [NodeInfo(**one) for one in _infos(session, rows[:limit])]
    return Page(items=items, next=items[-1].name if len(rows) > limit else None)


def _infos(session: Session, rows: Sequence[ComputeNode]) -> list[dict[str, Any]]:
    those = [row.id for row in rows]
    counted = select(Guest.node_id, func.count()).where(Guest.node_id.in_(those)).group_by(Guest.node_id)
    guests = {row[0]: row[1] for row in session.execute(counted)}
    names: dict[int | None, list[str]] = {}
    for number, fqdn in session.execute(
        select(DnsName.node_id, DnsName.fqdn).where(DnsName.node_id.in_(those)).order_by(DnsName.fqdn)
    ):
        names.setdefault(number, []).append(fqdn)
    return [
        {
            "name": row.name,
            "uuid": row.uuid,
            "state": row.state,
            "ip": [one for one in (row.address, row.address6) if one],
            "dns": names.get(row.id, []),
            "guest_types": list(row.guest_types),
            "guests": guests.get(row.id, 0),
            "slots": row.slots,
            "free_slots": None if row.slots is None else max(0, row.slots - guests.get(row.id, 0)),
            "load": row.load,
            "memory": row.memory,
            "cpus": row.cpus,
            "storage": {"size": row.storage_size, "free": row.storage_free},
            "inventoried": row.inventoried,
        }
        for row in rows
    ]


def found(session: Session, caller: Caller, name: str) -> ComputeNode:
    """Return a node by its name, its first label, its uuid or its minion's id.

    :raises NotThere: there is none that they may see
    """
    same = or_(ComputeNode.name == name, ComputeNode.uuid == name, ComputeNode.minion_id == name)
    rows = [
        row for row in session.scalars(select(ComputeNode).where(same)) if permissions.sees(session, caller.person, row)
    ]
    if not rows and "." not in name:
        short = ComputeNode.name.startswith(f"{name}.", autoescape=True)
        seen = permissions.nodes(caller.person)
        rows = list(session.scalars(select(ComputeNode).where(short, seen).limit(2)))
    if len(rows) != 1:
        raise NotThere(f"There is no compute node {shown(name)}, or it is not yours to see.")
    return rows[0]


def called(service: Serving, caller: Caller, name: str) -> str:
    """Return the node's whole name for what it was called.

    :raises NotThere: there is none that they may see
    """
    with service.registry.reading() as session:
        return found(session, caller, name).name


@router.get("/nodes/{name}")
def get_node(name: Named, caller: Asking, service: Serving, live: Live = False) -> NodeDetail:
    """Everything about a compute node but its secrets."""
    name = called(service, caller, name)
    service.allowed(caller, "compute_node.view", {"name": name})
    if live:
        service.ask(caller, "compute_node.look", {"name": name})
    with service.registry.reading() as session:
        row = found(session, caller, name)
        seen = select(Platform).where(Platform.node_id == row.id, permissions.platforms(caller.person))
        platforms = session.scalars(seen.options(selectinload(Platform.owner)).order_by(Platform.id)).all()
        info = NodeDetail(
            **_infos(session, [row])[0],
            network=row.network,
            network6=row.network6,
            images=sorted(f"{one.image.name}-{one.image.version}" for one in row.images),
            platforms=[
                PlatformOfNode(
                    uuid=one.uuid,
                    type=one.type,
                    operation_mode=one.operation_mode,
                    owner=one.owner.name if one.owner else None,
                )
                for one in platforms
            ],
        )
        if caller.person.sysadmin:
            info.minion_id, info.host, info.ssh_port = row.minion_id, row.host, row.ssh_port
            info.keys = {key.fingerprint: key.name for key in row.keys}
            info.inventory = dict(row.inventory)
    return info


@router.post("/nodes", **CHANGES)
def init_node(given: FreshNode, change: Change) -> Response:
    """Make a machine that is reached by ssh a compute node."""
    return change("compute_node.init", given.model_dump())


@router.post("/nodes/link", **CHANGES)
def link_node(given: NewNode, change: Change) -> Response:
    """Attach a machine that has the base system of a compute node already."""
    return change("compute_node.link", given.model_dump())


@router.delete("/nodes/{name}", **CHANGES)
def unlink_node(name: Named, change: Change, confirm: Confirmed = None) -> Response:
    """Give up a compute node that has no guests; the machine stays as it is."""
    confirmed(name, confirm, change.plan)
    return _change(change, "compute_node.unlink", name)


@router.post("/nodes/{name}/drain", **CHANGES)
def drain_node(name: Named, given: Elsewhere, change: Change) -> Response:
    """Put no new guests on a compute node; with `to`, move those that it has."""
    return _change(change, "compute_node.drain", name, to=given.to)


@router.post("/nodes/{name}/undrain", **CHANGES)
def undrain_node(name: Named, change: Change) -> Response:
    """Put new guests on a compute node again."""
    return _change(change, "compute_node.undrain", name)


@router.post("/nodes/{name}/keys", **CHANGES)
def add_node_key(name: Named, given: NewKey, change: Change) -> Response:
    """Let a public ssh key in, as root."""
    return _change(change, "compute_node.add_key", name, key=given.key)


@router.delete("/nodes/{name}/keys", **CHANGES)
def remove_node_key(name: Named, key: KeyName, change: Change) -> Response:
    """Let a public ssh key in no more."""
    return _change(change, "compute_node.remove_key", name, key=key)


@router.post("/nodes/{name}/names", **CHANGES)
def link_node_name(name: Named, given: NewName, change: Change) -> Response:
    """Give a compute node one more name."""
    return _change(change, "compute_node.link_dns", name, fqdn=given.fqdn)


@router.post("/nodes/{name}/images", **CHANGES)
def synchronize_images(name: Named, given: WantedImage, change: Change) -> Response:
    """Bring the controller's images to a compute node."""
    return _change(change, "compute_node.image_sync", name, image=given.image)


@router.post("/nodes/{name}/inventory")
def refresh_inventory(request: Request, name: Named, caller: Asking, service: Serving) -> dict[str, Any]:
    """Ask a compute node how it is, and keep what it says: memory, storage, load, programs, kernel."""
    service.audited(request, "compute_node.inventory", f"compute_node:{name}")
    found: dict[str, Any] = service.ask(caller, "compute_node.look", {"name": called(service, caller, name)})
    return found


@router.get("/nodes/{name}/settings", responses=TAGGED)
def get_node_settings(name: Named, response: Response, caller: Asking, service: Serving) -> NodeSettings:
    """What people set of a node; its `ETag` is what a change asks for."""
    service.allowed(caller, "compute_node.configure", {"node": name})
    with service.registry.reading() as session:
        content = adjustments.of_node(found(session, caller, name))
    tag(response, content)
    return NodeSettings(**content)


@router.put("/nodes/{name}/settings", **EDITS)
def change_node_settings(name: Named, given: NewNodeSettings, change: Change, if_match: IfMatch = None) -> Response:
    """Set what its pillar says beside what the registry computes, and how many guests it may have."""
    change.service.allowed(change.caller, "compute_node.configure", {"node": name})
    with change.service.registry.reading() as session:
        row = found(session, change.caller, name)
        was = expected(if_match, adjustments.of_node(row))
    return change("compute_node.configure", {"node": row.name, **given.model_dump(), "was": was})


def _change(change: Change, kind: str, name: str, **arguments: Any) -> Response:
    """A change of a node: whoever may not do it at all is told that before the node is looked up."""
    change.service.allowed(change.caller, kind, {"node": name})
    return change(kind, {"node": called(change.service, change.caller, name), **arguments})
