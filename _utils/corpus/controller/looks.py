"""What the master answers to the web of guests, nodes, machines, names, and of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import comparison, compute_nodes, guests, machines, names, overview
from corpus.controller.credentials import Credentials
from corpus.controller.dns import zones as rooms
from corpus.controller.questions import question
from corpus.controller.world import World

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud


@question("guest.look")
def guest(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """What its node says of a guest now: name."""
    return guests.infos(cloud, str(arguments["name"]))["live"]


@question("guest.snapshots")
def snapshots(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """A guest's snapshots: name."""
    return guests.on_node(cloud, str(arguments["name"]), "mc_lxc.snapshots")


@question("guest.exec")
def execute(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """What a program says in a guest: name, argv, timeout (seconds)."""
    timeout = float(arguments["timeout"])
    argv = [str(word) for word in arguments["argv"]]
    return guests.on_node(cloud, str(arguments["name"]), "mc_lxc.execute", argv, timeout, timeout=timeout + 10)


@question("compute_node.look")
def node(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """What a node says of itself now, which is kept: name."""
    return compute_nodes.inventory(cloud, str(arguments["name"]))


@question("machine.accounts")
def accounts(cloud: Cloud, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The accounts with public clouds, without what opens them."""
    known = cloud.opts.get(machines.ACCOUNTS) or {}
    told = ("provider", "region", "url")
    return [
        {"name": str(name), **{key: facts.get(key) for key in told}}
        for name, facts in sorted(known.items())
        if isinstance(facts, Mapping)
    ]


@question("machine.list")
def listed(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """The machines that were made with an account: account."""
    return machines.listed(cloud, str(arguments["account"]))


@question("controller.report")
def report(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """What there is, and which part of the controller answers."""
    return overview.report(cloud)


@question("controller.resume")
def resume(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """Settle what was interrupted: operation (one that failed), test."""
    return overview.resume(cloud, arguments.get("operation"), arguments.get("test") is True)


@question("registry.check")
def check(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """The registry against the world: fix."""
    return comparison.check(cloud.registry, World(cloud), arguments.get("fix") is True)


@question("registry.rotate_key")
def rotate(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """Encrypt all credentials with a new key: test."""
    kept = Credentials.of(cloud.registry)
    test = arguments.get("test") is True
    return {"credentials": kept.count(cloud.registry) if test else kept.rotate(cloud.registry)}


@question("dns.zones")
def zones(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """The zones of the name server."""
    return [
        {"name": zone.name, "ours": zone.ours, "dnssec": zone.dnssec, "serial": zone.serial, "kind": zone.kind}
        for zone in cloud.name_server().zones()
    ]


@question("dns.records")
def records(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """What a zone has: zone."""
    return names.listed(cloud, str(arguments["zone"]))


@question("dns.plan")
def planned(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """What differs between the registry and DNS: zone (None: all)."""
    cloud.name_server()
    return names.synchronize(cloud, zone=arguments.get("zone"), plan=True)


@question("dns.delegation")
def delegation(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """The DS records that the zone above must have: zone."""
    return rooms.delegation(cloud.name_server(), rooms.zone_name(str(arguments["zone"])))


@question("dns.export")
def export(cloud: Cloud, arguments: Mapping[str, Any]) -> Any:
    """A zone as a zone file: zone."""
    return rooms.export(cloud.name_server(), str(arguments["zone"]))
