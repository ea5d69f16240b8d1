"""Compute nodes that are given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import compute_nodes, guests, names, operations, wiring
from corpus.controller.compute_nodes import attachment
from corpus.controller.operations import Run, Step
from corpus.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.registry.models import ComputeNode


@operations.kind("compute_node.unlink", subject=compute_nodes.subject, resolve=compute_nodes.NAMED, forward=True)
def detachment(arguments: Mapping[str, Any]) -> list[Step]:
    """The machine stays as it is, and is ours no more."""
    return [
        Step("node", _empty, _doomed, repeatable=True),
        Step("DNS", None, attachment.unname, repeatable=True),
        Step("key", None, _unlet, repeatable=True, essential=False),
        Step("minion", None, attachment.unseed, repeatable=True),
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
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise UsageError(
            f"{node.name} has guests ({', '.join(names[:5])}{more}): move or delete them, or let those that move "
            "arrive, first."
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
