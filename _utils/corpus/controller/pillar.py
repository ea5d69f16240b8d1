"""What a node or a guest is told by its pillar: its own rows of the registry, found by its minion's id.

A fixed number of indexed queries, however much the registry holds. When one fails, so does the pillar: states that ran
with an empty one would take away what they should keep.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from corpus.controller.credentials import Credentials
from corpus.controller.registry import allocation
from corpus.controller.registry.models import (
    ComputeNode,
    Credential,
    DnsName,
    Guest,
    Image,
    NodeImage,
    Owner,
    Placement,
    Platform,
    Project,
    SshKey,
)
from corpus.controller.registry.store import Registry
from corpus.errors import RegistryError

KEY = "corpus"
BRIDGE = "corpus0"

_opened: dict[tuple[str, Path], Registry] = {}
_opening = threading.Lock()


def opened(url: str, key_file: Path) -> Registry:
    """The registry at a url; one for all pillars of a process."""
    with _opening:
        return _opened.setdefault((url, key_file), Registry(url, key_file))


def of(registry: Registry, minion_id: str) -> dict[str, Any]:
    """Return the pillar of a minion: ``{"corpus": {…}}``, or nothing for a minion that is neither node nor guest.

    :raises RegistryError: the registry cannot be asked, or knows the id twice
    :raises CorpusError: a credential cannot be read
    """
    with registry.reading() as session:
        node = session.scalar(select(ComputeNode).where(ComputeNode.minion_id == minion_id))
        guest = session.scalar(
            select(Guest)
            .where(Guest.minion_id == minion_id)
            .options(
                joinedload(Guest.node),
                joinedload(Guest.image),
                joinedload(Guest.platform).joinedload(Platform.owner),
            )
        )
        if node is not None and guest is not None:
            raise RegistryError(f"The minion id {minion_id} is a compute node's and a guest's: nobody gets a pillar.")
        credentials = Credentials.of(registry)
        if node is not None:
            return {KEY: _node(session, node, credentials)}
        if guest is not None:
            return {KEY: _guest(session, guest, credentials)}
    return {}


def _guest(session: Session, guest: Guest, credentials: Credentials) -> dict[str, Any]:
    node, platform = guest.node, guest.platform
    return {
        "kind": "guest",
        "uuid": guest.uuid,
        "name": guest.name,
        "type": guest.type,
        "image": f"{guest.image.name}-{guest.image.version}" if guest.image else None,
        "node": {"name": node.name, "address": node.address, "address6": node.address6},
        "network": {
            "address": _in(guest.address, node.network),
            "address6": _in(guest.address6, node.network6),
            "gateway": allocation.bridge(node.network) if node.network else None,
            "gateway6": allocation.bridge(node.network6) if node.network6 else None,
            "ssh_port": guest.ssh_port,
            "http_port": guest.http_port,
        },
        "platform": platform
        and {
            "uuid": platform.uuid,
            "type": platform.type,
            "operation_mode": platform.operation_mode,
            "owner": platform.owner.name if platform.owner else None,
        },
        "names": _names(session, DnsName.guest_id == guest.id),
        "keys": _keys(session, SshKey.guest_id == guest.id),
        "projects": list(
            session.scalars(
                select(Project.name).join(Placement).where(Placement.guest_id == guest.id).order_by(Project.name)
            )
        ),
        "credentials": _credentials(session, credentials, f"guest:{guest.uuid}"),
        "settings": {**(platform.settings if platform else {}), **guest.settings},
    }


def _node(session: Session, node: ComputeNode, credentials: Credentials) -> dict[str, Any]:
    return {
        "kind": "compute_node",
        "uuid": node.uuid,
        "name": node.name,
        "state": node.state,
        "guest_types": list(node.guest_types),
        "address": node.address,
        "address6": node.address6,
        "images": list(
            session.scalars(
                select(Image.name + "-" + Image.version)
                .join(NodeImage)
                .where(NodeImage.node_id == node.id)
                .order_by(Image.name, Image.version)
            )
        ),
        "names": _names(session, DnsName.node_id == node.id),
        "keys": _keys(session, SshKey.node_id == node.id),
        "credentials": _credentials(session, credentials, f"node:{node.uuid}"),
        "settings": dict(node.settings),
        "traffic": traffic(session, node),
    }


def traffic(session: Session, node: ComputeNode) -> dict[str, Any]:
    """What ``mc_node.traffic`` of a node is asked for; a guest that is being deleted is not reached any more."""
    served: dict[int | None, list[str]] = {}
    rows = session.execute(
        select(DnsName.guest_id, DnsName.fqdn)
        .join(Guest, DnsName.guest_id == Guest.id)
        .where(Guest.node_id == node.id, DnsName.kind.in_(("address", "A", "AAAA", "CNAME")))
        .order_by(DnsName.fqdn)
    )
    for guest_id, fqdn in rows:
        if fqdn not in served.setdefault(guest_id, []):
            served[guest_id].append(fqdn)
    guests = session.execute(
        select(
            Guest.id,
            Guest.name,
            Guest.address,
            Guest.address6,
            Guest.ssh_port,
            Guest.http_port,
            Owner.name,
        )
        .outerjoin(Platform, Guest.platform_id == Platform.id)
        .outerjoin(Owner, func.coalesce(Guest.owner_id, Platform.owner_id) == Owner.id)
        .where(Guest.node_id == node.id, Guest.state != "deleting")
        .order_by(Guest.name)
    )
    return {
        "bridge": BRIDGE,
        "network": node.network or "",
        "network6": node.network6 or "",
        "guests": [
            {
                "name": name,
                "address": address or "",
                "address6": address6 or "",
                "ssh_port": ssh_port,
                "http_port": http_port,
                "names": served.get(number, []),
                "owner": owner or "",
            }
            for number, name, address, address6, ssh_port, http_port, owner in guests
            if address or address6
        ],
    }


def _in(address: str | None, network: str | None) -> str | None:
    return allocation.interface(address, network) if address and network else None


def _names(session: Session, those: Any) -> list[str]:
    return sorted(set(session.scalars(select(DnsName.fqdn).where(those))))


def _keys(session: Session, those: Any) -> list[dict[str, str]]:
    rows = session.execute(select(SshKey.name, SshKey.public).where(those).order_by(SshKey.name, SshKey.fingerprint))
    return [{"name": name, "public": public} for name, public in rows]


def _credentials(session: Session, credentials: Credentials, subject: str) -> Mapping[str, str]:
    kept: Iterable[Credential] = session.scalars(
        select(Credential).where(Credential.subject == subject).order_by(Credential.name)
    )
    return {one.name: credentials.decrypted(one) for one in kept}
