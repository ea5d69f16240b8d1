"""
Compute node
============

What a compute node does for its guests: the bridge that they are plugged to, the traffic that reaches them, and an
account of what the node is able to.

Guests are reached in two ways. http and https go by host name through the node's haproxy; ssh goes by a port of the
node. Everything else is dropped, between guests as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.door import translated
from corpus.node import boot as units
from corpus.node import bridge as guests_bridge
from corpus.node import ids as guests_ids
from corpus.node import inventory as stock
from corpus.node.traffic import change
from corpus.node.traffic.places import Places
from corpus.node.traffic.wanted import Wanted

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "mc_node"


def __virtual__():
    return __virtualname__


def traffic(wanted: Mapping[str, Any], test: bool = False) -> dict[str, Any]:
    """
    Make the node's inbound traffic what it shall be, wholly or not at all, and without closing a connection.

    One nftables table is replaced in one transaction, haproxy's maps are exchanged while it runs. Asked for the same
    again, nothing is touched; what somebody changed by hand is put right.

    wanted
        ``bridge`` (``corpus0``), ``network`` and ``network6`` (of the guests), ``http_port`` (80) and ``https_port``
        (443) of the node, and ``guests``: a list of mappings with ``name``, ``address``, ``address6``, ``ssh_port``
        (of the node), ``names`` (host names; ``*.example.org`` is allowed), ``http_port`` (80) and ``https_port``
        (443) of the guest, ``owner`` (guests of one owner may talk to each other), ``open_to`` (names of further
        guests that may talk to this one).

    test
        Tell what would be done, and do nothing.

    Returns: ``{name, result, changes, comment}``; ``result`` is None when ``test`` found something to do.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_node.traffic '{network: 10.64.1.0/24, guests: [{name: shop, address: 10.64.1.2, ssh_port: 40000, names: [shop.example.org]}]}'
    """
    with translated():
        asked, places = Wanted.parsed(wanted), Places.configured(__opts__)
        changes = (change.plan if test else change.settle)(asked, places).changes()
    return _report("traffic", changes, test)


def traffic_plan(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """
    Tell what :py:func:`traffic` would change, and change nothing.

    wanted
        As there.

    Returns: ``{name, result, changes, comment}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_node.traffic_plan '{network: 10.64.1.0/24, guests: []}'
    """
    return traffic(wanted, test=True)


def served() -> dict[str, Any]:
    """
    Return what the node does with inbound traffic at this moment, as the kernel and haproxy have it.

    Returns: ``{table, ssh_ports: {port: [address]}, proxy, http: {host name: address|port}, https}``; ``table`` and
    ``proxy`` tell whether they are there.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_node.served
    """
    with translated():
        return change.served(Places.configured(__opts__))


def bridge(name: str = "corpus0", network: str = "", network6: str = "", test: bool = False) -> dict[str, Any]:
    """
    Make the bridge that guests are plugged to, now and for every boot; the node has the first address of each network.

    name
        Of the interface.

    network
        Of the guests, IPv4: ``10.64.1.0/24``.

    network6
        Of the guests, IPv6: ``fd00:64:1::/64``.

    test
        Tell what would be done, and do nothing.

    Returns: ``{name, result, changes, comment}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_node.bridge corpus0 network=10.64.1.0/24 network6=fd00:64:1::/64
    """
    with translated():
        work = guests_bridge.plan if test else guests_bridge.make
        changes = work(name, network, network6, Places.configured(__opts__))
    return _report(name, changes, test)


def boot(test: bool = False) -> dict[str, Any]:
    """
    Let the node's traffic come back when the node starts: units that load the table and run haproxy, without Salt.

    What runs is left alone.

    test
        Tell what would be done, and do nothing.

    Returns: ``{name, result, changes, comment}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_node.boot
    """
    with translated():
        changes = (units.plan if test else units.make)(Places.configured(__opts__))
    return _report("boot", changes, test)


def ids(test: bool = False) -> dict[str, Any]:
    """
    Give root the ids of unprivileged guests, in ``/etc/subuid`` and ``/etc/subgid``. A range that it has stays as it is.

    test
        Tell what would be done, and do nothing.

    Returns: ``{name, result, changes, comment}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_node.ids
    """
    with translated():
        return _report("ids", {"done": done} if (done := guests_ids.give(test=test)) else {}, test)


def inventory() -> dict[str, Any]:
    """
    Return what the node is and has: system, kernel and what it is able to, memory, storage, load, programs, ports.

    Returns: ``{system, kernel, architecture, init, cpus, load, memory: {total, available, swap}, storage: {path, type,
    total, used, free}, unprivileged: {able, hindrance}, ipv6, namespaces, cgroups, programs, features, ports}``; sizes in bytes.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_node.inventory
    """
    with translated():
        return stock.inventory(Places.configured(__opts__))


def check(guest_types: Sequence[str] = ("lxc",)) -> list[dict[str, Any]]:
    """
    Tell whether this machine can be a compute node: every finding, what is bad first.

    guest_types
        What shall live on it: ``lxc``.

    Returns: A list of ``{subject, result, comment}``. ``result`` is True (good), None (tight, unknown or installed
    later) or False: then it cannot be a node.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_node.check
    """
    with translated():
        return stock.findings(stock.inventory(Places.configured(__opts__)), guest_types)


def pool_size(path: str | None = None) -> int | None:
    """
    Return how many bytes a storage pool shall get when nobody says so: four fifths of the free disk.

    path
        Of the pool, absolute.

    Returns: None where the pool is there already, or needs no file.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_node.pool_size
    """
    with translated():
        return stock.pool_size(Path(path) if path else Places.configured(__opts__).pool)


def _report(name: str, changes: dict[str, Any], test: bool) -> dict[str, Any]:
    """As a state returns it."""
    done = "It would change." if test else "It was changed."
    return {
        "name": name,
        "result": None if test and changes else True,
        "changes": changes,
        "comment": done if changes else "It is as it shall be.",
    }
