"""Guests that are made: on a node, with an address, a name, a minion, and a way in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from corpus import identifiers
from corpus.controller import admission, guests, links, names, operations, owners, privileges, projects, wiring
from corpus.controller.guests import deletion
from corpus.controller.operations import Run, Step
from corpus.errors import UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.registry.models import ComputeNode, Guest, Platform


def _subjects(arguments: Mapping[str, Any]) -> list[str]:
    project = arguments.get("project")
    return [f"guest:{arguments.get('name')}", *([f"project:{project}"] if project else [])]


@operations.kind("guest.create", subject=_subjects)
def creation(arguments: Mapping[str, Any]) -> list[Step]:
    """The order is the RFC's; the container is started before its name is registered, and waited for afterwards."""
    identifiers.host_name(arguments.get("name"))
    guests.size_of(arguments.get("size") or guests.SIZE)
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
        Step("DNS", _existing, _name, deletion.unname, repeatable=True),
        Step("registration on the node", _existing, _wire, deletion.unwire, repeatable=True),
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
        person = guests.owner(session, run.arguments.get("owner"))
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


def _image(session: Session, node: ComputeNode, given: object) -> Any:
    """Return the newest image of that name that the node has; ``name`` or ``name-version``.

    :raises UsageError: it has none
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Image, NodeImage

    wanted = str(given or guests.IMAGE)
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
        run.data.update(guest=guests.facts_of(session, found), existing=True)
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
                size_bytes=guests.size_of(run.arguments.get("size") or guests.SIZE),
                memory=guests.size_of(run.arguments["memory"]) if run.arguments.get("memory") else None,
                cpus=run.arguments.get("cpus"),
                owner=guests.owner(session, run.arguments.get("owner")),
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
        facts = guests.facts_of(session, found)
    run.remember(guest=facts)
    return f"{facts['address']}, port {facts['ssh_port']} of {facts['node']}"


def _give_keys(session: Session, guest: Guest, run: Run) -> None:
    """Let in whom it belongs to, and the keys that were named."""
    from corpus.controller.access import fingerprint
    from corpus.controller.registry.models import SshKey

    person = guests.owner(session, run.arguments.get("owner"))
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
        guests.credentials(run.cloud).forget(session, f"guest:{found.uuid}")
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
        name = f"{image.name}-{image.version}" if image else guests.IMAGE
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
        deletion.destroy(run)


def _name(run: Run) -> dict[str, Any]:
    facts = run.data["guest"]
    return names.registered(run, [*facts["names"], facts["address"], facts["address6"]])


def _wire(run: Run) -> dict[str, Any]:
    return wiring.traffic(run.cloud, run.data["guest"]["node"])


def _attach(run: Run) -> str:
    """Wait for the minion."""
    facts = run.data["guest"]
    run.cloud.minions.wait_for(facts["minion"], guests.ANSWERS)
    return str(facts["minion"])


def _password(run: Run) -> str:
    """Give root the password that the registry keeps; it reaches the guest over ssh, in no argument."""
    facts = run.data["guest"]
    with run.cloud.registry.session() as session:
        value = guests.credentials(run.cloud).generate(session, f"guest:{facts['uuid']}", "root")
        reached = wiring.target(run.cloud, wiring.guest(session, facts["uuid"]).node)
    reached.run("sh", "-c", _ENTER, "sh", facts["name"], "chpasswd", stdin=f"root:{value}\n")
    return "kept, encrypted"


_ENTER = 'name=$1 && shift && exec lxc-attach -P /srv/corpus/pool/containers -n "$name" --clear-env -- "$@"'


def _highstate(run: Run) -> dict[str, Any]:
    facts = run.data["guest"]
    found = wiring.call(run.cloud, facts["minion"], "state.apply", "corpus.guest", queue=True, timeout=300)
    return guests.applied(found, facts["minion"])


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
        person = guests.owner(session, run.arguments.get("owner") or run.who)
        to = [person.email] if person is not None and person.email else []
        token = guests.credentials(run.cloud).link(session, f"guest:{facts['uuid']}", "root")
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
