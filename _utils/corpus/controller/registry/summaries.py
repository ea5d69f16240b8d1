"""Lists as people and pages read them, made by a fixed number of queries."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from corpus.controller.registry.models import ComputeNode, DnsName, Guest


@dataclass(frozen=True)
class NodeSummary:
    """A compute node in a list.

    :param names: DNS names that stand for it
    :param guests: how many it has
    :param slots: how many it may have; None when only its resources limit them, likewise ``free_slots``
    :param storage_size: of its pool in bytes, as last looked at; likewise ``storage_free``
    :param storage_promised: what its guests may use together
    :param memory: of the machine, in bytes; ``memory_promised`` is its guests' limits together
    :param load: one minute's average, when it was last looked at
    :param inventoried: when that was
    """

    name: str
    uuid: str
    minion_id: str
    state: str
    host: str
    address: str | None
    address6: str | None
    names: tuple[str, ...]
    guest_types: tuple[str, ...]
    guests: int
    slots: int | None
    free_slots: int | None
    storage_size: int | None
    storage_free: int | None
    storage_promised: int
    memory: int | None
    memory_promised: int
    cpus: int | None
    load: float | None
    inventoried: datetime.datetime | None


def compute_nodes(session: Session) -> list[NodeSummary]:
    """Every compute node, by name. Guests are counted by one query for all."""
    counted = {
        row[0]: row[1:]
        for row in session.execute(
            select(Guest.node_id, func.count(), func.sum(Guest.size_bytes), func.sum(Guest.memory)).group_by(
                Guest.node_id
            )
        )
    }
    named: dict[int | None, list[str]] = {}
    for node_id, fqdn in session.execute(
        select(DnsName.node_id, DnsName.fqdn).where(DnsName.node_id.is_not(None)).distinct().order_by(DnsName.fqdn)
    ):
        named.setdefault(node_id, []).append(fqdn)
    nodes = session.execute(
        select(
            *(ComputeNode.id, ComputeNode.name, ComputeNode.uuid, ComputeNode.minion_id, ComputeNode.state),
            *(ComputeNode.host, ComputeNode.address, ComputeNode.address6, ComputeNode.guest_types),
            *(ComputeNode.slots, ComputeNode.storage_size, ComputeNode.storage_free, ComputeNode.memory),
            *(ComputeNode.cpus, ComputeNode.load, ComputeNode.inventoried),
        ).order_by(ComputeNode.name)
    )
    found = []
    for node in nodes:
        guests, storage, memory = counted.get(node.id, (0, 0, 0))
        found.append(
            NodeSummary(
                name=node.name,
                uuid=node.uuid,
                minion_id=node.minion_id,
                state=node.state,
                host=node.host,
                address=node.address,
                address6=node.address6,
                names=tuple(named.get(node.id, ())),
                guest_types=tuple(node.guest_types),
                guests=guests,
                slots=node.slots,
                free_slots=None if node.slots is None else max(0, node.slots - guests),
                storage_size=node.storage_size,
                storage_free=node.storage_free,
                storage_promised=int(storage or 0),
                memory=node.memory,
                memory_promised=int(memory or 0),
                cpus=node.cpus,
                load=node.load,
                inventoried=node.inventoried,
            )
        )
    return found
