"""Guests: made on a node and wired, looked at, changed, deleted. Each long action is an operation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from corpus import identifiers
from corpus.controller import admission, links, names, operations, owners, privileges, projects, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.cloud import Cloud
    from corpus.controller.credentials import Credentials
    from corpus.controller.registry.models import ComputeNode, Guest, Owner, Platform

#: Bytes that a guest may store when nothing else is said
SIZE = 5 << 30
IMAGE = "debian"
#: Seconds that a guest's minion has until it answers
ANSWERS = 60
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?B)?", re.IGNORECASE)


def size_of(given: object) -> int:
    """Return bytes: a whole number, or a text such as ``5G`` or ``512 MB`` (powers of 1024).

    :raises UsageError: it is no size
    """
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    match = _SIZE.fullmatch(str(given).strip()) if isinstance(given, str) else None
    if match is None or not (found := int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))):
        raise UsageError(f"{shown(given)} is no size: write bytes, or 512M, 5G.")
    return found


#: A guest may be called by its name, its minion's id or its uuid; operations know it by its name.
_NAMED = wiring.called(name=wiring.guest)


# --- create -----------------------------------------------------------------------------------------------------------


def _subjects(arguments: Mapping[str, Any]) -> list[str]:
    project = arguments.get("project")
    return [f"guest:{arguments.get('name')}", *([f"project:{project}"] if project else [])]


@operations.kind("guest.create", subject=_subjects)
def creation(arguments: Mapping[str, Any]) -> list[Step]:
    """The order is the RFC's; the container is started before its name is registered, and waited for afterwards."""
    identifiers.host_name(arguments.get("name"))
    size_of(arguments.get("size") or SIZE)
    if arguments.get("project"):
        identifiers.project_name(arguments["project"])
        projects.without_secrets(arguments.get("settings"))
    if arguments.get("type", "lxc") != "lxc":
        raise UsageError(f"{shown(arguments['type'])} is no type of guest: there is lxc.")
    project = [Step("project", None, _project, None, repeatable=True)] if arguments.get("project") else []
    return [
        Step("owner", check=_admitted),
        Step("address and ssh port", _registered, _register, _unregister, repeatable=True),
        Step("container", _existing, _clone, _unmake, repeatable=True),
        Step("DNS", _existing, _name, _unname, repeatable=True),
        Step("registration on the node", _existing, _wire, _unwire, repeatable=True),
        Step("minion", _existing, _attach, None, repeatable=True),
        Step("root credentials", _existing, _password, None, repeatable=True),
        Step("layout, keys and highstate", None, _highstate, None, repeatable=True),
        *project,
        Step("ready", _existing, _ready, None, repeatable=True),
        Step("mail", _existing, _mail, None, repeatable=True, essential=False),
    ]


def _admitted(run: Run) -> bool:
    """Whether it may be made; changes nothing."""
    from sqlalchemy import select

    from corpus.controller.registry.models import DnsName, Guest

    name = str(run.arguments["name"])
    with run.cloud.registry.reading() as session:
        platform, node = _place(session, run.arguments.get("platform"))
        wiring.open_to_guests(node)
        if "lxc" not in node.guest_types:
            raise UsageError(f"The compute node {node.name} has {', '.join(node.guest_types)}, and no lxc.")
        _image(session, node, run.arguments.get("image"))
        person = owner(session, run.arguments.get("owner"))
        there = session.scalar(select(Guest).where(Guest.name == name))
        if there is not None and there.state in ("deleting", "moving", "failed"):
            raise UsageError(
                f"There is a guest {name} already, and it is {there.state}: finish what was begun "
                f"(mc_controller.resume), or delete it (mc_guest.delete {name})."
            )
        if there is not None and there.state != "creating" and not _same(there, platform, node):
            raise UsageError(
                f"There is a guest {name} already, on {there.node.name}: delete it, or choose another name."
            )
        fqdn = f"{name}.{run.cloud.settings.zone}"
        taken = session.scalar(select(DnsName).where(DnsName.fqdn == fqdn))
        if taken is not None and there is None:
            raise UsageError(f"The name {fqdn} is taken by another one: choose another name.")
        if person is None and run.arguments.get("owner"):
            raise owners.unknown(run.arguments["owner"])
        if there is None:
            run.note(privileges.told(name, privileges.unprivileged(node, platform, run.arguments.get("unprivileged"))))
        else:
            run.note(privileges.told(name, privileges.is_unprivileged(there)))
    return False


def _same(there: Guest, platform: Platform | None, node: ComputeNode) -> bool:
    return there.node_id == node.id and there.platform_id == (platform.id if platform else None)


def _place(session: Session, given: object) -> tuple[Platform | None, ComputeNode]:
    """Return the platform and node that are meant: a platform's uuid, or a node, whose first platform it is then.

    :raises UsageError: there is none
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Platform

    platform = session.scalar(select(Platform).where(Platform.uuid == str(given)))
    if platform is not None:
        return platform, platform.node
    node = wiring.node(session, given)
    return session.scalar(select(Platform).where(Platform.node_id == node.id).order_by(Platform.id)), node


def owner(session: Session, name: object) -> Owner | None:
    """Return an owner by name, or None."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Owner

    return session.scalar(select(Owner).where(Owner.name == str(name).lower())) if name else None


def _image(session: Session, node: ComputeNode, given: object) -> Any:
    """Return the newest image of that name that the node has; ``name`` or ``name-version``.

    :raises UsageError: it has none
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Image, NodeImage

    wanted = str(given or IMAGE)
    there = select(Image).join(NodeImage, NodeImage.image_id == Image.id).where(NodeImage.node_id == node.id)
    found = list(session.scalars(there.order_by(Image.id.desc())))
    for one in found:
        if wanted in (one.name, f"{one.name}-{one.version}"):
            return one
    raise UsageError(
        f"The compute node {node.name} has no image {shown(wanted)}: mc_compute_node.image_sync brings it."
    )


def _registered(run: Run) -> bool:
    """Whether the guest was there before: then nothing of it is made again, or ever undone."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest

    with run.cloud.registry.reading() as session:
        found = session.scalar(select(Guest).where(Guest.name == str(run.arguments["name"])))
        if found is None or found.state == "creating":
            return False
        run.data.update(guest=facts_of(session, found), existing=True)
    return True


def _existing(run: Run) -> bool:
    return bool(run.data.get("existing"))


def _register(run: Run) -> str:
    from sqlalchemy import select

    from corpus.controller.registry import allocation
    from corpus.controller.registry.models import DnsName, Guest

    name, zone = str(run.arguments["name"]), run.cloud.settings.zone
    with run.cloud.registry.session() as session:
        found = session.scalar(select(Guest).where(Guest.name == name))
        platform, node = _place(session, run.arguments.get("platform"))
        if found is None:
            wiring.turn_of(session, node)
            wiring.open_to_guests(node)
            place = allocation.place(session, node, run.cloud.settings.ssh_ports)
            found = Guest(
                name=name,
                minion_id=f"{name}.{zone}",
                node=node,
                platform=platform,
                address=place.address,
                address6=place.address6,
                ssh_port=place.ssh_port,
                image=_image(session, node, run.arguments.get("image")),
                size_bytes=size_of(run.arguments.get("size") or SIZE),
                memory=size_of(run.arguments["memory"]) if run.arguments.get("memory") else None,
                cpus=run.arguments.get("cpus"),
                owner=owner(session, run.arguments.get("owner")),
                settings={
                    "unprivileged": privileges.unprivileged(node, platform, run.arguments.get("unprivileged")),
                },
            )
            session.add(found)
            session.flush()
            for fqdn in (f"{name}.{zone}", f"*.{name}.{zone}"):
                session.add(DnsName(fqdn=fqdn, guest_id=found.id))
            _give_keys(session, found, run)
            session.flush()
        facts = facts_of(session, found)
    run.remember(guest=facts)
    return f"{facts['address']}, port {facts['ssh_port']} of {facts['node']}"


def facts_of(session: Session, guest: Guest) -> dict[str, Any]:
    """Return what steps must know of a guest, also when the registry knows it no more."""
    from sqlalchemy import select

    from corpus.controller.registry.models import DnsName

    names = session.scalars(select(DnsName.fqdn).where(DnsName.guest_id == guest.id)).all()
    return {
        "name": guest.name,
        "uuid": guest.uuid,
        "minion": guest.minion_id,
        "node": guest.node.name,
        "node_minion": guest.node.minion_id,
        "node_host": guest.node.host,
        "address": guest.address,
        "address6": guest.address6,
        "ssh_port": guest.ssh_port,
        "unprivileged": privileges.is_unprivileged(guest),
        "names": sorted(names),
    }


def credentials(cloud: Cloud) -> Credentials:
    """The credentials of the registry."""
    from corpus.controller.credentials import Credentials

    return Credentials.of(cloud.registry)


def _give_keys(session: Session, guest: Guest, run: Run) -> None:
    """Let in whom it belongs to, and the keys that were named."""
    from corpus.controller.access import fingerprint
    from corpus.controller.registry.models import SshKey

    person = owner(session, run.arguments.get("owner"))
    given = {fingerprint(line): str(line).strip() for line in run.arguments.get("keys") or ()}
    for known, public in given.items():
        label = public.split()[2] if len(public.split()) > 2 else "given"
        session.add(SshKey(name=label[:100], public=public, fingerprint=known, guest_id=guest.id, owner=person))
    admission.let_in(session, guest)


def _unregister(run: Run) -> None:
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest

    with run.cloud.registry.session() as session:
        found = session.scalar(select(Guest).where(Guest.name == str(run.arguments["name"])))
        ours = run.data["guest"]["uuid"] if "guest" in run.data else None
        if found is None or (found.uuid != ours if ours else found.state != "creating"):
            return
        credentials(run.cloud).forget(session, f"guest:{found.uuid}")
        session.delete(found)


def _clone(run: Run) -> str:
    """Make the container with its minion's keys in it, and start it."""
    from corpus.controller import access, preseed
    from corpus.controller.registry import allocation

    facts, cloud = run.data["guest"], run.cloud
    _claim(run)
    with cloud.registry.reading() as session:
        guest = wiring.guest(session, facts["uuid"])
        node, image = guest.node, guest.image
        assert node.network is not None
        settings: dict[str, Any] = {
            "address": allocation.interface(str(guest.address), node.network),
            "gateway": allocation.bridge(node.network),
            "size": guest.size_bytes,
            "memory": guest.memory,
            "cpus": guest.cpus,
            "bridge": wiring.BRIDGE,
            "unprivileged": privileges.is_unprivileged(guest),
        }
        if guest.address6 and node.network6:
            settings["address6"] = allocation.interface(guest.address6, node.network6)
            settings["gateway6"] = allocation.bridge(node.network6)
        keys = [key.public for key in guest.keys]
        name = f"{image.name}-{image.version}" if image else IMAGE
        reached, host_address = wiring.target(cloud, node), node.host
    master, minion_keys, host_key = wiring.master(cloud), preseed.new_keys(), access.new_key(facts["minion"])
    preseed.accept(master, facts["minion"], minion_keys.public)
    files = preseed.files(
        facts["minion"], minion_keys, master, authorized=keys, host_key=host_key, options={"enable_fqdns_grains": False}
    )
    for known in {host_address, *(one for one in facts["names"] if not one.startswith("*."))}:
        wiring.known_hosts(cloud).learn(known, facts["ssh_port"], host_key.public)
    # Not in the job: its arguments are published to every minion.
    reached.run("sh", "-c", _LEAVE, "sh", facts["name"], stdin=json.dumps(files))
    wiring.call(
        cloud, facts["node_minion"], "mc_seed.create", facts["name"], name, guest=facts["uuid"], timeout=120, **settings
    )
    return f"{facts['name']} from {name} on {facts['node']}"


def _claim(run: Run) -> None:
    """Remember that container and keys are made by this operation; only then may they be undone.

    :raises UsageError: others made them before
    """
    from corpus.controller import preseed

    if run.data.get("made"):
        return
    facts = run.data["guest"]
    if facts["name"] in wiring.call(run.cloud, facts["node_minion"], "mc_lxc.list", timeout=60):
        if wiring.call(run.cloud, facts["node_minion"], "mc_seed.owner", facts["name"], timeout=60) != facts["uuid"]:
            raise UsageError(
                f"There is a container {facts['name']} on {facts['node']} already, which is not this guest's: "
                "choose another name, or destroy it there (mc_lxc.destroy)."
            )
    elif preseed.accepted(wiring.master(run.cloud), facts["minion"]) is not None:
        raise UsageError(
            f"The master accepts a minion {facts['minion']} already, which is not this guest's: "
            "choose another name, or delete its key (salt-key)."
        )
    run.remember(made=True)


_LEAVE = 'umask 077 && mkdir -p /run/corpus/seeds && cat > "/run/corpus/seeds/$1.json"'


def _unmake(run: Run) -> None:
    if run.data.get("made"):
        _destroy(run)


def _destroy(run: Run) -> None:
    """Remove container and keys, which go by the guest's name; not those of another guest that has the name now."""
    from sqlalchemy import select

    from corpus.controller import preseed
    from corpus.controller.registry.models import Guest

    facts = run.data["guest"]
    with run.cloud.registry.reading() as session:
        now = session.scalar(select(Guest.uuid).where(Guest.name == facts["name"]))
    if now not in (None, facts["uuid"]):
        return

    wiring.call(run.cloud, facts["node_minion"], "mc_lxc.destroy", facts["name"], timeout=120)
    preseed.forget(wiring.master(run.cloud), facts["minion"])
    for known in {facts["node_host"], *(one for one in facts["names"] if not one.startswith("*."))}:
        wiring.known_hosts(run.cloud).forget(known, facts["ssh_port"])


def _name(run: Run) -> dict[str, Any]:
    facts = run.data["guest"]
    return names.registered(run, [*facts["names"], facts["address"], facts["address6"]])


def _unname(run: Run) -> None:
    facts = run.data.get("guest")
    if facts is None:
        return
    with run.cloud.registry.session() as session:
        _forget_names(session, facts)
    names.registered(run, [*facts["names"], facts["address"], facts["address6"]])


def _forget_names(session: Session, facts: Mapping[str, Any]) -> None:
    """Take a guest's names out of the registry; its address stays its own while its container is there."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest

    found = session.scalar(select(Guest).where(Guest.uuid == facts["uuid"]))
    if found is None:
        return
    found.state = "deleting"
    for name in list(found.names):
        session.delete(name)


def _wire(run: Run) -> dict[str, Any]:
    return wiring.traffic(run.cloud, run.data["guest"]["node"])


def _unwire(run: Run) -> None:
    facts = run.data.get("guest")
    if facts is None:
        return
    with run.cloud.registry.session() as session:
        from sqlalchemy import select

        from corpus.controller.registry.models import Guest

        found = session.scalar(select(Guest).where(Guest.uuid == facts["uuid"]))
        if found is not None:
            found.state = "deleting"
    wiring.traffic(run.cloud, facts["node"])


def _attach(run: Run) -> str:
    """Wait for the minion."""
    facts = run.data["guest"]
    run.cloud.minions.wait_for(facts["minion"], ANSWERS)
    return str(facts["minion"])


def _password(run: Run) -> str:
    """Give root the password that the registry keeps; it reaches the guest over ssh, in no argument."""
    facts = run.data["guest"]
    with run.cloud.registry.session() as session:
        value = credentials(run.cloud).generate(session, f"guest:{facts['uuid']}", "root")
        reached = wiring.target(run.cloud, wiring.guest(session, facts["uuid"]).node)
    reached.run("sh", "-c", _ENTER, "sh", facts["name"], "chpasswd", stdin=f"root:{value}\n")
    return "kept, encrypted"


_ENTER = 'name=$1 && shift && exec lxc-attach -P /srv/corpus/pool/containers -n "$name" --clear-env -- "$@"'


def _highstate(run: Run) -> dict[str, Any]:
    facts = run.data["guest"]
    found = wiring.call(run.cloud, facts["minion"], "state.apply", "corpus.guest", queue=True, timeout=300)
    return applied(found, facts["minion"])


def applied(found: Any, minion: str) -> dict[str, Any]:
    """Return what states changed.

    :raises CorpusError: one failed, or they could not be rendered
    """
    if not isinstance(found, Mapping):
        words = " ".join(map(str, found)) if isinstance(found, list) else str(found)
        raise CorpusError(f"The states of {minion} cannot be applied: {words[:500]}")
    failed = [f"{one.get('__id__')}: {one.get('comment')}" for one in found.values() if one.get("result") is False]
    if failed:
        raise CorpusError(f"A state of {minion} failed: {failed[0][:500]}")
    return {str(one.get("__id__")): "changed" for one in found.values() if one.get("changes")}


def _project(run: Run) -> dict[str, Any]:
    """Let a project be pushed to the guest."""
    wanted = {"name": run.arguments["project"], "guest": run.data["guest"]["name"]}
    return projects.settled(replace(run, arguments={**wanted, "settings": run.arguments.get("settings")}))


def _ready(run: Run) -> None:
    with run.cloud.registry.session() as session:
        wiring.guest(session, run.data["guest"]["uuid"]).state = "running"


def _mail(run: Run) -> str | None:
    """Tell sysadmins, and who asked, where it is. The password is shown by a link that works once."""
    facts = run.data["guest"]
    with run.cloud.registry.session() as session:
        person = owner(session, run.arguments.get("owner") or run.who)
        to = [person.email] if person is not None and person.email else []
        token = credentials(run.cloud).link(session, f"guest:{facts['uuid']}", "root")
    host = next((fqdn for fqdn in facts["names"] if not fqdn.startswith("*.")), facts["minion"])
    lines = [
        f"The guest {facts['name']} is ready.",
        "",
        f"Pages:     http://{host}/ and https://{host}/",
        f"ssh:       ssh -p {facts['ssh_port']} root@{host}",
        *(f"git push:  {url}" for url in (run.data.get("remotes") or {}).values()),
        f"password:  {links.address(run.cloud.settings.web_url, token)}   (shows it once)",
        "",
        f"It was asked for by {run.who}.",
    ]
    return (
        run.cloud.mail(f"The guest {facts['name']} is ready", "\n".join(lines) + "\n", to) or "There is no mail server."
    )


# --- delete -----------------------------------------------------------------------------------------------------------


@operations.kind("guest.delete", forward=True, resolve=_NAMED)
def deletion(arguments: Mapping[str, Any]) -> list[Step]:
    """What was begun is finished: half a guest is of no use to anybody."""
    return [
        Step("guest", None, _doomed, None, repeatable=True),
        Step("traffic", None, _unwire, None, repeatable=True),
        Step("DNS", None, _unname, None, repeatable=True),
        Step("container", None, _destroy, None, repeatable=True),
        Step("credentials and registry", None, _forget, None, repeatable=True),
    ]


def _doomed(run: Run) -> str:
    with run.cloud.registry.session() as session:
        known = run.data.get("guest")  # by another name for it, it could be a later guest
        found = wiring.guest(session, known["uuid"] if known else run.arguments["name"])
        facts = facts_of(session, found)
        found.state = "deleting"
    if "guest" not in run.data:
        run.remember(guest=facts)
    return f"{facts['name']} on {facts['node']}"


def _forget(run: Run) -> str:
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest

    facts = run.data["guest"]
    with run.cloud.registry.session() as session:
        credentials(run.cloud).forget(session, f"guest:{facts['uuid']}")
        found = session.scalar(select(Guest).where(Guest.uuid == facts["uuid"]))
        if found is not None:
            session.delete(found)
    names.registered(run, [*facts["names"], facts["address"], facts["address6"]])
    return f"{facts['name']} is forgotten"


def confirmed(name: object, confirm: object, test: bool) -> None:
    """:raises UsageError: who deletes did not say the name twice"""
    if not test and confirm != name:
        raise UsageError(f"Deleting {name} loses its data: say confirm={name}.")


# --- smaller changes --------------------------------------------------------------------------------------------------


def _found(run: Run) -> dict[str, Any]:
    """What there is to know of the guest that is meant."""
    with run.cloud.registry.reading() as session:
        return facts_of(session, wiring.guest(session, run.arguments["name"]))


def _there(run: Run) -> bool:
    _found(run)
    return False


def _set_state(run: Run, state: str) -> None:
    with run.cloud.registry.session() as session:
        wiring.guest(session, run.arguments["name"]).state = state


def _on_node(run: Run, function: str, *words: Any, timeout: float = 120) -> dict[str, Any]:
    """Let the guest's node do it; return what changed."""
    facts = _found(run)
    report = wiring.call(run.cloud, facts["node_minion"], function, facts["name"], *words, timeout=timeout)
    return dict(report.get("changes") or {}) if isinstance(report, Mapping) else {}


@operations.kind("guest.start", resolve=_NAMED)
def starting(arguments: Mapping[str, Any]) -> list[Step]:
    """Start it, wait for it."""

    def start(run: Run) -> dict[str, Any]:
        changes = _on_node(run, "mc_lxc.start")
        run.cloud.minions.wait_for(_found(run)["minion"], ANSWERS)
        _set_state(run, "running")
        return changes

    return [Step("guest", _there), Step("start", None, start, repeatable=True)]


@operations.kind("guest.stop", resolve=_NAMED)
def stopping(arguments: Mapping[str, Any]) -> list[Step]:
    """Stop it."""

    def stop(run: Run) -> dict[str, Any]:
        changes = _on_node(run, "mc_lxc.stop")
        _set_state(run, "stopped")
        return changes

    return [Step("guest", _there), Step("stop", None, stop, repeatable=True)]


@operations.kind("guest.restart", resolve=_NAMED)
def restarting(arguments: Mapping[str, Any]) -> list[Step]:
    """Stop it, start it, wait for it."""

    def restart(run: Run) -> dict[str, Any]:
        changes = _on_node(run, "mc_lxc.restart")
        run.cloud.minions.wait_for(_found(run)["minion"], ANSWERS)
        _set_state(run, "running")
        return changes

    return [Step("guest", _there), Step("restart", None, restart, repeatable=True)]


def _wished(run: Run, sign: int) -> int:
    """The size that is asked for: a whole one, or one that is added (``+2G``) or taken away (``-2G``).

    :raises UsageError: it is no size, or not in the direction that was asked for
    """
    given = run.arguments.get("size")
    with run.cloud.registry.reading() as session:
        now = wiring.guest(session, run.arguments["name"]).size_bytes or SIZE
    mark = "+" if sign > 0 else "-"
    relative = isinstance(given, str) and given.strip().startswith(mark)
    wish = now + sign * size_of(str(given).strip()[1:]) if relative else size_of(given)
    if wish <= 0 or (wish - now) * sign < 0:
        word = "enlarge" if sign > 0 else "trim"
        raise UsageError(f"{run.arguments['name']} may store {now} bytes now: {word} cannot make that {wish}.")
    return wish


def _resizing(sign: int) -> list[Step]:
    def known(run: Run) -> bool:
        if "old" not in run.data:
            with run.cloud.registry.reading() as session:
                old = wiring.guest(session, run.arguments["name"]).size_bytes or SIZE
            wish = _wished(run, sign)
            run.data.update(old=old, size=wish)
        return False

    def resize(run: Run) -> dict[str, Any]:
        run.remember()
        changes = _on_node(run, "mc_lxc.resize", run.data["size"])
        with run.cloud.registry.session() as session:
            wiring.guest(session, run.arguments["name"]).size_bytes = run.data["size"]
        return changes

    def back(run: Run) -> None:
        _on_node(run, "mc_lxc.resize", run.data["old"])
        with run.cloud.registry.session() as session:
            wiring.guest(session, run.arguments["name"]).size_bytes = run.data["old"]

    return [Step("size", known), Step("quota", None, resize, back, repeatable=True)]


@operations.kind("guest.enlarge", resolve=_NAMED)
def enlarging(arguments: Mapping[str, Any]) -> list[Step]:
    """Set the quota."""
    return _resizing(+1)


@operations.kind("guest.trim", resolve=_NAMED)
def trimming(arguments: Mapping[str, Any]) -> list[Step]:
    """Set the quota; the node refuses one below what is used."""
    return _resizing(-1)


@operations.kind("guest.snapshot", resolve=_NAMED)
def keeping(arguments: Mapping[str, Any]) -> list[Step]:
    """Take a snapshot; an older one of the same label is never touched."""

    def unlabelled(run: Run) -> bool:
        name, label = run.arguments["name"], run.arguments["label"]
        if str(label) in on_node(run.cloud, name, "mc_lxc.snapshots"):
            raise UsageError(
                f"{name} has a snapshot {label} already: choose another label, or delete it (mc_guest.delete_snapshot)."
            )
        return False

    def keep(run: Run) -> dict[str, Any]:
        return _on_node(run, "mc_lxc.snapshot", run.arguments["label"], timeout=600)

    def drop(run: Run) -> None:
        _on_node(run, "mc_lxc.delete_snapshot", run.arguments["label"], timeout=600)

    return [Step("label", unlabelled), Step("snapshot", None, keep, drop)]


@operations.kind("guest.restore", forward=True, resolve=_NAMED)
def restoring(arguments: Mapping[str, Any]) -> list[Step]:
    """Go back to a snapshot; what was since is gone."""

    def restore(run: Run) -> dict[str, Any]:
        changes = _on_node(run, "mc_lxc.restore", run.arguments["label"], timeout=600)
        facts = _found(run)
        with run.cloud.registry.reading() as session:
            stopped = wiring.guest(session, run.arguments["name"]).state == "stopped"
        if not stopped:
            _on_node(run, "mc_lxc.start")
            run.cloud.minions.wait_for(facts["minion"], ANSWERS)
        return changes

    return [Step("guest", _there), Step("restore", None, restore, repeatable=True)]


@operations.kind("guest.delete_snapshot", forward=True, resolve=_NAMED)
def dropping(arguments: Mapping[str, Any]) -> list[Step]:
    """Forget a snapshot."""

    def drop(run: Run) -> dict[str, Any]:
        return _on_node(run, "mc_lxc.delete_snapshot", run.arguments["label"], timeout=600)

    return [Step("guest", _there), Step("snapshot", None, drop, repeatable=True)]


@operations.kind("guest.link_dns", resolve=_NAMED)
def linking(arguments: Mapping[str, Any]) -> list[Step]:
    """Give it a name: in the registry, in DNS, in the proxy of its node."""
    return names.linking(arguments, _bearer, [_rewire])


def _bearer(session: Session, run: Run) -> Guest:
    return wiring.guest(session, run.arguments["name"])


def _rewire(run: Run) -> dict[str, Any]:
    return wiring.traffic(run.cloud, _found(run)["node"])


@operations.kind("guest.unlink_dns", forward=True, resolve=_NAMED)
def unlinking(arguments: Mapping[str, Any]) -> list[Step]:
    """Take a name away."""
    fqdn = names.name_of(arguments)

    def own(run: Run) -> bool:
        facts = _found(run)
        if fqdn == facts["minion"]:
            raise UsageError(f"{fqdn} is the guest's own name: it stays as long as the guest.")
        return False

    return [
        Step("name", own),
        Step("registry", None, lambda run: names.forget(run, fqdn, _bearer), repeatable=True),
        Step("DNS", None, lambda run: names.registered(run, [fqdn]), repeatable=True),
        Step("traffic", None, _rewire, repeatable=True),
    ]


# --- questions --------------------------------------------------------------------------------------------------------


def listed(cloud: Cloud, node: str | None = None) -> dict[str, Any]:
    """Return the guests, by name."""
    from sqlalchemy import select
    from sqlalchemy.orm import selectinload

    from corpus.controller.registry.models import Guest

    wanted = (
        select(Guest)
        .order_by(Guest.name)
        .options(selectinload(Guest.node), selectinload(Guest.names), selectinload(Guest.placements))
    )
    with cloud.registry.reading() as session:
        if node is not None:
            wanted = wanted.where(Guest.node_id == wiring.node(session, node).id)
        return {
            guest.name: {
                "state": guest.state,
                "node": guest.node.name,
                "address": guest.address,
                "ssh_port": guest.ssh_port,
                "names": sorted(name.fqdn for name in guest.names),
                "projects": sorted(placement.project.name for placement in guest.placements),
            }
            for guest in session.scalars(wanted)
        }


def infos(cloud: Cloud, name: str, live: bool = True) -> dict[str, Any]:
    """Return what the registry knows of a guest, and what its node says."""
    with cloud.registry.reading() as session:
        guest = wiring.guest(session, name)
        facts = facts_of(session, guest)
        remotes = {one.project.name: projects.pushed_to(guest, one.project.name) for one in guest.placements}
        host = next((fqdn for fqdn in facts["names"] if not fqdn.startswith("*.")), guest.minion_id)
        found: dict[str, Any] = {
            **facts,
            "state": guest.state,
            "type": guest.type,
            "platform": guest.platform.uuid if guest.platform else None,
            "image": f"{guest.image.name}-{guest.image.version}" if guest.image else None,
            "size": guest.size_bytes,
            "memory": guest.memory,
            "cpus": guest.cpus,
            "created": guest.created.isoformat(),
            "ssh": f"ssh -p {guest.ssh_port} root@{host}",
            "keys": {key.fingerprint: key.name for key in guest.keys},
            "projects": remotes,
        }
    if live:
        found["live"] = wiring.call(cloud, facts["node_minion"], "mc_lxc.infos", facts["name"], timeout=30)
    return found


def on_node(cloud: Cloud, name: str, function: str, *words: Any, timeout: float = 60) -> Any:
    """Let a guest's node answer."""
    with cloud.registry.reading() as session:
        guest = wiring.guest(session, name)
        minion, name = guest.node.minion_id, guest.name
    return wiring.call(cloud, minion, function, name, *words, timeout=timeout)


def link(cloud: Cloud, name: str, test: bool = False) -> dict[str, str]:
    """Return a link that shows a guest's root password once."""
    if test:
        with cloud.registry.reading() as session:
            return {"link": "", "show": f"It would show the password of {wiring.guest(session, name).name} once."}
    with cloud.registry.session() as session:
        token = credentials(cloud).link(session, f"guest:{wiring.guest(session, name).uuid}", "root")
    return {"link": token, "show": links.address(cloud.settings.web_url, token)}


def link_for(cloud: Cloud, name: str, digest: str, key: str) -> None:
    """Make a link that shows a guest's root password once, whose token somebody else made.

    :param digest: of the token
    :param key: of the token
    """
    with cloud.registry.session() as session:
        subject = f"guest:{wiring.guest(session, name).uuid}"
        credentials(cloud).link_for(session, subject, "root", digest, key)


def redeemed(cloud: Cloud, token: str) -> dict[str, str]:
    """Return what a link shows."""
    with cloud.registry.session() as session:
        subject, name, value = links.redeem(session, str(token))
    return {"subject": subject, "name": name, "value": value}
