"""Compute nodes: attached to the controller, looked at, drained, given up. Each long action is an operation."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import identifiers
from corpus.controller import guests, links, names, operations, owners, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import CorpusError, MinionFailed, UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller import access, images
    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import ComputeNode, Image

#: The mode in which projects are deployed on a platform of a type, unless it is given another one.
MODES = {"dev": "editable", "staging": "cooking", "prod": "final"}
GUEST_TYPES = ("lxc",)
#: What a machine must have at least, in bytes.
MEMORY = 256 << 20
DISK = 2 << 30
#: Seconds that a node's minion has until it answers, and that its base system may take.
ANSWERS = 120
BASE = 900
_LOOK = """\
echo user=$(id -u)
echo system=$(uname -s)
echo machine=$(uname -m)
echo kernel=$(uname -r)
. /etc/os-release 2>/dev/null; echo os=$ID; echo like=$ID_LIKE
echo memory=$(awk '/^MemTotal/ {print $2}' /proc/meminfo)
echo disk=$(df -Pk /srv 2>/dev/null | awk 'NR==2 {print $4}')
echo cpus=$(nproc)
echo systemd=$(test -d /run/systemd/system && echo yes)
for ns in mnt net pid uts ipc; do test -e /proc/self/ns/$ns || echo missing=$ns; done
test -d /sys/fs/cgroup && echo cgroup=yes
echo salt=$(cat /opt/corpus/.runtime 2>/dev/null)
python3 -c 'import sys; print("python=%d.%d" % sys.version_info[:2])' 2>/dev/null
"""


# --- init -------------------------------------------------------------------------------------------------------------


def _subject(arguments: Mapping[str, Any]) -> str:
    return f"compute_node:{arguments.get('node')}"


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


@operations.kind("compute_node.init", subject=_subject, resolve=_resolved)
def initialization(arguments: Mapping[str, Any]) -> list[Step]:
    """The RFC's order. What it needs of the machine is found out before anything is changed."""
    return [
        Step("who asks", check=_allowed),
        Step("the machine", check=_fit),
        Step("registry", None, _register, _unregister, repeatable=True),
        Step("DNS", None, _name, _unname, repeatable=True),
        Step("ssh key pair", None, _key, _unkey, repeatable=True),
        Step("minion", _seeded, _seed, _unseed, repeatable=True),
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


@operations.kind("compute_node.link", subject=_subject, resolve=_resolved)
def attachment(arguments: Mapping[str, Any]) -> list[Step]:
    """A machine that is a compute node already, by its image or by an earlier controller: nothing is installed."""
    left_out = ("base system", "highstate", "images")
    return [step for step in initialization(arguments) if step.name not in left_out]


def _checked(arguments: Mapping[str, Any]) -> None:
    host = arguments.get("host")
    try:
        ipaddress.ip_address(str(host))
    except ValueError:
        identifiers.domain_name(host)
    identifiers.host_name(_short(arguments))
    if arguments.get("platform_type") not in MODES:
        raise UsageError(
            f"{shown(arguments.get('platform_type'))} is no type of platform: there are {', '.join(MODES)}."
        )
    if arguments.get("mode") not in (None, *MODES.values()):
        raise UsageError(f"{shown(arguments['mode'])} is no operation mode: there are {', '.join(MODES.values())}.")
    unknown = [one for one in arguments.get("guest_types") or () if one not in GUEST_TYPES]
    if unknown:
        raise UsageError(f"{shown(unknown[0])} is no type of guest: there are {', '.join(GUEST_TYPES)}.")
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
    found = findings(facts)
    if not facts.get("salt") and _runtime(run) is None:
        found.append(
            "it has no Salt of ours, and there is no image whose Salt it could get (mc_compute_node.image_build)"
        )
    if found:
        raise UsageError(f"{run.arguments['host']} cannot be a compute node: {'; '.join(found)}.")
    return False


def look(run: Run) -> dict[str, str]:
    """Return what a machine says of itself over ssh; nothing is changed on it."""
    done = _target(run).run("sh", "-s", stdin=_LOOK)
    return dict(line.split("=", 1) for line in done.output.splitlines() if "=" in line)


def findings(facts: Mapping[str, str]) -> list[str]:
    """Return why a machine cannot be a compute node, one phrase each; empty when it can.

    :param facts: of :func:`look`
    """
    found = []
    if facts.get("user") != "0":
        found.append("who logs in is not root")
    if facts.get("system") != "Linux":
        found.append(f"it runs {facts.get('system') or 'something unknown'}, not Linux")
    if "debian" not in (facts.get("os"), *facts.get("like", "").split()):
        found.append(f"its system is {facts.get('os') or 'unknown'}, and neither Debian nor made from it")
    if facts.get("systemd") != "yes":
        found.append("systemd does not run it")
    if int(facts.get("memory") or 0) << 10 < MEMORY:
        found.append(f"it has {int(facts.get('memory') or 0) >> 10} MiB of memory, {MEMORY >> 20} are needed")
    if int(facts.get("disk") or 0) << 10 < DISK:
        found.append(f"/srv has {int(facts.get('disk') or 0) >> 10} MiB free, {DISK >> 20} are needed")
    if facts.get("missing"):
        found.append(f"its kernel has no {facts['missing']} namespaces")
    if facts.get("cgroup") != "yes":
        found.append("its kernel has no control groups")
    if tuple(int(part) for part in (facts.get("python") or "0.0").split(".")) < (3, 9):
        found.append("it has no python3 of 3.9 or newer")
    return found


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
                guest_types=list(arguments.get("guest_types") or GUEST_TYPES),
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
            platform = Platform(node=node, type=kind, operation_mode=arguments.get("mode") or MODES[kind], owner=owner)
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


def _unname(run: Run) -> None:
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


def _unseed(run: Run) -> None:
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
    types = list(run.arguments.get("guest_types") or GUEST_TYPES)
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


def wire(cloud: Cloud, name: str) -> dict[str, Any]:
    """Let the traffic of a node be what the registry says; return what changed."""
    return wiring.traffic(cloud, name)


def _traffic(run: Run) -> dict[str, Any]:
    return wiring.traffic(run.cloud, str(run.data["name"]))


def _images(run: Run) -> list[str]:
    return synchronize(run.cloud, str(run.data["name"]))


def _inventory(run: Run) -> str:
    name = str(run.data["name"])
    inventory(run.cloud, name)
    with run.cloud.registry.session() as session:
        node = wiring.node(session, name)
        if node.state == "attaching":
            node.state = "ready"
    return "ready"


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


# --- images -----------------------------------------------------------------------------------------------------------


def synchronize(cloud: Cloud, name: str, image: str | None = None) -> list[str]:
    """Bring the controller's images to a node; return those that it did not have.

    :param image: ``<name>`` or ``<name>-<version>``; None: the newest version of each
    """
    from corpus.controller import images
    from corpus.controller.registry.models import NodeImage

    with cloud.registry.reading() as session:
        node = wiring.node(session, name)
        minion, node_id, reached = node.minion_id, node.id, wiring.target(cloud, node)
        missing = _missing(session, node, image)
    brought = []
    for one in missing:
        archive, _ = images.send(images.find(cloud.settings, one.name, one.version), reached)
        wiring.call(cloud, minion, "mc_lxc.import_image", archive, one.name, one.version, timeout=1800)
        reached.run("rm", "-f", "--", archive)
        with cloud.registry.session() as session:
            if session.get(NodeImage, (node_id, one.id)) is None:
                session.add(NodeImage(node_id=node_id, image_id=one.id))
        brought.append(f"{one.name}-{one.version}")
    return brought


def _missing(session: Session, node: ComputeNode, image: str | None) -> list[Image]:
    """The images that are meant, and that a node does not have.

    :raises UsageError: there is no image of that name
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Image, NodeImage

    there = set(session.scalars(select(NodeImage.image_id).where(NodeImage.node_id == node.id)))
    newest = {
        one.name: one
        for one in session.scalars(select(Image).order_by(Image.id))
        if image in (None, one.name, f"{one.name}-{one.version}")
    }
    if image is not None and not newest:
        raise UsageError(f"There is no image {shown(image)}: mc_compute_node.image_build makes one.")
    return [one for one in newest.values() if one.id not in there]


@operations.kind("compute_node.image_sync", subject=_subject, resolve=wiring.called(node=wiring.node))
def equipping(arguments: Mapping[str, Any]) -> list[Step]:
    """Images of the controller's, brought to a node: ``node``, ``image``."""

    def there(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            return not _missing(session, wiring.node(session, run.arguments["node"]), run.arguments.get("image"))

    def bring(run: Run) -> list[str]:
        return synchronize(run.cloud, run.arguments["node"], run.arguments.get("image"))

    return [Step("images", there, bring, repeatable=True)]


@operations.kind("image.build", subject=lambda arguments: f"image:{arguments.get('name')}")
def building(arguments: Mapping[str, Any]) -> list[Step]:
    """Build it, or find that it was built already, and bring it to the nodes."""

    def build(run: Run) -> str:
        from corpus.controller import images

        given = run.arguments
        made = images.build(run.cloud.settings, given["name"], given["suite"], run.say, again=bool(given.get("again")))
        run.remember(image=made.full_name)
        register(run.cloud, made)
        return made.full_name

    def bring(run: Run) -> dict[str, list[str]]:
        with run.cloud.registry.reading() as session:
            names = [node.name for node in _attached(session)]
        brought = {name: synchronize(run.cloud, name, run.data["image"]) for name in names}
        return {name: found for name, found in brought.items() if found}

    steps = [Step("image", None, build, repeatable=True)]
    return [*steps, Step("nodes", None, bring, repeatable=True)] if arguments.get("sync") else steps


def register(cloud: Cloud, made: images.Image) -> None:
    """Let the registry know an image that was built."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Image

    with cloud.registry.session() as session:
        wanted = select(Image).where(Image.name == made.name, Image.version == made.version)
        if session.scalar(wanted) is None:
            session.add(Image(name=made.name, version=made.version, digest=made.digest, size=made.size))


def _attached(session: Session) -> list[ComputeNode]:
    from sqlalchemy import select

    from corpus.controller.registry.models import ComputeNode

    wanted = select(ComputeNode).where(ComputeNode.state.in_(("ready", "draining"))).order_by(ComputeNode.name)
    return list(session.scalars(wanted))


# --- changes ----------------------------------------------------------------------------------------------------------


#: A node may be called by its name, its first label, its host, a uuid ...; operations know it by its name.
_NAMED = wiring.called(node=wiring.node)


@operations.kind("compute_node.unlink", subject=_subject, resolve=_NAMED, forward=True)
def detachment(arguments: Mapping[str, Any]) -> list[Step]:
    """The machine stays as it is, and is ours no more."""
    return [
        Step("node", _empty, _doomed, repeatable=True),
        Step("DNS", None, _unname, repeatable=True),
        Step("key", None, _unlet, repeatable=True, essential=False),
        Step("minion", None, _unseed, repeatable=True),
        Step("credentials and registry", None, _forget, repeatable=True),
    ]


def _empty(run: Run) -> bool:
    if "name" in run.data:
        return False
    with run.cloud.registry.reading() as session:
        _without_guests(session, wiring.node(session, run.arguments["node"]))
    return False


def _without_guests(session: Session, node: ComputeNode) -> None:
    """:raises UsageError: it has guests, or places for some that move"""
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest, Reservation

    moving = select(Reservation.guest_id).where(Reservation.node_id == node.id)
    coming = Guest.id.in_(moving) & (Guest.state == "moving")
    names = session.scalars(select(Guest.name).where((Guest.node_id == node.id) | coming).order_by(Guest.name)).all()
    if names:
        raise UsageError(
            f"{node.name} has {len(names)} guests ({', '.join(names[:5])}): move or delete them, "
            "or let those that move arrive, first."
        )


def _doomed(run: Run) -> str:
    with run.cloud.registry.session() as session:
        node = wiring.node(session, run.arguments["node"])
        wiring.turn_of(session, node)
        _without_guests(session, node)
        node.state = "unlinked"
        facts = {
            "name": node.name,
            "uuid": node.uuid,
            "host": node.host,
            "port": node.ssh_port,
            "addresses": [node.address, node.address6],
            "names": sorted(name.fqdn for name in node.names),
        }
    run.remember(**facts)
    return str(facts["name"])


def _unlet(run: Run) -> None:
    """Take our key out of the machine, as the last thing done with it."""
    path = run.cloud.settings.ssh / str(run.data["name"])
    public = path.with_name(f"{path.name}.pub")
    if public.exists():
        with run.cloud.registry.reading() as session:
            reached = wiring.target(run.cloud, wiring.node(session, run.data["uuid"]))
        reached.run("sh", "-c", wiring.LET_OUT, stdin=public.read_text(encoding="ascii"))


def _forget(run: Run) -> str:
    from sqlalchemy import select

    from corpus.controller.registry.models import ComputeNode

    name = str(run.data["name"])
    with run.cloud.registry.session() as session:
        guests.credentials(run.cloud).forget(session, f"node:{run.data['uuid']}")
        node = session.scalar(select(ComputeNode).where(ComputeNode.uuid == run.data["uuid"]))
        if node is not None:
            for platform in list(node.platforms):
                session.delete(platform)
            session.flush()
            session.delete(node)
    path = run.cloud.settings.ssh / name
    for one in (path, path.with_name(f"{path.name}.pub")):
        one.unlink(missing_ok=True)
    wiring.known_hosts(run.cloud).forget(str(run.data["host"]), int(run.data["port"]))
    names.registered(run, [*run.data["names"], *(one for one in run.data["addresses"] if one)])
    return f"{name} is forgotten"


@operations.kind("compute_node.drain", subject=_subject, resolve=_NAMED, forward=True)
def draining(arguments: Mapping[str, Any]) -> list[Step]:
    """No new guests; with ``to``, those that are there move, one after the other."""

    def drain(run: Run) -> str:
        with run.cloud.registry.session() as session:
            node = wiring.node(session, run.arguments["node"])
            wiring.turn_of(session, node)
            if node.state not in ("ready", "draining"):
                raise UsageError(f"{node.name} is {node.state}: it takes no guests anyway.")
            node.state = "draining"
            names = sorted(guest.name for guest in node.guests)
        run.remember(name=node.name, guests=names)
        return f"{node.name} takes no guests; it has {len(names)}"

    def move(run: Run) -> dict[str, str]:
        moved = {}
        with run.cloud.registry.reading() as session:  # those that moved before we were interrupted are away
            left = {guest.name for guest in wiring.node(session, run.data["name"]).guests}
        for name in run.data["guests"]:
            if name not in left:
                continue
            report = operations.run(run.cloud, "guest.move", {"name": name, "node": run.arguments["to"]}, run.who)
            if not report["result"]:
                raise CorpusError(f"{name} stays: {report['comment']}")
            moved[name] = str(run.arguments["to"])
        return moved

    steps = [Step("no new guests", None, drain, repeatable=True)]
    return [*steps, Step("moves", None, move, repeatable=True)] if arguments.get("to") else steps


@operations.kind("compute_node.undrain", subject=_subject, resolve=_NAMED)
def filling(arguments: Mapping[str, Any]) -> list[Step]:
    """New guests again."""

    def fill(run: Run) -> str:
        with run.cloud.registry.session() as session:
            node = wiring.node(session, run.arguments["node"])
            if node.state != "draining":
                raise UsageError(f"{node.name} is {node.state}, not draining.")
            node.state = "ready"
        return f"{node.name} takes guests"

    return [Step("new guests", None, fill, repeatable=True)]


@operations.kind("compute_node.switchmode", subject=lambda arguments: f"platform:{arguments.get('platform')}")
def switching(arguments: Mapping[str, Any]) -> list[Step]:
    """The platform's mode, and that of the projects on its guests."""
    mode = arguments.get("mode")
    if mode not in MODES.values():
        raise UsageError(f"{shown(mode)} is no operation mode: there are {', '.join(MODES.values())}.")

    def register(run: Run) -> str:
        with run.cloud.registry.session() as session:
            platform = _platform(session, run.arguments["platform"])
            run.data["old"] = run.data.get("old", platform.operation_mode)
            platform.operation_mode = str(mode)
        run.remember()
        return f"{mode}, was {run.data['old']}"

    def back(run: Run) -> None:
        if "old" in run.data:
            with run.cloud.registry.session() as session:
                _platform(session, run.arguments["platform"]).operation_mode = run.data["old"]
            tell(run, run.data["old"])

    def tell(run: Run, wanted: str) -> list[str]:
        with run.cloud.registry.reading() as session:
            places = [
                (guest.minion_id, placement.project.name)
                for guest in _platform(session, run.arguments["platform"]).guests
                for placement in guest.placements
            ]
        for minion, project in places:
            wiring.call(run.cloud, minion, "mc_project.set_configuration", project, operation_mode=wanted, timeout=120)
        return [f"{project} on {minion}" for minion, project in places]

    return [
        Step("registry", None, register, back, repeatable=True),
        Step("projects", None, lambda run: tell(run, str(mode)), repeatable=True),
    ]


def _platform(session: Session, given: object) -> Any:
    """:raises UsageError: there is none of that uuid"""
    from sqlalchemy import select

    from corpus.controller.registry.models import Platform

    found = session.scalar(select(Platform).where(Platform.uuid == str(given)))
    if found is None:
        raise UsageError(f"There is no platform {shown(given)}: see mc_compute_node.infos.")
    return found


@operations.kind("compute_node.add_key", subject=_subject, resolve=_NAMED)
def letting_in(arguments: Mapping[str, Any]) -> list[Step]:
    """One more public key that is let in as root."""
    from corpus.controller import access

    public = access.public_key(arguments.get("key"))
    words = public.split(None, 2)
    label = words[2] if len(words) > 2 else "key"

    def known(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            node = wiring.node(session, run.arguments["node"])
            return access.fingerprint(public) in {key.fingerprint for key in node.keys}

    def register(run: Run) -> str:
        from corpus.controller.registry.models import SshKey

        with run.cloud.registry.session() as session:
            node = wiring.node(session, run.arguments["node"])
            row = SshKey(name=label[:100], public=public, fingerprint=access.fingerprint(public), node_id=node.id)
            session.add(row)
        return access.fingerprint(public)

    def unregister(run: Run) -> None:
        _drop_key(run, access.fingerprint(public))

    def let_in(run: Run) -> None:
        _reached(run).run("sh", "-c", wiring.LET_IN, stdin=f"{public}\n")

    def let_out(run: Run) -> None:
        _reached(run).run("sh", "-c", wiring.LET_OUT, stdin=f"{public}\n")

    return [
        Step("registry", known, register, unregister, repeatable=True),
        Step("authorized keys", None, let_in, let_out, repeatable=True),
    ]


@operations.kind("compute_node.remove_key", subject=_subject, resolve=_NAMED, forward=True)
def letting_out(arguments: Mapping[str, Any]) -> list[Step]:
    """A key that is let in no more: named by its fingerprint, its name, or itself."""

    def find(run: Run) -> str:
        from corpus.controller import access

        wanted = str(run.arguments.get("key")).strip()
        own = run.cloud.settings.ssh
        with run.cloud.registry.reading() as session:
            node = wiring.node(session, run.arguments["node"])
            found = [key for key in node.keys if wanted in (key.fingerprint, key.name, key.public.strip())]
            if not found:
                raise UsageError(f"{node.name} has no key {shown(wanted)}: see mc_compute_node.infos.")
            ours = (own / f"{node.name}.pub").read_text(encoding="ascii")
            if access.fingerprint(ours) in {key.fingerprint for key in found}:
                raise UsageError(f"That is the controller's own key of {node.name}: unlink the node to take it out.")
            publics = [key.public.strip() for key in found]
        run.remember(publics=publics)
        return f"{len(publics)} found"

    def let_out(run: Run) -> None:
        for public in run.data["publics"]:
            _reached(run).run("sh", "-c", wiring.LET_OUT, stdin=f"{public}\n")

    def unregister(run: Run) -> None:
        from corpus.controller import access

        for public in run.data["publics"]:
            _drop_key(run, access.fingerprint(public))

    return [
        Step("key", None, find, repeatable=True),
        Step("authorized keys", None, let_out, repeatable=True),
        Step("registry", None, unregister, repeatable=True),
    ]


def _reached(run: Run) -> access.Target:
    with run.cloud.registry.reading() as session:
        return wiring.target(run.cloud, wiring.node(session, run.arguments["node"]))


def _drop_key(run: Run, fingerprint: str) -> None:
    with run.cloud.registry.session() as session:
        for key in wiring.node(session, run.arguments["node"]).keys:
            if key.fingerprint == fingerprint:
                session.delete(key)


@operations.kind("compute_node.link_dns", subject=_subject, resolve=_NAMED)
def linking(arguments: Mapping[str, Any]) -> list[Step]:
    """One more name that stands for the node."""
    return names.linking(arguments, lambda session, run: wiring.node(session, run.arguments["node"]))


# --- questions --------------------------------------------------------------------------------------------------------


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
