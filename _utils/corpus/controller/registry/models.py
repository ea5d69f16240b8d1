"""The registry's tables, one class each.

Units: sizes in bytes, times in UTC, addresses as plain text in their canonical form. What must be unique or of a
fixed set is said to the database, which holds it against every writer.

Names and addresses are checked when they are set (:mod:`corpus.identifiers`, :mod:`ipaddress`).
"""

from __future__ import annotations

import datetime
import ipaddress
import uuid as uuids
from collections.abc import Iterable
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, validates
from sqlalchemy.types import TypeDecorator

from corpus import identifiers
from corpus.errors import UsageError

PLATFORM_TYPES = ("dev", "staging", "prod")
OPERATION_MODES = ("editable", "cooking", "final")
NODE_STATES = ("attaching", "ready", "draining", "unlinked", "failed")
GUEST_STATES = ("creating", "running", "stopped", "moving", "deleting", "failed")
#: What a person may be, the strongest first.
ROLES = ("sysadmin", "owner", "deployer", "viewer")
OPERATION_STATES = ("planned", "running", "done", "undoing", "undone", "failed")
STEP_STATES = ("planned", "running", "done", "skipped", "undoing", "undone", "failed")
#: What a name may stand for: a type of DNS record, or the addresses (A and AAAA) of its target.
NAME_KINDS = ("address", "A", "AAAA", "CNAME", "TXT", "SRV", "MX", "CAA", "NS", "PTR")
TOKEN_KINDS = ("session", "personal")
RESERVABLE = ("address", "address6", "ssh_port")


def now() -> datetime.datetime:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def new_uuid() -> str:
    """A fresh random UUID as text."""
    return str(uuids.uuid4())


class UtcTime(TypeDecorator[datetime.datetime]):
    """A moment: aware and in UTC, whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        """Refuse a moment that does not know its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise UsageError(f"{value.isoformat()} has no time zone: the registry keeps times in UTC.")
        return value.astimezone(datetime.timezone.utc)

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        """SQLite gives back what it was given, without the zone."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=datetime.timezone.utc)


#: JSON that notices what is changed in it (one level deep).
_MAPPING = MutableDict.as_mutable(JSON(none_as_null=True))
_LIST = MutableList.as_mutable(JSON(none_as_null=True))


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


def _lower_case(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} = lower({column}) AND {column} <> ''", name=column)


def _port(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} BETWEEN 1 AND 65535", name=column)


def _positive(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} > 0", name=column)


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime.datetime: UtcTime()}

    def __repr__(self) -> str:
        """Class and name; never a value that could be a secret."""
        label = getattr(self, "name", None) or getattr(self, "uuid", None) or getattr(self, "id", None)
        return f"<{type(self).__name__} {label}>"


class _Addressed:
    """Addresses and networks are kept in their canonical form, so that equal ones are equal texts."""

    @validates("address", "address6", "network", "network6", "gateway", "gateway6", include_backrefs=False)
    def _canonical(self, key: str, value: str | None) -> str | None:
        if value is None:
            return None
        version = 6 if key.endswith("6") else 4
        try:
            found: Any = ipaddress.ip_network(value) if "network" in key else ipaddress.ip_address(value)
        except ValueError as err:
            raise UsageError(f"{identifiers.shown(value)} is no {key}: {err}.") from err
        if found.version != version and not (key == "address" and isinstance(self, ComputeNode)):
            raise UsageError(f"{identifiers.shown(value)} is no {key}: it is of IP version {found.version}.")
        return str(found)


class _Named:
    """Names are checked before they are kept."""

    @validates("name", include_backrefs=False)
    def _checked(self, _key: str, value: str) -> str:
        return identifiers.host_name(value)


class Owner(Base):
    """A person or group that things belong to."""

    __tablename__ = "owners"
    __table_args__ = (_lower_case("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    """The login name; with external_auth, the one that Salt knows."""
    email: Mapped[str | None] = mapped_column(String(254))
    created: Mapped[datetime.datetime] = mapped_column(default=now)

    roles: Mapped[list[Role]] = relationship(back_populates="owner", cascade="all, delete-orphan")
    platforms: Mapped[list[Platform]] = relationship(back_populates="owner")
    keys: Mapped[list[SshKey]] = relationship(back_populates="owner", cascade="all, delete-orphan")
    tokens: Mapped[list[AccessToken]] = relationship(back_populates="owner", cascade="all, delete-orphan")


class Role(Base):
    """What an owner may do: everywhere, with one project, or with one platform."""

    __tablename__ = "roles"
    __table_args__ = (
        _one_of("name", ROLES),
        CheckConstraint("project_id IS NULL OR platform_id IS NULL", name="place"),
        Index(
            "uq_roles_everywhere",
            "owner_id",
            "name",
            unique=True,
            sqlite_where=text("project_id IS NULL AND platform_id IS NULL"),
            postgresql_where=text("project_id IS NULL AND platform_id IS NULL"),
        ),
        UniqueConstraint("owner_id", "project_id", "name"),
        UniqueConstraint("owner_id", "platform_id", "name"),
        Index(None, "project_id"),
        Index(None, "platform_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    platform_id: Mapped[int | None] = mapped_column(ForeignKey("platforms.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(20))

    owner: Mapped[Owner] = relationship(back_populates="roles")
    project: Mapped[Project | None] = relationship(back_populates="roles")
    platform: Mapped[Platform | None] = relationship(back_populates="roles")


class ComputeNode(_Addressed, Base):
    """A machine that guests live on."""

    __tablename__ = "compute_nodes"
    __table_args__ = (
        _lower_case("name"),
        _one_of("state", NODE_STATES),
        _port("ssh_port"),
        UniqueConstraint("host", "ssh_port"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uuid)
    name: Mapped[str] = mapped_column(String(253), unique=True)
    minion_id: Mapped[str] = mapped_column(String(253), unique=True)
    host: Mapped[str] = mapped_column(String(253))
    """Where the controller reaches it by ssh: a name or an address."""
    ssh_port: Mapped[int] = mapped_column(default=22)
    ssh_user: Mapped[str] = mapped_column(String(32), default="root")
    address: Mapped[str | None] = mapped_column(String(39))
    """What guests' names resolve to: the address at which its proxy answers."""
    address6: Mapped[str | None] = mapped_column(String(39))
    network: Mapped[str | None] = mapped_column(String(43), unique=True)
    """Of its guests, as CIDR; the first address is the bridge's own."""
    network6: Mapped[str | None] = mapped_column(String(43), unique=True)
    guest_types: Mapped[list[str]] = mapped_column(_LIST, default=lambda: ["lxc"])
    state: Mapped[str] = mapped_column(String(20), default="attaching", index=True)
    slots: Mapped[int | None]
    """How many guests it may have; None when only its resources limit them."""
    memory: Mapped[int | None] = mapped_column(BigInteger)
    cpus: Mapped[int | None]
    storage_size: Mapped[int | None] = mapped_column(BigInteger)
    storage_free: Mapped[int | None] = mapped_column(BigInteger)
    load: Mapped[float | None]
    """One minute's average when it was last looked at."""
    inventory: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)
    """What ``mc_node.inventory`` answered last."""
    inventoried: Mapped[datetime.datetime | None]
    settings: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)
    """What its pillar says beside what the registry computes: firewall rules, default environment …"""
    created: Mapped[datetime.datetime] = mapped_column(default=now)

    platforms: Mapped[list[Platform]] = relationship(back_populates="node")
    guests: Mapped[list[Guest]] = relationship(
        back_populates="node", primaryjoin="ComputeNode.id == Guest.node_id", foreign_keys="Guest.node_id"
    )
    names: Mapped[list[DnsName]] = relationship(back_populates="node", cascade="all, delete-orphan")
    keys: Mapped[list[SshKey]] = relationship(back_populates="node", cascade="all, delete-orphan")
    volumes: Mapped[list[Volume]] = relationship(back_populates="node", cascade="all, delete-orphan")
    images: Mapped[list[NodeImage]] = relationship(back_populates="node", cascade="all, delete-orphan")

    @validates("name", "minion_id", include_backrefs=False)
    def _checked(self, _key: str, value: str) -> str:
        return identifiers.domain_name(value)


class Platform(Base):
    """A tenant's environment on a node."""

    __tablename__ = "platforms"
    __table_args__ = (
        _one_of("type", PLATFORM_TYPES),
        _one_of("operation_mode", OPERATION_MODES),
        UniqueConstraint("id", "node_id"),
        Index(None, "node_id"),
        Index(None, "owner_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uuid)
    node_id: Mapped[int] = mapped_column(ForeignKey("compute_nodes.id"))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owners.id"))
    type: Mapped[str] = mapped_column(String(20))
    operation_mode: Mapped[str] = mapped_column(String(20))
    settings: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)
    """What the pillar of its guests says beside what the registry computes."""
    created: Mapped[datetime.datetime] = mapped_column(default=now)

    node: Mapped[ComputeNode] = relationship(back_populates="platforms")
    owner: Mapped[Owner | None] = relationship(back_populates="platforms")
    roles: Mapped[list[Role]] = relationship(back_populates="platform", cascade="all, delete-orphan")
    guests: Mapped[list[Guest]] = relationship(
        back_populates="platform", primaryjoin="Platform.id == Guest.platform_id", foreign_keys="Guest.platform_id"
    )


class Guest(_Addressed, _Named, Base):
    """A container or virtual machine on a node. Its platform, if it has one, is on the same node."""

    __tablename__ = "guests"
    __table_args__ = (
        _lower_case("name"),
        _one_of("state", GUEST_STATES),
        _port("ssh_port"),
        _port("http_port"),
        _positive("size_bytes"),
        ForeignKeyConstraint(["platform_id", "node_id"], ["platforms.id", "platforms.node_id"]),
        UniqueConstraint("node_id", "address"),
        UniqueConstraint("node_id", "address6"),
        UniqueConstraint("node_id", "ssh_port"),
        Index(None, "platform_id"),
        Index(None, "state", "name"),
        Index(None, "address"),
        Index(None, "address6"),
        Index(None, "owner_id"),
        Index(None, "image_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uuid)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    minion_id: Mapped[str] = mapped_column(String(253), unique=True)
    node_id: Mapped[int] = mapped_column(ForeignKey("compute_nodes.id"))
    platform_id: Mapped[int | None]
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owners.id"))
    """Whose it is; None: the platform's owner's."""
    type: Mapped[str] = mapped_column(String(20), default="lxc")
    address: Mapped[str | None] = mapped_column(String(15))
    """In the node's network, without the prefix' length; see :mod:`corpus.controller.registry.allocation`."""
    address6: Mapped[str | None] = mapped_column(String(39))
    ssh_port: Mapped[int | None]
    """The node's port that leads to its port 22."""
    http_port: Mapped[int] = mapped_column(default=80)
    """Where the node's proxy finds its web front."""
    image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id"))
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """What it may use of the node's storage."""
    memory: Mapped[int | None] = mapped_column(BigInteger)
    cpus: Mapped[float | None]
    state: Mapped[str] = mapped_column(String(20), default="creating")
    settings: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)
    """What its pillar says beside what the registry computes."""
    created: Mapped[datetime.datetime] = mapped_column(default=now)
    started: Mapped[datetime.datetime | None]
    """When its minion last said that it started."""

    node: Mapped[ComputeNode] = relationship(
        back_populates="guests", primaryjoin="ComputeNode.id == Guest.node_id", foreign_keys="Guest.node_id"
    )
    platform: Mapped[Platform | None] = relationship(
        back_populates="guests", primaryjoin="Platform.id == Guest.platform_id", foreign_keys="Guest.platform_id"
    )
    owner: Mapped[Owner | None] = relationship()
    image: Mapped[Image | None] = relationship()
    names: Mapped[list[DnsName]] = relationship(back_populates="guest", cascade="all, delete-orphan")
    keys: Mapped[list[SshKey]] = relationship(back_populates="guest", cascade="all, delete-orphan")
    volumes: Mapped[list[Volume]] = relationship(back_populates="guest", cascade="all, delete-orphan")
    placements: Mapped[list[Placement]] = relationship(back_populates="guest", cascade="all, delete-orphan")
    deployments: Mapped[list[Deployment]] = relationship(back_populates="guest", passive_deletes=True)

    @validates("platform")
    def _on_its_node(self, _key: str, value: Platform | None) -> Platform | None:
        """A guest that gets a platform gets that platform's node."""
        if value is not None and value.node is not None:
            self.node = value.node
        return value

    @validates("minion_id", include_backrefs=False)
    def _checked_id(self, _key: str, value: str) -> str:
        return identifiers.domain_name(value)


class Reservation(_Addressed, Base):
    """An address or port of a node that a guest will have, such as while it moves there."""

    __tablename__ = "reservations"
    __table_args__ = (
        _one_of("kind", RESERVABLE),
        UniqueConstraint("node_id", "kind", "value"),
        Index(None, "guest_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    node_id: Mapped[int] = mapped_column(ForeignKey("compute_nodes.id", ondelete="CASCADE"))
    guest_id: Mapped[int] = mapped_column(ForeignKey("guests.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    value: Mapped[str] = mapped_column(String(39))

    node: Mapped[ComputeNode] = relationship()
    guest: Mapped[Guest] = relationship()


class Project(Base):
    """An application that people push."""

    __tablename__ = "projects"
    __table_args__ = (_lower_case("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uuid)
    name: Mapped[str] = mapped_column(String(31), unique=True)
    settings: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)
    created: Mapped[datetime.datetime] = mapped_column(default=now)

    roles: Mapped[list[Role]] = relationship(back_populates="project", cascade="all, delete-orphan")
    placements: Mapped[list[Placement]] = relationship(back_populates="project", cascade="all, delete-orphan")
    deployments: Mapped[list[Deployment]] = relationship(back_populates="project", cascade="all, delete-orphan")

    @validates("name", include_backrefs=False)
    def _checked(self, _key: str, value: str) -> str:
        return identifiers.project_name(value)


class Placement(Base):
    """A project is meant to run on a guest."""

    __tablename__ = "placements"
    __table_args__ = (UniqueConstraint("project_id", "guest_id"), Index(None, "guest_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    guest_id: Mapped[int] = mapped_column(ForeignKey("guests.id", ondelete="CASCADE"))
    created: Mapped[datetime.datetime] = mapped_column(default=now)

    project: Mapped[Project] = relationship(back_populates="placements")
    guest: Mapped[Guest] = relationship(back_populates="placements")


class DnsName(Base):
    """A name, and what it stands for: a guest, a node, or values of its own."""

    __tablename__ = "dns_names"
    __table_args__ = (
        _lower_case("fqdn"),
        _one_of("kind", NAME_KINDS),
        _positive("ttl"),
        CheckConstraint(
            "(CASE WHEN node_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN guest_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN target_values IS NULL THEN 0 ELSE 1 END) = 1",
            name="target",
        ),
        UniqueConstraint("fqdn", "kind"),
        Index(None, "node_id"),
        Index(None, "guest_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    fqdn: Mapped[str] = mapped_column(String(253))
    """Without the dot at its end, in lower case; the first label may be ``*``."""
    kind: Mapped[str] = mapped_column(String(10), default="address")
    node_id: Mapped[int | None] = mapped_column(ForeignKey("compute_nodes.id", ondelete="CASCADE"))
    guest_id: Mapped[int | None] = mapped_column(ForeignKey("guests.id", ondelete="CASCADE"))
    values: Mapped[list[str] | None] = mapped_column("target_values", _LIST)
    """Of a free record, as a zone file has them."""
    ttl: Mapped[int] = mapped_column(default=60)
    created: Mapped[datetime.datetime] = mapped_column(default=now)

    node: Mapped[ComputeNode | None] = relationship(back_populates="names")
    guest: Mapped[Guest | None] = relationship(back_populates="names")

    @validates("fqdn", include_backrefs=False)
    def _checked(self, _key: str, value: str) -> str:
        return identifiers.domain_name(value.removesuffix(".") if isinstance(value, str) else value)


class SshKey(Base):
    """A public key, and where it lets in: on a node, on a guest, or nowhere yet."""

    __tablename__ = "ssh_keys"
    __table_args__ = (
        CheckConstraint("node_id IS NULL OR guest_id IS NULL", name="place"),
        UniqueConstraint("node_id", "fingerprint"),
        UniqueConstraint("guest_id", "fingerprint"),
        Index(None, "owner_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    public: Mapped[str] = mapped_column(Text)
    """One line as in ``authorized_keys``."""
    fingerprint: Mapped[str] = mapped_column(String(100))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"))
    node_id: Mapped[int | None] = mapped_column(ForeignKey("compute_nodes.id", ondelete="CASCADE"))
    guest_id: Mapped[int | None] = mapped_column(ForeignKey("guests.id", ondelete="CASCADE"))
    created: Mapped[datetime.datetime] = mapped_column(default=now)

    owner: Mapped[Owner | None] = relationship(back_populates="keys")
    node: Mapped[ComputeNode | None] = relationship(back_populates="keys")
    guest: Mapped[Guest | None] = relationship(back_populates="keys")


class Volume(Base):
    """Storage of a node beside the roots of its guests; mounted in a guest, or free."""

    __tablename__ = "volumes"
    __table_args__ = (
        _positive("size_bytes"),
        UniqueConstraint("node_id", "name"),
        UniqueConstraint("guest_id", "mountpoint"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    node_id: Mapped[int] = mapped_column(ForeignKey("compute_nodes.id", ondelete="CASCADE"))
    guest_id: Mapped[int | None] = mapped_column(ForeignKey("guests.id", ondelete="CASCADE"))
    driver: Mapped[str] = mapped_column(String(20), default="btrfs")
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    mountpoint: Mapped[str | None] = mapped_column(String(255))
    """In the guest, absolute."""
    created: Mapped[datetime.datetime] = mapped_column(default=now)

    node: Mapped[ComputeNode] = relationship(back_populates="volumes")
    guest: Mapped[Guest | None] = relationship(back_populates="volumes")


class Image(Base):
    """A golden image that guests are cloned from."""

    __tablename__ = "images"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    version: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(100))
    """Of the archive, ``sha256:<hexadecimal>``."""
    size: Mapped[int] = mapped_column(BigInteger)
    """Of the archive, in bytes."""
    created: Mapped[datetime.datetime] = mapped_column(default=now)

    nodes: Mapped[list[NodeImage]] = relationship(back_populates="image", cascade="all, delete-orphan")


class NodeImage(Base):
    """A node has an image in its pool."""

    __tablename__ = "node_images"
    __table_args__ = (Index(None, "image_id"),)

    node_id: Mapped[int] = mapped_column(ForeignKey("compute_nodes.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    synchronized: Mapped[datetime.datetime] = mapped_column(default=now)

    node: Mapped[ComputeNode] = relationship(back_populates="images")
    image: Mapped[Image] = relationship(back_populates="nodes")


class Credential(Base):
    """A secret of something; read and written by :mod:`corpus.controller.credentials` alone."""

    __tablename__ = "credentials"
    __table_args__ = (UniqueConstraint("subject", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(String(300))
    """What it opens: ``node:<uuid>``, ``guest:<uuid>``, ``project:<uuid>`` …"""
    name: Mapped[str] = mapped_column(String(100))
    """Which of the subject's: ``root`` …"""
    value: Mapped[bytes] = mapped_column(LargeBinary)
    """Encrypted (Fernet)."""
    created: Mapped[datetime.datetime] = mapped_column(default=now)
    changed: Mapped[datetime.datetime] = mapped_column(default=now)

    links: Mapped[list[OneTimeLink]] = relationship(back_populates="credential", cascade="all, delete-orphan")


class OneTimeLink(Base):
    """Shows a credential once to who has the token, of which only the digest is kept."""

    __tablename__ = "one_time_links"
    __table_args__ = (Index(None, "credential_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    credential_id: Mapped[int] = mapped_column(ForeignKey("credentials.id", ondelete="CASCADE"))
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the token, hexadecimal."""
    value: Mapped[bytes] = mapped_column(LargeBinary)
    """What it shows, encrypted with a key that the token alone makes; empty once it was shown."""
    created: Mapped[datetime.datetime] = mapped_column(default=now)
    expires: Mapped[datetime.datetime]
    used: Mapped[datetime.datetime | None]

    credential: Mapped[Credential] = relationship(back_populates="links")


class Operation(Base):
    """A long action: what was asked, how far it came."""

    __tablename__ = "operations"
    __table_args__ = (
        _one_of("state", OPERATION_STATES),
        Index(None, "state"),
        Index(None, "subject"),
        Index(None, "who"),
        Index(None, "created"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uuid)
    kind: Mapped[str] = mapped_column(String(100))
    """What its steps are found by, such as ``guest.create``."""
    subject: Mapped[str | None] = mapped_column(String(300))
    """What it changes, such as ``guest:shop``."""
    arguments: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)
    state: Mapped[str] = mapped_column(String(20), default="planned")
    who: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime.datetime] = mapped_column(default=now)
    started: Mapped[datetime.datetime | None]
    finished: Mapped[datetime.datetime | None]
    message: Mapped[str | None] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)
    """What its steps remember for each other."""

    steps: Mapped[list[Step]] = relationship(
        back_populates="operation", cascade="all, delete-orphan", order_by="Step.position"
    )


class Step(Base):
    """A step of an operation, recorded before it is taken."""

    __tablename__ = "steps"
    __table_args__ = (_one_of("state", STEP_STATES), UniqueConstraint("operation_id", "position"))

    id: Mapped[int] = mapped_column(primary_key=True)
    operation_id: Mapped[int] = mapped_column(ForeignKey("operations.id", ondelete="CASCADE"))
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(20), default="planned")
    started: Mapped[datetime.datetime | None]
    finished: Mapped[datetime.datetime | None]
    message: Mapped[str | None] = mapped_column(Text)

    operation: Mapped[Operation] = relationship(back_populates="steps")


class Deployment(Base):
    """A deployment that a guest told of. It stays when the guest is gone."""

    __tablename__ = "deployments"
    __table_args__ = (
        UniqueConstraint("guest_name", "project_id", "deployment_id"),
        Index(None, "guest_id"),
        Index(None, "started"),
        Index(None, "result", "started"),
        Index(None, "guest_name", "started"),
        Index(None, "project_id", "started"),
        Index(None, "project_id", "result", "started"),
        Index(None, "project_id", "deployment_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    guest_id: Mapped[int | None] = mapped_column(ForeignKey("guests.id", ondelete="SET NULL"))
    guest_name: Mapped[str] = mapped_column(String(63))
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    deployment_id: Mapped[str] = mapped_column(String(100))
    """The guest's own id of it, by which a second telling is known."""
    result: Mapped[bool]
    who: Mapped[str | None] = mapped_column(String(100))
    started: Mapped[datetime.datetime | None]
    seconds: Mapped[float | None]
    report: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)

    guest: Mapped[Guest | None] = relationship(back_populates="deployments")
    project: Mapped[Project] = relationship(back_populates="deployments")

    @validates("guest", include_backrefs=False)
    def _remembered(self, _key: str, value: Guest | None) -> Guest | None:
        """The guest's name outlives the guest."""
        if value is not None:
            self.guest_name = value.name
        return value


class Event(Base):
    """Something that happened in an operation or a deployment, for whoever follows it; forgotten after some days."""

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "operation"),
        Index(None, "project", "id"),
        Index(None, "at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    """Grows, and is never used again: whoever follows goes on behind the last one that they saw."""
    at: Mapped[datetime.datetime] = mapped_column(default=now)
    kind: Mapped[str] = mapped_column(String(30))
    """``operation.step``, ``operation.says``, ``operation.end``, ``deployment.stage``, ``deployment.end`` …"""
    operation: Mapped[str | None] = mapped_column(String(36))
    """The operation's uuid."""
    subject: Mapped[str | None] = mapped_column(String(300))
    """What the operation changes."""
    project: Mapped[str | None] = mapped_column(String(31))
    guest: Mapped[str | None] = mapped_column(String(63))
    data: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)


class Question(Base):
    """Something that only the master can answer: asked by a service beside it, forgotten when it was read."""

    __tablename__ = "questions"
    __table_args__ = (Index(None, "asked"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uuid)
    name: Mapped[str] = mapped_column(String(100))
    """Which one, such as ``project.logs``."""
    arguments: Mapped[dict[str, Any]] = mapped_column(_MAPPING, default=dict)
    who: Mapped[str] = mapped_column(String(100))
    asked: Mapped[datetime.datetime] = mapped_column(default=now)
    taken: Mapped[datetime.datetime | None]
    """When somebody began to answer it."""
    answered: Mapped[datetime.datetime | None]
    refused: Mapped[str | None] = mapped_column(Text)
    """Why there is no answer, in words for who asked."""
    blame: Mapped[str | None] = mapped_column(String(20))
    """Whose fault that is: ``usage``, ``locked``, ``forbidden`` or ``world``."""
    answer: Mapped[Any | None] = mapped_column(JSON)


class AccessToken(Base):
    """Lets a person in, or a machine in a person's name: a session after a login, or a personal token."""

    __tablename__ = "access_tokens"
    __table_args__ = (_one_of("kind", TOKEN_KINDS), Index(None, "owner_id"), Index(None, "expires"))

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uuid)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(100))
    """What its owner calls it; of a session, the program that logged in."""
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the token, hexadecimal; the token itself is nowhere."""
    scopes: Mapped[list[str]] = mapped_column(_LIST, default=list)
    """What it is good for; empty: for everything that its owner may."""
    groups: Mapped[list[str]] = mapped_column(_LIST, default=list)
    """Its owner's groups when they were looked up last."""
    checked: Mapped[datetime.datetime] = mapped_column(default=now)
    """When that was."""
    address: Mapped[str | None] = mapped_column(String(45))
    created: Mapped[datetime.datetime] = mapped_column(default=now)
    expires: Mapped[datetime.datetime]
    used: Mapped[datetime.datetime | None]

    owner: Mapped[Owner] = relationship(back_populates="tokens")


class Audit(Base):
    """Who did what, from where, with which result. Triggers of the database let nothing of it be changed or deleted."""

    __tablename__ = "audit"
    __table_args__ = (
        Index(None, "at"),
        Index(None, "who", "id"),
        Index(None, "subject", "id"),
        Index(None, "operation"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime.datetime] = mapped_column(default=now)
    who: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(100))
    """Such as ``guest.create`` or ``login``."""
    subject: Mapped[str | None] = mapped_column(String(300))
    address: Mapped[str | None] = mapped_column(String(45))
    token: Mapped[str | None] = mapped_column(String(36))
    """Uuid of the token that let them in."""
    status: Mapped[int]
    """Of the answer, as HTTP has it."""
    operation: Mapped[str | None] = mapped_column(String(36))
    detail: Mapped[str | None] = mapped_column(Text)


class IdempotencyKey(Base):
    """A creation that was asked for with a key: asked again with it, it is the same one."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("owner_id", "key"), Index(None, "created"))

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(200))
    request: Mapped[str] = mapped_column(String(64))
    """SHA-256 of method, path and body, hexadecimal."""
    status: Mapped[int | None]
    answer: Mapped[Any | None] = mapped_column(JSON)
    created: Mapped[datetime.datetime] = mapped_column(default=now)


class MinionId(Base):
    """Every minion id of a node or a guest. Triggers of the database keep it, so that no guest takes a node's."""

    __tablename__ = "minion_ids"

    minion_id: Mapped[str] = mapped_column(String(253), primary_key=True)


class Turn(Base):
    """A row to hold while something is chosen that only one may choose at a time."""

    __tablename__ = "turns"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    taken: Mapped[int] = mapped_column(BigInteger, default=0)
