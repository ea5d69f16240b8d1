"""Compute nodes: what they are called, and what there is to know of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import wiring

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import ComputeNode

#: The mode in which projects are deployed on a platform of a type, unless it is given another one.
MODES = {"dev": "editable", "staging": "cooking", "prod": "final"}
GUEST_TYPES = ("lxc",)


def subject(arguments: Mapping[str, Any]) -> str:
    """What an operation on a node works on: ``node`` is its own name by then."""
    return f"compute_node:{arguments.get('node')}"


def inventory(cloud: Cloud, name: str) -> dict[str, Any]:
    """Ask a node how it is, and keep what it says."""
    from corpus.controller.registry.models import now

    with cloud.registry.reading() as session:
        minion = wiring.node(session, name).minion_id
    found = wiring.call(cloud, minion, "mc_node.inventory", timeout=60)
    with cloud.registry.session() as session:
        node = wiring.node(session, name)
        node.inventory, node.inventoried = dict(found), now()
        node.memory, node.cpus, node.load = found["memory"]["total"], found["cpus"], found["load"][0]
        node.storage_size, node.storage_free = found["storage"]["total"], found["storage"]["free"]
    return dict(found)


#: A node may be called by its name, its first label, its host, a uuid ...; operations know it by its name.
NAMED = wiring.called(node=wiring.node)


def listed(cloud: Cloud, limit: int = 100, after: str | None = None) -> dict[str, Any]:
    """Return compute nodes by name; what they said of themselves last.

    :param limit: at most so many
    :param after: those whose names come after this one
    """
    from sqlalchemy import func, select

    from corpus.controller.registry.models import ComputeNode, DnsName, Guest

    wanted = select(ComputeNode).order_by(ComputeNode.name).limit(limit)
    if after:
        wanted = wanted.where(ComputeNode.name > after)
    with cloud.registry.reading() as session:
        nodes = session.scalars(wanted).all()
        those = [node.id for node in nodes]
        counted = select(Guest.node_id, func.count()).where(Guest.node_id.in_(those)).group_by(Guest.node_id)
        guests_of = {row[0]: row[1] for row in session.execute(counted)}
        names_of: dict[int | None, list[str]] = {}
        named = select(DnsName.node_id, DnsName.fqdn).where(DnsName.node_id.in_(those)).order_by(DnsName.fqdn)
        for number, fqdn in session.execute(named):
            names_of.setdefault(number, []).append(fqdn)
        return {node.name: _told(node, guests_of.get(node.id, 0), names_of.get(node.id, [])) for node in nodes}


def _told(node: ComputeNode, count: int, names: list[str]) -> dict[str, Any]:
    return {
        "uuid": node.uuid,
        "state": node.state,
        "ip": [one for one in (node.address, node.address6) if one],
        "dns": names,
        "host": node.host,
        "network": node.network,
        "guest_types": list(node.guest_types),
        "guests": count,
        "slots": node.slots,
        "free_slots": None if node.slots is None else max(0, node.slots - count),
        "load": node.load,
        "memory": node.memory,
        "cpus": node.cpus,
        "storage": {"size": node.storage_size, "free": node.storage_free},
        "inventoried": node.inventoried.isoformat() if node.inventoried else None,
    }


def infos(cloud: Cloud, given: str, live: bool = True) -> dict[str, Any]:
    """Return everything about a compute node but its secrets.

    :param given: its name or uuid, or a platform's uuid
    :param live: ask it now
    """
    with cloud.registry.reading() as session:
        name = wiring.node(session, given).name
    if live:
        inventory(cloud, name)
    with cloud.registry.reading() as session:
        node = wiring.node(session, name)
        return {
            "name": name,
            **_told(node, len(node.guests), sorted(one.fqdn for one in node.names)),
            "keys": {key.fingerprint: key.name for key in node.keys},
            "platforms": {
                platform.uuid: {
                    "type": platform.type,
                    "operation_mode": platform.operation_mode,
                    "owner": platform.owner.name if platform.owner else None,
                }
                for platform in node.platforms
            },
            "images": sorted(f"{one.image.name}-{one.image.version}" for one in node.images),
            "names_of_guests": sorted(guest.name for guest in node.guests),
            "settings": dict(node.settings),
            "inventory": dict(node.inventory),
        }
