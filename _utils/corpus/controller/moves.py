"""Moves: a guest goes to another compute node, copied while it runs, stopped for the rest, started there.

Until it runs there nothing of it is removed here: a move that fails leaves the guest where it was. Snapshots do not move.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import guests, names, operations, privileges, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.registry.models import ComputeNode, Platform

#: Seconds that a round of copying may take.
COPYING = 6 * 3600
#: Where the key for a move lies on the node that sends, as long as it moves.
_KEYS = "/run/corpus/moves"
_BRING = 'umask 077 && mkdir -p /run/corpus/moves && cat > "/run/corpus/moves/$1"'


@operations.kind("guest.move", resolve=wiring.called(name=wiring.guest, node=wiring.node))
def moving(arguments: Mapping[str, Any]) -> list[Step]:
    """Everything that can fail for long comes before the guest is stopped."""
    return [
        Step("where to", _possible, _plan, _was, repeatable=True),
        Step("leave its snapshots behind", _no_snapshots, _warn, None, repeatable=True),
        Step("place there", None, _reserve, _release, repeatable=True),
        Step("key between the nodes", None, _introduce, _part, repeatable=True),
        Step("copy while it runs", None, _copy, _discard, repeatable=True),
        Step("stop", None, _stop, _start_again, repeatable=True),
        Step("copy the rest", None, _copy_rest, None, repeatable=True),
        Step("registry", None, _settle, _unsettle, repeatable=True),
        Step("start there", None, _start, _stop_there, repeatable=True),
        Step("DNS", None, _name, None, repeatable=True),
        Step("traffic there", None, _wire, None, repeatable=True),
        Step("minion", None, _answers, None, repeatable=True),
        # From here on it is there, whatever happens.
        Step("traffic here", None, _unwire, None, repeatable=True, essential=False),
        Step("container here", None, _remove, None, repeatable=True, essential=False),
        Step("key between the nodes removed", None, _part, None, repeatable=True, essential=False),
    ]


def _possible(run: Run) -> bool:
    """Whether it may move there; changes nothing."""
    if "guest" in run.data:
        return False
    with run.cloud.registry.reading() as session:
        guest = wiring.guest(session, run.arguments["name"])
        target = wiring.node(session, run.arguments.get("node"))
        if target.id == guest.node_id:
            raise UsageError(f"{guest.name} is on {target.name} already.")
        wiring.open_to_guests(target)
        if guest.type not in target.guest_types:
            raise UsageError(f"The compute node {target.name} has no {guest.type}.")
        if guest.state not in ("running", "stopped"):
            raise UsageError(f"{guest.name} is {guest.state}: settle that first (mc_controller.resume).")
        if privileges.is_unprivileged(guest):
            privileges.possible(target)
    return False


def _plan(run: Run) -> str:
    """Remember where it was, so that it can be there again."""
    if "guest" not in run.data:
        run.remember(**_found(run))
    facts, to = run.data["guest"], run.data["to"]
    with run.cloud.registry.session() as session:
        wiring.guest(session, facts["uuid"]).state = "moving"
    return f"{facts['name']}: from {facts['node']} to {to['name']}"


def _found(run: Run) -> dict[str, Any]:
    with run.cloud.registry.session() as session:
        guest = wiring.guest(session, run.arguments["name"])
        target = wiring.node(session, run.arguments.get("node"))
        return {
            "guest": guests.facts_of(session, guest),
            "platform": guest.platform.uuid if guest.platform else None,
            "state": guest.state,
            "to": {
                "name": target.name,
                "minion": target.minion_id,
                "host": target.host,
                "port": target.ssh_port,
            },
        }


def _platform_there(run: Run, session: Session, own: Platform | None, target: ComputeNode) -> Platform | None:
    """A platform of the same type, mode and owner on the other node; made when there is none."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Platform

    if own is None:
        return None
    same = select(Platform).where(
        Platform.node_id == target.id, Platform.type == own.type, Platform.operation_mode == own.operation_mode
    )
    for one in session.scalars(same.order_by(Platform.id)):
        if one.owner_id == own.owner_id:
            return one
    made = Platform(
        uuid=_platform_made(run), node=target, type=own.type, operation_mode=own.operation_mode, owner=own.owner
    )
    session.add(made)
    session.flush()
    return made


def _platform_made(run: Run) -> str:
    """The uuid of the platform that this move makes, if it makes one: its undoing finds it by that."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"corpus platform {run.operation}"))


def _was(run: Run) -> None:
    """Let the registry say what it said before."""
    if "guest" not in run.data:
        return
    with run.cloud.registry.session() as session:
        wiring.guest(session, run.data["guest"]["uuid"]).state = run.data["state"]


def _no_snapshots(run: Run) -> bool:
    return not guests.on_node(run.cloud, str(run.arguments["name"]), "mc_lxc.snapshots")


def _warn(run: Run) -> str:
    """Tell what does not move: the copy is of what the guest has now."""
    labels = sorted(guests.on_node(run.cloud, str(run.arguments["name"]), "mc_lxc.snapshots"))
    said = f"not moved, and removed with the container here: {', '.join(labels)}"
    run.say(f"Snapshots are {said}")
    return said


def _reserve(run: Run) -> str:
    from corpus.controller.registry import allocation

    with run.cloud.registry.session() as session:
        guest = wiring.guest(session, run.data["guest"]["uuid"])
        target = wiring.node(session, run.data["to"]["name"])
        if guest.node_id == target.id:
            return f"{guest.address}, port {guest.ssh_port}"
        if allocation.reserved(session, target, guest) is None:
            wiring.turn_of(session, target)
            wiring.open_to_guests(target)
        place = allocation.reserve(session, target, guest, run.cloud.settings.ssh_ports)
        assert target.network is not None
        settings = {
            "address": allocation.interface(place.address, target.network),
            "gateway": allocation.bridge(target.network),
            "address6": None,
            "gateway6": None,
        }
        if place.address6 and target.network6:
            settings["address6"] = allocation.interface(place.address6, target.network6)
            settings["gateway6"] = allocation.bridge(target.network6)
    run.remember(
        settings=settings, place={"address": place.address, "address6": place.address6, "port": place.ssh_port}
    )
    return f"{place.address}, port {place.ssh_port}"


def _release(run: Run) -> None:
    from corpus.controller.registry import allocation

    with run.cloud.registry.session() as session:
        guest = wiring.guest(session, run.data["guest"]["uuid"])
        allocation.release(session, guest, wiring.node(session, run.data["to"]["name"]))
        guest.state = run.data["state"]


def _target(run: Run, name: str) -> Any:
    with run.cloud.registry.reading() as session:
        return wiring.target(run.cloud, wiring.node(session, name))


def _introduce(run: Run) -> None:
    """Let the node that sends into the other one, by a key for this move alone."""
    from corpus.controller import access

    facts, to = run.data["guest"], run.data["to"]
    key = access.new_key(f"corpus-move-{facts['name']}")
    run.remember(public=key.public)
    there, here = _target(run, to["name"]), _target(run, facts["node"])
    there.run("sh", "-c", wiring.LET_IN, stdin=f"{key.public}\n")
    here.run("sh", "-c", _BRING, "sh", facts["name"], stdin=key.private)
    named = to["host"] if to["port"] == 22 else f"[{to['host']}]:{to['port']}"
    known = wiring.known_hosts(run.cloud).keys(to["host"], to["port"])
    here.run(
        "sh", "-c", _BRING, "sh", f"{facts['name']}.known_hosts", stdin="".join(f"{named} {one}\n" for one in known)
    )


def _part(run: Run) -> None:
    if "public" not in run.data:
        return
    facts, to = run.data["guest"], run.data["to"]
    _target(run, to["name"]).run("sh", "-c", wiring.LET_OUT, stdin=f"{run.data['public']}\n")
    _target(run, facts["node"]).run("rm", "-f", f"{_KEYS}/{facts['name']}", f"{_KEYS}/{facts['name']}.known_hosts")


def _send(run: Run, final: bool) -> Any:
    """One round of copying, from node to node."""
    facts, to = run.data["guest"], run.data["to"]
    return wiring.call(
        run.cloud,
        facts["node_minion"],
        "mc_lxc.send",
        facts["name"],
        to["host"],
        port=to["port"],
        identity=f"{_KEYS}/{facts['name']}",
        known_hosts=f"{_KEYS}/{facts['name']}.known_hosts",
        final=final,
        timeout=COPYING,
    )


def _copy(run: Run) -> str | None:
    facts, to = run.data["guest"], run.data["to"]
    if not run.data.get("made"):
        if facts["name"] in _states(run, to["minion"]):
            raise UsageError(
                f"There is a container {facts['name']} on {to['name']} already, which is not this guest's: "
                "destroy it there (mc_lxc.destroy), or choose another node."
            )
        run.remember(made=True)
    return _said(_send(run, final=False))


def _states(run: Run, minion: str) -> dict[str, str]:
    """The containers that a node has now, and LXC's words for what they do."""
    found = wiring.call(run.cloud, minion, "mc_lxc.list", timeout=60)
    return {str(name): str(one["state"]) for name, one in found.items()}


def _said(report: Any) -> str | None:
    return str(report.get("comment")) if isinstance(report, Mapping) else None


def _may_go_back(run: Run) -> None:
    """:raises CorpusError: it is there, and what it was here is being removed"""
    if run.data.get("arrived"):
        raise CorpusError(f"{run.data['guest']['name']} is on {run.data['to']['name']} already: it stays there.")


def _discard(run: Run) -> None:
    """Take away what this move copied, as long as there is what it was copied from."""
    from sqlalchemy import select

    from corpus.controller.registry.models import ComputeNode, Guest

    _may_go_back(run)
    facts, to = run.data["guest"], run.data["to"]
    if not run.data.get("made"):
        return
    with run.cloud.registry.reading() as session:
        lives = session.scalar(select(ComputeNode.name).join(Guest).where(Guest.name == facts["name"]))
    if lives == to["name"] or facts["name"] not in _states(run, facts["node_minion"]):
        raise CorpusError(f"{facts['name']} lives on {to['name']}: it stays there.")
    wiring.call(run.cloud, to["minion"], "mc_lxc.destroy", facts["name"], timeout=600)


def _stop(run: Run) -> None:
    facts = run.data["guest"]
    run.remember(stopped=time.time())
    wiring.call(run.cloud, facts["node_minion"], "mc_lxc.stop", facts["name"], timeout=120)


def _start_again(run: Run) -> None:
    _may_go_back(run)
    facts, to = run.data["guest"], run.data["to"]
    there = _states(run, to["minion"]).get(facts["name"], "STOPPED")
    if there != "STOPPED":
        raise CorpusError(
            f"{facts['name']} is {there.lower()} on {to['name']}: stop it there (mc_lxc.stop) "
            f"before it is started on {facts['node']}."
        )
    if run.data["state"] == "running":
        wiring.call(run.cloud, facts["node_minion"], "mc_lxc.start", facts["name"], timeout=120)
    _was(run)


def _copy_rest(run: Run) -> str | None:
    facts, to = run.data["guest"], run.data["to"]
    if facts["name"] in _states(run, to["minion"]):
        return None  # a run that died came that far
    said = _said(_send(run, final=True))
    wiring.call(run.cloud, to["minion"], "mc_lxc.receive", facts["name"], timeout=600, **run.data["settings"])
    return said


def _settle(run: Run) -> str:
    """Let the registry say that it is there."""
    from corpus.controller.registry import allocation

    with run.cloud.registry.session() as session:
        guest = wiring.guest(session, run.data["guest"]["uuid"])
        target = wiring.node(session, run.data["to"]["name"])
        if guest.node_id != target.id:
            platform = _platform_there(run, session, guest.platform, target)
            guest.platform = None
            session.flush()
            allocation.settle(session, guest, target)
            guest.platform = platform
        there = guests.facts_of(session, guest)
    run.remember(there=there)
    return f"{there['address']} on {there['node']}"


def _unsettle(run: Run) -> None:
    """Let the registry say that it is where it was, and DNS and both nodes with it."""
    from sqlalchemy import select

    from corpus.controller.registry import allocation
    from corpus.controller.registry.models import Platform

    _may_go_back(run)
    facts = run.data["guest"]
    with run.cloud.registry.session() as session:
        guest = wiring.guest(session, facts["uuid"])
        node = wiring.node(session, facts["node"])
        if guest.node_id != node.id:
            guest.platform = None
            session.flush()
            if allocation.reserved(session, node, guest) is not None:
                allocation.settle(session, guest, node)
            else:  # it had no port for ssh, or no address
                guest.node = node
                guest.address, guest.address6, guest.ssh_port = facts["address"], facts["address6"], facts["ssh_port"]
                session.flush()
            if run.data["platform"]:
                guest.platform = session.scalar(select(Platform).where(Platform.uuid == run.data["platform"]))
            session.flush()
        made = session.scalar(select(Platform).where(Platform.uuid == _platform_made(run)))
        if made is not None and not made.guests:  # another guest may have come meanwhile
            session.delete(made)
    names.registered(run, _all_names(run))
    for name in (facts["node"], run.data["to"]["name"]):
        wiring.traffic(run.cloud, name)


def _start(run: Run) -> None:
    if run.data["state"] == "running":
        wiring.call(run.cloud, run.data["to"]["minion"], "mc_lxc.start", run.data["guest"]["name"], timeout=120)


def _stop_there(run: Run) -> None:
    _may_go_back(run)
    with_it = run.data["guest"]["name"]
    wiring.call(run.cloud, run.data["to"]["minion"], "mc_lxc.stop", with_it, timeout=120)


def _all_names(run: Run) -> list[str]:
    found = [run.data["guest"], run.data.get("there") or {}]
    names = {name for facts in found for name in facts.get("names", ())}
    return sorted(names | {facts[key] for facts in found for key in ("address", "address6") if facts.get(key)})


def _name(run: Run) -> dict[str, Any]:
    known, facts = wiring.known_hosts(run.cloud), run.data["guest"]
    keys = known.keys(facts["node_host"], facts["ssh_port"])
    for host in (run.data["to"]["host"], *(one for one in facts["names"] if not one.startswith("*."))):
        known.learn(host, run.data["place"]["port"], *keys)
    return names.registered(run, _all_names(run))


def _wire(run: Run) -> dict[str, Any]:
    return wiring.traffic(run.cloud, run.data["to"]["name"])


def _answers(run: Run) -> str:
    """Wait for it; tell for how long nobody reached it."""
    if run.data["state"] == "running":
        run.cloud.minions.wait_for(run.data["there"]["minion"], guests.ANSWERS)
    seconds = round(time.time() - run.data["stopped"], 1)
    run.remember(downtime=seconds)
    _was(run)
    return f"it was away for {seconds} s"


def _unwire(run: Run) -> dict[str, Any]:
    run.remember(arrived=True)
    return wiring.traffic(run.cloud, run.data["guest"]["node"])


def _remove(run: Run) -> None:
    from corpus.controller.registry import allocation

    facts = run.data["guest"]
    if facts["ssh_port"] != run.data["place"]["port"]:
        for host in (one for one in facts["names"] if not one.startswith("*.")):
            wiring.known_hosts(run.cloud).forget(host, facts["ssh_port"])
    wiring.known_hosts(run.cloud).forget(facts["node_host"], facts["ssh_port"])
    wiring.call(run.cloud, facts["node_minion"], "mc_lxc.destroy", facts["name"], timeout=600)
    with run.cloud.registry.session() as session:  # what it had there was its own as long as it could go back
        allocation.release(session, wiring.guest(session, facts["uuid"]), wiring.node(session, facts["node"]))
