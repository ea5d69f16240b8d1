"""DNS: zones, the names in them, and records of anything."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, or_, select, true, union_all
from sqlalchemy.orm import aliased, selectinload

from corpus.controller import names, permissions
from corpus.controller.dns import records
from corpus.controller.registry.models import ComputeNode, DnsName, Guest
from corpus.errors import NotThere
from corpus.web.changes import CHANGES, Change
from corpus.web.editing import EDITS, TAGGED, IfMatch, expected, tag
from corpus.web.login import Asking, Caller
from corpus.web.schemas import DOMAIN, LINE, After, Confirmed, Given, Limit, Page, Wanted, confirmed
from corpus.web.service import Serving

router = APIRouter(tags=["dns"])

RecordType = Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT"]
Zone = Annotated[
    str,
    Path(
        max_length=253,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._:-]*$",
        description="Its name; of a reverse zone: 1.64.10.in-addr.arpa",
        examples=["corpus.example.org"],
    ),
]
ZoneName = Annotated[
    str | None,
    Query(max_length=253, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._:/-]*$", description="By default every zone"),
]
Value = Annotated[str, Field(min_length=1, max_length=4000, pattern=LINE)]
Ttl = Annotated[int, Field(ge=0, le=2_147_483_647, description="Seconds that others may remember it")]


class ZoneInfo(BaseModel):
    """A zone of the name server."""

    name: str = Field(examples=["corpus.example.org"])
    ours: bool = Field(description="Whether corpus made it")
    dnssec: bool = Field(description="Whether it is signed")
    serial: int
    kind: str = Field(examples=["Native"])


class NewZone(Given):
    """A zone that shall be made."""

    zone: str | None = Field(
        default=None,
        max_length=253,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._:/-]*$",
        description="Its name, or a network, whose reverse zone is meant; none: that of the controller's settings",
        examples=["corpus.example.org"],
    )
    nameservers: list[Annotated[str, Field(max_length=253, pattern=DOMAIN)]] | None = Field(
        default=None, max_length=20, description="The primary first; none: those of the controller's settings"
    )
    hostmaster: str | None = Field(default=None, max_length=254, pattern=LINE, description="Mail address")


class Rrset(BaseModel):
    """What a name has of a type, on the name server."""

    name: str = Field(examples=["www.corpus.example.org"])
    type: str = Field(examples=["A"])
    values: list[str]
    ttl: int
    ours: bool = Field(description="Whether corpus wrote it")


class NameInfo(BaseModel):
    """A name in the registry."""

    fqdn: str = Field(examples=["www.corpus.example.org"])
    kind: str = Field(description="A type of record, or `address`: those of what it stands for", examples=["address"])
    guest: str | None
    node: str | None
    values: list[str] | None = Field(description="Of a record of its own")
    ttl: int


class RecordSet(BaseModel):
    """A record of its own: what a name has of a type."""

    name: str
    type: str
    values: list[str]
    ttl: int


class NewRecord(Given):
    """Values that shall be added to what a name has of a type."""

    name: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z0-9*_][A-Za-z0-9*_.:-]*$",
        description="The whole name; its first label may be `*`. For a PTR, an address will do",
        examples=["www.corpus.example.org"],
    )
    type: RecordType = Field(examples=["CNAME"])
    values: list[Value] = Field(
        min_length=1,
        max_length=100,
        description="As in a zone file; a TXT is its plain text",
        examples=[["shop.corpus.example.org"]],
    )
    ttl: Ttl | None = None


class NewValues(Given):
    """What a name shall have of a type, all of it."""

    values: list[Value] = Field(min_length=1, max_length=100, examples=[["10 mail.example.org"]])
    ttl: Ttl = 60


class Differences(BaseModel):
    """What differs between the registry and the name server."""

    changes: dict[str, Any] = Field(description="By name and type: what is, and what would be")
    comment: str


class NewSignature(Given):
    """Whether a zone shall be signed."""

    on: bool = Field(description="Before you turn it off, have the DS records taken out of the zone above")


class Delegation(BaseModel):
    """What the zone above must have, so that signatures are believed."""

    ds: list[str]


RecordName = Annotated[
    str,
    Path(max_length=253, pattern=r"^[A-Za-z0-9*_][A-Za-z0-9*_.:-]*$", examples=["www.corpus.example.org"]),
]


@router.get("/dns/zones")
def list_zones(caller: Asking, service: Serving) -> list[ZoneInfo]:
    """The zones of the name server."""
    return [ZoneInfo(**one) for one in service.ask(caller, "dns.zones", {})]


@router.post("/dns/zones", **CHANGES)
def create_zone(given: NewZone, change: Change) -> Response:
    """Make a zone; one that corpus made before gets these nameservers."""
    return change("dns.create_zone", given.model_dump())


@router.delete("/dns/zones/{zone}", **CHANGES)
def delete_zone(
    zone: Zone,
    change: Change,
    confirm: Confirmed = None,
    force: Annotated[bool, Query(description="Also when somebody else made the zone or records in it")] = False,
) -> Response:
    """Delete a zone and everything in it; what the registry says of its names stays there."""
    change.service.allowed(change.caller, "dns.delete_zone", {})
    confirmed(zone, confirm, change.plan)
    return change("dns.delete_zone", {"zone": zone, "force": force})


@router.get("/dns/zones/{zone}/records")
def list_records(zone: Zone, caller: Asking, service: Serving) -> list[Rrset]:
    """What the name server has of a zone."""
    known: dict[str, dict[str, Any]] = service.ask(caller, "dns.records", {"zone": zone})
    return [
        Rrset(name=key.rpartition(" ")[0], type=key.rpartition(" ")[2], **facts)
        for rrsets in known.values()
        for key, facts in rrsets.items()
    ]


@router.get("/dns/zones/{zone}/export", response_class=PlainTextResponse)
def export_zone(zone: Zone, caller: Asking, service: Serving) -> str:
    """A zone as a zone file."""
    return str(service.ask(caller, "dns.export", {"zone": zone}))


@router.get("/dns/zones/{zone}/dnssec")
def get_delegation(zone: Zone, caller: Asking, service: Serving) -> Delegation:
    """The DS records that the zone above must have."""
    return Delegation(ds=service.ask(caller, "dns.delegation", {"zone": zone}))


@router.put("/dns/zones/{zone}/dnssec", **CHANGES)
def sign_zone(zone: Zone, given: NewSignature, change: Change) -> Response:
    """Sign a zone, or stop signing it."""
    return change("dns.dnssec", {"zone": zone, "on": given.on})


@router.get("/dns/plan")
def compare_names(caller: Asking, service: Serving, zone: ZoneName = None) -> Differences:
    """What differs between the registry and the name server; nothing is changed."""
    changes = service.ask(caller, "dns.plan", {"zone": zone})
    return Differences(changes=changes, comment="That would be changed." if changes else "Everything is so already.")


@router.post("/dns/apply", **CHANGES)
def apply_names(change: Change, zone: ZoneName = None) -> Response:
    """Make DNS what the registry says."""
    return change("dns.apply", {"zone": zone})


def _names(caller: Caller) -> ColumnElement[bool]:
    """The condition for names that a person may see: those of what they may see."""
    if caller.person.sysadmin:
        return true()
    name = aliased(DnsName)
    return DnsName.id.in_(
        union_all(
            select(name.id).where(name.guest_id.in_(permissions.guest_ids(caller.person))),
            select(name.id).where(name.node_id.in_(permissions.node_ids(caller.person))),
        )
    )


@router.get("/dns/names")
def list_names(
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    guest: Wanted = None,
    node: Wanted = None,
    kind: Wanted = None,
) -> Page[NameInfo]:
    """The names in the registry that one may see: of guests, of nodes, and records of their own."""
    service.reads(caller, "dns")
    wanted = select(DnsName).where(_names(caller))
    if after is not None:
        fqdn, _, last = after.partition(" ")
        wanted = wanted.where(or_(DnsName.fqdn > fqdn, (DnsName.fqdn == fqdn) & (DnsName.kind > last)))
    if guest is not None:
        wanted = wanted.where(DnsName.guest_id.in_(select(Guest.id).where(Guest.name == guest)))
    if node is not None:
        wanted = wanted.where(DnsName.node_id.in_(select(ComputeNode.id).where(ComputeNode.name == node)))
    if kind is not None:
        wanted = wanted.where(DnsName.kind == kind)
    loaded = (selectinload(DnsName.guest), selectinload(DnsName.node))
    with service.registry.reading() as session:
        wanted = permissions.first(caller.person, wanted, limit + 1, DnsName.fqdn, DnsName.kind)
        rows = session.scalars(wanted.options(*loaded)).all()
        items = [
            NameInfo(
                fqdn=row.fqdn,
                kind=row.kind,
                guest=row.guest.name if row.guest else None,
                node=row.node.name if row.node else None,
                values=list(row.values) if row.values is not None else None,
                ttl=row.ttl,
            )
            for row in rows[:limit]
        ]
    return Page(items=items, next=f"{items[-1].fqdn} {items[-1].kind}" if len(rows) > limit else None)


@router.post("/dns/records", **CHANGES)
def add_record(given: NewRecord, change: Change) -> Response:
    """Add a record of anything, or values to one."""
    return change("dns.add", given.model_dump())


def _content(service: Serving, name: str, kind: str) -> dict[str, Any]:
    """:raises NotThere: there is no record of its own of that name and type"""
    with service.registry.reading() as session:
        found = names.content(session, records.owner(name, kind), kind)
    if found is None:
        raise NotThere(f"{name} has no {kind} of its own in the registry: see /dns/names.")
    return found


@router.get("/dns/records/{name}/{type}", responses=TAGGED)
def get_record(
    name: RecordName,
    type: RecordType,  # noqa: A002 - the field's word
    response: Response,
    caller: Asking,
    service: Serving,
) -> RecordSet:
    """A record of its own; its `ETag` is what a change asks for."""
    service.allowed(caller, "dns.record", {})
    content = _content(service, name, type)
    tag(response, content)
    return RecordSet(name=name, type=type, **content)


@router.put("/dns/records/{name}/{type}", **EDITS)
def change_record(
    name: RecordName,
    type: RecordType,  # noqa: A002 - the field's word
    given: NewValues,
    change: Change,
    if_match: IfMatch = None,
) -> Response:
    """Let a name have these values of a type instead of those that it has."""
    change.service.allowed(change.caller, "dns.add", {})
    was = expected(if_match, _content(change.service, name, type))
    return change("dns.add", {"name": name, "type": type, **given.model_dump(), "replace": True, "was": was})


@router.delete("/dns/records/{name}/{type}", **CHANGES)
def remove_record(
    name: RecordName,
    type: RecordType,  # noqa: A002 - the field's word
    change: Change,
    value: Annotated[
        list[Value] | None, Query(max_length=100, description="These values alone; none: all of it")
    ] = None,
) -> Response:
    """Remove a record of its own, or some of its values."""
    return change("dns.remove", {"name": name, "type": type, "values": value})
