"""Addresses, ports and networks that nobody has: chosen one at a time, and kept by the database's constraints.

Whoever allocates does so in the session that stores the guest (or reserves for it), so that nothing is handed out
twice, whatever runs at the same time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from corpus.controller.registry import turns
from corpus.controller.registry.models import ComputeNode, Guest, Reservation
from corpus.errors import CorpusError

FIRST_SSH_PORT = 40000
LAST_SSH_PORT = 65535
#: The bridge has the first address of a network.
_BRIDGE = 1
_FIRST_GUEST = 2


@dataclass(frozen=True)
class Place:
    """Where a guest is on its node.

    :param address: without the prefix' length; likewise ``address6``, which is None on a node without IPv6
    :param ssh_port: the node's port that leads to the guest's port 22
    """

    address: str
    address6: str | None
    ssh_port: int


def place(session: Session, node: ComputeNode, first_port: int = FIRST_SSH_PORT) -> Place:
    """Return a free place on a node; the caller stores it in the same session.

    :raises CorpusError: the node has no free slot, address or port, or no network
    """
    turns.take(session, f"node:{node.id}")
    if node.network is None:
        raise CorpusError(f"The compute node {node.name} has no network for guests: initialize it first.")
    guests = session.execute(
        select(Guest.address, Guest.address6, Guest.ssh_port).where(Guest.node_id == node.id)
    ).all()
    reserved = session.execute(select(Reservation.kind, Reservation.value).where(Reservation.node_id == node.id)).all()
    if node.slots is not None and len(guests) + len({row for row in reserved if row.kind == "address"}) >= node.slots:
        raise CorpusError(f"The compute node {node.name} has no free slot (it has {node.slots}).")
    taken = {value for guest in guests for value in guest[:2]} | {value for _, value in reserved}
    ports = {guest.ssh_port for guest in guests} | {int(value) for kind, value in reserved if kind == "ssh_port"}
    port = next((port for port in range(first_port, LAST_SSH_PORT + 1) if port not in ports), None)
    if port is None:
        raise CorpusError(f"The compute node {node.name} has no free port for ssh from {first_port} on.")
    for address, address6 in _pairs(node.network, node.network6):
        if address not in taken and (address6 is None or address6 not in taken):
            return Place(address, address6, port)
    raise CorpusError(f"The network {node.network} of the compute node {node.name} has no free address.")


def _pairs(network: str, network6: str | None) -> Iterator[tuple[str, str | None]]:
    """Addresses for guests; the IPv6 one ends as its IPv4 one counts."""
    four = ipaddress.IPv4Network(network)
    six = ipaddress.IPv6Network(network6) if network6 else None
    for number in range(_FIRST_GUEST, four.num_addresses - 1):  # the last one is for broadcasts
        yield str(four[number]), str(six[number]) if six else None


def bridge(network: str) -> str:
    """The address of a network's bridge, the gateway of its guests; without the prefix' length."""
    return str(ipaddress.ip_network(network)[_BRIDGE])


def interface(address: str, network: str) -> str:
    """An address with its network's prefix length, as in ``10.64.1.2/24``."""
    return f"{address}/{ipaddress.ip_network(network).prefixlen}"


def reserve(session: Session, node: ComputeNode, guest: Guest, first_port: int = FIRST_SSH_PORT) -> Place:
    """Reserve a place on a node for a guest that will move there; the one that it has when it was reserved before."""
    turns.take(session, f"node:{node.id}")
    found = reserved(session, node, guest)
    if found is None:
        found = place(session, node, first_port)
        _keep(session, node.id, guest, found)
    return found


def _keep(session: Session, node: int, guest: Guest, wanted: Place) -> None:
    values = {"address": wanted.address, "address6": wanted.address6, "ssh_port": str(wanted.ssh_port)}
    for kind, value in values.items():
        if value is not None:
            session.add(Reservation(node_id=node, guest_id=guest.id, kind=kind, value=value))
    session.flush()


def reserved(session: Session, node: ComputeNode, guest: Guest) -> Place | None:
    """What is reserved for a guest on a node, or None."""
    rows = session.execute(
        select(Reservation.kind, Reservation.value).where(
            Reservation.node_id == node.id, Reservation.guest_id == guest.id
        )
    ).all()
    values = {row.kind: row.value for row in rows}
    return Place(values["address"], values.get("address6"), int(values["ssh_port"])) if values else None


def release(session: Session, guest: Guest, node: ComputeNode) -> None:
    """Give up what is reserved for a guest on a node."""
    there = select(Reservation).where(Reservation.guest_id == guest.id, Reservation.node_id == node.id)
    for row in session.scalars(there):
        session.delete(row)
    session.flush()


def settle(session: Session, guest: Guest, node: ComputeNode) -> Place:
    """Let a guest have what is reserved for it on a node, and be there; what it had is reserved for it, until released.

    So it can go back as it came. A platform stays on its node: the caller gives the guest another one, or none, before.

    :raises CorpusError: nothing is reserved for it
    """
    for number in sorted(
        {guest.node_id, node.id}
    ):  # whoever chooses a place there sees it taken in one way or the other
        turns.take(session, f"node:{number}")
    found = reserved(session, node, guest)
    if found is None:
        raise CorpusError(f"Nothing is reserved for the guest {guest.name} on the compute node {node.name}.")
    release(session, guest, node)
    if guest.address is not None and guest.ssh_port is not None:
        _keep(session, guest.node_id, guest, Place(guest.address, guest.address6, guest.ssh_port))
    guest.node = node
    guest.address, guest.address6, guest.ssh_port = found.address, found.address6, found.ssh_port
    session.flush()
    return found


def networks(session: Session, pattern: str, pattern6: str | None = None) -> tuple[str, str | None]:
    """Return networks for a new node's guests that overlap no other node's; the caller stores them in this session.

    :param pattern: an IPv4 network with ``N`` for the number that counts nodes, such as ``10.64.N.0/24``; after 255
        comes the next octet before it
    :param pattern6: likewise for IPv6, such as ``fd00:64:N::/64``
    :raises CorpusError: there is none left
    """
    turns.take(session, "networks")
    rows = session.execute(select(ComputeNode.network, ComputeNode.network6)).all()
    four = [ipaddress.IPv4Network(row.network) for row in rows if row.network]
    six = [ipaddress.IPv6Network(row.network6) for row in rows if row.network6]
    known = set(four)
    first = ipaddress.IPv4Network(pattern.replace("N", "0"))
    for number in range(1, 10_000):
        try:
            network = ipaddress.IPv4Network(
                (int(first.network_address) + number * first.num_addresses, first.prefixlen)
            )
        except ValueError:
            break
        if not network.is_private and first.is_private:
            break
        network6 = ipaddress.IPv6Network(pattern6.replace("N", str(number))) if pattern6 else None
        if network in known or _overlaps(network, four) or (network6 and _overlaps(network6, six)):
            continue
        return str(network), str(network6) if network6 else None
    raise CorpusError(f"No network of the form {pattern} is free for another compute node.")


def _overlaps(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    others: Iterable[ipaddress.IPv4Network] | Iterable[ipaddress.IPv6Network],
) -> bool:
    return any(network.overlaps(other) for other in others)


def free_slots(session: Session, node: ComputeNode) -> int | None:
    """How many guests a node can still get, or None when nothing but its resources limits them."""
    if node.slots is None:
        return None
    used = session.scalar(select(func.count()).select_from(Guest).where(Guest.node_id == node.id)) or 0
    return max(0, node.slots - used)
