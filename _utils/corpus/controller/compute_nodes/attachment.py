"""Machines that become compute nodes."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import identifiers
from corpus.controller import compute_nodes, guests, links, names, operations, owners, wiring
from corpus.controller.compute_nodes import equipment, requirements
from corpus.controller.operations import Run, Step
from corpus.errors import CorpusError, MinionFailed, UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from corpus.controller import access
    from corpus.controller.cloud import Cloud


#: Seconds that a node's minion has until it answers, and that its base system may take.
ANSWERS = 120
BASE = 900


def _resolved(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The node's whole name: the one that it has when its host is one already, unless it is given a name."""
    from sqlalchemy import select

    from corpus.controller.registry.models import ComputeNode

    _checked(arguments)
    known = select(ComputeNode.name).where(
        ComputeNode.host == arguments["host"], ComputeNode.ssh_port == arguments.get("port", 22)
    )
    with cloud.registry.reading() as session:
        there = None if arguments.get("name") else session.scalar(known)
    return {"node": there or f"{_short(arguments)}.{cloud.settings.zone}"}


@operations.kind("compute_node.init", subject=compute_nodes.subject, resolve=_resolved)
def initialization(arguments: Mapping[str, Any]) -> list[Step]:
    """The RFC's order. What it needs of the machine is found out before anything is changed."""
    return [
        Step("who asks", check=_allowed),
        Step("the machine", check=_fit),
        Step("registry", None, _register, _unregister, repeatable=True),
        Step("DNS", None, _name, unname, repeatable=True),
        Step("ssh key pair", None, _key, _unkey, repeatable=True),
        Step("minion", _seeded, _seed, unseed, repeatable=True),
        Step("base system", None, _base, None, repeatable=True),
        Step("findings", None, _findings, None, repeatable=True),
        Step("root credentials", None, _credentials, _uncredentials, repeatable=True),
        Step("pillar", None, _pillar, None, repeatable=True),
        Step("highstate", None, _highstate, None, repeatable=True),
        Step("traffic", None, _traffic, None, repeatable=True),
        Step("images", None, _images, None, repeatable=True, essential=False),
        Step("inventory", None, _inventory, None, repeatable=True),
        Step("mail", None, _mail, None, repeatable=True, essential=False),
    ]


@operations.kind("compute_node.link", subject=compute_nodes.subject, resolve=_resolved)
def attachment(arguments: Mapping[str, Any]) -> list[Step]:
    """A machine that is a compute node already, by its image or by an earlier controller: nothing is installed there.

    It gets the images that it does not have.
    """
    left_out = ("base system", "highstate")
    return [step for step in initialization(arguments) if step.name not in left_out]


def _checked(arguments: Mapping[str, Any]) -> None:
    host = arguments.get("host")
    try:
        ipaddress.ip_address(str(host))
    except ValueError:
        identifiers.domain_name(host)
    identifiers.host_name(_short(arguments))
    if arguments.get("platform_type") not in compute_nodes.MODES:
        raise UsageError(
            f"{shown(arguments.get('platform_type'))} is no type of platform: there are {', '.join(compute_nodes.MODES)}."
        )
    if arguments.get("mode") not in (None, *compute_nodes.MODES.values()):
        raise UsageError(
            f"{shown(arguments['mode'])} is no operation mode: there are {', '.join(compute_nodes.MODES.values())}."
        )
    unknown = [one for one in arguments.get("guest_types") or () if one not in compute_nodes.GUEST_TYPES]
    if unknown:
        raise UsageError(f"{shown(unknown[0])} is no type of guest: there are {', '.join(compute_nodes.GUEST_TYPES)}.")
    port = arguments.get("port", 22)
    if not isinstance(port, int) or not 0 < port < 65536:
        raise UsageError(f"{shown(port)} is no port.")
    identifiers.host_name(str(arguments.get("user") or "root"))


def _short(arguments: Mapping[str, Any]) -> str:
    """The node's name without its domain: as given, else its host's first label."""
    given = arguments.get("name")
    if given:
        return str(given)
    host = str(arguments.get("host"))
    return f"node-{host.replace('.', '-').replace(':', '-')}" if _is_address(host) else host.partition(".")[0]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _full(run: Run) -> str:
    return str(run.arguments["node"])


def _allowed(run: Run) -> bool:
    owner = run.arguments.get("owner")
    if owner:
        with run.cloud.registry.reading() as session:
            if guests.owner(session, owner) is None:
                raise owners.unknown(owner)
    return False


def _fit(run: Run) -> bool:
    """:raises UsageError: everything that is wrong with the machine, in one list"""
    facts = look(run)
    found = requirements.findings(facts)
    if not facts.get("salt") and _runtime(run) is None:
        found.append(
            "it has no Salt of ours, and there is no image whose Salt it could get (mc_compute_node.image_build)"
        )
    if found:
        raise UsageError(f"{run.arguments['host']} cannot be a compute node: {'; '.join(found)}.")
    return False


def look(run: Run) -> dict[str, str]:
    """Return what a machine says of itself over ssh; nothing is changed on it."""
    done = _target(run).run("sh", "-s", stdin=requirements.LOOK)
    return dict(line.split("=", 1) for line in done.output.splitlines() if "=" in line)


def _target(run: Run) -> access.Target:
    """How the machine is reached: by the key that was named, else by the node's own."""
    from corpus.controller import access

    arguments, settings = run.arguments, run.cloud.settings
    given = arguments.get("identity")
    host, port = str(arguments["host"]), int(arguments.get("port") or 22)
    wiring.known_hosts(run.cloud).meet(host, port)
    own = settings.ssh / _full(run)
    return access.Target(
        host, Path(given) if given else own, settings.ssh / "known_hosts", port, str(arguments.get("user") or "root")
    )


def _register(run: Run) -> str:
    from sqlalchemy import select

    from corpus.controller.registry import allocation
    from corpus.controller.registry.models import ComputeNode, DnsName, Platform

    arguments, settings, name = run.arguments, run.cloud.settings, _full(run)
    addresses = _addresses(str(arguments["host"]))
    kind = str(arguments["platform_type"])
    with run.cloud.registry.session() as session:
        node = session.scalar(select(ComputeNode).where(ComputeNode.name == name))
        known = run.data.get("known", node is not None and node.state != "attaching")
        if node is None:
            network, network6 = allocation.networks(session, settings.guest_network, settings.guest_network6)
            node = ComputeNode(
                name=name,
                minion_id=name,
                host=str(arguments["host"]),
                ssh_port=int(arguments.get("port") or 22),
                ssh_user=str(arguments.get("user") or "root"),
                address=arguments.get("address") or addresses[0],
                address6=arguments.get("address6") or addresses[1],
                network=network,
                network6=network6,
                guest_types=list(arguments.get("guest_types") or compute_nodes.GUEST_TYPES),
                slots=arguments.get("slots"),
                settings=dict(arguments.get("settings") or {}),
            )
            session.add(node)
            session.flush()
            for fqdn in (name, f"*.{name}"):
                session.add(DnsName(fqdn=fqdn, node_id=node.id))
        elif node.host != str(arguments["host"]):
            raise UsageError(f"There is a compute node {name} already, at {node.host}: give this one another name.")
        owner = guests.owner(session, arguments.get("owner"))
        platform = session.scalar(select(Platform).where(Platform.node_id == node.id, Platform.type == kind))
        if platform is None:
            platform = Platform(
                node=node, type=kind, operation_mode=arguments.get("mode") or compute_nodes.MODES[kind], owner=owner
            )
            session.add(platform)
            session.flush()
        found = {
            "known": known,
            "uuid": node.uuid,
            "name": name,
            "network": node.network,
            "network6": node.network6,
            "addresses": [node.address, node.address6],
            "platform": platform.uuid,
        }
    run.remember(**found)
    return f"{name}, guests in {found['network']}, platform {found['platform']}"


def _addresses(host: str) -> tuple[str | None, str | None]:
    """What names of guests on a host resolve to: its IPv4 and its IPv6 address."""
    found: dict[int, str] = {}
    try:
        for family, _, _, _, place in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP):
            found.setdefault(family, str(place[0]))
    except OSError as err:
        raise UsageError(f"{host} has no address: {err}.") from err
    return found.get(socket.AF_INET), found.get(socket.AF_INET6)


def _unregister(run: Run) -> None:
    from sqlalchemy import select

    from corpus.controller.registry.models import ComputeNode

    with run.cloud.registry.session() as session:
        node = session.scalar(select(ComputeNode).where(ComputeNode.name == _full(run)))
        if node is None or node.guests or node.state != "attaching":
            return
        for platform in list(node.platforms):
            session.delete(platform)
        session.flush()
        session.delete(node)


def _name(run: Run) -> dict[str, Any]:
    return names.registered(run, _names(run))


def _names(run: Run) -> list[str]:
    name = str(run.data["name"])
    return [name, f"*.{name}", *(one for one in run.data["addresses"] if one)]


def _was_one(run: Run) -> bool:
    """Whether it was a node before, or nothing of it is ours yet: then an operation that fails takes nothing away."""
    return "name" not in run.data or bool(run.data.get("known"))


def unname(run: Run) -> None:
    """Take the names of a machine that becomes no node out of the registry and out of DNS."""
    if _was_one(run):
        return
    from sqlalchemy import select

    from corpus.controller.registry.models import DnsName

    with run.cloud.registry.session() as session:
        for row in session.scalars(select(DnsName).where(DnsName.fqdn.in_(_names(run)))):
            session.delete(row)
    names.registered(run, _names(run))


def _key(run: Run) -> str:
    """Make the node's key pair and let it in."""
    from sqlalchemy import select

    from corpus.controller import access
    from corpus.controller.registry.models import SshKey

    name = str(run.data["name"])
    key = access.kept_key(run.cloud.settings.ssh / name, f"corpus@{name}")
    _target(run).run("sh", "-c", wiring.LET_IN, stdin=f"{key.public}\n")
    with run.cloud.registry.session() as session:
        node = wiring.node(session, name)
        there = select(SshKey).where(SshKey.node_id == node.id, SshKey.fingerprint == key.fingerprint)
        if session.scalar(there) is None:
            session.add(SshKey(name="corpus", public=key.public, fingerprint=key.fingerprint, node_id=node.id))
    return key.fingerprint


def _unkey(run: Run) -> None:
    if _was_one(run):
        return
    path = run.cloud.settings.ssh / str(run.data["name"])
    public = path.with_name(f"{path.name}.pub")
    if public.exists():
        with contextlib.suppress(CorpusError):  # it may be gone
            _target(run).run("sh", "-c", wiring.LET_OUT, stdin=public.read_text(encoding="ascii"))
    path.unlink(missing_ok=True)
    public.unlink(missing_ok=True)


def _seeded(run: Run) -> bool:
    """A node that was one before keeps its minion as long as that answers."""
    return bool(run.data.get("known")) and run.cloud.minions.answers(str(run.data["name"]))


def _seed(run: Run) -> str:
    from corpus.controller import preseed

    name, master = str(run.data["name"]), wiring.master(run.cloud)
    keys = preseed.new_keys()
    preseed.accept(master, name, keys.public)
    with run.cloud.registry.reading() as session:
        reached = wiring.target(run.cloud, wiring.node(session, name))
    how = preseed.seed(reached, preseed.files(name, keys, master), _runtime(run))
    run.cloud.minions.wait_for(name, ANSWERS)
    return how


def _runtime(run: Run) -> Path | None:
    """What is sent to a machine that has no Salt: the runtime of the newest image; None when there is no image."""
    from corpus.controller import images

    found = [one.runtime for one in images.image_list(run.cloud.settings) if one.runtime.exists()]
    return found[-1] if found else None


def unseed(run: Run) -> None:
    """Forget its minion, unless it was a node before."""
    from corpus.controller import preseed

    if not _was_one(run):
        preseed.forget(wiring.master(run.cloud), str(run.data["name"]))


def _base(run: Run) -> dict[str, Any]:
    name = str(run.data["name"])
    found = wiring.call(run.cloud, name, "state.apply", "corpus.compute_node", queue=True, timeout=BASE)
    return guests.applied(found, name)


def _findings(run: Run) -> list[str]:
    """What the machine lacks, now that everything is installed.

    :raises CorpusError: something that guests cannot do without
    """
    name = str(run.data["name"])
    types = list(run.arguments.get("guest_types") or compute_nodes.GUEST_TYPES)
    found = wiring.call(run.cloud, name, "mc_node.check", types, timeout=60)
    rows = found.get("findings", []) if isinstance(found, Mapping) else found
    wrong = [f"{one['subject']}: {one['comment']}" for one in rows if one.get("result") is False]
    if wrong:
        raise CorpusError(f"{name} cannot be a compute node: {'; '.join(wrong)}")
    return [f"{one['subject']}: {one['comment']}" for one in rows if one.get("result") is None]


_OLD = "getent shadow root | cut -d: -f2"


def _credentials(run: Run) -> str:
    """Give root a password of its own, over ssh, in no argument; the hash of the one before is kept until it is over."""
    subject, kept = f"node:{run.data['uuid']}", guests.credentials(run.cloud)
    with run.cloud.registry.reading() as session:
        reached, known = wiring.target(run.cloud, wiring.node(session, run.data["uuid"])), kept.names(session, subject)
    old = reached.run("sh", "-c", _OLD).output.strip() if "root" not in known else ""
    with run.cloud.registry.session() as session:
        if old:
            kept.store(session, subject, "before", old)
        value = kept.generate(session, subject, "root")
    reached.run("chpasswd", stdin=f"root:{value}\n")
    return "kept, encrypted"


def _uncredentials(run: Run) -> None:
    if _was_one(run):
        return
    subject, kept = f"node:{run.data['uuid']}", guests.credentials(run.cloud)
    with run.cloud.registry.session() as session:
        old = kept.read(session, subject, "before") if "before" in kept.names(session, subject) else ""
        reached = wiring.target(run.cloud, wiring.node(session, run.data["uuid"]))
    if old:
        reached.run("chpasswd", "-e", stdin=f"root:{old}\n")
    with run.cloud.registry.session() as session:
        kept.forget(session, subject)


def _pillar(run: Run) -> None:
    wiring.call(run.cloud, str(run.data["name"]), "saltutil.refresh_pillar", timeout=60)


def _highstate(run: Run) -> dict[str, Any] | str:
    name = str(run.data["name"])
    try:
        found = wiring.call(run.cloud, name, "state.highstate", queue=True, timeout=BASE)
    except MinionFailed as err:
        if isinstance(err.value, Mapping) and any(str(key).startswith("no_|-") for key in err.value):
            return "nobody wrote a top file for it"
        raise
    return guests.applied(found, name)


def _traffic(run: Run) -> dict[str, Any]:
    return wiring.traffic(run.cloud, str(run.data["name"]))


def _images(run: Run) -> list[str]:
    return equipment.synchronize(run.cloud, str(run.data["name"]))


def _inventory(run: Run) -> str:
    name = str(run.data["name"])
    compute_nodes.inventory(run.cloud, name)
    with run.cloud.registry.session() as session:
        node = wiring.node(session, name)
        if node.state == "attaching":
            node.state = "ready"
    return "ready"


def _mail(run: Run) -> str | None:
    data, arguments = run.data, run.arguments
    with run.cloud.registry.session() as session:
        owner = guests.owner(session, arguments.get("owner") or run.who)
        to = [owner.email] if owner is not None and owner.email else []
        token = guests.credentials(run.cloud).link(session, f"node:{data['uuid']}", "root")
    lines = [
        f"The compute node {data['name']} takes guests.",
        "",
        f"Pages of guests:  http://<name>.{data['name']}/ and https://<name>.{data['name']}/",
        f"ssh:              ssh -p {arguments.get('port') or 22} root@{data['name']}",
        f"password:         {links.address(run.cloud.settings.web_url, token)}   (shows it once)",
        f"platform:         {data['platform']} ({arguments['platform_type']})",
        f"network:          {data['network']}, {data['network6']}",
        "",
        f"It was asked for by {run.who}.",
    ]
    return (
        run.cloud.mail(f"The compute node {data['name']} is ready", "\n".join(lines) + "\n", to)
        or "There is no mail server."
    )
